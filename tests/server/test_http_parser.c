/* SPDX-License-Identifier: Apache-2.0 */
#include "coat_test.h"
#include "core/out.h"
#include "http_vectors.h"
#include "server/http/parser.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define BUF 65536

typedef struct outcome {
    coat_parser parser;
    uint8_t buf[BUF];
    size_t len;
} outcome;

/* Feeds in pieces of the given sizes: step 0 is random from rng, else that many bytes. */
static void
feed(outcome *o, const void *raw, size_t len, size_t step, test_rng *rng)
{
    const uint8_t *bytes = raw;
    size_t at = 0;

    memset(o, 0, sizeof *o);
    coat_parser_reset(&o->parser);
    while (at < len && o->parser.state < COAT_PARSER_DONE) {
        size_t n = step != 0 ? step : 1 + (size_t)test_rng_below(rng, 40);

        n = n < len - at ? n : len - at;
        if (n > BUF - o->len)
            break;
        memcpy(o->buf + o->len, bytes + at, n);
        o->len += n;
        at += n;
        (void)coat_parser_feed(&o->parser, o->buf, &o->len);
    }
}

static coat_span
target_of(const outcome *o)
{
    return (coat_span){o->buf + o->parser.target, o->parser.target_len};
}

static coat_span
body_of(const outcome *o)
{
    return (coat_span){o->buf + o->parser.body, o->parser.body_len};
}

static bool
same(const outcome *a, const outcome *b)
{
    const coat_parser *p = &a->parser, *q = &b->parser;

    if (p->state != q->state || p->status != q->status)
        return false;
    if (p->state == COAT_PARSER_FAILED)
        return true;
    return p->field_count == q->field_count && p->keep_alive == q->keep_alive &&
           memcmp(p->fields, q->fields, p->field_count * sizeof p->fields[0]) == 0 &&
           coat_span_is(target_of(a), target_of(b)) && coat_span_is(body_of(a), body_of(b));
}

static outcome whole, parts;

/* Whole, byte by byte and at random cuts: the same each time. */
static void
feed_all_ways(const void *raw, size_t len)
{
    test_rng rng = {len * 7919 + 1};

    feed(&whole, raw, len, len, NULL);
    feed(&parts, raw, len, 1, NULL);
    CHECK(same(&whole, &parts));
    for (long i = 0; i < test_scaled(500, 5); i++) {
        feed(&parts, raw, len, 0, &rng);
        CHECK(same(&whole, &parts));
    }
}

static void
refuses_vectors(void)
{
    CHECK(COUNT(http_vectors) >= 200);
    for (size_t i = 0; i < COUNT(http_vectors); i++) {
        test_case(http_vectors[i].name);
        feed_all_ways(http_vectors[i].raw, http_vectors[i].len);
        CHECK_INT(whole.parser.state, COAT_PARSER_FAILED);
        CHECK_INT(whole.parser.status, http_vectors[i].status);
    }
}

static bool
may_stand(const http_byte_frame *frame, unsigned c)
{
    if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
        return true;
    if (c > 0x20 && c < 0x7f)
        return strchr(frame->keep, (int)c) != NULL;
    return ((c == ' ' || c == '\t') && (frame->allow & 1) != 0) ||
           (c >= 0x80 && (frame->allow & 2) != 0);
}

static void
refuses_bytes(void)
{
    for (size_t i = 0; i < COUNT(http_byte_frames); i++) {
        const http_byte_frame *f = &http_byte_frames[i];
        size_t before = strlen(f->before), after = strlen(f->after);
        char raw[512], name[64];

        for (unsigned c = 0; c < 256; c++) {
            (void)snprintf(name, sizeof name, "%s, byte 0x%02x", f->name, c);
            test_case(name);
            memcpy(raw, f->before, before);
            raw[before] = (char)c;
            memcpy(raw + before + 1, f->after, after);
            feed(&whole, raw, before + 1 + after, 4096, NULL);
            feed(&parts, raw, before + 1 + after, 1, NULL);
            CHECK(same(&whole, &parts));
            CHECK_INT(whole.parser.state,
                      may_stand(f, c) ? COAT_PARSER_DONE : COAT_PARSER_FAILED);
            if (!may_stand(f, c))
                CHECK_INT(whole.parser.status, 400);
        }
    }
}

static const struct accept_case {
    const char *name, *raw, *target, *body;
    bool keep_alive;
    size_t fields;
} accept_cases[] = {
    {"plain", G H E, "/x", "", true, 1},
    {"empty line first", "\r\n" G H E, "/x", "", true, 1},
    {"HTTP/1.0", "GET /x HTTP/1.0\r\n" E, "/x", "", false, 0},
    {"HTTP/1.0 keep-alive", "GET /x HTTP/1.0\r\nConnection: Keep-Alive\r\n" E, "/x", "", true,
     1},
    {"close", G H "Connection: close\r\n" E, "/x", "", false, 2},
    {"close in a list", G H "Connection: a ,\tClose, b\r\n" E, "/x", "", false, 2},
    {"close on a second line", G H "Connection: a\r\nConnection: close\r\n" E, "/x", "", false,
     3},
    {"close beats keep-alive", G H "Connection: keep-alive, close\r\n" E, "/x", "", false, 2},
    {"no space after the colon", G "Host:a\r\n" E, "/x", "", true, 1},
    {"white space around a value", G "Host: \t a \t \r\n" E, "/x", "", true, 1},
    {"empty value", G H "A:\r\n" E, "/x", "", true, 2},
    {"length", P H "Content-Length: 5\r\n" E "hello", "/x", "hello", true, 2},
    {"length 0", P H "Content-Length: 0\r\n" E, "/x", "", true, 2},
    {"length with zeros", P H "Content-Length: 0005\r\n" E "hello", "/x", "hello", true, 2},
    {"length in HTTP/1.0", "POST /x HTTP/1.0\r\nContent-Length: 2\r\n" E "ab", "/x", "ab",
     false, 1},
    {"chunked", P H CH E "5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n", "/x", "hello!", true, 2},
    {"chunked, other case", P H "TRANSFER-encoding: CHUNKED\r\n" E "0\r\n\r\n", "/x", "", true,
     2},
    {"extension", P H CH E "5;a=b;c=\"d\"\r\nhello\r\n000;e\r\n\r\n", "/x", "hello", true, 2},
    {"trailers", P H CH E "1\r\na\r\n0\r\nContent-Length: 9\r\nHost: b\r\n\r\n", "/x", "a",
     true, 2},
    {"upper-case hex", P H CH E "A\r\n0123456789\r\n0\r\n\r\n", "/x", "0123456789", true, 2},
    {"asterisk", "OPTIONS * HTTP/1.1\r\n" H E, "*", "", true, 1},
    {"CONNECT", "CONNECT a:443 HTTP/1.1\r\n" H E, "a:443", "", true, 1},
    {"absolute", "GET http://a/x?y HTTP/1.1\r\n" H E, "/x?y", "", true, 1},
    {"absolute https, other case", "GET HTTPS://A/x HTTP/1.1\r\n" H E, "/x", "", true, 1},
    {"absolute, no path", "GET http://a HTTP/1.1\r\n" H E, "/", "", true, 1},
    {"query as browsers send it", "GET /x?a=[1]|{2}^`\\ HTTP/1.1\r\n" H E, "/x?a=[1]|{2}^`\\",
     "", true, 1},
    {"name, port", G "Host: a.example:8080\r\n" E, "/x", "", true, 1},
    {"underscore and digits", G "Host: a_1-2\r\n" E, "/x", "", true, 1},
    {"trailing dot", G "Host: a.\r\n" E, "/x", "", true, 1},
    {"IPv4", G "Host: 127.0.0.1:65535\r\n" E, "/x", "", true, 1},
    {"IPv6", G "Host: [::1]:8080\r\n" E, "/x", "", true, 1},
    {"IPv6 without port", G "Host: [2001:db8::1]\r\n" E, "/x", "", true, 1},
    {"obs-text", G H "A: \xe4\xff\r\n" E, "/x", "", true, 2},
    {"expect", P H "Expect: 100-Continue\r\nContent-Length: 1\r\n" E "a", "/x", "a", true, 3},
    {"expect in HTTP/1.0", "GET /x HTTP/1.0\r\nExpect: tea\r\n" E, "/x", "", false, 1},
};

static void
accepts(void)
{
    for (size_t i = 0; i < COUNT(accept_cases); i++) {
        const struct accept_case *c = &accept_cases[i];

        test_case(c->name);
        feed_all_ways(c->raw, strlen(c->raw));
        CHECK_INT(whole.parser.state, COAT_PARSER_DONE);
        CHECK_MEM(target_of(&whole).ptr, target_of(&whole).len, c->target, strlen(c->target));
        CHECK_MEM(body_of(&whole).ptr, body_of(&whole).len, c->body, strlen(c->body));
        CHECK_INT(whole.parser.keep_alive, c->keep_alive);
        CHECK_INT(whole.parser.field_count, c->fields);
        CHECK_INT(whole.parser.pos, strlen(c->raw));
    }
}

static void
stops_at_the_end(void)
{
    static const char raw[] = P H CH E "2\r\nab\r\n0\r\n\r\n" G H E;

    feed(&whole, raw, sizeof raw - 1, sizeof raw, NULL);
    CHECK_INT(whole.parser.state, COAT_PARSER_DONE);
    CHECK_MEM(whole.buf + whole.parser.pos, whole.len - whole.parser.pos, G H E, strlen(G H E));
}

static void
gives_the_head(void)
{
    static const char raw[] = "PATCH /a/b?c HTTP/1.1\r\nHost: h:1\r\nX-A:  1 2 \r\n\r\n";
    coat_http_request req = {0};
    coat_field fields[COAT_HTTP_FIELDS_MAX];

    feed(&whole, raw, sizeof raw - 1, sizeof raw, NULL);
    coat_parser_head(&whole.parser, whole.buf, &req, fields);
    CHECK_INT(req.method, COAT_HTTP_PATCH);
    CHECK(coat_span_is(req.method_text, COAT_LIT("PATCH")));
    CHECK(coat_span_is(req.target, COAT_LIT("/a/b?c")));
    CHECK(coat_span_is(req.host, COAT_LIT("h:1")));
    CHECK(coat_span_is(fields[1].name, COAT_LIT("X-A")));
    CHECK(coat_span_is(fields[1].value, COAT_LIT("1 2")));
    CHECK_INT(req.minor, 1);
}

static void
repeat(coat_out *out, char c, size_t n)
{
    for (size_t i = 0; i < n; i++)
        coat_out_char(out, c);
}

/*
 * A request whose line, header section and fields have exactly these sizes: line without its
 * line end, the section with all of them but the empty line.
 */
static coat_span
build(char *raw, size_t line, size_t header, size_t fields)
{
    coat_out out = coat_out_init(raw, BUF);
    size_t start;

    coat_out_str(&out, "GET /");
    repeat(&out, 'x', line - strlen("GET / HTTP/1.1"));
    coat_out_str(&out, " HTTP/1.1\r\n");
    start = out.len;
    coat_out_str(&out, H);
    for (size_t i = 1; i < fields; i++)
        coat_out_str(&out, "a:b\r\n");
    if (header > 0) {
        coat_out_str(&out, "a:");
        repeat(&out, 'y', header - (out.len - start) - 2);
        coat_out_str(&out, "\r\n");
    }
    coat_out_str(&out, "\r\n");
    return (coat_span){(const uint8_t *)raw, out.len};
}

static const struct limit_case {
    const char *name;
    size_t line, header, fields;
    unsigned status; /* 0: accepted */
} limit_cases[] = {
    {"line at its limit", COAT_HTTP_LINE_MAX, 0, 1, 0},
    {"line one over", COAT_HTTP_LINE_MAX + 1, 0, 1, 414},
    {"header section at its limit", 20, COAT_HTTP_HEADER_MAX, 1, 0},
    {"header section one over", 20, COAT_HTTP_HEADER_MAX + 1, 1, 431},
    {"both at their limits", COAT_HTTP_LINE_MAX, COAT_HTTP_HEADER_MAX, 1, 0},
    {"100 fields", 20, 0, COAT_HTTP_FIELDS_MAX, 0},
    {"101 fields", 20, 0, COAT_HTTP_FIELDS_MAX + 1, 431},
};

static void
limits_the_head(void)
{
    static char raw[BUF];

    for (size_t i = 0; i < COUNT(limit_cases); i++) {
        const struct limit_case *c = &limit_cases[i];
        coat_span text = build(raw, c->line, c->header, c->fields);

        test_case(c->name);
        feed_all_ways(text.ptr, text.len);
        CHECK_INT(whole.parser.status, c->status);
        CHECK_INT(whole.parser.state, c->status != 0 ? COAT_PARSER_FAILED : COAT_PARSER_DONE);
    }
}

/* Endless input is refused when the limit is passed, not when memory runs out. */
static const struct endless_case {
    const char *name, *start, *unit;
    unsigned status;
    size_t most; /* bytes read until then */
} endless_cases[] = {
    {"line", "GET /", "x", 414, COAT_HTTP_LINE_MAX + 3},
    {"line without a space", "", "x", 414, COAT_HTTP_LINE_MAX + 3},
    {"field", G H "A: ", "x", 431, 17 + COAT_HTTP_HEADER_MAX + 3},
    {"fields", G H, "abc: defghijklmnopqrstuvwxyz0123456789\r\n", 431,
     17 + COAT_HTTP_HEADER_MAX + 3},
    {"small fields", G H, "a:\r\n", 431, 1000},
    {"small chunks", P H CH E, "1\r\na\r\n", 413, 200000},
    {"extension", P H CH E "1;", "a", 400, 1000},
    {"many extensions", P H CH E, "1;aaaaaaaa\r\na\r\n", 400, 2000},
    {"zeros of a size", P H CH E, "0", 400, 1000},
    {"trailer", P H CH E "0\r\na:", "b", 431, 2000},
    {"trailers", P H CH E "0\r\n", "a: b\r\n", 431, 2000},
};

static void
limits_the_endless(void)
{
    for (size_t i = 0; i < COUNT(endless_cases); i++) {
        const struct endless_case *c = &endless_cases[i];
        size_t fed = strlen(c->start), most = 0;

        test_case(c->name);
        memset(&whole, 0, sizeof whole);
        memcpy(whole.buf, c->start, fed);
        whole.len = fed;
        while (whole.parser.state < COAT_PARSER_DONE && fed < 1u << 20) {
            (void)coat_parser_feed(&whole.parser, whole.buf, &whole.len);
            whole.buf[whole.len++] =
                (uint8_t)c->unit[(fed - strlen(c->start)) % strlen(c->unit)];
            fed++;
            most = whole.len > most ? whole.len : most;
        }
        CHECK_INT(whole.parser.status, c->status);
        CHECK(fed <= c->most);
        CHECK(most <= COAT_PARSER_BUFFER);
    }
}

static void
limits_the_body(void)
{
    static char raw[BUF];

    for (size_t over = 0; over <= 1; over++) {
        coat_out out = coat_out_init(raw, sizeof raw);

        test_case(over != 0 ? "chunks one over" : "chunks at the limit");
        coat_out_str(&out, P H CH E "3000\r\n");
        repeat(&out, 'a', 0x3000);
        coat_out_str(&out, over != 0 ? "\r\n1001\r\n" : "\r\n1000\r\n");
        repeat(&out, 'b', 0x1000 + over);
        coat_out_str(&out, "\r\n0\r\n\r\n");
        feed_all_ways(raw, out.len);
        CHECK_INT(whole.parser.status, over != 0 ? 413 : 0);
        if (over == 0)
            CHECK_INT(whole.parser.body_len, COAT_HTTP_BODY_MAX);

        test_case(over != 0 ? "length one over" : "length at the limit");
        out.len = 0;
        coat_out_str(&out, P H "Content-Length: ");
        coat_out_uint(&out, COAT_HTTP_BODY_MAX + over);
        coat_out_str(&out, "\r\n\r\n");
        if (over == 0)
            repeat(&out, 'b', COAT_HTTP_BODY_MAX);
        feed_all_ways(raw, out.len);
        CHECK_INT(whole.parser.status, over != 0 ? 413 : 0);
        CHECK_INT(whole.parser.state, over != 0 ? COAT_PARSER_FAILED : COAT_PARSER_DONE);
    }
}

/* The table was written by a program; this is another way to the same. */
static void
knows_its_bytes(void)
{
    for (unsigned c = 0; c < 256; c++) {
        bool alnum = coat_char_is_alnum((uint8_t)c), text = c > 0x20 && c < 0x7f;
        unsigned want = 0;

        want |= coat_char_is_token((uint8_t)c) ? COAT_BYTE_TOKEN : 0;
        want |= text || c == ' ' || c == '\t' || c >= 0x80 ? COAT_BYTE_VALUE : 0;
        want |=
            alnum || (text && strchr("-._~!$&'()*+,;=:@%/[]|", (int)c)) ? COAT_BYTE_PATH : 0;
        want |= (want & COAT_BYTE_PATH) != 0 || (text && strchr("?{}^`\\", (int)c))
                    ? COAT_BYTE_QUERY
                    : 0;
        want |= alnum || c == '-' || c == '.' || c == '_' ? COAT_BYTE_NAME : 0;
        CHECK_INT(coat_byte_class[c], want);
    }
}

static const coat_test tests[] = {
    {"FA-8: what is not plainly valid is refused, however it is cut", refuses_vectors},
    {"FA-8: every byte value at every place", refuses_bytes},
    {"FA-8: valid requests are read, however they are cut", accepts},
    {"a request ends where it ends", stops_at_the_end},
    {"the head in spans", gives_the_head},
    {"RX-1: line, header section and fields at their limits and one over", limits_the_head},
    {"RX-1: body at its limit and one over", limits_the_body},
    {"RX-1: endless input is refused at the limit", limits_the_endless},
    {"classes of bytes", knows_its_bytes},
};

COAT_TEST_MAIN(tests)
