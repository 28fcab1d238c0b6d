/* SPDX-License-Identifier: Apache-2.0 */
#include "store/read.h"

#include "store/find.h"

static coat_err
read_load(coat_kv *kv, coat_store_req *req)
{
    coat_value value;
    coat_err answer;
    coat_err err = coat_find(kv, req->space, &req->address, req->now_ms, NULL, &value, &answer);

    if (err != COAT_OK)
        return err;
    if (answer == COAT_OK) {
        req->found = value.payload;
        req->found_version = value.version;
        req->found_expires_ms = value.expires_ms;
    }
    return answer;
}

static coat_err
read_epochs(coat_kv *kv, coat_store_req *req)
{
    coat_epoch_pair pair;
    coat_err err = coat_epochs_get(kv, req->owner.bytes, &pair);

    if (err == COAT_OK) {
        req->epoch_owner = pair.owner;
        req->epoch_global = pair.global;
    }
    return err;
}

/** Report one more, or note that there would be more. @retval COAT_NOT_FOUND  stop here */
static coat_err
report(coat_store_req *req, const coat_handle *address, const coat_value *value,
       coat_emit_fn emit, void *ctx)
{
    coat_store_item item = {*address, value->version, value->expires_ms, value->payload};

    if (req->count == req->limit) {
        req->more = true;
        return COAT_NOT_FOUND;
    }
    req->count++;
    return emit(ctx, req, &item);
}

/* Others wait for the thread meanwhile, and the dead are not reported, but passed. */
enum { LOOK_MAX = COAT_STORE_LIST_MAX };

static coat_err
read_list(coat_kv *kv, coat_store_req *req, coat_emit_fn emit, void *ctx)
{
    uint32_t dead = 0;
    coat_kv_entry entry = {0};
    coat_epoch_pair epochs;
    coat_value value;
    coat_handle handle;
    coat_err err, answer;
    bool after = req->has_cursor;

    memcpy(entry.key, req->owner.bytes, 8);
    if (req->has_cursor)
        memcpy(entry.key + 8, req->cursor.bytes, 8);
    err = coat_epochs_get(kv, req->owner.bytes, &epochs);
    while (err == COAT_OK) {
        err = kv->ops->seek(kv, COAT_MAP_INDEX, entry.key, after, &entry);
        if (err != COAT_OK || memcmp(entry.key, req->owner.bytes, 8) != 0)
            break;
        after = true;
        coat_index_handle(entry.key, &handle);
        err = coat_find(kv, COAT_SPACE_SESSION, &handle, req->now_ms, &epochs, &value, &answer);
        if (err == COAT_OK && answer == COAT_OK) {
            err = report(req, &handle, &value, emit, ctx);
        } else if (err == COAT_OK && ++dead == LOOK_MAX) {
            req->more = req->has_cursor = true;
            req->cursor = handle;
            break;
        }
    }
    return err == COAT_NOT_FOUND ? COAT_OK : err;
}

static coat_err
read_scan(coat_kv *kv, coat_store_req *req, coat_emit_fn emit, void *ctx)
{
    coat_map map = coat_map_of(req->space);
    coat_epoch_pair epochs = {0, 0};
    coat_kv_entry entry = {0};
    coat_value value;
    coat_handle handle;
    coat_err err = COAT_OK, answer;
    bool after = req->has_cursor;

    if (req->has_cursor)
        memcpy(entry.key, req->cursor.bytes, sizeof entry.key);
    for (;;) {
        err = kv->ops->seek(kv, map, entry.key, after, &entry);
        if (err != COAT_OK)
            break;
        after = true;
        memcpy(handle.bytes, entry.key, sizeof handle.bytes);
        coat_decode(kv, entry.value, &value, &answer);
        if (answer != COAT_OK)
            continue;
        if (map == COAT_MAP_SESSION)
            err = coat_epochs_get(kv, handle.bytes + 8, &epochs);
        if (err == COAT_OK && coat_is_live(&value, req->now_ms, &epochs))
            err = report(req, &handle, &value, emit, ctx);
        if (err != COAT_OK)
            break;
    }
    return err == COAT_NOT_FOUND ? COAT_OK : err;
}

void
coat_read(coat_kv *kv, coat_store_req *req, coat_emit_fn emit, void *ctx)
{
    switch (req->op) {
    case COAT_OP_LOAD:
        req->result = read_load(kv, req);
        break;
    case COAT_OP_EPOCHS:
        req->result = read_epochs(kv, req);
        break;
    case COAT_OP_LIST_OWNER:
        req->result = read_list(kv, req, emit, ctx);
        break;
    default:
        req->result = read_scan(kv, req, emit, ctx);
        break;
    }
}
