/* SPDX-License-Identifier: Apache-2.0 */
#include "coat_test.h"
#include "core/bytes.h"

#include <coatcheck/origin.h>

static const char *const own_list[] = {"https://login.example"};
static const char *const allowed_list[] = {"https://app.example", "http://localhost:3000",
                                           "https://shop.example:8443"};
static const coat_origins own = {own_list, 1};
static const coat_cors_policy policy = {
    .allowed = {allowed_list, 3},
    .methods = "GET, POST",
    .headers = "content-type, x-csrf-token",
    .exposed = "",
    .max_age_s = 600,
};

static coat_cors_answer
decide(const coat_cors_policy *with, const char *method, const char *origin,
       const char *request_method, const char *request_headers)
{
    coat_site_facts facts = {.method = coat_span_of(method), .origin = coat_span_of(origin)};
    coat_cors_answer answer;

    memset(&answer, 0xA5, sizeof answer);
    coat_cors_decide(with, &own, &facts, coat_span_of(request_method),
                     coat_span_of(request_headers), &answer);
    return answer;
}

static const struct origin_case {
    const char *label, *origin;
    coat_cors_verdict want;
    int match; /* which of allowed_list */
} origin_cases[] = {
    {"first", "https://app.example", COAT_CORS_ACTUAL, 0},
    {"second", "http://localhost:3000", COAT_CORS_ACTUAL, 1},
    {"third", "https://shop.example:8443", COAT_CORS_ACTUAL, 2},
    {"absent", NULL, COAT_CORS_NONE, 0},
    {"our own", "https://login.example", COAT_CORS_NONE, 0},
    {"foreign", "https://evil.example", COAT_CORS_REFUSED, 0},
    {"suffix", "https://app.example.evil.net", COAT_CORS_REFUSED, 0},
    {"suffix without dot", "https://app.examplex", COAT_CORS_REFUSED, 0},
    {"prefix", "https://evilapp.example", COAT_CORS_REFUSED, 0},
    {"subdomain", "https://x.app.example", COAT_CORS_REFUSED, 0},
    {"parent", "https://example", COAT_CORS_REFUSED, 0},
    {"cut short", "https://app.exampl", COAT_CORS_REFUSED, 0},
    {"scheme only", "https://", COAT_CORS_REFUSED, 0},
    {"other scheme", "http://app.example", COAT_CORS_REFUSED, 0},
    {"other scheme 2", "https://localhost:3000", COAT_CORS_REFUSED, 0},
    {"other port", "https://app.example:444", COAT_CORS_REFUSED, 0},
    {"default port", "https://app.example:443", COAT_CORS_REFUSED, 0},
    {"port missing", "http://localhost", COAT_CORS_REFUSED, 0},
    {"port longer", "http://localhost:30001", COAT_CORS_REFUSED, 0},
    {"port shorter", "http://localhost:300", COAT_CORS_REFUSED, 0},
    {"port empty", "https://app.example:", COAT_CORS_REFUSED, 0},
    {"upper-case host", "https://App.example", COAT_CORS_REFUSED, 0},
    {"upper-case scheme", "HTTPS://app.example", COAT_CORS_REFUSED, 0},
    {"null", "null", COAT_CORS_REFUSED, 0},
    {"NULL", "NULL", COAT_CORS_REFUSED, 0},
    {"star", "*", COAT_CORS_REFUSED, 0},
    {"empty", "", COAT_CORS_REFUSED, 0},
    {"space", " ", COAT_CORS_REFUSED, 0},
    {"trailing slash", "https://app.example/", COAT_CORS_REFUSED, 0},
    {"path", "https://app.example/x", COAT_CORS_REFUSED, 0},
    {"query", "https://app.example?x", COAT_CORS_REFUSED, 0},
    {"fragment", "https://app.example#x", COAT_CORS_REFUSED, 0},
    {"trailing dot", "https://app.example.", COAT_CORS_REFUSED, 0},
    {"trailing space", "https://app.example ", COAT_CORS_REFUSED, 0},
    {"leading space", " https://app.example", COAT_CORS_REFUSED, 0},
    {"user info", "https://app.example@evil.example", COAT_CORS_REFUSED, 0},
    {"user info 2", "https://x@app.example", COAT_CORS_REFUSED, 0},
    {"two in one", "https://app.example https://evil.example", COAT_CORS_REFUSED, 0},
    {"list", "https://app.example,https://shop.example:8443", COAT_CORS_REFUSED, 0},
    {"CR LF", "https://app.example\r\nX-Evil: 1", COAT_CORS_REFUSED, 0},
    {"LF", "https://app.example\n", COAT_CORS_REFUSED, 0},
    {"tab", "https://app.example\t", COAT_CORS_REFUSED, 0},
    {"IDN", "https://\xc3\xa4pp.example", COAT_CORS_REFUSED, 0},
    {"full-width dot",
     "https://app\xef\xbc\x8e"
     "example",
     COAT_CORS_REFUSED, 0},
    {"backslashes", "https:\\\\app.example", COAT_CORS_REFUSED, 0},
    {"escaped", "https://app%2eexample", COAT_CORS_REFUSED, 0},
    {"file", "file://", COAT_CORS_REFUSED, 0},
    {"extension", "chrome-extension://app.example", COAT_CORS_REFUSED, 0},
    {"blob", "blob:https://app.example", COAT_CORS_REFUSED, 0},
};

static void
test_origins(void)
{
    static char big[4097];

    for (size_t i = 0; i < sizeof origin_cases / sizeof origin_cases[0]; i++) {
        const struct origin_case *c = &origin_cases[i];
        coat_cors_answer answer = decide(&policy, "POST", c->origin, NULL, NULL);

        test_case(c->label);
        CHECK_INT(answer.verdict, c->want);
        CHECK(answer.vary_origin);
        /* The grant is the configuration's own string, never what the request said. */
        CHECK(answer.allow_origin ==
              (c->want == COAT_CORS_ACTUAL ? allowed_list[c->match] : NULL));
    }
    test_case("4 KiB");
    memset(big, 'a', sizeof big - 1);
    memcpy(big, "https://app.example", 19);
    CHECK_INT(decide(&policy, "POST", big, NULL, NULL).verdict, COAT_CORS_REFUSED);
    test_case("NUL inside");
    {
        coat_site_facts facts = {.method = COAT_LIT("POST"),
                                 .origin = COAT_LIT("https://app.example\0")};
        coat_cors_answer answer;

        coat_cors_decide(&policy, &own, &facts, (coat_span){0}, (coat_span){0}, &answer);
        CHECK_INT(answer.verdict, COAT_CORS_REFUSED);
    }
}

static void
test_unconfigured(void)
{
    coat_cors_policy empty = policy;

    empty.allowed.count = 0;
    for (size_t i = 0; i < sizeof origin_cases / sizeof origin_cases[0]; i++)
        for (int preflight = 0; preflight < 2; preflight++) {
            const char *method = preflight ? "OPTIONS" : "POST";
            coat_cors_answer answer =
                decide(&empty, method, origin_cases[i].origin, preflight ? "POST" : NULL, NULL);

            test_case(origin_cases[i].label);
            CHECK_INT(answer.verdict, COAT_CORS_NONE);
            CHECK(!answer.vary_origin);
            CHECK(answer.allow_origin == NULL);
            answer = decide(NULL, method, origin_cases[i].origin, NULL, NULL);
            CHECK_INT(answer.verdict, COAT_CORS_NONE);
        }
}

/* An entry that the configuration check would refuse still never matches. */
static void
test_null_entry(void)
{
    static const char *const bad[] = {"null", "*", ""};
    coat_cors_policy with = policy;

    with.allowed = (coat_origins){bad, 3};
    CHECK_INT(decide(&with, "POST", "null", NULL, NULL).verdict, COAT_CORS_REFUSED);
    CHECK_INT(decide(&with, "POST", "", NULL, NULL).verdict, COAT_CORS_REFUSED);
    CHECK_INT(decide(&with, "POST", "https://x.example", NULL, NULL).verdict,
              COAT_CORS_REFUSED);
}

static void
test_vary(void)
{
    static const char *const methods[] = {"GET", "HEAD", "POST", "OPTIONS", "DELETE", "junk"};
    static const char *const origins[] = {
        NULL, "https://app.example", "https://evil.example", "https://login.example", "null",
        ""};

    for (size_t m = 0; m < sizeof methods / sizeof methods[0]; m++)
        for (size_t o = 0; o < sizeof origins / sizeof origins[0]; o++) {
            CHECK(decide(&policy, methods[m], origins[o], NULL, NULL).vary_origin);
            CHECK(decide(&policy, methods[m], origins[o], "POST", "x").vary_origin);
        }
}

static const struct preflight_case {
    const char *label, *method, *origin, *request_method, *request_headers;
    coat_cors_verdict want;
} preflight_cases[] = {
#define APP "https://app.example"
    {"POST", "OPTIONS", APP, "POST", NULL, COAT_CORS_PREFLIGHT},
    {"GET", "OPTIONS", APP, "GET", NULL, COAT_CORS_PREFLIGHT},
    {"HEAD goes with GET", "OPTIONS", APP, "HEAD", NULL, COAT_CORS_PREFLIGHT},
    {"no header named", "OPTIONS", APP, "POST", "", COAT_CORS_PREFLIGHT},
    {"one header", "OPTIONS", APP, "POST", "content-type", COAT_CORS_PREFLIGHT},
    {"two headers", "OPTIONS", APP, "POST", "content-type,x-csrf-token", COAT_CORS_PREFLIGHT},
    {"spaces", "OPTIONS", APP, "POST", " X-CSRF-Token ,\tContent-Type ", COAT_CORS_PREFLIGHT},
    {"empty elements", "OPTIONS", APP, "POST", ",content-type,,", COAT_CORS_PREFLIGHT},
    {"other header", "OPTIONS", APP, "POST", "x-other", COAT_CORS_REFUSED},
    {"one header too many", "OPTIONS", APP, "POST", "content-type, x-other", COAT_CORS_REFUSED},
    {"star header", "OPTIONS", APP, "POST", "*", COAT_CORS_REFUSED},
    {"header cut short", "OPTIONS", APP, "POST", "content-typ", COAT_CORS_REFUSED},
    {"header spans an item", "OPTIONS", APP, "POST", "content-type x-csrf-token",
     COAT_CORS_REFUSED},
    {"authorization", "OPTIONS", APP, "POST", "authorization", COAT_CORS_REFUSED},
    {"other method", "OPTIONS", APP, "DELETE", NULL, COAT_CORS_REFUSED},
    {"lower-case method", "OPTIONS", APP, "post", NULL, COAT_CORS_REFUSED},
    {"star method", "OPTIONS", APP, "*", NULL, COAT_CORS_REFUSED},
    {"empty method", "OPTIONS", APP, "", NULL, COAT_CORS_REFUSED},
    {"list of methods", "OPTIONS", APP, "GET, POST", NULL, COAT_CORS_REFUSED},
    {"foreign", "OPTIONS", "https://evil.example", "POST", NULL, COAT_CORS_REFUSED},
    {"null", "OPTIONS", "null", "POST", NULL, COAT_CORS_REFUSED},
    {"no origin", "OPTIONS", NULL, "POST", NULL, COAT_CORS_NONE},
    {"own origin", "OPTIONS", "https://login.example", "POST", NULL, COAT_CORS_NONE},
    {"not a preflight: no method", "OPTIONS", APP, NULL, NULL, COAT_CORS_REFUSED},
    {"not a preflight: POST", "POST", APP, "DELETE", "x-other", COAT_CORS_ACTUAL},
    {"actual, unlisted method", "DELETE", APP, NULL, NULL, COAT_CORS_REFUSED},
    {"actual GET", "GET", APP, NULL, NULL, COAT_CORS_ACTUAL},
    {"actual HEAD", "HEAD", APP, NULL, NULL, COAT_CORS_ACTUAL},
    {"foreign POST", "POST", "https://evil.example", NULL, NULL, COAT_CORS_REFUSED},
    {"foreign GET", "GET", "https://evil.example", NULL, NULL, COAT_CORS_REFUSED},
};

static void
test_preflight(void)
{
    for (size_t i = 0; i < sizeof preflight_cases / sizeof preflight_cases[0]; i++) {
        const struct preflight_case *c = &preflight_cases[i];
        coat_cors_answer answer =
            decide(&policy, c->method, c->origin, c->request_method, c->request_headers);

        test_case(c->label);
        CHECK_INT(answer.verdict, c->want);
        CHECK((answer.allow_origin != NULL) ==
              (c->want == COAT_CORS_PREFLIGHT || c->want == COAT_CORS_ACTUAL));
    }
}

static void
test_repeated(void)
{
    coat_site_facts facts = {
        .method = COAT_LIT("POST"), .origin = COAT_LIT(APP), .origin_repeated = true};
    coat_cors_answer answer;

    coat_cors_decide(&policy, &own, &facts, (coat_span){0}, (coat_span){0}, &answer);
    CHECK_INT(answer.verdict, COAT_CORS_REFUSED);
    CHECK(answer.allow_origin == NULL);
}

/* Forms of pages with Referrer-Policy: no-referrer send "null"; the browser vouches for ours.
 */
static void
test_own_null(void)
{
    static const struct {
        const char *site;
        coat_cors_verdict want;
    } cases[] = {
        {"same-origin", COAT_CORS_NONE},   {"same-site", COAT_CORS_REFUSED},
        {"cross-site", COAT_CORS_REFUSED}, {"none", COAT_CORS_REFUSED},
        {NULL, COAT_CORS_REFUSED},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        coat_site_facts facts = {.method = COAT_LIT("POST"),
                                 .origin = COAT_LIT("null"),
                                 .fetch_site = coat_span_of(cases[i].site)};
        coat_cors_answer answer;

        coat_cors_decide(&policy, &own, &facts, (coat_span){0}, (coat_span){0}, &answer);
        CHECK_INT(answer.verdict, cases[i].want);
        CHECK(answer.allow_origin == NULL);
    }
}

static const struct check_case {
    const char *label, *origin, *methods, *headers, *exposed;
    int32_t max_age_s;
    const char *key; /* NULL: accepted */
} check_cases[] = {
    {"plain", APP, "GET, POST", "content-type", "x-total", 600, NULL},
    {"empty lists", APP, "", "", "", 0, NULL},
    {"absent lists", APP, NULL, NULL, NULL, 0, NULL},
    {"star origin", "*", "GET", "", "", 0, "origin"},
    {"null origin", "null", "GET", "", "", 0, "origin"},
    {"pattern", "https://*.example", "GET", "", "", 0, "origin"},
    {"regular expression", "^https://.+[.]example$", "GET", "", "", 0, "origin"},
    {"trailing slash", "https://app.example/", "GET", "", "", 0, "origin"},
    {"star method", APP, "*", "", "", 0, "methods"},
    {"star among methods", APP, "GET, *", "", "", 0, "methods"},
    {"method with space", APP, "GET POST", "", "", 0, "methods"},
    {"empty method", APP, "GET,,POST", "", "", 0, "methods"},
    {"star header", APP, "GET", "*", "", 0, "headers"},
    {"upper-case header", APP, "GET", "Content-Type", "", 0, "headers"},
    {"header with CR LF", APP, "GET", "a\r\nb", "", 0, "headers"},
    {"star exposed", APP, "GET", "", "*", 0, "exposed"},
    {"negative age", APP, "GET", "", "", -1, "max-age"},
    {"long age", APP, "GET", "", "", 601, "max-age"},
};

static void
test_check(void)
{
    const char *many[COAT_ORIGINS_MAX + 1];
    coat_cors_policy with = policy;
    char message[160];

    for (size_t i = 0; i < sizeof check_cases / sizeof check_cases[0]; i++) {
        const struct check_case *c = &check_cases[i];
        coat_cors_policy one = {
            {&c->origin, 1}, c->methods, c->headers, c->exposed, c->max_age_s};

        test_case(c->label);
        message[0] = '\0';
        CHECK_ERR(coat_cors_check(&one, message, sizeof message),
                  c->key == NULL ? COAT_OK : COAT_INVALID);
        CHECK(c->key == NULL || strstr(message, c->key) != NULL);
    }
    for (size_t i = 0; i <= COAT_ORIGINS_MAX; i++)
        many[i] = APP;
    with.allowed = (coat_origins){many, COAT_ORIGINS_MAX};
    CHECK_ERR(coat_cors_check(&with, message, sizeof message), COAT_OK);
    with.allowed.count++;
    CHECK_ERR(coat_cors_check(&with, message, sizeof message), COAT_INVALID);
}

static const coat_test tests[] = {
    {"CO-1: 51 origins; only exact matches are granted, in our own bytes", test_origins},
    {"CO-1: without configuration nothing is CORS", test_unconfigured},
    {"CO-1: null, * and the empty origin match no entry", test_null_entry},
    {"CO-1: wildcards, patterns and bad lists are refused at start", test_check},
    {"CO-1: a repeated Origin is refused", test_repeated},
    {"CO-1 CS-5: our own form with Origin null is not CORS", test_own_null},
    {"CO-2: every answer of a policy varies on Origin", test_vary},
    {"CO-3: preflights and actual requests get what is configured, or nothing", test_preflight},
};

COAT_TEST_MAIN(tests)
