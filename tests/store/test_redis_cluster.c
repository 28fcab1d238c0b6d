/* SPDX-License-Identifier: Apache-2.0 */
/** The contract, against a real cluster of three. */

#include "redis_cluster_fixture.h"
#include "suite_tap.h"
#include "test_clock.h"

static redis_nodes nodes;

static coat_err
opened(coat_err err, coat_store **store)
{
    if (err == COAT_OK)
        ((redis_cluster *)(void *)*store)->home.remote.monotonic = slow_monotonic;
    return err;
}

static coat_err
open_cluster(void *ctx, coat_store **out)
{
    redis_nodes *c = ctx;

    if (c->count == 0)
        nodes_start(c, 3, false);
    return opened(nodes_open(c, c->prefix % 3, out), out);
}

static void
close_cluster(void *ctx, coat_store *store)
{
    coat_store_close(store);
    nodes_flush(ctx);
}

static coat_err
reopen_cluster(void *ctx, coat_store **store)
{
    redis_nodes *c = ctx;

    coat_store_close(*store);
    *store = NULL;
    c->prefix--;
    return opened(nodes_open(c, 1, store), store);
}

int
main(int argc, char **argv)
{
    int rc;

    suite_conf = (coat_suite){.open = open_cluster,
                              .close = close_cluster,
                              .reopen = reopen_cluster,
                              .ctx = &nodes,
                              .seed = 5,
                              .histories = (uint32_t)test_scaled(200, 2),
                              .steps = 150,
                              .races = (uint32_t)test_scaled(5000, 2)};
    rc = run_suite(argc, argv, NULL, 0);
    nodes_stop(&nodes);
    return rc;
}
