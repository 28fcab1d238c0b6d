/* SPDX-License-Identifier: Apache-2.0 */
#include "server/admin/ask.h"

#include "core/out.h"
#include "server/app/words.h"

#include <sodium.h>
#include <stdlib.h>

void
coat_ask_call(coat_ask *ask, coat_call_op op, void (*done)(coat_call *call))
{
    ask->call.op = op;
    ask->call.done = done;
    ask->call.ctx = ask;
    coat_call_start(ask->at->desk, &ask->call);
}

void
coat_ask_account(coat_ask *ask, coat_account_op op, void (*done)(coat_account_call *call))
{
    ask->account.op = op;
    ask->account.done = done;
    ask->account.ctx = ask;
    coat_account_start(ask->at->clerk, &ask->account);
}

static void
let_go(coat_ask *ask)
{
    if (ask->data != NULL) {
        sodium_memzero(ask->data, strlen(ask->data));
        free(ask->data);
        ask->data = NULL;
    }
    coat_session_free(ask->call.session);
    ask->call.session = NULL;
    ask->req->user = NULL;
}

void
coat_ask_json(coat_ask *ask, unsigned status, json_t *json)
{
    coat_http_request *req = ask->req;
    char *text = json != NULL ? json_dumps(json, JSON_COMPACT) : NULL;

    json_decref(json);
    let_go(ask);
    if (text == NULL) {
        coat_http_error(req, 500, "internal");
        return;
    }
    coat_http_send(coat_http_reply(req, status), COAT_HTTP_JSON, coat_span_of(text));
    sodium_memzero(text, strlen(text)); /* it may hold a Set-Cookie line */
    free(text);
}

void
coat_ask_done(coat_ask *ask)
{
    coat_http_request *req = ask->req;

    let_go(ask);
    coat_http_send(coat_http_reply(req, 204), COAT_HTTP_EMPTY, (coat_span){NULL, 0});
}

void
coat_ask_error(coat_ask *ask, unsigned status, const char *code)
{
    coat_http_request *req = ask->req;

    json_decref(ask->list);
    ask->list = NULL;
    let_go(ask);
    coat_http_error(req, status, code);
}

static const struct {
    coat_err err;
    unsigned status;
    const char *code;
} failures[] = {
    {COAT_NO_SESSION, 404, "no_such_session"},
    {COAT_NOT_FOUND, 404, "not_found"},
    {COAT_EXISTS, 409, "exists"},
    {COAT_CONFLICT, 409, "conflict"},
    {COAT_REVOKED, 409, "revoked_meanwhile"},
    {COAT_TOO_MANY, 409, "too_many_sessions"},
    {COAT_STEP_UP, 403, "step_up_required"},
    {COAT_DENIED, 403, "refused"},
    {COAT_TOO_LARGE, 413, "too_large"},
    {COAT_MALFORMED, 400, "malformed"},
    {COAT_INVALID, 400, "invalid"},
    {COAT_AUDIT_DOWN, 503, "audit_not_writable"},
    {COAT_STORE_FULL, 503, "store_full"},
    {COAT_BUSY, 503, "busy"},
    {COAT_CLOCK_OFF, 503, "clock_off"},
    {COAT_UNSUPPORTED, 501, "not_supported_by_store"},
};

void
coat_ask_fail(coat_ask *ask, coat_err err)
{
    for (size_t i = 0; i < sizeof failures / sizeof failures[0]; i++)
        if (failures[i].err == err) {
            coat_ask_error(ask, failures[i].status, failures[i].code);
            return;
        }
    coat_ask_error(ask, 503, "unavailable");
}

bool
coat_ask_has_ended(const coat_ask *ask)
{
    return ask->call.result == COAT_OK || ask->call.result == COAT_NO_SESSION;
}

void
coat_ask_ended(coat_ask *ask)
{
    bool ended = coat_ask_has_ended(ask);

    if (ask->call.pending || (ended && ask->pending))
        coat_ask_error(ask, 503, "end_pending");
    else if (ended)
        coat_ask_done(ask);
    else
        coat_ask_fail(ask, ask->call.result);
}

bool
coat_ask_text(const coat_ask *ask, const char *name, coat_span *out)
{
    json_t *value = json_object_get(ask->body, name);

    *out = (coat_span){NULL, 0};
    if (value == NULL || json_is_null(value))
        return true;
    if (!json_is_string(value))
        return false;
    *out = (coat_span){(const uint8_t *)json_string_value(value), json_string_length(value)};
    return true;
}

bool
coat_ask_words(const coat_ask *ask, const char *name, char *buf, size_t cap, coat_span *out,
               bool *given)
{
    json_t *list = json_object_get(ask->body, name), *word;
    coat_out text = coat_out_init(buf, cap);
    size_t i;

    *given = list != NULL;
    *out = (coat_span){(const uint8_t *)buf, 0};
    if (list == NULL)
        return true;
    if (!json_is_array(list))
        return false;
    json_array_foreach(list, i, word)
    {
        const char *s = json_string_value(word);

        if (s == NULL || *s == '\0' || strlen(s) != json_string_length(word) ||
            strpbrk(s, " \t\r\n") != NULL)
            return false;
        if (i > 0)
            coat_out_char(&text, ' ');
        coat_out_str(&text, s);
    }
    out->len = text.len;
    return !text.over;
}

coat_span
coat_ask_name(coat_ask *ask, coat_span text)
{
    return coat_name_read(text, &ask->name) == COAT_OK ? coat_name_span(&ask->name) : text;
}

bool
coat_ask_handle(coat_ask *ask, coat_handle *out)
{
    if (coat_handle_decode(ask->req->captures[0], out) == COAT_OK)
        return true;
    coat_ask_error(ask, 404, "no_such_session");
    return false;
}

bool
coat_ask_page(coat_ask *ask, uint32_t *limit, bool *has_cursor, coat_handle *cursor)
{
    const coat_params *params = NULL;
    coat_span value;
    int64_t number = 100;
    bool fine = true;

    *has_cursor = false;
    if (ask->req->has_query) {
        fine = coat_http_query(ask->req, &params) == COAT_OK;
        if (fine && coat_params_get(params, "limit", &value))
            fine = coat_integer_parse(value, &number) == COAT_OK && number >= 1 &&
                   number <= COAT_ASK_PAGE_MAX;
        if (fine && coat_params_get(params, "after", &value)) {
            fine = coat_handle_decode(value, cursor) == COAT_OK;
            *has_cursor = true;
        }
    }
    if (!fine) {
        coat_ask_error(ask, 400, "bad_parameters");
        return false;
    }
    *limit = number < COAT_ASK_PAGE_GIVEN ? (uint32_t)number : COAT_ASK_PAGE_GIVEN;
    ask->list = json_array();
    return true;
}

void
coat_ask_add(coat_ask *ask, json_t *item, const coat_handle *cursor)
{
    char *text = item != NULL ? json_dumps(item, JSON_COMPACT) : NULL;
    size_t bytes = text != NULL ? strlen(text) + 1 : 0;

    free(text);
    if (ask->list_cut || bytes == 0 || bytes > COAT_ASK_LIST_BYTES - ask->list_bytes) {
        ask->list_cut = true;
        json_decref(item);
        return;
    }
    ask->list_bytes += bytes;
    ask->last = *cursor;
    (void)json_array_append_new(ask->list, item);
}

void
coat_ask_list(coat_ask *ask, const char *name, bool more)
{
    char next[COAT_HANDLE_CHARS];
    json_t *list = ask->list;

    ask->list = NULL;
    coat_handle_encode(&ask->last, next);
    if (more || ask->list_cut)
        coat_ask_json(ask, 200,
                      json_pack("{s:o,s:s#}", name, list, "next", next, (int)sizeof next));
    else
        coat_ask_json(ask, 200, json_pack("{s:o,s:n}", name, list, "next"));
}

/* Bytes from clients may be no UTF-8; they are shown, not kept. */
static json_t *
text_or_null(coat_span text)
{
    json_t *json = text.len > 0 ? json_stringn((const char *)text.ptr, text.len) : NULL;

    return json != NULL ? json : json_null();
}

json_t *
coat_ask_session(const coat_ask *ask, const coat_session *session)
{
    const coat_record *r = coat_session_record(session);
    char handle[COAT_HANDLE_CHARS];
    json_t *data = r->data.len > 0 ? json_loadb((const char *)r->data.ptr, r->data.len,
                                                JSON_ALLOW_NUL, NULL)
                                   : NULL;

    (void)ask;
    coat_handle_encode(coat_session_handle(session), handle);
    return json_pack("{s:s#,s:o,s:o,s:o,s:b,s:I,s:I,s:I,s:I,s:o,s:s,s:o,s:o,s:o}", "handle",
                     handle, (int)sizeof handle, "user", text_or_null(r->user), "roles",
                     coat_words_json(r->roles), "methods", coat_words_json(r->methods),
                     "remember", (r->flags & COAT_RECORD_REMEMBER) != 0, "created_ms",
                     (json_int_t)r->created_ms, "authenticated_ms", (json_int_t)r->auth_ms,
                     "seen_ms", (json_int_t)coat_session_seen_ms(session), "ends_ms",
                     (json_int_t)coat_session_ends_ms(session), "address",
                     text_or_null(r->last.address), "agent", coat_agent_family(r->last.agent),
                     "user_agent", text_or_null(r->last.agent), "language",
                     text_or_null(r->last.language), "data",
                     data != NULL ? data : json_object());
}
