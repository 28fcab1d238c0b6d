/* SPDX-License-Identifier: Apache-2.0 */
#include "server/http/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * Accepting is done by hand rather than with uv_listen(): a listener can then be left alone
 * while there is no room (RX-3), and the address of the peer comes with accept4().
 */

#define ACCEPT_BATCH 64
#define ACCEPT_BATCH_SHARED 8 /* leave some for the other loops */

static void on_acceptable(uv_poll_t *poll, int status, int events);

static void
pause_port(coat_port *port)
{
    (void)uv_poll_stop(&port->poll);
    port->paused = true;
    coat_loop_want_ticks(port->loop);
}

void
coat_port_resume(coat_port *port)
{
    if (port->open && port->paused &&
        uv_poll_start(&port->poll, UV_READABLE, on_acceptable) == 0)
        port->paused = false;
}

static void
peer_of(coat_port *port, int fd, const struct sockaddr_storage *from, coat_http_peer *peer)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    struct ucred cred;
    socklen_t len = sizeof cred;

    *peer = (coat_http_peer){.is_unix = port->is_unix};
    if (port->is_unix) {
        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0 && len == sizeof cred) {
            peer->has_cred = true;
            peer->uid = cred.uid;
            peer->gid = cred.gid;
            peer->pid = cred.pid;
        }
    } else if (from->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)from;

        memcpy(peer->address.bytes, mapped, sizeof mapped);
        memcpy(peer->address.bytes + 12, &in->sin_addr, 4);
        peer->port = ntohs(in->sin_port);
        peer->address.known = true;
    } else if (from->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)from;

        memcpy(peer->address.bytes, &in6->sin6_addr, 16);
        peer->port = ntohs(in6->sin6_port);
        peer->address.known = true;
    }
}

static bool
has_room(const coat_port *port)
{
    coat_http_server *server = port->loop->server;

    if (port->conf->role == COAT_HTTP_ADMIN)
        return __atomic_load_n(&server->open_admin, __ATOMIC_RELAXED) <
               server->conf.limits.admin_connections;
    return __atomic_load_n(&server->open, __ATOMIC_RELAXED) < server->cap;
}

static int
accept_one(coat_port *port, struct sockaddr_storage *from)
{
    coat_loop *loop = port->loop;
    socklen_t len = sizeof *from;
    int fd = accept4(port->fd, (struct sockaddr *)from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd >= 0 || (errno != EMFILE && errno != ENFILE))
        return fd;
    if (port->conf->role != COAT_HTTP_ADMIN || loop->spare_fd < 0) {
        errno = EMFILE;
        return -1;
    }
    /* An operator gets in even now; the spare is taken again at a later tick. */
    (void)close(loop->spare_fd);
    loop->spare_fd = -1;
    len = sizeof *from;
    return accept4(port->fd, (struct sockaddr *)from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

/* @return false: no more for now */
static bool
take_one(coat_port *port)
{
    coat_loop *loop = port->loop;
    struct sockaddr_storage from = {0};
    coat_http_peer peer;
    uint32_t source = 0;
    bool allowed = true;
    int fd;

    if (!has_room(port)) {
        COAT_COUNT(loop, refused_cap);
        pause_port(port);
        return false;
    }
    fd = accept_one(port, &from);
    if (fd < 0) {
        if (errno == EINTR || errno == ECONNABORTED)
            return true;
        if (errno != EAGAIN) {
            COAT_COUNT(loop, accept_errors);
            pause_port(port); /* until the next tick */
        }
        return false;
    }
    peer_of(port, fd, &from, &peer);
    if (port->conf->admit != NULL && !port->conf->admit(port->conf, &peer)) {
        (void)close(fd);
        return true;
    }
    if (port->conf->role != COAT_HTTP_ADMIN && peer.address.known)
        source = coat_sources_take(loop->server->sources, &peer.address, &allowed);
    if (!allowed) {
        COAT_COUNT(loop, refused_source);
        (void)close(fd);
        return true;
    }
    coat_conn_open(port, fd, &peer, source);
    return true;
}

static void
on_acceptable(uv_poll_t *poll, int status, int events)
{
    coat_port *port = poll->data;
    int batch = port->loop->server->loop_count > 1 ? ACCEPT_BATCH_SHARED : ACCEPT_BATCH;

    (void)events;
    if (status < 0) {
        pause_port(port);
        return;
    }
    while (batch-- > 0 && take_one(port))
        ;
}

coat_err
coat_port_open(coat_port *port)
{
    port->is_unix = coat_listen_is_unix(port->fd);
    if (uv_poll_init(&port->loop->uv, &port->poll, port->fd) != 0)
        return COAT_IO;
    port->poll.data = port;
    port->open = port->paused = true;
    coat_port_resume(port);
    return port->paused ? COAT_IO : COAT_OK;
}

static void
on_poll_closed(uv_handle_t *handle)
{
    coat_port *port = handle->data;

    (void)close(port->fd);
    port->fd = -1;
}

void
coat_port_close(coat_port *port)
{
    if (!port->open)
        return;
    port->open = false;
    uv_close((uv_handle_t *)&port->poll, on_poll_closed);
}
