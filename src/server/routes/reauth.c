/* SPDX-License-Identifier: Apache-2.0 */
/* Step-up: the password once more, and a new handle and secret for the session (LC-1). */
#include "server/routes/routes.h"

#include <coatcheck/target.h>

static void
show_form(coat_visit *visit, unsigned status, const char *error)
{
    coat_span user = coat_session_record(visit->session)->user;
    json_t *data;

    if (coat_csrf_fresh(visit) != COAT_OK) {
        coat_visit_fail(visit, COAT_RNG_FAILED, 0);
        return;
    }
    data =
        json_pack("{s:s,s:s*,s:s%}", "csrf", visit->csrf, "return_to",
                  visit->target[0] != '\0' ? visit->target : NULL, "user", user.ptr, user.len);
    if (data != NULL && error != NULL)
        (void)json_object_set_new(data, "error",
                                  json_string(coat_pages_text(visit->set->pages, error)));
    coat_visit_page(visit, status, "reauth", "title_reauth", data);
}

void
coat_route_reauth_page(coat_http_request *req)
{
    coat_visit *visit = coat_visit_of(req);
    const coat_params *params;

    if (coat_session_record(visit->session)->user.len == 0) {
        coat_visit_ask_login(visit);
        return;
    }
    if (req->has_query) {
        params = coat_visit_query(visit);
        if (params == NULL)
            return;
        (void)coat_visit_target(visit, params);
    }
    show_form(visit, 200, NULL);
}

static void
renewed(coat_call *call)
{
    coat_visit *visit = call->ctx;

    if (call->result != COAT_OK) {
        coat_visit_fail(visit, call->result, 0);
        return;
    }
    coat_visit_adopt(visit, call);
    if (coat_http_body(visit->req) == COAT_HTTP_BODY_JSON)
        coat_visit_send_json(visit, coat_visit_reply(visit, 200),
                             json_pack("{s:b}", "confirmed", 1));
    else
        coat_visit_redirect(visit, coat_visit_destination(visit));
}

static void
verified(coat_account_call *account)
{
    coat_visit *visit = account->ctx;
    coat_call *call = &visit->call;

    if (account->result == COAT_DENIED) {
        if (coat_http_body(visit->req) == COAT_HTTP_BODY_JSON)
            coat_visit_error(visit, 401, "credentials_refused");
        else
            show_form(visit, 401, "error_password");
        return;
    }
    if (account->result != COAT_OK) {
        coat_visit_fail(visit, account->result, account->retry_after_s);
        return;
    }
    memset(call, 0, sizeof *call);
    call->token = visit->token;
    call->context = visit->context;
    call->roles = coat_span_of(account->user_roles);
    call->reauthenticated = true;
    coat_visit_call(visit, COAT_CALL_RENEW, renewed);
}

void
coat_route_reauth(coat_http_request *req)
{
    coat_visit *visit = coat_visit_of(req);
    coat_span password = {NULL, 0};

    if (coat_http_body(req) == COAT_HTTP_BODY_JSON) {
        json_t *json = coat_visit_json(visit), *value;

        if (json == NULL)
            return;
        value = json_object_get(json, "password");
        if (json_is_string(value))
            password = (coat_span){(const uint8_t *)json_string_value(value),
                                   json_string_length(value)};
    } else {
        const coat_params *form = coat_visit_form(visit);

        if (form == NULL)
            return;
        (void)coat_visit_target(visit, form);
        (void)coat_params_get(form, "password", &password);
    }
    visit->account.name = coat_session_record(visit->session)->user;
    visit->account.password = password;
    coat_visit_account(visit, COAT_ACCOUNT_VERIFY, verified);
}
