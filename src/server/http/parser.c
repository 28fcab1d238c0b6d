/* SPDX-License-Identifier: Apache-2.0 */
#include "server/http/parser.h"

#include <stddef.h>

typedef struct line {
    const uint8_t *buf;  /* of the request */
    uint32_t start, end; /* without CRLF */
} line;

static bool
fail(coat_parser *parser, uint16_t status)
{
    parser->status = status;
    return false;
}

static bool
all_in_class(const uint8_t *ptr, size_t len, uint8_t class)
{
    uint8_t all = class;

    for (size_t i = 0; i < len; i++)
        all &= coat_byte_class[ptr[i]];
    return all != 0;
}

static bool
port_valid(const uint8_t *ptr, size_t len)
{
    uint32_t port = 0;

    for (size_t i = 0; i < len; i++) {
        if (ptr[i] < '0' || ptr[i] > '9' || i == 5)
            return false;
        port = port * 10 + (uint32_t)(ptr[i] - '0');
    }
    return len > 0 && port <= 65535;
}

static bool
ipv6_valid(coat_span text)
{
    coat_address address;

    return memchr(text.ptr, ':', text.len) != NULL &&
           coat_address_parse(text, &address) == COAT_OK;
}

bool
coat_parser_host_valid(coat_span host)
{
    size_t end = 0;

    if (host.len == 0 || host.len > 255 + 6)
        return false;
    if (host.ptr[0] == '[') {
        const uint8_t *close = memchr(host.ptr, ']', host.len);

        if (close == NULL ||
            !ipv6_valid((coat_span){host.ptr + 1, (size_t)(close - host.ptr) - 1}))
            return false;
        end = (size_t)(close - host.ptr) + 1;
    } else {
        while (end < host.len && (coat_byte_class[host.ptr[end]] & COAT_BYTE_NAME) != 0)
            end++;
        if (end == 0 || end > 255 || host.ptr[0] == '.')
            return false;
    }
    if (end == host.len)
        return true;
    return host.ptr[end] == ':' && port_valid(host.ptr + end + 1, host.len - end - 1);
}

static bool
origin_form_valid(const uint8_t *ptr, size_t len)
{
    size_t path = 0;

    if (len == 0 || ptr[0] != '/')
        return false;
    while (path < len && ptr[path] != '?')
        path++;
    return all_in_class(ptr, path, COAT_BYTE_PATH) &&
           all_in_class(ptr + path, len - path, COAT_BYTE_QUERY);
}

/* RFC 9112 3.2.2. Host has to agree, which is checked once it has been seen. */
static bool
absolute_form(coat_parser *parser, const line *l, uint32_t at, uint32_t end)
{
    static const char *const schemes[] = {"http://", "https://"};
    const uint8_t *ptr = l->buf + at;
    uint32_t skip = 0, slash;

    for (size_t i = 0; i < 2; i++) {
        coat_span scheme = coat_span_of(schemes[i]);

        if (end - at > scheme.len && coat_span_is_nocase((coat_span){ptr, scheme.len}, scheme))
            skip = (uint32_t)scheme.len;
    }
    if (skip == 0)
        return fail(parser, 400);
    for (slash = at + skip; slash < end && l->buf[slash] != '/'; slash++)
        ;
    parser->authority = (uint16_t)(at + skip);
    parser->authority_len = (uint16_t)(slash - parser->authority);
    parser->target = (uint16_t)slash;
    parser->target_len = (uint16_t)(end - slash);
    if (!coat_parser_host_valid((coat_span){l->buf + parser->authority, parser->authority_len}))
        return fail(parser, 400);
    /* "http://host": the path is "/", and the slash before the host is one. */
    if (slash == end) {
        parser->target = (uint16_t)(at + skip - 1);
        parser->target_len = 1;
    }
    return origin_form_valid(l->buf + parser->target, parser->target_len) || fail(parser, 400);
}

static bool
take_target(coat_parser *parser, const line *l, uint32_t at, uint32_t end)
{
    coat_span method = {l->buf + parser->start, parser->method_len};
    coat_span target = {l->buf + at, end - at};

    parser->target = (uint16_t)at;
    parser->target_len = (uint16_t)target.len;
    if (coat_span_is(method, COAT_LIT("CONNECT")))
        return (coat_parser_host_valid(target) && target.ptr[target.len - 1] != ']' &&
                memchr(target.ptr, ':', target.len) != NULL) ||
               fail(parser, 400);
    if (coat_span_is(target, COAT_LIT("*")))
        return coat_span_is(method, COAT_LIT("OPTIONS")) || fail(parser, 400);
    if (target.ptr[0] == '/')
        return origin_form_valid(target.ptr, target.len) || fail(parser, 400);
    return absolute_form(parser, l, at, end);
}

static bool
take_version(coat_parser *parser, const uint8_t *ptr, size_t len)
{
    if (len != 8 || memcmp(ptr, "HTTP/", 5) != 0 || ptr[5] < '0' || ptr[5] > '9' ||
        ptr[6] != '.' || ptr[7] < '0' || ptr[7] > '9')
        return fail(parser, 400);
    if (ptr[5] != '1' || ptr[7] > '1')
        return fail(parser, 505);
    parser->minor = (uint8_t)(ptr[7] - '0');
    return true;
}

/* method SP target SP version, single spaces (RFC 9112 3). */
static bool
take_request_line(coat_parser *parser, const line *l)
{
    const uint8_t *first = memchr(l->buf + l->start, ' ', l->end - l->start);
    const uint8_t *second;
    uint32_t target;

    if (first == NULL)
        return fail(parser, 400);
    target = (uint32_t)(first - l->buf) + 1;
    second = memchr(first + 1, ' ', l->end - target);
    if (second == NULL || second == first + 1)
        return fail(parser, 400);
    parser->start = (uint16_t)l->start;
    parser->method_len = (uint16_t)(first - (l->buf + l->start));
    if (parser->method_len == 0 || parser->method_len > COAT_PARSER_METHOD_MAX ||
        !all_in_class(l->buf + l->start, parser->method_len, COAT_BYTE_TOKEN))
        return fail(parser, 400);
    if (!take_version(parser, second + 1, (size_t)(l->buf + l->end - second - 1)))
        return false;
    return take_target(parser, l, target, (uint32_t)(second - l->buf));
}

/* One value of digits only: lists, signs and a second field are refused (RFC 9112 6.3). */
static bool
take_length(coat_parser *parser, coat_span value)
{
    uint64_t length = 0;

    if (parser->has_length || value.len == 0)
        return fail(parser, 400);
    for (size_t i = 0; i < value.len; i++) {
        if (value.ptr[i] < '0' || value.ptr[i] > '9')
            return fail(parser, 400);
        if (length <= COAT_HTTP_BODY_MAX)
            length = length * 10 + (uint64_t)(value.ptr[i] - '0');
    }
    parser->has_length = true;
    parser->length = (uint32_t)length;
    return true;
}

/* Only "chunked" alone is understood: a coding before it is unknown, one after it absurd. */
static bool
take_encoding(coat_parser *parser, coat_span value)
{
    if (parser->encoding_count++ != 0)
        return fail(parser, 400);
    if (coat_span_is_nocase(value, COAT_LIT("chunked"))) {
        parser->chunked = true;
        return true;
    }
    return fail(parser, 400);
}

static bool
take_expect(coat_parser *parser, coat_span value)
{
    if (parser->minor == 0)
        return true; /* RFC 9110 10.1.1: ignored */
    if (parser->expect_count++ != 0 || !coat_span_is_nocase(value, COAT_LIT("100-continue")))
        return fail(parser, 417);
    parser->expect_continue = true;
    return true;
}

static void
take_connection(coat_parser *parser, coat_span value)
{
    coat_span item;

    while (coat_span_split(&value, ',', &item)) {
        parser->conn_close |= coat_span_is_nocase(item, COAT_LIT("close"));
        parser->conn_keep |= coat_span_is_nocase(item, COAT_LIT("keep-alive"));
    }
}

static bool
take_known(coat_parser *parser, coat_span name, coat_span value)
{
    switch (name.len) {
    case 4:
        if (!coat_span_is_nocase(name, COAT_LIT("Host")))
            return true;
        parser->host = parser->field_count;
        if (parser->host_count++ != 0 || !coat_parser_host_valid(value))
            return fail(parser, 400);
        return true;
    case 6:
        return !coat_span_is_nocase(name, COAT_LIT("Expect")) || take_expect(parser, value);
    case 10:
        if (coat_span_is_nocase(name, COAT_LIT("Connection")))
            take_connection(parser, value);
        return true;
    case 14:
        return !coat_span_is_nocase(name, COAT_LIT("Content-Length")) ||
               take_length(parser, value);
    case 17:
        return !coat_span_is_nocase(name, COAT_LIT("Transfer-Encoding")) ||
               take_encoding(parser, value);
    default:
        return true;
    }
}

/* field-name ":" OWS field-value OWS. A line that begins with white space, obs-fold, has no
 * name; white space before the colon is no token (RFC 9112 5.1, 5.2). */
static bool
take_field(coat_parser *parser, const line *l)
{
    const uint8_t *ptr = l->buf + l->start, *end = l->buf + l->end, *colon = ptr;
    coat_span name, value;

    while (colon < end && (coat_byte_class[*colon] & COAT_BYTE_TOKEN) != 0)
        colon++;
    if (colon == ptr || colon == end || *colon != ':')
        return fail(parser, 400);
    if (parser->field_count == COAT_HTTP_FIELDS_MAX)
        return fail(parser, 431);
    name = (coat_span){ptr, (size_t)(colon - ptr)};
    value = coat_span_trim((coat_span){colon + 1, (size_t)(end - colon) - 1});
    if (!coat_value_valid(value))
        return fail(parser, 400);
    if (!take_known(parser, name, value))
        return false;
    parser->fields[parser->field_count++] =
        (coat_parser_field){(uint16_t)l->start, (uint16_t)name.len,
                            (uint16_t)(value.ptr - l->buf), (uint16_t)value.len};
    return true;
}

/* The end of the header section: what can only be judged when all fields are known. */
static bool
finish_head(coat_parser *parser, const uint8_t *buf)
{
    const coat_parser_field *host = &parser->fields[parser->host];

    if (parser->minor == 1 && parser->host_count == 0)
        return fail(parser, 400);
    if (parser->authority_len > 0 && parser->host_count != 0 &&
        !coat_span_is_nocase((coat_span){buf + parser->authority, parser->authority_len},
                             (coat_span){buf + host->value, host->value_len}))
        return fail(parser, 400);
    if (parser->encoding_count != 0 && (parser->has_length || parser->minor == 0))
        return fail(parser, 400);
    if (parser->has_length && parser->length > COAT_HTTP_BODY_MAX)
        return fail(parser, 413);
    parser->keep_alive = !parser->conn_close && (parser->minor == 1 || parser->conn_keep);
    parser->body = parser->pos;
    parser->state = parser->chunked ? COAT_PARSER_CHUNKS : COAT_PARSER_BODY;
    return true;
}

static bool
take_line(coat_parser *parser, const line *l)
{
    if (parser->state == COAT_PARSER_LINE) {
        if (l->start == l->end) /* one empty line before a request (RFC 9112 2.2) */
            return l->start == 0 || fail(parser, 400);
        parser->header = parser->pos;
        parser->state = COAT_PARSER_FIELDS;
        return take_request_line(parser, l);
    }
    if (l->start == l->end)
        return finish_head(parser, l->buf);
    return take_field(parser, l);
}

/* Bytes of the line or of the header section up to `end`. */
static uint32_t
counted(const coat_parser *parser, uint32_t end)
{
    return end - (parser->state == COAT_PARSER_LINE ? parser->pos : parser->header);
}

static uint32_t
limit_of(const coat_parser *parser)
{
    return parser->state == COAT_PARSER_LINE ? COAT_HTTP_LINE_MAX : COAT_HTTP_HEADER_MAX;
}

static bool
too_long(coat_parser *parser)
{
    return fail(parser, parser->state == COAT_PARSER_LINE ? 414 : 431);
}

/** @return false if it failed or more bytes are needed; parser->status tells which. */
static bool
next_line(coat_parser *parser, const uint8_t *buf, size_t len)
{
    const uint8_t *lf = memchr(buf + parser->scan, '\n', len - parser->scan);
    line l = {buf, parser->pos, 0};
    uint32_t line_end = 0;

    parser->scan = (uint32_t)len;
    if (lf == NULL) {
        /* One more may be the CR of a line that just fits. */
        if (counted(parser, (uint32_t)len) > limit_of(parser) + 1)
            return too_long(parser);
        return false;
    }
    l.end = (uint32_t)(lf - buf);
    if (l.end == l.start)
        return fail(parser, 400);
    l.end--;
    /* The header section is counted with its line ends but for the empty line. */
    if (parser->state == COAT_PARSER_FIELDS && l.end > l.start)
        line_end = 2;
    if (counted(parser, l.end) + line_end > limit_of(parser))
        return too_long(parser);
    if (buf[l.end] != '\r') /* a bare LF; a bare CR is refused as a control byte */
        return fail(parser, 400);
    parser->pos = parser->scan = l.end + 2;
    return take_line(parser, &l);
}

void
coat_parser_reset(coat_parser *parser)
{
    memset(parser, 0, offsetof(coat_parser, fields));
}

coat_parser_state
coat_parser_feed(coat_parser *parser, uint8_t *buf, size_t *len)
{
    while (parser->state < COAT_PARSER_BODY) {
        if (next_line(parser, buf, *len))
            continue;
        if (parser->status != 0)
            parser->state = COAT_PARSER_FAILED;
        return parser->state;
    }
    if (parser->state == COAT_PARSER_BODY && *len - parser->body >= parser->length) {
        parser->body_len = parser->length;
        parser->pos = parser->body + parser->length;
        parser->state = COAT_PARSER_DONE;
    } else if (parser->state == COAT_PARSER_CHUNKS && !coat_parser_chunks(parser, buf, len)) {
        parser->state = COAT_PARSER_FAILED;
    }
    return parser->state;
}

static coat_http_method
method_of(coat_span text)
{
    static const char *const names[] = {"",    "GET",   "HEAD",   "POST",
                                        "PUT", "PATCH", "DELETE", "OPTIONS"};

    for (size_t i = 1; i < sizeof names / sizeof names[0]; i++)
        if (coat_span_is(text, coat_span_of(names[i])))
            return (coat_http_method)i;
    return COAT_HTTP_OTHER;
}

void
coat_parser_head(const coat_parser *parser, const uint8_t *buf, coat_http_request *out,
                 coat_field *fields)
{
    for (size_t i = 0; i < parser->field_count; i++) {
        const coat_parser_field *field = &parser->fields[i];

        fields[i] = (coat_field){{buf + field->name, field->name_len},
                                 {buf + field->value, field->value_len}};
    }
    out->fields = fields;
    out->field_count = parser->field_count;
    out->method_text = (coat_span){buf + parser->start, parser->method_len};
    out->method = method_of(out->method_text);
    out->target = (coat_span){buf + parser->target, parser->target_len};
    out->minor = parser->minor;
    out->keep_alive = parser->keep_alive;
    out->host = parser->host_count != 0 ? fields[parser->host].value : (coat_span){NULL, 0};
    if (parser->host_count == 0 && parser->authority_len > 0)
        out->host = (coat_span){buf + parser->authority, parser->authority_len};
    out->body = (coat_span){buf + parser->body, parser->body_len};
}
