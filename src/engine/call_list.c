/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/internal.h"

#include <string.h>

/**
 * COAT_CALL_LIST and COAT_CALL_SCAN: live sessions, as snapshots lent for the time of item().
 * Entries that are dead or do not read are left out, so one page may take several of the
 * store's.
 */

static void next_page(coat_task *task);

static bool
filter(coat_task *task, const coat_store_item *item)
{
    coat_err err;

    coat_session_free(task->have);
    task->have = NULL;
    err = coat_session_open(task->setup->conf.keys, &item->address, item->value, item->version,
                            &task->have);
    if (err == COAT_TAMPERED)
        coat_report(task, COAT_EVENT_RECORD_TAMPERED, NULL, &item->address, (coat_span){0});
    if (err == COAT_NEWER_FORMAT || err == COAT_MALFORMED)
        coat_report(task, COAT_EVENT_RECORD_UNREADABLE, coat_err_name(err), &item->address,
                    (coat_span){0});
    if (err != COAT_OK) {
        task->result = err == COAT_NO_MEMORY ? err : COAT_OK;
        return false;
    }
    task->handle = item->address;
    task->seen_ms = 0;
    coat_task_known_activity(task);
    if (!coat_task_alive(task))
        return false;
    if (task->seen_ms > task->have->seen_ms)
        task->have->seen_ms = task->seen_ms;
    return true;
}

static void
each(coat_store_req *req, const coat_store_item *item)
{
    coat_task *task = req->ctx;
    coat_call *call = task->call;

    if (call->limit > 0 && call->count == call->limit) { /* a store reports no more, but */
        task->u.list.listed = 1;
        return;
    }
    task->u.list.cursor = item->address;
    task->u.list.has_cursor = task->u.list.moved = true;
    if (!filter(task, item))
        return;
    call->count++;
    if (call->item != NULL)
        call->item(call, task->have);
}

bool
coat_list_behind(const coat_store_req *req, coat_handle *cursor, bool *has_cursor)
{
    if (!req->has_cursor ||
        (*has_cursor && memcmp(req->cursor.bytes, cursor->bytes, sizeof cursor->bytes) <= 0))
        return false;
    *cursor = req->cursor;
    *has_cursor = true;
    return true;
}

static void
listed(coat_task *task)
{
    coat_call *call = task->call;

    if (task->req.result != COAT_OK || task->result != COAT_OK) {
        coat_task_finish(task, task->req.result != COAT_OK ? task->req.result : task->result);
        return;
    }
    if (task->req.more && (call->limit == 0 || call->count < call->limit)) {
        if (coat_list_behind(&task->req, &task->u.list.cursor, &task->u.list.has_cursor) ||
            task->u.list.moved)
            next_page(task);
        else
            coat_task_finish(task, COAT_IO); /* it would go on for ever */
        return;
    }
    call->more = task->req.more || task->u.list.listed != 0;
    coat_task_finish(task, COAT_OK);
}

static void
next_page(coat_task *task)
{
    coat_call *call = task->call;
    coat_store_req *req =
        coat_task_req(task, call->op == COAT_CALL_LIST ? COAT_OP_LIST_OWNER : COAT_OP_SCAN);

    req->owner = task->u.list.owner;
    req->limit = COAT_STORE_LIST_MAX;
    if (call->limit > 0 && call->limit - call->count < COAT_STORE_LIST_MAX)
        req->limit = call->limit - call->count;
    req->has_cursor = task->u.list.has_cursor;
    req->cursor = task->u.list.cursor;
    req->item = each;
    task->u.list.moved = false;
    coat_task_submit(task, listed);
}

void
coat_list_start(coat_task *task)
{
    if (task->call->user.len > 0)
        task->u.list.owner = coat_keys_owner(task->setup->conf.keys, task->call->user);
    task->u.list.has_cursor = task->call->has_cursor;
    task->u.list.cursor = task->call->cursor;
    task->result = COAT_OK;
    next_page(task);
}
