/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/housekeeping.h"
#include "engine/shared.h"

/**
 * Housekeeping, once a second on one desk: the clock, folding, sweeping, and changes that have
 * got no definite answer.
 */

/* A slice is one transaction, and what waits for the writer waits for no more than one. Slices
 * a tick: sessions end no faster than they are erased, up to some 350 million a day. */
enum { SWEEP_SLICE = 256, SWEEP_SLICES = 16, SWEEP_EVERY_TICKS = 5 };

/* ---- sweeping, which is also the write that settles what came before it ---- */

static void
swept_all(coat_task *task)
{
    coat_desk *desk = task->desk;

    desk->housekeeping->sweeping = false;
}

static void
epochs_read(coat_task *task)
{
    coat_engine *engine = task->desk->engine;

    if (task->req.result == COAT_OK) {
        (void)coat_shared_epoch(engine, task->req.epoch_global);
        coat_unsettled_settle(&engine->unsettled, engine->writer,
                              task->desk->housekeeping->mark,
                              atomic_load(&engine->epoch_global));
    }
    coat_task_finish(task, task->req.result);
}

static void sweep_start(coat_task *task);

static void
swept(coat_task *task)
{
    coat_desk *desk = task->desk;
    coat_housekeeping *hk = desk->housekeeping;

    hk->sweep_on = task->req.result == COAT_OK && task->req.count > 0;
    if (task->req.result == COAT_OK)
        coat_count_add(&desk->engine->counters, COAT_COUNT_SWEPT, task->req.count);
    if (task->req.result == COAT_OK && task->req.count == SWEEP_SLICE &&
        ++hk->slices < SWEEP_SLICES) {
        sweep_start(task);
        return;
    }
    if (task->req.result != COAT_OK || hk->mark == 0) {
        coat_task_finish(task, task->req.result);
        return;
    }
    coat_task_req(task, COAT_OP_EPOCHS);
    coat_task_submit(task, epochs_read);
}

static void
sweep_start(coat_task *task)
{
    int64_t delete_ms = coat_clock_delete_ms(&task->desk->engine->clock);
    coat_store_req *req = coat_task_req(task, COAT_OP_SWEEP);

    req->limit = SWEEP_SLICE;
    /* While the clock is in doubt nothing is old enough; what epochs have ended still goes. */
    req->now_ms = delete_ms > 0 ? delete_ms : 1;
    coat_task_submit(task, swept);
}

static void
sweep(coat_desk *desk)
{
    coat_housekeeping *hk = desk->housekeeping;
    uint64_t mark = coat_unsettled_mark(&desk->engine->unsettled);
    coat_task *task;

    if (hk->sweeping || (mark == 0 && !hk->sweep_on && hk->ticks % SWEEP_EVERY_TICKS != 1))
        return;
    task = coat_task_new(desk, NULL, sweep_start);
    if (task == NULL)
        return;
    hk->sweeping = true;
    hk->slices = 0;
    hk->mark = mark;
    task->finished = swept_all;
    coat_task_drive(task);
}

/* ---- the store's clock (SF-10) ---- */

/* Soon again while it matters, so that issuing goes on when the clocks agree. */
enum { SKEW_EVERY_TICKS = 60, SKEW_OFF_EVERY_TICKS = 5 };

static void
skew_measured(coat_task *task)
{
    coat_task_finish(task, task->req.result);
}

static void
skew_start(coat_task *task)
{
    coat_task_req(task, COAT_OP_EPOCHS);
    coat_task_submit(task, skew_measured);
}

/** Sign-ins measure as well; this is for who has none, and for what status says. */
static void
measure_skew(coat_desk *desk)
{
    coat_engine *engine = desk->engine;
    uint32_t every =
        coat_may_issue(engine) == COAT_OK ? SKEW_EVERY_TICKS : SKEW_OFF_EVERY_TICKS;
    bool due = atomic_load(&engine->skew_due) || desk->housekeeping->ticks % every == 1;
    coat_task *task;

    /* Nobody else has a clock that would matter. */
    if (!due || (coat_store_caps_of(desk->lane->store) & COAT_CAP_SHARED) == 0)
        return;
    task = coat_task_new(desk, NULL, skew_start);
    if (task != NULL)
        coat_task_drive(task);
}

/* ---- the tick ---- */

static int64_t
shorter(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/**
 * Half of the lag is spent on waiting for activity that is worth a write, the other half on
 * the way round the table.
 */
static void
fold(coat_desk *desk, const coat_setup *setup, int64_t now_ms)
{
    const coat_policy *policy = &setup->conf.policy;
    coat_housekeeping *hk = desk->housekeeping;
    int64_t idle_ms = shorter(policy->idle_ms, policy->remember_idle_ms);
    int64_t half_ms = shorter(COAT_LAG_MAX_MS, idle_ms / 10) / 2;
    int64_t elapsed_ms = hk->ticks == 1 ? half_ms : now_ms - hk->last_tick_ms;

    if (half_ms < 1)
        half_ms = 1;
    if (elapsed_ms > half_ms)
        elapsed_ms = half_ms;
    hk->slots_due +=
        (hk->slots * (uint64_t)elapsed_ms + (uint64_t)half_ms - 1) / (uint64_t)half_ms;
    if (hk->slots_due > hk->slots)
        hk->slots_due = hk->slots;
    coat_fold_work(desk, half_ms);
}

static void
look_after(coat_engine *engine, const coat_setup *setup, int64_t now_ms)
{
    uint32_t mended = coat_table_look_after(engine->writer);

    coat_table_floor(engine->writer, now_ms);
    if (mended > 0)
        coat_report_count(engine, setup, COAT_EVENT_TABLE_TAMPERED, "activity", mended);
}

void
coat_desk_tick(coat_desk *desk)
{
    coat_engine *engine = desk->engine;
    coat_housekeeping *hk = coat_housekeeping_of(desk);
    coat_setup *setup;
    int64_t now_ms, jump_ms;

    if (hk == NULL || desk->closing)
        return;
    setup = coat_setup_take(engine);
    hk->ticks++;
    now_ms = coat_engine_now_ms(engine);
    (void)coat_clock_delete_ms(&engine->clock); /* looks closely, however small the step */
    jump_ms = coat_clock_jump_ms(&engine->clock);
    if (jump_ms != 0)
        coat_report_count(engine, setup, COAT_EVENT_CLOCK_JUMP,
                          jump_ms > 0 ? "forward" : "backward", 0);
    if (engine->writer != NULL)
        look_after(engine, setup, now_ms);
    coat_shared_pulse(desk);
    measure_skew(desk);
    fold(desk, setup, now_ms);
    coat_replay_work(desk);
    sweep(desk);
    hk->last_tick_ms = now_ms;
    coat_setup_drop(setup);
    if (!desk->looped)
        coat_desk_drain(desk);
}
