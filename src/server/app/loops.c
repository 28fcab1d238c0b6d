/* SPDX-License-Identifier: Apache-2.0 */
#include "server/app/loops.h"

#include "engine/trust.h"
#include "server/app/app.h"
#include "store/move.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
#include <uv.h>

enum { TICK_MS = 1000, SWEEP_EVERY_TICKS = 5 };

/** What a loop has beside its coat_app_loop. */
typedef struct loop_state {
    coat_app_loop at; /* first: loop_data */
    uv_timer_t timer;
    coat_store_req sweep; /* of the accounts' own store */
    bool sweeping;
    unsigned ticks;
    coat_store_req mark; /* of the store of the sessions: may it be used? */
    bool asking;
    int64_t asked_ms;
} loop_state;

static void
swept(coat_store_req *req)
{
    ((loop_state *)req->ctx)->sweeping = false;
}

/** The engine sweeps the store of the sessions. Counters that have expired are swept here, if
 * they are elsewhere. */
static void
sweep_accounts(loop_state *state)
{
    if (state->at.accounts == NULL || state->sweeping ||
        state->ticks++ % SWEEP_EVERY_TICKS != 0)
        return;
    state->sweeping = true;
    state->sweep = (coat_store_req){
        .op = COAT_OP_SWEEP, .now_ms = coat_clock_system(NULL), .done = swept, .ctx = state};
    coat_store_submit(state->at.accounts, &state->sweep);
}

/** Another machine moves the store away: stop, and ask it nothing more. */
static void
stop_using(coat_app *app, const coat_mark *mark)
{
    char why[512];

    coat_engine_trust(app->engine, 0, 0);
    if (atomic_exchange(&app->moved, true))
        return;
    coat_mark_explain(mark, why, sizeof why);
    coat_log_line(app->log, COAT_LOG_ERROR, "the store is not to be used any more",
                  COAT_LOG_FIELDS(coat_log_text(COAT_LOG_F_DETAIL, why)));
    if (app->server != NULL) /* not in a command's process */
        (void)kill(getpid(), SIGTERM);
}

static void
marked(coat_store_req *req)
{
    loop_state *state = req->ctx;
    coat_mark mark;

    state->asking = false;
    if (req->result != COAT_OK && req->result != COAT_NO_SESSION)
        return;
    coat_mark_take(req, &mark);
    if (coat_mark_usable(mark.state))
        coat_engine_trust(state->at.app->engine, state->asked_ms, COAT_MOVE_TRUST_MS);
    else
        stop_using(state->at.app, &mark);
}

/** What nobody else opens cannot be moved away meanwhile. */
static void
ask_mark(loop_state *state)
{
    coat_app *app = state->at.app;

    if ((coat_store_caps_of(app->store) & COAT_CAP_SHARED) == 0 || state->asking)
        return;
    state->asking = true;
    state->asked_ms = coat_engine_mono_ms(app->engine);
    state->mark = (coat_store_req){.done = marked, .ctx = state};
    coat_mark_ask(&state->mark);
    coat_store_submit(coat_desk_lane(state->at.desk), &state->mark);
}

static void
tick(uv_timer_t *timer)
{
    coat_app_loop *at = timer->data;

    ask_mark((loop_state *)at);
    coat_desk_tick(at->desk);
    sweep_accounts((loop_state *)at);
}

coat_err
coat_app_loop_start(void *ctx, struct uv_loop_s *loop, unsigned index, void **loop_data)
{
    coat_app *app = ctx;
    loop_state *state = aligned_alloc(_Alignof(loop_state), sizeof *state);
    coat_err err;

    if (state == NULL)
        return COAT_NO_MEMORY;
    memset(state, 0, sizeof *state);
    state->at = (coat_app_loop){.app = app, .loop = loop, .index = index};
    err = coat_desk_open(app->engine, loop, &state->at.desk);
    if (err == COAT_OK && app->accounts != app->store)
        err = coat_lane_open(app->accounts, loop, &state->at.accounts);
    if (err == COAT_OK)
        err = coat_clerk_open(app->directory,
                              state->at.accounts != NULL ? state->at.accounts
                                                         : coat_desk_lane(state->at.desk),
                              loop, &state->at.clerk);
    if (err == COAT_OK)
        err = coat_audit_lane_open(app->log, loop, &state->at.audit);
    if (err != COAT_OK) {
        coat_clerk_close(state->at.clerk);
        coat_lane_close(state->at.accounts);
        coat_desk_close(state->at.desk);
        free(state);
        return err;
    }
    (void)uv_timer_init(loop, &state->timer);
    state->timer.data = &state->at;
    if (index == 0)
        (void)uv_timer_start(&state->timer, tick, TICK_MS, TICK_MS);
    app->loops[index] = state;
    atomic_store(&app->meters[index], &state->at.meter);
    *loop_data = &state->at;
    return COAT_OK;
}

void
coat_app_loop_stop(void *ctx, struct uv_loop_s *loop, unsigned index, void *loop_data)
{
    loop_state *state = loop_data;

    (void)ctx;
    (void)loop;
    (void)index;
    coat_audit_lane_close(state->at.audit);
    coat_clerk_close(state->at.clerk);
    coat_lane_close(state->at.accounts);
    coat_desk_close(state->at.desk);
    (void)uv_timer_stop(&state->timer);
    uv_close((uv_handle_t *)&state->timer, NULL);
}

void
coat_app_loops_free(coat_app *app)
{
    for (size_t i = 0; i < COAT_LOOPS_MAX; i++) {
        atomic_store(&app->meters[i], NULL);
        free(app->loops[i]);
        app->loops[i] = NULL;
    }
}
