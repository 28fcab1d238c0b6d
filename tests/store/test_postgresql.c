/* SPDX-License-Identifier: Apache-2.0 */
/** The contract, against a real server. */

#include "pg_fixture.h"
#include "suite_tap.h"

static pg_server server = {.args = {"fsync=off", "full_page_writes=off"}};

static coat_err
open_postgresql(void *ctx, coat_store **out)
{
    if (server.pid == 0)
        server_start(&server);
    return server_open(ctx, out);
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

    coat_store_close(*store);
    *store = NULL;
    server_url(ctx, url, sizeof url, "");
    return coat_postgresql_ops.open(&conf, store);
}

int
main(int argc, char **argv)
{
    int rc;

    suite_conf = (coat_suite){.open = open_postgresql,
                              .close = close_postgresql,
                              .reopen = reopen_postgresql,
                              .ctx = &server,
                              .seed = 5,
                              .histories = (uint32_t)test_scaled(400, 4),
                              .steps = 300,
                              .races = (uint32_t)test_scaled(10000, 2)};
    rc = run_suite(argc, argv, NULL, 0);
    server_stop(&server);
    return rc;
}
