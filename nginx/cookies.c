/* SPDX-License-Identifier: Apache-2.0 */
/* The client's Cookie lines: our cookies in them, and the lines as they go on without. */
#include "module.h"

#include "core/bytes.h"

void
coat_ngx_cookies_look(const coat_ngx_loc *lcf, coat_ngx_ctx *ctx)
{
    COAT_UNSET coat_span lines[COAT_NGX_COOKIE_LINES];

    for (ngx_uint_t i = 0; i < ctx->line_count; i++)
        lines[i] = coat_ngx_span(ctx->lines[i].original);
    coat_cookie_survey(lcf->cookie_names, COAT_NGX_COOKIES, lines, ctx->line_count, &ctx->found,
                       ctx->rests);
}

/* This is what goes on of the line; of an empty one nothing does. */
static ngx_int_t
show(ngx_http_request_t *r, coat_ngx_line *line, ngx_str_t value)
{
    line->known->value = value;
    if (line->listed == NULL)
        return NGX_OK;
    if (value.len > 0) {
        line->listed->value = value;
        return NGX_OK;
    }
    if (coat_ngx_unlist(r, line->listed) != NGX_OK)
        return NGX_ERROR;
    line->listed = NULL;
    return NGX_OK;
}

static ngx_int_t
hide_in(ngx_http_request_t *r, const coat_ngx_loc *lcf, coat_ngx_line *line,
        const coat_cookie_rest *rest)
{
    coat_span text = coat_ngx_span(line->original), piece = rest->piece;
    u_char *buf;
    size_t len;

    if (!rest->scattered && piece.len == text.len)
        return NGX_OK;
    /* Our cookie came first: the others are the end of what nginx has, with its NUL. */
    if (!rest->scattered && (piece.len == 0 || piece.ptr + piece.len == text.ptr + text.len))
        return show(r, line, coat_ngx_text(piece));
    /* Else a copy, so that whoever goes by the NUL does not come to ours. */
    buf = ngx_pnalloc(r->pool, text.len + 1);
    if (buf == NULL)
        return NGX_ERROR;
    len = piece.len;
    if (rest->scattered)
        len = coat_cookie_strip(text, lcf->cookie_names, COAT_NGX_COOKIES, (char *)buf);
    else
        ngx_memcpy(buf, piece.ptr, len);
    buf[len] = '\0';
    return show(r, line, (ngx_str_t){.len = len, .data = buf});
}

ngx_int_t
coat_ngx_cookies_hide(ngx_http_request_t *r, const coat_ngx_loc *lcf, coat_ngx_ctx *ctx)
{
    if (lcf->pass_cookie)
        return NGX_OK;
    for (ngx_uint_t i = 0; i < ctx->line_count; i++)
        if (hide_in(r, lcf, &ctx->lines[i], &ctx->rests[i]) != NGX_OK)
            return NGX_ERROR;
    return NGX_OK;
}

ngx_int_t
coat_ngx_cookies_restore(ngx_http_request_t *r, coat_ngx_ctx *ctx)
{
    for (ngx_uint_t i = 0; i < ctx->line_count; i++) {
        coat_ngx_line *line = &ctx->lines[i];

        line->known->value = line->original;
        if (line->listed == NULL) {
            line->listed = ngx_list_push(&r->headers_in.headers);
            if (line->listed == NULL)
                return NGX_ERROR;
            *line->listed = *line->known; /* with its links */
            coat_ngx_list_changed(r);
        }
        line->listed->value = line->original;
    }
    return NGX_OK;
}
