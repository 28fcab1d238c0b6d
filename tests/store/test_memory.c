/* SPDX-License-Identifier: Apache-2.0 */
#include "suite_tap.h"

static coat_err
open_memory(void *ctx, coat_store **out)
{
    coat_store_conf conf = {.url = "memory:"};

    (void)ctx;
    return coat_store_open(&conf, out);
}

static void
close_memory(void *ctx, coat_store *store)
{
    (void)ctx;
    coat_store_close(store);
}

int
main(int argc, char **argv)
{
    suite_conf = (coat_suite){.open = open_memory,
                              .close = close_memory,
                              .seed = 1,
                              .histories = (uint32_t)test_scaled(20000, 200),
                              .steps = 500,
                              .races = (uint32_t)test_scaled(10000, 100)};
    return run_suite(argc, argv, NULL, 0);
}
