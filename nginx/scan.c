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
coat_ngx_ctx_again(ngx_http_request_t *r)
{
    if (!r->internal && !r->filter_finalize)
        return NULL;
    /* An internal redirect has cleared the contexts; the pool remembers. */
    for (ngx_pool_cleanup_t *cln = r->pool->cleanup; cln != NULL; cln = cln->next)
        if (cln->handler == forget) {
            ngx_http_set_ctx(r, cln->data, ngx_http_coatcheck_module);
            return cln->data;
        }
    return NULL;
}

/* What of a context begins as zeros, piece by piece: for more at once the compiler takes an
 * instruction that is slow to start. The last may go beyond, into what nobody has set yet. */
typedef struct piece {
    uint64_t word[8];
} piece;

static inline void
clear(coat_ngx_ctx *ctx)
{
    piece *pieces = (void *)ctx;

#pragma GCC unroll 8
    for (size_t i = 0;
         i < (offsetof(coat_ngx_ctx, facts) + sizeof *pieces - 1) / sizeof *pieces; i++)
        pieces[i] = (piece){{0}};
}

static ngx_int_t
new_ctx(ngx_http_request_t *r, coat_ngx_ctx **out)
{
    ngx_pool_cleanup_t *cln = ngx_pool_cleanup_add(r->pool, sizeof(coat_ngx_ctx));
    coat_ngx_ctx *ctx;

    if (cln == NULL)
        return NGX_ERROR;
    ctx = cln->data;
    clear(ctx);
    ctx->r = r;
    ctx->facts.method = coat_ngx_span(r->method_name);
    cln->handler = forget;
    ngx_http_set_ctx(r, ctx, ngx_http_coatcheck_module);
    *out = ctx;
    return NGX_OK;
}

/* What was not read to its end is not to be found again: an error page would go by half of it.
 */
static void
drop_ctx(ngx_http_request_t *r, const coat_ngx_ctx *ctx)
{
    for (ngx_pool_cleanup_t *cln = r->pool->cleanup; cln != NULL; cln = cln->next)
        if (cln->data == ctx)
            cln->handler = NULL; /* nginx passes it by */
    ngx_http_set_ctx(r, NULL, ngx_http_coatcheck_module);
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

/** May this element stay? */
typedef bool stays_fn(const coat_ngx_srv *scf, coat_ngx_ctx *ctx, ngx_table_elt_t *h);

/**
 * The next element that may not stay, of those whose name is of one of these kinds; NULL: all
 * of them may. Inline, and with the function.
 */
static inline __attribute__((always_inline)) ngx_table_elt_t *
walk_to(walk *w, uint64_t kinds, stays_fn *stays, const coat_ngx_srv *scf, coat_ngx_ctx *ctx)
{
    for (;;) {
        ngx_table_elt_t *all = w->part->elts, *h = all + w->at, *end = all + w->part->nelts;

        for (; h < end; h++)
            if (may_be(kinds, h) && !stays(scf, ctx, h)) {
                w->at = (ngx_uint_t)(h - all);
                return h;
            }
        w->at = w->part->nelts;
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
 * So a walk that failed ends, too. */
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
static __attribute__((noinline)) void
tame_tokens(ngx_table_elt_t *h)
{
    static const char *const kept[] = {"keep-alive", "close", "upgrade"};
    coat_span rest = coat_ngx_span(h->value), token;
    u_char *to = h->value.data;
    bool plain = true;

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

static inline void
tame_connection(ngx_table_elt_t *h)
{
    if (h->value.len != 10 || memcmp(h->value.data, "keep-alive", 10) != 0) /* as browsers do */
        tame_tokens(h);
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
    ctx->facts_noted = true;
    ctx->facts = (coat_site_facts){.method = ctx->facts.method};
    ctx->cors_method = ctx->cors_headers = (coat_span){NULL, 0};
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
        if (ctx->line_count < COAT_NGX_COOKIE_LINES) {
            note_cookie(ctx, h);
            return true;
        }
        ctx->too_many_lines = true;
        h->value.len = 0; /* nginx's own pointers lead to it still */
        return false;
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

static inline bool
is_not_ours(const coat_ngx_srv *scf, coat_ngx_ctx *ctx, ngx_table_elt_t *h)
{
    (void)ctx;
    return !is_listed(scf, h);
}

ngx_int_t
coat_ngx_strip(ngx_http_request_t *r, const coat_ngx_srv *scf)
{
    walk w = walk_begin(r);
    ngx_int_t rc = NGX_OK;

    while (rc == NGX_OK && walk_to(&w, scf->kinds, is_not_ours, scf, NULL) != NULL)
        rc = walk_cut(&w);
    walk_end(&w);
    return rc;
}

static inline bool
is_for_us(const coat_ngx_srv *scf, coat_ngx_ctx *ctx, ngx_table_elt_t *h)
{
    return !(may_be(scf->kinds, h) && is_listed(scf, h)) && note_field(ctx, h);
}

ngx_int_t
coat_ngx_post_read(ngx_http_request_t *r)
{
    const coat_ngx_srv *scf = ngx_http_get_module_srv_conf(r, ngx_http_coatcheck_module);
    COAT_UNSET walk w;
    ngx_int_t rc = NGX_OK;
    coat_ngx_ctx *ctx;

    if (!scf->used || r != r->main)
        return NGX_DECLINED;
    if (new_ctx(r, &ctx) != NGX_OK)
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    w = walk_begin(r);
    while (rc == NGX_OK && walk_to(&w, scf->kinds | noted(), is_for_us, scf, ctx) != NULL)
        rc = walk_cut(&w);
    walk_end(&w);
    if (rc != NGX_OK) {
        drop_ctx(r, ctx);
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    if (scf->cross) /* before anybody else can change what is decided by */
        coat_ngx_facts(r, ctx);
    if (ctx->too_many_lines) /* which one counts nobody can tell */
        return NGX_HTTP_BAD_REQUEST;
    return NGX_DECLINED;
}

ngx_int_t
coat_ngx_push(ngx_http_request_t *r, const coat_ngx_name *names, const ngx_str_t *values,
              ngx_uint_t count)
{
    ngx_list_t *list = &r->headers_in.headers;
    ngx_list_part_t *last = list->last;
    ngx_uint_t used = last->nelts;
    ngx_table_elt_t *h = (ngx_table_elt_t *)last->elts + used;

    for (const coat_ngx_name *end = names + count; names < end; names++, values++) {
        if (names->text.len == 0 || values->len == 0)
            continue;
        if (used >= list->nalloc) { /* rarely */
            last->nelts = used;
            h = ngx_list_push(list);
            if (h == NULL)
                return NGX_ERROR;
            last = list->last;
            used = 0;
        }
        *h++ = (ngx_table_elt_t){.hash = names->hash,
                                 .key = names->text,
                                 .value = *values,
                                 .lowcase_key = names->lower};
        used++;
    }
    last->nelts = used;
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
