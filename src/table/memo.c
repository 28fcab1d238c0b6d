/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Digests of secrets, kept by what they are a function of. The tag is a keyed hash of handle
 * and secret and has been verified: another secret under the same handle and tag would take the
 * installation's key to make, or chance of one in 2^64. So this is a value that was computed
 * before, and nothing about any session: all that decides is read and judged each time.
 */
#include "table/memo.h"
#include "table/layout.h"

#include <sys/mman.h>

enum {
    WAYS = 2,
    SETS = 2048, /* 256 KiB, of which a few sessions touch little */
};

typedef struct entry {
    coat_handle handle;
    uint64_t tag;
    uint8_t digest[COAT_DIGEST_BYTES];
    uint8_t pad[8];
} entry;

_Static_assert(sizeof(entry) == 64, "one cache line");
_Static_assert(COAT_TAG_BYTES == sizeof(uint64_t), "a word");

struct coat_table_memo {
    entry set[SETS][WAYS]; /* the latest first */
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

static inline entry *
set_of(coat_table_memo *memo, const coat_token *token)
{
    return memo->set[coat_load64(token->tag) % SETS];
}

static inline bool
is_of(const entry *e, const coat_token *token)
{
    return e->tag == coat_load64(token->tag) && coat_handle_equal(&e->handle, &token->handle);
}

void
coat_table_memo_prefetch(coat_table_memo *memo, const coat_token *token)
{
    if (memo == NULL)
        return;
    for (int way = 0; way < WAYS; way++)
        __builtin_prefetch(set_of(memo, token) + way, 1);
}

void
coat_table_memo_digest(coat_table_memo *memo, const coat_token *token,
                       uint8_t out[static COAT_DIGEST_BYTES])
{
    entry *set = memo != NULL ? set_of(memo, token) : NULL;

    for (int way = 0; set != NULL && way < WAYS; way++)
        if (is_of(&set[way], token)) {
            memcpy(out, set[way].digest, COAT_DIGEST_BYTES);
            return;
        }
    coat_secret_digest(token->secret, out);
    if (set == NULL)
        return;
    set[1] = set[0]; /* the one before the last gives way */
    set[0].handle = token->handle;
    set[0].tag = coat_load64(token->tag);
    memcpy(set[0].digest, out, sizeof set[0].digest);
}
