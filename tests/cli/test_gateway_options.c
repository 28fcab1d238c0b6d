/* SPDX-License-Identifier: Apache-2.0 */
#include "coat_test.h"

#include "cli/gateway/gateway.h"

#include <stdlib.h>
#include <unistd.h>

static char message[COAT_GATEWAY_MESSAGE_MAX];

static const struct listen_case {
    const char *text;
    int port; /* 0: refused */
    bool loopback;
} listens[] = {
    {"127.0.0.1:8080", 8080, true},
    {"127.9.9.9:1", 1, true},
    {"[::1]:65535", 65535, true},
    {"0.0.0.0:443", 443, false},
    {"[::]:443", 443, false},
    {"192.0.2.1:80", 80, false},
    {"[2001:db8::1]:80", 80, false},
    {"[::ffff:127.0.0.1]:80", 0,
     false}, /* IPv4 in disguise: nginx would listen on no loopback */
    {"", 0, false},
    {"8080", 0, false},
    {":8080", 0, false},
    {"localhost:8080", 0, false},
    {"*:8080", 0, false},
    {"127.0.0.1", 0, false},
    {"127.0.0.1:", 0, false},
    {"127.0.0.1:0", 0, false},
    {"127.0.0.1:65536", 0, false},
    {"127.0.0.1:08", 0, false},
    {"127.0.0.1:+8", 0, false},
    {"127.0.0.1:8080 ", 0, false},
    {" 127.0.0.1:8080", 0, false},
    {"127.0.0.1:8080 default_server", 0, false},
    {"127.0.0.1:80;", 0, false},
    {"127.1:8080", 0, false},
    {"::1:8080", 0, false},
    {"[127.0.0.1]:80", 0, false},
    {"[::1]8080", 0, false},
    {"[::1", 0, false},
    {"unix:/run/x", 0, false},
};

static void
listen_cases(void)
{
    for (size_t i = 0; i < sizeof listens / sizeof listens[0]; i++) {
        coat_gateway_listen out = {.text = "before"};
        coat_err err = coat_gateway_listen_parse(listens[i].text, &out, message);

        test_case(listens[i].text);
        CHECK_ERR(err, listens[i].port != 0 ? COAT_OK : COAT_INVALID);
        CHECK_STR(out.text, err == COAT_OK ? listens[i].text : "before");
        CHECK_INT(out.port, listens[i].port);
        CHECK_INT(out.loopback, listens[i].loopback);
        CHECK(err == COAT_OK || strstr(message, "127.0.0.1:8080") != NULL);
    }
}

static const struct upstream_case {
    const char *url, *server, *host; /* server NULL: refused */
} upstreams[] = {
    {"http://127.0.0.1:3000", "127.0.0.1:3000", ""},
    {"http://127.0.0.1", "127.0.0.1:80", ""},
    {"http://127.0.0.1:3000/", "127.0.0.1:3000", ""},
    {"http://[::1]:3000", "[::1]:3000", ""},
    {"http://[::1]", "[::1]:80", ""},
    {"http://app:3000", "app:3000", ""},
    {"http://my_app.internal", "my_app.internal:80", ""},
    {"https://app.example.com", "app.example.com:443", "app.example.com"},
    {"https://app.example.com:8443/", "app.example.com:8443", "app.example.com"},
    {"http://unix:/run/app.sock", "unix:/run/app.sock", ""},
    {"http://unix:/run/app.sock:", "unix:/run/app.sock", ""},
    {"http://unix:/run/a b\"c.sock", "unix:/run/a b\"c.sock", ""},
    {"", NULL, NULL},
    {"127.0.0.1:3000", NULL, NULL},
    {"HTTP://127.0.0.1", NULL, NULL},
    {"ftp://127.0.0.1", NULL, NULL},
    {"http://", NULL, NULL},
    {"http:///", NULL, NULL},
    {"http://:3000", NULL, NULL},
    {"http://3000", NULL, NULL},
    {"http://127.0.0.1:0", NULL, NULL},
    {"http://127.0.0.1:65536", NULL, NULL},
    {"http://127.0.0.1:", NULL, NULL},
    {"http://127.0.0.1:80:80", NULL, NULL},
    {"http://::1:3000", NULL, NULL},
    {"http://[::1", NULL, NULL},
    {"http://127.0.0.1:3000//", NULL, NULL},
    {"http://127.0.0.1:3000/app", NULL, NULL},
    {"http://app/app", NULL, NULL},
    {"http://app?x", NULL, NULL},
    {"http://app#x", NULL, NULL},
    {"http://user@app", NULL, NULL},
    {"http://user:pass@app:80", NULL, NULL},
    {"http://$host", NULL, NULL},
    {"http://a;b", NULL, NULL},
    {"http://a b", NULL, NULL},
    {"http://a}", NULL, NULL},
    {"http://-app", NULL, NULL},
    {"http://unix:run/app.sock", NULL, NULL},
    {"http://unix:/", NULL, NULL},
    {"http://unix:", NULL, NULL},
    {"http://unix:/run/app.sock:/path", NULL, NULL},
    {"http://unix:/run/app.sock::", NULL, NULL},
    {"https://unix:/run/app.sock", NULL, NULL},
    {"https://127.0.0.1", NULL, NULL},
    {"https://[::1]:443", NULL, NULL},
};

static void
upstream_cases(void)
{
    for (size_t i = 0; i < sizeof upstreams / sizeof upstreams[0]; i++) {
        const struct upstream_case *c = &upstreams[i];
        coat_gateway_upstream out = {.url = "before"};
        coat_err err = coat_gateway_upstream_parse(c->url, &out, message);

        test_case(c->url);
        CHECK_ERR(err, c->server != NULL ? COAT_OK : COAT_INVALID);
        CHECK_STR(out.url, err == COAT_OK ? c->url : "before");
        CHECK_STR(out.server, c->server != NULL ? c->server : "");
        CHECK_STR(out.host, c->host != NULL ? c->host : "");
        CHECK_INT(out.tls, strncmp(c->url, "https:", 6) == 0 && err == COAT_OK);
        CHECK(err == COAT_OK || strstr(message, "--upstream") != NULL);
    }
}

static void
upstream_lengths(void)
{
    char url[512] = "http://unix:/";
    coat_gateway_upstream out;

    memset(url + strlen(url), 'a', 106); /* 107 with the slash: all that sun_path can hold */
    CHECK_ERR(coat_gateway_upstream_parse(url, &out, message), COAT_OK);
    url[strlen(url)] = 'a';
    CHECK_ERR(coat_gateway_upstream_parse(url, &out, message), COAT_INVALID);
    CHECK(strstr(message, "108 bytes, at most 107") != NULL);
    memset(url, 0, sizeof url);
    memset(url, 'a', 7 + 253);
    memcpy(url, "http://", 7);
    CHECK_ERR(coat_gateway_upstream_parse(url, &out, message), COAT_OK);
    url[strlen(url)] = 'a';
    CHECK_ERR(coat_gateway_upstream_parse(url, &out, message), COAT_INVALID);
}

static const struct rule_case {
    const char *text, *path; /* path NULL: refused */
    size_t roles;
    int64_t max_age_s;
} rules[] = {
    {"/", "/", 0, 0},
    {"/admin", "/admin", 0, 0},
    {"/admin:role=admin", "/admin", 1, 0},
    {"/admin:role=admin,role=staff", "/admin", 2, 0},
    {"/a-b_c.d~e/f:max-age=5m", "/a-b_c.d~e/f", 0, 300},
    {"/admin:role=a,max-age=90s,role=b", "/admin", 2, 90},
    {"/admin:role=a, max-age=30d", "/admin", 1, 2592000},
    {"/a:role=x:y=z", "/a", 1, 0},
    {"", NULL, 0, 0},
    {"admin", NULL, 0, 0},
    {":role=admin", NULL, 0, 0},
    {"/admin:", NULL, 0, 0},
    {"/admin:role", NULL, 0, 0},
    {"/admin:role=", NULL, 0, 0},
    {"/admin:role=a,", NULL, 0, 0},
    {"/admin:,role=a", NULL, 0, 0},
    {"/admin:role=a b", NULL, 0, 0},
    {"/admin:role=\xc3\xa4", NULL, 0, 0},
    {"/admin:Role=a", NULL, 0, 0},
    {"/admin:max-age=0s", NULL, 0, 0},
    {"/admin:max-age=500ms", NULL, 0, 0},
    {"/admin:max-age=31d", NULL, 0, 0},
    {"/admin:max-age=5", NULL, 0, 0},
    {"/admin:max-age=5m,max-age=6m", NULL, 0, 0},
    {"/admin:off", NULL, 0, 0},
    {"/admin:role=1,role=2,role=3,role=4,role=5,role=6,role=7,role=8", "/admin", 8, 0},
    {"/admin:role=1,role=2,role=3,role=4,role=5,role=6,role=7,role=8,role=9", NULL, 0, 0},
    {"/a//b", NULL, 0, 0},
    {"/../a", NULL, 0, 0},
    {"/.well-known", NULL, 0, 0},
    {"/a%20b", NULL, 0, 0},
    {"/a*", NULL, 0, 0},
    {"/a\"b", NULL, 0, 0},
    {"/a(b", NULL, 0, 0},
    {"/a$b", NULL, 0, 0},
    {"/a b", NULL, 0, 0},
    {"/a\\b", NULL, 0, 0},
    {"/a\nb", NULL, 0, 0},
};

static void
rule_cases(void)
{
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        const struct rule_case *c = &rules[i];
        coat_gateway_rule out = {.path = "before"};
        coat_err err = coat_gateway_rule_parse(c->text, &out, message);

        test_case(c->text);
        CHECK_ERR(err, c->path != NULL ? COAT_OK : COAT_INVALID);
        CHECK_STR(out.path, c->path != NULL ? c->path : "before");
        CHECK_INT(out.role_count, c->roles);
        CHECK_INT(out.max_age_s, c->max_age_s);
        CHECK(err == COAT_OK || strstr(message, "/admin:role=admin") != NULL);
    }
}

static void
rule_length(void)
{
    char text[300] = "/";
    coat_gateway_rule out;

    memset(text + 1, 'a', COAT_GATEWAY_PATH_MAX - 1);
    CHECK_ERR(coat_gateway_rule_parse(text, &out, message), COAT_OK);
    CHECK_STR(out.path, text);
    text[COAT_GATEWAY_PATH_MAX] = 'a';
    CHECK_ERR(coat_gateway_rule_parse(text, &out, message), COAT_INVALID);
}

/* ---- all of them together ---- */

static const coat_gateway_options *
options_of(const char *const *list)
{
    static coat_gateway_options out;
    coat_args args = {.json = false};

    while (list[args.option_count] != NULL) {
        args.options[args.option_count] = list[args.option_count];
        args.option_count++;
    }
    return coat_gateway_options_read(&args, &out, message) == COAT_OK ? &out : NULL;
}

#define OPTIONS(...) options_of((const char *const[]){__VA_ARGS__, NULL})
#define UP "--upstream=http://127.0.0.1:3000"

static void
defaults(void)
{
    const coat_gateway_options *o = OPTIONS(UP);

    REQUIRE(o != NULL);
    CHECK_INT(o->listen_count, 1);
    CHECK_STR(o->listens[0].text, "127.0.0.1:8080");
    CHECK_INT(o->max_body, 16 * 1024 * 1024);
    CHECK(!o->optional && !o->no_csrf && !o->print && !o->assertion);
    o = OPTIONS(UP, "--tls-cert=/c", "--tls-key=/k");
    REQUIRE(o != NULL);
    CHECK_STR(o->listens[0].text, "0.0.0.0:443");
}

/* The longest first: what nginx takes is the one that says most. */
static void
rules_in_order(void)
{
    const coat_gateway_options *o =
        OPTIONS(UP, "--protect=/:role=a", "--protect=/a/b/c:role=b", "--protect=/a:role=c");

    REQUIRE(o != NULL);
    CHECK_INT(o->rule_count, 3);
    CHECK_STR(o->rules[0].path, "/a/b/c");
    CHECK_STR(o->rules[1].path, "/a");
    CHECK_STR(o->rules[2].path, "/");
    CHECK(OPTIONS(UP, "--protect=/ab", "--protect=/AC", "--protect=/aB") == NULL);
}

static void
files(void)
{
    char want[COAT_GATEWAY_FILE_MAX], here[900], longest[COAT_GATEWAY_FILE_MAX + 32];
    const coat_gateway_options *o = OPTIONS(UP, "--tls-cert=c.pem", "--tls-key=/k/../k.pem");

    REQUIRE(o != NULL && getcwd(here, sizeof here) != NULL);
    (void)snprintf(want, sizeof want, "%s/c.pem", here);
    CHECK_STR(o->tls_cert, want);
    CHECK_STR(o->tls_key, "/k/../k.pem");
    (void)snprintf(longest, sizeof longest, "--access-log=/%0*d", COAT_GATEWAY_FILE_MAX - 2, 0);
    REQUIRE(OPTIONS(UP, longest) != NULL);
    (void)snprintf(longest, sizeof longest, "--access-log=/%0*d", COAT_GATEWAY_FILE_MAX - 1, 0);
    CHECK(OPTIONS(UP, longest) == NULL);
    CHECK(OPTIONS(UP, "--access-log=") == NULL);
}

static void
too_many(void)
{
    const char *list[COAT_GATEWAY_LISTENS_MAX + 3] = {UP};
    char text[COAT_GATEWAY_LISTENS_MAX + 1][40];

    for (int i = 0; i <= COAT_GATEWAY_LISTENS_MAX; i++) {
        (void)snprintf(text[i], sizeof text[i], "--listen=127.0.0.1:%d", 8000 + i);
        list[1 + i] = text[i];
    }
    CHECK(options_of(list) == NULL);
    list[1 + COAT_GATEWAY_LISTENS_MAX] = NULL;
    REQUIRE(options_of(list) != NULL);
    for (int i = 0; i <= COAT_GATEWAY_RULES_MAX; i++) {
        (void)snprintf(text[i], sizeof text[i], "--protect=/%d", i);
        list[1 + i] = text[i];
    }
    CHECK(options_of(list) == NULL);
    list[1 + COAT_GATEWAY_RULES_MAX] = NULL;
    REQUIRE(options_of(list) != NULL);
}

/* ---- nginx -V ---- */

static const struct version_case {
    const char *text;
    unsigned version;
    const char *dir;
} versions[] = {
    {"nginx version: nginx/1.22.1\nconfigure arguments: --modules-path=/usr/lib/nginx/modules "
     "--with-x",
     1022001, "/usr/lib/nginx/modules"},
    {"nginx version: nginx/1.26.3 (Ubuntu)\n", 1026003, ""},
    {"nginx version: openresty/1.21.4.1\n", 0, ""},
    {"nginx version: nginx/1.25\n--modules-path=relative", 1025000, ""},
    {"nginx/99999999999.1.1", 0, ""},
    {"nginx/", 0, ""},
    {"", 0, ""},
    {"nginx/1.2.3 --modules-path=/m", 1002003, "/m"},
};

static void
version_cases(void)
{
    for (size_t i = 0; i < sizeof versions / sizeof versions[0]; i++) {
        coat_gateway_nginx out = {.module_dir = "before"};

        test_case(versions[i].text);
        coat_gateway_nginx_parse(versions[i].text, &out);
        CHECK_INT(out.version, versions[i].version);
        CHECK_STR(out.module_dir, versions[i].dir);
    }
}

static const coat_test tests[] = {
    {"--listen: addresses with a port", listen_cases},
    {"--upstream: what nginx can proxy to, and nothing else", upstream_cases},
    {"--upstream: the longest name and path", upstream_lengths},
    {"--protect: a plain path and its demands", rule_cases},
    {"--protect: the longest path", rule_length},
    {"what is not said", defaults},
    {"rules stand in the order of their length; case does not make two of one", rules_in_order},
    {"files are absolute, and not too long", files},
    {"lists have an end", too_many},
    {"nginx -V: version and place of modules", version_cases},
};
COAT_TEST_MAIN(tests)
