/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include "core/chars.h"
#include "server/http/parser.h"

#define HEAD "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

static uint8_t buf[65536], decoded[65536];

/* Chunks, read by somebody who trusts them. @return bytes of the body, or SIZE_MAX */
static size_t
decode(const uint8_t *data, size_t size, size_t *end)
{
    size_t at = 0, len = 0;

    for (;;) {
        size_t chunk = 0, digits = 0;

        for (; at < size && coat_char_hex(data[at]) >= 0; at++, digits++)
            chunk = chunk * 16 + (size_t)coat_char_hex(data[at]);
        while (at < size && data[at] != '\n')
            at++;
        if (at++ >= size || digits == 0 || chunk > size - at)
            return SIZE_MAX;
        if (chunk == 0)
            break;
        memcpy(decoded + len, data + at, chunk);
        len += chunk;
        at += chunk + 2;
    }
    for (size_t start = at; at < size; at++) {
        if (data[at] != '\n')
            continue;
        if (at - start == 1) {
            *end = at + 1;
            return len;
        }
        start = at + 1;
    }
    return SIZE_MAX;
}

static coat_parser_state
feed(coat_parser *parser, const uint8_t *data, size_t size, size_t step)
{
    size_t len = sizeof HEAD - 1;

    coat_parser_reset(parser);
    memcpy(buf, HEAD, len);
    (void)coat_parser_feed(parser, buf, &len);
    for (size_t at = 0; at < size && parser->state < COAT_PARSER_DONE; at += step) {
        size_t n = step < size - at ? step : size - at;

        memcpy(buf + len, data + at, n);
        len += n;
        (void)coat_parser_feed(parser, buf, &len);
    }
    return (coat_parser_state)parser->state;
}

/* Property: what is accepted decodes as a trusting reader decodes it, however it is cut. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static coat_parser whole, parts;
    size_t end = 0, len;

    if (size > 32768)
        return 0;
    if (feed(&parts, data, size, 1) == COAT_PARSER_DONE) {
        len = decode(data, size, &end);
        FUZZ_CHECK(len == parts.body_len);
        FUZZ_CHECK(memcmp(decoded, buf + parts.body, len) == 0);
    }
    (void)feed(&whole, data, size, size > 0 ? size : 1);
    FUZZ_CHECK(whole.state == parts.state && whole.status == parts.status);
    FUZZ_CHECK(whole.body_len == parts.body_len || whole.state != COAT_PARSER_DONE);
    if (whole.state == COAT_PARSER_DONE) {
        FUZZ_CHECK(memcmp(decoded, buf + whole.body, whole.body_len) == 0);
        FUZZ_CHECK(whole.pos == sizeof HEAD - 1 + end);
    }
    return 0;
}
