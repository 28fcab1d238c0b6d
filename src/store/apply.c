/* SPDX-License-Identifier: Apache-2.0 */
#include "store/apply.h"

#include "store/find.h"

#include <stdlib.h>

static coat_err
absent_is_ok(coat_err err)
{
    return err == COAT_NOT_FOUND ? COAT_OK : err;
}

coat_err
coat_erase_session(coat_kv *kv, const coat_handle *handle)
{
    uint8_t key[16];
    coat_err err = absent_is_ok(kv->ops->del(kv, COAT_MAP_SESSION, handle->bytes));

    if (err != COAT_OK)
        return err;
    coat_index_key(handle, key);
    return absent_is_ok(kv->ops->del(kv, COAT_MAP_INDEX, key));
}

static coat_err
put_value(coat_work *work, coat_space space, const coat_handle *address,
          const coat_value *value)
{
    uint8_t head[COAT_VALUE_HEAD];

    coat_value_head(value, head);
    return work->kv->ops->put(work->kv, coat_map_of(space), address->bytes,
                              (coat_span){head, sizeof head}, value->payload);
}

/* ---- INSERT ---- */

typedef struct crowd { /* live sessions of one owner, oldest first */
    coat_handle *oldest;
    uint32_t cap, count; /* count may exceed cap: only the first cap are kept */
} crowd;

static coat_err
crowd_grow(crowd *c)
{
    uint32_t cap = c->cap == 0 ? 64 : c->cap * 2;
    coat_handle *grown = reallocarray(c->oldest, cap, sizeof *grown);

    if (grown == NULL)
        return COAT_NO_MEMORY;
    c->oldest = grown;
    c->cap = cap;
    return COAT_OK;
}

/** Collect the owner's live sessions; dead ones met on the way are erased, so that a sign-in
 * after "end all" does not step over the same corpses again and again. */
static coat_err
crowd_collect(coat_work *work, const coat_store_req *req, const coat_epoch_pair *epochs,
              crowd *c)
{
    enum { ERASE_MAX = 256 };
    coat_kv *kv = work->kv;
    coat_kv_entry entry = {0};
    coat_value value;
    coat_handle handle;
    coat_err err, answer;
    uint32_t erased = 0;
    bool after = false;

    memcpy(entry.key, req->address.bytes + 8, 8);
    for (;;) {
        err = kv->ops->seek(kv, COAT_MAP_INDEX, entry.key, after, &entry);
        if (err != COAT_OK || memcmp(entry.key, req->address.bytes + 8, 8) != 0)
            return absent_is_ok(err);
        after = true;
        coat_index_handle(entry.key, &handle);
        err = coat_find(kv, COAT_SPACE_SESSION, &handle, req->now_ms, epochs, &value, &answer);
        if (err == COAT_OK && answer == COAT_NO_SESSION && erased < ERASE_MAX) {
            erased++;
            err = coat_erase_session(kv, &handle);
        }
        if (err == COAT_OK && answer == COAT_OK &&
            !(req->has_superseded && coat_handle_equal(&handle, &req->superseded))) {
            if (c->count == c->cap)
                err = crowd_grow(c);
            if (err == COAT_OK)
                c->oldest[c->count++] = handle;
        }
        if (err != COAT_OK)
            return err;
    }
}

static coat_err
insert_new(coat_work *work, coat_store_req *req, const coat_epoch_pair *epochs)
{
    coat_value value = {work->version++, req->expires_ms, epochs->owner, epochs->global,
                        req->value};
    uint8_t key[16];
    coat_err err = COAT_OK;

    /* The index first: an entry without a session is ignored and swept, a session without an
     * entry could not be revoked. */
    if (req->space == COAT_SPACE_SESSION) {
        coat_index_key(&req->address, key);
        err = work->kv->ops->put(work->kv, COAT_MAP_INDEX, key, (coat_span){NULL, 0},
                                 (coat_span){NULL, 0});
    }
    if (err == COAT_OK)
        err = put_value(work, req->space, &req->address, &value);
    req->found_version = value.version;
    return err;
}

static int64_t
insert_cost(const coat_work *work, const coat_store_req *req)
{
    return work->entry_cost + (int64_t)req->value.len;
}

/** The one that is to be replaced: is it there, and as it was read? */
static coat_err
superseded_judge(coat_work *work, const coat_store_req *req, const coat_epoch_pair *epochs,
                 coat_err *answer)
{
    coat_value old;
    coat_err err;

    *answer = COAT_OK;
    if (!req->has_superseded)
        return COAT_OK;
    err = coat_find(work->kv, COAT_SPACE_SESSION, &req->superseded, req->now_ms, epochs, &old,
                    answer);
    if (err == COAT_OK && *answer == COAT_OK && req->version != 0 &&
        req->version != old.version)
        *answer = COAT_CONFLICT;
    return err;
}

/** What stands against it, in the order of the contract; *surplus: how many must go. */
static coat_err
insert_judge(coat_work *work, coat_store_req *req, const coat_epoch_pair *epochs, crowd *c,
             uint32_t *surplus)
{
    coat_err answer, err;

    if (epochs->owner != req->epoch_owner || epochs->global != req->epoch_global) {
        req->result = COAT_REVOKED;
        return COAT_OK;
    }
    err = superseded_judge(work, req, epochs, &answer);
    if (err == COAT_OK && answer == COAT_OK && req->owner_max > 0)
        err = crowd_collect(work, req, epochs, c);
    req->result = answer;
    if (err != COAT_OK || answer != COAT_OK)
        return err;
    if (req->owner_max > 0 && c->count >= req->owner_max)
        *surplus = c->count - req->owner_max + 1;
    if (*surplus > 0 && !req->owner_evict)
        req->result = COAT_TOO_MANY;
    else if (insert_cost(work, req) > work->room)
        req->result = COAT_STORE_FULL;
    return COAT_OK;
}

/** Everything but the entry's own existence, which has been checked. */
static coat_err
insert_session(coat_work *work, coat_store_req *req, crowd *c, coat_evicted *evicted)
{
    coat_kv *kv = work->kv;
    coat_epoch_pair epochs;
    uint32_t surplus = 0;
    coat_err err = coat_epochs_get(kv, req->address.bytes + 8, &epochs);

    if (err == COAT_OK)
        err = insert_judge(work, req, &epochs, c, &surplus);
    if (err != COAT_OK || req->result != COAT_OK)
        return err;

    err = insert_new(work, req, &epochs);
    if (err == COAT_OK && req->has_superseded)
        err = coat_erase_session(kv, &req->superseded);
    for (uint32_t i = 0; err == COAT_OK && i < surplus; i++)
        err = coat_erase_session(kv, &c->oldest[i]);
    if (err == COAT_OK && surplus > 0) {
        *evicted = (coat_evicted){c->oldest, surplus};
        c->oldest = NULL;
    }
    return err;
}

static coat_err
apply_insert(coat_work *work, coat_store_req *req, coat_evicted *evicted)
{
    static const coat_epoch_pair none = {0, 0};
    crowd c = {NULL, 0, 0};
    coat_value value;
    coat_err answer;
    coat_err err =
        coat_find(work->kv, req->space, &req->address, req->now_ms, NULL, &value, &answer);

    if (err != COAT_OK)
        return err;
    /* An expired or ended entry is not there; one that cannot be read is. */
    req->result = answer == COAT_NO_SESSION ? COAT_OK : COAT_EXISTS;
    if (req->result != COAT_OK)
        return COAT_OK;
    if (req->space == COAT_SPACE_SESSION) {
        err = insert_session(work, req, &c, evicted);
        free(c.oldest);
    } else if (insert_cost(work, req) > work->room) {
        req->result = COAT_STORE_FULL;
    } else {
        err = insert_new(work, req, &none);
    }
    if (err == COAT_OK && req->result == COAT_OK)
        work->room -= insert_cost(work, req);
    return err;
}

/* ---- the others ---- */

static coat_err
apply_replace(coat_work *work, coat_store_req *req)
{
    coat_value value;
    coat_err answer;
    coat_err err =
        coat_find(work->kv, req->space, &req->address, req->now_ms, NULL, &value, &answer);

    if (err != COAT_OK || answer != COAT_OK) {
        req->result = answer;
        return err;
    }
    if (value.version != req->version) {
        req->result = COAT_CONFLICT;
        return COAT_OK;
    }
    if (req->value.len > value.payload.len + COAT_GROWTH_MAX) {
        if (insert_cost(work, req) > work->room) {
            req->result = COAT_STORE_FULL;
            return COAT_OK;
        }
        work->room -= insert_cost(work, req);
    }
    value.version = work->version++;
    value.expires_ms = req->expires_ms;
    value.payload = req->value;
    req->found_version = value.version;
    req->found_expires_ms = value.expires_ms;
    return put_value(work, req->space, &req->address, &value);
}

static coat_err
apply_remove(coat_work *work, coat_store_req *req)
{
    if (req->space == COAT_SPACE_SESSION)
        return coat_erase_session(work->kv, &req->address);
    return absent_is_ok(
        work->kv->ops->del(work->kv, coat_map_of(req->space), req->address.bytes));
}

/**
 * Give out a new epoch: never one that was given out before, for whatever owner. With `again`
 * set that one is given out anew, to a store that has lost it.
 */
static coat_err
raise_epoch(coat_work *work, uint64_t again, uint64_t *epoch)
{
    uint64_t last;
    coat_err err = coat_info_get(work->kv, COAT_INFO_EPOCHS, &last);

    if (err != COAT_OK)
        return err;
    if (again == 0 && last == UINT64_MAX)
        return COAT_IO;
    *epoch = again != 0 ? again : last + 1;
    return *epoch > last ? coat_info_put(work->kv, COAT_INFO_EPOCHS, *epoch) : COAT_OK;
}

/** Lift the spared session over the epoch; its version stays, since its value does. */
static coat_err
spare_session(coat_work *work, const coat_store_req *req, uint64_t epoch)
{
    coat_value value;
    coat_err answer;
    coat_err err = coat_find(work->kv, COAT_SPACE_SESSION, &req->spare, req->now_ms, NULL,
                             &value, &answer);

    if (err != COAT_OK || answer != COAT_OK)
        return err;
    memcpy(work->scratch, value.payload.ptr, value.payload.len);
    value.payload.ptr = work->scratch;
    value.epoch_owner = epoch;
    return put_value(work, COAT_SPACE_SESSION, &req->spare, &value);
}

static coat_err
apply_remove_owner(coat_work *work, coat_store_req *req)
{
    uint8_t bytes[16];
    coat_epoch_pair now;
    uint64_t epoch;
    coat_err err = coat_epochs_get(work->kv, req->owner.bytes, &now);

    if (err != COAT_OK)
        return err;
    if (req->again != 0 && now.owner >= req->again) {
        req->epoch_owner = now.owner;
        return COAT_OK;
    }
    err = raise_epoch(work, req->again, &epoch);
    if (err == COAT_OK && req->has_spare)
        err = spare_session(work, req, epoch);
    if (err != COAT_OK)
        return err;
    coat_store64(bytes, epoch);
    coat_store64(bytes + 8, (uint64_t)req->now_ms);
    req->epoch_owner = epoch;
    return work->kv->ops->put(work->kv, COAT_MAP_OWNER, req->owner.bytes,
                              (coat_span){bytes, sizeof bytes}, (coat_span){NULL, 0});
}

static coat_err
apply_end_all(coat_work *work, coat_store_req *req)
{
    uint64_t epoch, now;
    coat_err err = coat_info_get(work->kv, COAT_INFO_GLOBAL, &now);

    if (err != COAT_OK)
        return err;
    if (req->again != 0 && now >= req->again) {
        req->epoch_global = now;
        return COAT_OK;
    }
    err = raise_epoch(work, req->again, &epoch);
    if (err != COAT_OK)
        return err;
    req->epoch_global = epoch;
    return coat_info_put(work->kv, COAT_INFO_GLOBAL, epoch);
}

coat_err
coat_apply(coat_work *work, coat_store_req *req, coat_evicted *evicted)
{
    req->result = COAT_OK;
    switch (req->op) {
    case COAT_OP_INSERT:
        return apply_insert(work, req, evicted);
    case COAT_OP_REPLACE:
        return apply_replace(work, req);
    case COAT_OP_REMOVE:
        return apply_remove(work, req);
    case COAT_OP_REMOVE_OWNER:
        return apply_remove_owner(work, req);
    case COAT_OP_END_ALL:
        return apply_end_all(work, req);
    case COAT_OP_SWEEP:
        return coat_apply_sweep(work, req);
    default:
        req->result = COAT_INVALID;
        return COAT_OK;
    }
}
