/* SPDX-License-Identifier: Apache-2.0 */
/**
 * A watch of a cluster: an *ear* at each node that serves, which is a watch as a single server
 * has (watch.c). It is ready while all of them are, and while the cluster is what it was then:
 * whoever sees it otherwise, because slots or primaries have changed, has all watches LOST.
 *
 * Each node publishes on channels of its own name, so that an ear hears only what was done
 * there, in its order. A message is reported once all ears have heard it (cluster_say.c). It
 * says what its author takes the cluster to be: from one who knows of other nodes than we
 * listen to it counts for nothing, and we are LOST.
 *
 * Rule 3 of watching: a node that a ready watch has no ear at is not used before that is LOST
 * (redis_cluster_covered); which server a node is, its own watches see to (remote/watch.h).
 */

#include "store/redis/cluster.h"

#include <stdlib.h>

enum { MESSAGES_MAX = 256 }; /* that some ears have heard and others have not */

typedef struct cluster_ear {
    cluster_watch *all;
    coat_watch *watch; /* NULL: none */
    bool ready;
} cluster_ear;

typedef struct partly_heard {
    coat_handle from;
    uint64_t version, ears; /* 0: free; bits: who has heard it */
    uint64_t number;        /* they are counted */
} partly_heard;

struct cluster_watch {
    coat_watch base;
    coat_watch_sink sink;
    uv_timer_t timer;
    uv_async_t async; /* from other threads: see told */
    int handles;
    bool closing;
    cluster_ear ears[CLUSTER_SEATS_MAX];
    partly_heard messages[MESSAGES_MAX];
    uint64_t heard; /* messages so far */
    remote_backoff backoff;
    int64_t not_before_ms; /* it is ready again */

    /* Changed under the mutex of home. */
    bool ready, told; /* told: the cluster is another one now */
    uint64_t shape;
    uint64_t covers, speak; /* seats: that are listened to, that have buckets */
    cluster_watch *next;
};

static cluster_lane *
lane_of(const cluster_watch *w)
{
    return (cluster_lane *)(void *)w->base.lane;
}

static redis_cluster *
cluster_of(const cluster_watch *w)
{
    return cluster_of_lane(lane_of(w));
}

static void on_timer(uv_timer_t *timer);

/* ---- LOST and READY ---- */

static void
wait_for(cluster_watch *w, int64_t at_ms)
{
    int64_t left_ms = at_ms - remote_now_ms(&cluster_of(w)->home.remote);

    if (!w->closing)
        (void)uv_timer_start(&w->timer, on_timer, left_ms > 0 ? (uint64_t)left_ms : 0, 0);
}

static void
lose(cluster_watch *w)
{
    static const coat_watch_event lost = {.kind = COAT_WATCH_LOST};
    remote_store *home = &cluster_of(w)->home.remote;

    if (!w->ready)
        return;
    w->sink.event(w->sink.ctx, &lost); /* before anything of another node is used */
    pthread_mutex_lock(&home->mutex);
    w->ready = w->told = false;
    pthread_mutex_unlock(&home->mutex);
    memset(w->messages, 0, sizeof w->messages);
    w->not_before_ms =
        remote_now_ms(home) + remote_backoff_next(&w->backoff, remote_random(home));
    wait_for(w, w->not_before_ms);
}

/** Under the mutex. Is each node that serves listened to, and the one that is meant? */
static bool
hears_all(const cluster_watch *w, uint64_t *covers)
{
    const redis_cluster *cluster = cluster_of(w);

    *covers = 0;
    for (uint32_t i = 0; i < cluster->seat_count; i++) {
        const cluster_seat *seat = cluster->seats[i];

        if (!seat->named)
            continue;
        if (!w->ears[i].ready || strcmp(redis_watch_node(w->ears[i].watch), seat->id) != 0)
            return false;
        *covers |= (uint64_t)1 << i;
    }
    return *covers != 0;
}

static void
become_ready(cluster_watch *w)
{
    static const coat_watch_event ready = {.kind = COAT_WATCH_READY};
    redis_cluster *cluster = cluster_of(w);

    if (w->ready || remote_now_ms(&cluster->home.remote) < w->not_before_ms)
        return;
    pthread_mutex_lock(&cluster->home.remote.mutex);
    if (cluster->shape != 0 && hears_all(w, &w->covers)) {
        w->ready = true;
        w->told = false;
        w->shape = cluster->shape;
        w->speak = 0;
        for (size_t b = 0; b < CLUSTER_BUCKETS; b++)
            if (cluster->seat_of[b] != CLUSTER_NOBODY)
                w->speak |= (uint64_t)1 << cluster->seat_of[b];
    }
    pthread_mutex_unlock(&cluster->home.remote.mutex);
    if (w->ready)
        w->sink.event(w->sink.ctx, &ready);
}

/** Under the mutex. */
static void
tell(cluster_watch *w)
{
    if (!w->ready)
        return;
    w->told = true;
    (void)uv_async_send(&w->async);
}

void
cluster_watches_lose(redis_cluster *cluster)
{
    for (cluster_watch *w = cluster->watches; w != NULL; w = w->next)
        tell(w);
}

bool
redis_cluster_covered(redis_store *store)
{
    redis_cluster *cluster = store->cluster;
    uint32_t at = 0;
    bool covered = true;

    while (at < cluster->seat_count && &cluster->seats[at]->store != store)
        at++;
    if (at == cluster->seat_count || !cluster->seats[at]->named)
        return true; /* it is asked for nothing but who serves */
    for (cluster_watch *w = cluster->watches; w != NULL; w = w->next)
        if (w->ready && (w->covers >> at & 1) == 0) {
            covered = false;
            tell(w);
        }
    return covered;
}

/* ---- what ears hear ---- */

static void
on_event(void *ctx, const coat_watch_event *event)
{
    cluster_ear *ear = ctx;
    cluster_watch *w = ear->all;

    if (event->kind == COAT_WATCH_READY) {
        ear->ready = true;
        become_ready(w);
    } else if (event->kind == COAT_WATCH_LOST) {
        ear->ready = false;
        lose(w);
    } else if (w->ready) {
        w->sink.event(w->sink.ctx, event);
    }
}

/** Where there is no room the oldest gives way: what is not reported proves nothing to anybody.
 */
static partly_heard *
find_message(cluster_watch *w, const coat_handle *from, uint64_t version)
{
    partly_heard *unused = &w->messages[0];

    for (size_t i = 0; i < MESSAGES_MAX; i++) {
        partly_heard *m = &w->messages[i];

        if (m->ears != 0 && m->version == version && coat_handle_equal(&m->from, from))
            return m;
        if (unused->ears != 0 && (m->ears == 0 || m->number < unused->number))
            unused = m;
    }
    *unused = (partly_heard){.from = *from, .version = version, .number = ++w->heard};
    return unused;
}

static void
heard(cluster_watch *w, const cluster_ear *ear, const coat_watch_event *event, uint64_t version)
{
    partly_heard *m = find_message(w, &event->address, version);

    m->ears |= (uint64_t)1 << (ear - w->ears);
    if ((w->speak & ~m->ears) != 0)
        return;
    m->ears = 0;
    w->backoff.failures = 0; /* all see the same cluster */
    w->sink.event(w->sink.ctx, event);
}

void
redis_cluster_heard(remote_watch *base, const coat_watch_event *event, uint64_t version,
                    uint64_t shape)
{
    const cluster_ear *ear = base->sink.ctx;
    cluster_watch *w = ear->all;

    if (!w->ready)
        return;
    if (shape == w->shape) {
        heard(w, ear, event, version);
        return;
    }
    lose(w);
    cluster_ask_soon(lane_of(w));
}

/* ---- ears ---- */

void
cluster_watch_leave(cluster_watch *w, uint32_t seat)
{
    cluster_ear *ear = &w->ears[seat];
    coat_watch *left = ear->watch;

    if (left == NULL)
        return;
    if (ear->ready && (w->covers >> seat & 1) != 0)
        lose(w);
    ear->watch = NULL;
    ear->ready = false;
    redis_watch_close(left);
}

static void
listen_to(cluster_watch *w, uint32_t seat)
{
    cluster_ear *ear = &w->ears[seat];
    coat_watch_sink sink = {w->sink.instance, on_event, ear};
    coat_lane *lane;

    if (ear->watch != NULL)
        return;
    lane = cluster_seat_lane(lane_of(w), seat);
    if (lane != NULL && redis_watch_open(lane, &sink, &ear->watch) != COAT_OK)
        ear->watch = NULL; /* tried again with the lane's next look around */
}

/** Who serves, and where another node is now than the one that is listened to. */
static uint64_t
who_serves(const cluster_watch *w, uint64_t *others)
{
    redis_cluster *cluster = cluster_of(w);
    uint64_t named = 0;

    *others = 0;
    pthread_mutex_lock(&cluster->home.remote.mutex);
    for (uint32_t i = 0; i < cluster->seat_count; i++) {
        const cluster_seat *seat = cluster->seats[i];

        if (!seat->named)
            continue;
        named |= (uint64_t)1 << i;
        if (w->ears[i].ready && strcmp(redis_watch_node(w->ears[i].watch), seat->id) != 0)
            *others |= (uint64_t)1 << i;
    }
    pthread_mutex_unlock(&cluster->home.remote.mutex);
    return named;
}

void
cluster_watch_sync(cluster_watch *w)
{
    uint64_t others, named;
    bool told;

    pthread_mutex_lock(&cluster_of(w)->home.remote.mutex);
    told = w->told;
    pthread_mutex_unlock(&cluster_of(w)->home.remote.mutex);
    if (told)
        lose(w);
    named = who_serves(w, &others);
    for (uint32_t i = 0; i < CLUSTER_SEATS_MAX; i++) {
        if ((named >> i & 1) == 0 || (others >> i & 1) != 0)
            cluster_watch_leave(w, i);
        if ((named >> i & 1) != 0)
            listen_to(w, i);
    }
    become_ready(w);
}

static void
on_async(uv_async_t *async)
{
    cluster_watch *w = async->data;

    if (!w->closing)
        cluster_watch_sync(w);
}

static void
on_timer(uv_timer_t *timer)
{
    cluster_watch_sync(timer->data);
}

/* ---- open and close ---- */

coat_err
cluster_watch_open(coat_lane *lane, const coat_watch_sink *sink, coat_watch **out)
{
    cluster_watch **of_lane = cluster_watch_of((cluster_lane *)(void *)lane), *w;
    uv_loop_t *loop = cluster_loop((cluster_lane *)(void *)lane);
    redis_cluster *cluster;

    if (*of_lane != NULL)
        return COAT_EXISTS;
    w = calloc(1, sizeof *w);
    if (w == NULL)
        return COAT_NO_MEMORY;
    w->base.lane = lane;
    w->sink = *sink;
    if (uv_async_init(loop, &w->async, on_async) != 0) {
        free(w);
        return COAT_NO_MEMORY;
    }
    (void)uv_timer_init(loop, &w->timer);
    w->handles = 2;
    w->async.data = w->timer.data = w;
    uv_unref((uv_handle_t *)&w->async);
    uv_unref((uv_handle_t *)&w->timer);
    for (uint32_t i = 0; i < CLUSTER_SEATS_MAX; i++)
        w->ears[i].all = w;
    cluster = cluster_of(w);
    pthread_mutex_lock(&cluster->home.remote.mutex);
    w->next = cluster->watches;
    cluster->watches = w;
    pthread_mutex_unlock(&cluster->home.remote.mutex);
    *of_lane = w;
    (void)uv_timer_start(&w->timer, on_timer, 0, 0);
    *out = &w->base;
    return COAT_OK;
}

static void
on_close(uv_handle_t *handle)
{
    cluster_watch *w = handle->data;

    if (--w->handles == 0)
        free(w);
}

void
cluster_watch_close(coat_watch *watch)
{
    cluster_watch *w = (cluster_watch *)(void *)watch;
    redis_cluster *cluster = cluster_of(w);
    cluster_watch **at = &cluster->watches;

    w->closing = true;
    pthread_mutex_lock(&cluster->home.remote.mutex);
    while (*at != w)
        at = &(*at)->next;
    *at = w->next;
    w->ready = w->told = false;
    pthread_mutex_unlock(&cluster->home.remote.mutex);
    for (uint32_t i = 0; i < CLUSTER_SEATS_MAX; i++)
        cluster_watch_leave(w, i);
    *cluster_watch_of(lane_of(w)) = NULL;
    uv_close((uv_handle_t *)&w->timer, on_close);
    uv_close((uv_handle_t *)&w->async, on_close);
}
