/* SPDX-License-Identifier: Apache-2.0 */
/* What the client is told when the request does not go on. */
#include "module.h"

#include "core/bytes.h"
#include "core/chars.h"

#include <stdlib.h>

ngx_int_t
coat_ngx_out(ngx_http_request_t *r, const char *name, ngx_str_t value)
{
    ngx_table_elt_t *h = ngx_list_push(&r->headers_out.headers);

    if (h == NULL)
        return NGX_ERROR;
    ngx_memzero(h, sizeof *h);
    h->hash = 1;
    h->key = coat_ngx_text(coat_span_of(name));
    h->value = value;
    return NGX_OK;
}

/* Where the operator has a page of their own for this status, it is shown; but not where
 * returning the status would leave the decision to others. */
static bool
has_error_page(ngx_http_request_t *r, ngx_uint_t status)
{
    const ngx_http_core_loc_conf_t *core =
        ngx_http_get_module_loc_conf(r, ngx_http_core_module);
    const ngx_http_err_page_t *page;

    if (core->error_pages == NULL || r->error_page || core->satisfy == NGX_HTTP_SATISFY_ANY)
        return false;
    page = core->error_pages->elts;
    for (ngx_uint_t i = 0; i < core->error_pages->nelts; i++)
        if (page[i].status == (ngx_int_t)status)
            return true;
    return false;
}

/* `satisfy any`: somebody else may still let the request pass, so nothing is sent yet. */
static bool
others_may_allow(ngx_http_request_t *r)
{
    const ngx_http_core_loc_conf_t *core =
        ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    return core->satisfy == NGX_HTTP_SATISFY_ANY;
}

/* If they let it pass, then as a stranger. */
static ngx_int_t
leave_to_others(ngx_http_request_t *r, coat_ngx_ctx *ctx, ngx_uint_t status)
{
    const coat_ngx_loc *lcf = ngx_http_get_module_loc_conf(r, ngx_http_coatcheck_module);

    ctx->decided = 1;
    if (coat_ngx_cookies_hide(r, lcf, ctx) != NGX_OK)
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    return status == NGX_HTTP_FORBIDDEN ? NGX_HTTP_FORBIDDEN : NGX_HTTP_UNAUTHORIZED;
}

/** Send status, type and body; the fields are there already. */
static ngx_int_t
reply_with(ngx_http_request_t *r, ngx_uint_t status, ngx_str_t type, ngx_str_t body)
{
    const coat_ngx_loc *lcf = ngx_http_get_module_loc_conf(r, ngx_http_coatcheck_module);
    coat_ngx_ctx *ctx = coat_ngx_ctx_of(r);
    ngx_int_t rc = ngx_http_discard_request_body(r);
    ngx_chain_t out = {0};
    ngx_buf_t *buf;

    if (rc != NGX_OK)
        return rc;
    ctx->decided = 1;
    if (coat_ngx_cookies_hide(r, lcf, ctx) != NGX_OK) /* access logs show it, too (AU-1) */
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    r->headers_out.status = status;
    if (r->err_status != 0) /* within an error page, whose status would win */
        r->err_status = status;
    r->headers_out.content_length_n = (off_t)body.len;
    if (status == NGX_HTTP_NO_CONTENT)
        ngx_http_clear_content_length(r);
    r->headers_out.content_type = type;
    r->headers_out.content_type_len = type.len;
    if (type.len == 0)
        r->headers_out.content_type_lowcase = NULL;
    rc = ngx_http_send_header(r);
    if (rc != NGX_ERROR && rc <= NGX_OK && !r->header_only && body.len > 0) {
        buf = ngx_calloc_buf(r->pool);
        if (buf == NULL)
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        buf->pos = buf->start = body.data;
        buf->last = buf->end = body.data + body.len;
        buf->memory = 1;
        buf->last_buf = 1;
        buf->last_in_chain = 1;
        out.buf = buf;
        rc = ngx_http_output_filter(r, &out);
    } else if (rc == NGX_OK && !r->header_only) {
        rc = ngx_http_send_special(r, NGX_HTTP_LAST);
    }
    ngx_http_finalize_request(r, rc);
    return NGX_DONE;
}

/* ---- the daemon's answer, as it is ---- */

static bool
is_hop(coat_span name)
{
    static const char *const hops[] = {
        "Connection", "Keep-Alive",     "Proxy-Connection", "TE",     "Trailer",
        "Upgrade",    "Content-Length", "Content-Type",     "Server", "Date",
    };

    for (size_t i = 0; i < sizeof hops / sizeof hops[0]; i++)
        if (coat_span_is_nocase(name, coat_span_of(hops[i])))
            return true;
    return false;
}

ngx_int_t
coat_ngx_pass(ngx_http_request_t *r, const coat_reply *reply)
{
    coat_ngx_ctx *ctx = coat_ngx_ctx_of(r);

    if (others_may_allow(r) && reply->status != 503)
        return leave_to_others(r, ctx, reply->status);
    for (size_t i = 0; i < reply->field_count; i++) {
        ngx_table_elt_t *h;

        if (is_hop(reply->fields[i].name))
            continue;
        if (coat_span_is_nocase(reply->fields[i].name, COAT_LIT("Set-Cookie")))
            ctx->set_cookie_count = 0; /* a later word on the same cookie */
        h = ngx_list_push(&r->headers_out.headers);
        if (h == NULL)
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        ngx_memzero(h, sizeof *h);
        h->hash = 1;
        h->key = coat_ngx_text(reply->fields[i].name);
        h->value = coat_ngx_text(reply->fields[i].value);
    }
    return reply_with(r, reply->status, coat_ngx_text(coat_reply_field(reply, "Content-Type")),
                      coat_ngx_text(reply->body));
}

/* ---- answers of our own ---- */

#define HSTS "max-age=31536000; includeSubDomains"

/* FA-11, as the daemon has it. */
static ngx_int_t
safe_fields(ngx_http_request_t *r, coat_ngx_ctx *ctx)
{
    static const struct {
        const char *name, *value;
    } fields[] = {
        {"Cache-Control", "no-store"},
        {"X-Content-Type-Options", "nosniff"},
        {"Cross-Origin-Resource-Policy", "same-origin"},
        {"Referrer-Policy", "no-referrer"},
        {"Content-Security-Policy",
         "default-src 'none'; form-action 'none'; frame-ancestors 'none'; "
         "object-src 'none'; base-uri 'none'"},
    };

    const coat_ngx_loc *lcf = ngx_http_get_module_loc_conf(r, ngx_http_coatcheck_module);

    if (ctx->fields_set) /* by an answer for which there was an error page, and this is in it */
        return NGX_OK;
    ctx->fields_set = 1;
    if (lcf->proto != NULL && coat_ngx_by_tls(r, lcf) &&
        coat_ngx_out(r, "Strict-Transport-Security", COAT_NGX_STR(HSTS)) != NGX_OK)
        return NGX_ERROR;
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        if (coat_ngx_out(r, fields[i].name, coat_ngx_text(coat_span_of(fields[i].value))) !=
            NGX_OK)
            return NGX_ERROR;
    return NGX_OK;
}

/** @param id  of the daemon's event; may be empty */
static ngx_int_t
answer(ngx_http_request_t *r, ngx_uint_t status, const char *code, coat_span id)
{
    static const char page[] =
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">"
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"
        "<title>%s</title></head><body><main><h1>%s</h1><p>%s</p></main></body></html>\n";
    coat_ngx_ctx *ctx = coat_ngx_ctx_of(r);
    const bool down = status == NGX_HTTP_SERVICE_UNAVAILABLE;
    const char *title = down ? "Not available right now" : "Refused";
    const char *text =
        down ? "Whether you are signed in cannot be checked at the moment. You have "
               "not been signed out; please try again shortly."
             : "This request came from another site.";
    ngx_str_t body;

    if (down && !ctx->retry_set && coat_ngx_out(r, "Retry-After", COAT_NGX_STR("2")) != NGX_OK)
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    ctx->retry_set |= down;
    if (safe_fields(r, ctx) != NGX_OK)
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    if (has_error_page(r, status))
        return (ngx_int_t)status;
    body.data = ngx_pnalloc(r->pool, sizeof page + 400 + id.len);
    if (body.data == NULL)
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    coat_ngx_facts(r, ctx);
    if (coat_is_navigation(&ctx->facts)) {
        body.len = (size_t)(ngx_sprintf(body.data, page, title, title, text) - body.data);
        return reply_with(r, status, COAT_NGX_STR("text/html; charset=utf-8"), body);
    }
    body.len = (size_t)(ngx_sprintf(body.data,
                                    "{\"error\":{\"code\":\"%s\",\"message\":\"%s\"}%s%*s%s}\n",
                                    code, title, id.len > 0 ? ",\"request_id\":\"" : "", id.len,
                                    id.ptr, id.len > 0 ? "\"" : "") -
                        body.data);
    return reply_with(r, status, COAT_NGX_STR("application/json; charset=utf-8"), body);
}

ngx_int_t
coat_ngx_refuse(ngx_http_request_t *r)
{
    coat_ngx_ctx *ctx = coat_ngx_ctx_of(r);
    coat_span id = {NULL, 0};

    if (ctx->reply != NULL)
        id = coat_reply_field(ctx->reply, "X-Request-Id"); /* leads to the event */
    if (id.len > 64 || !coat_span_is_token(id))
        id = (coat_span){NULL, 0};
    if (id.len > 0 && !ctx->fields_set &&
        coat_ngx_out(r, "X-Request-Id", coat_ngx_text(id)) != NGX_OK)
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    return answer(r, NGX_HTTP_FORBIDDEN, "origin_refused", id);
}

ngx_int_t
coat_ngx_unavailable(ngx_http_request_t *r)
{
    return answer(r, NGX_HTTP_SERVICE_UNAVAILABLE, "unavailable", (coat_span){NULL, 0});
}

ngx_int_t
coat_ngx_preflight(ngx_http_request_t *r, const coat_ngx_loc *lcf, coat_ngx_ctx *ctx)
{
    ngx_str_t age = {.data = ngx_pnalloc(r->pool, NGX_INT64_LEN)};

    ctx->source = "gate";
    if (age.data == NULL || safe_fields(r, ctx) != NGX_OK)
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    age.len = (size_t)(ngx_sprintf(age.data, "%T", lcf->cors_max_age_s) - age.data);
    if (coat_ngx_out(r, "Access-Control-Allow-Methods", lcf->cors_methods) != NGX_OK ||
        coat_ngx_out(r, "Access-Control-Max-Age", age) != NGX_OK)
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    if (lcf->cors_headers.len > 0 &&
        coat_ngx_out(r, "Access-Control-Allow-Headers", lcf->cors_headers) != NGX_OK)
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    return reply_with(r, NGX_HTTP_NO_CONTENT, (ngx_str_t){0, NULL}, (ngx_str_t){0, NULL});
}
