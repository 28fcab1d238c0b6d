/* SPDX-License-Identifier: Apache-2.0 */
#include "core/bytes.h"
#include "core/keys.h"
#include "core/taint.h"

#include <assert.h>
#include <coatcheck/csrf.h>
#include <sodium.h>

enum {
    TIME_BYTES = 8,
    RANDOM_BYTES = 16,
    MAC_BYTES = 16,
    SIGNED_BYTES = TIME_BYTES + RANDOM_BYTES,
    SKEW_MS = 1000, /* another instance's clock may be ahead by this much */
};

static_assert(SIGNED_BYTES + MAC_BYTES == COAT_PRESESSION_BYTES, "time, random, MAC");

/** BLAKE2b of label | time | random; `label` has 16 bytes and keeps the purposes apart. */
static void
labelled(const uint8_t *key, const char label[static 16],
         const uint8_t raw[static SIGNED_BYTES], uint8_t *out, size_t len)
{
    uint8_t message[16 + SIGNED_BYTES];

    memcpy(message, label, 16);
    memcpy(message + 16, raw, SIGNED_BYTES);
    (void)crypto_generichash(out, len, message, sizeof message, key, COAT_KEY_BYTES);
    sodium_memzero(message, sizeof message);
}

coat_err
coat_presession_issue(const coat_keys *keys, int64_t now_ms, coat_rng_fn rng, void *rng_ctx,
                      char text[COAT_PRESESSION_CHARS])
{
    uint8_t raw[COAT_PRESESSION_BYTES];
    coat_err err = COAT_RNG_FAILED;

    coat_store64be(raw, (uint64_t)now_ms);
    if (rng(rng_ctx, raw + TIME_BYTES, RANDOM_BYTES) == COAT_OK) {
        labelled(keys->live[0][COAT_KEY_CSRF], "presession sign ", raw, raw + SIGNED_BYTES,
                 MAC_BYTES);
        coat_b64url_encode(raw, sizeof raw, text);
        err = COAT_OK;
    }
    sodium_memzero(raw, sizeof raw);
    return err;
}

static bool
alive(const uint8_t raw[static TIME_BYTES], int64_t now_ms)
{
    int64_t age;

    if (__builtin_sub_overflow(now_ms, (int64_t)coat_load64be(raw), &age))
        return false;
    return age >= -(int64_t)SKEW_MS && age < COAT_PRESESSION_LIFE_MS;
}

coat_err
coat_presession_bind(const coat_keys *keys, coat_span text, int64_t now_ms, coat_handle *handle,
                     uint8_t session_key[16])
{
    uint8_t raw[COAT_PRESESSION_BYTES], mac[MAC_BYTES], pair[COAT_HANDLE_BYTES + 16];
    coat_err err = COAT_DENIED;

    if (coat_b64url_decode(text, raw, sizeof raw) != COAT_OK)
        return COAT_DENIED;
    for (uint32_t i = 0; i < keys->set.count && err != COAT_OK; i++) {
        const uint8_t *key = keys->live[i][COAT_KEY_CSRF];
        int differs;

        labelled(key, "presession sign ", raw, mac, sizeof mac);
        differs = crypto_verify_16(mac, raw + SIGNED_BYTES);
        coat_reveal(&differs, sizeof differs);
        coat_reveal(raw, TIME_BYTES); /* when a form was fetched is no secret */
        if (differs != 0 || !alive(raw, now_ms))
            continue;
        /* Bound to the key that signed it, so that a key rotation in between costs no form. */
        labelled(key, "presession bind ", raw, pair, sizeof pair);
        memcpy(handle->bytes, pair, COAT_HANDLE_BYTES);
        memcpy(session_key, pair + COAT_HANDLE_BYTES, 16);
        err = COAT_OK;
    }
    sodium_memzero(raw, sizeof raw);
    sodium_memzero(mac, sizeof mac);
    sodium_memzero(pair, sizeof pair);
    return err;
}
