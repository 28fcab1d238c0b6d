/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include "core/chars.h"
#include "core/out.h"
#include "server/http/parser.h"

#define CAP 65536

typedef struct parsed {
    coat_parser parser;
    uint8_t buf[CAP];
    size_t len;
    coat_http_request req;
    coat_field fields[COAT_HTTP_FIELDS_MAX];
} parsed;

static void
feed(parsed *p, const uint8_t *data, size_t size, uint32_t seed)
{
    size_t at = 0;

    p->len = 0;
    coat_parser_reset(&p->parser);
    while (at < size && p->parser.state < COAT_PARSER_DONE) {
        size_t n = size - at;

        if (seed != 0) {
            seed = seed * 1664525 + 1013904223;
            n = 1 + (seed >> 20) % 97 % n;
        }
        memcpy(p->buf + p->len, data + at, n);
        p->len += n;
        at += n;
        (void)coat_parser_feed(&p->parser, p->buf, &p->len);
        if (p->parser.state < COAT_PARSER_DONE)
            FUZZ_CHECK(p->len < COAT_PARSER_BUFFER);
    }
    if (p->parser.state == COAT_PARSER_DONE)
        coat_parser_head(&p->parser, p->buf, &p->req, p->fields);
}

static bool
same(const parsed *a, const parsed *b)
{
    if (a->parser.state != b->parser.state || a->parser.status != b->parser.status)
        return false;
    if (a->parser.state != COAT_PARSER_DONE)
        return true;
    if (!coat_span_is(a->req.method_text, b->req.method_text) ||
        !coat_span_is(a->req.target, b->req.target) ||
        !coat_span_is(a->req.host, b->req.host) || !coat_span_is(a->req.body, b->req.body) ||
        a->req.minor != b->req.minor || a->req.keep_alive != b->req.keep_alive ||
        a->req.field_count != b->req.field_count)
        return false;
    for (size_t i = 0; i < a->req.field_count; i++)
        if (!coat_span_is(a->fields[i].name, b->fields[i].name) ||
            !coat_span_is(a->fields[i].value, b->fields[i].value))
            return false;
    return true;
}

/* A second reader, as naive as can be: lines are what lies between CRLFs. */
typedef struct naive {
    size_t fields, hosts, lengths, codings;
    uint64_t length;
    bool chunked;
    size_t end; /* of the head */
} naive;

static void
naive_field(coat_span line, naive *n)
{
    size_t colon = coat_span_find(line, ':');
    coat_span name = coat_span_slice(line, 0, colon), value;

    FUZZ_CHECK(colon < line.len && coat_span_is_token(name));
    value = coat_span_trim(coat_span_slice(line, colon + 1, line.len));
    n->fields++;
    n->hosts += coat_span_is_nocase(name, COAT_LIT("host"));
    if (coat_span_is_nocase(name, COAT_LIT("content-length"))) {
        n->lengths++;
        n->length = 0;
        FUZZ_CHECK(value.len > 0);
        for (size_t i = 0; i < value.len; i++) {
            FUZZ_CHECK(coat_char_is_digit(value.ptr[i]));
            n->length = n->length * 10 + (uint64_t)(value.ptr[i] - '0');
            FUZZ_CHECK(n->length <= COAT_HTTP_BODY_MAX);
        }
    }
    if (coat_span_is_nocase(name, COAT_LIT("transfer-encoding"))) {
        n->codings++;
        FUZZ_CHECK(coat_span_is_nocase(value, COAT_LIT("chunked")));
    }
}

static void
naive_request_line(coat_span line)
{
    size_t spaces = 0;
    coat_span end = line.len >= 8 ? coat_span_slice(line, line.len - 8, line.len) : line;

    for (size_t i = 0; i < line.len; i++) {
        FUZZ_CHECK(line.ptr[i] >= 0x20 && line.ptr[i] < 0x7f);
        spaces += line.ptr[i] == ' ';
    }
    FUZZ_CHECK(spaces == 2 && line.len <= COAT_HTTP_LINE_MAX);
    FUZZ_CHECK(coat_span_is(end, COAT_LIT("HTTP/1.1")) ||
               coat_span_is(end, COAT_LIT("HTTP/1.0")));
}

static naive
naive_head(const uint8_t *data, size_t size)
{
    naive n = {0};
    size_t at = size >= 2 && memcmp(data, "\r\n", 2) == 0 ? 2 : 0;
    bool first = true;

    for (;;) {
        size_t end = at;

        while (end + 1 < size && data[end] != '\r' && data[end] != '\n')
            end++;
        FUZZ_CHECK(end + 1 < size && data[end] == '\r' && data[end + 1] == '\n');
        if (end == at)
            break;
        for (size_t i = at; i < end; i++)
            FUZZ_CHECK((data[i] >= 0x20 && data[i] != 0x7f) || data[i] == '\t');
        if (first)
            naive_request_line((coat_span){data + at, end - at});
        else
            naive_field((coat_span){data + at, end - at}, &n);
        first = false;
        at = end + 2;
    }
    n.end = at + 2;
    return n;
}

static void
check_naively(const parsed *p, const uint8_t *data, size_t size)
{
    naive n = naive_head(data, size);

    FUZZ_CHECK(n.fields == p->req.field_count && n.fields <= COAT_HTTP_FIELDS_MAX);
    FUZZ_CHECK(n.hosts == 1 || (n.hosts == 0 && p->req.minor == 0));
    FUZZ_CHECK(n.lengths <= 1 && n.codings <= 1 && n.lengths + n.codings <= 1);
    FUZZ_CHECK(n.codings == 0 || p->req.minor == 1);
    if (n.codings == 0) {
        FUZZ_CHECK(p->req.body.len == n.length && p->parser.pos == n.end + n.length);
        FUZZ_CHECK(n.length == 0 || memcmp(p->req.body.ptr, data + n.end, n.length) == 0);
    }
    FUZZ_CHECK(p->req.body.len <= COAT_HTTP_BODY_MAX);
    FUZZ_CHECK(p->req.target.len > 0);
}

/* Written anew it is the same request, except for how its body is framed. */
static void
check_written_anew(const parsed *p)
{
    static char text[CAP];
    static parsed again;
    coat_out out = coat_out_init(text, sizeof text);

    coat_out_span(&out, p->req.method_text);
    coat_out_char(&out, ' ');
    coat_out_span(&out, p->req.target);
    coat_out_str(&out, p->req.minor == 1 ? " HTTP/1.1\r\n" : " HTTP/1.0\r\n");
    for (size_t i = 0; i < p->req.field_count; i++) {
        coat_span name = p->fields[i].name;

        coat_out_span(&out, name);
        coat_out_str(&out, ":");
        coat_out_span(&out, p->fields[i].value);
        coat_out_str(&out, "\r\n");
    }
    coat_out_str(&out, "\r\n");
    if (p->parser.chunked && p->req.body.len > 0) {
        coat_out_hex(&out,
                     (uint8_t[]){(uint8_t)(p->req.body.len >> 8), (uint8_t)p->req.body.len}, 2);
        coat_out_str(&out, "\r\n");
    }
    coat_out_span(&out, p->req.body);
    if (p->parser.chunked)
        coat_out_str(&out, p->req.body.len > 0 ? "\r\n0\r\n\r\n" : "0\r\n\r\n");
    FUZZ_CHECK(!out.over);
    feed(&again, (const uint8_t *)text, out.len, 0);
    FUZZ_CHECK(again.parser.state == COAT_PARSER_DONE && again.parser.pos == out.len);
    FUZZ_CHECK(same(p, &again));
}

/* What is asked of fields agrees with counting them. */
static void
check_fields(const parsed *p)
{
    static const char *const names[] = {"host", "ACCEPT", "Connection", "x"};

    for (size_t k = 0; k < sizeof names / sizeof names[0]; k++) {
        size_t count = 0, at = 0;
        coat_span value = {NULL, 0}, last;
        coat_http_found found = coat_http_single(&p->req, names[k], &value);

        for (size_t i = 0; i < p->req.field_count; i++)
            count += coat_span_is_nocase(p->fields[i].name, coat_span_of(names[k]));
        FUZZ_CHECK(coat_http_count(&p->req, names[k]) == count);
        FUZZ_CHECK(found == (count == 0   ? COAT_HTTP_ABSENT
                             : count == 1 ? COAT_HTTP_ONE
                                          : COAT_HTTP_REPEATED));
        FUZZ_CHECK((found == COAT_HTTP_ONE) == (value.ptr != NULL));
        for (size_t i = 0; i < count; i++)
            FUZZ_CHECK(coat_http_next(&p->req, names[k], &at, &last));
        FUZZ_CHECK(!coat_http_next(&p->req, names[k], &at, &last));
        if (coat_http_lists(&p->req, names[k], "close"))
            FUZZ_CHECK(count > 0);
    }
    if (coat_http_wants_html(&p->req))
        FUZZ_CHECK(coat_http_count(&p->req, "accept") == 1);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static parsed whole, parts;

    if (size > CAP / 2)
        return 0;
    feed(&whole, data, size, 0);
    feed(&parts, data, size, (uint32_t)size * 2654435761u | 1);
    FUZZ_CHECK(same(&whole, &parts));
    FUZZ_CHECK((whole.parser.state == COAT_PARSER_FAILED) == (whole.parser.status != 0));
    if (whole.parser.state != COAT_PARSER_DONE)
        return 0;
    check_naively(&whole, data, size);
    check_fields(&whole);
    /* The target is written in its short form, which loses the host if it was there only. */
    if (whole.parser.authority_len == 0 || whole.parser.host_count != 0)
        check_written_anew(&whole);
    return 0;
}
