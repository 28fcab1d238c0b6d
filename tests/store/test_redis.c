/* SPDX-License-Identifier: Apache-2.0 */
/** The contract, against a real server. */

#include "redis_fixture.h"
#include "suite_tap.h"
#include "test_clock.h"

static redis_server server = {.args = {"--save", "", "--appendonly", "no"}};

static coat_err
open_slowly(redis_server *s, coat_store **out)
{
    coat_err err = server_open(s, out);

    if (err == COAT_OK)
        ((remote_store *)*out)->monotonic = slow_monotonic;
    return err;
}

static coat_err
open_redis(void *ctx, coat_store **out)
{
    if (server.pid == 0)
        server_start(&server);
    return open_slowly(ctx, out);
}

static void
close_redis(void *ctx, coat_store *store)
{
    (void)ctx;
    coat_store_close(store);
    (void)server_ask(&server, "FLUSHALL");
}

static coat_err
reopen_redis(void *ctx, coat_store **store)
{
    redis_server *s = ctx;

    coat_store_close(*store);
    *store = NULL;
    s->prefix--;
    return open_slowly(s, store);
}

int
main(int argc, char **argv)
{
    int rc;

    suite_conf = (coat_suite){.open = open_redis,
                              .close = close_redis,
                              .reopen = reopen_redis,
                              .ctx = &server,
                              .seed = 4,
                              .histories = (uint32_t)test_scaled(400, 4),
                              .steps = 300,
                              .races = (uint32_t)test_scaled(10000, 10)};
    rc = run_suite(argc, argv, NULL, 0);
    server_stop(&server);
    return rc;
}
