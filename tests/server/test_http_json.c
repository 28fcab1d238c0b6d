/* SPDX-License-Identifier: Apache-2.0 */
#include "coat_test.h"
#include "core/out.h"
#include "server/http/internal.h"

#include <jansson.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static coat_err
parse(coat_span text)
{
    json_t *root = NULL;
    coat_err err = coat_json_parse(text, &root);

    CHECK((root != NULL) == (err == COAT_OK));
    json_decref(root);
    return err;
}

static const struct json_case {
    const char *name, *text;
    coat_err want;
} json_cases[] = {
    {"object", "{\"a\":1}", COAT_OK},
    {"white space around", " {\"a\" : [1, 2]}\n", COAT_OK},
    {"brackets in a string", "{\"a\":\"[[[[[[[[[[[[[[[[[[[[[[[[,,,,\"}", COAT_OK},
    {"escaped quote in a string", "{\"a\":\"\\\"[[[[[[[[[[[[[[[[[[[[[[\"}", COAT_OK},
    {"duplicate keys", "{\"a\":1,\"a\":2}", COAT_MALFORMED},
    {"duplicate keys, equal", "{\"a\":1,\"a\":1}", COAT_MALFORMED},
    {"duplicate by an escape", "{\"a\":1,\"\\u0061\":2}", COAT_MALFORMED},
    {"duplicate keys deep down", "{\"a\":{\"b\":1,\"b\":2}}", COAT_MALFORMED},
    {"empty", "", COAT_MALFORMED},
    {"a scalar", "1", COAT_MALFORMED},
    {"text behind", "{} x", COAT_MALFORMED},
    {"two values", "{}{}", COAT_MALFORMED},
    {"comma at the end", "{\"a\":1,}", COAT_MALFORMED},
    {"single quotes", "{'a':1}", COAT_MALFORMED},
    {"comment", "{/*a*/}", COAT_MALFORMED},
    {"NaN", "{\"a\":NaN}", COAT_MALFORMED},
    {"NUL by an escape", "{\"a\":\"\\u0000\"}", COAT_OK},
    {"NUL in a name", "{\"a\\u0000b\":1}", COAT_MALFORMED},
    {"lone surrogate", "{\"a\":\"\\ud800\"}", COAT_MALFORMED},
    {"invalid UTF-8", "{\"a\":\"\xff\"}", COAT_MALFORMED},
    {"control byte", "{\"a\":\"\x01\"}", COAT_MALFORMED},
    {"BOM", "\xef\xbb\xbf{}", COAT_MALFORMED},
    {"unclosed", "{\"a\":1", COAT_MALFORMED},
    {"unclosed string", "{\"a\":\"", COAT_MALFORMED},
    {"closed too often", "{}}", COAT_MALFORMED},
    {"number too big", "{\"a\":1e999}", COAT_MALFORMED},
};

static void
parses(void)
{
    for (size_t i = 0; i < COUNT(json_cases); i++) {
        test_case(json_cases[i].name);
        CHECK_ERR(parse(coat_span_of(json_cases[i].text)), json_cases[i].want);
    }
    CHECK_ERR(parse((coat_span){(const uint8_t *)"{}\0", 3}), COAT_MALFORMED);
}

static void
limits_depth(void)
{
    for (size_t depth = 16; depth <= 17; depth++) {
        char text[256];
        coat_out out = coat_out_init(text, sizeof text);

        for (size_t i = 0; i < depth; i++)
            coat_out_str(&out, i % 2 == 0 ? "{\"a\":" : "[");
        coat_out_str(&out, "1");
        for (size_t i = depth; i-- > 0;)
            coat_out_str(&out, i % 2 == 0 ? "}" : "]");
        CHECK_ERR(parse((coat_span){(const uint8_t *)text, out.len}),
                  depth > 16 ? COAT_MALFORMED : COAT_OK);
    }
}

static void
limits_members(void)
{
    for (size_t n = 64; n <= 65; n++) {
        char text[2048];
        coat_out out = coat_out_init(text, sizeof text);

        coat_out_str(&out, "{\"list\":[0");
        for (size_t i = 1; i < n; i++)
            coat_out_str(&out, ",0");
        coat_out_str(&out, "]}");
        CHECK_ERR(parse((coat_span){(const uint8_t *)text, out.len}),
                  n > 64 ? COAT_MALFORMED : COAT_OK);
        out.len = 0;
        for (size_t i = 0; i < n; i++) {
            coat_out_str(&out, i == 0 ? "{\"k" : ",\"k");
            coat_out_uint(&out, i);
            coat_out_str(&out, "\":{}");
        }
        coat_out_str(&out, "}");
        CHECK_ERR(parse((coat_span){(const uint8_t *)text, out.len}),
                  n > 64 ? COAT_MALFORMED : COAT_OK);
    }
}

static void
limits_size(void)
{
    static char text[COAT_HTTP_BODY_MAX];
    coat_out out = coat_out_init(text, sizeof text);

    /* The longest and the deepest that a body can be are refused before they are built. */
    memset(text, '[', sizeof text);
    CHECK_ERR(parse((coat_span){(const uint8_t *)text, sizeof text}), COAT_MALFORMED);
    memset(text, ',', sizeof text);
    CHECK_ERR(parse((coat_span){(const uint8_t *)text, sizeof text}), COAT_MALFORMED);
    coat_out_str(&out, "{\"a\":\"");
    memset(text + out.len, 'x', sizeof text - out.len);
    memcpy(text + sizeof text - 2, "\"}", 2);
    CHECK_ERR(parse((coat_span){(const uint8_t *)text, sizeof text}), COAT_OK);
}

static const coat_test tests[] = {
    {"FA-11: duplicate keys and what is not JSON are refused", parses},
    {"RX-6: depth 16 and no deeper", limits_depth},
    {"RX-6: 64 members and no more", limits_members},
    {"RX-6: the largest bodies", limits_size},
};

COAT_TEST_MAIN(tests)
