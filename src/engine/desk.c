/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/shared.h"

#include <stdlib.h>

coat_err
coat_desk_open(coat_engine *engine, struct uv_loop_s *loop, coat_desk **out)
{
    coat_setup *setup = coat_setup_take(engine);
    coat_desk *desk = calloc(1, sizeof *desk);
    coat_err err = COAT_NO_MEMORY;

    if (desk != NULL) {
        desk->engine = engine;
        desk->looped = loop != NULL;
        desk->loop = loop;
        err = coat_lane_open(setup->conf.store, loop, &desk->lane);
    }
    coat_setup_drop(setup);
    if (err == COAT_OK && (err = coat_waiting_new(desk, loop)) != COAT_OK)
        coat_lane_close(desk->lane);
    if (err != COAT_OK) {
        free(desk);
        return err;
    }
    *out = desk;
    return COAT_OK;
}

void
coat_desk_close(coat_desk *desk)
{
    if (desk == NULL)
        return;
    desk->closing = true;
    coat_shared_unkeep(desk);
    coat_waiting_free(desk);
    coat_lane_close(desk->lane);
    coat_housekeeping_free(desk);
    free(desk);
}

void
coat_desk_drain(coat_desk *desk)
{
    coat_task *task = desk->tasks;

    while (task != NULL) {
        if (task->waits) { /* for others: it goes on when they have confirmed */
            task = task->next;
            continue;
        }
        coat_task_run(task);
        task = desk->tasks;
    }
}

coat_lane *
coat_desk_lane(coat_desk *desk)
{
    return desk->lane;
}

coat_engine *
coat_desk_engine(coat_desk *desk)
{
    return desk->engine;
}

/* What names the session a call is about. */
typedef enum needs {
    NEEDS_NOTHING,
    NEEDS_TOKEN,
    NEEDS_TARGET, /* handle, or token */
    NEEDS_USER,
} needs;

static const struct call_kind {
    coat_step first;
    needs needs;
    coat_err without; /* result if the token is not one of ours */
} kinds[] = {
    [COAT_CALL_CHECK] = {coat_check_start, NEEDS_TOKEN, COAT_NO_SESSION},
    [COAT_CALL_CREATE] = {coat_create_start, NEEDS_NOTHING, COAT_OK},
    [COAT_CALL_RENEW] = {coat_renew_start, NEEDS_TOKEN, COAT_NO_SESSION},
    [COAT_CALL_PATCH] = {coat_patch_start, NEEDS_TARGET, COAT_NO_SESSION},
    /* Nothing of ours is nothing to end: the same answer as for what has ended (LC-8). */
    [COAT_CALL_END] = {coat_end_start, NEEDS_TARGET, COAT_OK},
    [COAT_CALL_END_USER] = {coat_end_user_start, NEEDS_USER, COAT_OK},
    [COAT_CALL_END_ALL] = {coat_end_all_start, NEEDS_NOTHING, COAT_OK},
    [COAT_CALL_READ] = {coat_read_start, NEEDS_TARGET, COAT_NOT_FOUND},
    [COAT_CALL_LIST] = {coat_list_start, NEEDS_USER, COAT_OK},
    [COAT_CALL_SCAN] = {coat_list_start, NEEDS_NOTHING, COAT_OK},
    [COAT_CALL_EPOCHS] = {coat_epochs_start, NEEDS_NOTHING, COAT_OK},
    [COAT_CALL_ALIVE] = {coat_alive_start, NEEDS_TOKEN, COAT_NO_SESSION},
};

static bool
over_limits(const coat_call *call)
{
    return call->user.len > COAT_USER_MAX || call->roles.len > COAT_ROLES_MAX ||
           call->methods.len > COAT_METHODS_MAX || call->data.len > COAT_RECORD_MAX;
}

/** Open the token, if there is one to be opened, before anything is allocated (RX-4). */
static coat_err
admit(coat_desk *desk, const coat_call *call, coat_token *token, bool *has_token)
{
    const struct call_kind *kind = &kinds[call->op];
    coat_setup *setup;

    *has_token = false;
    if (kind->needs == NEEDS_USER && call->user.len == 0)
        return COAT_INVALID;
    if (over_limits(call))
        return COAT_TOO_LARGE;
    if (call->token.len > 0 && !(kind->needs == NEEDS_TARGET && call->has_handle)) {
        setup = coat_setup_take(desk->engine);
        *has_token =
            coat_token_open(call->token, coat_keys_tags(setup->conf.keys), token) == COAT_OK;
        coat_setup_drop(setup);
    }
    if (*has_token || kind->needs == NEEDS_NOTHING || kind->needs == NEEDS_USER ||
        (kind->needs == NEEDS_TARGET && call->has_handle))
        return COAT_OK;
    return kind->without == COAT_OK ? COAT_CANCELLED : kind->without;
}

/** @return the task, or NULL if the call is over already */
static coat_task *
begin(coat_desk *desk, coat_call *call)
{
    coat_token token;
    bool has_token;
    coat_task *task;
    coat_err err;

    coat_call_reset(call);
    if ((unsigned)call->op >= sizeof kinds / sizeof kinds[0] || kinds[call->op].first == NULL) {
        call->result = COAT_INVALID;
        return NULL;
    }
    if (call->op == COAT_CALL_CHECK)
        coat_count_add(&desk->engine->counters, COAT_COUNT_SLOW_CHECKS, 1);
    err = desk->closing ? COAT_BUSY : admit(desk, call, &token, &has_token);
    if (err != COAT_OK) {
        call->result = err == COAT_CANCELLED ? COAT_OK : err;
        return NULL;
    }
    task = coat_task_new(desk, call, kinds[call->op].first);
    if (task == NULL) {
        call->result = COAT_NO_MEMORY;
    } else {
        task->has_token = has_token;
        if (has_token)
            task->token = token;
        task->handle = has_token && !call->has_handle ? token.handle : call->handle;
    }
    if (has_token)
        coat_token_wipe(&token);
    return task;
}

void
coat_call_start(coat_desk *desk, coat_call *call)
{
    coat_task *task = begin(desk, call);

    if (task != NULL)
        coat_task_drive(task);
    else if (call->done != NULL)
        call->done(call);
}

coat_err
coat_call_run(coat_desk *desk, coat_call *call)
{
    coat_task *task = begin(desk, call);

    if (task != NULL)
        coat_task_run(task);
    else if (call->done != NULL)
        call->done(call);
    return call->result;
}
