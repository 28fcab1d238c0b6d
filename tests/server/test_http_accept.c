/* SPDX-License-Identifier: Apache-2.0 */
#include "coat_test.h"
#include "server/http/internal.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static const struct accept_case {
    const char *text;
    bool html;
} accept_cases[] = {
    {"", false},
    {"*/*", false},
    {"text/html", true},
    {"TEXT/HTML", true},
    {"text/*", true},
    {"application/json", false},
    {"application/*", false},
    {"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", true}, /* Firefox */
    {"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,"
     "*/*;q=0.8,application/signed-exchange;v=b3;q=0.7",
     true}, /* Chromium */
    {"application/json, text/plain, */*", false},
    {"text/html, application/json", false},
    {"text/html;q=0.9, application/json", false},
    {"text/html, application/json;q=0.9", true},
    {"text/html;q=0.5, */*;q=0.5", true},
    {"text/html;q=0.4, */*;q=0.5", false},
    {"text/html;q=0", false},
    {"text/html;q=0, */*", false},
    {"*/*, text/html;q=0.1", false},
    {"text/html;level=1", true},
    {"text/html; Q=0.3 , application/json;q=0.2", true},
    {"text/html;q=0.001", true},
    {"text/html;q=1.001", false},
    {"text/html;q=2", false},
    {"text/html;q=abc", false},
    {"text/html;q=0.12345", false},
    {"text/htmlx", false},
    {"xtext/html", false},
    {",,text/html,,", true},
    {";;;", false},
    {"text/html;q=", true},
};

static void
chooses(void)
{
    for (size_t i = 0; i < COUNT(accept_cases); i++) {
        test_case(accept_cases[i].text);
        CHECK_INT(coat_accept_html(coat_span_of(accept_cases[i].text)), accept_cases[i].html);
    }
}

static void
finds_media_types(void)
{
    CHECK(coat_span_is(coat_media_type(COAT_LIT(" a/b ; charset=x")), COAT_LIT("a/b")));
    CHECK(coat_span_is(coat_media_type(COAT_LIT("a/b")), COAT_LIT("a/b")));
    CHECK_INT(coat_media_type((coat_span){NULL, 0}).len, 0);
}

static void
finds_fields(void)
{
    static const coat_field fields[] = {
        {COAT_LIT("A"), COAT_LIT("1")},   {COAT_LIT("List"), COAT_LIT("x, Close")},
        {COAT_LIT("a"), COAT_LIT("2")},   {COAT_LIT("list"), COAT_LIT(",,keep-alive ,")},
        {COAT_LIT("Once"), COAT_LIT("")},
    };
    coat_http_request req = {.fields = fields, .field_count = COUNT(fields)};
    coat_span value = COAT_LIT("untouched");

    CHECK_INT(coat_http_count(&req, "A"), 2);
    CHECK_INT(coat_http_single(&req, "a", &value), COAT_HTTP_REPEATED);
    CHECK_INT(coat_http_single(&req, "b", &value), COAT_HTTP_ABSENT);
    CHECK(coat_span_is(value, COAT_LIT("untouched")));
    CHECK_INT(coat_http_single(&req, "ONCE", &value), COAT_HTTP_ONE);
    CHECK_INT(value.len, 0);
    CHECK(coat_http_lists(&req, "List", "close"));
    CHECK(coat_http_lists(&req, "List", "Keep-Alive"));
    CHECK(!coat_http_lists(&req, "List", "clos"));
    CHECK(!coat_http_lists(&req, "None", "x"));
}

static const coat_test tests[] = {
    {"text/html against application/json", chooses},
    {"media types", finds_media_types},
    {"fields by name", finds_fields},
};

COAT_TEST_MAIN(tests)
