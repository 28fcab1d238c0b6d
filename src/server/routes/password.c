/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Change of one's own password: the current one is asked for, the new one is judged, the other
 * devices are signed out unless they are to stay (LC-11), and this session gets a new handle
 * and secret (LC-1).
 */
#include "server/routes/routes.h"

static void
show_form(coat_visit *visit, unsigned status, const char *error)
{
    coat_span user = coat_session_record(visit->session)->user;
    json_t *data;

    if (coat_csrf_fresh(visit) != COAT_OK) {
        coat_visit_fail(visit, COAT_RNG_FAILED, 0);
        return;
    }
    data = json_pack("{s:s,s:i,s:s%}", "csrf", visit->csrf, "password_min", COAT_PASSWORD_MIN,
                     "user", user.ptr, user.len);
    if (data != NULL && error != NULL)
        (void)json_object_set_new(data, "error",
                                  json_string(coat_pages_text(visit->set->pages, error)));
    coat_visit_page(visit, status, "password", "title_password", data);
}

static void
refuse(coat_visit *visit, unsigned status, const char *text)
{
    if (coat_http_body(visit->req) == COAT_HTTP_BODY_JSON)
        coat_visit_error(visit, status, text);
    else
        show_form(visit, status, text);
}

void
coat_route_password_page(coat_http_request *req)
{
    show_form(coat_visit_of(req), 200, NULL);
}

static void
renewed(coat_call *call)
{
    coat_visit *visit = call->ctx;
    char url[COAT_ORIGIN_MAX + 120];

    if (call->result != COAT_OK) {
        coat_visit_fail(visit, call->result, 0);
        return;
    }
    coat_visit_adopt(visit, call);
    if (coat_http_body(visit->req) == COAT_HTTP_BODY_JSON) {
        coat_visit_send_json(visit, coat_visit_reply(visit, 200),
                             json_pack("{s:b}", "changed", 1));
        return;
    }
    (void)snprintf(url, sizeof url, "%s%s/sessions?password=1", visit->set->own.list[0],
                   visit->set->config->base_path);
    coat_visit_redirect(visit, url);
}

static void
renew(coat_visit *visit)
{
    coat_call *call = &visit->call;

    memset(call, 0, sizeof *call);
    call->token = visit->token;
    call->context = visit->context;
    call->reauthenticated = true;
    coat_visit_call(visit, COAT_CALL_RENEW, renewed);
}

static void
others_ended(coat_call *call)
{
    coat_visit *visit = call->ctx;

    if (call->pending) /* the password was changed: do not have it tried again */
        coat_visit_error(visit, 503, "password_pending");
    else if (call->result != COAT_OK)
        coat_visit_fail(visit, call->result, 0);
    else
        renew(visit);
}

static void
password_set(coat_account_call *account)
{
    coat_visit *visit = account->ctx;
    coat_call *call = &visit->call;
    char text[40];

    if (account->result == COAT_INVALID) {
        (void)snprintf(text, sizeof text, "password_%s",
                       coat_password_fault_name(account->fault));
        refuse(visit, 422, text);
        return;
    }
    if (account->result != COAT_OK) {
        coat_visit_fail(visit, account->result, account->retry_after_s);
        return;
    }
    if (visit->keep_others) {
        renew(visit);
        return;
    }
    memset(call, 0, sizeof *call);
    call->user = coat_session_record(visit->session)->user;
    call->has_handle = true; /* spared: it is renewed next */
    call->handle = *coat_session_handle(visit->session);
    coat_visit_call(visit, COAT_CALL_END_USER, others_ended);
}

static void
verified(coat_account_call *account)
{
    coat_visit *visit = account->ctx;

    if (account->result == COAT_DENIED) {
        refuse(visit, 401, "error_password");
        return;
    }
    if (account->result != COAT_OK) {
        coat_visit_fail(visit, account->result, account->retry_after_s);
        return;
    }
    if (!coat_engine_issues(visit->at->app->engine)) { /* the session is to be renewed, too */
        coat_visit_fail(visit, COAT_CLOCK_OFF, 0);
        return;
    }
    memset(&visit->account, 0, sizeof visit->account);
    visit->account.name = coat_session_record(visit->session)->user;
    visit->account.password = visit->new_password;
    coat_visit_account(visit, COAT_ACCOUNT_SET_PASSWORD, password_set);
}

static void
take_json(coat_visit *visit, json_t *json, coat_span *current)
{
    json_t *now = json_object_get(json, "password"), *new = json_object_get(json, "new");

    if (json_is_string(now))
        *current =
            (coat_span){(const uint8_t *)json_string_value(now), json_string_length(now)};
    if (json_is_string(new))
        visit->new_password =
            (coat_span){(const uint8_t *)json_string_value(new), json_string_length(new)};
    visit->keep_others = json_is_true(json_object_get(json, "keep_others"));
}

void
coat_route_password(coat_http_request *req)
{
    coat_visit *visit = coat_visit_of(req);
    coat_span current = {NULL, 0}, keep;

    if (coat_http_body(req) == COAT_HTTP_BODY_JSON) {
        json_t *json = coat_visit_json(visit);

        if (json == NULL)
            return;
        take_json(visit, json, &current);
    } else {
        const coat_params *form = coat_visit_form(visit);

        if (form == NULL)
            return;
        (void)coat_params_get(form, "password", &current);
        (void)coat_params_get(form, "new", &visit->new_password);
        visit->keep_others = coat_params_get(form, "keep_others", &keep);
    }
    if (coat_span_is(current, visit->new_password)) {
        refuse(visit, 422, "password_same");
        return;
    }
    visit->account.name = coat_session_record(visit->session)->user;
    visit->account.password = current;
    coat_visit_account(visit, COAT_ACCOUNT_VERIFY, verified);
}
