/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_STORE_REMOTE_STREAM_H
#define COAT_STORE_REMOTE_STREAM_H

/**
 * One connection on libuv: TCP or Unix socket, plain or TLS. After remote_stream_drop() its
 * owner hears nothing more, and it frees itself once libuv is done with it.
 */

#include "store/remote/buffer.h"
#include "store/remote/tls.h"

#include <sys/un.h>
#include <uv.h>

/** Of a Unix socket. libuv would cut a longer one, and connect to whoever is there. */
#define REMOTE_PATH_MAX (sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1)

typedef struct remote_stream remote_stream;

typedef struct remote_address {
    const char *host; /* name or address; NULL: path */
    const char *path; /* of a Unix socket */
    uint16_t port;
    remote_tls_context *tls; /* NULL: plain */
    const char *tls_name;    /* see remote_tls_new() */
} remote_address;

/** Where a stream reports to. Each function may drop the stream. */
typedef struct remote_owner {
    void *ctx;
    void (*ready)(void *ctx); /* connected; with TLS also verified */
    void (*bytes)(void *ctx, const uint8_t *bytes, size_t len);
    void (*lost)(void *ctx, const char *why); /* drop it now */
} remote_owner;

/**
 * @param address  read before it returns
 * @retval COAT_OK  ready() or lost() will follow, later
 */
coat_err remote_stream_open(uv_loop_t *loop, const remote_address *address,
                            const remote_owner *owner, remote_stream **out);
/** Send the bytes and empty the buffer. Failures come by lost(), perhaps before it returns. */
void remote_stream_write(remote_stream *stream, remote_buffer *bytes);
void remote_stream_drop(remote_stream *stream); /* NULL is a no-op */

#endif
