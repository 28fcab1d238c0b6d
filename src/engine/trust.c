/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/trust.h"

#include "engine/internal.h"
#include "store/move.h"

#include <stdlib.h>

/** The question that goes before a request. */
typedef struct ask {
    coat_store_req req;
    coat_task *task;
    int64_t since_ms;
    bool usable;
} ask;

int64_t
coat_engine_mono_ms(coat_engine *engine)
{
    return engine->clock.monotonic(engine->clock.monotonic_ctx);
}

void
coat_engine_trust(coat_engine *engine, int64_t since_ms, int64_t for_ms)
{
    int64_t until_ms = for_ms > 0 ? since_ms + for_ms : 1;

    atomic_store(&engine->trust_until_ms, until_ms > 0 ? until_ms : 1);
}

bool
coat_engine_is_trusted(coat_engine *engine)
{
    int64_t until_ms = atomic_load(&engine->trust_until_ms);

    return until_ms == 0 || coat_engine_mono_ms(engine) < until_ms;
}

static void
take(coat_store_req *req)
{
    ask *a = req->ctx;
    coat_mark mark;

    if (req->result == COAT_OK || req->result == COAT_NO_SESSION) {
        coat_mark_take(req, &mark);
        a->usable = coat_mark_usable(mark.state);
    }
    if (a->usable)
        coat_engine_trust(a->task->desk->engine, a->since_ms, COAT_MOVE_TRUST_MS);
}

/** @return may the request be sent? Else its result is set. */
static bool
allowed(const ask *a)
{
    coat_store_req *req = &a->task->req;

    req->result = a->req.result == COAT_CANCELLED ? COAT_CANCELLED : COAT_STORE_DOWN;
    return a->usable;
}

static void
asked(coat_store_req *req)
{
    ask *a = req->ctx;
    coat_task *task = a->task;
    bool go;

    take(req);
    go = allowed(a);
    free(a);
    if (go)
        coat_store_submit(task->desk->lane, &task->req);
    else
        task->req.done(&task->req);
}

static ask
question(coat_task *task)
{
    ask a = {.task = task, .since_ms = coat_engine_mono_ms(task->desk->engine)};

    coat_mark_ask(&a.req);
    a.req.timeout_ms = task->req.timeout_ms;
    return a;
}

/* Whoever waits on a lane without loop waits for the request of the task, so the question is
 * over before that is sent. */
static void
ask_and_wait(coat_task *task)
{
    ask a = question(task);

    a.req.done = take;
    a.req.ctx = &a;
    if (coat_store_run(task->desk->lane, &a.req) != COAT_OK)
        a.usable = a.usable && a.req.result == COAT_NO_SESSION;
    if (allowed(&a))
        coat_store_submit(task->desk->lane, &task->req);
    else
        task->req.done(&task->req);
}

void
coat_trust_submit(coat_task *task)
{
    ask *a;

    if (coat_engine_is_trusted(task->desk->engine)) {
        coat_store_submit(task->desk->lane, &task->req);
        return;
    }
    if (task->waited) {
        ask_and_wait(task);
        return;
    }
    /* On a lane without loop somebody may wait for the task's own request, and for nothing
     * else: housekeeping as the engine ends, which can do without. */
    a = task->desk->looped ? malloc(sizeof *a) : NULL;
    if (a == NULL) {
        task->req.result = COAT_STORE_DOWN;
        task->req.done(&task->req);
        return;
    }
    *a = question(task);
    a->req.done = asked;
    a->req.ctx = a;
    coat_store_submit(task->desk->lane, &a->req);
}
