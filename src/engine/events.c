/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/internal.h"

static void
emit(const coat_setup *setup, const coat_event *event)
{
    if (setup->conf.events != NULL)
        setup->conf.events(setup->conf.events_ctx, event);
}

static bool
is_failure(coat_event_type type)
{
    switch (type) {
    case COAT_EVENT_SESSION_USE_AFTER_EXPIRE:
    case COAT_EVENT_SESSION_EVICTED:
    case COAT_EVENT_SESSION_UNKNOWN_TOKEN:
    case COAT_EVENT_TOKEN_REUSE:
    case COAT_EVENT_RECORD_TAMPERED:
    case COAT_EVENT_RECORD_UNREADABLE:
    case COAT_EVENT_STORE_FAILURE:
    case COAT_EVENT_RNG_FAILURE:
    case COAT_EVENT_CLOCK_JUMP:
    case COAT_EVENT_CLOCK_OFF:
    case COAT_EVENT_TABLE_TAMPERED:
        return true;
    default:
        return false;
    }
}

void
coat_report(const coat_task *task, coat_event_type type, const char *reason,
            const coat_handle *handle, coat_span user)
{
    coat_event event = {.type = type,
                        .failed = is_failure(type),
                        .reason = reason,
                        .user = user,
                        .cause = task->call != NULL ? task->call->ctx : NULL};

    if (handle != NULL) {
        event.has_handle = true;
        event.handle = *handle;
    }
    emit(task->setup, &event);
}

void
coat_report_count(coat_engine *engine, const coat_setup *setup, coat_event_type type,
                  const char *reason, uint64_t count)
{
    (void)engine;
    emit(setup,
         &(coat_event){
             .type = type, .failed = is_failure(type), .reason = reason, .count = count});
}

void
coat_note_clock(coat_engine *engine, const coat_setup *setup, const coat_store_req *req,
                int64_t sent_ms)
{
    int64_t heard_ms = coat_engine_now_ms(engine), offset_ms;

    atomic_store(&engine->skew_due, false);
    if (!coat_skew_take(&engine->skew, setup->conf.clock_off_ms, req->found_clock_ms, sent_ms,
                        heard_ms))
        return;
    if (!atomic_load(&engine->skew.off)) {
        coat_report_count(engine, setup, COAT_EVENT_CLOCK_AGREES, NULL, 0);
        return;
    }
    offset_ms = atomic_load(&engine->skew.offset_ms);
    coat_report_count(engine, setup, COAT_EVENT_CLOCK_OFF, offset_ms > 0 ? "ahead" : "behind",
                      (uint64_t)(offset_ms > 0 ? offset_ms : -offset_ms) / 1000);
}

coat_err
coat_may_issue(coat_engine *engine)
{
    return atomic_load(&engine->skew.off) ? COAT_CLOCK_OFF : COAT_OK;
}

static bool
is_outage(coat_err result)
{
    return result == COAT_STORE_DOWN || result == COAT_IO || result == COAT_NO_MEMORY;
}

void
coat_note_store(const coat_task *task, coat_err result)
{
    coat_engine *engine = task->desk->engine;

    if (is_outage(result)) {
        coat_count_add(&engine->counters, COAT_COUNT_STORE_ERRORS, 1);
        if (!atomic_exchange(&engine->store_down, true))
            coat_report(task, COAT_EVENT_STORE_FAILURE, coat_err_name(result), NULL,
                        (coat_span){0});
        return;
    }
    if (result == COAT_STORE_FULL) {
        coat_count_add(&engine->counters, COAT_COUNT_STORE_ERRORS, 1);
        if (!atomic_exchange(&engine->store_full, true))
            coat_report(task, COAT_EVENT_STORE_FAILURE, "STORE_FULL", NULL, (coat_span){0});
        return;
    }
    if (result == COAT_CANCELLED || result == COAT_BUSY)
        return; /* says nothing about the store */
    if (atomic_load(&engine->store_down) && atomic_exchange(&engine->store_down, false)) {
        coat_report(task, COAT_EVENT_STORE_RECOVERY, NULL, NULL, (coat_span){0});
        coat_shared_doubt(engine);
        atomic_store(&engine->skew_due, true);
    }
    /* Only what needs room shows that there is room again. */
    if (task->req.op == COAT_OP_INSERT && result == COAT_OK &&
        atomic_load(&engine->store_full) && atomic_exchange(&engine->store_full, false))
        coat_report(task, COAT_EVENT_STORE_RECOVERY, "STORE_FULL", NULL, (coat_span){0});
}
