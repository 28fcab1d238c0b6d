/* SPDX-License-Identifier: Apache-2.0 */
/* Health, readiness, status, keys, reload, and the description of this interface. */
#include "server/admin/handlers.h"
#include "server/pages/builtin.h"

#include <unistd.h>

/* Alive: the loop answers. It says nothing of the store. */
void
coat_admin_health(coat_http_request *req)
{
    coat_ask_json(coat_ask_of(req), 200, json_pack("{s:s}", "status", "alive"));
}

static void
probed(coat_call *call)
{
    coat_ask *ask = call->ctx;

    /* Where the clocks disagree nobody can sign in, but checks are answered as ever: whoever
     * asks before sending requests here must not turn them all away. */
    if (call->result == COAT_OK || call->result == COAT_CLOCK_OFF)
        coat_ask_json(
            ask, 200,
            json_pack("{s:s,s:b}", "status", "ready", "issuing", call->result == COAT_OK));
    else
        coat_ask_error(ask, 503, "store_unavailable");
}

/* Ready: the store answers a read. */
void
coat_admin_ready(coat_http_request *req)
{
    coat_ask *ask = coat_ask_of(req);

    ask->call.user = COAT_LIT("readiness");
    coat_ask_call(ask, COAT_CALL_EPOCHS, probed);
}

static json_t *
store_json(coat_store *store)
{
    coat_store_stats s = {0};

    if (coat_store_stats_get(store, &s) != COAT_OK)
        return json_null();
    return json_pack("{s:s,s:I,s:I,s:I,s:I,s:b,s:b,s:s}", "kind", store->ops->name, "sessions",
                     (json_int_t)s.sessions, "accounts", (json_int_t)s.accounts, "bytes_used",
                     (json_int_t)s.bytes_used, "bytes_map", (json_int_t)s.bytes_map, "full",
                     (int)s.full, "away", (int)s.away, "notice", s.notice);
}

static json_t *
engine_json(coat_engine *engine)
{
    coat_engine_stats s;

    coat_engine_stats_get(engine, &s);
    return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:b,s:o}", "checks",
                     (json_int_t)s.checks, "table_hits", (json_int_t)s.table_hits, "created",
                     (json_int_t)s.created, "ended", (json_int_t)s.ended, "rotated",
                     (json_int_t)s.rotated, "confirmed", (json_int_t)s.confirmed, "reused",
                     (json_int_t)s.reused, "expired", (json_int_t)s.expired, "store_errors",
                     (json_int_t)s.store_errors, "table_slots", (json_int_t)s.table_slots,
                     "table_used", (json_int_t)s.table_used, "issuing", (int)s.issuing,
                     "clock_offset_ms",
                     s.clock_known ? json_integer((json_int_t)s.clock_offset_ms) : json_null());
}

static json_t *
keys_json(const coat_keys *keys)
{
    json_t *list = json_array();

    for (uint32_t i = 0; list != NULL && i < coat_keys_count(keys); i++)
        (void)json_array_append_new(
            list, json_pack("{s:I,s:I}", "id", (json_int_t)coat_keys_id(keys, i), "created_ms",
                            (json_int_t)coat_keys_created_ms(keys, i)));
    return list;
}

void
coat_admin_status(coat_http_request *req)
{
    coat_ask *ask = coat_ask_of(req);
    coat_app *app = ask->at->app;

    coat_ask_json(ask, 200,
                  json_pack("{s:s,s:I,s:o,s:o,s:o,s:b}", "version", coat_version(), "pid",
                            (json_int_t)getpid(), "store", store_json(app->store), "engine",
                            engine_json(app->engine), "keys", keys_json(coat_app_keys(app)),
                            "audit_writable", (int)coat_audit_writable(app->log)));
}

void
coat_admin_keys_rotate(coat_http_request *req)
{
    coat_ask *ask = coat_ask_of(req);
    char message[COAT_MESSAGE_MAX];
    coat_err err = coat_process_rotate_keys(ask->process, message, sizeof message);

    if (err != COAT_OK) {
        coat_log_line(ask->at->app->log, COAT_LOG_ERROR, "keys were not rotated",
                      COAT_LOG_FIELDS(coat_log_text(COAT_LOG_F_DETAIL, message)));
        coat_ask_fail(ask, err);
        return;
    }
    coat_ask_json(ask, 200, json_pack("{s:o}", "keys", keys_json(coat_app_keys(ask->at->app))));
}

void
coat_admin_reload(coat_http_request *req)
{
    coat_ask *ask = coat_ask_of(req);
    char message[COAT_MESSAGE_MAX];
    coat_err err = coat_process_reload(ask->process, message, sizeof message);

    if (err == COAT_OK)
        coat_ask_done(ask);
    else /* the administrator may know where the mistake is */
        coat_ask_json(ask, 400,
                      json_pack("{s:{s:s,s:s},s:s}", "error", "code", "configuration",
                                "message", message, "request_id", req->id));
}

void
coat_admin_metrics(coat_http_request *req)
{
    coat_app *app = coat_ask_of(req)->at->app;
    const coat_meter *meters[COAT_LOOPS_MAX];
    coat_metrics_sources sources = {.meters = meters,
                                    .engine = app->engine,
                                    .directory = app->directory,
                                    .store = app->store,
                                    .log = app->log,
                                    .http = app->server,
                                    .started_ms = app->started_ms};
    char text[COAT_METRICS_MAX];
    size_t len = 0;

    if (!coat_ask_of(req)->set->config->metrics_enabled) {
        coat_ask_error(coat_ask_of(req), 404, "not_found");
        return;
    }
    req->user = NULL;
    while (sources.meter_count < COAT_LOOPS_MAX &&
           (meters[sources.meter_count] = atomic_load(&app->meters[sources.meter_count])) !=
               NULL)
        sources.meter_count++;
    if (coat_metrics_write(&sources, text, sizeof text, &len) != COAT_OK)
        coat_http_error(req, 500, "internal");
    else
        coat_http_send(coat_http_reply(req, 200), COAT_HTTP_METRICS,
                       (coat_span){(uint8_t *)text, len});
}

void
coat_admin_openapi(coat_http_request *req)
{
    coat_span text = {coat_builtin_admin[0].bytes, coat_builtin_admin[0].len};

    req->user = NULL;
    coat_http_send(coat_http_reply(req, 200), COAT_HTTP_YAML, text);
}
