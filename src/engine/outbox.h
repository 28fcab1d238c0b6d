/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_ENGINE_OUTBOX_H
#define COAT_ENGINE_OUTBOX_H

/**
 * Sessions that were to be ended while the store could not be reached, in a file: so that they
 * are still denied, and ended, after this process was killed and started anew (SF-4). It holds
 * handles, which are no secret. It is empty when there is nothing to be ended, which is nearly
 * always.
 *
 * Nothing was acknowledged, so it is written, not synchronized: it outlives the process, not
 * a loss of power.
 */

#include "engine/unsettled.h"

#include <sys/types.h>

typedef struct coat_outbox {
    pthread_mutex_t mutex;
    int fd;    /* -1: there is none */
    off_t end; /* of the records in it */
    bool dirty;
} coat_outbox;

/** No file yet; put and tidy work all the same. */
coat_err coat_outbox_init(coat_outbox *outbox);
/**
 * Open or make the file, and add what it names to the unsettled ends.
 * @retval COAT_DENIED  a symbolic link, another owner, or readable by others: not touched
 * @retval COAT_BUSY    another process has it
 * @retval COAT_IO, COAT_NO_MEMORY  not all of it could be read: it is left as it is
 */
coat_err coat_outbox_open(coat_outbox *outbox, const char *path, coat_unsettled *unsettled);
void coat_outbox_fini(coat_outbox *outbox);

/** coat_unsettled_add(), kept in the file. @return false if it is not in the file */
bool coat_outbox_put(coat_outbox *outbox, coat_unsettled *unsettled,
                     const coat_changes *changes);
/** Empty the file if nothing is to be ended any more. */
void coat_outbox_tidy(coat_outbox *outbox, coat_unsettled *unsettled);

#endif
