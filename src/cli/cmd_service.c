/* SPDX-License-Identifier: Apache-2.0 */
/* status, keys, reload, completion. */
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/list.h"
#include "cli/table.h"

#include <stdlib.h>
#include <string.h>

static long long
number(const json_t *object, const char *a, const char *b)
{
    return (long long)json_integer_value(json_object_get(json_object_get(object, a), b));
}

static void
print_status(const json_t *s, bool daemon)
{
    const json_t *store = json_object_get(s, "store");

    (void)printf("coatcheck %s, %s%lld\n", json_string_value(json_object_get(s, "version")),
                 daemon ? "daemon with process id " : "no daemon running; process id ",
                 (long long)json_integer_value(json_object_get(s, "pid")));
    (void)printf("store:    %s, %lld sessions, %lld accounts, %lld KiB used%s\n",
                 json_string_value(json_object_get(store, "kind")),
                 number(s, "store", "sessions"), number(s, "store", "accounts"),
                 number(s, "store", "bytes_used") / 1024,
                 json_is_true(json_object_get(store, "full")) ? ", FULL" : "");
    if (json_is_false(json_object_get(json_object_get(s, "engine"), "issuing")))
        (void)printf("clock:    %lld s from the store's: NOBODY CAN SIGN IN here\n",
                     number(s, "engine", "clock_offset_ms") / 1000);
    (void)printf("table:    %lld of %lld slots used\n", number(s, "engine", "table_used"),
                 number(s, "engine", "table_slots"));
    (void)printf(
        "sessions: %lld created, %lld ended, %lld expired, %lld rotated, %lld reused\n",
        number(s, "engine", "created"), number(s, "engine", "ended"),
        number(s, "engine", "expired"), number(s, "engine", "rotated"),
        number(s, "engine", "reused"));
    (void)printf("store errors: %lld; audit log %s\n", number(s, "engine", "store_errors"),
                 json_is_true(json_object_get(s, "audit_writable")) ? "writable"
                                                                    : "NOT WRITABLE");
}

int
coat_cmd_status(const coat_args *args)
{
    int code;
    coat_client *client = coat_client_open(args, &code);
    json_t *answer = NULL;
    unsigned status;

    if (client == NULL)
        return code;
    status = coat_client_ask(client, "GET", "/v1/status", NULL, &answer);
    if (status != 200) {
        code = coat_client_fail(status, answer, "status");
    } else if (args->json) {
        (void)json_dumpf(answer, stdout, JSON_INDENT(2));
        (void)printf("\n");
    } else {
        print_status(answer, coat_client_is_daemon(client));
    }
    if (status == 200)
        code = coat_client_is_daemon(client) ? COAT_EXIT_OK : COAT_EXIT_NO_DAEMON;
    json_decref(answer);
    coat_client_close(client);
    return code;
}

int
coat_cmd_keys_rotate(const coat_args *args)
{
    return coat_do(args, "POST", "/v1/keys/rotate", NULL, "keys",
                   "a new key signs; the former one stays valid until the next rotation");
}

int
coat_cmd_reload(const coat_args *args)
{
    return coat_do(args, "POST", "/v1/reload", NULL, "configuration", "reloaded");
}

/* From the table of commands, so that it never falls behind. */
int
coat_cmd_completion(const coat_args *args)
{
    (void)args;
    (void)printf("# bash completion for coatcheck; source it, or put it into\n"
                 "# /usr/share/bash-completion/completions/coatcheck\n"
                 "_coatcheck() {\n"
                 "    local cur=${COMP_WORDS[COMP_CWORD]} first=${COMP_WORDS[1]} words=\n"
                 "    if [ \"$COMP_CWORD\" = 1 ]; then\n        words=\"");
    for (size_t i = 0; i < coat_commands_count; i++) {
        size_t len = strcspn(coat_commands[i].name, " ");

        if (i == 0 || strncmp(coat_commands[i - 1].name, coat_commands[i].name, len) != 0 ||
            coat_commands[i - 1].name[len] != ' ')
            (void)printf("%.*s ", (int)len, coat_commands[i].name);
    }
    (void)printf(
        "help\"\n    else\n        case \"$first${COMP_WORDS[2]:+ ${COMP_WORDS[2]}}\" in\n");
    for (size_t i = 0; i < coat_commands_count; i++) {
        const char *at = coat_commands[i].options;

        /* What follows a command of one word may be an option already. */
        (void)printf("        \"%s\"%s) words=\"", coat_commands[i].name,
                     strchr(coat_commands[i].name, ' ') != NULL ? "" : "*");
        while (*at != '\0') {
            size_t n = strcspn(at, "|"), name = strcspn(at, "=|");

            (void)printf("%.*s%s ", (int)name, at, name < n ? "=" : "");
            at += n + (at[n] == '|');
        }
        (void)printf("--json --config --help\" ;;\n");
    }
    (void)printf(
        "        esac\n        if [ \"$COMP_CWORD\" = 2 ]; then\n            case $first in\n");
    for (size_t i = 0; i < coat_commands_count; i++) {
        size_t len = strcspn(coat_commands[i].name, " ");
        const char *name = coat_commands[i].name;

        if (name[len] == ' ')
            (void)printf("            %.*s) words=\"$words %s\" ;;&\n", (int)len, name,
                         name + len + 1);
    }
    (void)printf("            esac\n        fi\n    fi\n"
                 "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n"
                 "}\ncomplete -o default -F _coatcheck coatcheck\n");
    return COAT_EXIT_OK;
}
