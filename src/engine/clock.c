/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/clock.h"

#include <time.h>

enum { AGREE_MS = 1000 };

/** CLOCK_BOOTTIME: goes on while the machine sleeps, or waking up would read as a jump. */
static int64_t
boot_ms(void *ctx)
{
    struct timespec now;

    (void)ctx;
    if (clock_gettime(CLOCK_BOOTTIME, &now) != 0)
        return 0;
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/**
 * Both clocks at one moment. A thread that is stopped for long between the two readings would
 * find the wall clock ahead by so much, and that is kept: so they are read again. Less than
 * that is harmless, since what counts is the monotonic clock behind the wall clock.
 */
static void
read_both(coat_clock *clock, int64_t *wall_ms, int64_t *mono_ms)
{
    enum { TRIES = 4 };
    int64_t before_ms;

    for (int i = 0; i < TRIES; i++) {
        before_ms = clock->monotonic(clock->monotonic_ctx);
        *wall_ms = clock->wall(clock->wall_ctx);
        *mono_ms = clock->monotonic(clock->monotonic_ctx);
        if (*mono_ms - before_ms <= AGREE_MS)
            return;
    }
}

coat_err
coat_clock_init(coat_clock *clock, coat_clock_fn wall, void *wall_ctx, coat_clock_fn monotonic,
                void *monotonic_ctx)
{
    int64_t wall_ms, mono_ms;

    if (pthread_mutex_init(&clock->mutex, NULL) != 0)
        return COAT_NO_MEMORY;
    clock->wall = wall != NULL ? wall : coat_clock_system;
    clock->wall_ctx = wall_ctx;
    clock->monotonic = monotonic != NULL ? monotonic : boot_ms;
    clock->monotonic_ctx = monotonic_ctx;
    read_both(clock, &wall_ms, &mono_ms);
    coat_timekeeper_init(&clock->keeper, wall_ms, mono_ms, 0);
    atomic_init(&clock->offset_ms, clock->keeper.lead_ms);
    atomic_init(&clock->lead_ms, clock->keeper.last_lead_ms);
    atomic_init(&clock->jump_ms, 0);
    return COAT_OK;
}

void
coat_clock_fini(coat_clock *clock)
{
    pthread_mutex_destroy(&clock->mutex);
}

static coat_time
step(coat_clock *clock)
{
    int64_t wall_ms, mono_ms;
    coat_time time;

    /* Both clocks are read under the lock: steps in another order than readings would look
     * like jumps. */
    pthread_mutex_lock(&clock->mutex);
    read_both(clock, &wall_ms, &mono_ms);
    time = coat_timekeeper_step(&clock->keeper, wall_ms, mono_ms);
    atomic_store(&clock->offset_ms, clock->keeper.lead_ms);
    atomic_store(&clock->lead_ms, clock->keeper.last_lead_ms);
    if (time.jump_ms != 0)
        atomic_store(&clock->jump_ms, time.jump_ms);
    pthread_mutex_unlock(&clock->mutex);
    return time;
}

int64_t
coat_clock_now_ms(coat_clock *clock)
{
    int64_t mono_ms = clock->monotonic(clock->monotonic_ctx);
    int64_t lead_ms = clock->wall(clock->wall_ctx) - mono_ms;
    int64_t offset_ms = atomic_load(&clock->offset_ms);
    int64_t drift_ms = lead_ms - atomic_load(&clock->lead_ms);

    if (lead_ms <= offset_ms && drift_ms <= AGREE_MS && drift_ms >= -AGREE_MS)
        return mono_ms + offset_ms;
    return step(clock).now_ms;
}

int64_t
coat_clock_delete_ms(coat_clock *clock)
{
    return step(clock).delete_ms;
}

int64_t
coat_clock_jump_ms(coat_clock *clock)
{
    return atomic_load(&clock->jump_ms) != 0 ? atomic_exchange(&clock->jump_ms, 0) : 0;
}
