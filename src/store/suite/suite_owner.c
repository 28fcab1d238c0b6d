/* SPDX-License-Identifier: Apache-2.0 */
/** Owners: lists, limits, epochs, sweeping. */

#include "store/suite/suite.h"

enum { NOW = 100000000 };

static coat_err
insert(suite_run *run, uint64_t owner, uint64_t serial)
{
    coat_store_req req = {0};
    coat_err err = suite_epochs(run->lane, owner, &req.epoch_owner, &req.epoch_global);

    if (err != COAT_OK)
        return err;
    return suite_insert(run->lane, &req, COAT_SPACE_SESSION, suite_handle(owner, serial), "v",
                        0, NOW);
}

static coat_err
load(suite_run *run, uint64_t owner, uint64_t serial)
{
    return suite_load(run->lane, COAT_SPACE_SESSION, suite_handle(owner, serial), NOW);
}

/** How many sessions LIST_OWNER reports, checking that they come oldest first. */
static uint32_t
count(suite_run *run, uint64_t owner, int64_t now_ms)
{
    coat_store_req req = {.op = COAT_OP_LIST_OWNER,
                          .owner = suite_owner(owner),
                          .now_ms = now_ms,
                          .timeout_ms = 60000,
                          .item = suite_collect};
    uint32_t n = 0;
    uint64_t last = 0;

    do {
        suite_list list = {0};

        req.ctx = &list;
        req.limit = 7;
        EXPECT_ERR(run, coat_store_run(run->lane, &req), COAT_OK);
        EXPECT_INT(run, list.count, req.count);
        for (uint32_t i = 0; i < list.count && i < SUITE_LIST_MAX; i++, n++) {
            uint64_t serial = suite_serial(&list.items[i].address);

            EXPECT(run, n == 0 || serial > last);
            last = serial;
            req.cursor = list.items[i].address;
            req.has_cursor = true;
        }
    } while (req.more && !run->failed);
    return n;
}

static void
list_owner(suite_run *run)
{
    for (uint64_t serial = 30; serial > 0; serial--)
        for (uint64_t owner = 1; owner <= 3; owner++)
            EXPECT_ERR(run, insert(run, owner, serial * 1000 + owner), COAT_OK);
    EXPECT_ERR(run,
               suite_insert(run->lane, NULL, COAT_SPACE_SESSION, suite_handle(2, 5), "v",
                            NOW + 10, NOW),
               COAT_OK);
    EXPECT_INT(run, count(run, 1, NOW), 30);
    EXPECT_INT(run, count(run, 2, NOW), 31);
    EXPECT_INT(run, count(run, 2, NOW + 10), 30);
    EXPECT_INT(run, count(run, 9, NOW), 0);
    EXPECT_ERR(run, suite_remove(run->lane, COAT_SPACE_SESSION, suite_handle(2, 30002)),
               COAT_OK);
    EXPECT_INT(run, count(run, 2, NOW), 30);
}

static void
remove_owner(suite_run *run)
{
    uint64_t first, second, owner, global;

    for (uint64_t serial = 1; serial <= 25; serial++) {
        EXPECT_ERR(run, insert(run, 1, serial), COAT_OK);
        EXPECT_ERR(run, insert(run, 2, serial), COAT_OK);
    }
    EXPECT_ERR(run, suite_remove_owner(run->lane, 1, NOW, &first), COAT_OK);
    EXPECT(run, first > 0);
    for (uint64_t serial = 1; serial <= 25; serial++) {
        EXPECT_ERR(run, load(run, 1, serial), COAT_NO_SESSION);
        EXPECT_ERR(run, load(run, 2, serial), COAT_OK);
    }
    EXPECT_INT(run, count(run, 1, NOW), 0);
    EXPECT_INT(run, count(run, 2, NOW), 25);
    EXPECT_ERR(run, suite_epochs(run->lane, 1, &owner, &global), COAT_OK);
    EXPECT(run, owner == first);

    /* Created afterwards, though the clock has stepped back by an hour. */
    {
        coat_store_req req = {.epoch_owner = owner, .epoch_global = global};

        EXPECT_ERR(run,
                   suite_insert(run->lane, &req, COAT_SPACE_SESSION, suite_handle(1, 0), "v", 0,
                                NOW - 3600000),
                   COAT_OK);
        EXPECT_ERR(run, load(run, 1, 0), COAT_OK);
    }
    EXPECT_ERR(run, suite_remove_owner(run->lane, 1, NOW - 3600000, &second), COAT_OK);
    EXPECT(run, second > first);
    EXPECT_ERR(run, load(run, 1, 0), COAT_NO_SESSION);
    EXPECT_ERR(run, suite_remove_owner(run->lane, 77, NOW, NULL), COAT_OK);
}

static void
spare(suite_run *run)
{
    coat_store_req req = {.op = COAT_OP_REMOVE_OWNER,
                          .owner = suite_owner(1),
                          .now_ms = NOW,
                          .has_spare = true,
                          .spare = suite_handle(1, 3),
                          .timeout_ms = 60000};
    coat_store_req put = {0};
    uint64_t version;

    for (uint64_t serial = 1; serial <= 5; serial++)
        EXPECT_ERR(run,
                   suite_insert(run->lane, &put, COAT_SPACE_SESSION, suite_handle(1, serial),
                                "v", 0, NOW),
                   COAT_OK);
    for (int round = 0; round < 3; round++) {
        EXPECT_ERR(run, coat_store_run(run->lane, &req), COAT_OK);
        EXPECT_INT(run, count(run, 1, NOW), 1);
        EXPECT_ERR(run, load(run, 1, 3), COAT_OK);
    }
    /* One that is not there is no error, and brings nothing back. */
    req.spare = suite_handle(1, 4);
    EXPECT_ERR(run, coat_store_run(run->lane, &req), COAT_OK);
    EXPECT_INT(run, count(run, 1, NOW), 0);
    version = put.found_version;
    EXPECT_ERR(
        run,
        suite_replace(run->lane, COAT_SPACE_SESSION, suite_handle(1, 5), &version, "w", 0, NOW),
        COAT_NO_SESSION);
}

static void
late_sign_in(suite_run *run)
{
    coat_store_req req = {0}, global = {.op = COAT_OP_END_ALL, .timeout_ms = 60000};

    EXPECT_ERR(run, suite_epochs(run->lane, 1, &req.epoch_owner, &req.epoch_global), COAT_OK);
    EXPECT_ERR(run, suite_remove_owner(run->lane, 1, NOW, NULL), COAT_OK);
    EXPECT_ERR(
        run, suite_insert(run->lane, &req, COAT_SPACE_SESSION, suite_handle(1, 1), "v", 0, NOW),
        COAT_REVOKED);
    EXPECT_ERR(run, load(run, 1, 1), COAT_NO_SESSION);
    EXPECT_ERR(run, suite_epochs(run->lane, 1, &req.epoch_owner, &req.epoch_global), COAT_OK);
    EXPECT_ERR(run, coat_store_run(run->lane, &global), COAT_OK);
    EXPECT_ERR(
        run, suite_insert(run->lane, &req, COAT_SPACE_SESSION, suite_handle(1, 1), "v", 0, NOW),
        COAT_REVOKED);
    EXPECT_ERR(run, insert(run, 1, 1), COAT_OK);
    EXPECT_ERR(run, load(run, 1, 1), COAT_OK);
}

static void
end_all(suite_run *run)
{
    coat_store_req req = {.op = COAT_OP_END_ALL, .now_ms = NOW, .timeout_ms = 60000};
    uint64_t owner, global, before;

    for (uint64_t i = 1; i <= 20; i++)
        EXPECT_ERR(run, insert(run, i, i), COAT_OK);
    EXPECT_ERR(
        run, suite_insert(run->lane, NULL, COAT_SPACE_ACCOUNT, suite_handle(1, 1), "a", 0, NOW),
        COAT_OK);
    EXPECT_ERR(run, suite_epochs(run->lane, 1, &owner, &before), COAT_OK);
    EXPECT_ERR(run, coat_store_run(run->lane, &req), COAT_OK);
    EXPECT_ERR(run, suite_epochs(run->lane, 1, &owner, &global), COAT_OK);
    EXPECT(run, global == req.epoch_global && global > before);
    for (uint64_t i = 1; i <= 20; i++)
        EXPECT_ERR(run, load(run, i, i), COAT_NO_SESSION);
    EXPECT_ERR(run, suite_load(run->lane, COAT_SPACE_ACCOUNT, suite_handle(1, 1), NOW),
               COAT_OK);
    EXPECT_ERR(run, insert(run, 1, 100), COAT_OK);
    EXPECT_INT(run, count(run, 1, NOW), 1);
}

static void
limit_by_eviction(suite_run *run)
{
    for (uint64_t serial = 1; serial <= 25; serial++) {
        suite_list evicted = {0};
        coat_store_req req = {
            .owner_max = 10, .owner_evict = true, .item = suite_collect, .ctx = &evicted};

        EXPECT_ERR(run,
                   suite_insert(run->lane, &req, COAT_SPACE_SESSION, suite_handle(1, serial),
                                "v", 0, NOW),
                   COAT_OK);
        EXPECT_INT(run, evicted.count, serial > 10 ? 1 : 0);
        if (serial > 10)
            EXPECT_INT(run, suite_serial(&evicted.items[0].address), serial - 10);
        EXPECT_INT(run, count(run, 1, NOW), serial < 10 ? serial : 10);
    }
    {
        /* A lower limit; and one whose clock stepped back is not its own victim. */
        suite_list evicted = {0};
        coat_store_req req = {
            .owner_max = 3, .owner_evict = true, .item = suite_collect, .ctx = &evicted};

        EXPECT_ERR(
            run,
            suite_insert(run->lane, &req, COAT_SPACE_SESSION, suite_handle(1, 0), "v", 0, NOW),
            COAT_OK);
        EXPECT_INT(run, evicted.count, 8);
        EXPECT_INT(run, count(run, 1, NOW), 3);
        EXPECT_ERR(run, load(run, 1, 0), COAT_OK);
    }
}

static void
limit_by_refusal(suite_run *run)
{
    coat_store_req req = {.owner_max = 2};

    EXPECT_ERR(run,
               suite_insert(run->lane, &req, COAT_SPACE_SESSION, suite_handle(1, 1), "v",
                            NOW + 10, NOW),
               COAT_OK);
    EXPECT_ERR(
        run, suite_insert(run->lane, &req, COAT_SPACE_SESSION, suite_handle(1, 2), "v", 0, NOW),
        COAT_OK);
    EXPECT_ERR(
        run, suite_insert(run->lane, &req, COAT_SPACE_SESSION, suite_handle(1, 3), "v", 0, NOW),
        COAT_TOO_MANY);
    EXPECT_ERR(run, load(run, 1, 3), COAT_NO_SESSION);
    EXPECT_ERR(
        run, suite_insert(run->lane, &req, COAT_SPACE_SESSION, suite_handle(2, 3), "v", 0, NOW),
        COAT_OK);
    /* Expired ones do not count, nor does the one that is replaced. */
    EXPECT_ERR(
        run,
        suite_insert(run->lane, &req, COAT_SPACE_SESSION, suite_handle(1, 4), "v", 0, NOW + 10),
        COAT_OK);
    req.has_superseded = true;
    req.superseded = suite_handle(1, 4);
    EXPECT_ERR(
        run,
        suite_insert(run->lane, &req, COAT_SPACE_SESSION, suite_handle(1, 5), "v", 0, NOW + 10),
        COAT_OK);
    EXPECT_INT(run, count(run, 1, NOW + 10), 2);
}

static void
superseded(suite_run *run)
{
    coat_store_req req = {.has_superseded = true, .superseded = suite_handle(1, 1)};
    coat_store_req get = {.op = COAT_OP_LOAD,
                          .space = COAT_SPACE_SESSION,
                          .address = suite_handle(1, 2),
                          .now_ms = NOW,
                          .timeout_ms = 60000};

    EXPECT_ERR(run, insert(run, 1, 1), COAT_OK);
    req.version = UINT64_MAX; /* it was changed since it was read: nothing happens */
    EXPECT_ERR(
        run, suite_insert(run->lane, &req, COAT_SPACE_SESSION, suite_handle(1, 2), "v", 0, NOW),
        COAT_CONFLICT);
    EXPECT_ERR(run, load(run, 1, 1), COAT_OK);
    EXPECT_ERR(run, load(run, 1, 2), COAT_NO_SESSION);
    req.version = 0;
    EXPECT_ERR(
        run, suite_insert(run->lane, &req, COAT_SPACE_SESSION, suite_handle(1, 2), "v", 0, NOW),
        COAT_OK);
    EXPECT_ERR(run, load(run, 1, 1), COAT_NO_SESSION);
    EXPECT_ERR(run, load(run, 1, 2), COAT_OK);
    EXPECT_ERR(
        run, suite_insert(run->lane, &req, COAT_SPACE_SESSION, suite_handle(1, 3), "v", 0, NOW),
        COAT_NO_SESSION);
    EXPECT_ERR(run, load(run, 1, 3), COAT_NO_SESSION);
    EXPECT_INT(run, count(run, 1, NOW), 1);

    /* With a version: only if nobody has changed it since. */
    req.superseded = suite_handle(1, 2);
    req.version = UINT64_MAX;
    EXPECT_ERR(
        run, suite_insert(run->lane, &req, COAT_SPACE_SESSION, suite_handle(1, 4), "v", 0, NOW),
        COAT_CONFLICT);
    EXPECT_ERR(run, load(run, 1, 2), COAT_OK);
    EXPECT_ERR(run, load(run, 1, 4), COAT_NO_SESSION);
    EXPECT_ERR(run, coat_store_run(run->lane, &get), COAT_OK);
    req.version = get.found_version;
    EXPECT_ERR(
        run, suite_insert(run->lane, &req, COAT_SPACE_SESSION, suite_handle(1, 4), "v", 0, NOW),
        COAT_OK);
    EXPECT_ERR(run, load(run, 1, 2), COAT_NO_SESSION);
}

static void
sweeping(suite_run *run)
{
    coat_store_stats stats;
    uint32_t erased = 0;

    if ((coat_store_caps_of(run->store) & COAT_CAP_EXPIRES) != 0)
        return;
    for (uint64_t serial = 1; serial <= 300; serial++) {
        EXPECT_ERR(run, insert(run, 1, serial), COAT_OK);
        EXPECT_ERR(run,
                   suite_insert(run->lane, NULL, COAT_SPACE_SESSION, suite_handle(2, serial),
                                "v", serial % 3 == 0 ? NOW + 10 : 0, NOW),
                   COAT_OK);
        EXPECT_ERR(run,
                   suite_insert(run->lane, NULL, COAT_SPACE_META, suite_handle(3, serial), "v",
                                NOW + 10, NOW),
                   COAT_OK);
    }
    EXPECT_ERR(run, suite_remove_owner(run->lane, 1, NOW, NULL), COAT_OK);
    EXPECT_ERR(run, insert(run, 1, 1000), COAT_OK);
    EXPECT_INT(run, count(run, 1, NOW + 10), 1); /* the dead among them are passed */
    EXPECT_INT(run, count(run, 2, NOW + 10), 200);
    EXPECT_ERR(run, suite_sweep(run->lane, NOW + 9, &erased), COAT_OK);
    EXPECT_INT(run, erased, 300);
    EXPECT_ERR(run, suite_sweep(run->lane, NOW + 10, &erased), COAT_OK);
    EXPECT_INT(run, erased, 400);
    EXPECT_ERR(run, suite_sweep(run->lane, NOW + 10, &erased), COAT_OK);
    EXPECT_INT(run, erased, 0);
    EXPECT_INT(run, count(run, 1, NOW + 10), 1);
    EXPECT_INT(run, count(run, 2, NOW + 10), 200);
    EXPECT_ERR(run, coat_store_stats_get(run->store, &stats), COAT_OK);
    EXPECT_INT(run, stats.sessions, 201);
}

static void
sweep_limit(suite_run *run)
{
    coat_store_req req = {
        .op = COAT_OP_SWEEP, .now_ms = NOW + 10, .limit = 7, .timeout_ms = 60000};

    if ((coat_store_caps_of(run->store) & COAT_CAP_EXPIRES) != 0)
        return;
    for (uint64_t serial = 1; serial <= 20; serial++)
        EXPECT_ERR(run,
                   suite_insert(run->lane, NULL, COAT_SPACE_SESSION, suite_handle(1, serial),
                                "v", NOW + 10, NOW),
                   COAT_OK);
    EXPECT_ERR(run, coat_store_run(run->lane, &req), COAT_OK);
    EXPECT_INT(run, req.count, 7);
    EXPECT(run, req.more);
}

/* ---- an owner with many, whose dead are erased in slices ---- */

enum { CROWD = 30, SPARED = 15, LATER = 1000, CROWD_SLICE = 7 };

/** Two were spared or came later; whatever is erased yet, the others are dead. */
static void
crowd_is_gone(suite_run *run)
{
    EXPECT_INT(run, count(run, 1, NOW), 2);
    EXPECT_ERR(run, load(run, 1, SPARED), COAT_OK);
    EXPECT_ERR(run, load(run, 1, LATER), COAT_OK);
    EXPECT_ERR(run, load(run, 2, 1), COAT_OK);
    EXPECT_ERR(run, load(run, 1, 1), COAT_NO_SESSION);
    EXPECT_ERR(run, load(run, 1, CROWD), COAT_NO_SESSION);
}

static coat_err
end_crowd(suite_run *run)
{
    coat_store_req req = {.op = COAT_OP_REMOVE_OWNER,
                          .owner = suite_owner(1),
                          .now_ms = NOW,
                          .has_spare = true,
                          .spare = suite_handle(1, SPARED),
                          .timeout_ms = 60000};

    for (uint64_t serial = 1; serial <= CROWD; serial++)
        EXPECT_ERR(run, insert(run, 1, serial), COAT_OK);
    EXPECT_ERR(run, insert(run, 2, 1), COAT_OK);
    return coat_store_run(run->lane, &req);
}

/** @return false: a walk is at its end */
static bool
slice(suite_run *run, uint32_t *erased)
{
    coat_store_req req = {
        .op = COAT_OP_SWEEP, .now_ms = NOW, .limit = CROWD_SLICE, .timeout_ms = 60000};

    EXPECT_ERR(run, coat_store_run(run->lane, &req), COAT_OK);
    EXPECT(run, req.count <= CROWD_SLICE);
    *erased += req.count;
    return req.more && !run->failed;
}

static uint32_t
crowd_erased(const suite_run *run)
{
    return (coat_store_caps_of(run->store) & COAT_CAP_EXPIRES) != 0 ? 0 : CROWD - 1;
}

static void
erased_in_slices(suite_run *run)
{
    uint32_t erased = 0;

    EXPECT_ERR(run, end_crowd(run), COAT_OK);
    EXPECT_ERR(run, insert(run, 1, LATER), COAT_OK);
    crowd_is_gone(run);
    for (int walks = 0; walks < 2 && !run->failed; walks++)
        while (slice(run, &erased))
            crowd_is_gone(run);
    crowd_is_gone(run);
    EXPECT_INT(run, erased, crowd_erased(run));
}

/** What is left of it when a process ends, another one erases. */
static void
left_between_slices(suite_run *run)
{
    uint32_t erased = 0;

    EXPECT_ERR(run, end_crowd(run), COAT_OK);
    EXPECT_ERR(run, insert(run, 1, LATER), COAT_OK);
    (void)slice(run, &erased);
    coat_lane_close(run->lane);
    run->lane = NULL;
    EXPECT_ERR(run, run->suite->reopen(run->suite->ctx, &run->store), COAT_OK);
    if (run->failed || coat_lane_open(run->store, NULL, &run->lane) != COAT_OK)
        return;
    crowd_is_gone(run);
    for (int walks = 0; walks < 2 && !run->failed; walks++)
        while (slice(run, &erased)) {
        }
    crowd_is_gone(run);
    EXPECT_INT(run, erased, crowd_erased(run));
}

static coat_err
put_back(suite_run *run, coat_op op, uint64_t owner, uint64_t epoch, uint64_t *now)
{
    coat_store_req req = {.op = op,
                          .owner = suite_owner(owner),
                          .again = epoch,
                          .now_ms = NOW,
                          .timeout_ms = 60000};
    coat_err err = coat_store_run(run->lane, &req);

    *now = op == COAT_OP_END_ALL ? req.epoch_global : req.epoch_owner;
    return err;
}

/** A store that has lost a revocation is told the epoch, and goes on from there. */
static void
replayed(suite_run *run)
{
    uint64_t owner, global, epoch;

    EXPECT_ERR(run, suite_remove_owner(run->lane, 1, NOW, &owner), COAT_OK);
    EXPECT_ERR(run,
               suite_insert(run->lane, &(coat_store_req){.epoch_owner = owner},
                            COAT_SPACE_SESSION, suite_handle(1, 1), "v", 0, NOW),
               COAT_OK);
    /* It knows this one: nobody is signed out again. */
    EXPECT_ERR(run, put_back(run, COAT_OP_REMOVE_OWNER, 1, owner, &epoch), COAT_OK);
    EXPECT_INT(run, epoch, owner);
    EXPECT_ERR(run, suite_load(run->lane, COAT_SPACE_SESSION, suite_handle(1, 1), NOW),
               COAT_OK);
    /* It has never heard of that one. */
    EXPECT_ERR(run, put_back(run, COAT_OP_REMOVE_OWNER, 1, owner + 1000, &epoch), COAT_OK);
    EXPECT_INT(run, epoch, owner + 1000);
    EXPECT_ERR(run, suite_load(run->lane, COAT_SPACE_SESSION, suite_handle(1, 1), NOW),
               COAT_NO_SESSION);
    EXPECT_ERR(run, suite_remove_owner(run->lane, 2, NOW, &epoch), COAT_OK);
    EXPECT(run, epoch > owner + 1000);

    EXPECT_ERR(run, put_back(run, COAT_OP_END_ALL, 0, epoch + 1000, &global), COAT_OK);
    EXPECT_INT(run, global, epoch + 1000);
    EXPECT_ERR(run, put_back(run, COAT_OP_END_ALL, 0, 1, &epoch), COAT_OK);
    EXPECT_INT(run, epoch, global);
    EXPECT_ERR(run, suite_epochs(run->lane, 1, &owner, &epoch), COAT_OK);
    EXPECT_INT(run, epoch, global);
}

/** A replayed revocation spares whom it spared. */
static void
replayed_with_spare(suite_run *run)
{
    coat_store_req req = {.op = COAT_OP_REMOVE_OWNER,
                          .owner = suite_owner(3),
                          .has_spare = true,
                          .spare = suite_handle(3, 2),
                          .now_ms = NOW,
                          .timeout_ms = 60000};
    uint64_t owner, global;

    for (uint64_t serial = 1; serial <= 3; serial++)
        EXPECT_ERR(run,
                   suite_insert(run->lane, NULL, COAT_SPACE_SESSION, suite_handle(3, serial),
                                "v", 0, NOW),
                   COAT_OK);
    /* Higher than it has: that of a cache is not 0 before it was raised. */
    EXPECT_ERR(run, suite_epochs(run->lane, 3, &owner, &global), COAT_OK);
    req.again = owner + 5000;
    EXPECT_ERR(run, coat_store_run(run->lane, &req), COAT_OK);
    for (uint64_t serial = 1; serial <= 3; serial++)
        EXPECT_ERR(run, suite_load(run->lane, COAT_SPACE_SESSION, suite_handle(3, serial), NOW),
                   serial == 2 ? COAT_OK : COAT_NO_SESSION);
}

/** A store that tells its time tells it in milliseconds: within a day of ours, wherever it is.
 */
static void
store_clock(suite_run *run)
{
    enum { DAY_MS = 24 * 3600 * 1000 };
    coat_store_req req = {.op = COAT_OP_EPOCHS,
                          .owner = suite_owner(1),
                          .found_clock_ms = 1,
                          .timeout_ms = 60000};
    int64_t off_ms;

    EXPECT_ERR(run, coat_store_run(run->lane, &req), COAT_OK);
    off_ms = req.found_clock_ms - coat_clock_system(NULL);
    EXPECT(run, req.found_clock_ms == 0 || (off_ms < DAY_MS && off_ms > -DAY_MS));
}

const suite_case suite_owner_cases[] = {
    {"list_owner reports one owner's live sessions, oldest first", list_owner, false},
    {"RV-4: remove_owner ends what was there, not what comes after", remove_owner, false},
    {"RV-4: remove_owner spares one session, again and again", spare, false},
    {"RV-5: a revocation that the store has lost is put back, once", replayed, false},
    {"RV-5: and spares whom it spared", replayed_with_spare, false},
    {"RV-4: a sign-in that began before a revocation is refused", late_sign_in, false},
    {"SF-10: epochs come with the store's clock, or none", store_clock, false},
    {"RV-4: end_all is one write and hits every session", end_all, false},
    {"LC-10: the oldest sessions give way to a limit, and are reported", limit_by_eviction,
     false},
    {"LC-10: or the limit refuses; expired and superseded ones do not count", limit_by_refusal,
     false},
    {"LC-1: a superseded session is replaced in the same step, or nothing is", superseded,
     false},
    {"ST-9: sweeping erases what is dead and nothing else", sweeping, false},
    {"a sweep erases no more than asked for", sweep_limit, false},
    {"RV-4: many end at once, and none is back while they are erased in slices",
     erased_in_slices, false},
    {"RV-4 ST-9: what a process has left of them, the next one erases", left_between_slices,
     true},
    {NULL, NULL, false},
};
