/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_STORE_REMOTE_BUFFER_H
#define COAT_STORE_REMOTE_BUFFER_H

/**
 * Bytes on their way out. Once something did not fit or memory ran out, `failed` stays set and
 * nothing is added: build first, ask once.
 */

#include "core/bytes.h"

#include <sodium.h>
#include <stdlib.h>

enum { REMOTE_BUFFER_MAX = 64 << 20, REMOTE_SECRET_BUFFER = 4096 };

typedef struct remote_buffer {
    uint8_t *ptr;
    size_t len, cap;
    bool failed;
    bool secret; /* wiped when it is freed; to be no larger than REMOTE_SECRET_BUFFER */
} remote_buffer;

static inline void
remote_buffer_add(remote_buffer *buffer, const void *bytes, size_t len)
{
    if (len > REMOTE_BUFFER_MAX - buffer->len)
        buffer->failed = true;
    if (!buffer->failed && len > buffer->cap - buffer->len) {
        size_t cap = buffer->cap < REMOTE_SECRET_BUFFER ? REMOTE_SECRET_BUFFER : buffer->cap;
        uint8_t *grown;

        while (cap - buffer->len < len)
            cap *= 2;
        grown = realloc(buffer->ptr, cap);
        if (grown == NULL) {
            buffer->failed = true;
        } else {
            buffer->ptr = grown;
            buffer->cap = cap;
        }
    }
    if (buffer->failed || len == 0)
        return;
    memcpy(buffer->ptr + buffer->len, bytes, len);
    buffer->len += len;
}

static inline void
remote_buffer_free(remote_buffer *buffer)
{
    if (buffer->secret && buffer->ptr != NULL)
        sodium_memzero(buffer->ptr, buffer->len);
    free(buffer->ptr);
    *buffer = (remote_buffer){0};
}

#endif
