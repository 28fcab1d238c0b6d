/* SPDX-License-Identifier: Apache-2.0 */
#include "coat_test.h"
#include "core/bytes.h"

#include <coatcheck/cookie.h>

/* A configuration as a table row: NULL keeps the default. */
typedef struct conf_case {
    const char *label;
    const char *name, *domain, *path;
    bool insecure, partitioned, share;
    coat_samesite samesite;
    const char *key; /* what the message must name; NULL: accepted */
} conf_case;

#define L63 "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggg"

static const conf_case cases[] = {
    {.label = "default"},
    {.label = "strict", .samesite = COAT_SAMESITE_STRICT},
    {.label = "none, secure", .samesite = COAT_SAMESITE_NONE},
    {.label = "partitioned", .partitioned = true, .samesite = COAT_SAMESITE_NONE},
    {.label = "plain name", .name = "sid"},
    {.label = "plain name, not secure", .name = "sid", .insecure = true},
    {.label = "plain name, path", .name = "sid", .path = "/shop"},
    {.label = "shared domain", .name = "__Secure-sid", .domain = "example.org", .share = true},
    {.label = "shared deep domain", .name = "s", .domain = "a-1.b.example.org", .share = true},
    {.label = "A-label domain", .name = "s", .domain = "xn--bcher-kva.example", .share = true},
    {.label = "__Secure- with path", .name = "__Secure-sid", .path = "/x"},
    {.label = "__Http-", .name = "__Http-sid"},
    {.label = "__Host-Http-", .name = "__Host-Http-sid"},
    {.label = "name like a prefix, but none", .name = "__Hostid"},
    {.label = "all token characters", .name = "!#$%&'*+-.^_`|~09azAZ"},
    {.label = "longest name", .name = L63 "g"},

    {.label = "__Host- with domain", .domain = "example.org", .share = true, .key = "domain"},
    {.label = "__Host- with path", .path = "/app", .key = "path"},
    {.label = "__Host- not secure", .insecure = true, .key = "secure"},
    {.label = "__Secure- not secure", .name = "__Secure-id", .insecure = true, .key = "secure"},
    {.label = "__Http- not secure", .name = "__Http-id", .insecure = true, .key = "secure"},
    {.label = "__Host-Http- with path", .name = "__Host-Http-i", .path = "/a", .key = "path"},
    {.label = "__Host-Http- with domain",
     .name = "__Host-Http-i",
     .domain = "example.org",
     .share = true,
     .key = "domain"},
    {.label = "__host-", .name = "__host-id", .key = "name"},
    {.label = "__HOST-", .name = "__HOST-id", .key = "name"},
    {.label = "__secure-", .name = "__secure-id", .key = "name"},
    {.label = "__SecurE-", .name = "__SecurE-id", .key = "name"},
    {.label = "__http-", .name = "__http-id", .key = "name"},
    {.label = "__Host-http-", .name = "__Host-http-id", .key = "name"},
    {.label = "prefix alone", .name = "__Host-", .key = "name"},
    {.label = "SameSite=None not secure",
     .name = "s",
     .insecure = true,
     .samesite = COAT_SAMESITE_NONE,
     .key = "same-site"},
    {.label = "SameSite unknown", .samesite = (coat_samesite)3, .key = "same-site"},
    {.label = "partitioned not secure",
     .name = "s",
     .insecure = true,
     .partitioned = true,
     .key = "partitioned"},
    {.label = "domain without switch", .name = "s", .domain = "example.org", .key = "domain"},
    {.label = "public suffix, one label",
     .name = "s",
     .domain = "org",
     .share = true,
     .key = "domain"},
    {.label = "localhost", .name = "s", .domain = "localhost", .share = true, .key = "domain"},
    {.label = "public suffix, predicate",
     .name = "s",
     .domain = "co.uk",
     .share = true,
     .key = "domain"},
    {.label = "IPv4", .name = "s", .domain = "192.0.2.1", .share = true, .key = "domain"},
    {.label = "IPv4 as a number",
     .name = "s",
     .domain = "a.0x7f",
     .share = true,
     .key = "domain"},
    {.label = "IPv6", .name = "s", .domain = "2001:db8::1", .share = true, .key = "domain"},
    {.label = "leading dot",
     .name = "s",
     .domain = ".example.org",
     .share = true,
     .key = "domain"},
    {.label = "trailing dot",
     .name = "s",
     .domain = "example.org.",
     .share = true,
     .key = "domain"},
    {.label = "upper case",
     .name = "s",
     .domain = "Example.org",
     .share = true,
     .key = "domain"},
    {.label = "not ASCII",
     .name = "s",
     .domain = "b\xc3\xbc.example",
     .share = true,
     .key = "domain"},
    {.label = "domain with attribute",
     .name = "s",
     .domain = "example.org; x",
     .share = true,
     .key = "domain"},
    {.label = "label of 64",
     .name = "s",
     .domain = L63 "g.example",
     .share = true,
     .key = "domain"},
    {.label = "empty label",
     .name = "s",
     .domain = "a..example",
     .share = true,
     .key = "domain"},
    {.label = "hyphen first",
     .name = "s",
     .domain = "-a.example",
     .share = true,
     .key = "domain"},
    {.label = "empty name", .name = "", .key = "name"},
    {.label = "name with space", .name = "a b", .key = "name"},
    {.label = "name with =", .name = "a=b", .key = "name"},
    {.label = "name with ;", .name = "a;b", .key = "name"},
    {.label = "name with CR", .name = "a\rb", .key = "name"},
    {.label = "name not ASCII", .name = "\xc3\xa9", .key = "name"},
    {.label = "name with quotes", .name = "\"a\"", .key = "name"},
    {.label = "empty path", .name = "s", .path = "", .key = "path"},
    {.label = "relative path", .name = "s", .path = "app", .key = "path"},
    {.label = "path with ;", .name = "s", .path = "/a;b", .key = "path"},
    {.label = "path with LF", .name = "s", .path = "/a\nb", .key = "path"},
    {.label = "line over 256", .name = L63, .path = "/" L63 L63, .key = "256"},
};

static bool
suffix_known(const char *domain)
{
    return strcmp(domain, "co.uk") == 0;
}

static void
fill(coat_cookie_conf *conf, const conf_case *c)
{
    coat_cookie_default(conf);
    if (c->name != NULL)
        (void)snprintf(conf->name, sizeof conf->name, "%s", c->name);
    if (c->domain != NULL)
        (void)snprintf(conf->domain, sizeof conf->domain, "%s", c->domain);
    if (c->path != NULL)
        (void)snprintf(conf->path, sizeof conf->path, "%s", c->path);
    conf->secure = !c->insecure;
    conf->partitioned = c->partitioned;
    conf->share_domain = c->share;
    conf->samesite = c->samesite;
}

static void
test_table(void)
{
    size_t bad = 0;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        coat_cookie_conf conf;
        char message[160] = "untouched";

        test_case(cases[i].label);
        fill(&conf, &cases[i]);
        CHECK_ERR(coat_cookie_check(&conf, suffix_known, message, sizeof message),
                  cases[i].key == NULL ? COAT_OK : COAT_INVALID);
        if (cases[i].key == NULL) {
            CHECK_STR(message, "untouched");
            continue;
        }
        bad++;
        if (strstr(message, cases[i].key) == NULL)
            test_fail(__FILE__, __LINE__, "\"%s\" does not name %s", message, cases[i].key);
        CHECK(strlen(message) < sizeof message - 1); /* nothing was cut off */
    }
    CHECK(bad >= 14);
}

static void
test_no_terminator(void)
{
    coat_cookie_conf conf;
    char message[160];

    coat_cookie_default(&conf);
    memset(conf.name, 'a', sizeof conf.name);
    CHECK_ERR(coat_cookie_check(&conf, NULL, message, sizeof message), COAT_INVALID);
    coat_cookie_default(&conf);
    memset(conf.domain, 'a', sizeof conf.domain);
    CHECK_ERR(coat_cookie_check(&conf, NULL, message, sizeof message), COAT_INVALID);
    coat_cookie_default(&conf);
    memset(conf.path, '/', sizeof conf.path);
    CHECK_ERR(coat_cookie_check(&conf, NULL, message, sizeof message), COAT_INVALID);
    CHECK_ERR(coat_cookie_check(&conf, NULL, message, 8), COAT_INVALID); /* cut, not overrun */
    CHECK(strlen(message) < 8);
    CHECK_ERR(coat_cookie_check(&conf, NULL, NULL, 0), COAT_INVALID);
}

/* Whatever passes the check can be written, with the longest token and the longest age. */
static void
test_limits(void)
{
    char message[160], line[COAT_COOKIE_LINE_MAX + 1];
    uint8_t token[54];
    size_t len, longest = 0;

    memset(token, 'T', sizeof token);
    for (size_t path = 1; path < 256; path++) {
        coat_cookie_conf conf;
        coat_err err;

        coat_cookie_default(&conf);
        memset(conf.name, 'n', COAT_COOKIE_NAME_MAX);
        memset(conf.path, 'p', path);
        conf.path[0] = '/';
        err = coat_cookie_check(&conf, NULL, message, sizeof message);
        if (err == COAT_OK) {
            longest = path;
            REQUIRE_OK(coat_cookie_set(&conf, (coat_span){token, sizeof token}, INT64_MAX, line,
                                       sizeof line, &len));
            REQUIRE_OK(coat_cookie_delete(&conf, line, sizeof line, &len));
        }
        CHECK(path == 1 || err != COAT_OK || longest == path);
    }
    CHECK(longest > 32 && longest < 200);
}

static const coat_test tests[] = {
    {"CK-2: contradictions are refused and the message names the key", test_table},
    {"CK-2: fields without an end are refused", test_no_terminator},
    {"CK-5: what the check accepts fits its line; what does not fit is refused", test_limits},
};

COAT_TEST_MAIN(tests)
