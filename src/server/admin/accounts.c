/* SPDX-License-Identifier: Apache-2.0 */
/* Accounts. What ends a person's access also ends their sessions (LC-11). */
#include "server/admin/handlers.h"
#include "server/app/words.h"

static json_t *
account_json(const coat_account *a)
{
    return json_pack("{s:s%,s:o,s:b,s:b,s:s%,s:I,s:I,s:I,s:I}", "name", a->name.ptr,
                     a->name.len, "roles", coat_words_json(a->roles), "disabled",
                     (int)a->disabled, "has_password", (int)a->has_password, "hash",
                     a->hash_kind.len > 0 ? (const char *)a->hash_kind.ptr : "",
                     a->hash_kind.len, "created_ms", (json_int_t)a->created_ms, "changed_ms",
                     (json_int_t)a->changed_ms, "password_ms", (json_int_t)a->password_ms,
                     "last_login_ms", (json_int_t)a->last_login_ms);
}

static void
add_account(coat_account_call *call, const coat_account *account)
{
    coat_ask *ask = call->ctx;

    coat_ask_add(ask, account_json(account), &call->next);
}

static void
listed(coat_account_call *call)
{
    coat_ask *ask = call->ctx;

    if (call->result != COAT_OK) {
        coat_ask_fail(ask, call->result);
        return;
    }
    if (!ask->list_cut) /* behind what cannot be read as well */
        ask->last = call->next;
    coat_ask_list(ask, "accounts", call->more);
}

void
coat_admin_accounts(coat_http_request *req)
{
    coat_ask *ask = coat_ask_of(req);
    coat_account_call *call = &ask->account;

    if (!coat_ask_page(ask, &call->limit, &call->has_cursor, &call->cursor))
        return;
    call->item = add_account;
    coat_ask_account(ask, COAT_ACCOUNT_LIST, listed);
}

static void
keep_account(coat_account_call *call, const coat_account *account)
{
    coat_ask *ask = call->ctx;

    json_decref(ask->list);
    ask->list = account_json(account);
}

static void
shown(coat_account_call *call)
{
    coat_ask *ask = call->ctx;
    json_t *json = ask->list;

    if (call->result != COAT_OK) {
        coat_ask_fail(ask, call->result);
        return;
    }
    ask->list = NULL;
    coat_ask_json(ask, 200, json);
}

void
coat_admin_account_show(coat_http_request *req)
{
    coat_ask *ask = coat_ask_of(req);

    ask->account.name = req->captures[0];
    ask->account.item = keep_account;
    coat_ask_account(ask, COAT_ACCOUNT_SHOW, shown);
}

/* A refused password says why (LG-4). */
static void
fail(coat_ask *ask, coat_err err)
{
    char code[40];

    if (err == COAT_INVALID && ask->account.fault != COAT_PASSWORD_FINE) {
        (void)snprintf(code, sizeof code, "password_%s",
                       coat_password_fault_name(ask->account.fault));
        coat_ask_error(ask, 422, code);
    } else {
        coat_ask_fail(ask, err);
    }
}

static void
done(coat_account_call *call)
{
    if (call->result == COAT_OK)
        coat_ask_done(call->ctx);
    else
        fail(call->ctx, call->result);
}

static void
sessions_ended(coat_call *call)
{
    coat_ask_ended(call->ctx);
}

static void
done_then_end_sessions(coat_account_call *call)
{
    coat_ask *ask = call->ctx;

    if (call->result != COAT_OK) {
        fail(ask, call->result);
        return;
    }
    ask->call.user = coat_ask_name(ask, ask->req->captures[0]);
    coat_ask_call(ask, COAT_CALL_END_USER, sessions_ended);
}

static void
added(coat_account_call *call)
{
    coat_ask *ask = call->ctx;

    if (call->result == COAT_OK)
        coat_ask_json(
            ask, 201,
            json_pack("{s:s%}", "name", ask->account.name.ptr, ask->account.name.len));
    else
        fail(ask, call->result);
}

static bool
take_secret(coat_ask *ask)
{
    if (coat_ask_text(ask, "password", &ask->account.password) &&
        coat_ask_text(ask, "hash", &ask->account.hash) &&
        (ask->account.password.len > 0) != (ask->account.hash.len > 0))
        return true;
    coat_ask_error(ask, 400, "password_or_hash_required");
    return false;
}

void
coat_admin_account_add(coat_http_request *req)
{
    coat_ask *ask = coat_ask_of(req);
    bool given;

    if (!coat_ask_text(ask, "name", &ask->account.name) || ask->account.name.len == 0 ||
        !coat_ask_words(ask, "roles", ask->roles, sizeof ask->roles - 1, &ask->account.roles,
                        &given)) {
        coat_ask_error(ask, 400, "invalid_fields");
        return;
    }
    if (take_secret(ask))
        coat_ask_account(ask, COAT_ACCOUNT_ADD, added);
}

void
coat_admin_account_password(coat_http_request *req)
{
    coat_ask *ask = coat_ask_of(req);
    bool keep = json_is_true(json_object_get(ask->body, "keep_sessions"));

    if (!take_secret(ask))
        return;
    ask->account.name = req->captures[0];
    coat_ask_account(ask, COAT_ACCOUNT_SET_PASSWORD, keep ? done : done_then_end_sessions);
}

/* A session carries the roles of its sign-in: to change them is to end it (LC-1). */
void
coat_admin_account_roles(coat_http_request *req)
{
    coat_ask *ask = coat_ask_of(req);
    bool given;

    if (!coat_ask_words(ask, "roles", ask->roles, sizeof ask->roles - 1, &ask->account.roles,
                        &given) ||
        !given) {
        coat_ask_error(ask, 400, "invalid_fields");
        return;
    }
    ask->account.name = req->captures[0];
    coat_ask_account(ask, COAT_ACCOUNT_SET_ROLES, done_then_end_sessions);
}

void
coat_admin_account_disable(coat_http_request *req)
{
    coat_ask *ask = coat_ask_of(req);

    ask->account.name = req->captures[0];
    coat_ask_account(ask, COAT_ACCOUNT_DISABLE, done_then_end_sessions);
}

void
coat_admin_account_enable(coat_http_request *req)
{
    coat_ask *ask = coat_ask_of(req);

    ask->account.name = req->captures[0];
    coat_ask_account(ask, COAT_ACCOUNT_ENABLE, done);
}

void
coat_admin_account_delete(coat_http_request *req)
{
    coat_ask *ask = coat_ask_of(req);

    ask->account.name = req->captures[0];
    coat_ask_account(ask, COAT_ACCOUNT_DELETE, done_then_end_sessions);
}
