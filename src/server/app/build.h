/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_SERVER_APP_BUILD_H
#define COAT_SERVER_APP_BUILD_H

/**
 * Putting a process together, and changing it while it runs: store, keys, engine, accounts,
 * settings. Used by the daemon, and by commands that work without one.
 */

#include "server/app/app.h"
#include "server/app/moving.h"
#include <pthread.h>

#define COAT_MESSAGE_MAX 512

typedef struct coat_process {
    coat_app app;
    coat_config *config;            /* the one in force */
    const coat_config_input *input; /* for reloads */
    uint8_t *pepper;
    coat_store_conf store_conf;
    coat_moving *moving;                   /* to another store */
    char store_url[COAT_MARK_URL_MAX + 1]; /* of the store in use */
    pthread_mutex_t lock;                  /* reload and key rotation, one at a time */
    /* What was replaced stays until exit: requests may still read it. */
    struct retired *retired;
} coat_process;

/**
 * Directories, keys, store, engine, directory, limiter, settings, in this order.
 * @param config  taken over, also on failure
 * @param with_table  false: a private node table (commands without a daemon)
 * @param message  at least COAT_MESSAGE_MAX bytes
 */
coat_err coat_process_open(coat_process *process, coat_config *config, bool with_table,
                           coat_log *log, char *message, size_t cap) COAT_MUST_USE;
/** In reverse; the log is the caller's. Moving to another store ends here.
 * @return why that was not finished, if it should have been */
coat_err coat_process_close(coat_process *process);

/** Read the configuration again; on any mistake all stays as it is. Any thread. */
coat_err coat_process_reload(coat_process *process, char *message, size_t cap) COAT_MUST_USE;
/** Make a new newest key, keep the former one, save the file, switch over. Any thread. */
coat_err coat_process_rotate_keys(coat_process *process, char *message,
                                  size_t cap) COAT_MUST_USE;

#endif
