/* SPDX-License-Identifier: Apache-2.0 */
#include "table/memo.h"
#include "table/layout.h"

#include <sys/mman.h>

enum { SET_BITS = 11 }; /* 256 KiB in all, of which a few sessions touch little */

struct coat_table_memo {
    coat_table_known set[1 << SET_BITS][COAT_TABLE_MEMO_WAYS];
};

coat_table_memo *
coat_table_memo_new(void)
{
    /* Out of core files, and zeroed. */
    return coat_table_map(-1, sizeof(coat_table_memo), PROT_READ | PROT_WRITE);
}

void
coat_table_memo_free(coat_table_memo *memo)
{
    if (memo == NULL)
        return;
    sodium_memzero(memo, sizeof *memo);
    (void)munmap(memo, sizeof *memo);
}

coat_table_known *
coat_table_memo_set(coat_table_memo *memo, coat_span text)
{
    const uint64_t golden = 0x9e3779b97f4a7c15U; /* 2^64 by the golden ratio: spreads bits */
    coat_table_known *set;

    if (memo == NULL || text.len != COAT_TOKEN_CHARS)
        return NULL;
    /* These characters are the tag's alone: known before it is decoded. */
    set = memo->set[coat_load64(text.ptr + COAT_TOKEN_CHARS - 8) * golden >> (64 - SET_BITS)];
    for (int way = 0; way < COAT_TABLE_MEMO_WAYS; way++)
        __builtin_prefetch(set + way, 1);
    return set;
}

void
coat_table_memo_keep(coat_table_known *set, const coat_token *token,
                     const uint8_t digest[static COAT_DIGEST_BYTES], uint32_t slot)
{
    coat_table_known *known = coat_table_memo_find(set, token);

    if (set == NULL)
        return;
    if (known == NULL) {
        set[1] = set[0];
        known = set;
    }
    known->handle = token->handle;
    known->tag = coat_load64(token->tag);
    memcpy(known->digest, digest, sizeof known->digest);
    known->slot = slot;
}
