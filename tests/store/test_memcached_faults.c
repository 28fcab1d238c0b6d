/* SPDX-License-Identifier: Apache-2.0 */
/**
 * The drills of SF-1, SF-2, SF-5 and SF-6 through a proxy that does what networks do. Reduced
 * counts; COAT_TEST_SCALE=100 runs them in full (scripts/stress).
 */

#include "fault_drill.h"
#include "memcached_fixture.h"

static mc_server server;

static mc_node *
node(uint32_t i)
{
    return ((mc_store *)store)->nodes[i];
}

static void
begin(uint64_t seed)
{
    char url[200];
    coat_store_conf conf = {.url = url};

    if (server.pid == 0)
        server_start(&server);
    memset(&proxy, 0, sizeof proxy);
    memcpy(proxy.upstream_path, server.socket, strlen(server.socket));
    proxy_start(&proxy, seed);
    (void)snprintf(url, sizeof url, "memcached://127.0.0.1:%d?prefix=f%d", proxy.port,
                   ++prefixes);
    REQUIRE_OK(coat_memcached_ops.open(&conf, &store));
    node(0)->remote.monotonic = test_monotonic;
    open_drills(seed);
}

static void
end(void)
{
    close_drills();
}

/** An outage costs the store no more than probes, and the caller no more than a word. */
static void
breaker(void)
{
    drill *d = &drills[0];
    int before, probes;

    begin(5);
    warm_up(20);
    proxy_set(&proxy, FAULT_BLACKHOLE, FAULT_BLACKHOLE, 100);
    for (int i = 0; i < 6; i++) {
        coat_store_req req = session_req(COAT_OP_LOAD, 1, 1);

        coat_store_submit(d->lane, &req);
        atomic_fetch_add(&ahead_ms, PATIENCE_MS);
        d->lane->store->ops->wait(d->lane, &req);
        CHECK_ERR(req.result, COAT_STORE_DOWN);
    }
    CHECK(node(0)->remote.breaker.open);
    /* Ten seconds of a busy door. */
    (void)remote_breaker_admits(&node(0)->remote.breaker, test_monotonic(NULL), 0);
    before = atomic_load(&proxy.accepted);
    for (int i = 0; i < 10000; i++) {
        coat_store_req req = session_req(COAT_OP_LOAD, 1, 1);

        req.timeout_ms = 1;
        if (i % 10 == 0)
            atomic_fetch_add(&ahead_ms, 10);
        CHECK_ERR(coat_store_run(d->lane, &req), COAT_STORE_DOWN);
    }
    probes = atomic_load(&proxy.accepted) - before;
    CHECK(probes <= 12 + 2); /* the machine's own time counts too */
    recover();
    CHECK(!node(0)->remote.breaker.open);
    end();
}

/* ---- late writes ---- */

typedef struct late {
    uv_loop_t loop;
    coat_lane *lane;
    coat_store_req req;
    bool done;
} late;

static void
late_done(coat_store_req *req)
{
    ((late *)req->ctx)->done = true;
}

static void
late_turn(late *l)
{
    (void)uv_run(&l->loop, UV_RUN_NOWAIT);
    server_sleep();
}

/** Have the request sent up to its write, which is held on its way; and give it up. */
static void
hold_write(late *l)
{
    const remote_pending *p = remote_pending_of(&l->req);

    l->done = false;
    l->req.done = late_done;
    l->req.ctx = l;
    coat_store_submit(l->lane, &l->req);
    while (!l->done && (p->data == NULL || !((const mc_op *)p->data)->writes_item))
        late_turn(l);
    REQUIRE(!l->done); /* the write leaves with the next turn */
    proxy_set(&proxy, FAULT_HOLD, FAULT_NONE, 100);
    for (int i = 0; i < 10; i++)
        late_turn(l);
    REQUIRE(!l->done);
    while (!l->done) {
        atomic_fetch_add(&ahead_ms, PATIENCE_MS);
        late_turn(l);
    }
    CHECK_ERR(l->req.result, COAT_STORE_DOWN);
}

/** What is there of owner's sessions 1 and 2: two bits. Past the proxy. */
static int
state_of(coat_lane *lane, uint64_t owner)
{
    int state = 0;

    for (uint64_t serial = 1; serial <= 2; serial++) {
        coat_err err = run_op(lane, COAT_OP_LOAD, owner, serial);

        CHECK(err == COAT_OK || err == COAT_NO_SESSION);
        state |= (err == COAT_OK) << serial;
    }
    return state;
}

static void
late_write(coat_op op, bool sweeps)
{
    late l = {0};
    coat_store_req epochs = session_req(COAT_OP_EPOCHS, 7, 0);
    int before, after;

    begin(9);
    close_drills_lanes();
    REQUIRE(uv_loop_init(&l.loop) == 0);
    REQUIRE_OK(coat_lane_open(store, &l.loop, &l.lane));
    REQUIRE_OK(coat_lane_open(store, NULL, &drills[0].lane));
    CHECK_ERR(sign_in(drills[0].lane, 7, 1, 10), COAT_OK);
    REQUIRE_OK(coat_store_run(drills[0].lane, &epochs));
    coat_lane_close(drills[0].lane);
    l.req = session_req(op, 7, op == COAT_OP_INSERT ? 2 : 1);
    l.req.epoch_owner = epochs.epoch_owner;
    l.req.epoch_global = epochs.epoch_global;
    hold_write(&l);
    /* From now on past the proxy. */
    node(0)->address = (remote_address){.path = server.socket};
    coat_lane_close(l.lane);
    (void)uv_run(&l.loop, UV_RUN_DEFAULT);
    REQUIRE(uv_loop_close(&l.loop) == 0);
    REQUIRE_OK(coat_lane_open(store, NULL, &drills[0].lane));
    if (sweeps)
        CHECK_ERR(run_op(drills[0].lane, COAT_OP_SWEEP, 0, 0), COAT_OK);
    before = state_of(drills[0].lane, 7);
    CHECK_INT(before, 1 << 1);
    proxy_set(&proxy, FAULT_NONE, FAULT_NONE, 0);
    while (atomic_load(&proxy.live) > 0)
        server_sleep();
    after = state_of(drills[0].lane, 7);
    if (sweeps)
        CHECK_INT(after, before); /* it came too late */
    else
        CHECK(after != before); /* it came: this test would notice */
    coat_lane_close(drills[0].lane);
    coat_store_close(store);
    proxy_stop(&proxy);
}

static void
late_writes(void)
{
    static const coat_op ops[] = {COAT_OP_INSERT, COAT_OP_REMOVE, COAT_OP_REMOVE_OWNER};

    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++) {
        late_write(ops[i], false);
        late_write(ops[i], true);
    }
}

static const coat_test tests[] = {
    {"SF-1 SF-6 LC-9: no fault of the network makes a wrong answer", all_ways},
    {"SF-6 ST-8: flipped bits give nobody another's record", corrupted},
    {"SF-2: a dead store costs one probe a second, and answers at once", breaker},
    {"LC-9: what was answered STORE_DOWN is decided by a SWEEP", late_writes},
};

int
main(int argc, char **argv)
{
    int rc = coat_test_main(argc, argv, tests, sizeof tests / sizeof tests[0]);

    server_kill(&server);
    return rc;
}
