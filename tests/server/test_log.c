/* SPDX-License-Identifier: Apache-2.0 */
#include "coat_test.h"

#include "core/bytes.h"
#include "server/log/flood.h"
#include "server/log/line.h"
#include "server/log/log.h"

#include <jansson.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- one line, whatever is put into it ---- */

#define S(literal)                                                                             \
    {                                                                                          \
        (const uint8_t *)(literal), sizeof(literal) - 1                                        \
    }

/* Strings that break logs, viewers or terminals. */
static const coat_span hostile[] = {
    S(""),
    S("-"),
    S("null"),
    S("a b"),
    S("\n"),
    S("\r\n"),
    S("a\nevent=login_success user=admin"),
    S("a\r\n{\"event\":\"login_success\"}\r\n"),
    S("\"}\n{\"event\":\"x\",\"a\":\""),
    S("\",\"outcome\":\"success\",\"x\":\""),
    S("\\"),
    S("\\\\"),
    S("\\\""),
    S("\\n"),
    S("\\u000a"),
    S("\\x0a"),
    S("\t\v\f\b\a"),
    S("\0"),
    S("a\0b"),
    S("\x01\x02\x03\x1c\x1d\x1e\x1f"),
    S("\x7f"),
    S("\x1b[2J\x1b[1;31mred\x1b]0;title\a"),
    S("\x1bP+q544e\x1b\\"),
    S("\xc2\x85 next line"),
    S("\xc2\x9b"
      "31m"),
    S("\xe2\x80\xa8 line separator"),
    S("\xe2\x80\xa9 paragraph separator"),
    S("\xe2\x80\xae"
      "drowssap right to left"),
    S("\xe2\x81\xa6 isolate \xe2\x81\xa9"),
    S("\xef\xbb\xbf mark"),
    S("\xff"),
    S("\xfe\xff"),
    S("\x80"),
    S("\xc0\xaf"),
    S("\xc1\x8a"),
    S("\xe0\x80\x8a"),
    S("\xed\xa0\x80"),
    S("\xed\xbf\xbf"),
    S("\xf4\x90\x80\x80"),
    S("\xf8\x88\x80\x80\x80"),
    S("cut off \xe2\x82"),
    S("cut off \xf0\x9f\x92"),
    S("\xc3(\xa9"),
    S("caf\xc3\xa9"),
    S("\xf0\x9f\x94\x91 key"),
    S("\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e"),
    S("a=b c=d"),
    S("'single' `back` $(x) ${y} %s%n%x"),
    S("<script>alert(1)</script>"),
    S("../../etc/passwd"),
    S("${jndi:ldap://x/y}"),
    S("cut=true"),
    S("true"),
    S("1e309"),
};

enum { HOSTILE = 200, LONGEST = 600 };

/* The list, then generated ones up to HOSTILE: bytes of a small, nasty alphabet. */
static coat_span
hostile_at(size_t i, uint8_t buf[static LONGEST])
{
    static const char *const bits[] = {
        "\n",   "\r", "\"", "\\",   "\x1b",     "\xe2\x80\xa8",
        "\xff", "a",  " ",  "=",    "\xc3\xa9", "\xf0\x9f\x94\x91",
        "{",    "}",  ",",  "\x7f", "\xc2",     "\t"};
    test_rng rng = {i};
    size_t len, n = 0;

    if (i < sizeof hostile / sizeof hostile[0])
        return hostile[i];
    len = test_rng_below(&rng, LONGEST - 8);
    while (n < len) {
        const char *bit = bits[test_rng_below(&rng, sizeof bits / sizeof bits[0])];

        memcpy(buf + n, bit, strlen(bit));
        n += strlen(bit);
    }
    return (coat_span){buf, n};
}

/* What a JSON reader must get for a value that is UTF-8: itself, cut between characters. */
static void
check_value(const json_t *got, coat_span value)
{
    json_t *whole = json_stringn((const char *)value.ptr, value.len);
    size_t len = value.len;

    REQUIRE(json_is_string(got));
    if (whole == NULL) /* not UTF-8: that it could be read is enough */
        return;
    while (len > COAT_LOG_FIELD_MAX || (len < value.len && (value.ptr[len] & 0xc0) == 0x80))
        len--;
    CHECK_MEM(json_string_value(got), json_string_length(got), value.ptr, len);
    json_decref(whole);
}

static void
test_json_reads_back(void)
{
    for (size_t i = 0; i < HOSTILE; i++) {
        uint8_t buf[LONGEST];
        coat_span value = hostile_at(i, buf);
        coat_line line;
        char number[24];
        json_t *json;
        size_t len;

        (void)snprintf(number, sizeof number, "string %zu", i);
        test_case(number);
        coat_line_begin(&line, COAT_LOG_JSON);
        coat_line_text(&line, "user", value);
        coat_line_text(&line, "detail", value);
        coat_line_number(&line, "count", 7);
        len = coat_line_end(&line);
        CHECK(len <= COAT_LOG_LINE_MAX);
        CHECK(memchr(line.text, '\n', len) == line.text + len - 1);
        for (size_t at = 0; at + 1 < len; at++)
            if ((uint8_t)line.text[at] < 0x20 || line.text[at] == 0x7f)
                test_fail(__FILE__, __LINE__, "control character at %zu", at);
        CHECK(memmem(line.text, len, "\xe2\x80\xa8", 3) == NULL);
        json = json_loadb(line.text, len, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, NULL);
        REQUIRE(json != NULL);
        check_value(json_object_get(json, "user"), value);
        check_value(json_object_get(json, "detail"), value);
        CHECK_INT(json_integer_value(json_object_get(json, "count")), 7);
        CHECK_INT(json_object_size(json), value.len > COAT_LOG_FIELD_MAX ? 4 : 3);
        json_decref(json);
    }
}

/* A reader of logfmt: name=bare or name="quoted", single blanks between. @return pairs */
static int
read_logfmt(const char *text, size_t len)
{
    int pairs = 0;
    size_t at = 0;

    while (at < len && text[at] != '\n') {
        if (pairs > 0 && text[at++] != ' ')
            return -1;
        while (at < len && text[at] >= 'a' && text[at] <= 'z')
            at++;
        if (at == len || text[at++] != '=')
            return -1;
        if (text[at] == '"') {
            for (at++; at < len && text[at] != '"'; at++)
                at += text[at] == '\\';
            at++;
        } else {
            while (at < len && text[at] > ' ' && text[at] != '"' && text[at] != '=')
                at++;
        }
        pairs++;
    }
    return at + 1 == len ? pairs : -1;
}

static void
test_logfmt_is_one_line(void)
{
    for (size_t i = 0; i < HOSTILE; i++) {
        uint8_t buf[LONGEST];
        coat_span value = hostile_at(i, buf);
        coat_line line;
        size_t len;

        coat_line_begin(&line, COAT_LOG_LOGFMT);
        coat_line_text(&line, "user", value);
        coat_line_none(&line, "reason");
        coat_line_text(&line, "detail", value);
        len = coat_line_end(&line);
        CHECK(memchr(line.text, '\n', len) == line.text + len - 1);
        CHECK(memchr(line.text, '\x1b', len) == NULL);
        CHECK_INT(read_logfmt(line.text, len), value.len > COAT_LOG_FIELD_MAX ? 4 : 3);
    }
}

static void
test_exact_lines(void)
{
    coat_line line;
    size_t len;

    coat_line_begin(&line, COAT_LOG_LOGFMT);
    coat_line_time(&line, 1795410408123);
    coat_line_text(&line, "user", COAT_LIT("anna"));
    coat_line_text(&line, "reason", COAT_LIT("a \"b\"\n\xff"));
    coat_line_text(&line, "dash", COAT_LIT("-"));
    coat_line_text(&line, "empty", (coat_span){0});
    coat_line_none(&line, "none");
    coat_line_number(&line, "n", -5);
    len = coat_line_end(&line);
    CHECK_MEM(line.text, len,
              "ts=2026-11-23T05:06:48.123Z user=anna reason=\"a \\\"b\\\"\\n\\xff\" dash=\"-\" "
              "empty=\"\" none=- n=-5\n",
              strlen("ts=2026-11-23T05:06:48.123Z user=anna reason=\"a \\\"b\\\"\\n\\xff\" "
                     "dash=\"-\" empty=\"\" none=- n=-5\n"));
    coat_line_begin(&line, COAT_LOG_JSON);
    coat_line_time(&line, -1);
    coat_line_text(&line, "user", COAT_LIT("\xe2\x80\xa8\x1b\xff"));
    coat_line_none(&line, "none");
    len = coat_line_end(&line);
    CHECK_MEM(
        line.text, len,
        "{\"ts\":\"1969-12-31T23:59:59.999Z\",\"user\":\"\\u2028\\u001b\\\\xff\",\"none\":"
        "null}\n",
        strlen("{\"ts\":\"1969-12-31T23:59:59.999Z\",\"user\":\"\\u2028\\u001b\\\\xff\","
               "\"none\":null}\n"));
}

static void
test_line_is_bounded(void)
{
    uint8_t escapes[300];
    coat_line line;
    json_t *json;
    size_t len;

    memset(escapes, 1, sizeof escapes); /* each becomes six characters */
    coat_line_begin(&line, COAT_LOG_JSON);
    coat_line_text(&line, "first", COAT_LIT("kept"));
    for (int i = 0; i < 10; i++) {
        char name[8];

        (void)snprintf(name, sizeof name, "f%d", i);
        coat_line_text(&line, name, (coat_span){escapes, sizeof escapes});
    }
    len = coat_line_end(&line);
    CHECK(len <= COAT_LOG_LINE_MAX);
    json = json_loadb(line.text, len, 0, NULL);
    REQUIRE(json != NULL);
    CHECK(json_is_true(json_object_get(json, "cut")));
    CHECK(json_object_get(json, "first") != NULL);
    json_decref(json);
}

static void
test_tokens_are_redacted(void)
{
    static const char token[] = "AZGqx9cAAQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyAhIi";
    static const char csrf[] =
        "AZGqx9cAAQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyAhIiMkJSYnKCkq";
    static const char *const frames[] = {
        "%s", "__Host-id=%s; x=y", "Bearer %s", "/p?t=%s&x=1", "\n%s\n", "\"%s\"", "%%3D %s"};

    CHECK_INT(strlen(token), 54);
    CHECK_INT(strlen(csrf), 64);
    for (size_t i = 0; i < sizeof frames / sizeof frames[0]; i++)
        for (int which = 0; which < 4; which++) {
            const char *secret = which % 2 == 0 ? token : csrf;
            char text[200];
            coat_line line;
            size_t len;

            test_case(frames[i]);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
            (void)snprintf(text, sizeof text, frames[i], secret);
#pragma GCC diagnostic pop
            coat_line_begin(&line, which < 2 ? COAT_LOG_JSON : COAT_LOG_LOGFMT);
            coat_line_text(&line, "user", coat_span_of(text));
            len = coat_line_end(&line);
            CHECK(memmem(line.text, len, secret, 20) == NULL);
            CHECK(memmem(line.text, len, "[redacted]", 10) != NULL);
        }
}

/* ---- floods ---- */

static void
test_flood(void)
{
    coat_flood flood = {0};
    uint64_t sum, passed = 0, held = 0;

    for (int i = 0; i < 1000; i++)
        passed += coat_flood_admit(&flood, 100, 5000 + i / 2, &sum);
    CHECK_INT(passed, 100);
    CHECK_INT(coat_flood_tick(&flood, 5999, false), 0); /* the second is not over */
    CHECK(coat_flood_admit(&flood, 100, 6000, &sum));
    CHECK_INT(sum, 900);
    CHECK_INT(coat_flood_tick(&flood, 6500, false), 0);
    CHECK(!coat_flood_admit(&flood, 1, 6500, &sum));
    CHECK_INT(coat_flood_tick(&flood, 6600, true), 1); /* at the end nothing is forgotten */
    /* A clock that steps back neither blocks nor loses. */
    for (int i = 0; i < 200; i++)
        if (!coat_flood_admit(&flood, 100, 6600, &sum))
            held++;
    CHECK(coat_flood_admit(&flood, 100, 100, &sum));
    CHECK_INT(sum, held);
}

/* ---- ordinary lines through the whole log ---- */

static char *
read_log(const char *path, size_t *len)
{
    FILE *in = fopen(path, "r");
    char *text = calloc(1, 1 << 20);

    REQUIRE(in != NULL && text != NULL);
    *len = fread(text, 1, (1 << 20) - 1, in);
    fclose(in);
    return text;
}

static void
test_levels_and_fields(void)
{
    const char *dir = test_tmpdir();
    char target[320], path[300], moved[300], *text;
    coat_log_conf conf = {.level = COAT_LOG_NOTICE, .target = target, .instance = "node-1"};
    coat_log *log;
    struct stat st;
    size_t len;

    (void)snprintf(path, sizeof path, "%s/log", dir);
    (void)snprintf(moved, sizeof moved, "%s/log.1", dir);
    (void)snprintf(target, sizeof target, "file:%s", path);
    REQUIRE_OK(coat_log_new(&conf, &log, NULL, 0));
    coat_log_line(log, COAT_LOG_INFO, "too quiet", NULL, 0);
    coat_log_line(log, COAT_LOG_WARNING, "cannot listen",
                  COAT_LOG_FIELDS(coat_log_text(COAT_LOG_F_ADDRESS, "127.0.0.1:80"),
                                  coat_log_number(COAT_LOG_F_COUNT, 3)));
    coat_log_level_set(log, COAT_LOG_DEBUG);
    coat_log_line(log, COAT_LOG_DEBUG, "now heard", NULL, 0);
    coat_log_free(log);
    text = read_log(path, &len);
    CHECK(strstr(text, "too quiet") == NULL);
    CHECK(strstr(text, " level=warning msg=\"cannot listen\" address=127.0.0.1:80 count=3 "
                       "instance=node-1\n") != NULL);
    CHECK(strstr(text, "now heard") != NULL);
    REQUIRE(stat(path, &st) == 0);
    CHECK_INT(st.st_mode & 0137, 0);
    free(text);
    /* Rotation: the old file is moved away, SIGHUP, a new file. */
    REQUIRE_OK(coat_log_new(&conf, &log, NULL, 0));
    REQUIRE(rename(path, moved) == 0);
    REQUIRE_OK(coat_log_reopen(log));
    coat_log_line(log, COAT_LOG_ERROR, "after rotation", NULL, 0);
    coat_log_free(log);
    text = read_log(path, &len);
    CHECK(strstr(text, "after rotation") != NULL);
    free(text);
}

static void
test_bad_targets(void)
{
    static const char *const targets[] = {"syslog", "file:/nonexistent/dir/log", "fd:9999",
                                          "fd:x", ""};
    const char *dir = test_tmpdir();
    char link_path[280], target[320], message[200] = "";
    coat_log_conf conf = {.target = target};
    coat_log *log = NULL;

    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
        test_case(targets[i]);
        (void)snprintf(target, sizeof target, "%s", targets[i]);
        CHECK_ERR(coat_log_new(&conf, &log, message, sizeof message), COAT_IO);
        CHECK(message[0] != '\0');
    }
    (void)snprintf(link_path, sizeof link_path, "%s/log", dir);
    (void)snprintf(target, sizeof target, "file:%s", link_path);
    REQUIRE(symlink("/dev/null", link_path) == 0);
    CHECK_ERR(coat_log_new(&conf, &log, message, sizeof message), COAT_IO);
    CHECK(strstr(message, "symbolic link") != NULL);
}

static const coat_test tests[] = {
    {"AU-4: JSON reads back the bytes of 200 hostile strings", test_json_reads_back},
    {"AU-4: logfmt of 200 hostile strings is one line of pairs", test_logfmt_is_one_line},
    {"AU-4: escapes are exact in both formats", test_exact_lines},
    {"AU-4: a line has at most 8 KiB and stays readable", test_line_is_bounded},
    {"AU-1: what has the shape of a token is redacted", test_tokens_are_redacted},
    {"AU-5: a flood passes so many a second and sums up the rest", test_flood},
    {"levels, fields, rotation", test_levels_and_fields},
    {"bad targets are refused with a message", test_bad_targets},
};
COAT_TEST_MAIN(tests)
