/* SPDX-License-Identifier: Apache-2.0 */
/** Stored values that cannot be read: denied, counted, kept (ST-8). */

#include "lmdb_fixture.h"
#include "requests.h"
#include "store/value.h"

#include <lmdb.h>
#include <stdlib.h>

static test_rng rng = {42};

static size_t
make_value(uint8_t *buf, size_t payload)
{
    coat_value v = {.version = test_rng_next(&rng),
                    .expires_ms = (int64_t)(test_rng_next(&rng) >> 1),
                    .epoch_owner = test_rng_next(&rng),
                    .epoch_global = test_rng_next(&rng),
                    .payload = {buf + COAT_VALUE_HEAD, payload}};

    for (size_t i = 0; i < payload; i++)
        buf[COAT_VALUE_HEAD + i] = (uint8_t)test_rng_next(&rng);
    coat_value_head(&v, buf);
    return COAT_VALUE_HEAD + payload;
}

static void
prefixes(void)
{
    for (int n = 0; n < 100; n++) {
        uint8_t buf[COAT_VALUE_HEAD + 900];
        size_t len = make_value(buf, test_rng_below(&rng, 900));
        coat_value v;

        CHECK_ERR(coat_value_decode((coat_span){buf, len}, &v), COAT_OK);
        CHECK_INT(v.payload.len, len - COAT_VALUE_HEAD);
        for (size_t cut = 0; cut < len; cut++) {
            uint8_t *exact = malloc(cut > 0 ? cut : 1); /* so that ASan sees a byte too far */

            REQUIRE(exact != NULL);
            memcpy(exact, buf, cut);
            v.version = 77;
            CHECK(coat_value_decode((coat_span){exact, cut}, &v) == COAT_MALFORMED);
            CHECK_INT(v.version, 77); /* untouched */
            free(exact);
        }
    }
}

static void
round_trip(void)
{
    uint8_t buf[COAT_VALUE_HEAD + 32], again[COAT_VALUE_HEAD];

    for (int n = 0; n < 1000; n++) {
        size_t len = make_value(buf, 32);
        coat_value v;

        REQUIRE_OK(coat_value_decode((coat_span){buf, len}, &v));
        coat_value_head(&v, again);
        CHECK_MEM(again, sizeof again, buf, COAT_VALUE_HEAD);
    }
}

static void
bad_heads(void)
{
    static const struct {
        const char *name;
        size_t at;
        uint8_t byte;
        coat_err want;
    } cases[] = {
        {"wrong magic", 0, 'C', COAT_MALFORMED},
        {"wrong second byte", 1, 0, COAT_MALFORMED},
        {"format 0", 2, 0, COAT_MALFORMED},
        {"format 2", 2, 2, COAT_NEWER_FORMAT},
        {"format 256", 3, 1, COAT_NEWER_FORMAT},
        {"length one less", 4, 19, COAT_MALFORMED},
        {"length one more", 4, 21, COAT_MALFORMED},
        {"huge length", 7, 0xff, COAT_MALFORMED},
        {"negative expiry", 23, 0x80, COAT_MALFORMED},
    };
    uint8_t *big = calloc(1, COAT_VALUE_HEAD + COAT_STORE_VALUE_MAX + 1);
    coat_value v;

    REQUIRE(big != NULL);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t buf[COAT_VALUE_HEAD + 20];
        size_t len = make_value(buf, 20);

        test_case(cases[i].name);
        buf[cases[i].at] = cases[i].byte;
        CHECK_ERR(coat_value_decode((coat_span){buf, len}, &v), cases[i].want);
    }
    test_case("oversized");
    (void)make_value(big, COAT_STORE_VALUE_MAX + 1);
    CHECK_ERR(
        coat_value_decode((coat_span){big, COAT_VALUE_HEAD + COAT_STORE_VALUE_MAX + 1}, &v),
        COAT_MALFORMED);
    test_case("largest");
    (void)make_value(big, COAT_STORE_VALUE_MAX);
    CHECK_ERR(coat_value_decode((coat_span){big, COAT_VALUE_HEAD + COAT_STORE_VALUE_MAX}, &v),
              COAT_OK);
    test_case(NULL);
    free(big);
}

/* ---- the same through a store: its file was damaged, or a newer release wrote it ---- */

static lmdb_fixture fx = {.map_bytes = 64 << 20};
static coat_store *store;
static coat_lane *lane;

static void
begin(void)
{
    store = NULL;
    lane = NULL;
    REQUIRE_OK(fixture_open(&fx, &store));
    REQUIRE_OK(coat_lane_open(store, NULL, &lane));
}

static void
close_both(void)
{
    coat_lane_close(lane);
    coat_store_close(store);
}

/** Overwrite the stored bytes of session (1, serial). */
static void
overwrite(uint64_t serial, const void *bytes, size_t len)
{
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
    coat_handle h = handle_of(1, serial);
    MDB_val key = {16, h.bytes}, value = {len, (void *)(uintptr_t)bytes};

    REQUIRE(mdb_env_create(&env) == 0);
    REQUIRE(mdb_env_set_maxdbs(env, 8) == 0);
    REQUIRE(mdb_env_open(env, fx.dir, 0, 0600) == 0);
    REQUIRE(mdb_txn_begin(env, NULL, 0, &txn) == 0);
    REQUIRE(mdb_dbi_open(txn, "sessions", 0, &dbi) == 0);
    REQUIRE(mdb_put(txn, dbi, &key, &value, 0) == 0);
    REQUIRE(mdb_txn_commit(txn) == 0);
    mdb_env_close(env);
}

static void
ignore_item(coat_store_req *req, const coat_store_item *item)
{
    (void)req;
    (void)item;
}

static void
damaged_store(void)
{
    uint8_t newer[COAT_VALUE_HEAD + 20];
    coat_store_req list = session_req(COAT_OP_LIST_OWNER, 1, 0);
    coat_store_req scan = session_req(COAT_OP_SCAN, 1, 0);
    coat_store_req save = session_req(COAT_OP_REPLACE, 1, 2);
    coat_store_stats stats;

    fixture_fresh(&fx);
    begin();
    for (uint64_t i = 1; i <= 4; i++)
        REQUIRE_OK(sign_in(lane, 1, i, 10));
    close_both();
    (void)make_value(newer, 20);
    newer[2] = 2;
    overwrite(2, "cv\1", 3);
    overwrite(3, newer, sizeof newer);
    overwrite(4, "", 0);
    begin();

    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 1), COAT_OK);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 2), COAT_MALFORMED);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 3), COAT_NEWER_FORMAT);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 4), COAT_MALFORMED);
    CHECK_ERR(coat_store_run(lane, &save), COAT_MALFORMED);
    CHECK_ERR(run_op(lane, COAT_OP_INSERT, 1, 3), COAT_EXISTS); /* never overwritten */
    list.item = scan.item = ignore_item;
    CHECK_ERR(coat_store_run(lane, &list), COAT_OK);
    CHECK_INT(list.count, 1);
    CHECK_ERR(coat_store_run(lane, &scan), COAT_OK);
    CHECK_INT(scan.count, 1);
    CHECK_INT(sweep_all(lane, INT64_MAX), 0); /* kept for a newer release, or a human */
    REQUIRE_OK(coat_store_stats_get(store, &stats));
    CHECK_INT(stats.sessions, 4);
    CHECK(stats.unreadable >= 8);
    CHECK_ERR(run_op(lane, COAT_OP_REMOVE, 1, 2), COAT_OK);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 2), COAT_NO_SESSION);
    close_both();
    fixture_remove(&fx);
}

static const coat_test tests[] = {
    {"ST-8: every prefix of a stored value is malformed", prefixes},
    {"a stored value's head is written as it is read", round_trip},
    {"ST-8 UP-1: bad heads are denied, newer ones by name", bad_heads},
    {"ST-8 UP-1: a damaged or newer entry is denied, counted and kept", damaged_store},
};
COAT_TEST_MAIN(tests)
