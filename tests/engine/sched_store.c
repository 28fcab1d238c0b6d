/* SPDX-License-Identifier: Apache-2.0 */
#include "sched_store.h"

#include <stdlib.h>
#include <string.h>

enum { WAITING_MAX = 4096, LATE_MAX = 256 };

typedef struct sched_lane {
    coat_lane base;
    coat_lane *inner;
} sched_lane;

typedef struct waiting {
    coat_store_req *req;
    sched_lane *lane;
} waiting;

typedef struct sched_store {
    coat_store base;
    coat_store *inner;
    coat_lane *own; /* for what is late */
    bool immediate;
    waiting queue[WAITING_MAX];
    size_t count;
    coat_store_req late[LATE_MAX];
    size_t late_count;
    coat_op fail_op;
    sched_fate fail_fate;
    unsigned fail_count;
    coat_op before_op, after_op;
    void (*overtake)(void);
    void (*overtake_after)(void);
    uint8_t found[COAT_STORE_VALUE_MAX]; /* what the caller hears after having been overtaken */
    uint64_t seen[16];
    const int64_t *clock_ms;
} sched_store;

/** Whose answer it is, for the time of one call of the inner store. */
typedef struct hearing {
    sched_store *store;
    coat_store_req *req;
} hearing;

static void
inner_item(coat_store_req *inner, const coat_store_item *item)
{
    const hearing *h = inner->ctx;

    if (h->req->item != NULL)
        h->req->item(h->req, item);
}

/** What is heard stays as it was, whatever the one that overtakes does to the store. */
static void
be_overtaken(sched_store *store, coat_store_req *req)
{
    void (*overtake)(void) = store->overtake_after;

    if (req->found.len > 0)
        memcpy(store->found, req->found.ptr, req->found.len);
    req->found.ptr = store->found;
    store->overtake_after = NULL;
    overtake();
}

static void
inner_done(coat_store_req *inner)
{
    const hearing *h = inner->ctx;
    coat_store_req *req = h->req;

    req->result = inner->result;
    req->found = inner->found;
    req->found_version = inner->found_version;
    req->found_expires_ms = inner->found_expires_ms;
    req->found_clock_ms = inner->found_clock_ms;
    if (req->op == COAT_OP_EPOCHS && h->store->clock_ms != NULL)
        req->found_clock_ms = *h->store->clock_ms;
    req->count = inner->count;
    req->more = inner->more;
    req->has_cursor = inner->has_cursor;
    req->cursor = inner->cursor;
    req->epoch_owner = inner->epoch_owner;
    req->epoch_global = inner->epoch_global;
    if (h->store->overtake_after != NULL && h->store->after_op == req->op)
        be_overtaken(h->store, req);
    req->done(req);
}

static void
quiet_item(coat_store_req *inner, const coat_store_item *item)
{
    (void)inner;
    (void)item;
}

static void
quiet_done(coat_store_req *inner)
{
    (void)inner;
}

static void
take_place(sched_store *store, coat_lane *lane, coat_store_req *req, bool heard)
{
    coat_store_req inner = *req;
    hearing h = {store, req};

    inner.ctx = &h;
    inner.item = heard ? inner_item : quiet_item;
    inner.done = heard ? inner_done : quiet_done;
    memset(inner.priv, 0, sizeof inner.priv);
    coat_store_submit(lane, &inner);
}

static void
put_off(sched_store *store, const coat_store_req *req)
{
    coat_store_req *late = &store->late[store->late_count];
    uint8_t *copy = malloc(req->value.len + 1);

    if (store->late_count == LATE_MAX || copy == NULL)
        abort();
    store->late_count++;
    *late = *req;
    if (req->value.len > 0)
        memcpy(copy, req->value.ptr, req->value.len);
    late->value.ptr = copy;
}

static void
meet(sched_store *store, sched_lane *lane, coat_store_req *req, sched_fate fate)
{
    if (req->op == COAT_OP_SWEEP && fate == SCHED_RUN)
        sched_catch_up(&store->base); /* the contract of SWEEP */
    if (fate == SCHED_RUN) {
        take_place(store, lane->inner, req, true);
        return;
    }
    if (fate == SCHED_LOSE)
        take_place(store, lane->inner, req, false);
    if (fate == SCHED_LATE)
        put_off(store, req);
    req->result = fate == SCHED_FULL ? COAT_STORE_FULL : COAT_STORE_DOWN;
    req->done(req);
}

static void
sched_submit(coat_lane *base, coat_store_req *req)
{
    sched_lane *lane = (sched_lane *)base;
    sched_store *store = (sched_store *)base->store;

    store->seen[req->op]++;
    if (store->overtake != NULL && store->before_op == req->op) {
        void (*overtake)(void) = store->overtake;

        store->overtake = NULL;
        overtake();
    }
    if (store->fail_count > 0 && (store->fail_op == 0 || store->fail_op == req->op)) {
        store->fail_count--;
        meet(store, lane, req, store->fail_fate);
    } else if (store->immediate) {
        meet(store, lane, req, SCHED_RUN);
    } else {
        if (store->count == WAITING_MAX)
            abort();
        store->queue[store->count++] = (waiting){req, lane};
    }
}

void
sched_finish(coat_store *base, size_t index, sched_fate fate)
{
    sched_store *store = (sched_store *)base;
    waiting w;

    if (index >= store->count)
        abort();
    w = store->queue[index];
    store->count--;
    memmove(&store->queue[index], &store->queue[index + 1],
            (store->count - index) * sizeof store->queue[0]);
    meet(store, w.lane, w.req, fate);
}

static void
sched_wait(coat_lane *base, coat_store_req *req)
{
    sched_store *store = (sched_store *)base->store;

    for (size_t i = 0; i < store->count; i++)
        if (store->queue[i].req == req) {
            sched_finish(base->store, i, SCHED_RUN);
            return;
        }
}

static coat_err
sched_lane_open(coat_store *base, struct uv_loop_s *loop, coat_lane **out)
{
    sched_store *store = (sched_store *)base;
    sched_lane *lane = calloc(1, sizeof *lane);
    coat_err err;

    if (lane == NULL)
        return COAT_NO_MEMORY;
    lane->base.store = base;
    err = coat_lane_open(store->inner, loop, &lane->inner);
    if (err != COAT_OK) {
        free(lane);
        return err;
    }
    *out = &lane->base;
    return COAT_OK;
}

static void
sched_lane_close(coat_lane *base)
{
    sched_lane *lane = (sched_lane *)base;
    sched_store *store = (sched_store *)base->store;

    for (size_t i = 0; i < store->count;) {
        waiting w = store->queue[i];

        if (w.lane != lane) {
            i++;
            continue;
        }
        store->count--;
        memmove(&store->queue[i], &store->queue[i + 1],
                (store->count - i) * sizeof store->queue[0]);
        w.req->result = COAT_CANCELLED;
        w.req->done(w.req);
        i = 0;
    }
    coat_lane_close(lane->inner);
    free(lane);
}

static coat_err
sched_open(const coat_store_conf *conf, coat_store **out)
{
    (void)conf;
    (void)out;
    return COAT_UNSUPPORTED;
}

static void
sched_close(coat_store *base)
{
    sched_store *store = (sched_store *)base;

    if (store == NULL)
        return;
    for (size_t i = 0; i < store->late_count; i++)
        free((void *)(uintptr_t)store->late[i].value.ptr);
    coat_lane_close(store->own);
    free(store);
}

static coat_err
sched_stats(coat_store *base, coat_store_stats *out)
{
    return coat_store_stats_get(((sched_store *)base)->inner, out);
}

static const struct coat_store_ops sched_ops = {
    .abi = COAT_STORE_ABI,
    .name = "sched",
    .open = sched_open,
    .close = sched_close,
    .lane_open = sched_lane_open,
    .lane_close = sched_lane_close,
    .submit = sched_submit,
    .wait = sched_wait,
    .stats = sched_stats,
};

coat_store *
sched_store_new(coat_store *inner)
{
    sched_store *store = calloc(1, sizeof *store);

    if (store == NULL || coat_lane_open(inner, NULL, &store->own) != COAT_OK)
        abort();
    store->base.ops = &sched_ops;
    store->inner = inner;
    store->immediate = true;
    return &store->base;
}

void
sched_immediate(coat_store *store, bool immediate)
{
    ((sched_store *)store)->immediate = immediate;
}

size_t
sched_waiting(const coat_store *store)
{
    return ((const sched_store *)store)->count;
}

const coat_store_req *
sched_request(const coat_store *store, size_t index)
{
    return ((const sched_store *)store)->queue[index].req;
}

void
sched_fail(coat_store *base, coat_op op, sched_fate fate, unsigned count)
{
    sched_store *store = (sched_store *)base;

    store->fail_op = op;
    store->fail_fate = fate;
    store->fail_count = count;
}

void
sched_before(coat_store *base, coat_op op, void (*overtake)(void))
{
    sched_store *store = (sched_store *)base;

    store->before_op = op;
    store->overtake = overtake;
}

void
sched_after(coat_store *base, coat_op op, void (*overtake)(void))
{
    sched_store *store = (sched_store *)base;

    store->after_op = op;
    store->overtake_after = overtake;
}

void
sched_clock(coat_store *base, const int64_t *clock_ms)
{
    ((sched_store *)base)->clock_ms = clock_ms;
}

void
sched_catch_up(coat_store *base)
{
    sched_store *store = (sched_store *)base;

    for (size_t i = 0; i < store->late_count; i++) {
        take_place(store, store->own, &store->late[i], false);
        free((void *)(uintptr_t)store->late[i].value.ptr);
    }
    store->late_count = 0;
}

uint64_t
sched_seen(const coat_store *base, coat_op op)
{
    const sched_store *store = (const sched_store *)base;
    uint64_t sum = 0;

    for (int i = 0; i < 16; i++)
        if (op == 0 || (int)op == i)
            sum += store->seen[i];
    return sum;
}
