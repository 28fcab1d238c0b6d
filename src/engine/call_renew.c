/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/context.h"
#include "engine/internal.h"

#include "core/bytes.h"

#include <sodium.h>

/**
 * COAT_CALL_RENEW (LC-1): the same session under a new handle, secret and keys, in one store
 * operation that removes the old record. The epochs are read before the session is loaded: a
 * revocation after that makes the insertion fail, and loading again tells whether this session
 * was meant.
 */

static void start(coat_task *task);

static void
fail(coat_task *task, coat_err err)
{
    if (err == COAT_RNG_FAILED)
        coat_report(task, COAT_EVENT_RNG_FAILURE, NULL, NULL, (coat_span){0});
    coat_token_wipe(&task->u.create.issued);
    coat_task_finish(task, err);
}

static void
done(coat_task *task)
{
    coat_call *call = task->call;
    coat_session *session = task->after;

    coat_report(task, COAT_EVENT_SESSION_RENEWED, NULL, &session->handle, session->record.user);
    call->session = session;
    task->after = NULL;
    coat_token_encode(&task->u.create.issued, call->token_text);
    coat_token_wipe(&task->u.create.issued);
    call->set_token = true;
    if ((session->record.flags & COAT_RECORD_REMEMBER) != 0)
        call->max_age_s = (session->record.absolute_end_ms - task->now_ms) / 1000;
    coat_task_finish(task, COAT_OK);
}

static void
confirmed(coat_task *task)
{
    if (task->req.result == COAT_OK)
        done(task);
    else
        fail(task, task->req.result);
}

static void
inserted(coat_task *task)
{
    coat_engine *engine = task->desk->engine;
    coat_err result = task->req.result;

    if (result == COAT_OK) {
        task->after->version = task->req.found_version;
        coat_shared_ended(engine, &task->handle);
        coat_confirm(task, confirmed);
        return;
    }
    task->gates_unsettled = coat_undecided(result);
    if (task->gates_unsettled) {
        fail(task, result);
        return;
    }
    coat_gate_lift(engine->writer, &task->gates, NULL, atomic_load(&engine->epoch_global));
    if (result == COAT_REVOKED || result == COAT_CONFLICT || result == COAT_EXISTS) {
        coat_count_add(&engine->counters, COAT_COUNT_CONFLICTS, 1);
        if (++task->tries < COAT_TRIES_MUST)
            start(task);
        else
            fail(task, COAT_BUSY);
        return;
    }
    fail(task, result);
}

static coat_err
renewed(coat_task *task, coat_record *record)
{
    const coat_engine_conf *conf = &task->setup->conf;
    const coat_policy *policy = &conf->policy;
    bool remember = (record->flags & COAT_RECORD_REMEMBER) != 0;
    int64_t absolute_ms = remember ? policy->remember_absolute_ms : policy->absolute_ms;
    coat_err err;

    record->flags &= ~(uint32_t)(COAT_RECORD_PENDING | COAT_RECORD_PREVIOUS);
    memset(record->pending_digest, 0, sizeof record->pending_digest);
    memset(record->previous_digest, 0, sizeof record->previous_digest);
    record->handed_ms = record->previous_end_ms = 0;
    record->rotated_ms = task->now_ms;
    record->seen_ms = task->now_ms;
    record->epoch_global = task->u.create.epochs.global;
    record->epoch_owner = task->u.create.epochs.owner;
    if (task->call->reauthenticated) {
        record->auth_ms = task->now_ms;
        record->idle_ms = remember ? policy->remember_idle_ms : policy->idle_ms;
        if (record->idle_ms > absolute_ms)
            record->idle_ms = absolute_ms;
        if (__builtin_add_overflow(task->now_ms, absolute_ms, &record->absolute_end_ms))
            record->absolute_end_ms = INT64_MAX;
    }
    if (task->call->roles.ptr != NULL)
        record->roles = task->call->roles;
    if (task->call->methods.ptr != NULL)
        record->methods = task->call->methods;
    coat_secret_digest(task->u.create.issued.secret, record->current_digest);
    err = conf->rng(conf->rng_ctx, record->rotation_key, sizeof record->rotation_key);
    if (err == COAT_OK)
        err = conf->rng(conf->rng_ctx, record->csrf_key, sizeof record->csrf_key);
    return err == COAT_OK ? COAT_OK : COAT_RNG_FAILED;
}

static coat_err
make(coat_task *task)
{
    const coat_engine_conf *conf = &task->setup->conf;
    coat_context_kept kept;
    coat_context joined = coat_context_join(&task->call->context, &task->have->record.last);
    coat_record record = task->have->record;
    coat_err err = coat_token_mint(coat_handle_owner(&task->handle), task->now_ms,
                                   coat_keys_tags(conf->keys), conf->rng, conf->rng_ctx,
                                   &task->u.create.issued);

    if (err == COAT_OK)
        err = renewed(task, &record);
    if (err == COAT_OK) {
        coat_context_keep(&joined, conf->context_privacy, &kept);
        record.first = record.last = kept.view;
        coat_session_free(task->after);
        task->after = NULL;
        err =
            coat_session_make(conf->keys, &task->u.create.issued.handle, &record, &task->after);
    }
    sodium_memzero(&record, sizeof record);
    return err;
}

static void
insert(coat_task *task)
{
    coat_engine *engine = task->desk->engine;
    coat_store_req *req;
    coat_err err = make(task);

    if (err != COAT_OK) {
        fail(task, err);
        return;
    }
    coat_gate_one(engine->writer, &task->gates, &task->handle);
    req = coat_task_req(task, COAT_OP_INSERT);
    req->address = task->u.create.issued.handle;
    req->value = coat_session_sealed(task->after);
    req->expires_ms = coat_record_expiry(&task->after->record);
    req->epoch_owner = task->u.create.epochs.owner;
    req->epoch_global = task->u.create.epochs.global;
    req->has_superseded = true;
    req->superseded = task->handle;
    req->version = task->have->version;
    coat_task_submit(task, inserted);
}

static void
loaded(coat_task *task)
{
    static const coat_demand nothing;
    coat_policy policy = coat_engine_policy(task->desk->engine, task->setup);
    coat_judgement *judgement = &task->call->judgement;
    coat_err err = coat_task_loaded(task);

    if (err == COAT_OK) {
        coat_judge(&task->have->record, &task->token, task->now_ms, task->seen_ms, &policy,
                   &nothing, judgement);
        if (judgement->verdict != COAT_VERDICT_LIVE)
            err = COAT_NO_SESSION;
        else if (task->call->user.len > 0 &&
                 !coat_span_is(task->call->user, task->have->record.user))
            err = COAT_DENIED; /* another user's sign-in is CREATE, not RENEW */
    }
    if (err != COAT_OK)
        fail(task, err);
    else
        insert(task);
}

static void
epochs_read(coat_task *task)
{
    if (task->req.result != COAT_OK) {
        fail(task, task->req.result);
        return;
    }
    if (!coat_shared_epochs(task->desk->engine, task->req.owner, &task->req)) {
        if (task->tries++ == 0) /* perhaps overtaken by a revocation on another desk */
            coat_epochs_again(task, epochs_read);
        else
            fail(task, COAT_STORE_DOWN); /* it has lost something, and is being told */
        return;
    }
    if (coat_may_issue(task->desk->engine) != COAT_OK) {
        fail(task, COAT_CLOCK_OFF);
        return;
    }
    task->u.create.epochs = (coat_epochs){true, task->req.epoch_owner, task->req.epoch_global};
    coat_task_load(task, loaded);
}

static void
start(coat_task *task)
{
    coat_task_req(task, COAT_OP_EPOCHS)->owner = coat_handle_owner(&task->handle);
    coat_task_submit(task, epochs_read);
}

void
coat_renew_start(coat_task *task)
{
    start(task);
}
