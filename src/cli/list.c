/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/list.h"

#include "cli/client.h"

#include <stdlib.h>
#include <string.h>

static void
print_json(const json_t *json)
{
    (void)json_dumpf(json, stdout, JSON_INDENT(2));
    (void)printf("\n");
}

static int
no_path(const char *what)
{
    (void)fprintf(stderr, "coatcheck: %s: too long\n", what);
    return COAT_EXIT_USAGE;
}

/* @return an exit code; fills all */
static int
fetch(coat_client *client, const char *path, const char *member, json_t *all)
{
    char *next = NULL;
    int code = COAT_EXIT_OK;

    do {
        char page[1200];
        json_t *answer = NULL;
        unsigned status;

        (void)snprintf(page, sizeof page, "%s?limit=1000%s%s", path,
                       next != NULL ? "&after=" : "", next != NULL ? next : "");
        status = coat_client_ask(client, "GET", page, NULL, &answer);
        free(next);
        next = NULL;
        if (status != 200) {
            code = coat_client_fail(status, answer, member);
        } else {
            const char *cursor = json_string_value(json_object_get(answer, "next"));

            (void)json_array_extend(all, json_object_get(answer, member));
            next = cursor != NULL ? strdup(cursor) : NULL;
            if (next != NULL)
                coat_progress(member, json_array_size(all), false);
        }
        json_decref(answer);
    } while (next != NULL);
    return code;
}

int
coat_list(const coat_args *args, const char *path, const char *member,
          const coat_column *columns, size_t count)
{
    coat_client *client;
    json_t *all;
    int code;

    if (path == NULL)
        return no_path(member);
    client = coat_client_open(args, &code);
    if (client == NULL)
        return code;
    all = json_array();
    code = fetch(client, path, member, all);
    if (code == COAT_EXIT_OK && args->json)
        print_json(all);
    else if (code == COAT_EXIT_OK)
        coat_print_table(all, columns, count);
    json_decref(all);
    coat_client_close(client);
    return code;
}

int
coat_show(const coat_args *args, const char *path, const char *what, const coat_column *columns,
          size_t count)
{
    coat_client *client;
    json_t *answer = NULL;
    unsigned status;
    int code;

    if (path == NULL)
        return no_path(what);
    client = coat_client_open(args, &code);
    if (client == NULL)
        return code;
    status = coat_client_ask(client, "GET", path, NULL, &answer);
    code = status == 200 ? COAT_EXIT_OK : coat_client_fail(status, answer, what);
    if (code == COAT_EXIT_OK && args->json)
        print_json(answer);
    else if (code == COAT_EXIT_OK)
        coat_print_object(answer, columns, count);
    json_decref(answer);
    coat_client_close(client);
    return code;
}

int
coat_do(const coat_args *args, const char *method, const char *path, json_t *body,
        const char *what, const char *done)
{
    coat_client *client;
    json_t *answer = NULL;
    unsigned status;
    int code;

    if (path == NULL) {
        json_decref(body);
        return no_path(what);
    }
    client = coat_client_open(args, &code);
    if (client == NULL) {
        json_decref(body);
        return code;
    }
    status = coat_client_ask(client, method, path, body, &answer);
    code =
        status >= 200 && status < 300 ? COAT_EXIT_OK : coat_client_fail(status, answer, what);
    if (code == COAT_EXIT_OK && args->json && answer != NULL)
        print_json(answer);
    else if (code == COAT_EXIT_OK && args->json)
        (void)printf("{\"done\": true}\n");
    else if (code == COAT_EXIT_OK)
        (void)printf("%s: %s\n", what, done);
    json_decref(answer);
    coat_client_close(client);
    return code;
}
