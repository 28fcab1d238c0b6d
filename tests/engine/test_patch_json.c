/* SPDX-License-Identifier: Apache-2.0 */
#include "coat_test.h"
#include "core/out.h"
#include "engine/patch_json.h"

#include <string.h>

/* RFC 7396 Appendix A where target and patch are objects, and limits. */
static const struct patch_case {
    const char *name, *data, *patch, *want; /* want NULL: refused */
    coat_err err;
} cases[] = {
    {"replace", "{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}", COAT_OK},
    {"add", "{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}", COAT_OK},
    {"remove the last", "{\"a\":\"b\"}", "{\"a\":null}", "", COAT_OK},
    {"remove", "{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}", COAT_OK},
    {"array to string", "{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}", COAT_OK},
    {"string to array", "{\"a\":\"c\"}", "{\"a\":[\"b\"]}", "{\"a\":[\"b\"]}", COAT_OK},
    {"nested", "{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}",
     "{\"a\":{\"b\":\"d\"}}", COAT_OK},
    {"arrays are not merged", "{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}", COAT_OK},
    {"null kept inside arrays", "{}", "{\"a\":[null]}", "{\"a\":[null]}", COAT_OK},
    {"null in data stays", "{\"e\":null}", "{\"a\":1}", "{\"e\":null,\"a\":1}", COAT_OK},
    {"scalar to object drops nulls", "{\"a\":1}", "{\"a\":{\"bb\":{\"ccc\":null}}}",
     "{\"a\":{\"bb\":{}}}", COAT_OK},
    {"remove what is not there", "{\"a\":1}", "{\"x\":null}", "{\"a\":1}", COAT_OK},
    {"empty patch", "{\"a\":1}", "", "{\"a\":1}", COAT_OK},
    {"both empty", "", "", "", COAT_OK},
    {"brackets in strings are no depth", "",
     "{\"a\":\"[[[[[[[[[[[[[[[[[[[[[[\\\"{{{{{{{{{{{{{{{{{{{{{{{\"}",
     "{\"a\":\"[[[[[[[[[[[[[[[[[[[[[[\\\"{{{{{{{{{{{{{{{{{{{{{{{\"}", COAT_OK},
    {"depth 16", "", "{\"a\":[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]}",
     "{\"a\":[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]}", COAT_OK},
    {"depth 17", "", "{\"a\":[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]}", NULL, COAT_MALFORMED},
    {"patch is an array", "{\"a\":1}", "[1]", NULL, COAT_MALFORMED},
    {"patch is null", "{\"a\":1}", "null", NULL, COAT_MALFORMED},
    {"patch is a number", "{\"a\":1}", "7", NULL, COAT_MALFORMED},
    {"not JSON", "{\"a\":1}", "{\"a\":}", NULL, COAT_MALFORMED},
    {"trailing bytes", "{\"a\":1}", "{} x", NULL, COAT_MALFORMED},
    {"name twice", "{}", "{\"a\":1,\"a\":2}", NULL, COAT_MALFORMED},
    {"not UTF-8", "{}", "{\"a\":\"\xff\"}", NULL, COAT_MALFORMED},
    {"NUL character", "{}", "{\"a\":\"\\u0000\"}", NULL, COAT_MALFORMED},
    {"result over its limit", "{\"a\":1}",
     "{\"b\":"
     "\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"}",
     NULL, COAT_TOO_LARGE},
};

static void
table(void)
{
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct patch_case *c = &cases[i];
        coat_json_text text = {(char *)1, 77};
        coat_err err =
            coat_json_patch(coat_span_of(c->data), coat_span_of(c->patch), 80, &text);

        test_case(c->name);
        CHECK_ERR(err, c->err);
        if (err != COAT_OK) {
            CHECK(text.text == (char *)1 && text.len == 77);
            continue;
        }
        if (c->want != NULL)
            CHECK_MEM(text.text, text.len, c->want, strlen(c->want));
        coat_json_text_free(&text);
    }
}

static size_t
object_of(char *buf, size_t cap, int members)
{
    size_t len = 0;

    for (int i = 0; i < members; i++)
        len += (size_t)snprintf(buf + len, cap - len, "%s\"k%d\":%d", i == 0 ? "{" : ",", i, i);
    return len + (size_t)snprintf(buf + len, cap - len, "}");
}

static void
members(void)
{
    char buf[2048], one[] = "{\"more\":1}";
    coat_json_text text;
    size_t len = object_of(buf, sizeof buf, 64);

    CHECK_ERR(coat_json_patch((coat_span){0}, (coat_span){(uint8_t *)buf, len}, 4096, &text),
              COAT_OK);
    /* 64 there already, one more by the patch */
    CHECK_ERR(coat_json_patch((coat_span){(uint8_t *)text.text, text.len}, coat_span_of(one),
                              4096, &(coat_json_text){0}),
              COAT_MALFORMED);
    coat_json_text_free(&text);
    len = object_of(buf, sizeof buf, 65);
    CHECK_ERR(coat_json_patch((coat_span){0}, (coat_span){(uint8_t *)buf, len}, 4096, &text),
              COAT_MALFORMED);
}

static void
depth_by_merging(void)
{
    char deep[200];
    coat_out out = coat_out_init(deep, sizeof deep);
    coat_json_text text;

    for (int i = 0; i < 15; i++)
        coat_out_str(&out, "{\"a\":");
    coat_out_str(&out, "{}");
    for (int i = 0; i < 15; i++)
        coat_out_str(&out, "}");
    REQUIRE(coat_out_end(&out));
    REQUIRE_OK(coat_json_patch((coat_span){0}, coat_span_of(deep), 4096, &text));
    coat_json_text_free(&text);
}

static void
huge(void)
{
    static uint8_t big[COAT_JSON_PATCH_MAX + 1];
    static uint8_t nested[COAT_JSON_PATCH_MAX];
    coat_json_text text;

    memset(big, ' ', sizeof big);
    CHECK_ERR(coat_json_patch((coat_span){0}, (coat_span){big, sizeof big}, 4096, &text),
              COAT_TOO_LARGE);
    memset(nested, '[', sizeof nested);
    CHECK_ERR(coat_json_patch((coat_span){0}, (coat_span){nested, sizeof nested}, 4096, &text),
              COAT_MALFORMED);
}

static const coat_test tests[] = {
    {"RFC 7396, and what is refused", table},
    {"RX-6: at most 64 members of one object, also by merging", members},
    {"RX-6: depth 16 is reached by a patch", depth_by_merging},
    {"RX-6: size and depth are bounded before parsing", huge},
};
COAT_TEST_MAIN(tests)
