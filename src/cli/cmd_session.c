/* SPDX-License-Identifier: Apache-2.0 */
/* session list, show, end, end-all. */
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/list.h"
#include "cli/table.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const coat_column columns[] = {
    {"HANDLE", "handle", COAT_CELL_TEXT},      {"USER", "user", COAT_CELL_TEXT},
    {"CREATED", "created_ms", COAT_CELL_TIME}, {"LAST USE", "seen_ms", COAT_CELL_TIME},
    {"ENDS", "ends_ms", COAT_CELL_TIME},       {"ADDRESS", "address", COAT_CELL_TEXT},
    {"DEVICE", "agent", COAT_CELL_TEXT},
};

static const coat_column details[] = {
    {"Handle", "handle", COAT_CELL_TEXT},
    {"User", "user", COAT_CELL_TEXT},
    {"Roles", "roles", COAT_CELL_WORDS},
    {"Methods", "methods", COAT_CELL_WORDS},
    {"Remembered", "remember", COAT_CELL_TEXT},
    {"Created", "created_ms", COAT_CELL_TIME},
    {"Authenticated", "authenticated_ms", COAT_CELL_TIME},
    {"Last use", "seen_ms", COAT_CELL_TIME},
    {"Ends", "ends_ms", COAT_CELL_TIME},
    {"Address", "address", COAT_CELL_TEXT},
    {"Browser", "user_agent", COAT_CELL_TEXT},
};

int
coat_cmd_session_list(const coat_args *args)
{
    const char *user = coat_args_option(args, "--user");
    char *path =
        user != NULL ? coat_client_path("/v1/users/%s/sessions", user) : strdup("/v1/sessions");
    int code = coat_list(args, path, "sessions", columns, sizeof columns / sizeof columns[0]);

    free(path);
    return code;
}

int
coat_cmd_session_show(const coat_args *args)
{
    char *path = coat_client_path("/v1/sessions/%s", args->words[0]);
    int code =
        coat_show(args, path, args->words[0], details, sizeof details / sizeof details[0]);

    free(path);
    return code;
}

int
coat_cmd_session_end(const coat_args *args)
{
    char *path = coat_client_path("/v1/sessions/%s/end", args->words[0]);
    int code = coat_do(args, "POST", path, NULL, args->words[0], "session ended");

    free(path);
    return code;
}

static bool
confirmed(const coat_args *args)
{
    char line[16] = "";

    if (coat_args_option(args, "--yes") != NULL)
        return true;
    if (!isatty(STDIN_FILENO)) {
        (void)fprintf(stderr, "coatcheck: this signs everybody out: add --yes\n");
        return false;
    }
    (void)fprintf(stderr, "Sign everybody out? Type yes: ");
    return fgets(line, sizeof line, stdin) != NULL && strcmp(line, "yes\n") == 0;
}

int
coat_cmd_session_end_all(const coat_args *args)
{
    const char *user = coat_args_option(args, "--user");
    char *path;
    int code;

    if (user == NULL && !confirmed(args))
        return COAT_EXIT_USAGE;
    path = user != NULL ? coat_client_path("/v1/users/%s/end-sessions", user)
                        : strdup("/v1/end-all");
    code = coat_do(args, "POST", path, NULL, user != NULL ? user : "all",
                   user != NULL ? "all sessions of the user ended"
                                : "all sessions of everybody ended");
    free(path);
    return code;
}
