/* SPDX-License-Identifier: Apache-2.0 */
/**
 * The store in memory: for tests and embedding. One lock around ordered maps; every request
 * completes inside submit. What is reported is copied first, so that no callback runs under
 * the lock.
 */

#include "store/apply.h"
#include "store/memory_watch.h"
#include "store/read.h"
#include "store/stores.h"
#include "store/tree.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

typedef struct memory_store {
    coat_store base;
    pthread_mutex_t mutex; /* guards all below but the counters */
    coat_kv kv;
    coat_tree maps[COAT_MAP_COUNT];
    coat_sweeper sweeper;
    memory_watches watches;
    uint64_t version;
    uint8_t scratch[COAT_STORE_VALUE_MAX];
    _Atomic uint64_t unreadable;
    _Atomic uint64_t operations[16];
} memory_store;

typedef struct memory_lane {
    coat_lane base;
    struct uv_loop_s *loop;
    memory_watch *watch;
} memory_lane;

/** What a request reports, copied while the lock was held. */
typedef struct report {
    coat_store_item *items;
    size_t count, cap;
    uint8_t *found;
} report;

static memory_store *
store_of_kv(coat_kv *kv)
{
    return (memory_store *)((char *)kv - offsetof(memory_store, kv));
}

static coat_err
kv_get(coat_kv *kv, coat_map map, const uint8_t *key, coat_span *value)
{
    const coat_tree_node *node = coat_tree_get(&store_of_kv(kv)->maps[map], key);

    if (node == NULL)
        return COAT_NOT_FOUND;
    *value = (coat_span){node->value, node->len};
    return COAT_OK;
}

static coat_err
kv_put(coat_kv *kv, coat_map map, const uint8_t *key, coat_span head, coat_span body)
{
    return coat_tree_put(&store_of_kv(kv)->maps[map], key, head, body);
}

static coat_err
kv_del(coat_kv *kv, coat_map map, const uint8_t *key)
{
    return coat_tree_del(&store_of_kv(kv)->maps[map], key) ? COAT_OK : COAT_NOT_FOUND;
}

static coat_err
kv_seek(coat_kv *kv, coat_map map, const uint8_t *key, bool after, coat_kv_entry *out)
{
    const coat_tree *tree = &store_of_kv(kv)->maps[map];
    const coat_tree_node *node = coat_tree_seek(tree, key, after);

    if (node == NULL)
        return COAT_NOT_FOUND;
    memcpy(out->key, node->key, tree->key_len);
    out->value = (coat_span){node->value, node->len};
    return COAT_OK;
}

static const struct coat_kv_ops kv_ops = {kv_get, kv_put, kv_del, kv_seek};

static coat_err
memory_open(const coat_store_conf *conf, coat_store **out)
{
    memory_store *store;

    if (strcmp(conf->url, "memory:") != 0) {
        coat_store_message(conf, conf->url, ": the store in memory has no path;",
                           " write \"memory:\"");
        return COAT_INVALID;
    }
    store = calloc(1, sizeof *store);
    if (store == NULL)
        return COAT_NO_MEMORY;
    if (pthread_mutex_init(&store->mutex, NULL) != 0) {
        free(store);
        return COAT_NO_MEMORY;
    }
    store->base.ops = &coat_memory_ops;
    store->kv = (coat_kv){&kv_ops, &store->unreadable};
    store->version = 1;
    for (int map = 0; map < COAT_MAP_COUNT; map++)
        coat_tree_init(&store->maps[map], coat_map_key_len((coat_map)map));
    *out = &store->base;
    return COAT_OK;
}

static void
memory_close(coat_store *base)
{
    memory_store *store = (memory_store *)base;

    if (store == NULL)
        return;
    for (int map = 0; map < COAT_MAP_COUNT; map++)
        coat_tree_clear(&store->maps[map]);
    memory_watches_free(&store->watches);
    pthread_mutex_destroy(&store->mutex);
    free(store);
}

static coat_err
memory_lane_open(coat_store *store, struct uv_loop_s *loop, coat_lane **out)
{
    memory_lane *lane = calloc(1, sizeof *lane);

    if (lane == NULL)
        return COAT_NO_MEMORY;
    lane->base.store = store;
    lane->loop = loop;
    *out = &lane->base;
    return COAT_OK;
}

static void
memory_lane_close(coat_lane *lane)
{
    free(lane);
}

static coat_err
copy_bytes(coat_span from, uint8_t **to)
{
    *to = malloc(from.len > 0 ? from.len : 1);
    if (*to == NULL)
        return COAT_NO_MEMORY;
    if (from.len > 0)
        memcpy(*to, from.ptr, from.len);
    return COAT_OK;
}

static coat_err
collect(void *ctx, coat_store_req *req, const coat_store_item *item)
{
    report *r = ctx;
    uint8_t *bytes;

    if (r->count == r->cap) {
        size_t cap = r->cap == 0 ? 16 : r->cap * 2;
        coat_store_item *grown = reallocarray(r->items, cap, sizeof *grown);

        if (grown == NULL)
            return COAT_NO_MEMORY;
        r->items = grown;
        r->cap = cap;
    }
    (void)req;
    if (copy_bytes(item->value, &bytes) != COAT_OK)
        return COAT_NO_MEMORY;
    r->items[r->count] = *item;
    r->items[r->count++].value = (coat_span){bytes, item->value.len};
    return COAT_OK;
}

static int64_t
monotonic_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void
carry_out(memory_store *store, coat_store_req *req, report *r, coat_evicted *evicted)
{
    coat_work work = {.kv = &store->kv,
                      .sweeper = &store->sweeper,
                      .scratch = store->scratch,
                      .version = store->version,
                      .room = INT64_MAX,
                      .mono_ms = monotonic_ms()};
    coat_err err;

    if (req->op >= COAT_OP_SAY) {
        memory_watches_apply(&store->watches, req, collect, r);
        return;
    }
    if (coat_op_reads(req->op)) {
        coat_read(&store->kv, req, collect, r);
        if (req->op == COAT_OP_LOAD && req->result == COAT_OK) {
            req->result = copy_bytes(req->found, &r->found);
            req->found.ptr = r->found;
        }
        return;
    }
    err = coat_apply(&work, req, evicted);
    store->version = work.version;
    if (err != COAT_OK)
        req->result = err;
    memory_watches_tell(&store->watches, req, evicted);
}

static void
memory_submit(coat_lane *lane, coat_store_req *req)
{
    memory_store *store = (memory_store *)lane->store;
    report r = {0};
    coat_evicted evicted = {0};

    atomic_fetch_add_explicit(&store->operations[req->op], 1, memory_order_relaxed);
    pthread_mutex_lock(&store->mutex);
    carry_out(store, req, &r, &evicted);
    pthread_mutex_unlock(&store->mutex);

    for (size_t i = 0; i < r.count; i++)
        if (req->result == COAT_OK)
            req->item(req, &r.items[i]);
    for (uint32_t i = 0; i < evicted.count && req->item != NULL; i++)
        req->item(req, &(coat_store_item){.address = evicted.handles[i]});
    req->done(req);

    for (size_t i = 0; i < r.count; i++)
        free((void *)(uintptr_t)r.items[i].value.ptr);
    free(r.items);
    free(r.found);
    free(evicted.handles);
    if (((memory_lane *)lane)->loop == NULL)
        memory_watch_deliver(((memory_lane *)lane)->watch);
}

static void
memory_wait(coat_lane *lane, coat_store_req *req)
{
    (void)lane;
    (void)req;
}

static coat_err
memory_watch_open(coat_lane *base, const coat_watch_sink *sink, coat_watch **out)
{
    memory_lane *lane = (memory_lane *)base;
    memory_store *store = (memory_store *)base->store;
    coat_err err;

    if (lane->watch != NULL)
        return COAT_EXISTS;
    pthread_mutex_lock(&store->mutex);
    err =
        memory_watch_new(&store->watches, base, lane->loop, &store->mutex, sink, &lane->watch);
    pthread_mutex_unlock(&store->mutex);
    if (err == COAT_OK)
        *out = (coat_watch *)lane->watch;
    return err;
}

static void
memory_watch_close(coat_watch *watch)
{
    memory_lane *lane = (memory_lane *)watch->lane;
    memory_store *store = (memory_store *)watch->lane->store;

    pthread_mutex_lock(&store->mutex);
    memory_watch_end(&store->watches, lane->watch);
    pthread_mutex_unlock(&store->mutex);
    lane->watch = NULL;
}

static coat_err
memory_stats(coat_store *base, coat_store_stats *out)
{
    memory_store *store = (memory_store *)base;
    coat_store_stats stats = {0};

    pthread_mutex_lock(&store->mutex);
    stats.sessions = store->maps[COAT_MAP_SESSION].count;
    stats.accounts = store->maps[COAT_MAP_ACCOUNT].count;
    for (int map = 0; map < COAT_MAP_COUNT; map++)
        stats.bytes_used += store->maps[map].bytes;
    pthread_mutex_unlock(&store->mutex);
    stats.unreadable = atomic_load(&store->unreadable);
    for (int op = 0; op < 16; op++)
        stats.operations[op] = atomic_load(&store->operations[op]);
    *out = stats;
    return COAT_OK;
}

const struct coat_store_ops coat_memory_ops = {
    .abi = COAT_STORE_ABI,
    .caps = COAT_CAP_ACCOUNTS | COAT_CAP_WATCH,
    .name = "memory",
    .open = memory_open,
    .close = memory_close,
    .lane_open = memory_lane_open,
    .lane_close = memory_lane_close,
    .submit = memory_submit,
    .wait = memory_wait,
    .stats = memory_stats,
    .watch_open = memory_watch_open,
    .watch_close = memory_watch_close,
};
