/* SPDX-License-Identifier: Apache-2.0 */
#include "fault_store.h"
#include "fixture.h"
#include <sys/wait.h>

#define BCRYPT "$2b$04$abcdefghijklmnopqrstuulp43PMGA/inwhu6N/4m3g9JEXtwYYoW"

enum { OPERATIONS_MAX = 12 };

static void
test_store_errors(void)
{
    static const coat_err errors[] = {COAT_STORE_DOWN, COAT_STORE_FULL, COAT_IO,
                                      COAT_NO_MEMORY,  COAT_CANCELLED,  COAT_BUSY,
                                      COAT_INVALID};
    unsigned opened = 0, denied = 0;
    fixture f;

    fault_register();
    fixture_prepare(&f, "fault:memory:");
    fixture_open(&f, &fixture_weak);
    REQUIRE_OK(fixture_import(&f, "alice", BCRYPT));
    for (size_t e = 0; e < sizeof errors / sizeof errors[0]; e++)
        for (long n = 0; n < OPERATIONS_MAX; n++) {
            coat_err got;

            REQUIRE_OK(fixture_do(&f, COAT_ACCOUNT_ENABLE, "alice"));
            fault.with = errors[e];
            fault.left = n;
            got = fixture_sign_in(&f, "alice", GOOD_PASSWORD);
            if (fault.left == 0 && fault.refused) {
                CHECK_ERR(got, errors[e]);
                CHECK_STR(f.call.user, "");
                CHECK_STR(f.call.device_text, "");
                denied++;
            } else {
                CHECK_ERR(got, COAT_OK);
                opened++;
            }
            fault.left = n;
            CHECK(fixture_sign_in(&f, "alice", WRONG_PASSWORD) != COAT_OK);
            fault.left = -1;
        }
    CHECK(opened > 0 && denied >= 5 * sizeof errors / sizeof errors[0]);
    fixture_fini(&f);
}

/* An error that is gone the next moment is not passed over. */
static void
test_one_error(void)
{
    fixture f;

    fault_register();
    fixture_prepare(&f, "fault:memory:");
    fixture_open(&f, &fixture_weak);
    REQUIRE_OK(fixture_import(&f, "alice", BCRYPT));
    fault.once = true;
    for (long n = 0; n < 5; n++) {
        fault.left = n;
        CHECK_ERR(fixture_sign_in(&f, "alice", GOOD_PASSWORD), COAT_STORE_DOWN);
        CHECK_STR(f.call.user, "");
        CHECK_INT(fault.left, -1);
        REQUIRE_OK(fixture_do(&f, COAT_ACCOUNT_ENABLE, "alice"));
    }
    fixture_fini(&f);
}

/* Whoever loses the race for the counter counts after the winner, before any hash. */
static void
test_lost_count(void)
{
    static const coat_err lost[] = {COAT_CONFLICT, COAT_EXISTS, COAT_NO_SESSION};
    fixture f;

    fault_register();
    fixture_prepare(&f, "fault:memory:");
    fixture_open(&f, &fixture_weak);
    REQUIRE_OK(fixture_add(&f, "alice", GOOD_PASSWORD));
    fault.once = true;
    for (uint32_t i = 0; i < sizeof lost / sizeof lost[0]; i++) {
        fault.with = lost[i];
        fault.left = 2; /* account, counter, and then the write of it */
        CHECK_ERR(fixture_sign_in(&f, "alice", WRONG_PASSWORD), COAT_DENIED);
        CHECK_INT(fault.left, -1);
        CHECK_INT(fixture_failures(&f, "alice", COAT_CLIENT_UNKNOWN), i + 1);
    }
    fault.once = false; /* and one who always loses gives up */
    fault.with = COAT_CONFLICT;
    fault.left = 2;
    CHECK(fixture_sign_in(&f, "alice", GOOD_PASSWORD) != COAT_OK);
    fixture_fini(&f);
}

/* Absence and lost races, claimed by the store at every step, do not open either. */
static void
test_store_lies(void)
{
    static const coat_err answers[] = {COAT_NO_SESSION, COAT_CONFLICT, COAT_EXISTS,
                                       COAT_NOT_FOUND,  COAT_TAMPERED, COAT_DENIED};
    fixture f;

    fault_register();
    fixture_prepare(&f, "fault:memory:");
    fixture_open(&f, &fixture_weak);
    REQUIRE_OK(fixture_add(&f, "alice", GOOD_PASSWORD));
    for (size_t e = 0; e < sizeof answers / sizeof answers[0]; e++)
        for (long n = 0; n < 5; n++) {
            REQUIRE_OK(fixture_do(&f, COAT_ACCOUNT_ENABLE, "alice"));
            fault.with = answers[e];
            fault.left = n;
            CHECK(fixture_sign_in(&f, "alice", GOOD_PASSWORD) != COAT_OK || n == 4);
            CHECK_STR(f.call.device_text, "");
            fault.left = -1;
        }
    fixture_fini(&f);
}

static void
test_corrupt_records(void)
{
    uint8_t stored[4096], bad[4096];
    coat_handle address;
    size_t len;
    fixture f;

    fixture_init(&f);
    REQUIRE_OK(fixture_add(&f, "alice", GOOD_PASSWORD));
    REQUIRE_OK(fixture_add(&f, "mallory", "mallory's own long secret"));
    address = fixture_address(&f, "alice");
    len = fixture_stored(&f, COAT_SPACE_ACCOUNT, address, stored, sizeof stored, NULL);
    REQUIRE(len > 100);
    for (size_t bit = 0; bit < len * 8; bit++) {
        memcpy(bad, stored, len);
        bad[bit / 8] ^= (uint8_t)(1 << bit % 8);
        REQUIRE_OK(fixture_overwrite(&f, COAT_SPACE_ACCOUNT, address, (coat_span){bad, len}));
        fixture_rest(&f);
        if (fixture_sign_in(&f, "alice", GOOD_PASSWORD) != COAT_DENIED)
            test_fail(__FILE__, __LINE__, "bit %zu", bit);
    }
    CHECK_INT(f.events[COAT_EVENT_RECORD_TAMPERED], len * 8);
    /* mallory's record in alice's place: her password does not open alice */
    len = fixture_stored(&f, COAT_SPACE_ACCOUNT, fixture_address(&f, "mallory"), bad,
                         sizeof bad, NULL);
    REQUIRE_OK(fixture_overwrite(&f, COAT_SPACE_ACCOUNT, address, (coat_span){bad, len}));
    fixture_rest(&f);
    CHECK_ERR(fixture_sign_in(&f, "alice", "mallory's own long secret"), COAT_DENIED);
    /* cut, extended, empty-ish */
    for (size_t cut = 1; cut < 80; cut++) {
        REQUIRE_OK(
            fixture_overwrite(&f, COAT_SPACE_ACCOUNT, address, (coat_span){stored, cut}));
        fixture_rest(&f);
        CHECK_ERR(fixture_sign_in(&f, "alice", GOOD_PASSWORD), COAT_DENIED);
    }
    CHECK_ERR(fixture_do(&f, COAT_ACCOUNT_SHOW, "alice"), COAT_TAMPERED);
    REQUIRE_OK(fixture_do(&f, COAT_ACCOUNT_DELETE, "alice"));
    fixture_fini(&f);
}

/* A counter changed by hand locks; an administrator unlocks. */
static void
test_corrupt_counter(void)
{
    coat_handle account, place, other;
    uint8_t junk[40] = {0};
    fixture f;

    fixture_init(&f);
    REQUIRE_OK(fixture_add(&f, "alice", GOOD_PASSWORD));
    CHECK_ERR(fixture_sign_in(&f, "alice", WRONG_PASSWORD), COAT_DENIED);
    account = fixture_address(&f, "alice");
    place = coat_throttle_address(f.directory->policy, &account, COAT_CLIENT_UNKNOWN, false);
    REQUIRE_OK(fixture_overwrite(&f, COAT_SPACE_META, place, (coat_span){junk, sizeof junk}));
    CHECK_ERR(fixture_sign_in(&f, "alice", GOOD_PASSWORD), COAT_DENIED);
    CHECK_STR(f.reason, "locked");
    CHECK_INT(f.events[COAT_EVENT_RECORD_TAMPERED], 1);
    REQUIRE_OK(fixture_do(&f, COAT_ACCOUNT_ENABLE, "alice"));
    CHECK_ERR(fixture_sign_in(&f, "alice", GOOD_PASSWORD), COAT_OK);

    /* nor does bob's lower count help in alice's place */
    REQUIRE_OK(fixture_add(&f, "bob", GOOD_PASSWORD));
    CHECK_ERR(fixture_sign_in(&f, "bob", WRONG_PASSWORD), COAT_DENIED);
    CHECK_ERR(fixture_sign_in(&f, "alice", WRONG_PASSWORD), COAT_DENIED);
    account = fixture_address(&f, "bob");
    other = coat_throttle_address(f.directory->policy, &account, COAT_CLIENT_UNKNOWN, false);
    CHECK_INT(fixture_stored(&f, COAT_SPACE_META, other, junk, sizeof junk, NULL), sizeof junk);
    REQUIRE_OK(fixture_overwrite(&f, COAT_SPACE_META, place, (coat_span){junk, sizeof junk}));
    CHECK_ERR(fixture_sign_in(&f, "alice", GOOD_PASSWORD), COAT_DENIED);
    CHECK_STR(f.reason, "locked");
    fixture_fini(&f);
}

/* The database as a child process left it that was gone at operation n. */
static int
child_gone_at(const char *url, long n, bool after)
{
    int status = 0;
    pid_t child;

    child = test_fork();
    if (child == 0) {
        fixture f;

        fixture_prepare(&f, url); /* the same keys: the generator is seeded */
        fixture_open(&f, &fixture_weak);
        fault.left = n;
        fault.exits = true;
        fault.after = after;
        _exit(fixture_sign_in(&f, "alice", GOOD_PASSWORD) == COAT_OK ? 0 : 1);
    }
    REQUIRE(waitpid(child, &status, 0) == child && WIFEXITED(status));
    return WEXITSTATUS(status);
}

/** A disk that is too slow for the deadline has given no answer. */
static coat_err
sign_in_at_last(fixture *f, const char *password)
{
    coat_err err = COAT_STORE_DOWN;

    for (int i = 0; i < 100 && err == COAT_STORE_DOWN; i++)
        err = fixture_sign_in(f, "alice", password);
    return err;
}

static void
test_killed(void)
{
    char url[300];
    fixture f;

    fault_register();
    for (long n = 0; n < OPERATIONS_MAX; n++)
        for (unsigned after = 0; after < 2; after++) {
            int left;

            (void)snprintf(url, sizeof url, "fault:lmdb:%s/store", test_tmpdir());
            fixture_prepare(&f, url);
            fixture_open(&f, &fixture_weak);
            REQUIRE_OK(fixture_import(&f, "alice", BCRYPT));
            fixture_fini(&f);
            left = child_gone_at(url, n, after != 0);
            CHECK(left == 9 || left == 0);
            CHECK(left == (n < 5 ? 9 : 0));
            fixture_prepare(&f, url);
            fixture_open(&f, &fixture_weak);
            CHECK_ERR(sign_in_at_last(&f, GOOD_PASSWORD), COAT_OK);
            CHECK_ERR(sign_in_at_last(&f, WRONG_PASSWORD), COAT_DENIED);
            fixture_fini(&f);
        }
}

/* Ten processes in a row that are gone in the middle of a guess: each guess has counted. */
static void
test_killed_count(void)
{
    char url[300];
    fixture f;

    fault_register();
    (void)snprintf(url, sizeof url, "fault:lmdb:%s/store", test_tmpdir());
    fixture_prepare(&f, url);
    fixture_open(&f, &fixture_weak);
    REQUIRE_OK(fixture_add(&f, "alice", GOOD_PASSWORD));
    fixture_fini(&f);
    for (unsigned i = 0; i < 5; i++) /* gone after counting, before the answer */
        CHECK_INT(child_gone_at(url, 3, false), 9);
    fixture_prepare(&f, url);
    fixture_open(&f, &fixture_weak);
    CHECK_INT(fixture_failures(&f, "alice", COAT_CLIENT_UNKNOWN), 5);
    CHECK_ERR(fixture_sign_in(&f, "alice", GOOD_PASSWORD), COAT_THROTTLED);
    f.now_ms += 1000;
    CHECK_ERR(fixture_sign_in(&f, "alice", GOOD_PASSWORD), COAT_OK);
    CHECK_INT(fixture_failures(&f, "alice", COAT_CLIENT_UNKNOWN), 0);
    fixture_fini(&f);
}

static void
test_no_default_account(void)
{
    coat_store_stats stats;
    fixture f;

    fixture_init(&f);
    REQUIRE_OK(coat_store_stats_get(f.store, &stats));
    CHECK_INT(stats.accounts, 0);
    CHECK_ERR(fixture_sign_in(&f, "admin", "admin"), COAT_DENIED);
    CHECK_ERR(fixture_sign_in(&f, "root", ""), COAT_DENIED);
    fixture_fini(&f);
}

static const coat_test tests[] = {
    {"LG-11: an error of the store at any step is passed on, and opens nothing",
     test_store_errors},
    {"LG-11: nor is a passing error overlooked", test_one_error},
    {"LG-7: a lost race for the counter is run again", test_lost_count},
    {"LG-11: wrong answers of the store open nothing", test_store_lies},
    {"LG-11 ST-2: a changed or transplanted account opens nothing and is reported",
     test_corrupt_records},
    {"LG-11: a changed counter locks until an administrator enables the account",
     test_corrupt_counter},
    {"LG-11: a fresh store has no account", test_no_default_account},
    {"LG-2: a process gone at any step of a renewal leaves a password that works", test_killed},
    {"LG-7: failures counted by processes that are gone still count", test_killed_count},
};
COAT_TEST_MAIN(tests)
