/* SPDX-License-Identifier: Apache-2.0 */
/** The contract, against real servers: one, or three if the program's name says so. */

#include "memcached_fixture.h"
#include "suite_tap.h"
#include "test_clock.h"

static mc_server servers[3];
static size_t count = 1;

static coat_err
open_slowly(coat_store **out)
{
    coat_err err = servers_open(servers, count, "", out);

    for (size_t i = 0; i < count && err == COAT_OK; i++)
        ((mc_store *)*out)->nodes[i]->remote.monotonic = slow_monotonic;
    return err;
}

static coat_err
open_memcached(void *ctx, coat_store **out)
{
    (void)ctx;
    for (size_t i = 0; i < count; i++)
        if (servers[i].pid == 0)
            server_start(&servers[i]);
    prefixes++;
    return open_slowly(out);
}

static void
close_memcached(void *ctx, coat_store *store)
{
    (void)ctx;
    coat_store_close(store);
}

static coat_err
reopen_memcached(void *ctx, coat_store **store)
{
    (void)ctx;
    coat_store_close(*store);
    *store = NULL;
    return open_slowly(store);
}

int
main(int argc, char **argv)
{
    int rc;

    if (strstr(argv[0], "three") != NULL)
        count = 3;
    suite_conf = (coat_suite){.open = open_memcached,
                              .close = close_memcached,
                              .reopen = reopen_memcached,
                              .seed = 4,
                              .histories = (uint32_t)test_scaled(400, 4),
                              .steps = 300,
                              .races = (uint32_t)test_scaled(10000, 10)};
    rc = run_suite(argc, argv, NULL, 0);
    for (size_t i = 0; i < count; i++)
        server_kill(&servers[i]);
    return rc;
}
