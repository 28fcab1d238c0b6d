/* SPDX-License-Identifier: Apache-2.0 */
/** Many sessions of one owner, and what is left of them on disk. */

#include "lmdb_fixture.h"
#include "requests.h"
#include "store/lmdb_store.h"

static lmdb_fixture fx = {.map_bytes = (uint64_t)1 << 30};
static coat_store *store;
static coat_lane *lane;

static void
begin(void)
{
    fixture_fresh(&fx);
    store = NULL;
    lane = NULL;
    REQUIRE_OK(fixture_open(&fx, &store));
    REQUIRE_OK(coat_lane_open(store, NULL, &lane));
}

static void
reopen(void)
{
    coat_lane_close(lane);
    coat_store_close(store);
    REQUIRE_OK(fixture_open(&fx, &store));
    REQUIRE_OK(coat_lane_open(store, NULL, &lane));
}

static void
end(void)
{
    coat_lane_close(lane);
    coat_store_close(store);
    fixture_remove(&fx);
}

static coat_store_stats
stats(void)
{
    coat_store_stats s = {0};

    REQUIRE_OK(coat_store_stats_get(store, &s));
    return s;
}

static void
huge_owner(void)
{
    uint64_t n = (uint64_t)test_scaled(100000, 10000);
    coat_err last;

    begin();
    REQUIRE(sign_in_many(lane, 1, 1, n + 1, 100, &last) == n);
    REQUIRE_OK(sign_in(lane, 2, 1, 100));
    CHECK_ERR(run_op(lane, COAT_OP_REMOVE_OWNER, 1, 0), COAT_OK);
    for (uint64_t i = 1; i <= n; i++)
        if (run_op(lane, COAT_OP_LOAD, 1, i) != COAT_NO_SESSION) {
            test_fail(__FILE__, __LINE__, "session %llu lives on", (unsigned long long)i);
            break;
        }
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 2, 1), COAT_OK);
    CHECK_INT(stats().operations[COAT_OP_REMOVE_OWNER], 1);
    CHECK_INT(stats().operations[COAT_OP_REMOVE], 0);
    CHECK_INT(stats().sessions, n + 1); /* ended at once, erased later */
    CHECK_ERR(sign_in(lane, 1, 1, 100), COAT_OK);
    CHECK_INT(sweep_all(lane, NOW_MS), n - 1);
    CHECK_INT(stats().sessions, 2);
    end();
}

static void
no_growth(void)
{
    enum { ROUND = 500 };
    uint64_t rounds = (uint64_t)test_scaled(1000000, 10000) / ROUND, before = 0;
    coat_err last;

    begin();
    REQUIRE(sign_in_many(lane, 9, 1, 2001, 400, &last) == 2000);
    for (uint64_t round = 0; round < rounds; round++) {
        uint64_t from = 10000 + round * ROUND;

        REQUIRE(sign_in_many(lane, 1 + round % 7, from, from + ROUND, 400, &last) == ROUND);
        if (round % 2 == 0)
            CHECK_ERR(run_op(lane, COAT_OP_REMOVE_OWNER, 1 + round % 7, 0), COAT_OK);
        else
            sign_out_many(lane, 1 + round % 7, from, from + ROUND);
        sweep_all(lane, NOW_MS);
        if (round == 1)
            before = stats().bytes_used;
    }
    CHECK_INT(stats().sessions, 2000);
    CHECK(stats().bytes_used <= before + before / 20);
    end();
}

static uint64_t
epoch_of(uint64_t owner)
{
    coat_store_req req = session_req(COAT_OP_EPOCHS, owner, 0);

    REQUIRE_OK(coat_store_run(lane, &req));
    return req.epoch_owner;
}

static void
forgotten_epochs(void)
{
    enum { DAY_MS = 24 * 3600 * 1000 };
    uint64_t first, second;

    begin();
    REQUIRE_OK(run_op(lane, COAT_OP_REMOVE_OWNER, 1, 0));
    first = epoch_of(1);
    /* By this process's own clock no day has passed: a sign-in may still be under way that
     * read the epoch before, whatever the wall clock pretends. */
    sweep_all(lane, NOW_MS + 2 * (int64_t)DAY_MS);
    CHECK_INT(epoch_of(1), first);
    reopen();
    sweep_all(lane, NOW_MS + DAY_MS - 1);
    CHECK_INT(epoch_of(1), first);
    sweep_all(lane, NOW_MS + DAY_MS);
    CHECK_INT(epoch_of(1), 0);
    REQUIRE_OK(run_op(lane, COAT_OP_REMOVE_OWNER, 1, 0));
    second = epoch_of(1);
    CHECK(second > first); /* never given out again */
    end();
}

/** An epoch must outlive the sessions it has ended. */
static void
epochs_outlive_sessions(void)
{
    enum { DAY_MS = 24 * 3600 * 1000 };
    coat_store_req sweep = session_req(COAT_OP_SWEEP, 0, 0);

    begin();
    for (uint64_t i = 1; i <= 40; i++)
        REQUIRE_OK(sign_in(lane, 1, i, 10));
    REQUIRE_OK(run_op(lane, COAT_OP_REMOVE_OWNER, 1, 0));
    reopen();
    sweep.now_ms = NOW_MS + 2 * (int64_t)DAY_MS;
    for (int i = 0; i < 30; i++) {
        sweep.limit = 3;
        REQUIRE_OK(coat_store_run(lane, &sweep));
        for (uint64_t k = 1; k <= 40; k++)
            CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, k), COAT_NO_SESSION);
    }
    CHECK_INT(stats().sessions, 0);
    end();
}

/** Even if the walk comes to the owner before it comes to the sessions. */
static void
epochs_outlive_unswept_sessions(void)
{
    enum { DAY_MS = 24 * 3600 * 1000, OWNERS_PHASE = 4 };
    coat_store_req sweep = session_req(COAT_OP_SWEEP, 0, 0);

    begin();
    REQUIRE_OK(sign_in(lane, 1, 1, 10));
    REQUIRE_OK(run_op(lane, COAT_OP_REMOVE_OWNER, 1, 0));
    reopen();
    ((lmdb_store *)store)->sweeper.phase = OWNERS_PHASE; /* the writer is idle */
    sweep.now_ms = NOW_MS + 2 * (int64_t)DAY_MS;
    REQUIRE_OK(coat_store_run(lane, &sweep));
    CHECK(!sweep.more);
    CHECK(epoch_of(1) != 0);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 1), COAT_NO_SESSION);
    end();
}

static const coat_test tests[] = {
    {"RV-4: a user with very many sessions ends in one operation", huge_owner},
    {"ST-9: create and end cycles leave nothing behind", no_growth},
    {"RV-4: an owner's epoch is forgotten after a day, never reused", forgotten_epochs},
    {"RV-4: and never before the sessions it has ended", epochs_outlive_sessions},
    {"RV-4: whichever the sweep meets first", epochs_outlive_unswept_sessions},
};
COAT_TEST_MAIN(tests)
