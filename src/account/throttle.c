/* SPDX-License-Identifier: Apache-2.0 */
#include "account/throttle.h"

#include "core/bytes.h"
#include <sodium.h>

enum { COUNTER_FORMAT = 1 };

int64_t
coat_throttle_wait_ms(uint32_t failures)
{
    uint32_t doublings;

    if (failures < COAT_WAIT_FROM)
        return 0;
    doublings = failures - COAT_WAIT_FROM;
    return doublings >= 10 ? COAT_WAIT_MAX_MS : (int64_t)1000 << doublings;
}

int64_t
coat_throttle_left_ms(const coat_counter *counter, int64_t now_ms)
{
    int64_t wait = coat_throttle_wait_ms(counter->failures), past_ms;

    /* A clock that was set back must not make it longer than the rule says. */
    if (now_ms < counter->last_ms)
        return wait;
    /* Total, whatever time a store says. */
    if (__builtin_sub_overflow(now_ms, counter->last_ms, &past_ms) || past_ms >= wait)
        return 0;
    return wait - past_ms;
}

uint64_t
coat_throttle_whose(const coat_handle *account)
{
    return coat_load64(account->bytes + 8);
}

coat_handle
coat_throttle_address(const coat_policy *policy, const coat_handle *account,
                      coat_client_class client, bool decoy)
{
    uint8_t input[2 + sizeof account->bytes] = {(uint8_t)client, decoy};
    coat_handle address;

    if (decoy)
        coat_store16(input + 2, coat_load16(account->bytes) % COAT_DECOY_PLACES);
    else
        memcpy(input + 2, account->bytes, sizeof account->bytes);
    (void)crypto_generichash(address.bytes, sizeof address.bytes, input, sizeof input,
                             policy->keys->throttle, 32);
    return address;
}

/* format u8 | 0 x 3 | failures u32 | last i64 | whose u64 */
void
coat_counter_encode(const coat_policy *policy, const coat_handle *address,
                    const coat_counter *counter, uint8_t buf[COAT_COUNTER_STORED])
{
    coat_store32(buf, COUNTER_FORMAT);
    coat_store32(buf + 4, counter->failures);
    coat_store64(buf + 8, (uint64_t)counter->last_ms);
    coat_store64(buf + 16, counter->whose);
    coat_policy_mark(policy, COAT_SPACE_META, address, buf, COAT_COUNTER_BYTES);
}

coat_err
coat_counter_decode(const coat_policy *policy, const coat_handle *address, coat_span stored,
                    uint64_t whose, coat_counter *out)
{
    coat_span payload;
    coat_err err = coat_policy_unmark(policy, COAT_SPACE_META, address, stored, &payload);

    if (err != COAT_OK)
        return err;
    if (payload.len != COAT_COUNTER_BYTES || coat_load32(payload.ptr) != COUNTER_FORMAT)
        return COAT_NEWER_FORMAT;
    *out = (coat_counter){0, 0, whose};
    if (coat_load64(payload.ptr + 16) == whose) {
        out->failures = coat_load32(payload.ptr + 4);
        out->last_ms = (int64_t)coat_load64(payload.ptr + 8);
    }
    return COAT_OK;
}
