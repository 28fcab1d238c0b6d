/* SPDX-License-Identifier: Apache-2.0 */
/**
 * A connection. Replies come in the order of commands; one that does not fit what is due, or
 * comes when nothing is, drops the connection with all that is in flight on it.
 */

#include "store/redis/redis.h"

#include <stdio.h>

coat_err
redis_expect(redis_link *link, coat_store_req *req, uint8_t what, uint8_t script)
{
    if (link->due_count == link->due_cap) {
        redis_due *grown =
            remote_ring_grow(link->due, sizeof *grown, &link->due_first, &link->due_cap);

        if (grown == NULL)
            return COAT_NO_MEMORY;
        link->due = grown;
    }
    link->due[(link->due_first + link->due_count++) % link->due_cap] =
        (redis_due){req, what, script, link->number};
    return COAT_OK;
}

void
redis_fail(redis_link *link, const char *why)
{
    redis_store *store = redis_store_of(link);
    char text[sizeof store->trouble];

    if (link->place.port != 0)
        (void)snprintf(text, sizeof text, "%.80s:%u: %s", link->place.host, link->place.port,
                       why);
    else
        (void)snprintf(text, sizeof text, "%s", why);
    pthread_mutex_lock(&store->remote.mutex);
    remote_line(store->trouble, sizeof store->trouble, text);
    pthread_mutex_unlock(&store->remote.mutex);
    remote_link_failed(&link->base);
}

/* ---- replies ---- */

static bool
begins(coat_span text, const char *with)
{
    return text.len >= strlen(with) && memcmp(text.ptr, with, strlen(with)) == 0;
}

/** Before version 7 an error inside a script is wrapped: "ERR Error running script ...: -OOM".
 */
static coat_span
unwrap(coat_span text)
{
    if (!begins(text, "ERR Error running script"))
        return text;
    for (size_t i = 0; i + 3 < text.len; i++)
        if (memcmp(text.ptr + i, ": -", 3) == 0)
            return (coat_span){text.ptr + i + 3, text.len - i - 3};
    return text;
}

static bool
is_one_of(coat_span text, const char *const *codes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (begins(text, codes[i]))
            return true;
    return false;
}

/** Errors after which this server, or this connection to it, is of no use. */
static bool
is_unable(coat_span text)
{
    static const char *const codes[] = {"READONLY",    "LOADING",   "MASTERDOWN",
                                        "NOAUTH",      "WRONGPASS", "MOVED ",
                                        "CLUSTERDOWN", "ASK ",      "TRYAGAIN"};

    return is_one_of(text, codes, sizeof codes / sizeof codes[0]);
}

/** Errors that refuse this request; others may succeed. */
static bool
is_refused(coat_span text)
{
    static const char *const codes[] = {"MISCONF", "NOPERM", "BUSY", "NOREPLICAS"};

    return is_one_of(text, codes, sizeof codes / sizeof codes[0]);
}

static void
answer_error(redis_link *link, const redis_due *due, coat_span text)
{
    redis_store *store = redis_store_of(link);
    coat_store_req *req = due->req;
    char why[160];

    text = unwrap(text);
    /* The script is not there, so nothing has happened: once more, with its body. */
    if (begins(text, "NOSCRIPT") && due->script != SCRIPT_COUNT) {
        if (redis_request(link, req, true) == COAT_OK)
            remote_link_queued(&link->base);
        else
            redis_fail(link, "out of memory");
        return;
    }
    if (due->what == DUE_ANSWER && redis_cluster_refused(link, req, text))
        return;
    (void)snprintf(why, sizeof why, "the server says: %.*s",
                   text.len < 120 ? (int)text.len : 120, (const char *)text.ptr);
    if (is_unable(text))
        remote_server_leave(&store->remote, &store->watches, link->era);
    if (is_unable(text) || due->what == DUE_IGNORE) {
        redis_fail(link, why);
        return;
    }
    if (begins(text, "OOM")) {
        atomic_store(&store->full, true);
        req->result = COAT_STORE_FULL;
    } else if (is_refused(text)) {
        remote_note_bad(&store->remote);
        req->result = COAT_STORE_DOWN;
    } else {
        /* It was understood and not done, or done in part: nobody can tell. */
        req->result = COAT_IO;
    }
    remote_answer(req);
}

/** A script's answer ends with the number of its request: cut it off. */
static bool
cut_number(const redis_due *due, resp_reply *reply)
{
    uint64_t number;

    if (due->script == SCRIPT_COUNT)
        return true;
    if (reply->count == 0 || !resp_number(reply->items[reply->count - 1], &number) ||
        number != due->number)
        return false;
    resp_reply_free(reply->items[--reply->count]);
    return true;
}

/** It is used once no watch is ready on another server, and this one has heard all that was
 * ended. */
static void
look(remote_link *base)
{
    redis_link *link = (redis_link *)base;

    if (!link->greeted || link->due_count > 0 || base->state != REMOTE_CONNECTING)
        return;
    if (redis_admit(link)) {
        remote_link_ready(base);
    } else if (!redis_journal_replay(link)) {
        redis_fail(link, "out of memory");
    } else if (link->due_count == 0 && redis_admit(link)) { /* nothing of it was for it */
        remote_link_ready(base);
    }
}

static void
take_reply(redis_link *link, resp_reply *reply)
{
    redis_due due;

    if (link->due_count == 0) {
        redis_fail(link, "a reply that nobody has asked for");
        return;
    }
    due = link->due[link->due_first];
    link->due_first = (link->due_first + 1) % link->due_cap;
    link->due_count--;
    if (due.req == NULL) {
        if (redis_hello_reply(link, &due, reply) && link->due_count == 0) {
            link->greeted = true;
            look(&link->base);
        }
    } else if (!redis_fit(&link->base)) {
        redis_fail(link, "another server serves now");
    } else if (reply->type == RESP_ERROR) {
        answer_error(link, &due, reply->text);
    } else if (due.what == DUE_ANSWER) {
        if (cut_number(&due, reply))
            redis_answer(link, due.req, reply);
        else
            redis_fail(link, "an answer to another request");
    }
}

void
redis_bytes(void *ctx, const uint8_t *bytes, size_t len)
{
    redis_link *link = ctx;
    uint64_t connection = link->connection;
    resp_reply *reply;
    coat_err err = resp_feed(link->reader, bytes, len);

    /* A reply may drop the link, and a callback may have it begin anew. */
    while (err == COAT_OK && link->connection == connection) {
        err = resp_next(link->reader, &reply);
        if (err != COAT_OK || reply == NULL)
            break;
        take_reply(link, reply);
        resp_reply_free(reply);
    }
    if (err != COAT_OK && link->connection == connection)
        redis_fail(link, "what it sends is not the protocol of Redis");
}

static void
on_ready(void *ctx)
{
    redis_hello(ctx);
}

static void
on_lost(void *ctx, const char *why)
{
    redis_fail(ctx, why);
}

/* ---- for the lane ---- */

static void
connect_to(redis_link *link, const remote_address *address)
{
    remote_owner owner = {link, on_ready, redis_bytes, on_lost};

    if (remote_stream_open(link->base.lane->loop, address, &owner, &link->stream) != COAT_OK)
        redis_fail(link, "no connection can be begun");
}

static void
on_told(void *ctx, const redis_place *place, bool sure, const char *why)
{
    redis_link *link = ctx;
    remote_address address;

    (void)sure;
    link->ask = NULL;
    if (place == NULL) {
        redis_fail(link, why);
        return;
    }
    link->place = *place;
    address = redis_sentinel_address(&redis_store_of(link)->sentinels, &link->place);
    connect_to(link, &address);
}

static void
start(remote_link *base)
{
    redis_link *link = (redis_link *)base;
    redis_store *store = redis_store_of(link);

    link->greeted = false;
    link->told = link->told_global = 0;
    link->client = 0;
    link->place.port = 0;
    /* So that what an earlier connection was answered fits nothing of this one. */
    link->number = remote_random(&store->remote);
    link->reader = resp_reader_new();
    if (link->reader == NULL) {
        redis_fail(link, "out of memory");
        return;
    }
    if (store->sentinels.count == 0)
        connect_to(link, &store->address);
    else if (redis_ask_begin(base->lane->loop, &store->sentinels, on_told, link, &link->ask) !=
             COAT_OK)
        redis_fail(link, "no sentinel can be asked");
}

static void
flush(remote_link *base)
{
    redis_link *link = (redis_link *)base;

    if (link->out.failed)
        redis_fail(link, "out of memory");
    else if (link->out.len > 0)
        remote_stream_write(link->stream, &link->out);
}

static void
stop(remote_link *base)
{
    redis_link *link = (redis_link *)base;

    redis_doubt_note(link);
    link->connection++;
    redis_ask_drop(link->ask);
    link->ask = NULL;
    remote_stream_drop(link->stream);
    link->stream = NULL;
    resp_reader_free(link->reader);
    link->reader = NULL;
    remote_buffer_free(&link->out);
    free(link->due);
    link->due = NULL;
    link->due_first = link->due_count = link->due_cap = 0;
}

const struct remote_kind redis_kind = {
    .link_bytes = sizeof(redis_link),
    .start = start,
    .send = redis_send,
    .flush = flush,
    .stop = stop,
    .fit = redis_fit,
    .look = look,
};
