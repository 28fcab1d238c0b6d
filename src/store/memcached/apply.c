/* SPDX-License-Identifier: Apache-2.0 */
/**
 * What a request makes of a box. All that is an owner's is in one box, which is written only if
 * it has not changed: so each operation is one atomic step, and nothing of it can be lost
 * alone.
 */

#include "store/memcached/memcached.h"

void
mc_change_free(mc_change *change)
{
    remote_buffer_free(&change->box);
    remote_buffer_free(&change->evicted);
    *change = (mc_change){0};
}

mc_place
mc_place_of_handle(const coat_handle *handle)
{
    mc_place place = {.space = COAT_SPACE_SESSION};

    memcpy(place.address.bytes + 8, handle->bytes + 8, 8);
    return place;
}

mc_place
mc_place_of(const coat_store_req *req)
{
    mc_place place = {.space = COAT_SPACE_SESSION};

    if (req->op == COAT_OP_LIST_OWNER || req->op == COAT_OP_REMOVE_OWNER ||
        req->op == COAT_OP_EPOCHS)
        memcpy(place.address.bytes + 8, req->owner.bytes, sizeof req->owner.bytes);
    else if (req->space == COAT_SPACE_SESSION)
        return mc_place_of_handle(&req->address);
    else
        place = (mc_place){req->space, req->address};
    return place;
}

static bool
is_live(const mc_entry *entry, const mc_sight *sight, int64_t now_ms)
{
    if (entry->expires_ms != 0 && entry->expires_ms <= now_ms)
        return false;
    return sight->box.space != COAT_SPACE_SESSION || entry->epoch_global >= sight->global;
}

static bool
is_at(const mc_entry *entry, const coat_handle *handle)
{
    return memcmp(entry->serial, handle->bytes, sizeof entry->serial) == 0;
}

static bool
find_live(const mc_sight *sight, const coat_handle *handle, int64_t now_ms, mc_entry *out)
{
    coat_span rest = sight->box.entries;

    while (sight->has_box && mc_box_next(&rest, out))
        if (is_at(out, handle))
            return is_live(out, sight, now_ms);
    return false;
}

/* ---- a new box from an old one ---- */

typedef struct rewrite {
    const mc_sight *sight;
    int64_t now_ms;
    const coat_handle *drop; /* not kept; NULL: none */
    const mc_entry *put;     /* in its order; instead of one at the same serial */
    const coat_handle *only; /* nothing but this is kept; NULL: all */
    bool drops_all;
    uint64_t drop_up_to; /* by version; 0: none */
    size_t surplus;      /* the oldest ones that give way */
    uint64_t epoch;      /* 0: as it was */
} rewrite;

static bool
is_kept(const rewrite *w, const mc_entry *entry)
{
    if (!is_live(entry, w->sight, w->now_ms) ||
        (w->put != NULL && memcmp(entry->serial, w->put->serial, sizeof entry->serial) == 0))
        return false;
    if (w->only != NULL && is_at(entry, w->only))
        return true;
    if (w->only != NULL || w->drops_all)
        return entry->version > w->drop_up_to && w->drop_up_to != 0;
    return w->drop == NULL || !is_at(entry, w->drop) ||
           (w->drop_up_to != 0 && entry->version > w->drop_up_to);
}

static void
add_entry(mc_change *out, const mc_entry *entry)
{
    mc_box_add(&out->box, entry);
    out->count++;
    if (entry->expires_ms == 0)
        out->is_forever = true;
    else if (entry->expires_ms > out->until_ms)
        out->until_ms = entry->expires_ms;
}

static void
write_box(const rewrite *w, const mc_place *place, mc_change *out)
{
    const mc_sight *sight = w->sight;
    coat_span rest = sight->has_box ? sight->box.entries : (coat_span){NULL, 0};
    mc_box box = {.space = place->space,
                  .address = place->address,
                  .birth = sight->birth,
                  .epoch = sight->has_box ? sight->box.epoch : sight->number,
                  .raised = sight->has_box && sight->box.raised};
    const mc_entry *put = w->put;
    size_t surplus = w->surplus;
    mc_entry entry;

    if (w->epoch != 0) {
        box.epoch = w->epoch;
        box.raised = true;
    }
    out->writes = true;
    out->number = sight->number;
    mc_box_begin(&box, &out->box);
    while (mc_box_next(&rest, &entry)) {
        if (!is_kept(w, &entry))
            continue;
        if (surplus > 0) {
            surplus--;
            remote_buffer_add(&out->evicted, entry.serial, sizeof entry.serial);
            continue;
        }
        if (put != NULL && memcmp(put->serial, entry.serial, sizeof entry.serial) < 0) {
            add_entry(out, put);
            put = NULL;
        }
        add_entry(out, &entry);
    }
    if (put != NULL)
        add_entry(out, put);
    mc_box_end(&out->box, out->count, sight->number);
}

/* ---- operations ---- */

static mc_entry
entry_of(const coat_store_req *req, const mc_sight *sight)
{
    mc_entry entry = {.version = sight->number,
                      .expires_ms = req->expires_ms,
                      .epoch_global = req->space == COAT_SPACE_SESSION ? sight->global : 0,
                      .value = req->value};

    memcpy(entry.serial, req->address.bytes, sizeof entry.serial);
    return entry;
}

/** Write it, if it is not too large for the server. */
static coat_err
put_entry(coat_store_req *req, const mc_sight *sight, const rewrite *w, mc_change *out)
{
    mc_place place = mc_place_of(req);

    write_box(w, &place, out);
    if (out->box.failed || out->evicted.failed)
        return COAT_NO_MEMORY;
    if (out->box.len > sight->size_max)
        return COAT_STORE_FULL;
    req->found_version = sight->number;
    return COAT_OK;
}

/** An owner without a box has no epoch: only who has not asked for one fits. */
static bool
epochs_fit(const coat_store_req *req, const mc_sight *sight)
{
    if (req->epoch_global != sight->global)
        return false;
    if (!sight->has_box)
        return req->epoch_owner == 0;
    return req->epoch_owner == sight->box.epoch ||
           (req->epoch_owner == 0 && !sight->box.raised);
}

/** How many live ones there are, but the one that gives way. */
static size_t
crowd_of(const coat_store_req *req, const mc_sight *sight)
{
    coat_span rest = sight->has_box ? sight->box.entries : (coat_span){NULL, 0};
    mc_entry entry;
    size_t n = 0;

    while (mc_box_next(&rest, &entry))
        n += is_live(&entry, sight, req->now_ms) &&
             !(req->has_superseded && is_at(&entry, &req->superseded));
    return n;
}

static coat_err
apply_insert(coat_store_req *req, const mc_sight *sight, mc_change *out)
{
    mc_entry old, put = entry_of(req, sight);
    rewrite w = {.sight = sight, .now_ms = req->now_ms, .put = &put};
    size_t crowd;

    if (find_live(sight, &req->address, req->now_ms, &old))
        return COAT_EXISTS;
    if (req->space != COAT_SPACE_SESSION)
        return put_entry(req, sight, &w, out);
    if (!epochs_fit(req, sight))
        return COAT_REVOKED;
    if (req->has_superseded) {
        if (!find_live(sight, &req->superseded, req->now_ms, &old))
            return COAT_NO_SESSION;
        if (req->version != 0 && req->version != old.version)
            return COAT_CONFLICT;
        w.drop = &req->superseded;
    }
    crowd = crowd_of(req, sight);
    if (req->owner_max > 0 && crowd >= req->owner_max)
        w.surplus = crowd - req->owner_max + 1;
    if (w.surplus > 0 && !req->owner_evict)
        return COAT_TOO_MANY;
    return put_entry(req, sight, &w, out);
}

static coat_err
apply_replace(coat_store_req *req, const mc_sight *sight, mc_change *out)
{
    mc_entry old, put = entry_of(req, sight);
    rewrite w = {.sight = sight, .now_ms = req->now_ms, .put = &put};

    if (!find_live(sight, &req->address, req->now_ms, &old))
        return COAT_NO_SESSION;
    if (old.version != req->version)
        return COAT_CONFLICT;
    put.epoch_global = old.epoch_global;
    return put_entry(req, sight, &w, out);
}

static coat_err
apply_load(coat_store_req *req, const mc_sight *sight)
{
    mc_entry entry;

    if (!find_live(sight, &req->address, req->now_ms, &entry))
        return COAT_NO_SESSION;
    req->found = entry.value;
    req->found_version = entry.version;
    req->found_expires_ms = entry.expires_ms;
    return COAT_OK;
}

static coat_err
apply_remove(coat_store_req *req, const mc_sight *sight, mc_change *out)
{
    rewrite w = {.sight = sight, .now_ms = req->now_ms, .drop = &req->address};
    mc_place place = mc_place_of(req);
    mc_entry entry;
    coat_span rest = sight->box.entries;
    bool found = false;

    out->number = sight->number;
    while (!found && sight->has_box && mc_box_next(&rest, &entry))
        found = is_at(&entry, &req->address);
    if (found)
        write_box(&w, &place, out);
    return COAT_OK;
}

static coat_err
apply_list(coat_store_req *req, const mc_sight *sight)
{
    coat_span rest = sight->has_box ? sight->box.entries : (coat_span){NULL, 0};
    mc_entry entry;

    while (mc_box_next(&rest, &entry)) {
        coat_store_item item = {
            .version = entry.version, .expires_ms = entry.expires_ms, .value = entry.value};

        if (!is_live(&entry, sight, req->now_ms) ||
            (req->has_cursor && memcmp(entry.serial, req->cursor.bytes, 8) <= 0))
            continue;
        req->more = req->count == req->limit;
        if (req->more)
            break;
        memcpy(item.address.bytes, entry.serial, 8);
        memcpy(item.address.bytes + 8, req->owner.bytes, 8);
        req->count++;
        req->item(req, &item);
    }
    return COAT_OK;
}

/**
 * A replay gives the epoch itself, and ends whatever is of a lower one. An owner without a box
 * gets one: the sign-ins that have asked for this epoch go on, those of before are refused.
 */
static coat_err
apply_remove_owner(coat_store_req *req, const mc_sight *sight, mc_change *out)
{
    uint64_t epoch = req->again != 0 ? req->again : sight->number;
    rewrite w = {.sight = sight,
                 .now_ms = req->now_ms,
                 .drops_all = true,
                 .only = req->has_spare ? &req->spare : NULL,
                 .epoch = epoch};
    mc_place place = mc_place_of(req);

    out->number = sight->number;
    out->epoch = epoch;
    req->epoch_owner = epoch;
    if (req->again != 0 && sight->has_box && sight->box.epoch >= epoch) {
        req->epoch_owner = sight->box.epoch;
        return COAT_OK;
    }
    write_box(&w, &place, out);
    return COAT_OK;
}

/** An owner is given an epoch when it is first asked for: if that is lost, and with it what
 * ended sessions since, a sign-in that began before is refused (RV-4, SF-7). */
static coat_err
apply_epochs(coat_store_req *req, const mc_sight *sight, mc_change *out)
{
    rewrite w = {.sight = sight, .now_ms = req->now_ms};
    mc_place place = mc_place_of(req);

    req->epoch_global = sight->global;
    if (sight->has_box) {
        req->epoch_owner = sight->box.epoch;
        return COAT_OK;
    }
    write_box(&w, &place, out);
    req->epoch_owner = sight->number;
    return COAT_OK;
}

coat_err
mc_apply(coat_store_req *req, const mc_sight *sight, mc_change *out)
{
    coat_err err;

    switch (req->op) {
    case COAT_OP_INSERT:
        err = apply_insert(req, sight, out);
        break;
    case COAT_OP_REPLACE:
        err = apply_replace(req, sight, out);
        break;
    case COAT_OP_LOAD:
        return apply_load(req, sight);
    case COAT_OP_LIST_OWNER:
        return apply_list(req, sight);
    case COAT_OP_REMOVE:
        err = apply_remove(req, sight, out);
        break;
    case COAT_OP_REMOVE_OWNER:
        err = apply_remove_owner(req, sight, out);
        break;
    case COAT_OP_EPOCHS:
        err = apply_epochs(req, sight, out);
        break;
    default:
        return COAT_UNSUPPORTED;
    }
    if (err == COAT_OK && out->box.failed)
        err = COAT_NO_MEMORY;
    if (err != COAT_OK)
        mc_change_free(out);
    return err;
}

void
mc_apply_ended(const mc_ended *ended, const mc_sight *sight, mc_change *out)
{
    rewrite w = {.sight = sight, .drop_up_to = ended->number};
    mc_place place = mc_place_of_handle(&ended->handle);
    mc_entry entry;
    coat_span rest = sight->box.entries;
    bool found = false;

    if (!sight->has_box)
        return;
    if (ended->is_owner) {
        w.drops_all = true;
        w.only = ended->has_spare ? &ended->handle : NULL;
        w.epoch = ended->epoch;
        if (sight->box.epoch < ended->epoch)
            write_box(&w, &place, out);
        return;
    }
    w.drop = &ended->handle;
    while (!found && mc_box_next(&rest, &entry))
        found = is_at(&entry, &ended->handle) && entry.version <= ended->number;
    if (found)
        write_box(&w, &place, out);
}
