/* SPDX-License-Identifier: Apache-2.0 */
/** What is asked before the first request: who the server is, and whether the schema is ours.
 */

#include "store/postgresql/postgresql.h"

#include <stdio.h>
#include <stdlib.h>

enum { ASK_SERVER, ASK_FORMAT, ASK_ALIVE, ASK_HELLO };

static bool
expect(pg_link *link, uint8_t what)
{
    pg_due due = {.kind = PG_DUE_HELLO, .what = what};

    return pg_expect(link, &due) == COAT_OK;
}

/** Queue a question without or with one number as its parameter. */
static bool
ask(pg_link *link, uint8_t what, const char *sql, const int64_t *number)
{
    static const Oid types[] = {PG_OID_INT8};
    static const int lengths[] = {8}, formats[] = {1};
    char *text = pg_with_schema(sql, pg_store_of(link)->schema);
    uint8_t bytes[8];
    const char *values[1] = {(const char *)bytes};
    bool sent;

    if (number != NULL)
        coat_store64be(bytes, (uint64_t)*number);
    sent = text != NULL && expect(link, what) &&
           PQsendQueryParams(link->socket.conn, text, number != NULL ? 1 : 0, types, values,
                             lengths, formats, 1) == 1;
    free(text);
    return sent;
}

/** The end of what was queued; or the end of the link. */
static bool
go(pg_link *link, bool sent)
{
    uint64_t connection = link->connection;

    if (!sent) {
        pg_fail(link, PQerrorMessage(link->socket.conn));
        return false;
    }
    pg_sync(link);
    pg_flush(&link->base);
    return link->connection == connection;
}

void
pg_hello(pg_link *link)
{
    (void)go(link, ask(link, ASK_SERVER, pg_ask_server, NULL));
}

/* ---- what it is ---- */

/* Last who it is: another cluster, the same one promoted, or started again, is another one. */
const char pg_ask_server[] =
    "SELECT current_setting('server_version_num')::int4,"
    " pg_is_in_recovery() OR current_setting('transaction_read_only')::bool,"
    " current_setting('synchronous_commit') IN ('off'),"
    " current_setting('fsync')::bool AND"
    " current_setting('full_page_writes')::bool, a.pid,"
    " (extract(epoch FROM a.backend_start) * 1000000)::int8,"
    " to_regclass('{s}.versions') IS NOT NULL,"
    " CASE WHEN pg_is_in_recovery() THEN '-' ELSE"
    " (SELECT system_identifier FROM pg_control_system())::text || '/' ||"
    " substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) || '/' ||"
    " (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::int8 END"
    " FROM pg_stat_activity a WHERE a.pid = pg_backend_pid()";

/* The column came with a later version than the table. */
const char pg_ask_format[] =
    "SELECT coalesce(max(v.version), 0), coalesce(max((to_jsonb(v) ->> 'oldest')::int4), 1)"
    " FROM {s}.versions v";

const char *
pg_read_server(const PGresult *result, pg_server_facts *out)
{
    coat_span identity = pg_bytes(result, 0, 7);

    if (PQresultStatus(result) != PGRES_TUPLES_OK)
        return PQresultErrorMessage(result);
    if (!pg_is_row(result, 0, 8) || !pg_small(result, 0, 0, &out->version) ||
        !pg_bool(result, 0, 1, &out->read_only) || !pg_bool(result, 0, 2, &out->asynchronous) ||
        !pg_bool(result, 0, 3, &out->synced) || !pg_small(result, 0, 4, &out->pid) ||
        !pg_signed(result, 0, 5, &out->started_us) ||
        !pg_bool(result, 0, 6, &out->has_schema) || identity.len == 0 ||
        identity.len >= sizeof out->identity)
        return "an answer that does not fit what was asked";
    memset(out->identity, 0, sizeof out->identity);
    memcpy(out->identity, identity.ptr, identity.len);
    if (out->read_only)
        return "the server is a standby, or read-only";
    return out->version < PG_SERVER_LEAST ? "the server is older than PostgreSQL 14" : NULL;
}

bool
pg_read_format(const PGresult *result, int32_t *version, int32_t *oldest)
{
    return PQresultStatus(result) == PGRES_TUPLES_OK && pg_is_row(result, 0, 2) &&
           pg_small(result, 0, 0, version) && pg_small(result, 0, 1, oldest);
}

bool
pg_format_trouble(const pg_store *store, int32_t format, int32_t oldest, char *out, size_t cap)
{
    if (format >= PG_FORMAT && oldest <= PG_FORMAT)
        return false; /* what came later leaves what we work on as it was (UP-4) */
    if (format == 0)
        (void)snprintf(out, cap,
                       "the database has no schema \"%s\" of ours; make it with "
                       "\"coatcheck store migrate\"",
                       store->schema);
    else if (format < PG_FORMAT)
        (void)snprintf(out, cap,
                       "the schema \"%s\" is of version %d, and this coatcheck works on "
                       "version %d; run \"coatcheck store migrate\"",
                       store->schema, (int)format, PG_FORMAT);
    else
        (void)snprintf(out, cap,
                       "the schema \"%s\" is of version %d; this coatcheck knows only "
                       "version %d: it is too old",
                       store->schema, (int)format, PG_FORMAT);
    return true;
}

static bool
wrong_format(pg_link *link, int32_t format, int32_t oldest)
{
    pg_store *store = pg_store_of(link);
    char why[200];

    atomic_store(&store->format, format);
    atomic_store(&store->oldest, oldest);
    if (!pg_format_trouble(store, format, oldest, why, sizeof why))
        return false;
    pg_fail(link, why);
    return true;
}

static void
note_settings(pg_store *store, bool asynchronous, bool synced)
{
    atomic_store(&store->durable, !asynchronous && synced);
    pthread_mutex_lock(&store->remote.mutex);
    (void)snprintf(store->notice, sizeof store->notice, "%s%s",
                   asynchronous ? "synchronous_commit is off: a crash of the server loses the "
                                  "last sign-ins and sign-outs"
                                : "",
                   synced ? ""
                          : "; fsync or full_page_writes is off: a crash of the machine "
                            "may lose everything");
    if (store->notice[0] == ';')
        memmove(store->notice, store->notice + 2, strlen(store->notice + 2) + 1);
    pthread_mutex_unlock(&store->remote.mutex);
}

static bool
take_server(pg_link *link, const PGresult *result)
{
    pg_server_facts facts;
    const char *wrong = pg_read_server(result, &facts);

    if (wrong != NULL) {
        pg_fail(link, wrong);
        return false;
    }
    link->pid = facts.pid;
    link->started_us = facts.started_us;
    memcpy(link->server, facts.identity, sizeof link->server);
    note_settings(pg_store_of(link), facts.asynchronous, facts.synced);
    if (!facts.has_schema)
        return !wrong_format(link, 0, 1);
    return go(link, ask(link, ASK_FORMAT, pg_ask_format, NULL));
}

/**
 * What was in doubt on a connection that the server has no more is decided: so there are no
 * more doubts than it has connections, however many were dropped since the last SWEEP. Another
 * server's are none of its business: this one need not be admitted.
 */
static bool
ask_alive(pg_link *link)
{
    pg_store *store = pg_store_of(link);
    bool doubts;

    pthread_mutex_lock(&store->remote.mutex);
    doubts = store->doubt_count > 0;
    link->asked_doubts = store->doubt_number;
    pthread_mutex_unlock(&store->remote.mutex);
    return !doubts || ask(link, ASK_ALIVE,
                          "SELECT pid, (extract(epoch FROM backend_start) * 1000000)::int8"
                          " FROM pg_stat_activity WHERE backend_start IS NOT NULL",
                          NULL);
}

static bool
take_alive(pg_link *link, const PGresult *result)
{
    pg_store *store = pg_store_of(link);

    /* This connection itself is one of them. */
    if (PQresultStatus(result) != PGRES_TUPLES_OK || !pg_is_row(result, 0, 2)) {
        pg_fail(link, PQresultErrorMessage(result));
        return false;
    }
    pthread_mutex_lock(&store->remote.mutex);
    pg_doubts_forget(link, link->asked_doubts, result);
    pthread_mutex_unlock(&store->remote.mutex);
    return true;
}

static bool
take_format(pg_link *link, const PGresult *result)
{
    pg_store *store = pg_store_of(link);
    int64_t seen = (int64_t)atomic_load(&store->global);
    int32_t format, oldest;

    if (PQresultStatus(result) != PGRES_TUPLES_OK) {
        pg_fail(link, PQresultErrorMessage(result));
        return false;
    }
    if (!pg_read_format(result, &format, &oldest)) {
        pg_fail(link, "an answer that does not fit what was asked");
        return false;
    }
    if (wrong_format(link, format, oldest))
        return false;
    return go(link, ask_alive(link) && ask(link, ASK_HELLO, "SELECT {s}.hello($1)", &seen));
}

bool
pg_hello_result(pg_link *link, const pg_due *due, const PGresult *result)
{
    uint64_t global;

    switch (due->what) {
    case ASK_SERVER:
        return take_server(link, result);
    case ASK_FORMAT:
        return take_format(link, result);
    case ASK_ALIVE:
        return take_alive(link, result);
    default:
        if (PQresultStatus(result) != PGRES_TUPLES_OK || !pg_is_row(result, 0, 1) ||
            !pg_number(result, 0, 0, &global)) {
            pg_fail(link, PQresultErrorMessage(result));
            return false;
        }
        (void)pg_global_seen(pg_store_of(link), global);
        return true;
    }
}
