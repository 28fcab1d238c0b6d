/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/housekeeping.h"
#include "engine/shared.h"

#include <string.h>

/**
 * Sessions that were to be ended while the store could not be reached (SF-4): one after
 * another, until one does not come through that has been tried. Of an owner's sessions those
 * are taken that were there when it was asked for; each is then ended like any other. A store
 * that cannot say what it holds ends all of them, later ones too.
 */

enum {
    FAILED_MAX = 1024, /* of a tick */
    PAGE = 100,        /* of an owner's sessions */
};

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
    coat_changes end = {.older = task->u.replay.older, .ended = task->handle};

    coat_unsettled_later(unsettled_of(task), &end);
    hk->replay_from++;
    if (hk->replays_failed++ == 0)
        hk->failed_first = task->handle;
    if (hk->replays_failed < FAILED_MAX && result != COAT_CANCELLED)
        start(task);
    else
        coat_task_finish(task, result);
}

static void
removed(coat_task *task)
{
    coat_engine *engine = task->desk->engine;

    if (task->req.result != COAT_OK) {
        failed(task, task->req.result);
        return;
    }
    coat_unsettled_ended(&engine->unsettled, &task->handle, false);
    coat_shared_ended(engine, &task->handle);
    coat_count_add(&engine->counters, COAT_COUNT_ENDED, 1);
    coat_report(task, COAT_EVENT_SESSION_REVOKED, "replayed", &task->handle, (coat_span){0});
    start(task);
}

/* ---- an owner's ---- */

static void
owner_removed(coat_task *task)
{
    coat_engine *engine = task->desk->engine;
    coat_owner owner = coat_handle_owner(&task->handle);

    if (task->req.result != COAT_OK) {
        failed(task, task->req.result);
        return;
    }
    coat_unsettled_ended(&engine->unsettled, &task->handle, true);
    coat_shared_owner_ended(engine, owner, task->req.epoch_owner, NULL);
    coat_report(task, COAT_EVENT_SESSION_REVOKED, "replayed", NULL, (coat_span){0});
    start(task);
}

static void
each(coat_store_req *req, const coat_store_item *item)
{
    coat_task *task = req->ctx;
    coat_engine *engine = task->desk->engine;
    coat_changes end = {.ending = true, .ended = item->address};

    task->u.replay.cursor = item->address;
    task->u.replay.has_cursor = task->u.replay.moved = true;
    if (memcmp(item->address.bytes, task->handle.bytes, sizeof item->address.bytes) > 0) {
        task->u.replay.past = true; /* they come in this order */
        return;
    }
    if (coat_unsettled_has(&engine->unsettled, &end))
        return;
    coat_gate_one(engine->writer, &end, &item->address);
    (void)coat_outbox_put(&engine->outbox, &engine->unsettled, &end);
    if (!coat_unsettled_has(&engine->unsettled, &end))
        task->u.replay.lost = true;
}

static void list(coat_task *task);

static void
listed(coat_task *task)
{
    coat_err result = task->req.result;
    bool on = task->req.more && !task->u.replay.past;

    if (result == COAT_OK && task->u.replay.lost)
        result = COAT_NO_MEMORY;
    if (result == COAT_OK && on &&
        !coat_list_behind(&task->req, &task->u.replay.cursor, &task->u.replay.has_cursor) &&
        !task->u.replay.moved)
        result = COAT_IO; /* it would go on for ever */
    if (result != COAT_OK) {
        failed(task, result);
        return;
    }
    if (on) {
        list(task);
        return;
    }
    coat_unsettled_ended(unsettled_of(task), &task->handle, true);
    start(task);
}

static void
list(coat_task *task)
{
    coat_store_req *req = coat_task_req(task, COAT_OP_LIST_OWNER);

    req->owner = coat_handle_owner(&task->handle);
    req->limit = PAGE;
    req->has_cursor = task->u.replay.has_cursor;
    req->cursor = task->u.replay.cursor;
    req->item = each;
    task->u.replay.moved = false;
    coat_task_submit(task, listed);
}

static void
end_owner(coat_task *task)
{
    if ((coat_store_caps_of(task->desk->lane->store) & COAT_CAP_CACHE) == 0) {
        list(task);
        return;
    }
    coat_task_req(task, COAT_OP_REMOVE_OWNER)->owner = coat_handle_owner(&task->handle);
    coat_task_submit(task, owner_removed);
}

/* ---- the next one ---- */

static void
start(coat_task *task)
{
    coat_engine *engine = task->desk->engine;
    coat_housekeeping *hk = task->desk->housekeeping;
    coat_changes end;

    if (!coat_unsettled_next(&engine->unsettled, &hk->replay_from, &end)) {
        coat_outbox_tidy(&engine->outbox, &engine->unsettled);
        coat_task_finish(task, COAT_OK);
        return;
    }
    task->handle = end.ended;
    memset(&task->u.replay, 0, sizeof task->u.replay);
    task->u.replay.older = end.older;
    if (hk->replays_failed > 0 && coat_handle_equal(&task->handle, &hk->failed_first)) {
        coat_task_finish(task, COAT_STORE_DOWN); /* all have been tried */
        return;
    }
    if (end.older) {
        end_owner(task);
        return;
    }
    coat_task_req(task, COAT_OP_REMOVE)->address = task->handle;
    coat_task_submit(task, removed);
}

void
coat_replay_work(coat_desk *desk)
{
    coat_changes end;
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
