/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_TESTS_ONE_STORE_H
#define COAT_TESTS_ONE_STORE_H

/** One store on a real server with a clock that tests set ahead, one lane; and what is asked of
 * every such store while its server comes, goes and is late. */

#include "fault_proxy.h"
#include "loopback.h"
#include "requests.h"
#include "store/remote/remote.h"
#include "test_clock.h"

static coat_store *store;
static coat_lane *lane;

/** `store` has just been opened. */
static inline void
take_store(void)
{
    ((remote_store *)store)->monotonic = test_monotonic;
    REQUIRE_OK(coat_lane_open(store, NULL, &lane));
}

static inline void
end(void)
{
    coat_lane_close(lane);
    coat_store_close(store);
    lane = NULL;
    store = NULL;
}

/** The lane's loop for a while: reconnections, deadlines. */
static inline void
turn(int times)
{
    for (int i = 0; i < times; i++) {
        (void)uv_run(((remote_lane *)lane)->loop, UV_RUN_NOWAIT);
        server_sleep();
    }
}

/** Until an operation is answered definitely; the breaker is led by the clock. */
static inline coat_err
come_back(void)
{
    coat_err err = COAT_STORE_DOWN;

    for (int i = 0; i < 4000 && err == COAT_STORE_DOWN; i++) {
        coat_store_req req = session_req(COAT_OP_EPOCHS, 1, 0);

        req.timeout_ms = 500; /* a connection may be held */
        err = coat_store_run(lane, &req);
        if (err == COAT_STORE_DOWN) {
            atomic_fetch_add(&ahead_ms, 200);
            turn(1);
        }
    }
    return err;
}

static inline coat_err
replace_with(uint64_t owner, uint64_t serial, size_t len, uint32_t timeout_ms)
{
    static const uint8_t bytes[COAT_STORE_VALUE_MAX];
    coat_store_req get = session_req(COAT_OP_LOAD, owner, serial);
    coat_store_req put = session_req(COAT_OP_REPLACE, owner, serial);
    coat_err err = coat_store_run(lane, &get);

    if (err != COAT_OK)
        return err;
    put.version = get.found_version;
    put.value = (coat_span){bytes, len};
    put.timeout_ms = timeout_ms;
    return coat_store_run(lane, &put);
}

static inline coat_err
replace(uint64_t owner, uint64_t serial, size_t len)
{
    return replace_with(owner, serial, len, PATIENCE_MS);
}

/* ---- its time is over ---- */

static inline void
be_late(coat_store_req *req)
{
    atomic_fetch_add(&ahead_ms, PATIENCE_MS);
    lane->store->ops->wait(lane, req);
}

/** There is no server that would do. */
static inline void
nobody_answers(int times)
{
    for (int i = 0; i < times; i++) {
        coat_store_req req = session_req(COAT_OP_LOAD, 1, 1);

        coat_store_submit(lane, &req);
        be_late(&req);
        CHECK_ERR(req.result, COAT_STORE_DOWN);
    }
}

/** A sign-in and a sign-out everywhere whose bytes are under way when their time is over. */
static inline void
hold_two(fault_proxy *proxy, uint64_t owner)
{
    coat_store_req in = session_req(COAT_OP_INSERT, owner, 2);
    coat_store_req out = session_req(COAT_OP_REMOVE_OWNER, owner, 0);

    CHECK_ERR(come_back(), COAT_OK);
    CHECK_ERR(sign_in(lane, owner, 1, 10), COAT_OK);
    proxy_set(proxy, FAULT_HOLD, FAULT_NONE, 0);
    coat_store_submit(lane, &in);
    coat_store_submit(lane, &out);
    turn(10);
    be_late(&in);
    lane->store->ops->wait(lane, &out);
    CHECK_ERR(in.result, COAT_STORE_DOWN);
    CHECK_ERR(out.result, COAT_STORE_DOWN);
}

/** Once a SWEEP has been answered they must not happen any more, even if they arrive. */
static inline void
let_two_go(fault_proxy *proxy, uint64_t owner)
{
    proxy_set(proxy, FAULT_NONE, FAULT_NONE, 0);
    turn(20);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, owner, 1), COAT_OK);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, owner, 2), COAT_NO_SESSION);
}

/* ---- sign-outs and loads in flight when the server dies ---- */

enum { AMID_MAX = 64 };

typedef struct amid {
    coat_store_req reqs[AMID_MAX];
    uint64_t owner, count;
} amid;

static inline void
amid_submit(amid *a, uint64_t owner, uint64_t count)
{
    a->owner = owner;
    a->count = count;
    for (uint64_t i = 0; i < count; i++) {
        a->reqs[i] = session_req(i % 2 == 0 ? COAT_OP_REMOVE : COAT_OP_LOAD, owner, i + 1);
        coat_store_submit(lane, &a->reqs[i]);
    }
}

static inline void
amid_wait(amid *a)
{
    atomic_fetch_add(&ahead_ms, PATIENCE_MS);
    for (uint64_t i = 0; i < a->count; i++) {
        lane->store->ops->wait(lane, &a->reqs[i]);
        CHECK(a->reqs[i].result == COAT_OK || a->reqs[i].result == COAT_STORE_DOWN);
    }
}

/** It is there again: what was acknowledged is kept. */
static inline void
amid_check(const amid *a)
{
    CHECK_ERR(come_back(), COAT_OK);
    for (uint64_t i = 0; i < a->count; i++) {
        coat_err err = run_op(lane, COAT_OP_LOAD, a->owner, i + 1);

        if (i % 2 != 0)
            CHECK_ERR(err, COAT_OK);
        else if (a->reqs[i].result == COAT_OK)
            CHECK_ERR(err, COAT_NO_SESSION);
    }
}

#endif
