/* SPDX-License-Identifier: Apache-2.0 */
/* Taking fields out of nginx's list of them, against a plain array. */
#include "coat_test.h"

#include "nginx/cookies.c"
#include "nginx/scan.c"

#include "request.h"

static coat_ngx_ctx *
scan(void)
{
    REQUIRE(coat_ngx_post_read(&request) == NGX_DECLINED);
    return coat_ngx_ctx_of(&request);
}

/* ---- tests ---- */

static const struct name_case {
    const char *key;
    bool ours;
} name_cases[] = {
    {"X-Auth-User", true},
    {"x-auth-user", true},
    {"X_Auth_User", true},
    {"X.Auth.User", true},
    {"x-AUTH_user", true},
    {"X-Auth~User", true},
    {"X\xe2"
     "Auth-User",
     true},
    {"X-Auth-Roles", true},
    {"X_AUTH_ROLES", true},
    {"X-Auth-User2", false},
    {"X-Auth-Use", false},
    {"XX-Auth-User", false},
    {"X-Auth--User", false},
    {"Auth-User", false},
    {"X-Auth-Rules", false},
    {"XaAuth-User", false},
    {"", false},
    {"X-Auth-Usér", false},
};

static void
test_names(void)
{
    for (size_t i = 0; i < sizeof name_cases / sizeof name_cases[0]; i++) {
        test_case(name_cases[i].key);
        begin();
        add("Host", "a");
        add(name_cases[i].key, "evil");
        add("Accept", "b");
        (void)scan();
        CHECK_INT(strstr(sent(), "evil") == NULL, name_cases[i].ours);
        CHECK(strstr(sent(), "Host: a\n") != NULL && strstr(sent(), "Accept: b\n") != NULL);
    }
}

/* Every choice of what is ours, for lists of every length over several parts; then our own
 * fields are pushed and taken out again, as an internal redirect does. Against a plain text. */
static void
test_all_choices(void)
{
    for (unsigned count = 0; count <= 10; count++)
        for (unsigned choice = 0; choice < 1U << count; choice++) {
            const ngx_str_t name = COAT_NGX_STR("mara");
            char want[512] = "";
            size_t len = 0;

            begin();
            for (unsigned i = 0; i < count; i++) {
                char value[8];

                (void)snprintf(value, sizeof value, "v%u", i);
                if (choice >> i & 1) {
                    (void)add("X-Auth-User", value);
                    continue;
                }
                (void)add("Other", value);
                len += (size_t)snprintf(want + len, sizeof want - len, "Other: %s\n", value);
            }
            (void)scan();
            CHECK_STR(sent(), want);
            for (int i = 0; i < 6; i++)
                REQUIRE(coat_ngx_push(&request, &server.names[i % 2], &name, 1) == NGX_OK);
            for (int i = 0; i < 3; i++)
                (void)add("Later", "x");
            REQUIRE(coat_ngx_strip(&request, &server) == NGX_OK);
            len += (size_t)snprintf(want + len, sizeof want - len,
                                    "Later: x\nLater: x\nLater: x\n");
            CHECK_STR(sent(), want);
        }
}

/* Where CSRF or CORS is decided they are noted at once, elsewhere when they are asked for. */
static void
check_facts(bool at_once)
{
    coat_ngx_ctx *ctx;

    begin();
    server.cross = at_once;
    add("Accept", "text/html");
    add("User-Agent", "first");
    add("User-Agent", "second");
    add("Origin", "https://a");
    add("Referer", "https://a/b");
    add("Sec-Fetch-Site", "same-origin");
    add("Sec-Fetch-Mode", "cors");
    add("Sec-Fetch-Dest", "empty");
    add("Accept-Language", "de");
    add("Content-Type", "text/plain");
    add("Access-Control-Request-Method", "PUT");
    add("Access-Control-Request-Headers", "x-a");
    ctx = scan();
    CHECK_INT(ctx->facts_noted, at_once);
    coat_ngx_facts(&request, ctx);
    CHECK(coat_span_is(ctx->facts.accept, COAT_LIT("text/html")));
    CHECK(coat_span_is(ctx->agent, COAT_LIT("first")));
    CHECK(coat_span_is(ctx->facts.origin, COAT_LIT("https://a")));
    CHECK(coat_span_is(ctx->facts.referer, COAT_LIT("https://a/b")));
    CHECK(coat_span_is(ctx->facts.fetch_site, COAT_LIT("same-origin")));
    CHECK(coat_span_is(ctx->facts.fetch_mode, COAT_LIT("cors")));
    CHECK(coat_span_is(ctx->facts.fetch_dest, COAT_LIT("empty")));
    CHECK(coat_span_is(ctx->language, COAT_LIT("de")));
    CHECK(coat_span_is(ctx->facts.content_type, COAT_LIT("text/plain")));
    CHECK(coat_span_is(ctx->cors_method, COAT_LIT("PUT")));
    CHECK(coat_span_is(ctx->cors_headers, COAT_LIT("x-a")));
    CHECK(ctx->facts.any_fetch);
    CHECK(!ctx->facts.origin_repeated);

    begin();
    server.cross = at_once;
    add("Sec-Fetch-User", "?1");
    add("origin", "https://a");
    add("Origin", "https://b");
    ctx = scan();
    CHECK_INT(ctx->facts_noted, at_once);
    coat_ngx_facts(&request, ctx);
    CHECK(ctx->facts.any_fetch);
    CHECK(ctx->facts.origin_repeated);
}

static void
test_facts(void)
{
    coat_ngx_ctx *ctx;

    check_facts(true);
    check_facts(false);

    /* Once: an origin is not repeated because somebody asks again. */
    begin();
    add("Origin", "https://a");
    ctx = scan();
    for (int i = 0; i < 3; i++)
        coat_ngx_facts(&request, ctx);
    CHECK(coat_span_is(ctx->facts.origin, COAT_LIT("https://a")));
    CHECK(!ctx->facts.origin_repeated);
}

/* Nothing of what the pool's memory held before, but for what says when it is set. */
static void
test_fresh(void)
{
    static const coat_ngx_ctx nothing;
    coat_ngx_ctx *ctx;

    begin();
    add("Host", "a");
    ctx = scan();
    CHECK(ctx->r == &request && coat_span_is(ctx->facts.method, COAT_LIT("GET")));
    CHECK_MEM((const char *)ctx + sizeof ctx->r, offsetof(coat_ngx_ctx, facts) - sizeof ctx->r,
              (const char *)&nothing + sizeof ctx->r,
              offsetof(coat_ngx_ctx, facts) - sizeof ctx->r);
    coat_ngx_facts(&request, ctx);
    CHECK(ctx->facts.accept.ptr == NULL && ctx->facts.origin.ptr == NULL);
    CHECK(ctx->cors_method.ptr == NULL && ctx->cors_headers.ptr == NULL);
    CHECK(!ctx->facts.any_fetch && !ctx->facts.origin_repeated);
    CHECK(coat_span_is(ctx->facts.method, COAT_LIT("GET")));
}

/* One number for both cases of a letter, and others for other lengths. */
static void
test_kinds(void)
{
    for (size_t len = 1; len <= 40; len++)
        for (unsigned c = 'a'; c <= 'z'; c++) {
            unsigned kind = coat_ngx_kind(len, (uint8_t)c);

            CHECK(kind < 64 && kind == coat_ngx_kind(len, (uint8_t)(c - 'a' + 'A')));
            CHECK(kind != coat_ngx_kind(len + 1, (uint8_t)c));
        }
}

/* Fields with and without a name and a value, behind lists that end anywhere in a part. */
static void
test_push(void)
{
    for (unsigned before = 0; before <= 2 * FIRST_PART; before++)
        for (unsigned choice = 0; choice < 1U << 6; choice++) {
            coat_ngx_name names[6];
            ngx_str_t values[6];
            char want[512] = "";
            size_t len = 0;

            begin();
            for (unsigned i = 0; i < before; i++) {
                (void)add("Other", "x");
                len += (size_t)snprintf(want + len, sizeof want - len, "Other: x\n");
            }
            for (unsigned i = 0; i < 6; i++) {
                bool there = (choice >> i & 1) != 0;

                names[i] = server.names[i % 2];
                values[i] = COAT_NGX_STR("mara");
                if (!there && i < 3)
                    names[i].text.len = 0;
                else if (!there)
                    values[i].len = 0;
                if (there)
                    len += (size_t)snprintf(want + len, sizeof want - len, "%s: mara\n",
                                            i % 2 == 0 ? "X-Auth-User" : "X-Auth-Roles");
            }
            REQUIRE(coat_ngx_push(&request, names, values, 6) == NGX_OK);
            CHECK_STR(sent(), want);
        }
}

static const struct connection_case {
    const char *value, *want;
} connection_cases[] = {
    {"keep-alive", "keep-alive"},
    {"Upgrade", "Upgrade"},
    {"keep-alive, Upgrade", "keep-alive, Upgrade"},
    {"close", "close"},
    {"X-Auth-User", ""},
    {"X-Auth-User, Cookie", ""},
    {"keep-alive, X-Auth-User", "keep-alive"},
    {"X-Auth-User, Upgrade", "Upgrade"},
    {"X-Auth-User,close,X-Auth-Roles,Upgrade", "close,Upgrade"},
    {",,,", ""},
    {"", ""},
};

static void
test_connection(void)
{
    for (size_t i = 0; i < sizeof connection_cases / sizeof connection_cases[0]; i++) {
        ngx_table_elt_t *h;

        test_case(connection_cases[i].value);
        begin();
        h = add("Connection", connection_cases[i].value);
        (void)scan();
        CHECK_MEM(h->value.data, h->value.len, connection_cases[i].want,
                  strlen(connection_cases[i].want));
    }
}

static const struct cookie_case {
    const char *lines[3];
    const char *want;
} cookie_cases[] = {
    {{"a=1"}, "Cookie: a=1\nAccept: x\n"},
    {{"id=T"}, "Accept: x\n"},
    {{"id=T; a=1; id-device=d; id-pre=p"}, "Cookie: a=1\nAccept: x\n"},
    {{"a=1; b=2; id=T"}, "Cookie: a=1; b=2\nAccept: x\n"},
    {{"a=1; id=T; id-pre=p"}, "Cookie: a=1\nAccept: x\n"},
    {{"id=T; a=1; b=2"}, "Cookie: a=1; b=2\nAccept: x\n"},
    {{"a=1; id=T; b=2"}, "Cookie: a=1; b=2\nAccept: x\n"},
    {{"a=1", "id=T", "b=2"}, "Cookie: a=1\nCookie: b=2\nAccept: x\n"},
    {{"id=T", "id=U", "id=V"}, "Accept: x\n"},
    {{"ID=T; xid=1"}, "Cookie: ID=T; xid=1\nAccept: x\n"},
    {{"a=\"id=T\"; b=\xff"}, "Cookie: a=\"id=T\"; b=\xff\nAccept: x\n"},
};

#define NAMES                                                                                  \
    {                                                                                          \
        COAT_LIT("id"), COAT_LIT("id-pre"), COAT_LIT("id-device")                              \
    }

/* A careless reader of the value does not come to what was taken out behind it. */
static bool
ends_with_nul(const ngx_table_elt_t *h)
{
    return h->value.data[h->value.len] == '\0';
}

/* Hidden, restored as they were, hidden again. */
static void
test_cookies(void)
{
    coat_ngx_loc conf = {.cookie_names = NAMES};

    for (size_t i = 0; i < sizeof cookie_cases / sizeof cookie_cases[0]; i++) {
        const struct cookie_case *c = &cookie_cases[i];
        coat_ngx_ctx *ctx;

        test_case(c->lines[0]);
        begin();
        for (size_t l = 0; l < 3 && c->lines[l] != NULL; l++)
            (void)add("Cookie", c->lines[l]);
        add("Accept", "x");
        ctx = scan();
        for (int round = 0; round < 2; round++) {
            coat_ngx_cookies_look(&conf, ctx);
            REQUIRE(coat_ngx_cookies_hide(&request, &conf, ctx) == NGX_OK);
            if (round == 0)
                CHECK_STR(sent(), c->want);
            CHECK(strstr(sent(), "id=T\n") == NULL && strstr(sent(), "id-device") == NULL);
            for (ngx_uint_t l = 0; l < ctx->line_count; l++)
                CHECK(ctx->lines[l].listed == NULL || ends_with_nul(ctx->lines[l].known));
            REQUIRE(coat_ngx_cookies_restore(&request, ctx) == NGX_OK);
            for (size_t l = 0; l < 3 && c->lines[l] != NULL; l++)
                CHECK(strstr(sent(), c->lines[l]) != NULL);
        }
        conf.pass_cookie = 1;
        REQUIRE(coat_ngx_cookies_hide(&request, &conf, ctx) == NGX_OK);
        CHECK(strstr(sent(), c->lines[0]) != NULL);
        conf.pass_cookie = 0;
    }
}

#if nginx_version >= 1023000
/* As nginx leaves it when a request has been to FastCGI and then moves inside. */
static void
test_links(void)
{
    coat_ngx_loc conf = {.cookie_names = NAMES};
    ngx_table_elt_t *h, *before = NULL;
    coat_ngx_ctx *ctx;

    begin();
    for (int i = 0; i < COAT_NGX_COOKIE_LINES; i++) {
        h = add("Cookie", i == 0 ? "a=1" : "id-device=T");
        if (before != NULL)
            before->next = h;
        before = h;
    }
    ctx = scan();
    request.headers_in.multi_linked = 1;
    coat_ngx_cookies_look(&conf, ctx);
    REQUIRE(coat_ngx_cookies_hide(&request, &conf, ctx) == NGX_OK);
    CHECK(!request.headers_in.multi_linked);
    request.headers_in.multi_linked = 1;
    REQUIRE(coat_ngx_cookies_restore(&request, ctx) == NGX_OK);
    CHECK(!request.headers_in.multi_linked);
}
#endif

/* Whatever else is in the memory of the request: nothing goes on that nobody has looked at. */
static void
test_unlooked(void)
{
    coat_ngx_loc conf = {.cookie_names = NAMES};
    coat_ngx_ctx *ctx;

    begin();
    add("Cookie", "a=1; id=T");
    add("Accept", "x");
    ctx = scan();
    REQUIRE(coat_ngx_cookies_hide(&request, &conf, ctx) == NGX_OK);
    CHECK_STR(sent(), "Accept: x\n");
}

static void
test_many_lines(void)
{
    coat_ngx_ctx *ctx;

    begin();
    for (int i = 0; i < COAT_NGX_COOKIE_LINES; i++)
        (void)add("Cookie", "a=1");
    ctx = scan();
    CHECK(!ctx->too_many_lines);
    begin();
    for (int i = 0; i <= COAT_NGX_COOKIE_LINES; i++)
        (void)add("Cookie", "a=1");
    CHECK_INT(coat_ngx_post_read(&request), NGX_HTTP_BAD_REQUEST);
}

static void
test_context(void)
{
    coat_ngx_ctx *ctx;

    begin();
    add("Accept", "x");
    ctx = scan();
    CHECK(ctx != NULL && coat_ngx_ctx_of(&request) == ctx);
    contexts[0] = NULL; /* as an internal redirect leaves it */
    CHECK(coat_ngx_ctx_of(&request) == NULL);
    request.internal = 1;
    CHECK(coat_ngx_ctx_of(&request) == ctx);

    begin();
    server.used = 0;
    add("X-Auth-User", "theirs");
    REQUIRE(coat_ngx_post_read(&request) == NGX_DECLINED);
    CHECK(coat_ngx_ctx_of(&request) == NULL);
    CHECK_STR(sent(), "X-Auth-User: theirs\n"); /* a server that has nothing to do with us */
}

static const coat_test tests[] = {
    {"FA-3 FA-4: which names are identity fields", test_names},
    {"FA-3: whatever is taken out, the rest is there, in order, and can be added to",
     test_all_choices},
    {"facts of a request; the first of repeated fields, and that it was repeated", test_facts},
    {"FA-4: Connection names nothing but itself", test_connection},
    {"FA-7: our cookies are hidden, all others stay; an internal redirect restores them",
     test_cookies},
    {"FA-7: nothing goes on of cookies that nobody has looked at", test_unlooked},
#if nginx_version >= 1023000
    {"FA-7: fields that were linked by their name are linked anew", test_links},
#endif
    {"CK-3 FA-7: more Cookie lines than can be looked after are refused", test_many_lines},
    {"the context is found again after an internal redirect", test_context},
    {"a context begins with nothing of its own", test_fresh},
    {"kinds of names are those of their letters", test_kinds},
    {"fields are added wherever a part of the list ends", test_push},
};

COAT_TEST_MAIN(tests)
