/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_SERVER_SERVER_H
#define COAT_SERVER_SERVER_H

/** The daemon. */

#include "server/config/config.h"

/** Exit codes of the daemon and of all commands. */
enum {
    COAT_EXIT_OK = 0,
    COAT_EXIT_FAILED = 1,   /* the operation did not succeed */
    COAT_EXIT_USAGE = 2,    /* unknown command or flag */
    COAT_EXIT_CONFIG = 3,   /* mistake in the configuration, files or permissions */
    COAT_EXIT_NO_DAEMON = 4 /* the daemon does not answer on its admin socket */
};

/**
 * Run the daemon until SIGTERM or SIGINT; SIGHUP reloads. Messages about what stops it from
 * starting go to standard error, everything later to the log.
 * Once a process: signals, privileges and limits are the process's own.
 * @param input  kept for reloads: borrowed until return
 * @return an exit code
 */
int coat_serve(const coat_config_input *input);

/**
 * What the daemon would look at beyond the configuration's own text, without opening a store or
 * a socket: derived cookies, page templates, texts, logo.
 * @param message  at least 400 bytes: what is wrong and where
 */
coat_err coat_serve_check(const coat_config *config, char *message, size_t cap) COAT_MUST_USE;

/**
 * The admin interface while no daemon runs: the same routes on a private socket, served by a
 * thread of this process until coat_local_close. The store's lock keeps a daemon out meanwhile.
 * @param input  borrowed until coat_local_close
 * @param message  at least 512 bytes
 */
typedef struct coat_local coat_local;
coat_err coat_local_open(const coat_config_input *input, coat_local **out, char *message,
                         size_t cap) COAT_MUST_USE;
const char *coat_local_socket(const coat_local *local);
void coat_local_close(coat_local *local);

#endif
