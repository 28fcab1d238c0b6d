/* SPDX-License-Identifier: Apache-2.0 */
#include "http_fixture.h"
#include "server/http/internal.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define FORM "Content-Type: application/x-www-form-urlencoded\r\n"
#define JSON "Content-Type: application/json\r\n"

static http_fixture f;
static http_client c;

static http_answer
ask(const char *line, const char *fields, const char *body)
{
    char text[4096];
    http_answer answer;

    (void)snprintf(text, sizeof text, "%s HTTP/1.1\r\nHost: a\r\n%s", line, fields);
    if (body != NULL)
        (void)snprintf(text + strlen(text), sizeof text - strlen(text),
                       "Content-Length: %zu\r\n\r\n%s", strlen(body), body);
    else
        (void)snprintf(text + strlen(text), sizeof text - strlen(text), "\r\n");
    http_client_open(&c, &f, 0);
    http_client_talk(&c, &f, text);
    REQUIRE(http_answer_parse(c.in, c.len, strncmp(line, "HEAD ", 5) == 0, &answer));
    CHECK_INT(answer.total, c.len);
    http_client_close(&c);
    return answer;
}

static const struct route_case {
    const char *line;
    unsigned status;
    const char *allow, *body;
} route_cases[] = {
    {"GET /auth/run", 200, NULL, "ran"},
    {"HEAD /auth/run", 200, NULL, ""},
    {"GET /auth/run?x", 200, NULL, "ran"},
    {"GET /auth/%72un", 200, NULL, "ran"},
    {"GET http://a/auth/run", 200, NULL, "ran"},
    {"GET /auth/verify", 204, NULL, ""},
    {"GET /auth/items/7", 200, NULL, "7"},
    {"GET /auth/items/a%20b", 200, NULL, "a b"},
    {"DELETE /auth/items/7", 200, NULL, "7"},
    {"POST /auth/items/7/end", 200, NULL, "7"},
    {"GET /auth/ext/a/../b%2f?x", 200, NULL, "x"},
    {"GET /auth/ext/", 200, NULL, ""},
    {"GET /", 404, NULL, NULL},
    {"GET /auth", 404, NULL, NULL},
    {"GET /authrun", 404, NULL, NULL},
    {"GET /auth/", 404, NULL, NULL},
    {"GET /auth/run/", 404, NULL, NULL},
    {"GET /auth/runx", 404, NULL, NULL},
    {"GET /auth/ru", 404, NULL, NULL},
    {"GET /auth/Run", 404, NULL, NULL},
    {"GET /auth/items/", 404, NULL, NULL},
    {"GET /auth/items", 404, NULL, NULL},
    {"GET /auth/items/7/end/", 404, NULL, NULL},
    {"GET /auth/items/7/x", 404, NULL, NULL},
    {"GET /auth/ext", 404, NULL, NULL},
    {"GET /auth/../auth/run", 400, NULL, NULL},
    {"GET /auth//run", 400, NULL, NULL},
    {"GET /auth/%2e%2e/run", 400, NULL, NULL},
    {"GET /auth/items/a%2fb", 400, NULL, NULL},
    {"GET /auth/%zz", 400, NULL, NULL},
    {"PUT /auth/run", 405, "GET, HEAD, POST", NULL},
    {"DELETE /auth/run", 405, "GET, HEAD, POST", NULL},
    {"OPTIONS /auth/run", 405, "GET, HEAD, POST", NULL},
    {"TRACE /auth/run", 405, "GET, HEAD, POST", NULL},
    {"TRACE /", 405, "", NULL},
    {"FOO /auth/verify", 405, "GET, HEAD", NULL},
    {"get /auth/verify", 405, "GET, HEAD", NULL},
    {"GET /auth/json", 405, "POST", NULL},
    {"HEAD /auth/json", 405, "POST", ""},
    {"POST /auth/items/7", 405, "GET, HEAD, DELETE", NULL},
    {"POST /auth/ext/x", 405, "GET, HEAD", NULL},
    {"CONNECT a:443", 405, "", NULL},
    {"OPTIONS *", 405, "", NULL},
};

static void
routes(void)
{
    http_fixture_init(&f);
    http_fixture_start(&f);
    for (size_t i = 0; i < COUNT(route_cases); i++) {
        const struct route_case *r = &route_cases[i];
        coat_span allow = {NULL, 0};
        http_answer answer;

        test_case(r->line);
        answer = ask(r->line, "", NULL);
        CHECK_INT(answer.status, r->status);
        CHECK_INT(http_answer_field(&answer, "Allow", &allow), r->status == 405);
        if (r->allow != NULL)
            CHECK_MEM(allow.ptr, allow.len, r->allow, strlen(r->allow));
        if (r->body != NULL)
            CHECK_MEM(answer.body.ptr, answer.body.len, r->body, strlen(r->body));
    }
    http_fixture_fini(&f);
}

static const struct body_case {
    const char *name, *line, *fields, *body;
    unsigned status;
} body_cases[] = {
    {"JSON", "POST /auth/json", JSON, "{\"user\":\"a\"}", 200},
    {"JSON with charset", "POST /auth/json",
     "Content-Type: Application/JSON; charset=utf-8\r\n", "{\"user\":\"a\"}", 200},
    {"text/plain for JSON", "POST /auth/json", "Content-Type: text/plain\r\n", "{}", 415},
    {"form for JSON", "POST /auth/json", FORM, "a=b", 415},
    {"multipart for JSON", "POST /auth/json",
     "Content-Type: multipart/form-data; boundary=x\r\n", "--x--", 415},
    {"no type for JSON", "POST /auth/json", "", "{}", 415},
    {"empty type for JSON", "POST /auth/json", "Content-Type:\r\n", "{}", 415},
    {"JSON-like type", "POST /auth/json", "Content-Type: application/json5\r\n", "{}", 415},
    {"JSON in a parameter", "POST /auth/json", "Content-Type: text/plain; application/json\r\n",
     "{}", 415},
    {"list of types", "POST /auth/json", "Content-Type: application/json, text/plain\r\n", "{}",
     415},
    {"two types", "POST /auth/json", JSON "Content-Type: text/plain\r\n", "{}", 400},
    {"no body for JSON", "POST /auth/json", "", NULL, 415},
    {"empty JSON", "POST /auth/json", JSON, "", 400},
    {"duplicate keys", "POST /auth/json", JSON, "{\"user\":\"a\",\"user\":\"b\"}", 400},
    {"gzip", "POST /auth/json", JSON "Content-Encoding: gzip\r\n", "{}", 415},
    {"identity coding", "POST /auth/json", JSON "Content-Encoding: identity\r\n", "{}", 415},
    {"gzip form", "POST /auth/form", FORM "Content-Encoding: gzip\r\n", "user=a", 415},
    {"form", "POST /auth/form", FORM, "user=a", 200},
    {"form or JSON", "POST /auth/form", JSON, "{\"user\":\"a\"}", 200},
    {"duplicate fields", "POST /auth/form", FORM, "user=a&user=b", 400},
    {"text/plain for a form", "POST /auth/form", "Content-Type: text/plain\r\n", "user=a", 415},
    {"body where none is taken", "POST /auth/none", FORM, "a=b", 415},
    {"no body where none is taken", "POST /auth/none", "", NULL, 200},
    {"body of a GET", "GET /auth/run", FORM, "a=b", 415},
    {"no body where it is optional", "POST /auth/run", "", NULL, 200},
    {"other type without body", "POST /auth/run", "Content-Type: text/plain\r\n", NULL, 415},
    {"fields about a body elsewhere", "GET /auth/verify",
     "Content-Type: text/plain\r\nContent-Encoding: gzip\r\n", NULL, 204},
    {"query", "GET /auth/query?user=a&b=c", "", NULL, 200},
    {"duplicate query", "GET /auth/query?user=a&user=b", "", NULL, 400},
    {"bad escape in a query", "GET /auth/query?user=%", "", NULL, 400},
};

static void
takes_bodies(void)
{
    http_fixture_init(&f);
    http_fixture_start(&f);
    for (size_t i = 0; i < COUNT(body_cases); i++) {
        const struct body_case *b = &body_cases[i];
        http_answer answer;

        test_case(b->name);
        answer = ask(b->line, b->fields, b->body);
        CHECK_INT(answer.status, b->status);
        if (b->status == 200 && strstr(b->line, "/run") == NULL &&
            strstr(b->line, "/none") == NULL)
            CHECK(coat_span_is(answer.body, COAT_LIT("a")));
    }
    http_fixture_fini(&f);
}

static void
ignores_overrides(void)
{
    static const char *const overrides[] = {
        "X-HTTP-Method-Override: POST\r\n",
        "X-HTTP-Method: POST\r\n",
        "X-Method-Override: DELETE\r\n",
    };

    http_fixture_init(&f);
    http_fixture_start(&f);
    for (size_t i = 0; i < COUNT(overrides); i++) {
        http_answer answer = ask("GET /auth/json", overrides[i], NULL);

        test_case(overrides[i]);
        CHECK_INT(answer.status, 405);
        answer = ask("GET /auth/items/7?_method=DELETE", overrides[i], NULL);
        CHECK_INT(answer.status, 200);
    }
    CHECK_INT(ask("POST /auth/form?_method=GET", FORM, "user=a&_method=DELETE").status, 200);
    http_fixture_fini(&f);
}

static unsigned handled;

static void
handler(coat_http_request *req)
{
    handled++;
    coat_http_send(coat_http_reply(req, 200), COAT_HTTP_TEXT, COAT_LIT("x"));
}

/* CS-1: a route that nobody annotated, under a router without and with a policy. */
static const coat_http_route bare_routes[] = {
    {COAT_HTTP_GET, "/bare", 0, handler},    {COAT_HTTP_POST, "/bare", 0, handler},
    {COAT_HTTP_PUT, "/bare", 0, handler},    {COAT_HTTP_PATCH, "/bare", 0, handler},
    {COAT_HTTP_DELETE, "/bare", 0, handler},
};

static unsigned asked;

static void
deny(coat_http_request *req)
{
    asked++;
    coat_http_error(req, 403, "csrf");
}

static void
denies_by_default(void)
{
    static const char *const unsafe[] = {"POST /bare", "PUT /bare", "PATCH /bare",
                                         "DELETE /bare"};
    coat_http_router router = {
        .prefix = "", .routes = bare_routes, .count = COUNT(bare_routes), .policy = NULL};

    http_fixture_init(&f);
    f.listeners[0].router = &router;
    http_fixture_start(&f);
    handled = asked = 0;
    for (size_t i = 0; i < COUNT(unsafe); i++)
        CHECK_INT(ask(unsafe[i], "", NULL).status, 403);
    CHECK_INT(handled, 0);
    CHECK_INT(ask("GET /bare", "", NULL).status, 200);
    CHECK_INT(handled, 1);
    router.policy = deny;
    for (size_t i = 0; i < COUNT(unsafe); i++)
        CHECK_INT(ask(unsafe[i], "", NULL).status, 403);
    CHECK_INT(ask("GET /bare", "", NULL).status, 403);
    CHECK_INT(handled, 1);
    CHECK_INT(asked, COUNT(unsafe) + 1);
    http_fixture_fini(&f);
}

static coat_http_request *waiting;

static void
wait_first(coat_http_request *req)
{
    waiting = req;
}

/* A policy has to read the session first: it may go on later. */
static void
continues_later(void)
{
    coat_http_router router = {
        .prefix = "", .routes = bare_routes, .count = COUNT(bare_routes), .policy = wait_first};

    http_fixture_init(&f);
    f.listeners[0].router = &router;
    http_fixture_start(&f);
    handled = 0;
    http_client_open(&c, &f, 0);
    http_client_talk(&c, &f, "POST /bare HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK_INT(c.len, 0);
    CHECK_INT(handled, 0);
    REQUIRE(waiting != NULL);
    coat_http_continue(waiting);
    http_client_talk(&c, &f, "");
    CHECK_INT(http_client_answers(&c), 1);
    CHECK_INT(handled, 1);
    http_client_close(&c);
    http_fixture_fini(&f);
}

static bool
page(void *ctx, coat_http_response *res, unsigned status, const char *code, const char *message,
     const char *request_id)
{
    char text[128];

    (void)ctx;
    (void)message;
    (void)request_id;
    (void)snprintf(text, sizeof text, "<p>%u %s", status, code);
    coat_http_send(res, COAT_HTTP_HTML, coat_span_of(text));
    return true;
}

static void
shows_pages(void)
{
    http_answer answer;

    http_fixture_init(&f);
    f.conf.error_page = page;
    http_fixture_start(&f);
    answer = ask("GET /auth/none", "Accept: text/html\r\n", NULL);
    CHECK(coat_span_is(answer.body, COAT_LIT("<p>405 method_not_allowed")));
    answer = ask("GET /none", "Accept: application/json\r\n", NULL);
    CHECK(answer.body.len > 0 && answer.body.ptr[0] == '{');
    answer = ask("GET /none", "", NULL);
    CHECK(answer.body.len > 0 && answer.body.ptr[0] == '{');
    http_fixture_fini(&f);
}

/* FA-9: whatever a request carries comes back in no other place than it was put. */
static void
reflects_safely(void)
{
    test_rng rng = {5};

    http_fixture_init(&f);
    http_fixture_start(&f);
    for (long i = 0; i < test_scaled(20000, 200); i++) {
        static const char nasty[] = "\r\n\tab:\x7f\xc3\x01";
        char text[32], request[256];
        size_t len = 1 + (size_t)test_rng_below(&rng, 20);
        bool bad = false;
        coat_span value = {NULL, 0};
        http_answer answer;

        for (size_t k = 0; k < len; k++) {
            text[k] = nasty[test_rng_below(&rng, sizeof nasty)];
            bad |= ((uint8_t)text[k] < 0x20 && text[k] != '\t') || text[k] == 0x7f;
        }
        (void)snprintf(request, sizeof request,
                       "POST /auth/reflect HTTP/1.1\r\nHost: a\r\n" FORM
                       "Content-Length: %zu\r\n\r\n",
                       len);
        http_client_open(&c, &f, 0);
        (void)http_client_send(&c, request, strlen(request));
        (void)http_client_send(&c, text, len);
        http_fixture_spin(&f);
        http_client_read(&c);
        REQUIRE(http_answer_parse(c.in, c.len, false, &answer));
        CHECK_INT(answer.total, c.len);
        CHECK_INT(answer.status, bad ? 500 : 200);
        CHECK_INT(http_answer_field(&answer, "X-Reflected", &value), !bad);
        http_client_close(&c);
    }
    http_fixture_fini(&f);
}

static const coat_test tests[] = {
    {"FA-11: unknown paths, undeclared methods, TRACE and CONNECT", routes},
    {"CS-7 RX-6 FA-11: bodies of the declared types only, uncompressed", takes_bodies},
    {"CS-7: method overrides are ignored", ignores_overrides},
    {"CS-1: a route without annotation is denied", denies_by_default},
    {"a policy may go on later", continues_later},
    {"errors as a page for who prefers it", shows_pages},
    {"FA-9: reflected input stays in its place", reflects_safely},
};

COAT_TEST_MAIN(tests)
