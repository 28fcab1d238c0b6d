/* SPDX-License-Identifier: Apache-2.0 */
#include "world.h"

#include <stdlib.h>

enum { HELD_MAX = 256, QUEUE_MAX = 4096, LOG_MAX = 65536 };

typedef struct world_lane {
    coat_lane base;
    coat_lane *inner;
} world_lane;

typedef struct report {
    coat_watch_event event;
    uint8_t message[COAT_SAY_MAX];
} report;

typedef struct channel {
    coat_store base; /* the node's store */
    unsigned number;
    coat_watch watch;
    coat_watch_sink sink;
    bool open, joined, cut;
    bool hold[16];
    report *queue;
    size_t count;
    uint64_t seen[16];
} channel;

typedef struct held {
    coat_store_req *req;
    unsigned node;
    bool placed;
    coat_store_req result; /* results, and what was found */
    uint8_t found[COAT_STORE_VALUE_MAX];
    coat_store_item items[64];
    size_t item_count;
} held;

static struct {
    coat_store *primary, *replica;
    coat_lane *lane, *replica_lane; /* on them; the first has the watch */
    coat_watch *watch;
    channel channels[WORLD_NODES];
    held *held[HELD_MAX];
    size_t held_count;
    coat_store_req *log; /* writes not replicated yet */
    size_t log_count;
    unsigned acting; /* whose request takes place */
    coat_keys *keys;
    test_rng random;
    unsigned events[COAT_EVENT_COUNT];
} world;

node nodes[WORLD_NODES];

/* ---- reports ---- */

static void
enqueue(channel *c, const coat_watch_event *event)
{
    report *r;

    if (!c->joined || !c->open)
        return;
    if (c->count == QUEUE_MAX)
        abort();
    r = &c->queue[c->count++];
    r->event = *event;
    if (event->message.len > 0)
        memcpy(r->message, event->message.ptr, event->message.len);
}

static void
on_inner(void *ctx, const coat_watch_event *event)
{
    (void)ctx;
    if (event->kind == COAT_WATCH_READY || event->kind == COAT_WATCH_SAID)
        return;
    for (unsigned n = 0; n < WORLD_NODES; n++) {
        coat_watch_event own = *event;

        own.own = event->kind == COAT_WATCH_ADDRESS && n == world.acting;
        enqueue(&world.channels[n], &own);
    }
}

/** The lane with the watch reports from within requests. */
static void
hear(void)
{
    coat_store_req req = {.op = COAT_OP_EPOCHS};

    REQUIRE_OK(coat_store_run(world.lane, &req));
}

static void
open_primary(void)
{
    coat_watch_sink sink = {{{0}}, on_inner, NULL};

    REQUIRE_OK(coat_lane_open(world.primary, NULL, &world.lane));
    REQUIRE_OK(coat_watch_open(world.lane, &sink, &world.watch));
    hear();
}

static void
deliver_one(unsigned n)
{
    channel *c = &world.channels[n];
    report r = c->queue[0];

    memmove(c->queue, c->queue + 1, --c->count * sizeof *c->queue);
    r.event.message.ptr = r.message;
    c->sink.event(c->sink.ctx, &r.event);
}

size_t
channel_waiting(unsigned n)
{
    return world.channels[n].count;
}

coat_watch_kind
channel_peek(unsigned n, size_t index)
{
    return world.channels[n].queue[index].event.kind;
}

void
channel_deliver(unsigned n, size_t count)
{
    while (count-- > 0 && world.channels[n].count > 0)
        deliver_one(n);
}

void
channel_double(unsigned n, size_t index)
{
    channel *c = &world.channels[n];

    if (index >= c->count || c->count == QUEUE_MAX)
        return;
    memmove(c->queue + index + 1, c->queue + index, (c->count - index) * sizeof *c->queue);
    c->count++;
}

static bool
is_change(const report *r)
{
    return r->event.kind == COAT_WATCH_ADDRESS || r->event.kind == COAT_WATCH_OWNER ||
           r->event.kind == COAT_WATCH_ALL;
}

bool
channel_swap(unsigned n, size_t index)
{
    channel *c = &world.channels[n];
    report kept;

    if (index + 1 >= c->count || !is_change(&c->queue[index]) ||
        !is_change(&c->queue[index + 1]))
        return false;
    kept = c->queue[index];
    c->queue[index] = c->queue[index + 1];
    c->queue[index + 1] = kept;
    return true;
}

void
channel_lose(unsigned n, bool late)
{
    channel *c = &world.channels[n];

    if (!c->open || !c->joined)
        return;
    if (!late)
        c->count = 0;
    enqueue(c, &(coat_watch_event){.kind = COAT_WATCH_LOST});
    c->joined = false;
    if (!late)
        deliver_one(n);
}

void
channel_join(unsigned n)
{
    channel *c = &world.channels[n];

    if (!c->open || c->joined)
        return;
    c->joined = true;
    enqueue(c, &(coat_watch_event){.kind = COAT_WATCH_READY});
}

bool
channel_open(unsigned n)
{
    return world.channels[n].open;
}

bool
channel_joined(unsigned n)
{
    return world.channels[n].joined;
}

static coat_err
watch_open(coat_lane *lane, const coat_watch_sink *sink, coat_watch **out)
{
    channel *c = (channel *)lane->store;

    if (c->open)
        return COAT_EXISTS;
    c->open = true;
    c->joined = false;
    c->count = 0;
    c->sink = *sink;
    c->watch.lane = lane;
    *out = &c->watch;
    return COAT_OK;
}

static void
watch_close(coat_watch *watch)
{
    channel *c = (channel *)watch->lane->store;

    c->open = c->joined = false;
    c->count = 0;
}

/* ---- requests ---- */

static void
note_item(coat_store_req *req, const coat_store_item *item)
{
    held *h = req->ctx;

    if (h->item_count == sizeof h->items / sizeof h->items[0])
        abort();
    h->items[h->item_count] = *item;
    h->items[h->item_count++].value = (coat_span){0};
}

static void
note_done(coat_store_req *req)
{
    held *h = req->ctx;

    h->result = *req;
    if (req->found.len > 0)
        memcpy(h->found, req->found.ptr, req->found.len);
    h->result.found.ptr = h->found;
}

static bool
writes(const coat_store_req *req)
{
    return req->op != COAT_OP_LOAD && req->op != COAT_OP_EPOCHS &&
           req->op != COAT_OP_LIST_OWNER && req->op != COAT_OP_SCAN;
}

static void
log_write(const coat_store_req *req)
{
    coat_store_req *copy = &world.log[world.log_count];
    uint8_t *bytes = malloc(req->value.len + 1);

    if (world.log_count == LOG_MAX || bytes == NULL)
        abort();
    world.log_count++;
    if (req->value.len > 0)
        memcpy(bytes, req->value.ptr, req->value.len);
    *copy = *req;
    copy->value.ptr = bytes;
    copy->item = NULL;
    copy->done = NULL;
}

static void
tell(const held *h)
{
    const coat_store_req *req = h->req;
    coat_watch_event event = {
        .kind = COAT_WATCH_SAID, .address = req->address, .message = req->value};

    event.unordered = req->unordered;
    for (unsigned n = 0; n < WORLD_NODES; n++)
        if (!req->has_to || coat_handle_equal(&req->to, &world.channels[n].sink.instance))
            enqueue(&world.channels[n], &event);
}

static void
place(held *h)
{
    coat_store_req inner = *h->req;
    coat_lane *lane;

    if (writes(h->req))
        log_write(h->req);
    inner.ctx = h;
    inner.done = note_done;
    inner.item = h->req->item != NULL ? note_item : NULL;
    memset(inner.priv, 0, sizeof inner.priv);
    world.acting = h->node;
    REQUIRE_OK(coat_lane_open(world.primary, NULL, &lane));
    coat_store_submit(lane, &inner);
    coat_lane_close(lane);
    hear();
    if (h->req->op == COAT_OP_SAY && h->result.result == COAT_OK)
        tell(h);
    h->placed = true;
}

static void
answer(held *h, coat_err failed)
{
    coat_store_req *req = h->req;

    req->result = failed;
    if (failed == COAT_OK) {
        req->result = h->result.result;
        req->found = h->result.found;
        req->found_version = h->result.found_version;
        req->found_expires_ms = h->result.found_expires_ms;
        req->count = h->result.count;
        req->more = h->result.more;
        req->epoch_owner = h->result.epoch_owner;
        req->epoch_global = h->result.epoch_global;
        for (size_t i = 0; i < h->item_count; i++)
            req->item(req, &h->items[i]);
    }
    req->done(req);
    free(h);
}

static held *
take(size_t index)
{
    held *h = world.held[index];

    REQUIRE(index < world.held_count);
    world.held_count--;
    memmove(&world.held[index], &world.held[index + 1],
            (world.held_count - index) * sizeof(held *));
    return h;
}

void
world_place(size_t index)
{
    REQUIRE(index < world.held_count);
    place(world.held[index]);
}

void
world_answer(size_t index)
{
    held *h = take(index);

    answer(h, h->placed ? COAT_OK : COAT_STORE_DOWN);
}

void
world_refuse(size_t index)
{
    answer(take(index), COAT_STORE_DOWN);
}

static void
submit(coat_lane *lane, coat_store_req *req)
{
    channel *c = (channel *)lane->store;
    held *h = calloc(1, sizeof *h);

    if (h == NULL || world.held_count == HELD_MAX)
        abort();
    h->req = req;
    h->node = c->number;
    c->seen[req->op]++;
    if (c->cut) {
        answer(h, COAT_STORE_DOWN);
    } else if (c->hold[req->op]) {
        world.held[world.held_count++] = h;
    } else {
        place(h);
        answer(h, COAT_OK);
    }
}

static void
wait_for(coat_lane *lane, coat_store_req *req)
{
    (void)lane;
    (void)req;
    test_fail(__FILE__, __LINE__, "a test must not block");
    test_abort();
}

static coat_err
lane_open(coat_store *store, struct uv_loop_s *loop, coat_lane **out)
{
    coat_lane *lane = calloc(1, sizeof *lane);

    (void)loop;
    REQUIRE(lane != NULL);
    lane->store = store;
    *out = lane;
    return COAT_OK;
}

static void
lane_close(coat_lane *lane)
{
    channel *c = (channel *)lane->store;

    /* Each node has one lane that is ever held. */
    for (size_t i = world.held_count; i-- > 0;)
        if (world.held[i]->node == c->number)
            answer(take(i), COAT_CANCELLED);
    free(lane);
}

static void
no_wait(coat_lane *lane, coat_store_req *req)
{
    if (world.held_count > 0)
        wait_for(lane, req);
}

static coat_err
open_none(const coat_store_conf *conf, coat_store **out)
{
    (void)conf;
    (void)out;
    return COAT_UNSUPPORTED;
}

static void
close_none(coat_store *store)
{
    (void)store;
}

static coat_err
stats(coat_store *store, coat_store_stats *out)
{
    (void)store;
    return coat_store_stats_get(world.primary, out);
}

static struct coat_store_ops ops = {
    .abi = COAT_STORE_ABI,
    .caps = COAT_CAP_SHARED | COAT_CAP_WATCH | COAT_CAP_ACCOUNTS,
    .name = "world",
    .open = open_none,
    .close = close_none,
    .lane_open = lane_open,
    .lane_close = lane_close,
    .submit = submit,
    .wait = no_wait,
    .stats = stats,
    .watch_open = watch_open,
    .watch_close = watch_close,
};

/* ---- the world ---- */

static coat_err
rng(void *ctx, uint8_t *buf, size_t len)
{
    (void)ctx;
    return test_rng_fill(&world.random, buf, len);
}

static void
on_audit(void *ctx, const coat_event *event)
{
    (void)ctx;
    world.events[event->type]++;
}

unsigned
events_of(coat_event_type type)
{
    return world.events[type];
}

void
world_open(void)
{
    coat_store_conf conf = {.url = "memory:"};
    const int64_t wall = (int64_t)1800000000 * 1000;

    REQUIRE_OK(coat_init());
    memset(&world, 0, sizeof world);
    memset(nodes, 0, sizeof nodes);
    world.random.state = 7;
    REQUIRE_OK(coat_store_open(&conf, &world.primary));
    REQUIRE_OK(coat_store_open(&conf, &world.replica));
    REQUIRE_OK(coat_lane_open(world.replica, NULL, &world.replica_lane));
    open_primary();
    world.log = malloc(LOG_MAX * sizeof *world.log);
    REQUIRE_OK(coat_keys_generate(wall, rng, NULL, &world.keys));
    for (unsigned n = 0; n < WORLD_NODES; n++) {
        channel *c = &world.channels[n];
        coat_engine_conf *e = &nodes[n].conf;

        ops.caps |= COAT_CAP_WATCH;
        c->base.ops = &ops;
        c->number = n;
        c->queue = malloc(QUEUE_MAX * sizeof *c->queue);
        REQUIRE(world.log != NULL && c->queue != NULL);
        nodes[n].wall = wall;
        nodes[n].mono = 5000000 + 1000 * (int64_t)n; /* machines booted at different times */
        coat_engine_conf_default(e);
        e->keys = world.keys;
        e->store = &c->base;
        e->table_slots = WORLD_TABLE;
        e->rng = rng;
        e->clock = test_clock;
        e->clock_ctx = &nodes[n].wall;
        e->monotonic = test_clock;
        e->monotonic_ctx = &nodes[n].mono;
        e->events = on_audit;
    }
}

void
world_without_watch(void)
{
    ops.caps &= ~(uint32_t)COAT_CAP_WATCH;
}

static void
drop_log(void)
{
    for (size_t i = 0; i < world.log_count; i++)
        free((void *)(uintptr_t)world.log[i].value.ptr);
    world.log_count = 0;
}

void
world_close(void)
{
    nodes_end();
    for (unsigned n = 0; n < WORLD_NODES; n++)
        free(world.channels[n].queue);
    drop_log();
    free(world.log);
    coat_watch_close(world.watch);
    coat_lane_close(world.lane);
    coat_lane_close(world.replica_lane);
    coat_store_close(world.primary);
    coat_store_close(world.replica);
    coat_keys_free(world.keys);
}

coat_store *
world_store(unsigned n)
{
    return &world.channels[n].base;
}

void
world_hold(unsigned n, coat_op op, bool hold)
{
    for (unsigned i = 1; i < 16; i++)
        if (op == 0 || i == (unsigned)op)
            world.channels[n].hold[i] = hold;
}

size_t
world_held(void)
{
    return world.held_count;
}

const coat_store_req *
world_request(size_t index)
{
    REQUIRE(index < world.held_count);
    return world.held[index]->req;
}

void
world_cut(unsigned n, bool cut)
{
    world.channels[n].cut = cut;
}

uint64_t
world_seen(unsigned n, coat_op op)
{
    return world.channels[n].seen[op];
}

bool
world_has(const coat_handle *handle)
{
    coat_store_req req = {.op = COAT_OP_LOAD,
                          .space = COAT_SPACE_SESSION,
                          .address = *handle,
                          .now_ms = nodes[0].wall};

    return coat_store_run(world.lane, &req) == COAT_OK;
}

uint64_t
world_epoch_global(void)
{
    coat_store_req req = {.op = COAT_OP_EPOCHS};

    REQUIRE_OK(coat_store_run(world.lane, &req));
    return req.epoch_global;
}

void
world_replicate(void)
{
    for (size_t i = 0; i < world.log_count; i++)
        (void)!coat_store_run(world.replica_lane, &world.log[i]);
    drop_log();
}

void
world_failover(void)
{
    coat_store *former = world.primary;

    for (unsigned n = 0; n < WORLD_NODES; n++)
        channel_lose(n, nodes[n].silent);
    drop_log();
    coat_watch_close(world.watch);
    coat_lane_close(world.lane);
    coat_lane_close(world.replica_lane);
    world.primary = world.replica;
    coat_store_close(former);
    REQUIRE_OK(coat_store_open(&(coat_store_conf){.url = "memory:"}, &world.replica));
    REQUIRE_OK(coat_lane_open(world.replica, NULL, &world.replica_lane));
    open_primary();
}
