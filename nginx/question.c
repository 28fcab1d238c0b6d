/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text of a question. Of the client's fields it holds what the daemon decides by, and of
 * its cookies only ours: so its length is bounded, and nothing of the client's can end a line
 * (nginx has refused CR, LF and NUL).
 */
#include "module.h"

#include "core/bytes.h"
#include "core/chars.h"

/** A question being written; what does not fit is noticed at the end. */
typedef struct writing {
    u_char *p, *last;
    bool over;
} writing;

static void
put(writing *w, coat_span text)
{
    if (text.len > (size_t)(w->last - w->p)) {
        w->over = true;
        return;
    }
    w->p = ngx_cpymem(w->p, text.ptr, text.len);
}

static void
put_str(writing *w, const char *text)
{
    put(w, coat_span_of(text));
}

/* The daemon refuses questions with control bytes in them; a client that sends such things gets
 * the answer that it would get without. */
static bool
is_plain(coat_span value)
{
    for (size_t i = 0; i < value.len; i++)
        if ((value.ptr[i] < 0x20 && value.ptr[i] != '\t') || value.ptr[i] == 0x7f)
            return false;
    return value.len > 0;
}

/* A field of the question: left out if it is empty, odd or absurdly long. */
static void
put_field(writing *w, const char *name, coat_span value, size_t most)
{
    if (!is_plain(value) || value.len > most)
        return;
    put_str(w, name);
    put_str(w, ": ");
    put(w, value);
    put_str(w, CRLF);
}

enum {
    URI_MAX = 8192,  /* longer ones do not lead back after a sign-in */
    VALUE_MAX = 256, /* longer values are no tokens */
    COOKIES_MAX = (COAT_COOKIE_CANDIDATES + 1) * (COAT_COOKIE_NAME_MAX + VALUE_MAX + 16),
};

/* Browsers send everything but visible ASCII encoded; for others we do it. */
static void
put_target(writing *w, coat_span uri)
{
    static const char hex[] = "0123456789ABCDEF";
    u_char *start = w->p, *value;

    if (uri.len == 0 || uri.ptr[0] != '/')
        return;
    put_str(w, "X-Forwarded-Uri: ");
    value = w->p;
    for (size_t i = 0; i < uri.len; i++) {
        const uint8_t c = uri.ptr[i];
        const uint8_t code[3] = {'%', (uint8_t)hex[c >> 4], (uint8_t)hex[c & 15]};

        put(w, coat_char_is_visible(c) ? (coat_span){&c, 1} : (coat_span){code, 3});
    }
    put_str(w, CRLF);
    if (w->p - value > URI_MAX)
        w->p = start;
}

/* What the daemon takes for a host; with another one a sign-in cannot lead back. */
static bool
is_host(coat_span host)
{
    for (size_t i = 0; i < host.len; i++)
        if (!coat_char_is_alnum(host.ptr[i]) && strchr("-._:[]", host.ptr[i]) == NULL)
            return false;
    return host.len > 0;
}

static ngx_int_t
put_origin(ngx_http_request_t *r, const coat_ngx_loc *lcf, writing *w)
{
    const ngx_connection_t *c = r->connection;
    ngx_str_t proto;

    if (ngx_http_complex_value(r, lcf->proto, &proto) != NGX_OK)
        return NGX_ERROR;
    put_field(w, "X-Forwarded-Method", coat_ngx_span(r->method_name), 32);
    put_target(w, coat_ngx_span(r->unparsed_uri));
    if (r->headers_in.host != NULL && is_host(coat_ngx_span(r->headers_in.host->value)))
        put_field(w, "X-Forwarded-Host", coat_ngx_span(r->headers_in.host->value), 512);
    put_field(w, "X-Forwarded-Proto", coat_ngx_span(proto), 16);
    if (c->sockaddr->sa_family == AF_INET || c->sockaddr->sa_family == AF_INET6)
        put_field(w, "X-Forwarded-For", coat_ngx_span(c->addr_text), 64);
    return NGX_OK;
}

/* Ambiguous stays ambiguous: more values than the daemon would look at. */
static void
put_cookies(writing *w, const coat_ngx_loc *lcf, const coat_cookie_found *found)
{
    uint32_t count = found->count;

    if (found->ambiguous)
        count = COAT_COOKIE_CANDIDATES + 1;
    for (uint32_t i = 0; i < count; i++) {
        put_str(w, i == 0 ? "Cookie: " : "; ");
        put_str(w, lcf->cookie->name);
        put_str(w, "=");
        if (found->ambiguous)
            put_str(w, "ambiguous");
        else if (found->value[i].len > VALUE_MAX || !is_plain(found->value[i]))
            put_str(w, "malformed");
        else
            put(w, found->value[i]);
    }
    if (count > 0)
        put_str(w, CRLF);
}

static ngx_int_t
finish(writing *w, u_char *start, ngx_str_t *out)
{
    put_str(w, CRLF);
    *out = (ngx_str_t){.len = (size_t)(w->p - start), .data = start};
    return w->over ? NGX_ERROR : NGX_OK;
}

ngx_int_t
coat_ngx_question_verify(ngx_http_request_t *r, const coat_ngx_loc *lcf, coat_ngx_ctx *ctx,
                         ngx_str_t *out)
{
    size_t room = lcf->question.len + 3 * r->unparsed_uri.len + 4 * (size_t)COAT_NGX_FACT_MAX;
    const coat_site_facts *facts = &ctx->facts;
    writing w;
    u_char *start;

    room += COOKIES_MAX + r->method_name.len + COAT_AGENT_MAX + 2048;
    start = ngx_pnalloc(r->pool, room);
    if (start == NULL)
        return NGX_ERROR;
    w = (writing){.p = start, .last = start + room};
    put(&w, coat_ngx_span(lcf->question));
    if (put_origin(r, lcf, &w) != NGX_OK)
        return NGX_ERROR;
    put_field(&w, "User-Agent", coat_ngx_cut(ctx->agent, COAT_AGENT_MAX), COAT_AGENT_MAX);
    put_field(&w, "Accept", facts->accept, COAT_NGX_FACT_MAX);
    put_field(&w, "Accept-Language", ctx->language, COAT_NGX_FACT_MAX);
    put_field(&w, "Sec-Fetch-Site", facts->fetch_site, 64);
    put_field(&w, "Sec-Fetch-Mode", facts->fetch_mode, 64);
    put_field(&w, "Sec-Fetch-Dest", facts->fetch_dest, 64);
    put_cookies(&w, lcf, &ctx->found);
    return finish(&w, start, out);
}

ngx_int_t
coat_ngx_question_refused(ngx_http_request_t *r, const coat_ngx_loc *lcf, coat_ngx_ctx *ctx,
                          ngx_str_t *out)
{
    size_t room = lcf->base_path.len + 3 * r->unparsed_uri.len + r->method_name.len + 2048;
    u_char *start = ngx_pnalloc(r->pool, room);
    writing w = {.p = start, .last = start + room};

    if (start == NULL)
        return NGX_ERROR;
    put_str(&w, "GET ");
    put(&w, coat_ngx_span(lcf->base_path));
    put_str(&w, "/refused?why=");
    put_str(&w, ctx->refused);
    put_str(&w, " HTTP/1.1" CRLF "Host: coatcheck" CRLF);
    if (put_origin(r, lcf, &w) != NGX_OK)
        return NGX_ERROR;
    return finish(&w, start, out);
}

ngx_int_t
coat_ngx_question_live(ngx_http_request_t *r, const coat_ngx_loc *lcf, coat_ngx_ctx *ctx,
                       ngx_str_t *out)
{
    size_t room =
        lcf->base_path.len + 3 * r->unparsed_uri.len + r->method_name.len + 2048 + COOKIES_MAX;
    u_char *start = ngx_pnalloc(r->pool, room);
    writing w = {.p = start, .last = start + room};

    if (start == NULL)
        return NGX_ERROR;
    put_str(&w, "GET ");
    put(&w, coat_ngx_span(lcf->base_path));
    put_str(&w, "/live HTTP/1.1" CRLF "Host: coatcheck" CRLF);
    if (put_origin(r, lcf, &w) != NGX_OK)
        return NGX_ERROR;
    put_cookies(&w, lcf, &ctx->found);
    return finish(&w, start, out);
}
