/* SPDX-License-Identifier: Apache-2.0 */
/**
 * A watch: a connection of its own that subscribes to what the scripts publish. A script
 * publishes before it ends, Redis runs one at a time, and a connection's messages stay in
 * order: so order and completeness hold as long as the connection lives. It is greeted (AUTH,
 * INFO, CLIENT ID), then it subscribes; READY follows when all of that is acknowledged and the
 * store's other connections are to the same server.
 *
 * In a cluster each node has a watch of its own (cluster_watch.c).
 */

#include "store/redis/redis.h"

#include <stdio.h>
#include <stdlib.h>

enum { WATCH_DUE_MAX = 8 };

typedef enum due_kind {
    DUE_AUTH,
    DUE_INFO,
    DUE_EVENTS,
    DUE_NODE,
    DUE_ID,
    DUE_TRACKING, /* from here on not needed: without, less is noticed */
    DUE_OPTIONAL,
    DUE_CHANNEL,
} due_kind;

typedef struct redis_watch {
    remote_watch base;
    redis_sentry *sentry;
    redis_ask *ask; /* before there is a stream */
    redis_place place;
    remote_stream *stream;
    resp_reader *reader;
    remote_buffer out;
    uint64_t connection; /* how many there were before */
    uint8_t due[WATCH_DUE_MAX];
    size_t due_first, due_count;
    char node[41]; /* of a cluster; else "" */
    bool blind;    /* keys that others delete go unnoticed */
} redis_watch;

static redis_store *
store_of(const redis_watch *w)
{
    return (redis_store *)w->base.store;
}

/* ---- commands ---- */

static void
say(redis_watch *w, due_kind what, size_t count, const char *const *words)
{
    resp_begin(&w->out, count);
    for (size_t i = 0; i < count; i++)
        resp_arg_str(&w->out, words[i]);
    if (w->due_count == WATCH_DUE_MAX)
        w->out.failed = true;
    else
        w->due[(w->due_first + w->due_count++) % WATCH_DUE_MAX] = (uint8_t)what;
}

#define SAY(w, what, ...)                                                                      \
    say(w, what, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *),            \
        (const char *const[]){__VA_ARGS__})

static void
greet(void *ctx)
{
    redis_watch *w = ctx;
    const redis_store *store = store_of(w);
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
    if (store->cluster != NULL)
        SAY(w, DUE_NODE, "CLUSTER", "MYID");
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
    const redis_store *store = store_of(w);
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
    redis_channel(store, NULL, w->node, channel);
    SAY(w, DUE_CHANNEL, "SUBSCRIBE", channel);
    redis_channel(store, &w->base.sink.instance, w->node, channel);
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

/** @return what is wrong; NULL: nothing */
static const char *
take_due(redis_watch *w, due_kind what, const resp_reply *reply)
{
    bool error = reply->type == RESP_ERROR;

    switch (what) {
    case DUE_AUTH:
        return error ? "user or password is refused" : NULL;
    case DUE_INFO:
        return reply->type != RESP_STRING
                   ? "the user may not INFO"
                   : redis_info_wrong(reply->text, store_of(w)->cluster != NULL,
                                      w->base.server);
    case DUE_EVENTS:
        w->blind = !tells_of_keys(reply);
        return NULL;
    case DUE_NODE:
        if (reply->type != RESP_STRING || reply->text.len != sizeof w->node - 1)
            return "the user may not CLUSTER MYID";
        memcpy(w->node, reply->text.ptr, sizeof w->node - 1);
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
        if (!redis_report(&w->base, reply->items[1]->text, reply->items[2]))
            remote_watch_lose(&w->base, "a message that is not ours");
        return;
    }
    if (w->due_count == 0) {
        remote_watch_lose(&w->base, "a reply that nobody has asked for");
        return;
    }
    what = (due_kind)w->due[w->due_first];
    w->due_first = (w->due_first + 1) % WATCH_DUE_MAX;
    w->due_count--;
    if (what >= DUE_OPTIONAL && reply->type != RESP_ERROR &&
        !is_called(reply, COAT_LIT("subscribe"), 3))
        wrong = "it answers strangely";
    else
        wrong = take_due(w, what, reply);
    if (w->connection != connection)
        return;
    if (wrong != NULL) {
        remote_watch_lose(&w->base, wrong);
    } else if (w->due_count == 0 && what == DUE_CHANNEL) {
        remote_watch_subscribed(&w->base);
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
        remote_watch_lose(&w->base, "what it sends is not the protocol of Redis");
}

/* ---- connecting ---- */

static void
on_lost(void *ctx, const char *why)
{
    remote_watch_lose(ctx, why);
}

static uv_loop_t *
loop_of(const redis_watch *w)
{
    return ((remote_lane *)w->base.base.lane)->loop;
}

static void
connect_to(redis_watch *w, const remote_address *address)
{
    remote_owner owner = {w, greet, on_bytes, on_lost};

    if (remote_stream_open(loop_of(w), address, &owner, &w->stream) != COAT_OK)
        remote_watch_lose(&w->base, "no connection can be begun");
}

static void
on_told(void *ctx, const redis_place *place, bool sure, const char *why)
{
    redis_watch *w = ctx;
    remote_address address;

    (void)sure;
    w->ask = NULL;
    if (place == NULL) {
        remote_watch_lose(&w->base, why);
        return;
    }
    w->place = *place;
    address = redis_sentinel_address(&store_of(w)->sentinels, &w->place);
    connect_to(w, &address);
}

/* ---- for remote/watch.c ---- */

static void
start(remote_watch *base)
{
    redis_watch *w = (redis_watch *)base;
    redis_store *store = store_of(w);

    w->blind = false;
    w->reader = resp_reader_new();
    if (w->reader == NULL)
        remote_watch_lose(base, "out of memory");
    else if (store->sentinels.count == 0)
        connect_to(w, &store->address);
    else if (redis_ask_begin(loop_of(w), &store->sentinels, on_told, w, &w->ask) != COAT_OK)
        remote_watch_lose(base, "no sentinel can be asked");
}

static void
stop(remote_watch *base)
{
    redis_watch *w = (redis_watch *)base;

    w->connection++;
    redis_ask_drop(w->ask);
    w->ask = NULL;
    remote_stream_drop(w->stream);
    w->stream = NULL;
    resp_reader_free(w->reader);
    w->reader = NULL;
    remote_buffer_free(&w->out);
    w->due_first = w->due_count = 0;
}

static void
ready(remote_watch *base)
{
    static const char blind[] =
        "notify-keyspace-events without Egxe: what others delete or evict goes unnoticed";
    const redis_watch *w = (const redis_watch *)base;

    store_of(w)->serving_at = w->place;
    if (w->blind)
        memcpy(base->all->trouble, blind, sizeof blind);
}

coat_err
redis_watch_open(coat_lane *lane, const coat_watch_sink *sink, coat_watch **out)
{
    static const struct remote_watch_kind kind = {.start = start, .stop = stop, .ready = ready};
    redis_store *store = (redis_store *)lane->store;
    redis_watch *w = calloc(1, sizeof *w);
    coat_err err;

    if (w == NULL)
        return COAT_NO_MEMORY;
    err = redis_sentry_open(((remote_lane *)lane)->loop, store, &w->sentry);
    if (err == COAT_OK)
        err = remote_watch_open(&w->base, lane, sink, &store->watches, &kind);
    if (err != COAT_OK) {
        redis_sentry_close(w->sentry);
        free(w);
        return err;
    }
    *out = &w->base.base;
    return COAT_OK;
}

const char *
redis_watch_node(const coat_watch *watch)
{
    return ((const redis_watch *)watch)->node;
}

void
redis_watch_close(coat_watch *watch)
{
    redis_watch *w = (redis_watch *)watch;

    redis_sentry_close(w->sentry);
    remote_watch_close(&w->base);
}
