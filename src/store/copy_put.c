/* SPDX-License-Identifier: Apache-2.0 */
#include "store/copy_put.h"

#include "store/copy.h"
#include "store/order.h"

#include <stdlib.h>
#include <string.h>

/* Nobody else writes to the target: more rounds than a few mean that an entry can neither be
 * put in nor be read. */
enum { TRIES_MAX = 16 };

static coat_unit *
add_unit(coat_slice *slice, const coat_handle *address)
{
    size_t used = slice->count + slice->drops;

    if (used == slice->cap) {
        size_t cap = slice->cap == 0 ? 2 * (size_t)COAT_COPY_SLICE : slice->cap * 2;
        coat_unit *grown = reallocarray(slice->units, cap, sizeof *grown);

        if (grown == NULL)
            return NULL;
        slice->units = grown;
        slice->cap = cap;
    }
    slice->units[used] = (coat_unit){.slice = slice, .address = *address};
    return &slice->units[used];
}

/* ---- reading ---- */

static bool
keep_bytes(coat_slice *slice, coat_span value)
{
    if (value.len > slice->bytes_cap - slice->len) {
        size_t cap = 2 * (slice->len + value.len) + COAT_STORE_VALUE_MAX;
        uint8_t *grown = realloc(slice->bytes, cap);

        if (grown == NULL)
            return false;
        slice->bytes = grown;
        slice->bytes_cap = cap;
    }
    if (value.len > 0)
        memcpy(slice->bytes + slice->len, value.ptr, value.len);
    slice->len += value.len;
    return true;
}

static void
take(coat_store_req *req, const coat_store_item *item)
{
    coat_slice *slice = req->ctx;
    size_t at = slice->len;
    coat_unit *unit;

    slice->last = item->address;
    slice->has_last = true;
    if (slice->err != COAT_OK ||
        (slice->space == COAT_SPACE_META && coat_copy_stays(&item->address)))
        return;
    unit = add_unit(slice, &item->address);
    if (unit == NULL || !keep_bytes(slice, item->value)) {
        slice->err = COAT_NO_MEMORY;
        return;
    }
    unit->version = item->version;
    unit->expires_ms = item->expires_ms;
    unit->at = at;
    unit->len = item->value.len;
    slice->count++;
}

coat_err
coat_slice_read(coat_slice *slice, coat_lane *from, coat_space space, const coat_handle *after)
{
    coat_store_req req = {.op = COAT_OP_SCAN,
                          .space = space,
                          .now_ms = COAT_COPY_NO_TIME,
                          .timeout_ms = COAT_COPY_TIMEOUT_MS,
                          .limit = COAT_COPY_SLICE,
                          .has_cursor = after != NULL,
                          .item = take,
                          .ctx = slice};
    coat_err err;

    slice->space = space;
    slice->count = slice->drops = slice->len = 0;
    slice->written = slice->removed = 0;
    slice->err = COAT_OK;
    slice->has_last = after != NULL;
    if (after != NULL)
        slice->last = req.cursor = *after;
    err = coat_store_run(from, &req);
    slice->more = req.more;
    slice->has_last =
        coat_scan_behind(coat_store_caps_of(from->store), &req, slice->has_last, &slice->last);
    return err != COAT_OK ? err : slice->err;
}

/* ---- writing ---- */

static coat_span
value_of(const coat_unit *unit)
{
    return (coat_span){unit->slice->bytes + unit->at, unit->len};
}

static void
answered(coat_store_req *req)
{
    coat_unit *unit = req->ctx;

    if (req->op != COAT_OP_LOAD || req->result != COAT_OK)
        return;
    unit->there = req->found_version;
    unit->same = req->found_expires_ms == unit->expires_ms && req->found.len == unit->len &&
                 (unit->len == 0 || memcmp(req->found.ptr, value_of(unit).ptr, unit->len) == 0);
}

static void
ask(coat_unit *unit, coat_lane *to, int64_t now_ms)
{
    static const coat_op ops[] = {[COAT_UNIT_INSERT] = COAT_OP_INSERT,
                                  [COAT_UNIT_EPOCHS] = COAT_OP_EPOCHS,
                                  [COAT_UNIT_LOAD] = COAT_OP_LOAD,
                                  [COAT_UNIT_REPLACE] = COAT_OP_REPLACE,
                                  [COAT_UNIT_REMOVE] = COAT_OP_REMOVE};

    unit->req = (coat_store_req){.op = ops[unit->step],
                                 .space = unit->slice->space,
                                 .address = unit->address,
                                 .owner = coat_handle_owner(&unit->address),
                                 .value = value_of(unit),
                                 .version = unit->step == COAT_UNIT_REPLACE ? unit->there : 0,
                                 .expires_ms = unit->expires_ms,
                                 .now_ms = now_ms,
                                 .timeout_ms = COAT_COPY_TIMEOUT_MS,
                                 .epoch_owner = unit->epoch_owner,
                                 .epoch_global = unit->epoch_global,
                                 .done = answered,
                                 .ctx = unit};
    coat_store_submit(to, &unit->req);
}

static coat_unit_step
first_step(coat_space space)
{
    return space == COAT_SPACE_SESSION ? COAT_UNIT_EPOCHS : COAT_UNIT_INSERT;
}

/** What comes after the answer of its step. */
static coat_err
go_on(coat_unit *unit)
{
    coat_slice *slice = unit->slice;
    coat_err result = unit->req.result;

    if (result == COAT_OK) {
        switch (unit->step) {
        case COAT_UNIT_EPOCHS:
            unit->epoch_owner = unit->req.epoch_owner;
            unit->epoch_global = unit->req.epoch_global;
            unit->step = COAT_UNIT_INSERT;
            return COAT_OK;
        case COAT_UNIT_LOAD:
            unit->step = unit->same ? COAT_UNIT_DONE : COAT_UNIT_REPLACE;
            return COAT_OK;
        case COAT_UNIT_REMOVE:
            slice->removed++;
            break;
        default:
            slice->written++;
            break;
        }
        unit->step = COAT_UNIT_DONE;
        return COAT_OK;
    }
    if (++unit->tries > TRIES_MAX)
        return COAT_TAMPERED;
    if (result == COAT_EXISTS || result == COAT_CONFLICT)
        unit->step = COAT_UNIT_LOAD;
    else if (result == COAT_NO_SESSION || result == COAT_REVOKED)
        unit->step = first_step(slice->space);
    else
        return result;
    return COAT_OK;
}

/** One step of all units from `first` on. */
static coat_err
one_round(coat_slice *slice, size_t first, coat_lane *to, int64_t now_ms, bool *again)
{
    size_t all = slice->count + slice->drops;
    coat_err err = COAT_OK;

    for (size_t i = first; i < all; i++)
        if (slice->units[i].step != COAT_UNIT_DONE)
            ask(&slice->units[i], to, now_ms);
    *again = false;
    /* All are waited for, whatever comes of some: requests must not outlive the slice. */
    for (size_t i = first; i < all; i++) {
        coat_unit *unit = &slice->units[i];
        coat_err one;

        if (unit->step == COAT_UNIT_DONE)
            continue;
        to->store->ops->wait(to, &unit->req);
        one = go_on(unit);
        if (err == COAT_OK)
            err = one;
        *again = *again || unit->step != COAT_UNIT_DONE;
    }
    return err;
}

static coat_err
put_from(coat_slice *slice, size_t first, coat_lane *to, int64_t now_ms)
{
    bool again = true;
    coat_err err = COAT_OK;

    while (again && err == COAT_OK)
        err = one_round(slice, first, to, now_ms, &again);
    return err;
}

coat_err
coat_slice_put(coat_slice *slice, coat_lane *to, int64_t now_ms)
{
    for (size_t i = 0; i < slice->count; i++)
        if (slice->units[i].step == COAT_UNIT_INSERT)
            slice->units[i].step = first_step(slice->space);
    return put_from(slice, 0, to, now_ms);
}

coat_err
coat_slice_drop(coat_slice *slice, coat_lane *to, int64_t now_ms, const coat_handle *address)
{
    coat_unit *unit;
    coat_err err;

    if (slice->drops == COAT_COPY_SLICE) {
        err = put_from(slice, slice->count, to, now_ms);
        if (err != COAT_OK)
            return err;
        slice->drops = 0;
    }
    unit = add_unit(slice, address);
    if (unit == NULL)
        return COAT_NO_MEMORY;
    unit->step = COAT_UNIT_REMOVE;
    slice->drops++;
    return COAT_OK;
}

void
coat_slice_free(coat_slice *slice)
{
    free(slice->units);
    free(slice->bytes);
}
