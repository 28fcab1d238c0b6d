/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/shared.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

coat_task *
coat_task_new(coat_desk *desk, coat_call *call, coat_step first)
{
    coat_task *task = calloc(1, sizeof *task);

    if (task == NULL)
        return NULL;
    task->call = call;
    task->desk = desk;
    task->setup = coat_setup_take(desk->engine);
    task->step = first;
    task->now_ms = coat_engine_now_ms(desk->engine);
    task->next = desk->tasks;
    if (task->next != NULL)
        task->next->prev = task;
    desk->tasks = task;
    if (call != NULL)
        call->priv = task;
    return task;
}

static void
release(coat_task *task)
{
    coat_desk *desk = task->desk;

    if (task->prev != NULL)
        task->prev->next = task->next;
    else
        desk->tasks = task->next;
    if (task->next != NULL)
        task->next->prev = task->prev;
    coat_session_free(task->have);
    coat_session_free(task->after);
    coat_setup_drop(task->setup);
    sodium_memzero(task, sizeof *task);
    free(task);
}

bool
coat_undecided(coat_err result)
{
    coat_err_kind kind = coat_err_kind_of(result);

    return (kind == COAT_KIND_RETRY || kind == COAT_KIND_BROKEN) && result != COAT_STORE_FULL &&
           result != COAT_BUSY;
}

/** Nothing but OK and STEP_UP hands out anything. */
void
coat_call_fail(coat_call *call, coat_err result)
{
    call->result = result;
    if (result == COAT_OK || (result == COAT_STEP_UP && call->op == COAT_CALL_CHECK))
        return;
    coat_session_free(call->session);
    call->session = NULL;
    call->set_token = false;
    sodium_memzero(call->token_text, sizeof call->token_text);
}

void
coat_call_reset(coat_call *call)
{
    call->result = COAT_CANCELLED;
    memset(&call->judgement, 0, sizeof call->judgement);
    call->session = NULL;
    call->set_token = false;
    memset(call->token_text, 0, sizeof call->token_text);
    call->max_age_s = -1;
    call->count = 0;
    call->more = false;
    call->pending = false;
    call->priv = NULL;
}

static void
close_task(coat_task *task)
{
    coat_call *call = task->call;
    void (*done)(coat_call *) = call != NULL ? call->done : NULL;

    if (task->finished != NULL)
        task->finished(task);
    if (call != NULL) {
        call->priv = NULL;
        coat_call_fail(call, task->result);
    }
    release(task);
    if (done != NULL)
        done(call);
}

void
coat_task_drive(coat_task *task)
{
    task->driving = true;
    while (task->state == COAT_TASK_READY) {
        task->state = COAT_TASK_WAITING;
        task->step(task);
    }
    task->driving = false;
    if (task->state == COAT_TASK_FINISHED && !task->waited)
        close_task(task);
}

void
coat_task_run(coat_task *task)
{
    coat_lane *lane = task->desk->lane;

    task->waited = true;
    for (;;) {
        coat_task_drive(task);
        if (task->state == COAT_TASK_FINISHED)
            break;
        if (task->waits)
            coat_waiting_block(task);
        else
            lane->store->ops->wait(lane, &task->req);
    }
    close_task(task);
}

static void
answered(coat_store_req *req)
{
    coat_task *task = req->ctx;

    coat_note_store(task, req->result);
    if (req->op == COAT_OP_EPOCHS && req->result == COAT_OK)
        coat_note_clock(task->desk->engine, task->setup, req, task->sent_ms);
    if (req->op == COAT_OP_LOAD && req->result == COAT_OK) {
        coat_session_free(task->have);
        task->have = NULL;
        task->unsealed = coat_session_open(task->setup->conf.keys, &req->address, req->found,
                                           req->found_version, &task->have);
    }
    task->state = COAT_TASK_READY;
    if (!task->driving && !task->waited)
        coat_task_drive(task);
}

coat_store_req *
coat_task_req(coat_task *task, coat_op op)
{
    task->req = (coat_store_req){
        .op = op,
        .space = COAT_SPACE_SESSION,
        .now_ms = task->now_ms,
        .done = answered,
        .ctx = task,
    };
    return &task->req;
}

void
coat_task_submit(coat_task *task, coat_step next)
{
    task->step = next;
    if (task->desk->closing) {
        task->req.result = COAT_CANCELLED;
        task->state = COAT_TASK_READY;
        return;
    }
    task->state = COAT_TASK_WAITING;
    if (task->req.op == COAT_OP_EPOCHS)
        task->sent_ms = coat_engine_now_ms(task->desk->engine);
    coat_trust_submit(task);
}

/** By a change whose gates stay up until its end has come through. */
static bool
is_pending_already(coat_engine *engine, const coat_changes *c)
{
    return c->owner == (c->end.of == COAT_END_OF_OWNER) &&
           c->all == (c->end.of == COAT_END_OF_EVERYBODY) && c->end.of != COAT_END_OF_NOTHING &&
           coat_unsettled_has(&engine->unsettled, &c->end);
}

static void
say_pending(coat_task *task, bool pending)
{
    coat_call *call = task->call;

    if (call != NULL && (call->op == COAT_CALL_END || call->op == COAT_CALL_END_USER ||
                         call->op == COAT_CALL_END_ALL))
        call->pending = pending;
}

void
coat_task_finish(coat_task *task, coat_err result)
{
    coat_engine *engine = task->desk->engine;

    if (task->gates_unsettled && is_pending_already(engine, &task->gates)) {
        coat_gate_lift(engine->writer, &task->gates, NULL, atomic_load(&engine->epoch_global));
        say_pending(task, true);
    } else if (task->gates_unsettled) {
        (void)coat_outbox_put(&engine->outbox, &engine->unsettled, &task->gates);
        say_pending(task, task->gates.end.of != COAT_END_OF_NOTHING &&
                              coat_unsettled_has(&engine->unsettled, &task->gates.end));
    } else {
        coat_gate_lift(engine->writer, &task->gates, NULL, atomic_load(&engine->epoch_global));
    }
    task->result = result;
    task->state = COAT_TASK_FINISHED;
}
