/* SPDX-License-Identifier: Apache-2.0 */
#include "coat_test.h"

#include "core/bytes.h"
#include "server/pages/pages.h"

#include <stdlib.h>
#include <sys/stat.h>

static const char *logo_path;

static coat_pages *
load(const char *dir, const char *language, char message[400])
{
    coat_pages_conf conf = {dir, language, "Cloak & Room", "/auth", logo_path};
    coat_pages *pages = NULL;

    message[0] = '\0';
    if (coat_pages_load(&conf, &pages, message, 400) != COAT_OK)
        return NULL;
    return pages;
}

static void
write_file(const char *dir, const char *name, const char *text)
{
    char path[512];
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    file = fopen(path, "w");
    REQUIRE(file != NULL);
    fputs(text, file);
    fclose(file);
}

static json_t *
page_data(void)
{
    return json_pack("{s:s,s:s,s:s,s:[{s:s,s:s,s:b}]}", "title", "T<1>", "user", "a\"b", "csrf",
                     "TOKEN", "sessions", "agent", "Firefox on Linux", "handle", "H", "current",
                     1);
}

static void
all_pages_render(void)
{
    static const char *const names[] = {"login", "reauth", "sessions", "password", "message"};
    char message[400];
    coat_pages *pages = load(NULL, "en", message);

    REQUIRE(pages != NULL);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        json_t *data = page_data();
        char *out = NULL;
        size_t len;

        test_case(names[i]);
        CHECK_ERR(coat_pages_render(pages, names[i], data, &out, &len), COAT_OK);
        if (out != NULL) {
            CHECK(strncmp(out, "<!doctype html>", 15) == 0);
            CHECK(strstr(out, "<html lang=\"en\">") != NULL);
            CHECK(strstr(out, "<h1>T&lt;1&gt;</h1>") != NULL);
            CHECK(strstr(out, "Cloak &amp; Room") != NULL);
            CHECK(strstr(out, "</html>") != NULL);
            CHECK(strstr(out, "{{") == NULL);
            /* the strict policy forbids all of these */
            CHECK(strstr(out, "<script") == NULL);
            CHECK(strstr(out, " style=") == NULL);
            CHECK(strstr(out, " onclick=") == NULL);
        }
        free(out);
        json_decref(data);
    }
    coat_pages_free(pages);
}

static void
operator_replaces(void)
{
    const char *dir = test_tmpdir();
    char message[400], texts[512];
    coat_pages *pages, *builtin = load(NULL, "en", message);
    json_t *data = page_data();
    char *out = NULL;
    size_t len;

    snprintf(texts, sizeof texts, "%s/texts", dir);
    REQUIRE(mkdir(texts, 0700) == 0);
    write_file(dir, "login.html", "<p>{{t.sign_in}} {{t.password}} {{site_name}}</p>{{>foot}}");
    write_file(dir, "style.css", "body{}");
    write_file(dir, "texts/de.json", "{\"lang\":\"de\",\"sign_in\":\"Anmelden\"}");
    pages = load(dir, "de", message);
    REQUIRE(pages != NULL && builtin != NULL);
    REQUIRE_OK(coat_pages_render(pages, "login", data, &out, &len));
    CHECK(strstr(out, "<p>Anmelden Password Cloak &amp; Room</p>") != NULL);
    CHECK(strstr(out, "</html>") != NULL); /* the built-in foot */
    CHECK_MEM(coat_pages_asset(pages, COAT_LIT("style.css"))->bytes.ptr, 6, "body{}", 6);
    CHECK(strcmp(coat_pages_asset(pages, COAT_LIT("style.css"))->version,
                 coat_pages_asset(builtin, COAT_LIT("style.css"))->version) != 0);
    CHECK_STR(coat_pages_asset(pages, COAT_LIT("logo"))->version,
              coat_pages_asset(builtin, COAT_LIT("logo"))->version);
    CHECK(coat_pages_asset(pages, COAT_LIT("login.html")) == NULL);
    free(out);
    json_decref(data);
    coat_pages_free(pages);
    coat_pages_free(builtin);
}

static const struct bad_case {
    const char *name, *file, *text, *language, *says;
} bad_cases[] = {
    {"template fault", "login.html", "a\n{{#x}}", "en",
     "login.html:2: a section is not closed"},
    {"unknown partial", "message.html", "{{>nobody}}", "en", "message.html:1:"},
    {"language without texts", "x", "", "de", "texts/de.json"},
    {"language that is a path", "x", "", "../x", "no texts for language"},
    {"texts not JSON", "texts/de.json", "{", "de", "texts/de.json:1:"},
    {"texts with a number", "texts/de.json", "{\"sign_in\":1}", "de", "must be a text"},
    {"texts with a key twice", "texts/de.json", "{\"a\":\"\",\"a\":\"\"}", "de", "duplicate"},
};

static void
bad_files_are_named(void)
{
    for (size_t i = 0; i < sizeof bad_cases / sizeof bad_cases[0]; i++) {
        const struct bad_case *c = &bad_cases[i];
        const char *dir = test_tmpdir();
        char message[400], texts[512];
        coat_pages *pages;

        test_case(c->name);
        snprintf(texts, sizeof texts, "%s/texts", dir);
        REQUIRE(mkdir(texts, 0700) == 0);
        write_file(dir, c->file, c->text);
        pages = load(dir, c->language, message);
        CHECK(pages == NULL);
        if (strstr(message, c->says) == NULL)
            test_fail(__FILE__, __LINE__, "message is: %s", message);
        coat_pages_free(pages);
    }
}

static void
operator_logo(void)
{
    static const struct {
        const char *file, *says; /* says NULL: fine */
    } cases[] = {
        {"logo.png", NULL},
        {"logo.svg", NULL},
        {"logo.gif", "must end in .svg or .png"},
        {"absent.png", "cannot be read"},
    };
    const char *dir = test_tmpdir();
    char message[400], path[512];

    write_file(dir, "logo.png", "PNG");
    write_file(dir, "logo.svg", "<svg/>");
    write_file(dir, "logo.gif", "GIF");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        coat_pages *pages;

        test_case(cases[i].file);
        snprintf(path, sizeof path, "%s/%s", dir, cases[i].file);
        logo_path = path;
        pages = load(NULL, "en", message);
        CHECK((pages != NULL) == (cases[i].says == NULL));
        if (pages != NULL)
            CHECK_INT(coat_pages_asset(pages, COAT_LIT("logo"))->type,
                      strstr(path, ".png") != NULL ? COAT_HTTP_PNG : COAT_HTTP_SVG);
        else
            CHECK(strstr(message, cases[i].says) != NULL);
        coat_pages_free(pages);
    }
    logo_path = NULL;
}

static const struct ago_case {
    int64_t when_ms;
    const char *want;
} ago_cases[] = {
    {1000000000, "just now"},
    {1000000000 - 59999, "just now"},
    {1000000000 - 60000, "1 minute ago"},
    {1000000000 - 300000, "5 minutes ago"},
    {1000000000 - 3600000, "1 hour ago"},
    {1000000000 - 2 * 86400000, "2 days ago"},
    {1000000000 + 7200000, "in 2 hours"},
    {1000000000 + 86400000, "in 1 day"},
};

static void
times_in_words(void)
{
    char message[400], buf[64], iso[24];
    coat_pages *pages = load(NULL, "en", message);

    REQUIRE(pages != NULL);
    for (size_t i = 0; i < sizeof ago_cases / sizeof ago_cases[0]; i++) {
        coat_pages_ago(pages, ago_cases[i].when_ms, 1000000000, buf, sizeof buf);
        CHECK_STR(buf, ago_cases[i].want);
    }
    coat_iso_time(1700000000123, iso);
    CHECK_STR(iso, "2023-11-14T22:13:20Z");
    CHECK_STR(coat_pages_text(pages, "no_such_key"), "no_such_key");
    coat_pages_free(pages);
}

static size_t
count_of(const char *text, const char *what)
{
    size_t count = 0;

    for (; (text = strstr(text, what)) != NULL; text++)
        count++;
    return count;
}

/** No two buttons that do the same: this device is signed out below the list, and everywhere is
 * offered where it is more than that. */
static void
ways_out(void)
{
    static const struct {
        const char *name;
        const char *current; /* a letter a device: y, n */
        bool others;
        size_t ends, everywhere;
    } cases[] = {
        {"one", "y", false, 0, 0},
        {"two", "yn", true, 1, 1},
        {"three, this one in the middle", "nyn", true, 2, 1},
        {"a page without this one", "nn", true, 2, 1},
    };
    char message[400];
    coat_pages *pages = load(NULL, "en", message);

    REQUIRE(pages != NULL);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        json_t *list = json_array(), *data;
        char *out = NULL;
        size_t len;

        test_case(cases[i].name);
        for (const char *c = cases[i].current; *c != '\0'; c++)
            (void)json_array_append_new(list, json_pack("{s:s,s:s,s:b}", "agent", "Firefox",
                                                        "handle", "H", "current", *c == 'y'));
        data = json_pack("{s:s,s:s,s:o,s:b}", "title", "T", "csrf", "TOKEN", "sessions", list,
                         "others", (int)cases[i].others);
        REQUIRE_OK(coat_pages_render(pages, "sessions", data, &out, &len));
        CHECK_INT(count_of(out, "/sessions/H/end\""), cases[i].ends);
        CHECK_INT(count_of(out, "/logout\""), 1);
        CHECK_INT(count_of(out, "/logout-all\""), cases[i].everywhere);
        CHECK_INT(count_of(out, "<button"), cases[i].ends + 1 + cases[i].everywhere);
        CHECK_INT(count_of(out, "value=\"TOKEN\""), count_of(out, "<button"));
        free(out);
        json_decref(data);
    }
    test_case(NULL);
    coat_pages_free(pages);
}

static const coat_test tests[] = {
    {"pages: all render without script or inline style", all_pages_render},
    {"pages: the operator's files replace ours one by one", operator_replaces},
    {"pages: a bad file is named with its line", bad_files_are_named},
    {"pages: the operator's logo, SVG or PNG", operator_logo},
    {"pages: times in words", times_in_words},
    {"LC-12: as many ways to sign out as there are things to be signed out", ways_out},
};
COAT_TEST_MAIN(tests)
