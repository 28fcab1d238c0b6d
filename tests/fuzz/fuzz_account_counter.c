/* SPDX-License-Identifier: Apache-2.0 */

/* Counters of failed sign-ins, as a store gives them back: what does not carry our mark for
 * this address is no counter, and with it a counter of another account reads as none. The first
 * byte chooses whether the rest is taken as stored or is marked first. */

#include "account/throttle.h"
#include "core/bytes.h"
#include "fuzz_policy.h"

#include <string.h>

static const coat_handle address = {{1, 2, 3}}, elsewhere = {{1, 2, 4}};

/* Whatever a counter says, nobody waits longer than the rule, and without failures not at all.
 */
static void
check_wait(const coat_counter *counter)
{
    const int64_t times[] = {INT64_MIN, 0, counter->last_ms, INT64_MAX};

    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        int64_t left_ms = coat_throttle_left_ms(counter, times[i]);

        FUZZ_CHECK(left_ms >= 0 && left_ms <= coat_throttle_wait_ms(counter->failures));
    }
    FUZZ_CHECK(coat_throttle_wait_ms(counter->failures) <= COAT_WAIT_MAX_MS);
    FUZZ_CHECK(counter->failures >= COAT_WAIT_FROM ||
               coat_throttle_left_ms(counter, counter->last_ms) == 0);
}

static void
check_marked(const uint8_t *data, size_t size)
{
    uint8_t stored[2 * COAT_COUNTER_STORED], again[COAT_COUNTER_STORED];
    size_t len = size < 2 * COAT_COUNTER_BYTES ? size : 2 * COAT_COUNTER_BYTES;
    coat_span span = {stored, len + COAT_MARK_BYTES};
    coat_counter counter = {7, 7, 7};
    uint64_t whose = len >= COAT_COUNTER_BYTES ? coat_load64(data + 16) : 1;

    memcpy(stored, data, len);
    coat_policy_mark(policy, COAT_SPACE_META, &address, stored, len);
    FUZZ_CHECK(coat_counter_decode(policy, &elsewhere, span, whose, &counter) == COAT_TAMPERED);
    if (coat_counter_decode(policy, &address, span, whose, &counter) != COAT_OK) {
        FUZZ_CHECK(counter.failures == 7 && counter.last_ms == 7 && counter.whose == 7);
        return;
    }
    FUZZ_CHECK(counter.whose == whose);
    check_wait(&counter);
    coat_counter_encode(policy, &address, &counter, again);
    FUZZ_CHECK(len == COAT_COUNTER_BYTES && memcmp(stored, again, sizeof again) == 0);
    FUZZ_CHECK(coat_counter_decode(policy, &address, span, whose ^ 1, &counter) == COAT_OK &&
               counter.failures == 0 && counter.last_ms == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    coat_counter counter = {7, 7, 7};

    if (policy == NULL)
        set_up();
    if (size == 0)
        return 0;
    if (data[0] & 1) {
        check_marked(data + 1, size - 1);
    } else {
        FUZZ_CHECK(coat_counter_decode(policy, &address, (coat_span){data + 1, size - 1}, 1,
                                       &counter) == COAT_TAMPERED);
        FUZZ_CHECK(counter.failures == 7);
    }
    return 0;
}
