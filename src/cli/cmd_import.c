/* SPDX-License-Identifier: Apache-2.0 */
/* user import: a file of NAME:HASH lines. */
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/table.h"

#include "core/bytes.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>

enum { LINE_MAX_BYTES = 1024, LINES_MAX = 1000000 };

typedef struct tally {
    size_t lines, added, existing, refused;
} tally;

static void
complain(const char *file, size_t line, const char *text)
{
    (void)fprintf(stderr, "%s:%zu: %s\n", file, line, text);
}

/* @return false if there is no use in going on */
static bool
import_line(coat_client *client, const coat_args *args, json_t *roles, char *line, tally *t)
{
    const char *file = args->words[0], *kind;
    char *colon = strchr(line, ':'), message[200];
    json_t *answer = NULL;
    unsigned status;
    bool go_on = true;

    if (colon == NULL) {
        complain(file, t->lines, "no ':' between name and hash");
        t->refused++;
        return true;
    }
    *colon = '\0';
    colon[1 + strcspn(colon + 1, ":")] = '\0'; /* further fields, as in passwd files */
    if (coat_hash_check(coat_span_of(colon + 1), &kind, message, sizeof message) != COAT_OK) {
        complain(file, t->lines, message);
        t->refused++;
        return true;
    }
    if (client == NULL) {
        t->added++;
        return true;
    }
    status = coat_client_ask(
        client, "POST", "/v1/accounts",
        json_pack("{s:s,s:s,s:O}", "name", line, "hash", colon + 1, "roles", roles), &answer);
    if (status == 201) {
        t->added++;
    } else if (status == 409) {
        t->existing++;
    } else {
        t->refused++;
        complain(file, t->lines, "refused:");
        go_on = coat_client_fail(status, answer, line) == COAT_EXIT_FAILED && status < 500;
    }
    json_decref(answer);
    return go_on;
}

static bool
import_all(FILE *in, coat_client *client, const coat_args *args, tally *t)
{
    char line[LINE_MAX_BYTES];
    json_t *roles = json_array();
    const char *role;
    bool fine = true;

    for (size_t n = 0; (role = coat_args_nth(args, "--role", n)) != NULL; n++)
        (void)json_array_append_new(roles, json_string(role));
    while (fine && fgets(line, sizeof line, in) != NULL) {
        size_t len = strcspn(line, "\r\n");

        t->lines++;
        if (line[len] == '\0' && !feof(in)) {
            complain(args->words[0], t->lines, "line over 1023 bytes");
            fine = false;
            break;
        }
        line[len] = '\0';
        if (len > 0 && line[0] != '#')
            fine = t->lines <= LINES_MAX && import_line(client, args, roles, line, t);
        if (t->lines % 100 == 0)
            coat_progress("imported", t->added, false);
    }
    sodium_memzero(line, sizeof line);
    json_decref(roles);
    return fine;
}

int
coat_cmd_user_import(const coat_args *args)
{
    bool dry = coat_args_option(args, "--dry-run") != NULL;
    FILE *in = strcmp(args->words[0], "-") == 0 ? stdin : fopen(args->words[0], "re");
    coat_client *client = NULL;
    tally t = {0};
    bool fine;
    int code = COAT_EXIT_OK;

    if (in == NULL) {
        (void)fprintf(stderr, "coatcheck: %s: %s\n", args->words[0], strerror(errno));
        return COAT_EXIT_USAGE;
    }
    if (!dry)
        client = coat_client_open(args, &code);
    if (dry || client != NULL) {
        fine = import_all(in, client, args, &t);
        coat_progress("imported", t.added, true);
        if (args->json)
            (void)printf("{\"added\":%zu,\"existing\":%zu,\"refused\":%zu}\n", t.added,
                         t.existing, t.refused);
        else
            (void)printf("%zu %s, %zu there already, %zu refused\n", t.added,
                         dry ? "could be added" : "added", t.existing, t.refused);
        code = fine && t.refused == 0 ? COAT_EXIT_OK : COAT_EXIT_FAILED;
    }
    coat_client_close(client);
    if (in != stdin)
        (void)fclose(in);
    return code;
}
