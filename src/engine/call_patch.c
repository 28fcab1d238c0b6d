/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/internal.h"
#include "engine/patch_json.h"

#include <sodium.h>

/**
 * COAT_CALL_PATCH: load, merge, compare-and-set, from the start again on conflict; so parallel
 * patches of different keys all take effect. COAT_CALL_READ is its first half.
 */

static void patched(coat_task *task);

/** By token: only for whoever holds the session. By handle: for whoever may call this. */
static bool
may(coat_task *task)
{
    static const coat_demand nothing;
    coat_policy policy = coat_engine_policy(task->desk->engine, task->setup);
    coat_judgement *judgement = &task->call->judgement;

    if (!task->has_token)
        return coat_task_alive(task);
    coat_judge(&task->have->record, &task->token, task->now_ms, task->seen_ms, &policy,
               &nothing, judgement);
    return judgement->verdict == COAT_VERDICT_LIVE;
}

static void
give(coat_task *task, coat_session **from)
{
    task->call->session = *from;
    *from = NULL;
    if (task->seen_ms > task->call->session->seen_ms)
        task->call->session->seen_ms = task->seen_ms;
    coat_task_finish(task, COAT_OK);
}

static coat_err
merge(coat_task *task)
{
    coat_engine *engine = task->desk->engine;
    coat_record record = task->have->record;
    coat_json_text data = {0};
    coat_err err =
        coat_json_patch(record.data, task->call->data, task->setup->conf.data_max, &data);

    if (err != COAT_OK)
        return err;
    coat_gate_one(engine->writer, &task->gates, &task->handle);
    if (task->gates.change.seen_ms > record.seen_ms)
        record.seen_ms = task->gates.change.seen_ms; /* the table has forgotten it by now */
    record.data = (coat_span){(const uint8_t *)data.text, data.len};
    err = coat_task_replace(task, &record, patched);
    coat_json_text_free(&data);
    return err;
}

static void
loaded(coat_task *task)
{
    coat_err absent = task->call->op == COAT_CALL_READ ? COAT_NOT_FOUND : COAT_NO_SESSION;
    coat_err err = coat_task_loaded(task);

    if (err == COAT_OK && !may(task))
        err = COAT_NO_SESSION;
    if (err == COAT_NO_SESSION)
        err = absent;
    if (err == COAT_OK && task->call->op == COAT_CALL_READ) {
        give(task, &task->have);
        return;
    }
    if (err == COAT_OK)
        err = merge(task);
    if (err != COAT_OK)
        coat_task_finish(task, err);
}

static void
patched(coat_task *task)
{
    coat_engine *engine = task->desk->engine;
    coat_err result = task->req.result;

    if (result == COAT_OK) {
        task->after->version = task->req.found_version;
        give(task, &task->after);
        return;
    }
    task->gates_unsettled = coat_undecided(result);
    if (result != COAT_CONFLICT) {
        coat_task_finish(task, result);
        return;
    }
    coat_count_add(&engine->counters, COAT_COUNT_CONFLICTS, 1);
    coat_gate_lift(engine->writer, &task->gates, NULL, atomic_load(&engine->epoch_global));
    if (++task->tries < COAT_TRIES_MUST)
        coat_task_load(task, loaded);
    else
        coat_task_finish(task, COAT_BUSY);
}

void
coat_patch_start(coat_task *task)
{
    coat_task_load(task, loaded);
}

void
coat_read_start(coat_task *task)
{
    coat_task_load(task, loaded);
}
