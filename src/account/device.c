/* SPDX-License-Identifier: Apache-2.0 */
#include "account/device.h"

#include "core/bytes.h"
#include <sodium.h>

enum { DEVICE_FORMAT = 1, DEVICE_HEAD = 9, DEVICE_MAC = 16 };

_Static_assert(DEVICE_HEAD + DEVICE_MAC == COAT_DEVICE_BYTES, "device value");
_Static_assert((COAT_DEVICE_BYTES * 8 + 5) / 6 == COAT_DEVICE_CHARS, "device value");

static void
device_mac(const uint8_t key[32], const uint8_t head[DEVICE_HEAD], const coat_handle *account,
           int64_t password_ms, uint8_t mac[DEVICE_MAC])
{
    uint8_t input[DEVICE_HEAD + sizeof account->bytes + 8];

    memcpy(input, head, DEVICE_HEAD);
    memcpy(input + DEVICE_HEAD, account->bytes, sizeof account->bytes);
    coat_store64(input + DEVICE_HEAD + sizeof account->bytes, (uint64_t)password_ms);
    (void)crypto_generichash(mac, DEVICE_MAC, input, sizeof input, key, 32);
}

void
coat_device_make(const coat_policy *policy, const coat_handle *account, int64_t password_ms,
                 int64_t now_ms, char text[COAT_DEVICE_CHARS])
{
    uint8_t raw[COAT_DEVICE_BYTES] = {DEVICE_FORMAT};

    coat_store64be(raw + 1, (uint64_t)now_ms);
    device_mac(policy->keys->device[0], raw, account, password_ms, raw + DEVICE_HEAD);
    coat_b64url_encode(raw, sizeof raw, text);
}

bool
coat_device_known(const coat_policy *policy, const coat_handle *account, int64_t password_ms,
                  int64_t now_ms, coat_span text)
{
    uint8_t raw[COAT_DEVICE_BYTES], mac[DEVICE_MAC];
    int64_t issued;
    bool match = false;

    if (text.len != COAT_DEVICE_CHARS || coat_b64url_decode(text, raw, sizeof raw) != COAT_OK ||
        raw[0] != DEVICE_FORMAT)
        return false;
    for (uint32_t i = 0; i < policy->keys->device_count; i++) {
        device_mac(policy->keys->device[i], raw, account, password_ms, mac);
        match |= sodium_memcmp(mac, raw + DEVICE_HEAD, sizeof mac) == 0;
    }
    issued = (int64_t)coat_load64be(raw + 1);
    /* The MAC vouches for `issued`: no overflow to fear once it matches. */
    return match && now_ms - issued <= COAT_DEVICE_MS;
}
