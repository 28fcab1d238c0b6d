/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_STORE_REDIS_RESP_H
#define COAT_STORE_REDIS_RESP_H

/**
 * RESP2: commands out, replies in. Every argument goes with its length, so no bytes of a user
 * can become a command (ST-6). Replies are read by hiredis into trees of our own, bounded here.
 */

#include "store/remote/buffer.h"

#include <coatcheck/store.h>

enum {
    RESP_ELEMENTS_MAX = 4096,  /* of one array */
    RESP_NODES_MAX = 16384,    /* of one reply */
    RESP_REPLY_MAX = 16 << 20, /* bytes of replies not yet complete */
};

typedef enum resp_type {
    RESP_STRING = 1,
    RESP_ARRAY,
    RESP_INTEGER,
    RESP_NIL,
    RESP_STATUS,
    RESP_ERROR,
} resp_type;

typedef struct resp_reply resp_reply;
struct resp_reply {
    resp_type type;
    int64_t integer;
    coat_span text; /* STRING, STATUS, ERROR */
    size_t count;   /* ARRAY */
    resp_reply **items;
};

typedef struct resp_reader resp_reader;

resp_reader *resp_reader_new(void); /* NULL: no memory */
void resp_reader_free(resp_reader *reader);
/** @retval COAT_MALFORMED, COAT_TOO_LARGE, COAT_NO_MEMORY  drop the connection */
coat_err resp_feed(resp_reader *reader, const uint8_t *bytes, size_t len);
/** The next complete reply, to be freed; NULL: none yet. Errors as above. */
coat_err resp_next(resp_reader *reader, resp_reply **out);
void resp_reply_free(resp_reply *reply);

/** Element i is there and is of that type. */
static inline bool
resp_is(const resp_reply *reply, size_t i, resp_type type)
{
    return reply->type == RESP_ARRAY && i < reply->count && reply->items[i]->type == type;
}

/** A string of decimal digits below 2^53, which Lua can count with. */
bool resp_number(const resp_reply *reply, uint64_t *out);

void resp_begin(remote_buffer *out, size_t args);
void resp_arg(remote_buffer *out, const void *bytes, size_t len);
void resp_arg_two(remote_buffer *out, coat_span first, coat_span second); /* as one */
void resp_arg_str(remote_buffer *out, const char *text);
void resp_arg_uint(remote_buffer *out, uint64_t number);

#endif
