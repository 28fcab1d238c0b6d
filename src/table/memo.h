/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_TABLE_MEMO_H
#define COAT_TABLE_MEMO_H

/**
 * What checks have come to know of tokens, so that they need not find it out again. The tag is
 * a keyed hash of handle and secret and has been verified: another secret under the same handle
 * and tag would take the installation's key to make, or chance of one in 2^64. So the digest is
 * a value that was computed before. The slot is only where to look first: what lies there now
 * says whose it is. All that decides is read and judged each time.
 */

#include "core/bytes.h"

#include <coatcheck/table.h>

enum { COAT_TABLE_MEMO_WAYS = 2 };

typedef struct coat_table_known {
    coat_handle handle;
    uint64_t tag;
    uint8_t digest[COAT_DIGEST_BYTES];
    uint32_t slot; /* where the session was met last: of any table, and it may have moved */
    uint32_t unused;
} coat_table_known;

_Static_assert(sizeof(coat_table_known) == 64, "one cache line");
_Static_assert(COAT_TAG_BYTES == sizeof(uint64_t), "a word");

/**
 * Where tokens with this text are kept, the latest first. It starts the fetch of it: the caller
 * has work meanwhile.
 * @param memo  or NULL
 * @param text  need not be a token's
 * @return NULL: nowhere
 */
coat_table_known *coat_table_memo_set(coat_table_memo *memo, coat_span text);

/** @param token  opened: its tag was verified. @return NULL: nothing is known */
static inline coat_table_known *
coat_table_memo_find(coat_table_known *set, const coat_token *token)
{
    uint64_t tag = coat_load64(token->tag);

    for (int way = 0; set != NULL && way < COAT_TABLE_MEMO_WAYS; way++)
        if (set[way].tag == tag &&
            memcmp(set[way].handle.bytes, token->handle.bytes, COAT_HANDLE_BYTES) == 0)
            return &set[way];
    return NULL;
}

/** Keep this; what was kept before the last gives way. */
void coat_table_memo_keep(coat_table_known *set, const coat_token *token,
                          const uint8_t digest[static COAT_DIGEST_BYTES], uint32_t slot);

#endif
