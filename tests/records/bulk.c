/* SPDX-License-Identifier: Apache-2.0 */

/** Many sessions: in pages and slices, and gone without a trace. */

#include "records.h"

enum { MANY = 2300, OWNERS = 24 };

static coat_handle
handle_of(uint64_t owner, uint64_t serial)
{
    coat_handle h;

    coat_store64be(h.bytes, serial);
    coat_store64be(h.bytes + 8, owner * 0x9e3779b97f4a7c15U);
    return h;
}

static coat_lane *lane;

static void
done_nothing(coat_store_req *req)
{
    (void)req;
}

static coat_err
run(coat_store_req *req)
{
    req->space = COAT_SPACE_SESSION;
    req->now_ms = req->now_ms != 0 ? req->now_ms : r.wall;
    req->timeout_ms = 60000;
    return coat_store_run(lane, req);
}

/** Small values, so that a store which keeps an owner in one item can hold them. */
static void
fill(uint64_t owner, uint64_t from, uint64_t to, int64_t expires_ms)
{
    static coat_store_req reqs[256];
    coat_store_req epochs = {.op = COAT_OP_EPOCHS,
                             .owner =
                                 coat_handle_owner(&(coat_handle[]){handle_of(owner, 1)}[0])};

    /* Where an owner is one item, those at the same time would all be tried again and again. */
    const size_t together = the_world.is_cache ? 1 : 256;

    REQUIRE_OK(run(&epochs));
    while (from < to) {
        size_t n = 0;

        for (; n < together && from < to; n++, from++) {
            reqs[n] = (coat_store_req){.op = COAT_OP_INSERT,
                                       .space = COAT_SPACE_SESSION,
                                       .address = handle_of(owner, from),
                                       .value = COAT_LIT("small"),
                                       .expires_ms = expires_ms,
                                       .epoch_owner = epochs.epoch_owner,
                                       .epoch_global = epochs.epoch_global,
                                       .now_ms = r.wall,
                                       .timeout_ms = 60000,
                                       .done = done_nothing};
            coat_store_submit(lane, &reqs[n]);
        }
        for (size_t i = 0; i < n; i++) {
            lane->store->ops->wait(lane, &reqs[i]);
            CHECK_ERR(reqs[i].result, COAT_OK);
        }
    }
}

static coat_handle last_seen;
static uint64_t seen;
static bool in_order;

static void
count_item(coat_store_req *req, const coat_store_item *item)
{
    (void)req;
    in_order = in_order && (seen == 0 || memcmp(last_seen.bytes, item->address.bytes,
                                                sizeof last_seen.bytes) < 0);
    last_seen = item->address;
    seen++;
}

/** All of them, in pages; another process takes over in the middle. */
static void
walk(coat_op op, uint64_t want)
{
    coat_handle first = handle_of(1, 1);
    unsigned pages = 0;
    bool more = true;

    seen = 0;
    in_order = true;
    while (more && pages < 100 + want / 100) {
        uint64_t before = seen;
        coat_store_req req = {.op = op,
                              .owner = coat_handle_owner(&first),
                              .has_cursor = pages > 0,
                              .cursor = last_seen,
                              .item = count_item};

        if (pages == 1) {
            coat_lane_close(lane);
            rig_restart(&r);
            REQUIRE_OK(coat_lane_open(r.inner, NULL, &lane));
        }
        CHECK_ERR(run(&req), COAT_OK);
        CHECK(req.count <= COAT_STORE_LIST_MAX && seen - before == req.count);
        more = req.more;
        pages++;
    }
    CHECK_INT(seen, want);
    CHECK(in_order && pages >= want / COAT_STORE_LIST_MAX);
}

static void
pages_and_slices(void)
{
    uint64_t n = (uint64_t)test_scaled(1000000, MANY), erased = 0;
    coat_handle live = handle_of(2, 1);
    bool more = true;
    unsigned slices = 0;

    if (the_world.is_cache)
        n = MANY; /* what fits an item */
    records_begin(1);
    REQUIRE_OK(coat_lane_open(r.inner, NULL, &lane));
    fill(1, 1, n + 1, r.wall + HOUR);
    fill(2, 1, 2, 0);
    walk(COAT_OP_LIST_OWNER, n);
    if (!the_world.is_cache)
        walk(COAT_OP_SCAN, n + 1);
    /* What has expired goes in slices; between them there is room for others. */
    rig_pass(&r, 2 * HOUR);
    for (int walks = 0; walks < 2 && !the_world.is_cache; walks += !more) {
        coat_store_req sweep = {.op = COAT_OP_SWEEP};
        coat_store_req load = {.op = COAT_OP_LOAD, .address = live};

        CHECK_ERR(run(&sweep), COAT_OK);
        CHECK(sweep.count <= COAT_STORE_SWEEP_MAX);
        CHECK_ERR(run(&load), COAT_OK);
        more = sweep.more;
        erased += sweep.count;
        slices++;
        REQUIRE(slices < 10 * (n / COAT_STORE_SWEEP_MAX + 4));
        if (slices == 2) { /* another process goes on */
            coat_lane_close(lane);
            rig_restart(&r);
            REQUIRE_OK(coat_lane_open(r.inner, NULL, &lane));
        }
    }
    if (!the_world.is_cache) {
        CHECK_INT(erased, n);
        CHECK(slices >= n / COAT_STORE_SWEEP_MAX);
    }
    coat_lane_close(lane);
    records_end();
}

/** Ending as many is one operation, whose answer does not wait for the erasing. */
static void
ended_at_once(void)
{
    coat_handle first = handle_of(1, 1), live = handle_of(2, 1);
    coat_store_req end = {.op = COAT_OP_REMOVE_OWNER, .owner = coat_handle_owner(&first)};
    coat_store_req load = {.op = COAT_OP_LOAD, .address = first};
    coat_store_req other = {.op = COAT_OP_LOAD, .address = live};
    coat_store_stats before, after;

    records_begin(1);
    REQUIRE_OK(coat_lane_open(r.inner, NULL, &lane));
    fill(1, 1, MANY + 1, 0);
    fill(2, 1, 2, 0);
    REQUIRE_OK(coat_store_stats_get(r.inner, &before));
    CHECK_ERR(run(&end), COAT_OK);
    REQUIRE_OK(coat_store_stats_get(r.inner, &after));
    CHECK_INT(after.operations[COAT_OP_REMOVE_OWNER],
              before.operations[COAT_OP_REMOVE_OWNER] + 1);
    CHECK_INT(after.operations[COAT_OP_REMOVE], before.operations[COAT_OP_REMOVE]);
    CHECK_ERR(run(&load), COAT_NO_SESSION);
    CHECK_ERR(run(&other), COAT_OK);
    walk(COAT_OP_LIST_OWNER, 0);
    records_sweep();
    CHECK_ERR(run(&other), COAT_OK);
    coat_lane_close(lane);
    records_end();
}

/* ---- ST-9: nothing is left behind ---- */

/** A day of sign-ins that end in every way, then what is left once it is over. */
static void
a_day(long sessions)
{
    for (long i = 0; i < sessions; i++) {
        char user[16];
        rig_token token;

        (void)snprintf(user, sizeof user, "u%ld", i % OWNERS);
        token = rig_sign_in(&r, 0, user);
        switch (i % 5) {
        case 0:
            CHECK_ERR(rig_end(&r, 0, &token), COAT_OK);
            break;
        case 1:
            rig_pass(&r, 15 * MINUTE);
            REQUIRE_OK(rig_check(&r, 0, &token));
            break;
        case 2:
            CHECK_ERR(rig_end_user(&r, 0, user), COAT_OK);
            break;
        default: /* given up: expires, or gives way to later ones */
            break;
        }
    }
    rig_pass(&r, 25 * HOUR);
    records_sweep();
}

/** After each day, once its sessions are over, as large as after the first: that has made room
 * for as many, and it must be used again. */
static void
cycles_leave_nothing(void)
{
    enum { DAYS = 3 };
    bool is_remote = the_world.remote != NULL;
    long n = is_remote ? test_scaled(20000, 200) : test_scaled(1000000, 250);
    uint64_t entries[DAYS], bytes[DAYS];

    records_begin(1);
    for (int day = 0; day < DAYS; day++) {
        a_day(n);
        rig_pass(&r, 25 * HOUR);
        records_sweep();
        entries[day] = records_entries();
        bytes[day] = records_bytes();
        printf("# day %d: %llu entries, %llu bytes\n", day + 1,
               (unsigned long long)entries[day], (unsigned long long)bytes[day]);
        CHECK(bytes[0] > 0 && entries[day] <= entries[0] + entries[0] / 20);
        CHECK(bytes[day] <= bytes[0] + bytes[0] / 20);
    }
    records_end();
}

static const coat_test tests[] = {
    {"AD-5: lists come in pages, erasing goes in slices, and another process goes on",
     pages_and_slices},
    {"AD-5 RV-4: ending very many sessions is one operation", ended_at_once},
};
const records_tests bulk_tests = {tests, sizeof tests / sizeof tests[0]};

static const coat_test cycles[] = {
    {"ST-9: sign-ins and ends, day after day, leave nothing behind", cycles_leave_nothing},
};
const records_tests cycle_tests = {cycles, sizeof cycles / sizeof cycles[0]};
