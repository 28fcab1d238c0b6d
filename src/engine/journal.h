/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_ENGINE_JOURNAL_H
#define COAT_ENGINE_JOURNAL_H

/**
 * What has ended in the last two minutes, by this instance or as others reported it (RV-5). A
 * store may return to an older state: a replica that was behind is promoted, a snapshot is
 * restored. What it then shows as live is denied here all the same, and is ended there again.
 *
 * Epochs of owners are kept here likewise; the global one is the engine's for good.
 *
 * Threads: any; a mutex inside.
 */

#include <coatcheck/record.h>
#include <pthread.h>
#include <stdatomic.h>

enum {
    COAT_JOURNAL_MS = 120000,
    COAT_JOURNAL_MAX = 1 << 18, /* then the oldest give way */
    COAT_JOURNAL_BUCKETS = 1 << 14,
};

typedef struct coat_journal_item {
    bool of_owner; /* all sessions of an owner; else one session */
    bool has_spare;
    bool own;           /* ended by this instance: it replays */
    bool due;           /* to be replayed */
    coat_handle handle; /* of an owner: that, then zeros */
    coat_handle spare;
    uint64_t epoch; /* of the owner */
    int64_t until_ms;
    struct coat_journal_item *chain, *older, *newer, *due_before, *due_after;
} coat_journal_item;

typedef struct coat_journal {
    pthread_mutex_t mutex;
    coat_journal_item **buckets; /* NULL until something is noted */
    coat_journal_item *oldest, *newest;
    coat_journal_item *due_first, *due_last;
    uint32_t items;
    _Atomic uint32_t count; /* items, to be looked at without the mutex */
} coat_journal;

coat_err coat_journal_init(coat_journal *journal);
void coat_journal_fini(coat_journal *journal);

void coat_journal_end(coat_journal *journal, const coat_handle *handle, bool own,
                      int64_t mono_ms);
void coat_journal_end_owner(coat_journal *journal, coat_owner owner, uint64_t epoch,
                            const coat_handle *spare, bool own, int64_t mono_ms);

/**
 * Is what the store has loaded known to have ended? Then the store has lost that, and it is
 * due to be told again.
 */
bool coat_journal_denies(coat_journal *journal, const coat_handle *handle,
                         const coat_record *record, int64_t mono_ms);
/** Is the store's epoch of this owner lower than one that is known? Likewise. */
bool coat_journal_older(coat_journal *journal, coat_owner owner, uint64_t epoch,
                        int64_t mono_ms);

/** The store may have lost something: everything that this instance has ended is due. */
void coat_journal_doubt(coat_journal *journal, int64_t mono_ms);
bool coat_journal_is_due(coat_journal *journal);
/** Take something that is due. */
bool coat_journal_next(coat_journal *journal, coat_journal_item *out);
/** It did not come through: it is due again. */
void coat_journal_again(coat_journal *journal, const coat_journal_item *item);

#endif
