/* SPDX-License-Identifier: Apache-2.0 */
/**
 * The sweep walks through all maps in slices, erasing what is dead: entries past their expiry
 * or ended by an epoch, index entries without a session, and the epochs of owners that nothing
 * depends on any more. What cannot be read stays, for a newer release or a human.
 */

#include "store/apply.h"
#include "store/find.h"

static const coat_map phases[] = {COAT_MAP_SESSION, COAT_MAP_META, COAT_MAP_ACCOUNT,
                                  COAT_MAP_INDEX, COAT_MAP_OWNER};
enum { PHASES = sizeof phases / sizeof phases[0], DAY_MS = 24 * 3600 * 1000 };

static coat_err
dead_value(coat_work *work, const coat_store_req *req, coat_map map, const coat_kv_entry *entry,
           bool *dead)
{
    coat_epoch_pair epochs = {0, 0};
    coat_value value;
    coat_err err = COAT_OK, answer;

    coat_decode(work->kv, entry->value, &value, &answer);
    if (answer != COAT_OK)
        return COAT_OK;
    if (map == COAT_MAP_SESSION)
        err = coat_epochs_get(work->kv, entry->key + 8, &epochs);
    if (err == COAT_OK)
        *dead = !coat_is_live(&value, req->now_ms, &epochs);
    return err;
}

static coat_err
dead_index(coat_work *work, const coat_kv_entry *entry, bool *dead)
{
    coat_handle handle;
    coat_span bytes;
    coat_err err;

    coat_index_handle(entry->key, &handle);
    err = work->kv->ops->get(work->kv, COAT_MAP_SESSION, handle.bytes, &bytes);
    *dead = err == COAT_NOT_FOUND;
    return err == COAT_NOT_FOUND ? COAT_OK : err;
}

/**
 * An owner's epoch may go when it is a day old, no sign-in under way can have read what was
 * before it, and no session is left that it ends. Its number is never given out again.
 */
static coat_err
dead_owner(coat_work *work, const coat_store_req *req, const coat_kv_entry *owner, bool *dead)
{
    enum { LOOK_MAX = 64 };
    coat_kv *kv = work->kv;
    coat_kv_entry entry = {0};
    coat_handle handle;
    coat_value value;
    coat_span bytes;
    coat_err err;
    uint64_t epoch;

    if (owner->value.len != 16)
        return COAT_OK;
    epoch = coat_load64(owner->value.ptr);
    if (epoch > work->sweeper->settled ||
        req->now_ms - (int64_t)coat_load64(owner->value.ptr + 8) < DAY_MS)
        return COAT_OK;
    memcpy(entry.key, owner->key, 8);
    for (int i = 0; i < LOOK_MAX; i++) {
        err = kv->ops->seek(kv, COAT_MAP_INDEX, entry.key, i > 0, &entry);
        if (err == COAT_NOT_FOUND ||
            (err == COAT_OK && memcmp(entry.key, owner->key, 8) != 0)) {
            *dead = true;
            return COAT_OK;
        }
        if (err != COAT_OK)
            return err;
        coat_index_handle(entry.key, &handle);
        err = kv->ops->get(kv, COAT_MAP_SESSION, handle.bytes, &bytes);
        if (err == COAT_NOT_FOUND)
            continue;
        if (err != COAT_OK)
            return err;
        if (coat_value_decode(bytes, &value) != COAT_OK || value.epoch_owner < epoch)
            return COAT_OK;
    }
    return COAT_OK;
}

static coat_err
look(coat_work *work, const coat_store_req *req, coat_map map, const coat_kv_entry *entry,
     bool *dead)
{
    *dead = false;
    if (map == COAT_MAP_INDEX)
        return dead_index(work, entry, dead);
    if (map == COAT_MAP_OWNER)
        return dead_owner(work, req, entry, dead);
    return dead_value(work, req, map, entry, dead);
}

static coat_err
erase(coat_work *work, coat_map map, const coat_kv_entry *entry)
{
    coat_handle handle;

    if (map != COAT_MAP_SESSION)
        return work->kv->ops->del(work->kv, map, entry->key);
    memcpy(handle.bytes, entry->key, sizeof handle.bytes);
    return coat_erase_session(work->kv, &handle);
}

static coat_err
note_epochs(coat_work *work)
{
    coat_sweeper *s = work->sweeper;

    if (work->mono_ms - s->pending_mono_ms < DAY_MS)
        return COAT_OK;
    s->settled = s->pending;
    s->pending_mono_ms = work->mono_ms;
    return coat_info_get(work->kv, COAT_INFO_EPOCHS, &s->pending);
}

coat_err
coat_apply_sweep(coat_work *work, coat_store_req *req)
{
    coat_sweeper *s = work->sweeper;
    coat_kv_entry entry = {0};
    bool dead;
    coat_err err = note_epochs(work);

    for (int looked = 0; err == COAT_OK && looked < COAT_STORE_SWEEP_MAX; looked++) {
        if (req->count == req->limit)
            break;
        err = work->kv->ops->seek(work->kv, phases[s->phase], s->key, s->inside, &entry);
        if (err == COAT_NOT_FOUND) {
            err = COAT_OK;
            s->inside = false;
            memset(s->key, 0, sizeof s->key);
            s->phase = (s->phase + 1) % PHASES;
            if (s->phase == 0)
                return COAT_OK;
            continue;
        }
        if (err != COAT_OK)
            break;
        s->inside = true;
        memcpy(s->key, entry.key, sizeof s->key);
        err = look(work, req, phases[s->phase], &entry, &dead);
        if (err == COAT_OK && dead) {
            err = erase(work, phases[s->phase], &entry);
            req->count++;
        }
    }
    req->more = true;
    return err;
}
