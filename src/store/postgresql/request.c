/* SPDX-License-Identifier: Apache-2.0 */
/** Requests to statements. Everything of a request goes as a parameter, in binary (ST-6). */

#include "store/postgresql/postgresql.h"

#include <stdlib.h>

enum { DAY_MS = 24 * 3600 * 1000 };

typedef struct params {
    const char *values[PG_PARAMS_MAX];
    int lengths[PG_PARAMS_MAX];
    uint8_t numbers[PG_PARAMS_MAX][8];
    int count;
} params;

/** ptr NULL: SQL's NULL */
static void
add_bytes(params *p, const void *ptr, size_t len)
{
    p->values[p->count] = ptr;
    p->lengths[p->count++] = (int)len; /* COAT_STORE_VALUE_MAX at most */
}

static void
add_span(params *p, coat_span bytes)
{
    add_bytes(p, bytes.ptr != NULL ? bytes.ptr : (const uint8_t *)"", bytes.len);
}

static void
add_address(params *p, const coat_handle *address)
{
    add_bytes(p, address->bytes, COAT_HANDLE_BYTES);
}

static void
add_int64(params *p, int64_t number)
{
    coat_store64be(p->numbers[p->count], (uint64_t)number);
    add_bytes(p, p->numbers[p->count], 8);
}

/** One that is too large for SQL is none that the server has given out. */
static void
add_number(params *p, uint64_t number)
{
    add_int64(p, number <= INT64_MAX ? (int64_t)number : -1);
}

static void
add_int32(params *p, uint32_t number)
{
    uint8_t bytes[8];

    coat_store64be(bytes, number <= INT32_MAX ? number : INT32_MAX);
    memcpy(p->numbers[p->count], bytes + 4, 4);
    add_bytes(p, p->numbers[p->count], 4);
}

static void
add_bool(params *p, bool yes)
{
    p->numbers[p->count][0] = yes;
    add_bytes(p, p->numbers[p->count], 1);
}

/** Of the lock that puts inserts in order. Owners and addresses are keyed hashes. */
static void
add_lock(params *p, const uint8_t *bytes)
{
    add_bytes(p, bytes, 8);
}

/* ---- operations ---- */

static pg_statement
of_space(pg_statement session, coat_space space)
{
    return session + (pg_statement)(space - COAT_SPACE_SESSION);
}

static pg_statement
add_load(params *p, const coat_store_req *req)
{
    add_address(p, &req->address);
    if (req->space == COAT_SPACE_SESSION)
        add_bytes(p, req->address.bytes + 8, COAT_OWNER_BYTES);
    return of_space(PG_LOAD_SESSION, req->space);
}

static pg_statement
add_insert(params *p, const coat_store_req *req)
{
    const uint8_t *owner = req->address.bytes + 8;

    add_address(p, &req->address);
    if (req->space != COAT_SPACE_SESSION) {
        add_lock(p, req->address.bytes);
        add_int64(p, req->now_ms);
        add_int64(p, req->expires_ms);
        add_span(p, req->value);
        return of_space(PG_INSERT_SESSION, req->space);
    }
    add_bytes(p, owner, COAT_OWNER_BYTES);
    add_lock(p, owner);
    add_int64(p, req->now_ms);
    add_number(p, req->epoch_owner);
    add_number(p, req->epoch_global);
    add_int64(p, req->expires_ms);
    add_span(p, req->value);
    add_int32(p, req->owner_max);
    add_bool(p, req->owner_evict);
    if (req->has_superseded)
        add_address(p, &req->superseded);
    else
        add_bytes(p, NULL, 0);
    add_number(p, req->version);
    return PG_INSERT_SESSION;
}

static pg_statement
add_replace(params *p, const coat_store_req *req)
{
    add_address(p, &req->address);
    add_number(p, req->version);
    add_int64(p, req->expires_ms);
    add_span(p, req->value);
    add_int64(p, req->now_ms);
    if (req->space == COAT_SPACE_SESSION && req->quiet)
        return PG_REPLACE_QUIETLY;
    return of_space(PG_REPLACE_SESSION, req->space);
}

uint32_t
pg_look(const coat_store_req *req)
{
    uint32_t wanted = req->limit - req->count + 1; /* one more, to see that there is more */

    if (req->op == COAT_OP_SCAN)
        return PG_LOOK_MAX;
    return wanted > PG_LIST_LOOK ? wanted : PG_LIST_LOOK;
}

static pg_statement
add_report(params *p, const coat_store_req *req)
{
    if (req->op == COAT_OP_LIST_OWNER)
        add_bytes(p, req->owner.bytes, COAT_OWNER_BYTES);
    add_bytes(p, req->cursor.bytes, req->has_cursor ? COAT_HANDLE_BYTES : 0);
    add_int32(p, pg_look(req));
    add_int32(p, req->limit - req->count);
    add_int64(p, PG_REPORT_BYTES);
    add_int64(p, req->now_ms);
    return req->op == COAT_OP_LIST_OWNER ? PG_LIST : of_space(PG_SCAN_SESSIONS, req->space);
}

static pg_statement
add_remove_owner(params *p, const coat_store_req *req)
{
    add_bytes(p, req->owner.bytes, COAT_OWNER_BYTES);
    add_lock(p, req->owner.bytes);
    add_int64(p, req->now_ms);
    if (req->has_spare)
        add_address(p, &req->spare);
    else
        add_bytes(p, NULL, 0);
    add_number(p, req->again);
    return PG_REMOVE_OWNER;
}

static pg_statement
add_say(params *p, const coat_store_req *req)
{
    add_address(p, &req->address);
    add_span(p, req->value);
    if (req->has_to)
        add_address(p, &req->to);
    else
        add_bytes(p, NULL, 0);
    add_bool(p, req->item != NULL);
    add_int32(p, COAT_STORE_LIST_MAX);
    return PG_SAY;
}

static pg_statement
add_leave(params *p, const coat_store_req *req)
{
    add_address(p, &req->address);
    add_number(p, req->version);
    return PG_LEAVE;
}

/** The cursor is copied, since another lane's SWEEP may move it. */
static pg_statement
add_sweep(params *p, coat_store_req *req, pg_store *store, uint8_t cursor[COAT_HANDLE_BYTES],
          uint64_t number)
{
    static const pg_statement phases[PG_PHASES] = {
        PG_SWEEP_EXPIRED, PG_SWEEP_ENDED, PG_SWEEP_META, PG_SWEEP_ACCOUNTS, PG_SWEEP_OWNERS};
    remote_pending *pending = remote_pending_of(req);
    uint32_t look = PG_LOOK_MAX - pending->count;
    pg_statement statement;
    size_t cursor_len;
    uint64_t settled;

    pthread_mutex_lock(&store->remote.mutex);
    pending->data = (void *)(uintptr_t)store->sweeper.steps;
    statement = phases[store->sweeper.phase];
    cursor_len = store->sweeper.cursor_len;
    memcpy(cursor, store->sweeper.cursor, COAT_HANDLE_BYTES);
    settled = store->sweeper.settled;
    pthread_mutex_unlock(&store->remote.mutex);
    if (look > req->limit - req->count)
        look = req->limit - req->count;
    if (statement == PG_SWEEP_EXPIRED || statement == PG_SWEEP_META)
        add_int64(p, req->now_ms);
    else
        add_bytes(p, cursor, cursor_len);
    add_int32(p, look);
    add_number(p, number);
    if (statement == PG_SWEEP_ACCOUNTS)
        add_int64(p, req->now_ms);
    if (statement == PG_SWEEP_OWNERS) {
        add_number(p, settled);
        add_int64(p, req->now_ms - DAY_MS);
    }
    return statement;
}

/* ---- sending ---- */

static bool
prepare(pg_link *link, const pg_text *text)
{
    pg_due due = {.kind = PG_DUE_PREPARE};
    char *sql = pg_with_schema(text->sql, pg_store_of(link)->schema);
    Oid types[PG_PARAMS_MAX];
    int count = 0;
    bool sent;

    for (const char *c = text->types; *c != '\0' && count < PG_PARAMS_MAX; c++)
        types[count++] = *c == 'b'   ? PG_OID_BYTEA
                         : *c == 'q' ? PG_OID_INT8
                         : *c == 'i' ? PG_OID_INT4
                                     : PG_OID_BOOL;
    sent = sql != NULL && pg_expect(link, &due) == COAT_OK &&
           PQsendPrepare(link->socket.conn, text->name, sql, count, types) == 1;
    free(sql);
    return sent;
}

/** The first time on this connection; in a segment of its own, since it stays whatever becomes
 * of the rest. */
static void
prepare_once(pg_link *link, pg_statement statement)
{
    uint64_t bit = (uint64_t)1 << statement;

    if ((link->prepared & bit) != 0 || link->broken)
        return;
    if (link->open)
        pg_sync(link);
    link->prepared |= bit;
    if (!prepare(link, &pg_texts[statement]))
        link->broken = true;
    else
        pg_sync(link);
}

/** What cannot be queued breaks the link, which is dropped at the end of this turn: the request
 * is in flight on it. */
static void
send_statement(pg_link *link, pg_statement statement, const params *p, const pg_due *due)
{
    static const int binary[PG_PARAMS_MAX] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    const pg_text *text = &pg_texts[statement];

    prepare_once(link, statement);
    if (due->kind == PG_DUE_ASIDE && link->open)
        pg_sync(link);
    if (link->broken || pg_expect(link, due) != COAT_OK ||
        PQsendQueryPrepared(link->socket.conn, text->name, p->count, p->values, p->lengths,
                            binary, 1) != 1) {
        link->broken = true;
        return;
    }
    /* A write ends its segment: what comes behind it does not share its fate. */
    link->open = true;
    if (text->writes)
        pg_sync(link);
}

/** statement_timeout, below what this request may take (SF-9). */
static void
set_timeout(pg_link *link, coat_store_req *req)
{
    enum { HOUR_MS = 3600 * 1000 };
    uint32_t ms = req->timeout_ms < HOUR_MS ? req->timeout_ms * 4 / 5 : HOUR_MS;
    pg_due due = {.kind = PG_DUE_ASIDE, .what = PG_TIMEOUT, .req = req};
    params p COAT_UNSET;

    if (link->timeout_ms == req->timeout_ms)
        return;
    link->timeout_ms = req->timeout_ms;
    p.count = 0;
    due.number = ++link->number;
    add_int32(&p, ms > 0 ? ms : 1);
    add_number(&p, due.number);
    send_statement(link, PG_TIMEOUT, &p, &due);
}

static pg_statement
add_operation(params *p, const coat_store_req *req)
{
    switch (req->op) {
    case COAT_OP_INSERT:
        return add_insert(p, req);
    case COAT_OP_REPLACE:
        return add_replace(p, req);
    case COAT_OP_REMOVE:
        add_address(p, &req->address);
        return of_space(PG_REMOVE_SESSION, req->space);
    case COAT_OP_LIST_OWNER:
    case COAT_OP_SCAN:
        return add_report(p, req);
    case COAT_OP_REMOVE_OWNER:
        return add_remove_owner(p, req);
    case COAT_OP_EPOCHS:
        add_bytes(p, req->owner.bytes, COAT_OWNER_BYTES);
        return PG_EPOCHS;
    case COAT_OP_END_ALL:
        add_number(p, req->again);
        return PG_END_ALL;
    case COAT_OP_SAY:
        return add_say(p, req);
    case COAT_OP_LEAVE:
        return add_leave(p, req);
    default:
        return add_load(p, req);
    }
}

void
pg_ask(pg_link *link, coat_store_req *req)
{
    pg_due due = {.kind = PG_DUE_REQUEST, .req = req};
    uint8_t cursor[COAT_HANDLE_BYTES];
    pg_statement statement;
    params p COAT_UNSET;

    set_timeout(link, req);
    p.count = 0;
    due.number = ++link->number;
    if (req->op == COAT_OP_SWEEP) {
        statement = add_sweep(&p, req, pg_store_of(link), cursor, due.number);
    } else {
        statement = add_operation(&p, req);
        add_number(&p, due.number);
        if (statement == PG_REPLACE_SESSION || statement == PG_REPLACE_QUIETLY)
            add_bytes(&p, req->address.bytes + 8, COAT_OWNER_BYTES);
    }
    due.what = (uint8_t)statement;
    send_statement(link, statement, &p, &due);
    remote_link_queued(&link->base);
}

/**
 * SWEEP promises that what was answered STORE_DOWN before it is decided. What was in flight on
 * a dropped connection may still be on its way to the server, or wait there for a lock: so the
 * server is told to drop that connection too, and waited for.
 */
static coat_err
settle_doubts(pg_link *link, coat_store_req *req)
{
    pg_store *store = pg_store_of(link);
    bool lost;

    pthread_mutex_lock(&store->remote.mutex);
    lost = strcmp(store->lost_on, link->server) == 0;
    for (size_t i = 0; i < store->doubt_count && !lost; i++) {
        const pg_doubt *doubt = &store->doubts[i];
        pg_due due = {.kind = PG_DUE_ASIDE, .what = PG_SETTLE, .req = req};
        params p COAT_UNSET;

        p.count = 0;
        due.number = ++link->number;
        add_int32(&p, (uint32_t)doubt->pid);
        add_int64(&p, doubt->started_us);
        add_number(&p, due.number);
        add_int64(&p, req->timeout_ms / 2);
        send_statement(link, PG_SETTLE, &p, &due);
    }
    remote_pending_of(req)->mark = store->doubt_number;
    pthread_mutex_unlock(&store->remote.mutex);
    return lost ? COAT_STORE_DOWN : COAT_OK;
}

coat_err
pg_send(remote_link *base, coat_store_req *req)
{
    pg_link *link = (pg_link *)base;

    if (req->again > PG_AGAIN_MAX)
        return COAT_INVALID;
    if (req->op == COAT_OP_SWEEP && settle_doubts(link, req) != COAT_OK)
        return COAT_STORE_DOWN;
    pg_ask(link, req);
    return COAT_OK;
}
