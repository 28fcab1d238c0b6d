/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_TESTS_MOVE_WORLD_H
#define COAT_TESTS_MOVE_WORLD_H

/** Two stores, and a move from one to the other, of which either may go away at any request. */

#include "coat_test.h"
#include "core/bytes.h"
#include "hook_store.h"
#include "store/move.h"

#include <stdlib.h>
#include <string.h>

enum { PLAIN = COAT_CAP_ACCOUNTS };

typedef struct world {
    coat_store *from_inner, *to_inner, *from, *to;
    coat_lane *user, *reader;
    coat_move_conf conf;
    coat_move *move;
    char message[400];
    test_rng rng;
    int64_t slept_ms;
    coat_mark_state slept_in;      /* the source's mark while finishing waited */
    int64_t swept_ms;              /* slept so far, when the source was last swept */
    unsigned to_source, to_target; /* requests until the store goes away; 0: never */
    bool away_source, away_target;
    coat_mark_state forgets; /* the source, a mark of this state as soon as it was written */
    bool silent_source, silent_target; /* a cache that does not say what it holds */
} world;

static inline coat_mark_state
state_of(coat_lane *lane)
{
    coat_mark mark;

    REQUIRE_OK(coat_mark_read(lane, COAT_MARK_OF_STORE, &mark));
    return mark.state;
}

static inline hook_fate
fate(unsigned *left, bool *away)
{
    if (*left > 0 && --*left == 0)
        *away = true;
    return *away ? HOOK_REFUSE : HOOK_RUN;
}

static inline hook_fate
at_source(void *ctx, const coat_store_req *req)
{
    world *w = ctx;

    if (req->op == COAT_OP_SWEEP)
        w->swept_ms = w->slept_ms;
    if (req->op == COAT_OP_SCAN && w->silent_source)
        return HOOK_UNABLE;
    if (w->forgets != COAT_MARK_NONE && state_of(w->user) == w->forgets)
        REQUIRE_OK(coat_mark_remove(w->user, COAT_MARK_OF_STORE));
    return fate(&w->to_source, &w->away_source);
}

static inline hook_fate
at_target(void *ctx, const coat_store_req *req)
{
    world *w = ctx;

    if (req->op == COAT_OP_SCAN && w->silent_target)
        return HOOK_UNABLE;
    return fate(&w->to_target, &w->away_target);
}

static inline void
sleep_for(void *ctx, int64_t ms)
{
    world *w = ctx;

    w->slept_ms += ms;
    w->slept_in = state_of(w->user);
}

static inline coat_store *
memory(void)
{
    coat_store *store = NULL;

    REQUIRE_OK(coat_store_open(&(coat_store_conf){.url = "memory:"}, &store));
    return store;
}

static inline void
setup(world *w, uint32_t from_caps, uint32_t to_caps)
{
    *w = (world){.rng = {.state = 42}};
    w->from_inner = memory();
    w->to_inner = memory();
    w->from = hook_store_new(w->from_inner, from_caps, at_source, w);
    w->to = hook_store_new(w->to_inner, to_caps, at_target, w);
    REQUIRE(w->from != NULL && w->to != NULL);
    REQUIRE_OK(coat_lane_open(w->from_inner, NULL, &w->user));
    REQUIRE_OK(coat_lane_open(w->to_inner, NULL, &w->reader));
    w->conf = (coat_move_conf){.from = w->from,
                               .to = w->to,
                               .from_url = "hook:from",
                               .to_url = "hook:to",
                               .clock = coat_clock_system,
                               .rng = test_rng_fill,
                               .rng_ctx = &w->rng,
                               .sleep_ms = sleep_for,
                               .sleep_ctx = w};
}

static inline void
teardown(world *w)
{
    coat_move_free(w->move);
    coat_lane_close(w->user);
    coat_lane_close(w->reader);
    coat_store_close(w->from);
    coat_store_close(w->to);
    coat_store_close(w->from_inner);
    coat_store_close(w->to_inner);
}

static inline coat_err
begin(world *w)
{
    coat_move_free(w->move);
    w->move = NULL;
    return coat_move_begin(&w->conf, &w->move, w->message, sizeof w->message);
}

static inline coat_err
finish(world *w)
{
    return coat_move_finish(w->move, w->message, sizeof w->message);
}

static inline coat_handle
address(uint8_t n)
{
    return (coat_handle){.bytes = {[0] = n, [15] = 1}};
}

static inline void
add(coat_lane *lane, coat_space space, uint8_t n)
{
    coat_store_req req = {.op = COAT_OP_INSERT,
                          .space = space,
                          .address = address(n),
                          .value = COAT_LIT("value"),
                          .now_ms = 5};
    coat_store_req epochs = {.op = COAT_OP_EPOCHS};

    REQUIRE_OK(coat_store_run(lane, &epochs));
    req.epoch_global = epochs.epoch_global;
    REQUIRE_OK(coat_store_run(lane, &req));
}

static inline bool
has(coat_lane *lane, coat_space space, uint8_t n)
{
    coat_store_req req = {
        .op = COAT_OP_LOAD, .space = space, .address = address(n), .now_ms = 5};
    coat_err err = coat_store_run(lane, &req);

    CHECK(err == COAT_OK || err == COAT_NO_SESSION);
    return err == COAT_OK;
}

static inline void
end(coat_lane *lane, uint8_t n)
{
    coat_store_req req = {
        .op = COAT_OP_REMOVE, .space = COAT_SPACE_SESSION, .address = address(n)};

    REQUIRE_OK(coat_store_run(lane, &req));
}

static inline void
end_everybody(coat_lane *lane)
{
    coat_store_req req = {.op = COAT_OP_END_ALL};

    REQUIRE_OK(coat_store_run(lane, &req));
}

static inline coat_err
cancel(world *w)
{
    return coat_move_cancel(&w->conf, w->message, sizeof w->message);
}

static inline bool
is_empty(coat_lane *lane)
{
    for (uint8_t n = 1; n < 40; n++)
        for (int space = COAT_SPACE_SESSION; space <= COAT_SPACE_META; space++)
            if (has(lane, (coat_space)space, n))
                return false;
    return true;
}

static inline void
fill_source(world *w)
{
    for (uint8_t n = 1; n < 20; n++)
        add(w->user, COAT_SPACE_SESSION, n);
    add(w->user, COAT_SPACE_ACCOUNT, 1);
    add(w->user, COAT_SPACE_META, 2);
}

#endif
