/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_TABLE_WRITER_H
#define COAT_TABLE_WRITER_H

/**
 * The node table as the daemon writes it; readers have <coatcheck/table.h>.
 *
 * The rule that keeps it true: nothing may be in the table that an acknowledged change has made
 * untrue. So a change first clears what it will touch and keeps fills of that owner out (its
 * gate is up), then commits to the store, then lifts the gate; and a fill proves by a ticket,
 * taken before it loaded from the store, that no gate was up since.
 *
 *   fill:    ticket, load from the store, coat_table_fill
 *   change:  coat_table_change_begin, commit, coat_table_change_end
 *
 * A change ends when the store has given a definite answer, never before: after a time-out the
 * commit may still land, and a fill in between would be untrue afterwards.
 *
 * Threads: any, on one writer; a mutex inside is held for microseconds, never over a callback.
 */

#include <coatcheck/table.h>

#define COAT_TABLE_SLOTS 131072 /* default */
#define COAT_TABLE_SLOTS_MAX (1U << 26)
#define COAT_TABLE_ARENA_PER_SLOT 16 /* default arena bytes */
#define COAT_TABLE_LEASE_MAX_MS 1000 /* no lease ends later than that from now */

typedef struct coat_table_writer coat_table_writer;

typedef enum coat_table_mode {
    COAT_TABLE_EMBEDDED = 1, /* nobody else changes sessions: valid while the daemon is away */
    COAT_TABLE_SHARED = 2,   /* valid only while coat_table_lease() is renewed */
} coat_table_mode;

typedef struct coat_table_conf {
    const char *path; /* NULL: private memory of this process */
    uint32_t slots;   /* 0: COAT_TABLE_SLOTS; rounded up to whole sets of 16 */
    uint32_t
        arena_bytes; /* room for identities over 72 bytes; 0: 16 per slot, at least 64 KiB */
    coat_table_mode mode; /* 0: EMBEDDED */
    const coat_tag_keys *tags;
    uint64_t epoch_global; /* of the store, read before this call */
    uint8_t
        binding[16]; /* names the store and key set: a table of another one is not taken over */
    int64_t now_ms;
    uint32_t gid;    /* group that may read; (uint32_t)-1: nobody else */
    coat_rng_fn rng; /* NULL: coat_rng_system */
    void *rng_ctx;
    coat_clock_fn monotonic; /* shared mode; NULL: coat_table_clock_ms() */
    void *monotonic_ctx;
    /* An entry gave way to another; seen_ms is not folded in yet: the caller does it. Called
     * without the mutex, on the thread that filled. May be NULL. */
    void (*evicted)(void *ctx, const coat_handle *handle, int64_t seen_ms);
    void *evicted_ctx;
    /* Tests only: called before each store to shared memory. */
    void (*step)(void *ctx);
    void *step_ctx;
} coat_table_conf;

/** Embedded mode, default sizes, gid left; tags, epoch, binding and time remain to be set. */
void coat_table_conf_default(coat_table_conf *conf);

/** Slots to order so that this many sessions fit at no more than 256 bytes each, arena
 * included. */
uint32_t coat_table_slots_for(uint64_t sessions);

/**
 * Take over the table at conf->path: same format, geometry, mode, binding and boot of the
 * machine; entries stay valid, half-written ones are cleared. Otherwise build a new one, put
 * it in place, and tell readers of the old one to open anew.
 * @retval COAT_BUSY     another process is its writer
 * @retval COAT_DENIED   a symbolic link, another owner, or writable by others: not touched
 * @retval COAT_INVALID  sizes out of range
 * @retval COAT_IO, COAT_STORE_FULL (no room on the file system), COAT_NO_MEMORY,
 * COAT_RNG_FAILED
 */
coat_err coat_table_create(const coat_table_conf *conf, coat_table_writer **out) COAT_MUST_USE;
/** The file stays, for readers and the next writer. After all users of the reader below. */
void coat_table_writer_close(coat_table_writer *writer);
/** The writer's own mapping as a reader sees it: borrowed, never stale. */
const coat_table *coat_table_writer_reader(const coat_table_writer *writer);
/** Did coat_table_create() take over an existing table? */
bool coat_table_writer_taken_over(const coat_table_writer *writer);

/** Proof of when a load began. Plain value; nothing to give back. */
typedef struct coat_table_ticket {
    uint64_t owner, all;
} coat_table_ticket;

/** Before loading what will be filled in. */
coat_table_ticket coat_table_ticket_take(coat_table_writer *writer, const coat_handle *handle);

/** What to fill in: a record as loaded or as committed. Borrowed. */
typedef struct coat_table_entry {
    const coat_handle *handle;
    const coat_record *record;
    int64_t next_due_ms; /* for the bearer of the current secret: judgement.next_due_ms */
    int64_t seen_ms;     /* last activity known, if later than record->seen_ms; else 0 */
    uint64_t context;    /* coat_table_context() of the record's last context; 0: none */
} coat_table_entry;

/**
 * Enter or refresh. Activity noted in the table for this handle is kept.
 * Anything but OK leaves the entry absent or as it was, and costs only slow paths.
 * @retval COAT_CONFLICT   a change is or was under way: not entered
 * @retval COAT_TOO_LARGE  identity does not fit in the arena now
 */
coat_err coat_table_fill(coat_table_writer *writer, coat_table_ticket ticket,
                         const coat_table_entry *entry) COAT_NONNULL;

/** A change of one session under way; caller's storage, from begin to end. */
typedef struct coat_table_change {
    coat_handle handle;
    int64_t seen_ms; /* last activity the table knew, for the record to be committed; or 0 */
    uint64_t owner, all;
    uint32_t bucket;
} coat_table_change;

/** Before committing. On return no reader finds the session. */
void coat_table_change_begin(coat_table_writer *writer, const coat_handle *handle,
                             coat_table_change *out) COAT_NONNULL;
/**
 * After the store's answer, whatever it was. entry: what the commit has made of the record, to
 * enter at once if nothing else was changed meanwhile; NULL if it failed or the session ended.
 * Exactly once for each begin.
 */
void coat_table_change_end(coat_table_writer *writer, coat_table_change *change,
                           const coat_table_entry *entry);

/**
 * A change of all sessions of an owner: raise the gate, list the handles from the store and
 * coat_table_clear() each, or coat_table_forget_owner() if there are many; commit, end.
 */
void coat_table_owner_begin(coat_table_writer *writer, coat_owner owner);
void coat_table_owner_end(coat_table_writer *writer, coat_owner owner);
/** Remove an entry. @return last activity the table knew, 0 if it was not there */
int64_t coat_table_clear(coat_table_writer *writer, const coat_handle *handle);

/** A change of everybody's sessions: readers ASK between begin and end. */
void coat_table_all_begin(coat_table_writer *writer);
/** @param epoch_global  the store's global epoch now, raised or not */
void coat_table_all_end(coat_table_writer *writer, uint64_t epoch_global);

/** Last known activity of a session. @return false if it is not in the table */
bool coat_table_seen(coat_table_writer *writer, const coat_handle *handle, int64_t *seen_ms);

/** Called without the mutex. */
typedef void (*coat_table_fold_fn)(void *ctx, const coat_handle *handle, int64_t seen_ms);

/**
 * Report activity that is newer by min(lag_ms, idle limit / 10) than what was last folded in
 * or reported, in the next slice of `slots` slots; removes entries that have ended by now_ms.
 * What was reported counts as folded: a report that the store did not take is made again only
 * when there is newer activity, so the caller repeats it or accepts the shorter session.
 * lag_ms 0 reports everything not folded (at shutdown).
 * @return true when the slice reached the end of the table (the next call begins anew)
 */
bool coat_table_fold(coat_table_writer *writer, uint32_t slots, int64_t lag_ms, int64_t now_ms,
                     coat_table_fold_fn report, void *ctx);

/**
 * A process that may write the activity file can cut it off; whoever touches it then gets
 * SIGBUS. Called by a handler of that signal with the address of the fault, this gives the file
 * its length back, so that the access can be made again. Activity that was not folded in is
 * lost: sessions end up to the lag early, never late (LC-4). Async-signal-safe.
 * @return false  not in the activity file, or it cannot be mended: the fault is what it was
 */
bool coat_table_mend(coat_table_writer *writer, const void *at);
/** Mend without a fault; call each second. @return how often it was mended since last time */
uint32_t coat_table_look_after(coat_table_writer *writer);

/** What the next writer must name to take the table over; all zero: nothing will do. */
void coat_table_bind(coat_table_writer *writer, const uint8_t binding[16]);
/** New tag keys; tokens under other keys are refused by readers from now on. */
void coat_table_retag(coat_table_writer *writer, const coat_tag_keys *tags);
/** Readers whose clock is behind use this time instead; call each second. */
void coat_table_floor(coat_table_writer *writer, int64_t now_ms);

/* ---- shared mode: others change sessions too ---- */

/** The clock of leases, also of this machine's readers: CLOCK_MONOTONIC, a tick behind. */
int64_t coat_table_clock_ms(void);
/**
 * Readers trust the table until either time has come: effective time, and
 * coat_table_clock_ms(). 0: not at all.
 */
void coat_table_lease(coat_table_writer *writer, int64_t until_ms, int64_t until_mono_ms);
/**
 * A session was changed elsewhere: no reader finds it afterwards, and what was loaded before
 * is not filled in.
 * @return activity that is not folded in yet: the caller does it; 0: there is none
 */
int64_t coat_table_forget(coat_table_writer *writer, const coat_handle *handle) COAT_MUST_USE;
/** In any mode: all sessions of an owner, by one write; one of 1,024 of all others goes with
 * them. Activity stays and is folded in. */
void coat_table_forget_owner(coat_table_writer *writer, coat_owner owner);
/** All there are: reports were lost. */
void coat_table_forget_all(coat_table_writer *writer);

typedef struct coat_table_stats {
    uint64_t slots, used, filled, evicted, refused, cleared;
    uint64_t arena_bytes, arena_used;
    uint64_t bytes; /* of both files */
} coat_table_stats;
void coat_table_stats_get(coat_table_writer *writer, coat_table_stats *out);

#endif
