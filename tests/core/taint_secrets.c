/* SPDX-License-Identifier: Apache-2.0 */

/* ID-6, HD-9: does any branch or index depend on a secret? Core is compiled with COAT_TAINT and
 * run under Valgrind, which tracks undefined bytes. Secrets are declared undefined; whatever
 * then decides by them is reported, but where core reveals an answer (core/taint.h). */

#include "core/keys.h"
#include "fixture.h"

#include <coatcheck/assertion.h>
#include <coatcheck/csrf.h>
#include <sodium.h>
#include <valgrind/memcheck.h>

static unsigned long errors_before;

static void
hide(const void *ptr, size_t len)
{
    (void)VALGRIND_MAKE_MEM_UNDEFINED(ptr, len);
}

static void
show(const void *ptr, size_t len)
{
    (void)VALGRIND_MAKE_MEM_DEFINED(ptr, len);
}

static void
begin(void)
{
    if (RUNNING_ON_VALGRIND == 0)
        test_skip("not running under Valgrind");
    errors_before = VALGRIND_COUNT_ERRORS;
}

static unsigned long
reports(void)
{
    return VALGRIND_COUNT_ERRORS - errors_before;
}

/** All derived keys become secret; ids and counts stay known. */
static coat_keys *
hidden_keys(void)
{
    coat_keys *keys = fixture_keys();

    hide(keys->root, sizeof keys->root);
    hide(keys->live, sizeof keys->live);
    hide(keys->tags.key, sizeof keys->tags.key);
    return keys;
}

/* The test of the test: a comparison that stops early is reported. */
static int
careless_compare(const uint8_t *a, const uint8_t *b, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (a[i] != b[i])
            return 1;
    return 0;
}

static void
control(void)
{
    static const uint8_t table[256] = {1};
    uint8_t a[16] = {1}, b[16] = {1}, picked;
    int result;

    begin();
    hide(a, sizeof a);
    result = careless_compare(a, b, sizeof a);
    show(&result, sizeof result);
    CHECK(reports() > 0);

    begin();
    hide(a, sizeof a);
    picked = ((const volatile uint8_t *)table)[a[3]]; /* an index tells through the cache */
    show(&picked, sizeof picked);
    CHECK(reports() > 0);

    begin();
    hide(a, sizeof a);
    result = sodium_memcmp(a, b, sizeof a);
    show(&result, sizeof result);
    CHECK_INT(reports(), 0);
}

static void
open_tokens(void)
{
    test_rng rng = {1};
    coat_keys *plain = fixture_keys();
    coat_token good = fixture_token(&rng, coat_keys_tags(plain)), got;
    coat_keys *keys;

    begin();
    keys = hidden_keys();
    for (size_t bit = 0; bit <= 8 * sizeof good; bit += 5) { /* the last one: unchanged */
        coat_token token = good;
        char text[COAT_TOKEN_CHARS];
        coat_err want = bit < 8 * sizeof good ? COAT_NO_SESSION : COAT_OK;

        if (bit < 8 * sizeof good)
            ((uint8_t *)&token)[bit / 8] ^= (uint8_t)(1 << bit % 8);
        hide(&token, sizeof token);
        coat_token_encode(&token, text);
        hide(text, sizeof text);
        CHECK_ERR(coat_token_open(fixture_text(text, sizeof text), coat_keys_tags(keys), &got),
                  want);
        CHECK_ERR(coat_token_decode(fixture_text(text, sizeof text), &got), COAT_OK);
        text[bit % sizeof text] = '=';
        CHECK_ERR(coat_token_decode(fixture_text(text, sizeof text), &got), COAT_NO_SESSION);
    }
    CHECK_INT(reports(), 0);
    coat_keys_free(keys);
    coat_keys_free(plain);
}

static void
judge_and_rotate(void)
{
    static const coat_tag_keys tag_keys = {.key = {{1}}, .count = 1};
    coat_policy policy;
    coat_demand demand = {0};

    begin();
    coat_policy_default(&policy);
    for (int who = 0; who < 4; who++) {
        test_rng rng = {2};
        coat_token token = fixture_token(&rng, &tag_keys), next;
        coat_record record = fixture_record(&rng, &token);
        uint8_t buf[1024], other[COAT_DIGEST_BYTES] = {1};
        size_t len = 0;
        coat_record back;
        coat_judgement j;

        if (who == 1 || who == 2)
            memcpy(who == 1 ? record.pending_digest : record.previous_digest,
                   record.current_digest, COAT_DIGEST_BYTES);
        if (who > 0)
            memcpy(record.current_digest, other, sizeof other);
        record.flags = who == 1 ? COAT_RECORD_PENDING : who == 2 ? COAT_RECORD_PREVIOUS : 0;
        record.previous_end_ms = who == 2 ? INT64_MAX : 0;
        hide(token.secret, sizeof token.secret);
        hide(record.current_digest, sizeof record.current_digest);
        hide(record.pending_digest, sizeof record.pending_digest);
        hide(record.previous_digest, sizeof record.previous_digest);
        hide(record.rotation_key, sizeof record.rotation_key);
        hide(record.csrf_key, sizeof record.csrf_key);
        coat_judge(&record, &token, FIXTURE_NOW + 900000, 0, &policy, &demand, &j);
        CHECK_INT(j.verdict, who == 3 ? COAT_VERDICT_STOLEN : COAT_VERDICT_LIVE);
        CHECK_INT(coat_rotate_apply(&record, &token, FIXTURE_NOW, &policy, &j), who < 2);
        coat_rotate_successor(&record, &token, &tag_keys, &next);
        CHECK_ERR(coat_record_encode(&record, buf, sizeof buf, &len), COAT_OK);
        CHECK_ERR(coat_record_view((coat_span){buf, len}, &back), COAT_OK);
    }
    CHECK_INT(reports(), 0);
}

static void
seals(void)
{
    uint8_t buf[40 + COAT_SEAL_BYTES] = {1}, address[16] = {2};
    coat_keys *keys;
    coat_span payload;

    begin();
    keys = hidden_keys();
    hide(buf, 40);
    coat_seal(keys, 1, address, buf, 40);
    for (size_t at = 0; at <= sizeof buf; at++) {
        if (at < sizeof buf)
            buf[at] ^= 1;
        CHECK_ERR(coat_unseal(keys, 1, address, (coat_span){buf, sizeof buf}, &payload),
                  at < sizeof buf ? COAT_TAMPERED : COAT_OK);
        if (at < sizeof buf)
            buf[at] ^= 1;
    }
    CHECK_INT(reports(), 0);
    coat_keys_free(keys);
}

static void
csrf(void)
{
    test_rng rng = {3};
    coat_handle handle = {{1}}, bound;
    uint8_t session_key[16] = {2}, bound_key[16];
    char text[COAT_CSRF_CHARS], pre[COAT_PRESESSION_CHARS];
    coat_keys *keys;

    begin();
    keys = hidden_keys();
    hide(session_key, sizeof session_key);
    REQUIRE_OK(coat_csrf_issue(keys, &handle, session_key, test_rng_fill, &rng, text));
    hide(text, sizeof text);
    CHECK_ERR(coat_csrf_check(keys, &handle, session_key, fixture_text(text, sizeof text)),
              COAT_OK);
    CHECK_ERR(coat_csrf_check_handle(keys, &handle, fixture_text(text, sizeof text)), COAT_OK);
    session_key[15] ^= 1;
    CHECK_ERR(coat_csrf_check(keys, &handle, session_key, fixture_text(text, sizeof text)),
              COAT_DENIED);
    REQUIRE_OK(coat_presession_issue(keys, FIXTURE_NOW, test_rng_fill, &rng, pre));
    hide(pre, sizeof pre);
    CHECK_ERR(coat_presession_bind(keys, fixture_text(pre, sizeof pre), FIXTURE_NOW, &bound,
                                   bound_key),
              COAT_OK);
    CHECK_INT(reports(), 0);
    coat_keys_free(keys);
}

static void
key_file(void)
{
    char text[] = FIXTURE_KEYS, back[512];
    coat_keys *keys = NULL;
    coat_owner owner;
    size_t len = 0;

    REQUIRE_OK(coat_init());
    begin();
    for (size_t i = 0; i + 64 < sizeof text; i++)
        if (strspn(text + i, "123") >= 64) {
            hide(text + i, 64);
            i += 64;
        }
    CHECK_ERR(coat_keys_parse(fixture_text(text, sizeof text - 1), &keys, NULL), COAT_OK);
    REQUIRE(keys != NULL);
    CHECK_ERR(coat_keys_format(keys, back, sizeof back, &len), COAT_OK);
    owner = coat_keys_owner(keys, COAT_LIT("alice"));
    show(&owner, sizeof owner);
    CHECK_INT(reports(), 0);
    coat_keys_free(keys);
}

/* The seed is secret; public key, claims and the finished signature are not. */
static void
assertions(void)
{
    coat_handle handle = {{1}};
    coat_assertion claims = {
        .issuer = COAT_LIT("https://app.example"),
        .audience = COAT_LIT("api"),
        .user = COAT_LIT("alice"),
        .handle = &handle,
        .now_ms = FIXTURE_NOW,
        .lifetime_ms = 60000,
    };
    coat_keys *keys = fixture_keys();
    char text[COAT_ASSERTION_MAX];
    uint8_t seed[COAT_KEY_BYTES];
    coat_signer signer;
    size_t len = 0;

    begin();
    memcpy(seed, keys->live[0][COAT_KEY_ASSERTION], sizeof seed);
    hide(seed, sizeof seed);
    coat_signer_expand(seed, &signer);
    CHECK_MEM(signer.kid, sizeof signer.kid, keys->signer[0].kid, sizeof signer.kid);
    hide(keys->signer[0].secret, COAT_KEY_BYTES);
    REQUIRE_OK(coat_assertion_sign(keys, &claims, text, sizeof text, &len));
    CHECK_INT(reports(), 0);
    coat_keys_free(keys);
}

static const coat_test tests[] = {
    {"ID-6: a careless comparison or look-up would be reported", control},
    {"ID-6 HD-9: opening a token does not depend on its secrets", open_tokens},
    {"ID-6 HD-9: judging and rotating do not depend on secrets", judge_and_rotate},
    {"ID-6 HD-9: seals do not depend on secrets", seals},
    {"ID-6 HD-9 CS-3: CSRF checks do not depend on secrets", csrf},
    {"ID-6 HD-9: reading keys does not depend on them", key_file},
    {"ID-6 HD-9 FA-10: signing assertions does not depend on the key", assertions},
};
COAT_TEST_MAIN(tests)
