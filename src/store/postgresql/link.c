/* SPDX-License-Identifier: Apache-2.0 */
/**
 * A connection. Results come in the order of questions; one that does not fit what is due, or
 * comes when nothing is, drops the connection with all that is in flight on it.
 */

#include "store/postgresql/postgresql.h"

#include <stdio.h>
#include <stdlib.h>

coat_err
pg_expect(pg_link *link, const pg_due *due)
{
    if (link->due_count == link->due_cap) {
        pg_due *grown =
            remote_ring_grow(link->due, sizeof *grown, &link->due_first, &link->due_cap);

        if (grown == NULL)
            return COAT_NO_MEMORY;
        link->due = grown;
    }
    link->due[(link->due_first + link->due_count++) % link->due_cap] = *due;
    return COAT_OK;
}

void
pg_fail(pg_link *link, const char *why)
{
    pg_store *store = pg_store_of(link);
    char line[sizeof store->trouble];

    remote_line(line, sizeof line, why);
    pthread_mutex_lock(&store->remote.mutex);
    if (line[0] != '\0')
        memcpy(store->trouble, line, sizeof line);
    pthread_mutex_unlock(&store->remote.mutex);
    remote_link_failed(&link->base);
}

void
pg_sync(pg_link *link)
{
    pg_due due = {.kind = PG_DUE_SYNC};
    bool sent = pg_expect(link, &due) == COAT_OK;

#ifdef LIBPQ_HAS_SEND_PIPELINE_SYNC
    sent = sent && PQsendPipelineSync(link->socket.conn) == 1; /* leaves with the rest */
#else
    sent = sent && PQpipelineSync(link->socket.conn) == 1;
#endif
    link->open = false;
    link->broken = link->broken || !sent;
}

void
pg_flush(remote_link *base)
{
    pg_link *link = (pg_link *)base;
    int left = 0;

    if (link->open)
        pg_sync(link);
    if (!link->broken)
        left = PQflush(link->socket.conn);
    if (link->broken || left < 0)
        pg_fail(link, PQerrorMessage(link->socket.conn));
    else
        pg_socket_watch(&link->socket, left > 0);
}

/* ---- results ---- */

/** What an error says about this request, and about this connection. */
typedef enum verdict {
    VERDICT_AGAIN, /* serialization failure, deadlock: nothing has happened */
    VERDICT_DOWN,  /* refused or too slow: others may succeed */
    VERDICT_DROP,  /* this connection is of no use */
    VERDICT_LEAVE, /* nor is this server */
    VERDICT_FULL,
    VERDICT_ODD, /* understood and not done */
} verdict;

static verdict
judge(const char *state)
{
    static const struct {
        const char *begin;
        verdict verdict;
    } rows[] = {
        {"40001", VERDICT_AGAIN}, /* serialization_failure */
        {"40P01", VERDICT_AGAIN}, /* deadlock_detected */
        {"23505", VERDICT_AGAIN}, /* unique_violation: somebody was faster */
        {"25006", VERDICT_LEAVE}, /* read_only_sql_transaction: a standby by now */
        {"26", VERDICT_DROP},     /* our statements are gone: a pooler has mixed us up */
        {"25", VERDICT_DROP},     /* transaction states that we cannot be in */
        {"57014", VERDICT_DOWN},  /* query_canceled: statement_timeout */
        {"57", VERDICT_DROP},     /* shut down */
        {"08", VERDICT_DROP},     /* protocol */
        {"28", VERDICT_DROP},     /* authorization */
        {"0A000", VERDICT_DROP},  /* "cached plan must not change result type": migrated */
        {"42501", VERDICT_DOWN},  /* insufficient_privilege */
        {"42", VERDICT_DROP},     /* no such table or function: the schema has changed */
        {"3F", VERDICT_DROP},     /* no such schema */
        {"55", VERDICT_DOWN},     /* locked */
        {"53100", VERDICT_FULL},  /* disk_full */
        {"53", VERDICT_DOWN},     /* out of something else */
        {"54000", VERDICT_DOWN},  /* the queue of notifications is full */
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (strncmp(state, rows[i].begin, strlen(rows[i].begin)) == 0)
            return rows[i].verdict;
    return VERDICT_ODD;
}

bool
pg_may_retry(coat_store_req *req)
{
    enum { SHIFT = 56 }; /* below are the numbers of doubts */
    remote_pending *p = remote_pending_of(req);

    if (p->mark >> SHIFT >= PG_RETRIES_MAX)
        return false;
    p->mark += (uint64_t)1 << SHIFT;
    return true;
}

static void
answer_error(pg_link *link, coat_store_req *req, const PGresult *result)
{
    pg_store *store = pg_store_of(link);
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    char why[160];

    (void)snprintf(why, sizeof why, "the server says: %.120s",
                   PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) != NULL
                       ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY)
                       : "nothing");
    switch (state != NULL ? judge(state) : VERDICT_DROP) {
    case VERDICT_AGAIN:
        if (req->op != COAT_OP_SAY && pg_may_retry(req)) {
            pg_ask(link, req);
            return;
        }
        pg_finish(link, req, COAT_STORE_DOWN);
        break;
    case VERDICT_DOWN:
        remote_note_bad(&store->remote);
        req->result = COAT_STORE_DOWN;
        remote_answer(req);
        break;
    case VERDICT_LEAVE:
        remote_server_leave(&store->remote, &store->watches, link->era);
        pg_fail(link, why);
        break;
    case VERDICT_DROP:
        pg_fail(link, why);
        break;
    case VERDICT_FULL:
        atomic_store(&store->full, true);
        pg_finish(link, req, COAT_STORE_FULL);
        break;
    case VERDICT_ODD:
        pg_finish(link, req, COAT_IO);
        break;
    }
}

static bool
has_number(const PGresult *result, uint64_t number)
{
    uint64_t got;

    for (int row = 0; row < PQntuples(result); row++)
        if (!pg_number(result, row, 0, &got) || got != number)
            return false;
    return PQntuples(result) > 0;
}

/** The doubted connection is gone, or was; otherwise SWEEP can promise nothing. */
static void
take_aside(pg_link *link, const pg_due *due, const PGresult *result)
{
    bool gone = false;

    if (due->what == PG_TIMEOUT && !has_number(result, due->number))
        pg_fail(link, "an answer to another question");
    if (due->what == PG_SETTLE &&
        (!has_number(result, due->number) || !pg_bool(result, 0, 1, &gone) || !gone))
        remote_pending_of(due->req)->step = 2;
}

static void
take_answer(pg_link *link, const pg_due *due, PGresult *result)
{
    if (!has_number(result, due->number)) {
        PQclear(result);
        pg_fail(link, "an answer to another question");
        return;
    }
    if (pg_texts[due->what].writes) {
        link->held = due->req; /* done when its transaction is */
        link->held_result = result;
        return;
    }
    pg_answer(link, due->req, result);
    PQclear(result);
}

static void
take_sync(pg_link *link)
{
    coat_store_req *req = link->held;
    PGresult *result = link->held_result;

    link->held = NULL;
    link->held_result = NULL;
    if (req != NULL) {
        pg_answer(link, req, result);
    } else if (!link->greeted && link->due_count == 0) {
        link->greeted = true;
        pg_settle(link);
    }
    PQclear(result);
}

static void
take_prepared(pg_link *link, const PGresult *result)
{
    if (PQresultStatus(result) != PGRES_COMMAND_OK)
        pg_fail(link, PQresultErrorMessage(result));
}

static bool
fit(const remote_link *base)
{
    const pg_link *link = (const pg_link *)base;

    return link->era == atomic_load(&pg_store_of(link)->watches.era);
}

void
pg_take_result(pg_link *link, PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);
    pg_due due;

    /* What the former server acknowledges now, the new one need not have (SF-5). */
    if (link->due_count == 0 || (link->base.state == REMOTE_READY && !fit(&link->base))) {
        PQclear(result);
        pg_fail(link, link->due_count == 0 ? "a result that nobody has asked for"
                                           : "another server serves now");
        return;
    }
    due = link->due[link->due_first];
    link->due_first = (link->due_first + 1) % link->due_cap;
    link->due_count--;
    if ((due.kind == PG_DUE_SYNC) != (status == PGRES_PIPELINE_SYNC)) {
        char why[160];

        (void)snprintf(why, sizeof why, "%.150s",
                       status == PGRES_FATAL_ERROR ? PQresultErrorMessage(result)
                                                   : "a result that does not fit");
        PQclear(result);
        pg_fail(link, why);
        return;
    }
    if (due.kind == PG_DUE_REQUEST && status == PGRES_TUPLES_OK) {
        take_answer(link, &due, result);
        return;
    }
    if (due.kind == PG_DUE_SYNC)
        take_sync(link);
    else if (due.kind == PG_DUE_HELLO)
        (void)pg_hello_result(link, &due, result);
    else if (due.kind == PG_DUE_ASIDE)
        take_aside(link, &due, result);
    else if (due.kind == PG_DUE_PREPARE)
        take_prepared(link, result);
    else if (status == PGRES_PIPELINE_ABORTED)
        pg_ask(link, due.req); /* for what came before it in its segment */
    else if (status == PGRES_FATAL_ERROR)
        answer_error(link, due.req, result);
    else
        pg_fail(link, "a result that does not fit");
    PQclear(result);
}

void
pg_readable(pg_link *link)
{
    uint64_t connection = link->connection;
    bool fine = PQconsumeInput(link->socket.conn) == 1;
    uint32_t nothing = 0;

    /* A result may drop the link, and a callback may have it begin anew. */
    while (link->connection == connection && link->due_count > 0 && nothing < 2 &&
           PQisBusy(link->socket.conn) == 0) {
        PGresult *result = PQgetResult(link->socket.conn);

        /* Between the results of two questions there is one nothing. */
        nothing = result == NULL ? nothing + 1 : 0;
        if (result != NULL)
            pg_take_result(link, result);
    }
    if (link->connection != connection)
        return;
    if (!fine || nothing >= 2 || PQstatus(link->socket.conn) != CONNECTION_OK ||
        (link->due_count == 0 && PQisBusy(link->socket.conn) != 0))
        pg_fail(link, PQerrorMessage(link->socket.conn));
}

/* ---- for the lane ---- */

static void
note_doubt(pg_link *link)
{
    pg_store *store = pg_store_of(link);
    coat_store_req *req = link->base.flight.head;

    while (req != NULL && remote_reads(req->op))
        req = remote_pending_of(req)->next;
    if (req == NULL || link->pid == 0)
        return;
    pthread_mutex_lock(&store->remote.mutex);
    store->doubt_number++;
    if (store->doubt_count < PG_DOUBTS_MAX) {
        pg_doubt *doubt = &store->doubts[store->doubt_count++];

        *doubt = (pg_doubt){store->doubt_number, link->pid, link->started_us, ""};
        memcpy(doubt->server, link->server, sizeof doubt->server);
    } else if (link->era >= store->lost_era) { /* one to a former server may be dropped late */
        store->lost_era = link->era;
        memcpy(store->lost_on, link->server, sizeof store->lost_on);
    }
    pthread_mutex_unlock(&store->remote.mutex);
}

static bool
is_alive(const pg_doubt *doubt, const PGresult *alive)
{
    int32_t pid;
    int64_t started_us;

    for (int row = 0; row < PQntuples(alive); row++)
        if (pg_small(alive, row, 0, &pid) && pg_signed(alive, row, 1, &started_us) &&
            pid == doubt->pid && started_us == doubt->started_us)
            return true;
    return false;
}

void
pg_doubts_forget(const pg_link *link, uint64_t mark, const PGresult *alive)
{
    pg_store *store = pg_store_of(link);
    size_t kept = 0;

    for (size_t i = 0; i < store->doubt_count; i++) {
        const pg_doubt *doubt = &store->doubts[i];

        if (doubt->number > mark ||
            (alive != NULL &&
             (strcmp(doubt->server, link->server) != 0 || is_alive(doubt, alive))))
            store->doubts[kept++] = *doubt;
    }
    store->doubt_count = kept;
}

static void
on_connected(void *owner)
{
    pg_link *link = owner;

    if (PQenterPipelineMode(link->socket.conn) == 1)
        pg_hello(link);
    else
        pg_fail(link, PQerrorMessage(link->socket.conn));
}

static void
on_readable(void *owner)
{
    pg_readable(owner);
}

static void
on_writable(void *owner)
{
    pg_flush(owner);
}

static void
on_failed(void *owner, const char *why)
{
    pg_fail(owner, why);
}

static void
start(remote_link *base)
{
    static const pg_socket_user user = {on_connected, on_readable, on_writable, on_failed};
    pg_link *link = (pg_link *)base;

    link->greeted = false;
    link->open = link->broken = false;
    link->pid = 0;
    link->timeout_ms = 0;
    link->prepared = 0;
    /* So that what an earlier connection was answered fits nothing of this one. */
    link->number = remote_random(remote_store_of(base));
    pg_socket_open(&link->socket, pg_store_of(link), base->lane->loop, &user, link);
}

void
pg_settle(pg_link *link)
{
    pg_store *store = pg_store_of(link);

    if (link->greeted &&
        remote_server_admit(&store->remote, &store->watches, link->server, &link->era))
        remote_link_ready(&link->base);
}

static void
look(remote_link *base)
{
    pg_settle((pg_link *)base);
}

static void
stop(remote_link *base)
{
    pg_link *link = (pg_link *)base;

    note_doubt(link);
    link->connection++;
    pg_socket_close(&link->socket, base->flight.count > 0);
    PQclear(link->held_result);
    link->held = NULL;
    link->held_result = NULL;
    free(link->due);
    link->due = NULL;
    link->due_first = link->due_count = link->due_cap = 0;
}

const struct remote_kind pg_kind = {
    .link_bytes = sizeof(pg_link),
    .start = start,
    .send = pg_send,
    .flush = pg_flush,
    .stop = stop,
    .fit = fit,
    .look = look,
};
