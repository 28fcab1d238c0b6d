/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_TESTS_FAULT_CASES_H
#define COAT_TESTS_FAULT_CASES_H

/**
 * The drills of SF-1, SF-2, SF-6, SF-11 and LC-9 for any store, see fault_drill.h. The program
 * also has its server's own outages: own_outages[]. Counts are reduced; COAT_TEST_SCALE=100 has
 * them in full (scripts/stress).
 */

#include "fault_drill.h"

#include <stdlib.h>

static void
refused(void)
{
    proxy_refuse(&proxy, true);
    do { /* again for one that was being accepted, which nobody would end otherwise */
        proxy_cut(&proxy);
        (void)nanosleep(&(struct timespec){0, 1000000}, NULL);
    } while (atomic_load(&proxy.live) > 0);
}

/* ---- random histories under one fault at a time ---- */

typedef struct way {
    const char *name;
    fault to_server, to_client;
    int percent;
    bool refuse;
    long floor; /* of 5000 steps */
} way;

static void
drill_way(const way *w)
{
    begin((uint64_t)w->to_server * 10 + w->to_client + 1);
    warm_up(100);
    atomic_store(&proxy.delay_ms, 2 * DRILL_TIMEOUT_MS);
    for (int round = 0; round < 2; round++) {
        proxy_set(&proxy, w->to_server, w->to_client, w->percent);
        if (w->refuse)
            refused();
        for (int i = 0; i < DRILL_THREADS; i++)
            drills[i].steps = (uint64_t)test_scaled(5000, w->floor);
        drill_all(drills);
        recover();
    }
    CHECK(w->refuse || atomic_load(&proxy.met) > 0);
    for (int i = 0; i < DRILL_THREADS; i++)
        CHECK(drills[i].answered > 0);
    if (getenv("COAT_TEST_VERBOSE") != NULL)
        printf("# %s: met %llu, answered %llu, down %llu\n", w->name,
               (unsigned long long)atomic_load(&proxy.met),
               (unsigned long long)drills[0].answered, (unsigned long long)drills[0].down);
    end();
}

static void
all_ways(void)
{
    static const way ways[] = {
        {"refused", FAULT_NONE, FAULT_NONE, 0, true, 60},
        {"delayed answers", FAULT_NONE, FAULT_DELAY, 30, false, 40},
        {"delayed questions", FAULT_DELAY, FAULT_NONE, 30, false, 40},
        {"reset before the question", FAULT_RESET, FAULT_NONE, 10, false, 60},
        {"reset instead of the answer", FAULT_NONE, FAULT_RESET, 10, false, 60},
        {"questions cut short", FAULT_TRUNCATE, FAULT_NONE, 10, false, 60},
        {"answers cut short", FAULT_NONE, FAULT_TRUNCATE, 10, false, 60},
        {"questions vanish", FAULT_BLACKHOLE, FAULT_NONE, 100, false, 20},
        {"answers vanish", FAULT_NONE, FAULT_BLACKHOLE, 100, false, 20},
        {"questions out of order", FAULT_REORDER, FAULT_NONE, 20, false, 30},
        {"answers out of order", FAULT_NONE, FAULT_REORDER, 20, false, 30},
        {"answers repeated", FAULT_NONE, FAULT_REPEAT, 30, false, 150},
        {"questions held", FAULT_HOLD, FAULT_NONE, 100, false, 12},
    };

    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        test_case(ways[i].name);
        drill_way(&ways[i]);
    }
    test_case(NULL);
}

/** Bits flip on a wire without TLS: nobody gets another's record, and nothing breaks. */
static void
corrupted(void)
{
    for (int side = 0; side < 2; side++) {
        begin(77 + (uint64_t)side);
        for (int i = 0; i < DRILL_THREADS; i++)
            drills[i].may_corrupt = true;
        warm_up(100);
        proxy_set(&proxy, side == 0 ? FAULT_CORRUPT : FAULT_NONE,
                  side == 0 ? FAULT_NONE : FAULT_CORRUPT, 30);
        for (int i = 0; i < DRILL_THREADS; i++)
            drills[i].steps = (uint64_t)test_scaled(10000, 100);
        drill_all(drills);
        CHECK(atomic_load(&proxy.met) > 0);
        end();
    }
}

/* ---- SF-1: outages ---- */

enum { LIVE = 1, ENDED = 101, UNKNOWN = 201, EACH = 8, LATE_MS = 10000 };

typedef struct outage {
    const char *name;
    void (*start)(void);
    void (*stop)(void);
    bool answers;     /* reads, truthfully */
    bool may_answer;  /* a read, if all of its answer came before the cut */
    coat_err written; /* what an INSERT is answered */
} outage;

static void
black_holed(void)
{
    proxy_set(&proxy, FAULT_BLACKHOLE, FAULT_BLACKHOLE, 100);
}

static void
cut_short(void)
{
    proxy_set(&proxy, FAULT_NONE, FAULT_TRUNCATE, 100);
}

static void
garbage(void)
{
    proxy_set(&proxy, FAULT_NONE, FAULT_GARBAGE, 100);
}

static void
held(void)
{
    proxy_set(&proxy, FAULT_NONE, FAULT_HOLD, 100);
}

/** What is late comes all the same. */
static void
late(void)
{
    atomic_fetch_add(&ahead_ms, LATE_MS);
    heal();
}

static const outage common_outages[] = {
    {"refused", refused, heal, false, false, COAT_STORE_DOWN},
    {"black-holed", black_holed, heal, false, false, COAT_STORE_DOWN},
    {"reset in mid-reply", cut_short, heal, false, true, COAT_STORE_DOWN},
    {"garbage", garbage, heal, false, false, COAT_STORE_DOWN},
    {"ten seconds late", held, late, false, false, COAT_STORE_DOWN},
};

static void
ask_in_outage(drill *d, const outage *o, uint64_t n)
{
    uint64_t kind = n % 4, serial = n / 4 % EACH;
    coat_store_req req = session_req(COAT_OP_LOAD, 1, 0);
    static const uint8_t bytes[10];

    serial += kind == 0 ? LIVE : kind == 1 ? ENDED : kind == 2 ? UNKNOWN : 1000 + n;
    req.address = handle_of(1, serial);
    if (kind == 3)
        req.op = COAT_OP_INSERT;
    req.value = (coat_span){bytes, sizeof bytes};
    req.timeout_ms = o->answers ? PATIENCE_MS : DRILL_TIMEOUT_MS;
    req.result = coat_store_run(d->lane, &req);
    if (kind == 3)
        CHECK_ERR(req.result, o->written);
    else if (!o->answers && !o->may_answer)
        CHECK_ERR(req.result, COAT_STORE_DOWN);
    else if (req.result != COAT_STORE_DOWN)
        CHECK_ERR(req.result, kind == 0 ? COAT_OK : COAT_NO_SESSION);
    if (req.result == COAT_STORE_DOWN) /* so that probes go, too */
        atomic_fetch_add(&ahead_ms, 100);
}

static void
in_outage(const outage *o, uint64_t seed)
{
    drill *d = &drills[0];
    uint64_t steps = (uint64_t)test_scaled(10000, 40);

    begin(seed);
    for (uint64_t i = 0; i < EACH; i++) {
        REQUIRE_OK(sign_in(d->lane, 1, LIVE + i, 10));
        REQUIRE_OK(sign_in(d->lane, 1, ENDED + i, 10));
        REQUIRE_OK(run_op(d->lane, COAT_OP_REMOVE, 1, ENDED + i));
    }
    o->start();
    for (uint64_t i = 0; i < steps; i++)
        ask_in_outage(d, o, i);
    o->stop();
    come_back(d->lane);
    for (uint64_t i = 0; i < EACH; i++) {
        CHECK_ERR(run_op(d->lane, COAT_OP_LOAD, 1, LIVE + i), COAT_OK);
        CHECK_ERR(run_op(d->lane, COAT_OP_LOAD, 1, ENDED + i), COAT_NO_SESSION);
        CHECK_ERR(run_op(d->lane, COAT_OP_LOAD, 1, UNKNOWN + i), COAT_NO_SESSION);
    }
    end();
}

static void
run_outages(const outage *outages, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        test_case(outages[i].name);
        in_outage(&outages[i], 30 + i);
    }
    test_case(NULL);
}

static void
network_outages(void)
{
    run_outages(common_outages, sizeof common_outages / sizeof common_outages[0]);
}

/* ---- SF-2: deadline, breaker, nothing twice ---- */

enum { BACK_MS = 2000 };

/** Set the clock ahead, and have the lane look at it. */
static void
tell_time(hand *h, int ms)
{
    atomic_fetch_add(&ahead_ms, ms);
    for (int n = 0; n < 3; n++) {
        uv_sleep(REMOTE_PACE_BUSY_MS);
        (void)uv_run(&h->loop, UV_RUN_NOWAIT);
    }
}

/** To the millisecond of the store's clock. */
static void
deadline(void)
{
    hand h;

    open_store(4);
    hand_open(&h, 2);
    hand_sign_in(&h, 1, 1);
    freeze(true);
    black_holed();
    for (int i = 0; i < REMOTE_BREAKER_FAILURES - 1; i++) {
        coat_store_req req = session_req(COAT_OP_LOAD, 1, 1);
        bool done;

        req.timeout_ms = 0;
        hand_submit(&h, &req, &done);
        tell_time(&h, COAT_STORE_TIMEOUT_MS - 1);
        CHECK(!done);
        tell_time(&h, 1);
        REQUIRE(done);
        CHECK_ERR(req.result, COAT_STORE_DOWN);
    }
    heal();
    hand_close(&h);
    close_store();
}

/**
 * Within so much of the store's clock, which moves on only when the machine had a while for
 * what was begun. @return what a LOAD is answered
 */
static coat_err
back_within(hand *h, int within_ms)
{
    enum { STEP_MS = 50, STEP_TURNS = 200 };
    coat_store_req req;
    bool done = true;

    for (int ms = 0; ms < within_ms; ms += STEP_MS) {
        atomic_fetch_add(&ahead_ms, STEP_MS);
        if (done) {
            req = session_req(COAT_OP_LOAD, 1, 1);
            hand_submit(h, &req, &done);
        }
        for (int n = 0; n < STEP_TURNS && !done; n++)
            hand_turn(h);
        if (done && req.result != COAT_STORE_DOWN)
            return req.result;
    }
    atomic_fetch_add(&ahead_ms, PATIENCE_MS);
    HAND_UNTIL(h, done);
    return COAT_STORE_DOWN;
}

/** Until the breaker opens. The clock is frozen. */
static void
open_breaker(hand *h)
{
    for (int i = 0; i < REMOTE_BREAKER_FAILURES + 1; i++) {
        coat_store_req req = session_req(COAT_OP_LOAD, 1, 1);
        bool done;

        hand_submit(h, &req, &done);
        atomic_fetch_add(&ahead_ms, PATIENCE_MS);
        HAND_UNTIL(h, done);
        CHECK_ERR(req.result, COAT_STORE_DOWN);
    }
    CHECK(remote()->breaker.open);
}

/** Ask every millisecond; a probe is given up. @return how many were tried at all */
static int
busy_door(hand *h, int span_ms)
{
    int tried = 0;

    for (int ms = 0; ms < span_ms; ms++) {
        coat_store_req req = session_req(COAT_OP_LOAD, 1, 1);
        bool done;

        req.timeout_ms = 1;
        hand_submit(h, &req, &done);
        tried += !done; /* an open breaker answers within the call */
        atomic_fetch_add(&ahead_ms, 1);
        HAND_UNTIL(h, done);
        CHECK_ERR(req.result, COAT_STORE_DOWN);
    }
    return tried;
}

/** An outage costs the store no more than probes, and the caller no more than a word. */
static void
breaker(void)
{
    enum { SPAN_MS = 10000, PROBE_MOST_MS = REMOTE_PROBE_LEAST_MS + REMOTE_PROBE_SPREAD_MS };
    int before, connects, tried;
    hand h;

    open_store(5);
    hand_open(&h, 2);
    hand_sign_in(&h, 1, 1);
    freeze(true);
    black_holed();
    open_breaker(&h);
    before = atomic_load(&proxy.accepted);
    tried = busy_door(&h, SPAN_MS);
    connects = atomic_load(&proxy.accepted) - before;
    CHECK(tried + connects >= SPAN_MS / PROBE_MOST_MS - 1);
    CHECK(tried <= SPAN_MS / REMOTE_PROBE_LEAST_MS);
    CHECK(connects <= SPAN_MS / REMOTE_PROBE_LEAST_MS + 1); /* one may be noticed late */
    /* It is back: so are we, within two seconds. */
    heal();
    CHECK_ERR(back_within(&h, BACK_MS), COAT_OK);
    CHECK(!remote()->breaker.open);
    hand_close(&h);
    close_store();
}

static coat_store_req
a_write(hand *h, coat_op op, uint64_t owner)
{
    coat_store_req req = session_req(op, owner, 1);

    if (op == COAT_OP_INSERT)
        return hand_insert(h, owner, 2);
    if (op == COAT_OP_REPLACE) {
        static const uint8_t bytes[12];
        coat_store_req load = session_req(COAT_OP_LOAD, owner, 1);

        CHECK_ERR(hand_run(h, &load), COAT_OK);
        req.version = load.found_version;
        req.value = (coat_span){bytes, sizeof bytes};
    }
    return req;
}

/** How often the marks of one write go to the server if nothing disturbs it. */
static int
marks_of(hand *h, coat_op op, uint64_t owner)
{
    coat_store_req req;

    hand_sign_in(h, owner, 1);
    req = a_write(h, op, owner);
    meet_write(owner, FAULT_NONE, FAULT_NONE);
    CHECK_ERR(hand_run(h, &req), COAT_OK);
    return proxy_seen(&proxy);
}

/** What is not idempotent goes to the server once, whatever happens to it or its answer. */
static void
never_twice(void)
{
    static const coat_op ops[] = {COAT_OP_INSERT, COAT_OP_REPLACE, COAT_OP_REMOVE_OWNER};
    static const fault lost[][2] = {{FAULT_NONE, FAULT_RESET},
                                    {FAULT_NONE, FAULT_BLACKHOLE},
                                    {FAULT_BLACKHOLE, FAULT_NONE},
                                    {FAULT_NONE, FAULT_GARBAGE}};
    uint64_t owner = 50;
    hand h;

    open_store(6);
    hand_open(&h, 1);
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++) {
        int marks = marks_of(&h, ops[i], ++owner);

        CHECK(marks > 0);
        for (size_t f = 0; f < sizeof lost / sizeof lost[0]; f++) {
            coat_store_req req;

            owner++;
            hand_sign_in(&h, owner, 1);
            req = a_write(&h, ops[i], owner);
            freeze(true);
            meet_write(owner, lost[f][0], lost[f][1]);
            hand_lose(&h, &req);
            heal();
            freeze(false);
            /* All that is still to be sent would be sent before this. */
            CHECK_ERR(hand_op_patient(&h, COAT_OP_LOAD, 1, 1), COAT_NO_SESSION);
            CHECK_INT(proxy_seen(&proxy), marks);
            CHECK_ERR(hand_op_patient(&h, COAT_OP_SWEEP, 0, 0), COAT_OK);
        }
    }
    hand_close(&h);
    close_store();
}

/* ---- LC-9, SF-6: late writes ---- */

/** Have it held on its way with all it needed, and give it up. New connections get through. */
static void
hold_write(hand *h, coat_store_req *req, uint64_t owner)
{
    freeze(true);
    meet_write(owner, FAULT_HOLD, FAULT_NONE);
    hand_lose(h, req);
    proxy_spare_new(&proxy);
    freeze(false);
}

/** What was held arrives, and is dealt with. */
static void
let_go(void)
{
    heal();
    while (atomic_load(&proxy.live) > 0)
        (void)nanosleep(&(struct timespec){0, 2000000}, NULL);
}

/** What is there of owner's sessions 1 and 2: two bits. */
static int
state_of(hand *h, uint64_t owner)
{
    int state = 0;

    for (uint64_t serial = 1; serial <= 2; serial++) {
        coat_err err = hand_op_patient(h, COAT_OP_LOAD, owner, serial);

        CHECK(err == COAT_OK || err == COAT_NO_SESSION);
        state |= (err == COAT_OK) << serial;
    }
    return state;
}

static void
late_write(coat_op op, bool sweeps)
{
    int before, after = 0;
    coat_store_req req;
    hand h;

    open_store(9);
    hand_open(&h, 1);
    hand_sign_in(&h, 7, 1);
    req = a_write(&h, op, 7);
    hold_write(&h, &req, 7);
    if (sweeps)
        CHECK_ERR(hand_op_patient(&h, COAT_OP_SWEEP, 0, 0), COAT_OK);
    before = state_of(&h, 7);
    CHECK_INT(before, 1 << 1);
    hand_close(&h);
    let_go();
    hand_open(&h, 1);
    /* What came may take the server a moment. */
    for (int n = 0; n < (sweeps ? 3 : TURNS_MAX) && (n == 0 || after == before); n++)
        after = state_of(&h, 7);
    if (sweeps)
        CHECK_INT(after, before); /* it came too late */
    else
        CHECK(after != before); /* it came: this test would notice */
    hand_close(&h);
    close_store();
}

static void
late_writes(void)
{
    static const coat_op ops[] = {COAT_OP_INSERT, COAT_OP_REMOVE, COAT_OP_REMOVE_OWNER};

    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++) {
        late_write(ops[i], false);
        late_write(ops[i], true);
    }
}

/**
 * A step-up (an INSERT that supersedes) of unknown outcome, and then the old session's end,
 * which is acknowledged: however late the step-up comes, it makes nobody live.
 */
static void
late_step_up(void)
{
    coat_store_req req;
    hand h;

    open_store(10);
    hand_open(&h, 1);
    hand_sign_in(&h, 7, 1);
    req = hand_insert(&h, 7, 2);
    req.has_superseded = true;
    req.superseded = handle_of(7, 1);
    hold_write(&h, &req, 7);
    CHECK_ERR(hand_op_patient(&h, COAT_OP_REMOVE, 7, 1), COAT_OK);
    hand_close(&h);
    let_go();
    hand_open(&h, 1);
    for (int n = 0; n < 3; n++) {
        CHECK_INT(state_of(&h, 7), 0);
        CHECK_ERR(hand_op_patient(&h, COAT_OP_SWEEP, 0, 0), COAT_OK);
    }
    hand_close(&h);
    close_store();
}

/**
 * The drills' own idea of what may be, which was wrong once: a sign-in of unknown outcome may
 * come after its session's end was acknowledged, and then is there for good once a SWEEP has
 * said so. What was not in doubt may not.
 */
static void
drill_model(void)
{
    drill d = {.owner = 7, .ahead_ms = &ahead_ms, .timeout_ms = DRILL_TIMEOUT_MS};
    coat_store_req req = session_req(COAT_OP_INSERT, 7, 1);
    uint8_t bytes[DRILL_VALUE];

    open_store(11);
    remote()->links = 1;
    REQUIRE_OK(coat_lane_open(store, NULL, &d.lane));
    d.timeout_ms = PATIENCE_MS;
    drill_insert(&d, 1);
    drill_remove(&d, 1);
    meet_write(7, FAULT_HOLD, FAULT_NONE);
    d.timeout_ms = DRILL_TIMEOUT_MS;
    drill_insert(&d, 1);
    CHECK(d.sessions[1].maybe_insert);
    d.timeout_ms = PATIENCE_MS;
    proxy_spare_new(&proxy);
    drill_remove(&d, 1);
    CHECK(d.sessions[1].ended && d.sessions[1].maybe_insert);
    heal();
    for (int n = 0; n < TURNS_MAX && d.sessions[1].state != KNOWN_LIVE && d.fault == NULL; n++)
        drill_load(&d, 1);
    CHECK(d.sessions[1].state == KNOWN_LIVE);
    come_back(d.lane);
    drill_decided(&d);
    drill_load(&d, 1);
    CHECK(!drill_failed(&d, __FILE__, __LINE__));
    /* But this would be a fault: somebody else's sign-in, which nobody was in doubt about. */
    drill_remove(&d, 1);
    drill_value(&d, 1, 1, bytes);
    req.value = (coat_span){bytes, sizeof bytes};
    CHECK_ERR(coat_store_run(d.lane, &req), COAT_OK);
    drill_load(&d, 1);
    REQUIRE(d.fault != NULL);
    CHECK_STR(d.fault, "accepted, and never was");
    coat_lane_close(d.lane);
    close_store();
}

/* ---- SF-6 ---- */

static uint64_t seen_owner;

static void
note_owner(coat_store_req *req)
{
    seen_owner = req->result == COAT_OK && req->found.len == 1 ? req->found.ptr[0] : 0;
}

/** What was answered before comes once more: everybody would get the record of the one before.
 */
static void
off_by_one(void)
{
    enum { OWNERS = 4 };
    drill *d = &drills[0];
    int before;

    begin(12);
    for (uint8_t owner = 1; owner <= OWNERS; owner++) {
        coat_store_req req = session_req(COAT_OP_INSERT, owner, 1);

        req.value = (coat_span){&owner, 1};
        REQUIRE_OK(coat_store_run(d->lane, &req));
        CHECK_ERR(run_op(d->lane, COAT_OP_LOAD, owner, 1), COAT_OK);
    }
    before = atomic_load(&proxy.accepted);
    proxy_set(&proxy, FAULT_NONE, FAULT_REPEAT, 100);
    for (long i = 0; i < test_scaled(10000, 100); i++) {
        uint64_t owner = 1 + (uint64_t)i % (OWNERS + 1); /* the last one is unknown */
        coat_store_req req = session_req(COAT_OP_LOAD, owner, 1);

        req.done = note_owner;
        req.timeout_ms = DRILL_TIMEOUT_MS;
        req.result = coat_store_run(d->lane, &req);
        CHECK(req.result == COAT_STORE_DOWN ||
              req.result == (owner > OWNERS ? COAT_NO_SESSION : COAT_OK));
        CHECK(req.result != COAT_OK || seen_owner == owner);
        if (req.result == COAT_STORE_DOWN)
            atomic_fetch_add(&ahead_ms, 400);
    }
    CHECK(atomic_load(&proxy.accepted) > before); /* and the connection was given up */
    heal();
    come_back(d->lane);
    for (uint8_t owner = 1; owner <= OWNERS; owner++)
        CHECK_ERR(run_op(d->lane, COAT_OP_LOAD, owner, 1), COAT_OK);
    end();
}

/* ---- SF-11 ---- */

static void
started_later(void)
{
    hand h;

    open_store(13);
    freeze(true);
    refused();
    hand_open(&h, 1);
    for (int i = 0; i < REMOTE_BREAKER_FAILURES * 2; i++) {
        coat_store_req req = session_req(COAT_OP_LOAD, 1, 1);
        bool done;

        hand_submit(&h, &req, &done);
        for (int n = 0; n < 20 && !done; n++)
            hand_turn(&h);
        atomic_fetch_add(&ahead_ms, PATIENCE_MS);
        HAND_UNTIL(&h, done);
        CHECK_ERR(req.result, COAT_STORE_DOWN);
    }
    CHECK_INT(atomic_load(&remote()->ready), 0);
    heal();
    CHECK_ERR(back_within(&h, BACK_MS), COAT_NO_SESSION);
    hand_close(&h);
    close_store();
}

/** For the program's list of tests. */
#define FAULT_CASES                                                                            \
    {"SF-1 SF-6 LC-9: no fault of the network makes a wrong answer", all_ways},                \
        {"SF-6 ST-8: flipped bits give nobody another's record", corrupted},                   \
        {"SF-1 SF-6: no outage of the network lets anybody in, or signs anybody out",          \
         network_outages},                                                                     \
        {"SF-1 SF-2: nor does one of the server's own", server_outages},                       \
        {"SF-2: a server that says nothing costs 250 ms", deadline},                           \
        {"SF-2: then a dead store answers at once, and is asked once a second", breaker},      \
        {"SF-2: what is not idempotent is never sent twice", never_twice},                     \
        {"LC-9: what was answered STORE_DOWN is decided by a SWEEP", late_writes},             \
        {"LC-9: a late step-up does not make live what was ended meanwhile", late_step_up},    \
        {"LC-9: only a sign-in of unknown outcome may come after its session's end",           \
         drill_model},                                                                         \
        {"SF-6: the answer to the question before is nobody's", off_by_one},                   \
    {                                                                                          \
        "SF-11: a store that comes later is connected to within two seconds", started_later    \
    }

#endif
