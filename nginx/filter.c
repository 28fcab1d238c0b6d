/* SPDX-License-Identifier: Apache-2.0 */
/* Fields of every response: a rotated cookie, CORS, Vary. Here, so that no application, cache
 * or error page in between can lose them. */
#include "module.h"

#include "core/bytes.h"
#include "core/chars.h"

static ngx_http_output_header_filter_pt next_filter;

/* CK-8: what sets a session's cookie is for nobody else. */
static ngx_int_t
no_store(ngx_http_request_t *r)
{
    ngx_list_part_t *part = &r->headers_out.headers.part;
    ngx_table_elt_t *h = part->elts;

    for (ngx_uint_t i = 0;; i++) {
        if (i >= part->nelts) {
            if (part->next == NULL)
                break;
            part = part->next;
            h = part->elts;
            i = 0;
        }
        if (h[i].hash != 0 &&
            (coat_span_is_nocase(coat_ngx_span(h[i].key), COAT_LIT("Cache-Control")) ||
             coat_span_is_nocase(coat_ngx_span(h[i].key), COAT_LIT("Expires"))))
            h[i].hash = 0;
    }
    return coat_ngx_out(r, "Cache-Control", COAT_NGX_STR("no-store"));
}

static ngx_int_t
cookies(ngx_http_request_t *r, coat_ngx_ctx *ctx)
{
    for (ngx_uint_t i = 0; i < ctx->set_cookie_count; i++)
        if (coat_ngx_out(r, "Set-Cookie", ctx->set_cookie[i]) != NGX_OK)
            return NGX_ERROR;
    return ctx->set_cookie_count > 0 ? no_store(r) : NGX_OK;
}

/* A WebSocket or an event stream of somebody's. */
static bool
ends_with_session(const ngx_http_request_t *r, const coat_ngx_loc *lcf, const coat_ngx_ctx *ctx)
{
    coat_span type = coat_ngx_span(r->headers_out.content_type);

    if (!lcf->watch || !ctx->decided || ctx->values[COAT_NGX_SESSION].len == 0)
        return false;
    return r->headers_out.status == NGX_HTTP_SWITCHING_PROTOCOLS ||
           coat_span_is_nocase(coat_ngx_cut(type, 17), COAT_LIT("text/event-stream"));
}

static ngx_int_t
filter(ngx_http_request_t *r)
{
    const coat_ngx_loc *lcf;
    coat_ngx_ctx *ctx;

    if (r != r->main || (ctx = coat_ngx_ctx_of(r)) == NULL)
        return next_filter(r);
    lcf = ngx_http_get_module_loc_conf(r, ngx_http_coatcheck_module);
    if (lcf->cors->count > 0 || ctx->vary_origin) {
        if (coat_ngx_cors_fields(r, lcf, ctx) != NGX_OK ||
            coat_ngx_out(r, "Vary", COAT_NGX_STR("Origin")) != NGX_OK)
            return NGX_ERROR;
    }
    if (ctx->vary_site && coat_ngx_out(r, "Vary", COAT_NGX_STR("Sec-Fetch-Site")) != NGX_OK)
        return NGX_ERROR;
    if (ctx->set_cookie_count > 0 && cookies(r, ctx) != NGX_OK)
        return NGX_ERROR;
    if (ends_with_session(r, lcf, ctx) && coat_ngx_watch(r, lcf, ctx) != NGX_OK)
        return NGX_ERROR;
    return next_filter(r);
}

void
coat_ngx_filter_install(void)
{
    next_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = filter;
}
