/* SPDX-License-Identifier: Apache-2.0 */
/**
 * Results to answers. What does not look as our own statements give it drops the connection;
 * a record that does not look as we store it is denied and counted.
 */

#include "store/postgresql/postgresql.h"

#include "store/find.h"

enum { DAY_MS = 24 * 3600 * 1000, ANSWERS_MAX = COAT_UNSUPPORTED };

static void
count_unreadable(pg_link *link)
{
    atomic_fetch_add_explicit(&pg_store_of(link)->remote.unreadable, 1, memory_order_relaxed);
}

static void
strange(pg_link *link)
{
    pg_fail(link, "an answer that does not fit what was asked");
}

void
pg_finish(pg_link *link, coat_store_req *req, coat_err result)
{
    req->result = result;
    remote_note_good(&pg_store_of(link)->remote);
    remote_answer(req);
}

/** Tables are behind constraints, but also behind an operator who may drop them. */
static bool
read_value(const PGresult *result, int row, int version, coat_value *out)
{
    uint64_t expires;

    out->payload = pg_bytes(result, row, version + 2);
    out->epoch_owner = out->epoch_global = 0;
    if (!pg_number(result, row, version, &out->version) ||
        !pg_number(result, row, version + 1, &expires) || out->payload.ptr == NULL ||
        out->payload.len > COAT_STORE_VALUE_MAX)
        return false;
    out->expires_ms = (int64_t)expires;
    return true;
}

/* ---- LOAD: number, address, version, expiry, value; of a session: its epochs, those of now
 * ---- */

static bool
read_epochs(pg_link *link, const PGresult *result, coat_epoch_pair *out)
{
    if (!pg_number(result, 0, 7, &out->owner) || !pg_number(result, 0, 8, &out->global))
        return false;
    /* One that was seen before and is lost there still counts (RV-5). */
    out->global = pg_global_seen(pg_store_of(link), out->global);
    return true;
}

static void
answer_load(pg_link *link, coat_store_req *req, const PGresult *result)
{
    bool session = req->space == COAT_SPACE_SESSION;
    coat_epoch_pair epochs = {0, 0};
    coat_value value;
    coat_span address;

    if (!pg_is_row(result, 0, session ? 9 : 5) || PQntuples(result) != 1 ||
        (session && !read_epochs(link, result, &epochs))) {
        strange(link);
        return;
    }
    address = pg_bytes(result, 0, 1);
    if (address.ptr == NULL) {
        pg_finish(link, req, COAT_NO_SESSION);
        return;
    }
    if (address.len != COAT_HANDLE_BYTES ||
        memcmp(address.ptr, req->address.bytes, COAT_HANDLE_BYTES) != 0) {
        strange(link);
        return;
    }
    if (!read_value(result, 0, 2, &value) ||
        (session && (!pg_number(result, 0, 5, &value.epoch_owner) ||
                     !pg_number(result, 0, 6, &value.epoch_global)))) {
        count_unreadable(link);
        pg_finish(link, req, COAT_MALFORMED);
        return;
    }
    if (!coat_is_live(&value, req->now_ms, &epochs)) {
        pg_finish(link, req, COAT_NO_SESSION);
        return;
    }
    req->found = value.payload;
    req->found_version = value.version;
    req->found_expires_ms = value.expires_ms;
    pg_finish(link, req, COAT_OK);
}

/* ---- INSERT: number, answer, version, what was evicted; REPLACE: number, version, was ---- */

static bool
check_evicted(const coat_store_req *req, coat_span evicted)
{
    if (evicted.len % COAT_HANDLE_BYTES != 0)
        return false;
    for (size_t i = 0; i < evicted.len; i += COAT_HANDLE_BYTES)
        if (memcmp(evicted.ptr + i + 8, req->address.bytes + 8, COAT_OWNER_BYTES) != 0)
            return false;
    return true;
}

static void
answer_insert(pg_link *link, coat_store_req *req, const PGresult *result)
{
    int columns = req->space == COAT_SPACE_SESSION ? 4 : 3;
    coat_span evicted = {NULL, 0};
    int32_t code;

    if (!pg_is_row(result, 0, columns) || !pg_small(result, 0, 1, &code) || code < 0 ||
        code > ANSWERS_MAX ||
        (code == COAT_OK && !pg_number(result, 0, 2, &req->found_version))) {
        strange(link);
        return;
    }
    if (code == COAT_OK && columns == 4)
        evicted = pg_bytes(result, 0, 3);
    if (!check_evicted(req, evicted)) {
        strange(link);
        return;
    }
    if (code == COAT_OK)
        atomic_store(&pg_store_of(link)->full, false);
    for (size_t i = 0; i < evicted.len && req->item != NULL; i += COAT_HANDLE_BYTES) {
        coat_store_item item = {.version = 0};

        memcpy(item.address.bytes, evicted.ptr + i, COAT_HANDLE_BYTES);
        req->item(req, &item);
    }
    pg_finish(link, req, (coat_err)code);
}

static void
answer_replace(pg_link *link, coat_store_req *req, const PGresult *result)
{
    uint64_t was;

    if (!pg_is_row(result, 0, 3)) {
        strange(link);
        return;
    }
    if (pg_number(result, 0, 1, &req->found_version)) {
        req->found_expires_ms = req->expires_ms;
        pg_finish(link, req, COAT_OK);
    } else if (!pg_number(result, 0, 2, &was)) {
        pg_finish(link, req, COAT_NO_SESSION);
    } else if (was != req->version) {
        pg_finish(link, req, COAT_CONFLICT);
    } else if (pg_may_retry(req)) {
        pg_ask(link, req); /* it has changed since the snapshot: look again */
    } else {
        pg_finish(link, req, COAT_STORE_DOWN);
    }
}

static void
answer_epochs(pg_link *link, coat_store_req *req, const PGresult *result)
{
    pg_store *store = pg_store_of(link);
    uint64_t first, second = 0;

    if (!pg_is_row(result, 0, req->op == COAT_OP_EPOCHS ? 4 : 2) ||
        !pg_number(result, 0, 1, &first) ||
        (req->op == COAT_OP_EPOCHS && (!pg_number(result, 0, 2, &second) ||
                                       !pg_signed(result, 0, 3, &req->found_clock_ms)))) {
        strange(link);
        return;
    }
    if (req->op == COAT_OP_END_ALL)
        req->epoch_global = pg_global_seen(store, first);
    else
        req->epoch_owner = first;
    if (req->op == COAT_OP_EPOCHS)
        req->epoch_global = pg_global_seen(store, second);
    pg_finish(link, req, COAT_OK);
}

/* ---- LIST_OWNER, SCAN: a row (number, last looked at, how many, -, -), then entries ---- */

static bool
read_address(const coat_store_req *req, const PGresult *result, int row, coat_handle *out)
{
    coat_span bytes = pg_bytes(result, row, 1);

    if (bytes.ptr == NULL || bytes.len != COAT_HANDLE_BYTES)
        return false;
    memcpy(out->bytes, bytes.ptr, COAT_HANDLE_BYTES);
    return req->op == COAT_OP_SCAN ||
           memcmp(out->bytes + 8, req->owner.bytes, COAT_OWNER_BYTES) == 0;
}

/** Everything is looked at before the first entry is reported. @return the first row, or -1 */
static int
check_report(const coat_store_req *req, const PGresult *result)
{
    coat_handle address, before = req->cursor;
    bool has_before = req->has_cursor;
    int head = -1;

    if (PQnfields(result) != 5 || (uint32_t)PQntuples(result) > req->limit - req->count + 2)
        return -1;
    for (int row = 0; row < PQntuples(result); row++) {
        if (PQgetisnull(result, row, 3)) {
            if (head >= 0)
                return -1;
            head = row;
            continue;
        }
        if (!read_address(req, result, row, &address) ||
            (has_before && memcmp(address.bytes, before.bytes, COAT_HANDLE_BYTES) <= 0))
            return -1;
        before = address;
        has_before = true;
    }
    return head;
}

/** @return there is more than what was reported */
static bool
report(pg_link *link, coat_store_req *req, const PGresult *result)
{
    for (int row = 0; row < PQntuples(result); row++) {
        coat_store_item item;
        coat_value value;

        if (PQgetisnull(result, row, 3))
            continue;
        if (PQgetisnull(result, row, 4) || req->count == req->limit)
            return true;
        if (!read_address(req, result, row, &item.address) ||
            !read_value(result, row, 2, &value)) {
            count_unreadable(link);
            continue;
        }
        item.version = value.version;
        item.expires_ms = value.expires_ms;
        item.value = value.payload;
        req->count++;
        req->item(req, &item);
    }
    return false;
}

static void
answer_report(pg_link *link, coat_store_req *req, const PGresult *result)
{
    int head = check_report(req, result);
    coat_handle last;
    uint64_t looked;
    bool goes_on;

    if (head < 0 || !pg_number(result, head, 2, &looked)) {
        strange(link);
        return;
    }
    goes_on = looked >= pg_look(req);
    if (goes_on &&
        (!read_address(req, result, head, &last) ||
         (req->has_cursor && memcmp(last.bytes, req->cursor.bytes, COAT_HANDLE_BYTES) <= 0))) {
        strange(link);
        return;
    }
    req->more = report(link, req, result);
    if (req->more || !goes_on) {
        pg_finish(link, req, COAT_OK);
        return;
    }
    /* It has looked long enough: on behind the last entry that it looked at. A list is one
     * snapshot, so whoever asked for it goes on. */
    req->has_cursor = true;
    req->cursor = last;
    if (req->op == COAT_OP_LIST_OWNER) {
        req->more = true;
        pg_finish(link, req, COAT_OK);
        return;
    }
    remote_pending_of(req)->step = 1;
    pg_ask(link, req);
}

/* ---- SWEEP: number, erased, looked at, the last looked at, the last number given out ---- */

typedef struct swept {
    uint64_t erased, looked, numbers;
    coat_span last;
    uint32_t asked; /* how many were to be looked at */
} swept;

static bool
read_swept(const coat_store_req *req, const PGresult *result, swept *out)
{
    uint32_t left = req->limit - req->count;

    out->asked = PG_LOOK_MAX - remote_pending_of((coat_store_req *)(uintptr_t)req)->count;
    if (out->asked > left)
        out->asked = left;
    if (!pg_is_row(result, 0, 5) || !pg_number(result, 0, 1, &out->erased) ||
        !pg_number(result, 0, 2, &out->looked) || !pg_number(result, 0, 4, &out->numbers))
        return false;
    out->last = pg_bytes(result, 0, 3);
    return out->looked <= out->asked && out->erased <= out->looked &&
           out->last.len <= COAT_HANDLE_BYTES;
}

/**
 * An owner's epoch may be forgotten when no session is left that it ended, which the statement
 * sees to, and no sign-in is under way that has read what was before: after a day of this
 * machine's clock.
 */
static void
settle_epochs(pg_sweeper *s, uint64_t numbers, int64_t mono_ms)
{
    if (s->walked != 0 && mono_ms - s->walked_ms >= DAY_MS) {
        s->settled = s->walked;
        s->walked = 0;
    }
    if (s->walked == 0) {
        s->walked = numbers;
        s->walked_ms = mono_ms;
    }
}

static void
count_left(pg_store *store, pg_sweeper *s, const swept *r, bool done)
{
    bool sessions = s->phase == 1;
    uint64_t *left = sessions ? &s->sessions : &s->accounts;

    if (!sessions && s->phase != 3)
        return;
    *left += r->looked - r->erased;
    if (!done)
        return;
    atomic_store(sessions ? &store->sessions : &store->accounts, *left);
    *left = 0;
}

/** @return true at the end of a walk through everything */
static bool
advance(pg_store *store, const swept *r, uint64_t asked_at, int64_t mono_ms)
{
    pg_sweeper *s = &store->sweeper;
    bool done = r->looked < r->asked;

    if (s->steps != asked_at)
        return false; /* another lane's SWEEP was faster */
    s->steps++;
    count_left(store, s, r, done);
    if (!done) {
        if (r->last.len > 0)
            memcpy(s->cursor, r->last.ptr, r->last.len);
        s->cursor_len = (uint8_t)r->last.len;
        return false;
    }
    s->cursor_len = 0;
    s->phase = (s->phase + 1) % PG_PHASES;
    if (s->phase != 0)
        return false;
    settle_epochs(s, r->numbers, mono_ms);
    return true;
}

static void
answer_sweep(pg_link *link, coat_store_req *req, const PGresult *result)
{
    static const uint64_t mask = ((uint64_t)1 << 56) - 1;
    pg_store *store = pg_store_of(link);
    remote_pending *p = remote_pending_of(req);
    int64_t mono_ms = remote_now_ms(&store->remote);
    swept r;
    bool end;

    if (!read_swept(req, result, &r)) {
        strange(link);
        return;
    }
    pthread_mutex_lock(&store->remote.mutex);
    end = advance(store, &r, (uint64_t)(uintptr_t)p->data, mono_ms);
    if (p->step != 2)
        pg_doubts_forget(link, p->mark & mask, NULL);
    pthread_mutex_unlock(&store->remote.mutex);
    req->count += (uint32_t)r.erased;
    p->count += (uint32_t)r.looked;
    if (p->step == 2) {
        pg_finish(link, req, COAT_STORE_DOWN); /* an old connection is still there */
        return;
    }
    if (!end && req->count < req->limit && p->count < PG_LOOK_MAX) {
        p->step = 1;
        pg_ask(link, req);
        return;
    }
    req->more = !end;
    pg_finish(link, req, COAT_OK);
}

/* ---- SAY: number, answer, version, instances with their versions; LEAVE: number, done ---- */

static void
answer_say(pg_link *link, coat_store_req *req, const PGresult *result)
{
    enum { MEMBER = COAT_HANDLE_BYTES + 8 };
    coat_span members = pg_bytes(result, 0, 3);
    int32_t code;

    if (!pg_is_row(result, 0, 4) || !pg_small(result, 0, 1, &code) ||
        (code != COAT_OK && code != COAT_TOO_MANY) ||
        (code == COAT_OK && !pg_number(result, 0, 2, &req->found_version)) ||
        members.len % MEMBER != 0) {
        strange(link);
        return;
    }
    for (size_t i = 0; code == COAT_OK && i < members.len && req->item != NULL; i += MEMBER) {
        coat_store_item item = {.version = coat_load64be(members.ptr + i + COAT_HANDLE_BYTES)};

        memcpy(item.address.bytes, members.ptr + i, COAT_HANDLE_BYTES);
        req->item(req, &item);
    }
    pg_finish(link, req, (coat_err)code);
}

static void
answer_leave(pg_link *link, coat_store_req *req, const PGresult *result)
{
    bool done;

    if (!pg_is_row(result, 0, 2) || !pg_bool(result, 0, 1, &done))
        strange(link);
    else
        pg_finish(link, req, done ? COAT_OK : COAT_CONFLICT);
}

/* ---- all ---- */

void
pg_answer(pg_link *link, coat_store_req *req, const PGresult *result)
{
    switch (req->op) {
    case COAT_OP_LOAD:
        answer_load(link, req, result);
        break;
    case COAT_OP_INSERT:
        answer_insert(link, req, result);
        break;
    case COAT_OP_REPLACE:
        answer_replace(link, req, result);
        break;
    case COAT_OP_REMOVE:
        pg_finish(link, req, COAT_OK);
        break;
    case COAT_OP_LIST_OWNER:
    case COAT_OP_SCAN:
        answer_report(link, req, result);
        break;
    case COAT_OP_SWEEP:
        answer_sweep(link, req, result);
        break;
    case COAT_OP_SAY:
        answer_say(link, req, result);
        break;
    case COAT_OP_LEAVE:
        answer_leave(link, req, result);
        break;
    default:
        answer_epochs(link, req, result);
        break;
    }
}
