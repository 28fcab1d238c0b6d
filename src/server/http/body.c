/* SPDX-License-Identifier: Apache-2.0 */
#include "server/http/internal.h"

static coat_exchange *
exchange_of(coat_http_request *req)
{
    return (coat_exchange *)req;
}

void *
coat_http_alloc(coat_http_request *req, size_t size)
{
    coat_exchange *ex = exchange_of(req);
    void *ptr = ex->arena + ex->arena_used;

    if (size > COAT_HTTP_ARENA_MAX - ex->arena_used)
        return NULL;
    size = (size + 15) & ~(size_t)15; /* the arena's size is a multiple of 16 */
    ex->arena_used += size;
    return ptr;
}

coat_http_body_type
coat_http_body(const coat_http_request *req)
{
    return ((const coat_exchange *)req)->body_type;
}

static coat_err
parse_query(coat_exchange *ex)
{
    coat_params *params = coat_http_alloc(&ex->req, sizeof *params);
    uint8_t *buf = coat_http_alloc(&ex->req, ex->req.query.len);
    coat_err err;

    if (params == NULL || buf == NULL)
        return COAT_TOO_LARGE;
    err = coat_params_parse(ex->req.query, buf, ex->req.query.len, params);
    ex->query = params;
    return err;
}

coat_err
coat_http_query(coat_http_request *req, const coat_params **out)
{
    coat_exchange *ex = exchange_of(req);

    if (!ex->query_parsed) {
        ex->query_parsed = true;
        ex->query_err = parse_query(ex);
    }
    if (ex->query_err == COAT_OK)
        *out = ex->query;
    return ex->query_err;
}

static coat_err
parse_form(coat_exchange *ex)
{
    coat_params *params = coat_http_alloc(&ex->req, sizeof *params);
    /* The body lies in ex->bytes and gets no longer by being decoded. */
    size_t at = (size_t)(ex->req.body.ptr - ex->bytes);

    if (params == NULL)
        return COAT_TOO_LARGE;
    ex->form = params;
    return coat_params_parse(ex->req.body, ex->bytes + at, ex->req.body.len, params);
}

coat_err
coat_http_form(coat_http_request *req, const coat_params **out)
{
    coat_exchange *ex = exchange_of(req);

    if (ex->body_type != COAT_HTTP_BODY_FORM)
        return COAT_INVALID;
    if (!ex->body_parsed) {
        ex->body_parsed = true;
        ex->body_err = parse_form(ex);
    }
    if (ex->body_err == COAT_OK)
        *out = ex->form;
    return ex->body_err;
}

coat_err
coat_http_json(coat_http_request *req, struct json_t **out)
{
    coat_exchange *ex = exchange_of(req);

    if (ex->body_type != COAT_HTTP_BODY_JSON)
        return COAT_INVALID;
    if (!ex->body_parsed) {
        ex->body_parsed = true;
        ex->body_err = coat_json_parse(req->body, &ex->json);
    }
    if (ex->body_err == COAT_OK)
        *out = ex->json;
    return ex->body_err;
}
