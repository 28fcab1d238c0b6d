/* SPDX-License-Identifier: Apache-2.0 */
#include "lmdb_fixture.h"
#include "suite_tap.h"

static coat_err
open_lmdb(void *ctx, coat_store **out)
{
    fixture_fresh(ctx);
    return fixture_open(ctx, out);
}

static void
close_lmdb(void *ctx, coat_store *store)
{
    coat_store_close(store);
    fixture_remove(ctx);
}

static coat_err
reopen_lmdb(void *ctx, coat_store **store)
{
    coat_store_close(*store);
    *store = NULL;
    return fixture_open(ctx, store);
}

int
main(int argc, char **argv)
{
    lmdb_fixture fixture = {.map_bytes = 256 << 20, .reserve_bytes = 1 << 20};

    suite_conf = (coat_suite){.open = open_lmdb,
                              .close = close_lmdb,
                              .reopen = reopen_lmdb,
                              .ctx = &fixture,
                              .seed = 2,
                              .histories = (uint32_t)test_scaled(400, 4),
                              .steps = 300,
                              .races = (uint32_t)test_scaled(10000, 20)};
    return run_suite(argc, argv, NULL, 0);
}
