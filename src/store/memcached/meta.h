/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_STORE_MEMCACHED_META_H
#define COAT_STORE_MEMCACHED_META_H

/**
 * What a memcached server sends: the answers of the meta protocol, and the few lines of the
 * older one that are said at the beginning. Strict: what a server would not write is an error,
 * after which a connection is of no use.
 */

#include "store/remote/buffer.h"

enum {
    MC_LINE_MAX = 2048,
    MC_VALUE_MAX = 8 << 20, /* whatever the server's own limit */
};

typedef enum mc_code {
    MC_HD,   /* done; or an item without its value */
    MC_VA,   /* an item with its value */
    MC_EN,   /* no such item */
    MC_NS,   /* not stored: it is there */
    MC_EX,   /* not stored: it has changed */
    MC_NF,   /* not stored: it is not there */
    MC_LINE, /* a line of the older protocol: `line` */
} mc_code;

typedef struct mc_reply {
    mc_code code;
    bool has_cas, has_ttl, has_opaque;
    uint64_t cas, opaque;
    int64_t ttl_s; /* -1: never */
    coat_span line;
    coat_span value; /* lies in bytes */
    uint8_t *bytes;
} mc_reply;

typedef struct mc_reader {
    remote_buffer in;
    size_t at;
} mc_reader;

/** @retval COAT_OK, COAT_NO_MEMORY, COAT_TOO_LARGE */
coat_err mc_reader_feed(mc_reader *reader, const uint8_t *bytes, size_t len);
/**
 * Take the next reply. Its line is borrowed until the reader is next used, its value belongs to
 * it: mc_reply_free().
 * @retval COAT_OK  *whole says whether there was one
 * @retval COAT_MALFORMED, COAT_TOO_LARGE, COAT_NO_MEMORY  drop the connection
 */
coat_err mc_reader_next(mc_reader *reader, mc_reply *out, bool *whole);
void mc_reader_fini(mc_reader *reader);

static inline void
mc_reply_free(mc_reply *reply)
{
    free(reply->bytes);
    reply->bytes = NULL;
}

/** A decimal number as the server writes it: no sign, no leading zero. */
bool mc_number(coat_span text, uint64_t *out);

#endif
