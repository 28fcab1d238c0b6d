/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/internal.h"

#include <string.h>

/**
 * COAT_CALL_END_USER: raise the owner's gate, take all of the owner's sessions out of the
 * table, then raise the epoch in the store, which ends them in one step. The usual few are
 * listed, counted and cleared one by one; of more the table forgets the owner, since what is
 * done here is done in one go, while others wait for this thread or for the store.
 * COAT_CALL_END_ALL: readers of the table ask while the global epoch is raised, and read what
 * it has ended as unknown afterwards. COAT_CALL_EPOCHS reads both epochs.
 */

enum { LISTED_MAX = 100 };

static void
each(coat_store_req *req, const coat_store_item *item)
{
    coat_task *task = req->ctx;
    coat_table_writer *writer = task->desk->engine->writer;

    if (task->u.list.has_spare && coat_handle_equal(&item->address, &task->u.list.spare))
        return;
    task->u.list.listed++;
    if (writer != NULL)
        (void)coat_table_clear(writer, &item->address);
}

static void
confirmed(coat_task *task)
{
    coat_task_finish(task, task->req.result);
}

/** What this ends of what any instance can have minted by then. */
static coat_end
end_by(const coat_task *task, int64_t now_ms)
{
    /* Another instance's clock may be ahead of the store's, and ours behind it. */
    bool shared = (coat_store_caps_of(task->desk->lane->store) & COAT_CAP_SHARED) != 0;
    int64_t ahead_ms = shared ? 2 * task->setup->conf.clock_off_ms : 0;
    bool all = task->call->op == COAT_CALL_END_ALL;

    return (coat_end){
        .of = all ? COAT_END_OF_EVERYBODY : COAT_END_OF_OWNER,
        .has_spare = !all && task->u.list.has_spare,
        .last = coat_handle_last(task->u.list.owner, now_ms + ahead_ms),
        .spare = task->u.list.spare,
    };
}

/** Denied here from now on, and ended one by one when the store is there again (SF-4). */
static void
pending(coat_task *task, coat_err result)
{
    task->gates_unsettled = true;
    task->gates.end = end_by(task, task->now_ms);
    coat_task_finish(task, result);
}

static void
user_pending(coat_task *task, coat_err result)
{
    if (task->desk->engine->writer != NULL) /* they may not have been listed */
        coat_table_forget_owner(task->desk->engine->writer, task->u.list.owner);
    pending(task, result);
}

/** What was pending when this began is done by it: who signs in from now on is not denied. */
static void
none_pending(coat_task *task)
{
    coat_end end = end_by(task, task->now_ms - 1);

    coat_unsettled_ended(&task->desk->engine->unsettled, &end);
}

static void
ended(coat_task *task)
{
    coat_engine *engine = task->desk->engine;
    coat_err result = task->req.result;

    if (result == COAT_OK) {
        task->call->count = task->u.list.listed;
        task->call->more = task->u.list.more;
        coat_count_add(&engine->counters, COAT_COUNT_ENDED, task->u.list.listed);
        coat_report(task, COAT_EVENT_SESSION_REVOKED, "user", NULL, task->call->user);
        coat_shared_owner_ended(engine, task->u.list.owner, task->req.epoch_owner,
                                task->u.list.has_spare ? &task->u.list.spare : NULL);
        none_pending(task);
        coat_confirm(task, confirmed);
        return;
    }
    user_pending(task, result);
}

static void
commit(coat_task *task)
{
    coat_store_req *req = coat_task_req(task, COAT_OP_REMOVE_OWNER);

    req->owner = task->u.list.owner;
    req->has_spare = task->u.list.has_spare;
    req->spare = task->u.list.spare;
    coat_task_submit(task, ended);
}

static void
listed(coat_task *task)
{
    if (task->req.result == COAT_CANCELLED) {
        coat_task_finish(task, COAT_CANCELLED);
        return;
    }
    if (task->req.result != COAT_OK) {
        user_pending(task, task->req.result);
        return;
    }
    task->u.list.more = task->req.more;
    if (task->req.more && task->desk->engine->writer != NULL)
        coat_table_forget_owner(task->desk->engine->writer, task->u.list.owner);
    commit(task);
}

void
coat_end_user_start(coat_task *task)
{
    coat_owner owner = coat_keys_owner(task->setup->conf.keys, task->call->user);
    coat_owner spare = coat_handle_owner(&task->handle);
    coat_store_req *req;

    task->u.list.owner = owner;
    /* Another user's session is not among those that end. */
    task->u.list.has_spare = (task->has_token || task->call->has_handle) &&
                             memcmp(owner.bytes, spare.bytes, sizeof owner.bytes) == 0;
    task->u.list.spare = task->handle;
    coat_gate_owner(task->desk->engine->writer, &task->gates, owner);
    req = coat_task_req(task, COAT_OP_LIST_OWNER);
    req->owner = owner;
    req->limit = LISTED_MAX;
    req->item = each;
    coat_task_submit(task, listed);
}

static void
ended_all(coat_task *task)
{
    if (task->req.result == COAT_OK) {
        coat_engine_epoch(task->desk->engine, task->req.epoch_global);
        coat_report(task, COAT_EVENT_SESSION_REVOKED, "all", NULL, (coat_span){0});
        none_pending(task);
        coat_confirm(task, confirmed);
        return;
    }
    pending(task, task->req.result);
}

void
coat_end_all_start(coat_task *task)
{
    coat_gate_all(task->desk->engine->writer, &task->gates);
    coat_task_req(task, COAT_OP_END_ALL);
    coat_task_submit(task, ended_all);
}

void
coat_epochs_again(coat_task *task, coat_step next)
{
    coat_owner owner = task->req.owner;

    coat_task_req(task, COAT_OP_EPOCHS)->owner = owner;
    coat_task_submit(task, next);
}

static void
epochs_read(coat_task *task)
{
    coat_err result = task->req.result;

    if (result == COAT_OK &&
        !coat_shared_epochs(task->desk->engine, task->req.owner, &task->req)) {
        if (task->tries++ == 0) {
            coat_epochs_again(task, epochs_read);
            return;
        }
        result = COAT_STORE_DOWN; /* it has lost something, and is being told */
    }
    if (result == COAT_OK) /* a sign-in begins: no password is looked at in vain */
        result = coat_may_issue(task->desk->engine);
    if (result == COAT_OK)
        task->call->epochs = (coat_epochs){true, task->req.epoch_owner, task->req.epoch_global};
    coat_task_finish(task, result);
}

void
coat_epochs_start(coat_task *task)
{
    coat_store_req *req = coat_task_req(task, COAT_OP_EPOCHS);

    if (task->call->user.len > 0)
        req->owner = coat_keys_owner(task->setup->conf.keys, task->call->user);
    coat_task_submit(task, epochs_read);
}
