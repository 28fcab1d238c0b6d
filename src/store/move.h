/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_STORE_MOVE_H
#define COAT_STORE_MOVE_H

/**
 * Moving to another store: the copy (copy.h), and the marks (mark.h) that say which of both is
 * to be used. Begun while the source is in use, gone on with for as long as one likes, and
 * finished when nobody changes the source any more. Cut off at any point it can be begun again;
 * until it is finished the target cannot be used, from then on the source cannot.
 *
 * One thread. Blocks.
 */

#include "store/copy.h"
#include "store/mark.h"

enum {
    /* A daemon uses a shared store only as long as it has seen this recently that it may
     * (engine.h, coat_engine_trust), and who moves it waits longer than that. */
    COAT_MOVE_TRUST_MS = 3000,
    COAT_MOVE_HOLD_MS = 5000,
};

typedef struct coat_move_conf {
    coat_store *from, *to; /* borrowed until coat_move_free */
    const char *from_url, *to_url;
    coat_copy_what what;
    coat_clock_fn clock;
    void *clock_ctx;
    coat_rng_fn rng;
    void *rng_ctx;
    void (*sleep_ms)(void *ctx, int64_t ms); /* NULL: sleep */
    void *sleep_ctx;
} coat_move_conf;

typedef struct coat_move coat_move;

/**
 * Look at both stores, and mark them.
 * @param conf  borrowed until coat_move_free
 * @param message  why not, and what would help
 * @retval COAT_INVALID  they cannot be moved like this; COAT_UNSUPPORTED  not out of or into
 *  this kind of store; COAT_EXISTS  the target has something in it; STORE_DOWN etc.
 */
coat_err coat_move_begin(const coat_move_conf *conf, coat_move **out, char *message,
                         size_t cap) COAT_MUST_USE;
void coat_move_free(coat_move *move); /* NULL is a no-op; changes nothing in the stores */

/** As coat_copy_step; CONFLICT: it was given up elsewhere. Not every error is the end: see
 * coat_move_is_passing. */
coat_err coat_move_step(coat_move *move, bool *complete) COAT_MUST_USE;
bool coat_move_is_passing(coat_err err);
const coat_copy *coat_move_copy(const coat_move *move);

/**
 * The last pass, and the change of marks. Nobody in this process may use the source any more;
 * where it is shared, daemons elsewhere are made to stop, and waited for. On an error the
 * source stays what is to be used.
 */
coat_err coat_move_finish(coat_move *move, char *message, size_t cap) COAT_MUST_USE;

/**
 * Give a copy up: the source is to be used as if nothing had been, and the target is empty and
 * to be used for anything. Whoever copies, in another process or on another machine, stops with
 * its next slice. Until all of it is done the target cannot be used; cut off at any point it
 * can be done again, or the copy gone on with instead. A cache keeps its mark: it is to be
 * flushed.
 *
 * @retval COAT_INVALID  nothing is being copied between these two, or it was finished already;
 *  COAT_TAMPERED  there is something in the target that it cannot read; STORE_DOWN etc.
 */
coat_err coat_move_cancel(const coat_move_conf *conf, char *message, size_t cap) COAT_MUST_USE;

/** Whatever stopped it, for the operator. */
void coat_move_explain(coat_err err, char *message, size_t cap);
/** Let time pass, by conf->sleep_ms. */
void coat_move_pause(const coat_move_conf *conf, int64_t ms);
/** A text for the operator. @return err */
coat_err coat_move_say(coat_err err, char *message, size_t cap, const char *text);

#endif
