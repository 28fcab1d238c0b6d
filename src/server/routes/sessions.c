/* SPDX-License-Identifier: Apache-2.0 */
/* My devices: list them, end one (LC-12). */
#include "server/routes/routes.h"

enum { DEVICES_A_PAGE = 50 };

static void
set_time(const coat_visit *visit, json_t *item, const char *name, int64_t when_ms, int64_t now)
{
    char key[32], iso[24], text[64];

    coat_iso_time(when_ms, iso);
    (void)snprintf(key, sizeof key, "%s_iso", name);
    (void)json_object_set_new(item, key, json_string(iso));
    coat_pages_ago(visit->set->pages, when_ms, now, text, sizeof text);
    (void)snprintf(key, sizeof key, "%s_text", name);
    (void)json_object_set_new(item, key, json_string(text));
}

/* Coarse: family of the browser, not its full name; never a token, digest or key. */
static void
add_device(coat_call *call, const coat_session *session)
{
    coat_visit *visit = call->ctx;
    const coat_record *r = coat_session_record(session);
    int64_t now = coat_engine_now_ms(visit->at->app->engine);
    char handle[COAT_HANDLE_CHARS];
    json_t *item;
    bool current;

    coat_handle_encode(coat_session_handle(session), handle);
    current =
        coat_handle_equal(coat_session_handle(session), coat_session_handle(visit->session));
    item = json_pack("{s:s%,s:s,s:s%,s:b}", "handle", handle, sizeof handle, "agent",
                     coat_agent_family(r->last.agent), "address",
                     r->last.address.len > 0 ? (const char *)r->last.address.ptr : "",
                     r->last.address.len, "current", (int)current);
    if (item == NULL)
        return;
    set_time(visit, item, "created", r->created_ms, now);
    set_time(visit, item, "last", coat_session_seen_ms(session), now);
    set_time(visit, item, "ends", coat_session_ends_ms(session), now);
    /* newest first, although listed oldest first */
    (void)json_array_insert_new(visit->list, 0, item);
    call->cursor = *coat_session_handle(session);
}

/** Is there any but the one that asks? Then everywhere is more than here. */
static bool
has_others(const coat_visit *visit)
{
    const json_t *first = json_array_get(visit->list, 0);

    return visit->call.has_cursor || visit->call.more || json_array_size(visit->list) > 1 ||
           !json_is_true(json_object_get(first, "current"));
}

static void
listed(coat_call *call)
{
    coat_visit *visit = call->ctx;
    char after[COAT_HANDLE_CHARS + 1];
    json_t *data;

    if (call->result != COAT_OK || coat_csrf_fresh(visit) != COAT_OK) {
        json_decref(visit->list);
        coat_visit_fail(visit, call->result != COAT_OK ? call->result : COAT_RNG_FAILED, 0);
        return;
    }
    coat_handle_encode(&call->cursor, after);
    after[COAT_HANDLE_CHARS] = '\0';
    data = json_pack("{s:o,s:s%,s:s*}", "sessions", visit->list, "user",
                     coat_session_record(visit->session)->user.ptr,
                     coat_session_record(visit->session)->user.len, "more",
                     call->more ? after : NULL);
    if (!coat_http_wants_html(visit->req)) {
        coat_visit_send_json(visit, coat_visit_reply(visit, 200), data);
        return;
    }
    if (data != NULL) {
        (void)json_object_set_new(data, "csrf", json_string(visit->csrf));
        (void)json_object_set_new(data, "wide", json_true());
        (void)json_object_set_new(data, "password_link", json_true());
        (void)json_object_set_new(data, "others", json_boolean(has_others(visit)));
        if (visit->notice != NULL)
            (void)json_object_set_new(
                data, "notice", json_string(coat_pages_text(visit->set->pages, visit->notice)));
    }
    coat_visit_page(visit, 200, "sessions", "title_sessions", data);
}

static const struct {
    const char *name, *text;
} notices[] = {{"ended", "notice_session_ended"}, {"password", "notice_password_changed"}};

void
coat_route_sessions(coat_http_request *req)
{
    coat_visit *visit = coat_visit_of(req);
    const coat_params *params = NULL;
    coat_span value;
    coat_call *call = &visit->call;

    memset(call, 0, sizeof *call);
    if (req->has_query) {
        params = coat_visit_query(visit);
        if (params == NULL)
            return;
        if (coat_params_get(params, "after", &value)) {
            if (coat_handle_decode(value, &call->cursor) != COAT_OK) {
                coat_visit_error(visit, 400, "bad_parameters");
                return;
            }
            call->has_cursor = true;
        }
        for (size_t i = 0; i < sizeof notices / sizeof notices[0]; i++)
            if (coat_params_get(params, notices[i].name, &value))
                visit->notice = notices[i].text;
    }
    visit->list = json_array();
    call->user = coat_session_record(visit->session)->user;
    call->limit = DEVICES_A_PAGE;
    call->item = add_device;
    coat_visit_call(visit, COAT_CALL_LIST, listed);
}

static void
ended(coat_call *call)
{
    coat_visit *visit = call->ctx;
    char url[COAT_ORIGIN_MAX + 120];

    if (call->result != COAT_OK && !call->pending) {
        coat_visit_fail(visit, call->result == COAT_NO_SESSION ? COAT_NOT_FOUND : call->result,
                        0);
        return;
    }
    if (coat_handle_equal(&call->handle, coat_session_handle(visit->session))) {
        visit->cookie_count = 0;
        coat_visit_delete_cookie(visit, &visit->set->cookie);
    }
    if (call->pending) { /* SF-4: no success, and nothing that would have to be repeated */
        coat_visit_error(visit, 503, "end_pending");
        return;
    }
    if (!coat_http_wants_html(visit->req)) {
        coat_visit_send_json(visit, coat_visit_reply(visit, 200),
                             json_pack("{s:b}", "ended", 1));
        return;
    }
    (void)snprintf(url, sizeof url, "%s%s/sessions?ended=1", visit->set->own.list[0],
                   visit->set->config->base_path);
    coat_visit_redirect(visit, url);
}

void
coat_route_session_end(coat_http_request *req)
{
    coat_visit *visit = coat_visit_of(req);
    coat_call *call = &visit->call;

    memset(call, 0, sizeof *call);
    /* Without a user there is no owner to compare with. */
    if (coat_session_record(visit->session)->user.len == 0 ||
        coat_handle_decode(req->captures[0], &call->handle) != COAT_OK) {
        coat_visit_error(visit, 404, "not_found");
        return;
    }
    call->has_handle = true;
    call->owner_user = coat_session_record(visit->session)->user;
    coat_visit_call(visit, COAT_CALL_END, ended);
}
