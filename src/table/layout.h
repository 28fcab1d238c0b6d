/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_TABLE_LAYOUT_H
#define COAT_TABLE_LAYOUT_H

/**
 * What lies in the files of the node table. Native byte order: they never leave the machine,
 * nor outlive its boot.
 *
 *   table:  header (one page) | a line of 16 fingerprints per set | slots | arena
 *   .seen:  struct coat_table_seen_head | one activity word per slot
 *
 * Everything that changes after publication is read and written by atomic words, so a reader
 * that meets a writer has read something, and the sequence tells whether it was whole. Writers
 * store data words with release order after making the sequence odd, and readers load them
 * with acquire order before they look at the sequence again: a reader that saw any new word
 * sees the odd sequence. No fences, so that ThreadSanitizer can follow.
 */

#include "core/bytes.h"

#include <coatcheck/table.h>
#include <sodium.h>
#include <stdatomic.h>

#define COAT_TABLE_MAGIC 0x3162617474616f63U      /* "coattab1" */
#define COAT_TABLE_SEEN_MAGIC 0x316e656573616f63U /* "coaseen1" */

enum {
    COAT_TABLE_FORMAT = 2, /* 1: without stamps */
    COAT_TABLE_PAGE = 4096,
    COAT_TABLE_WAYS = 16,
    COAT_TABLE_INLINE = 72,     /* bytes of identity in a slot */
    COAT_TABLE_CELL = 64,       /* unit of the arena */
    COAT_TABLE_WORDS = 23,      /* 64-bit words of a slot beside sequence and lengths */
    COAT_TABLE_TAG_WORDS = 5,   /* two keys and their count */
    COAT_TABLE_SEEN_TAG = 0x0f, /* bits of an activity word that tell the slot's occupant */
    COAT_TABLE_SEEN_SHIFT = 4,
    COAT_TABLE_STAMPS = 1024,
    COAT_TABLE_STAMP_SHIFT = 48,
    COAT_TABLE_IDENTITY_MAX = COAT_USER_MAX + COAT_ROLES_MAX + COAT_METHODS_MAX,
};

/** Sizes, from which all offsets follow. */
typedef struct coat_table_geometry {
    uint32_t slots; /* a multiple of COAT_TABLE_WAYS */
    uint32_t arena; /* a multiple of COAT_TABLE_CELL */
} coat_table_geometry;

typedef struct coat_table_head {
    /* Fixed before the file is published. */
    uint64_t magic;
    uint32_t format;
    uint32_t mode;
    uint64_t generation; /* random, the same in .seen */
    coat_table_geometry geometry;
    int64_t base_s; /* activity counts from here */
    uint8_t hash_key[16];
    uint8_t context_key[16];
    uint8_t binding[16];
    uint8_t boot[16];
    uint8_t pad[24];

    /* Changed by the writer while readers look; a cache line of its own. */
    _Atomic uint32_t replaced; /* readers open the path anew */
    _Atomic uint32_t hold;     /* a change of everybody's sessions is under way */
    _Atomic int64_t floor_ms;
    _Atomic int64_t lease_ms;
    _Atomic uint64_t epoch_min; /* entries below it are dead */
    _Atomic uint32_t tag_seq;
    _Atomic uint32_t unused;
    _Atomic uint64_t tags[COAT_TABLE_TAG_WORDS];

    /* Shared mode. The lease ends when either clock says so: the wall clock may be set back,
     * the monotonic one may stand still while the machine sleeps. */
    _Atomic int64_t lease_mono_ms;
    uint8_t pad_stamps[1832];
    /* By owner. An entry bears the stamp of its owner's bucket; under another it is not
     * trusted. So all entries of an owner, or all there are, are dropped by few writes. They
     * outlive the writer as entries do. */
    _Atomic uint16_t stamp[COAT_TABLE_STAMPS];
} coat_table_head;

typedef struct coat_table_seen_head {
    uint64_t magic;
    uint64_t generation;
    uint8_t pad[48];
} coat_table_seen_head;

typedef struct coat_table_slot {
    _Atomic uint32_t seq;     /* odd: being written; each update adds 2 */
    _Atomic uint32_t lengths; /* user | roles << 8 | methods << 24; 0 handle: free */
    _Atomic uint64_t word[COAT_TABLE_WORDS];
} coat_table_slot;

/** A slot's words as a copy of one's own. */
typedef struct coat_table_image {
    coat_handle handle;
    uint8_t digest[COAT_DIGEST_BYTES];
    int64_t created_ms, auth_ms, absolute_end_ms, next_due_ms;
    int64_t seen_ms;     /* as the store has it */
    uint64_t idle_flags; /* stamp << 48 | idle limit << 8 | record flags */
    uint64_t context;
    uint64_t epoch_global;
    uint8_t identity[COAT_TABLE_INLINE]; /* user, roles, methods; or a u32 arena offset */
} coat_table_image;

_Static_assert(sizeof(coat_table_slot) == 192, "three cache lines");
_Static_assert(sizeof(coat_table_image) == 8 * COAT_TABLE_WORDS, "no padding");
_Static_assert(sizeof(coat_table_head) == COAT_TABLE_PAGE, "one page");
_Static_assert(offsetof(coat_table_head, replaced) == 128, "its own line");
_Static_assert(offsetof(coat_table_head, stamp) == 2048, "half a page");
_Static_assert(sizeof(coat_table_seen_head) == 64, "one line");
_Static_assert(sizeof(coat_tag_keys) <= 8 * COAT_TABLE_TAG_WORDS, "fits");

/** A table as mapped, by a reader or by the writer. Geometry was checked once, on opening. */
struct coat_table {
    const coat_table_head *head;
    const _Atomic uint64_t *prints; /* 8 words of two fingerprints a set */
    const coat_table_slot *slot;
    const _Atomic uint64_t *arena;
    _Atomic uint32_t *seen;
    coat_table_geometry geometry;
    uint32_t sets;
    uint32_t mode;
    int64_t base_s;
    uint8_t hash_key[16];
    uint8_t context_key[16];
    coat_clock_fn monotonic; /* NULL: coat_table_clock_ms() */
    void *monotonic_ctx;
    void *map, *seen_map;
    size_t map_len, seen_len;
};

#define COAT_TABLE_IDLE_MAX_MS (((int64_t)1 << (COAT_TABLE_STAMP_SHIFT - 8)) - 1)

static inline int64_t
coat_table_idle_ms(uint64_t idle_flags)
{
    return (int64_t)(idle_flags >> 8) & COAT_TABLE_IDLE_MAX_MS;
}

/** The bucket of an owner: its bytes are a keyed hash, or random. */
static inline uint32_t
coat_table_stamp_at(const uint8_t owner[static COAT_OWNER_BYTES])
{
    return coat_load32(owner) % COAT_TABLE_STAMPS;
}

/** Was this entered since its owner's sessions, or all, were last dropped? */
static inline bool
coat_table_stamped(const coat_table *table, const coat_table_image *image)
{
    uint32_t at =
        coat_table_stamp_at(image->handle.bytes + COAT_HANDLE_BYTES - COAT_OWNER_BYTES);

    return image->idle_flags >> COAT_TABLE_STAMP_SHIFT ==
           atomic_load_explicit(&table->head->stamp[at], memory_order_acquire);
}

/** Where a handle may be: two sets and a fingerprint, never 0. */
typedef struct coat_table_place {
    uint32_t set[2];
    uint32_t print;
} coat_table_place;

static inline coat_table_place
coat_table_place_of(const uint8_t hash_key[static 16], uint32_t sets, const coat_handle *handle)
{
    uint8_t hash[crypto_shorthash_siphashx24_BYTES];
    coat_table_place place;

    (void)crypto_shorthash_siphashx24(hash, handle->bytes, sizeof handle->bytes, hash_key);
    place.set[0] = (uint32_t)((uint64_t)coat_load32(hash) * sets >> 32);
    place.set[1] = (uint32_t)((uint64_t)coat_load32(hash + 4) * sets >> 32);
    place.print = coat_load32(hash + 8);
    if (place.print == 0)
        place.print = 1; /* 0 marks a free slot */
    return place;
}

static inline uint32_t
coat_table_total(uint32_t lengths)
{
    return (lengths & 0xff) + (lengths >> 8 & 0xffff) + (lengths >> 24);
}

/** Within the limits of records, and of the arena if it is there? */
static inline bool
coat_table_lengths_fit(uint32_t lengths, uint32_t offset, uint32_t arena)
{
    uint32_t total = coat_table_total(lengths);

    if ((lengths >> 8 & 0xffff) > COAT_ROLES_MAX || lengths >> 24 > COAT_METHODS_MAX)
        return false;
    if (total <= COAT_TABLE_INLINE)
        return true;
    return offset % COAT_TABLE_CELL == 0 && offset <= arena && total <= arena - offset;
}

/** Activity word of a second for a slot of that sequence; 0 when the clock is before base. */
static inline uint32_t
coat_table_seen_word(int64_t base_s, int64_t time_ms, uint32_t seq)
{
    int64_t s = time_ms / 1000 - base_s;

    if (s <= 0)
        return 0;
    if (s > UINT32_MAX >> COAT_TABLE_SEEN_SHIFT)
        s = UINT32_MAX >> COAT_TABLE_SEEN_SHIFT;
    return (uint32_t)s << COAT_TABLE_SEEN_SHIFT | (seq >> 1 & COAT_TABLE_SEEN_TAG);
}

/** Activity in a word, 0 if none or if noted for a former occupant of the slot. */
static inline int64_t
coat_table_seen_ms(int64_t base_s, uint32_t word, uint32_t seq)
{
    if (word >> COAT_TABLE_SEEN_SHIFT == 0 ||
        (word & COAT_TABLE_SEEN_TAG) != (seq >> 1 & COAT_TABLE_SEEN_TAG))
        return 0;
    return (base_s + (int64_t)(word >> COAT_TABLE_SEEN_SHIFT)) * 1000;
}

/** @retval COAT_INVALID  out of range or not addressable */
coat_err coat_table_size(coat_table_geometry geometry, size_t *table,
                         size_t *seen) COAT_MUST_USE;
/** Fill in the pointers of a mapped table from its geometry. */
void coat_table_attach(coat_table *table);
/**
 * Does head name a table of ours that fits in a file of that size?
 * @retval COAT_IO  it does not
 * @retval COAT_NEWER_FORMAT
 */
coat_err coat_table_head_check(const coat_table_head *head, size_t file_len) COAT_MUST_USE;
/** Path of the activity file: path ".seen". @return false if it does not fit */
bool coat_table_seen_path(const char *path, char *buf, size_t cap);
/**
 * Map a file shared, or with fd -1 memory of our own, where huge pages fit: a look-up touches
 * five pages, and of a large table none of them is in the TLB.
 * @return NULL: no
 */
void *coat_table_map(int fd, size_t len, int prot);
/** Unmap; NULL members are skipped. */
void coat_table_detach(coat_table *table);

#endif
