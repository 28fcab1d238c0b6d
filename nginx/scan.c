/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client's header is walked once, before anything looks at it: facts are noted, and what
 * only we may say is taken out. Elements never move, because nginx keeps pointers to them: a
 * list part is cut in two around what is taken out.
 */
#include "module.h"

#include "core/bytes.h"
#include "core/chars.h"

/* ---- the context ---- */

static void
forget(void *data)
{
    coat_ngx_ctx *ctx = data;

    coat_ngx_ask_cancel(ctx->ask);
    ctx->ask = NULL;
    coat_ngx_unwatch(ctx);
}

coat_ngx_ctx *
coat_ngx_ctx_of(ngx_http_request_t *r)
{
    coat_ngx_ctx *ctx;

    if (r != r->main)
        r = r->main;
    ctx = ngx_http_get_module_ctx(r, ngx_http_coatcheck_module);
    if (ctx != NULL || (!r->internal && !r->filter_finalize))
        return ctx;
    /* An internal redirect has cleared the contexts; the pool remembers. */
    for (ngx_pool_cleanup_t *cln = r->pool->cleanup; cln != NULL; cln = cln->next)
        if (cln->handler == forget) {
            ctx = cln->data;
            ngx_http_set_ctx(r, ctx, ngx_http_coatcheck_module);
            return ctx;
        }
    return NULL;
}

static coat_ngx_ctx *
new_ctx(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t *cln = ngx_pool_cleanup_add(r->pool, sizeof(coat_ngx_ctx));
    coat_ngx_ctx *ctx;

    if (cln == NULL)
        return NULL;
    ctx = cln->data;
    ngx_memzero(ctx, offsetof(coat_ngx_ctx, lines));
    ctx->r = r;
    cln->handler = forget;
    ngx_http_set_ctx(r, ctx, ngx_http_coatcheck_module);
    return ctx;
}

/* ---- names ---- */

/* X_Auth_User and X.Auth.User are X-Auth-User to an application that reads CGI variables. */
static inline u_char
fold(u_char c)
{
    return coat_char_is_alnum(c) ? coat_ascii_lower(c) : '-';
}

static bool
is_listed(const coat_ngx_srv *scf, const ngx_table_elt_t *h)
{
    for (ngx_uint_t i = 0; i < scf->name_count; i++) {
        const coat_ngx_name *name = &scf->names[i];
        size_t at = 0;

        if (name->text.len != h->key.len)
            continue;
        while (at < h->key.len && fold(h->key.data[at]) == name->lower[at])
            at++;
        if (at == h->key.len)
            return true;
    }
    return false;
}

/* Nearly no field is. */
static inline bool
may_be(uint64_t kinds, const ngx_table_elt_t *h)
{
    return h->key.len > 0 && (kinds >> coat_ngx_kind(h->key.len, h->key.data[0]) & 1) != 0;
}

/* ---- lists ---- */

/** Where a walk through a list is. */
typedef struct walk {
    ngx_http_request_t *r;
    ngx_list_t *list;
    ngx_list_part_t *part, *before;
    ngx_uint_t at;
    bool cut;
} walk;

static walk
walk_begin(ngx_http_request_t *r)
{
    ngx_list_t *list = &r->headers_in.headers;

    return (walk){.r = r, .list = list, .part = &list->part};
}

static ngx_table_elt_t *
walk_here(walk *w)
{
    while (w->at >= w->part->nelts) {
        if (w->part->next == NULL)
            return NULL;
        w->before = w->part;
        w->part = w->part->next;
        w->at = 0;
    }
    return (ngx_table_elt_t *)w->part->elts + w->at;
}

/** The next element whose name is of one of these kinds. */
static inline ngx_table_elt_t *
walk_to(walk *w, uint64_t kinds)
{
    for (;;) {
        ngx_table_elt_t *all = w->part->elts, *h = all + w->at, *end = all + w->part->nelts;

        while (h < end && !may_be(kinds, h))
            h++;
        w->at = (ngx_uint_t)(h - all);
        if (h < end)
            return h;
        if (w->part->next == NULL)
            return NULL;
        w->before = w->part;
        w->part = w->part->next;
        w->at = 0;
    }
}

/**
 * Take out the element here; the walk then stands at the next one. nginx's own loops want no
 * empty part but the first, and ngx_list_push() must not trust the length of a part that was
 * cut.
 */
static ngx_int_t
walk_cut(walk *w)
{
    ngx_list_part_t *part = w->part, *tail;

    w->cut = true;
    if (w->at + 1 < part->nelts) {
        tail = ngx_palloc(w->list->pool, sizeof *tail);
        if (tail == NULL)
            return NGX_ERROR;
        tail->elts = (ngx_table_elt_t *)part->elts + w->at + 1;
        tail->nelts = part->nelts - w->at - 1;
        tail->next = part->next;
        part->next = tail;
        if (w->list->last == part)
            w->list->last = tail;
    }
    part->nelts = w->at;
    if (part->nelts == 0 && w->before != NULL) {
        w->before->next = part->next;
        if (w->list->last == part)
            w->list->last = w->before;
        w->part = w->before;
        w->at = w->before->nelts; /* the walk goes on behind it */
    }
    return NGX_OK;
}

/* From 1.23 on nginx links the fields of one name to each other, once, for FastCGI and the
 * like, and counts by the list what it meets along the links: after an internal redirect both
 * would not fit together any more. So it links them again. */
void
coat_ngx_list_changed(ngx_http_request_t *r)
{
#if nginx_version >= 1023000
    r->headers_in.multi_linked = 0;
#else
    (void)r;
#endif
}

/* The next push takes a new part: how much room is left in the last one is not known any more.
 */
static void
walk_end(walk *w)
{
    if (w->cut)
        coat_ngx_list_changed(w->r);
    if (w->cut && w->list->last->nelts > 0)
        w->list->nalloc = w->list->last->nelts;
}

/* ---- Connection ---- */

/* What a client lists there, a proxy or application behind us might take out: our fields
 * (FA-4). */
static void
tame_connection(ngx_table_elt_t *h)
{
    static const char *const kept[] = {"keep-alive", "close", "upgrade"};
    coat_span rest = coat_ngx_span(h->value), token;
    u_char *to = h->value.data;
    bool plain = true;

    if (rest.len == 10 && memcmp(rest.ptr, "keep-alive", 10) == 0) /* what browsers send */
        return;
    for (int pass = 0; pass < 2; pass++) {
        rest = coat_ngx_span(h->value);
        while (rest.len > 0) {
            size_t len = coat_span_find(rest, ',');
            bool keep = false;

            token = coat_span_trim(coat_span_slice(rest, 0, len));
            rest = coat_span_slice(rest, len < rest.len ? len + 1 : rest.len, rest.len);
            for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++)
                keep |= coat_span_is_nocase(token, coat_span_of(kept[i]));
            if (pass == 0) {
                plain &= keep;
                continue;
            }
            if (!keep)
                continue;
            if (to > h->value.data)
                *to++ = ','; /* never longer than what was there */
            ngx_memmove(to, token.ptr, token.len);
            to += token.len;
        }
        if (plain)
            return;
    }
    h->value.len = (size_t)(to - h->value.data);
}

/* ---- facts ---- */

/* The first of repeated fields counts, and that it was repeated is noted where it decides. */
static void
note(coat_ngx_ctx *ctx, coat_span *to, const ngx_table_elt_t *h, bool decides)
{
    if (to->ptr != NULL) {
        if (decides)
            ctx->facts.origin_repeated = true;
        return;
    }
    *to = coat_ngx_span(h->value);
}

static void
note_cookie(coat_ngx_ctx *ctx, ngx_table_elt_t *h)
{
    coat_ngx_line *line = &ctx->lines[ctx->line_count++];

    ctx->rests[ctx->line_count - 1] = (coat_cookie_rest){0}; /* till it is looked at: nothing */
    line->known = line->listed = h;
    line->original = h->value;
}

#define NAMED(h, name) (ngx_memcmp((h)->lowcase_key, name, sizeof(name) - 1) == 0)

static void
note_fetch(coat_ngx_ctx *ctx, const ngx_table_elt_t *h)
{
    if (!NAMED(h, "sec-fetch-"))
        return;
    ctx->facts.any_fetch = true;
    if (h->key.len != 14)
        return;
    if (NAMED(h, "sec-fetch-site"))
        note(ctx, &ctx->facts.fetch_site, h, true);
    else if (NAMED(h, "sec-fetch-mode"))
        note(ctx, &ctx->facts.fetch_mode, h, true);
    else if (NAMED(h, "sec-fetch-dest"))
        note(ctx, &ctx->facts.fetch_dest, h, true);
}

/* What only questions, CSRF and CORS need. */
static void
note_fact(coat_ngx_ctx *ctx, const ngx_table_elt_t *h)
{
    switch (h->key.len) {
    case 6:
        if (NAMED(h, "accept"))
            note(ctx, &ctx->facts.accept, h, false);
        else if (NAMED(h, "origin"))
            note(ctx, &ctx->facts.origin, h, true);
        return;
    case 7:
        if (NAMED(h, "referer"))
            note(ctx, &ctx->facts.referer, h, true);
        return;
    case 12:
        if (NAMED(h, "content-type"))
            note(ctx, &ctx->facts.content_type, h, false);
        return;
    case 29:
        if (NAMED(h, "access-control-request-method"))
            note(ctx, &ctx->cors_method, h, true);
        return;
    case 30:
        if (NAMED(h, "access-control-request-headers"))
            note(ctx, &ctx->cors_headers, h, true);
        return;
    }
    if (h->key.len > 10 && h->lowcase_key[0] == 's')
        note_fetch(ctx, h);
}

void
coat_ngx_facts(ngx_http_request_t *r, coat_ngx_ctx *ctx)
{
    walk w = walk_begin(r);
    ngx_table_elt_t *h;

    if (ctx->facts_noted)
        return;
    ctx->facts_noted = 1;
    for (; (h = walk_here(&w)) != NULL; w.at++)
        note_fact(ctx, h);
}

/* What each request needs. */
static inline uint64_t
noted(void)
{
    return (uint64_t)1 << coat_ngx_kind(6, 'c') | (uint64_t)1 << coat_ngx_kind(10, 'u') |
           (uint64_t)1 << coat_ngx_kind(10, 'c') | (uint64_t)1 << coat_ngx_kind(15, 'a');
}

/* @return false: a Cookie line more than can be looked after: nobody gets to see it */
static inline bool
note_field(coat_ngx_ctx *ctx, ngx_table_elt_t *h)
{
    switch (h->key.len) {
    case 6:
        if (!NAMED(h, "cookie"))
            return true;
        if (ctx->line_count < COAT_NGX_COOKIE_LINES)
            note_cookie(ctx, h);
        else
            ctx->too_many_lines = 1;
        return !ctx->too_many_lines;
    case 10:
        if (NAMED(h, "user-agent"))
            note(ctx, &ctx->agent, h, false);
        else if (NAMED(h, "connection"))
            tame_connection(h);
        return true;
    case 15:
        if (NAMED(h, "accept-language"))
            note(ctx, &ctx->language, h, false);
        return true;
    }
    return true;
}

/* ---- the walk ---- */

ngx_int_t
coat_ngx_strip(ngx_http_request_t *r, const coat_ngx_srv *scf)
{
    walk w = walk_begin(r);
    ngx_table_elt_t *h;

    while ((h = walk_to(&w, scf->kinds)) != NULL)
        if (!is_listed(scf, h))
            w.at++;
        else if (walk_cut(&w) != NGX_OK)
            return NGX_ERROR;
    walk_end(&w);
    return NGX_OK;
}

ngx_int_t
coat_ngx_post_read(ngx_http_request_t *r)
{
    const coat_ngx_srv *scf = ngx_http_get_module_srv_conf(r, ngx_http_coatcheck_module);
    uint64_t kinds = scf->kinds | noted();
    walk w = walk_begin(r);
    ngx_table_elt_t *h;
    coat_ngx_ctx *ctx;

    if (!scf->used || r != r->main)
        return NGX_DECLINED;
    ctx = new_ctx(r);
    if (ctx == NULL)
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    ctx->facts.method = coat_ngx_span(r->method_name);
    while ((h = walk_to(&w, kinds)) != NULL)
        if (!(may_be(scf->kinds, h) && is_listed(scf, h)) && note_field(ctx, h))
            w.at++;
        else if (walk_cut(&w) != NGX_OK)
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
    walk_end(&w);
    if (scf->cross) /* before anybody else can change what is decided by */
        coat_ngx_facts(r, ctx);
    if (ctx->too_many_lines) /* which one counts nobody can tell */
        return NGX_HTTP_BAD_REQUEST;
    return NGX_DECLINED;
}

/* ngx_list_push(), which has a call for what is nearly always there: room. */
static inline ngx_table_elt_t *
next_element(ngx_list_t *list)
{
    ngx_list_part_t *last = list->last;

    if (last->nelts < list->nalloc)
        return (ngx_table_elt_t *)last->elts + last->nelts++;
    return ngx_list_push(list);
}

ngx_int_t
coat_ngx_push(ngx_http_request_t *r, const coat_ngx_name *names, const ngx_str_t *values,
              ngx_uint_t count)
{
    for (ngx_uint_t i = 0; i < count; i++) {
        ngx_table_elt_t *h;

        if (names[i].text.len == 0 || values[i].len == 0)
            continue;
        h = next_element(&r->headers_in.headers);
        if (h == NULL)
            return NGX_ERROR;
        ngx_memzero(h, sizeof *h);
        h->hash = names[i].hash;
        h->key = names[i].text;
        h->lowcase_key = names[i].lower;
        h->value = values[i];
    }
    return NGX_OK;
}

ngx_int_t
coat_ngx_unlist(ngx_http_request_t *r, const ngx_table_elt_t *element)
{
    walk w = walk_begin(r);
    ngx_table_elt_t *h;
    ngx_int_t rc = NGX_OK;

    while ((h = walk_here(&w)) != NULL && h != element)
        w.at++;
    if (h != NULL)
        rc = walk_cut(&w);
    walk_end(&w);
    return rc;
}
