/* SPDX-License-Identifier: Apache-2.0 */
/**
 * The connection of a watch. It is greeted (AUTH, INFO, CLIENT ID), then it subscribes; READY
 * follows when all of that is acknowledged and the store's other connections are to the same
 * server. Whatever goes wrong is LOST, and it begins anew.
 */

#include "store/redis/watch.h"

#include "core/out.h"

#include <stdio.h>
#include <stdlib.h>

enum { SETTLE_MS = 10 };

typedef enum due_kind {
    DUE_AUTH,
    DUE_INFO,
    DUE_EVENTS,
    DUE_ID,
    DUE_TRACKING, /* from here on not needed: without, less is noticed */
    DUE_OPTIONAL,
    DUE_CHANNEL,
} due_kind;

static void on_timer(uv_timer_t *timer);

/* ---- losing ---- */

static void
drop(redis_watch *w)
{
    w->connection++;
    redis_ask_drop(w->ask);
    w->ask = NULL;
    remote_stream_drop(w->stream);
    w->stream = NULL;
    resp_reader_free(w->reader);
    w->reader = NULL;
    remote_buffer_free(&w->out);
    w->due_first = w->due_count = 0;
    w->subscribed = false;
}

static void
lose(redis_watch *w, const char *why)
{
    static const coat_watch_event lost = {.kind = COAT_WATCH_LOST};
    remote_store *remote = &w->store->remote;
    bool was_ready = w->ready;

    drop(w);
    if (was_ready)
        w->sink.event(w->sink.ctx, &lost); /* before anything of another server is used */
    redis_watch_leave(w, why);
    (void)uv_timer_start(&w->timer, on_timer,
                         (uint64_t)remote_backoff_next(&w->backoff, remote_random(remote)), 0);
}

static void
on_async(uv_async_t *async)
{
    redis_watch *w = async->data;

    if (!w->closing && atomic_exchange(&w->told_to_lose, false) && w->ready)
        lose(w, "another server");
}

/* ---- commands ---- */

static void
say(redis_watch *w, due_kind what, size_t count, const char *const *words)
{
    resp_begin(&w->out, count);
    for (size_t i = 0; i < count; i++)
        resp_arg_str(&w->out, words[i]);
    if (w->due_count == REDIS_WATCH_DUE)
        w->out.failed = true;
    else
        w->due[(w->due_first + w->due_count++) % REDIS_WATCH_DUE] = (uint8_t)what;
}

#define SAY(w, what, ...)                                                                      \
    say(w, what, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *),            \
        (const char *const[]){__VA_ARGS__})

static void
greet(void *ctx)
{
    redis_watch *w = ctx;
    const redis_store *store = w->store;
    uint64_t connection = w->connection;

    /* By itself, so that the password lies in a buffer that never moves and is wiped. */
    if (store->url.user != NULL && store->password[0] != '\0')
        SAY(w, DUE_AUTH, "AUTH", store->url.user, store->password);
    else if (store->password[0] != '\0')
        SAY(w, DUE_AUTH, "AUTH", store->password);
    w->out.secret = true;
    if (w->out.len > 0)
        remote_stream_write(w->stream, &w->out);
    if (w->connection != connection)
        return; /* lost already */
    w->out.secret = false;
    SAY(w, DUE_INFO, "INFO");
    SAY(w, DUE_EVENTS, "CONFIG", "GET", "notify-keyspace-events");
    SAY(w, DUE_ID, "CLIENT", "ID");
    remote_stream_write(w->stream, &w->out);
}

/**
 * Redis tells who tracks keys of a flush, whichever keys those are: so some that never are. The
 * connection is its own target, since it cannot be another's that may be dropped unnoticed.
 */
static void
subscribe(redis_watch *w, int64_t id)
{
    static const char *const events[] = {"del", "evicted", "expired"};
    const redis_store *store = w->store;
    char number[24], channel[REDIS_CHANNEL_MAX], never[REDIS_PREFIX_MAX + 16];

    (void)snprintf(number, sizeof number, "%lld", (long long)id);
    (void)snprintf(never, sizeof never, "%snothing:", store->prefix);
    SAY(w, DUE_TRACKING, "CLIENT", "TRACKING", "ON", "REDIRECT", number, "BCAST", "PREFIX",
        never);
    SAY(w, DUE_OPTIONAL, "SUBSCRIBE", "__redis__:invalidate");
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++) {
        (void)snprintf(channel, sizeof channel, "__keyevent@%u__:%s", store->db, events[i]);
        SAY(w, DUE_OPTIONAL, "SUBSCRIBE", channel);
    }
    SAY(w, DUE_CHANNEL, "SUBSCRIBE", store->channel);
    redis_channel_to(store, &w->sink.instance, channel);
    SAY(w, DUE_CHANNEL, "SUBSCRIBE", channel);
    remote_stream_write(w->stream, &w->out);
}

/* ---- replies ---- */

/** "Egxe", or more of it */
static bool
tells_of_keys(const resp_reply *reply)
{
    coat_span flags = resp_is(reply, 1, RESP_STRING) ? reply->items[1]->text : COAT_LIT("");
    bool all = flags.len > 0 && memchr(flags.ptr, 'A', flags.len) != NULL;

    return flags.len > 0 && memchr(flags.ptr, 'E', flags.len) != NULL &&
           (all || (memchr(flags.ptr, 'g', flags.len) != NULL &&
                    memchr(flags.ptr, 'x', flags.len) != NULL &&
                    memchr(flags.ptr, 'e', flags.len) != NULL));
}

static void
settle(redis_watch *w)
{
    static const coat_watch_event ready = {.kind = COAT_WATCH_READY};

    if (!redis_watch_admit(w)) {
        (void)uv_timer_start(&w->timer, on_timer, SETTLE_MS, 0);
        return;
    }
    (void)uv_timer_stop(&w->timer);
    w->backoff.failures = 0;
    w->sink.event(w->sink.ctx, &ready);
}

/** @return what is wrong; NULL: nothing */
static const char *
take_due(redis_watch *w, due_kind what, const resp_reply *reply)
{
    bool error = reply->type == RESP_ERROR;

    switch (what) {
    case DUE_AUTH:
        return error ? "user or password is refused" : NULL;
    case DUE_INFO:
        return reply->type != RESP_STRING ? "the user may not INFO"
                                          : redis_info_wrong(reply->text, false, w->run_id);
    case DUE_EVENTS:
        w->blind = !tells_of_keys(reply);
        return NULL;
    case DUE_ID:
        if (reply->type != RESP_INTEGER)
            return "the user may not CLIENT ID";
        subscribe(w, reply->integer);
        return NULL;
    case DUE_CHANNEL:
        return error ? "the user may not SUBSCRIBE to the channels of this prefix" : NULL;
    default:
        w->blind = w->blind || error;
        return NULL;
    }
}

static bool
is_called(const resp_reply *reply, coat_span name, size_t count)
{
    return reply->count == count && resp_is(reply, 0, RESP_STRING) &&
           resp_is(reply, 1, RESP_STRING) && coat_span_is(reply->items[0]->text, name);
}

static void
take_reply(redis_watch *w, const resp_reply *reply)
{
    uint64_t connection = w->connection;
    due_kind what;
    const char *wrong;

    if (is_called(reply, COAT_LIT("message"), 3)) {
        if (!redis_report(w, reply->items[1]->text, reply->items[2]))
            lose(w, "a message that is not ours");
        return;
    }
    if (w->due_count == 0) {
        lose(w, "a reply that nobody has asked for");
        return;
    }
    what = (due_kind)w->due[w->due_first];
    w->due_first = (w->due_first + 1) % REDIS_WATCH_DUE;
    w->due_count--;
    if (what >= DUE_OPTIONAL && reply->type != RESP_ERROR &&
        !is_called(reply, COAT_LIT("subscribe"), 3))
        wrong = "it answers strangely";
    else
        wrong = take_due(w, what, reply);
    if (w->connection != connection)
        return;
    if (wrong != NULL) {
        lose(w, wrong);
    } else if (w->due_count == 0 && what == DUE_CHANNEL) {
        w->subscribed = true;
        settle(w);
    }
}

static void
on_bytes(void *ctx, const uint8_t *bytes, size_t len)
{
    redis_watch *w = ctx;
    uint64_t connection = w->connection;
    resp_reply *reply;
    coat_err err = resp_feed(w->reader, bytes, len);

    while (err == COAT_OK && w->connection == connection) {
        err = resp_next(w->reader, &reply);
        if (err != COAT_OK || reply == NULL)
            break;
        take_reply(w, reply);
        resp_reply_free(reply);
    }
    if (err != COAT_OK && w->connection == connection)
        lose(w, "what it sends is not the protocol of Redis");
}

/* ---- connecting ---- */

static void
on_lost(void *ctx, const char *why)
{
    lose(ctx, why);
}

static uv_loop_t *
loop_of(const redis_watch *w)
{
    return ((remote_lane *)w->base.lane)->loop;
}

static void
connect_to(redis_watch *w, const remote_address *address)
{
    remote_owner owner = {w, greet, on_bytes, on_lost};

    if (remote_stream_open(loop_of(w), address, &owner, &w->stream) != COAT_OK)
        lose(w, "no connection can be begun");
}

static void
on_told(void *ctx, const redis_place *place, bool sure, const char *why)
{
    redis_watch *w = ctx;
    remote_address address;

    (void)sure;
    w->ask = NULL;
    if (place == NULL) {
        lose(w, why);
        return;
    }
    w->place = *place;
    address = redis_sentinel_address(&w->store->sentinels, &w->place);
    connect_to(w, &address);
}

static void
begin(redis_watch *w)
{
    redis_store *store = w->store;

    w->blind = false;
    atomic_store(&w->told_to_lose, false);
    w->reader = resp_reader_new();
    if (w->reader == NULL) {
        lose(w, "out of memory");
        return;
    }
    (void)uv_timer_start(&w->timer, on_timer, REMOTE_CONNECT_MS, 0);
    if (store->sentinels.count == 0)
        connect_to(w, &store->address);
    else if (redis_ask_begin(loop_of(w), &store->sentinels, on_told, w, &w->ask) != COAT_OK)
        lose(w, "no sentinel can be asked");
}

/** Due: to begin, to be subscribed, or to look whether the others have come. */
static void
on_timer(uv_timer_t *timer)
{
    redis_watch *w = timer->data;

    if (w->closing)
        return;
    if (w->stream == NULL && w->ask == NULL)
        begin(w);
    else if (w->subscribed)
        settle(w);
    else
        lose(w, "no answer");
}

static void
on_close(uv_handle_t *handle)
{
    redis_watch *w = handle->data;

    if (--w->handles == 0)
        free(w);
}

coat_err
redis_watch_open(coat_lane *lane, const coat_watch_sink *sink, coat_watch **out)
{
    remote_lane *remote = (remote_lane *)lane;
    redis_watch *w = calloc(1, sizeof *w);

    if (w == NULL)
        return COAT_NO_MEMORY;
    if (remote->watched) {
        free(w);
        return COAT_EXISTS;
    }
    w->base.lane = lane;
    w->sink = *sink;
    w->store = (redis_store *)lane->store;
    if (redis_sentry_open(remote->loop, w->store, &w->sentry) != COAT_OK) {
        free(w);
        return COAT_NO_MEMORY;
    }
    if (uv_async_init(remote->loop, &w->async, on_async) != 0) {
        redis_sentry_close(w->sentry);
        free(w);
        return COAT_NO_MEMORY;
    }
    (void)uv_timer_init(remote->loop, &w->timer);
    w->handles = 2;
    w->timer.data = w;
    w->async.data = w;
    uv_unref((uv_handle_t *)&w->timer);
    uv_unref((uv_handle_t *)&w->async);
    remote->watched = true;
    redis_watch_enter(w);
    (void)uv_timer_start(&w->timer, on_timer, 0, 0);
    *out = &w->base;
    return COAT_OK;
}

void
redis_watch_close(coat_watch *watch)
{
    redis_watch *w = (redis_watch *)watch;

    w->closing = true;
    ((remote_lane *)w->base.lane)->watched = false;
    redis_watch_exit(w);
    redis_sentry_close(w->sentry);
    drop(w);
    uv_close((uv_handle_t *)&w->timer, on_close);
    uv_close((uv_handle_t *)&w->async, on_close);
}
