/* SPDX-License-Identifier: Apache-2.0 */
#include "server/http/internal.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static void
set_phase(coat_conn *conn, coat_phase phase, int64_t timeout_ms)
{
    conn->phase = (uint8_t)phase;
    coat_wheel_set(&conn->loop->wheel, &conn->timeout, coat_loop_now(conn->loop) + timeout_ms);
}

static void
drop_exchange(coat_conn *conn)
{
    coat_exchange_give(conn->loop, conn->ex);
    conn->ex = NULL;
}

static void
on_closed(uv_handle_t *handle)
{
    coat_conn *conn = handle->data;

    conn->closed = true;
    /* A request in flight keeps the connection until its handler has answered. */
    if (conn->ex == NULL)
        coat_loop_left(conn->loop, conn);
}

void
coat_conn_close(coat_conn *conn)
{
    coat_loop *loop = conn->loop;

    if (conn->closing)
        return;
    conn->closing = true;
    coat_wheel_remove(&conn->timeout);
    if (loop->batch_owner == conn) {
        loop->batch_owner = NULL;
        loop->batch_len = 0;
    }
    if (conn->ex != NULL && !conn->ex->in_flight)
        drop_exchange(conn);
    uv_close(&conn->uv.handle, on_closed);
}

static void
lose(coat_conn *conn)
{
    coat_exchange *ex = conn->ex;

    coat_conn_close(conn);
    if (ex == NULL || !ex->in_flight)
        return;
    COAT_COUNT(conn->loop, gone);
    if (ex->req.on_gone != NULL)
        ex->req.on_gone(&ex->req);
}

static void
on_written(uv_write_t *write, int status)
{
    coat_conn *conn = write->data;

    free(conn->pending);
    conn->pending = NULL;
    conn->writing = false;
    if (conn->closing)
        return;
    if (status < 0)
        coat_conn_close(conn);
    else
        coat_conn_process(conn);
}

static void
write_later(coat_conn *conn, const char *bytes, size_t len)
{
    uv_buf_t buf;

    conn->pending = malloc(len);
    if (conn->pending == NULL) {
        coat_conn_close(conn);
        return;
    }
    memcpy(conn->pending, bytes, len);
    buf = uv_buf_init(conn->pending, (unsigned)len);
    conn->write.data = conn;
    if (uv_write(&conn->write, &conn->uv.stream, &buf, 1, on_written) != 0) {
        free(conn->pending);
        conn->pending = NULL;
        coat_conn_close(conn);
        return;
    }
    conn->writing = true;
    set_phase(conn, COAT_PHASE_WRITE, conn->loop->server->conf.limits.write_ms);
}

void
coat_conn_flush(coat_conn *conn)
{
    coat_loop *loop = conn->loop;
    size_t len = loop->batch_len, done = 0;
    uv_os_fd_t fd;
    ssize_t n = 0;

    if (loop->batch_owner != conn)
        return;
    loop->batch_owner = NULL;
    loop->batch_len = 0;
    if (len == 0)
        return;
    /* As uv_try_write() would, but a socket's own call is the cheaper one. */
    if (!conn->writing && uv_fileno(&conn->uv.handle, &fd) == 0)
        n = send(fd, loop->batch, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        coat_conn_close(conn);
        return;
    }
    done = n > 0 ? (size_t)n : 0;
    if (done < len)
        write_later(conn, loop->batch + done, len - done);
}

static void
send_continue(coat_conn *conn)
{
    static char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    uv_buf_t buf = uv_buf_init(text, sizeof text - 1);

    conn->continued = true;
    if (uv_try_write(&conn->uv.stream, &buf, 1) != (int)buf.len)
        coat_conn_close(conn);
}

static void
alloc_buffer(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    coat_conn *conn = handle->data;

    (void)suggested;
    if (conn->phase == COAT_PHASE_LINGER) {
        *buf = uv_buf_init(conn->loop->drop, sizeof conn->loop->drop);
        return;
    }
    if (conn->ex == NULL)
        conn->ex = coat_exchange_take(conn->loop, conn);
    *buf = uv_buf_init(NULL, 0);
    if (conn->ex != NULL)
        *buf = uv_buf_init((char *)conn->ex->bytes + conn->ex->end,
                           (unsigned)(sizeof conn->ex->bytes - conn->ex->end));
}

static void
on_lingering(coat_conn *conn, ssize_t n)
{
    conn->lingered += n > 0 ? (uint32_t)n : 0;
    if (n < 0 || conn->lingered > COAT_LINGER_BYTES)
        coat_conn_close(conn);
}

static void
on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    coat_conn *conn = stream->data;

    (void)buf;
    if (conn->closing)
        return;
    if (conn->phase == COAT_PHASE_LINGER) {
        on_lingering(conn, n);
    } else if (n > 0) {
        conn->ex->end += (uint32_t)n;
        if (!conn->ex->in_flight)
            coat_conn_process(conn);
    } else if (n == UV_ENOBUFS && conn->ex != NULL) {
        /* Full of pipelined requests: the first has to be answered before more is read. */
        (void)uv_read_stop(stream);
        conn->reading = false;
    } else if (n < 0 && conn->writing && n == UV_EOF) {
        (void)uv_read_stop(stream);
        conn->reading = false;
        conn->close_after = true;
    } else if (n < 0) {
        lose(conn);
    } else if (conn->ex->end == conn->ex->base && !conn->ex->in_flight) {
        drop_exchange(conn);
    }
}

static void
ensure_reading(coat_conn *conn)
{
    if (conn->reading)
        return;
    if (uv_read_start(&conn->uv.stream, alloc_buffer, on_read) != 0)
        coat_conn_close(conn);
    conn->reading = true;
}

static void
finish_close(coat_conn *conn)
{
    uv_os_fd_t fd;

    if (!conn->refused || uv_fileno(&conn->uv.handle, &fd) != 0) {
        coat_conn_close(conn);
        return;
    }
    /* Closing with unread bytes would reset the connection and take the answer back. */
    drop_exchange(conn);
    (void)shutdown(fd, SHUT_WR);
    set_phase(conn, COAT_PHASE_LINGER, COAT_LINGER_MS);
    ensure_reading(conn);
}

/* Part of a request is there. */
static void
await_rest(coat_conn *conn)
{
    const coat_http_limits *limits = &conn->loop->server->conf.limits;
    coat_exchange *ex = conn->ex;
    bool body = ex->parser.state >= COAT_PARSER_BODY;
    coat_phase phase = body ? COAT_PHASE_BODY : COAT_PHASE_HEADER;

    if (ex->base > 0) {
        size_t left = ex->end - ex->base, stale = left > ex->base ? left : ex->base;

        memmove(ex->bytes, ex->bytes + ex->base, left);
        sodium_memzero(ex->bytes + stale, ex->end - stale); /* its former place */
        ex->end -= ex->base;
        ex->base = 0;
    }
    /* From its first byte on: more bytes do not put the deadline off. The first request's
     * header has had its time since the connection was opened. */
    if (conn->phase == COAT_PHASE_FIRST && !body)
        conn->phase = COAT_PHASE_HEADER;
    else if (conn->phase != phase)
        set_phase(conn, phase, body ? limits->body_ms : limits->header_ms);
    if (body && ex->parser.expect_continue && !conn->continued && ex->end == ex->parser.body)
        send_continue(conn);
}

static void
settle(coat_conn *conn)
{
    coat_exchange *ex = conn->ex;

    if (conn->closing || conn->writing)
        return;
    if (ex != NULL && ex->in_flight) {
        ensure_reading(conn);
        return;
    }
    if (conn->close_after) {
        finish_close(conn);
        return;
    }
    if (ex != NULL && ex->base < ex->end) {
        await_rest(conn);
    } else {
        drop_exchange(conn);
        if (conn->phase != COAT_PHASE_FIRST)
            set_phase(conn, COAT_PHASE_IDLE, conn->loop->server->conf.limits.idle_ms);
    }
    if (!conn->closing)
        ensure_reading(conn);
}

/* @return false: nothing more to be done with what is there */
static bool
step(coat_conn *conn)
{
    coat_exchange *ex = conn->ex;
    size_t len;

    if (ex == NULL || conn->closing || conn->writing || conn->close_after || ex->in_flight ||
        ex->base == ex->end)
        return false;
    len = ex->end - ex->base;
    switch (coat_parser_feed(&ex->parser, ex->bytes + ex->base, &len)) {
    case COAT_PARSER_DONE:
        coat_exchange_run(ex);
        return true;
    case COAT_PARSER_FAILED:
        coat_exchange_refuse(ex, ex->parser.status, coat_http_status_code(ex->parser.status));
        return false;
    default:
        ex->end = ex->base + (uint32_t)len;
        return false;
    }
}

void
coat_conn_process(coat_conn *conn)
{
    if (conn->processing)
        return;
    conn->processing = true;
    while (step(conn))
        if (conn->loop->batch_len > COAT_BATCH_FLUSH)
            coat_conn_flush(conn);
    coat_conn_flush(conn);
    conn->processing = false;
    settle(conn);
}

void
coat_conn_timeout(coat_conn *conn)
{
    switch (conn->phase) {
    case COAT_PHASE_HANDLER: /* set anew when it has been answered */
        return;
    case COAT_PHASE_HEADER:
    case COAT_PHASE_BODY:
        COAT_COUNT(conn->loop, timeouts);
        conn->processing = true;
        coat_exchange_refuse(conn->ex, 408, "request_timeout");
        coat_conn_flush(conn);
        conn->processing = false;
        settle(conn);
        return;
    case COAT_PHASE_WRITE:
    case COAT_PHASE_FIRST:
        COAT_COUNT(conn->loop, timeouts);
        break;
    default:
        break;
    }
    coat_conn_close(conn);
}

void
coat_conn_stop(coat_conn *conn)
{
    if (conn->phase == COAT_PHASE_IDLE || conn->phase == COAT_PHASE_FIRST)
        coat_conn_close(conn);
    else if (conn->ex != NULL && conn->ex->in_flight)
        conn->ex->req.keep_alive = false;
    else if (conn->writing)
        conn->close_after = true;
}

static int
open_handle(coat_conn *conn, int fd, bool is_unix)
{
    int err = is_unix ? uv_pipe_init(&conn->loop->uv, &conn->uv.pipe, 0)
                      : uv_tcp_init(&conn->loop->uv, &conn->uv.tcp);

    if (err != 0)
        return err;
    conn->uv.handle.data = conn;
    coat_loop_joined(conn->loop, conn);
    return is_unix ? uv_pipe_open(&conn->uv.pipe, fd) : uv_tcp_open(&conn->uv.tcp, fd);
}

static coat_conn *
take_conn(coat_loop *loop)
{
    coat_conn *conn = loop->spare_conns;

    if (conn == NULL)
        return calloc(1, sizeof *conn);
    loop->spare_conns = conn->next;
    loop->spare_conn_count--;
    memset(conn, 0, sizeof *conn);
    return conn;
}

void
coat_conn_open(coat_port *port, int fd, const coat_http_peer *peer, uint32_t source)
{
    coat_conn *conn = take_conn(port->loop);

    if (conn == NULL) {
        (void)close(fd);
        coat_sources_give(port->loop->server->sources, source);
        return;
    }
    conn->loop = port->loop;
    conn->listener = port->conf;
    conn->peer = *peer;
    conn->source = source;
    if (open_handle(conn, fd, port->is_unix) != 0) {
        (void)close(fd);
        coat_conn_close(conn);
        return;
    }
    COAT_COUNT(conn->loop, accepted);
    set_phase(conn, COAT_PHASE_FIRST, conn->loop->server->conf.limits.header_ms);
    ensure_reading(conn);
}

void
coat_conn_free_spares(coat_loop *loop)
{
    while (loop->spare_conns != NULL) {
        coat_conn *next = loop->spare_conns->next;

        free(loop->spare_conns);
        loop->spare_conns = next;
    }
    while (loop->spare_exchanges != NULL) {
        coat_exchange *next = loop->spare_exchanges->next;

        free(loop->spare_exchanges);
        loop->spare_exchanges = next;
    }
}
