/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/shared.h"

#include "core/bytes.h"

/**
 * Telling the store again what it has lost (RV-5): it failed over to a replica that was behind,
 * or was restored. Everything here is idempotent, so it is told after each reconnection.
 */

enum { REPAIRS_AT_ONCE = 16 };

static void repair(coat_task *task);

static void
finished(coat_task *task)
{
    task->desk->engine->shared->repairs--;
}

static void
repaired(coat_task *task)
{
    coat_shared *shared = task->desk->engine->shared;

    if (task->req.result == COAT_OK) {
        atomic_fetch_add(&shared->repaired, 1);
        repair(task);
        return;
    }
    if (task->u.repair.global)
        atomic_store(&shared->global_due, true);
    else
        coat_journal_again(&shared->journal, &task->u.repair.item);
    coat_task_finish(task, task->req.result);
}

static void
end_all(coat_task *task)
{
    coat_store_req *req = coat_task_req(task, COAT_OP_END_ALL);

    task->u.repair.global = true;
    req->again = atomic_load(&task->desk->engine->epoch_global);
    coat_task_submit(task, repaired);
}

/** Take the next thing that is due, if there is one. */
static void
repair(coat_task *task)
{
    coat_shared *shared = task->desk->engine->shared;
    coat_journal_item *item = &task->u.repair.item;
    coat_store_req *req;

    if (atomic_exchange(&shared->global_due, false)) {
        end_all(task);
        return;
    }
    task->u.repair.global = false;
    if (task->desk->closing || !coat_journal_next(&shared->journal, item)) {
        coat_task_finish(task, COAT_OK);
        return;
    }
    req = coat_task_req(task, item->of_owner ? COAT_OP_REMOVE_OWNER : COAT_OP_REMOVE);
    req->address = item->handle;
    if (item->of_owner) {
        memcpy(req->owner.bytes, item->handle.bytes, sizeof req->owner.bytes);
        req->again = item->epoch;
        req->has_spare = item->has_spare;
        req->spare = item->spare;
    }
    coat_task_submit(task, repaired);
}

void
coat_repair(coat_desk *desk)
{
    coat_shared *shared = desk->engine->shared;

    /* As many as there is work for: one that finds none ends at once. A store that fails at
     * once is tried again with the next pulse. */
    for (int i = 0; i < REPAIRS_AT_ONCE && shared->repairs < REPAIRS_AT_ONCE &&
                    (atomic_load(&shared->global_due) || coat_journal_is_due(&shared->journal));
         i++) {
        coat_task *task = coat_task_new(desk, NULL, repair);

        if (task == NULL)
            return;
        shared->repairs++;
        task->finished = finished;
        coat_task_drive(task);
    }
}
