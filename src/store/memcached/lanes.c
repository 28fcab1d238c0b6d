/* SPDX-License-Identifier: Apache-2.0 */
/**
 * A lane is one of remote/ for each server, on one loop. A request goes to the server its owner
 * is on; END_ALL and SWEEP go to all, and end when all have ended. SCAN is in scan.c.
 */

#include "store/memcached/memcached.h"

typedef struct mc_lane {
    coat_lane base;
    uv_loop_t own; /* if opened without one */
    bool owned, running, closing;
    coat_lane *lanes[MC_NODES_MAX];
    mc_scan *scan; /* of a lane of its own loop */
} mc_lane;

typedef struct all_op all_op;
/** One server's part of a request to all. */
typedef struct part {
    coat_store_req req;
    all_op *all;
} part;

struct all_op {
    coat_store_req *req;
    mc_lane *lane;
    uint32_t left;
    coat_err result;
    part parts[];
};

static mc_store *
store_of(const mc_lane *lane)
{
    return (mc_store *)lane->base.store;
}

static void
close_all(mc_lane *lane)
{
    lane->closing = true;
    mc_scan_stop(lane->scan);
    for (uint32_t i = 0; i < store_of(lane)->node_count; i++)
        if (lane->lanes[i] != NULL)
            remote_lane_close(lane->lanes[i]);
    if (lane->owned) {
        remote_run(&lane->own, UV_RUN_DEFAULT);
        (void)uv_loop_close(&lane->own);
    }
    mc_scan_free(lane->scan);
    free(lane);
}

coat_err
mc_lane_open(coat_store *base, struct uv_loop_s *loop, coat_lane **out)
{
    mc_store *store = (mc_store *)base;
    mc_lane *lane = calloc(1, sizeof *lane);
    coat_err err = COAT_OK;

    if (lane == NULL)
        return COAT_NO_MEMORY;
    if (loop == NULL && uv_loop_init(&lane->own) != 0) {
        free(lane);
        return COAT_NO_MEMORY;
    }
    lane->base.store = base;
    lane->owned = loop == NULL;
    if (lane->owned)
        err = mc_scan_new(&lane->base, &lane->own, &lane->scan);
    for (uint32_t i = 0; i < store->node_count && err == COAT_OK; i++)
        err = remote_lane_open(&store->nodes[i]->remote.base, lane->owned ? &lane->own : loop,
                               &lane->lanes[i]);
    if (err != COAT_OK) {
        close_all(lane);
        return err;
    }
    *out = &lane->base;
    return COAT_OK;
}

void
mc_lane_close(coat_lane *base)
{
    close_all((mc_lane *)base);
}

static void
run_once(mc_lane *lane, uv_run_mode mode)
{
    if (lane->running)
        return; /* a callback waits for another request: it must not */
    lane->running = true;
    remote_run(&lane->own, mode);
    lane->running = false;
}

static bool
is_idle(const mc_lane *lane)
{
    for (uint32_t i = 0; i < store_of(lane)->node_count; i++)
        if (((const remote_lane *)lane->lanes[i])->outstanding > 0)
            return false;
    return true;
}

/* ---- requests to all servers ---- */

void
mc_answer(coat_store_req *req, coat_err result)
{
    remote_pending_of(req)->answered = true;
    req->result = result;
    req->done(req);
}

static void
part_done(coat_store_req *req)
{
    all_op *all = ((part *)req->ctx)->all;
    coat_store_req *whole = all->req;

    if (req->result != COAT_OK && all->result == COAT_OK)
        all->result = req->result;
    if (req->result == COAT_OK && req->op == COAT_OP_END_ALL) {
        if (req->epoch_global > whole->epoch_global)
            whole->epoch_global = req->epoch_global;
        (void)mc_global_seen(store_of(all->lane), req->epoch_global);
    }
    if (--all->left > 0)
        return;
    mc_answer(whole, all->result);
    free(all);
}

static void
submit_all(mc_lane *lane, coat_store_req *req)
{
    mc_store *store = store_of(lane);
    uint32_t count = store->node_count;
    all_op *all = calloc(1, sizeof *all + count * sizeof all->parts[0]);

    if (all == NULL) {
        mc_answer(req, COAT_NO_MEMORY);
        return;
    }
    all->req = req;
    all->lane = lane;
    all->left = count;
    if (req->op == COAT_OP_END_ALL)
        req->epoch_global = req->again != 0 ? req->again : mc_number_next(store);
    for (uint32_t i = 0; i < count; i++) {
        part *p = &all->parts[i];

        p->req = *req;
        p->req.done = part_done;
        p->req.ctx = p;
        p->all = all;
    }
    /* The last one to end frees them all: perhaps the last one here, at once. */
    for (uint32_t i = 0; i < count; i++)
        remote_submit(lane->lanes[i], &all->parts[i].req);
}

void
mc_submit(coat_lane *base, coat_store_req *req)
{
    mc_lane *lane = (mc_lane *)base;
    mc_store *store = store_of(lane);
    mc_place place;
    const mc_node *node;

    *remote_pending_of(req) = (remote_pending){0};
    /* From within a done() as the lane closes: some of its lanes are closed already. And on a
     * loop that serves others SCAN would keep them waiting. */
    if (lane->closing || (req->op == COAT_OP_SCAN && !lane->owned)) {
        mc_answer(req, lane->closing ? COAT_CANCELLED : COAT_UNSUPPORTED);
        return;
    }
    /* Nobody drives an idle lane of its own loop: see first what has become of its links. */
    if (lane->owned && is_idle(lane))
        run_once(lane, UV_RUN_NOWAIT);
    if (req->op == COAT_OP_SCAN) {
        mc_scan_start(lane->scan, req);
        return;
    }
    if (req->op == COAT_OP_END_ALL || req->op == COAT_OP_SWEEP) {
        submit_all(lane, req);
        return;
    }
    if (req->op == COAT_OP_REMOVE_OWNER)
        mc_number_seen(store, req->again);
    place = mc_place_of(req);
    node = mc_node_of(store, &place);
    for (uint32_t i = 0; i < store->node_count; i++)
        if (store->nodes[i] == node)
            remote_submit(lane->lanes[i], req);
}

void
mc_wait(coat_lane *base, coat_store_req *req)
{
    mc_lane *lane = (mc_lane *)base;

    while (!remote_pending_of(req)->answered && lane->owned && !lane->running)
        run_once(lane, UV_RUN_ONCE);
}
