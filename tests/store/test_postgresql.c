/* SPDX-License-Identifier: Apache-2.0 */
/** The contract, against a real server. */

#include "pg_fixture.h"
#include "suite_tap.h"
#include "test_clock.h"

static pg_server server = {.args = {"fsync=off", "full_page_writes=off"}};

static coat_err
open_postgresql(void *ctx, coat_store **out)
{
    coat_err err;

    if (server.pid == 0)
        server_start(&server);
    err = server_open(ctx, out);
    if (err == COAT_OK)
        ((remote_store *)*out)->monotonic = slow_monotonic;
    return err;
}

static void
close_postgresql(void *ctx, coat_store *store)
{
    pg_server *s = ctx;

    coat_store_close(store);
    (void)server_sql(s, "DROP SCHEMA t%d CASCADE", s->schema);
}

static coat_err
reopen_postgresql(void *ctx, coat_store **store)
{
    char url[600];
    coat_store_conf conf = {.url = url};
    coat_err err;

    coat_store_close(*store);
    *store = NULL;
    server_url(ctx, url, sizeof url, "");
    err = coat_postgresql_ops.open(&conf, store);
    if (err == COAT_OK)
        ((remote_store *)*store)->monotonic = slow_monotonic;
    return err;
}

int
main(int argc, char **argv)
{
    /* Each round makes up to a hundred server processes: few of them unless all are run. */
    long races = test_scaled(10000, 100);
    int rc;

    suite_conf = (coat_suite){.open = open_postgresql,
                              .close = close_postgresql,
                              .reopen = reopen_postgresql,
                              .ctx = &server,
                              .seed = 5,
                              .histories = (uint32_t)test_scaled(400, 4),
                              .steps = 300,
                              .races = races > 100 ? (uint32_t)races : 20};
    rc = run_suite(argc, argv, NULL, 0);
    server_stop(&server);
    return rc;
}
