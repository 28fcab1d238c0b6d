/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_STORE_MEMCACHED_BOX_H
#define COAT_STORE_MEMCACHED_BOX_H

/**
 * What is kept on a memcached server. A *box* is one item with all sessions of an owner (or one
 * account, or one counter), its epoch, and the life of the server that it was written in. A
 * *life* is one item a server: it begins anew when it is lost. Little-endian:
 *
 *  box:   "cb" | format u8 | space u8 | entries u32 | sum u64 | birth u64 | epoch u64 |
 *         last number u64 | address (16) | raised u32 | entries
 *  entry: serial (8) | version u64 | expires i64 | global epoch u64 | length u32 | value
 *  life:  "cl" | format u8 | 0 | generation u32 | sum u64 | birth u64 | ring u64 | global u64
 *
 * Entries are in the order of their serials. The sum is no protection, it finds accidents:
 * records have their seals.
 */

#include "store/remote/buffer.h"

#include <coatcheck/store.h>

enum { MC_FORMAT = 1, MC_BOX_HEAD = 60, MC_ENTRY_HEAD = 36, MC_LIFE_BYTES = 40 };

/* Versions and epochs are microseconds by the clock. What claims to be above this was never
 * written by us, and the numbers above it could run out. */
#define MC_NUMBER_MAX ((uint64_t)INT64_MAX / 2)

typedef struct mc_life {
    uint32_t generation; /* of the list of servers, as the operator counts it */
    uint64_t birth;      /* random */
    uint64_t ring;       /* which list of servers */
    uint64_t global;     /* epoch */
} mc_life;

typedef struct mc_box {
    coat_space space;
    coat_handle address; /* an owner's: 8 zeros and the owner */
    uint64_t birth, epoch;
    uint64_t last; /* the highest number given out here, as a version or as an epoch */
    bool raised;   /* the epoch, at least once */
    uint32_t count;
    coat_span entries; /* checked */
} mc_box;

typedef struct mc_entry {
    uint8_t serial[8];
    uint64_t version;
    int64_t expires_ms;
    uint64_t epoch_global;
    coat_span value;
} mc_entry;

/** @retval COAT_MALFORMED, COAT_NEWER_FORMAT; COAT_TAMPERED: of another address or space */
coat_err mc_box_decode(coat_span bytes, coat_space space, const coat_handle *address,
                       mc_box *out);
/** Take the entry at the front of `rest`. @return false: there is none left */
bool mc_box_next(coat_span *rest, mc_entry *out);

/** Begin, add entries in order, end. What failed is in out->failed. */
void mc_box_begin(const mc_box *box, remote_buffer *out);
void mc_box_add(remote_buffer *out, const mc_entry *entry);
void mc_box_end(remote_buffer *out, uint32_t count, uint64_t last);

/** Of everything but the sum itself; of 16 bytes at least. */
uint64_t mc_sum(coat_span bytes);

coat_err mc_life_decode(coat_span bytes, mc_life *out);
void mc_life_encode(const mc_life *life, uint8_t out[MC_LIFE_BYTES]);

#endif
