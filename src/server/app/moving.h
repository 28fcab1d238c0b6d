/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_SERVER_APP_MOVING_H
#define COAT_SERVER_APP_MOVING_H

/**
 * Moving to another store while serving: a thread of its own copies (store/move.h) for as long
 * as the daemon runs. The last pass is made when the daemon ends and nothing else uses the
 * store any more, if the configuration names the target by then. Else nothing has happened.
 */

#include "server/app/app.h"
#include "server/config/config.h"
#include "store/move.h"

#define COAT_MOVING_MESSAGE_MAX 512

typedef struct coat_moving coat_moving;

typedef enum coat_moving_state {
    COAT_MOVING_NONE,
    COAT_MOVING_COPYING,
    COAT_MOVING_IN_STEP, /* all there is was copied; what changes is, too */
    COAT_MOVING_FAILED,
    COAT_MOVING_CANCELLING,
    COAT_MOVING_CANCELLED,
} coat_moving_state;

typedef struct coat_moving_status {
    coat_moving_state state;
    char to[COAT_MARK_URL_MAX + 1];
    char message[COAT_MOVING_MESSAGE_MAX]; /* why it failed, or what it waits for */
    coat_copy_counts counts;
} coat_moving_status;

/** @param app, url  of the store in use; borrowed. conf is what stores are opened with. */
coat_err coat_moving_new(coat_app *app, const char *url, const coat_store_conf *conf,
                         coat_moving **out) COAT_MUST_USE;
/**
 * Begin in the background. Once more with the same target, while it goes on: OK.
 * @retval COAT_INVALID  that store is in use; COAT_EXISTS  a copy to another one goes on
 */
coat_err coat_moving_start(coat_moving *moving, const char *to,
                           bool sessions_only) COAT_MUST_USE;
/**
 * Give a copy up in the background (coat_move_cancel), this daemon's own or one that was left
 * behind. Once more, while that goes on: OK.
 * @retval COAT_INVALID  that store is in use; COAT_EXISTS  a copy to another one goes on
 */
coat_err coat_moving_cancel(coat_moving *moving, const char *to) COAT_MUST_USE;
void coat_moving_look(coat_moving *moving, coat_moving_status *out);
/**
 * Stop copying. If `input` names the target as the store, finish.
 * @param input  NULL: do not finish
 * @retval COAT_OK  finished, or nothing to do; else why it could not be finished, logged
 */
coat_err coat_moving_end(coat_moving *moving, const coat_config_input *input) COAT_MUST_USE;
void coat_moving_free(coat_moving *moving); /* NULL is a no-op; after coat_moving_end */

#endif
