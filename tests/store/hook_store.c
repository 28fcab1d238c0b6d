/* SPDX-License-Identifier: Apache-2.0 */
#include "hook_store.h"

#include "store/order.h"

#include <stdlib.h>
#include <string.h>

enum { LATE_MAX = 64, SCANNED_MAX = 2048, VALUE_MAX = 256 };

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

/* ---- SCAN of a cache ---- */

typedef struct scanned {
    coat_store_item items[SCANNED_MAX];
    uint8_t values[SCANNED_MAX][VALUE_MAX];
    size_t count;
} scanned;

static void
gather(coat_store_req *req, const coat_store_item *item)
{
    scanned *all = req->ctx;

    if (all->count == SCANNED_MAX || item->value.len > VALUE_MAX)
        abort(); /* a test has more than there is room for */
    all->items[all->count] = *item;
    if (item->value.len > 0)
        memcpy(all->values[all->count], item->value.ptr, item->value.len);
    all->items[all->count].value.ptr = all->values[all->count];
    all->count++;
    req->cursor = item->address;
}

static int
by_owner(const void *a, const void *b)
{
    return coat_scan_compare(COAT_CAP_CACHE, &((const coat_store_item *)a)->address,
                             &((const coat_store_item *)b)->address);
}

static bool
is_behind(const coat_store_req *req, const coat_store_item *item)
{
    return !req->has_cursor ||
           coat_scan_compare(COAT_CAP_CACHE, &item->address, &req->cursor) > 0;
}

/** Just before it: as if there were much with nothing in it up to there. @return false: that is
 * where the request goes on anyway, or cannot be said */
static bool
pass_over(coat_store_req *req, const coat_store_item *next)
{
    coat_handle before = next->address;

    if (before.bytes[7]-- == 0 || (req->has_cursor && coat_handle_equal(&req->cursor, &before)))
        return false;
    req->cursor = before;
    req->has_cursor = true;
    return true;
}

/** The next of them. Before some there is nothing, but how far that goes: who does not go on
 * from there comes no further. */
static void
report(coat_store_req *req, const scanned *all)
{
    req->count = 0;
    req->more = false;
    for (size_t i = 0; i < all->count && !req->more; i++) {
        const coat_store_item *item = &all->items[i];

        if (!is_behind(req, item))
            continue;
        req->more =
            req->count == req->limit ||
            (req->count == 0 && item->address.bytes[6] % 3 == 0 && pass_over(req, item));
        if (req->more)
            continue;
        req->count++;
        req->item(req, item);
    }
}

/** In its own order, and now and then with less than could be. */
static void
scan_cache(hook_lane *lane, coat_store_req *req)
{
    scanned *all = calloc(1, sizeof *all);
    coat_store_req inner = {.op = COAT_OP_SCAN,
                            .space = req->space,
                            .now_ms = req->now_ms,
                            .item = gather,
                            .ctx = all};

    req->result = all == NULL ? COAT_NO_MEMORY : COAT_OK;
    do {
        inner.more = false;
        if (req->result == COAT_OK)
            req->result = coat_store_run(lane->inner, &inner);
        inner.has_cursor = true;
    } while (inner.more);
    if (req->result == COAT_OK) {
        qsort(all->items, all->count, sizeof all->items[0], by_owner);
        report(req, all);
    }
    free(all);
    req->done(req);
}

static void
submit(coat_lane *base, coat_store_req *req)
{
    hook_lane *lane = (hook_lane *)base;
    hook_store *store = store_of(base);
    hook_fate fate = store->hook != NULL ? store->hook(store->ctx, req) : HOOK_RUN;

    if (fate == HOOK_RUN && req->op == COAT_OP_SCAN &&
        (store->ops.caps & COAT_CAP_CACHE) != 0) {
        scan_cache(lane, req);
        return;
    }
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
    req->result = fate == HOOK_UNABLE ? COAT_UNSUPPORTED : COAT_STORE_DOWN;
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
