/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_SERVER_HTTP_PARSER_H
#define COAT_SERVER_HTTP_PARSER_H

/**
 * HTTP/1.1 requests (RFC 9112), strictly: what is not plainly valid is refused (FA-8). Pure.
 *
 * The bytes of a request lie in one buffer from its first byte on; the parser keeps offsets, so
 * the buffer may move between calls. It looks at whole lines only, which is why the outcome
 * does not depend on how the bytes were cut up. A chunked body is decoded in place.
 */

#include "core/chars.h"
#include "server/http/http.h"

#define COAT_PARSER_EXT_MAX 256      /* bytes of chunk extensions of a request */
#define COAT_PARSER_TRAILER_MAX 1024 /* bytes of trailers, which are checked and dropped */
#define COAT_PARSER_METHOD_MAX 32
/** A buffer of this size never fills up: the last part is room for chunk framing. */
#define COAT_PARSER_BUFFER                                                                     \
    (2 + COAT_HTTP_LINE_MAX + 2 + COAT_HTTP_HEADER_MAX + 2 + COAT_HTTP_BODY_MAX + 2026)

typedef enum coat_parser_state {
    COAT_PARSER_LINE = 0,
    COAT_PARSER_FIELDS,
    COAT_PARSER_BODY,
    COAT_PARSER_CHUNKS,
    COAT_PARSER_DONE,
    COAT_PARSER_FAILED,
} coat_parser_state;

typedef struct coat_parser_field {
    uint16_t name, name_len, value, value_len;
} coat_parser_field;

typedef struct coat_parser {
    uint8_t state;
    uint8_t minor;
    uint8_t chunk_state;
    bool keep_alive;
    bool expect_continue;
    bool chunked, has_length;
    bool conn_close, conn_keep; /* tokens seen in Connection */
    uint8_t host_count, encoding_count, expect_count;
    uint8_t chunk_digits;
    uint16_t status;     /* FAILED: the answer */
    uint16_t method_len; /* the method begins at `start` */
    uint16_t start;      /* 2 after a leading empty line */
    uint16_t target, target_len;
    uint16_t authority, authority_len; /* absolute-form: what Host has to be */
    uint16_t host;                     /* index of field */
    uint16_t field_count;
    uint16_t ext_bytes, trailer_bytes;
    uint32_t header; /* offset of the header section */
    uint32_t pos;    /* all before is parsed */
    uint32_t scan;   /* no line end between pos and here */
    uint32_t body, body_len, length;
    uint32_t chunk_left;
    coat_parser_field fields[COAT_HTTP_FIELDS_MAX];
} coat_parser;

/** Before each request. Cheap: does not touch the fields. */
void coat_parser_reset(coat_parser *parser);

/**
 * Parse on. Call with all bytes since the request's first, after more have come.
 * @param buf  altered for chunked bodies
 * @param len  bytes in buf; gets smaller as chunk framing is taken out, while not DONE
 * @return DONE: the request ends at parser->pos, what follows is the next one;
 *         FAILED: answer parser->status, close, and drop whatever follows;
 *         else more bytes are needed
 */
coat_parser_state coat_parser_feed(coat_parser *parser, uint8_t *buf, size_t *len);

/** Head of a request in spans; fields of at least parser->field_count. */
void coat_parser_head(const coat_parser *parser, const uint8_t *buf, coat_http_request *out,
                      coat_field *fields);

/** A Host, or authority of an absolute target: name, IPv4 or [IPv6], optional port. */
bool coat_parser_host_valid(coat_span host);
/** Chunked coding, in chunked.c: false if parser->status was set. */
bool coat_parser_chunks(coat_parser *parser, uint8_t *buf, size_t *len);

/* Classes of bytes. */
enum {
    COAT_BYTE_TOKEN = 1,
    COAT_BYTE_VALUE = 2, /* in a field value: visible, space, tab, obs-text */
    COAT_BYTE_PATH = 4,
    COAT_BYTE_QUERY = 8,
    COAT_BYTE_NAME = 16, /* in a host name */
};
extern const uint8_t coat_byte_class[256];
/** All bytes of class COAT_BYTE_VALUE? */
bool coat_value_valid(coat_span value);

#endif
