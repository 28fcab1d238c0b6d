/* SPDX-License-Identifier: Apache-2.0 */
/* Requests of other origins: CSRF and CORS, decided before any session is looked at. */
#include "module.h"

#include "core/bytes.h"
#include "core/chars.h"

static coat_cors_policy
cors_policy(const coat_ngx_loc *lcf)
{
    return (coat_cors_policy){
        .allowed = *lcf->cors,
        .methods = (const char *)lcf->cors_methods.data,
        .headers = (const char *)lcf->cors_headers.data,
        .exposed = (const char *)lcf->cors_exposed.data,
        .max_age_s = (int32_t)lcf->cors_max_age_s,
    };
}

/* The daemon puts it on record first; whatever it says, the answer is no. */
static ngx_int_t
refuse(ngx_http_request_t *r, const coat_ngx_loc *lcf, coat_ngx_ctx *ctx, const char *why)
{
    ctx->refused = why;
    ctx->verdict = "refused";
    ctx->source = "gate";
    ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                  "coatcheck: refused, the request comes from another origin (%s)", why);
    return coat_ngx_put(r, lcf, ctx);
}

static __attribute__((noinline)) ngx_int_t
cors(ngx_http_request_t *r, const coat_ngx_loc *lcf, coat_ngx_ctx *ctx)
{
    coat_cors_policy policy = cors_policy(lcf);

    coat_cors_decide(&policy, lcf->own, &ctx->facts, ctx->cors_method, ctx->cors_headers,
                     &ctx->cors);
    ctx->vary_origin |= ctx->cors.vary_origin;
    if (ctx->cors.verdict == COAT_CORS_REFUSED)
        return refuse(r, lcf, ctx, "cors");
    if (ctx->cors.verdict == COAT_CORS_PREFLIGHT)
        return coat_ngx_preflight(r, lcf, ctx);
    return NGX_OK;
}

/* The handshake of a WebSocket is a GET, and browsers ask nobody first: with the cookie that
 * they send along a foreign page would hold a connection of the visitor's. They name that page
 * in it (RFC 6455 4.1); what names none is a program. */
static bool
is_handshake(const ngx_http_request_t *r, const coat_site_facts *facts)
{
    return r->headers_in.upgrade != NULL && (facts->origin.ptr != NULL || facts->any_fetch);
}

/* An origin that CORS allows may do what CORS allows; all others must be our own. */
static __attribute__((noinline)) ngx_int_t
csrf(ngx_http_request_t *r, const coat_ngx_loc *lcf, coat_ngx_ctx *ctx)
{
    coat_site_policy policy = {.own = *lcf->own,
                               .allow_same_site = lcf->csrf == COAT_NGX_CSRF_SAME_SITE};
    bool handshake = is_handshake(r, &ctx->facts);
    coat_site_facts facts;

    if (ctx->cors.verdict == COAT_CORS_ACTUAL ||
        (coat_method_is_safe(ctx->facts.method) && !handshake))
        return NGX_OK;
    facts = ctx->facts;
    if (handshake)
        facts.method = COAT_LIT("CONNECT"); /* as over HTTP/2 (RFC 8441): not a safe one */
    ctx->vary_site = 1;
    if (coat_site_check(&facts, &policy) == COAT_OK)
        return NGX_OK;
    return refuse(r, lcf, ctx, "csrf");
}

ngx_int_t
coat_ngx_cross(ngx_http_request_t *r, const coat_ngx_loc *lcf, coat_ngx_ctx *ctx)
{
    ngx_int_t rc = NGX_OK;

    ctx->cors = (coat_cors_answer){.verdict = COAT_CORS_NONE};
    if (lcf->cors->count > 0)
        rc = cors(r, lcf, ctx);
    if (rc == NGX_OK && lcf->csrf != COAT_NGX_CSRF_OFF)
        rc = csrf(r, lcf, ctx);
    return rc;
}

/* What an application says about CORS by itself does not count where we decide (CO-1). */
static void
drop_theirs(ngx_http_request_t *r)
{
    ngx_list_part_t *part = &r->headers_out.headers.part;
    ngx_table_elt_t *h = part->elts;

    for (ngx_uint_t i = 0;; i++) {
        if (i >= part->nelts) {
            if (part->next == NULL)
                return;
            part = part->next;
            h = part->elts;
            i = 0;
        }
        if (h[i].hash != 0 && h[i].key.len > 15 &&
            coat_span_is_nocase((coat_span){h[i].key.data, 15}, COAT_LIT("access-control-")))
            h[i].hash = 0;
    }
}

ngx_int_t
coat_ngx_cors_fields(ngx_http_request_t *r, const coat_ngx_loc *lcf, coat_ngx_ctx *ctx)
{
    bool preflight = ctx->cors.verdict == COAT_CORS_PREFLIGHT;

    if (!preflight)
        drop_theirs(r);
    if (ctx->cors.verdict != COAT_CORS_ACTUAL && !preflight)
        return NGX_OK;
    if (coat_ngx_out(r, "Access-Control-Allow-Origin",
                     coat_ngx_text(coat_span_of(ctx->cors.allow_origin))) != NGX_OK ||
        coat_ngx_out(r, "Access-Control-Allow-Credentials", COAT_NGX_STR("true")) != NGX_OK)
        return NGX_ERROR;
    if (!preflight && lcf->cors_exposed.len > 0)
        return coat_ngx_out(r, "Access-Control-Expose-Headers", lcf->cors_exposed);
    return NGX_OK;
}
