/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/internal.h"

#include "core/bytes.h"
#include "core/judge.h"

static int64_t
later(int64_t time_ms, int64_t by_ms)
{
    int64_t sum;

    return __builtin_add_overflow(time_ms, by_ms, &sum) ? INT64_MAX : sum;
}

int64_t
coat_lag_ms(const coat_record *record)
{
    int64_t tenth = record->idle_ms / 10;

    return tenth < COAT_LAG_MAX_MS ? tenth : COAT_LAG_MAX_MS;
}

/**
 * When the store may forget the session by itself. Later than its end: activity may be known
 * here that is not folded in yet, and a session found expired is reported as such. The store's
 * expiry only tidies up; coat_judge() decides.
 */
int64_t
coat_record_expiry(const coat_record *record)
{
    enum { SLACK_MIN_MS = 2 * COAT_LAG_MAX_MS, SLACK_MAX_MS = 3600 * 1000 };
    int64_t slack = record->idle_ms / 2;
    int64_t end = later(record->seen_ms, record->idle_ms);

    if (end > record->absolute_end_ms)
        end = record->absolute_end_ms;
    if (slack < SLACK_MIN_MS)
        slack = SLACK_MIN_MS;
    if (slack > SLACK_MAX_MS)
        slack = SLACK_MAX_MS;
    end = later(end, slack);
    return end > 0 ? end : 1; /* 0 would be "never" */
}

void
coat_task_known_activity(coat_task *task)
{
    coat_table_writer *writer = task->desk->engine->writer;
    int64_t seen_ms;

    if (writer != NULL && coat_table_seen(writer, &task->handle, &seen_ms) &&
        seen_ms > task->seen_ms)
        task->seen_ms = seen_ms;
}

void
coat_task_load(coat_task *task, coat_step next)
{
    coat_table_writer *writer = task->desk->engine->writer;

    task->now_ms = coat_engine_now_ms(task->desk->engine);
    if (writer != NULL)
        task->ticket = coat_table_ticket_take(writer, &task->handle);
    coat_task_known_activity(task);
    coat_task_req(task, COAT_OP_LOAD)->address = task->handle;
    coat_task_submit(task, next);
}

/** What became of a record that does not read as one. Never deleted: it may be newer. */
static coat_err
unreadable(const coat_task *task, coat_err err)
{
    if (err == COAT_TAMPERED) {
        coat_report(task, COAT_EVENT_RECORD_TAMPERED, NULL, &task->handle, (coat_span){0});
        return COAT_NO_SESSION;
    }
    if (err == COAT_NEWER_FORMAT || err == COAT_MALFORMED)
        coat_report(task, COAT_EVENT_RECORD_UNREADABLE, coat_err_name(err), &task->handle,
                    (coat_span){0});
    return err == COAT_MALFORMED ? COAT_NO_SESSION : err;
}

coat_err
coat_task_loaded(coat_task *task)
{
    coat_engine *engine = task->desk->engine;
    coat_err err = task->req.result;

    if (err == COAT_OK)
        err = task->unsealed;
    if (err == COAT_OK && (coat_unsettled_ending(&engine->unsettled, &task->handle) ||
                           coat_shared_denies(engine, &task->handle, &task->have->record)))
        return COAT_NO_SESSION; /* whatever the store says */
    if (err == COAT_OK || err == COAT_NO_SESSION)
        return err;
    return unreadable(task, err);
}

static coat_err
replace(coat_task *task, const coat_record *record, bool quiet, coat_step next)
{
    coat_store_req *req;
    coat_err err;

    coat_session_free(task->after);
    task->after = NULL;
    err = coat_session_make(task->setup->conf.keys, &task->handle, record, &task->after);
    if (err != COAT_OK)
        return err;
    req = coat_task_req(task, COAT_OP_REPLACE);
    req->address = task->handle;
    req->value = coat_session_sealed(task->after);
    req->version = task->have->version;
    req->expires_ms = coat_record_expiry(record);
    req->quiet = quiet;
    coat_task_submit(task, next);
    return COAT_OK;
}

coat_err
coat_task_replace(coat_task *task, const coat_record *record, coat_step next)
{
    return replace(task, record, false, next);
}

coat_err
coat_task_fold(coat_task *task, const coat_record *record, coat_step next)
{
    return replace(task, record, true, next);
}

bool
coat_task_alive(coat_task *task)
{
    coat_policy policy = coat_engine_policy(task->desk->engine, task->setup);

    return coat_judge_life(&task->have->record, task->now_ms, task->seen_ms, &policy) ==
           COAT_WHY_LIVE;
}
