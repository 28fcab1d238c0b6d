/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/count.h"

static unsigned
my_stripe(void)
{
    static atomic_uint next;
    static _Thread_local unsigned mine; /* 0: none yet */

    if (mine == 0)
        mine = atomic_fetch_add_explicit(&next, 1, memory_order_relaxed) % COAT_STRIPES + 1;
    return mine - 1;
}

void
coat_count_add(coat_counters *counters, coat_count which, uint64_t by)
{
    atomic_fetch_add_explicit(&counters->stripe[my_stripe()].n[which], by,
                              memory_order_relaxed);
}

uint64_t
coat_count_get(coat_counters *counters, coat_count which)
{
    uint64_t sum = 0;

    for (int i = 0; i < COAT_STRIPES; i++)
        sum += atomic_load_explicit(&counters->stripe[i].n[which], memory_order_relaxed);
    return sum;
}
