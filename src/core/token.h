/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_CORE_TOKEN_H
#define COAT_CORE_TOKEN_H

/**
 * coat_token_open() in two steps and in place, for who has something to do between them.
 * *out holds a secret, or part of one, whatever the answer: wipe it.
 */

#include <coatcheck/token.h>

/** Decode. @return whether text is the one spelling of a token; whose, nobody knows yet */
bool coat_token_read(coat_span text, coat_token *out) COAT_NONNULL;

/** Does its tag fit one of the keys: was it issued here? */
bool coat_token_tag_fits(const coat_token *token, const coat_tag_keys *keys) COAT_NONNULL;

#endif
