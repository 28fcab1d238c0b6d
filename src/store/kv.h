/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_STORE_KV_H
#define COAT_STORE_KV_H

/**
 * Ordered maps of bytes under one transaction: what memory and LMDB offer to the operations of
 * the contract (apply.h, read.h), which are written once for both.
 *
 * A failed put may leave the transaction half-done. LMDB aborts it; memory keeps what was
 * written, so writers order their puts such that each prefix of them is harmless.
 */

#include "core/bytes.h"

#include <coatcheck/store.h>
#include <stdatomic.h>

enum { COAT_KEY_MAX = 16 };

typedef enum coat_map {
    COAT_MAP_SESSION, /* handle -> value */
    COAT_MAP_INDEX,   /* owner, serial -> empty */
    COAT_MAP_OWNER,   /* owner -> epoch u64, when it was raised i64 */
    COAT_MAP_ACCOUNT, /* address -> value */
    COAT_MAP_META,    /* address -> value */
    COAT_MAP_INFO,    /* 8 characters -> u64; see below */
    COAT_MAP_COUNT,
} coat_map;

#define COAT_INFO_FORMAT "format\0"
#define COAT_INFO_GLOBAL "global\0" /* the global epoch */
#define COAT_INFO_EPOCHS "epochs\0" /* the last epoch given out: none is ever given twice */

/** Spans are valid until the next change or the end of the transaction. */
typedef struct coat_kv_entry {
    uint8_t key[COAT_KEY_MAX];
    coat_span value;
} coat_kv_entry;

/** Results: OK, NOT_FOUND, or a failure (NO_MEMORY, STORE_FULL, IO). */
typedef struct coat_kv coat_kv;
struct coat_kv_ops {
    coat_err (*get)(coat_kv *kv, coat_map map, const uint8_t *key, coat_span *value);
    /* The value is head followed by body, neither from this transaction. Replaces. */
    coat_err (*put)(coat_kv *kv, coat_map map, const uint8_t *key, coat_span head,
                    coat_span body);
    coat_err (*del)(coat_kv *kv, coat_map map, const uint8_t *key);
    /* The first entry at (or, if `after`, behind) the key. */
    coat_err (*seek)(coat_kv *kv, coat_map map, const uint8_t *key, bool after,
                     coat_kv_entry *out);
};

struct coat_kv {
    const struct coat_kv_ops *ops;
    _Atomic uint64_t *unreadable; /* counts values that could not be decoded */
};

static inline size_t
coat_map_key_len(coat_map map)
{
    return map == COAT_MAP_OWNER || map == COAT_MAP_INFO ? 8 : 16;
}

static inline coat_map
coat_map_of(coat_space space)
{
    if (space == COAT_SPACE_SESSION)
        return COAT_MAP_SESSION;
    return space == COAT_SPACE_ACCOUNT ? COAT_MAP_ACCOUNT : COAT_MAP_META;
}

#endif
