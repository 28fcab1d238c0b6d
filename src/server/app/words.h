/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_SERVER_APP_WORDS_H
#define COAT_SERVER_APP_WORDS_H

/** Lists with one space between words (roles, methods) as JSON arrays of texts. */

#include <coatcheck/base.h>
#include <jansson.h>

json_t *coat_words_json(coat_span words);

#endif
