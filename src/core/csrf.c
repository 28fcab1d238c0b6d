/* SPDX-License-Identifier: Apache-2.0 */
#include "core/bytes.h"
#include "core/keys.h"
#include "core/taint.h"

#include <assert.h>
#include <coatcheck/csrf.h>
#include <sodium.h>

enum { PART = 16 }; /* salt and MACs are of the same length */

static_assert(COAT_CSRF_BYTES == 3 * PART, "salt, MAC of the session, MAC of the handle");

static void
session_mac(const uint8_t *key, const coat_handle *handle, const uint8_t session_key[16],
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
handle_mac(const uint8_t *key, const coat_handle *handle, const uint8_t salt[static PART],
           uint8_t mac[static PART])
{
    uint8_t message[4 + 2 * PART] = "hand";

    memcpy(message + 4, handle->bytes, PART);
    memcpy(message + 4 + PART, salt, PART);
    (void)crypto_generichash(mac, PART, message, sizeof message, key, COAT_KEY_BYTES);
}

coat_err
coat_csrf_issue(const coat_keys *keys, const coat_handle *handle, const uint8_t session_key[16],
                coat_rng_fn rng, void *rng_ctx, char text[COAT_CSRF_CHARS])
{
    const uint8_t *key = keys->live[0][COAT_KEY_CSRF];
    uint8_t raw[COAT_CSRF_BYTES];
    coat_err err = COAT_RNG_FAILED;

    if (rng(rng_ctx, raw, PART) != COAT_OK)
        goto out;
    session_mac(key, handle, session_key, raw, raw + PART);
    handle_mac(key, handle, raw, raw + 2 * PART);
    coat_b64url_encode(raw, sizeof raw, text);
    err = COAT_OK;
out:
    sodium_memzero(raw, sizeof raw);
    return err;
}

/** @param session_key  NULL: it is not known */
static coat_err
check(const coat_keys *keys, const coat_handle *handle, const uint8_t *session_key,
      coat_span text)
{
    uint8_t raw[COAT_CSRF_BYTES], macs[2 * PART];
    int fits = 0;

    if (coat_b64url_decode(text, raw, sizeof raw) != COAT_OK)
        return COAT_DENIED;
    memcpy(macs, raw + PART, PART);
    for (uint32_t i = 0; i < keys->set.count; i++) {
        const uint8_t *key = keys->live[i][COAT_KEY_CSRF];

        if (session_key != NULL)
            session_mac(key, handle, session_key, raw, macs);
        handle_mac(key, handle, raw, macs + PART);
        fits |= crypto_verify_32(macs, raw + PART) + 1; /* from 0 or -1 */
    }
    sodium_memzero(raw, sizeof raw);
    sodium_memzero(macs, sizeof macs);
    coat_reveal(&fits, sizeof fits);
    return fits == 1 ? COAT_OK : COAT_DENIED;
}

coat_err
coat_csrf_check(const coat_keys *keys, const coat_handle *handle, const uint8_t session_key[16],
                coat_span text)
{
    return check(keys, handle, session_key, text);
}

coat_err
coat_csrf_check_handle(const coat_keys *keys, const coat_handle *handle, coat_span text)
{
    return check(keys, handle, NULL, text);
}
