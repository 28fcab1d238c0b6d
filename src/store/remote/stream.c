/* SPDX-License-Identifier: Apache-2.0 */
#include "store/remote/stream.h"

#include <stdio.h>

enum { READ_BYTES = 64 * 1024, KEEPALIVE_S = 30 };

struct remote_stream {
    remote_owner owner;
    bool dropped, resolving, has_handle, closed, shaken;
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } u;
    uv_loop_t *loop;
    uv_connect_t connect;
    uv_getaddrinfo_t resolve;
    struct addrinfo *found, *next; /* addresses still to be tried */
    remote_tls *tls;
    uint8_t in[READ_BYTES], plain[READ_BYTES];
};

typedef struct write_op {
    uv_write_t req;
    remote_stream *stream;
    remote_buffer bytes;
} write_op;

static void
release(remote_stream *stream)
{
    if (stream->resolving || (stream->has_handle && !stream->closed))
        return;
    uv_freeaddrinfo(stream->found);
    remote_tls_free(stream->tls);
    free(stream);
}

static void
on_close(uv_handle_t *handle)
{
    remote_stream *stream = handle->data;

    stream->closed = true;
    if (stream->dropped)
        release(stream);
}

void
remote_stream_drop(remote_stream *stream)
{
    if (stream == NULL || stream->dropped)
        return;
    stream->dropped = true;
    if (stream->resolving)
        (void)uv_cancel((uv_req_t *)&stream->resolve);
    if (stream->has_handle && !uv_is_closing(&stream->u.handle))
        uv_close(&stream->u.handle, on_close);
    else
        release(stream);
}

static void
lose(remote_stream *stream, const char *why)
{
    if (!stream->dropped)
        stream->owner.lost(stream->owner.ctx, why);
}

static void
lose_rc(remote_stream *stream, int rc)
{
    lose(stream, rc == UV_EOF ? "closed by the server" : uv_strerror(rc));
}

/* ---- writing ---- */

static void
on_write(uv_write_t *req, int rc)
{
    write_op *op = req->data;
    remote_stream *stream = op->stream;

    remote_buffer_free(&op->bytes);
    free(op);
    /* After a drop the stream still lives: its close comes behind its writes. */
    if (rc != 0 && rc != UV_ECANCELED)
        lose_rc(stream, rc);
}

/** The bytes are ours from now on. */
static void
write_raw(remote_stream *stream, remote_buffer *bytes)
{
    size_t len = bytes->len;
    write_op *op = malloc(sizeof *op);
    uv_buf_t buf;
    int rc;

    if (op == NULL || bytes->failed || len > INT32_MAX) {
        free(op);
        remote_buffer_free(bytes);
        lose(stream, "out of memory");
        return;
    }
    *op = (write_op){.stream = stream, .bytes = *bytes};
    *bytes = (remote_buffer){0};
    op->req.data = op;
    buf = uv_buf_init((char *)op->bytes.ptr, (unsigned)len);
    rc = uv_write(&op->req, &stream->u.stream, &buf, 1, on_write);
    if (rc != 0) {
        remote_buffer_free(&op->bytes);
        free(op);
        lose_rc(stream, rc);
    }
}

static void
drain(remote_stream *stream)
{
    remote_buffer out = {0};

    if (remote_tls_drain(stream->tls, &out) != COAT_OK || out.len > 0)
        write_raw(stream, &out);
}

void
remote_stream_write(remote_stream *stream, remote_buffer *bytes)
{
    coat_err err;

    if (stream->tls == NULL) {
        write_raw(stream, bytes);
        return;
    }
    /* Before the server is verified there is nobody to write to. */
    err = stream->shaken && !bytes->failed
              ? remote_tls_write(stream->tls, bytes->ptr, bytes->len)
              : COAT_IO;
    remote_buffer_free(bytes);
    if (err != COAT_OK)
        lose(stream, "cannot be encrypted");
    else
        drain(stream);
}

/* ---- reading ---- */

static void
on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    remote_stream *stream = handle->data;

    (void)suggested;
    *buf = uv_buf_init((char *)stream->in, sizeof stream->in);
}

/** @return true once the server is verified */
static bool
shake(remote_stream *stream)
{
    coat_err err = remote_tls_shake(stream->tls);
    char why[200];

    if (err == COAT_DENIED)
        remote_tls_reason(stream->tls, why, sizeof why);
    drain(stream); /* also the alert that tells the server why */
    if (stream->dropped || err == COAT_BUSY)
        return false;
    if (err != COAT_OK) {
        lose(stream, why);
        return false;
    }
    stream->shaken = true;
    stream->owner.ready(stream->owner.ctx);
    return !stream->dropped;
}

static void
read_tls(remote_stream *stream, const uint8_t *bytes, size_t len)
{
    long got;

    if (remote_tls_feed(stream->tls, bytes, len) != COAT_OK) {
        lose(stream, "out of memory");
        return;
    }
    if (!stream->shaken && !shake(stream))
        return;
    while ((got = remote_tls_read(stream->tls, stream->plain, sizeof stream->plain)) > 0) {
        stream->owner.bytes(stream->owner.ctx, stream->plain, (size_t)got);
        if (stream->dropped)
            return;
    }
    if (got < 0)
        lose(stream, "TLS: closed by the server");
    else
        drain(stream);
}

static void
on_read(uv_stream_t *uv, ssize_t got, const uv_buf_t *buf)
{
    remote_stream *stream = uv->data;

    if (stream->dropped || got == 0)
        return;
    if (got < 0)
        lose_rc(stream, (int)got);
    else if (stream->tls != NULL)
        read_tls(stream, (const uint8_t *)buf->base, (size_t)got);
    else
        stream->owner.bytes(stream->owner.ctx, (const uint8_t *)buf->base, (size_t)got);
}

/* ---- connecting ---- */

static void try_next(remote_stream *stream, int rc);

static void
on_failed_close(uv_handle_t *handle)
{
    remote_stream *stream = handle->data;

    stream->has_handle = false;
    if (stream->dropped)
        release(stream);
    else
        try_next(stream, UV_ECONNREFUSED);
}

static void
on_connect(uv_connect_t *req, int rc)
{
    remote_stream *stream = req->data;

    if (stream->dropped)
        return;
    if (rc != 0 && stream->next != NULL) {
        uv_close(&stream->u.handle, on_failed_close);
        return;
    }
    if (rc == 0)
        rc = uv_read_start(&stream->u.stream, on_alloc, on_read);
    if (rc != 0) {
        lose_rc(stream, rc);
        return;
    }
    uv_freeaddrinfo(stream->found);
    stream->found = stream->next = NULL;
    if (stream->tls != NULL)
        (void)shake(stream);
    else
        stream->owner.ready(stream->owner.ctx);
}

static int
connect_tcp(remote_stream *stream, const struct sockaddr *address)
{
    int rc = uv_tcp_init(stream->loop, &stream->u.tcp);

    if (rc != 0)
        return rc;
    stream->has_handle = true;
    stream->u.handle.data = stream;
    uv_unref(&stream->u.handle);
    (void)uv_tcp_nodelay(&stream->u.tcp, 1);
    (void)uv_tcp_keepalive(&stream->u.tcp, 1, KEEPALIVE_S);
    return uv_tcp_connect(&stream->connect, &stream->u.tcp, address, on_connect);
}

static void
try_next(remote_stream *stream, int rc)
{
    struct addrinfo *address = stream->next;

    if (address != NULL) {
        stream->next = address->ai_next;
        rc = connect_tcp(stream, address->ai_addr);
        if (rc == 0)
            return;
        /* Refused at once, as where there is no way to an address of this family. */
        if (stream->next != NULL && stream->has_handle) {
            uv_close(&stream->u.handle, on_failed_close);
            return;
        }
    }
    lose_rc(stream, rc);
}

static void
on_resolved(uv_getaddrinfo_t *req, int rc, struct addrinfo *found)
{
    remote_stream *stream = req->data;

    stream->resolving = false;
    stream->found = stream->next = found;
    if (stream->dropped)
        release(stream);
    else
        try_next(stream, rc != 0 ? rc : UV_EAI_NONAME);
}

/** Addresses need no resolver, and so no thread. */
static int
connect_number(remote_stream *stream, const remote_address *address)
{
    struct sockaddr_storage to;

    if (uv_ip4_addr(address->host, address->port, (struct sockaddr_in *)&to) != 0 &&
        uv_ip6_addr(address->host, address->port, (struct sockaddr_in6 *)&to) != 0)
        return UV_EINVAL;
    return connect_tcp(stream, (const struct sockaddr *)&to);
}

static int
resolve(remote_stream *stream, const remote_address *address)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    char port[8];
    int rc;

    (void)snprintf(port, sizeof port, "%u", address->port);
    stream->resolve.data = stream;
    rc = uv_getaddrinfo(stream->loop, &stream->resolve, on_resolved, address->host, port,
                        &hints);
    stream->resolving = rc == 0;
    return rc;
}

static int
connect_path(remote_stream *stream, const remote_address *address)
{
    int rc;

    if (strlen(address->path) > REMOTE_PATH_MAX)
        return UV_ENAMETOOLONG;
    rc = uv_pipe_init(stream->loop, &stream->u.pipe, 0);
    if (rc != 0)
        return rc;
    stream->has_handle = true;
    stream->u.handle.data = stream;
    uv_unref(&stream->u.handle);
    uv_pipe_connect(&stream->connect, &stream->u.pipe, address->path, on_connect);
    return 0;
}

coat_err
remote_stream_open(uv_loop_t *loop, const remote_address *address, const remote_owner *owner,
                   remote_stream **out)
{
    remote_stream *stream = calloc(1, sizeof *stream);
    int rc;

    if (stream == NULL)
        return COAT_NO_MEMORY;
    stream->loop = loop;
    stream->owner = *owner;
    stream->connect.data = stream;
    if (address->tls != NULL &&
        remote_tls_new(address->tls, address->tls_name, &stream->tls) != COAT_OK) {
        free(stream);
        return COAT_NO_MEMORY;
    }
    if (address->host == NULL)
        rc = connect_path(stream, address);
    else if ((rc = connect_number(stream, address)) == UV_EINVAL && !stream->has_handle)
        rc = resolve(stream, address);
    if (rc != 0) {
        remote_stream_drop(stream);
        return COAT_STORE_DOWN;
    }
    *out = stream;
    return COAT_OK;
}
