/* SPDX-License-Identifier: Apache-2.0 */
#include "store/suite/history.h"

#include "store/suite/suite.h"

enum { OWNERS = 4, SERIALS = 12, START_MS = 1000000000, HOUR_MS = 3600000 };

void
history_init(history *h, coat_lane *lane, uint64_t (*choose)(void *ctx, uint64_t limit),
             void *ctx)
{
    memset(h, 0, sizeof *h);
    h->choose = choose;
    h->ctx = ctx;
    h->lane = lane;
    h->now_ms = START_MS;
    h->model.cache = (coat_store_caps_of(lane->store) & COAT_CAP_CACHE) != 0;
    h->expires = (coat_store_caps_of(lane->store) & COAT_CAP_EXPIRES) != 0;
}

static uint64_t
pick(history *h, uint64_t limit)
{
    return h->choose(h->ctx, limit);
}

static void
on_item(coat_store_req *req, const coat_store_item *item)
{
    model_seen *seen = &((history *)req->ctx)->seen;
    model_item *to = &seen->items[seen->item_count];

    if (seen->item_count == MODEL_ITEMS || item->value.len > MODEL_VALUE)
        return; /* too few items or a missing one: the model will notice */
    *to = (model_item){item->address, item->version, item->expires_ms, {0}, item->value.len};
    if (to->len > 0)
        memcpy(to->value, item->value.ptr, to->len);
    seen->item_count++;
}

static void
on_done(coat_store_req *req)
{
    model_seen *seen = &((history *)req->ctx)->seen;

    if (req->op != COAT_OP_LOAD || req->result != COAT_OK || req->found.len > MODEL_VALUE)
        return;
    seen->found_len = req->found.len;
    if (seen->found_len > 0)
        memcpy(seen->found, req->found.ptr, seen->found_len);
}

static const char *
run(history *h)
{
    h->asked.now_ms = h->now_ms;
    h->asked.timeout_ms = 60000;
    if (h->asked.limit == 0)
        h->asked.limit = 20;
    h->asked.item = on_item;
    h->asked.done = on_done;
    h->asked.ctx = h;
    memset(&h->seen, 0, sizeof h->seen);
    h->req = h->asked;
    if (coat_store_run(h->lane, &h->req) != h->req.result)
        return "run and done() disagree";
    return model_check(&h->model, &h->asked, &h->req, &h->seen);
}

static coat_handle
some_handle(history *h, uint64_t owner)
{
    return suite_handle(owner, pick(h, SERIALS) * 3);
}

static coat_space
some_space(history *h)
{
    uint64_t n = pick(h, 10);

    return n < 7 ? COAT_SPACE_SESSION : n < 8 ? COAT_SPACE_ACCOUNT : COAT_SPACE_META;
}

static void
some_value(history *h)
{
    h->asked.value = (coat_span){h->value, pick(h, MODEL_VALUE + 1)};
    memset(h->value, (int)pick(h, 256), sizeof h->value);
    h->asked.expires_ms = pick(h, 3) == 0 ? 0 : h->now_ms + (int64_t)pick(h, 3000);
}

static const char *
epochs(history *h, uint64_t owner)
{
    h->asked = (coat_store_req){.op = COAT_OP_EPOCHS, .owner = suite_owner(owner)};
    return run(h);
}

/** None, the right one, or a wrong one. */
static void
some_superseded_version(history *h)
{
    const model_entry *old =
        model_find(&h->model, COAT_SPACE_SESSION, &h->asked.superseded, h->now_ms);
    uint64_t n = pick(h, 3);

    if (n > 0 && old != NULL)
        h->asked.version = old->version + n - 1;
}

static const char *
insert(history *h)
{
    uint64_t owner = pick(h, OWNERS), stale = pick(h, 12);
    const char *fault = epochs(h, owner);
    coat_store_req seen = h->req;
    const model_owner *o;

    if (fault != NULL)
        return fault;
    h->asked = (coat_store_req){.op = COAT_OP_INSERT,
                                .space = some_space(h),
                                .epoch_owner = seen.epoch_owner,
                                .epoch_global = seen.epoch_global,
                                .owner_max = (uint32_t)pick(h, 6),
                                .owner_evict = pick(h, 3) != 0};
    h->asked.address = some_handle(h, owner);
    some_value(h);
    o = model_owner_get(&h->model, &seen.owner);
    if (stale == 0)
        h->asked.epoch_owner = h->model.epoch_highest + 1;
    else if (stale == 1 && o != NULL && !o->forgettable && !o->first)
        h->asked.epoch_owner = 0;
    else if (stale == 2)
        h->asked.epoch_global = h->asked.epoch_global == 0 ? 1 : 0;
    if (h->asked.space == COAT_SPACE_SESSION && pick(h, 4) == 0) {
        h->asked.has_superseded = true;
        h->asked.superseded = some_handle(h, owner);
        some_superseded_version(h);
    }
    return run(h);
}

static const char *
replace(history *h)
{
    const model_entry *e;

    h->asked = (coat_store_req){.op = COAT_OP_REPLACE, .space = some_space(h)};
    h->asked.address = some_handle(h, pick(h, OWNERS));
    some_value(h);
    e = model_find(&h->model, h->asked.space, &h->asked.address, h->now_ms);
    h->asked.version = e != NULL && pick(h, 5) != 0 ? e->version : pick(h, 100);
    return run(h);
}

static const char *
report(history *h, coat_op op)
{
    uint64_t owner = pick(h, OWNERS);

    h->asked = (coat_store_req){.op = op,
                                .space = op == COAT_OP_SCAN ? some_space(h) : 0,
                                .owner = suite_owner(owner),
                                .limit = (uint32_t)pick(h, 8) + 1,
                                .has_cursor = pick(h, 2) == 0};
    h->asked.cursor = some_handle(h, owner);
    return run(h);
}

static const char *
remove_owner(history *h)
{
    uint64_t owner = pick(h, OWNERS);

    h->asked = (coat_store_req){
        .op = COAT_OP_REMOVE_OWNER, .owner = suite_owner(owner), .has_spare = pick(h, 2) == 0};
    h->asked.spare = some_handle(h, owner);
    return run(h);
}

static const char *
sweep(history *h)
{
    h->asked = (coat_store_req){.op = COAT_OP_SWEEP, .limit = (uint32_t)pick(h, 20) + 1};
    return run(h);
}

/** Two walks: the first may be the end of one that began before something died. */
static const char *
sweep_all(history *h)
{
    int walks = 0;

    for (int i = 0; i < 1000; i++) {
        const char *fault;

        h->asked = (coat_store_req){.op = COAT_OP_SWEEP};
        fault = run(h);
        if (fault != NULL)
            return fault;
        if (!h->req.more && ++walks == 2)
            return NULL;
    }
    return "sweeping never ends";
}

/**
 * Time goes on, now and then by a day. Before it steps back, everything expired is swept: an
 * entry that has expired by a wrong clock may or may not be there by the right one. Where
 * nothing can be swept, it does not step back.
 */
static const char *
move_clock(history *h)
{
    const char *fault = NULL;
    uint64_t n = pick(h, 40);

    if (n == 0 && !h->expires) {
        fault = sweep_all(h);
        h->now_ms -= HOUR_MS;
        if (h->now_ms < 0)
            h->now_ms = 0;
    } else if (n == 1) {
        h->now_ms += 25 * (int64_t)HOUR_MS;
    } else {
        h->now_ms += (int64_t)pick(h, 200);
    }
    return fault;
}

const char *
history_step(history *h)
{
    uint64_t n = pick(h, 100);
    const char *fault = move_clock(h);

    if (fault != NULL)
        return fault;
    if (n < 40)
        return insert(h);
    if (n < 60)
        return replace(h);
    if (n < 80) {
        h->asked = (coat_store_req){.op = n < 72 ? COAT_OP_LOAD : COAT_OP_REMOVE,
                                    .space = some_space(h)};
        h->asked.address = some_handle(h, pick(h, OWNERS));
        return run(h);
    }
    if (n < 92)
        return report(h, n < 88 ? COAT_OP_LIST_OWNER : COAT_OP_SCAN);
    if (n < 95)
        return remove_owner(h);
    if (n < 99)
        return sweep(h);
    h->asked = (coat_store_req){.op = COAT_OP_END_ALL};
    return run(h);
}

const char *
history_settle(history *h)
{
    static const coat_space spaces[] = {COAT_SPACE_SESSION, COAT_SPACE_ACCOUNT,
                                        COAT_SPACE_META};
    const char *fault = sweep_all(h);

    for (size_t i = 0; fault == NULL && i < 3; i++) {
        h->asked = (coat_store_req){.op = COAT_OP_SCAN, .space = spaces[i], .limit = 1000};
        fault = run(h);
    }
    for (uint64_t owner = 0; fault == NULL && owner < OWNERS; owner++) {
        h->asked = (coat_store_req){
            .op = COAT_OP_LIST_OWNER, .owner = suite_owner(owner), .limit = 1000};
        fault = run(h);
    }
    return fault;
}
