/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_ENGINE_HOUSEKEEPING_H
#define COAT_ENGINE_HOUSEKEEPING_H

/** What the desk that ticks keeps between ticks. */

#include "engine/internal.h"

enum {
    COAT_FOLDS_AT_ONCE = 32,
    COAT_REPLAY_PAGE = 100, /* sessions listed at once, to be ended */
};

typedef struct coat_housekeeping {
    coat_late *queue; /* activity to be folded in, oldest first, a ring */
    uint32_t head, count, cap;
    uint32_t folding;     /* tasks under way */
    uint64_t slots;       /* of the table; 0: none */
    uint64_t slots_due;   /* to be looked at */
    int64_t last_tick_ms; /* effective time */
    uint32_t ticks;
    bool sweeping, replaying;           /* under way */
    bool sweep_on;                      /* the last slice erased something */
    uint32_t slices;                    /* of the sweep under way, finished */
    uint32_t replay_from;               /* bucket of sessions whose end has not come through */
    uint32_t replays_failed;            /* since the replay under way began */
    coat_end failed_first;              /* of these */
    coat_handle page[COAT_REPLAY_PAGE]; /* of everybody's sessions: to be ended next */
    uint32_t paged, page_next;
    coat_changes gate; /* of the one that is being ended */
    uint64_t mark;     /* unsettled changes before the sweep under way */
} coat_housekeeping;

/** @return NULL without memory */
coat_housekeeping *coat_housekeeping_of(coat_desk *desk);
/** Look at slots that are due, and start folding tasks. */
void coat_fold_work(coat_desk *desk, int64_t lag_ms);
/** End what was to be ended and has not (SF-4). */
void coat_replay_work(coat_desk *desk);

#endif
