/* SPDX-License-Identifier: Apache-2.0 */
#include "memcached_fixture.h"
#include "store_torture.h"

static mc_server server;

static coat_err
open_memcached(coat_store **out)
{
    return servers_open(&server, 1, "", out);
}

static void
begin(void)
{
    if (server.pid == 0)
        server_start(&server);
    prefixes++;
}

static void
talking(void)
{
    begin();
    torture_talk(open_memcached, TORTURE_ALL | TORTURE_UNNOTICED, 2, 0);
}

static void
opening_and_closing(void)
{
    begin();
    torture_opening(open_memcached, OPENS_BESIDE, TORTURE_ALL | TORTURE_UNNOTICED, 15, 0);
}

static coat_err
no_random(void *ctx, uint8_t *buf, size_t len)
{
    (void)ctx;
    memset(buf, 0, len);
    return COAT_RNG_FAILED;
}

/** libsodium ends a process that asks it for random numbers when there are none. */
static void
without_randomness(void)
{
    remote_store *node;
    coat_store_req req;

    begin();
    torture_open = open_memcached;
    keeper_open();
    node = &((mc_store *)tortured)->nodes[0]->remote;
    REQUIRE_OK(sign_in_here(ALICE, 1));
    coat_lane_close(tortured_lane);
    node->rng = no_random;
    REQUIRE_OK(coat_lane_open(tortured, NULL, &tortured_lane));
    req = torture_req(COAT_OP_LOAD, ALICE, 1);
    req.timeout_ms = 20;
    CHECK_ERR(coat_store_run(tortured_lane, &req), COAT_STORE_DOWN);
    node->rng = coat_rng_system;
    CHECK_ERR(insist(&req), COAT_OK);
    keeper_close();
}

static const coat_test tests[] = {
    {"HD-4: memcached: whatever fails, requests end as they may and nothing ended lives",
     talking},
    {"HD-4: memcached: opening and closing fail whole", opening_and_closing},
    {"HD-4: memcached: without randomness it is down, and the process lives",
     without_randomness},
};

int
main(int argc, char **argv)
{
    int rc = coat_test_main(argc, argv, tests, sizeof tests / sizeof tests[0]);

    server_kill(&server);
    return rc;
}
