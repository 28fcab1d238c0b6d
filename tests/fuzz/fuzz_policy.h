/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_FUZZ_POLICY_H
#define COAT_FUZZ_POLICY_H

/** A policy of accounts with the same keys in every run. */

#include "account/policy.h"
#include "fuzz.h"

static coat_policy *policy;

static inline coat_err
fixed_rng(void *ctx, uint8_t *buf, size_t len)
{
    static uint8_t next;

    (void)ctx;
    for (size_t i = 0; i < len; i++)
        buf[i] = next++;
    return COAT_OK;
}

static inline void
set_up(void)
{
    coat_directory_conf conf;
    coat_keys *keys;

    coat_directory_conf_default(&conf);
    FUZZ_CHECK(coat_init() == COAT_OK);
    FUZZ_CHECK(coat_keys_generate(1, fixed_rng, NULL, &keys) == COAT_OK);
    conf.keys = keys;
    FUZZ_CHECK(coat_policy_new(&conf, &policy) == COAT_OK);
    coat_keys_free(keys);
}

#endif
