/* SPDX-License-Identifier: Apache-2.0 */
/**
 * Asking servers what they hold: "lru_crawler metadump hash", since 1.6.9, walks through the
 * hash table, so that whatever is there from beginning to end is named. ("all" walks through
 * the LRUs and misses what moves meanwhile.) One thread of a server does that and nothing else:
 * it may be busy, and is asked again.
 */

#include "store/memcached/memcached.h"

#include <stdio.h>

enum { PACE_MS = 20 };

typedef enum dump_state {
    DUMP_ENDED,
    DUMP_CONNECTING,
    DUMP_LETS_IN, /* it was told the password */
    DUMP_ASKED,
    DUMP_LISTS, /* it has begun */
    DUMP_WAITS, /* it was busy */
} dump_state;

/** One server's. */
typedef struct dump {
    mc_dumps *all;
    mc_node *node;
    remote_stream *stream;
    mc_reader reader;
    dump_state state;
    uint64_t streams; /* so far: a callback may have ended this one */
    int64_t heard_ms, again_ms;
} dump;

struct mc_dumps {
    mc_store *store;
    uv_loop_t *loop;
    mc_dumps_owner owner;
    uv_timer_t pace;
    bool starting;
    uint32_t left;
    int64_t begun_ms;
    coat_err result;
    dump servers[MC_NODES_MAX];
};

static int64_t
now_ms(const dump *d)
{
    return remote_now_ms(&d->node->remote);
}

static void
end_if_done(mc_dumps *dumps)
{
    if (dumps->left > 0 || dumps->starting)
        return;
    (void)uv_timer_stop(&dumps->pace);
    dumps->owner.done(dumps->owner.ctx, dumps->result);
}

static void
close_dump(dump *d)
{
    d->state = DUMP_ENDED;
    d->streams++;
    remote_stream_drop(d->stream);
    d->stream = NULL;
    mc_reader_fini(&d->reader);
}

/** What one has not said nobody knows: so the first failure ends all of them. */
static void
end_dump(dump *d, coat_err result)
{
    mc_dumps *dumps = d->all;

    close_dump(d);
    dumps->left--;
    if (result != COAT_OK && dumps->result == COAT_OK)
        dumps->result = result;
    for (uint32_t i = 0; dumps->result != COAT_OK && i < dumps->store->node_count; i++)
        if (dumps->servers[i].state != DUMP_ENDED) {
            close_dump(&dumps->servers[i]);
            dumps->left--;
        }
    end_if_done(dumps);
}

/* ---- what is said ---- */

static void
ask(dump *d)
{
    static const char text[] = "lru_crawler metadump hash\r\n";
    remote_buffer out = {0};

    d->state = DUMP_ASKED;
    d->heard_ms = now_ms(d);
    remote_buffer_add(&out, text, sizeof text - 1);
    remote_stream_write(d->stream, &out);
    remote_buffer_free(&out);
}

static void
on_ready(void *ctx)
{
    dump *d = ctx;
    const mc_store *store = d->all->store;
    remote_buffer out = {0};

    d->heard_ms = now_ms(d);
    if (store->password[0] == '\0') {
        ask(d);
        return;
    }
    d->state = DUMP_LETS_IN;
    mc_put_password(store, &out);
    remote_stream_write(d->stream, &out);
    remote_buffer_free(&out);
}

/* ---- what is heard ---- */

/** Why not, and what would be right. */
static void
note_refusal(const dump *d, coat_span line)
{
    static const struct {
        const char *said, *meant;
    } known[] = {
        {"CLIENT_ERROR lru crawler disabled",
         "its LRU crawler is off: start it without -o no_lru_crawler, or tell it "
         "\"lru_crawler enable\""},
        {"ERROR metadump not allowed", "it was started with -X: start it without"},
    };
    mc_node *node = d->node;
    const char *meant = NULL;

    for (size_t i = 0; i < sizeof known / sizeof known[0] && meant == NULL; i++)
        if (coat_span_is(line, coat_span_of(known[i].said)))
            meant = known[i].meant;
    pthread_mutex_lock(&node->remote.mutex);
    if (meant != NULL)
        (void)snprintf(node->unlisted, sizeof node->unlisted, "%s", meant);
    else
        (void)snprintf(node->unlisted, sizeof node->unlisted,
                       "to lru_crawler metadump hash it says: %.*s",
                       line.len < 120 ? (int)line.len : 120, (const char *)line.ptr);
    pthread_mutex_unlock(&node->remote.mutex);
}

static void
note_listed(mc_node *node)
{
    pthread_mutex_lock(&node->remote.mutex);
    node->unlisted[0] = '\0';
    pthread_mutex_unlock(&node->remote.mutex);
}

static void
take_name(dump *d, coat_span name)
{
    d->state = DUMP_LISTS;
    if (!d->all->owner.name(d->all->owner.ctx, name))
        end_dump(d, COAT_TOO_LARGE);
}

/** Is this what it may say now? */
static bool
fits(const dump *d, mc_listing what)
{
    switch (d->state) {
    case DUMP_LETS_IN:
        return what == MC_LISTS_DONE;
    case DUMP_ASKED:
        return true;
    case DUMP_LISTS:
        return what == MC_LISTS_KEY || what == MC_LISTS_END;
    default:
        return false;
    }
}

static void
take_line(dump *d, const mc_listed *line)
{
    if (!fits(d, line->what)) {
        end_dump(d, COAT_STORE_DOWN);
        return;
    }
    switch (line->what) {
    case MC_LISTS_KEY:
        take_name(d, line->name);
        return;
    case MC_LISTS_END:
        note_listed(d->node);
        end_dump(d, COAT_OK);
        return;
    case MC_LISTS_BUSY:
        d->state = DUMP_WAITS;
        d->again_ms = now_ms(d) + MC_DUMP_AGAIN_MS;
        return;
    case MC_LISTS_DONE:
        if (d->state == DUMP_LETS_IN)
            ask(d);
        else
            d->state = DUMP_LISTS; /* later releases may say so first */
        return;
    case MC_LISTS_NEVER:
        note_refusal(d, line->line);
        end_dump(d, COAT_UNSUPPORTED);
        return;
    }
}

static void
on_bytes(void *ctx, const uint8_t *bytes, size_t len)
{
    dump *d = ctx;
    uint64_t stream = d->streams;
    mc_listed line;
    bool whole = true;
    coat_err err = mc_reader_feed(&d->reader, bytes, len);

    d->heard_ms = now_ms(d);
    while (err == COAT_OK && whole && d->streams == stream) {
        err = mc_listed_next(&d->reader, &line, &whole);
        if (err == COAT_OK && whole)
            take_line(d, &line);
    }
    if (err != COAT_OK && d->streams == stream)
        end_dump(d, err == COAT_NO_MEMORY ? COAT_NO_MEMORY : COAT_STORE_DOWN);
}

static void
on_lost(void *ctx, const char *why)
{
    (void)why; /* the server's links say it, too */
    end_dump(ctx, COAT_STORE_DOWN);
}

/* ---- time ---- */

static void
look_after(dump *d, int64_t begun_ms)
{
    int64_t now = now_ms(d);

    if (d->state == DUMP_WAITS && now - begun_ms > MC_DUMP_BUSY_MS)
        end_dump(d, COAT_BUSY);
    else if (now - begun_ms > MC_DUMP_MAX_MS ||
             (d->state != DUMP_WAITS && now - d->heard_ms > MC_DUMP_QUIET_MS))
        end_dump(d, COAT_STORE_DOWN);
    else if (d->state == DUMP_WAITS && now >= d->again_ms)
        ask(d);
}

static void
on_pace(uv_timer_t *pace)
{
    mc_dumps *dumps = pace->data;

    for (uint32_t i = 0; dumps->left > 0 && i < dumps->store->node_count; i++)
        if (dumps->servers[i].state != DUMP_ENDED)
            look_after(&dumps->servers[i], dumps->begun_ms);
}

/* ---- for SCAN ---- */

coat_err
mc_dumps_new(mc_store *store, uv_loop_t *loop, const mc_dumps_owner *owner, mc_dumps **out)
{
    mc_dumps *dumps = calloc(1, sizeof *dumps);

    if (dumps == NULL)
        return COAT_NO_MEMORY;
    dumps->store = store;
    dumps->loop = loop;
    dumps->owner = *owner;
    (void)uv_timer_init(loop, &dumps->pace);
    dumps->pace.data = dumps;
    for (uint32_t i = 0; i < store->node_count; i++) {
        dumps->servers[i].all = dumps;
        dumps->servers[i].node = store->nodes[i];
    }
    *out = dumps;
    return COAT_OK;
}

static coat_err
connect_dump(dump *d)
{
    const remote_owner owner = {d, on_ready, on_bytes, on_lost};

    d->state = DUMP_CONNECTING;
    d->heard_ms = now_ms(d);
    return remote_stream_open(d->all->loop, &d->node->address, &owner, &d->stream);
}

void
mc_dumps_start(mc_dumps *dumps)
{
    dumps->result = COAT_OK;
    dumps->begun_ms = now_ms(&dumps->servers[0]);
    dumps->left = dumps->store->node_count;
    (void)uv_timer_start(&dumps->pace, on_pace, PACE_MS, PACE_MS);
    for (uint32_t i = 0; i < dumps->store->node_count; i++)
        dumps->servers[i].state = DUMP_CONNECTING;
    dumps->starting = true;
    for (uint32_t i = 0; i < dumps->store->node_count && dumps->result == COAT_OK; i++)
        if (connect_dump(&dumps->servers[i]) != COAT_OK)
            end_dump(&dumps->servers[i], COAT_STORE_DOWN);
    dumps->starting = false;
    end_if_done(dumps);
}

void
mc_dumps_stop(mc_dumps *dumps)
{
    (void)uv_timer_stop(&dumps->pace);
    for (uint32_t i = 0; i < dumps->store->node_count; i++)
        if (dumps->servers[i].state != DUMP_ENDED)
            close_dump(&dumps->servers[i]);
    dumps->left = 0;
    uv_close((uv_handle_t *)&dumps->pace, NULL);
}

void
mc_dumps_free(mc_dumps *dumps)
{
    free(dumps);
}
