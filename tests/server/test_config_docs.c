/* SPDX-License-Identifier: Apache-2.0 */
#include "config_try.h"

#include <stdlib.h>

/* argv[1] would be a filter: the paths come from the build. */
#ifndef DOCS_PATH
#error "DOCS_PATH and EXAMPLE_PATH are set by meson.build"
#endif

static char *
print(void (*fn)(FILE *out))
{
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);

    REQUIRE(out != NULL);
    fn(out);
    fclose(out);
    return text;
}

static char *
read_text(const char *path)
{
    enum { MAX = 256 * 1024 };
    FILE *in = fopen(path, "r");
    char *text = calloc(1, MAX);

    REQUIRE(in != NULL && text != NULL);
    REQUIRE(fread(text, 1, MAX - 1, in) > 0);
    fclose(in);
    return text;
}

static void
test_manual(void)
{
    char *want = print(coat_config_docs), *got = read_text(DOCS_PATH);

    if (strcmp(want, got) != 0)
        test_fail(__FILE__, __LINE__,
                  "docs/configuration.md is out of date: config-generate docs makes it");
    free(want);
    free(got);
}

static void
test_example(void)
{
    char *want = print(coat_config_example), *got = read_text(EXAMPLE_PATH);

    if (strcmp(want, got) != 0)
        test_fail(__FILE__, __LINE__,
                  "packaging/coatcheck.yaml is out of date: config-generate example makes it");
    expect_accepted(got);
    free(want);
    free(got);
}

/* Parse the manual's table, as a reader would, and compare with the program's default dump. */
static void
test_table_equals_dump(void)
{
    char *manual = read_text(DOCS_PATH), *dump = print(coat_config_defaults);
    size_t rows = 0;

    for (char *line = dump; *line != '\0'; rows++) {
        char *equals = strchr(line, '='), *end = strchr(line, '\n'), row[400];

        REQUIRE(equals != NULL && end != NULL && equals < end);
        *equals = *end = '\0';
        test_case(line);
        if (equals[1] != '\0')
            (void)snprintf(row, sizeof row, "\n| `%s` | `%s` | ", line, equals + 1);
        else
            (void)snprintf(row, sizeof row, "\n| `%s` | empty | ", line);
        CHECK(strstr(manual, row) != NULL);
        line = end + 1;
    }
    CHECK_INT(rows, coat_config_count());
    free(manual);
    free(dump);
}

/* Setting a key to its documented default is always possible and changes nothing. */
static void
test_defaults_can_be_written(void)
{
    coat_config *plain = try_yaml("", NULL);

    REQUIRE(plain != NULL);
    for (size_t i = 0; i < coat_config_count(); i++) {
        coat_config_item item;
        char flag[1200];
        const char *flags[] = {flag};
        coat_config_input input = {.flags = flags, .flag_count = 1};
        coat_config_error error = {0};
        coat_config *c = NULL;

        coat_config_item_get(NULL, i, &item);
        (void)snprintf(flag, sizeof flag, "--%s=%s", item.path, item.initial);
        test_case(flag);
        if (coat_config_parse((coat_span){NULL, 0}, "", &input, &c, &error) != COAT_OK) {
            test_fail(__FILE__, __LINE__, "%s", error.text);
            continue;
        }
        CHECK_INT(coat_config_diff(plain, c, NULL, NULL), 0);
        coat_config_free(c);
    }
    coat_config_free(plain);
}

static void
test_example_uncommented(void)
{
    char *text = print(coat_config_example), *out = calloc(1, strlen(text) + 1);
    size_t n = 0;
    bool line_start = true;

    REQUIRE(out != NULL);
    /* "  #key: value" becomes "  key: value"; other comments stay. */
    for (const char *p = text; *p != '\0'; p++) {
        bool key = line_start && strncmp(p, "  #", 3) == 0 && p[3] != ' ';

        if (key) {
            out[n++] = ' ';
            out[n++] = ' ';
            p += 3;
        }
        line_start = *p == '\n';
        out[n++] = *p;
    }
    expect_accepted(out);
    free(out);
    free(text);
}

static const coat_test tests[] = {
    {"UP-5: docs/configuration.md is what the program generates", test_manual},
    {"UP-5: the example file is what the program generates", test_example},
    {"UP-5: the manual's table equals the default dump", test_table_equals_dump},
    {"UP-5: documented defaults can be written and change nothing",
     test_defaults_can_be_written},
    {"the example's keys are right when they are uncommented", test_example_uncommented},
};
COAT_TEST_MAIN(tests)
