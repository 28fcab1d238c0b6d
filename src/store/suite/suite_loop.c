/* SPDX-License-Identifier: Apache-2.0 */
/** Lanes on a libuv loop: where and how often done() is called. */

#include "store/suite/suite.h"

#include <pthread.h>
#include <uv.h>

enum { NOW = 1000000, REQUESTS = 200, OWNERS = 8 };

typedef struct loop_test {
    suite_run *run;
    pthread_t thread;
    uv_loop_t loop;
    coat_lane *lane;
    coat_store_req reqs[REQUESTS];
    uint32_t done, ok, cancelled;
} loop_test;

static void
on_done(coat_store_req *req)
{
    loop_test *t = req->ctx;

    if (!pthread_equal(pthread_self(), t->thread))
        suite_fault(t->run, __FILE__, __LINE__, "done() on a foreign thread");
    if (req->owner.bytes[0]++ != 0)
        suite_fault(t->run, __FILE__, __LINE__, "done() was called twice");
    t->done++;
    t->ok += req->result == COAT_OK;
    t->cancelled += req->result == COAT_CANCELLED;
}

static bool
begin(loop_test *t, suite_run *run)
{
    *t = (loop_test){.run = run, .thread = pthread_self()};
    if (uv_loop_init(&t->loop) != 0) {
        suite_fault(run, __FILE__, __LINE__, "no loop");
        return false;
    }
    EXPECT_ERR(run, coat_lane_open(run->store, &t->loop, &t->lane), COAT_OK);
    return t->lane != NULL;
}

static void
submit(loop_test *t, coat_op op)
{
    for (uint64_t i = 0; i < REQUESTS; i++) {
        t->reqs[i] = (coat_store_req){.op = op,
                                      .space = COAT_SPACE_SESSION,
                                      .address = suite_handle(i % 7, i + 1),
                                      .value = COAT_LIT("v"),
                                      .now_ms = NOW,
                                      .timeout_ms = 60000,
                                      .done = on_done,
                                      .ctx = t};
        coat_store_submit(t->lane, &t->reqs[i]);
    }
}

static void
end(loop_test *t)
{
    coat_lane_close(t->lane);
    uv_run(&t->loop, UV_RUN_DEFAULT);
    EXPECT_INT(t->run, uv_loop_close(&t->loop), 0);
}

static void
completes_on_loop(suite_run *run)
{
    static const coat_op ops[] = {COAT_OP_INSERT, COAT_OP_LOAD, COAT_OP_REMOVE, COAT_OP_EPOCHS};
    loop_test t;

    if (!begin(&t, run))
        return;
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++) {
        t.done = t.ok = 0;
        submit(&t, ops[i]);
        uv_run(&t.loop, UV_RUN_DEFAULT); /* returns when nothing is outstanding */
        EXPECT_INT(run, t.done, REQUESTS);
        EXPECT_INT(run, t.ok, REQUESTS);
    }
    end(&t);
}

static void
close_cancels(suite_run *run)
{
    loop_test t;

    if (!begin(&t, run))
        return;
    submit(&t, COAT_OP_INSERT);
    coat_lane_close(t.lane);
    t.lane = NULL;
    EXPECT_INT(run, t.done, REQUESTS); /* before it returned */
    EXPECT_INT(run, t.ok + t.cancelled, REQUESTS);
    for (int i = 0; i < REQUESTS; i++) {
        coat_err want = t.reqs[i].result == COAT_OK ? COAT_OK : COAT_NO_SESSION;

        EXPECT_ERR(run, suite_load(run->lane, COAT_SPACE_SESSION, t.reqs[i].address, NOW),
                   want);
    }
    end(&t);
}

typedef struct closing_test {
    coat_lane *lane;
    coat_store_req first[REQUESTS], more[REQUESTS][OWNERS];
    uint32_t first_done, submitted, done;
} closing_test;

static void
on_more(coat_store_req *req)
{
    closing_test *t = req->ctx;

    t->done++;
    if (t->first_done < REQUESTS || req->owner.bytes[0]++ != 0)
        return;
    t->submitted++; /* once more, elsewhere: to the very end */
    req->address = suite_handle(t->submitted, 1);
    coat_store_submit(t->lane, req);
}

static void
on_first(coat_store_req *req)
{
    closing_test *t = req->ctx;

    t->first_done++;
    for (uint64_t owner = 0; owner < OWNERS; owner++) {
        coat_store_req *more = &t->more[req - t->first][owner];

        *more = (coat_store_req){.op = COAT_OP_LOAD,
                                 .space = COAT_SPACE_SESSION,
                                 .address = suite_handle(owner, 1),
                                 .now_ms = NOW,
                                 .timeout_ms = 60000,
                                 .done = on_more,
                                 .ctx = t};
        t->submitted++;
        coat_store_submit(t->lane, more);
    }
}

/** What done() submits to a lane that is being closed is over before that returns, too. */
static void
close_refuses(suite_run *run)
{
    static closing_test t;

    t = (closing_test){.lane = NULL};
    EXPECT_ERR(run, coat_lane_open(run->store, NULL, &t.lane), COAT_OK);
    if (t.lane == NULL)
        return;
    for (uint64_t i = 0; i < REQUESTS; i++) {
        t.first[i] = (coat_store_req){.op = COAT_OP_INSERT,
                                      .space = COAT_SPACE_SESSION,
                                      .address = suite_handle(i, i + 1),
                                      .value = COAT_LIT("v"),
                                      .now_ms = NOW,
                                      .timeout_ms = 60000,
                                      .done = on_first,
                                      .ctx = &t};
        coat_store_submit(t.lane, &t.first[i]);
    }
    coat_lane_close(t.lane);
    EXPECT_INT(run, t.first_done, REQUESTS);
    EXPECT(run, t.submitted >= REQUESTS * OWNERS);
    EXPECT_INT(run, t.done, t.submitted);
}

const suite_case suite_loop_cases[] = {
    {"a loop's lane calls done() once each, on its thread", completes_on_loop, false},
    {"closing a lane ends what is outstanding, and says what became of it", close_cancels,
     false},
    {"what is submitted while a lane closes is over before it has closed", close_refuses,
     false},
    {NULL, NULL, false},
};
