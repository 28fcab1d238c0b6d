/* SPDX-License-Identifier: Apache-2.0 */
#include "config_try.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Every refusal names its place. */
static const struct place_case {
    const char *name, *text;
    unsigned line, column;
    const char *part;
} place_cases[] = {
    {"misspelled key", "session:\n  idel-timeout: 5m\n", 2, 3,
     "did you mean session.idle-timeout"},
    {"misspelled section", "sesion:\n  idle-timeout: 5m\n", 1, 1, "no key"},
    {"key of another section", "cookie:\n  idle-timeout: 5m\n", 2, 3, "session.idle-timeout"},
    {"repeated key", "session:\n  idle-timeout: 5m\n  idle-timeout: 6m\n", 3, 17, "line 2"},
    {"repeated section", "log:\n  level: info\nsession:\nlog:\n  format: json\n", 4, 1,
     "line 1"},
    {"repeated with equal value", "log: {level: info, level: info}", 1, 27, "second time"},
    {"dotted key", "session.idle-timeout: 5m\n", 1, 1, "without dots"},
    {"number for duration", "session:\n  idle-timeout: 300\n", 2, 17, "is not a duration"},
    {"duration with blank", "session:\n  idle-timeout: 5 m\n", 2, 17, "is not a duration"},
    {"list for scalar", "session:\n  idle-timeout: [5m]\n", 2, 17, "must be a duration"},
    {"mapping for scalar", "session:\n  idle-timeout: {a: b}\n", 2, 17, "must be a duration"},
    {"scalar for section", "session: 5m\n", 1, 10, "is a section"},
    {"yes for true", "metrics:\n  enabled: yes\n", 2, 12, "true or false"},
    {"capital True", "metrics:\n  enabled: True\n", 2, 12, "true or false"},
    {"no value", "session:\n  idle-timeout:\n", 2, 16, "has no value"},
    {"null", "session:\n  idle-timeout: ~\n", 2, 17, "has no value"},
    {"anchor", "session: &a\n  idle-timeout: 5m\n", 1, 10, "anchors"},
    {"alias", "pages:\n  name: *x\n", 2, 9, "alias"},
    {"tag", "pages:\n  name: !!str x\n", 2, 9, "tags"},
    {"merge key", "session:\n  <<: {idle-timeout: 5m}\n", 2, 3, "no key"},
    {"second document", "log: {level: info}\n---\nlog: {level: debug}\n", 2, 1,
     "second document"},
    {"list at the top", "- a\n", 1, 1, "keys are needed"},
    {"text at the top", "hello\n", 1, 1, "keys are needed"},
    {"tab as indentation", "session:\n\tidle-timeout: 5m\n", 2, 1, "not valid YAML"},
    {"unclosed quote", "pages:\n  name: \"x\n", 3, 1, "not valid YAML"},
    {"unclosed bracket", "cors:\n  origins: [https://a.example\n", 3, 1, "not valid YAML"},
    {"bad list entry", "public:\n  origins:\n    - https://a.example\n    - http//b\n", 4, 7,
     "http//b"},
    {"nested list entry", "cors:\n  methods: [GET, [PUT]]\n", 2, 18, "no text"},
    {"key that is a list", "[a, b]: c\n", 1, 1, "name of a key"},
    {"complex key", "session:\n  ? [a]\n  : b\n", 2, 5, "name of a key"},
    {"NUL in a text", "pages:\n  name: \"a\\0b\"\n", 2, 9, "NUL"},
    {"empty section name", "\"\": 5\n", 1, 1, "no key"},
};

static void
test_places(void)
{
    for (size_t i = 0; i < sizeof place_cases / sizeof place_cases[0]; i++) {
        const struct place_case *c = &place_cases[i];
        coat_config_error error = {0};
        coat_config *config = try_yaml(c->text, &error);

        test_case(c->name);
        CHECK(config == NULL);
        coat_config_free(config);
        CHECK_STR(error.file, "test.yaml");
        CHECK_INT(error.line, c->line);
        CHECK_INT(error.column, c->column);
        if (strstr(error.text, c->part) == NULL)
            test_fail(__FILE__, __LINE__, "says \"%s\"", error.text);
    }
}

static void
test_harmless_forms(void)
{
    static const char *const texts[] = {
        "",
        "# nothing\n",
        "---\n",
        "{}",
        "~",
        "session:\n",
        "session:\n  # all commented out\nlog:\n  level: debug\n",
        "\xef\xbb\xbflog: {level: debug}\n",
        "%YAML 1.1\n---\nlog: {level: debug}\n",
        "pages: {name: \"Ärzte & Söhne\"}\n",
        "cors: {origins: \"https://a.example, https://b.example\"}\n",
        "cors: {origins: []}\n",
        "log: {level: \"debug\"}\r\n",
    };

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        test_case(texts[i]);
        expect_accepted(texts[i]);
    }
}

static void
test_limits(void)
{
    size_t len = COAT_CONFIG_FILE_MAX + 1;
    char *text = malloc(len + 1);
    coat_config *config = NULL;
    coat_config_error error;

    REQUIRE(text != NULL);
    memset(text, '#', len);
    CHECK_ERR(coat_config_parse((coat_span){(uint8_t *)text, len}, "t", NULL, &config, &error),
              COAT_INVALID);
    CHECK(strstr(error.text, "larger than") != NULL);
    CHECK_ERR(
        coat_config_parse((coat_span){(uint8_t *)text, len - 1}, "t", NULL, &config, &error),
        COAT_OK);
    coat_config_free(config);
    /* Deep nesting ends at the first level that is no section. */
    memset(text, '[', 100000);
    config = NULL;
    CHECK_ERR(
        coat_config_parse((coat_span){(uint8_t *)text, 100000}, "t", NULL, &config, &error),
        COAT_INVALID);
    free(text);
}

static void
test_not_utf8(void)
{
    coat_config *config = NULL;
    coat_config_error error = {0};

    CHECK_ERR(
        coat_config_parse(COAT_LIT("pages: {name: \"\xff\"}"), "t", NULL, &config, &error),
        COAT_INVALID);
    CHECK_ERR(coat_config_parse(COAT_LIT("\xff\xfel\0o\0g\0"), "t", NULL, &config, &error),
              COAT_INVALID);
}

static void
write_text(const char *path, const char *text, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    REQUIRE(fd >= 0);
    REQUIRE(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    REQUIRE(fchmod(fd, mode) == 0);
    close(fd);
}

static void
test_files(void)
{
    const char *dir = test_tmpdir();
    char path[300], env_text[400];
    char *env[] = {env_text, NULL};
    coat_config_input input = {.file = path};
    coat_config_error error = {0};
    coat_config *config = NULL;

    (void)snprintf(path, sizeof path, "%s/missing.yaml", dir);
    CHECK_ERR(coat_config_load(&input, &config, &error), COAT_IO);
    CHECK_STR(error.file, path);
    (void)snprintf(path, sizeof path, "%s/c.yaml", dir);
    write_text(path, "log: {level: debug}\n", 0640);
    REQUIRE_OK(coat_config_load(&input, &config, &error));
    CHECK_STR(config->file, path);
    coat_config_free(config);
    config = NULL;
    /* The same by environment. */
    (void)snprintf(env_text, sizeof env_text, "COATCHECK_CONFIG=%s", path);
    input = (coat_config_input){.env = env};
    REQUIRE_OK(coat_config_load(&input, &config, &error));
    CHECK_INT(config->log_level, 0);
    coat_config_free(config);
    config = NULL;
    /* Others could write it: then they decide whom we trust. */
    write_text(path, "", 0666);
    CHECK_ERR(coat_config_load(&input, &config, &error), COAT_IO);
    CHECK(strstr(error.text, "chmod") != NULL);
    input.file = dir;
    CHECK_ERR(coat_config_load(&input, &config, &error), COAT_IO);
    CHECK(strstr(error.text, "regular file") != NULL);
}

static void
test_message(void)
{
    coat_config_error error = {0};
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);

    REQUIRE(out != NULL);
    CHECK(try_yaml("session:\n  idle-timeout: \"5\\x1b[31m\\nm\"\n", &error) == NULL);
    coat_config_error_print(&error, out);
    fclose(out);
    CHECK(strncmp(text, "test.yaml:2:17: session.idle-timeout: ", 38) == 0);
    CHECK(strchr(text, '\x1b') == NULL);
    CHECK(strchr(text, '\n') == text + len - 1);
    free(text);
}

static const coat_test tests[] = {
    {"UP-5: mistakes are refused with line, column and what is wrong", test_places},
    {"harmless forms of YAML are accepted", test_harmless_forms},
    {"a file over its limit and deep nesting are refused", test_limits},
    {"what is not UTF-8 is refused", test_not_utf8},
    {"ST-4: a configuration that others can write is refused", test_files},
    {"a message is one line and harmless", test_message},
};
COAT_TEST_MAIN(tests)
