/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_STORE_COPY_PUT_H
#define COAT_STORE_COPY_PUT_H

/**
 * A slice of entries on their way from one store to another. All of them go at once, step by
 * step, so that a store behind a network or a disk is waited for once a step and not once an
 * entry.
 */

#include <coatcheck/store.h>

enum {
    COAT_COPY_SLICE = 256,
    COAT_COPY_TIMEOUT_MS = 2000,
    /* Of requests that are to ignore expiry: only what was ended lies before it. */
    COAT_COPY_NO_TIME = 2,
};

typedef enum coat_unit_step {
    COAT_UNIT_DONE,
    COAT_UNIT_INSERT, /* it should not be there */
    COAT_UNIT_EPOCHS, /* an INSERT of a session has to name them */
    COAT_UNIT_LOAD,   /* it is there: the same? */
    COAT_UNIT_REPLACE,
    COAT_UNIT_REMOVE,
} coat_unit_step;

typedef struct coat_unit {
    coat_store_req req;
    struct coat_slice *slice;
    coat_handle address;
    uint64_t version; /* in the source */
    int64_t expires_ms;
    size_t at, len; /* of the value, in the slice's bytes */
    coat_unit_step step;
    uint32_t tries;
    bool same; /* LOAD: nothing to do */
    uint64_t there, epoch_owner, epoch_global;
} coat_unit;

typedef struct coat_slice {
    coat_space space;
    coat_unit *units; /* `count` of the source, then `drops` that are gone from it */
    size_t count, drops, cap;
    uint8_t *bytes;
    size_t len, bytes_cap;
    coat_handle last; /* where the next one goes on */
    bool has_last, more;
    uint64_t written, removed;
    coat_err err;
} coat_slice;

/** Read the next entries behind `after` (NULL: from the first). Their step is DONE. */
coat_err coat_slice_read(coat_slice *slice, coat_lane *from, coat_space space,
                         const coat_handle *after) COAT_MUST_USE;
/** One that is to be removed from the target: now and then many of them, at the latest by put.
 */
coat_err coat_slice_drop(coat_slice *slice, coat_lane *to, int64_t now_ms,
                         const coat_handle *address) COAT_MUST_USE;
/** Carry out the steps of all units. On an error some may have taken place. */
coat_err coat_slice_put(coat_slice *slice, coat_lane *to, int64_t now_ms) COAT_MUST_USE;
void coat_slice_free(coat_slice *slice);

#endif
