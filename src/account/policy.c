/* SPDX-License-Identifier: Apache-2.0 */
#include "account/policy.h"

#include "core/out.h"
#include <sodium.h>
#include <stdlib.h>

/* Labels and numbers of crypto_kdf; never reused for anything else. */
static const char kdf_account[crypto_kdf_CONTEXTBYTES + 1] = "coatacct";
static const char kdf_throttle[crypto_kdf_CONTEXTBYTES + 1] = "coatthro";
enum { KDF_ADDRESS = 1, KDF_MARK = 2, KDF_DECOY = 3, KDF_COUNTER = 1 };

static coat_err
keys_derive(const coat_directory_conf *conf, coat_policy_keys *out)
{
    const uint8_t *account = coat_keys_root(conf->keys, COAT_KEY_ACCOUNT);
    const uint8_t *throttle = coat_keys_root(conf->keys, COAT_KEY_THROTTLE);

    if (account == NULL || throttle == NULL)
        return COAT_INVALID;
    (void)crypto_kdf_derive_from_key(out->account, 32, KDF_ADDRESS, kdf_account, account);
    (void)crypto_kdf_derive_from_key(out->mark, 32, KDF_MARK, kdf_account, account);
    (void)crypto_kdf_derive_from_key(out->decoy, 32, KDF_DECOY, kdf_account, account);
    (void)crypto_kdf_derive_from_key(out->throttle, 32, KDF_COUNTER, kdf_throttle, throttle);
    for (uint32_t i = 0; i < COAT_KEYS_LIVE; i++) {
        const uint8_t *key = coat_keys_live(conf->keys, COAT_KEY_DEVICE, i);

        if (key == NULL)
            break;
        memcpy(out->device[i], key, 32);
        out->device_count = i + 1;
    }
    out->has_pepper = conf->pepper != NULL;
    if (conf->pepper != NULL)
        memcpy(out->pepper, conf->pepper, COAT_PEPPER_BYTES);
    return out->device_count > 0 ? COAT_OK : COAT_INVALID;
}

coat_err
coat_policy_new(const coat_directory_conf *conf, coat_policy **out)
{
    coat_policy *policy = calloc(1, sizeof *policy);
    coat_out service;
    coat_err err = COAT_NO_MEMORY;

    if (policy == NULL)
        return COAT_NO_MEMORY;
    atomic_init(&policy->refs, 1);
    policy->keys = sodium_malloc(sizeof *policy->keys);
    if (policy->keys == NULL)
        goto out;
    memset(policy->keys, 0, sizeof *policy->keys);
    err = keys_derive(conf, policy->keys);
    if (err != COAT_OK)
        goto out;
    (void)sodium_mprotect_readonly(policy->keys);
    policy->argon_kib = conf->argon_kib;
    policy->argon_passes = conf->argon_passes;
    policy->failures_known = conf->failures_known;
    policy->failures_unknown = conf->failures_unknown;
    service = coat_out_init(policy->service_name, sizeof policy->service_name);
    coat_out_str(&service, conf->service_name != NULL ? conf->service_name : "");
    (void)coat_out_end(&service);
    policy->rng = conf->rng != NULL ? conf->rng : coat_rng_system;
    policy->rng_ctx = conf->rng_ctx;
    policy->clock = conf->clock != NULL ? conf->clock : coat_clock_system;
    policy->clock_ctx = conf->clock_ctx;
    policy->events = conf->events;
    policy->events_ctx = conf->events_ctx;
    *out = policy;
    return COAT_OK;
out:
    coat_policy_drop(policy);
    return err;
}

void
coat_policy_drop(coat_policy *policy)
{
    if (policy == NULL ||
        atomic_fetch_sub_explicit(&policy->refs, 1, memory_order_acq_rel) != 1)
        return;
    sodium_free(policy->keys); /* wipes */
    free(policy);
}

coat_handle
coat_policy_address(const coat_policy *policy, coat_span name)
{
    coat_handle address;

    (void)crypto_generichash(address.bytes, sizeof address.bytes, name.ptr, name.len,
                             policy->keys->account, 32);
    return address;
}

void
coat_policy_decoy_salt(const coat_policy *policy, const coat_handle *account,
                       uint8_t salt[COAT_SALT_BYTES])
{
    (void)crypto_generichash(salt, COAT_SALT_BYTES, account->bytes, sizeof account->bytes,
                             policy->keys->decoy, 32);
}

static void
mark_compute(const coat_policy *policy, coat_space space, const coat_handle *address,
             coat_span payload, uint8_t mark[COAT_MARK_BYTES])
{
    crypto_generichash_state state;
    uint8_t kind = (uint8_t)space;

    (void)crypto_generichash_init(&state, policy->keys->mark, 32, COAT_MARK_BYTES);
    (void)crypto_generichash_update(&state, &kind, 1);
    (void)crypto_generichash_update(&state, address->bytes, sizeof address->bytes);
    (void)crypto_generichash_update(&state, payload.ptr, payload.len);
    (void)crypto_generichash_final(&state, mark, COAT_MARK_BYTES);
}

void
coat_policy_mark(const coat_policy *policy, coat_space space, const coat_handle *address,
                 uint8_t *buf, size_t payload_len)
{
    mark_compute(policy, space, address, (coat_span){buf, payload_len}, buf + payload_len);
}

coat_err
coat_policy_unmark(const coat_policy *policy, coat_space space, const coat_handle *address,
                   coat_span marked, coat_span *payload)
{
    uint8_t mark[COAT_MARK_BYTES];
    coat_span body;

    if (marked.len < COAT_MARK_BYTES)
        return COAT_TAMPERED;
    body = (coat_span){marked.ptr, marked.len - COAT_MARK_BYTES};
    mark_compute(policy, space, address, body, mark);
    if (sodium_memcmp(mark, body.ptr + body.len, COAT_MARK_BYTES) != 0)
        return COAT_TAMPERED;
    *payload = body;
    return COAT_OK;
}
