/* SPDX-License-Identifier: Apache-2.0 */
/* The reference for operators, the default dump and the example file, all from keys.def. */
#include "server/config/internal.h"
#include "server/http/http.h"
#include "server/log/log.h"

#include <coatcheck/target.h>

static const char head[] =
    "# Configuration\n"
    "\n"
    "This page is generated from the table that the program itself uses; a test compares "
    "them.\n"
    "\n"
    "coatcheck works without any configuration. What you want to change goes into a YAML "
    "file,\n"
    "`" COAT_CONFIG_FILE_DEFAULT "` or the one named by `--config` or `COATCHECK_CONFIG`:\n"
    "\n"
    "```yaml\n"
    "listeners:\n"
    "  - address: unix:/run/coatcheck/http.sock\n"
    "    dialect: nginx\n"
    "    group: www-data\n"
    "public:\n"
    "  origins: [https://app.example.com]\n"
    "session:\n"
    "  idle-timeout: 15m\n"
    "```\n"
    "\n"
    "Every key can also be given by environment variable or flag: `session.idle-timeout` is\n"
    "`COATCHECK_SESSION_IDLE_TIMEOUT=15m` or `--session.idle-timeout=15m`. A flag wins over a\n"
    "variable, a variable over the file, the file over the default. Lists are separated by "
    "commas\n"
    "there. Keys that do not exist, keys that stand twice, values out of range and settings "
    "that\n"
    "contradict each other are refused before anything is opened, with file, line and column.\n"
    "`coatcheck config check` tries a configuration; `coatcheck config show` prints the "
    "effective\n"
    "values and where each one comes from.\n"
    "\n"
    "Durations are one number and one unit (`250ms`, `10s`, `30m`, `12h`, `30d`), sizes "
    "likewise\n"
    "(`4096`, `16KiB`, `19MiB`, `64GiB`). No key takes a secret: secrets lie in files, which "
    "must\n"
    "be mode 0600, in a directory of mode 0700, and belong to the user coatcheck runs as.\n"
    "\n"
    "\"Reload\" says whether a change holds after `systemctl reload` (SIGHUP) or needs a "
    "restart.\n";

static const char listeners_text[] =
    "\n"
    "## Listeners\n"
    "\n"
    "Each entry of `listeners` is a mapping, or its short form in one text:\n"
    "`127.0.0.1:8080;dialect=nginx;trusted=127.0.0.1/32`.\n"
    "\n"
    "| field | values | default | meaning |\n"
    "| --- | --- | --- | --- |\n"
    "| `address` | `127.0.0.1:8080`, `[::1]:8080`, `unix:/path`, `fd:NAME` | required | where "
    "to "
    "listen; `fd:NAME` takes the systemd socket of that name |\n"
    "| `dialect` | `none`, `nginx`, `forwarded`, `envoy`, `module` | `none` | the forwarding "
    "headers "
    "that are understood: exactly one dialect a listener. `forwarded` is for Caddy, "
    "HAProxy, Apache and Traefik, `module` for the nginx module |\n"
    "| `trusted` | list of networks, at most /8 (IPv4) or /16 (IPv6) wide | empty | direct "
    "peers "
    "whose forwarding headers are believed. On a Unix socket with a dialect every peer is: its "
    "mode and group decide who that can be |\n"
    "| `mode` | `0600`, `0660` | `0600`, with a group `0660` | mode of a Unix socket |\n"
    "| `group` | name | empty | group of a Unix socket |\n";

static const char passwords_text[] = "\n"
                                     "Least memory of password hashes: 47104KiB with 1 pass, "
                                     "19456KiB with 2, 12288KiB with 3 or\n"
                                     "more (OWASP). Weaker settings are refused. A new "
                                     "password has at least %d characters and at\n"
                                     "most %d bytes.\n";

/* Markdown table cells must not hold a bare '|'. */
static void
cell(FILE *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '|')
            (void)fputc('\\', out);
        (void)fputc(*text, out);
    }
}

static void
print_number(const coat_key *key, int64_t value, FILE *out)
{
    char buf[32];

    if (key->type == COAT_KEY_TYPE_DURATION)
        coat_duration_format(value, buf, sizeof buf);
    else if (key->type == COAT_KEY_TYPE_SIZE)
        coat_size_format(value, buf, sizeof buf);
    else
        (void)snprintf(buf, sizeof buf, "%lld", (long long)value);
    (void)fputs(buf, out);
}

static void
print_range(const coat_key *key, FILE *out)
{
    switch (key->type) {
    case COAT_KEY_TYPE_INT:
    case COAT_KEY_TYPE_DURATION:
    case COAT_KEY_TYPE_SIZE:
        print_number(key, key->least, out);
        (void)fputs(" to ", out);
        print_number(key, key->most, out);
        break;
    case COAT_KEY_TYPE_BOOL:
        (void)fputs("`true`, `false`", out);
        break;
    case COAT_KEY_TYPE_MODE:
        (void)fputs("`0600`, `0660`", out);
        break;
    case COAT_KEY_TYPE_ENUM:
        for (const char *p = key->words; *p != '\0';) {
            size_t len = strcspn(p, "|");

            (void)fprintf(out, "%s`%.*s`", p == key->words ? "" : ", ", (int)len, p);
            p += len + (p[len] == '|');
        }
        break;
    case COAT_KEY_TYPE_STRINGS:
    case COAT_KEY_TYPE_ORIGINS:
    case COAT_KEY_TYPE_LISTENERS:
        (void)fprintf(out, "list of %s, at most %lld",
                      key->type == COAT_KEY_TYPE_ORIGINS     ? "origins"
                      : key->type == COAT_KEY_TYPE_LISTENERS ? "listeners"
                                                             : "texts",
                      (long long)key->most);
        break;
    case COAT_KEY_TYPE_STRING:
    case COAT_KEY_TYPE_PATH:
        (void)fputs(key->type == COAT_KEY_TYPE_PATH ? "path" : "text", out);
        break;
    }
}

static void
print_row(const coat_key *key, FILE *out)
{
    (void)fprintf(out, "| `%s` | ", key->path);
    if (key->initial[0] != '\0')
        (void)fprintf(out, "`%s`", key->initial);
    else
        (void)fputs("empty", out);
    (void)fputs(" | ", out);
    print_range(key, out);
    (void)fprintf(out, " | %s | ", key->live ? "yes" : "no");
    cell(out, key->text);
    (void)fputs(" |\n", out);
}

static void
print_limits(FILE *out)
{
    const struct {
        const char *what;
        long value;
    } rows[] = {
        {"request line, bytes", COAT_HTTP_LINE_MAX},
        {"header section, bytes", COAT_HTTP_HEADER_MAX},
        {"header fields", COAT_HTTP_FIELDS_MAX},
        {"`Cookie` lines together, bytes", COAT_COOKIE_HEADER_MAX},
        {"request body, bytes", COAT_HTTP_BODY_MAX},
        {"return target, bytes", COAT_TARGET_MAX},
        {"account name, bytes", COAT_NAME_MAX},
        {"password, bytes", COAT_PASSWORD_MAX},
        {"roles of a user, bytes", COAT_ROLES_MAX},
        {"entries of a list in one answer", COAT_STORE_LIST_MAX},
        {"log and audit lines waiting", COAT_LOG_RING_MAX},
        {"audit events of one type a second, before they are summed up", COAT_LOG_FLOOD_MAX},
        {"length of a log line, bytes", COAT_LOG_LINE_MAX},
        {"configuration file, bytes", COAT_CONFIG_FILE_MAX},
    };

    (void)fputs("\n## Limits that are fixed\n\n| what | limit |\n| --- | --- |\n", out);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        (void)fprintf(out, "| %s | %ld |\n", rows[i].what, rows[i].value);
}

void
coat_config_docs(FILE *out)
{
    (void)fputs(head, out);
    for (size_t i = 0; i < COAT_KEYS_COUNT; i++) {
        if (coat_key_title(i) != NULL)
            (void)fprintf(out,
                          "\n## %s\n\n| key | default | values | reload | meaning |\n"
                          "| --- | --- | --- | --- | --- |\n",
                          coat_key_title(i));
        print_row(coat_key_at(i), out);
        if (i == COAT_INDEX_hash_wait_ms)
            (void)fprintf(out, passwords_text, COAT_PASSWORD_MIN, COAT_PASSWORD_MAX);
    }
    (void)fputs(listeners_text, out);
    print_limits(out);
}

void
coat_config_defaults(FILE *out)
{
    for (size_t i = 0; i < COAT_KEYS_COUNT; i++)
        (void)fprintf(out, "%s=%s\n", coat_key_at(i)->path, coat_key_at(i)->initial);
}

/* Comments in the example break at this column, between words. */
static void
print_comment(const char *text, FILE *out)
{
    enum { WIDTH = 88 };

    while (*text != '\0') {
        size_t len = strlen(text);

        if (len > WIDTH) {
            len = WIDTH;
            while (text[len] != ' ')
                len--;
        }
        (void)fprintf(out, "  # %.*s\n", (int)len, text);
        text += len + (text[len] == ' ');
    }
}

void
coat_config_example(FILE *out)
{
    char section[64] = "";

    (void)fputs(
        "# Example configuration of coatcheck. Everything is at its default and commented "
        "out.\n# Reference: configuration.md. Try it: coatcheck config check\n",
        out);
    for (size_t i = 0; i < COAT_KEYS_COUNT; i++) {
        const coat_key *key = coat_key_at(i);
        const char *dot = strchr(key->path, '.');
        size_t len = dot != NULL ? (size_t)(dot - key->path) : 0;

        if (dot == NULL) {
            (void)fprintf(out, "\n# %s:\n", key->path);
            print_comment("Where to listen; dialect and trusted name the proxy in front.", out);
            (void)fprintf(out, "#  - address: unix:/run/coatcheck/http.sock\n"
                               "#    dialect: nginx\n#    group: www-data\n");
            continue;
        }
        if (strncmp(section, key->path, len) != 0 || section[len] != '\0') {
            (void)snprintf(section, sizeof section, "%.*s", (int)len, key->path);
            (void)fprintf(out, "\n%s:\n", section);
        }
        print_comment(key->text, out);
        if (coat_key_is_list(key))
            (void)fprintf(out, "  #%s: [%s]\n", dot + 1, key->initial);
        else if (key->initial[0] == '\0' || strchr(key->initial, '{') != NULL)
            (void)fprintf(out, "  #%s: \"%s\"\n", dot + 1, key->initial);
        else
            (void)fprintf(out, "  #%s: %s\n", dot + 1, key->initial);
    }
}
