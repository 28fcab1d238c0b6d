/* SPDX-License-Identifier: Apache-2.0 */
#include "server/http/internal.h"

#include <jansson.h>
#include <sodium.h>

static coat_exchange *
exchange_of(coat_http_request *req)
{
    return (coat_exchange *)req;
}

bool
coat_http_gone(const coat_http_request *req)
{
    return ((const coat_exchange *)req)->conn->closing;
}

static const char *
date_of(coat_loop *loop)
{
    struct timespec ts = {0};

    (void)clock_gettime(CLOCK_REALTIME_COARSE, &ts);
    if (ts.tv_sec != loop->date_s) {
        loop->date_s = ts.tv_sec;
        coat_http_date(ts.tv_sec, loop->date);
    }
    return loop->date;
}

coat_http_response *
coat_http_reply(coat_http_request *req, unsigned status)
{
    coat_conn *conn = exchange_of(req)->conn;
    coat_loop *loop = conn->loop;
    coat_out out = {loop->batch, 0, 0, false};

    /* A request of another connection is answered from inside a handler of this one. */
    if (loop->batch_owner != NULL && loop->batch_owner != conn)
        coat_conn_flush(loop->batch_owner);
    loop->batch_owner = conn;
    out.len = loop->batch_len;
    out.cap = out.len + COAT_HTTP_ANSWER_MAX;
    coat_response_begin(&loop->res, req, out, status, date_of(loop));
    return &loop->res;
}

static void
log_answer(coat_loop *loop, const coat_http_response *res)
{
    const coat_http_conf *conf = &loop->server->conf;

    if (conf->log != NULL)
        conf->log(conf->ctx,
                  &(coat_http_event){res->req, &res->req->peer, res->status, res->reason});
}

/* The request is over: make room for the next one on this connection. */
static void
finish(coat_exchange *ex)
{
    coat_conn *conn = ex->conn;

    ex->in_flight = false;
    if (ex->req.body.len > 0) /* passwords come this way (HD-6) */
        sodium_memzero(ex->bytes + ex->base, ex->parser.pos);
    if (ex->json != NULL)
        json_decref(ex->json);
    ex->json = NULL;
    if (conn->closing) {
        conn->ex = NULL;
        coat_exchange_give(conn->loop, ex);
        if (conn->closed)
            coat_loop_left(conn->loop, conn);
        return;
    }
    conn->close_after |= !ex->req.keep_alive;
    conn->continued = false;
    conn->phase = COAT_PHASE_IDLE;
    ex->base += ex->parser.pos;
    coat_parser_reset(&ex->parser);
    if (!conn->processing)
        coat_conn_process(conn);
}

void
coat_http_send(coat_http_response *res, coat_http_type type, coat_span body)
{
    coat_exchange *ex = exchange_of(res->req);
    coat_loop *loop = ex->conn->loop;

    if (!res->open)
        return;
    coat_response_end(res, type, body);
    log_answer(loop, res);
    if (!ex->conn->closing)
        loop->batch_len = res->out.len;
    else if (loop->batch_len == 0)
        loop->batch_owner = NULL;
    finish(ex);
}

void
coat_http_send_error(coat_http_response *res, const char *code)
{
    const coat_http_request *req = res->req;
    const coat_http_conf *conf = &exchange_of(res->req)->conn->loop->server->conf;
    const char *message = coat_http_status_text(res->status);
    char text[512];

    res->reason = code;
    if (conf->error_page != NULL && coat_http_wants_html(req) &&
        conf->error_page(conf->ctx, res, res->status, code, message, req->id))
        return;
    coat_http_send(res, COAT_HTTP_JSON,
                   coat_response_error_body(text, sizeof text, code, message, req->id));
}

void
coat_http_error(coat_http_request *req, unsigned status, const char *code)
{
    coat_http_send_error(coat_http_reply(req, status), code);
}

static bool
stays_in_location(uint8_t c)
{
    return c == '%' || c == '[' || c == ']' || c == '#' ||
           ((coat_byte_class[c] & COAT_BYTE_QUERY) != 0 && strchr("|{}^`\\", c) == NULL);
}

/* RD-2: whatever is not plain URI text is escaped once more, so CR and LF have no way out. */
void
coat_http_redirect(coat_http_response *res, coat_span location)
{
    static const char digits[] = "0123456789ABCDEF";
    char text[COAT_HTTP_LINE_MAX];
    coat_out out = coat_out_init(text, sizeof text);

    for (size_t i = 0; i < location.len; i++) {
        uint8_t c = location.ptr[i];

        if (stays_in_location(c)) {
            coat_out_char(&out, (char)c);
            continue;
        }
        coat_out_char(&out, '%');
        coat_out_char(&out, digits[c >> 4]);
        coat_out_char(&out, digits[c & 15]);
    }
    res->bad |= out.over;
    coat_http_field(res, "Location", (coat_span){(const uint8_t *)text, out.len});
    coat_http_send(res, COAT_HTTP_EMPTY, (coat_span){NULL, 0});
}
