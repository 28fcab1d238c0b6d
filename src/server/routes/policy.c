/* SPDX-License-Identifier: Apache-2.0 */
/* What every request to a public route passes before its handler runs (CS-1, CK-8, CO-3). */
#include "server/routes/routes.h"

#include <sodium.h>

/* Header, form field or JSON member; if several, they must agree. Never cookie or query. */
coat_err
coat_csrf_presented(coat_visit *visit, coat_span *out)
{
    coat_span header = {NULL, 0}, body = {NULL, 0};
    coat_http_found found = coat_http_single(visit->req, "X-CSRF-Token", &header);
    const coat_params *form = NULL;
    json_t *json = NULL;

    if (found == COAT_HTTP_REPEATED)
        return COAT_DENIED;
    if (coat_http_body(visit->req) == COAT_HTTP_BODY_FORM &&
        coat_http_form(visit->req, &form) == COAT_OK)
        (void)coat_params_get(form, "csrf", &body);
    else if (coat_http_body(visit->req) == COAT_HTTP_BODY_JSON &&
             coat_http_json(visit->req, &json) == COAT_OK)
        body = coat_span_of(json_string_value(json_object_get(json, "csrf")));
    if (header.len > 0 && body.len > 0 && !coat_span_is(header, body))
        return COAT_DENIED;
    if (header.len == 0 && body.len == 0)
        return COAT_DENIED;
    *out = header.len > 0 ? header : body;
    return COAT_OK;
}

coat_err
coat_csrf_fresh(coat_visit *visit)
{
    coat_err err = coat_session_csrf(visit->at->app->engine, visit->session, visit->csrf);

    visit->csrf[COAT_CSRF_CHARS] = '\0';
    return err;
}

static void
refuse(coat_visit *visit, const char *code)
{
    coat_visit_event(visit, COAT_EVENT_CSRF_REFUSED, code);
    coat_meter_add(&visit->at->meter, COAT_METER_CSRF_REFUSED, 1);
    visit->cookie_count = 0;
    coat_visit_error(visit, 403, code);
}

/* Unsafe requests are looked up as background ones: a refused one must not keep a session from
 * idling out (LC-4). Once accepted, this is what notes the activity. */
static void
note_activity(coat_visit *visit)
{
    coat_table_answer answer;
    coat_table_query query = {
        .token = visit->token,
        .now_ms = coat_engine_now_ms(visit->at->app->engine),
    };

    coat_engine_peek(visit->at->app->engine, &query, &answer);
}

static bool
is_safe(const coat_visit *visit)
{
    return coat_method_is_safe(visit->req->method_text);
}

static void
without_session(coat_visit *visit)
{
    uint32_t flags = visit->req->route->flags;
    bool none = visit->identified == COAT_NO_SESSION;

    /* Many stale cookies behind one address must not keep people from signing in anew: that has
     * limits of its own. */
    if (none || visit->identified == COAT_THROTTLED ? (flags & COAT_ROUTE_OWN_CSRF) != 0
                                                    : (flags & COAT_ROUTE_OUTAGE) != 0)
        coat_http_continue(visit->req);
    else if (!none)
        coat_visit_fail(visit, visit->identified, visit->account.retry_after_s);
    else
        coat_visit_ask_login(visit);
}

static bool
csrf_holds(coat_visit *visit)
{
    coat_span token;

    return coat_csrf_presented(visit, &token) == COAT_OK &&
           coat_session_csrf_check(visit->at->app->engine, visit->session, token) == COAT_OK;
}

static bool
is_fresh(const coat_visit *visit)
{
    return visit->auth_age_ms >= 0 && visit->auth_age_ms <= COAT_AUTH_FRESH_MS;
}

static void
with_session(coat_visit *visit)
{
    uint32_t flags = visit->req->route->flags;

    if (visit->identified != COAT_OK && visit->identified != COAT_STEP_UP) {
        without_session(visit);
        return;
    }
    if (!is_safe(visit) && !(flags & COAT_ROUTE_OWN_CSRF)) {
        if (!csrf_holds(visit)) {
            refuse(visit, "csrf_token_invalid");
            return;
        }
        note_activity(visit);
    }
    if ((visit->step_up && !(flags & (COAT_ROUTE_STEP_UP_OK | COAT_ROUTE_OWN_CSRF))) ||
        ((flags & COAT_ROUTE_FRESH) && !is_fresh(visit))) {
        coat_visit_ask_step_up(visit);
        return;
    }
    coat_http_continue(visit->req);
}

/* false: answered. A preflight never looks at cookies (CO-3). */
static bool
cors_allows(coat_visit *visit)
{
    coat_span method = {NULL, 0}, headers = {NULL, 0};

    (void)coat_http_single(visit->req, "Access-Control-Request-Method", &method);
    (void)coat_http_single(visit->req, "Access-Control-Request-Headers", &headers);
    coat_cors_decide(&visit->set->cors, &visit->set->own, &visit->facts, method, headers,
                     &visit->cors);
    if (visit->cors.verdict == COAT_CORS_REFUSED &&
        !(visit->req->route->flags & COAT_ROUTE_PREFLIGHT)) {
        coat_visit_event(visit, COAT_EVENT_CORS_REFUSED, "origin");
        coat_visit_error(visit, 403, "origin_refused");
        return false;
    }
    return true;
}

/* An origin that CORS allows may do what CORS allows; all others must be our own. */
static bool
site_allows(coat_visit *visit)
{
    if (is_safe(visit) || visit->cors.verdict == COAT_CORS_ACTUAL ||
        coat_site_check(&visit->facts, &visit->set->site) == COAT_OK)
        return true;
    refuse(visit, "origin_refused");
    return false;
}

void
coat_transport_hook(coat_http_request *req)
{
    coat_forward_conf conf = coat_config_forward(req->listener->user);
    coat_forward forward;

    if (coat_forward_read(&conf, &req->peer.address, req->fields, req->field_count,
                          req->method_text, req->target, req->host, &forward) == COAT_OK)
        req->tls = forward.tls;
}

static bool
is_module_listener(const coat_http_request *req)
{
    const coat_listener_conf *listener = req->listener->user;

    return listener->dialect == COAT_DIALECT_MODULE;
}

coat_visit *
coat_visit_begin_module(coat_http_request *req)
{
    coat_forward forward;

    if (!coat_forward_of(req, &forward))
        return NULL;
    if (is_module_listener(req) && forward.trusted)
        return coat_visit_begin(req);
    coat_http_error(req, 404, "not_found"); /* as any page that there is not */
    return NULL;
}

void
coat_policy_hook(coat_http_request *req)
{
    uint32_t flags = req->route->flags;
    coat_visit *visit;

    /* Where the nginx module asks there are no pages: a proxy_pass that leads clients there by
     * mistake lets none of them speak for others. */
    if (is_module_listener(req) && !(flags & COAT_ROUTE_VERIFY)) {
        coat_http_error(req, 404, "not_found");
        return;
    }
    if (flags & (COAT_ROUTE_VERIFY | COAT_ROUTE_STATIC)) {
        if (flags & COAT_ROUTE_STATIC)
            coat_transport_hook(req);
        coat_http_continue(req);
        return;
    }
    visit = coat_visit_begin(req);
    if (visit == NULL)
        return;
    if (visit->set->need_tls && !visit->forward.tls) {
        coat_visit_event(visit, COAT_EVENT_HTTPS_REQUIRED, NULL);
        coat_visit_error(visit, 403, "https_required");
        return;
    }
    if (!cors_allows(visit) || !site_allows(visit))
        return;
    if (flags & COAT_ROUTE_PREFLIGHT)
        coat_http_continue(req);
    else
        coat_visit_identify(visit, 0, !is_safe(visit), with_session);
}

void
coat_route_preflight(coat_http_request *req)
{
    coat_visit *visit = coat_visit_of(req);

    if (visit->cors.verdict == COAT_CORS_PREFLIGHT) {
        coat_visit_send(visit, coat_visit_reply(visit, 204), COAT_HTTP_EMPTY,
                        (coat_span){NULL, 0});
    } else if (visit->cors.verdict == COAT_CORS_REFUSED) {
        coat_visit_event(visit, COAT_EVENT_CORS_REFUSED, "preflight");
        coat_visit_error(visit, 403, "origin_refused");
    } else {
        coat_http_response *res = coat_visit_reply(visit, 405);

        coat_http_field_str(res, "Allow", "GET, HEAD, POST");
        coat_visit_send_error(visit, res, "method_not_allowed");
    }
}
