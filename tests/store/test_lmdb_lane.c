/* SPDX-License-Identifier: Apache-2.0 */
/** Lanes of the embedded store while its disk hangs: deadlines, cancelling, truthful answers.
 */

#include "lmdb_fixture.h"
#include "requests.h"

#include "faults.h"

#include <uv.h>

static lmdb_fixture fx = {.map_bytes = 64 << 20};
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
end(void)
{
    coat_lane_close(lane);
    coat_store_close(store);
    fixture_remove(&fx);
}

static void
count_done(coat_store_req *req)
{
    ++*(int *)req->ctx;
}

static coat_store_req
counted(coat_op op, uint64_t serial, uint32_t timeout_ms, int *done)
{
    coat_store_req req = session_req(op, 1, serial);

    req.timeout_ms = timeout_ms;
    req.done = count_done;
    req.ctx = done;
    return req;
}

static void
deadline_without_loop(void)
{
    int done = 0;
    coat_store_req hanging = counted(COAT_OP_INSERT, 1, 20, &done);
    coat_store_req waiting = counted(COAT_OP_INSERT, 2, 20, &done);

    begin();
    gate_set(true);
    coat_store_submit(lane, &hanging);
    gate_await(); /* it is in a transaction now */
    CHECK_ERR(coat_store_run(lane, &waiting), COAT_STORE_DOWN);
    CHECK_INT(done, 1);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 1), COAT_NO_SESSION); /* reads go on */
    gate_set(false);
    store->ops->wait(lane, &hanging);
    /* Long past its deadline, but it did happen, and says so. */
    CHECK_ERR(hanging.result, COAT_OK);
    CHECK_INT(done, 2);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 1), COAT_OK);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 2), COAT_NO_SESSION);
    end();
}

/** Nobody looked after the lane meanwhile: the writer itself must not begin what is overdue. */
static void
deadline_unattended(void)
{
    int done = 0;
    coat_store_req hanging = counted(COAT_OP_INSERT, 1, PATIENCE_MS, &done);
    coat_store_req overdue = counted(COAT_OP_INSERT, 2, 1, &done);

    begin();
    gate_set(true);
    coat_store_submit(lane, &hanging);
    gate_await();
    coat_store_submit(lane, &overdue);
    usleep(5000);
    gate_set(false);
    store->ops->wait(lane, &hanging);
    store->ops->wait(lane, &overdue);
    CHECK_ERR(overdue.result, COAT_STORE_DOWN);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 2), COAT_NO_SESSION);
    end();
}

/** As count_done; opens the gate when the second request gives up. */
static void
open_gate(coat_store_req *req)
{
    count_done(req);
    gate_set(false);
}

static void
deadline_on_loop(void)
{
    int done = 0;
    coat_store_req hanging = counted(COAT_OP_INSERT, 1, 20, &done);
    coat_store_req waiting = counted(COAT_OP_INSERT, 2, 20, &done);
    coat_lane *looped = NULL;
    uv_loop_t loop;

    begin();
    REQUIRE(uv_loop_init(&loop) == 0);
    REQUIRE_OK(coat_lane_open(store, &loop, &looped));
    gate_set(true);
    coat_store_submit(looped, &hanging);
    gate_await();
    waiting.done = open_gate;
    coat_store_submit(looped, &waiting);
    uv_run(&loop, UV_RUN_DEFAULT);
    CHECK_INT(done, 2);
    CHECK_ERR(waiting.result, COAT_STORE_DOWN);
    CHECK_ERR(hanging.result, COAT_OK);
    coat_lane_close(looped);
    uv_run(&loop, UV_RUN_DEFAULT);
    CHECK_INT(uv_loop_close(&loop), 0);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 2), COAT_NO_SESSION);
    end();
}

static void *
open_gate_soon(void *arg)
{
    (void)arg;
    usleep(20000); /* lane_close is waiting by then, or finds it done: both must be right */
    gate_set(false);
    return NULL;
}

static void
close_while_hanging(void)
{
    int done = 0;
    coat_store_req hanging = counted(COAT_OP_INSERT, 1, PATIENCE_MS, &done);
    coat_store_req waiting = counted(COAT_OP_INSERT, 2, PATIENCE_MS, &done);
    coat_lane *closing = NULL;
    pthread_t thread;

    begin();
    REQUIRE_OK(coat_lane_open(store, NULL, &closing));
    gate_set(true);
    coat_store_submit(closing, &hanging);
    gate_await();
    coat_store_submit(closing, &waiting);
    REQUIRE(pthread_create(&thread, NULL, open_gate_soon, NULL) == 0);
    coat_lane_close(closing);
    CHECK_INT(done, 2);
    CHECK_ERR(hanging.result, COAT_OK);
    CHECK_ERR(waiting.result, COAT_CANCELLED);
    pthread_join(thread, NULL);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 1), COAT_OK);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 2), COAT_NO_SESSION);
    end();
}

static void
one_commit_for_many(void)
{
    enum { MANY = 300 };
    static coat_store_req reqs[MANY];
    int done = 0, before;
    coat_store_req first = counted(COAT_OP_INSERT, 1000, PATIENCE_MS, &done);

    begin();
    gate_set(true);
    coat_store_submit(lane, &first);
    gate_await();
    for (uint64_t i = 0; i < MANY; i++) {
        reqs[i] = counted(COAT_OP_INSERT, i, PATIENCE_MS, &done);
        coat_store_submit(lane, &reqs[i]);
    }
    before = atomic_load(&fdatasync_calls);
    gate_set(false);
    for (uint64_t i = 0; i < MANY; i++)
        store->ops->wait(lane, &reqs[i]);
    CHECK_INT(done, MANY + 1);
    CHECK_INT(atomic_load(&fdatasync_calls) - before, 1);
    end();
}

/** One request of a batch fails; the others must not notice. */
static void
own_failure_only(void)
{
    int done = 0;
    coat_store_req first = counted(COAT_OP_INSERT, 1000, PATIENCE_MS, &done);
    coat_store_req taken = counted(COAT_OP_INSERT, 1000, PATIENCE_MS, &done);
    coat_store_req good = counted(COAT_OP_INSERT, 5, PATIENCE_MS, &done);
    coat_store_req revoked = counted(COAT_OP_INSERT, 6, PATIENCE_MS, &done);
    coat_store_req gone = counted(COAT_OP_REPLACE, 7, PATIENCE_MS, &done);
    coat_store_req *batch[] = {&taken, &good, &revoked, &gone};

    begin();
    revoked.epoch_owner = 99;
    gate_set(true);
    coat_store_submit(lane, &first);
    gate_await();
    for (size_t i = 0; i < sizeof batch / sizeof batch[0]; i++)
        coat_store_submit(lane, batch[i]);
    gate_set(false);
    for (size_t i = 0; i < sizeof batch / sizeof batch[0]; i++)
        store->ops->wait(lane, batch[i]);
    CHECK_ERR(taken.result, COAT_EXISTS);
    CHECK_ERR(good.result, COAT_OK);
    CHECK_ERR(revoked.result, COAT_REVOKED);
    CHECK_ERR(gone.result, COAT_NO_SESSION);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 5), COAT_OK);
    end();
}

static void
many_lanes(void)
{
    coat_lane *lanes[300];

    begin();
    for (size_t i = 0; i < 300; i++)
        REQUIRE_OK(coat_lane_open(store, NULL, &lanes[i]));
    for (size_t i = 0; i < 300; i++) {
        CHECK_ERR(sign_in(lanes[i], 1, i, 10), COAT_OK);
        CHECK_ERR(run_op(lanes[299 - i], COAT_OP_LOAD, 1, i), COAT_OK);
        coat_lane_close(lanes[i]);
        REQUIRE_OK(coat_lane_open(store, NULL, &lanes[i]));
    }
    for (size_t i = 0; i < 300; i++)
        coat_lane_close(lanes[i]);
    end();
}

static const coat_test tests[] = {
    {"a request whose deadline passes in the queue is STORE_DOWN and never happens",
     deadline_without_loop},
    {"also when nobody looks after its lane", deadline_unattended},
    {"so it is on a loop, and what is being written is answered truthfully", deadline_on_loop},
    {"closing a lane cancels what waits and awaits what is being written", close_while_hanging},
    {"what waits together is made durable by one commit", one_commit_for_many},
    {"a request's own failure does not spoil its batch", own_failure_only},
    {"hundreds of lanes", many_lanes},
};
COAT_TEST_MAIN(tests)
