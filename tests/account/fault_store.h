/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_ACCOUNT_FAULT_STORE_H
#define COAT_ACCOUNT_FAULT_STORE_H

/** "fault:URL": a store in front of URL that fails, or ends the process, at a chosen operation.
 */

#include "coat_test.h"
#include <coatcheck/store.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct {
    long left;    /* operations that still succeed; negative: no end */
    bool exits;   /* then the process is gone, as by kill -9 */
    bool after;   /* ... but the operation has been done */
    bool once;    /* only that one operation */
    bool refused; /* the last submitted one was */
    coat_err with;
} fault = {.left = -1, .with = COAT_STORE_DOWN};

typedef struct fault_store {
    coat_store base;
    coat_store *inner;
} fault_store;

typedef struct fault_lane {
    coat_lane base;
    coat_lane *inner;
} fault_lane;

static const struct coat_store_ops fault_ops;

static coat_err
fault_open(const coat_store_conf *conf, coat_store **out)
{
    coat_store_conf inner = *conf;
    fault_store *store = calloc(1, sizeof *store);
    coat_err err;

    inner.url += strlen("fault:");
    err = coat_store_open(&inner, &store->inner);
    if (err != COAT_OK) {
        free(store);
        return err;
    }
    store->base.ops = &fault_ops;
    *out = &store->base;
    return COAT_OK;
}

static void
fault_close(coat_store *store)
{
    if (store == NULL)
        return;
    coat_store_close(((fault_store *)store)->inner);
    free(store);
}

static coat_err
fault_lane_open(coat_store *store, struct uv_loop_s *loop, coat_lane **out)
{
    fault_lane *lane = calloc(1, sizeof *lane);
    coat_err err = coat_lane_open(((fault_store *)store)->inner, loop, &lane->inner);

    if (err != COAT_OK) {
        free(lane);
        return err;
    }
    lane->base.store = store;
    *out = &lane->base;
    return COAT_OK;
}

static void
fault_lane_close(coat_lane *lane)
{
    coat_lane_close(((fault_lane *)lane)->inner);
    free(lane);
}

static void
fault_submit(coat_lane *lane, coat_store_req *req)
{
    coat_lane *inner = ((fault_lane *)lane)->inner;

    fault.refused = fault.left == 0;
    if (fault.refused) {
        if (fault.exits && fault.after) {
            inner->store->ops->submit(inner, req);
            inner->store->ops->wait(inner, req);
        }
        if (fault.exits)
            _exit(9);
        if (fault.once)
            fault.left = -1;
        req->result = fault.with;
        req->done(req);
        return;
    }
    if (fault.left > 0)
        fault.left--;
    inner->store->ops->submit(inner, req);
}

static void
fault_wait(coat_lane *lane, coat_store_req *req)
{
    coat_lane *inner = ((fault_lane *)lane)->inner;

    if (!fault.refused)
        inner->store->ops->wait(inner, req);
}

static coat_err
fault_stats(coat_store *store, coat_store_stats *out)
{
    return coat_store_stats_get(((fault_store *)store)->inner, out);
}

static const struct coat_store_ops fault_ops = {
    .abi = COAT_STORE_ABI,
    .caps = COAT_CAP_ACCOUNTS,
    .name = "fault",
    .open = fault_open,
    .close = fault_close,
    .lane_open = fault_lane_open,
    .lane_close = fault_lane_close,
    .submit = fault_submit,
    .wait = fault_wait,
    .stats = fault_stats,
};

static inline void
fault_register(void)
{
    static bool done;

    if (!done)
        REQUIRE_OK(coat_store_register(&fault_ops));
    done = true;
    fault.left = -1;
    fault.exits = fault.after = fault.once = false;
    fault.with = COAT_STORE_DOWN;
}

#endif
