/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_TEST_HOOK_STORE_H
#define COAT_TEST_HOOK_STORE_H

/**
 * A store over another one, one thread: before each request the test may do something else, and
 * says what becomes of it. Its capabilities are the test's, too: with COAT_CAP_CACHE SCAN is as
 * such a store answers it.
 */

#include <coatcheck/store.h>

typedef enum hook_fate {
    HOOK_RUN,
    HOOK_REFUSE, /* does not take place; STORE_DOWN */
    HOOK_LOSE,   /* takes place; STORE_DOWN */
    HOOK_LATE,   /* STORE_DOWN; takes place before the next SWEEP */
    HOOK_UNABLE, /* does not take place; UNSUPPORTED */
} hook_fate;

typedef hook_fate (*hook_fn)(void *ctx, const coat_store_req *req);

/** Close with coat_store_close(); inner stays. hook: NULL: all run */
coat_store *hook_store_new(coat_store *inner, uint32_t caps, hook_fn hook, void *ctx);

#endif
