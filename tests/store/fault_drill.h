/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_TESTS_FAULT_DRILL_H
#define COAT_TESTS_FAULT_DRILL_H

/**
 * A store behind a proxy that does what networks do, and users' sessions in it: what the drills
 * of any store have in common. The program has
 *
 *   begin_store()  starts the server if need be, empties it, points the proxy at it, starts
 *                  that, and opens `store` through it
 *   remote()       the remote_store behind `store`
 *   write_mark()   bytes that every write of an owner has on the wire
 *
 * The store's clock is test_monotonic().
 */

#include "drill.h"
#include "fault_proxy.h"
#include "test_clock.h"

#include <signal.h>
#include <uv.h>

enum { DRILL_TIMEOUT_MS = 50, TURNS_MAX = 60000 };

static fault_proxy proxy;
static coat_store *store;
static drill drills[DRILL_THREADS];

static void begin_store(uint64_t seed);
static remote_store *remote(void);
static size_t write_mark(uint64_t owner, char mark[PROXY_NEEDLE_MAX]);

static void
open_store(uint64_t seed)
{
    (void)signal(SIGPIPE, SIG_IGN);
    freeze(false);
    memset(&proxy, 0, sizeof proxy);
    begin_store(seed);
    remote()->monotonic = test_monotonic;
}

static void
close_store(void)
{
    coat_store_close(store);
    proxy_stop(&proxy);
}

static void
begin(uint64_t seed)
{
    open_store(seed);
    for (int i = 0; i < DRILL_THREADS; i++) {
        drills[i] = (drill){.store = store,
                            .owner = (uint64_t)i + 1,
                            .rng = {seed * 100 + (uint64_t)i},
                            .ahead_ms = &ahead_ms,
                            .timeout_ms = DRILL_TIMEOUT_MS};
        REQUIRE_OK(coat_lane_open(store, NULL, &drills[i].lane));
    }
}

static void
end(void)
{
    for (int i = 0; i < DRILL_THREADS; i++)
        coat_lane_close(drills[i].lane);
    close_store();
}

static void
heal(void)
{
    proxy_set(&proxy, FAULT_NONE, FAULT_NONE, 0);
    proxy_refuse(&proxy, false);
}

/** Until the lane gets through again: a SWEEP, which also decides what was in doubt. */
static void
come_back(coat_lane *lane)
{
    coat_err err = COAT_STORE_DOWN;

    for (int n = 0; n < 4000 && err != COAT_OK; n++) {
        err = run_op(lane, COAT_OP_SWEEP, 0, 0);
        if (err == COAT_OK)
            break;
        /* A connection on its way to be ready is given time; one that leads nowhere ends. */
        if (atomic_load(&proxy.live) <= (int)atomic_load(&remote()->ready) || n % 40 == 39)
            atomic_fetch_add(&ahead_ms, 200);
        (void)nanosleep(&(struct timespec){0, 5000000}, NULL);
    }
    CHECK_ERR(err, COAT_OK);
}

/** Everybody gets through again, and what was live before is. */
static void
recover(void)
{
    heal();
    for (int i = 0; i < DRILL_THREADS; i++) {
        drill *d = &drills[i];

        come_back(d->lane);
        drill_decided(d);
        d->timeout_ms = PATIENCE_MS;
        for (uint64_t s = 0; s < DRILL_SESSIONS && d->fault == NULL; s++) {
            drill_load(d, s);
            if (d->fault == NULL)
                drill_load(d, s); /* decided once and for all */
        }
        d->timeout_ms = DRILL_TIMEOUT_MS;
        if (drill_failed(d, __FILE__, __LINE__))
            test_abort();
    }
}

static void
warm_up(uint64_t steps)
{
    for (int i = 0; i < DRILL_THREADS; i++) {
        drills[i].steps = steps;
        drills[i].timeout_ms = PATIENCE_MS;
    }
    drill_all(drills);
    for (int i = 0; i < DRILL_THREADS; i++)
        drills[i].timeout_ms = DRILL_TIMEOUT_MS;
}

/* ---- by hand: a lane that moves only when the test turns its loop ---- */

typedef struct hand {
    uv_loop_t loop;
    coat_lane *lane;
} hand;

static void
hand_open(hand *h, uint32_t links)
{
    remote()->links = links;
    REQUIRE(uv_loop_init(&h->loop) == 0);
    REQUIRE_OK(coat_lane_open(store, &h->loop, &h->lane));
}

static void
hand_close(hand *h)
{
    coat_lane_close(h->lane);
    (void)uv_run(&h->loop, UV_RUN_DEFAULT);
    REQUIRE(uv_loop_close(&h->loop) == 0);
}

static void
hand_turn(hand *h)
{
    (void)uv_run(&h->loop, UV_RUN_NOWAIT);
    (void)nanosleep(&(struct timespec){0, 1000000}, NULL);
}

static void
hand_done(coat_store_req *req)
{
    *(bool *)req->ctx = true;
}

static void
hand_submit(hand *h, coat_store_req *req, bool *done)
{
    *done = false;
    req->done = hand_done;
    req->ctx = done;
    coat_store_submit(h->lane, req);
}

/** Turn until it is true: the machine may take its time. */
#define HAND_UNTIL(hand, cond)                                                                 \
    do {                                                                                       \
        for (int turns_ = 0; !(cond) && turns_ < TURNS_MAX; turns_++)                          \
            hand_turn(hand);                                                                   \
        REQUIRE(cond);                                                                         \
    } while (0)

/** To the end, on a clock that moves only while no link is ready or on its way to be. */
static coat_err
hand_run(hand *h, coat_store_req *req)
{
    int accepted = atomic_load(&proxy.accepted), idle = 0;
    bool done;

    hand_submit(h, req, &done);
    for (int turns = 0; !done && turns < TURNS_MAX; turns++) {
        if (atomic_load(&remote()->ready) == 0 && atomic_load(&proxy.accepted) == accepted)
            atomic_fetch_add(&ahead_ms, 20);
        if (++idle % 2000 == 0) /* that connection came to nothing */
            accepted = atomic_load(&proxy.accepted);
        hand_turn(h);
    }
    REQUIRE(done);
    return req->result;
}

static coat_err
hand_op(hand *h, coat_op op, uint64_t owner, uint64_t serial)
{
    coat_store_req req = session_req(op, owner, serial);

    return hand_run(h, &req);
}

/** Past a breaker that is open. */
static coat_err
hand_op_patient(hand *h, coat_op op, uint64_t owner, uint64_t serial)
{
    coat_err err = COAT_STORE_DOWN;

    for (int n = 0; n < 200 && err == COAT_STORE_DOWN; n++) {
        err = hand_op(h, op, owner, serial);
        if (err == COAT_STORE_DOWN)
            atomic_fetch_add(&ahead_ms, 200);
    }
    return err;
}

/** An INSERT, as the owner's epochs are. */
static coat_store_req
hand_insert(hand *h, uint64_t owner, uint64_t serial)
{
    static const uint8_t bytes[10];
    coat_store_req epochs = session_req(COAT_OP_EPOCHS, owner, 0);
    coat_store_req req = session_req(COAT_OP_INSERT, owner, serial);

    CHECK_ERR(hand_run(h, &epochs), COAT_OK);
    req.epoch_owner = epochs.epoch_owner;
    req.epoch_global = epochs.epoch_global;
    req.value = (coat_span){bytes, sizeof bytes};
    return req;
}

static void
hand_sign_in(hand *h, uint64_t owner, uint64_t serial)
{
    coat_store_req req = hand_insert(h, owner, serial);

    CHECK_ERR(hand_run(h, &req), COAT_OK);
}

/** Watch for writes of this owner, and let these faults begin with the next. */
static void
meet_write(uint64_t owner, fault to_server, fault to_client)
{
    char mark[PROXY_NEEDLE_MAX];

    proxy_watch(&proxy, mark, write_mark(owner, mark));
    proxy_arm(&proxy, to_server, to_client);
}

/** Submit it; its question or its answer is lost, its time runs out. The clock is frozen. */
static void
hand_lose(hand *h, coat_store_req *req)
{
    uint64_t met = atomic_load(&proxy.met);
    bool done;

    hand_submit(h, req, &done);
    HAND_UNTIL(h, done || atomic_load(&proxy.met) > met);
    /* All of the question leaves, if in several writes: without its end it never happens. */
    for (int n = 0; n < 20 && !done; n++)
        hand_turn(h);
    if (!done)
        atomic_fetch_add(&ahead_ms, req->timeout_ms);
    HAND_UNTIL(h, done);
    CHECK_ERR(req->result, COAT_STORE_DOWN);
}

#endif
