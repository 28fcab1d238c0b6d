/* SPDX-License-Identifier: Apache-2.0 */
#include "hook_store.h"

#include <stdlib.h>
#include <string.h>

enum { LATE_MAX = 64 };

typedef struct late {
    coat_store_req req;
    uint8_t value[256];
} late;

typedef struct hook_store {
    coat_store base;
    struct coat_store_ops ops;
    coat_store *inner;
    hook_fn hook;
    void *ctx;
    late late[LATE_MAX];
    size_t late_count;
} hook_store;

typedef struct hook_lane {
    coat_lane base;
    coat_lane *inner;
} hook_lane;

static hook_store *
store_of(const coat_lane *lane)
{
    return (hook_store *)lane->store;
}

static void
closed(coat_store *base)
{
    free(base);
}

static coat_err
lane_open(coat_store *base, struct uv_loop_s *loop, coat_lane **out)
{
    hook_lane *lane = calloc(1, sizeof *lane);
    coat_err err;

    if (lane == NULL)
        return COAT_NO_MEMORY;
    lane->base.store = base;
    err = coat_lane_open(((hook_store *)base)->inner, loop, &lane->inner);
    if (err != COAT_OK) {
        free(lane);
        return err;
    }
    *out = &lane->base;
    return COAT_OK;
}

static void
lane_close(coat_lane *base)
{
    coat_lane_close(((hook_lane *)base)->inner);
    free(base);
}

static void
ignore(coat_store_req *req)
{
    (void)req;
}

static void
no_item(coat_store_req *req, const coat_store_item *item)
{
    (void)req;
    (void)item;
}

static void
run_aside(hook_lane *lane, const coat_store_req *req)
{
    coat_store_req copy = *req;

    copy.done = ignore;
    copy.item = copy.item != NULL ? no_item : NULL;
    if (coat_store_run(lane->inner, &copy) != COAT_OK)
        return; /* whatever it was, its caller does not hear of it */
}

static void
keep_late(hook_store *store, const coat_store_req *req)
{
    late *l;

    if (store->late_count == LATE_MAX || req->value.len > sizeof l->value)
        return; /* then it never takes place */
    l = &store->late[store->late_count++];
    l->req = *req;
    if (req->value.len > 0)
        memcpy(l->value, req->value.ptr, req->value.len);
}

static void
catch_up(hook_store *store, hook_lane *lane)
{
    for (size_t i = 0; i < store->late_count; i++) {
        store->late[i].req.value.ptr = store->late[i].value;
        run_aside(lane, &store->late[i].req);
    }
    store->late_count = 0;
}

static void
submit(coat_lane *base, coat_store_req *req)
{
    hook_lane *lane = (hook_lane *)base;
    hook_store *store = store_of(base);
    hook_fate fate = store->hook != NULL ? store->hook(store->ctx, req) : HOOK_RUN;

    if (fate == HOOK_RUN) {
        if (req->op == COAT_OP_SWEEP)
            catch_up(store, lane);
        lane->inner->store->ops->submit(lane->inner, req);
        return;
    }
    if (fate == HOOK_LOSE)
        run_aside(lane, req);
    if (fate == HOOK_LATE)
        keep_late(store, req);
    req->result = COAT_STORE_DOWN;
    req->done(req);
}

static void
wait_for(coat_lane *lane, coat_store_req *req)
{
    (void)lane;
    (void)req; /* what lies below answers in submit */
}

static coat_err
stats(coat_store *base, coat_store_stats *out)
{
    return coat_store_stats_get(((hook_store *)base)->inner, out);
}

coat_store *
hook_store_new(coat_store *inner, uint32_t caps, hook_fn hook, void *ctx)
{
    hook_store *store = calloc(1, sizeof *store);

    if (store == NULL)
        return NULL;
    store->ops = (struct coat_store_ops){.abi = COAT_STORE_ABI,
                                         .caps = caps,
                                         .name = "hook",
                                         .close = closed,
                                         .lane_open = lane_open,
                                         .lane_close = lane_close,
                                         .submit = submit,
                                         .wait = wait_for,
                                         .stats = stats};
    store->base.ops = &store->ops;
    store->inner = inner;
    store->hook = hook;
    store->ctx = ctx;
    return &store->base;
}
