/* SPDX-License-Identifier: Apache-2.0 */
#include "core/bytes.h"
#include "core/keys.h"
#include "fixture.h"

#include <coatcheck/assertion.h>
#include <coatcheck/record.h>
#include <sodium.h>

#define TEN "0123456789"
#define HUNDRED TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN

static const coat_handle handle = {{1, 2, 3}};

static coat_assertion
alice(void)
{
    return (coat_assertion){
        .issuer = COAT_LIT("https://app.example"),
        .audience = COAT_LIT("orders-api"),
        .user = COAT_LIT("alice"),
        .roles = COAT_LIT("admin staff"),
        .methods = COAT_LIT("pwd otp"),
        .handle = &handle,
        .now_ms = FIXTURE_NOW,
        .auth_ms = FIXTURE_NOW - 1000000,
        .lifetime_ms = 60000,
    };
}

/** The parts of an assertion, decoded. */
typedef struct taken {
    char text[COAT_ASSERTION_MAX], header[200], claims[COAT_ASSERTION_MAX];
    uint8_t signature[crypto_sign_BYTES];
    size_t len, signed_len;
} taken;

static void
decode_part(const char *from, const char *to, char *out)
{
    size_t chars = (size_t)(to - from), bytes = chars * 6 / 8;

    REQUIRE_OK(coat_b64url_decode(fixture_text(from, chars), (uint8_t *)out, bytes));
    out[bytes] = '\0';
}

static taken
take(const coat_keys *keys, const coat_assertion *a)
{
    taken t = {.len = 0};
    const char *dot, *dot2;

    REQUIRE_OK(coat_assertion_sign(keys, a, t.text, sizeof t.text, &t.len));
    dot = memchr(t.text, '.', t.len);
    REQUIRE(dot != NULL);
    dot2 = memchr(dot + 1, '.', t.len - (size_t)(dot + 1 - t.text));
    REQUIRE(dot2 != NULL);
    t.signed_len = (size_t)(dot2 - t.text);
    decode_part(t.text, dot, t.header);
    decode_part(dot + 1, dot2, t.claims);
    REQUIRE_OK(coat_b64url_decode(fixture_text(dot2 + 1, t.len - t.signed_len - 1), t.signature,
                                  sizeof t.signature));
    return t;
}

static bool
verifies(const taken *t, const coat_keys *keys, uint32_t index)
{
    return crypto_sign_verify_detached(t->signature, (const uint8_t *)t->text, t->signed_len,
                                       keys->signer[index].secret + 32) == 0;
}

/* RFC 8037, appendix A: the key of RFC 8032 7.1 test 1, its thumbprint, and a signature. */
static void
rfc_8037(void)
{
    static const char input[] = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    uint8_t seed[COAT_KEY_BYTES], signature[crypto_sign_BYTES];
    coat_signer signer;
    char text[100];

    REQUIRE_OK(coat_init());
    REQUIRE_OK(coat_b64url_decode(COAT_LIT("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"), seed,
                                  sizeof seed));
    coat_signer_expand(seed, &signer);
    CHECK_MEM(signer.secret, 32, seed, 32);
    coat_b64url_encode(signer.secret + 32, 32, text);
    CHECK_MEM(text, 43, "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", 43);
    CHECK_MEM(signer.kid, sizeof signer.kid, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k", 43);
    CHECK(crypto_sign_detached(signature, NULL, (const uint8_t *)input, sizeof input - 1,
                               signer.secret) == 0);
    coat_b64url_encode(signature, sizeof signature, text);
    CHECK_MEM(text, 86,
              "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_"
              "MuM0KAg",
              86);
}

/* Written by another implementation (Python's json and OpenSSL) from the same key and claims.
 */
static void
golden(void)
{
    static const char want[] =
        "eyJhbGciOiJFZERTQSIsInR5cCI6ImNvYXRjaGVjaytqd3QiLCJraWQiOiJiVU5DU1I4b2ZMN3JNbFYxSTJtWW"
        "1wSTJock9JeDR6OC03VFJlTlRyb1VnIn0.eyJpc3MiOiJodHRwczovL2FwcC5leGFtcGxlIiwiYXVkIjoib3Jk"
        "ZXJzLWFwaSIsInN1YiI6ImFsaWNlIiwiaWF0IjoxNzAwMDAwMDAwLCJleHAiOjE3MDAwMDAwNjAsImF1dGhfdG"
        "ltZSI6MTY5OTk5OTAwMCwiYW1yIjpbInB3ZCIsIm90cCJdLCJyb2xlcyI6WyJhZG1pbiIsInN0YWZmIl0sInNp"
        "ZCI6IjAwMjFmMWRkNjhjYjE5YjMifQ.7BDDEn15m_Hulbv8L7crUkpm2RMFOvPLsqu_qTgmy81g9v8mnP862HW"
        "tbdHl8OsKa-mUXLvCI5I1C6yr8z6mDA";
    coat_keys *keys = fixture_keys();
    coat_assertion a = alice();
    taken t = take(keys, &a);

    CHECK_MEM(t.text, t.len, want, sizeof want - 1);
    CHECK(verifies(&t, keys, 0));
    CHECK(!verifies(&t, keys, 1));
    coat_keys_free(keys);
}

static void
jwks(void)
{
    static const char want[] =
        "{\"keys\":[{\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":"
        "\"tRL8k6D1V3IHDm3MiwqE8QW2sHlMO-0hBW3eefqIKJw\",\"use\":\"sig\",\"alg\":\"EdDSA\","
        "\"kid\":\"bUNCSR8ofL7rMlV1I2mYmpI2hrOIx4z8-7TReNTroUg\"},"
        "{\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":"
        "\"SVi8u4uEExozQZ_VY-5_GMLifih5-oB_hN1bJTbmUMw\",\"use\":\"sig\",\"alg\":\"EdDSA\","
        "\"kid\":\"pnZHOaPFavKwu790brtj5PhGcwkAOxmVNsIVGnQquXo\"}]}";
    coat_keys *keys = fixture_keys(), *one = NULL;
    char buf[COAT_JWKS_MAX], before[COAT_JWKS_MAX];
    test_rng rng = {1};
    size_t len = 4711;

    memset(buf, 'z', sizeof buf);
    memcpy(before, buf, sizeof buf);
    CHECK_ERR(coat_assertion_jwks(keys, buf, sizeof want - 2, &len), COAT_TOO_LARGE);
    CHECK_MEM(buf, sizeof buf, before, sizeof before);
    CHECK_INT(len, 4711);
    REQUIRE_OK(coat_assertion_jwks(keys, buf, sizeof want - 1, &len));
    CHECK_MEM(buf, len, want, sizeof want - 1);
    coat_keys_free(keys);

    REQUIRE_OK(coat_keys_generate(1, test_rng_fill, &rng, &one));
    REQUIRE_OK(coat_assertion_jwks(one, buf, sizeof buf, &len));
    CHECK_MEM(buf, 9, want, 9);
    CHECK_MEM(buf + len - 2, 2, "]}", 2);
    CHECK(memmem(buf, len, "},{", 3) == NULL);
    coat_keys_free(one);
}

static void
rotation(void)
{
    coat_keys *a = fixture_keys(), *b = NULL, *c = NULL;
    coat_assertion claims = alice();
    test_rng rng = {2};
    taken before, after;
    char buf[COAT_JWKS_MAX];
    size_t len = 0;

    REQUIRE_OK(coat_keys_rotate(a, FIXTURE_NOW, test_rng_fill, &rng, &b));
    REQUIRE_OK(coat_keys_rotate(b, FIXTURE_NOW, test_rng_fill, &rng, &c));
    before = take(a, &claims);
    after = take(b, &claims);
    CHECK(strcmp(before.header, after.header) != 0);
    CHECK_STR(before.claims, after.claims); /* sid too: it is no matter of the live keys */
    CHECK(verifies(&before, a, 0) && verifies(&before, b, 1) && !verifies(&before, b, 0));
    CHECK(verifies(&after, b, 0) && verifies(&after, c, 1));
    CHECK(!verifies(&before, c, 0) && !verifies(&before, c, 1));
    REQUIRE_OK(coat_assertion_jwks(b, buf, sizeof buf, &len));
    CHECK(memmem(buf, len, a->signer[0].kid, 43) != NULL);
    CHECK(memmem(buf, len, a->signer[1].kid, 43) == NULL);
    coat_keys_free(a);
    coat_keys_free(b);
    coat_keys_free(c);
}

static const struct escape_case {
    const char *name, *user, *json;
    size_t len; /* 0: strlen */
} escape_cases[] = {
    {"plain", "mara", "mara", 0},
    {"quote and backslash", "a\"b\\c", "a\\\"b\\\\c", 0},
    {"end of a string", "\",\"aud\":\"other", "\\\",\\\"aud\\\":\\\"other", 0},
    {"controls that have names", "\b\f\n\r\t", "\\b\\f\\n\\r\\t", 0},
    {"other controls", "\x01\x0b\x1f", "\\u0001\\u000b\\u001f", 0},
    {"NUL", "a\0b", "a\\u0000b", 3},
    {"DEL and slash stay", "\x7f/", "\x7f/", 0},
    {"two bytes", "\xc3\xa9\xc2\x80", "\xc3\xa9\xc2\x80", 0},
    {"three bytes", "\xe2\x80\xa8\xef\xbf\xbf", "\xe2\x80\xa8\xef\xbf\xbf", 0},
    {"four bytes", "\xf0\x9f\x8e\xab\xf4\x8f\xbf\xbf", "\xf0\x9f\x8e\xab\xf4\x8f\xbf\xbf", 0},
};

static void
escaping(void)
{
    coat_keys *keys = fixture_keys();

    for (size_t i = 0; i < sizeof escape_cases / sizeof escape_cases[0]; i++) {
        const struct escape_case *c = &escape_cases[i];
        coat_assertion a = alice();
        char want[200];
        taken t;

        test_case(c->name);
        a.user = fixture_text(c->user, c->len > 0 ? c->len : strlen(c->user));
        t = take(keys, &a);
        (void)snprintf(want, sizeof want,
                       ",\"aud\":\"orders-api\",\"sub\":\"%s\",\"iat\":", c->json);
        CHECK(strstr(t.claims, want) != NULL);
        CHECK(verifies(&t, keys, 0));
    }
    coat_keys_free(keys);
}

static const struct word_case {
    const char *words, *json;
} word_cases[] = {
    {"", "[]"},
    {"a", "[\"a\"]"},
    {"a b", "[\"a\",\"b\"]"},
    {"  a   b ", "[\"a\",\"b\"]"},
    {" ", "[]"},
    {"a\"b c\\", "[\"a\\\"b\",\"c\\\\\"]"},
    {"a\tb", "[\"a\\tb\"]"}, /* only spaces separate, as for role= */
};

static void
words(void)
{
    coat_keys *keys = fixture_keys();

    for (size_t i = 0; i < sizeof word_cases / sizeof word_cases[0]; i++) {
        coat_assertion a = alice();
        char want[200];

        test_case(word_cases[i].words);
        a.methods = a.roles = coat_span_of(word_cases[i].words);
        (void)snprintf(want, sizeof want, ",\"amr\":%s,\"roles\":%s,\"sid\":\"",
                       word_cases[i].json, word_cases[i].json);
        CHECK(strstr(take(keys, &a).claims, want) != NULL);
    }
    coat_keys_free(keys);
}

static const struct foreign_case {
    const char *name, *bytes;
} foreign_cases[] = {
    {"continuation alone", "a\x80"},
    {"overlong slash", "\xc0\xaf"},
    {"overlong in three", "\xe0\x80\x80"},
    {"cut short", "caf\xc3"},
    {"surrogate", "\xed\xa0\x80"},
    {"above U+10FFFF", "\xf4\x90\x80\x80"},
    {"0xff", "\xff"},
    {"Latin-1", "Zo\xeb!"},
};

static void
foreign_bytes(void)
{
    coat_keys *keys = fixture_keys();
    char buf[COAT_ASSERTION_MAX], before[COAT_ASSERTION_MAX];
    size_t len = 4711;

    memset(buf, 'z', sizeof buf);
    memcpy(before, buf, sizeof buf);
    for (size_t i = 0; i < sizeof foreign_cases / sizeof foreign_cases[0]; i++)
        for (int part = 0; part < 5; part++) {
            coat_span text = coat_span_of(foreign_cases[i].bytes);
            coat_assertion a = alice();
            coat_span *const parts[] = {&a.issuer, &a.audience, &a.user, &a.roles, &a.methods};

            test_case(foreign_cases[i].name);
            *parts[part] = text;
            CHECK_ERR(coat_assertion_sign(keys, &a, buf, sizeof buf, &len), COAT_MALFORMED);
            CHECK_MEM(buf, sizeof buf, before, sizeof before);
            CHECK_INT(len, 4711);
        }
    coat_keys_free(keys);
}

/** err of alice with one change. */
static void
expect(const coat_keys *keys, coat_assertion a, coat_err want)
{
    char buf[COAT_ASSERTION_MAX];
    size_t len;

    CHECK_ERR(coat_assertion_sign(keys, &a, buf, sizeof buf, &len), want);
}

#define WITH(member, value)                                                                    \
    ({                                                                                         \
        coat_assertion with_ = alice();                                                        \
        with_.member = (value);                                                                \
        with_;                                                                                 \
    })

static void
limits(void)
{
    static uint8_t many[2000];
    coat_keys *keys = fixture_keys();

    memset(many, 'a', sizeof many);
#define LONG(n) ((coat_span){many, (n)})
    expect(keys, WITH(issuer, LONG(0)), COAT_INVALID);
    expect(keys, WITH(audience, LONG(0)), COAT_INVALID);
    expect(keys, WITH(user, LONG(0)), COAT_INVALID);
    expect(keys, WITH(roles, LONG(0)), COAT_OK);
    expect(keys, WITH(methods, LONG(0)), COAT_OK);
    expect(keys, WITH(issuer, LONG(COAT_ASSERTION_ISSUER_MAX)), COAT_OK);
    expect(keys, WITH(issuer, LONG(COAT_ASSERTION_ISSUER_MAX + 1)), COAT_TOO_LARGE);
    expect(keys, WITH(audience, LONG(COAT_ASSERTION_AUDIENCE_MAX)), COAT_OK);
    expect(keys, WITH(audience, LONG(COAT_ASSERTION_AUDIENCE_MAX + 1)), COAT_TOO_LARGE);
    expect(keys, WITH(user, LONG(COAT_USER_MAX)), COAT_OK);
    expect(keys, WITH(user, LONG(COAT_USER_MAX + 1)), COAT_TOO_LARGE);
    expect(keys, WITH(roles, LONG(COAT_ROLES_MAX)), COAT_OK);
    expect(keys, WITH(roles, LONG(COAT_ROLES_MAX + 1)), COAT_TOO_LARGE);
    expect(keys, WITH(methods, LONG(COAT_METHODS_MAX)), COAT_OK);
    expect(keys, WITH(methods, LONG(COAT_METHODS_MAX + 1)), COAT_TOO_LARGE);
    expect(keys, WITH(lifetime_ms, 0), COAT_INVALID);
    expect(keys, WITH(lifetime_ms, -1), COAT_INVALID);
    expect(keys, WITH(lifetime_ms, COAT_ASSERTION_LIFETIME_MAX_MS + 1), COAT_INVALID);
    expect(keys, WITH(lifetime_ms, INT64_MAX), COAT_INVALID);
    expect(keys, WITH(now_ms, -1), COAT_INVALID);
    expect(keys, WITH(now_ms, INT64_MAX), COAT_OK);
    /* Parts within their limits whose escapes are too much together. */
    memset(many, 1, sizeof many);
    expect(keys, WITH(user, LONG(COAT_USER_MAX)), COAT_OK);
    expect(keys, WITH(roles, LONG(COAT_ROLES_MAX)), COAT_TOO_LARGE);
    coat_keys_free(keys);
}

/* All that is plain and within its limits fits, so nobody is shut out by long roles. */
static void
largest_plain(void)
{
    static uint8_t text[1024], roles[COAT_ROLES_MAX];
    coat_keys *keys = fixture_keys();
    coat_assertion a = alice();
    char buf[COAT_ASSERTION_MAX + 100];
    size_t len = 0, again = 0;

    memset(text, 'a', sizeof text);
    for (size_t i = 0; i < sizeof roles; i++) /* five letters and a space */
        roles[i] = i % 6 == 5 ? ' ' : 'r';
    a.issuer = (coat_span){text, COAT_ASSERTION_ISSUER_MAX};
    a.audience = (coat_span){text, COAT_ASSERTION_AUDIENCE_MAX};
    a.user = (coat_span){text, COAT_USER_MAX};
    a.methods = (coat_span){text, COAT_METHODS_MAX};
    a.roles = (coat_span){roles, sizeof roles};
    REQUIRE_OK(coat_assertion_sign(keys, &a, buf, sizeof buf, &len));
    CHECK(len <= COAT_ASSERTION_MAX);
    CHECK_ERR(coat_assertion_sign(keys, &a, buf, len - 1, &again), COAT_TOO_LARGE);
    CHECK_INT(again, 0);
    CHECK_ERR(coat_assertion_sign(keys, &a, buf, len, &again), COAT_OK);
    CHECK_INT(again, len);

    /* More room does not lift the limit: users of one byte each, until it is reached. */
    memset(roles, 1, sizeof roles);
    for (size_t n = 0; n <= sizeof roles; n++) {
        coat_err err;

        a.roles = (coat_span){roles, n};
        err = coat_assertion_sign(keys, &a, buf, sizeof buf, &len);
        CHECK(err == COAT_OK ? len <= COAT_ASSERTION_MAX : err == COAT_TOO_LARGE);
    }
    coat_keys_free(keys);
}

static void
lifetimes(void)
{
    static const struct {
        int64_t now_ms, lifetime_ms, iat, exp;
    } cases[] = {
        {FIXTURE_NOW, 60000, 1700000000, 1700000060},
        {FIXTURE_NOW + 999, 60000, 1700000000, 1700000060},
        {FIXTURE_NOW, 10000, 1700000000, 1700000010},
        {FIXTURE_NOW, 1, 1700000000, 1700000001}, /* never dead at birth */
        {FIXTURE_NOW + 999, 59001, 1700000000, 1700000060},
        {0, 1000, 0, 1},
    };
    coat_keys *keys = fixture_keys();

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        coat_assertion a = alice();
        char want[100];

        a.now_ms = cases[i].now_ms;
        a.lifetime_ms = cases[i].lifetime_ms;
        a.auth_ms = i % 2 == 0 ? 0 : 5999;
        (void)snprintf(want, sizeof want, ",\"iat\":%lld,\"exp\":%lld,%s\"amr\"",
                       (long long)cases[i].iat, (long long)cases[i].exp,
                       i % 2 == 0 ? "" : "\"auth_time\":5,");
        test_case(want);
        CHECK(strstr(take(keys, &a).claims, want) != NULL);
    }
    coat_keys_free(keys);
}

/* Neither the handle nor a key, in any of the usual spellings. */
static void
no_secret(void)
{
    coat_keys *keys = fixture_keys();
    coat_assertion a = alice();
    test_rng rng = {3};
    coat_token token = fixture_token(&rng, coat_keys_tags(keys));
    char hex[65], b64[43], sid[16];
    taken t;

    a.handle = &token.handle;
    t = take(keys, &a);
    coat_handle_encode(&token.handle, b64);
    CHECK(memmem(t.claims, strlen(t.claims), b64, COAT_HANDLE_CHARS) == NULL);
    (void)sodium_bin2hex(hex, sizeof hex, token.handle.bytes, sizeof token.handle.bytes);
    CHECK(strstr(t.claims, hex) == NULL);
    CHECK(memmem(t.claims, strlen(t.claims), hex, 16) == NULL);      /* serial */
    CHECK(memmem(t.claims, strlen(t.claims), hex + 16, 16) == NULL); /* owner */
    coat_keys_audit_digest(keys, &token.handle, sid);
    CHECK(memmem(t.claims, strlen(t.claims), sid, sizeof sid) != NULL);
    for (coat_key_use use = COAT_KEY_TAG; use <= COAT_KEY_DEVICE; use++) {
        const uint8_t *key = coat_keys_live(keys, use, 0);

        if (key == NULL)
            key = coat_keys_root(keys, use);
        CHECK(memmem(t.signature, sizeof t.signature, key, 16) == NULL);
        (void)sodium_bin2hex(hex, sizeof hex, key, 32);
        coat_b64url_encode(key, 32, b64);
        CHECK(memmem(t.claims, strlen(t.claims), hex, 16) == NULL);
        CHECK(memmem(t.text, t.len, b64, 20) == NULL);
    }
    coat_keys_free(keys);
}

static const coat_test tests[] = {
    {"FA-10: keys, thumbprint and signature are those of RFC 8037, appendix A", rfc_8037},
    {"FA-10: header, claims and signature as another implementation writes them", golden},
    {"FA-10: the JWK Set names all live keys, newest first, and no private part", jwks},
    {"FA-10 UP-2: the newest key signs; what the former one signed still verifies", rotation},
    {"FA-10: strings are escaped whatever they hold", escaping},
    {"FA-10: roles and methods are arrays of words", words},
    {"FA-10: what is not UTF-8 is refused, and nothing is written", foreign_bytes},
    {"FA-10: every part has its limit", limits},
    {"FA-10: all plain parts at their limits fit together; no assertion is longer",
     largest_plain},
    {"FA-10: an assertion lives at least a second and at most 60", lifetimes},
    {"FA-10: an assertion holds no secret and not the handle", no_secret},
};
COAT_TEST_MAIN(tests)
