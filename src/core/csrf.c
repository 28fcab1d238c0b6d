/* SPDX-License-Identifier: Apache-2.0 */
#include "core/bytes.h"
#include "core/keys.h"
#include "core/taint.h"

#include <assert.h>
#include <coatcheck/csrf.h>
#include <sodium.h>

enum { PART = 16 }; /* mask, salt and MAC are of the same length */

static_assert(COAT_CSRF_BYTES == 3 * PART, "mask, salt, MAC");

static void
csrf_mac(const uint8_t *key, const coat_handle *handle, const uint8_t session_key[16],
         const uint8_t salt[static PART], uint8_t mac[static PART])
{
    uint8_t message[4 + 3 * PART] = "csrf"; /* the label; all parts have fixed lengths */

    memcpy(message + 4, session_key, PART);
    memcpy(message + 4 + PART, handle->bytes, PART);
    memcpy(message + 4 + 2 * PART, salt, PART);
    (void)crypto_generichash(mac, PART, message, sizeof message, key, COAT_KEY_BYTES);
    sodium_memzero(message, sizeof message);
}

static void
xor_part(uint8_t part[static PART], const uint8_t mask[static PART])
{
    for (size_t i = 0; i < PART; i++)
        part[i] ^= mask[i];
}

coat_err
coat_csrf_issue(const coat_keys *keys, const coat_handle *handle, const uint8_t session_key[16],
                coat_rng_fn rng, void *rng_ctx, char text[COAT_CSRF_CHARS])
{
    uint8_t raw[COAT_CSRF_BYTES];
    coat_err err = COAT_RNG_FAILED;

    if (rng(rng_ctx, raw, 2 * PART) != COAT_OK)
        goto out;
    csrf_mac(keys->live[0][COAT_KEY_CSRF], handle, session_key, raw + PART, raw + 2 * PART);
    /* A compressed response beside attacker's text tells nothing about a string that is
     * different each time (CS-3). */
    xor_part(raw + PART, raw);
    xor_part(raw + 2 * PART, raw);
    coat_b64url_encode(raw, sizeof raw, text);
    err = COAT_OK;
out:
    sodium_memzero(raw, sizeof raw);
    return err;
}

coat_err
coat_csrf_check(const coat_keys *keys, const coat_handle *handle, const uint8_t session_key[16],
                coat_span text)
{
    uint8_t raw[COAT_CSRF_BYTES], mac[PART];
    int fits = 0;

    if (coat_b64url_decode(text, raw, sizeof raw) != COAT_OK)
        return COAT_DENIED;
    xor_part(raw + PART, raw);
    xor_part(raw + 2 * PART, raw);
    for (uint32_t i = 0; i < keys->set.count; i++) {
        csrf_mac(keys->live[i][COAT_KEY_CSRF], handle, session_key, raw + PART, mac);
        fits |= crypto_verify_16(mac, raw + 2 * PART) + 1; /* from 0 or -1 */
    }
    sodium_memzero(raw, sizeof raw);
    sodium_memzero(mac, sizeof mac);
    coat_reveal(&fits, sizeof fits);
    return fits == 1 ? COAT_OK : COAT_DENIED;
}
