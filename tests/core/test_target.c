/* SPDX-License-Identifier: Apache-2.0 */
#include "coat_test.h"
#include "core/bytes.h"

#include <coatcheck/target.h>

static const char *const allowed_list[] = {"https://app.example", "http://localhost:3000"};
static const coat_origins allowed = {allowed_list, 2};

/* want NULL: refused. The text is what stands in the request after one decoding. */
static const struct target_case {
    const char *target, *want;
} cases[] = {
    /* paths, as they are */
    {"/", "/"},
    {"/a", "/a"},
    {"/a/b", "/a/b"},
    {"/a/", "/a/"},
    {"/a?b=c", "/a?b=c"},
    {"/?", "/?"},
    {"/?a", "/?a"},
    {"/?a=b&c=d", "/?a=b&c=d"},
    {"/a?b?c", "/a?b?c"},
    {"/a;v=1", "/a;v=1"},
    {"/a:b", "/a:b"},
    {"/@user", "/@user"},
    {"/a@b", "/a@b"},
    {"/~a/!$&'()*+,;=", "/~a/!$&'()*+,;="},
    {"/a//b", "/a//b"},
    {"/a?u=https://x.example/", "/a?u=https://x.example/"},
    {"/a?u=//x.example", "/a?u=//x.example"},
    {"/a?..", "/a?.."},
    {"/...", "/..."},
    {"/.a", "/.a"},
    {"/a..", "/a.."},
    {"/.well-known/x", "/.well-known/x"},
    {"/a.b/c.d", "/a.b/c.d"},
    {"/https:", "/https:"},
    {"/javascript:alert(1)", "/javascript:alert(1)"},
    /* written anew */
    {"/a b", "/a%20b"},
    {"/a ", "/a%20"},
    {"/a?b c", "/a?b%20c"},
    {"/a\"b", "/a%22b"},
    {"/<b>", "/%3Cb%3E"},
    {"/a|b", "/a%7Cb"},
    {"/a^b`c", "/a%5Eb%60c"},
    {"/{a}", "/%7Ba%7D"},
    {"/a?b[]=1", "/a?b%5B%5D=1"},
    {"/%41", "/%41"},
    {"/%c3%a9", "/%C3%A9"},
    {"/a%2fb", "/a%2Fb"},
    {"/a%2Fb", "/a%2Fb"},
    {"/a?b=%0d%0ac", "/a?b=%0D%0Ac"},
    {"/a?b=%00", "/a?b=%00"},
    {"/a?b=%5c", "/a?b=%5C"},
    {"/%3f", "/%3F"},
    {"/%23", "/%23"},
    {"/%25", "/%25"},
    {"/%2541", "/%2541"},
    {"/a%252fb", "/a%252fb"},
    {"/a?b=%252f", "/a?b=%252f"},
    /* an allowed origin */
    {"https://app.example", "https://app.example/"},
    {"https://app.example/", "https://app.example/"},
    {"https://app.example/a?b", "https://app.example/a?b"},
    {"https://app.example?b", "https://app.example/?b"},
    {"https://app.example/a b", "https://app.example/a%20b"},
    {"http://localhost:3000/x", "http://localhost:3000/x"},
    /* other hosts by relative means */
    {"", NULL},
    {"//", NULL},
    {"//e", NULL},
    {"//e.example/x", NULL},
    {"///e", NULL},
    {"////e", NULL},
    {"/\\e", NULL},
    {"\\/e", NULL},
    {"\\\\e", NULL},
    {"\\e", NULL},
    {"/a\\b", NULL},
    {"/a?b\\c", NULL},
    {"/\\/e", NULL},
    {"//\\e", NULL},
    {"/%2fe", NULL},
    {"/%2Fe", NULL},
    {"/%2f%2fe", NULL},
    {"/%5ce", NULL},
    {"/%5Ce", NULL},
    {"/a%5cb", NULL},
    {"%2f%2fe", NULL},
    {"%2fa", NULL},
    {"/%252fe", NULL},
    {"/%252Fe", NULL},
    {"/%25252fe", NULL},
    {"/%2525252fe", NULL},
    {"/%255ce", NULL},
    {"/%25255ce", NULL},
    {"/.//e", NULL},
    {"/..//e", NULL},
    {"/./e", NULL},
    {"/../e", NULL},
    {"/a/../b", NULL},
    {"/a/..", NULL},
    {"/a/.", NULL},
    {"/.", NULL},
    {"/..", NULL},
    {"/%2e/e", NULL},
    {"/%2e%2e/e", NULL},
    {"/.%2e/e", NULL},
    {"/%2E./e", NULL},
    {"/a/..%2fb", NULL},
    {"/a%2f..%2f", NULL},
    {"/..?a", NULL},
    {"/./?a", NULL},
    /* other hosts by name */
    {"https:e", NULL},
    {"https:/e", NULL},
    {"https:", NULL},
    {"https://", NULL},
    {"https://e", NULL},
    {"https://e.example/", NULL},
    {"http://app.example/", NULL},
    {"https://app.example:443/", NULL},
    {"https://app.example:444/", NULL},
    {"https://app.example.evil.net/", NULL},
    {"https://app.examplee/", NULL},
    {"https://evilapp.example/", NULL},
    {"https://x.app.example/", NULL},
    {"https://app.example./", NULL},
    {"https://App.example/", NULL},
    {"HTTPS://app.example/", NULL},
    {"https://app.example@e.example/", NULL},
    {"https://app.example:x@e.example/", NULL},
    {"https://user@app.example/", NULL},
    {"https://user:pw@app.example/", NULL},
    {"https://@app.example/", NULL},
    {"https://app.example\\@e.example/", NULL},
    {"https:\\\\app.example/", NULL},
    {"https:///app.example/", NULL},
    {"https:/app.example/", NULL},
    {"https://app.example//e", NULL},
    {"https://app.example/%2fe", NULL},
    {"https://app.example/\\e", NULL},
    {"https://app.example/../e", NULL},
    {"https://app.example#", NULL},
    {"https://app.example;/", NULL},
    {"https://app.example%2f@e/", NULL},
    {"https://app%2eexample/", NULL},
    {" https://app.example/", NULL},
    {"http://localhost:30001/", NULL},
    {"http://localhost/", NULL},
    {"app.example", NULL},
    {"app.example/a", NULL},
    {"@e", NULL},
    {"@e/a", NULL},
    {"e", NULL},
    {"a/b", NULL},
    {".", NULL},
    {"./a", NULL},
    {"../a", NULL},
    {"?a=b", NULL},
    {"#a", NULL},
    {";a", NULL},
    {"null", NULL},
    {"*", NULL},
    {"1.2.3.4", NULL},
    {"[::1]", NULL},
    /* other schemes */
    {"javascript:alert(1)", NULL},
    {"JaVaScRiPt:alert(1)", NULL},
    {"java\tscript:alert(1)", NULL},
    {"javascript://app.example/%0aalert(1)", NULL},
    {" javascript:alert(1)", NULL},
    {"data:text/html,x", NULL},
    {"vbscript:x", NULL},
    {"file:///etc/passwd", NULL},
    {"blob:https://app.example/x", NULL},
    {"view-source:https://app.example/", NULL},
    {"ftp://app.example/", NULL},
    {"mailto:a@b", NULL},
    /* bytes */
    {"/a#b", NULL},
    {"/#", NULL},
    {"/a\tb", NULL},
    {"/\t/e", NULL},
    {"/\n/e", NULL},
    {"/\r/e", NULL},
    {"/a\nb", NULL},
    {"/a\r\nLocation: https://e/", NULL},
    {"\t/a", NULL},
    {"\n//e", NULL},
    {" /a", NULL},
    {" //e", NULL},
    {"\x01//e", NULL},
    {"/a\x7f", NULL},
    {"/a\x1b", NULL},
    {"/\xc3\xa9", NULL},
    {"/a?\xc3\xa9", NULL},
    {"/\xe2\x81\x84"
     "e",
     NULL},
    {"/\xef\xbc\x8f"
     "e",
     NULL},
    {"\xef\xbc\x8f\xef\xbc\x8f"
     "e",
     NULL},
    {"https://app\xef\xbc\x8e"
     "example/",
     NULL},
    {"https://app\xe3\x80\x82"
     "example/",
     NULL},
    {"/a\xff", NULL},
    {"/\xc0\xaf"
     "e",
     NULL},
    /* escapes */
    {"/%", NULL},
    {"/%a", NULL},
    {"/%zz", NULL},
    {"/a%2", NULL},
    {"/a%2?b", NULL},
    {"/%u002f", NULL},
    {"/a?%", NULL},
    {"/a?%g0", NULL},
    {"/%00", NULL},
    {"/a%00b", NULL},
    {"/%0d%0aX", NULL},
    {"/a%0aX", NULL},
    {"/%09/e", NULL},
    {"/%7f", NULL},
    {"/%1f", NULL},
};

static void
test_table(void)
{
    CHECK(sizeof cases / sizeof cases[0] >= 120);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char buf[COAT_TARGET_MAX + 1], again[COAT_TARGET_MAX + 1];
        size_t len = 77, again_len;

        test_case(cases[i].target);
        memset(buf, 'z', sizeof buf);
        CHECK_ERR(
            coat_target_check(coat_span_of(cases[i].target), &allowed, buf, sizeof buf, &len),
            cases[i].want != NULL ? COAT_OK : COAT_DENIED);
        if (cases[i].want == NULL) {
            CHECK(buf[0] == 'z' && len == 77);
            continue;
        }
        CHECK_STR(buf, cases[i].want);
        CHECK_INT(len, strlen(cases[i].want));
        REQUIRE_OK(coat_target_check((coat_span){(const uint8_t *)buf, len}, &allowed, again,
                                     sizeof again, &again_len));
        CHECK_STR(again, buf); /* one spelling: checking it again changes nothing */
    }
}

/* Each of the 256 bytes, anywhere, is either harmless in the answer or refused. */
static void
test_bytes(void)
{
    static const char *const frames[] = {"/?", "/a?", "/a?b", "?/a", "/a/?b", "/x?y"};
    char buf[COAT_TARGET_MAX + 1];

    for (size_t f = 0; f < sizeof frames / sizeof frames[0]; f++)
        for (unsigned c = 0; c < 256; c++) {
            uint8_t text[8];
            size_t n = strlen(frames[f]), len;

            memcpy(text, frames[f], n);
            text[strchr(frames[f], '?') - frames[f]] = (uint8_t)c;
            if (coat_target_check((coat_span){text, n}, &allowed, buf, sizeof buf, &len) !=
                COAT_OK)
                continue;
            CHECK_INT(strlen(buf), len);
            CHECK(buf[0] == '/' && buf[1] != '/');
            for (size_t i = 0; i < len; i++)
                CHECK(buf[i] > 0x20 && buf[i] < 0x7f && strchr("\\\"<>#", buf[i]) == NULL);
        }
    CHECK_ERR(coat_target_check(COAT_LIT("/a\0b"), &allowed, buf, sizeof buf, &(size_t){0}),
              COAT_DENIED);
    CHECK_ERR(coat_target_check((coat_span){NULL, 0}, &allowed, buf, sizeof buf, &(size_t){0}),
              COAT_DENIED);
}

static void
test_limits(void)
{
    static uint8_t text[8192];
    char buf[COAT_TARGET_MAX + 1];
    size_t len = 0;

    memset(text, 'a', sizeof text);
    text[0] = '/';
    REQUIRE_OK(
        coat_target_check((coat_span){text, COAT_TARGET_MAX}, &allowed, buf, sizeof buf, &len));
    CHECK_INT(len, COAT_TARGET_MAX);
    CHECK_ERR(coat_target_check((coat_span){text, COAT_TARGET_MAX + 1}, &allowed, buf,
                                sizeof buf, &len),
              COAT_DENIED);
    CHECK_ERR(
        coat_target_check((coat_span){text, sizeof text}, &allowed, buf, sizeof buf, &len),
        COAT_DENIED);
    memset(text + 1, ' ', sizeof text - 1); /* three bytes each when written */
    CHECK_ERR(
        coat_target_check((coat_span){text, COAT_TARGET_MAX}, &allowed, buf, sizeof buf, &len),
        COAT_DENIED);
    REQUIRE_OK(coat_target_check((coat_span){text, 1 + (COAT_TARGET_MAX - 1) / 3}, &allowed,
                                 buf, sizeof buf, &len));
    memset(buf, 'z', sizeof buf);
    CHECK_ERR(coat_target_check(COAT_LIT("/abc"), &allowed, buf, 4, &len), COAT_TOO_LARGE);
    CHECK_INT(buf[0], 'z');
    REQUIRE_OK(coat_target_check(COAT_LIT("/abc"), &allowed, buf, 5, &len));
    CHECK_STR(buf, "/abc");
}

/* Scheme and host come from the list: without one there is no way to leave. */
static void
test_no_list(void)
{
    coat_origins none = {0};
    char buf[COAT_TARGET_MAX + 1];
    size_t len;

    CHECK_ERR(coat_target_check(COAT_LIT("https://app.example/"), &none, buf, sizeof buf, &len),
              COAT_DENIED);
    CHECK_ERR(coat_target_check(COAT_LIT("https://app.example/"), NULL, buf, sizeof buf, &len),
              COAT_DENIED);
    CHECK_ERR(coat_target_check(COAT_LIT("/a"), NULL, buf, sizeof buf, &len), COAT_OK);
}

/* Any input: refused, or a Location of ours without a byte that could end the line. */
static void
test_generated(void)
{
    static const char alphabet[] = "/\\%25fFcCeE.?#:@ a\r\n\t\0\xc3[]";
    char buf[COAT_TARGET_MAX + 1];
    test_rng rng = {7};
    long accepted = 0;

    for (long n = test_scaled(5000000, 50000); n > 0; n--) {
        uint8_t text[24];
        size_t len = test_rng_below(&rng, sizeof text), out = 0;

        for (size_t i = 0; i < len; i++)
            text[i] = (uint8_t)alphabet[test_rng_below(&rng, sizeof alphabet - 1)];
        if (len > 0)
            text[0] = '/';
        if (coat_target_check((coat_span){text, len}, &allowed, buf, sizeof buf, &out) !=
            COAT_OK)
            continue;
        accepted++;
        CHECK(buf[0] == '/' && buf[1] != '/' && strncmp(buf, "/%2F", 4) != 0 &&
              strncmp(buf, "/%5C", 4) != 0);
        for (size_t i = 0; i < out; i++)
            CHECK(buf[i] > 0x20 && buf[i] < 0x7f && buf[i] != '\\' && buf[i] != '#');
    }
    CHECK(accepted > 100);
}

static const coat_test tests[] = {
    {"RD-1: written targets are accepted or refused as expected", test_table},
    {"RD-1: 8 KiB and other lengths", test_limits},
    {"RD-1 RD-2: without an allowed origin every target stays here", test_no_list},
    {"RD-2: no byte gets into Location that could end or split it", test_bytes},
    {"RD-1 RD-2: generated targets stay on this host and on one line", test_generated},
};

COAT_TEST_MAIN(tests)
