/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/shared.h"

#include <stdlib.h>
#include <time.h>
#include <uv.h>

/**
 * Strict terminations (RV-1). The store has answered that something is ended; the call goes on
 * once nobody can think otherwise:
 *
 *  - the desk says SYNC with a number given out after that answer, and reads the register on
 *    the way; every instance in it has confirmed that number or a later one, or is silent for
 *    longer than a lease lasts; or
 *  - COAT_CONFIRM_MS have passed since the answer: a lease that began before it is over.
 *
 * An instance that hears SYNC has heard, by the order that a watch promises, what was changed
 * before; so its table does not hold it any more, and what it was loading is not filled in.
 * One SYNC of a desk is on its way at a time, for all calls that waited when it left.
 */

typedef struct coat_waker {
    uv_async_t async;
    uv_timer_t timer;
    coat_desk *desk; /* NULL: closed */
    int handles;
} coat_waker;

static void sync_start(coat_desk *desk);

/* ---- waking a desk ---- */

static void
on_async(uv_async_t *async)
{
    coat_waker *waker = async->data;

    if (waker->desk != NULL)
        coat_waiting_look(waker->desk);
}

static void
on_timer(uv_timer_t *timer)
{
    coat_waker *waker = timer->data;

    if (waker->desk != NULL)
        coat_waiting_look(waker->desk);
}

static void
on_close(uv_handle_t *handle)
{
    coat_waker *waker = handle->data;

    if (--waker->handles == 0)
        free(waker);
}

static coat_err
waker_new(coat_desk *desk, struct uv_loop_s *loop)
{
    coat_waker *waker = calloc(1, sizeof *waker);

    if (waker == NULL || uv_async_init(loop, &waker->async, on_async) != 0) {
        free(waker);
        return COAT_NO_MEMORY;
    }
    (void)uv_timer_init(loop, &waker->timer);
    waker->handles = 2;
    waker->async.data = waker->timer.data = waker;
    waker->desk = desk;
    uv_unref((uv_handle_t *)&waker->async); /* an idle desk does not keep the loop running */
    desk->waiting->waker = waker;
    return COAT_OK;
}

/** Look again when the first wait is over by time; a timer is what keeps the loop running. */
static void
set_timer(coat_desk *desk)
{
    coat_waiting *w = desk->waiting;
    int64_t left_ms;

    if (w->waker == NULL)
        return;
    if (w->first == NULL) {
        (void)uv_timer_stop(&w->waker->timer);
        return;
    }
    left_ms = w->first->wait_until_ms - coat_shared_mono_ms(desk->engine->shared);
    (void)uv_timer_start(&w->waker->timer, on_timer, left_ms > 0 ? (uint64_t)left_ms : 1, 0);
}

/* ---- waiting ---- */

coat_err
coat_waiting_new(coat_desk *desk, struct uv_loop_s *loop)
{
    coat_shared *shared = desk->engine->shared;

    if (shared == NULL || !shared->watching)
        return COAT_OK;
    desk->waiting = calloc(1, sizeof *desk->waiting);
    if (desk->waiting == NULL)
        return COAT_NO_MEMORY;
    if (loop != NULL && waker_new(desk, loop) != COAT_OK) {
        free(desk->waiting);
        desk->waiting = NULL;
        return COAT_NO_MEMORY;
    }
    pthread_mutex_lock(&shared->mutex);
    desk->waiting->next_desk = shared->desks;
    shared->desks = desk;
    pthread_mutex_unlock(&shared->mutex);
    return COAT_OK;
}

static coat_task *
take_first(coat_waiting *w, coat_err result)
{
    coat_task *task = w->first;

    w->first = task->wait_next;
    if (w->first == NULL)
        w->last = NULL;
    task->waits = false;
    task->req.result = result;
    task->state = COAT_TASK_READY;
    return task;
}

static void
go_on(coat_task *task)
{
    if (!task->driving && !task->waited)
        coat_task_drive(task);
}

void
coat_waiting_free(coat_desk *desk)
{
    coat_waiting *w = desk->waiting;
    coat_shared *shared = desk->engine->shared;
    coat_desk **at;

    if (w == NULL)
        return;
    while (w->first != NULL)
        go_on(take_first(w, COAT_CANCELLED));
    pthread_mutex_lock(&shared->mutex);
    for (at = &shared->desks; *at != desk; at = &(*at)->waiting->next_desk) {
    }
    *at = w->next_desk;
    pthread_mutex_unlock(&shared->mutex);
    if (w->waker != NULL) {
        w->waker->desk = NULL;
        uv_close((uv_handle_t *)&w->waker->timer, on_close);
        uv_close((uv_handle_t *)&w->waker->async, on_close);
    }
    free(w);
    desk->waiting = NULL;
}

/** Is the first wait over? Those behind it began later. */
static bool
first_is_over(coat_desk *desk)
{
    coat_shared *shared = desk->engine->shared;
    const coat_task *task = desk->waiting->first;
    int64_t now_ms = coat_shared_mono_ms(shared);
    bool over = now_ms >= task->wait_until_ms;

    if (over) {
        atomic_fetch_add(&shared->unconfirmed, 1);
        return true;
    }
    pthread_mutex_lock(&shared->mutex);
    /* What the register says right after a reconnection may be older than who has a lease. */
    over = shared->ready_ms != 0 && now_ms - shared->ready_ms >= COAT_CONFIRM_MS &&
           coat_members_confirmed(&shared->members, &shared->id, task->wait_number);
    pthread_mutex_unlock(&shared->mutex);
    return over;
}

void
coat_waiting_look(coat_desk *desk)
{
    while (desk->waiting != NULL && desk->waiting->first != NULL && first_is_over(desk))
        go_on(take_first(desk->waiting, COAT_OK));
    if (desk->waiting != NULL)
        set_timer(desk);
}

void
coat_confirm(coat_task *task, coat_step next)
{
    coat_desk *desk = task->desk;
    coat_engine *engine = desk->engine;
    coat_waiting *w = desk->waiting;

    task->step = next;
    task->req.result = COAT_OK;
    if (engine->shared == NULL || !engine->shared->watching || desk->closing) {
        if (engine->shared != NULL && engine->shared->watching)
            task->req.result = COAT_CANCELLED; /* ended it is, but not everybody may know */
        task->state = COAT_TASK_READY;
        return;
    }
    /* The store has answered, so nothing is in doubt here: others need not wait with us. */
    coat_gate_lift(engine->writer, &task->gates, NULL, atomic_load(&engine->epoch_global));
    task->wait_until_ms = coat_shared_mono_ms(engine->shared) + COAT_CONFIRM_MS;
    task->wait_number = atomic_fetch_add(&engine->shared->number, 1) + 1;
    task->wait_next = NULL;
    task->waits = true;
    task->state = COAT_TASK_WAITING;
    if (w->last != NULL)
        w->last->wait_next = task;
    else
        w->first = task;
    w->last = task;
    if (w->flying)
        w->again = true;
    else
        sync_start(desk);
    set_timer(desk);
}

void
coat_waiting_block(coat_task *task)
{
    static const struct timespec moment = {.tv_nsec = 500000};
    coat_desk *desk = task->desk;
    coat_lane *lane = desk->lane;

    while (task->waits) {
        /* Lets a lane without loop hear what there is, if the watch is on it, and move the SYNC
         * on, whose own request cannot be waited for: it is gone when it has been answered. */
        coat_store_req req = {.op = COAT_OP_EPOCHS, .now_ms = task->now_ms};

        if (coat_store_run(lane, &req) != COAT_OK || desk->waiting->sync == NULL)
            (void)nanosleep(&moment, NULL);
        coat_waiting_look(desk);
    }
}

/* ---- SYNC ---- */

static void
synced(coat_task *task)
{
    coat_desk *desk = task->desk;
    coat_waiting *w = desk->waiting;

    if (w == NULL)
        return; /* the desk closes */
    w->flying = false;
    w->sync = NULL;
    if (w->again && w->first != NULL && !desk->closing)
        sync_start(desk);
    if (!desk->closing)
        coat_waiting_look(desk);
}

static void
sync_start(coat_desk *desk)
{
    coat_waiting *w = desk->waiting;
    coat_message message = {.kind = COAT_MESSAGE_SYNC,
                            .number = atomic_load(&desk->engine->shared->number)};
    coat_task *task = coat_say_new(desk, &message, NULL, true, synced);

    w->again = false;
    if (task == NULL)
        return; /* by time, then */
    w->flying = true;
    w->sync = task;
    coat_task_drive(task);
}

void
coat_confirm_heard(coat_shared *shared, const coat_handle *from, uint64_t number)
{
    coat_member *member;

    pthread_mutex_lock(&shared->mutex);
    member = coat_members_get(&shared->members, from);
    if (member != NULL && number > member->confirmed)
        member->confirmed = number;
    for (coat_desk *desk = shared->desks; desk != NULL; desk = desk->waiting->next_desk)
        if (desk->waiting->waker != NULL)
            (void)uv_async_send(&desk->waiting->waker->async);
    pthread_mutex_unlock(&shared->mutex);
    if (shared->keeper->waiting->waker == NULL)
        coat_waiting_look(shared->keeper);
}

/* ---- answering ---- */

static void answer(coat_shared *shared, const coat_handle *to);

static void
answered(coat_task *task)
{
    coat_shared *shared = task->desk->engine->shared;
    coat_handle to = task->u.say.to;
    coat_member *member;

    pthread_mutex_lock(&shared->mutex);
    member = coat_members_get(&shared->members, &to);
    if (member != NULL)
        member->answering = false;
    pthread_mutex_unlock(&shared->mutex);
    if (task->result == COAT_OK && !task->desk->closing)
        answer(shared, &to); /* what has come meanwhile, in one */
}

static void
answer(coat_shared *shared, const coat_handle *to)
{
    coat_message message = {.kind = COAT_MESSAGE_CONFIRM};
    coat_member *member;
    coat_task *task;

    pthread_mutex_lock(&shared->mutex);
    member = coat_members_get(&shared->members, to);
    if (member != NULL && !member->answering && member->heard > member->answered) {
        message.number = member->answered = member->heard;
        member->answering = true;
    }
    pthread_mutex_unlock(&shared->mutex);
    if (message.number == 0)
        return;
    task = coat_say_new(shared->keeper, &message, to, false, answered);
    if (task != NULL) {
        coat_task_drive(task);
        return;
    }
    pthread_mutex_lock(&shared->mutex);
    member = coat_members_get(&shared->members, to);
    if (member != NULL)
        member->answering = false;
    pthread_mutex_unlock(&shared->mutex);
}

void
coat_confirm_answer(coat_shared *shared, const coat_handle *to, uint64_t number)
{
    coat_member *member;

    pthread_mutex_lock(&shared->mutex);
    member = coat_members_get(&shared->members, to);
    if (member != NULL && number > member->heard)
        member->heard = number;
    pthread_mutex_unlock(&shared->mutex);
    answer(shared, to);
}
