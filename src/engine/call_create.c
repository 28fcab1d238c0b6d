/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/context.h"
#include "engine/internal.h"
#include "engine/patch_json.h"

#include "core/bytes.h"

#include <sodium.h>

/**
 * COAT_CALL_CREATE. The epochs are read before anything else is done (or by the caller, before
 * credentials were checked), so that a revocation in between wins (RV-4).
 *
 * A token that the client brings is never adopted (ID-3): it only names the session that this
 * one follows, if it proves that session. Of the same owner it goes in the same store
 * operation; another owner's (a visitor who signs in) is removed before the call is done.
 */

static void load_former(coat_task *task);
static void insert(coat_task *task);

static void
fail(coat_task *task, coat_err err)
{
    if (err == COAT_RNG_FAILED)
        coat_report(task, COAT_EVENT_RNG_FAILURE, NULL, NULL, (coat_span){0});
    coat_token_wipe(&task->u.create.issued);
    coat_task_finish(task, err);
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
    load_former(task);
}

void
coat_create_start(coat_task *task)
{
    coat_call *call = task->call;
    const coat_engine_conf *conf = &task->setup->conf;
    coat_owner owner;
    coat_err err = COAT_OK;

    if (call->token.len > 0 && !task->has_token)
        coat_report(task, COAT_EVENT_SESSION_UNKNOWN_TOKEN, NULL, NULL, call->user);
    if (call->user.len > 0)
        owner = coat_keys_owner(conf->keys, call->user);
    else
        err = coat_owner_random(conf->rng, conf->rng_ctx, &owner);
    if (err == COAT_OK)
        err = coat_token_mint(owner, task->now_ms, coat_keys_tags(conf->keys), conf->rng,
                              conf->rng_ctx, &task->u.create.issued);
    if (err != COAT_OK) {
        fail(task, err);
        return;
    }
    task->u.create.epochs = call->epochs;
    if (call->epochs.set) {
        if (coat_may_issue(task->desk->engine) != COAT_OK)
            fail(task, COAT_CLOCK_OFF);
        else
            load_former(task);
        return;
    }
    coat_task_req(task, COAT_OP_EPOCHS)->owner = owner;
    coat_task_submit(task, epochs_read);
}

static void
former_loaded(coat_task *task)
{
    static const coat_demand nothing;
    coat_policy policy = coat_engine_policy(task->desk->engine, task->setup);
    coat_judgement judgement;
    coat_err err = coat_task_loaded(task);

    /* What cannot be decided may be live and would have to end: no sign-in beside it. */
    if (err != COAT_OK && err != COAT_NO_SESSION && err != COAT_NEWER_FORMAT) {
        fail(task, err);
        return;
    }
    if (err == COAT_OK) {
        coat_judge(&task->have->record, &task->token, task->now_ms, task->seen_ms, &policy,
                   &nothing, &judgement);
        task->u.create.follows = judgement.verdict != COAT_VERDICT_NONE;
        task->u.create.stolen = judgement.verdict == COAT_VERDICT_STOLEN;
    }
    insert(task);
}

static void
load_former(coat_task *task)
{
    if (!task->has_token) {
        insert(task);
        return;
    }
    task->handle = task->token.handle;
    coat_task_load(task, former_loaded);
}

static void
set_limits(coat_task *task, coat_record *record)
{
    const coat_policy *policy = &task->setup->conf.policy;
    int64_t absolute_ms = policy->absolute_ms;

    record->idle_ms = policy->idle_ms;
    if (task->call->remember) {
        record->flags |= COAT_RECORD_REMEMBER;
        record->idle_ms = policy->remember_idle_ms;
        absolute_ms = policy->remember_absolute_ms;
    }
    if (record->idle_ms > absolute_ms)
        record->idle_ms = absolute_ms;
    if (__builtin_add_overflow(task->now_ms, absolute_ms, &record->absolute_end_ms))
        record->absolute_end_ms = INT64_MAX;
}

static coat_err
new_record(coat_task *task, coat_record *record)
{
    const coat_call *call = task->call;
    const coat_engine_conf *conf = &task->setup->conf;
    coat_err err;

    *record = (coat_record){
        .created_ms = task->now_ms,
        .auth_ms = call->user.len > 0 ? task->now_ms : 0,
        .seen_ms = task->now_ms,
        .rotated_ms = task->now_ms,
        .epoch_global = task->u.create.epochs.global,
        .epoch_owner = task->u.create.epochs.owner,
        .user = call->user,
        .roles = call->roles,
        .methods = call->methods,
    };
    set_limits(task, record);
    coat_secret_digest(task->u.create.issued.secret, record->current_digest);
    err = conf->rng(conf->rng_ctx, record->rotation_key, sizeof record->rotation_key);
    if (err == COAT_OK)
        err = conf->rng(conf->rng_ctx, record->csrf_key, sizeof record->csrf_key);
    return err == COAT_OK ? COAT_OK : COAT_RNG_FAILED;
}

static coat_err
make(coat_task *task)
{
    const coat_call *call = task->call;
    const coat_engine_conf *conf = &task->setup->conf;
    bool keep = call->keep_data && task->u.create.follows && !task->u.create.stolen;
    coat_context_kept kept;
    coat_json_text data = {0};
    coat_record record;
    coat_err err = new_record(task, &record);

    if (err == COAT_OK)
        err = coat_json_patch(keep ? task->have->record.data : (coat_span){0}, call->data,
                              conf->data_max, &data);
    if (err == COAT_OK) {
        coat_context_keep(&call->context, conf->context_privacy, &kept);
        record.first = record.last = kept.view;
        record.data = (coat_span){(const uint8_t *)data.text, data.len};
        coat_session_free(task->after);
        task->after = NULL;
        err =
            coat_session_make(conf->keys, &task->u.create.issued.handle, &record, &task->after);
    }
    coat_json_text_free(&data);
    sodium_memzero(&record, sizeof record);
    return err;
}

static void
done(coat_task *task)
{
    coat_call *call = task->call;
    coat_session *session = task->after;

    coat_count_add(&task->desk->engine->counters, COAT_COUNT_CREATED, 1);
    coat_report(task, COAT_EVENT_SESSION_CREATED, NULL, &session->handle, session->record.user);
    if (task->u.create.follows) {
        coat_count_add(&task->desk->engine->counters, COAT_COUNT_ENDED, 1);
        if (task->u.create.stolen)
            coat_report(task, COAT_EVENT_TOKEN_REUSE, "sign_in", &task->token.handle,
                        task->have->record.user);
        else
            coat_report(task, COAT_EVENT_SESSION_LOGGED_OUT, "followed", &task->token.handle,
                        task->have->record.user);
    }
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

/** The session that this one follows has ended. */
static void
followed(coat_task *task)
{
    coat_shared_ended(task->desk->engine, &task->token.handle);
    coat_confirm(task, confirmed);
}

static void
undone(coat_task *task)
{
    fail(task, task->u.create.undo_err);
}

static void
former_removed(coat_task *task)
{
    if (task->req.result == COAT_OK) {
        followed(task);
        return;
    }
    /* The visitor's old session may live: then there must be no new one either. */
    task->gates_unsettled = coat_undecided(task->req.result);
    task->u.create.undo_err = task->req.result;
    coat_task_req(task, COAT_OP_REMOVE)->address = task->u.create.issued.handle;
    coat_task_submit(task, undone);
}

static void
evicted(coat_store_req *req, const coat_store_item *item)
{
    coat_task *task = req->ctx;
    coat_engine *engine = task->desk->engine;

    if (engine->writer != NULL)
        (void)coat_table_clear(engine->writer, &item->address);
    coat_shared_ended(engine, &item->address);
    coat_count_add(&engine->counters, COAT_COUNT_EVICTED, 1);
    coat_report(task, COAT_EVENT_SESSION_EVICTED, "oldest", &item->address, task->call->user);
}

static void
again_with_new_handle(coat_task *task)
{
    const coat_engine_conf *conf = &task->setup->conf;
    coat_err err = coat_token_mint(coat_handle_owner(&task->u.create.issued.handle),
                                   task->now_ms, coat_keys_tags(conf->keys), conf->rng,
                                   conf->rng_ctx, &task->u.create.issued);

    if (err != COAT_OK)
        fail(task, err);
    else
        insert(task);
}

static void
inserted(coat_task *task)
{
    coat_err result = task->req.result;

    if (result == COAT_OK) {
        task->after->version = task->req.found_version;
        if (!task->u.create.follows) {
            done(task);
            return;
        }
        if (task->u.create.same_owner) {
            followed(task);
            return;
        }
        coat_gate_one(task->desk->engine->writer, &task->gates, &task->token.handle);
        coat_task_req(task, COAT_OP_REMOVE)->address = task->token.handle;
        coat_task_submit(task, former_removed);
        return;
    }
    task->gates_unsettled = coat_undecided(result);
    if (task->gates_unsettled || ++task->tries >= COAT_TRIES_MUST) {
        fail(task, result);
        return;
    }
    coat_gate_lift(task->desk->engine->writer, &task->gates, NULL,
                   atomic_load(&task->desk->engine->epoch_global));
    if (result == COAT_EXISTS) {
        again_with_new_handle(task);
    } else if (result == COAT_CONFLICT) { /* its data changed meanwhile: take it over anew */
        load_former(task);
    } else if (result == COAT_NO_SESSION && task->u.create.follows) {
        task->u.create.follows = false; /* it has ended by itself: nothing to follow */
        insert(task);
    } else {
        if (result == COAT_TOO_MANY)
            coat_report(task, COAT_EVENT_SESSION_EVICTED, "denied", NULL, task->call->user);
        fail(task, result);
    }
}

static void
insert(coat_task *task)
{
    const coat_engine_conf *conf = &task->setup->conf;
    coat_handle handle = task->u.create.issued.handle;
    coat_owner owner = coat_handle_owner(&handle);
    coat_owner former = coat_handle_owner(&task->token.handle);
    bool user = task->call->user.len > 0;
    coat_store_req *req;
    coat_err err = make(task);

    if (err != COAT_OK) {
        fail(task, err);
        return;
    }
    task->u.create.same_owner =
        task->u.create.follows && memcmp(owner.bytes, former.bytes, sizeof owner.bytes) == 0;
    if (user) /* sessions of this owner may give way */
        coat_gate_owner(task->desk->engine->writer, &task->gates, owner);
    if (task->u.create.same_owner)
        coat_gate_one(task->desk->engine->writer, &task->gates, &task->token.handle);
    req = coat_task_req(task, COAT_OP_INSERT);
    req->address = handle;
    req->value = coat_session_sealed(task->after);
    req->expires_ms = coat_record_expiry(&task->after->record);
    req->epoch_owner = task->u.create.epochs.owner;
    req->epoch_global = task->u.create.epochs.global;
    req->owner_max = user ? conf->sessions_per_user : 0;
    req->owner_evict = !conf->sessions_deny;
    req->has_superseded = task->u.create.same_owner;
    req->superseded = task->token.handle;
    req->version = task->u.create.same_owner ? task->have->version : 0;
    req->item = evicted;
    coat_task_submit(task, inserted);
}
