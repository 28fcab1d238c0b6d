/* SPDX-License-Identifier: Apache-2.0 */
#include "account/hash.h"
#include "coat_test.h"
#include "core/bytes.h"
#include "fixture.h"
#include <sodium.h>

/*
 * The vectors of RFC 9106 need a secret and associated data, which libsodium's interface does
 * not take. These are those of the reference implementation (phc-winner-argon2, test.c).
 */
static const struct {
    const char *text, *password;
} reference[] = {
    {"$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$"
     "nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
     "password"},
    {"$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$"
     "bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc",
     "password"},
    {"$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$"
     "CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
     "password"},
    {"$argon2i$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$"
     "wWKIMhR9lyDFvRz9YTZweHKfbftvj+qf+YFY4NeBbtA",
     "password"},
};

static const coat_hash_params weak = {8, 1, NULL};

static void
test_reference(void)
{
    for (size_t i = 0; i < sizeof reference / sizeof reference[0]; i++) {
        coat_hash hash;

        test_case(reference[i].text);
        REQUIRE_OK(coat_hash_parse(coat_span_of(reference[i].text), &hash, NULL, 0));
        CHECK(coat_hash_verify(&hash, &weak, coat_span_of(reference[i].password)));
        CHECK(!coat_hash_verify(&hash, &weak, COAT_LIT("passwore")));
    }
    test_case(NULL);
}

/* Our own strings, read by libsodium's verifier, which shares no code with our spelling. */
static void
test_independent(void)
{
    const coat_hash_params params[] = {{8, 1, NULL}, {32, 3, NULL}, {19456, 2, NULL}};
    uint8_t salt[COAT_SALT_BYTES] = "sixteen bytes ok";
    char text[COAT_HASH_MAX + 1];

    for (size_t i = 0; i < sizeof params / sizeof params[0]; i++) {
        coat_hash hash;

        REQUIRE_OK(coat_hash_make(&params[i], COAT_LIT(GOOD_PASSWORD), salt, text));
        CHECK(crypto_pwhash_argon2id_str_verify(text, GOOD_PASSWORD,
                                                sizeof GOOD_PASSWORD - 1) == 0);
        REQUIRE_OK(coat_hash_parse(coat_span_of(text), &hash, NULL, 0));
        CHECK_INT(hash.salt_len, 16);
        CHECK_INT(hash.tag_len, 32);
        CHECK_INT(hash.lanes, 1);
        CHECK(coat_hash_verify(&hash, &params[i], COAT_LIT(GOOD_PASSWORD)));
        CHECK(!coat_hash_verify(&hash, &params[i], COAT_LIT(WRONG_PASSWORD)));
        CHECK(!coat_hash_verify(&hash, &params[i], COAT_LIT("")));
        CHECK(!coat_hash_outdated(&hash, &params[i]));
        CHECK(coat_hash_outdated(&hash, &params[(i + 1) % 3]));
    }
    CHECK(strncmp(text, "$argon2id$v=19$m=19456,t=2,p=1$", 31) == 0);
}

static void
test_weak_settings(void)
{
    static const struct {
        uint32_t kib, passes;
        bool fine;
    } cases[] = {
        {47103, 1, false}, {19455, 2, false}, {12287, 3, false}, {12288, 2, false},
        {19456, 1, false}, {0, 2, false},     {19456, 0, false}, {8, 64, false},
        {47104, 1, true},  {19456, 2, true},  {12288, 3, true},  {12288, 10, true},
    };
    fixture f;

    fixture_prepare(&f, "memory:");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        coat_directory *directory = NULL;
        char message[160] = "", name[32];

        (void)snprintf(name, sizeof name, "m=%u,t=%u", cases[i].kib, cases[i].passes);
        test_case(name);
        f.conf.argon_kib = cases[i].kib;
        f.conf.argon_passes = cases[i].passes;
        CHECK_ERR(coat_directory_new(&f.conf, &directory, message, sizeof message),
                  cases[i].fine ? COAT_OK : COAT_INVALID);
        CHECK((directory != NULL) == cases[i].fine);
        CHECK((strstr(message, "Argon2id") == NULL) == cases[i].fine);
        coat_directory_free(directory);
    }
    test_case(NULL);
    fixture_fini(&f);
}

static void
test_salts(void)
{
    enum { BYTES = COAT_SALT_BYTES };
    long count = test_scaled(100000, 500);
    uint8_t *salts = calloc((size_t)count, BYTES), stored[4096];
    fixture f;

    REQUIRE(salts != NULL);
    fixture_init(&f);
    f.conf.rng = NULL; /* the system's */
    fixture_shut(&f);
    fixture_open(&f, &fixture_weak);
    for (long i = 0; i < count; i++) {
        coat_entry entry;
        coat_hash hash;
        char name[32];
        size_t len;

        (void)snprintf(name, sizeof name, "user-%ld", i);
        REQUIRE_OK(fixture_add(&f, name, GOOD_PASSWORD));
        len = fixture_stored(&f, COAT_SPACE_ACCOUNT, fixture_address(&f, name), stored,
                             sizeof stored, NULL);
        REQUIRE(len > COAT_MARK_BYTES);
        REQUIRE_OK(coat_entry_decode((coat_span){stored, len - COAT_MARK_BYTES}, &entry));
        REQUIRE_OK(coat_hash_parse(entry.hash, &hash, NULL, 0));
        memcpy(salts + i * BYTES, hash.salt, BYTES);
        for (long k = 0; k < i; k++)
            REQUIRE(memcmp(salts + k * BYTES, hash.salt, BYTES) != 0);
    }
    free(salts);
    fixture_fini(&f);
}

static void
test_pepper(void)
{
    static const uint8_t pepper[32] = "a server-side key of 32 bytes...", other[32] = "another";
    const coat_hash_params with = {8, 1, pepper}, wrong = {8, 1, other};
    uint8_t salt[COAT_SALT_BYTES] = {1};
    char text[COAT_HASH_MAX + 1], bare[COAT_HASH_MAX + 1], *key_id, *end;
    coat_hash hash;

    REQUIRE_OK(coat_hash_make(&with, COAT_LIT(GOOD_PASSWORD), salt, text));
    REQUIRE_OK(coat_hash_parse(coat_span_of(text), &hash, NULL, 0));
    CHECK(hash.peppered);
    CHECK(coat_hash_verify(&hash, &with, COAT_LIT(GOOD_PASSWORD)));
    CHECK(!coat_hash_verify(&hash, &with, COAT_LIT(WRONG_PASSWORD)));
    CHECK(!coat_hash_verify(&hash, &weak, COAT_LIT(GOOD_PASSWORD)));
    CHECK(!coat_hash_verify(&hash, &wrong, COAT_LIT(GOOD_PASSWORD)));
    CHECK(!coat_hash_outdated(&hash, &with));
    CHECK(coat_hash_outdated(&hash, &wrong));
    CHECK(coat_hash_outdated(&hash, &weak));

    /* nor does the tag verify for those who strike the key id from the string */
    (void)snprintf(bare, sizeof bare, "%s", text);
    key_id = strstr(bare, ",keyid=");
    REQUIRE(key_id != NULL);
    end = strchr(key_id, '$');
    REQUIRE(end != NULL);
    memmove(key_id, end, strlen(end) + 1);
    REQUIRE_OK(coat_hash_parse(coat_span_of(bare), &hash, NULL, 0));
    CHECK(!hash.peppered);
    CHECK(!coat_hash_verify(&hash, &weak, COAT_LIT(GOOD_PASSWORD)));
    CHECK(crypto_pwhash_argon2id_str_verify(bare, GOOD_PASSWORD, sizeof GOOD_PASSWORD - 1) !=
          0);
    CHECK_ERR(coat_hash_check(coat_span_of(text), NULL, NULL, 0), COAT_UNSUPPORTED);
}

/* A server with the key opens; one without does not; one that gets a key renews hashes. */
static void
test_pepper_directory(void)
{
    static const uint8_t pepper[32] = "a server-side key of 32 bytes...";
    coat_directory_stats stats;
    fixture f;

    fixture_init(&f);
    REQUIRE_OK(fixture_add(&f, "alice", GOOD_PASSWORD));
    fixture_shut(&f);
    f.conf.pepper = pepper;
    fixture_open(&f, &fixture_weak);
    CHECK_ERR(fixture_sign_in(&f, "alice", GOOD_PASSWORD), COAT_OK);
    CHECK_ERR(fixture_sign_in(&f, "alice", GOOD_PASSWORD), COAT_OK);
    coat_directory_stats_get(f.directory, &stats);
    CHECK_INT(stats.rehashes, 1);
    fixture_shut(&f);
    f.conf.pepper = NULL;
    fixture_open(&f, &fixture_weak);
    CHECK_ERR(fixture_sign_in(&f, "alice", GOOD_PASSWORD), COAT_DENIED);
    fixture_fini(&f);
}

static const char *const malformed[] = {
    "",
    "$",
    "$argon2id$",
    "$argon2id$v=16$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
    "$argon2id$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
    "$argon2id$v=19$m=0256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
    "$argon2id$v=19$m=256,t=0,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
    "$argon2id$v=19$m=256,t=2,p=0$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
    "$argon2id$v=19$m=7,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
    "$argon2id$v=19$t=2,m=256,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
    "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHR$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
    "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/5",
    "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ=$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
    "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4$",
    "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$\x84_65EOgLrQMR",
    "$argon2id$v=19$m=99999999999,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMC",
    "$argon2id$v=19$m=256,t=2,p=1,keyid=AAAA$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQw",
    "$argon2id$v=19$m=256,t=2,p=1$$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
};

static void
test_malformed(void)
{
    char long_text[COAT_HASH_MAX + 2];
    coat_hash hash, before;

    memset(&before, 0xA5, sizeof before);
    for (size_t i = 0; i < sizeof malformed / sizeof malformed[0]; i++) {
        char message[200] = "";

        test_case(malformed[i]);
        hash = before;
        CHECK(coat_hash_parse(coat_span_of(malformed[i]), &hash, message, sizeof message) !=
              COAT_OK);
        CHECK(message[0] != '\0');
        CHECK_MEM(&hash, sizeof hash, &before, sizeof before);
    }
    test_case(NULL);
    memset(long_text, 'a', sizeof long_text);
    CHECK(coat_hash_parse((coat_span){(const uint8_t *)long_text, sizeof long_text}, &hash,
                          NULL, 0) == COAT_MALFORMED);
}

static const coat_test tests[] = {
    {"LG-1: Argon2 reference vectors", test_reference},
    {"LG-1: hashes are PHC strings that libsodium's own verifier takes", test_independent},
    {"LG-1: weak settings stop the start", test_weak_settings},
    {"LG-1: salts of one password all differ", test_salts},
    {"LG-1: without the server-side key no hash verifies", test_pepper},
    {"LG-1 LG-2: a server-side key is applied from the next sign-in on", test_pepper_directory},
    {"malformed hash strings are refused, with a reason", test_malformed},
};
COAT_TEST_MAIN(tests)
