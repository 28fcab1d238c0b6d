/* SPDX-License-Identifier: Apache-2.0 */
/* user add, list, show, passwd, roles, disable, enable, delete. */
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/list.h"
#include "cli/secret.h"
#include "cli/table.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

static const coat_column columns[] = {
    {"NAME", "name", COAT_CELL_TEXT},
    {"ROLES", "roles", COAT_CELL_WORDS},
    {"DISABLED", "disabled", COAT_CELL_YES},
    {"PASSWORD", "hash", COAT_CELL_TEXT},
    {"CREATED", "created_ms", COAT_CELL_TIME},
    {"LAST SIGN-IN", "last_login_ms", COAT_CELL_TIME},
};

static json_t *
roles_of(const coat_args *args)
{
    json_t *roles = json_array();
    const char *role;

    for (size_t n = 0; (role = coat_args_nth(args, "--role", n)) != NULL; n++)
        (void)json_array_append_new(roles, json_string(role));
    return roles;
}

/* The password into the request: typed twice, or a line of standard input. */
static bool
add_password(const coat_args *args, json_t *body)
{
    char password[COAT_PASSWORD_MAX + 2];
    size_t len = 0;
    bool fine = coat_args_option(args, "--password-stdin") != NULL
                    ? coat_secret_line(password, sizeof password, &len)
                    : coat_secret_ask("Password: ", true, password, sizeof password, &len);

    if (fine)
        (void)json_object_set_new(body, "password", json_stringn(password, len));
    if (fine && json_object_get(body, "password") == NULL) {
        (void)fprintf(stderr, "coatcheck: the password is not valid UTF-8\n");
        fine = false;
    }
    sodium_memzero(password, sizeof password);
    return fine;
}

int
coat_cmd_user_add(const coat_args *args)
{
    json_t *body = json_pack("{s:s,s:o}", "name", args->words[0], "roles", roles_of(args));

    if (body == NULL || !add_password(args, body)) {
        json_decref(body);
        return COAT_EXIT_USAGE;
    }
    return coat_do(args, "POST", "/v1/accounts", body, args->words[0], "added");
}

int
coat_cmd_user_list(const coat_args *args)
{
    return coat_list(args, "/v1/accounts", "accounts", columns,
                     sizeof columns / sizeof columns[0]);
}

int
coat_cmd_user_show(const coat_args *args)
{
    char *path = coat_client_path("/v1/accounts/%s", args->words[0]);
    int code =
        coat_show(args, path, args->words[0], columns, sizeof columns / sizeof columns[0]);

    free(path);
    return code;
}

/* POST or DELETE on one account. */
static int
act(const coat_args *args, const char *method, const char *format, json_t *body,
    const char *done)
{
    char *path = coat_client_path(format, args->words[0]);
    int code = coat_do(args, method, path, body, args->words[0], done);

    free(path);
    return code;
}

int
coat_cmd_user_passwd(const coat_args *args)
{
    bool keep = coat_args_option(args, "--keep-sessions") != NULL;
    json_t *body = json_pack("{s:b}", "keep_sessions", (int)keep);

    if (body == NULL || !add_password(args, body)) {
        json_decref(body);
        return COAT_EXIT_USAGE;
    }
    return act(args, "POST", "/v1/accounts/%s/password", body,
               keep ? "password set" : "password set, sessions ended");
}

int
coat_cmd_user_roles(const coat_args *args)
{
    return act(args, "POST", "/v1/accounts/%s/roles",
               json_pack("{s:o}", "roles", roles_of(args)), "roles set, sessions ended");
}

int
coat_cmd_user_disable(const coat_args *args)
{
    return act(args, "POST", "/v1/accounts/%s/disable", NULL, "disabled, sessions ended");
}

int
coat_cmd_user_enable(const coat_args *args)
{
    return act(args, "POST", "/v1/accounts/%s/enable", NULL, "enabled");
}

int
coat_cmd_user_delete(const coat_args *args)
{
    return act(args, "DELETE", "/v1/accounts/%s", NULL, "deleted, sessions ended");
}
