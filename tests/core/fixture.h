/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_TEST_CORE_FIXTURE_H
#define COAT_TEST_CORE_FIXTURE_H

/** Keys, tokens and records that the tests of core start from. */

#include "coat_test.h"

#include <coatcheck/judge.h>
#include <coatcheck/keys.h>
#include <string.h>

#define FIXTURE_NOW 1700000000000

#define FIXTURE_ROOT "1111111111111111111111111111111111111111111111111111111111111111"
#define FIXTURE_OLD "2222222222222222222222222222222222222222222222222222222222222222"
#define FIXTURE_NEW "3333333333333333333333333333333333333333333333333333333333333333"
#define FIXTURE_KEYS                                                                           \
    "coatcheck-keys 1\nroot " FIXTURE_ROOT "\nkey 7 1600000000000 " FIXTURE_OLD                \
    "\nkey 8 1650000000000 " FIXTURE_NEW "\n"

static inline coat_span
fixture_text(const char *s, size_t len)
{
    return (coat_span){(const uint8_t *)s, len};
}

/** Two live keys, 8 and 7; free them. */
static inline coat_keys *
fixture_keys(void)
{
    coat_keys *keys = NULL;

    REQUIRE_OK(coat_init());
    REQUIRE_OK(coat_keys_parse(COAT_LIT(FIXTURE_KEYS), &keys, NULL));
    return keys;
}

static inline coat_token
fixture_token(test_rng *rng, const coat_tag_keys *keys)
{
    coat_owner owner;
    coat_token token;

    REQUIRE_OK(coat_owner_random(test_rng_fill, rng, &owner));
    REQUIRE_OK(coat_token_mint(owner, FIXTURE_NOW, keys, test_rng_fill, rng, &token));
    return token;
}

/** A record made now for token: idle 30 min, absolute 12 h, Alice. */
static inline coat_record
fixture_record(test_rng *rng, const coat_token *token)
{
    coat_record r = {
        .created_ms = FIXTURE_NOW,
        .auth_ms = FIXTURE_NOW,
        .seen_ms = FIXTURE_NOW,
        .idle_ms = 30 * 60 * 1000,
        .absolute_end_ms = FIXTURE_NOW + 12 * 3600 * 1000,
        .rotated_ms = FIXTURE_NOW,
        .epoch_global = 3,
        .epoch_owner = 5,
        .user = COAT_LIT("alice"),
        .roles = COAT_LIT("admin staff"),
        .methods = COAT_LIT("pwd otp"),
        .first = {COAT_LIT("192.0.2.7"), COAT_LIT("Mozilla/5.0"), COAT_LIT("en")},
        .last = {COAT_LIT("2001:db8::7"), COAT_LIT("Mozilla/5.1"), COAT_LIT("de")},
        .data = COAT_LIT("{\"cart\":[1,2]}"),
    };

    coat_secret_digest(token->secret, r.current_digest);
    (void)test_rng_fill(rng, r.rotation_key, sizeof r.rotation_key);
    (void)test_rng_fill(rng, r.csrf_key, sizeof r.csrf_key);
    return r;
}

#endif
