/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_TESTS_WATCH_SEEN_H
#define COAT_TESTS_WATCH_SEEN_H

/** What a watch has reported, and a lane that it reports on while it is used. */

#include "loopback.h"
#include "requests.h"

typedef struct seen {
    bool ready;
    int readies, losts, addresses, gone, own, owners, alls, said, unordered;
    coat_handle last, spare;
    uint64_t epoch;
} seen;
static seen saw;
static coat_lane *watched;
static coat_watch *watch;

static inline void
on_event(void *ctx, const coat_watch_event *event)
{
    seen *s = ctx;

    CHECK(s->ready || event->kind == COAT_WATCH_READY);
    switch (event->kind) {
    case COAT_WATCH_READY:
        s->ready = true;
        s->readies++;
        break;
    case COAT_WATCH_LOST:
        s->ready = false;
        s->losts++;
        break;
    case COAT_WATCH_ADDRESS:
        s->addresses++;
        s->gone += event->gone;
        s->own += event->own;
        s->last = event->address;
        break;
    case COAT_WATCH_OWNER:
        s->owners++;
        s->epoch = event->epoch;
        s->spare = event->spare;
        break;
    case COAT_WATCH_ALL:
        s->alls++;
        s->epoch = event->epoch;
        break;
    case COAT_WATCH_SAID:
        s->said++;
        s->unordered += event->unordered;
        break;
    }
}

/** A lane without loop reports while it is used. */
static inline void
watch_turn(void)
{
    coat_store_req req = session_req(COAT_OP_EPOCHS, 1, 0);

    req.timeout_ms = 50;
    if (coat_store_run(watched, &req) != COAT_OK)
        server_sleep();
}

#define TURN_UNTIL(cond)                                                                       \
    do {                                                                                       \
        int64_t until_ms = real_ms() + PATIENCE_MS;                                            \
                                                                                               \
        while (!(cond) && real_ms() < until_ms)                                                \
            watch_turn();                                                                      \
        REQUIRE(cond);                                                                         \
    } while (0)

static inline void
watch_begin(coat_store *of)
{
    static const coat_watch_sink sink = {{{1}}, on_event, &saw};

    saw = (seen){0};
    REQUIRE_OK(coat_lane_open(of, NULL, &watched));
    REQUIRE_OK(coat_watch_open(watched, &sink, &watch));
    TURN_UNTIL(saw.ready);
}

static inline void
watch_end(void)
{
    coat_watch_close(watch);
    coat_lane_close(watched);
}

static inline coat_store_req
say_req(void)
{
    return (coat_store_req){.op = COAT_OP_SAY, .value = COAT_LIT("x"), .timeout_ms = 60000};
}

/** Everything that had taken place has been reported once it comes back. */
static inline void
catch_up(coat_lane *by)
{
    coat_store_req say = say_req();
    int before = saw.said;

    REQUIRE_OK(coat_store_run(by, &say));
    TURN_UNTIL(saw.said > before);
}

static inline void
change(coat_lane *by, uint64_t serial, bool quiet)
{
    coat_store_req get = session_req(COAT_OP_LOAD, 1, serial);
    coat_store_req put = session_req(COAT_OP_REPLACE, 1, serial);

    REQUIRE_OK(coat_store_run(by, &get));
    put.version = get.found_version;
    put.value = COAT_LIT("changed");
    put.quiet = quiet;
    REQUIRE_OK(coat_store_run(by, &put));
}

/** Quiet changes are not reported, and one's own are known. Leaves one session that is gone. */
static inline void
tell_whose(coat_lane *ours, coat_lane *theirs)
{
    CHECK_ERR(sign_in(ours, 1, 1, 10), COAT_OK);
    change(ours, 1, true);
    change(theirs, 1, true);
    catch_up(ours);
    CHECK_INT(saw.addresses, 0);
    change(ours, 1, false); /* on a connection that has been quiet before */
    catch_up(theirs);
    CHECK_INT(saw.own, 1);
    change(theirs, 1, false);
    catch_up(ours);
    CHECK_INT(saw.addresses, 2);
    CHECK_INT(saw.own, 1);
    CHECK_ERR(run_op(theirs, COAT_OP_REMOVE, 1, 1), COAT_OK);
    CHECK_ERR(run_op(theirs, COAT_OP_REMOVE, 1, 1), COAT_OK);
    catch_up(ours);
    CHECK(saw.gone >= 1);
}

/* ---- another server ---- */

typedef struct led {
    coat_err wanted; /* as only the server that they are led to says it */
    int losts;
} led;

static inline void
not_before_lost(coat_store_req *req)
{
    const led *to = req->ctx;

    CHECK(req->result != to->wanted || saw.losts > to->losts);
}

/** Requests' connections are led to another server, the watch's is still where it was. */
static inline void
follow(coat_lane *by, coat_err wanted)
{
    led to = {wanted, saw.losts};
    int64_t patient_ms = real_ms() + PATIENCE_MS;
    coat_err err = COAT_STORE_DOWN;

    while (err != wanted && real_ms() < patient_ms) {
        coat_store_req req = session_req(COAT_OP_LOAD, 1, 1);

        /* The watch's lane is this thread's too: it has to have its turn. */
        req.timeout_ms = 50;
        req.done = not_before_lost;
        req.ctx = &to;
        err = coat_store_run(by, &req);
        watch_turn();
    }
    CHECK_ERR(err, wanted);
    CHECK(saw.losts > to.losts);
    TURN_UNTIL(saw.ready);
}

#endif
