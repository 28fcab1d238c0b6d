/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_ENGINE_CLOCK_H
#define COAT_ENGINE_CLOCK_H

/** Effective time (SF-10) for any thread: without a lock while the clocks agree. */

#include "core/timekeeper.h"

#include <coatcheck/base.h>
#include <pthread.h>
#include <stdatomic.h>

typedef struct coat_clock {
    coat_clock_fn wall, monotonic;
    void *wall_ctx, *monotonic_ctx;
    pthread_mutex_t mutex; /* keeper */
    coat_timekeeper keeper;
    _Atomic int64_t offset_ms; /* effective time is monotonic time plus this */
    _Atomic int64_t lead_ms;   /* wall over monotonic time when last looked at closely */
    _Atomic int64_t jump_ms;   /* last jump, until coat_clock_jump_ms() takes it */
} coat_clock;

/** @param wall, monotonic  NULL: the system's */
coat_err coat_clock_init(coat_clock *clock, coat_clock_fn wall, void *wall_ctx,
                         coat_clock_fn monotonic, void *monotonic_ctx);
void coat_clock_fini(coat_clock *clock);
int64_t coat_clock_now_ms(coat_clock *clock);
/** What has expired by this time may be deleted; INT64_MIN: nothing (SF-10). */
int64_t coat_clock_delete_ms(coat_clock *clock);
/** The jump since the last call, or 0. */
int64_t coat_clock_jump_ms(coat_clock *clock);

#endif
