/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_ENGINE_LEASE_H
#define COAT_ENGINE_LEASE_H

/**
 * How long the node table may be trusted. Pure: times are arguments.
 *
 * A beat is a message to oneself. When it comes back, every change that had taken place before
 * it was said has been heard, so what the table holds was true when it was said: it is trusted
 * for the length of a lease from then, not from when it came back. A process that was stopped
 * in between, or a message that was held up, so gains nothing.
 *
 * A beat of before the last LOST proves nothing: it bears the number of its turn.
 */

#include <stdbool.h>
#include <stdint.h>

enum {
    COAT_LEASE_MS = 1000, /* what others reckon with */
    /* What is given: readers' clocks are behind by up to a tick of the kernel (10 ms). */
    COAT_LEASE_GIVEN_MS = COAT_LEASE_MS - 20,
    COAT_LEASE_SILENT_MS = 2000, /* so long unheard: the channel is tried anew */
    COAT_LEASE_BEATS = 8,        /* under way at once */
};

typedef struct coat_beat {
    uint64_t number;          /* 0: none */
    int64_t mono_ms, wall_ms; /* before it was said */
} coat_beat;

typedef struct coat_lease {
    bool ready;    /* between READY and LOST */
    bool settled;  /* the store's epochs were read since */
    uint64_t turn; /* of READY and LOST */
    uint64_t number;
    coat_beat beats[COAT_LEASE_BEATS];
    int64_t until_mono_ms; /* 0: no lease */
    int64_t unheard_ms;    /* since when beats were said and not heard; 0: not so */
} coat_lease;

void coat_lease_ready(coat_lease *lease);
void coat_lease_lost(coat_lease *lease);
/** A beat is about to be said. @return its number, 0: too many are under way, or not ready */
uint64_t coat_lease_beat(coat_lease *lease, int64_t mono_ms, int64_t wall_ms);
/** The store has taken a beat; perhaps it was heard already. */
void coat_lease_said(coat_lease *lease, uint64_t number, int64_t mono_ms);
/**
 * A beat has come back.
 * @return true if the lease is longer by it: then until when by both clocks
 */
bool coat_lease_heard(coat_lease *lease, uint64_t turn, uint64_t number, int64_t *until_ms,
                      int64_t *until_mono_ms);
/** The store takes beats and none comes back. */
bool coat_lease_silent(const coat_lease *lease, int64_t mono_ms);

#endif
