/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/housekeeping.h"
#include "engine/shared.h"

#include <string.h>

/**
 * Sessions that were to be ended while the store could not be reached (SF-4): one after
 * another, until one does not come through that has been tried. Of an owner's sessions those
 * are taken that were there when it was asked for; each is then ended like any other. Of
 * everybody's they are ended page by page, as there may be more than can be kept one by one. A
 * store that cannot say what it holds ends all of them, later ones too.
 */

enum { FAILED_MAX = 1024 /* of a tick */ };

static void
finished(coat_task *task)
{
    task->desk->housekeeping->replaying = false;
}

static coat_unsettled *
unsettled_of(const coat_task *task)
{
    return &task->desk->engine->unsettled;
}

static void start(coat_task *task);

/** One that does not come through keeps nobody else: it may be of a shard that is away. */
static void
failed(coat_task *task, coat_err result)
{
    coat_housekeeping *hk = task->desk->housekeeping;

    coat_unsettled_later(unsettled_of(task), &task->u.replay.end);
    hk->replay_from++;
    if (hk->replays_failed++ == 0)
        hk->failed_first = task->u.replay.end;
    if (hk->replays_failed < FAILED_MAX && result != COAT_CANCELLED)
        start(task);
    else
        coat_task_finish(task, result);
}

/** A session is gone from the store. */
static void
ended(coat_task *task, const coat_handle *handle)
{
    coat_engine *engine = task->desk->engine;

    coat_shared_ended(engine, handle);
    coat_count_add(&engine->counters, COAT_COUNT_ENDED, 1);
}

static void
report(const coat_task *task, const coat_handle *handle)
{
    coat_report(task, COAT_EVENT_SESSION_REVOKED, "replayed", handle, (coat_span){0});
}

/** All of it is done: on with what else there is. */
static void
done(coat_task *task)
{
    coat_unsettled_ended(unsettled_of(task), &task->u.replay.end);
    start(task);
}

static void
removed(coat_task *task)
{
    if (task->req.result != COAT_OK) {
        failed(task, task->req.result);
        return;
    }
    ended(task, &task->u.replay.end.last);
    report(task, &task->u.replay.end.last);
    done(task);
}

/* ---- a list, page by page ---- */

/** Not if it is spared or above the last; nor any more if all of it has been asked for again
 * meanwhile, and done: this one may have begun afterwards. */
static bool
is_meant(coat_task *task, const coat_handle *handle)
{
    const coat_end *end = &task->u.replay.end;

    task->u.replay.cursor = *handle;
    task->u.replay.has_cursor = task->u.replay.moved = true;
    if (memcmp(handle->bytes, end->last.bytes, sizeof handle->bytes - COAT_OWNER_BYTES) > 0)
        task->u.replay.past = true; /* and so are all behind it */
    return coat_unsettled_ending(unsettled_of(task), handle);
}

static void
list(coat_task *task, coat_op op, void (*item)(coat_store_req *, const coat_store_item *),
     coat_step next)
{
    coat_store_req *req = coat_task_req(task, op);

    req->owner = coat_handle_owner(&task->u.replay.end.last);
    req->limit = COAT_REPLAY_PAGE;
    req->has_cursor = task->u.replay.has_cursor;
    req->cursor = task->u.replay.cursor;
    req->item = item;
    task->u.replay.moved = false;
    task->desk->housekeeping->paged = task->desk->housekeeping->page_next = 0;
    coat_task_submit(task, next);
}

/** What was listed. @param on  there is another page */
static coat_err
look_at_page(coat_task *task, bool *on)
{
    coat_err result = task->req.result;

    *on = task->req.more && !task->u.replay.past;
    if (result == COAT_OK && task->u.replay.lost)
        result = COAT_NO_MEMORY;
    if (result == COAT_OK && *on &&
        !coat_list_behind(&task->req, &task->u.replay.cursor, &task->u.replay.has_cursor) &&
        !task->u.replay.moved)
        result = COAT_IO; /* it would go on for ever */
    return result;
}

/* ---- an owner's ---- */

static void
owner_removed(coat_task *task)
{
    const coat_end *end = &task->u.replay.end;

    if (task->req.result != COAT_OK) {
        failed(task, task->req.result);
        return;
    }
    coat_shared_owner_ended(task->desk->engine, coat_handle_owner(&end->last),
                            task->req.epoch_owner, end->has_spare ? &end->spare : NULL);
    report(task, NULL);
    done(task);
}

static void
each_of_owner(coat_store_req *req, const coat_store_item *item)
{
    coat_task *task = req->ctx;
    coat_engine *engine = task->desk->engine;
    coat_changes changes = {.end = coat_end_of_session(&item->address)};

    if (!is_meant(task, &item->address) || coat_unsettled_has(&engine->unsettled, &changes.end))
        return;
    coat_gate_one(engine->writer, &changes, &item->address);
    (void)coat_outbox_put(&engine->outbox, &engine->unsettled, &changes);
    if (!coat_unsettled_has(&engine->unsettled, &changes.end))
        task->u.replay.lost = true;
}

static void
owner_listed(coat_task *task)
{
    bool on;
    coat_err result = look_at_page(task, &on);

    if (result != COAT_OK)
        failed(task, result);
    else if (on)
        list(task, COAT_OP_LIST_OWNER, each_of_owner, owner_listed);
    else
        done(task);
}

static void
end_owner(coat_task *task, bool can_list)
{
    const coat_end *end = &task->u.replay.end;
    coat_store_req *req;

    if (can_list) {
        list(task, COAT_OP_LIST_OWNER, each_of_owner, owner_listed);
        return;
    }
    req = coat_task_req(task, COAT_OP_REMOVE_OWNER);
    req->owner = coat_handle_owner(&end->last);
    req->has_spare = end->has_spare;
    req->spare = end->spare;
    coat_task_submit(task, owner_removed);
}

/* ---- everybody's ---- */

static void
all_removed(coat_task *task)
{
    if (task->req.result != COAT_OK) {
        failed(task, task->req.result);
        return;
    }
    coat_engine_epoch(task->desk->engine, task->req.epoch_global);
    report(task, NULL);
    done(task);
}

static void
each_of_all(coat_store_req *req, const coat_store_item *item)
{
    coat_task *task = req->ctx;
    coat_housekeeping *hk = task->desk->housekeeping;

    if (is_meant(task, &item->address) && hk->paged < COAT_REPLAY_PAGE)
        hk->page[hk->paged++] = item->address;
}

static void all_listed(coat_task *task);
static void remove_next(coat_task *task);

static void
one_removed(coat_task *task)
{
    coat_housekeeping *hk = task->desk->housekeeping;
    coat_engine *engine = task->desk->engine;
    const coat_handle *handle = &hk->page[hk->page_next];

    if (task->req.result != COAT_OK) { /* it is kept by itself as well, with its gate */
        hk->gate.end = coat_end_of_session(handle);
        (void)coat_outbox_put(&engine->outbox, &engine->unsettled, &hk->gate);
        failed(task, task->req.result);
        return;
    }
    coat_gate_lift(engine->writer, &hk->gate, NULL, atomic_load(&engine->epoch_global));
    ended(task, handle);
    hk->page_next++;
    remove_next(task);
}

/** The next of the page; behind the last one the next page. */
static void
remove_next(coat_task *task)
{
    coat_housekeeping *hk = task->desk->housekeeping;

    if (hk->page_next < hk->paged) {
        hk->gate = (coat_changes){0};
        coat_gate_one(task->desk->engine->writer, &hk->gate, &hk->page[hk->page_next]);
        coat_task_req(task, COAT_OP_REMOVE)->address = hk->page[hk->page_next];
        coat_task_submit(task, one_removed);
    } else if (task->u.replay.more) {
        list(task, COAT_OP_SCAN, each_of_all, all_listed);
    } else {
        report(task, NULL);
        done(task);
    }
}

static void
all_listed(coat_task *task)
{
    coat_err result = look_at_page(task, &task->u.replay.more);

    if (result == COAT_OK)
        remove_next(task);
    else
        failed(task, result);
}

static void
end_everybody(coat_task *task, bool can_list)
{
    if (can_list) {
        list(task, COAT_OP_SCAN, each_of_all, all_listed);
        return;
    }
    coat_task_req(task, COAT_OP_END_ALL);
    coat_task_submit(task, all_removed);
}

/* ---- the next one ---- */

static void
start(coat_task *task)
{
    coat_engine *engine = task->desk->engine;
    coat_housekeeping *hk = task->desk->housekeeping;
    bool can_list = (coat_store_caps_of(task->desk->lane->store) & COAT_CAP_CACHE) == 0;
    coat_end end;

    if (!coat_unsettled_next(&engine->unsettled, &hk->replay_from, &end)) {
        coat_outbox_tidy(&engine->outbox, &engine->unsettled);
        coat_task_finish(task, COAT_OK);
        return;
    }
    memset(&task->u.replay, 0, sizeof task->u.replay);
    task->u.replay.end = end;
    if (hk->replays_failed > 0 && coat_end_is_same(&end, &hk->failed_first)) {
        coat_task_finish(task, COAT_STORE_DOWN); /* all have been tried */
        return;
    }
    if (end.of == COAT_END_OF_OWNER) {
        end_owner(task, can_list);
        return;
    }
    if (end.of == COAT_END_OF_EVERYBODY) {
        end_everybody(task, can_list);
        return;
    }
    coat_task_req(task, COAT_OP_REMOVE)->address = end.last;
    coat_task_submit(task, removed);
}

void
coat_replay_work(coat_desk *desk)
{
    coat_end end;
    coat_task *task;

    if (desk->housekeeping->replaying)
        return;
    if (!coat_unsettled_next(&desk->engine->unsettled, &desk->housekeeping->replay_from,
                             &end)) {
        coat_outbox_tidy(&desk->engine->outbox, &desk->engine->unsettled);
        return;
    }
    task = coat_task_new(desk, NULL, start);
    if (task == NULL)
        return;
    desk->housekeeping->replaying = true;
    desk->housekeeping->replays_failed = 0;
    task->finished = finished;
    coat_task_drive(task);
}
