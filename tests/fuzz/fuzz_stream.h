/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_FUZZ_STREAM_H
#define COAT_FUZZ_STREAM_H

/** Connections without a network, instead of those of stream.c: what comes on them is the
 * target's, by their owner, and nothing may be written once they are dropped. */

#include "fuzz.h"
#include "store/remote/stream.h"

enum { STREAMS_MAX = 16 };

struct remote_stream {
    remote_owner owner;
    bool open, ready;
    size_t heard; /* bytes */
};

static remote_stream streams[STREAMS_MAX];
static size_t opened; /* so many of them, so far */

coat_err
remote_stream_open(uv_loop_t *loop, const remote_address *address, const remote_owner *owner,
                   remote_stream **out)
{
    (void)loop;
    FUZZ_CHECK(opened < STREAMS_MAX && address->host[0] != '\0');
    streams[opened] = (remote_stream){.owner = *owner, .open = true};
    *out = &streams[opened++];
    return COAT_OK;
}

void
remote_stream_write(remote_stream *stream, remote_buffer *bytes)
{
    FUZZ_CHECK(stream->open && bytes->len > 0 && !bytes->failed);
    remote_buffer_free(bytes);
}

void
remote_stream_drop(remote_stream *stream)
{
    if (stream != NULL)
        stream->open = false;
}

/** It is connected, if it was not before; then these bytes come, if there are any. */
static inline void
hear(remote_stream *stream, const uint8_t *bytes, size_t len)
{
    if (!stream->ready)
        stream->owner.ready(stream->owner.ctx);
    stream->ready = true;
    stream->heard += len;
    if (stream->open && len > 0)
        stream->owner.bytes(stream->owner.ctx, bytes, len);
}

#endif
