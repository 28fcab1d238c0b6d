/* SPDX-License-Identifier: Apache-2.0 */
/*
 * WebSockets and event streams: each is looked at about once a second, in small slices, and
 * closed when its session has ended or nobody can tell any more. What counts is the session,
 * not the secret that the connection began with: that is replaced while the connection lives.
 */
#include "module.h"

enum {
    TICK_MS = 50,
    TICKS = 16,   /* each connection's turn comes every 0.8 s */
    ASK_MS = 350, /* twice, and it is still within two seconds */
};

static ngx_queue_t watched;
static ngx_uint_t count;
static ngx_event_t timer;
static ngx_connection_t dummy; /* nginx's timers want one, for its log */

static void
close_request(coat_ngx_ctx *ctx)
{
    ngx_http_request_t *r = ctx->r;
    ngx_connection_t *c = r->connection;

    coat_ngx_unwatch(ctx);
    ngx_log_error(NGX_LOG_INFO, c->log, 0,
                  "coatcheck: the session has ended, its connection is closed");
    r->keepalive = 0; /* the client is to see an end, not a silence */
    /* The upstream's cleanup gives back one reference; without one more the request would be
     * freed while nginx still walks through its cleanups (as ngx_http_request_handler does). */
    r->main->count++;
    ngx_http_finalize_request(r, NGX_HTTP_CLIENT_CLOSED_REQUEST);
    ngx_http_run_posted_requests(c);
}

/* A daemon that restarts is forgiven once; then no answer is no yes. */
static void
cannot_tell(coat_ngx_ctx *ctx)
{
    if (++ctx->unsure > 1)
        close_request(ctx);
}

static void
told(void *owner, const coat_reply *reply)
{
    coat_ngx_ctx *ctx = owner;

    ctx->live_ask = NULL;
    if (reply != NULL && reply->status == 200)
        ctx->unsure = 0;
    else if (reply == NULL || reply->status == 503)
        cannot_tell(ctx);
    else
        close_request(ctx);
}

static void
ask(coat_ngx_ctx *ctx)
{
    ngx_str_t *question = &ctx->live_question;

    ctx->live_ask = coat_ngx_ask_start(ctx->watch_conf->daemon, *question, ctx->live_buf,
                                       ASK_MS, told, ctx, ctx->r->connection->log);
    if (ctx->live_ask == NULL)
        cannot_tell(ctx);
}

/* Under a cookie name without prefix there may be several values; one of them was live. */
static bool
is_live(const coat_ngx_ctx *ctx)
{
    coat_table *table = coat_ngx_table_of(ctx->watch_conf->table, ngx_cycle->log);
    int64_t now_ms = coat_ngx_now_ms();

    for (uint32_t i = 0; table != NULL && i < ctx->found.count && i < COAT_COOKIE_CANDIDATES;
         i++)
        if (coat_table_live(table, ctx->found.value[i], now_ms) == COAT_TABLE_LIVE)
            return true;
    return false;
}

static void
tick(ngx_event_t *event)
{
    ngx_uint_t turn = (count + TICKS - 1) / TICKS;

    while (turn-- > 0 && !ngx_queue_empty(&watched)) {
        ngx_queue_t *q = ngx_queue_head(&watched);
        coat_ngx_ctx *ctx;

        /* To the end first: looking at it may take it out altogether. */
        ngx_queue_remove(q);
        ngx_queue_insert_tail(&watched, q);
        ctx = ngx_queue_data(q, coat_ngx_ctx, watched);
        if (ctx->live_ask == NULL && !is_live(ctx))
            ask(ctx);
    }
    if (count > 0)
        ngx_add_timer(event, TICK_MS);
}

ngx_int_t
coat_ngx_watch_init(ngx_cycle_t *cycle)
{
    ngx_queue_init(&watched);
    count = 0;
    ngx_memzero(&timer, sizeof timer);
    dummy.fd = (ngx_socket_t)-1;
    timer.handler = tick;
    timer.log = cycle->log;
    timer.data = &dummy;
    timer.cancelable = 1; /* a worker that ends does not wait for it */
    return NGX_OK;
}

/* Copies: behind an upgrade nginx reads on into the buffer that the header lies in, so the
 * client could write another session's token there. */
static ngx_int_t
keep_tokens(ngx_http_request_t *r, coat_cookie_found *found)
{
    for (uint32_t i = 0; i < found->count && i < COAT_COOKIE_CANDIDATES; i++) {
        ngx_str_t token = coat_ngx_text(found->value[i]);

        found->value[i].ptr = ngx_pstrdup(r->pool, &token);
        if (found->value[i].ptr == NULL)
            return NGX_ERROR;
    }
    return NGX_OK;
}

ngx_int_t
coat_ngx_watch(ngx_http_request_t *r, const coat_ngx_loc *lcf, coat_ngx_ctx *ctx)
{
    if (ctx->watching)
        return NGX_OK;
    ctx->live_buf.data = ngx_pnalloc(r->pool, COAT_NGX_LIVE_MAX);
    ctx->live_buf.len = COAT_NGX_LIVE_MAX;
    if (ctx->live_buf.data == NULL || keep_tokens(r, &ctx->found) != NGX_OK ||
        coat_ngx_question_live(r, lcf, ctx, &ctx->live_question) != NGX_OK)
        return NGX_ERROR;
    ctx->watch_conf = lcf;
    ctx->unsure = 0;
    ctx->watching = true;
    ngx_queue_insert_tail(&watched, &ctx->watched);
    if (count++ == 0 && !timer.timer_set)
        ngx_add_timer(&timer, TICK_MS);
    return NGX_OK;
}

void
coat_ngx_unwatch(coat_ngx_ctx *ctx)
{
    if (!ctx->watching)
        return;
    ctx->watching = 0;
    ngx_queue_remove(&ctx->watched);
    count--;
    coat_ngx_ask_cancel(ctx->live_ask);
    ctx->live_ask = NULL;
}
