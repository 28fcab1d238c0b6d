/* SPDX-License-Identifier: Apache-2.0 */
#include "coat_test.h"
#include "core/bytes.h"

#include <coatcheck/origin.h>

static const char *const own_list[] = {"https://app.example", "https://login.example:8443"};
static const coat_site_policy policy = {.own = {own_list, 2}};
static const coat_site_policy lenient = {.own = {own_list, 2}, .allow_same_site = true};

/* An absent field is {NULL, 0}; "" is present and empty. */
static coat_span
field(const char *text)
{
    return coat_span_of(text);
}

static const struct conf_case {
    const char *origin;
    bool good;
} conf_cases[] = {
    {"https://app.example", true},
    {"http://localhost", true},
    {"http://localhost:8080", true},
    {"https://app.example:8443", true},
    {"https://a-b.c1.example", true},
    {"https://xn--bcher-kva.example", true},
    {"http://127.0.0.1:3000", true},
    {"http://[::1]", true},
    {"http://[2001:db8::1]:8080", true},
    {"https://app.example:80", true},
    {"http://app.example:443", true},
    {"https://app.example:65535", true},
    {"", false},
    {"null", false},
    {"*", false},
    {"https://*", false},
    {"https://*.example", false},
    {"https://app.*", false},
    {"/^https:\\/\\/.*$/", false},
    {"app.example", false},
    {"//app.example", false},
    {"https:app.example", false},
    {"https:/app.example", false},
    {"HTTPS://app.example", false},
    {"https://App.example", false},
    {"https://app.example/", false},
    {"https://app.example/path", false},
    {"https://app.example?x", false},
    {"https://app.example#x", false},
    {"https://user@app.example", false},
    {"https://user:pw@app.example", false},
    {"https://app.example.", false},
    {"https://.app.example", false},
    {"https://app..example", false},
    {"https://app.example:443", false},
    {"http://app.example:80", false},
    {"https://app.example:", false},
    {"https://app.example:0", false},
    {"https://app.example:08443", false},
    {"https://app.example:65536", false},
    {"https://app.example:99999", false},
    {"https://app.example:123456", false},
    {"https://app.example:8a", false},
    {"https://app.example:80:80", false},
    {"https://b\xc3\xbc"
     "cher.example",
     false},
    {"https://app.example ", false},
    {" https://app.example", false},
    {"https://app .example", false},
    {"https://app.example\r\nX: y", false},
    {"https://app_1.example", false},
    {"https://-app.example", false},
    {"https://", false},
    {"https://:8443", false},
    {"ftp://app.example", false},
    {"file:///etc", false},
    {"javascript://app.example", false},
    {"https://1.2.3", false},
    {"https://127.1", false},
    {"https://0x7f.1", false},
    {"https://0x7f000001", false},
    {"https://01.2.3.4", false},
    {"https://256.1.1.1", false},
    {"https://[::1", false},
    {"https://::1", false},
    {"https://[::0001]", false},
    {"https://[::FFFF]", false},
    {"https://[::ffff:1.2.3.4]", false},
    {"https://[1.2.3.4]", false},
    {"https://[app.example]", false},
    {"https://[fe80::1%25eth0]", false},
    {"https://[::1]x", false},
    {"https://[::1]:443", false},
    {"https://(app|www).example", false},
};

static void
test_conf(void)
{
    char message[160], big[400];

    for (size_t i = 0; i < sizeof conf_cases / sizeof conf_cases[0]; i++) {
        test_case(conf_cases[i].origin);
        message[0] = '\0';
        CHECK_ERR(coat_origin_check(conf_cases[i].origin, message, sizeof message),
                  conf_cases[i].good ? COAT_OK : COAT_INVALID);
        CHECK((message[0] == '\0') == conf_cases[i].good);
    }
    test_case("too long");
    memset(big, 'a', sizeof big);
    memcpy(big, "https://", 8);
    big[sizeof big - 1] = '\0';
    CHECK_ERR(coat_origin_check(big, message, sizeof message), COAT_INVALID);
}

/* CS-4: no Sec-Fetch-* field here unless FETCH says there is some. */
enum { FETCH = 1, TWICE = 2, GOOD = 4 };
static const struct site_case {
    const char *label, *origin, *referer, *type;
    unsigned flags;
} site_cases[] = {
    {"own", "https://app.example", NULL, NULL, GOOD},
    {"own, second", "https://login.example:8443", NULL, NULL, GOOD},
    {"own, foreign Referer is not asked", "https://app.example", "https://evil.example/", NULL,
     GOOD},
    {"foreign", "https://evil.example", NULL, NULL, 0},
    {"foreign, own Referer", "https://evil.example", "https://app.example/", NULL, 0},
    {"foreign, JSON", "https://evil.example", NULL, "application/json", 0},
    {"our name in front", "https://app.example.attacker.net", NULL, NULL, 0},
    {"our name behind", "https://evilapp.example", NULL, NULL, 0},
    {"subdomain", "https://x.app.example", NULL, NULL, 0},
    {"parent", "https://example", NULL, NULL, 0},
    {"downgrade", "http://app.example", NULL, NULL, 0},
    {"other port", "https://app.example:444", NULL, NULL, 0},
    {"default port written", "https://app.example:443", NULL, NULL, 0},
    {"port left out", "https://login.example", NULL, NULL, 0},
    {"user info", "https://app.example@evil.example", NULL, NULL, 0},
    {"user info of ours", "https://user@app.example", NULL, NULL, 0},
    {"trailing dot", "https://app.example.", NULL, NULL, 0},
    {"upper-case host", "https://APP.example", NULL, NULL, 0},
    {"upper-case scheme", "HTTPS://app.example", NULL, NULL, 0},
    {"IDN look-alike", "https://xn--pp-7ia.example", NULL, NULL, 0},
    {"IDN as bytes", "https://\xc3\xa4pp.example", NULL, NULL, 0},
    {"full-width dot",
     "https://app\xef\xbc\x8e"
     "example",
     NULL, NULL, 0},
    {"trailing slash", "https://app.example/", NULL, NULL, 0},
    {"path", "https://app.example/x", NULL, NULL, 0},
    {"two in one", "https://app.example https://evil.example", NULL, NULL, 0},
    {"list", "https://app.example, https://evil.example", NULL, NULL, 0},
    {"leading space", " https://app.example", NULL, NULL, 0},
    {"empty", "", NULL, NULL, 0},
    {"null", "null", NULL, NULL, 0},
    {"null, own Referer", "null", "https://app.example/", NULL, 0},
    {"NULL", "NULL", NULL, NULL, 0},
    {"nullx", "nullx", NULL, NULL, 0},
    {"two Origin lines", "https://app.example", NULL, NULL, TWICE},
    {"two Origin lines, JSON", NULL, NULL, "application/json", TWICE},
    {"other scheme", "chrome-extension://abcdef", NULL, NULL, 0},
    {"file", "file://", NULL, NULL, 0},
    {"CR LF", "https://app.example\r\n", NULL, NULL, 0},
    {"Referer", NULL, "https://app.example/page?x=1", NULL, GOOD},
    {"Referer, origin only", NULL, "https://app.example", NULL, GOOD},
    {"Referer, second", NULL, "https://login.example:8443/auth/login", NULL, GOOD},
    {"Referer, query at once", NULL, "https://app.example?x", NULL, GOOD},
    {"Referer, fragment at once", NULL, "https://app.example#x", NULL, GOOD},
    {"Referer foreign", NULL, "https://evil.example/https://app.example/", NULL, 0},
    {"Referer, our name in front", NULL, "https://app.example.attacker.net/", NULL, 0},
    {"Referer, user info", NULL, "https://app.example@evil.example/", NULL, 0},
    {"Referer, user info 2", NULL, "https://app.example:x@evil.example/", NULL, 0},
    {"Referer, backslash", NULL, "https://app.example\\@evil.example/", NULL, 0},
    {"Referer, other port", NULL, "https://app.example:444/", NULL, 0},
    {"Referer, downgrade", NULL, "http://app.example/", NULL, 0},
    {"Referer, upper case", NULL, "https://App.example/", NULL, 0},
    {"Referer, trailing dot", NULL, "https://app.example./", NULL, 0},
    {"Referer, in query", NULL, "https://evil.example/?https://app.example/", NULL, 0},
    {"Referer, no scheme", NULL, "//app.example/", NULL, 0},
    {"Referer, path only", NULL, "/page", NULL, 0},
    {"Referer empty", NULL, "", NULL, 0},
    {"Referer empty, JSON", NULL, "", "application/json", 0},
    {"Referer foreign, JSON", NULL, "https://evil.example/", "application/json", 0},
    {"nothing", NULL, NULL, NULL, 0},
    {"nothing, form", NULL, NULL, "application/x-www-form-urlencoded", 0},
    {"nothing, text", NULL, NULL, "text/plain", 0},
    {"nothing, multipart", NULL, NULL, "multipart/form-data; boundary=x", 0},
    {"nothing, JSON", NULL, NULL, "application/json", GOOD},
    {"nothing, JSON with charset", NULL, NULL, "application/json; charset=utf-8", GOOD},
    {"nothing, JSON in capitals", NULL, NULL, "Application/JSON", GOOD},
    {"nothing, JSON and any Sec-Fetch", NULL, NULL, "application/json", FETCH},
    {"null, JSON", "null", NULL, "application/json", GOOD},
    {"null, JSON and any Sec-Fetch", "null", NULL, "application/json", FETCH},
    {"nothing, JSON in a parameter", NULL, NULL, "text/plain; application/json", 0},
    {"nothing, JSON in a list", NULL, NULL, "text/plain, application/json", 0},
    {"nothing, JSON first in a list", NULL, NULL, "application/json, text/plain", 0},
    {"nothing, like JSON", NULL, NULL, "application/jsonp", 0},
    {"nothing, suffix JSON", NULL, NULL, "application/problem+json", 0},
    {"nothing, empty type", NULL, NULL, "", 0},
};

static coat_site_facts
facts_of(const struct site_case *c)
{
    return (coat_site_facts){
        .method = COAT_LIT("POST"),
        .origin = field(c->origin),
        .referer = field(c->referer),
        .content_type = field(c->type),
        .any_fetch = (c->flags & FETCH) != 0,
        .origin_repeated = (c->flags & TWICE) != 0,
    };
}

static void
test_site(void)
{
    for (size_t i = 0; i < sizeof site_cases / sizeof site_cases[0]; i++) {
        coat_site_facts facts = facts_of(&site_cases[i]);

        test_case(site_cases[i].label);
        CHECK_ERR(coat_site_check(&facts, &policy),
                  (site_cases[i].flags & GOOD) != 0 ? COAT_OK : COAT_DENIED);
    }
}

/* Nothing configured allows nothing, and a zeroed request is no exception. */
static void
test_site_empty(void)
{
    coat_site_policy none = {0};
    coat_site_facts facts = {.method = COAT_LIT("POST"),
                             .origin = field("https://app.example")};

    CHECK_ERR(coat_site_check(&facts, &none), COAT_DENIED);
    facts.origin = field("");
    CHECK_ERR(coat_site_check(&facts, &none), COAT_DENIED);
    facts.origin = (coat_span){NULL, 0};
    facts.referer = field("");
    CHECK_ERR(coat_site_check(&facts, &none), COAT_DENIED);
    memset(&facts, 0, sizeof facts);
    CHECK_ERR(coat_site_check(&facts, &none), COAT_DENIED);
}

static void
test_methods(void)
{
    static const struct {
        const char *method;
        bool safe;
    } cases[] = {
        {"GET", true},      {"HEAD", true},   {"OPTIONS", true}, {"POST", false},
        {"PUT", false},     {"PATCH", false}, {"DELETE", false}, {"TRACE", false},
        {"CONNECT", false}, {"get", false},   {"Get", false},    {"GETX", false},
        {"GE", false},      {"", false},      {"QUERY", false},
    };
    coat_site_facts facts = {.origin = field("https://evil.example"),
                             .fetch_site = field("cross-site"),
                             .any_fetch = true};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        test_case(cases[i].method);
        facts.method = field(cases[i].method);
        CHECK(coat_method_is_safe(facts.method) == cases[i].safe);
        CHECK_ERR(coat_site_check(&facts, &policy), cases[i].safe ? COAT_OK : COAT_DENIED);
    }
}

/* What a Sec-Fetch-Site value means for an unsafe method, by what else the request says. The
 * columns: own Origin, foreign Origin, "null", own Referer only, foreign Referer only, none. */
static const struct fetch_row {
    const char *site;             /* NULL: absent */
    const char *strict, *allowed; /* one letter a column: y or n; with allow_same_site */
} fetch_rows[] = {
    {"same-origin", "ynyyny", "ynyyny"},
    {"same-site", "nnnnnn", "ynnynn"},
    {"cross-site", "nnnnnn", "nnnnnn"},
    {"none", "ynnynn", "ynnynn"},
    {NULL, "ynnynn", "ynnynn"},
    {"", "ynnynn", "ynnynn"},
    {"garbage", "ynnynn", "ynnynn"},
    {"Same-Origin", "ynnynn", "ynnynn"},
    {"same-origin, cross-site", "ynnynn", "ynnynn"},
    {"same-origin;x", "ynnynn", "ynnynn"},
};

static const struct fetch_column {
    const char *origin, *referer;
} fetch_columns[] = {
    {"https://app.example", NULL},   {"https://evil.example", NULL},   {"null", NULL},
    {NULL, "https://app.example/x"}, {NULL, "https://evil.example/x"}, {NULL, NULL},
};

/* Sec-Fetch-Mode and -Dest never widen the verdict. */
static void
check_fetch(const struct fetch_row *row, size_t column, const char *method, const char *mode)
{
    static const char *const dests[] = {NULL, "document", "empty", "iframe", "image", "junk"};
    bool safe = coat_method_is_safe(field(method));
    char label[120];

    for (size_t d = 0; d < sizeof dests / sizeof dests[0]; d++) {
        coat_site_facts facts = {
            .method = field(method),
            .origin = field(fetch_columns[column].origin),
            .referer = field(fetch_columns[column].referer),
            .fetch_site = field(row->site),
            .fetch_mode = field(mode),
            .fetch_dest = field(dests[d]),
            .any_fetch = true,
        };

        (void)snprintf(label, sizeof label, "%s, column %zu, %s, %s", row->site, column, method,
                       mode);
        test_case(label);
        CHECK_ERR(coat_site_check(&facts, &policy),
                  safe || row->strict[column] == 'y' ? COAT_OK : COAT_DENIED);
        CHECK_ERR(coat_site_check(&facts, &lenient),
                  safe || row->allowed[column] == 'y' ? COAT_OK : COAT_DENIED);
        facts.origin_repeated = true;
        CHECK_ERR(coat_site_check(&facts, &lenient), safe ? COAT_OK : COAT_DENIED);
    }
}

static void
test_fetch_table(void)
{
    static const char *const methods[] = {"GET", "HEAD",  "OPTIONS", "POST",
                                          "PUT", "PATCH", "DELETE"};
    static const char *const modes[] = {NULL,          "navigate",  "cors", "no-cors",
                                        "same-origin", "websocket", "junk"};

    for (size_t r = 0; r < sizeof fetch_rows / sizeof fetch_rows[0]; r++)
        for (size_t c = 0; c < sizeof fetch_columns / sizeof fetch_columns[0]; c++)
            for (size_t m = 0; m < sizeof methods / sizeof methods[0]; m++)
                for (size_t k = 0; k < sizeof modes / sizeof modes[0]; k++)
                    check_fetch(&fetch_rows[r], c, methods[m], modes[k]);
}

/* Sec-Fetch-Site counts as a Sec-Fetch field even if the caller forgot to say so. */
static void
test_fetch_flag(void)
{
    coat_site_facts facts = {.method = COAT_LIT("POST"),
                             .fetch_site = field("none"),
                             .content_type = field("application/json")};

    CHECK_ERR(coat_site_check(&facts, &policy), COAT_DENIED);
}

static const struct navigation_case {
    const char *label, *mode, *dest, *accept;
    bool navigation;
} navigation_cases[] = {
    {"typed address", "navigate", "document", "text/html", true},
    {"no Accept", "navigate", "document", NULL, true},
    {"mode only", "navigate", NULL, NULL, true},
    {"frame", "navigate", "iframe", "text/html", false},
    {"object", "navigate", "object", "text/html", false},
    {"fetch", "cors", "empty", "text/html", false},
    {"fetch, same origin", "same-origin", "empty", "*/*", false},
    {"image", "no-cors", "image", "image/*", false},
    {"script, mode absent", NULL, "script", "text/html", false},
    {"document, mode absent", NULL, "document", NULL, true},
    {"junk mode", "junk", "document", "text/html", false},
    {"empty mode", "", "document", "text/html", false},
    {"old browser", NULL, NULL,
     "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", true},
    {"html alone", NULL, NULL, "text/html", true},
    {"html later", NULL, NULL, "application/json, text/html;q=0.5", true},
    {"xhtml", NULL, NULL, "application/xhtml+xml", true},
    {"capitals", NULL, NULL, "TEXT/HTML", true},
    {"parameters", NULL, NULL, "text/html;level=1", true},
    {"refused", NULL, NULL, "text/html;q=0, */*", false},
    {"refused 2", NULL, NULL, "text/html; Q=0.000", false},
    {"barely", NULL, NULL, "text/html;q=0.001", true},
    {"script", NULL, NULL, "*/*", false},
    {"text", NULL, NULL, "text/*", false},
    {"json", NULL, NULL, "application/json", false},
    {"nothing", NULL, NULL, NULL, false},
    {"empty", NULL, NULL, "", false},
    {"commas", NULL, NULL, ",,;,", false},
    {"like html", NULL, NULL, "text/htmlx", false},
    {"parameter html", NULL, NULL, "a/b;text/html", false},
};

static void
test_navigation(void)
{
    for (size_t i = 0; i < sizeof navigation_cases / sizeof navigation_cases[0]; i++) {
        const struct navigation_case *c = &navigation_cases[i];
        coat_site_facts facts = {.method = COAT_LIT("GET"),
                                 .fetch_mode = field(c->mode),
                                 .fetch_dest = field(c->dest),
                                 .accept = field(c->accept)};

        test_case(c->label);
        CHECK(coat_is_navigation(&facts) == c->navigation);
    }
}

static const coat_test tests[] = {
    {"CS-4: configured origins have one spelling", test_conf},
    {"CS-4: Origin, then Referer, then JSON without Sec-Fetch: 73 requests", test_site},
    {"CS-4: no configured origin, no unsafe request", test_site_empty},
    {"CS-4 CS-5: only GET, HEAD and OPTIONS are safe", test_methods},
    {"CS-5: Sec-Fetch-Site x Origin x mode x dest x method", test_fetch_table},
    {"CS-5: any Sec-Fetch field closes the way for scripts", test_fetch_flag},
    {"CS-5: navigations are told from fetches", test_navigation},
};

COAT_TEST_MAIN(tests)
