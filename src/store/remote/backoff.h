/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_STORE_REMOTE_BACKOFF_H
#define COAT_STORE_REMOTE_BACKOFF_H

/** When to try again, and whether to try at all. Pure: time and randomness are arguments. */

#include <stdbool.h>
#include <stdint.h>

enum {
    REMOTE_BACKOFF_LEAST_MS = 50,
    /* A server that restarts loses all its clients at once. The first attempts are spread over
     * this, so that of 1,000 connections at most 200 come within any 50 ms (SF-11). */
    REMOTE_BACKOFF_FIRST_MS = 600,
    REMOTE_BACKOFF_MOST_MS = 5000,
    REMOTE_BREAKER_FAILURES = 5,
    REMOTE_PROBE_LEAST_MS = 1000,
    REMOTE_PROBE_SPREAD_MS = 250,
};

typedef struct remote_backoff {
    uint32_t failures; /* since the last success */
} remote_backoff;

/** Note a failure. @return how long to wait: from 50 ms up to a bound that doubles, to 5 s */
int64_t remote_backoff_next(remote_backoff *backoff, uint32_t random);

/**
 * The circuit breaker of a store, shared by its lanes (SF-2). Closed, until as many failures
 * follow one another; then nothing is tried but one probe a second. The caller locks.
 */
typedef struct remote_breaker {
    uint32_t failures; /* since the last success */
    bool open;
    int64_t probe_ms;  /* open: when the next probe may go */
    uint64_t closings; /* how often it has closed: tells lanes that the store is back */
} remote_breaker;

void remote_breaker_good(remote_breaker *breaker);
void remote_breaker_bad(remote_breaker *breaker, int64_t now_ms, uint32_t random);
/** May something be tried now? If it is open, the caller that hears yes is the probe. */
bool remote_breaker_admits(remote_breaker *breaker, int64_t now_ms, uint32_t random);

#endif
