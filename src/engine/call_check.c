/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/context.h"
#include "engine/internal.h"

/**
 * COAT_CALL_CHECK: load, judge, carry out what is due by compare-and-set, answer.
 *
 * Only a read decides about access. What is written along the way (rotation, confirmation,
 * context, activity) can wait: if the store does not take it, the session is live all the same
 * and the next request tries again. A loser of the compare-and-set loads and judges anew, and
 * hands out nothing.
 */

enum wants {
    WANTS_TURN = 1U << 0,    /* what judgement.due says */
    WANTS_CONTEXT = 1U << 1, /* remember the new context */
};

static void judged(coat_task *task);
static void committed(coat_task *task);

static void
loaded(coat_task *task)
{
    coat_err err = coat_task_loaded(task);

    /* The tag was ours and there is no record: it has ended some time ago. Not if it ended
     * while this call was looking at it: whoever ended it has reported that. */
    if (task->req.result == COAT_NO_SESSION && task->tries == 0)
        coat_report(task, COAT_EVENT_SESSION_USE_AFTER_EXPIRE, NULL, &task->handle,
                    (coat_span){0});
    if (err != COAT_OK)
        coat_task_finish(task, err);
    else
        judged(task);
}

void
coat_check_again(coat_task *task)
{
    task->tries++;
    coat_task_load(task, loaded);
}

void
coat_check_start(coat_task *task)
{
    if (coat_unsettled_ending(&task->desk->engine->unsettled, &task->handle)) {
        coat_task_finish(task, COAT_NO_SESSION);
        return;
    }
    coat_task_load(task, loaded);
}

static coat_table_entry
entry_of(coat_task *task, const coat_session *session, int64_t next_due_ms)
{
    const coat_context *now = &task->call->context;
    bool given = now->address.len > 0 || now->agent.len > 0 || now->language.len > 0;

    return (coat_table_entry){
        .handle = &task->handle,
        .record = &session->record,
        .next_due_ms = next_due_ms,
        .seen_ms = task->call->background ? task->seen_ms : task->now_ms,
        .context = coat_engine_context(task->desk->engine, given ? now : &session->record.last),
    };
}

static void
answer(coat_task *task)
{
    coat_call *call = task->call;
    coat_session *session = task->after != NULL ? task->after : task->have;
    bool strict = task->u.check.context_strict;

    if (task->after != NULL)
        task->after = NULL;
    else
        task->have = NULL;
    if (task->seen_ms > session->seen_ms)
        session->seen_ms = task->seen_ms;
    if (!call->background && task->now_ms > session->seen_ms)
        session->seen_ms = task->now_ms;
    call->session = session;
    if ((session->record.flags & COAT_RECORD_REMEMBER) != 0)
        call->max_age_s = (session->record.absolute_end_ms - task->now_ms) / 1000;
    if (strict)
        call->judgement.verdict = COAT_VERDICT_STEP_UP;
    coat_task_finish(task,
                     call->judgement.verdict == COAT_VERDICT_LIVE ? COAT_OK : COAT_STEP_UP);
}

static void
folded(coat_task *task)
{
    if (task->req.result == COAT_NO_SESSION) { /* ended meanwhile */
        coat_task_finish(task, COAT_NO_SESSION);
        return;
    }
    if (task->req.result == COAT_OK) {
        coat_count_add(&task->desk->engine->counters, COAT_COUNT_FOLDED, 1);
        task->after->version = task->req.found_version;
    } else {
        coat_session_free(task->after);
        task->after = NULL;
    }
    answer(task);
}

/** The table keeps activity until it is folded in; without it that must be done at once. */
static bool
fold_now(coat_task *task)
{
    coat_record record = task->have->record;

    if (task->call->background || task->now_ms - record.seen_ms < coat_lag_ms(&record))
        return false;
    record.seen_ms = task->now_ms;
    return coat_task_fold(task, &record, folded) == COAT_OK;
}

static void
unchanged(coat_task *task)
{
    coat_table_writer *writer = task->desk->engine->writer;
    coat_table_entry entry;

    coat_session_free(task->after);
    task->after = NULL;
    if (writer != NULL && !task->u.check.context_strict) {
        entry = entry_of(task, task->have, task->call->judgement.next_due_ms);
        if (coat_table_fill(writer, task->ticket, &entry) == COAT_OK) {
            answer(task);
            return;
        }
    }
    if (!fold_now(task))
        answer(task);
}

/** Only the winner of the compare-and-set comes here: one delivery at a time (LC-5, LC-6). */
static void
turned(coat_task *task, coat_judgement *after)
{
    coat_engine *engine = task->desk->engine;
    coat_policy policy = coat_engine_policy(engine, task->setup);
    coat_call *call = task->call;
    coat_token next;

    if ((task->u.check.wants & WANTS_TURN) != 0 &&
        (call->judgement.due & COAT_DUE_ROTATE) != 0) {
        coat_rotate_successor(&task->have->record, &task->token,
                              coat_keys_tags(task->setup->conf.keys), &next);
        coat_token_encode(&next, call->token_text);
        coat_token_wipe(&next);
        call->set_token = true;
        coat_count_add(&engine->counters, COAT_COUNT_ROTATED, 1);
    }
    if ((task->u.check.wants & WANTS_TURN) != 0 &&
        (call->judgement.due & COAT_DUE_CONFIRM) != 0) {
        coat_count_add(&engine->counters, COAT_COUNT_CONFIRMED, 1);
        coat_report(task, COAT_EVENT_SESSION_CONFIRMED, NULL, &task->handle,
                    task->after->record.user);
    }
    coat_judge(&task->after->record, &task->token, task->now_ms, task->seen_ms, &policy,
               &call->demand, after);
}

static void
committed(coat_task *task)
{
    coat_engine *engine = task->desk->engine;
    coat_err result = task->req.result;
    coat_table_entry entry;
    coat_judgement after;
    bool enter;

    if (result == COAT_OK) {
        task->after->version = task->req.found_version;
        if ((task->u.check.wants & WANTS_CONTEXT) != 0)
            coat_report(task, COAT_EVENT_SESSION_CONTEXT_CHANGED, task->u.check.reason,
                        &task->handle, task->after->record.user);
        turned(task, &after);
        enter = after.verdict != COAT_VERDICT_NONE && !task->u.check.context_strict;
        entry = entry_of(task, task->after, after.next_due_ms);
        coat_gate_lift(engine->writer, &task->gates, enter ? &entry : NULL,
                       atomic_load(&engine->epoch_global));
        answer(task);
        return;
    }
    task->gates_unsettled = coat_undecided(result);
    if (!task->gates_unsettled)
        coat_gate_lift(engine->writer, &task->gates, NULL, atomic_load(&engine->epoch_global));
    if (result == COAT_NO_SESSION || result == COAT_CANCELLED) {
        coat_task_finish(task, result);
        return;
    }
    if (result == COAT_CONFLICT) {
        coat_count_add(&engine->counters, COAT_COUNT_CONFLICTS, 1);
        if (task->tries < COAT_TRIES_CHECK) {
            coat_check_again(task);
            return;
        }
    }
    coat_session_free(task->after); /* live, and not changed: the next request tries again */
    task->after = NULL;
    answer(task);
}

static void
commit(coat_task *task)
{
    coat_record record = task->have->record;
    coat_policy policy = coat_engine_policy(task->desk->engine, task->setup);
    const coat_engine_conf *conf = &task->setup->conf;
    coat_context_kept kept;
    coat_context joined;

    coat_gate_one(task->desk->engine->writer, &task->gates, &task->handle);
    if (task->gates.change.seen_ms > task->seen_ms)
        task->seen_ms = task->gates.change.seen_ms;
    if ((task->u.check.wants & WANTS_TURN) != 0)
        (void)coat_rotate_apply(&record, &task->token, task->now_ms, &policy,
                                &task->call->judgement);
    if ((task->u.check.wants & WANTS_CONTEXT) != 0) {
        joined = coat_context_join(&task->call->context, &record.last);
        coat_context_keep(&joined, conf->context_privacy, &kept);
        record.last = kept.view;
    }
    if (task->seen_ms > record.seen_ms)
        record.seen_ms = task->seen_ms;
    if (!task->call->background && task->now_ms > record.seen_ms)
        record.seen_ms = task->now_ms;
    if (coat_task_replace(task, &record, committed) == COAT_OK)
        return;
    coat_gate_lift(task->desk->engine->writer, &task->gates, NULL,
                   atomic_load(&task->desk->engine->epoch_global));
    answer(task);
}

static const char *
change_name(uint32_t changed)
{
    if (changed == COAT_CHANGED_ADDRESS)
        return "address";
    if (changed == COAT_CHANGED_LANGUAGE)
        return "language";
    return (changed & COAT_CHANGED_AGENT) != 0 ? "agent" : "address_language";
}

/** LC-13. @return false if the session ends by it */
static bool
look_at_context(coat_task *task)
{
    const coat_record *record = &task->have->record;
    const coat_context *now = &task->call->context;
    coat_context_policy policy = task->setup->conf.context_policy;
    uint32_t changed = coat_context_compare(&record->last, now);

    task->u.check.reason = change_name(changed);
    if (policy == COAT_CONTEXT_END && coat_context_is_strange(changed)) {
        coat_check_kill(task, COAT_EVENT_SESSION_CONTEXT_CHANGED, "ended");
        return false;
    }
    /* Measured against where it was signed in, so that coming twice does not help. */
    task->u.check.context_strict =
        policy == COAT_CONTEXT_STEP_UP &&
        coat_context_is_strange(coat_context_compare(&record->first, now));
    if (changed != 0)
        task->u.check.wants |= WANTS_CONTEXT;
    return true;
}

static void
dead(coat_task *task)
{
    coat_engine *engine = task->desk->engine;

    if (task->call->judgement.why == COAT_WHY_EPOCH) {
        coat_task_finish(task, COAT_NO_SESSION);
        return;
    }
    /* Refused, but kept while the clock is in doubt (SF-10). */
    if (coat_clock_delete_ms(&engine->clock) < task->now_ms) {
        coat_task_finish(task, COAT_NO_SESSION);
        return;
    }
    coat_check_kill(task, COAT_EVENT_SESSION_EXPIRED,
                    task->call->judgement.why == COAT_WHY_IDLE ? "idle" : "absolute");
}

static void
judged(coat_task *task)
{
    coat_call *call = task->call;
    coat_policy policy = coat_engine_policy(task->desk->engine, task->setup);

    coat_judge(&task->have->record, &task->token, task->now_ms, task->seen_ms, &policy,
               &call->demand, &call->judgement);
    task->u.check.wants = 0;
    task->u.check.context_strict = false;
    switch (call->judgement.verdict) {
    case COAT_VERDICT_NONE:
        dead(task);
        return;
    case COAT_VERDICT_STOLEN:
        coat_check_kill(task, COAT_EVENT_TOKEN_REUSE, NULL);
        return;
    case COAT_VERDICT_STEP_UP:
    case COAT_VERDICT_LIVE:
        break;
    }
    if (!look_at_context(task))
        return;
    if (call->judgement.due != COAT_DUE_NOTHING)
        task->u.check.wants |= WANTS_TURN;
    if (task->u.check.wants != 0)
        commit(task);
    else
        unchanged(task);
}
