/* SPDX-License-Identifier: Apache-2.0 */
#include "coat_test.h"
#include "core/out.h"
#include "server/http/params.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static coat_params params;
static uint8_t buf[16384];

static const struct form_case {
    const char *name, *text;
    coat_err want;
    const char *user; /* decoded value of "user", NULL: absent */
    size_t count;
} form_cases[] = {
    {"empty", "", COAT_OK, NULL, 0},
    {"one", "user=a", COAT_OK, "a", 1},
    {"two", "user=a&b=c", COAT_OK, "a", 2},
    {"no value", "user", COAT_OK, "", 1},
    {"empty value", "user=", COAT_OK, "", 1},
    {"equals in the value", "user=a=b", COAT_OK, "a=b", 1},
    {"plus", "user=a+b", COAT_OK, "a b", 1},
    {"escaped plus", "user=a%2Bb", COAT_OK, "a+b", 1},
    {"escaped ampersand", "user=a%26b%3d", COAT_OK, "a&b=", 1},
    {"decoded once", "user=%2541", COAT_OK, "%41", 1},
    {"UTF-8", "user=%C3%A4%e2%82%ac", COAT_OK, "\xc3\xa4\xe2\x82\xac", 1},
    {"line ends in a value", "user=a%0D%0Ab", COAT_OK, "a\r\nb", 1},
    {"escaped name", "us%65r=a", COAT_OK, "a", 1},
    {"names differ in case", "user=a&User=b", COAT_OK, "a", 2},
    {"four bytes of UTF-8", "user=%F0%9F%98%80", COAT_OK, "\xf0\x9f\x98\x80", 1},
    {"repeated", "user=a&user=b", COAT_MALFORMED, NULL, 0},
    {"repeated, equal", "user=a&user=a", COAT_MALFORMED, NULL, 0},
    {"repeated by an escape", "user=a&us%65r=b", COAT_MALFORMED, NULL, 0},
    {"repeated with others between", "user=a&b=c&d&user", COAT_MALFORMED, NULL, 0},
    {"empty name", "=a", COAT_MALFORMED, NULL, 0},
    {"empty pair", "user=a&&b=c", COAT_MALFORMED, NULL, 0},
    {"empty pair first", "&user=a", COAT_MALFORMED, NULL, 0},
    {"empty pair last", "user=a&", COAT_MALFORMED, NULL, 0},
    {"ampersand only", "&", COAT_MALFORMED, NULL, 0},
    {"NUL", "user=a%00b", COAT_MALFORMED, NULL, 0},
    {"NUL in a name", "us%00er=a", COAT_MALFORMED, NULL, 0},
    {"escape", "user=%1b", COAT_MALFORMED, NULL, 0},
    {"DEL", "user=%7f", COAT_MALFORMED, NULL, 0},
    {"bad digit", "user=%zz", COAT_MALFORMED, NULL, 0},
    {"cut escape", "user=%4", COAT_MALFORMED, NULL, 0},
    {"lone percent", "user=%", COAT_MALFORMED, NULL, 0},
    {"escape across the pair", "user=%4&1=b", COAT_MALFORMED, NULL, 0},
    {"raw Latin-1", "user=\xe4", COAT_MALFORMED, NULL, 0},
    {"overlong UTF-8", "user=%C0%AF", COAT_MALFORMED, NULL, 0},
    {"overlong UTF-8, three bytes", "user=%E0%80%AF", COAT_MALFORMED, NULL, 0},
    {"surrogate", "user=%ED%A0%80", COAT_MALFORMED, NULL, 0},
    {"beyond Unicode", "user=%F4%90%80%80", COAT_MALFORMED, NULL, 0},
    {"cut UTF-8", "user=%E2%82", COAT_MALFORMED, NULL, 0},
    {"lone continuation", "user=%80", COAT_MALFORMED, NULL, 0},
};

static void
parses_forms(void)
{
    for (size_t i = 0; i < COUNT(form_cases); i++) {
        const struct form_case *c = &form_cases[i];
        coat_span value = {NULL, 0};

        test_case(c->name);
        CHECK_ERR(coat_params_parse(coat_span_of(c->text), buf, sizeof buf, &params), c->want);
        CHECK_INT(params.count, c->count);
        CHECK_INT(coat_params_get(&params, "user", &value), c->user != NULL);
        if (c->user != NULL)
            CHECK_MEM(value.ptr, value.len, c->user, strlen(c->user));
        /* in place as well */
        memcpy(buf, c->text, strlen(c->text));
        CHECK_ERR(
            coat_params_parse((coat_span){buf, strlen(c->text)}, buf, sizeof buf, &params),
            c->want);
        CHECK_INT(params.count, c->count);
    }
}

static void
counts(void)
{
    for (size_t n = COAT_PARAMS_MAX; n <= COAT_PARAMS_MAX + 1; n++) {
        char text[1024];
        coat_out out = coat_out_init(text, sizeof text);

        for (size_t i = 0; i < n; i++) {
            if (i > 0)
                coat_out_char(&out, '&');
            coat_out_char(&out, 'p');
            coat_out_uint(&out, i);
        }
        CHECK_ERR(coat_params_parse((coat_span){(const uint8_t *)text, out.len}, buf,
                                    sizeof buf, &params),
                  n > COAT_PARAMS_MAX ? COAT_TOO_LARGE : COAT_OK);
    }
    CHECK_ERR(coat_params_parse(COAT_LIT("abc=d"), buf, 4, &params), COAT_TOO_LARGE);
}

static const coat_test tests[] = {
    {"FA-11: duplicate parameters are refused; each is decoded once", parses_forms},
    {"RX-6: 64 parameters and no more", counts},
};

COAT_TEST_MAIN(tests)
