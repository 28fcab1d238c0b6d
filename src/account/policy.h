/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_ACCOUNT_POLICY_H
#define COAT_ACCOUNT_POLICY_H

/**
 * What a directory decides by, as one immutable snapshot: parameters, limits and its own copy
 * of the keys it needs. A call works with the snapshot it began with, also across a reload.
 */

#include "account/hash.h"
#include "account/text.h"
#include <stdatomic.h>

#define COAT_MARK_BYTES 16 /* MAC at the end of account records and counters */

/**
 * Derived from the root keys, which never change: an account or a locked counter must stay
 * readable however often the live keys have rotated since it was written. In locked memory.
 */
typedef struct coat_policy_keys {
    uint8_t account[32];  /* name -> address */
    uint8_t throttle[32]; /* address -> counters */
    uint8_t mark[32];     /* MAC of records and counters */
    uint8_t decoy[32];    /* salts of accounts that do not exist */
    uint8_t device[COAT_KEYS_LIVE][32];
    uint32_t device_count;
    bool has_pepper;
    uint8_t pepper[COAT_PEPPER_BYTES];
} coat_policy_keys;

typedef struct coat_policy {
    atomic_uint refs;
    coat_policy_keys *keys;
    uint32_t argon_kib, argon_passes;
    uint32_t failures_known, failures_unknown;
    char service_name[COAT_NAME_MAX + 1];
    coat_rng_fn rng;
    void *rng_ctx;
    coat_clock_fn clock;
    void *clock_ctx;
    coat_event_fn events;
    void *events_ctx;
} coat_policy;

coat_err coat_policy_new(const coat_directory_conf *conf, coat_policy **out) COAT_MUST_USE;
void coat_policy_drop(coat_policy *policy);

static inline coat_policy *
coat_policy_keep(coat_policy *policy)
{
    atomic_fetch_add_explicit(&policy->refs, 1, memory_order_relaxed);
    return policy;
}

static inline coat_hash_params
coat_policy_params(const coat_policy *policy)
{
    return (coat_hash_params){policy->argon_kib, policy->argon_passes,
                              policy->keys->has_pepper ? policy->keys->pepper : NULL};
}

static inline int64_t
coat_policy_now_ms(const coat_policy *policy)
{
    return policy->clock(policy->clock_ctx);
}

/** Where an account lies: keyed hash of its name. */
coat_handle coat_policy_address(const coat_policy *policy, coat_span name);
/** Salt for a hash that is computed only because it takes time. */
void coat_policy_decoy_salt(const coat_policy *policy, const coat_handle *account,
                            uint8_t salt[COAT_SALT_BYTES]);

/** Append the MAC that binds payload to its space and address; buf has room for it. */
void coat_policy_mark(const coat_policy *policy, coat_space space, const coat_handle *address,
                      uint8_t *buf, size_t payload_len);
/** @retval COAT_TAMPERED */
coat_err coat_policy_unmark(const coat_policy *policy, coat_space space,
                            const coat_handle *address, coat_span marked,
                            coat_span *payload) COAT_MUST_USE;

#endif
