/* SPDX-License-Identifier: Apache-2.0 */
/**
 * A primary that is cut off from its sentinels goes on answering whoever can reach it, until it
 * hears that another was promoted. So the sentinels are asked once a second whether it still is
 * the one. If more than half of them name another place, it serves no more (server.c), and the
 * connections ask for themselves. Fewer move nothing: one that lies cannot make an outage.
 *
 * A sentry goes with a watch, for its loop; those of a store take turns.
 */

#include "store/redis/redis.h"

#include <stdlib.h>

struct redis_sentry {
    redis_store *store;
    uv_timer_t timer;
    redis_ask *ask;
};

static void
on_told(void *ctx, const redis_place *place, bool sure, const char *why)
{
    redis_sentry *sentry = ctx;

    (void)why;
    sentry->ask = NULL;
    if (place != NULL && sure)
        redis_leave_other(sentry->store, place);
}

/** Has nobody asked lately? Then the caller does. */
static bool
is_due(redis_store *store)
{
    int64_t now_ms = remote_now_ms(&store->remote), at_ms = atomic_load(&store->sentry_ms);

    return now_ms - at_ms >= SENTRY_MS &&
           atomic_compare_exchange_strong(&store->sentry_ms, &at_ms, now_ms);
}

static void
on_timer(uv_timer_t *timer)
{
    redis_sentry *sentry = timer->data;
    redis_store *store = sentry->store;

    if (sentry->ask == NULL && is_due(store) &&
        redis_ask_begin(timer->loop, &store->sentinels, on_told, sentry, &sentry->ask) !=
            COAT_OK)
        sentry->ask = NULL;
}

coat_err
redis_sentry_open(uv_loop_t *loop, redis_store *store, redis_sentry **out)
{
    redis_sentry *sentry;

    *out = NULL;
    if (store->sentinels.count == 0)
        return COAT_OK;
    sentry = calloc(1, sizeof *sentry);
    if (sentry == NULL)
        return COAT_NO_MEMORY;
    sentry->store = store;
    (void)uv_timer_init(loop, &sentry->timer);
    sentry->timer.data = sentry;
    uv_unref((uv_handle_t *)&sentry->timer);
    (void)uv_timer_start(&sentry->timer, on_timer, SENTRY_MS, SENTRY_MS);
    *out = sentry;
    return COAT_OK;
}

static void
on_close(uv_handle_t *handle)
{
    free(handle->data);
}

void
redis_sentry_close(redis_sentry *sentry)
{
    if (sentry == NULL)
        return;
    redis_ask_drop(sentry->ask);
    uv_close((uv_handle_t *)&sentry->timer, on_close);
}
