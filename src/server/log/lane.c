/* SPDX-License-Identifier: Apache-2.0 */
/* Commits for a libuv loop: answers come from the sink's thread and are passed on by uv_async.
 */
#include "server/log/internal.h"

#include <stdlib.h>
#include <uv.h>

struct coat_audit_lane {
    coat_log *log;
    uv_async_t wake;
    pthread_mutex_t lock;           /* taken inside a sink's */
    coat_audit_call *first, **last; /* answered, not yet passed on */
};

/* priv[0]: the lane, priv[1]: the next answered call. */
static void
answered(void *ctx, coat_err result)
{
    coat_audit_call *call = ctx;
    coat_audit_lane *lane = call->priv[0];

    pthread_mutex_lock(&lane->lock);
    call->result = result;
    call->priv[1] = NULL;
    *lane->last = call;
    lane->last = (coat_audit_call **)&call->priv[1];
    (void)uv_async_send(&lane->wake);
    pthread_mutex_unlock(&lane->lock);
}

static void
deliver(coat_audit_lane *lane)
{
    coat_audit_call *call;

    pthread_mutex_lock(&lane->lock);
    call = lane->first;
    lane->first = NULL;
    lane->last = &lane->first;
    pthread_mutex_unlock(&lane->lock);
    while (call != NULL) {
        coat_audit_call *next = call->priv[1];

        call->done(call); /* may free it, and may start others */
        call = next;
    }
}

static void
on_wake(uv_async_t *wake)
{
    deliver(wake->data);
}

coat_err
coat_audit_lane_open(coat_log *log, struct uv_loop_s *loop, coat_audit_lane **out)
{
    coat_audit_lane *lane = calloc(1, sizeof *lane);

    if (lane == NULL)
        return COAT_NO_MEMORY;
    lane->log = log;
    lane->last = &lane->first;
    lane->wake.data = lane;
    if (pthread_mutex_init(&lane->lock, NULL) != 0) {
        free(lane);
        return COAT_NO_MEMORY;
    }
    if (uv_async_init(loop, &lane->wake, on_wake) != 0) {
        (void)pthread_mutex_destroy(&lane->lock);
        free(lane);
        return COAT_NO_MEMORY;
    }
    *out = lane;
    return COAT_OK;
}

static void
on_close(uv_handle_t *handle)
{
    coat_audit_lane *lane = handle->data;

    (void)pthread_mutex_destroy(&lane->lock);
    free(lane);
}

static bool
is_of_lane(const void *ctx, const void *owner)
{
    return ((const coat_audit_call *)ctx)->priv[0] == owner;
}

void
coat_audit_lane_close(coat_audit_lane *lane)
{
    if (lane == NULL)
        return;
    coat_sink_abandon(coat_log_audit_sink(lane->log), answered, is_of_lane, lane);
    deliver(lane);
    uv_close((uv_handle_t *)&lane->wake, on_close);
}

void
coat_audit_start(coat_audit_lane *lane, coat_audit_call *call)
{
    call->priv[0] = lane;
    call->result = COAT_AUDIT_DOWN;
    if (!coat_log_push_commit(lane->log, &call->event, &call->origin, answered, call))
        answered(call, COAT_AUDIT_DOWN);
}
