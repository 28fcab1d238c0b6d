/* SPDX-License-Identifier: Apache-2.0 */
/* How a visit ends: cookies, fields, pages, errors. */
#include "core/out.h"
#include "server/app/visit.h"

#include <coatcheck/target.h>
#include <sodium.h>
#include <stdlib.h>

void
coat_visit_set_cookie(coat_visit *visit, const coat_cookie_conf *conf, coat_span value,
                      int64_t max_age_s)
{
    size_t i = visit->cookie_count;

    if (i < COAT_VISIT_COOKIES &&
        coat_cookie_set(conf, value, max_age_s, visit->cookies[i], sizeof visit->cookies[i],
                        &visit->cookie_len[i]) == COAT_OK)
        visit->cookie_count++;
}

void
coat_visit_delete_cookie(coat_visit *visit, const coat_cookie_conf *conf)
{
    size_t i = visit->cookie_count;

    if (i < COAT_VISIT_COOKIES &&
        coat_cookie_delete(conf, visit->cookies[i], sizeof visit->cookies[i],
                           &visit->cookie_len[i]) == COAT_OK)
        visit->cookie_count++;
}

/* A later one replaces an earlier one of the same name (CK-5): a rotation during a step-up. */
void
coat_visit_set_token(coat_visit *visit, coat_call *call)
{
    coat_span name = coat_span_of(visit->set->cookie.name);
    coat_span token = {(const uint8_t *)call->token_text, sizeof call->token_text};
    size_t kept = 0;

    for (size_t i = 0; i < visit->cookie_count; i++) {
        const char *line = visit->cookies[i];
        size_t len = visit->cookie_len[i];

        if (len > name.len && memcmp(line, name.ptr, name.len) == 0 && line[name.len] == '=')
            continue;
        if (kept != i) {
            memcpy(visit->cookies[kept], line, len);
            visit->cookie_len[kept] = len;
        }
        kept++;
    }
    visit->cookie_count = kept;
    coat_visit_set_cookie(visit, &visit->set->cookie, token, call->max_age_s);
    sodium_memzero(call->token_text, sizeof call->token_text);
}

void
coat_visit_adopt(coat_visit *visit, coat_call *call)
{
    coat_session_free(visit->session);
    visit->session = call->session;
    coat_visit_set_token(visit, call);
    if (visit->account.device_text[0] != '\0')
        coat_visit_set_cookie(visit, &visit->set->device_cookie,
                              coat_span_of(visit->account.device_text), COAT_DEVICE_LIFE_S);
}

const char *
coat_visit_destination(const coat_visit *visit)
{
    return visit->target[0] != '\0' ? visit->target : visit->set->config->default_target;
}

static void
cors_fields(const coat_visit *visit, coat_http_response *res)
{
    if (visit->cors.vary_origin)
        coat_http_field_str(res, "Vary", "Origin");
    if (visit->cors.verdict != COAT_CORS_ACTUAL && visit->cors.verdict != COAT_CORS_PREFLIGHT)
        return;
    coat_http_field_str(res, "Access-Control-Allow-Origin", visit->cors.allow_origin);
    coat_http_field_str(res, "Access-Control-Allow-Credentials", "true");
    if (visit->cors.verdict == COAT_CORS_PREFLIGHT) {
        coat_http_field_str(res, "Access-Control-Allow-Methods", visit->set->cors.methods);
        if (visit->set->cors.headers[0] != '\0')
            coat_http_field_str(res, "Access-Control-Allow-Headers", visit->set->cors.headers);
        coat_http_field_uint(res, "Access-Control-Max-Age",
                             (uint64_t)visit->set->cors.max_age_s);
    } else if (visit->set->cors.exposed[0] != '\0') {
        coat_http_field_str(res, "Access-Control-Expose-Headers", visit->set->cors.exposed);
    }
}

coat_http_response *
coat_visit_reply(coat_visit *visit, unsigned status)
{
    coat_http_response *res = coat_http_reply(visit->req, status);

    coat_http_csp(res, visit->set->csp);
    coat_http_field_str(res, "Vary", "Cookie, Accept, Sec-Fetch-Site, Sec-Fetch-Mode");
    cors_fields(visit, res);
    if (visit->clear_site_data != NULL)
        coat_http_field_str(res, "Clear-Site-Data", visit->clear_site_data);
    for (size_t i = 0; i < visit->cookie_count; i++)
        coat_http_field(res, "Set-Cookie",
                        (coat_span){(uint8_t *)visit->cookies[i], visit->cookie_len[i]});
    return res;
}

/* After the answer the arena, and the visit in it, is gone. */
static coat_session *
let_go(coat_visit *visit)
{
    coat_session *session = visit->session;

    visit->session = NULL;
    visit->req->user = NULL;
    sodium_memzero(visit->cookies, sizeof visit->cookies);
    sodium_memzero(visit->csrf, sizeof visit->csrf);
    sodium_memzero(visit->account.device_text, sizeof visit->account.device_text);
    return session;
}

void
coat_visit_send(coat_visit *visit, coat_http_response *res, coat_http_type type, coat_span body)
{
    coat_session *session = let_go(visit);

    coat_http_send(res, type, body);
    coat_session_free(session);
}

void
coat_visit_send_json(coat_visit *visit, coat_http_response *res, json_t *json)
{
    char *text = json != NULL ? json_dumps(json, JSON_COMPACT) : NULL;

    json_decref(json);
    if (text == NULL) {
        coat_visit_error(visit, 500, "internal");
        return;
    }
    coat_visit_send(visit, res, COAT_HTTP_JSON, coat_span_of(text));
    sodium_memzero(text, strlen(text)); /* it may hold a CSRF token */
    free(text);
}

void
coat_visit_send_error(coat_visit *visit, coat_http_response *res, const char *code)
{
    coat_session *session = let_go(visit);

    coat_http_send_error(res, code);
    coat_session_free(session);
}

void
coat_visit_error(coat_visit *visit, unsigned status, const char *code)
{
    coat_visit_send_error(visit, coat_visit_reply(visit, status), code);
}

void
coat_visit_redirect(coat_visit *visit, const char *location)
{
    bool after_post = !coat_method_is_safe(visit->req->method_text);
    coat_http_response *res = coat_visit_reply(visit, after_post ? 303 : 302);
    coat_session *session = let_go(visit);

    coat_http_redirect(res, coat_span_of(location));
    coat_session_free(session);
}

void
coat_visit_fail(coat_visit *visit, coat_err err, uint32_t retry_after_s)
{
    coat_http_response *res;

    switch (err) {
    case COAT_NO_SESSION:
    case COAT_REVOKED:
        coat_visit_error(visit, 401, "not_signed_in");
        return;
    case COAT_STEP_UP:
        coat_visit_error(visit, 403, "step_up_required");
        return;
    case COAT_THROTTLED:
        res = coat_visit_reply(visit, 429);
        coat_http_field_uint(res, "Retry-After", retry_after_s > 0 ? retry_after_s : 60);
        coat_visit_send_error(visit, res, "too_many_attempts");
        return;
    case COAT_TOO_MANY:
        coat_visit_error(visit, 403, "too_many_sessions");
        return;
    case COAT_NOT_FOUND:
        coat_visit_error(visit, 404, "not_found");
        return;
    case COAT_TOO_LARGE:
        coat_visit_error(visit, 413, "too_large");
        return;
    case COAT_MALFORMED:
    case COAT_INVALID:
        coat_visit_error(visit, 400, "bad_request");
        return;
    default: /* undecided: neither yes nor no, and the cookie stays */
        visit->cookie_count = 0;
        res = coat_visit_reply(visit, 503);
        coat_http_field_uint(res, "Retry-After", retry_after_s > 0 ? retry_after_s : 2);
        coat_visit_send_error(visit, res, err == COAT_BUSY ? "busy" : "unavailable");
    }
}

void
coat_visit_page(coat_visit *visit, unsigned status, const char *page, const char *title,
                json_t *data)
{
    const coat_pages *pages = visit->set->pages;
    char *text = NULL;
    size_t len = 0;

    if (data == NULL ||
        json_object_set_new(data, "title", json_string(coat_pages_text(pages, title))) != 0 ||
        json_object_set_new(data, "home", json_string(visit->set->config->default_target)) !=
            0 ||
        coat_pages_render(pages, page, data, &text, &len) != COAT_OK) {
        json_decref(data);
        coat_visit_error(visit, 500, "internal");
        return;
    }
    json_decref(data);
    coat_visit_send(visit, coat_visit_reply(visit, status), COAT_HTTP_HTML,
                    (coat_span){(uint8_t *)text, len});
    sodium_memzero(text, len); /* the form's token */
    free(text);
}

/* To sign in, or to confirm, and then back to this very page. */
static void
redirect_to(coat_visit *visit, const char *page)
{
    char url[2 * COAT_ORIGIN_MAX + 3 * COAT_TARGET_MAX], back[COAT_TARGET_MAX];
    coat_out out = coat_out_init(url, sizeof url - 1);
    size_t len = 0;

    coat_out_str(&out, page);
    if (coat_target_check(visit->req->target, &visit->set->targets, back, sizeof back, &len) ==
        COAT_OK) {
        size_t more = 0;

        coat_out_str(&out, "?return=");
        if (!out.over && coat_percent_encode((coat_span){(uint8_t *)back, len}, url + out.len,
                                             sizeof url - 1 - out.len, &more) == COAT_OK)
            out.len += more;
    }
    url[out.len] = '\0';
    coat_visit_redirect(visit, url);
}

void
coat_visit_ask_login(coat_visit *visit)
{
    coat_http_response *res;

    if (visit->req->method == COAT_HTTP_GET && coat_is_navigation(&visit->facts)) {
        redirect_to(visit, visit->set->login_url);
        return;
    }
    res = coat_visit_reply(visit, 401);
    coat_http_field_str(res, "X-Auth-Login", visit->set->login_url);
    coat_visit_send_error(visit, res, "not_signed_in");
}

void
coat_visit_ask_step_up(coat_visit *visit)
{
    coat_http_response *res;

    coat_visit_event(visit, COAT_EVENT_STEP_UP_REQUIRED, visit->step_up ? "context" : "age");
    if (visit->req->method == COAT_HTTP_GET && coat_is_navigation(&visit->facts)) {
        redirect_to(visit, visit->set->reauth_url);
        return;
    }
    res = coat_visit_reply(visit, 403);
    coat_http_field_str(res, "X-Auth-Login", visit->set->reauth_url);
    coat_visit_send_error(visit, res, "step_up_required");
}

const char *
coat_visit_target(coat_visit *visit, const coat_params *params)
{
    coat_span value;
    size_t len = 0;

    if (params == NULL || !coat_params_get(params, "return", &value) ||
        coat_target_check(value, &visit->set->targets, visit->target, sizeof visit->target - 1,
                          &len) != COAT_OK)
        return NULL;
    visit->target[len] = '\0';
    return visit->target;
}

static const coat_params *
params_or_answer(coat_visit *visit, coat_err err, const coat_params *params)
{
    if (err == COAT_OK)
        return params;
    if (err == COAT_INVALID)
        coat_visit_error(visit, 415, "unsupported_media_type");
    else
        coat_visit_error(visit, 400, "bad_parameters");
    return NULL;
}

const coat_params *
coat_visit_query(coat_visit *visit)
{
    const coat_params *params = NULL;
    coat_err err = coat_http_query(visit->req, &params);

    return params_or_answer(visit, err, params);
}

const coat_params *
coat_visit_form(coat_visit *visit)
{
    const coat_params *params = NULL;
    coat_err err = coat_http_form(visit->req, &params);

    return params_or_answer(visit, err, params);
}

json_t *
coat_visit_json(coat_visit *visit)
{
    json_t *json = NULL;
    coat_err err = coat_http_json(visit->req, &json);

    if (err == COAT_OK && json_is_object(json))
        return json;
    if (err == COAT_INVALID)
        coat_visit_error(visit, 415, "unsupported_media_type");
    else
        coat_visit_error(visit, 400, "bad_json");
    return NULL;
}
