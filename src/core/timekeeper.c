/* SPDX-License-Identifier: Apache-2.0 */
#include "core/timekeeper.h"

/* Clocks are sane to within this, so that no sum below overflows: 70 million years. */
#define CLOCK_LIMIT_MS ((int64_t)1 << 61)

static int64_t
bounded(int64_t ms)
{
    return ms < 0 ? 0 : ms > CLOCK_LIMIT_MS ? CLOCK_LIMIT_MS : ms;
}

void
coat_timekeeper_init(coat_timekeeper *keeper, int64_t wall_ms, int64_t mono_ms,
                     int64_t floor_ms)
{
    wall_ms = bounded(wall_ms);
    mono_ms = bounded(mono_ms);
    floor_ms = bounded(floor_ms);
    *keeper = (coat_timekeeper){
        .now_ms = wall_ms > floor_ms ? wall_ms : floor_ms,
        .last_lead_ms = wall_ms - mono_ms,
    };
    keeper->lead_ms = keeper->now_ms - mono_ms;
}

coat_time
coat_timekeeper_step(coat_timekeeper *keeper, int64_t wall_ms, int64_t mono_ms)
{
    coat_time time = {0};
    int64_t lead, jump;

    wall_ms = bounded(wall_ms);
    mono_ms = bounded(mono_ms);
    lead = wall_ms - mono_ms;
    jump = lead - keeper->last_lead_ms;
    keeper->last_lead_ms = lead;
    if (jump > COAT_TIMEKEEPER_JUMP_MS || jump < -COAT_TIMEKEEPER_JUMP_MS)
        time.jump_ms = jump;
    if (jump > COAT_TIMEKEEPER_JUMP_MS) {
        keeper->suspended = true;
        keeper->suspended_ms = mono_ms + COAT_TIMEKEEPER_SUSPEND_MS;
    }
    if (keeper->suspended && mono_ms >= keeper->suspended_ms)
        keeper->suspended = false;

    if (lead > keeper->lead_ms)
        keeper->lead_ms = lead;
    if (mono_ms + keeper->lead_ms > keeper->now_ms)
        keeper->now_ms = mono_ms + keeper->lead_ms;
    time.now_ms = keeper->now_ms;

    /* Deletion believes the slower of both clocks: after a jump that was taken back, sessions
     * stay refused but are not lost. */
    time.delete_ms = keeper->now_ms < wall_ms ? keeper->now_ms : wall_ms;
    if (keeper->suspended)
        time.delete_ms = INT64_MIN;
    return time;
}
