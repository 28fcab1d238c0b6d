/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_NGX_REPLY_H
#define COAT_NGX_REPLY_H

/**
 * An answer of the daemon: HTTP/1.1 with Content-Length, nothing else. Pure; knows no nginx, so
 * that it can be tested and fuzzed by itself.
 */

#include <coatcheck/forward.h>

enum { COAT_REPLY_FIELDS_MAX = 48 };

typedef struct coat_reply {
    unsigned status; /* 100 to 599 */
    coat_field fields[COAT_REPLY_FIELDS_MAX];
    size_t field_count;
    coat_span body;
    bool keep; /* the connection can take another question */
} coat_reply;

typedef enum coat_reply_state {
    COAT_REPLY_BAD = 0, /* no answer of ours: drop the connection, believe nothing */
    COAT_REPLY_MORE,    /* so far so good */
    COAT_REPLY_WHOLE,
} coat_reply_state;

/**
 * Parse what has arrived so far. Strict: CRLF only, no folding, no control bytes, one
 * Content-Length (needed but for 204 and 304), no Transfer-Encoding, nothing behind the body.
 * @param cap  bytes that the answer may have; more than fits is BAD
 * @param out  set if the answer is WHOLE; spans point into text
 */
coat_reply_state coat_reply_parse(coat_span text, size_t cap, coat_reply *out);

/** First field of that name; {NULL, 0} if there is none. */
coat_span coat_reply_field(const coat_reply *reply, const char *name);

#endif
