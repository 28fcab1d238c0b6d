/* SPDX-License-Identifier: Apache-2.0 */
#include "coat_test.h"

#include "core/bytes.h"
#include "server/pages/template.h"

#include <stdlib.h>

#define FOUR(text) text text text text
#define SIXTY_FOUR(text) FOUR(FOUR(FOUR(text)))

static coat_span
find(const void *ctx, coat_span name)
{
    (void)ctx;
    if (coat_span_is(name, COAT_LIT("many")))
        return COAT_LIT(SIXTY_FOUR("{{>some}}"));
    if (coat_span_is(name, COAT_LIT("some")))
        return COAT_LIT(SIXTY_FOUR("{{>few}}"));
    if (coat_span_is(name, COAT_LIT("few")))
        return COAT_LIT(SIXTY_FOUR("{{>part}}"));
    if (coat_span_is(name, COAT_LIT("part")))
        return COAT_LIT("[{{user}}]");
    if (coat_span_is(name, COAT_LIT("loop")))
        return COAT_LIT("x{{>loop}}");
    return (coat_span){NULL, 0};
}

static const char data_json[] =
    "{\"user\":\"<b>&\\\"'\",\"n\":7,\"yes\":true,\"no\":false,\"zero\":0,\"empty\":\"\","
    "\"none\":[],\"list\":[{\"a\":\"1\"},{\"a\":\"2\"}],\"o\":{\"in\":\"deep\"},"
    "\"bell\":\"a\\u0007b\",\"null\":null}";

static const struct render_case {
    const char *name, *source, *want; /* want NULL: a fault */
} render_cases[] = {
    {"plain", "hello", "hello"},
    {"empty", "", ""},
    {"always escaped", "{{user}}", "&lt;b&gt;&amp;&quot;&#39;"},
    {"number", "{{n}}", "7"},
    {"absent value is nothing", "a{{nobody}}b", "ab"},
    {"dotted", "{{o.in}}", "deep"},
    {"dotted into nothing", "{{o.out.far}}", ""},
    {"dotted into a text", "{{user.x}}", ""},
    {"control bytes are left out", "{{bell}}", "ab"},
    {"true section", "{{#yes}}y{{/yes}}", "y"},
    {"false section", "{{#no}}y{{/no}}", ""},
    {"zero is false", "{{#zero}}y{{/zero}}", ""},
    {"empty text is false", "{{#empty}}y{{/empty}}", ""},
    {"null is false", "{{#null}}y{{/null}}", ""},
    {"empty list is false", "{{^none}}n{{/none}}", "n"},
    {"inverted of true", "{{^yes}}n{{/yes}}", ""},
    {"list", "{{#list}}<{{a}}>{{/list}}", "<1><2>"},
    {"outer value inside a list", "{{#list}}{{n}}{{/list}}", "77"},
    {"object becomes the context", "{{#o}}{{in}}{{/o}}", "deep"},
    {"sections inside sections", "{{#yes}}{{#list}}{{^no}}{{a}}{{/no}}{{/list}}{{/yes}}", "12"},
    {"same name inside itself", "{{#yes}}a{{#yes}}b{{/yes}}c{{/yes}}", "abc"},
    {"partial", "a{{>part}}b", "a[&lt;b&gt;&amp;&quot;&#39;]b"},
    {"lone tag takes its line", "a\n  {{#yes}}\nb\n  {{/yes}}\nc", "a\nb\nc"},
    {"tag among text keeps the line", "a {{#yes}}b{{/yes}}\nc", "a b\nc"},
    {"single braces are text", "{a} } {", "{a} } {"},
    {"unclosed tag", "a{{user", NULL},
    {"unclosed section", "{{#yes}}a", NULL},
    {"close without open", "a{{/yes}}", NULL},
    {"crossed sections", "{{#yes}}{{#list}}{{/yes}}{{/list}}", NULL},
    {"unknown partial", "{{>nobody}}", NULL},
    {"partial that includes itself", "{{>loop}}", NULL},
    {"empty name", "{{}}", NULL},
    {"unescaped form does not exist", "{{{user}}}", NULL},
    {"ampersand form does not exist", "{{&user}}", NULL},
    {"name with a space", "{{ user }}", NULL},
};

static void
renders(void)
{
    for (size_t i = 0; i < sizeof render_cases / sizeof render_cases[0]; i++) {
        const struct render_case *c = &render_cases[i];
        json_t *data = json_loads(data_json, 0, NULL);
        char *out = NULL;
        size_t len = 0;
        coat_err err =
            coat_template_render(coat_span_of(c->source), find, NULL, data, &out, &len);

        test_case(c->name);
        if (c->want == NULL) {
            CHECK_ERR(err, COAT_MALFORMED);
            CHECK(out == NULL);
        } else {
            CHECK_ERR(err, COAT_OK);
            if (err == COAT_OK)
                CHECK_MEM(out, len, c->want, strlen(c->want));
        }
        free(out);
        json_decref(data);
    }
}

static const struct check_case {
    const char *name, *source;
    unsigned line; /* of the fault; 0: none */
    const char *says;
} check_cases[] = {
    {"fine", "a\n{{#x}}\n{{>part}}{{/x}}", 0, ""},
    {"unclosed tag", "a\nb\n{{user", 3, "not closed"},
    {"unclosed section", "a\n{{#x}}\nb\n", 2, "not closed"},
    {"crossed", "{{#x}}\n{{^y}}\n{{/x}}\n{{/y}}", 3, "last one opened"},
    {"close only", "\n\n{{/x}}", 3, "last one opened"},
    {"unknown partial", "{{>nobody}}", 1, "no template"},
    {"partial in seven sections",
     "{{#a}}{{#a}}{{#a}}{{#a}}{{#a}}{{#a}}{{#a}}{{>part}}"
     "{{/a}}{{/a}}{{/a}}{{/a}}{{/a}}{{/a}}{{/a}}",
     0, ""},
    {"partial in eight sections",
     "{{#a}}{{#a}}{{#a}}{{#a}}{{#a}}{{#a}}{{#a}}{{#a}}\n{{>part}}"
     "{{/a}}{{/a}}{{/a}}{{/a}}{{/a}}{{/a}}{{/a}}{{/a}}",
     2, "inside one another"},
    {"partial that includes itself", "a\n{{>loop}}", 2, "inside one another"},
    {"partials that multiply", "{{>many}}", 1, "too much"},
    {"partials that multiply a little", "{{>few}}", 0, ""},
    {"nine deep", "{{#a}}{{#a}}{{#a}}{{#a}}{{#a}}{{#a}}{{#a}}{{#a}}\n{{#a}}", 2, "more than 8"},
};

static void
check_names_the_line(void)
{
    for (size_t i = 0; i < sizeof check_cases / sizeof check_cases[0]; i++) {
        const struct check_case *c = &check_cases[i];
        char message[120] = "";
        unsigned line = 0;
        coat_err err = coat_template_check(coat_span_of(c->source), find, NULL, &line, message,
                                           sizeof message);

        test_case(c->name);
        CHECK_ERR(err, c->line == 0 ? COAT_OK : COAT_MALFORMED);
        CHECK_INT(line, c->line);
        CHECK(strstr(message, c->says) != NULL);
    }
}

static void
page_is_bounded(void)
{
    json_t *data = json_object(), *list = json_array();
    char big[1001], *out = NULL;
    size_t len = 0;

    memset(big, 'x', 1000);
    big[1000] = '\0';
    for (int i = 0; i < 300; i++)
        json_array_append_new(list, json_pack("{s:s}", "a", big));
    json_object_set_new(data, "list", list);
    CHECK_ERR(
        coat_template_render(COAT_LIT("{{#list}}{{a}}{{/list}}"), find, NULL, data, &out, &len),
        COAT_TOO_LARGE);
    CHECK(out == NULL);
    json_decref(data);
}

static const coat_test tests[] = {
    {"templates: every form of tag", renders},
    {"templates: the check names line and fault", check_names_the_line},
    {"templates: a page is bounded", page_is_bounded},
};
COAT_TEST_MAIN(tests)
