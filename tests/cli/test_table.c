/* SPDX-License-Identifier: Apache-2.0 */
#include "coat_test.h"

#include "cli/table.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* The functions print to standard output: it is a file meanwhile. */
static char printed[8192];

static void
capture(void (*print)(const json_t *json, const coat_column *columns, size_t count),
        const char *text, const coat_column *columns, size_t count)
{
    char path[256];
    json_t *json = json_loads(text, 0, NULL);
    FILE *file;
    size_t len;
    int saved;

    (void)snprintf(path, sizeof path, "%s/out", test_tmpdir());
    file = fopen(path, "w+");
    REQUIRE(json != NULL && file != NULL);
    (void)fflush(stdout);
    saved = dup(STDOUT_FILENO);
    REQUIRE(saved >= 0 && dup2(fileno(file), STDOUT_FILENO) >= 0);
    print(json, columns, count);
    (void)fflush(stdout);
    (void)dup2(saved, STDOUT_FILENO);
    (void)close(saved);
    rewind(file);
    len = fread(printed, 1, sizeof printed - 1, file);
    printed[len] = '\0';
    (void)fclose(file);
    json_decref(json);
}

static const coat_column two[] = {
    {"NAME", "name", COAT_CELL_TEXT},
    {"LAST", "last", COAT_CELL_TEXT},
};

static const struct table_case {
    const char *name, *rows, *want;
} tables[] = {
    {"no rows: the head alone", "[]", "NAME  LAST\n"},
    {"columns as wide as their widest cell", "[{\"name\":\"a\"},{\"name\":\"abcdefgh\"}]",
     "NAME      LAST\na         \nabcdefgh  \n"},
    {"letters of two bytes are one column wide",
     "[{\"name\":\"\\u00e4\\u00f6\\u00fc\\u00df\\u00e9\",\"last\":\"x\"}]",
     "NAME   LAST\n\u00e4\u00f6\u00fc\u00df\u00e9  x\n"},
    {"a last column has no trailing spaces", "[{\"name\":\"n\",\"last\":\"l\"}]",
     "NAME  LAST\nn     l\n"},
    {"what a terminal would act on is shown as '?'",
     "[{\"name\":\"\\u001b[31m\",\"last\":\"a\\nb\\u007f\\u0007\"}]",
     "NAME   LAST\n?[31m  a?b??\n"},
    {"control characters above ASCII, too", "[{\"name\":\"\\u009b31m\",\"last\":\"\\u0085\"}]",
     "NAME  LAST\n?31m  ?\n"},
    {"numbers and yes or no", "[{\"name\":-7,\"last\":true},{\"name\":0,\"last\":false}]",
     "NAME  LAST\n-7    yes\n0     no\n"},
    {"absent, null and other kinds are empty",
     "[{},{\"name\":null,\"last\":[]},{\"name\":{},\"last\":1.5}]",
     "NAME  LAST\n      \n      \n      \n"},
};

static void
table_cases(void)
{
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        test_case(tables[i].name);
        capture(coat_print_table, tables[i].rows, two, 2);
        CHECK_STR(printed, tables[i].want);
    }
}

static void
long_text(void)
{
    char rows[1200] = "[{\"name\":\"", *end = rows + strlen(rows);

    memset(end, 'x', 1000);
    (void)snprintf(end + 1000, 100, "\",\"last\":\"y\"}]");
    capture(coat_print_table, rows, two, 2);
    CHECK(strlen(printed) < 700);
    CHECK(strstr(printed, "  y\n") != NULL);
}

static void
words(void)
{
    static const coat_column column[] = {{"ROLES", "roles", COAT_CELL_WORDS}};

    capture(coat_print_table, "[{\"roles\":[\"admin\",\"a\\tb\"]},{\"roles\":[]},{}]", column,
            1);
    CHECK_STR(printed, "ROLES\nadmin a?b\n\n\n");
    capture(coat_print_table, "[{\"roles\":[1,\"admin\",null]}]", column, 1);
    CHECK_STR(printed, "ROLES\nadmin\n");
}

static void
yes(void)
{
    static const coat_column column[] = {{"DISABLED", "disabled", COAT_CELL_YES}};

    capture(coat_print_table, "[{\"disabled\":true},{\"disabled\":false},{}]", column, 1);
    CHECK_STR(printed, "DISABLED\nyes\n\n\n");
}

static void
times(void)
{
    static const coat_column column[] = {{"CREATED", "created_ms", COAT_CELL_TIME}};

    REQUIRE(setenv("TZ", "UTC", 1) == 0);
    tzset();
    capture(coat_print_table, "[{\"created_ms\":0},{\"created_ms\":1767323045999}]", column, 1);
    CHECK_STR(printed, "CREATED\nnever\n2026-01-02 03:04:05\n");
    REQUIRE(setenv("TZ", "XXX-5:30", 1) == 0);
    tzset();
    capture(coat_print_table, "[{\"created_ms\":1767323045999}]", column, 1);
    CHECK_STR(printed, "CREATED\n2026-01-02 08:34:05\n");
    capture(coat_print_table, "[{\"created_ms\":9223372036854775807}]", column, 1);
    CHECK(strstr(printed, "292278994-08-17") != NULL);
}

static void
object(void)
{
    static const coat_column lines[] = {
        {"Name", "name", COAT_CELL_TEXT},
        {"Disabled", "disabled", COAT_CELL_TEXT},
        {"Roles", "roles", COAT_CELL_WORDS},
    };

    capture(coat_print_object,
            "{\"name\":\"mara\\u001b\",\"disabled\":false,\"roles\":[\"a\",\"b\"]}", lines, 3);
    CHECK_STR(printed, "Name      mara?\nDisabled  no\nRoles     a b\n");
}

static const coat_test tests[] = {
    {"tables: columns, widths and what is shown", table_cases},
    {"a long text is cut and the row goes on", long_text},
    {"a list is shown as words", words},
    {"yes is shown, no is left empty", yes},
    {"times are local; 0 is never", times},
    {"one object, a line for each member", object},
};
COAT_TEST_MAIN(tests)
