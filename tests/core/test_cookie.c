/* SPDX-License-Identifier: Apache-2.0 */
#include "coat_test.h"
#include "core/bytes.h"

#include <coatcheck/cookie.h>
#include <stdlib.h>

static coat_span
span(const char *text)
{
    return coat_span_of(text);
}

/* Pairs as text, "[name|value]" each, so that a table can say what is expected. */
static void
render(coat_span line, char *buf, size_t cap)
{
    coat_cookie_iter iter;
    coat_span name, value;
    size_t len = 0;

    coat_cookie_iter_init(&iter, line);
    while (coat_cookie_next(&iter, &name, &value)) {
        REQUIRE(len + name.len + value.len + 4 < cap);
        buf[len++] = '[';
        memcpy(buf + len, name.ptr, name.len);
        len += name.len;
        buf[len++] = '|';
        memcpy(buf + len, value.ptr, value.len);
        len += value.len;
        buf[len++] = ']';
    }
    buf[len] = '\0';
}

static const struct parse_case {
    const char *line, *want;
} parse_cases[] = {
    {"", ""},
    {" ", ""},
    {"\t \t", ""},
    {";", ""},
    {";;;", ""},
    {" ; ;\t; ", ""},
    {"=", ""},
    {" = ", ""},
    {"=;=", ""},
    {"a=b", "[a|b]"},
    {"a=b;", "[a|b]"},
    {";a=b", "[a|b]"},
    {";;a=b;;", "[a|b]"},
    {"a=b; c=d", "[a|b][c|d]"},
    {"a=b;c=d", "[a|b][c|d]"},
    {"a=b ;c=d", "[a|b][c|d]"},
    {"a=b\t;\tc=d", "[a|b][c|d]"},
    {"a=b;  c=d", "[a|b][c|d]"},
    {"  a  =  b  ", "[a|b]"},
    {"a =b", "[a|b]"},
    {"a= b", "[a|b]"},
    {"a=", "[a|]"},
    {"a= ", "[a|]"},
    {"a=;b=", "[a|][b|]"},
    {"=b", "[|b]"},
    {" =b", "[|b]"},
    {"= b", "[|b]"},
    {"a", "[|a]"},
    {"a;b", "[|a][|b]"},
    {"a;b=c", "[|a][b|c]"},
    {"a b", "[|a b]"},
    {"a b=c d", "[a b|c d]"},
    {"a=b=c", "[a|b=c]"},
    {"a==", "[a|=]"},
    {"a==b", "[a|=b]"},
    {"==", "[|=]"},
    {"==a", "[|=a]"},
    {"a=b=; c=d==", "[a|b=][c|d==]"},
    {"a=\"b\"", "[a|\"b\"]"},
    {"a=\"b", "[a|\"b]"},
    {"a=b\"", "[a|b\"]"},
    {"a=\"\"", "[a|\"\"]"},
    {"a=\"b;c\"", "[a|\"b][|c\"]"},
    {"a=\"b; c=d\"", "[a|\"b][c|d\"]"},
    {"a=\"x; __Host-id=Y\"; __Host-id=LIVE", "[a|\"x][__Host-id|Y\"][__Host-id|LIVE]"},
    {"a=\"b\\\";c=d\"", "[a|\"b\\\"][c|d\"]"},
    {"\"a\"=b", "[\"a\"|b]"},
    {"\"a=b\"", "[\"a|b\"]"},
    {"a='b;c'", "[a|'b][|c']"},
    {"a=b,c=d", "[a|b,c=d]"},
    {"a=b, c=d", "[a|b, c=d]"},
    {"a=b,c", "[a|b,c]"},
    {",", "[|,]"},
    {"$Version=1; a=b; $Path=/", "[$Version|1][a|b][$Path|/]"},
    {"a=b; a=c", "[a|b][a|c]"},
    {"A=b; a=c", "[A|b][a|c]"},
    {"a=%3B; b=%3D", "[a|%3B][b|%3D]"},
    {"a=\\;b", "[a|\\][|b]"},
    {"a=b\\; c", "[a|b\\][|c]"},
    {"a={\"x\":1}", "[a|{\"x\":1}]"},
    {"a=\xc3\xa9", "[a|\xc3\xa9]"},
    {"\xff=\xfe", "[\xff|\xfe]"},
    {"a=b\rc", "[a|b\rc]"},
    {"a=b\nc=d", "[a|b\nc=d]"},
    {"a=b\x0b", "[a|b\x0b]"},
    {"a=\xa0; b=c", "[a|\xa0][b|c]"},
    {"__Host-id=t", "[__Host-id|t]"},
    {"__Host-id", "[|__Host-id]"},
    {"=__Host-id=t", "[|__Host-id=t]"},
    {"x=__Host-id=t", "[x|__Host-id=t]"},
    {"x =; __Host-id = t", "[x|][__Host-id|t]"},
    {"a=b; Path=/; Secure", "[a|b][Path|/][|Secure]"},
};

static void
test_parse_table(void)
{
    char got[512];

    for (size_t i = 0; i < sizeof parse_cases / sizeof parse_cases[0]; i++) {
        test_case(parse_cases[i].line);
        render(span(parse_cases[i].line), got, sizeof got);
        CHECK_STR(got, parse_cases[i].want);
    }
    render((coat_span){NULL, 0}, got, sizeof got);
    CHECK_STR(got, "");
}

/* A plain reader of the same grammar that shares no code with ours: copy, cut, compare. */
enum { REF_TEXT = 8193 };

typedef struct ref_pair {
    char name[64], value[REF_TEXT];
    size_t name_len, value_len;
} ref_pair;

static size_t
ref_cut(const char *from, size_t len, char *to, size_t cap)
{
    size_t a = 0, b = len;

    for (; a < b && (from[a] == ' ' || from[a] == '\t'); a++)
        ;
    for (; b > a && (from[b - 1] == ' ' || from[b - 1] == '\t'); b--)
        ;
    REQUIRE(b - a <= cap);
    memcpy(to, from + a, b - a);
    return b - a;
}

static bool
ref_pair_of(const char *segment, size_t len, ref_pair *out)
{
    for (size_t i = 0; i < len; i++)
        if (segment[i] == '=') {
            out->name_len = ref_cut(segment, i, out->name, sizeof out->name);
            out->value_len = ref_cut(segment + i + 1, len - i - 1, out->value, REF_TEXT);
            return out->name_len + out->value_len > 0;
        }
    out->name_len = 0;
    out->value_len = ref_cut(segment, len, out->value, REF_TEXT);
    return out->value_len > 0;
}

/* Compare every pair of the line with the reference, and that spans stay in their pair. */
static void
check_line(const uint8_t *line, size_t len)
{
    static ref_pair want;
    static char segment[REF_TEXT];
    const uint8_t *last = line;
    size_t segment_len = 0;
    coat_cookie_iter iter;
    coat_span name, value;

    coat_cookie_iter_init(&iter, (coat_span){line, len});
    for (size_t i = 0; i <= len; i++) {
        if (i < len && line[i] != ';') {
            segment[segment_len++] = (char)line[i];
            continue;
        }
        if (ref_pair_of(segment, segment_len, &want)) {
            REQUIRE(coat_cookie_next(&iter, &name, &value));
            CHECK_MEM(name.ptr, name.len, want.name, want.name_len);
            CHECK_MEM(value.ptr, value.len, want.value, want.value_len);
            CHECK(name.ptr >= last && value.ptr >= name.ptr + name.len);
            last = value.ptr + value.len;
            CHECK(last <= line + i);
        }
        segment_len = 0;
    }
    CHECK(!coat_cookie_next(&iter, &name, &value));
    CHECK(!coat_cookie_next(&iter, &name, &value)); /* the end stays the end */
}

static void
test_parse_generated(void)
{
    static const char alphabet[] = "ab=;\" \t,\\_-\0\x7f\xc3;= ";
    test_rng rng = {4};
    uint8_t line[64] = {0};

    for (long n = test_scaled(1000000, 20000); n > 0; n--) {
        size_t len = test_rng_below(&rng, sizeof line);

        for (size_t i = 0; i < len; i++)
            line[i] = (uint8_t)alphabet[test_rng_below(&rng, sizeof alphabet - 1)];
        check_line(line, len);
    }
}

/* Every line of up to six bytes over the bytes that mean something: all 5461 of them. */
static void
test_parse_exhaustive(void)
{
    static const char alphabet[] = "a=; ";
    uint8_t line[6] = {0};

    for (size_t len = 0; len <= sizeof line; len++)
        for (unsigned n = 0; n < 1U << 2 * len; n++) {
            for (size_t i = 0; i < len; i++)
                line[i] = (uint8_t)alphabet[n >> 2 * i & 3];
            check_line(line, len);
        }
}

static void
test_parse_large(void)
{
    static uint8_t line[COAT_COOKIE_HEADER_MAX];
    char pair[32];
    size_t len = 0;

    for (int i = 0; i < 180; i++) {
        int n = snprintf(pair, sizeof pair, "%scookie%d=value%d", i > 0 ? "; " : "", i, i * i);

        memcpy(line + len, pair, (size_t)n);
        len += (size_t)n;
    }
    check_line(line, len);
    memset(line, 'v', sizeof line);
    memcpy(line, "a=", 2);
    check_line(line, sizeof line);
    memset(line, ';', sizeof line);
    check_line(line, sizeof line);
    memset(line, ' ', sizeof line);
    check_line(line, sizeof line);
    memset(line, '=', sizeof line);
    check_line(line, sizeof line);
    for (size_t i = 0; i < sizeof line; i++)
        line[i] = (uint8_t) "a;"[i % 2];
    check_line(line, sizeof line);
}

/* The unread part strictly shrinks by what a step looked at: no byte is passed twice. */
static void
test_parse_linear(void)
{
    static uint8_t line[COAT_COOKIE_HEADER_MAX];

    for (size_t i = 0; i < sizeof line; i++)
        line[i] = (uint8_t) "a=b;"[i % 4];
    for (size_t len = 1024; len <= sizeof line; len *= 2) {
        coat_cookie_iter iter;
        coat_span name, value;
        size_t steps = 0, left = len;

        coat_cookie_iter_init(&iter, (coat_span){line, len});
        while (coat_cookie_next(&iter, &name, &value)) {
            CHECK(iter.rest.ptr == NULL || iter.rest.ptr > value.ptr);
            CHECK(iter.rest.len < left);
            left = iter.rest.len;
            steps++;
        }
        CHECK_INT(steps, len / 4);
    }
}

/* What the find cases expect: the values in order with "," between, "!" in front if ambiguous.
 */
static const struct find_case {
    const char *cookie; /* name of the session cookie */
    const char *lines[4];
    const char *want;
} find_cases[] = {
    {"__Host-id", {NULL}, ""},
    {"__Host-id", {""}, ""},
    {"__Host-id", {"a=b"}, ""},
    {"__Host-id", {"__Host-id=LIVE"}, "LIVE"},
    {"__Host-id", {"a=b; __Host-id=LIVE; c=d"}, "LIVE"},
    {"__Host-id", {"a=b", "__Host-id=LIVE"}, "LIVE"},
    {"__Host-id", {"__Host-id=LIVE; __Host-id=X"}, "!2"},
    {"__Host-id", {"__Host-id=X; __Host-id=LIVE"}, "!2"},
    {"__Host-id", {"__Host-id=X", "__Host-id=LIVE"}, "!2"},
    {"__Host-id", {"__Host-id=LIVE", "a=b", "__Host-id=X"}, "!2"},
    {"__Host-id", {"__Host-id=LIVE; __Host-id=LIVE"}, "!2"},
    {"__Host-id", {"__Host-id=; __Host-id=LIVE"}, "!2"},
    {"__Host-id", {"a=\"x; __Host-id=Y\"; __Host-id=LIVE"}, "!2"},
    {"__Host-id", {"__host-id=LIVE"}, ""},
    {"__Host-id", {"__HOST-ID=LIVE"}, ""},
    {"__Host-id", {"__Host-ID=LIVE; __Host-id=X"}, "X"},
    {"__Host-id", {"__Host-id"}, ""},
    {"__Host-id", {"=__Host-id=LIVE"}, ""},
    {"__Host-id", {"__Host-id =LIVE"}, "LIVE"},
    {"__Host-id", {"x__Host-id=LIVE"}, ""},
    {"__Host-id", {"__Host-id2=LIVE"}, ""},
    {"__Host-id", {"__Host-id=\"LIVE\""}, "\"LIVE\""},
    {"__Host-Http-id", {"__Host-Http-id=A; __Host-Http-id=B"}, "!2"},
    {"id", {"id=STALE; id=LIVE"}, "STALE,LIVE"},
    {"id", {"id=A; id=B", "id=C; id=D"}, "A,B,C,D"},
    {"id", {"id=A; id=B", "id=C; id=D; id=E"}, "!5"},
    {"id", {"ID=A; Id=B; iD=C"}, ""},
    {"__Secure-id", {"__Secure-id=A; __Secure-id=B"}, "A,B"},
    {"", {"=A"}, ""},
    {"", {"A"}, ""},
};

static void
render_found(const coat_cookie_found *found, char *buf, size_t cap)
{
    size_t len = 0;

    buf[0] = '\0';
    if (found->ambiguous) {
        (void)snprintf(buf, cap, "!%u", found->count);
        for (size_t i = 0; i < COAT_COOKIE_CANDIDATES; i++)
            CHECK(found->value[i].ptr == NULL && found->value[i].len == 0);
        return;
    }
    for (uint32_t i = 0; i < found->count; i++)
        len += (size_t)snprintf(buf + len, cap - len, "%s%.*s", i > 0 ? "," : "",
                                (int)found->value[i].len, (const char *)found->value[i].ptr);
}

static void
test_find(void)
{
    for (size_t i = 0; i < sizeof find_cases / sizeof find_cases[0]; i++) {
        const struct find_case *c = &find_cases[i];
        coat_cookie_conf conf = {.path = "/"};
        coat_cookie_found found;
        coat_span lines[4];
        size_t count = 0;
        char got[128];

        test_case(c->lines[0] != NULL ? c->lines[0] : "no line");
        memcpy(conf.name, c->cookie, strlen(c->cookie));
        while (count < 4 && c->lines[count] != NULL) {
            lines[count] = span(c->lines[count]);
            count++;
        }
        memset(&found, 0xA5, sizeof found);
        coat_cookie_find(&conf, lines, count, &found);
        render_found(&found, got, sizeof got);
        CHECK_STR(got, c->want);
    }
}

static void
test_find_limits(void)
{
    static uint8_t big[COAT_COOKIE_HEADER_MAX + 1];
    coat_cookie_conf conf;
    coat_cookie_found found;
    coat_span lines[2];

    coat_cookie_default(&conf);
    memset(big, 'x', sizeof big);
    memcpy(big, "__Host-id=LIVE; x=", 18);
    lines[0] = (coat_span){big, COAT_COOKIE_HEADER_MAX};
    coat_cookie_find(&conf, lines, 1, &found);
    CHECK(!found.ambiguous);
    CHECK_INT(found.count, 1);
    CHECK_MEM(found.value[0].ptr, found.value[0].len, "LIVE", 4);

    lines[0].len++;
    coat_cookie_find(&conf, lines, 1, &found);
    CHECK(found.ambiguous);
    CHECK(found.value[0].ptr == NULL);

    lines[0].len = COAT_COOKIE_HEADER_MAX - 2; /* both lines together count */
    lines[1] = COAT_LIT("a=b");
    coat_cookie_find(&conf, lines, 2, &found);
    CHECK(found.ambiguous);
}

/* What we write, the cookie rules of a browser and our own reader agree about. */
static void
test_set_default(void)
{
    static const char want[] = "__Host-id=TOKEN; Path=/; Secure; HttpOnly; SameSite=Lax";
    coat_cookie_conf conf;
    char buf[COAT_COOKIE_LINE_MAX + 1];
    size_t len;

    coat_cookie_default(&conf);
    REQUIRE_OK(coat_cookie_set(&conf, COAT_LIT("TOKEN"), -1, buf, sizeof buf, &len));
    CHECK_INT(len, strlen(buf));
    CHECK_STR(buf, want);
    conf.samesite = COAT_SAMESITE_STRICT;
    REQUIRE_OK(coat_cookie_set(&conf, COAT_LIT("TOKEN"), -1, buf, sizeof buf, &len));
    CHECK_STR(buf, "__Host-id=TOKEN; Path=/; Secure; HttpOnly; SameSite=Strict");
}

static void
test_set_forms(void)
{
    coat_cookie_conf conf = {
        .name = "id", .path = "/app", .domain = "example.org", .share_domain = true};
    char buf[COAT_COOKIE_LINE_MAX + 1];
    size_t len;

    REQUIRE_OK(coat_cookie_set(&conf, COAT_LIT("T"), -1, buf, sizeof buf, &len));
    CHECK_STR(buf, "id=T; Path=/app; Domain=example.org; HttpOnly; SameSite=Lax");
    conf.secure = conf.partitioned = true;
    conf.samesite = COAT_SAMESITE_NONE;
    REQUIRE_OK(coat_cookie_set(&conf, COAT_LIT("T"), 60, buf, sizeof buf, &len));
    CHECK_STR(buf, "id=T; Path=/app; Domain=example.org; Secure; HttpOnly; SameSite=None; "
                   "Partitioned; Max-Age=60");
    conf.samesite = (coat_samesite)77; /* never omitted, whatever stands there */
    REQUIRE_OK(coat_cookie_set(&conf, COAT_LIT("T"), 60, buf, sizeof buf, &len));
    CHECK(strstr(buf, "; SameSite=Lax") != NULL);
}

static void
test_max_age(void)
{
    static const struct {
        int64_t age;
        const char *want; /* NULL: no Max-Age */
    } cases[] = {
        {-1, NULL},
        {INT64_MIN, NULL},
        {1, "Max-Age=1"},
        {2592000, "Max-Age=2592000"},
        {34560000, "Max-Age=34560000"},
        {34560001, "Max-Age=34560000"},
        {INT64_MAX, "Max-Age=34560000"},
    };
    coat_cookie_conf conf;
    char buf[COAT_COOKIE_LINE_MAX + 1];
    size_t len;

    coat_cookie_default(&conf);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *got;

        REQUIRE_OK(coat_cookie_set(&conf, COAT_LIT("T"), cases[i].age, buf, sizeof buf, &len));
        CHECK(strstr(buf, "Expires") == NULL);
        got = strstr(buf, "Max-Age");
        if (cases[i].want == NULL)
            CHECK(got == NULL);
        else
            CHECK_STR(got != NULL ? got : "", cases[i].want);
    }
    CHECK_ERR(coat_cookie_set(&conf, COAT_LIT("T"), 0, buf, sizeof buf, &len), COAT_INVALID);
}

static void
test_set_refuses(void)
{
    static const coat_span bad[] = {
        {NULL, 0},
        COAT_LIT(""),
        COAT_LIT("a;b"),
        COAT_LIT("a b"),
        COAT_LIT("a,b"),
        COAT_LIT("a\"b"),
        COAT_LIT("a\\b"),
        COAT_LIT("a\r\nb"),
        COAT_LIT("a\nb"),
        COAT_LIT("a\0b"),
        COAT_LIT("a\tb"),
        COAT_LIT("a\x7f"),
        COAT_LIT("\xc3\xa9"),
    };
    coat_cookie_conf conf;
    char buf[512];
    uint8_t value[256];
    size_t len = 99;

    coat_cookie_default(&conf);
    memset(buf, 'z', sizeof buf);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK_ERR(coat_cookie_set(&conf, bad[i], -1, buf, sizeof buf, &len), COAT_MALFORMED);

    /* The line limit is exact and does not depend on the room offered (CK-5). */
    memset(value, 'v', sizeof value);
    for (size_t n = 150; n < sizeof value; n++) {
        size_t line = 10 + n + strlen("; Path=/; Secure; HttpOnly; SameSite=Lax");
        coat_err want = line <= COAT_COOKIE_LINE_MAX ? COAT_OK : COAT_TOO_LARGE;

        CHECK_ERR(coat_cookie_set(&conf, (coat_span){value, n}, -1, buf, sizeof buf, &len),
                  want);
        if (want == COAT_OK)
            CHECK_INT(len, line);
    }
    memset(buf, 'z', sizeof buf);
    len = 99;
    CHECK_ERR(coat_cookie_set(&conf, COAT_LIT("T"), -1, buf, 20, &len), COAT_TOO_LARGE);
    CHECK_ERR(coat_cookie_set(&conf, COAT_LIT("T"), -1, buf, 51, &len), COAT_TOO_LARGE);
    CHECK_INT(buf[0], 'z'); /* untouched */
    CHECK_INT(len, 99);
    CHECK_ERR(coat_cookie_set(&conf, COAT_LIT("T"), -1, buf, 52, &len), COAT_OK);
    CHECK_INT(len, 51); /* and the NUL */
    memset(buf, 'z', sizeof buf);
    memcpy(conf.path, "/\r\nX", 5);
    CHECK_ERR(coat_cookie_set(&conf, COAT_LIT("T"), -1, buf, sizeof buf, &len), COAT_INVALID);
    CHECK_INT(buf[0], 'z');
    memcpy(conf.path, "/", 2);
    memcpy(conf.name, "a b", 4);
    CHECK_ERR(coat_cookie_set(&conf, COAT_LIT("T"), -1, buf, sizeof buf, &len), COAT_INVALID);
    CHECK_ERR(coat_cookie_delete(&conf, buf, sizeof buf, &len), COAT_INVALID);
}

/* Deleting is setting with an empty value and a past date: the scope must be the same. */
static void
test_delete(void)
{
    static const char tail[] = "; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT";
    coat_cookie_conf confs[4];
    char set[COAT_COOKIE_LINE_MAX + 1], del[COAT_COOKIE_LINE_MAX + 1];
    size_t set_len, del_len;

    for (size_t i = 0; i < 4; i++)
        coat_cookie_default(&confs[i]);
    confs[1].samesite = COAT_SAMESITE_STRICT;
    confs[2].samesite = COAT_SAMESITE_NONE;
    confs[2].partitioned = true;
    memcpy(confs[3].name, "sid", 4);
    memcpy(confs[3].path, "/shop", 6);
    memcpy(confs[3].domain, "example.org", 12);
    for (size_t i = 0; i < 4; i++) {
        REQUIRE_OK(coat_cookie_set(&confs[i], COAT_LIT("V"), -1, set, sizeof set, &set_len));
        REQUIRE_OK(coat_cookie_delete(&confs[i], del, sizeof del, &del_len));
        CHECK_INT(del_len, strlen(del));
        /* name=V; attributes -> name=; attributes; Max-Age=0; Expires=... */
        REQUIRE(del_len == set_len - 1 + strlen(tail));
        CHECK_MEM(del, strlen(confs[i].name) + 1, set, strlen(confs[i].name) + 1);
        CHECK_MEM(strchr(del, ';'), strlen(strchr(del, ';')) - strlen(tail), strchr(set, ';'),
                  strlen(strchr(set, ';')));
        CHECK_STR(del + del_len - strlen(tail), tail);
    }
    CHECK_ERR(coat_cookie_delete(&confs[0], del, 10, &del_len), COAT_TOO_LARGE);
}

static const struct strip_case {
    const char *line, *want;
} strip_cases[] = {
    {"", ""},
    {"id=x", ""},
    {"id=x;", ""},
    {"id=x; ", ""},
    {" id=x", ""},
    {"id = x", ""},
    {"id=x; id=y", ""},
    {"a=1", "a=1"},
    {"id=x; a=1", "a=1"},
    {"a=1; id=x", "a=1"},
    {"a=1; id=x; b=2", "a=1; b=2"},
    {"a=1;id=x;b=2", "a=1;b=2"},
    {"id=x;a=1", "a=1"},
    {"id=x; id=y; a=1; id=z; b=2; id=w", "a=1; b=2"},
    {"a=1; id=x;", "a=1;"},
    {"ID=x; Id=y", "ID=x; Id=y"},
    {"id2=x; xid=y", "id2=x; xid=y"},
    {"id", "id"},
    {"=id", "=id"},
    {"a=id=x", "a=id=x"},
    {"a=\"1; id=x\"; b=2", "a=\"1; b=2"},
    {"  a = 1 ;  b=2", "  a = 1 ;  b=2"},
    {"a=1;;; b", "a=1;;; b"},
    {";id=x", ""},
    {"a=\xff; id=x; b=\x01", "a=\xff; b=\x01"},
    {"a==;id==;b==", "a==;b=="},
};

/* Where it says that one piece is left, that is what stripping leaves; *whole counts those. */
static void
check_rest(coat_span line, const coat_span *names, size_t count, unsigned *whole)
{
    char buf[128];
    size_t len = coat_cookie_strip(line, names, count, buf);
    coat_cookie_conf conf = {0};
    coat_cookie_found found, alone;
    coat_cookie_rest rest;

    memcpy(conf.name, names[0].ptr, names[0].len);
    coat_cookie_find(&conf, &line, 1, &alone);
    coat_cookie_survey(names, count, &line, 1, &found, &rest);
    CHECK(found.count == alone.count && found.ambiguous == alone.ambiguous);
    for (size_t i = 0; i < COAT_COOKIE_CANDIDATES; i++)
        CHECK(found.value[i].ptr == alone.value[i].ptr &&
              found.value[i].len == alone.value[i].len);
    if (rest.scattered) {
        CHECK(rest.piece.ptr == NULL && rest.piece.len == 0);
        CHECK(len > 0 && len < line.len);
        return;
    }
    ++*whole;
    CHECK_MEM(rest.piece.ptr, rest.piece.len, buf, len);
    if (rest.piece.len > 0)
        CHECK(rest.piece.ptr >= line.ptr &&
              rest.piece.ptr + rest.piece.len <= line.ptr + line.len);
}

/* Which value counts may be in doubt; that none of ours goes on must not be. */
static void
test_rest_of_many(void)
{
    static uint8_t large[COAT_COOKIE_HEADER_MAX];
    const coat_span names[] = {COAT_LIT("__Host-id"), COAT_LIT("__Host-id-pre")};
    const coat_span lines[] = {
        COAT_LIT("__Host-id=x; a=1"),
        {large, sizeof large},
        COAT_LIT("b=2; __Host-id=y"),
        COAT_LIT("__Host-id-pre=z"),
        {NULL, 0},
    };
    coat_cookie_found found;
    coat_cookie_rest rests[5];

    memset(large, 'c', sizeof large);
    memcpy(large + sizeof large - 12, ";__Host-id=w", 12);
    coat_cookie_survey(names, 2, lines, 5, &found, rests);
    CHECK(found.ambiguous && found.value[0].ptr == NULL);
    CHECK_MEM(rests[0].piece.ptr, rests[0].piece.len, "a=1", 3);
    CHECK(rests[1].piece.ptr == large && rests[1].piece.len == sizeof large - 12);
    CHECK_MEM(rests[2].piece.ptr, rests[2].piece.len, "b=2", 3);
    CHECK(rests[3].piece.len == 0 && !rests[3].scattered);
    CHECK(rests[4].piece.len == 0 && !rests[4].scattered);
}

/* Every line of up to seven pieces, ours and others' pairs, with spaces and empty ones. */
static void
test_rest(void)
{
    const coat_span all[] = {COAT_LIT("id"), COAT_LIT("id-pre")};
    static const char *const pieces[] = {"id=x", " id-pre=y", "a=1", " b=2", "", " "};
    const unsigned kinds = sizeof pieces / sizeof pieces[0];
    unsigned whole = 0, lines = 0;

    for (unsigned count = 0; count <= 7; count++) {
        unsigned choices = 1;

        for (unsigned i = 0; i < count; i++)
            choices *= kinds;
        for (unsigned choice = 0; choice < choices; choice++, lines++) {
            char line[128] = "";
            unsigned left = choice;

            for (unsigned i = 0; i < count; i++, left /= kinds) {
                strcat(line, i > 0 ? ";" : "");
                strcat(line, pieces[left % kinds]);
            }
            check_rest(span(line), all, 2, &whole);
        }
    }
    CHECK(whole > lines / 10 && whole < lines);
    for (size_t i = 0; i < sizeof strip_cases / sizeof strip_cases[0]; i++)
        check_rest(span(strip_cases[i].line), all, 2, &whole);
    whole = 0;
    check_rest(COAT_LIT("id=x; a=1; b=2"), all, 2, &whole);
    check_rest(COAT_LIT("a=1; b=2; id=x; id-pre=y"), all, 2, &whole);
    check_rest(COAT_LIT("id=x; a=1; id-pre=y"), all, 2, &whole);
    check_rest(COAT_LIT("a=1; b=2"), all, 2, &whole);
    check_rest(COAT_LIT("id=x"), all, 2, &whole);
    check_rest((coat_span){NULL, 0}, all, 2, &whole);
    CHECK_INT(whole, 6);
    check_rest(COAT_LIT("a=1; id=x; b=2"), all, 2, &whole);
    CHECK_INT(whole, 6);
}

static void
test_strip(void)
{
    const coat_span id[] = {COAT_LIT("id")}, none[] = {COAT_LIT("")};
    const coat_span all[] = {COAT_LIT("id"), COAT_LIT("id-pre"), COAT_LIT("id-device")};
    char buf[128];

    for (size_t i = 0; i < sizeof strip_cases / sizeof strip_cases[0]; i++) {
        size_t len;

        test_case(strip_cases[i].line);
        len = coat_cookie_strip(span(strip_cases[i].line), id, 1, buf);
        CHECK_MEM(buf, len, strip_cases[i].want, strlen(strip_cases[i].want));
    }
    CHECK_INT(coat_cookie_strip((coat_span){NULL, 0}, id, 1, buf), 0);
    CHECK_INT(coat_cookie_strip(COAT_LIT("=a; b"), none, 1, buf),
              5); /* no name: no pair is it */
    CHECK_INT(coat_cookie_strip(COAT_LIT("id=x; a=1"), id, 0, buf),
              9); /* nothing to take out */
    CHECK_INT(
        coat_cookie_strip(COAT_LIT("id=x; id-pre=y; a=1; id-device=z; id-=w"), all, 3, buf),
        10);
    CHECK_MEM(buf, 10, "a=1; id-=w", 10);
}

static const coat_test tests[] = {
    {"CK-4: pairs of 70 written lines are the expected ones", test_parse_table},
    {"CK-4: pairs of generated lines equal a reference reader's", test_parse_generated},
    {"CK-4: pairs of all short lines equal a reference reader's", test_parse_exhaustive},
    {"CK-4: 180 cookies and lines of 8 KiB", test_parse_large},
    {"RX-6: the cookie reader passes each byte once", test_parse_linear},
    {"CK-3 CK-4: the session cookie is found, or its absence or ambiguity", test_find},
    {"CK-4: cookie lines over 8 KiB together are ambiguous", test_find_limits},
    {"CK-1: the default cookie, byte by byte", test_set_default},
    {"CK-1: attributes of other configurations; SameSite is never omitted", test_set_forms},
    {"CK-7: no Max-Age by default, and never more than 400 days", test_max_age},
    {"CK-5: values that break the line, and lines over 256 bytes", test_set_refuses},
    {"CK-6: deleting repeats the scope of setting", test_delete},
    {"FA-7: stripping takes our cookie and leaves the others alone", test_strip},
    {"FA-7: what is left in one piece is what stripping leaves", test_rest},
    {"FA-7: of many and too long lines nothing of ours is left", test_rest_of_many},
};

COAT_TEST_MAIN(tests)
