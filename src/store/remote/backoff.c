/* SPDX-License-Identifier: Apache-2.0 */
#include "store/remote/backoff.h"

int64_t
remote_backoff_next(remote_backoff *backoff, uint32_t random)
{
    int64_t most = REMOTE_BACKOFF_MOST_MS;

    if (backoff->failures < 4)
        most = (int64_t)REMOTE_BACKOFF_FIRST_MS << backoff->failures;
    if (backoff->failures < UINT32_MAX)
        backoff->failures++;
    return REMOTE_BACKOFF_LEAST_MS + random % (most - REMOTE_BACKOFF_LEAST_MS);
}

static int64_t
probe_after(int64_t now_ms, uint32_t random)
{
    return now_ms + REMOTE_PROBE_LEAST_MS + random % REMOTE_PROBE_SPREAD_MS;
}

void
remote_breaker_good(remote_breaker *breaker)
{
    breaker->failures = 0;
    if (breaker->open)
        breaker->closings++;
    breaker->open = false;
}

void
remote_breaker_bad(remote_breaker *breaker, int64_t now_ms, uint32_t random)
{
    if (breaker->failures < REMOTE_BREAKER_FAILURES)
        breaker->failures++;
    if (breaker->open || breaker->failures < REMOTE_BREAKER_FAILURES)
        return; /* a probe that fails late must not put off the next one */
    breaker->open = true;
    breaker->probe_ms = probe_after(now_ms, random);
}

bool
remote_breaker_admits(remote_breaker *breaker, int64_t now_ms, uint32_t random)
{
    if (!breaker->open)
        return true;
    if (now_ms < breaker->probe_ms)
        return false;
    breaker->probe_ms = probe_after(now_ms, random);
    return true;
}
