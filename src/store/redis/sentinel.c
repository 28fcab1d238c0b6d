/* SPDX-License-Identifier: Apache-2.0 */
/**
 * Asking sentinels for the primary. All are asked at once, each on a connection for one
 * question: one that is dead or slow then costs nothing, and one that is behind or lies is
 * outvoted.
 */

#include "store/redis/sentinel.h"

#include <stdio.h>
#include <stdlib.h>

typedef enum voice_state {
    VOICE_SILENT, /* so far */
    VOICE_SAID,
    VOICE_GONE,
} voice_state;

typedef struct voice {
    redis_ask *ask;
    remote_stream *stream;
    resp_reader *reader;
    size_t heard; /* bytes */
    bool greeted; /* what is due next is the answer */
    voice_state state;
    redis_place place;
} voice;

struct redis_ask {
    const redis_sentinels *sentinels;
    redis_told told;
    void *ctx;
    uv_timer_t timer;
    bool over;
    char why[SENTINEL_HOST_MAX + 120]; /* what was last wrong with one of them */
    voice voices[SENTINELS_MAX];
};

/* ---- the reply ---- */

static bool
take_host(coat_span text, redis_place *out)
{
    if (text.len == 0 || text.len > SENTINEL_HOST_MAX)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

        if (!letter && !(c >= '0' && c <= '9') && c != '.' && c != '-' && c != '_' && c != ':')
            return false;
    }
    memcpy(out->host, text.ptr, text.len);
    out->host[text.len] = '\0';
    return true;
}

const char *
redis_sentinel_place(const resp_reply *reply, redis_place *out)
{
    redis_place place = {.port = 0};
    uint64_t port;

    if (reply->type == RESP_NIL)
        return "does not know a primary of this name";
    if (reply->type == RESP_ERROR)
        return "wants a password, or the user may not ask for the primary";
    if (reply->type != RESP_ARRAY || reply->count != 2 || !resp_is(reply, 0, RESP_STRING) ||
        !take_host(reply->items[0]->text, &place) || !resp_number(reply->items[1], &port) ||
        port == 0 || port > UINT16_MAX)
        return "names no place that a server could be at";
    place.port = (uint16_t)port;
    *out = place;
    return NULL;
}

remote_address
redis_sentinel_address(const redis_sentinels *sentinels, const redis_place *place)
{
    const char *name = sentinels->server_name;

    return (remote_address){.host = place->host,
                            .port = place->port,
                            .tls = sentinels->tls,
                            .tls_name = name != NULL ? name : place->host};
}

/* ---- deciding ---- */

static void
hush(voice *v, voice_state state)
{
    remote_stream_drop(v->stream);
    v->stream = NULL;
    resp_reader_free(v->reader);
    v->reader = NULL;
    v->state = state;
}

static void
on_close(uv_handle_t *handle)
{
    free(handle->data);
}

static void
finish(redis_ask *ask)
{
    ask->over = true;
    for (size_t i = 0; i < ask->sentinels->count; i++)
        if (ask->voices[i].state == VOICE_SILENT)
            hush(&ask->voices[i], VOICE_GONE);
    uv_close((uv_handle_t *)&ask->timer, on_close);
}

void
redis_ask_drop(redis_ask *ask)
{
    if (ask != NULL && !ask->over)
        finish(ask);
}

static void
tell(redis_ask *ask, const redis_place *place, bool sure)
{
    if (place == NULL && ask->why[0] == '\0')
        (void)snprintf(ask->why, sizeof ask->why, "no sentinel answers");
    finish(ask);
    ask->told(ask->ctx, place, sure, ask->why); /* it is freed later, by the loop */
}

static size_t
votes_for(const redis_ask *ask, const redis_place *place)
{
    size_t votes = 0;

    for (size_t i = 0; i < ask->sentinels->count; i++)
        votes += ask->voices[i].state == VOICE_SAID &&
                 redis_place_equal(&ask->voices[i].place, place);
    return votes;
}

/** Is there enough to go by? If not, `last` says that there will not be any more. */
static void
decide(redis_ask *ask, bool last)
{
    size_t count = ask->sentinels->count, silent = 0, most = 0;
    const redis_place *place = NULL;
    bool contradicted = false;

    for (size_t i = 0; i < count; i++) {
        const voice *v = &ask->voices[i];
        size_t votes = v->state == VOICE_SAID ? votes_for(ask, &v->place) : 0;

        silent += v->state == VOICE_SILENT;
        if (votes > most) {
            most = votes;
            place = &v->place;
            contradicted = false;
        } else if (votes > 0 && votes == most && !redis_place_equal(place, &v->place)) {
            contradicted = true;
        }
    }
    if (most > count / 2) {
        tell(ask, place, true);
        return;
    }
    if (silent > 0 && !last)
        return;
    if (contradicted)
        (void)snprintf(ask->why, sizeof ask->why, "the sentinels contradict one another");
    tell(ask, contradicted ? NULL : place, false);
}

static void
on_timer(uv_timer_t *timer)
{
    decide(timer->data, true);
}

/* ---- one sentinel ---- */

static void
complain(voice *v, const char *why)
{
    redis_ask *ask = v->ask;
    const redis_place *at = &ask->sentinels->at[v - ask->voices];

    (void)snprintf(ask->why, sizeof ask->why, "sentinel %s:%u: %.100s", at->host, at->port,
                   why);
    hush(v, VOICE_GONE);
}

static void
on_lost(void *ctx, const char *why)
{
    voice *v = ctx;

    complain(v, why);
    decide(v->ask, false);
}

static void
on_ready(void *ctx)
{
    voice *v = ctx;
    const redis_sentinels *s = v->ask->sentinels;
    remote_buffer out = {.secret = true};

    v->greeted = s->password[0] == '\0';
    if (!v->greeted) {
        resp_begin(&out, s->user != NULL ? 3 : 2);
        resp_arg_str(&out, "AUTH");
        if (s->user != NULL)
            resp_arg_str(&out, s->user);
        resp_arg_str(&out, s->password);
    }
    resp_begin(&out, 3);
    resp_arg_str(&out, "SENTINEL");
    resp_arg_str(&out, "GET-MASTER-ADDR-BY-NAME");
    resp_arg_str(&out, s->name);
    remote_stream_write(v->stream, &out);
}

/** Without TLS nothing is said to another machine, whoever names it. */
static const char *
forbidden(const redis_sentinels *s, const redis_place *place)
{
    if (s->tls == NULL && !s->plaintext && !remote_host_is_local(place->host))
        return "names another machine: that needs rediss+sentinel: or plaintext=allowed";
    return NULL;
}

static void
take_reply(voice *v, const resp_reply *reply)
{
    const char *why;

    if (!v->greeted) {
        v->greeted = reply->type == RESP_STATUS;
        if (!v->greeted)
            complain(v, "user or password is refused");
        return;
    }
    why = redis_sentinel_place(reply, &v->place);
    if (why == NULL)
        why = forbidden(v->ask->sentinels, &v->place);
    if (why != NULL) {
        complain(v, why);
        return;
    }
    hush(v, VOICE_SAID);
    if (uv_timer_get_due_in(&v->ask->timer) > SENTINEL_GRACE_MS)
        (void)uv_timer_start(&v->ask->timer, on_timer, SENTINEL_GRACE_MS, 0);
}

static void
on_bytes(void *ctx, const uint8_t *bytes, size_t len)
{
    voice *v = ctx;
    coat_err err = COAT_TOO_LARGE;
    resp_reply *reply;

    v->heard += len;
    if (v->heard <= SENTINEL_REPLY_MAX)
        err = resp_feed(v->reader, bytes, len);
    while (err == COAT_OK && v->state == VOICE_SILENT) {
        err = resp_next(v->reader, &reply);
        if (err != COAT_OK || reply == NULL)
            break;
        take_reply(v, reply);
        resp_reply_free(reply);
    }
    if (err != COAT_OK)
        complain(v, "what it sends is not the answer of a sentinel");
    if (v->state != VOICE_SILENT)
        decide(v->ask, false);
}

/* ---- all of them ---- */

static bool
call(redis_ask *ask, uv_loop_t *loop, size_t i)
{
    remote_address address = redis_sentinel_address(ask->sentinels, &ask->sentinels->at[i]);
    voice *v = &ask->voices[i];
    remote_owner owner = {v, on_ready, on_bytes, on_lost};

    v->ask = ask;
    v->reader = resp_reader_new();
    if (v->reader != NULL && remote_stream_open(loop, &address, &owner, &v->stream) == COAT_OK)
        return true;
    complain(v, "no connection can be begun");
    return false;
}

coat_err
redis_ask_begin(uv_loop_t *loop, const redis_sentinels *sentinels, redis_told told, void *ctx,
                redis_ask **out)
{
    redis_ask *ask = calloc(1, sizeof *ask);
    size_t called = 0;

    if (ask == NULL)
        return COAT_NO_MEMORY;
    ask->sentinels = sentinels;
    ask->told = told;
    ask->ctx = ctx;
    (void)uv_timer_init(loop, &ask->timer);
    ask->timer.data = ask;
    uv_unref((uv_handle_t *)&ask->timer);
    for (size_t i = 0; i < sentinels->count; i++)
        called += call(ask, loop, i);
    if (called == 0) {
        finish(ask);
        return COAT_STORE_DOWN;
    }
    (void)uv_timer_start(&ask->timer, on_timer, SENTINEL_ASK_MS, 0);
    *out = ask;
    return COAT_OK;
}
