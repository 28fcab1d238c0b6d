/* SPDX-License-Identifier: Apache-2.0 */
#include "server/app/moving.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Between passes the source rests for several times as long as it was read. */
enum { PAUSE_MIN_MS = 1000, PAUSE_FACTOR = 4, AGAIN_MS = 1000, IN_STEP_PASSES = 2 };

struct coat_moving {
    coat_app *app;
    const char *from_url;
    coat_store_conf store_conf;
    coat_move_conf conf;
    pthread_mutex_t mutex; /* status, running, stop */
    pthread_cond_t change;
    pthread_t thread;
    bool running, stop;
    bool cancel; /* the thread is to give up what it copies, when it has stopped */
    coat_moving_status status;
    coat_store *to;
    coat_move *move;
};

static int64_t
mono_ms(void)
{
    struct timespec now = {0};

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void
log_it(coat_moving *m, coat_log_level level, const char *what, const char *detail)
{
    if (m->app->log != NULL)
        coat_log_line(m->app->log, level, what,
                      COAT_LOG_FIELDS(coat_log_text(COAT_LOG_F_DETAIL, detail)));
}

static void
set_state(coat_moving *m, coat_moving_state state, const char *message)
{
    bool is_new;

    (void)pthread_mutex_lock(&m->mutex);
    if (m->cancel && (state == COAT_MOVING_COPYING || state == COAT_MOVING_IN_STEP))
        state = COAT_MOVING_CANCELLING;
    is_new = m->status.state != state;
    m->status.state = state;
    (void)snprintf(m->status.message, sizeof m->status.message, "%s", message);
    if (m->move != NULL)
        m->status.counts = *coat_copy_count(coat_move_copy(m->move));
    (void)pthread_mutex_unlock(&m->mutex);
    if (is_new && state == COAT_MOVING_IN_STEP)
        log_it(m, COAT_LOG_NOTICE, "the store is copied, and kept in step", m->status.to);
}

/** @return false: it is to stop */
static bool
rest(coat_moving *m, int64_t ms)
{
    int64_t until_ms = mono_ms() + ms;
    struct timespec until = {until_ms / 1000, until_ms % 1000 * 1000000};
    bool stop;

    (void)pthread_mutex_lock(&m->mutex);
    while (!m->stop && ms > 0 && mono_ms() < until_ms)
        (void)pthread_cond_timedwait(&m->change, &m->mutex, &until);
    stop = m->stop;
    (void)pthread_mutex_unlock(&m->mutex);
    return !stop;
}

static coat_err
open_target(coat_moving *m, char *message, size_t cap)
{
    coat_store_conf conf = m->store_conf;
    coat_err err;

    message[0] = '\0';
    conf.url = m->status.to;
    conf.message = message;
    conf.message_cap = cap;
    err = coat_store_open(&conf, &m->to);
    if (err != COAT_OK && message[0] == '\0')
        coat_move_explain(err, message, cap);
    m->conf.to = m->to;
    return err;
}

static coat_err
open_both(coat_moving *m, char *message, size_t cap)
{
    coat_err err = open_target(m, message, cap);

    return err == COAT_OK ? coat_move_begin(&m->conf, &m->move, message, cap) : err;
}

/** @return false: it has failed, and message says why */
static bool
go_on(coat_moving *m, char *message, size_t cap)
{
    coat_moving_state state = COAT_MOVING_COPYING;
    int64_t began_ms = mono_ms(), pause_ms = 0;

    while (rest(m, pause_ms)) {
        bool complete = false;
        coat_err err = coat_move_step(m->move, &complete);

        pause_ms = 0;
        message[0] = '\0';
        if (err != COAT_OK) {
            coat_move_explain(err, message, cap);
            if (!coat_move_is_passing(err))
                return false;
            pause_ms = AGAIN_MS;
        }
        if (complete && coat_copy_count(coat_move_copy(m->move))->passes >= IN_STEP_PASSES)
            state = COAT_MOVING_IN_STEP;
        if (complete && state == COAT_MOVING_IN_STEP)
            pause_ms = PAUSE_FACTOR * (mono_ms() - began_ms);
        if (pause_ms < PAUSE_MIN_MS && complete && state == COAT_MOVING_IN_STEP)
            pause_ms = PAUSE_MIN_MS;
        set_state(m, state, message);
        if (complete)
            began_ms = mono_ms() + pause_ms;
    }
    return true;
}

static void
drop(coat_moving *m)
{
    coat_move_free(m->move);
    m->move = NULL;
    coat_store_close(m->to);
    m->to = NULL;
}

/**
 * The copying has come to an end. Once it is said to have failed, the thread must not wait for
 * the mutex any more: whoever begins anew waits for the thread with the mutex held.
 * @return it is to be given up as well
 */
static bool
has_ended(coat_moving *m, bool failed, const char *message)
{
    bool cancelled;

    (void)pthread_mutex_lock(&m->mutex);
    cancelled = m->cancel;
    if (failed && !cancelled) {
        m->status.state = COAT_MOVING_FAILED;
        (void)snprintf(m->status.message, sizeof m->status.message, "%s", message);
    }
    (void)pthread_mutex_unlock(&m->mutex);
    if (failed && !cancelled)
        log_it(m, COAT_LOG_ERROR, "copying the store has failed", message);
    return cancelled;
}

static void
give_up(coat_moving *m)
{
    char message[COAT_MOVING_MESSAGE_MAX];
    coat_err err;

    drop(m);
    err = open_target(m, message, sizeof message);
    if (err == COAT_OK)
        err = coat_move_cancel(&m->conf, message, sizeof message);
    (void)pthread_mutex_lock(&m->mutex);
    m->cancel = false;
    m->status.state = err == COAT_OK ? COAT_MOVING_CANCELLED : COAT_MOVING_FAILED;
    (void)snprintf(m->status.message, sizeof m->status.message, "%s", message);
    (void)pthread_mutex_unlock(&m->mutex);
    if (err == COAT_OK)
        log_it(m, COAT_LOG_NOTICE, "the copy of the store was given up", m->status.to);
    else
        log_it(m, COAT_LOG_ERROR, "giving up the copy of the store has failed", message);
}

static void *
work(void *ctx)
{
    coat_moving *m = ctx;
    char message[COAT_MOVING_MESSAGE_MAX] = "";
    bool fine = true;

    if (!has_ended(m, false, message)) { /* not begun in order to be given up */
        fine = open_both(m, message, sizeof message) == COAT_OK &&
               go_on(m, message, sizeof message);
        if (!has_ended(m, !fine, message))
            return NULL;
    }
    give_up(m);
    return NULL;
}

coat_err
coat_moving_new(coat_app *app, const char *url, const coat_store_conf *conf, coat_moving **out)
{
    coat_moving *m = calloc(1, sizeof *m);
    pthread_condattr_t attr;

    if (m == NULL)
        return COAT_NO_MEMORY;
    m->app = app;
    m->from_url = url;
    m->store_conf = *conf;
    m->conf = (coat_move_conf){.from = app->store,
                               .from_url = url,
                               .to_url = m->status.to,
                               .clock = coat_clock_system,
                               .rng = app->rng,
                               .rng_ctx = app->rng_ctx};
    (void)pthread_mutex_init(&m->mutex, NULL);
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&m->change, &attr);
    (void)pthread_condattr_destroy(&attr);
    *out = m;
    return COAT_OK;
}

/** Let the thread end, and drop what it had. The move stays if it was going on. */
static void
halt(coat_moving *m)
{
    if (!m->running)
        return;
    (void)pthread_mutex_lock(&m->mutex);
    m->stop = true;
    (void)pthread_cond_broadcast(&m->change);
    (void)pthread_mutex_unlock(&m->mutex);
    (void)pthread_join(m->thread, NULL);
    m->running = false;
}

static bool
is_good_url(const coat_moving *m, const char *to)
{
    return strcmp(to, m->from_url) != 0 && strlen(to) <= COAT_MARK_URL_MAX;
}

/** Under the mutex; the former thread has ended, or ends without it. */
static coat_err
begin_thread(coat_moving *m, const char *to, bool cancel)
{
    if (m->running) {
        (void)pthread_join(m->thread, NULL);
        m->running = false;
    }
    drop(m);
    m->status =
        (coat_moving_status){.state = cancel ? COAT_MOVING_CANCELLING : COAT_MOVING_COPYING};
    (void)snprintf(m->status.to, sizeof m->status.to, "%s", to);
    m->cancel = cancel;
    m->stop = false;
    m->running = pthread_create(&m->thread, NULL, work, m) == 0;
    if (m->running)
        return COAT_OK;
    m->status.state = COAT_MOVING_NONE;
    return COAT_NO_MEMORY;
}

static bool
goes_on(coat_moving_state state)
{
    return state == COAT_MOVING_COPYING || state == COAT_MOVING_IN_STEP;
}

static coat_err
start_locked(coat_moving *m, const char *to, coat_copy_what what)
{
    coat_moving_state state = m->status.state;

    if (!is_good_url(m, to))
        return COAT_INVALID;
    if (state == COAT_MOVING_CANCELLING)
        return COAT_EXISTS;
    if (goes_on(state))
        return strcmp(to, m->status.to) == 0 && what == m->conf.what ? COAT_OK : COAT_EXISTS;
    m->conf.what = what;
    return begin_thread(m, to, false);
}

coat_err
coat_moving_start(coat_moving *m, const char *to, bool sessions_only)
{
    coat_err err;

    (void)pthread_mutex_lock(&m->mutex);
    err = start_locked(m, to, sessions_only ? COAT_COPY_SESSIONS : COAT_COPY_ALL);
    (void)pthread_mutex_unlock(&m->mutex);
    return err;
}

static coat_err
cancel_locked(coat_moving *m, const char *to)
{
    bool same = strcmp(to, m->status.to) == 0;

    if (!is_good_url(m, to))
        return COAT_INVALID;
    if (m->status.state == COAT_MOVING_CANCELLING)
        return same ? COAT_OK : COAT_EXISTS;
    if (!goes_on(m->status.state))
        return begin_thread(m, to, true);
    if (!same)
        return COAT_EXISTS;
    m->status.state = COAT_MOVING_CANCELLING; /* by the thread, once its slice is done */
    m->cancel = m->stop = true;
    (void)pthread_cond_broadcast(&m->change);
    return COAT_OK;
}

coat_err
coat_moving_cancel(coat_moving *m, const char *to)
{
    coat_err err;

    (void)pthread_mutex_lock(&m->mutex);
    err = cancel_locked(m, to);
    (void)pthread_mutex_unlock(&m->mutex);
    return err;
}

void
coat_moving_look(coat_moving *m, coat_moving_status *out)
{
    (void)pthread_mutex_lock(&m->mutex);
    *out = m->status;
    (void)pthread_mutex_unlock(&m->mutex);
}

/* ---- the end ---- */

static bool
is_named(const coat_moving *m, const coat_config_input *input)
{
    coat_config *config = NULL;
    coat_config_error fault;
    bool named;

    if (input == NULL || coat_config_load(input, &config, &fault) != COAT_OK)
        return false;
    named = strcmp(config->store_url, m->status.to) == 0;
    coat_config_free(config);
    return named;
}

static coat_err
finish(coat_moving *m)
{
    char message[COAT_MOVING_MESSAGE_MAX] = "";
    coat_err err = coat_move_finish(m->move, message, sizeof message);
    const coat_copy_counts *counts = coat_copy_count(coat_move_copy(m->move));

    if (err != COAT_OK) {
        log_it(m, COAT_LOG_ERROR, "the store was not moved", message);
        return err;
    }
    (void)snprintf(message, sizeof message, "%llu sessions, %llu accounts, %llu unreadable",
                   (unsigned long long)counts->sessions, (unsigned long long)counts->accounts,
                   (unsigned long long)counts->unreadable);
    log_it(m, counts->unreadable > 0 ? COAT_LOG_WARNING : COAT_LOG_NOTICE,
           "the store was moved", message);
    return COAT_OK;
}

coat_err
coat_moving_end(coat_moving *m, const coat_config_input *input)
{
    coat_err err = COAT_OK;

    if (m == NULL)
        return COAT_OK;
    halt(m);
    if (m->move != NULL && m->status.state != COAT_MOVING_FAILED) {
        if (is_named(m, input))
            err = finish(m);
        else
            log_it(m, COAT_LOG_NOTICE,
                   "the copy of the store is not finished: store.url does not name it",
                   m->status.to);
    }
    drop(m);
    return err;
}

void
coat_moving_free(coat_moving *m)
{
    if (m == NULL)
        return;
    (void)pthread_cond_destroy(&m->change);
    (void)pthread_mutex_destroy(&m->mutex);
    free(m);
}
