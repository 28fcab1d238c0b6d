/* SPDX-License-Identifier: Apache-2.0 */
#include "store/memcached/memcached.h"

#include <stdio.h>
#include <time.h>

enum { OPEN_PATIENCE_MS = 1000 };

uint64_t
mc_global_seen(mc_store *store, uint64_t epoch)
{
    return remote_raise(&store->global, epoch);
}

uint64_t
mc_number_next(mc_store *store)
{
    uint64_t before = atomic_load(&store->number), next;
    struct timespec now;
    uint64_t clock, global = atomic_load(&store->global);

    (void)clock_gettime(CLOCK_REALTIME, &now);
    clock = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
    if (clock <= global)
        clock = global + 1;
    do {
        next = clock > before ? clock : before + 1;
    } while (!atomic_compare_exchange_weak(&store->number, &before, next));
    return next;
}

void
mc_number_seen(mc_store *store, uint64_t number)
{
    (void)remote_raise(&store->number, number);
}

/* ---- open and close ---- */

static void
done_nothing(coat_store_req *req)
{
    (void)req;
}

static void
free_node(mc_node *node)
{
    remote_tls_context_free(node->address.tls);
    free(node->doubts);
    free(node->journal.ring);
    remote_store_fini(&node->remote);
    free(node);
}

static void
mc_close(coat_store *base)
{
    mc_store *store = (mc_store *)base;

    if (store == NULL)
        return;
    for (uint32_t i = 0; i < store->node_count; i++)
        free_node(store->nodes[i]);
    free(store->points);
    sodium_memzero(store->password, sizeof store->password);
    free(store);
}

/** What an operator should know of a server: why it is away, why it does not say what it holds,
 * what it is. Under its mutex. @return NULL: nothing of this kind */
static const char *
words_of(const mc_node *node, int kind)
{
    const char *const words[] = {node->trouble, node->unlisted,
                                 node->trouble[0] == '\0' ? node->notice : ""};

    return words[kind][0] != '\0' ? words[kind] : NULL;
}

/** Of all servers, what matters most first. */
static void
describe(const mc_store *store, char *text, size_t cap)
{
    enum { KINDS = 3, NOTICE = 2 };
    size_t used = 0;

    text[0] = '\0';
    for (int kind = 0; kind < KINDS; kind++)
        for (uint32_t i = 0; i < store->node_count && used + 1 < cap; i++) {
            mc_node *node = store->nodes[i];
            const char *comma = used > 0 ? "; " : "", *words;
            int n = 0;

            pthread_mutex_lock(&node->remote.mutex);
            words = words_of(node, kind);
            if (words != NULL && kind == NOTICE) /* names it itself */
                n = snprintf(text + used, cap - used, "%s%s", comma, words);
            else if (words != NULL)
                n = snprintf(text + used, cap - used, "%s%s: %s", comma, node->name, words);
            pthread_mutex_unlock(&node->remote.mutex);
            used += n > 0 ? (size_t)n : 0;
        }
}

/** Look once, and say what was found. A server that is not there yet is no failure: it is
 * connected to when it comes (SF-11). */
static void
look_once(mc_store *store, const coat_store_conf *conf)
{
    coat_store_req req = {.op = COAT_OP_SWEEP, .timeout_ms = OPEN_PATIENCE_MS, .limit = 1};
    coat_lane *lane;
    char text[400];

    if (conf->message == NULL || conf->message_cap == 0 ||
        mc_lane_open(&store->base, NULL, &lane) != COAT_OK)
        return;
    req.done = done_nothing;
    mc_submit(lane, &req);
    mc_wait(lane, &req);
    mc_lane_close(lane);
    describe(store, text, sizeof text);
    (void)snprintf(conf->message, conf->message_cap, "%s%s",
                   req.result == COAT_OK ? "" : "the store is not ready: ",
                   req.result != COAT_OK && text[0] == '\0' ? "no answer" : text);
    for (uint32_t i = 0; i < store->node_count; i++) {
        remote_store *remote = &store->nodes[i]->remote;

        pthread_mutex_lock(&remote->mutex);
        remote->breaker = (remote_breaker){0};
        atomic_store(&remote->doubted, false);
        pthread_mutex_unlock(&remote->mutex);
    }
}

static coat_err
mc_open(const coat_store_conf *conf, coat_store **out)
{
    mc_store *store;
    coat_err err;

    if (sodium_init() < 0)
        return COAT_NO_MEMORY;
    store = calloc(1, sizeof *store);
    if (store == NULL)
        return COAT_NO_MEMORY;
    store->base.ops = &coat_memcached_ops;
    err = mc_servers_take(store, conf, conf->message,
                          conf->message != NULL ? conf->message_cap : 0);
    if (err == COAT_OK)
        err = mc_ring_make(store);
    if (err != COAT_OK) {
        mc_close(&store->base);
        return err;
    }
    look_once(store, conf);
    *out = &store->base;
    return COAT_OK;
}

static coat_err
mc_stats(coat_store *base, coat_store_stats *out)
{
    mc_store *store = (mc_store *)base;
    coat_store_stats stats = {.away = true};

    for (uint32_t i = 0; i < store->node_count; i++) {
        mc_node *node = store->nodes[i];

        stats.away = stats.away && atomic_load(&node->remote.ready) == 0;
        stats.full = stats.full || atomic_load(&node->full);
        remote_stats_add(&node->remote, &stats);
    }
    describe(store, stats.notice, sizeof stats.notice);
    *out = stats;
    return COAT_OK;
}

/* Neither DURABLE nor fit for accounts: it may forget anything at any time. */
const struct coat_store_ops coat_memcached_ops = {
    .abi = COAT_STORE_ABI,
    .caps = COAT_CAP_SHARED | COAT_CAP_EXPIRES | COAT_CAP_CACHE,
    .name = "memcached",
    .open = mc_open,
    .close = mc_close,
    .lane_open = mc_lane_open,
    .lane_close = mc_lane_close,
    .submit = mc_submit,
    .wait = mc_wait,
    .stats = mc_stats,
};
