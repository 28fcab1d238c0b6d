/* SPDX-License-Identifier: Apache-2.0 */
#include "core/bytes.h"
#include "core/keys.h"
#include "core/taint.h"

#include <assert.h>
#include <sodium.h>

enum { KEY_ID_BYTES = 4, MAC_BYTES = 16 };

static_assert(KEY_ID_BYTES + MAC_BYTES == COAT_SEAL_BYTES, "key id, MAC");

/**
 * BLAKE2b-128 over kind | address | payload | key id. Only the payload has a length of its own,
 * so no two inputs read as the same bytes. `bytes` is payload and key id as they are stored.
 */
static void
mac_of(const uint8_t *key, uint8_t kind, const uint8_t address[16], const uint8_t *bytes,
       size_t len, uint8_t mac[static MAC_BYTES])
{
    crypto_generichash_state state;

    (void)crypto_generichash_init(&state, key, COAT_KEY_BYTES, MAC_BYTES);
    (void)crypto_generichash_update(&state, &kind, 1);
    (void)crypto_generichash_update(&state, address, 16);
    (void)crypto_generichash_update(&state, bytes, len);
    (void)crypto_generichash_final(&state, mac, MAC_BYTES);
    sodium_memzero(&state, sizeof state);
}

void
coat_seal(const coat_keys *keys, uint8_t kind, const uint8_t address[16], uint8_t *buf,
          size_t payload_len)
{
    coat_store32(buf + payload_len, keys->set.live[0].id);
    mac_of(keys->live[0][COAT_KEY_SEAL], kind, address, buf, payload_len + KEY_ID_BYTES,
           buf + payload_len + KEY_ID_BYTES);
}

coat_err
coat_unseal(const coat_keys *keys, uint8_t kind, const uint8_t address[16], coat_span sealed,
            coat_span *payload)
{
    uint8_t mac[MAC_BYTES];
    size_t signed_len;
    uint32_t id;

    if (sealed.len < COAT_SEAL_BYTES)
        return COAT_TAMPERED;
    signed_len = sealed.len - MAC_BYTES;
    id = coat_load32(sealed.ptr + signed_len - KEY_ID_BYTES);
    for (uint32_t i = 0; i < keys->set.count; i++) {
        int differs;

        if (keys->set.live[i].id != id)
            continue;
        mac_of(keys->live[i][COAT_KEY_SEAL], kind, address, sealed.ptr, signed_len, mac);
        differs = crypto_verify_16(mac, sealed.ptr + signed_len);
        coat_reveal(&differs, sizeof differs);
        sodium_memzero(mac, sizeof mac); /* what a forged record would have needed */
        if (differs != 0)
            return COAT_TAMPERED;
        *payload = (coat_span){sealed.ptr, sealed.len - COAT_SEAL_BYTES};
        return COAT_OK;
    }
    return COAT_TAMPERED;
}
