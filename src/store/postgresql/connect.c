/* SPDX-License-Identifier: Apache-2.0 */
/**
 * A connection until it can be spoken on. libpq has the socket; we watch it. Names are resolved
 * here, since libpq would wait for the answer.
 */

#include "store/postgresql/postgresql.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

struct pg_poll {
    uv_poll_t handle;
    pg_link *link; /* NULL: let go */
    bool writable; /* watched for that too */
};

struct pg_lookup {
    uv_getaddrinfo_t req;
    pg_link *link; /* NULL: let go */
};

static void
on_poll_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void
unwatch(pg_link *link)
{
    if (link->poll == NULL)
        return;
    link->poll->link = NULL;
    uv_close((uv_handle_t *)&link->poll->handle, on_poll_closed);
    link->poll = NULL;
}

static bool
watch_with(pg_link *link, int events, uv_poll_cb callback)
{
    pg_poll *poll = calloc(1, sizeof *poll);
    int fd = PQsocket(link->conn);

    if (poll == NULL || fd < 0 || uv_poll_init(link->base.lane->loop, &poll->handle, fd) != 0) {
        free(poll);
        return false;
    }
    poll->link = link;
    poll->handle.data = poll;
    link->poll = poll;
    uv_unref((uv_handle_t *)&poll->handle);
    return uv_poll_start(&poll->handle, events, callback) == 0;
}

static void
on_event(uv_poll_t *handle, int status, int events)
{
    pg_poll *poll = handle->data;
    pg_link *link = poll->link;

    if (link == NULL)
        return;
    if (status < 0 || (events & UV_READABLE) != 0)
        pg_readable(link);
    /* Which may have dropped the connection, this handle with it. */
    if (poll->link == link && (events & UV_WRITABLE) != 0)
        pg_flush(&link->base);
}

void
pg_watch(pg_link *link, bool writable)
{
    if (link->poll == NULL || link->poll->writable == writable)
        return;
    link->poll->writable = writable;
    (void)uv_poll_start(&link->poll->handle, UV_READABLE | (writable ? UV_WRITABLE : 0),
                        on_event);
}

static void on_step(uv_poll_t *handle, int status, int events);

static void
step(pg_link *link, PostgresPollingStatusType status)
{
    bool watched = false;

    /* libpq may have another socket now, perhaps of the same number. */
    unwatch(link);
    if (status == PGRES_POLLING_READING)
        watched = watch_with(link, UV_READABLE, on_step);
    else if (status == PGRES_POLLING_WRITING)
        watched = watch_with(link, UV_WRITABLE, on_step);
    else if (status == PGRES_POLLING_OK)
        watched = PQsetnonblocking(link->conn, 1) == 0 &&
                  PQenterPipelineMode(link->conn) == 1 &&
                  watch_with(link, UV_READABLE, on_event);
    if (!watched) {
        pg_fail(link, PQerrorMessage(link->conn));
        return;
    }
    if (status == PGRES_POLLING_OK)
        pg_hello(link);
}

static void
on_step(uv_poll_t *handle, int status, int events)
{
    pg_poll *poll = handle->data;

    (void)status;
    (void)events;
    if (poll->link != NULL)
        step(poll->link, PQconnectPoll(poll->link->conn));
}

static void
hear_nothing(void *ctx, const PGresult *result)
{
    (void)ctx;
    (void)result;
}

static void
connect_to(pg_link *link, const char *address)
{
    pg_conninfo info = pg_store_of(link)->conninfo;

    if (address != NULL) {
        info.keys[info.count] = "hostaddr";
        info.values[info.count++] = address;
    }
    info.keys[info.count] = info.values[info.count] = NULL;
    link->conn = PQconnectStartParams(info.keys, info.values, 0);
    if (link->conn == NULL) {
        pg_fail(link, "out of memory");
        return;
    }
    (void)PQsetNoticeReceiver(link->conn, hear_nothing, NULL);
    if (PQstatus(link->conn) == CONNECTION_BAD)
        pg_fail(link, PQerrorMessage(link->conn));
    else
        step(link, PGRES_POLLING_WRITING);
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
    pg_link *link = lookup->link;
    char text[INET6_ADDRSTRLEN];
    const struct addrinfo *at = found;
    uint32_t count = 0;

    free(lookup);
    if (link != NULL) {
        link->lookup = NULL;
        for (; at != NULL; at = at->ai_next)
            count++;
        /* Another one each time, so that one that is dead does not keep us from the others. */
        at = found;
        for (uint32_t i = 0; count > 0 && i < link->attempt % count; i++)
            at = at->ai_next;
        if (status != 0 || at == NULL || name_address(at, text, sizeof text) == NULL)
            pg_fail(link, "the name of the host cannot be resolved");
        else
            connect_to(link, text);
    }
    uv_freeaddrinfo(found);
}

void
pg_start(remote_link *base)
{
    static const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    pg_link *link = (pg_link *)base;
    const char *host = pg_store_of(link)->host;
    struct in6_addr address;

    link->greeted = false;
    link->open = link->broken = false;
    link->pid = 0;
    link->timeout_ms = 0;
    link->prepared = 0;
    link->attempt++;
    /* So that what an earlier connection was answered fits nothing of this one. */
    link->number = remote_random(remote_store_of(base));
    if (host == NULL || inet_pton(AF_INET, host, &address) == 1 ||
        inet_pton(AF_INET6, host, &address) == 1) {
        connect_to(link, host);
        return;
    }
    link->lookup = calloc(1, sizeof *link->lookup);
    if (link->lookup == NULL) {
        pg_fail(link, "out of memory");
        return;
    }
    link->lookup->link = link;
    link->lookup->req.data = link->lookup;
    if (uv_getaddrinfo(base->lane->loop, &link->lookup->req, on_addresses, host, NULL,
                       &hints) != 0) {
        free(link->lookup);
        link->lookup = NULL;
        pg_fail(link, "the name of the host cannot be resolved");
    }
}

void
pg_close_connection(pg_link *link)
{
    if (link->lookup != NULL) {
        link->lookup->link = NULL;
        (void)uv_cancel((uv_req_t *)&link->lookup->req);
        link->lookup = NULL;
    }
    unwatch(link);
    if (link->conn == NULL)
        return;
    /* What libpq has not sent yet is not to be sent in parting: it was given up. */
    if (link->base.flight.count > 0 && PQsocket(link->conn) >= 0)
        (void)shutdown(PQsocket(link->conn), SHUT_RDWR);
    PQfinish(link->conn);
    link->conn = NULL;
}
