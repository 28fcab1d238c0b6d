/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/lease.h"

#include <string.h>

static void
begin_turn(coat_lease *lease, bool ready)
{
    lease->ready = ready;
    lease->settled = false;
    lease->turn++;
    memset(lease->beats, 0, sizeof lease->beats);
    lease->until_mono_ms = 0;
    lease->unheard_ms = 0;
}

void
coat_lease_ready(coat_lease *lease)
{
    begin_turn(lease, true);
}

void
coat_lease_lost(coat_lease *lease)
{
    begin_turn(lease, false);
}

uint64_t
coat_lease_beat(coat_lease *lease, int64_t mono_ms, int64_t wall_ms)
{
    coat_beat *beat = &lease->beats[(lease->number + 1) % COAT_LEASE_BEATS];

    if (!lease->ready || !lease->settled)
        return 0;
    /* One that is too old to be worth anything gives way. */
    if (beat->number != 0 && mono_ms - beat->mono_ms < COAT_LEASE_GIVEN_MS)
        return 0;
    *beat = (coat_beat){++lease->number, mono_ms, wall_ms};
    return lease->number;
}

void
coat_lease_said(coat_lease *lease, uint64_t number, int64_t mono_ms)
{
    if (lease->beats[number % COAT_LEASE_BEATS].number == number && lease->unheard_ms == 0)
        lease->unheard_ms = mono_ms;
}

bool
coat_lease_heard(coat_lease *lease, uint64_t turn, uint64_t number, int64_t *until_ms,
                 int64_t *until_mono_ms)
{
    coat_beat *beat = &lease->beats[number % COAT_LEASE_BEATS];

    if (!lease->ready || turn != lease->turn || number == 0 || beat->number != number)
        return false;
    lease->unheard_ms = 0;
    beat->number = 0;
    if (beat->mono_ms + COAT_LEASE_GIVEN_MS <= lease->until_mono_ms)
        return false;
    lease->until_mono_ms = beat->mono_ms + COAT_LEASE_GIVEN_MS;
    *until_mono_ms = lease->until_mono_ms;
    *until_ms = beat->wall_ms + COAT_LEASE_GIVEN_MS;
    return true;
}

bool
coat_lease_silent(const coat_lease *lease, int64_t mono_ms)
{
    return lease->ready && lease->unheard_ms != 0 &&
           mono_ms - lease->unheard_ms > COAT_LEASE_SILENT_MS;
}
