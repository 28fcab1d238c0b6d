/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_TABLE_INSIDE_H
#define COAT_TABLE_INSIDE_H

/**
 * The writer's own state, shared by its files: file.c (files and mapping), writer.c (life and
 * header), slot.c (slots), arena.c (long identities), gate.c (what may be filled when),
 * forget.c (what others have changed), fold.c (activity), mend.c (a damaged activity file).
 * Functions here want the mutex held unless they say otherwise.
 */

#include "table/layout.h"
#include "table/writer.h"

#include <pthread.h>

enum {
    COAT_TABLE_BUCKETS = 4096, /* gates; owners of one bucket disturb each other only briefly */
    COAT_TABLE_GIVE_WAY = 8,   /* entries that may give way for the arena room of one */
};

/** Keeps fills out while a change is under way. */
typedef struct coat_table_gate {
    uint64_t version; /* counts begins and ends; never 0 */
    uint32_t up;
} coat_table_gate;

/** What a lock file and two mappings are. */
typedef struct coat_table_files {
    int lock_fd;
    int seen_fd; /* kept, to mend the file; -1: there is none */
    bool taken_over;
} coat_table_files;

/** Entries that gave way with activity not folded in, to be reported without the mutex. */
typedef struct coat_table_ousted {
    uint32_t count;
    struct {
        coat_handle handle;
        int64_t seen_ms;
    } entry[COAT_TABLE_GIVE_WAY + 2];
} coat_table_ousted;

struct coat_table_writer {
    coat_table view;
    coat_table_files files;
    /* The same memory, writable. */
    coat_table_head *head;
    _Atomic uint64_t *prints;
    coat_table_slot *slot;
    _Atomic uint64_t *arena;

    pthread_mutex_t mutex;
    coat_table_gate all;
    coat_table_gate gate[COAT_TABLE_BUCKETS];
    uint8_t gate_key[16];

    uint32_t *folded; /* activity word last reported, per slot; of that slot's sequence */
    uint64_t *cells;  /* arena cells in use */
    uint32_t cell_count;
    uint32_t cell_hint; /* where to look first */
    uint32_t oust_at;   /* where to look for arena room to take back */
    uint32_t fold_at;
    coat_table_stats stats;
    _Atomic uint32_t mended; /* how often, since that was last asked */

    void (*evicted)(void *ctx, const coat_handle *handle, int64_t seen_ms);
    void *evicted_ctx;
    void (*step)(void *ctx);
    void *step_ctx;
};

/* ---- stores to shared memory, one by one ---- */

static inline void
coat_table_put32(coat_table_writer *w, _Atomic uint32_t *at, uint32_t value)
{
    if (w->step != NULL)
        w->step(w->step_ctx);
    atomic_store_explicit(at, value, memory_order_release);
}

static inline void
coat_table_put64(coat_table_writer *w, _Atomic uint64_t *at, uint64_t value)
{
    if (w->step != NULL)
        w->step(w->step_ctx);
    atomic_store_explicit(at, value, memory_order_release);
}

/* ---- file.c: no writer yet ---- */

/** Map both files into view, taking over what fits, else building anew. See coat_table_create.
 */
coat_err coat_table_files_open(const coat_table_conf *conf, coat_table_geometry geometry,
                               coat_table *view, coat_table_files *files) COAT_MUST_USE;
void coat_table_files_close(coat_table *view, coat_table_files *files);

/* ---- slot.c ---- */

uint32_t coat_table_print(const coat_table_writer *w, uint32_t index);
void coat_table_print_set(coat_table_writer *w, uint32_t index, uint32_t print);
/** The writer's copy; nobody else writes, so it is whole. @return lengths */
uint32_t coat_table_peek(const coat_table_writer *w, uint32_t index, coat_table_image *image);
uint32_t coat_table_seq(const coat_table_writer *w, uint32_t index);
/** First slot from `from` on among the 32 candidates that holds handle, else -1. */
int64_t coat_table_find(const coat_table_writer *w, const coat_table_place *place,
                        const coat_handle *handle);
/** Last known activity of what the slot holds. */
int64_t coat_table_active_ms(const coat_table_writer *w, uint32_t index,
                             const coat_table_image *image);
/** The latest activity that the store knows, or was told by a report. */
int64_t coat_table_folded_ms(const coat_table_writer *w, uint32_t index,
                             const coat_table_image *image);
/** Clear a slot: no reader finds it afterwards. */
void coat_table_wipe(coat_table_writer *w, uint32_t index);
/** Clear a slot for the sake of another entry; notes unfolded activity. */
void coat_table_oust(coat_table_writer *w, uint32_t index, coat_table_ousted *ousted);
/** Clear every slot that holds handle. @return last activity, 0 if there was none */
int64_t coat_table_remove(coat_table_writer *w, const coat_handle *handle);
/** Enter without asking the gates. */
coat_err coat_table_enter(coat_table_writer *w, const coat_table_entry *entry,
                          coat_table_ousted *ousted);
/** After a takeover: trust no fingerprint, no sequence, no length. */
void coat_table_recheck(coat_table_writer *w);

/* ---- forget.c ---- */

uint16_t coat_table_stamp_now(const coat_table_writer *w, const coat_handle *handle);
/** Trust no entry any more. */
void coat_table_stamp_all(coat_table_writer *w);

/* ---- gate.c ---- */

/** As if a change of that owner's sessions began and ended: what is being loaded is not
 * entered. */
void coat_table_disturb(coat_table_writer *w, const uint8_t owner[static COAT_OWNER_BYTES]);

/* ---- arena.c ---- */

/** Room for len bytes. @return false if there is none in one piece */
bool coat_table_arena_take(coat_table_writer *w, uint32_t len, uint32_t *offset);
/** Claim a piece found in a taken-over slot. @return false if it is another's already */
bool coat_table_arena_claim(coat_table_writer *w, uint32_t offset, uint32_t len);
void coat_table_arena_give(coat_table_writer *w, uint32_t offset, uint32_t len);
/** Let least recently active entries give way until there is room, or it is not worth it. */
bool coat_table_arena_force(coat_table_writer *w, uint32_t len, uint32_t *offset,
                            coat_table_ousted *ousted);

/* ---- writer.c ---- */

void coat_table_lock(coat_table_writer *w);
void coat_table_unlock(coat_table_writer *w);
/** Without the mutex. */
void coat_table_report_ousted(coat_table_writer *w, const coat_table_ousted *ousted);
void coat_table_put_tags(coat_table_writer *w, const coat_tag_keys *tags);

#endif
