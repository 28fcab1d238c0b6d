/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions, for applications and operators. */
#include "server/admin/handlers.h"

#include <sodium.h>
#include <stdlib.h>

static void
send_session(coat_call *call, unsigned status)
{
    coat_ask *ask = call->ctx;
    char line[2 * COAT_COOKIE_LINE_MAX];
    size_t len = 0;
    json_t *json;

    json = coat_ask_session(ask, call->session);
    /* The one answer that carries a secret: the line to pass on to the browser. */
    if (json != NULL && call->set_token &&
        coat_cookie_set(&ask->set->cookie,
                        (coat_span){(uint8_t *)call->token_text, sizeof call->token_text},
                        call->max_age_s, line, sizeof line, &len) == COAT_OK) {
        (void)json_object_set_new(json, "set_cookie", json_stringn(line, len));
        sodium_memzero(line, sizeof line);
    }
    sodium_memzero(call->token_text, sizeof call->token_text);
    coat_ask_json(ask, status, json);
}

static void
shown(coat_call *call)
{
    if (call->result == COAT_OK)
        send_session(call, 200);
    else
        coat_ask_fail(call->ctx, call->result);
}

static void
checked(coat_call *call)
{
    if (call->result == COAT_OK)
        send_session(call, 200);
    else if (call->result == COAT_NO_SESSION)
        coat_ask_error(call->ctx, 401, "not_signed_in");
    else
        coat_ask_fail(call->ctx, call->result);
}

static void
created(coat_call *call)
{
    if (call->result == COAT_OK) {
        call->set_token = true;
        send_session(call, 201);
    } else {
        coat_ask_fail(call->ctx, call->result);
    }
}

static bool
take_context(coat_ask *ask)
{
    coat_context *c = &ask->call.context;

    return coat_ask_text(ask, "address", &c->address) &&
           coat_ask_text(ask, "user_agent", &c->agent) &&
           coat_ask_text(ask, "language", &c->language) && c->address.len <= COAT_ADDRESS_MAX &&
           c->agent.len <= COAT_AGENT_MAX && c->language.len <= COAT_LANGUAGE_MAX;
}

/* roles, methods, data; false: answered */
static bool
take_fields(coat_ask *ask)
{
    json_t *data = json_object_get(ask->body, "data");
    bool has_roles, has_methods;
    coat_span roles, methods;

    if (!coat_ask_words(ask, "roles", ask->roles, sizeof ask->roles - 1, &roles, &has_roles) ||
        !coat_ask_words(ask, "methods", ask->methods, sizeof ask->methods - 1, &methods,
                        &has_methods) ||
        !take_context(ask) || (data != NULL && !json_is_object(data))) {
        coat_ask_error(ask, 400, "invalid_fields");
        return false;
    }
    if (has_roles)
        ask->call.roles = roles;
    if (has_methods)
        ask->call.methods = methods;
    if (data != NULL) {
        ask->data = json_dumps(data, JSON_COMPACT);
        if (ask->data == NULL) {
            coat_ask_error(ask, 500, "internal");
            return false;
        }
        ask->call.data = coat_span_of(ask->data);
    }
    return true;
}

void
coat_admin_session_create(coat_http_request *req)
{
    coat_ask *ask = coat_ask_of(req);

    if (!coat_ask_text(ask, "user", &ask->call.user) ||
        !coat_ask_text(ask, "replaces", &ask->call.token) ||
        ask->call.user.len > COAT_USER_MAX) {
        coat_ask_error(ask, 400, "invalid_fields");
        return;
    }
    if (!take_fields(ask))
        return;
    ask->call.remember = json_is_true(json_object_get(ask->body, "remember"));
    ask->call.keep_data = json_is_true(json_object_get(ask->body, "keep_data"));
    coat_ask_call(ask, COAT_CALL_CREATE, created);
}

void
coat_admin_session_check(coat_http_request *req)
{
    coat_ask *ask = coat_ask_of(req);
    json_t *age = json_object_get(ask->body, "max_age");

    if (!coat_ask_text(ask, "token", &ask->call.token) || !take_context(ask) ||
        (age != NULL && (!json_is_integer(age) || json_integer_value(age) < 1 ||
                         json_integer_value(age) > 30 * 24 * 3600))) {
        coat_ask_error(ask, 400, "invalid_fields");
        return;
    }
    if (age != NULL)
        ask->call.demand.max_age_ms = json_integer_value(age) * 1000;
    ask->call.background = json_is_true(json_object_get(ask->body, "background"));
    coat_ask_call(ask, COAT_CALL_CHECK, checked);
}

void
coat_admin_session_renew(coat_http_request *req)
{
    coat_ask *ask = coat_ask_of(req);

    if (!coat_ask_text(ask, "token", &ask->call.token) || ask->call.token.len == 0) {
        coat_ask_error(ask, 400, "invalid_fields");
        return;
    }
    if (!take_fields(ask))
        return;
    ask->call.reauthenticated = json_is_true(json_object_get(ask->body, "reauthenticated"));
    coat_ask_call(ask, COAT_CALL_RENEW, created);
}

void
coat_admin_session_show(coat_http_request *req)
{
    coat_ask *ask = coat_ask_of(req);

    if (!coat_ask_handle(ask, &ask->call.handle))
        return;
    ask->call.has_handle = true;
    coat_ask_call(ask, COAT_CALL_READ, shown);
}

void
coat_admin_session_patch(coat_http_request *req)
{
    coat_ask *ask = coat_ask_of(req);

    if (!coat_ask_handle(ask, &ask->call.handle))
        return;
    ask->data = json_dumps(ask->body, JSON_COMPACT);
    if (ask->data == NULL) {
        coat_ask_error(ask, 400, "bad_json");
        return;
    }
    ask->call.has_handle = true;
    ask->call.data = coat_span_of(ask->data);
    coat_ask_call(ask, COAT_CALL_PATCH, shown);
}

static void
ended(coat_call *call)
{
    coat_ask_ended(call->ctx);
}

void
coat_admin_session_end(coat_http_request *req)
{
    coat_ask *ask = coat_ask_of(req);

    if (!coat_ask_handle(ask, &ask->call.handle))
        return;
    ask->call.has_handle = true;
    coat_ask_call(ask, COAT_CALL_END, ended);
}

/* Of the id as given, for applications that make sessions of their own, and of the account. */
static void
exact_ended(coat_call *call)
{
    coat_ask *ask = call->ctx;
    coat_span given = ask->req->captures[0], name = coat_ask_name(ask, given);
    bool spare = call->has_handle;

    if (coat_span_is(given, name) || !(coat_ask_has_ended(ask) || call->pending)) {
        ended(call);
        return;
    }
    ask->pending = call->pending;
    memset(call, 0, sizeof *call);
    call->user = name;
    call->has_handle = spare;
    call->handle = ask->handle;
    coat_ask_call(ask, COAT_CALL_END_USER, ended);
}

void
coat_admin_user_end(coat_http_request *req)
{
    coat_ask *ask = coat_ask_of(req);
    coat_span spare;

    if (!coat_ask_text(ask, "spare", &spare) ||
        (spare.len > 0 && coat_handle_decode(spare, &ask->handle) != COAT_OK)) {
        coat_ask_error(ask, 400, "invalid_fields");
        return;
    }
    ask->call.has_handle = spare.len > 0;
    ask->call.handle = ask->handle;
    ask->call.user = req->captures[0];
    coat_ask_call(ask, COAT_CALL_END_USER, exact_ended);
}

void
coat_admin_end_all(coat_http_request *req)
{
    coat_ask_call(coat_ask_of(req), COAT_CALL_END_ALL, ended);
}

static void
add_session(coat_call *call, const coat_session *session)
{
    coat_ask *ask = call->ctx;

    coat_ask_add(ask, coat_ask_session(ask, session), coat_session_handle(session));
}

static void
listed(coat_call *call)
{
    coat_ask *ask = call->ctx;

    if (call->result == COAT_OK)
        coat_ask_list(ask, "sessions", call->more);
    else
        coat_ask_fail(ask, call->result);
}

static void
list(coat_ask *ask, coat_call_op op)
{
    coat_call *call = &ask->call;

    if (!coat_ask_page(ask, &call->limit, &call->has_cursor, &call->cursor))
        return;
    call->item = add_session;
    coat_ask_call(ask, op, listed);
}

void
coat_admin_sessions(coat_http_request *req)
{
    list(coat_ask_of(req), COAT_CALL_SCAN);
}

void
coat_admin_user_sessions(coat_http_request *req)
{
    coat_ask *ask = coat_ask_of(req);

    ask->call.user = req->captures[0];
    list(ask, COAT_CALL_LIST);
}
