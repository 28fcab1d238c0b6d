/* SPDX-License-Identifier: Apache-2.0 */
#include "store/suite/model.h"
#include "store/order.h"

static bool
live(const model_entry *e, int64_t now_ms)
{
    return e->expires_ms == 0 || now_ms < e->expires_ms;
}

static bool
owned(const model_entry *e, const uint8_t *owner)
{
    return e->space == COAT_SPACE_SESSION && memcmp(e->address.bytes + 8, owner, 8) == 0;
}

const model_entry *
model_find(const model *m, coat_space space, const coat_handle *address, int64_t now_ms)
{
    for (size_t i = 0; i < m->count; i++)
        if (m->entries[i].space == space &&
            memcmp(m->entries[i].address.bytes, address->bytes, 16) == 0 &&
            live(&m->entries[i], now_ms))
            return &m->entries[i];
    return NULL;
}

size_t
model_live(const model *m, coat_space space, int64_t now_ms)
{
    size_t n = 0;

    for (size_t i = 0; i < m->count; i++)
        n += m->entries[i].space == space && live(&m->entries[i], now_ms);
    return n;
}

const model_owner *
model_owner_get(const model *m, const coat_owner *owner)
{
    for (size_t i = 0; i < m->owner_count; i++)
        if (memcmp(m->owners[i].owner.bytes, owner->bytes, 8) == 0)
            return &m->owners[i];
    return NULL;
}

static void
strike(model *m, coat_space space, const coat_handle *address)
{
    for (size_t i = 0; i < m->count; i++)
        if (m->entries[i].space == space &&
            memcmp(m->entries[i].address.bytes, address->bytes, 16) == 0) {
            m->entries[i] = m->entries[--m->count];
            return;
        }
}

static uint32_t
caps_of(const model *m)
{
    return m->cache ? COAT_CAP_CACHE : 0;
}

/** The lowest entry behind `after` that LIST_OWNER or SCAN would report. */
static const model_entry *
lowest_after(const model *m, coat_space space, const coat_owner *owner,
             const coat_handle *after, int64_t now_ms)
{
    const model_entry *best = NULL;

    for (size_t i = 0; i < m->count; i++) {
        const model_entry *e = &m->entries[i];

        if (e->space != space || !live(e, now_ms) ||
            (owner != NULL && !owned(e, owner->bytes)) ||
            (after != NULL && coat_scan_compare(caps_of(m), &e->address, after) <= 0))
            continue;
        if (best == NULL || coat_scan_compare(caps_of(m), &e->address, &best->address) < 0)
            best = e;
    }
    return best;
}

static const char *
wrong_item(const model_item *got, const model_entry *want)
{
    if (memcmp(got->address.bytes, want->address.bytes, 16) != 0)
        return "an entry is reported that should not be, or one is missing";
    if (got->version != want->version || got->expires_ms != want->expires_ms)
        return "an entry is reported with a wrong version or expiry";
    if (got->len != want->len || memcmp(got->value, want->value, want->len) != 0)
        return "an entry is reported with a wrong value";
    return NULL;
}

/** A SCAN of a cache may pass over much that is empty, and then says where it got: not beyond
 * the next entry. */
static bool
may_stop(const model *m, const coat_store_req *asked, const coat_store_req *req,
         const coat_handle *next)
{
    return m->cache && asked->op == COAT_OP_SCAN && req->more && req->has_cursor &&
           coat_scan_compare(caps_of(m), &req->cursor, next) < 0;
}

static bool
is_more_right(const model *m, const coat_store_req *asked, const coat_store_req *req,
              const model_entry *next)
{
    /* There may be places with nothing in them. */
    if (req->more && next == NULL && m->cache && asked->op == COAT_OP_SCAN)
        return true;
    return req->more == (next != NULL);
}

static const char *
check_report(const model *m, const coat_store_req *asked, const coat_store_req *req,
             const model_seen *seen, coat_space space, const coat_owner *owner)
{
    const coat_handle *after = asked->has_cursor ? &asked->cursor : NULL;
    const model_entry *e;
    const char *fault;
    size_t n = 0;

    if (req->result != COAT_OK)
        return "a report failed";
    while ((e = lowest_after(m, space, owner, after, asked->now_ms)) != NULL &&
           n < asked->limit) {
        if (n == seen->item_count && may_stop(m, asked, req, &e->address))
            return NULL;
        if (n == seen->item_count)
            return "too few entries are reported";
        fault = wrong_item(&seen->items[n++], e);
        if (fault != NULL)
            return fault;
        after = &e->address;
    }
    if (n != seen->item_count || n != req->count)
        return "too many entries are reported, or count is wrong";
    return is_more_right(m, asked, req, e) ? NULL : "more is wrong";
}

static const char *
new_version(model *m, model_entry *e, const coat_store_req *req)
{
    model_spent *spent = m->spent;

    while (spent < m->spent + m->spent_count &&
           (spent->space != e->space || memcmp(&spent->address, &e->address, 16) != 0))
        spent++;
    if (spent == m->spent + m->spent_count) {
        if (m->spent_count == MODEL_ENTRIES)
            return "the model is full";
        m->spent_count++;
        *spent = (model_spent){e->space, e->address, 0};
    }
    if (req->found_version <= spent->version)
        return "a version was given out before, or a higher one";
    spent->version = req->found_version;
    e->version = req->found_version;
    e->expires_ms = req->expires_ms;
    e->len = req->value.len;
    if (e->len > 0)
        memcpy(e->value, req->value.ptr, e->len);
    return NULL;
}

/** Live sessions of the new one's owner, but the superseded one. */
static size_t
crowd_of(const model *m, const coat_store_req *asked)
{
    size_t crowd = 0;

    for (size_t i = 0; i < m->count; i++)
        crowd += owned(&m->entries[i], asked->address.bytes + 8) &&
                 live(&m->entries[i], asked->now_ms) &&
                 !(asked->has_superseded &&
                   memcmp(m->entries[i].address.bytes, asked->superseded.bytes, 16) == 0);
    return crowd;
}

/** Is it the epoch of this owner? */
static bool
fits_epoch(const model_owner *o, uint64_t epoch)
{
    if (epoch == 0 && (o == NULL || o->first))
        return true;
    return epoch == (o != NULL ? o->epoch : 0);
}

static coat_err
insert_answer(const model *m, const coat_store_req *asked, size_t *surplus)
{
    const model_owner *o;
    coat_owner owner;
    size_t crowd;

    *surplus = 0;
    memcpy(owner.bytes, asked->address.bytes + 8, 8);
    if (model_find(m, asked->space, &asked->address, asked->now_ms) != NULL)
        return COAT_EXISTS;
    if (asked->space != COAT_SPACE_SESSION)
        return COAT_OK;
    o = model_owner_get(m, &owner);
    if (!fits_epoch(o, asked->epoch_owner) || asked->epoch_global != m->epoch_global)
        return COAT_REVOKED;
    if (asked->has_superseded) {
        const model_entry *old =
            model_find(m, COAT_SPACE_SESSION, &asked->superseded, asked->now_ms);

        if (old == NULL)
            return COAT_NO_SESSION;
        if (asked->version != 0 && asked->version != old->version)
            return COAT_CONFLICT;
    }
    crowd = crowd_of(m, asked);
    if (asked->owner_max > 0 && crowd >= asked->owner_max)
        *surplus = crowd - asked->owner_max + 1;
    return *surplus > 0 && !asked->owner_evict ? COAT_TOO_MANY : COAT_OK;
}

static const char *
check_insert(model *m, const coat_store_req *asked, const coat_store_req *req,
             const model_seen *seen)
{
    size_t surplus;
    coat_owner owner;

    if (req->result != insert_answer(m, asked, &surplus))
        return "insert answered wrongly";
    if (req->result != COAT_OK)
        return seen->item_count == 0 ? NULL : "a refused insert evicted";
    if (m->count == MODEL_ENTRIES)
        return "the model is full";
    if (asked->has_superseded)
        strike(m, COAT_SPACE_SESSION, &asked->superseded);
    memcpy(owner.bytes, asked->address.bytes + 8, 8);
    if (seen->item_count != surplus)
        return "insert evicted too many or too few";
    for (size_t i = 0; i < surplus; i++) {
        const model_entry *e = lowest_after(m, COAT_SPACE_SESSION, &owner, NULL, asked->now_ms);

        if (e == NULL || memcmp(e->address.bytes, seen->items[i].address.bytes, 16) != 0)
            return "insert evicted another than the oldest";
        strike(m, COAT_SPACE_SESSION, &seen->items[i].address);
    }
    strike(m, asked->space, &asked->address); /* an expired one */
    m->entries[m->count] = (model_entry){.space = asked->space, .address = asked->address};
    return new_version(m, &m->entries[m->count++], req);
}

static const char *
check_replace(model *m, const coat_store_req *asked, const coat_store_req *req)
{
    const model_entry *found = model_find(m, asked->space, &asked->address, asked->now_ms);
    coat_err want = found == NULL                      ? COAT_NO_SESSION
                    : found->version != asked->version ? COAT_CONFLICT
                                                       : COAT_OK;

    if (req->result != want)
        return "replace answered wrongly";
    if (want != COAT_OK)
        return NULL;
    return new_version(m, &m->entries[found - m->entries], req);
}

static const char *
check_load(const model *m, const coat_store_req *asked, const coat_store_req *req,
           const model_seen *seen)
{
    const model_entry *e = model_find(m, asked->space, &asked->address, asked->now_ms);

    if (req->result != (e != NULL ? COAT_OK : COAT_NO_SESSION))
        return "load answered wrongly";
    if (e == NULL)
        return NULL;
    if (req->found_version != e->version || req->found_expires_ms != e->expires_ms)
        return "load found a wrong version or expiry";
    if (seen->found_len != e->len || memcmp(seen->found, e->value, e->len) != 0)
        return "load found a wrong value";
    return NULL;
}

static const char *
check_remove_owner(model *m, const coat_store_req *asked, const coat_store_req *req)
{
    model_owner *o = NULL;

    if (req->result != COAT_OK)
        return "remove_owner failed";
    if (req->epoch_owner <= m->epoch_highest)
        return "an epoch was given out twice";
    m->epoch_highest = req->epoch_owner;
    for (size_t i = m->count; i-- > 0;)
        if (owned(&m->entries[i], asked->owner.bytes) &&
            !(asked->has_spare && live(&m->entries[i], asked->now_ms) &&
              memcmp(m->entries[i].address.bytes, asked->spare.bytes, 16) == 0))
            m->entries[i] = m->entries[--m->count];
    for (size_t i = 0; i < m->owner_count; i++)
        if (memcmp(m->owners[i].owner.bytes, asked->owner.bytes, 8) == 0)
            o = &m->owners[i];
    if (o == NULL) {
        if (m->owner_count == MODEL_OWNERS)
            return "the model is full";
        o = &m->owners[m->owner_count++];
    }
    *o = (model_owner){asked->owner, req->epoch_owner, asked->now_ms, false, false};
    return NULL;
}

static const char *
check_end_all(model *m, const coat_store_req *req)
{
    if (req->result != COAT_OK)
        return "end_all failed";
    if (req->epoch_global <= m->epoch_highest)
        return "an epoch was given out twice";
    m->epoch_global = m->epoch_highest = req->epoch_global;
    for (size_t i = m->count; i-- > 0;)
        if (m->entries[i].space == COAT_SPACE_SESSION)
            m->entries[i] = m->entries[--m->count];
    return NULL;
}

/** A cache gives an owner an epoch when it is first asked for it. */
static const char *
first_epoch(model *m, const coat_store_req *asked, const coat_store_req *req)
{
    if (req->epoch_owner <= m->epoch_highest)
        return "an epoch was given out twice";
    if (m->owner_count == MODEL_OWNERS)
        return "the model is full";
    m->epoch_highest = req->epoch_owner;
    m->owners[m->owner_count++] =
        (model_owner){asked->owner, req->epoch_owner, asked->now_ms, false, true};
    return NULL;
}

static const char *
check_epochs(model *m, const coat_store_req *asked, const coat_store_req *req)
{
    model_owner *o = NULL;

    for (size_t i = 0; i < m->owner_count; i++)
        if (memcmp(m->owners[i].owner.bytes, asked->owner.bytes, 8) == 0)
            o = &m->owners[i];
    if (req->result != COAT_OK || req->epoch_global != m->epoch_global)
        return "epochs answered wrongly";
    if (o == NULL && m->cache)
        return first_epoch(m, asked, req);
    if (o != NULL && o->forgettable && req->epoch_owner == 0)
        o->epoch = 0;
    return req->epoch_owner == (o != NULL ? o->epoch : 0) ? NULL
                                                          : "epochs gave a wrong owner's epoch";
}

static const char *
check_sweep(model *m, const coat_store_req *asked, const coat_store_req *req)
{
    enum { DAY_MS = 24 * 3600 * 1000 };

    if (req->result != COAT_OK || req->count > asked->limit)
        return "sweep failed, or erased more than asked for";
    for (size_t i = 0; i < m->owner_count; i++)
        if (asked->now_ms - m->owners[i].raised_ms >= DAY_MS)
            m->owners[i].forgettable = true;
    /* What has expired may be gone for good, whatever the clock says later. */
    for (size_t i = m->count; i-- > 0;)
        if (!live(&m->entries[i], asked->now_ms))
            m->entries[i] = m->entries[--m->count];
    return NULL;
}

const char *
model_check(model *m, const coat_store_req *asked, const coat_store_req *req,
            const model_seen *seen)
{
    switch (asked->op) {
    case COAT_OP_INSERT:
        return check_insert(m, asked, req, seen);
    case COAT_OP_LOAD:
        return check_load(m, asked, req, seen);
    case COAT_OP_REPLACE:
        return check_replace(m, asked, req);
    case COAT_OP_REMOVE:
        strike(m, asked->space, &asked->address);
        return req->result == COAT_OK ? NULL : "remove failed";
    case COAT_OP_LIST_OWNER:
        return check_report(m, asked, req, seen, COAT_SPACE_SESSION, &asked->owner);
    case COAT_OP_REMOVE_OWNER:
        return check_remove_owner(m, asked, req);
    case COAT_OP_EPOCHS:
        return check_epochs(m, asked, req);
    case COAT_OP_END_ALL:
        return check_end_all(m, req);
    case COAT_OP_SCAN:
        return check_report(m, asked, req, seen, asked->space, NULL);
    default:
        return check_sweep(m, asked, req);
    }
}
