/* SPDX-License-Identifier: Apache-2.0 */
#include "http_fixture.h"
#include "server/http/internal.h"

#include <jansson.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static char buf[COAT_HTTP_ANSWER_MAX];
static char date[COAT_DATE_CHARS + 1];

static coat_http_request
request(coat_http_method method)
{
    coat_http_request req = {.method = method, .minor = 1, .keep_alive = true};

    memcpy(req.id, "0123456789abcdef", sizeof req.id);
    return req;
}

static coat_http_response
begin(coat_http_request *req, unsigned status)
{
    coat_http_response res;

    coat_http_date(784111777, date);
    coat_response_begin(&res, req, coat_out_init(buf, sizeof buf), status, date);
    return res;
}

static http_answer
end(coat_http_response *res, coat_http_type type, coat_span body)
{
    http_answer answer;

    coat_response_end(res, type, body);
    CHECK(!res->out.over);
    CHECK(http_answer_parse(buf, res->out.len, res->req->method == COAT_HTTP_HEAD, &answer));
    CHECK_INT(answer.total, res->out.len);
    return answer;
}

static void
formats_dates(void)
{
    static const struct {
        time_t when;
        const char *text;
    } cases[] = {
        {784111777, "Sun, 06 Nov 1994 08:49:37 GMT"}, /* RFC 9110 5.6.7 */
        {0, "Thu, 01 Jan 1970 00:00:00 GMT"},
        {951782399, "Mon, 28 Feb 2000 23:59:59 GMT"},
        {951782400, "Tue, 29 Feb 2000 00:00:00 GMT"},
        {4102444800, "Fri, 01 Jan 2100 00:00:00 GMT"},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        coat_http_date(cases[i].when, date);
        CHECK_STR(date, cases[i].text);
    }
}

/* FA-11, for every status and type. */
static const struct header_case {
    const char *name, *value;
} header_table[] = {
    {"X-Content-Type-Options", "nosniff"},     {"Cross-Origin-Resource-Policy", "same-origin"},
    {"Referrer-Policy", "no-referrer"},        {"Cache-Control", "no-store"},
    {"Date", "Sun, 06 Nov 1994 08:49:37 GMT"}, {"X-Request-Id", "0123456789abcdef"},
};

static void
check_headers(const http_answer *answer, coat_http_type type)
{
    coat_span value = {NULL, 0};
    char csp[512];

    for (size_t i = 0; i < COUNT(header_table); i++) {
        CHECK_INT(http_answer_field(answer, header_table[i].name, &value), 1);
        CHECK_MEM(value.ptr, value.len, header_table[i].value, strlen(header_table[i].value));
    }
    CHECK_INT(http_answer_field(answer, "Server", &value), 0);
    CHECK_INT(http_answer_field(answer, "Content-Security-Policy", &value), 1);
    REQUIRE(value.len < sizeof csp);
    memcpy(csp, value.ptr, value.len);
    csp[value.len] = '\0';
    CHECK(strstr(csp, "default-src 'none'") != NULL);
    CHECK(strstr(csp, "frame-ancestors 'none'") != NULL);
    CHECK(strstr(csp, "object-src 'none'") != NULL);
    CHECK(strstr(csp, "base-uri 'none'") != NULL);
    CHECK(strstr(csp, "unsafe") == NULL);
    CHECK_INT(http_answer_field(answer, "Content-Type", &value), type != COAT_HTTP_EMPTY);
    if (type == COAT_HTTP_EMPTY || type == COAT_HTTP_PNG)
        return;
    CHECK(value.len > 15 && memcmp(value.ptr + value.len - 15, "; charset=utf-8", 15) == 0);
}

static void
carries_its_headers(void)
{
    static const unsigned statuses[] = {200, 201, 202, 204, 302, 303, 304, 400, 401, 403,
                                        404, 405, 406, 408, 409, 413, 414, 415, 417, 422,
                                        429, 431, 500, 503, 505, 507, 599, 0};

    for (size_t i = 0; i < COUNT(statuses); i++) {
        for (int type = 0; type < COAT_HTTP_TYPES; type++) {
            coat_http_request req = request(COAT_HTTP_GET);
            coat_http_response res = begin(&req, statuses[i]);
            http_answer answer = end(&res, (coat_http_type)type, COAT_LIT("text"));

            check_headers(&answer, (coat_http_type)type);
        }
    }
}

static void
asks_for_tls(void)
{
    coat_span value = {NULL, 0};

    for (int tls = 0; tls <= 1; tls++) {
        coat_http_request req = request(COAT_HTTP_GET);
        coat_http_response res;
        http_answer answer;

        req.tls = tls != 0;
        res = begin(&req, 200);
        answer = end(&res, COAT_HTTP_JSON, COAT_LIT("{}"));
        CHECK_INT(http_answer_field(&answer, "Strict-Transport-Security", &value), tls);
    }
    CHECK(memmem(value.ptr, value.len, "max-age=31536000", 16) != NULL);
}

static void
measures_bodies(void)
{
    static uint8_t body[70000];
    test_rng rng = {1};

    for (long i = 0; i < test_scaled(1000000, 20000); i++) {
        coat_http_request req = request((coat_http_method)(1 + test_rng_below(&rng, 4)));
        coat_http_response res = begin(&req, 200);
        size_t len = (size_t)test_rng_below(&rng, i % 100 == 0 ? sizeof body : 300);
        http_answer answer;

        for (uint64_t k = test_rng_below(&rng, 4); k > 0; k--)
            coat_http_field_uint(&res, "X-N", test_rng_next(&rng));
        answer = end(&res, COAT_HTTP_TEXT, (coat_span){body, len});
        if (req.method == COAT_HTTP_HEAD)
            CHECK_INT(answer.body.len, 0);
        else if (answer.status == 200)
            CHECK_INT(answer.body.len, len);
        else
            CHECK(len > 60000);
    }
}

/* Any bytes as value and as name: one status line, and fields as counted, or a 500. */
static void
emits_no_line_ends(void)
{
    test_rng rng = {7};

    for (long i = 0; i < test_scaled(1000000, 30000); i++) {
        coat_http_request req = request(COAT_HTTP_GET);
        coat_http_response res = begin(&req, 200);
        static const uint8_t nasty[] = "\r\n\0 \t:aAHTTP/1.1\x7f\x1b\xc3\xa4";
        uint8_t value[24];
        size_t len = (size_t)test_rng_below(&rng, sizeof value);
        bool bad = false;
        coat_span got = {NULL, 0};
        http_answer answer;

        for (size_t k = 0; k < len; k++) {
            value[k] = nasty[test_rng_below(&rng, sizeof nasty)];
            bad |= (value[k] < 0x20 && value[k] != '\t') || value[k] == 0x7f;
        }
        coat_http_field(&res, "X-Reflected", (coat_span){value, len});
        answer = end(&res, COAT_HTTP_TEXT, COAT_LIT("x"));
        CHECK_INT(answer.status, bad ? 500 : 200);
        CHECK_INT(http_answer_field(&answer, "X-Reflected", &got), !bad);
        CHECK_INT(http_answer_field(&answer, "Content-Length", &got), 1);
    }
}

static void
guards_names(void)
{
    static const char *const names[] = {
        "",           "A B",         "A:", "A\r\nB", "Content-Length", "transfer-encoding",
        "Connection", "Content-Type"};

    for (size_t i = 0; i < COUNT(names); i++) {
        coat_http_request req = request(COAT_HTTP_GET);
        coat_http_response res = begin(&req, 200);
        http_answer answer;

        test_case(names[i]);
        coat_http_field_str(&res, names[i], "1");
        answer = end(&res, COAT_HTTP_TEXT, COAT_LIT("x"));
        CHECK_INT(answer.status, 500);
    }
}

static void
guards_policies(void)
{
    coat_http_request req = request(COAT_HTTP_GET);
    coat_http_response res = begin(&req, 200);
    http_answer answer;

    coat_http_cache(&res, "public\r\nX: y");
    answer = end(&res, COAT_HTTP_TEXT, COAT_LIT("x"));
    CHECK_INT(answer.status, 500);
    res = begin(&req, 200);
    coat_http_csp(&res, "default-src 'none'\n");
    answer = end(&res, COAT_HTTP_HTML, COAT_LIT("x"));
    CHECK_INT(answer.status, 500);
}

static void
replaces_what_is_too_large(void)
{
    static uint8_t body[COAT_HTTP_ANSWER_MAX];
    coat_http_request req = request(COAT_HTTP_GET);
    coat_http_response res = begin(&req, 200);
    http_answer answer;

    memset(body, 'x', sizeof body);
    coat_http_field_str(&res, "X-Secret", "s");
    answer = end(&res, COAT_HTTP_TEXT, (coat_span){body, sizeof body});
    CHECK_INT(answer.status, 500);
    CHECK(memmem(buf, answer.total, "X-Secret", 8) == NULL);
}

static void
follows_the_schema(void)
{
    static http_fixture f;
    static http_client c;
    static const char *const requests[] = {
        "GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n",
        "PUT /auth/run HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /auth/query?a=1&a=2 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /auth/../etc HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /auth/json HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /auth/none HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\na",
        "TRACE /auth/run HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /auth/run HTTP/1.1\r\n\r\n",
        "GET /auth/run HTTP/3.0\r\n\r\n",
        "POST /auth/run HTTP/1.1\r\nHost: a\r\nContent-Length: 99999\r\n\r\n",
        "POST /auth/run HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n",
    };

    http_fixture_init(&f);
    http_fixture_start(&f);
    for (size_t i = 0; i < COUNT(requests); i++) {
        http_answer answer;
        coat_span id = {NULL, 0};
        json_t *root, *error;

        test_case(requests[i]);
        http_client_open(&c, &f, 0);
        http_client_talk(&c, &f, requests[i]);
        REQUIRE(http_answer_parse(c.in, c.len, false, &answer));
        CHECK(answer.status >= 400);
        root = json_loadb((const char *)answer.body.ptr, answer.body.len, 0, NULL);
        REQUIRE(root != NULL);
        error = json_object_get(root, "error");
        CHECK_INT(json_object_size(root), 2);
        CHECK_INT(json_object_size(error), 2);
        CHECK_STR(json_string_value(json_object_get(error, "code")),
                  coat_http_status_code(answer.status));
        CHECK_STR(json_string_value(json_object_get(error, "message")),
                  coat_http_status_text(answer.status));
        CHECK_INT(http_answer_field(&answer, "X-Request-Id", &id), 1);
        CHECK_MEM(id.ptr, id.len, json_string_value(json_object_get(root, "request_id")),
                  COAT_HTTP_ID_CHARS);
        CHECK(memmem(c.in, c.len, "coatcheck", 9) == NULL);
        json_decref(root);
        http_client_close(&c);
    }
    http_fixture_fini(&f);
}

static void
redirects_safely(void)
{
    static http_fixture f;
    static http_client c;
    static const struct {
        const char *query, *location;
    } cases[] = {
        {"/next?a=b&c=%20d", "/next?a=b&c=%20d"},
        {"/a%0d%0aSet-Cookie:x", "/a%0d%0aSet-Cookie:x"},
        {"/a\\b^`{}|", "/a%5Cb%5E%60%7B%7D%7C"},
    };

    http_fixture_init(&f);
    http_fixture_start(&f);
    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[256];
        http_answer answer;
        coat_span value = {NULL, 0};

        test_case(cases[i].query);
        http_client_open(&c, &f, 0);
        (void)snprintf(text, sizeof text,
                       "GET /auth/redirect?%s HTTP/1.1\r\nHost: evil\r\n\r\n", cases[i].query);
        http_client_talk(&c, &f, text);
        REQUIRE(http_answer_parse(c.in, c.len, false, &answer));
        CHECK_INT(answer.status, 303);
        CHECK_INT(http_answer_field(&answer, "Location", &value), 1);
        CHECK_MEM(value.ptr, value.len, cases[i].location, strlen(cases[i].location));
        CHECK(memmem(c.in, c.len, "evil", 4) == NULL);
        http_client_close(&c);
    }
    http_fixture_fini(&f);
}

/* Bytes that cannot even come in by a request line. */
static void
redirects_raw_bytes(void)
{
    static http_fixture f;
    static http_client c;

    http_fixture_init(&f);
    http_fixture_start(&f);
    for (unsigned b = 0; b < 256; b++) {
        uint8_t location[3] = {'/', (uint8_t)b, 'z'};
        http_answer answer;
        coat_span value = {NULL, 0};

        http_client_open(&c, &f, 0);
        http_client_talk(&c, &f, "GET /auth/hold HTTP/1.1\r\nHost: a\r\n\r\n");
        REQUIRE(f.held_count == 1);
        f.held_count = 0;
        coat_http_redirect(coat_http_reply(f.held[0], 302), (coat_span){location, 3});
        http_client_talk(&c, &f, "");
        REQUIRE(http_answer_parse(c.in, c.len, false, &answer));
        CHECK_INT(answer.status, 302);
        CHECK_INT(http_answer_field(&answer, "Location", &value), 1);
        CHECK(value.len == 3 || value.len == 5);
        for (size_t i = 0; i < value.len; i++)
            CHECK(value.ptr[i] > 0x20 && value.ptr[i] < 0x7f);
        http_client_close(&c);
    }
    http_fixture_fini(&f);
}

static const coat_test tests[] = {
    {"dates", formats_dates},
    {"FA-11: every status and type carries the headers", carries_its_headers},
    {"FA-11: HSTS over TLS only, for a year", asks_for_tls},
    {"FA-9: Content-Length is what is sent", measures_bodies},
    {"FA-9: no value brings a line end out", emits_no_line_ends},
    {"FA-9: names and framing are not the caller's", guards_names},
    {"FA-9: nor do policies", guards_policies},
    {"FA-9: what is too large is replaced as a whole", replaces_what_is_too_large},
    {"AU-7: errors follow the schema and tell nothing else", follows_the_schema},
    {"RD-2: Location is percent-encoded and knows no Host", redirects_safely},
    {"RD-2: no byte gets out of Location", redirects_raw_bytes},
};

COAT_TEST_MAIN(tests)
