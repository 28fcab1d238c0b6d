/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_ENGINE_UNSETTLED_H
#define COAT_ENGINE_UNSETTLED_H

/**
 * Gates of the node table, and changes whose outcome is not known.
 *
 * A write that ran into its deadline may still take place. Until that is decided its gate stays
 * up, so that nothing is filled in that the late commit makes untrue. Housekeeping decides it:
 * once a later write has come through, earlier ones have happened or never will. A session that
 * was to be ended is denied here meanwhile, and its removal tried again (SF-4). So are all of
 * an owner's, and everybody's: those that were there when it was asked for, which their handles
 * tell, and no later ones. There is no epoch for them, since only the store gives those out.
 */

#include "table/writer.h"

#include <pthread.h>
#include <stdatomic.h>

typedef enum coat_end_of {
    COAT_END_OF_NOTHING = 0,
    COAT_END_OF_SESSION,
    COAT_END_OF_OWNER,
    COAT_END_OF_EVERYBODY,
} coat_end_of;

/** What was to be ended. */
typedef struct coat_end {
    coat_end_of of;
    bool has_spare;    /* OWNER: all but this one */
    coat_handle last;  /* the session; of more of them all whose serials are not above its */
    coat_handle spare; /* of the same owner */
} coat_end;

/** What one task has put up. */
typedef struct coat_changes {
    bool one, owner, all;
    coat_table_change change; /* if one */
    coat_owner whose;         /* if owner */
    coat_end end;             /* what it was to end and has not */
} coat_changes;

static inline coat_end
coat_end_of_session(const coat_handle *handle)
{
    return (coat_end){.of = COAT_END_OF_SESSION, .last = *handle};
}

/** The same but for how far it reaches. */
bool coat_end_is_same(const coat_end *a, const coat_end *b);

/** Of an owner's handles the last one that can have been minted by then. */
coat_handle coat_handle_last(coat_owner owner, int64_t now_ms);

void coat_gate_one(coat_table_writer *writer, coat_changes *c, const coat_handle *handle);
void coat_gate_owner(coat_table_writer *writer, coat_changes *c, coat_owner owner);
void coat_gate_all(coat_table_writer *writer, coat_changes *c);
/** @param entry  what to enter for the changed session, or NULL */
void coat_gate_lift(coat_table_writer *writer, coat_changes *c, const coat_table_entry *entry,
                    uint64_t epoch_global);

typedef struct coat_unsettled_item {
    coat_changes changes;
    uint64_t number; /* order of arrival */
    struct coat_unsettled_item *next;
    struct coat_unsettled_item *same; /* if it is to end something: in its bucket */
} coat_unsettled_item;

enum {
    COAT_UNSETTLED_MAX = 65536,
    COAT_UNSETTLED_BUCKETS = 4096, /* and one for everybody's */
    COAT_UNSETTLED_RESERVE = 256,  /* for ends, when there is no memory or room for more */
};

typedef struct coat_unsettled {
    pthread_mutex_t mutex;
    coat_unsettled_item *first;
    uint64_t number;
    atomic_uint count;
    coat_unsettled_item *unused; /* of the reserve */
    coat_unsettled_item reserve[COAT_UNSETTLED_RESERVE];
    /* Those that are to end something, by session, by owner, or all. Changed under the mutex;
     * that there is none in a bucket is seen without it, since every check looks. */
    _Atomic(coat_unsettled_item *) ending[COAT_UNSETTLED_BUCKETS + 1];
} coat_unsettled;

coat_err coat_unsettled_init(coat_unsettled *u);
void coat_unsettled_fini(coat_unsettled *u, coat_table_writer *writer, uint64_t epoch_global);

/** Take over gates. Without memory or over the limit they stay up: slow, never wrong. Ends have
 * a reserve, since whoever asked for one was told that it is pending. */
void coat_unsettled_add(coat_unsettled *u, const coat_changes *changes);
/** Is this session's end still to come through? It is denied meanwhile. */
bool coat_unsettled_ending(coat_unsettled *u, const coat_handle *handle);
/** Is this very end among them? Of more than one session it then reaches as far as this one. */
bool coat_unsettled_has(coat_unsettled *u, const coat_end *end);
/** It has come through, or the session is known to be gone; and with it what it includes. */
void coat_unsettled_ended(coat_unsettled *u, const coat_end *end);
/** One that has not come through, if there is one. */
bool coat_unsettled_next(coat_unsettled *u, uint32_t *from, coat_end *end);
/** It has not come through this time: let others of its bucket come first. */
void coat_unsettled_later(coat_unsettled *u, const coat_end *end);
/** Number of the last change so far, for coat_unsettled_settle(). 0: there are none. */
uint64_t coat_unsettled_mark(coat_unsettled *u);
/** A write submitted after the mark has come through: lift all gates up to it. */
void coat_unsettled_settle(coat_unsettled *u, coat_table_writer *writer, uint64_t mark,
                           uint64_t epoch_global);

#endif
