/* SPDX-License-Identifier: Apache-2.0 */
/**
 * The connection of a watch. It asks who the server is and what the channel's name, then it
 * listens; READY follows when the store's other connections are to the same server. Nothing is
 * ever asked on it afterwards, so it is never in a transaction, which would hold up the
 * server's queue of notifications.
 *
 * When it has no memory for a notification, libpq forgets it and says nothing. So what it hands
 * out is counted, and so is what has come: libpq's trace (PQtrace) has a line for each message.
 */

#include "store/postgresql/postgresql.h"

#include "core/out.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct pg_watch {
    remote_watch base;
    pg_socket socket;
    uint64_t connection; /* how many there were before */
    int asked;
    bool answered; /* something has come for it */
    FILE *trace;   /* from LISTEN on */
    char line[32]; /* the beginning of the one that is being traced */
    size_t line_len;
    uint64_t came, taken;                                      /* notifications */
    char channel[PG_CHANNEL_MAX + 1], own[PG_CHANNEL_MAX + 1]; /* to all; to this instance */
} pg_watch;

enum { ASK_SERVER, ASK_FORMAT, ASK_CHANNEL, ASK_LISTEN };

/* All triggers of schema/2.sql, and none of them switched off. */
static const char ask_channel[] =
    "SELECT w.channel, (SELECT count(*) FROM pg_trigger t WHERE t.tgenabled = 'A' AND t.tgname"
    " LIKE 'tell\\_%' AND t.tgrelid IN ('{s}.sessions'::regclass, '{s}.owners'::regclass,"
    " '{s}.state'::regclass)) >= 7 FROM {s}.watching w WHERE w.one";

static void
flush(void *owner)
{
    pg_watch *w = owner;
    int left = PQflush(w->socket.conn);

    if (left < 0)
        remote_watch_lose(&w->base, PQerrorMessage(w->socket.conn));
    else
        pg_socket_watch(&w->socket, left > 0);
}

static void
ask(pg_watch *w, int what, const char *sql)
{
    char *text = pg_with_schema(sql, w->socket.store->schema);
    bool sent;

    w->asked = what;
    w->answered = false;
    /* Several statements go by the simple protocol only. */
    sent = text != NULL &&
           (what == ASK_LISTEN
                ? PQsendQuery(w->socket.conn, text)
                : PQsendQueryParams(w->socket.conn, text, 0, NULL, NULL, NULL, NULL, 1)) == 1;
    free(text);
    if (sent)
        flush(w);
    else
        remote_watch_lose(&w->base, PQerrorMessage(w->socket.conn));
}

/* ---- what has come ---- */

/** Lines of "B", the length, the kind of message and what is in it, between tabs. */
static ssize_t
on_trace(void *ctx, const char *bytes, size_t len)
{
    pg_watch *w = ctx;

    for (size_t i = 0; i < len; i++) {
        if (bytes[i] != '\n') {
            if (w->line_len < sizeof w->line - 1)
                w->line[w->line_len++] = bytes[i];
            continue;
        }
        w->line[w->line_len] = '\0';
        w->came += w->line[0] == 'B' && strstr(w->line, "\tNotificationRes") != NULL;
        w->line_len = 0;
    }
    return (ssize_t)len;
}

static bool
trace(pg_watch *w)
{
    w->came = w->taken = 0;
    w->line_len = 0;
    w->trace = fopencookie(w, "w", (cookie_io_functions_t){.write = on_trace});
    if (w->trace == NULL)
        return false;
    PQtrace(w->socket.conn, w->trace);
    PQsetTraceFlags(w->socket.conn, PQTRACE_SUPPRESS_TIMESTAMPS);
    return true;
}

static void
untrace(pg_watch *w)
{
    if (w->trace == NULL)
        return;
    if (w->socket.conn != NULL)
        PQuntrace(w->socket.conn);
    (void)fclose(w->trace);
    w->trace = NULL;
}

static void
on_connected(void *owner)
{
    ask(owner, ASK_SERVER, pg_ask_server);
}

/* ---- answers ---- */

/** It goes into SQL as it is. */
static bool
take_channel(pg_watch *w, const PGresult *result)
{
    coat_span name = pg_bytes(result, 0, 0);
    coat_out own = coat_out_init(w->own, sizeof w->own);

    if (PQresultStatus(result) != PGRES_TUPLES_OK || !pg_is_row(result, 0, 2) ||
        name.len == 0 || name.len >= sizeof w->channel)
        return false;
    memset(w->channel, 0, sizeof w->channel);
    memcpy(w->channel, name.ptr, name.len);
    if (strspn(w->channel, "abcdefghijklmnopqrstuvwxyz0123456789_") != name.len)
        return false;
    coat_out_str(&own, w->channel);
    coat_out_str(&own, "_");
    coat_out_hex(&own, w->base.sink.instance.bytes, COAT_HANDLE_BYTES);
    return coat_out_end(&own);
}

/** @return what is wrong; NULL: nothing */
static const char *
take_server(pg_watch *w, const PGresult *result)
{
    pg_server_facts facts;
    const char *wrong = pg_read_server(result, &facts);

    if (wrong != NULL)
        return wrong;
    memcpy(w->base.server, facts.identity, sizeof w->base.server);
    return facts.has_schema ? NULL : "the database has no schema of ours";
}

static const char *
take_format(const PGresult *result)
{
    int32_t format, oldest;

    if (PQresultStatus(result) != PGRES_TUPLES_OK)
        return PQresultErrorMessage(result);
    if (!pg_read_format(result, &format, &oldest))
        return "an answer that does not fit what was asked";
    return format < PG_FORMAT_WATCH || oldest > PG_FORMAT ? "the schema is of another version"
                                                          : NULL;
}

static const char *
take_result(pg_watch *w, const PGresult *result)
{
    bool told;

    switch (w->asked) {
    case ASK_SERVER:
        return take_server(w, result);
    case ASK_FORMAT:
        return take_format(result);
    case ASK_CHANNEL:
        if (PQresultStatus(result) == PGRES_FATAL_ERROR)
            return PQresultErrorMessage(result);
        if (!take_channel(w, result) || !pg_bool(result, 0, 1, &told))
            return "the table \"watching\" is not as it should be";
        return told ? NULL : "triggers of the schema are missing, or switched off";
    default:
        return PQresultStatus(result) == PGRES_COMMAND_OK ? NULL : PQresultErrorMessage(result);
    }
}

/** An answer is complete. */
static void
go_on(pg_watch *w)
{
    char listen[sizeof w->channel + sizeof w->own + 20];

    switch (w->asked) {
    case ASK_SERVER:
        ask(w, ASK_FORMAT, pg_ask_format);
        break;
    case ASK_FORMAT:
        ask(w, ASK_CHANNEL, ask_channel);
        break;
    case ASK_CHANNEL:
        (void)snprintf(listen, sizeof listen, "LISTEN %s; LISTEN %s", w->channel, w->own);
        if (trace(w))
            ask(w, ASK_LISTEN, listen);
        else
            remote_watch_lose(&w->base, "out of memory");
        break;
    default:
        remote_watch_subscribed(&w->base);
        break;
    }
}

/** @return false: lost */
static bool
take_results(pg_watch *w)
{
    uint64_t connection = w->connection;

    while (w->connection == connection && !w->base.subscribed &&
           PQisBusy(w->socket.conn) == 0) {
        PGresult *result = PQgetResult(w->socket.conn);
        const char *wrong = result != NULL ? take_result(w, result) : NULL;

        /* Without memory even for an error there is an end and nothing before it. */
        if (result == NULL && !w->answered)
            wrong = "out of memory";
        w->answered = true;
        if (wrong != NULL)
            remote_watch_lose(&w->base, wrong);
        else if (result == NULL)
            go_on(w);
        PQclear(result);
    }
    return w->connection == connection;
}

static bool
take_notifications(pg_watch *w)
{
    uint64_t connection = w->connection;
    PGnotify *notify;

    while (w->connection == connection && (notify = PQnotifies(w->socket.conn)) != NULL) {
        bool ours = (strcmp(notify->relname, w->channel) == 0 ||
                     strcmp(notify->relname, w->own) == 0) &&
                    pg_report(&w->base, notify->extra);

        PQfreemem(notify);
        if (!ours)
            remote_watch_lose(&w->base, "a notification that is not ours");
        else
            w->taken++;
    }
    if (w->connection != connection)
        return false;
    if (fflush(w->trace) == 0 && w->came == w->taken)
        return true;
    remote_watch_lose(&w->base, "a notification was lost for want of memory");
    return false;
}

static void
on_readable(void *owner)
{
    pg_watch *w = owner;
    bool fine = PQconsumeInput(w->socket.conn) == 1;

    if (!take_results(w))
        return;
    /* Not before it listens are there any; and what came before the end is true. */
    if (w->base.subscribed && !take_notifications(w))
        return;
    if (!fine || PQstatus(w->socket.conn) != CONNECTION_OK ||
        (w->base.subscribed && PQisBusy(w->socket.conn) != 0))
        remote_watch_lose(&w->base, PQerrorMessage(w->socket.conn));
}

static void
on_failed(void *owner, const char *why)
{
    remote_watch_lose(owner, why);
}

/* ---- for remote/watch.c ---- */

static void
start(remote_watch *base)
{
    static const pg_socket_user user = {on_connected, on_readable, flush, on_failed};
    pg_watch *w = (pg_watch *)base;

    pg_socket_open(&w->socket, (pg_store *)base->store, ((remote_lane *)base->base.lane)->loop,
                   &user, w);
}

static void
stop(remote_watch *base)
{
    pg_watch *w = (pg_watch *)base;

    w->connection++;
    untrace(w);
    pg_socket_close(&w->socket, true);
}

coat_err
pg_watch_open(coat_lane *lane, const coat_watch_sink *sink, coat_watch **out)
{
    static const struct remote_watch_kind kind = {.start = start, .stop = stop};
    pg_store *store = (pg_store *)lane->store;
    pg_watch *w = calloc(1, sizeof *w);
    coat_err err;

    if (w == NULL)
        return COAT_NO_MEMORY;
    err = remote_watch_open(&w->base, lane, sink, &store->watches, &kind);
    if (err != COAT_OK) {
        free(w);
        return err;
    }
    *out = &w->base.base;
    return COAT_OK;
}

void
pg_watch_close(coat_watch *watch)
{
    remote_watch_close((remote_watch *)watch);
}
