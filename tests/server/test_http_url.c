/* SPDX-License-Identifier: Apache-2.0 */
#include "coat_test.h"
#include "server/http/internal.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static const struct path_case {
    const char *name, *raw, *want; /* want NULL: refused */
} path_cases[] = {
    {"root", "/", "/"},
    {"plain", "/auth/login", "/auth/login"},
    {"trailing slash", "/auth/", "/auth/"},
    {"escape", "/a%20b", "/a b"},
    {"escape of a letter", "/%61uth", "/auth"},
    {"lower-case hex", "/%c3%a4", "/\xc3\xa4"},
    {"decoded once", "/%2561", "/%61"},
    {"three dots", "/...", "/..."},
    {"dot inside a name", "/a.b", "/a.b"},
    {"hidden file", "/.a", "/.a"},
    {"no slash first", "a", NULL},
    {"empty", "", NULL},
    {"dot", "/.", NULL},
    {"dot in between", "/a/./b", NULL},
    {"dot dot", "/..", NULL},
    {"dot dot in between", "/a/../b", NULL},
    {"dot dot at the end", "/a/..", NULL},
    {"dot dot, slash", "/a/../", NULL},
    {"encoded dot", "/a/%2e", NULL},
    {"encoded dot dot", "/a/%2e%2e/b", NULL},
    {"half encoded dot dot", "/a/.%2E/b", NULL},
    {"empty segment", "/a//b", NULL},
    {"empty segment first", "//a", NULL},
    {"encoded slash", "/a%2fb", NULL},
    {"encoded backslash", "/a%5Cb", NULL},
    {"encoded NUL", "/a%00b", NULL},
    {"encoded CR", "/a%0db", NULL},
    {"encoded LF", "/a%0Ab", NULL},
    {"encoded tab", "/a%09b", NULL},
    {"encoded DEL", "/a%7fb", NULL},
    {"bad digit", "/a%g0", NULL},
    {"second bad digit", "/a%0g", NULL},
    {"cut escape", "/a%2", NULL},
    {"lone percent", "/a%", NULL},
    {"percent u", "/%u0061", NULL},
};

static void
decodes_paths(void)
{
    for (size_t i = 0; i < COUNT(path_cases); i++) {
        coat_span raw = coat_span_of(path_cases[i].raw), out = {NULL, 0};
        uint8_t buf[64];
        coat_err err = coat_url_path(raw, buf, sizeof buf, &out);

        test_case(path_cases[i].name);
        if (path_cases[i].want == NULL) {
            CHECK_ERR(err, COAT_MALFORMED);
            CHECK(out.ptr == NULL);
            continue;
        }
        CHECK_ERR(err, COAT_OK);
        CHECK_MEM(out.ptr, out.len, path_cases[i].want, strlen(path_cases[i].want));
    }
}

static void
splits_targets(void)
{
    coat_span path, query;
    bool has_query;

    REQUIRE_OK(coat_url_split(COAT_LIT("/a?b?c"), &path, &query, &has_query));
    CHECK(has_query && coat_span_is(path, COAT_LIT("/a")));
    CHECK(coat_span_is(query, COAT_LIT("b?c")));
    REQUIRE_OK(coat_url_split(COAT_LIT("/a"), &path, &query, &has_query));
    CHECK(!has_query && query.len == 0);
    REQUIRE_OK(coat_url_split(COAT_LIT("/a?"), &path, &query, &has_query));
    CHECK(has_query && query.len == 0);
    CHECK_ERR(coat_url_split(COAT_LIT(""), &path, &query, &has_query), COAT_MALFORMED);
}

static void
minds_its_buffer(void)
{
    uint8_t buf[4];
    coat_span out;

    CHECK_ERR(coat_url_path(COAT_LIT("/%61bc"), buf, sizeof buf, &out), COAT_TOO_LARGE);
    CHECK_ERR(coat_url_path(COAT_LIT("/abcdefgh"), NULL, 0, &out), COAT_OK);
}

static const coat_test tests[] = {
    {"paths are decoded once, with no second spelling", decodes_paths},
    {"targets are split at the first question mark", splits_targets},
    {"buffers", minds_its_buffer},
};

COAT_TEST_MAIN(tests)
