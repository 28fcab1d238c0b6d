/* SPDX-License-Identifier: Apache-2.0 */
#include "store/postgresql/postgresql.h"

#include "core/out.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

enum { OPEN_PATIENCE_MS = 1000 };

static const struct coat_store_ops undurable_ops;

uint64_t
pg_global_seen(pg_store *store, uint64_t epoch)
{
    return remote_raise(&store->global, epoch);
}

static void
done_nothing(coat_store_req *req)
{
    (void)req;
}

static void
pg_close(coat_store *base)
{
    pg_store *store = (pg_store *)base;

    if (store == NULL)
        return;
    remote_store_fini(&store->remote);
    sodium_memzero(store->password, sizeof store->password);
    free(store);
}

static void
say(const coat_store_conf *conf, const char *what, const char *why)
{
    if (conf->message != NULL && conf->message_cap > 0)
        (void)snprintf(conf->message, conf->message_cap, "%s%s", what, why);
}

/**
 * Look once, and say what was found. A store that is not there yet is no failure: it is
 * connected to when it comes (SF-11). One with a schema that is not ours is.
 */
static coat_err
look_once(pg_store *store, const coat_store_conf *conf)
{
    coat_store_req req = {
        .op = COAT_OP_EPOCHS, .timeout_ms = OPEN_PATIENCE_MS, .done = done_nothing};
    char trouble[200];
    coat_lane *lane;
    coat_err err = remote_lane_open(&store->remote.base, NULL, &lane);
    int32_t format;

    if (err != COAT_OK)
        return err;
    remote_submit(lane, &req);
    remote_wait(lane, &req);
    remote_lane_close(lane);
    pthread_mutex_lock(&store->remote.mutex);
    if (req.result == COAT_OK)
        say(conf, "", store->notice);
    else
        say(conf, "the store is not ready: ",
            store->trouble[0] != '\0' ? store->trouble : "no answer");
    store->remote.breaker = (remote_breaker){0};
    atomic_store(&store->remote.doubted, false);
    pthread_mutex_unlock(&store->remote.mutex);
    format = atomic_load(&store->format);
    if (format < 0 ||
        !pg_format_trouble(store, format, atomic_load(&store->oldest), trouble, sizeof trouble))
        return COAT_OK;
    (void)pg_refuse(conf, "", trouble);
    return format > PG_FORMAT ? COAT_NEWER_FORMAT : COAT_UNSUPPORTED;
}

static coat_err
pg_open(const coat_store_conf *conf, coat_store **out)
{
    pg_store *store = calloc(1, sizeof *store);
    uint32_t from, to;
    coat_err err;

    if (store == NULL)
        return COAT_NO_MEMORY;
    err = remote_store_init(&store->remote, &coat_postgresql_ops, &pg_kind);
    if (err != COAT_OK) {
        free(store);
        return err;
    }
    store->remote.flight_max = PG_FLIGHT_MAX;
    atomic_store(&store->format, -1);
    err = store->remote.rng(store->remote.rng_ctx, store->self, sizeof store->self);
    if (err == COAT_OK)
        err = pg_take_url(store, conf);
    /* A database that is not there yet is migrated by hand: it is no reason not to start. */
    if (err == COAT_OK && remote_url_param(&store->url, "migrate") != NULL &&
        pg_migrate_store(store, conf, &from, &to) == COAT_NEWER_FORMAT)
        err = COAT_NEWER_FORMAT;
    if (err == COAT_OK)
        err = look_once(store, conf);
    if (err != COAT_OK) {
        pg_close(&store->remote.base);
        return err;
    }
    if (!atomic_load(&store->durable))
        store->remote.base.ops = &undurable_ops;
    *out = &store->remote.base;
    return COAT_OK;
}

static coat_err
pg_stats(coat_store *base, coat_store_stats *out)
{
    pg_store *store = (pg_store *)base;
    coat_store_stats stats = {
        .sessions = atomic_load(&store->sessions),
        .accounts = atomic_load(&store->accounts),
        .full = atomic_load(&store->full),
        .away = atomic_load(&store->remote.ready) == 0,
    };

    remote_stats_add(&store->remote, &stats);
    pthread_mutex_lock(&store->remote.mutex);
    remote_notice_add(stats.notice, sizeof stats.notice,
                      stats.away ? store->trouble : store->notice);
    if (!stats.away)
        remote_notice_add(stats.notice, sizeof stats.notice, store->watches.trouble);
    pthread_mutex_unlock(&store->remote.mutex);
    *out = stats;
    return COAT_OK;
}

enum {
    PG_CAPS = COAT_CAP_SHARED | COAT_CAP_ACCOUNTS |
              (PG_FORMAT >= PG_FORMAT_WATCH ? COAT_CAP_WATCH : 0)
};

#define PG_OPS(worth)                                                                          \
    {                                                                                          \
        .abi = COAT_STORE_ABI, .caps = PG_CAPS | (worth), .name = "postgresql",                \
        .open = pg_open, .close = pg_close, .lane_open = remote_lane_open,                     \
        .lane_close = remote_lane_close, .submit = remote_submit, .wait = remote_wait,         \
        .stats = pg_stats, .watch_open = pg_watch_open, .watch_close = pg_watch_close,         \
    }

const struct coat_store_ops coat_postgresql_ops = PG_OPS(COAT_CAP_DURABLE);

/* What an acknowledgment is worth is the server's setting. One that was not seen at the start
 * is not trusted with durability. */
static const struct coat_store_ops undurable_ops = PG_OPS(0);
