/* SPDX-License-Identifier: Apache-2.0 */
#include "store/remote/watch.h"

#include <stdio.h>
#include <stdlib.h>

enum { SETTLE_MS = 10 };

static void on_timer(uv_timer_t *timer);

/* ---- one server at a time ---- */

/** Under the mutex. Is one of them ready elsewhere? It is told to go. */
static bool
held_elsewhere(remote_watches *all, const char *server)
{
    bool held = false;

    for (remote_watch *w = all->first; w != NULL; w = w->next) {
        if (!w->ready || (server != NULL && strcmp(w->server, server) == 0))
            continue;
        held = true;
        atomic_store(&w->told_to_lose, true);
        (void)uv_async_send(&w->async);
    }
    return held;
}

void
remote_server_drop(remote_watches *all)
{
    all->serving[0] = '\0';
    atomic_fetch_add(&all->era, 1);
    (void)held_elsewhere(all, NULL);
}

bool
remote_server_turn(remote_watches *all, const char *server)
{
    if (held_elsewhere(all, server))
        return false;
    if (strcmp(all->serving, server) != 0) {
        (void)snprintf(all->serving, sizeof all->serving, "%s", server);
        atomic_fetch_add(&all->era, 1);
    }
    return true;
}

bool
remote_server_admit(remote_store *store, remote_watches *all, const char *server, uint64_t *era)
{
    bool admitted;

    pthread_mutex_lock(&store->mutex);
    admitted = remote_server_turn(all, server);
    *era = atomic_load(&all->era);
    pthread_mutex_unlock(&store->mutex);
    return admitted;
}

void
remote_server_leave(remote_store *store, remote_watches *all, uint64_t era)
{
    pthread_mutex_lock(&store->mutex);
    if (era == atomic_load(&all->era))
        remote_server_drop(all);
    pthread_mutex_unlock(&store->mutex);
}

/* ---- LOST and READY ---- */

static void
stop(remote_watch *w)
{
    w->started = w->subscribed = false;
    w->kind->stop(w);
}

void
remote_watch_lose(remote_watch *w, const char *why)
{
    static const coat_watch_event lost = {.kind = COAT_WATCH_LOST};
    char line[REMOTE_WATCHING_MAX] = "";

    if (why != NULL) { /* before stop(): it may be the connection's */
        (void)snprintf(line, sizeof line, "changes are not heard of: %s", why);
        remote_line(line, sizeof line, line);
    }
    stop(w);
    if (w->ready)
        w->sink.event(w->sink.ctx, &lost); /* before anything of another server is used */
    pthread_mutex_lock(&w->store->mutex);
    w->ready = false;
    if (line[0] != '\0')
        memcpy(w->all->trouble, line, sizeof line);
    pthread_mutex_unlock(&w->store->mutex);
    (void)uv_timer_start(&w->timer, on_timer,
                         (uint64_t)remote_backoff_next(&w->backoff, remote_random(w->store)),
                         0);
}

/** Not ready until all is the server's that it listens to. */
static void
settle(remote_watch *w)
{
    static const coat_watch_event ready = {.kind = COAT_WATCH_READY};

    pthread_mutex_lock(&w->store->mutex);
    w->ready = remote_server_turn(w->all, w->server);
    if (w->ready) {
        w->all->trouble[0] = '\0';
        if (w->kind->ready != NULL)
            w->kind->ready(w);
    }
    pthread_mutex_unlock(&w->store->mutex);
    if (!w->ready) {
        (void)uv_timer_start(&w->timer, on_timer, SETTLE_MS, 0);
        return;
    }
    (void)uv_timer_stop(&w->timer);
    w->backoff.failures = 0;
    w->sink.event(w->sink.ctx, &ready);
}

void
remote_watch_subscribed(remote_watch *w)
{
    w->subscribed = true;
    settle(w);
}

void
remote_watch_tell(remote_watch *w, const coat_watch_event *event)
{
    if (w->ready)
        w->sink.event(w->sink.ctx, event);
}

static void
on_async(uv_async_t *async)
{
    remote_watch *w = async->data;

    if (!w->closing && atomic_exchange(&w->told_to_lose, false) && w->ready)
        remote_watch_lose(w, "another server");
}

/** Due: to begin, to be subscribed, or to look whether the others have come. */
static void
on_timer(uv_timer_t *timer)
{
    remote_watch *w = timer->data;

    if (w->closing)
        return;
    if (w->subscribed) {
        settle(w);
    } else if (w->started) {
        remote_watch_lose(w, "no answer");
    } else {
        atomic_store(&w->told_to_lose, false);
        w->started = true;
        (void)uv_timer_start(&w->timer, on_timer, REMOTE_CONNECT_MS, 0);
        w->kind->start(w);
    }
}

/* ---- open and close ---- */

static void
on_close(uv_handle_t *handle)
{
    remote_watch *w = handle->data;

    if (--w->handles == 0)
        free(w);
}

coat_err
remote_watch_open(remote_watch *w, coat_lane *lane, const coat_watch_sink *sink,
                  remote_watches *all, const struct remote_watch_kind *kind)
{
    remote_lane *remote = (remote_lane *)lane;

    if (remote->watched)
        return COAT_EXISTS;
    w->base.lane = lane;
    w->sink = *sink;
    w->store = (remote_store *)lane->store;
    w->all = all;
    w->kind = kind;
    if (uv_async_init(remote->loop, &w->async, on_async) != 0)
        return COAT_NO_MEMORY;
    (void)uv_timer_init(remote->loop, &w->timer);
    w->handles = 2;
    w->timer.data = w;
    w->async.data = w;
    uv_unref((uv_handle_t *)&w->timer);
    uv_unref((uv_handle_t *)&w->async);
    remote->watched = true;
    pthread_mutex_lock(&w->store->mutex);
    w->next = all->first;
    all->first = w;
    pthread_mutex_unlock(&w->store->mutex);
    (void)uv_timer_start(&w->timer, on_timer, 0, 0);
    return COAT_OK;
}

void
remote_watch_close(remote_watch *w)
{
    remote_watch **at = &w->all->first;

    w->closing = true;
    ((remote_lane *)w->base.lane)->watched = false;
    pthread_mutex_lock(&w->store->mutex);
    while (*at != NULL && *at != w)
        at = &(*at)->next;
    if (*at != NULL)
        *at = w->next;
    w->ready = false;
    w->all->trouble[0] = '\0';
    pthread_mutex_unlock(&w->store->mutex);
    stop(w);
    uv_close((uv_handle_t *)&w->timer, on_close);
    uv_close((uv_handle_t *)&w->async, on_close);
}
