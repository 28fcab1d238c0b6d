/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_CORE_TIMEKEEPER_H
#define COAT_CORE_TIMEKEEPER_H

/**
 * Effective time (SF-10): a wall clock that an administrator or NTP cannot turn back.
 *
 * It follows the monotonic clock and the largest lead that the wall clock ever had over it. So
 * it never runs backward, a backward step of the wall clock lengthens no session at all, and a
 * forward step is followed at once: deny first. What a forward step of over 5 minutes claims to
 * be expired is refused but not deleted for 15 minutes, in case the clock was wrong.
 *
 * Pure state; the caller locks. Monotonic time must go on while the machine sleeps
 * (CLOCK_BOOTTIME), or waking up reads as a jump.
 */

#include <coatcheck/base.h>

enum {
    COAT_TIMEKEEPER_JUMP_MS = 5 * 60 * 1000,
    COAT_TIMEKEEPER_SUSPEND_MS = 15 * 60 * 1000,
};

typedef struct coat_timekeeper {
    int64_t now_ms;       /* last answer */
    int64_t lead_ms;      /* largest wall - mono so far */
    int64_t last_lead_ms; /* wall - mono of the last step, to notice jumps */
    int64_t suspended_ms; /* monotonic time until which nothing is deleted */
    bool suspended;
} coat_timekeeper;

typedef struct coat_time {
    int64_t now_ms;    /* effective time: what decides about access */
    int64_t delete_ms; /* what expired by this time may be deleted; INT64_MIN: nothing */
    int64_t jump_ms;   /* not 0: the wall clock just jumped by this, over 5 min: report it */
} coat_time;

/** @param floor_ms  a time that is known to have been reached before; 0 if none */
void coat_timekeeper_init(coat_timekeeper *keeper, int64_t wall_ms, int64_t mono_ms,
                          int64_t floor_ms);
coat_time coat_timekeeper_step(coat_timekeeper *keeper, int64_t wall_ms, int64_t mono_ms);

#endif
