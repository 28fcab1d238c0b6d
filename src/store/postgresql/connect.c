/* SPDX-License-Identifier: Apache-2.0 */
/**
 * A connection until it can be spoken on. libpq has the socket; we watch a duplicate of it,
 * since libpq closes its own when it likes, and the number is somebody else's then. Names are
 * resolved here, since libpq would wait for the answer.
 */

#include "store/postgresql/postgresql.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct pg_poll {
    uv_poll_t handle;
    pg_socket *socket; /* NULL: let go */
    int fd;
    bool writable; /* watched for that too */
};

struct pg_lookup {
    uv_getaddrinfo_t req;
    pg_socket *socket; /* NULL: let go */
};

static void
on_poll_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void
fail(pg_socket *socket, const char *why)
{
    socket->user->failed(socket->owner, why);
}

static void
pg_unwatch(pg_socket *socket)
{
    if (socket->poll == NULL)
        return;
    socket->poll->socket = NULL;
    uv_close((uv_handle_t *)&socket->poll->handle, on_poll_closed);
    (void)close(socket->poll->fd); /* libuv has just left it */
    socket->poll = NULL;
}

static bool
watch_with(pg_socket *socket, int events, uv_poll_cb callback)
{
    pg_poll *poll = calloc(1, sizeof *poll);
    int fd = PQsocket(socket->conn);

    if (fd >= 0)
        fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (poll == NULL || fd < 0 || uv_poll_init(socket->loop, &poll->handle, fd) != 0) {
        if (fd >= 0)
            (void)close(fd);
        free(poll);
        return false;
    }
    poll->fd = fd;
    poll->socket = socket;
    poll->handle.data = poll;
    socket->poll = poll;
    uv_unref((uv_handle_t *)&poll->handle);
    return uv_poll_start(&poll->handle, events, callback) == 0;
}

static void
on_event(uv_poll_t *handle, int status, int events)
{
    pg_poll *poll = handle->data;
    pg_socket *socket = poll->socket;

    if (socket == NULL)
        return;
    if (status < 0 || (events & UV_READABLE) != 0)
        socket->user->readable(socket->owner);
    /* Which may have dropped the connection, this handle with it. */
    if (poll->socket == socket && (events & UV_WRITABLE) != 0)
        socket->user->writable(socket->owner);
}

void
pg_socket_watch(pg_socket *socket, bool writable)
{
    if (socket->poll == NULL || socket->poll->writable == writable)
        return;
    socket->poll->writable = writable;
    (void)uv_poll_start(&socket->poll->handle, UV_READABLE | (writable ? UV_WRITABLE : 0),
                        on_event);
}

static void on_step(uv_poll_t *handle, int status, int events);

static void
step(pg_socket *socket, PostgresPollingStatusType status)
{
    bool watched = false;

    /* libpq may have another socket now. */
    pg_unwatch(socket);
    if (status == PGRES_POLLING_READING)
        watched = watch_with(socket, UV_READABLE, on_step);
    else if (status == PGRES_POLLING_WRITING)
        watched = watch_with(socket, UV_WRITABLE, on_step);
    else if (status == PGRES_POLLING_OK)
        watched =
            PQsetnonblocking(socket->conn, 1) == 0 && watch_with(socket, UV_READABLE, on_event);
    if (!watched)
        fail(socket, PQerrorMessage(socket->conn));
    else if (status == PGRES_POLLING_OK)
        socket->user->connected(socket->owner);
}

static void
on_step(uv_poll_t *handle, int status, int events)
{
    pg_poll *poll = handle->data;

    (void)status;
    (void)events;
    if (poll->socket != NULL)
        step(poll->socket, PQconnectPoll(poll->socket->conn));
}

static void
hear_nothing(void *ctx, const PGresult *result)
{
    (void)ctx;
    (void)result;
}

static void
connect_to(pg_socket *socket, const char *address)
{
    pg_conninfo info = socket->store->conninfo;

    if (address != NULL) {
        info.keys[info.count] = "hostaddr";
        info.values[info.count++] = address;
    }
    info.keys[info.count] = info.values[info.count] = NULL;
    socket->conn = PQconnectStartParams(info.keys, info.values, 0);
    if (socket->conn == NULL) {
        fail(socket, "out of memory");
        return;
    }
    (void)PQsetNoticeReceiver(socket->conn, hear_nothing, NULL);
    if (PQstatus(socket->conn) == CONNECTION_BAD)
        fail(socket, PQerrorMessage(socket->conn));
    else
        step(socket, PGRES_POLLING_WRITING);
}

static const char *
name_address(const struct addrinfo *at, char *out, size_t cap)
{
    const void *bytes = &((const struct sockaddr_in6 *)(const void *)at->ai_addr)->sin6_addr;

    if (at->ai_family == AF_INET)
        bytes = &((const struct sockaddr_in *)(const void *)at->ai_addr)->sin_addr;
    return inet_ntop(at->ai_family, bytes, out, (socklen_t)cap);
}

static void
on_addresses(uv_getaddrinfo_t *req, int status, struct addrinfo *found)
{
    pg_lookup *lookup = req->data;
    pg_socket *socket = lookup->socket;
    char text[INET6_ADDRSTRLEN];
    const struct addrinfo *at = found;
    uint32_t count = 0;

    free(lookup);
    if (socket != NULL) {
        socket->lookup = NULL;
        for (; at != NULL; at = at->ai_next)
            count++;
        /* Another one each time, so that one that is dead does not keep us from the others. */
        at = found;
        for (uint32_t i = 0; count > 0 && i < socket->attempt % count; i++)
            at = at->ai_next;
        if (status != 0 || at == NULL || name_address(at, text, sizeof text) == NULL)
            fail(socket, "the name of the host cannot be resolved");
        else
            connect_to(socket, text);
    }
    uv_freeaddrinfo(found);
}

void
pg_socket_open(pg_socket *socket, pg_store *store, uv_loop_t *loop, const pg_socket_user *user,
               void *owner)
{
    static const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    const char *host = store->host;
    struct in6_addr address;

    socket->store = store;
    socket->loop = loop;
    socket->user = user;
    socket->owner = owner;
    socket->attempt++;
    if (host == NULL || inet_pton(AF_INET, host, &address) == 1 ||
        inet_pton(AF_INET6, host, &address) == 1) {
        connect_to(socket, host);
        return;
    }
    socket->lookup = calloc(1, sizeof *socket->lookup);
    if (socket->lookup == NULL) {
        fail(socket, "out of memory");
        return;
    }
    socket->lookup->socket = socket;
    socket->lookup->req.data = socket->lookup;
    if (uv_getaddrinfo(loop, &socket->lookup->req, on_addresses, host, NULL, &hints) != 0) {
        free(socket->lookup);
        socket->lookup = NULL;
        fail(socket, "the name of the host cannot be resolved");
    }
}

void
pg_socket_close(pg_socket *socket, bool abort)
{
    if (socket->lookup != NULL) {
        socket->lookup->socket = NULL;
        (void)uv_cancel((uv_req_t *)&socket->lookup->req);
        socket->lookup = NULL;
    }
    pg_unwatch(socket);
    if (socket->conn == NULL)
        return;
    if (abort && PQsocket(socket->conn) >= 0)
        (void)shutdown(PQsocket(socket->conn), SHUT_RDWR);
    PQfinish(socket->conn);
    socket->conn = NULL;
}
