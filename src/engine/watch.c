/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/shared.h"

#include <stdlib.h>
#include <uv.h>

/**
 * What the store reports, and what follows from it; and the beats that keep the node table
 * trusted. All on the thread of the keeper.
 *
 * READY: whatever is in the table may have been changed unheard: nothing of it is trusted. Then
 * the epochs are read, and only then the first beat is said. LOST: there is no lease from this
 * moment.
 */

/** libuv frees timers later than their owners. */
typedef struct coat_pulser {
    uv_timer_t timer;
    coat_desk *desk; /* NULL: closed */
} coat_pulser;

enum { ROLL_EVERY = 4 }; /* pulses: so often a beat reads the register on the way */

/* ---- events ---- */

static void
note_ready(coat_shared *shared, int64_t ready_ms)
{
    pthread_mutex_lock(&shared->mutex);
    atomic_store(&shared->turn, shared->lease.turn);
    coat_members_reset(&shared->members);
    shared->ready_ms = ready_ms;
    pthread_mutex_unlock(&shared->mutex);
}

static void
report(coat_shared *shared, coat_event_type type)
{
    coat_setup *setup = coat_setup_take(shared->engine);

    coat_report_count(shared->engine, setup, type, "changes", 0);
    coat_setup_drop(setup);
}

static void
lose(coat_shared *shared)
{
    bool was_ready = shared->lease.ready;

    coat_lease_lost(&shared->lease);
    note_ready(shared, 0);
    if (shared->engine->writer != NULL)
        coat_table_lease(shared->engine->writer, 0, 0);
    if (!was_ready || shared->keeper->closing)
        return;
    atomic_fetch_add(&shared->lost, 1);
    report(shared, COAT_EVENT_STORE_FAILURE);
}

static void
become_ready(coat_shared *shared)
{
    coat_engine *engine = shared->engine;
    bool again = shared->lease.turn != 0;

    coat_lease_ready(&shared->lease);
    if (engine->writer != NULL) {
        coat_table_lease(engine->writer, 0, 0);
        coat_table_forget_all(engine->writer);
    }
    /* The store may be another one than before, and know less (RV-5). */
    coat_journal_doubt(&shared->journal, coat_shared_mono_ms(shared));
    note_ready(shared, coat_shared_mono_ms(shared));
    if (again)
        report(shared, COAT_EVENT_STORE_RECOVERY);
}

static void
changed(coat_shared *shared, const coat_watch_event *event)
{
    coat_table_writer *writer = shared->engine->writer;
    int64_t seen_ms = 0;

    if (event->own)
        return; /* gates of the table were up */
    if (writer != NULL)
        seen_ms = coat_table_forget(writer, &event->address);
    if (event->gone)
        coat_journal_end(&shared->journal, &event->address, false, coat_shared_mono_ms(shared));
    else if (seen_ms > 0)
        coat_engine_late(shared->engine, &event->address, seen_ms);
    atomic_fetch_add(&shared->forgotten, 1);
}

static void
owner_ended(coat_shared *shared, const coat_watch_event *event)
{
    if (shared->engine->writer != NULL)
        coat_table_forget_owner(shared->engine->writer, event->owner);
    if (event->epoch != 0)
        coat_journal_end_owner(&shared->journal, event->owner, event->epoch,
                               event->has_spare ? &event->spare : NULL, false,
                               coat_shared_mono_ms(shared));
    atomic_fetch_add(&shared->forgotten, 1);
}

static void
all_changed(coat_shared *shared, const coat_watch_event *event)
{
    coat_engine *engine = shared->engine;

    if (event->epoch != 0)
        coat_engine_epoch(engine, event->epoch);
    if (engine->writer != NULL) {
        coat_table_all_begin(engine->writer);
        if (event->epoch == 0)
            coat_table_forget_all(engine->writer);
        coat_table_all_end(engine->writer, atomic_load(&engine->epoch_global));
    }
    atomic_fetch_add(&shared->forgotten, 1);
}

static void
beat_heard(coat_shared *shared, const coat_message *message)
{
    int64_t until_ms, until_mono_ms;

    if (coat_lease_heard(&shared->lease, message->turn, message->number, &until_ms,
                         &until_mono_ms) &&
        shared->engine->writer != NULL)
        coat_table_lease(shared->engine->writer, until_ms, until_mono_ms);
}

static void
said(coat_shared *shared, const coat_watch_event *event)
{
    bool self = coat_handle_equal(&event->address, &shared->id);
    coat_message message;

    if (!coat_message_get(event->message, &message))
        return;
    if (event->unordered && message.kind != COAT_MESSAGE_CONFIRM)
        return; /* the others prove that all before them was heard */
    if (message.kind == COAT_MESSAGE_BEAT && self)
        beat_heard(shared, &message);
    if (message.kind == COAT_MESSAGE_SYNC && !self)
        coat_confirm_answer(shared, &event->address, message.number);
    if (message.kind == COAT_MESSAGE_CONFIRM && !self)
        coat_confirm_heard(shared, &event->address, message.number);
}

static void
on_event(void *ctx, const coat_watch_event *event)
{
    coat_shared *shared = ctx;

    if (event->kind == COAT_WATCH_READY) {
        become_ready(shared);
        return;
    }
    if (event->kind == COAT_WATCH_LOST) {
        lose(shared);
        return;
    }
    switch (event->kind) {
    case COAT_WATCH_ADDRESS:
        changed(shared, event);
        break;
    case COAT_WATCH_OWNER:
        owner_ended(shared, event);
        break;
    case COAT_WATCH_SAID:
        said(shared, event);
        break;
    default: /* ALL, and what this release does not know */
        all_changed(shared, event);
        break;
    }
}

/* ---- beats ---- */

static void
beat_said(coat_task *task)
{
    coat_shared *shared = task->desk->engine->shared;

    if (task->result == COAT_OK)
        coat_lease_said(&shared->lease, task->u.say.number, coat_shared_mono_ms(shared));
}

static void
beat(coat_shared *shared)
{
    coat_desk *desk = shared->keeper;
    coat_message message = {.kind = COAT_MESSAGE_BEAT, .turn = shared->lease.turn};
    /* Before it is said: see lease.h. */
    int64_t mono_ms = coat_shared_mono_ms(shared);
    int64_t wall_ms = coat_engine_now_ms(desk->engine);
    coat_task *task;

    message.number = coat_lease_beat(&shared->lease, mono_ms, wall_ms);
    if (message.number == 0)
        return;
    task =
        coat_say_new(desk, &message, &shared->id, shared->pulses % ROLL_EVERY == 0, beat_said);
    if (task != NULL)
        coat_task_drive(task);
}

/* ---- epochs, after READY ---- */

static void
epochs_done(coat_task *task)
{
    task->desk->engine->shared->reading = false;
}

static void
epochs_read(coat_task *task)
{
    coat_engine *engine = task->desk->engine;
    coat_shared *shared = engine->shared;

    if (task->req.result == COAT_OK && task->u.say.number == shared->lease.turn) {
        coat_shared_epoch(engine, task->req.epoch_global);
        if (engine->writer != NULL) {
            coat_table_all_begin(engine->writer);
            coat_table_all_end(engine->writer, atomic_load(&engine->epoch_global));
        }
        shared->lease.settled = shared->lease.ready;
    }
    coat_task_finish(task, task->req.result);
}

static void
epochs_ask(coat_task *task)
{
    coat_task_req(task, COAT_OP_EPOCHS);
    coat_task_submit(task, epochs_read);
}

static void
read_epochs(coat_shared *shared)
{
    coat_task *task;

    if (!shared->lease.ready || shared->lease.settled || shared->reading)
        return;
    task = coat_task_new(shared->keeper, NULL, epochs_ask);
    if (task == NULL)
        return;
    task->u.say.number = shared->lease.turn;
    task->finished = epochs_done;
    shared->reading = true;
    coat_task_drive(task);
}

/* ---- members that are gone for good ---- */

static void
left(coat_task *task)
{
    coat_task_finish(task, task->req.result);
}

static void
leave(coat_task *task)
{
    coat_store_req *req = coat_task_req(task, COAT_OP_LEAVE);

    req->address = task->handle;
    req->version = task->u.say.number; /* not if it has said something since */
    coat_task_submit(task, left);
}

static void
tidy(coat_shared *shared, int64_t now_ms)
{
    coat_task *task = NULL;
    coat_member *gone = NULL;

    pthread_mutex_lock(&shared->mutex);
    for (size_t i = 0; i < shared->members.count && gone == NULL; i++) {
        coat_member *member = &shared->members.list[i];

        if (member->silent && member->version != 0 &&
            now_ms - member->since_ms >= COAT_MEMBER_DEAD_MS &&
            (member->tidied_ms == 0 || now_ms - member->tidied_ms >= COAT_MEMBER_DEAD_MS))
            gone = member;
    }
    if (gone != NULL && (task = coat_task_new(shared->keeper, NULL, leave)) != NULL) {
        task->handle = gone->instance;
        task->u.say.number = gone->version;
        gone->tidied_ms = now_ms;
    }
    pthread_mutex_unlock(&shared->mutex);
    if (task != NULL)
        coat_task_drive(task);
}

/* ---- the pulse ---- */

static void
close_watch(coat_shared *shared)
{
    coat_watch_close(shared->watch);
    shared->watch = NULL;
    lose(shared);
}

static void
keep_watch(coat_shared *shared)
{
    coat_watch_sink sink = {shared->id, on_event, shared};

    /* Beats are taken and do not come back: a channel that looks alive and is not (RV-2). */
    if (shared->watch != NULL && coat_lease_silent(&shared->lease, coat_shared_mono_ms(shared)))
        close_watch(shared);
    if (shared->watch == NULL &&
        coat_watch_open(shared->keeper->lane, &sink, &shared->watch) != COAT_OK)
        shared->watch = NULL;
}

static void
on_pulse(uv_timer_t *timer)
{
    coat_pulser *pulser = timer->data;

    if (pulser->desk != NULL)
        coat_shared_pulse(pulser->desk);
}

static void
on_pulser_close(uv_handle_t *handle)
{
    free(handle->data);
}

static void
become_keeper(coat_desk *desk)
{
    coat_shared *shared = desk->engine->shared;
    coat_pulser *pulser;

    shared->keeper = desk;
    if (desk->loop == NULL)
        return;
    pulser = calloc(1, sizeof *pulser);
    if (pulser == NULL)
        return; /* then it pulses with its ticks, and the lease has gaps */
    (void)uv_timer_init(desk->loop, &pulser->timer);
    pulser->timer.data = pulser;
    pulser->desk = desk;
    (void)uv_timer_start(&pulser->timer, on_pulse, COAT_PULSE_MS, COAT_PULSE_MS);
    uv_unref((uv_handle_t *)&pulser->timer);
    shared->pulser = pulser;
}

void
coat_shared_pulse(coat_desk *desk)
{
    coat_shared *shared = desk->engine->shared;

    if (shared == NULL || desk->closing || (shared->keeper != NULL && shared->keeper != desk))
        return;
    if (shared->keeper == NULL)
        become_keeper(desk);
    if (shared->watching) {
        keep_watch(shared);
        read_epochs(shared);
        beat(shared);
        shared->pulses++;
        tidy(shared, coat_shared_mono_ms(shared));
        coat_waiting_look(desk);
    }
    coat_repair(desk);
}

void
coat_shared_unkeep(coat_desk *desk)
{
    coat_shared *shared = desk->engine->shared;

    if (shared == NULL || shared->keeper != desk)
        return;
    if (shared->pulser != NULL) {
        shared->pulser->desk = NULL;
        uv_close((uv_handle_t *)&shared->pulser->timer, on_pulser_close);
        shared->pulser = NULL;
    }
    if (shared->watch != NULL)
        close_watch(shared);
    shared->keeper = NULL;
}
