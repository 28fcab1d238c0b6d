/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/shared.h"

#include <stdlib.h>

/** Saying something, and reading the register on the way. */

static void
rolled(coat_store_req *req, const coat_store_item *item)
{
    coat_task *task = req->ctx;

    coat_roll_add(task->u.say.roll, item);
}

static void
said(coat_task *task)
{
    coat_shared *shared = task->desk->engine->shared;

    if (task->req.result == COAT_OK && task->u.say.roll != NULL) {
        pthread_mutex_lock(&shared->mutex);
        /* Not if another server has answered than is watched now. */
        if (task->u.say.turn == atomic_load(&shared->turn))
            coat_members_store(&shared->members, task->u.say.roll, &shared->id,
                               task->req.found_version,
                               task->u.say.kind == COAT_MESSAGE_SYNC ? task->u.say.number : 0,
                               task->u.say.sent_ms, coat_shared_mono_ms(shared));
        pthread_mutex_unlock(&shared->mutex);
    }
    if (task->u.say.roll != NULL)
        coat_roll_free(task->u.say.roll);
    free(task->u.say.roll);
    task->u.say.roll = NULL;
    coat_task_finish(task, task->req.result);
}

static void
say(coat_task *task)
{
    coat_shared *shared = task->desk->engine->shared;
    coat_store_req *req = coat_task_req(task, COAT_OP_SAY);

    atomic_store(&shared->entered, true);
    req->address = shared->id;
    req->value = (coat_span){task->u.say.bytes, sizeof task->u.say.bytes};
    req->has_to = task->u.say.has_to;
    req->to = task->u.say.to;
    req->item = task->u.say.roll != NULL ? rolled : NULL;
    /* What a confirmation is about was heard before it was asked for. */
    req->unordered = task->u.say.kind == COAT_MESSAGE_CONFIRM;
    task->u.say.sent_ms = coat_shared_mono_ms(shared);
    task->u.say.turn = atomic_load(&shared->turn);
    coat_task_submit(task, said);
}

coat_task *
coat_say_new(coat_desk *desk, const coat_message *message, const coat_handle *to, bool roll,
             void (*finished)(coat_task *task))
{
    coat_task *task = coat_task_new(desk, NULL, say);

    if (task == NULL)
        return NULL;
    task->finished = finished;
    task->u.say.kind = (uint8_t)message->kind;
    task->u.say.number = message->number;
    coat_message_put(message, task->u.say.bytes);
    if (to != NULL) {
        task->u.say.has_to = true;
        task->u.say.to = *to;
    }
    if (roll) /* without memory it is said all the same */
        task->u.say.roll = calloc(1, sizeof *task->u.say.roll);
    return task;
}
