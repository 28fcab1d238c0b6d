/* SPDX-License-Identifier: Apache-2.0 */
#include "core/plain.h"
#include "core/token.h"
#include "fixture.h"

#include <sodium.h>
#include <stdlib.h>

/* 53 characters that decode to zeros. */
#define A53 "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

static const coat_tag_keys one_key = {.key = {{1, 2, 3}}, .count = 1};

static const struct decode_case {
    const char *name;
    const char *text;
    size_t len;
    coat_err want;
} decode_cases[] = {
    {"canonical", A53 "A", 54, COAT_OK},
    {"all of the alphabet's end", A53 "w", 54, COAT_OK},
    {"unused bits set", A53 "B", 54, COAT_NO_SESSION}, /* same 40 bytes, second spelling */
    {"unused bits set, high", A53 "I", 54, COAT_NO_SESSION},
    {"empty", "", 0, COAT_NO_SESSION},
    {"one short", A53, 53, COAT_NO_SESSION},
    {"one long", A53 "AA", 55, COAT_NO_SESSION},
    {"padded", A53 "A==", 56, COAT_NO_SESSION},
    {"padding inside", A53 "=", 54, COAT_NO_SESSION},
    {"byte above 0x7f", A53 "\x84", 54, COAT_NO_SESSION}, /* libsodium 1.0.18: '_' */
    {"standard alphabet plus", "+" A53, 54, COAT_NO_SESSION},
    {"standard alphabet slash", "/" A53, 54, COAT_NO_SESSION},
    {"NUL inside", A53 "\0", 54, COAT_NO_SESSION},
    {"NUL first", "\0" A53, 54, COAT_NO_SESSION},
    {"newline at end", A53 "\n", 54, COAT_NO_SESSION},
    {"space", " " A53, 54, COAT_NO_SESSION},
    {"percent", "%41" A53, 56, COAT_NO_SESSION},
    {"percent in 54", "%" A53, 54, COAT_NO_SESSION},
};

static void
decode_table(void)
{
    for (size_t i = 0; i < sizeof decode_cases / sizeof decode_cases[0]; i++) {
        const struct decode_case *c = &decode_cases[i];
        coat_token token, before;

        test_case(c->name);
        memset(&before, 0xA5, sizeof before);
        token = before;
        CHECK_ERR(coat_token_decode(fixture_text(c->text, c->len), &token), c->want);
        if (c->want != COAT_OK)
            CHECK(memcmp(&token, &before, sizeof token) == 0);
        token = before;
        CHECK_ERR(coat_token_open(fixture_text(c->text, c->len), &one_key, &token),
                  COAT_NO_SESSION);
        CHECK(memcmp(&token, &before, sizeof token) == 0);
    }
}

/** Plain RFC 4648 decoder with a table, as a reference. @return false if not canonical */
static bool
slow_decode(const uint8_t *text, size_t len, uint8_t *out, size_t out_len)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint32_t bits = 0;
    unsigned have = 0;
    size_t n = 0;

    for (size_t i = 0; i < len; i++) {
        const char *found = text[i] != 0 ? strchr(alphabet, text[i]) : NULL;

        if (found == NULL)
            return false;
        bits = bits << 6 | (uint32_t)(found - alphabet);
        have += 6;
        if (have >= 8) {
            have -= 8;
            if (n == out_len)
                return false;
            out[n++] = (uint8_t)(bits >> have);
            bits &= (1U << have) - 1;
        }
    }
    return n == out_len && bits == 0 && have < 6;
}

/* Every byte at every place, against the reference. */
static void
every_byte_everywhere(void)
{
    test_rng rng = {1};
    coat_token token = fixture_token(&rng, &one_key);
    char text[COAT_TOKEN_CHARS];

    coat_token_encode(&token, text);
    for (size_t at = 0; at < sizeof text; at++) {
        char kept = text[at];

        for (int byte = 0; byte < 256; byte++) {
            uint8_t want[COAT_TOKEN_BYTES];
            coat_token got;
            coat_err err;
            bool good;

            text[at] = (char)byte;
            good = slow_decode((const uint8_t *)text, sizeof text, want, sizeof want);
            err = coat_token_decode(fixture_text(text, sizeof text), &got);
            CHECK_ERR(err, good ? COAT_OK : COAT_NO_SESSION);
            if (good && err == COAT_OK)
                CHECK_MEM((uint8_t *)&got, sizeof got, want, sizeof want);
            err = coat_token_open(fixture_text(text, sizeof text), &one_key, &got);
            CHECK_ERR(err, text[at] == kept ? COAT_OK : COAT_NO_SESSION);
        }
        text[at] = kept;
    }
}

static void
b64url_all_lengths(void)
{
    test_rng rng = {2};

    for (size_t len = 0; len <= 200; len++) {
        uint8_t bytes[200], back[200 + 1], slow[200];
        char text[(200 * 8 + 5) / 6 + 1];
        size_t chars = (len * 8 + 5) / 6;

        (void)test_rng_fill(&rng, bytes, sizeof bytes);
        memset(text, '#', sizeof text);
        memset(back, 0x5A, sizeof back);
        coat_b64url_encode(bytes, len, text);
        CHECK_INT(text[chars], '#'); /* nothing written beyond the end */
        CHECK(slow_decode((const uint8_t *)text, chars, slow, len));
        CHECK_MEM(slow, len, bytes, len);
        CHECK_ERR(coat_b64url_decode(fixture_text(text, chars), back, len), COAT_OK);
        CHECK_MEM(back, len, bytes, len);
        CHECK_INT(back[len], 0x5A);
        CHECK_ERR(coat_b64url_decode(fixture_text(text, chars), back, len + 1), COAT_MALFORMED);
        if (len > 0) {
            memset(back, 0x5A, sizeof back);
            CHECK_ERR(coat_b64url_decode(fixture_text(text, chars - 1), back, len),
                      COAT_MALFORMED);
            text[test_rng_below(&rng, chars)] = '=';
            CHECK_ERR(coat_b64url_decode(fixture_text(text, chars), back, len), COAT_MALFORMED);
            CHECK_INT(back[0], 0x5A);
        }
    }
}

static void
b64url_vectors(void)
{
    /* RFC 4648 section 10, without padding, and the two characters that differ. */
    static const struct {
        const char *bytes, *text;
    } cases[] = {{"", ""},
                 {"f", "Zg"},
                 {"fo", "Zm8"},
                 {"foo", "Zm9v"},
                 {"foob", "Zm9vYg"},
                 {"fooba", "Zm9vYmE"},
                 {"foobar", "Zm9vYmFy"},
                 {"\xfb\xff\xbf", "-_-_"}};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t len = strlen(cases[i].bytes), chars = strlen(cases[i].text);
        char text[16];
        uint8_t back[16];

        coat_b64url_encode((const uint8_t *)cases[i].bytes, len, text);
        CHECK_MEM(text, chars, cases[i].text, chars);
        CHECK_ERR(coat_b64url_decode(fixture_text(cases[i].text, chars), back, len), COAT_OK);
    }
    CHECK_ERR(coat_b64url_decode(COAT_LIT("Zh"), (uint8_t[1]){0}, 1), COAT_MALFORMED);
    CHECK_ERR(coat_b64url_decode(COAT_LIT("A"), (uint8_t[1]){0}, SIZE_MAX), COAT_MALFORMED);
    CHECK_ERR(coat_b64url_decode(COAT_LIT("A"), (uint8_t[1]){0}, SIZE_MAX / 8), COAT_MALFORMED);
}

/* ---- ID-1 ---- */

static int
compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/** Are there equal values? 64 of 128 bits: chance gives 10^7 tokens one pair in 370,000 runs.
 */
static size_t
duplicates(uint64_t *values, size_t count)
{
    size_t found = 0;

    qsort(values, count, sizeof *values, compare_u64);
    for (size_t i = 1; i < count; i++)
        found += values[i] == values[i - 1];
    return found;
}

static bool
is_base64url(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (memchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", text[i],
                   64) == NULL)
            return false;
    return true;
}

static void
mint_many(void)
{
    size_t count = (size_t)test_scaled(10000000, 20000);
    uint64_t *handles = malloc(count * sizeof *handles);
    uint64_t *secrets = malloc(count * sizeof *secrets);

    REQUIRE(handles != NULL && secrets != NULL);
    for (size_t i = 0; i < count; i++) {
        coat_token token;
        char text[COAT_TOKEN_CHARS];
        coat_owner owner;

        REQUIRE_OK(coat_owner_random(coat_rng_system, NULL, &owner));
        REQUIRE_OK(coat_token_mint(owner, FIXTURE_NOW + (int64_t)(i / 8), &one_key,
                                   coat_rng_system, NULL, &token));
        coat_token_encode(&token, text);
        REQUIRE(is_base64url(text, sizeof text));
        (void)crypto_shorthash((uint8_t *)&handles[i], token.handle.bytes,
                               sizeof token.handle.bytes, one_key.key[0]);
        memcpy(&secrets[i], token.secret, 8);
    }
    CHECK_INT(duplicates(handles, count), 0);
    CHECK_INT(duplicates(secrets, count), 0);
    free(handles);
    free(secrets);
}

/** Is a count of coin tosses further than 5 sigma from its mean? */
static bool
biased(long ones, long count)
{
    double off = (double)ones - (double)count / 2;

    return off * off > 25 * (double)count / 4;
}

static bool
any_bit_biased(long count)
{
    long ones[8 * COAT_SECRET_BYTES] = {0};
    coat_owner owner = {{1}};

    for (long i = 0; i < count; i++) {
        coat_token token;

        REQUIRE_OK(
            coat_token_mint(owner, FIXTURE_NOW, &one_key, coat_rng_system, NULL, &token));
        for (size_t bit = 0; bit < 8 * COAT_SECRET_BYTES; bit++)
            ones[bit] += token.secret[bit / 8] >> bit % 8 & 1;
    }
    for (size_t bit = 0; bit < 8 * COAT_SECRET_BYTES; bit++)
        if (biased(ones[bit], count))
            return true;
    return false;
}

static void
secret_bits(void)
{
    long count = test_scaled(1000000, 20000);

    /* Chance passes 5 sigma somewhere once in 14,000 runs, but not twice. */
    CHECK(!any_bit_biased(count) || !any_bit_biased(count));
}

static void
sequential_owners(void)
{
    coat_keys *keys = fixture_keys();
    enum { USERS = 20000 };
    uint64_t *owners = malloc(USERS * sizeof *owners);
    long ones[64] = {0};

    REQUIRE(owners != NULL);
    for (int i = 0; i < USERS; i++) {
        char user[32];
        int len = snprintf(user, sizeof user, "user%d", i);
        coat_owner owner = coat_keys_owner(keys, fixture_text(user, (size_t)len));
        coat_owner again = coat_keys_owner(keys, fixture_text(user, (size_t)len));

        CHECK(memcmp(&owner, &again, sizeof owner) == 0);
        memcpy(&owners[i], owner.bytes, 8);
        for (int bit = 0; bit < 64; bit++)
            ones[bit] += owners[i] >> bit & 1;
    }
    for (int bit = 0; bit < 64; bit++) /* seeded, so 5 sigma is exact */
        CHECK(!biased(ones[bit], USERS));
    CHECK_INT(duplicates(owners, USERS), 0);
    free(owners);
    coat_keys_free(keys);
}

/* The serial tells the time and 20 random bits; memcmp order is time order. */
static void
serial(void)
{
    static const int64_t times[] = {0,
                                    1,
                                    255,
                                    256,
                                    65535,
                                    65536,
                                    FIXTURE_NOW,
                                    FIXTURE_NOW + 1,
                                    ((int64_t)1 << 44) - 2,
                                    ((int64_t)1 << 44) - 1};
    test_rng rng = {3};
    coat_owner owner = {{9, 9, 9, 9, 9, 9, 9, 9}};
    coat_handle last = {{0}};
    uint32_t random_bits = 0;

    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        coat_token token;
        coat_owner got;

        REQUIRE_OK(coat_token_mint(owner, times[i], &one_key, test_rng_fill, &rng, &token));
        CHECK_INT(coat_handle_time_ms(&token.handle), times[i]);
        got = coat_handle_owner(&token.handle);
        CHECK_MEM(got.bytes, 8, owner.bytes, 8);
        if (i > 0)
            CHECK(memcmp(last.bytes, token.handle.bytes, 8) < 0);
        last = token.handle;
    }
    for (int i = 0; i < 200; i++) {
        coat_token token;

        REQUIRE_OK(coat_token_mint(owner, 0, &one_key, test_rng_fill, &rng, &token));
        random_bits |= (uint32_t)token.handle.bytes[5] << 16 |
                       (uint32_t)token.handle.bytes[6] << 8 | token.handle.bytes[7];
    }
    CHECK_INT(random_bits, (1 << 20) - 1);
}

static void
serial_out_of_range(void)
{
    test_rng rng = {3};
    coat_token token;

    REQUIRE_OK(coat_token_mint((coat_owner){{0}}, -5, &one_key, test_rng_fill, &rng, &token));
    CHECK_INT(coat_handle_time_ms(&token.handle), 0);
    REQUIRE_OK(
        coat_token_mint((coat_owner){{0}}, INT64_MAX, &one_key, test_rng_fill, &rng, &token));
    CHECK_INT(coat_handle_time_ms(&token.handle), ((int64_t)1 << 44) - 1);
}

static coat_err
no_random(void *ctx, uint8_t *buf, size_t len)
{
    (void)ctx;
    memset(buf, 0x77, len / 2); /* a half-filled buffer is no token either */
    return COAT_RNG_FAILED;
}

static void
mint_without_random(void)
{
    coat_token token, before;
    coat_tag_keys none = {0};
    test_rng rng = {1};

    memset(&before, 0xA5, sizeof before);
    token = before;
    CHECK_ERR(coat_token_mint((coat_owner){{1}}, 1, &one_key, no_random, NULL, &token),
              COAT_RNG_FAILED);
    CHECK(memcmp(&token, &before, sizeof token) == 0);
    CHECK_ERR(coat_token_mint((coat_owner){{1}}, 1, &none, test_rng_fill, &rng, &token),
              COAT_INVALID);
    CHECK(memcmp(&token, &before, sizeof token) == 0);
}

/* ---- ID-4: what an installation did not issue ---- */

static void
mutate(test_rng *rng, uint8_t *text, size_t *len, size_t cap)
{
    static const char specials[] = "=%+/ \r\n\0\x80\xff";
    size_t at = test_rng_below(rng, *len);

    switch (test_rng_below(rng, 6)) {
    case 0: /* another length, up to 64 KiB */
        *len = test_rng_below(rng, test_rng_below(rng, 8) == 0 ? cap : 200);
        (void)test_rng_fill(rng, text, *len);
        break;
    case 1:
        text[at] = (uint8_t)specials[test_rng_below(rng, sizeof specials - 1)];
        break;
    case 2: /* last-character aliases decode to the same bytes if unused bits are ignored */
        text[*len - 1] = (uint8_t)(text[*len - 1] + 1 + test_rng_below(rng, 15));
        break;
    case 3:
        text[at] ^= (uint8_t)(1 << test_rng_below(rng, 8));
        break;
    case 4: /* insert */
        memmove(text + at + 1, text + at, *len - at);
        (*len)++;
        break;
    default: /* drop */
        memmove(text + at, text + at + 1, *len - at - 1);
        (*len)--;
        break;
    }
}

static void
mutations_are_refused(void)
{
    long count = test_scaled(1000000, 20000);
    test_rng rng = {4};
    coat_token token = fixture_token(&rng, &one_key), got;
    static uint8_t text[65536 + 1];
    char good[COAT_TOKEN_CHARS];

    coat_token_encode(&token, good);
    for (long i = 0; i < count; i++) {
        size_t len = sizeof good;

        memcpy(text, good, sizeof good);
        mutate(&rng, text, &len, sizeof text);
        if (len == sizeof good && memcmp(text, good, sizeof good) == 0)
            continue;
        if (coat_token_open((coat_span){text, len}, &one_key, &got) == COAT_OK)
            test_fail(__FILE__, __LINE__, "mutation %ld of length %zu was opened", i, len);
    }
}

static void
every_bit_is_tagged(void)
{
    test_rng rng = {5};
    coat_token token = fixture_token(&rng, &one_key), got;

    for (size_t bit = 0; bit < 8 * sizeof token; bit++) {
        coat_token other = token;
        char text[COAT_TOKEN_CHARS];

        ((uint8_t *)&other)[bit / 8] ^= (uint8_t)(1 << bit % 8);
        coat_token_encode(&other, text);
        CHECK_ERR(coat_token_decode(fixture_text(text, sizeof text), &got), COAT_OK);
        CHECK_ERR(coat_token_open(fixture_text(text, sizeof text), &one_key, &got),
                  COAT_NO_SESSION);
    }
}

static void
key_generations(void)
{
    coat_tag_keys both = {.key = {{1}, {2}}, .count = 2}, old = {.key = {{2}}, .count = 1};
    coat_tag_keys fresh = {.key = {{1}, {2}}, .count = 1}, none = {.key = {{1}, {2}}};
    coat_tag_keys strange = {.key = {{1}, {2}}, .count = 77};
    test_rng rng = {6};
    coat_token token = fixture_token(&rng, &old), got;
    char text[COAT_TOKEN_CHARS];
    coat_span span = fixture_text(text, sizeof text);

    coat_token_encode(&token, text);
    CHECK_ERR(coat_token_open(span, &old, &got), COAT_OK);
    CHECK_ERR(coat_token_open(span, &both, &got), COAT_OK);
    CHECK(memcmp(&got, &token, sizeof got) == 0);
    CHECK_ERR(coat_token_open(span, &strange, &got), COAT_OK); /* never reads beyond two */
    CHECK_ERR(coat_token_open(span, &fresh, &got), COAT_NO_SESSION);
    CHECK_ERR(coat_token_open(span, &none, &got), COAT_NO_SESSION);
    coat_token_tag(&token, &both);
    coat_token_encode(&token, text);
    CHECK_ERR(coat_token_open(span, &fresh, &got), COAT_OK); /* [0] signs */
    CHECK_ERR(coat_token_open(span, &old, &got), COAT_NO_SESSION);
}

/* coat_token_open() step by step: what was read is judged by all of its bytes. */
static void
in_steps(void)
{
    coat_tag_keys keys = {.key = {{1}, {2}}, .count = 2}, second = {.key = {{2}}, .count = 1};
    test_rng rng = {8};

    for (int round = 0; round < 20; round++) {
        coat_token token = fixture_token(&rng, round % 2 == 0 ? &keys : &second), got;
        char text[COAT_TOKEN_CHARS];
        uint8_t *bytes = (uint8_t *)&got;

        coat_token_encode(&token, text);
        CHECK(coat_token_read(fixture_text(text, sizeof text), &got));
        CHECK(memcmp(&got, &token, sizeof got) == 0);
        CHECK(coat_token_tag_fits(&got, &keys));
        CHECK_INT(coat_token_tag_fits(&got, &second), round % 2 != 0);
        for (size_t bit = 0; bit < 8 * sizeof got; bit++) {
            bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
            CHECK(!coat_token_tag_fits(&got, &keys));
            bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        CHECK(!coat_token_read(fixture_text(text, sizeof text - 1), &got));
        coat_token_wipe(&got);
        for (size_t i = 0; i < sizeof got; i++)
            CHECK_INT(bytes[i], 0);
    }
}

static void
handles(void)
{
    test_rng rng = {7};
    coat_token a = fixture_token(&rng, &one_key), b = fixture_token(&rng, &one_key);
    char text[COAT_HANDLE_CHARS];
    coat_handle back = {{0}};

    coat_handle_encode(&a.handle, text);
    CHECK_ERR(coat_handle_decode(fixture_text(text, sizeof text), &back), COAT_OK);
    CHECK(coat_handle_equal(&back, &a.handle) && !coat_handle_equal(&back, &b.handle));
    text[sizeof text - 1]++; /* unused bits */
    CHECK_ERR(coat_handle_decode(fixture_text(text, sizeof text), &back), COAT_MALFORMED);
    CHECK(coat_handle_equal(&back, &a.handle));
    CHECK_ERR(coat_handle_decode(COAT_LIT(""), &back), COAT_MALFORMED);
}

/* What the gate writes on each request is the head of what the browser sent. */
static void
handle_of_text(void)
{
    test_rng rng = {8};

    for (int i = 0; i < 1000; i++) {
        coat_token token = fixture_token(&rng, &one_key);
        char text[COAT_TOKEN_CHARS], want[COAT_HANDLE_CHARS], got[COAT_HANDLE_CHARS];

        coat_token_encode(&token, text);
        coat_handle_encode(&token.handle, want);
        coat_handle_of_text(fixture_text(text, sizeof text), &token.handle, got);
        CHECK_MEM(got, sizeof got, want, sizeof want);
    }
}

static void
digest_and_wipe(void)
{
    /* BLAKE2b-256 of 16 zero bytes, from Python's hashlib */
    static const char want[] =
        "94c1c088cc9453996779630ad3af45cbd92814828dd784cf2aa12df95d1b8afe";
    coat_token token;
    uint8_t digest[COAT_DIGEST_BYTES];
    char hex[2 * sizeof digest + 1];

    memset(&token, 0, sizeof token);
    coat_secret_digest(token.secret, digest);
    (void)sodium_bin2hex(hex, sizeof hex, digest, sizeof digest);
    CHECK_STR(hex, want);
    memset(&token, 0xFF, sizeof token);
    coat_token_wipe(&token);
    CHECK(sodium_is_zero((const uint8_t *)&token, sizeof token));
}

/* The format is what clients hold: it cannot drift unnoticed. */
static void
golden_token(void)
{
    coat_tag_keys keys = {.key = {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}},
                          .count = 1};
    coat_token token;
    char text[COAT_TOKEN_CHARS];

    for (size_t i = 0; i < sizeof token; i++)
        ((uint8_t *)&token)[i] = (uint8_t)i;
    coat_token_tag(&token, &keys);
    coat_token_encode(&token, text);
    CHECK_MEM(text, sizeof text, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh_OfPJyL1EncQ",
              sizeof text);
}

static const coat_test tests[] = {
    {"ID-4: only one spelling decodes, and refusing leaves the output alone", decode_table},
    {"ID-4: every byte at every place decodes as RFC 4648 says", every_byte_everywhere},
    {"ID-4: mutated and foreign values are refused", mutations_are_refused},
    {"ID-4: a token with any bit changed is refused by its tag", every_bit_is_tagged},
    {"base64url: known vectors and impossible lengths", b64url_vectors},
    {"base64url: all lengths round-trip and agree with a plain decoder", b64url_all_lengths},
    {"ID-1: minted tokens are canonical and never repeat", mint_many},
    {"ID-1: every bit of a secret is set half of the time", secret_bits},
    {"ID-1: owners of sequential user ids look random", sequential_owners},
    {"ID-1: a serial is time and 20 random bits, ordered by time", serial},
    {"ID-1: a time out of range is cut, not wrapped", serial_out_of_range},
    {"ID-2: without random bytes nothing is issued", mint_without_random},
    {"both live tag keys are accepted, the newest signs", key_generations},
    {"ID-2: read and judged in two steps", in_steps},
    {"handles have one spelling", handles},
    {"a handle's text is the head of its token's", handle_of_text},
    {"a digest is BLAKE2b-256; wiping wipes", digest_and_wipe},
    {"UP-1: the token format has not drifted", golden_token},
};
COAT_TEST_MAIN(tests)
