/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_SERVER_CONFIG_VALUE_H
#define COAT_SERVER_CONFIG_VALUE_H

/** Small checks and parsers of configuration values, beside those in config.h. */

#include <coatcheck/base.h>

#define KIB ((int64_t)1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define TIB (1024 * GIB)
#define SECOND ((int64_t)1000)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)

/** UTF-8 without control characters. */
bool coat_text_is_clean(coat_span text);
/** RFC 9110 token. */
bool coat_text_is_token(const char *text);
/** Index of text in "a|b|c", or -1. */
int coat_word_index(const char *words, const char *text);
/** The word at index, into buf. */
void coat_word_at(const char *words, int index, char *buf, size_t cap);
/** Without blanks at both ends. */
coat_span coat_span_trim(coat_span text);

#endif
