/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_TESTS_TEST_CLOCK_H
#define COAT_TESTS_TEST_CLOCK_H

/** A clock for stores: the machine's, set ahead by ahead_ms, or frozen, so that nothing is late
 * however busy the machine is. */

#include "loopback.h"

#include <stdatomic.h>
#include <stdbool.h>

static _Atomic int64_t ahead_ms, frozen_ms;

static inline int64_t
test_monotonic(void *ctx)
{
    int64_t frozen = atomic_load(&frozen_ms);

    (void)ctx;
    return (frozen != 0 ? frozen : real_ms()) + atomic_load(&ahead_ms);
}

/** Where only answers count: a connection that a busy machine makes slowly is not given up, and
 * so no breaker opens. */
static inline int64_t
slow_monotonic(void *ctx)
{
    (void)ctx;
    return real_ms() / 20;
}

static inline void
freeze(bool frozen)
{
    atomic_store(&frozen_ms, frozen ? real_ms() : 0);
}

#endif
