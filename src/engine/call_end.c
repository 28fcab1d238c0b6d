/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/internal.h"

#include "core/bytes.h"

/**
 * COAT_CALL_END. A token that carries our tag is enough to end its session: it was issued for
 * it, and a superseded one would end it anyway. What cannot be read is ended all the same; it
 * is loaded only to be able to say whose it was.
 */

static void
confirmed(coat_task *task)
{
    coat_task_finish(task, task->req.result);
}

static void
removed(coat_task *task)
{
    coat_engine *engine = task->desk->engine;
    coat_end end = coat_end_of_session(&task->handle);
    coat_err result = task->req.result;

    task->gates_unsettled = result != COAT_OK;
    if (task->gates_unsettled) /* denied here from now on, and tried again (SF-4) */
        task->gates.end = end;
    if (result == COAT_OK) {
        coat_unsettled_ended(&engine->unsettled, &end);
        coat_shared_ended(engine, &task->handle);
        if (task->have != NULL) {
            task->call->count = 1;
            coat_count_add(&engine->counters, COAT_COUNT_ENDED, 1);
            coat_report(task,
                        task->has_token ? COAT_EVENT_SESSION_LOGGED_OUT
                                        : COAT_EVENT_SESSION_REVOKED,
                        NULL, &task->handle, task->have->record.user);
        }
    }
    if (result == COAT_OK)
        coat_confirm(task, confirmed);
    else
        coat_task_finish(task, result);
}

static void
remove_now(coat_task *task)
{
    coat_gate_one(task->desk->engine->writer, &task->gates, &task->handle);
    coat_task_req(task, COAT_OP_REMOVE)->address = task->handle;
    coat_task_submit(task, removed);
}

static void
loaded(coat_task *task)
{
    coat_err err = coat_task_loaded(task);
    coat_span user = task->call->owner_user;

    if (task->req.result == COAT_NO_SESSION && user.len > 0) {
        coat_task_finish(task, COAT_NOT_FOUND);
        return;
    }
    if (task->req.result == COAT_NO_SESSION) { /* nothing there to end (LC-8) */
        coat_confirm(task, confirmed); /* perhaps ended a moment ago, without an answer */
        return;
    }
    if (task->req.result == COAT_CANCELLED) {
        coat_task_finish(task, COAT_CANCELLED);
        return;
    }
    if (err == COAT_OK && user.len > 0 && !coat_span_is(user, task->have->record.user)) {
        coat_task_finish(task, COAT_NOT_FOUND);
        return;
    }
    remove_now(task);
}

void
coat_end_start(coat_task *task)
{
    coat_span user = task->call->owner_user;
    coat_owner mine, theirs = coat_handle_owner(&task->handle);

    if (user.len > 0) {
        mine = coat_keys_owner(task->setup->conf.keys, user);
        if (memcmp(mine.bytes, theirs.bytes, sizeof mine.bytes) != 0) {
            coat_task_finish(task, COAT_NOT_FOUND);
            return;
        }
    }
    coat_task_load(task, loaded);
}
