/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_SERVER_APP_APP_H
#define COAT_SERVER_APP_APP_H

/** What the daemon's routes share: the parts of the process, and those of one loop. */

#include "server/app/settings.h"
#include "server/http/http.h"
#include "server/log/log.h"
#include "server/metrics/metrics.h"
#include <stdatomic.h>

#define COAT_LOOPS_MAX 64
#define COAT_UNKNOWN_TOKENS_MAX 20 /* ID-7: distinct ones per network */

/** One a process. */
typedef struct coat_app {
    coat_engine *engine;
    coat_directory *directory;
    coat_log *log;
    coat_limiter *unknown;           /* unknown tokens by source network (ID-7) */
    uint8_t hash_key[16];            /* of this process: counts distinct unknown tokens */
    _Atomic(const coat_keys *) keys; /* replaced when keys rotate; former ones stay valid */
    coat_store *store;
    coat_store *accounts; /* the same, but for accounts.url */
    coat_http_server *server;
    atomic_bool moved; /* the store is not to be used any more: see store/mark.h */
    _Atomic(coat_settings *) settings;
    _Atomic(const coat_meter *) meters[COAT_LOOPS_MAX]; /* of the loops, by index */
    void *loops[COAT_LOOPS_MAX]; /* freed by coat_app_loops_free: others read their meters */
    int64_t started_ms;
    coat_rng_fn rng;
    void *rng_ctx;
} coat_app;

/** One a loop; loop_data of its requests. */
typedef struct coat_app_loop {
    coat_app *app;
    struct uv_loop_s *loop;
    coat_desk *desk;
    coat_clerk *clerk;
    coat_lane *accounts; /* NULL: the desk's */
    coat_audit_lane *audit;
    unsigned index;
    coat_meter meter; /* only this loop writes it */
} coat_app_loop;

static inline const coat_keys *
coat_app_keys(coat_app *app)
{
    return atomic_load_explicit(&app->keys, memory_order_acquire);
}

#endif
