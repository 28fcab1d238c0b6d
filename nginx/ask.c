/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Questions to the daemon: one question a connection at a time, connections kept for the next
 * one. A connection that was kept may have been closed by the daemon meanwhile; then, if
 * nothing came back, the question is sent once more on a new one. Questions change nothing that
 * could not be done twice.
 */
#include "module.h"

struct coat_ngx_ask {
    coat_ngx_daemon *daemon;
    ngx_connection_t *connection;
    ngx_str_t text;
    size_t sent;
    ngx_str_t buf;
    size_t got;
    ngx_msec_t timeout;
    coat_ngx_told told;
    void *owner;
    ngx_log_t *log;
    bool kept; /* the connection has answered before */
};

/** A kept connection; it is its connection's data. */
typedef struct idle_connection {
    ngx_queue_t queue;
    coat_ngx_daemon *daemon;
    ngx_connection_t *connection;
} idle_connection;

static void on_write(ngx_event_t *event);
static void on_read(ngx_event_t *event);

/* ---- kept connections ---- */

static void
drop_idle(idle_connection *idle)
{
    ngx_queue_remove(&idle->queue);
    idle->daemon->idle_count--;
    ngx_close_connection(idle->connection);
    ngx_free(idle);
}

/* The daemon has closed it, or this worker ends; and nobody says anything unasked. */
static void
on_idle(ngx_event_t *event)
{
    ngx_connection_t *c = event->data;

    drop_idle(c->data);
}

static void
ignore(ngx_event_t *event)
{
    (void)event;
}

static bool
keep(coat_ngx_daemon *daemon, ngx_connection_t *c)
{
    idle_connection *idle;

    if (daemon->idle_count >= daemon->keepalive || ngx_terminate || ngx_exiting ||
        c->read->eof || c->read->error)
        return false;
    if (c->read->timer_set)
        ngx_del_timer(c->read);
    if (ngx_handle_read_event(c->read, 0) != NGX_OK)
        return false;
    idle = ngx_alloc(sizeof *idle, ngx_cycle->log);
    if (idle == NULL)
        return false;
    *idle = (idle_connection){.daemon = daemon, .connection = c};
    c->data = idle;
    c->idle = 1;
    c->log = c->read->log = c->write->log = ngx_cycle->log;
    c->read->handler = on_idle;
    c->write->handler = ignore;
    ngx_queue_insert_head(&daemon->idle, &idle->queue);
    daemon->idle_count++;
    if (c->read->ready) /* something is there already: what, nobody asked for */
        on_idle(c->read);
    return true;
}

/* Nothing may lie there yet: it would be taken for the answer. Nor the end of the connection.
 */
static bool
is_quiet(const ngx_connection_t *c)
{
    u_char byte;

    return recv(c->fd, &byte, 1, MSG_PEEK) < 0 && ngx_socket_errno == NGX_EAGAIN;
}

static ngx_connection_t *
take_kept(coat_ngx_daemon *daemon)
{
    while (!ngx_queue_empty(&daemon->idle)) {
        idle_connection *idle =
            ngx_queue_data(ngx_queue_head(&daemon->idle), idle_connection, queue);
        ngx_connection_t *c = idle->connection;

        if (!is_quiet(c)) {
            drop_idle(idle);
            continue;
        }
        ngx_queue_remove(&idle->queue);
        daemon->idle_count--;
        ngx_free(idle);
        c->idle = 0;
        return c;
    }
    return NULL;
}

static ngx_connection_t *
connect_new(coat_ngx_daemon *daemon, ngx_log_t *log)
{
    ngx_peer_connection_t peer;
    ngx_int_t rc;

    ngx_memzero(&peer, sizeof peer);
    peer.sockaddr = daemon->address.sockaddr;
    peer.socklen = daemon->address.socklen;
    peer.name = &daemon->name;
    peer.get = ngx_event_get_peer;
    peer.log = log;
    peer.log_error = NGX_ERROR_ERR;
    rc = ngx_event_connect_peer(&peer);
    if (rc == NGX_OK || rc == NGX_AGAIN)
        return peer.connection;
    if (peer.connection != NULL)
        ngx_close_connection(peer.connection);
    return NULL;
}

/* ---- one question ---- */

static void
attach(coat_ngx_ask *ask, ngx_connection_t *c)
{
    ask->connection = c;
    ask->sent = ask->got = 0;
    c->data = ask;
    c->log = c->read->log = c->write->log = ask->log;
    c->read->handler = on_read;
    c->write->handler = on_write;
    ngx_add_timer(c->read, ask->timeout);
}

static void
finish(coat_ngx_ask *ask, const coat_reply *reply)
{
    ngx_connection_t *c = ask->connection;
    coat_ngx_told told = ask->told;
    void *owner = ask->owner;

    /* An answer before the whole question is an answer to something else. */
    if (c != NULL &&
        (reply == NULL || !reply->keep || ask->sent < ask->text.len || !keep(ask->daemon, c)))
        ngx_close_connection(c);
    ngx_free(ask);
    told(owner, reply);
}

/* @return false: it broke */
static bool
send_rest(coat_ngx_ask *ask)
{
    ngx_connection_t *c = ask->connection;

    while (ask->sent < ask->text.len) {
        ssize_t n = c->send(c, ask->text.data + ask->sent, ask->text.len - ask->sent);

        if (n == NGX_AGAIN)
            return ngx_handle_write_event(c->write, 0) == NGX_OK;
        if (n <= 0)
            return false;
        ask->sent += (size_t)n;
    }
    return true;
}

/* Once more, on a new connection, if this one may just have been too old. @return false: no */
static bool
again(coat_ngx_ask *ask)
{
    ngx_connection_t *c;

    if (!ask->kept || ask->got > 0)
        return false;
    ngx_close_connection(ask->connection);
    ask->connection = NULL;
    ask->kept = false;
    c = connect_new(ask->daemon, ask->log);
    if (c == NULL)
        return false;
    attach(ask, c);
    return send_rest(ask);
}

static void
broken(coat_ngx_ask *ask, const char *what)
{
    if (again(ask))
        return;
    ngx_log_error(NGX_LOG_ERR, ask->log, 0, "coatcheck: the daemon at %V %s",
                  &ask->daemon->name, what);
    finish(ask, NULL);
}

static void
on_write(ngx_event_t *event)
{
    ngx_connection_t *c = event->data;
    coat_ngx_ask *ask = c->data;

    if (!send_rest(ask))
        broken(ask, "takes no question");
}

static void
on_read(ngx_event_t *event)
{
    ngx_connection_t *c = event->data;
    coat_ngx_ask *ask = c->data;
    coat_reply reply;

    if (event->timedout) {
        ask->kept = false; /* too slow is not too old */
        broken(ask, "gives no answer in time (coatcheck_timeout)");
        return;
    }
    for (;;) {
        ssize_t n;

        if (ask->got == ask->buf.len) {
            broken(ask, "says too much");
            return;
        }
        n = c->recv(c, ask->buf.data + ask->got, ask->buf.len - ask->got);
        if (n == NGX_AGAIN) {
            if (ngx_handle_read_event(c->read, 0) != NGX_OK)
                broken(ask, "cannot be read");
            return;
        }
        if (n <= 0) {
            broken(ask, "closed the connection without a whole answer");
            return;
        }
        ask->got += (size_t)n;
        switch (coat_reply_parse((coat_span){ask->buf.data, ask->got}, ask->buf.len, &reply)) {
        case COAT_REPLY_WHOLE:
            finish(ask, &reply);
            return;
        case COAT_REPLY_MORE:
            break;
        case COAT_REPLY_BAD:
            broken(ask, "gives an answer that is not plain HTTP/1.1 with a length");
            return;
        }
    }
}

coat_ngx_ask *
coat_ngx_ask_start(coat_ngx_daemon *daemon, ngx_str_t text, ngx_str_t buf, ngx_msec_t timeout,
                   coat_ngx_told told, void *owner, ngx_log_t *log)
{
    coat_ngx_ask *ask = ngx_calloc(sizeof *ask, log);
    ngx_connection_t *c;

    if (ask == NULL)
        return NULL;
    *ask = (coat_ngx_ask){.daemon = daemon,
                          .text = text,
                          .buf = buf,
                          .timeout = timeout,
                          .told = told,
                          .owner = owner,
                          .log = log};
    c = take_kept(daemon);
    ask->kept = c != NULL;
    if (c == NULL)
        c = connect_new(daemon, log);
    if (c != NULL) {
        attach(ask, c);
        if (send_rest(ask) || again(ask))
            return ask;
    }
    if (ask->connection != NULL)
        ngx_close_connection(ask->connection);
    ngx_free(ask);
    return NULL;
}

void
coat_ngx_ask_cancel(coat_ngx_ask *ask)
{
    if (ask == NULL)
        return;
    ngx_close_connection(ask->connection); /* what it would have said is for nobody */
    ngx_free(ask);
}
