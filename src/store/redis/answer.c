/* SPDX-License-Identifier: Apache-2.0 */
/**
 * Replies to answers. What does not look as our own scripts write it drops the connection; what
 * does not look as we store it is denied and counted.
 */

#include "store/redis/redis.h"

#include "store/find.h"
#include "store/remote/value.h"

enum { ANSWERS_MAX = COAT_UNSUPPORTED };

static void
count_unreadable(redis_link *link, uint64_t n)
{
    atomic_fetch_add_explicit(&redis_store_of(link)->remote.unreadable, n,
                              memory_order_relaxed);
}

static void
strange(redis_link *link)
{
    redis_fail(link, "a reply that does not fit what was asked");
}

/** What this answer acknowledges as ended, for the journal. @return false: in vain */
static bool
note_ended(redis_link *link, const coat_store_req *req)
{
    redis_ended ended = {.handle = req->address, .raised_ms = req->now_ms};

    if (req->op == COAT_OP_REMOVE_OWNER) {
        ended.is_owner = true;
        ended.has_spare = req->has_spare;
        ended.epoch = req->epoch_owner;
        ended.handle = req->spare;
        memcpy(ended.handle.bytes + 8, req->owner.bytes, sizeof req->owner.bytes);
    } else if (req->op == COAT_OP_END_ALL) {
        return redis_journal_counts(link); /* the epoch has been noted */
    } else if (req->op == COAT_OP_INSERT && req->has_superseded) {
        ended.handle = req->superseded;
    } else if (req->op != COAT_OP_REMOVE || req->space != COAT_SPACE_SESSION) {
        return true;
    }
    return redis_journal_add(link, &ended);
}

void
redis_finish(redis_link *link, coat_store_req *req, coat_err result)
{
    req->result = result;
    if (result == COAT_OK && !note_ended(link, req)) {
        redis_fail(link, "another server serves now");
        return;
    }
    if (result == COAT_OK && req->op == COAT_OP_INSERT && req->space == COAT_SPACE_SESSION)
        redis_journal_forget(link, &req->address);
    remote_note_good(&redis_store_of(link)->remote);
    remote_answer(req);
}

/* ---- LOAD ---- */

/** "epoch raised_ms", as remove_owner.lua writes it. NIL: never raised. */
static bool
owner_epoch(const resp_reply *reply, uint64_t *epoch)
{
    resp_reply number = *reply;
    const uint8_t *space;

    *epoch = 0;
    if (reply->type == RESP_NIL)
        return true;
    if (reply->type != RESP_STRING || reply->text.len == 0)
        return false;
    space = memchr(reply->text.ptr, ' ', reply->text.len);
    if (space == NULL)
        return false;
    number.text.len = (size_t)(space - reply->text.ptr);
    return resp_number(&number, epoch);
}

static bool
epochs_of(redis_link *link, const resp_reply *reply, coat_epoch_pair *out)
{
    const resp_reply *global = reply->items[2];

    if (!owner_epoch(reply->items[1], &out->owner))
        return false;
    out->global = 0;
    if (global->type != RESP_NIL && !resp_number(global, &out->global))
        return false;
    /* One that was seen before and is lost there still counts (RV-5). */
    out->global = redis_global_seen(redis_store_of(link), out->global);
    return true;
}

static void
go_on(redis_link *link, coat_store_req *req)
{
    if (redis_request(link, req, false) == COAT_OK)
        remote_link_queued(&link->base);
    else
        redis_fail(link, "out of memory");
}

/** Is this known to be the answer to this request, or only by the address in the record? */
static bool
is_sure(coat_store_req *req)
{
    return remote_pending_of(req)->count == REDIS_LOAD_AGAIN;
}

static void
found_none(redis_link *link, coat_store_req *req, coat_err err)
{
    if (is_sure(req)) {
        redis_finish(link, req, err);
        return;
    }
    remote_pending_of(req)->count = REDIS_LOAD_AGAIN;
    go_on(link, req);
}

static void
found_value(redis_link *link, coat_store_req *req, coat_span bytes,
            const coat_epoch_pair *epochs)
{
    coat_value value;
    coat_err err = remote_value_decode(bytes, req->space, &req->address, &value);

    if (err == COAT_OK && coat_is_live(&value, req->now_ms, epochs)) {
        req->found = value.payload;
        req->found_version = value.version;
        req->found_expires_ms = value.expires_ms;
        redis_finish(link, req, COAT_OK);
        return;
    }
    if (err != COAT_OK && is_sure(req))
        count_unreadable(link, 1);
    found_none(link, req, err == COAT_OK ? COAT_NO_SESSION : err);
}

static void
answer_load(redis_link *link, coat_store_req *req, const resp_reply *reply)
{
    size_t count = req->space == COAT_SPACE_SESSION ? 3 : 1, code = is_sure(req);
    resp_reply values = *reply;
    coat_epoch_pair epochs = {0, 0};

    if (reply->type != RESP_ARRAY || reply->count != code + count) {
        strange(link);
        return;
    }
    values.items += code;
    if (count == 3 && !epochs_of(link, &values, &epochs)) {
        /* An unreadable epoch must not let ended sessions back in. */
        found_none(link, req, COAT_IO);
        return;
    }
    if (values.items[0]->type == RESP_STRING)
        found_value(link, req, values.items[0]->text, &epochs);
    else if (values.items[0]->type == RESP_NIL)
        found_none(link, req, COAT_NO_SESSION);
    else
        strange(link);
}

/* ---- scripts that answer in numbers ---- */

static void
answer_written(redis_link *link, coat_store_req *req, const resp_reply *reply)
{
    uint64_t version;

    if (!resp_is(reply, 1, RESP_STRING) || !resp_number(reply->items[1], &version)) {
        strange(link);
        return;
    }
    for (size_t i = 2; i < reply->count; i++)
        if (!resp_is(reply, i, RESP_STRING) || reply->items[i]->text.len != 8) {
            strange(link);
            return;
        }
    atomic_store(&redis_store_of(link)->full, false);
    req->found_version = version;
    if (req->op == COAT_OP_REPLACE)
        req->found_expires_ms = req->expires_ms;
    for (size_t i = 2; i < reply->count && req->item != NULL; i++) {
        coat_store_item item = {.address = req->address};

        memcpy(item.address.bytes, reply->items[i]->text.ptr, 8);
        req->item(req, &item);
    }
    redis_finish(link, req, COAT_OK);
}

static void
answer_epoch(redis_link *link, coat_store_req *req, const resp_reply *reply)
{
    uint64_t first, global = 0, clock = 0;

    if (!resp_is(reply, 1, RESP_STRING) || !resp_number(reply->items[1], &first) ||
        (req->op == COAT_OP_EPOCHS &&
         (!resp_is(reply, 2, RESP_STRING) || !resp_number(reply->items[2], &global) ||
          !resp_is(reply, 3, RESP_STRING) || !resp_number(reply->items[3], &clock) ||
          clock > INT64_MAX))) {
        strange(link);
        return;
    }
    req->found_clock_ms = (int64_t)clock;
    if (req->op != COAT_OP_EPOCHS)
        redis_given_seen(redis_store_of(link), first);
    if (req->op == COAT_OP_END_ALL)
        req->epoch_global = redis_global_seen(redis_store_of(link), first);
    else
        req->epoch_owner = first;
    if (req->op == COAT_OP_EPOCHS)
        req->epoch_global = redis_global_seen(redis_store_of(link), global);
    redis_finish(link, req, COAT_OK);
}

/* ---- SAY ---- */

static bool
check_members(const resp_reply *reply)
{
    uint64_t version;

    if (reply->count < 2 || reply->count % 2 != 0)
        return false;
    for (size_t i = 2; i < reply->count; i += 2)
        if (!resp_is(reply, i, RESP_STRING) || reply->items[i]->text.len != COAT_HANDLE_BYTES ||
            !resp_number(reply->items[i + 1], &version))
            return false;
    return true;
}

static void
answer_say(redis_link *link, coat_store_req *req, const resp_reply *reply)
{
    if (!check_members(reply) || !resp_number(reply->items[1], &req->found_version)) {
        strange(link);
        return;
    }
    for (size_t i = 2; i < reply->count && req->item != NULL; i += 2) {
        coat_store_item item = {0};

        memcpy(item.address.bytes, reply->items[i]->text.ptr, sizeof item.address.bytes);
        (void)resp_number(reply->items[i + 1], &item.version);
        req->item(req, &item);
    }
    redis_finish(link, req, COAT_OK);
}

/* ---- LIST_OWNER, SCAN ---- */

static bool
item_address(const coat_store_req *req, coat_span bytes, coat_handle *out)
{
    if (req->op == COAT_OP_SCAN) {
        if (bytes.len != sizeof out->bytes)
            return false;
        memcpy(out->bytes, bytes.ptr, sizeof out->bytes);
        return true;
    }
    if (bytes.len != 8)
        return false;
    memcpy(out->bytes, bytes.ptr, 8);
    memcpy(out->bytes + 8, req->owner.bytes, 8);
    return true;
}

/** Behind where it began, if it says how far it got: else whoever goes on gets nowhere. */
static bool
list_goes_on(const coat_store_req *req, coat_span behind)
{
    return behind.len == 0 ||
           (behind.len == 8 &&
            (!req->has_cursor || memcmp(behind.ptr, req->cursor.bytes, 8) > 0));
}

/** Everything is looked at before the first entry is reported. */
static bool
check_report(const coat_store_req *req, const resp_reply *reply)
{
    coat_handle address;

    if (!resp_is(reply, 1, RESP_INTEGER) || !resp_is(reply, 2, RESP_STRING) ||
        reply->count % 2 == 0 || (reply->count - 3) / 2 > req->limit - req->count)
        return false;
    for (size_t i = 3; i < reply->count; i += 2)
        if (!resp_is(reply, i, RESP_STRING) || !resp_is(reply, i + 1, RESP_STRING) ||
            !item_address(req, reply->items[i]->text, &address))
            return false;
    if (req->op == COAT_OP_LIST_OWNER)
        return list_goes_on(req, reply->items[2]->text);
    return reply->items[1]->integer != 2 ||
           reply->items[2]->text.len == sizeof req->cursor.bytes;
}

static void
report(redis_link *link, coat_store_req *req, const resp_reply *reply)
{
    coat_space space = req->op == COAT_OP_SCAN ? req->space : COAT_SPACE_SESSION;

    for (size_t i = 3; i < reply->count; i += 2) {
        coat_store_item item;
        coat_value value;

        if (!item_address(req, reply->items[i]->text, &item.address))
            return;
        if (remote_value_decode(reply->items[i + 1]->text, space, &item.address, &value) !=
            COAT_OK) {
            count_unreadable(link, 1);
            continue;
        }
        item.version = value.version;
        item.expires_ms = value.expires_ms;
        item.value = value.payload;
        req->count++;
        req->item(req, &item);
    }
}

static void
answer_report(redis_link *link, coat_store_req *req, const resp_reply *reply)
{
    int64_t more;

    if (!check_report(req, reply)) {
        strange(link);
        return;
    }
    more = reply->items[1]->integer;
    report(link, req, reply);
    if (more == 2 && req->op == COAT_OP_SCAN) {
        /* It has looked long enough: on behind the last entry that it looked at. */
        remote_pending_of(req)->step = 1;
        req->has_cursor = true;
        memcpy(req->cursor.bytes, reply->items[2]->text.ptr, sizeof req->cursor.bytes);
        go_on(link, req);
        return;
    }
    req->more = more == 1;
    if (req->op == COAT_OP_LIST_OWNER && reply->items[2]->text.len > 0) {
        req->has_cursor = true;
        memcpy(req->cursor.bytes, reply->items[2]->text.ptr, 8);
        memcpy(req->cursor.bytes + 8, req->owner.bytes, sizeof req->owner.bytes);
    }
    redis_finish(link, req, COAT_OK);
}

/* ---- SWEEP ---- */

typedef struct swept {
    uint64_t count, looked, odd, sessions, accounts, epochs;
    bool done;
    coat_span last;
} swept;

static bool
read_swept(const resp_reply *reply, swept *out)
{
    static const uint8_t numbers[] = {1, 2, 3, 5, 6, 7};

    if (reply->count != 9)
        return false;
    for (size_t i = 0; i < sizeof numbers; i++)
        if (!resp_is(reply, numbers[i], RESP_INTEGER) || reply->items[numbers[i]]->integer < 0)
            return false;
    if (!resp_is(reply, 4, RESP_STRING) || reply->items[4]->text.len > COAT_HANDLE_BYTES ||
        !resp_number(reply->items[8], &out->epochs))
        return false;
    out->count = (uint64_t)reply->items[1]->integer;
    out->looked = (uint64_t)reply->items[2]->integer;
    out->done = reply->items[3]->integer != 0;
    out->last = reply->items[4]->text;
    out->odd = (uint64_t)reply->items[5]->integer;
    out->sessions = (uint64_t)reply->items[6]->integer;
    out->accounts = (uint64_t)reply->items[7]->integer;
    return true;
}

/**
 * An owner's epoch may be forgotten when no session is left that it ended and no sign-in is
 * under way that has read what was before. A walk through all sessions shows the former, for
 * the epochs from before it, if it could read all of them; a day of this machine's clock the
 * latter.
 */
static void
settle_epochs(redis_sweeper *s, const swept *r, int64_t mono_ms)
{
    enum { DAY_MS = 24 * 3600 * 1000 };

    if (s->walked != 0 && mono_ms - s->walked_ms >= DAY_MS) {
        s->settled = s->walked;
        s->walked = 0;
    }
    if (s->began != 0 && !s->odd && s->walked == 0) {
        s->walked = s->began;
        s->walked_ms = s->began_ms;
    }
    s->odd = false;
    s->began = r->epochs;
    s->began_ms = mono_ms;
}

/** @return true at the end of a walk through everything */
static bool
advance(redis_sweeper *s, const swept *r, uint64_t asked_at, int64_t mono_ms)
{
    if (s->steps != asked_at)
        return false; /* another lane's SWEEP was faster */
    s->steps++;
    s->odd = s->odd || r->odd > 0;
    if (!r->done) {
        if (r->last.len > 0)
            memcpy(s->cursor, r->last.ptr, r->last.len);
        s->cursor_len = (uint8_t)r->last.len;
        return false;
    }
    s->cursor_len = 0;
    s->phase = (s->phase + 1) % REDIS_PHASES;
    if (s->phase != 0)
        return false;
    settle_epochs(s, r, mono_ms);
    return true;
}

static bool
move_on(redis_store *store, const coat_store_req *req, const swept *r, uint64_t asked_at)
{
    remote_store *keeper = &redis_home(store)->remote;
    int64_t mono_ms = remote_now_ms(keeper);
    bool end;

    pthread_mutex_lock(&keeper->mutex);
    end = advance(redis_sweeper_of(store, req), r, asked_at, mono_ms);
    pthread_mutex_unlock(&keeper->mutex);
    return end;
}

static void
answer_sweep(redis_link *link, coat_store_req *req, const resp_reply *reply)
{
    redis_store *store = redis_store_of(link);
    remote_pending *p = remote_pending_of(req);
    swept r;
    bool end;

    if (!read_swept(reply, &r) || r.count > req->limit - req->count ||
        r.looked > redis_look_max(store, req) - p->count) {
        strange(link);
        return;
    }
    if (store->cluster != NULL) {
        redis_cluster_counted(req, r.sessions, r.accounts);
    } else {
        atomic_store(&store->sessions, r.sessions);
        atomic_store(&store->accounts, r.accounts);
    }
    count_unreadable(link, r.odd);
    end = move_on(store, req, &r, (uint64_t)(uintptr_t)p->data);
    redis_doubts_ended(link, p->mark);
    req->count += (uint32_t)r.count;
    p->count += (uint32_t)r.looked;
    if (!end && req->count < req->limit && p->count < redis_look_max(store, req)) {
        p->step = 1;
        go_on(link, req);
        return;
    }
    req->more = !end;
    redis_finish(link, req, COAT_OK);
}

/* ---- all ---- */

void
redis_answer(redis_link *link, coat_store_req *req, const resp_reply *reply)
{
    int64_t code;

    if (redis_store_of(link)->cluster != NULL && redis_cluster_own_answer(link, req)) {
        if (req->op == COAT_OP_SWEEP)
            redis_doubts_ended(link, remote_pending_of(req)->mark);
        redis_finish(link, req, COAT_OK);
        return;
    }
    if (req->op == COAT_OP_LOAD) {
        answer_load(link, req, reply);
        return;
    }
    if (!resp_is(reply, 0, RESP_INTEGER)) {
        strange(link);
        return;
    }
    code = reply->items[0]->integer;
    if (code != COAT_OK) {
        if (code < 0 || code > ANSWERS_MAX)
            strange(link);
        else
            redis_finish(link, req, (coat_err)code);
        return;
    }
    switch (req->op) {
    case COAT_OP_INSERT:
    case COAT_OP_REPLACE:
        answer_written(link, req, reply);
        break;
    case COAT_OP_SAY:
        answer_say(link, req, reply);
        break;
    case COAT_OP_REMOVE:
    case COAT_OP_LEAVE:
        redis_finish(link, req, COAT_OK);
        break;
    case COAT_OP_LIST_OWNER:
    case COAT_OP_SCAN:
        answer_report(link, req, reply);
        break;
    case COAT_OP_SWEEP:
        answer_sweep(link, req, reply);
        break;
    default:
        answer_epoch(link, req, reply);
        break;
    }
}
