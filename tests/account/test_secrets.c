/* SPDX-License-Identifier: Apache-2.0 */
#include "account/md.h"
#include "fixture.h"
#include <fcntl.h>
#include <sodium.h>
#include <unistd.h>

/*
 * The canary stands nowhere in this program: it is kept inverted and compared inverted, so that
 * a hit in the memory of the process is a copy that somebody has left.
 */
enum { CANARY = 24, SECRET = 40, CHUNK = 1 << 16 };

static uint8_t inverted[CANARY];

static void
secret_make(uint8_t secret[SECRET], const char *tail)
{
    size_t len = strlen(tail);

    for (unsigned i = 0; i < CANARY; i++)
        secret[i] = (uint8_t)~inverted[i];
    memset(secret + CANARY, '.', SECRET - CANARY);
    memcpy(secret + CANARY, tail, len);
}

static unsigned
chunk_hits(const uint8_t *bytes, size_t len)
{
    unsigned hits = 0;

    for (size_t i = 0; i + CANARY <= len; i++) {
        unsigned k = 0;

        while (k < CANARY && (bytes[i + k] ^ inverted[k]) == 0xff)
            k++;
        hits += k == CANARY;
    }
    return hits;
}

/* Copies of the canary in all writable memory but the buffer that memory is read into. */
static unsigned
memory_hits(void)
{
    static uint8_t buf[CHUNK];
    FILE *maps = fopen("/proc/self/maps", "re");
    int mem = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    char line[512];
    unsigned hits = 0;

    REQUIRE(maps != NULL && mem >= 0);
    while (fgets(line, sizeof line, maps) != NULL) {
        unsigned long from, to;
        char mode[5];

        if (sscanf(line, "%lx-%lx %4s", &from, &to, mode) != 3 || mode[0] != 'r' ||
            mode[1] != 'w')
            continue;
        for (unsigned long at = from; at < to; at += CHUNK - CANARY) {
            size_t want = to - at < CHUNK ? to - at : CHUNK;
            ssize_t got;

            if (at <= (unsigned long)(uintptr_t)(buf + CHUNK) &&
                at + want >= (unsigned long)(uintptr_t)buf)
                continue;
            got = pread(mem, buf, want, (off_t)at);
            if (got > 0)
                hits += chunk_hits(buf, (size_t)got);
        }
    }
    sodium_memzero(buf, sizeof buf);
    (void)fclose(maps);
    (void)close(mem);
    return hits;
}

__attribute__((unused)) static void
run_and_look(fixture *f, coat_account_op op, const char *tail, coat_err want)
{
    uint8_t *secret = malloc(SECRET);
    coat_account_call call = {
        .op = op, .name = COAT_LIT("alice"), .password = {secret, SECRET}};

    REQUIRE(secret != NULL);
    secret_make(secret, tail);
    CHECK_ERR(fixture_run(f, call), want);
    CHECK(memory_hits() >= 1); /* the caller's own: the search finds what is there */
    sodium_memzero(secret, SECRET);
    free(secret);
    memset(&f->call, 0, sizeof f->call);
    CHECK_INT(memory_hits(), 0);
}

static void
test_memory_clean(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    test_skip("sanitizers keep copies of memory");
#else
    static const uint8_t pepper[32] = "a server-side key of 32 bytes...";
    static const char *const tails[] = {"plain", "cafe\xcc\x81", "not \xff utf-8"};
    test_rng rng = {99};
    fixture f;

    for (unsigned i = 0; i < CANARY; i++)
        inverted[i] = (uint8_t) ~('a' + test_rng_below(&rng, 26));
    for (unsigned p = 0; p < 2; p++)
        for (unsigned t = 0; t < 3; t++) {
            test_case(tails[t]);
            fixture_prepare(&f, "memory:");
            f.conf.pepper = p != 0 ? pepper : NULL;
            fixture_open(&f, &fixture_weak);
            if (t < 2) {
                run_and_look(&f, COAT_ACCOUNT_ADD, tails[t], COAT_OK);
                run_and_look(&f, COAT_ACCOUNT_SIGN_IN, tails[t], COAT_OK);
                run_and_look(&f, COAT_ACCOUNT_SIGN_IN, "other", COAT_DENIED);
                run_and_look(&f, COAT_ACCOUNT_SET_PASSWORD, "newer", COAT_OK);
            }
            run_and_look(&f, COAT_ACCOUNT_SIGN_IN, tails[t], COAT_DENIED);
            fixture_fini(&f);
        }
    test_case(NULL);
#endif
}

/* The verifiers of other systems' hashes, libcrypt among them, leave nothing either. */
static void
test_memory_clean_import(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    test_skip("sanitizers keep copies of memory");
#else
    static const char *const hashes[] = {
        "$1$saltsalt$m4Fk/54D0I8Zhad25H/Zn0",
        "$5$rounds=1500$saltstring$UJcvsGB0Os1yU./XT0Sb7hvhbX6gjssJyEqtsVys32C",
        "$2b$04$abcdefghijklmnopqrstuulp43PMGA/inwhu6N/4m3g9JEXtwYYoW",
        "$y$j75$saltsaltsalt$NTbTcZqSSo0QdhN.N5EPzUkfvt/2T8H4d2oY5TM4c.8",
        "$scrypt$ln=10,r=8,p=1$c2FsdGJ5dGVz$dr1g7QS7N9WrYvHREDLS8aKkIf1qr3l0Gb8IsGGOzvs",
        "pbkdf2_sha256$1000$NaClNaClNaCl$UDc+PBk7E6n3ttwmKz6kLNSwqfPzdy6kDpzGg8mXcdk=",
        "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc",
#ifdef COAT_HAVE_LIBMD
        "$apr1$wTp/3Ctr$N8JtS68ZjsGAqKTxnhXRT0",
        "{SHA}vw084IWqCBwB0ennUIflWNi1Exg=",
#endif
    };
    test_rng rng = {98};
    fixture f;

    for (unsigned i = 0; i < CANARY; i++)
        inverted[i] = (uint8_t) ~('a' + test_rng_below(&rng, 26));
    for (size_t i = 0; i < sizeof hashes / sizeof hashes[0]; i++) {
        test_case(hashes[i]);
        fixture_init(&f);
        REQUIRE_OK(fixture_import(&f, "alice", hashes[i]));
        run_and_look(&f, COAT_ACCOUNT_SIGN_IN, "wrong", COAT_DENIED);
        fixture_fini(&f);
    }
    test_case(NULL);
#endif
}

static bool
file_has(const char *path, coat_span needle)
{
    FILE *file = fopen(path, "re");
    uint8_t *bytes = malloc(8 << 20);
    size_t len;
    bool found;

    REQUIRE(file != NULL && bytes != NULL);
    len = fread(bytes, 1, 8 << 20, file);
    found = memmem(bytes, len, needle.ptr, needle.len) != NULL;
    free(bytes);
    (void)fclose(file);
    return found;
}

static void
test_not_stored(void)
{
    long users = test_scaled(10000, 50);
    char url[300], path[340], hash[COAT_HASH_MAX + 1];
    const char *dir = test_tmpdir();
    uint8_t stored[4096];
    coat_entry entry;
    size_t len;
    fixture f;

    (void)snprintf(url, sizeof url, "lmdb:%s", dir);
    (void)snprintf(path, sizeof path, "%s/data.mdb", dir);
    fixture_prepare(&f, url);
    fixture_open(&f, &fixture_weak);
    for (long i = 0; i < users; i++) {
        char name[32];

        (void)snprintf(name, sizeof name, "user-%ld", i);
        REQUIRE_OK(fixture_add(&f, name, GOOD_PASSWORD));
        CHECK_ERR(fixture_sign_in(&f, name, GOOD_PASSWORD), COAT_OK);
        CHECK_ERR(fixture_sign_in(&f, name, WRONG_PASSWORD), COAT_DENIED);
    }
    /* what is stored opens nothing */
    len = fixture_stored(&f, COAT_SPACE_ACCOUNT, fixture_address(&f, "user-7"), stored,
                         sizeof stored, NULL);
    REQUIRE(len > COAT_MARK_BYTES);
    REQUIRE_OK(coat_entry_decode((coat_span){stored, len - COAT_MARK_BYTES}, &entry));
    CHECK_ERR(fixture_sign_in_span(&f, COAT_LIT("user-7"), entry.hash), COAT_DENIED);
    (void)snprintf(hash, sizeof hash, "%.*s", (int)entry.hash.len,
                   (const char *)entry.hash.ptr);
    fixture_fini(&f);
    CHECK(file_has(path, coat_span_of("$argon2id$"))); /* the search finds what is there */
    CHECK(!file_has(path, COAT_LIT(GOOD_PASSWORD)));
    CHECK(!file_has(path, COAT_LIT(WRONG_PASSWORD)));
}

static const coat_test tests[] = {
    {"HD-6: no copy of a password is left in memory", test_memory_clean},
    {"HD-6: nor when it is checked against an imported hash", test_memory_clean_import},
    {"ST-1: no password is stored, and what is stored opens nothing", test_not_stored},
};
COAT_TEST_MAIN(tests)
