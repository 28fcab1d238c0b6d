/* SPDX-License-Identifier: Apache-2.0 */
/* The sign-in page and form, and sign-in by JSON for scripts. */
#include "server/app/words.h"
#include "server/routes/routes.h"

#include <coatcheck/csrf.h>
#include <coatcheck/target.h>
#include <sodium.h>
#include <uv.h>

static coat_span
cookie_value(const coat_visit *visit, const coat_cookie_conf *conf)
{
    coat_span lines[COAT_HTTP_FIELDS_MAX];
    coat_cookie_found found;
    size_t count = 0, at = 0;

    while (coat_http_next(visit->req, "Cookie", &at, &lines[count]))
        count++;
    coat_cookie_find(conf, lines, count, &found);
    return found.count == 1 && !found.ambiguous ? found.value[0] : (coat_span){NULL, 0};
}

/* The form's token: bound to a pre-session that no store knows (CS-6). A valid one is kept, so
 * that two open forms both work. */
static coat_err
form_token(coat_visit *visit)
{
    coat_app *app = visit->at->app;
    int64_t now = coat_engine_now_ms(app->engine);
    char fresh[COAT_PRESESSION_CHARS];
    coat_span text = cookie_value(visit, &visit->set->pre_cookie);
    uint8_t key[COAT_CSRF_KEY_BYTES];
    coat_handle handle;
    coat_err err;

    if (text.len == 0 ||
        coat_presession_bind(coat_app_keys(app), text, now, &handle, key) != COAT_OK) {
        err = coat_presession_issue(coat_app_keys(app), now, app->rng, app->rng_ctx, fresh);
        if (err != COAT_OK)
            return err;
        text = (coat_span){(uint8_t *)fresh, sizeof fresh};
        coat_visit_set_cookie(visit, &visit->set->pre_cookie, text,
                              COAT_PRESESSION_LIFE_MS / 1000);
        err = coat_presession_bind(coat_app_keys(app), text, now, &handle, key);
        if (err != COAT_OK)
            return err;
    }
    err =
        coat_csrf_issue(coat_app_keys(app), &handle, key, app->rng, app->rng_ctx, visit->csrf);
    visit->csrf[COAT_CSRF_CHARS] = '\0';
    sodium_memzero(key, sizeof key);
    return err;
}

static void
show_form(coat_visit *visit, unsigned status, const char *notice, const char *error,
          coat_span user)
{
    const coat_pages *pages = visit->set->pages;
    coat_err err = form_token(visit);
    json_t *data;

    if (err != COAT_OK) {
        coat_visit_fail(visit, err, 0);
        return;
    }
    data = json_pack("{s:s,s:b,s:s*,s:s%}", "csrf", visit->csrf, "remember",
                     (int)visit->set->config->remember, "return_to",
                     visit->target[0] != '\0' ? visit->target : NULL, "user",
                     user.ptr != NULL ? (const char *)user.ptr : "", user.len);
    if (data != NULL && notice != NULL)
        (void)json_object_set_new(data, "notice", json_string(coat_pages_text(pages, notice)));
    if (data != NULL && error != NULL)
        (void)json_object_set_new(data, "error", json_string(coat_pages_text(pages, error)));
    coat_visit_page(visit, status, "login", "title_login", data);
}

void
coat_route_login_page(coat_http_request *req)
{
    coat_visit *visit = coat_visit_of(req);
    const coat_params *params = NULL;
    coat_span notice;
    const char *target;

    if (req->has_query) {
        params = coat_visit_query(visit);
        if (params == NULL)
            return;
    }
    target = coat_visit_target(visit, params);
    if (visit->session != NULL && coat_session_record(visit->session)->user.len > 0) {
        coat_visit_redirect(visit,
                            target != NULL ? target : visit->set->config->default_target);
        return;
    }
    show_form(visit, 200,
              params != NULL && coat_params_get(params, "signed_out", &notice)
                  ? "notice_signed_out"
                  : NULL,
              NULL, (coat_span){NULL, 0});
}

/* ---- signing in ---- */

static bool
is_json(const coat_visit *visit)
{
    return coat_http_body(visit->req) == COAT_HTTP_BODY_JSON;
}

static void
answer_signed_in(coat_visit *visit, const coat_session *session)
{
    const coat_record *record = coat_session_record(session);

    coat_visit_delete_cookie(visit, &visit->set->pre_cookie);
    if (!is_json(visit)) {
        coat_visit_redirect(visit, coat_visit_destination(visit));
        return;
    }
    coat_visit_send_json(visit, coat_visit_reply(visit, 200),
                         json_pack("{s:s%,s:o,s:I,s:s}", "user", record->user.ptr,
                                   record->user.len, "roles", coat_words_json(record->roles),
                                   "ends_ms", (json_int_t)coat_session_ends_ms(session),
                                   "return_to", coat_visit_destination(visit)));
}

static const struct refusal {
    coat_err err;
    unsigned status;
    const char *code, *text;
} refusals[] = {
    {COAT_DENIED, 401, "credentials_refused", "error_credentials"},
    {COAT_THROTTLED, 429, "too_many_attempts", "error_throttled"},
    {COAT_BUSY, 503, "busy", "error_busy"},
};

static void
refuse(coat_visit *visit, coat_err err)
{
    uint32_t wait = visit->account.retry_after_s;
    coat_http_response *res;

    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        const struct refusal *r = &refusals[i];

        if (r->err != err)
            continue;
        if (!is_json(visit) && err == COAT_DENIED) {
            show_form(visit, r->status, NULL, r->text, visit->account.name);
            return;
        }
        res = coat_visit_reply(visit, r->status);
        if (err != COAT_DENIED)
            coat_http_field_uint(res, "Retry-After", wait > 0 ? wait : 2);
        coat_visit_send_error(visit, res, r->code);
        return;
    }
    coat_visit_fail(visit, err, wait);
}

static void
created(coat_call *call)
{
    coat_visit *visit = call->ctx;

    if (call->result ==
        COAT_REVOKED) { /* disabled meanwhile: as if it had been before (LG-5) */
        refuse(visit, COAT_DENIED);
        return;
    }
    if (call->result != COAT_OK) {
        coat_visit_fail(visit, call->result, 0);
        return;
    }
    coat_visit_adopt(visit, call);
    answer_signed_in(visit, visit->session);
}

/* What a visitor has gathered is theirs after signing in; what another user has, is not. */
static bool
may_keep_data(const coat_visit *visit, coat_span user)
{
    coat_span former;

    if (visit->session == NULL) /* none, or nobody knows which */
        return false;
    former = coat_session_record(visit->session)->user;
    return former.len == 0 || coat_span_is(former, user);
}

static void
signed_in(coat_account_call *account)
{
    coat_visit *visit = account->ctx;
    coat_call *call = &visit->call;

    coat_meter_observe(&visit->at->meter, COAT_TIMER_LOGIN, uv_hrtime() - visit->begun_ns);
    coat_meter_add(&visit->at->meter,
                   account->result == COAT_OK          ? COAT_METER_LOGIN_OK
                   : account->result == COAT_DENIED    ? COAT_METER_LOGIN_DENIED
                   : account->result == COAT_THROTTLED ? COAT_METER_LOGIN_THROTTLED
                                                       : COAT_METER_LOGIN_UNAVAILABLE,
                   1);
    if (account->result != COAT_OK) {
        refuse(visit, account->result);
        return;
    }
    call->user = coat_span_of(account->user);
    call->roles = coat_span_of(account->user_roles);
    call->methods = COAT_LIT("pwd");
    call->context = visit->context;
    call->epochs = visit->epochs;
    call->keep_data = may_keep_data(visit, call->user);
    /* Whatever session this browser had ends with this one's beginning. */
    call->token = visit->token;
    coat_visit_call(visit, COAT_CALL_CREATE, created);
}

/* The epochs from before the password is checked: a revocation meanwhile wins (RV-4). */
static void
epochs_read(coat_call *call)
{
    coat_visit *visit = call->ctx;
    coat_err err = call->result;
    bool remember = call->remember;

    visit->epochs = call->epochs;
    memset(call, 0, sizeof *call);
    call->remember = remember;
    if (err != COAT_OK)
        coat_visit_fail(visit, err, 0);
    else
        coat_visit_account(visit, COAT_ACCOUNT_SIGN_IN, signed_in);
}

static void
sign_in(coat_visit *visit, coat_span name, coat_span password, bool remember)
{
    visit->begun_ns = uv_hrtime();
    visit->account.name = name;
    visit->account.password = password;
    visit->account.device = cookie_value(visit, &visit->set->device_cookie);
    memset(&visit->call, 0, sizeof visit->call);
    visit->call.remember = remember && visit->set->config->remember;
    visit->call.user = name;
    /* A name that can be nobody's is still tried, at the same cost as any other (LG-6). */
    if (coat_name_read(name, &visit->name) == COAT_OK)
        visit->call.user = coat_name_span(&visit->name);
    if (visit->call.user.len > COAT_NAME_MAX)
        visit->call.user.len = COAT_NAME_MAX;
    coat_visit_call(visit, COAT_CALL_EPOCHS, epochs_read);
}

static void
sign_in_json(coat_visit *visit)
{
    json_t *json = coat_visit_json(visit);
    json_t *user, *password;
    const char *back;
    size_t len = 0;

    if (json == NULL)
        return;
    user = json_object_get(json, "user");
    password = json_object_get(json, "password");
    back = json_string_value(json_object_get(json, "return"));
    if (!json_is_string(user) || !json_is_string(password)) {
        coat_visit_error(visit, 400, "user_and_password_required");
        return;
    }
    if (back != NULL &&
        coat_target_check(coat_span_of(back), &visit->set->targets, visit->target,
                          sizeof visit->target - 1, &len) == COAT_OK)
        visit->target[len] = '\0';
    sign_in(
        visit, (coat_span){(const uint8_t *)json_string_value(user), json_string_length(user)},
        (coat_span){(const uint8_t *)json_string_value(password), json_string_length(password)},
        json_is_true(json_object_get(json, "remember")));
}

/* The origin policy has passed; a form also shows the token that its page was given. */
static bool
form_is_ours(coat_visit *visit)
{
    coat_app *app = visit->at->app;
    coat_span cookie = cookie_value(visit, &visit->set->pre_cookie), token;
    uint8_t key[COAT_CSRF_KEY_BYTES];
    coat_handle handle;
    bool ours;

    if (coat_csrf_presented(visit, &token) != COAT_OK ||
        coat_presession_bind(coat_app_keys(app), cookie, coat_engine_now_ms(app->engine),
                             &handle, key) != COAT_OK)
        return false;
    ours = coat_csrf_check(coat_app_keys(app), &handle, key, token) == COAT_OK;
    sodium_memzero(key, sizeof key);
    return ours;
}

void
coat_route_login(coat_http_request *req)
{
    coat_visit *visit = coat_visit_of(req);
    const coat_params *form;
    coat_span user = {NULL, 0}, password = {NULL, 0}, remember;

    if (is_json(visit)) {
        sign_in_json(visit);
        return;
    }
    form = coat_visit_form(visit);
    if (form == NULL)
        return;
    (void)coat_visit_target(visit, form);
    (void)coat_params_get(form, "user", &user);
    (void)coat_params_get(form, "password", &password);
    if (!form_is_ours(visit)) {
        coat_visit_event(visit, COAT_EVENT_CSRF_REFUSED, "login_form");
        show_form(visit, 403, NULL, "error_form", user);
        return;
    }
    if (user.len == 0 || password.len == 0) {
        show_form(visit, 400, NULL, "error_required", user);
        return;
    }
    sign_in(visit, user, password, coat_params_get(form, "remember", &remember));
}
