/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_CLI_CLIENT_H
#define COAT_CLI_CLIENT_H

/**
 * The commands' way to the admin interface: the daemon's socket, or, where no daemon runs, the
 * same interface within this process.
 */

#include "cli/cli.h"
#include <jansson.h>
#include <sys/types.h>

typedef struct coat_client coat_client;

/** Prints what is wrong. @return NULL and an exit code in *code */
coat_client *coat_client_open(const coat_args *args, int *code);
/** For a daemon that is known to run. path: of its socket, borrowed. NULL: out of memory */
coat_client *coat_client_at(const char *path);
/** The process that listens there; 0 if none does. */
pid_t coat_client_peer(const coat_client *client);
void coat_client_close(coat_client *client);
/** Is it a daemon that answers, or this process? */
bool coat_client_is_daemon(const coat_client *client);

/**
 * One request. body is taken; NULL: none.
 * @param answer  the JSON of the answer, NULL if it has none; the caller's
 * @return HTTP status, 0 if there was no answer (printed)
 */
unsigned coat_client_ask(coat_client *client, const char *method, const char *path,
                         json_t *body, json_t **answer);
/** As ask, for an answer that is no JSON: allocated text. */
unsigned coat_client_text(coat_client *client, const char *path, char **text);

/** Path with a value percent-encoded into it: format has one %s. Allocated. */
char *coat_client_path(const char *format, const char *value);

/** Print the error of an answer: what was asked and why not. @return an exit code */
int coat_client_fail(unsigned status, const json_t *answer, const char *what);

#endif
