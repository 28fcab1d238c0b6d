/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_TABLE_MEMO_H
#define COAT_TABLE_MEMO_H

#include <coatcheck/table.h>

/** Start to fetch what coat_table_memo_digest() will look at; memo may be NULL in both. */
void coat_table_memo_prefetch(coat_table_memo *memo, const coat_token *token);

/** coat_secret_digest() of a token whose tag was verified, computed unless it was lately. */
void coat_table_memo_digest(coat_table_memo *memo, const coat_token *token,
                            uint8_t out[static COAT_DIGEST_BYTES]);

#endif
