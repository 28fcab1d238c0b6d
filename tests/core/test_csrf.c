/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include <coatcheck/csrf.h>

static const coat_handle handle_a = {{1, 2, 3}}, handle_b = {{1, 2, 4}};
static const uint8_t key_a[16] = {5}, key_b[16] = {6};

static coat_err
check(const coat_keys *keys, const coat_handle *handle, const uint8_t key[16], const char *text)
{
    return coat_csrf_check(keys, handle, key, fixture_text(text, COAT_CSRF_CHARS));
}

static void
bound_to_session(void)
{
    coat_keys *keys = fixture_keys();
    char text[COAT_CSRF_CHARS];
    test_rng rng = {1};

    REQUIRE_OK(coat_csrf_issue(keys, &handle_a, key_a, test_rng_fill, &rng, text));
    for (int i = 0; i < 1000; i++)
        CHECK_ERR(check(keys, &handle_a, key_a, text), COAT_OK);
    CHECK_ERR(check(keys, &handle_b, key_a, text), COAT_DENIED); /* another session */
    CHECK_ERR(check(keys, &handle_a, key_b, text), COAT_DENIED); /* after an LC-1 event */
    CHECK_ERR(check(keys, &handle_b, key_b, text), COAT_DENIED);
    coat_keys_free(keys);
}

static void
every_bit(void)
{
    coat_keys *keys = fixture_keys();
    uint8_t raw[COAT_CSRF_BYTES];
    char text[COAT_CSRF_CHARS];
    test_rng rng = {2};

    REQUIRE_OK(coat_csrf_issue(keys, &handle_a, key_a, test_rng_fill, &rng, text));
    REQUIRE_OK(coat_b64url_decode(fixture_text(text, sizeof text), raw, sizeof raw));
    for (size_t bit = 0; bit < 8 * sizeof raw; bit++) {
        raw[bit / 8] ^= (uint8_t)(1 << bit % 8);
        coat_b64url_encode(raw, sizeof raw, text);
        CHECK_ERR(check(keys, &handle_a, key_a, text), COAT_DENIED);
        raw[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    coat_b64url_encode(raw, sizeof raw, text);
    CHECK_ERR(check(keys, &handle_a, key_a, text), COAT_OK);
    coat_keys_free(keys);
}

/* The end of an outage's sign-out: the record is not there to be asked for its key. */
static void
bound_to_handle(void)
{
    coat_keys *keys = fixture_keys(), *next = NULL, *last = NULL;
    uint8_t raw[COAT_CSRF_BYTES];
    char text[COAT_CSRF_CHARS];
    test_rng rng = {9};
    coat_span span = fixture_text(text, sizeof text);

    REQUIRE_OK(coat_csrf_issue(keys, &handle_a, key_a, test_rng_fill, &rng, text));
    CHECK_ERR(coat_csrf_check_handle(keys, &handle_a, span), COAT_OK);
    CHECK_ERR(coat_csrf_check_handle(keys, &handle_b, span), COAT_DENIED);
    CHECK_ERR(coat_csrf_check_handle(keys, &handle_a, fixture_text(text, sizeof text - 1)),
              COAT_DENIED);
    CHECK_ERR(coat_csrf_check_handle(keys, &handle_a, (coat_span){NULL, 0}), COAT_DENIED);
    REQUIRE_OK(coat_keys_rotate(keys, 1, test_rng_fill, &rng, &next));
    REQUIRE_OK(coat_keys_rotate(next, 2, test_rng_fill, &rng, &last));
    CHECK_ERR(coat_csrf_check_handle(next, &handle_a, span), COAT_OK);
    CHECK_ERR(coat_csrf_check_handle(last, &handle_a, span), COAT_DENIED);

    /* Its own third of the token: neither MAC stands in for the other. */
    REQUIRE_OK(coat_b64url_decode(span, raw, sizeof raw));
    for (size_t bit = 0; bit < 8 * sizeof raw; bit++) {
        bool of_session = bit / 8 >= 16 && bit / 8 < 32;

        raw[bit / 8] ^= (uint8_t)(1 << bit % 8);
        coat_b64url_encode(raw, sizeof raw, text);
        CHECK_ERR(coat_csrf_check_handle(keys, &handle_a, span),
                  of_session ? COAT_OK : COAT_DENIED);
        raw[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    memcpy(raw + 16, raw + 32, 16);
    coat_b64url_encode(raw, sizeof raw, text);
    CHECK_ERR(check(keys, &handle_a, key_a, text), COAT_DENIED);
    coat_keys_free(keys);
    coat_keys_free(next);
    coat_keys_free(last);
}

static void
malformed(void)
{
    coat_keys *keys = fixture_keys();
    char text[COAT_CSRF_CHARS + 1];
    test_rng rng = {3};

    REQUIRE_OK(coat_csrf_issue(keys, &handle_a, key_a, test_rng_fill, &rng, text));
    text[COAT_CSRF_CHARS] = 'A';
    for (size_t len = 0; len <= sizeof text; len++)
        CHECK_ERR(coat_csrf_check(keys, &handle_a, key_a, fixture_text(text, len)),
                  len == COAT_CSRF_CHARS ? COAT_OK : COAT_DENIED);
    CHECK_ERR(coat_csrf_check(keys, &handle_a, key_a, (coat_span){NULL, 0}), COAT_DENIED);
    text[5] = '+';
    CHECK_ERR(check(keys, &handle_a, key_a, text), COAT_DENIED);
    coat_keys_free(keys);
}

static void
key_generations(void)
{
    coat_keys *keys = fixture_keys(), *next = NULL, *last = NULL;
    char text[COAT_CSRF_CHARS];
    test_rng rng = {4};

    REQUIRE_OK(coat_csrf_issue(keys, &handle_a, key_a, test_rng_fill, &rng, text));
    REQUIRE_OK(coat_keys_rotate(keys, 1, test_rng_fill, &rng, &next));
    REQUIRE_OK(coat_keys_rotate(next, 2, test_rng_fill, &rng, &last));
    CHECK_ERR(check(next, &handle_a, key_a, text), COAT_OK);
    CHECK_ERR(check(last, &handle_a, key_a, text), COAT_DENIED);
    coat_keys_free(keys);
    coat_keys_free(next);
    coat_keys_free(last);
}

static void
freshly_masked(void)
{
    enum { COUNT = 100 };
    coat_keys *keys = fixture_keys();
    char text[COUNT][COAT_CSRF_CHARS];

    for (int i = 0; i < COUNT; i++) {
        REQUIRE_OK(coat_csrf_issue(keys, &handle_a, key_a, coat_rng_system, NULL, text[i]));
        CHECK_ERR(check(keys, &handle_a, key_a, text[i]), COAT_OK);
        /* No four characters in the same place as in another one, beyond chance. */
        for (int k = 0; k < i; k++)
            for (size_t at = 0; at + 12 <= COAT_CSRF_CHARS; at++)
                CHECK(memcmp(text[i] + at, text[k] + at, 12) != 0);
    }
    coat_keys_free(keys);
}

static coat_err
no_random(void *ctx, uint8_t *buf, size_t len)
{
    (void)ctx;
    memset(buf, 0, len);
    return COAT_RNG_FAILED;
}

static void
without_random(void)
{
    coat_keys *keys = fixture_keys();
    char csrf[COAT_CSRF_CHARS] = "untouched", pre[COAT_PRESESSION_CHARS] = "untouched";

    CHECK_ERR(coat_csrf_issue(keys, &handle_a, key_a, no_random, NULL, csrf), COAT_RNG_FAILED);
    CHECK_ERR(coat_presession_issue(keys, 1, no_random, NULL, pre), COAT_RNG_FAILED);
    CHECK_STR(csrf, "untouched");
    CHECK_STR(pre, "untouched");
    coat_keys_free(keys);
}

/* ---- CS-6 ---- */

static coat_err
bind_at(const coat_keys *keys, const char *text, int64_t now_ms)
{
    coat_handle handle;
    uint8_t key[16];

    return coat_presession_bind(keys, fixture_text(text, COAT_PRESESSION_CHARS), now_ms,
                                &handle, key);
}

static void
presession_life(void)
{
    static const struct {
        int64_t age;
        coat_err want;
    } ages[] = {
        {0, COAT_OK},
        {COAT_PRESESSION_LIFE_MS - 1, COAT_OK},
        {COAT_PRESESSION_LIFE_MS, COAT_DENIED},
        {COAT_PRESESSION_LIFE_MS + 1000, COAT_DENIED},
        {INT64_MAX - FIXTURE_NOW, COAT_DENIED},
        {-1000, COAT_OK}, /* issued by an instance whose clock is a second ahead */
        {-1001, COAT_DENIED},
        {-FIXTURE_NOW, COAT_DENIED},
        {INT64_MIN, COAT_DENIED},
    };
    coat_keys *keys = fixture_keys();
    char text[COAT_PRESESSION_CHARS];
    test_rng rng = {5};

    REQUIRE_OK(coat_presession_issue(keys, FIXTURE_NOW, test_rng_fill, &rng, text));
    for (size_t i = 0; i < sizeof ages / sizeof ages[0]; i++) {
        int64_t now = ages[i].age == INT64_MIN ? INT64_MIN : FIXTURE_NOW + ages[i].age;

        CHECK_ERR(bind_at(keys, text, now), ages[i].want);
    }
    coat_keys_free(keys);
}

static void
presession_binds_forms(void)
{
    coat_keys *keys = fixture_keys(), *next = NULL;
    char one[COAT_PRESESSION_CHARS], two[COAT_PRESESSION_CHARS], form[COAT_CSRF_CHARS];
    coat_handle h1, h2;
    uint8_t k1[16], k2[16];
    test_rng rng = {6};

    REQUIRE_OK(coat_presession_issue(keys, FIXTURE_NOW, test_rng_fill, &rng, one));
    REQUIRE_OK(coat_presession_issue(keys, FIXTURE_NOW, test_rng_fill, &rng, two));
    REQUIRE_OK(coat_presession_bind(keys, fixture_text(one, sizeof one), FIXTURE_NOW, &h1, k1));
    REQUIRE_OK(coat_presession_bind(keys, fixture_text(two, sizeof two), FIXTURE_NOW, &h2, k2));
    REQUIRE_OK(coat_csrf_issue(keys, &h1, k1, test_rng_fill, &rng, form));
    CHECK_ERR(check(keys, &h1, k1, form), COAT_OK);
    CHECK_ERR(check(keys, &h2, k2, form), COAT_DENIED); /* attacker's form, victim's cookie */
    CHECK_ERR(check(keys, &handle_a, key_a, form), COAT_DENIED); /* after sign-in */

    /* A key rotation between form and submission costs nothing. */
    REQUIRE_OK(coat_keys_rotate(keys, 1, test_rng_fill, &rng, &next));
    REQUIRE_OK(coat_presession_bind(next, fixture_text(one, sizeof one), FIXTURE_NOW, &h2, k2));
    CHECK(coat_handle_equal(&h1, &h2));
    CHECK_ERR(check(next, &h2, k2, form), COAT_OK);
    coat_keys_free(keys);
    coat_keys_free(next);
}

static void
presession_forgeries(void)
{
    coat_keys *keys = fixture_keys();
    uint8_t raw[COAT_PRESESSION_BYTES], key[16] = {7};
    coat_handle handle = {{7}};
    char text[COAT_PRESESSION_CHARS];
    test_rng rng = {7};
    coat_token token = fixture_token(&rng, coat_keys_tags(keys));

    REQUIRE_OK(coat_presession_issue(keys, FIXTURE_NOW, test_rng_fill, &rng, text));
    REQUIRE_OK(coat_b64url_decode(fixture_text(text, sizeof text), raw, sizeof raw));
    for (size_t bit = 0; bit < 8 * sizeof raw; bit++) {
        raw[bit / 8] ^= (uint8_t)(1 << bit % 8);
        coat_b64url_encode(raw, sizeof raw, text);
        CHECK_ERR(coat_presession_bind(keys, fixture_text(text, sizeof text), FIXTURE_NOW,
                                       &handle, key),
                  COAT_DENIED);
        raw[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    CHECK_INT(handle.bytes[0], 7);
    CHECK_INT(key[0], 7);
    CHECK_ERR(coat_presession_bind(keys, (coat_span){NULL, 0}, FIXTURE_NOW, &handle, key),
              COAT_DENIED);
    coat_token_encode(&token, text); /* nor is a session a pre-session */
    CHECK_ERR(bind_at(keys, text, FIXTURE_NOW), COAT_DENIED);
    coat_keys_free(keys);
}

static void
presession_is_no_session(void)
{
    long count = test_scaled(1000000, 20000);
    coat_keys *keys = fixture_keys();
    test_rng rng = {8};

    for (long i = 0; i < count; i++) {
        char text[COAT_PRESESSION_CHARS];
        coat_token token;

        REQUIRE_OK(coat_presession_issue(keys, FIXTURE_NOW, test_rng_fill, &rng, text));
        CHECK_ERR(
            coat_token_open(fixture_text(text, sizeof text), coat_keys_tags(keys), &token),
            COAT_NO_SESSION);
    }
    coat_keys_free(keys);
}

static const coat_test tests[] = {
    {"CS-2: a token is valid for its session and its CSRF key only, 1,000 times",
     bound_to_session},
    {"CS-2: any changed bit is noticed", every_bit},
    {"CS-2 SF-4: without the record it is held against the handle", bound_to_handle},
    {"CS-2: other lengths and spellings are refused", malformed},
    {"CS-2: an older key verifies for one generation", key_generations},
    {"CS-3: each delivery is a different string", freshly_masked},
    {"ID-2: without random bytes nothing is issued", without_random},
    {"CS-6: a pre-session lives ten minutes", presession_life},
    {"CS-6: a form is bound to its pre-session", presession_binds_forms},
    {"CS-6: forged pre-sessions are refused", presession_forgeries},
    {"CS-6: a pre-session never opens as a session", presession_is_no_session},
};
COAT_TEST_MAIN(tests)
