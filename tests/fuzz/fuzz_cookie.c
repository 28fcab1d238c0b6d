/* SPDX-License-Identifier: Apache-2.0 */
#include "core/chars.h"
#include "fuzz.h"

#include <coatcheck/cookie.h>

/* Spans stay inside the line, in order, and no pair holds the bytes that end one. */
static void
check_pairs(coat_span line)
{
    const uint8_t *last = line.ptr;
    coat_cookie_iter iter;
    coat_span name, value;

    coat_cookie_iter_init(&iter, line);
    while (coat_cookie_next(&iter, &name, &value)) {
        FUZZ_CHECK(name.ptr >= last && value.ptr >= name.ptr + name.len);
        last = value.ptr + value.len;
        FUZZ_CHECK(last <= line.ptr + line.len);
        FUZZ_CHECK(name.len + value.len > 0);
        FUZZ_CHECK(coat_span_find(name, ';') == name.len);
        FUZZ_CHECK(coat_span_find(name, '=') == name.len);
        FUZZ_CHECK(coat_span_find(value, ';') == value.len);
    }
}

/* Stripping removes exactly the pairs of that name: reading both lines side by side, what is
 * left is the same bytes in the same order. */
static void
check_strip(coat_span line, coat_span wanted)
{
    char *buf = malloc(line.len + 1);
    coat_cookie_iter before, after;
    coat_span n, v, kept_n, kept_v;
    coat_cookie_found found;
    coat_cookie_rest rest;
    size_t len;

    FUZZ_CHECK(buf != NULL);
    len = coat_cookie_strip(line, &wanted, 1, buf);
    FUZZ_CHECK(len <= line.len);
    coat_cookie_survey(&wanted, 1, &line, 1, &found, &rest);
    if (!rest.scattered)
        FUZZ_CHECK(coat_span_is(rest.piece, (coat_span){(const uint8_t *)buf, len}));
    coat_cookie_iter_init(&before, line);
    coat_cookie_iter_init(&after, (coat_span){(const uint8_t *)buf, len});
    while (coat_cookie_next(&before, &n, &v)) {
        if (coat_span_is(n, wanted))
            continue;
        FUZZ_CHECK(coat_cookie_next(&after, &kept_n, &kept_v));
        FUZZ_CHECK(coat_span_is(n, kept_n) && coat_span_is(v, kept_v));
    }
    FUZZ_CHECK(!coat_cookie_next(&after, &n, &v));
    free(buf);
}

/* Looking for the session cookie agrees with reading all pairs; lines are split at LF. */
static void
check_find(coat_span text, const coat_cookie_conf *conf, uint32_t max)
{
    coat_span lines[8], wanted = coat_span_of(conf->name), values[COAT_COOKIE_CANDIDATES];
    coat_cookie_found found;
    size_t count = 0, total = 0;
    uint32_t pairs = 0;

    while (count < 8 && coat_span_split(&text, '\n', &lines[count])) {
        coat_cookie_iter iter;
        coat_span name, value;

        coat_cookie_iter_init(&iter, lines[count]);
        while (coat_cookie_next(&iter, &name, &value))
            if (coat_span_is(name, wanted) && pairs++ < COAT_COOKIE_CANDIDATES)
                values[pairs - 1] = value;
        total += lines[count++].len;
    }
    coat_cookie_find(conf, lines, count, &found);
    FUZZ_CHECK(found.ambiguous == (pairs > max || total > COAT_COOKIE_HEADER_MAX));
    if (!found.ambiguous)
        FUZZ_CHECK(found.count == pairs);
    for (uint32_t i = 0; i < COAT_COOKIE_CANDIDATES; i++) {
        FUZZ_CHECK((found.value[i].ptr != NULL) == (!found.ambiguous && i < pairs));
        if (!found.ambiguous && i < pairs)
            FUZZ_CHECK(found.value[i].len == values[i].len &&
                       (values[i].len == 0 || found.value[i].ptr == values[i].ptr));
    }
}

/* What was written is read back as the first pair of its line. */
static void
check_line(const char *buf, size_t len, const coat_cookie_conf *conf, coat_span value)
{
    coat_cookie_iter iter;
    coat_span n, v;

    coat_cookie_iter_init(&iter, (coat_span){(const uint8_t *)buf, len});
    FUZZ_CHECK(coat_cookie_next(&iter, &n, &v));
    FUZZ_CHECK(coat_span_is(n, coat_span_of(conf->name)) && coat_span_is(v, value));
    FUZZ_CHECK(strlen(buf) == len && len <= COAT_COOKIE_LINE_MAX);
    for (size_t i = 0; i < len; i++)
        FUZZ_CHECK(buf[i] >= 0x20 && buf[i] < 0x7f);
}

static void
check_set(coat_span value, const coat_cookie_conf *conf)
{
    static const int64_t ages[] = {-1, 0, 60, INT64_MAX};
    char buf[COAT_COOKIE_LINE_MAX + 1];
    size_t len;

    for (size_t i = 0; i < sizeof ages / sizeof ages[0]; i++)
        if (coat_cookie_set(conf, value, ages[i], buf, sizeof buf, &len) == COAT_OK) {
            FUZZ_CHECK(ages[i] != 0);
            check_line(buf, len, conf, value);
        }
}

/* A name and a path of the configuration, however it came by them: a line is whole or not
 * written at all. */
static void
check_conf(coat_span text)
{
    coat_cookie_conf conf = {.domain = "app.example",
                             .path = "/",
                             .secure = true,
                             .partitioned = true,
                             .samesite = (coat_samesite)(text.len % 3)};
    char buf[COAT_COOKIE_LINE_MAX + 1];
    coat_span name = {NULL, 0};
    size_t len;

    (void)coat_span_split(&text, '\n', &name);
    if (name.len > COAT_COOKIE_NAME_MAX || text.len >= sizeof conf.path ||
        coat_span_find(name, '\0') < name.len)
        return;
    if (name.len > 0)
        memcpy(conf.name, name.ptr, name.len);
    if (text.len > 0)
        memcpy(conf.path, text.ptr, text.len);
    check_set(COAT_LIT("v"), &conf);
    if (coat_cookie_delete(&conf, buf, sizeof buf, &len) == COAT_OK)
        check_line(buf, len, &conf, COAT_LIT(""));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const coat_cookie_conf plain = {.name = "id", .path = "/"};
    coat_span text = {data, size};
    coat_cookie_conf conf;

    coat_cookie_default(&conf);
    check_pairs(text);
    check_strip(text, COAT_LIT("id"));
    check_strip(text, coat_span_of(conf.name));
    check_find(text, &conf, 1);
    check_find(text, &plain, COAT_COOKIE_CANDIDATES);
    check_set(text, &conf);
    check_conf(text);
    return 0;
}
