/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decision. Live with nothing due: go on, at the price of a memory read. Everything else is
 * put to the daemon, and what it answers is what the client gets. Only a plain 200 that names a
 * session lets a request pass (FA-6); no answer is 503, never "not signed in" (SF-1).
 */
#include "module.h"

#include "core/bytes.h"
#include "core/chars.h"

static bool
has_role(coat_span roles, coat_span role)
{
    while (roles.len > 0) {
        size_t len = coat_span_find(roles, ' ');

        if (coat_span_is(coat_span_slice(roles, 0, len), role))
            return true;
        roles = coat_span_slice(roles, len < roles.len ? len + 1 : roles.len, roles.len);
    }
    return false;
}

static bool
has_roles(const coat_ngx_loc *lcf, coat_span roles)
{
    const ngx_str_t *needed = lcf->roles != NULL ? lcf->roles->elts : NULL;

    for (ngx_uint_t i = 0; lcf->roles != NULL && i < lcf->roles->nelts; i++)
        if (!has_role(roles, coat_ngx_span(needed[i])))
            return false;
    return true;
}

/* ---- outcomes that let the request go on ---- */

static ngx_int_t
grant(ngx_http_request_t *r, const coat_ngx_loc *lcf, coat_ngx_ctx *ctx, const char *source)
{
    ctx->verdict = "live";
    ctx->source = source;
    ctx->decided = 1;
    if (coat_ngx_push(r, lcf->fields, ctx->values, COAT_NGX_FIELDS) != NGX_OK ||
        coat_ngx_cookies_hide(r, lcf, ctx) != NGX_OK)
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    return NGX_OK;
}

/* What was read of an answer before it turned out to name nobody: variables show it, too. */
static void
forget_identity(coat_ngx_ctx *ctx)
{
    ngx_memzero(ctx->values, sizeof ctx->values);
}

static ngx_int_t
anonymous(ngx_http_request_t *r, const coat_ngx_loc *lcf, coat_ngx_ctx *ctx, const char *source)
{
    ctx->verdict = "none";
    ctx->source = source;
    ctx->decided = 1;
    forget_identity(ctx);
    if (coat_ngx_cookies_hide(r, lcf, ctx) != NGX_OK)
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    return NGX_DECLINED;
}

static ngx_int_t
undecided(ngx_http_request_t *r, coat_ngx_ctx *ctx, const char *source)
{
    ctx->verdict = "unknown";
    ctx->source = source;
    forget_identity(ctx);
    return coat_ngx_unavailable(r);
}

/* ---- the fast path ---- */

bool
coat_ngx_by_tls(ngx_http_request_t *r, const coat_ngx_loc *lcf)
{
    ngx_str_t proto;

#if (NGX_HTTP_SSL)
    if (lcf->proto_is_scheme)
        return r->connection->ssl != NULL;
#endif
    return ngx_http_complex_value(r, lcf->proto, &proto) == NGX_OK &&
           (coat_span_is(coat_ngx_span(proto), COAT_LIT("https")) ||
            coat_span_is(coat_ngx_span(proto), COAT_LIT("wss")));
}

/* The daemon refuses a secure cookie that did not come by TLS; so must we, whatever the table
 * has: it is asked. */
static bool
is_secure(ngx_http_request_t *r, const coat_ngx_loc *lcf)
{
    return !lcf->needs_tls || coat_ngx_by_tls(r, lcf);
}

/* NGX_OK: the table has said yes. NGX_ABORT: not issued here. NGX_DECLINED: ask. */
static ngx_int_t
look(ngx_http_request_t *r, const coat_ngx_loc *lcf, coat_ngx_ctx *ctx, coat_span token)
{
    coat_table *table = coat_ngx_table_of(lcf->table, r->connection->log);
    COAT_UNSET coat_table_query query;
    COAT_UNSET coat_table_answer answer;
    COAT_UNSET coat_ngx_asker who;

    if (table == NULL)
        return NGX_DECLINED;
    query = (coat_table_query){
        .token = token,
        .now_ms = coat_ngx_now_ms(),
        .max_age_ms = (int64_t)lcf->max_age_s * 1000,
        .background = !lcf->activity,
        .memo = coat_ngx_memo(),
    };
    coat_ngx_asker_of(r, ctx, lcf->table, &who, &query);
    coat_table_check(table, &query, &answer);
    if (answer.verdict == COAT_TABLE_REFUSE)
        return NGX_ABORT;
    if (answer.verdict != COAT_TABLE_LIVE || !has_roles(lcf, answer.roles))
        return NGX_DECLINED;
    if (query.from != NULL)
        coat_ngx_asker_keep(r, ctx, lcf->table, answer.context);
    if (lcf->assertion.len > 0 && !coat_ngx_assertion_find(lcf, ctx, &answer.handle, r->pool))
        return NGX_DECLINED;
    return coat_ngx_identity_table(r, ctx, token, &answer);
}

/* ---- the slow path ---- */

static void
told(void *owner, const coat_reply *reply)
{
    coat_ngx_ctx *ctx = owner;
    ngx_http_request_t *r = ctx->r;
    ngx_connection_t *c = r->connection;

    ctx->ask = NULL;
    ctx->state = COAT_NGX_ANSWERED;
    ctx->reply = NULL;
    if (reply != NULL) {
        ctx->reply = ngx_palloc(r->pool, sizeof *reply);
        if (ctx->reply != NULL)
            *ctx->reply = *reply;
    }
    ngx_http_set_log_request(c->log, r);
    if (ngx_handle_read_event(c->read, 0) != NGX_OK) {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }
    r->read_event_handler = ngx_http_block_reading;
    r->write_event_handler = ngx_http_core_run_phases;
    ngx_http_core_run_phases(r);
    ngx_http_run_posted_requests(c);
}

/* A rotated cookie goes to the client whatever becomes of the request. */
static void
take_cookies(coat_ngx_ctx *ctx)
{
    const size_t most = sizeof ctx->set_cookie / sizeof ctx->set_cookie[0];
    size_t count = 0;

    for (size_t i = 0; i < ctx->reply->field_count && count < most; i++)
        if (coat_span_is_nocase(ctx->reply->fields[i].name, COAT_LIT("Set-Cookie")))
            ctx->set_cookie[count++] = coat_ngx_text(ctx->reply->fields[i].value);
    if (count > 0) /* else one from before an internal redirect may still wait */
        ctx->set_cookie_count = count;
}

static ngx_int_t
allowed(ngx_http_request_t *r, const coat_ngx_loc *lcf, coat_ngx_ctx *ctx)
{
    if (coat_ngx_identity_reply(r, ctx) != NGX_OK)
        return undecided(r, ctx, "daemon");
    if (ctx->values[COAT_NGX_SESSION].len == 0) {
        if (lcf->mode == COAT_NGX_OPTIONAL)
            return anonymous(r, lcf, ctx, "daemon");
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "coatcheck: the daemon's yes names no session; is coatcheck_daemon a "
                      "listener with dialect: module?");
        return undecided(r, ctx, "daemon");
    }
    if (lcf->assertion.len > 0 && ctx->values[COAT_NGX_USER].len > 0) { /* else: about nobody */
        if (ctx->values[COAT_NGX_ASSERTION].len == 0)
            return undecided(r, ctx, "daemon");
        coat_ngx_assertion_keep(lcf, ctx);
    }
    take_cookies(ctx);
    return grant(r, lcf, ctx, "daemon");
}

static ngx_int_t
answered(ngx_http_request_t *r, const coat_ngx_loc *lcf, coat_ngx_ctx *ctx)
{
    ctx->state = COAT_NGX_IDLE;
    if (ctx->reply != NULL)
        coat_ngx_table_heard(lcf->table);
    if (ctx->refused != NULL)
        return coat_ngx_refuse(r); /* on record or not */
    if (ctx->reply == NULL)
        return undecided(r, ctx, "gate");
    switch (ctx->reply->status) {
    case 200:
        return allowed(r, lcf, ctx);
    case 302:
    case 303:
    case 307:
    case 401:
    case 403:
    case 429:
        ctx->verdict = "refused";
        ctx->source = "daemon";
        return coat_ngx_pass(r, ctx->reply);
    case 503:
        ctx->verdict = "unknown";
        ctx->source = "daemon";
        return coat_ngx_pass(r, ctx->reply);
    default:
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "coatcheck: the daemon answered %ui, which is neither yes nor no",
                      (ngx_uint_t)ctx->reply->status);
        return undecided(r, ctx, "daemon");
    }
}

ngx_int_t
coat_ngx_put(ngx_http_request_t *r, const coat_ngx_loc *lcf, coat_ngx_ctx *ctx)
{
    ngx_str_t buf = {.len = COAT_NGX_REPLY_MAX,
                     .data = ngx_pnalloc(r->pool, COAT_NGX_REPLY_MAX)};
    ngx_str_t question;
    ngx_int_t rc;

    coat_ngx_facts(r, ctx);
    rc = ctx->refused != NULL ? coat_ngx_question_refused(r, lcf, ctx, &question)
                              : coat_ngx_question_verify(r, lcf, ctx, &question);
    if (buf.data == NULL || rc != NGX_OK)
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    ctx->ask = coat_ngx_ask_start(lcf->daemon, question, buf, lcf->timeout, told, ctx,
                                  r->connection->log);
    if (ctx->ask == NULL) {
        ctx->reply = NULL;
        return answered(r, lcf, ctx);
    }
    ctx->state = COAT_NGX_ASKING;
    /* A client that goes away meanwhile ends the request, and with it the question. */
    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_http_request_empty_handler;
    if (r->connection->read->ready) { /* perhaps it has gone already */
        ngx_post_event(r->connection->read, &ngx_posted_events);
    } else if (ngx_handle_read_event(r->connection->read, 0) != NGX_OK) {
        coat_ngx_ask_cancel(ctx->ask);
        ctx->ask = NULL;
        ctx->state = COAT_NGX_IDLE;
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    return NGX_AGAIN;
}

/* ---- the handler ---- */

static ngx_int_t
check(ngx_http_request_t *r, const coat_ngx_loc *lcf, coat_ngx_ctx *ctx)
{
    const coat_cookie_found *found = &ctx->found;
    ngx_int_t rc;

    if (found->count == 0 && !found->ambiguous && lcf->mode == COAT_NGX_OPTIONAL)
        return anonymous(r, lcf, ctx, "gate");
    if (found->count == 1 && !found->ambiguous && is_secure(r, lcf)) {
        rc = look(r, lcf, ctx, found->value[0]);
        if (rc == NGX_OK)
            return grant(r, lcf, ctx, "table");
        if (rc == NGX_ABORT && lcf->mode == COAT_NGX_OPTIONAL)
            return anonymous(r, lcf, ctx, "table");
        if (rc == NGX_ERROR)
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    return coat_ngx_put(r, lcf, ctx);
}

/* No check here; but the cookie is not for whoever is not to have it, all the same (FA-7). */
static ngx_int_t
pass_by(ngx_http_request_t *r, const coat_ngx_loc *lcf, coat_ngx_ctx *ctx)
{
    ctx->decided = 1;
    return coat_ngx_cookies_hide(r, lcf, ctx) == NGX_OK ? NGX_DECLINED
                                                        : NGX_HTTP_INTERNAL_SERVER_ERROR;
}

/* After an internal redirect another location's rules count: begin anew. Until all is taken
 * back something is left to take back: for the error page, should that fail. */
static ngx_int_t
begin_anew(ngx_http_request_t *r, coat_ngx_ctx *ctx)
{
    const coat_ngx_srv *scf = ngx_http_get_module_srv_conf(r, ngx_http_coatcheck_module);

    ctx->refused = NULL;
    ctx->verdict = NULL;
    forget_identity(ctx);
    if (coat_ngx_strip(r, scf) != NGX_OK || coat_ngx_cookies_restore(r, ctx) != NGX_OK)
        return NGX_ERROR;
    ctx->decided = 0;
    return NGX_OK;
}

/* An error page for a request that nginx refused while it read the header, or whose header we
 * could not read to its end: nobody has looked at it then. No place for a check, and no way in
 * for what only we may say (FA-3). */
static ngx_int_t
unread(ngx_http_request_t *r, const coat_ngx_loc *lcf)
{
    coat_ngx_ctx *ctx;
    ngx_int_t rc;

    if (lcf->question.len > 0)
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    rc = coat_ngx_post_read(r);
    ctx = coat_ngx_ctx_of(r);
    if (ctx == NULL || rc != NGX_DECLINED)
        return rc;
    coat_ngx_cookies_look(lcf, ctx);
    return pass_by(r, lcf, ctx);
}

ngx_int_t
coat_ngx_access(ngx_http_request_t *r)
{
    const coat_ngx_loc *lcf = ngx_http_get_module_loc_conf(r, ngx_http_coatcheck_module);
    coat_ngx_ctx *ctx = coat_ngx_ctx_of(r);
    ngx_int_t rc;

    if (ctx == NULL)
        return unread(r, lcf);
    if (ctx->state == COAT_NGX_ASKING)
        return NGX_AGAIN;
    if (ctx->state == COAT_NGX_ANSWERED)
        return answered(r, lcf, ctx);
    if (ctx->decided && begin_anew(r, ctx) != NGX_OK)
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    coat_ngx_cookies_look(lcf, ctx); /* first: whatever comes of it hides what is ours */
    if (lcf->question.len == 0)
        return pass_by(r, lcf, ctx);
    if (ctx->too_many_lines) /* this is the page for that */
        return NGX_HTTP_BAD_REQUEST;
    ctx->refused = NULL; /* of the place that led here, as its error page */
    rc = coat_ngx_cross(r, lcf, ctx);
    if (rc != NGX_OK)
        return rc;
    return lcf->mode != COAT_NGX_OFF ? check(r, lcf, ctx) : pass_by(r, lcf, ctx);
}
