/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/housekeeping.h"

#include <stdlib.h>

/**
 * Folding activity into records (LC-4): the table reports what is newer than what the store
 * has; a few tasks at a time load, and replace by compare-and-set with nothing changed but
 * seen_ms. Whatever goes wrong only shortens a session; what the store did not take is queued
 * again.
 */

enum { QUEUE = COAT_LATE_MAX, SLICE = 1024 };

static void fold_start(coat_task *task);

static bool
push(coat_housekeeping *hk, const coat_handle *handle, int64_t seen_ms)
{
    if (hk->count == hk->cap)
        return false;
    hk->queue[(hk->head + hk->count++) % hk->cap] = (coat_late){*handle, seen_ms};
    return true;
}

static void
fold_finished(coat_task *task)
{
    coat_desk *desk = task->desk;
    coat_housekeeping *hk = desk->housekeeping;

    hk->folding--;
    if (task->result == COAT_OK)
        coat_count_add(&desk->engine->counters, COAT_COUNT_FOLDED, 1);
    else if (coat_err_kind_of(task->result) == COAT_KIND_RETRY && !desk->closing)
        (void)push(hk, &task->handle, task->seen_ms);
}

static void
fold_replaced(coat_task *task)
{
    if (task->req.result == COAT_CONFLICT && ++task->tries < COAT_TRIES_CHECK)
        fold_start(task); /* whoever changed it may not have known of this activity */
    else
        coat_task_finish(task, task->req.result);
}

static void
fold_loaded(coat_task *task)
{
    coat_err err = coat_task_loaded(task);
    coat_record record;

    if (err == COAT_OK) {
        record = task->have->record;
        if (task->seen_ms <= record.seen_ms) {
            coat_task_finish(task, COAT_OK);
            return;
        }
        record.seen_ms = task->seen_ms;
        err = coat_task_fold(task, &record, fold_replaced);
    }
    if (err != COAT_OK)
        coat_task_finish(task, err);
}

static void
fold_start(coat_task *task)
{
    coat_task_req(task, COAT_OP_LOAD)->address = task->handle;
    coat_task_submit(task, fold_loaded);
}

static coat_task *
next_task(coat_desk *desk)
{
    coat_housekeeping *hk = desk->housekeeping;
    coat_task *task = coat_task_new(desk, NULL, fold_start);

    if (task == NULL)
        return NULL;
    task->handle = hk->queue[hk->head].handle;
    task->seen_ms = hk->queue[hk->head].seen_ms;
    task->finished = fold_finished;
    hk->head = (hk->head + 1) % hk->cap;
    hk->count--;
    hk->folding++;
    return task;
}

static void
start_some(coat_desk *desk)
{
    coat_housekeeping *hk = desk->housekeeping;
    uint32_t most = hk->count;

    /* Not more than there were: a failing store must not turn this into a loop. */
    for (uint32_t i = 0; i < most && hk->count > 0 && hk->folding < COAT_FOLDS_AT_ONCE; i++) {
        coat_task *task = next_task(desk);

        if (task == NULL)
            return;
        coat_task_drive(task);
    }
}

static void
reported(void *ctx, const coat_handle *handle, int64_t seen_ms)
{
    (void)push(ctx, handle, seen_ms);
}

/** Into an engine-wide list, because it happens on whatever desk has filled the table. */
void
coat_engine_late(void *ctx, const coat_handle *handle, int64_t seen_ms)
{
    coat_engine *engine = ctx;

    pthread_mutex_lock(&engine->mutex);
    if (engine->late_count < COAT_LATE_MAX)
        engine->late[engine->late_count++] = (coat_late){*handle, seen_ms};
    pthread_mutex_unlock(&engine->mutex);
}

static void
take_late(coat_engine *engine, coat_housekeeping *hk)
{
    pthread_mutex_lock(&engine->mutex);
    while (engine->late_count > 0 && hk->count < hk->cap) {
        const coat_late *late = &engine->late[--engine->late_count];

        (void)push(hk, &late->handle, late->seen_ms);
    }
    pthread_mutex_unlock(&engine->mutex);
}

void
coat_fold_work(coat_desk *desk, int64_t lag_ms)
{
    coat_engine *engine = desk->engine;
    coat_housekeeping *hk = desk->housekeeping;

    take_late(engine, hk);
    /* A slice reports at most one entry a slot, and there must be room for each. It ends at the
     * end of the table, so it must not be longer than what is left. */
    while (engine->writer != NULL && hk->slots_due > 0 && hk->cap - hk->count >= SLICE) {
        uint64_t slots = hk->slots_due < SLICE ? hk->slots_due : SLICE;

        if (slots > hk->slots - engine->fold_at)
            slots = hk->slots - engine->fold_at;
        hk->slots_due -= slots;
        engine->fold_at += slots;
        if (coat_table_fold(engine->writer, (uint32_t)slots, lag_ms, coat_engine_now_ms(engine),
                            reported, hk))
            engine->fold_at = 0;
    }
    start_some(desk);
}

void
coat_fold_all(coat_desk *desk)
{
    coat_housekeeping *hk = coat_housekeeping_of(desk);
    uint32_t left;

    if (hk == NULL)
        return;
    hk->slots_due = hk->slots;
    do {
        left = hk->count;
        coat_fold_work(desk, 0);
        coat_desk_drain(desk);
    } while (hk->slots_due > 0 || (hk->count > 0 && hk->count != left));
}

coat_housekeeping *
coat_housekeeping_of(coat_desk *desk)
{
    coat_housekeeping *hk = desk->housekeeping;
    coat_table_stats stats;

    if (hk != NULL)
        return hk;
    hk = calloc(1, sizeof *hk);
    if (hk == NULL)
        return NULL;
    hk->queue = calloc(QUEUE, sizeof *hk->queue);
    if (hk->queue == NULL) {
        free(hk);
        return NULL;
    }
    hk->cap = QUEUE;
    if (desk->engine->writer != NULL) {
        coat_table_stats_get(desk->engine->writer, &stats);
        hk->slots = stats.slots;
    }
    desk->housekeeping = hk;
    return hk;
}

void
coat_housekeeping_free(coat_desk *desk)
{
    if (desk->housekeeping != NULL)
        free(desk->housekeeping->queue);
    free(desk->housekeeping);
    desk->housekeeping = NULL;
}
