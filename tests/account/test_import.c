/* SPDX-License-Identifier: Apache-2.0 */
#include "account/hash.h"
#include "account/md.h"
#include "fixture.h"

#define P GOOD_PASSWORD

/* Made with libxcrypt's crypt(3), htpasswd, and Python's hashlib. */
static const struct import_case {
    const char *kind, *hash, *password;
} imports[] = {
    {"md5crypt", "$1$saltsalt$m4Fk/54D0I8Zhad25H/Zn0", P},
    {"sha256crypt", "$5$saltstring$BFECC7GxHCJTqNWaKeQAgmm8dajS8YfuE.HkmCGHUVD", P},
    {"sha256crypt", "$5$rounds=1500$saltstring$UJcvsGB0Os1yU./XT0Sb7hvhbX6gjssJyEqtsVys32C", P},
    {"sha512crypt",
     "$6$saltstring$t2WlrtQ66OoDF.6FJDyJcpTFvFonQY50wNsmtWMbQUuLaQeV8vvX25b."
     "r3pltzdyPzREWCl4eTYocqItCeeUb/",
     P},
    {"sha512crypt",
     "$6$rounds=1000$saltstring$qlCqL3uVfkkh33fnt4uQCZd5ONOYO/GzKljrcEgRlh5vy0ZHSiXCD7/."
     "EddDw1E0ww8RSp7dIIu0utlsid0wC.",
     "p\xc3\xa9"
     "ch\xc3\xa9 mignon, \xc3\xa0 c\xc3\xb4t\xc3\xa9"},
    {"bcrypt", "$2b$04$abcdefghijklmnopqrstuulp43PMGA/inwhu6N/4m3g9JEXtwYYoW", P},
    {"bcrypt", "$2a$04$abcdefghijklmnopqrstuulp43PMGA/inwhu6N/4m3g9JEXtwYYoW", P},
    {"bcrypt", "$2y$04$JqcK7U0o00jabo3WwRszseJVNAEzeeoSbQge968HjEY9wwh44PcXO", P},
    {"yescrypt", "$y$j75$saltsaltsalt$NTbTcZqSSo0QdhN.N5EPzUkfvt/2T8H4d2oY5TM4c.8", P},
    {"yescrypt", "$y$j9T$saltsaltsalt$KtpjDIz7Ptk7xM29i/BhTM0nmEn/w8ITdASIK1Ws2j5", P},
    {"scrypt", "$7$CU..../....saltsalt$EcTyKl5yOI43YvqZ8y8BaHOl6OmZBTRi04FExmoq6Q6", P},
    {"scrypt", "$scrypt$ln=10,r=8,p=1$c2FsdGJ5dGVz$dr1g7QS7N9WrYvHREDLS8aKkIf1qr3l0Gb8IsGGOzvs",
     P},
    {"scrypt",
     "$scrypt$ln=6,r=4,p=3$c2FsdGJ5dGVz$hwqXMEDOF3BDfsO7MWu1QG8LtUQKr/"
     "BbpV4RSlklXEO8s5q2ISy5ZOQnTHwImQrtrfJI0uNhuVCcuL1pq9EG7w",
     P},
    {"pbkdf2-sha256",
     "$pbkdf2-sha256$1$c2FsdP/..2J5dGVzMTIz$IajscEMDS7hn3XmB/Oiv42tJ2ih3h7QxVcy6a5PWshQ", P},
    {"pbkdf2-sha256",
     "$pbkdf2-sha256$1000$c2FsdP/..2J5dGVzMTIz$lGVCPYqXxqYmNtc2rzAOo9xwLgiDSsJB4ZvMaqXIjek", P},
    {"pbkdf2-sha256",
     "$pbkdf2-sha256$i=1000,l=32$c2FsdP/++2J5dGVzMTIz$"
     "lGVCPYqXxqYmNtc2rzAOo9xwLgiDSsJB4ZvMaqXIjek",
     P},
    {"pbkdf2-sha256",
     "pbkdf2_sha256$1000$NaClNaClNaCl$UDc+PBk7E6n3ttwmKz6kLNSwqfPzdy6kDpzGg8mXcdk=", P},
    {"argon2id",
     "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc",
     "password"},
#ifdef COAT_HAVE_LIBMD
    {"apr1", "$apr1$wTp/3Ctr$N8JtS68ZjsGAqKTxnhXRT0", P},
    {"apr1", "$apr1$yyibTlsV$8.zfg3LgPQOM5gfcXIxk0/", "x"},
    {"apr1", "$apr1$LehcMiKt$8HeE/nT0Wz3MNYXnTX5La1", "0123456789abcdef0"},
    {"sha1", "{SHA}vw084IWqCBwB0ennUIflWNi1Exg=", P},
#endif
};

static void
test_import_and_renew(void)
{
    char name[24];
    fixture f;

    fixture_init(&f);
    for (size_t i = 0; i < sizeof imports / sizeof imports[0]; i++) {
        const struct import_case *c = &imports[i];
        const char *kind = NULL;
        char wrong[64], message[200];
        coat_directory_stats before, after;

        test_case(c->hash);
        (void)snprintf(name, sizeof name, "user-%zu", i);
        (void)snprintf(wrong, sizeof wrong, "%s.", c->password);
        CHECK_ERR(coat_hash_check(coat_span_of(c->hash), &kind, message, sizeof message),
                  COAT_OK);
        REQUIRE(kind != NULL);
        CHECK_STR(kind, c->kind);
        REQUIRE_OK(fixture_import(&f, name, c->hash));
        coat_directory_stats_get(f.directory, &before);
        CHECK_ERR(fixture_sign_in(&f, name, wrong), COAT_DENIED);
        CHECK_ERR(fixture_sign_in(&f, name, c->password), COAT_OK);
        CHECK_ERR(fixture_sign_in(&f, name, c->password), COAT_OK);
        CHECK_ERR(fixture_sign_in(&f, name, wrong), COAT_DENIED);
        coat_directory_stats_get(f.directory, &after);
        CHECK_INT(after.rehashes - before.rehashes, 1);
    }
    fixture_fini(&f);
}

static char kind_seen[32];

static void
note_kind(coat_account_call *call, const coat_account *account)
{
    (void)call;
    (void)snprintf(kind_seen, sizeof kind_seen, "%.*s", (int)account->hash_kind.len,
                   (const char *)account->hash_kind.ptr);
}

static void
test_kind_shown(void)
{
    const coat_account_call show = {
        .op = COAT_ACCOUNT_SHOW, .name = COAT_LIT("alice"), .item = note_kind};
    fixture f;

    fixture_init(&f);
    REQUIRE_OK(fixture_import(&f, "alice", imports[5].hash));
    REQUIRE_OK(fixture_run(&f, show));
    CHECK_STR(kind_seen, "bcrypt");
    CHECK_ERR(fixture_sign_in(&f, "alice", WRONG_PASSWORD), COAT_DENIED);
    REQUIRE_OK(fixture_run(&f, show));
    CHECK_STR(kind_seen, "bcrypt");
    CHECK_ERR(fixture_sign_in(&f, "alice", P), COAT_OK);
    REQUIRE_OK(fixture_run(&f, show));
    CHECK_STR(kind_seen, "argon2id");
    fixture_fini(&f);
}

/* crypt(3) sees a C string and bcrypt 72 bytes: more of a password must not be passed over. */
static void
test_no_truncation(void)
{
    static const char bcrypt72[] =
        "$2b$04$abcdefghijklmnopqrstuubzadhGtS2zEF.gu0yd0opP6cVzb.e0i";
    uint8_t password[80];
    coat_hash hash;

    memset(password, 'x', sizeof password);
    REQUIRE_OK(coat_hash_parse(coat_span_of(bcrypt72), &hash, NULL, 0));
    CHECK(coat_hash_verify(&hash, NULL, (coat_span){password, 72}));
    CHECK(!coat_hash_verify(&hash, NULL, (coat_span){password, 71}));
    CHECK(!coat_hash_verify(&hash, NULL, (coat_span){password, 73}));
    REQUIRE_OK(coat_hash_parse(coat_span_of(imports[3].hash), &hash, NULL, 0));
    CHECK(coat_hash_verify(&hash, NULL, COAT_LIT(P)));
    CHECK(!coat_hash_verify(&hash, NULL, COAT_LIT(P "\0")));
    CHECK(!coat_hash_verify(&hash, NULL, COAT_LIT(P "\0more")));
}

static const struct {
    const char *hash;
    coat_err want;
    const char *says;
} refused[] = {
    {"$2b$15$abcdefghijklmnopqrstuulp43PMGA/inwhu6N/4m3g9JEXtwYYoW", COAT_TOO_LARGE, "cost"},
    {"$2b$03$abcdefghijklmnopqrstuulp43PMGA/inwhu6N/4m3g9JEXtwYYoW", COAT_MALFORMED, "bcrypt"},
    {"$2b$4$abcdefghijklmnopqrstuulp43PMGA/inwhu6N/4m3g9JEXtwYYoWx", COAT_MALFORMED, "bcrypt"},
    {"$2x$04$abcdefghijklmnopqrstuulp43PMGA/inwhu6N/4m3g9JEXtwYYoW", COAT_UNSUPPORTED,
     "bcrypt"},
    {"$2b$04$abcdefghijklmnopqrstuulp43PMGA/inwhu6N/4m3g9JEXtwYYo", COAT_MALFORMED, "53"},
    {"$2b$04$abcdefghijklmnopqrstuulp43PMGA/inwhu6N/4m3g9JEXtwYY:W", COAT_MALFORMED, "53"},
    {"$5$rounds=1000001$saltstring$UJcvsGB0Os1yU./XT0Sb7hvhbX6gjssJyEqtsVys32C", COAT_TOO_LARGE,
     "rounds"},
    {"$5$rounds=$saltstring$UJcvsGB0Os1yU./XT0Sb7hvhbX6gjssJyEqtsVys32C", COAT_MALFORMED,
     "$6$"},
    {"$y$jFT$saltsaltsalt$KtpjDIz7Ptk7xM29i/BhTM0nmEn/w8ITdASIK1Ws2j5", COAT_TOO_LARGE,
     "cost factors"},
    {"$7$zU..../....saltsalt$EcTyKl5yOI43YvqZ8y8BaHOl6OmZBTRi04FExmoq6Q6", COAT_TOO_LARGE,
     "64 MiB"},
    {"$scrypt$ln=17,r=8,p=1$c2FsdGJ5dGVz$dr1g7QS7N9WrYvHREDLS8aKkIf1qr3l0Gb8IsGGOzvs",
     COAT_TOO_LARGE, "64 MiB"},
    {"$scrypt$ln=10,r=8,p=17$c2FsdGJ5dGVz$dr1g7QS7N9WrYvHREDLS8aKkIf1qr3l0Gb8IsGGOzvs",
     COAT_TOO_LARGE, "64 MiB"},
    {"$scrypt$ln=0,r=8,p=1$c2FsdGJ5dGVz$dr1g7QS7N9WrYvHREDLS8aKkIf1qr3l0Gb8IsGGOzvs",
     COAT_MALFORMED, "ln=16"},
    {"$pbkdf2-sha256$2000001$c2FsdA$lGVCPYqXxqYmNtc2rzAOo9xwLgiDSsJB4ZvMaqXIjek",
     COAT_TOO_LARGE, "iterations"},
    {"$pbkdf2-sha256$0$c2FsdA$lGVCPYqXxqYmNtc2rzAOo9xwLgiDSsJB4ZvMaqXIjek", COAT_MALFORMED,
     "Django"},
    {"$pbkdf2-sha256$-1$c2FsdA$lGVCPYqXxqYmNtc2rzAOo9xwLgiDSsJB4ZvMaqXIjek", COAT_MALFORMED,
     "Django"},
    {"$argon2id$v=19$m=65537,t=1,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
     COAT_TOO_LARGE, "m=65536"},
    {"$argon2id$v=19$m=65536,t=17,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
     COAT_TOO_LARGE, "m x t"},
    {"$argon2id$v=19$m=65536,t=1,p=17$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
     COAT_TOO_LARGE, "p=16"},
    {"rqXexS6ZhobKA", COAT_UNSUPPORTED, "bcrypt"},
    {"{SSHA}c2FsdHNhbHRzYWx0c2FsdHNhbHRzYWx0", COAT_UNSUPPORTED, "{SHA}"},
    {"{SHA}short=", COAT_MALFORMED, "{SHA}"},
    {"$apr1$waytoolongsalt$N8JtS68ZjsGAqKTxnhXRT0", COAT_MALFORMED, "$apr1$"},
    {"plain text", COAT_UNSUPPORTED, "set a new password"},
};

static void
test_refused(void)
{
    fixture f;

    fixture_init(&f);
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        const char *kind = NULL;
        char message[400] = "";

        test_case(refused[i].hash);
        CHECK_ERR(
            coat_hash_check(coat_span_of(refused[i].hash), &kind, message, sizeof message),
            refused[i].want);
        CHECK(kind == NULL);
        if (strstr(message, refused[i].says) == NULL)
            test_fail(__FILE__, __LINE__, "message: %s", message);
        CHECK_ERR(fixture_import(&f, "alice", refused[i].hash), COAT_INVALID);
    }
    test_case(NULL);
    CHECK_ERR(fixture_do(&f, COAT_ACCOUNT_SHOW, "alice"), COAT_NOT_FOUND);
    fixture_fini(&f);
}

static const coat_test tests[] = {
    {"LG-2: imported hashes verify, and are Argon2id after the first sign-in",
     test_import_and_renew},
    {"LG-2: the kind of a hash is shown", test_kind_shown},
    {"LG-3: imported hashes do not truncate", test_no_truncation},
    {"LG-10: costs and spellings out of bounds are refused before computing", test_refused},
};
COAT_TEST_MAIN(tests)
