/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/skew.h"

/* Clocks of stores are sane to within this, so that no difference below overflows. */
#define STORE_CLOCK_MAX_MS ((int64_t)1 << 61)

bool
coat_skew_take(coat_skew *skew, int64_t limit_ms, int64_t store_ms, int64_t sent_ms,
               int64_t heard_ms)
{
    bool off;

    if (store_ms <= 0 || store_ms > STORE_CLOCK_MAX_MS)
        return false;
    /* It looked at its clock somewhere between the two: what is over the limit for both ends is
     * over it in any case. */
    off = limit_ms > 0 && (sent_ms - store_ms > limit_ms || store_ms - heard_ms > limit_ms);
    atomic_store(&skew->offset_ms, sent_ms + (heard_ms - sent_ms) / 2 - store_ms);
    atomic_store(&skew->known, true);
    return atomic_exchange(&skew->off, off) != off;
}
