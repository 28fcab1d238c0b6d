/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/internal.h"

/**
 * Ending a session that a check has found expired, stolen or strange. First by compare-and-set
 * to an expiry in the past: exactly one of any number of parallel requests wins that, and it
 * reports (LC-7). Then the bytes are removed, which no longer decides anything. Whoever shows a
 * copy is refused once no instance lets its owner in any more.
 *
 * Whoever shows an expired session finds it so again. A theft is found once: the next request
 * may be the thief's, with a secret that is the current one. So where the store does not take
 * that end it is kept like a sign-out (SF-4).
 */

enum { LONG_PAST_MS = 1 };

static void removed(coat_task *task);

static void
report(coat_task *task)
{
    coat_counters *counters = &task->desk->engine->counters;
    coat_event_type event = task->u.check.event;

    if (event == COAT_EVENT_TOKEN_REUSE)
        coat_count_add(counters, COAT_COUNT_REUSED, 1);
    if (event == COAT_EVENT_SESSION_EXPIRED)
        coat_count_add(counters, COAT_COUNT_EXPIRED, 1);
    coat_report(task, event, task->u.check.reason, &task->handle, task->have->record.user);
}

static void
ended(coat_task *task)
{
    coat_count_add(&task->desk->engine->counters, COAT_COUNT_ENDED, 1);
    report(task);
}

/** The end has not come through: denied here from now on, and tried again. */
static void
owe(coat_task *task)
{
    task->gates_unsettled = true;
    task->gates.end = coat_end_of_session(&task->handle);
}

static void
known(coat_task *task)
{
    coat_task_finish(task, COAT_NO_SESSION);
}

static void
removed(coat_task *task)
{
    coat_err result = task->req.result;

    if (result == COAT_OK)
        task->gates_unsettled = false;
    else if (task->gates.end.of == COAT_END_OF_NOTHING)
        task->gates_unsettled = coat_undecided(result);
    if (result == COAT_OK)
        coat_shared_ended(task->desk->engine, &task->handle);
    if (result == COAT_OK && task->u.check.event == COAT_EVENT_TOKEN_REUSE)
        coat_confirm(task, known);
    else
        coat_task_finish(task, COAT_NO_SESSION);
}

static void
remove_now(coat_task *task)
{
    coat_task_req(task, COAT_OP_REMOVE)->address = task->handle;
    coat_task_submit(task, removed);
}

static void
killed(coat_task *task)
{
    coat_engine *engine = task->desk->engine;
    bool expired = task->u.check.event == COAT_EVENT_SESSION_EXPIRED;

    switch (task->req.result) {
    case COAT_OK:
        ended(task);
        remove_now(task);
        return;
    case COAT_CONFLICT:
        coat_count_add(&engine->counters, COAT_COUNT_CONFLICTS, 1);
        coat_gate_lift(engine->writer, &task->gates, NULL, atomic_load(&engine->epoch_global));
        if (task->tries < COAT_TRIES_MUST) {
            coat_check_again(task);
            return;
        }
        break;
    case COAT_STORE_FULL: /* removing works on a full store */
        ended(task);
        if (!expired)
            owe(task);
        remove_now(task);
        return;
    case COAT_NO_SESSION: /* ended by somebody else */
        coat_task_finish(task, COAT_NO_SESSION);
        return;
    default:
        task->gates_unsettled = coat_undecided(task->req.result);
        break;
    }
    if (!expired) {
        report(task);
        owe(task);
    }
    /* Not ended now; refused it is in any case. */
    coat_task_finish(task, COAT_NO_SESSION);
}

void
coat_check_kill(coat_task *task, coat_event_type event, const char *reason)
{
    coat_engine *engine = task->desk->engine;
    coat_store_req *req;

    task->u.check.event = event;
    task->u.check.reason = reason;
    if (event == COAT_EVENT_TOKEN_REUSE && task->setup->conf.reuse_report_only) {
        coat_count_add(&engine->counters, COAT_COUNT_REUSED, 1);
        coat_report(task, event, "report_only", &task->handle, task->have->record.user);
        coat_task_finish(task, COAT_NO_SESSION);
        return;
    }
    coat_gate_one(engine->writer, &task->gates, &task->handle);
    req = coat_task_req(task, COAT_OP_REPLACE);
    req->address = task->handle;
    req->value = coat_session_sealed(task->have);
    req->version = task->have->version;
    req->expires_ms = LONG_PAST_MS;
    coat_task_submit(task, killed);
}
