/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"
#include "store/suite/history.h"

#include <stdio.h>

/* Enough to meet all states of so small a store; longer histories only cost time (and are
 * random in the contract suite). */
enum { OPERATIONS_MAX = 100 };

/** The input, byte for byte, as choices; then zeros. */
typedef struct choices {
    const uint8_t *data;
    size_t left;
} choices;

static uint64_t
choose(void *ctx, uint64_t limit)
{
    choices *c = ctx;
    uint64_t n = 0;

    for (uint64_t reach = 1; reach < limit && c->left > 0; reach *= 256, c->left--)
        n = n * 256 + *c->data++;
    return n % limit;
}

/* The memory store agrees with the reference model, whatever is asked of it. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static history h;
    choices c = {data, size};
    coat_store_conf conf = {.url = "memory:"};
    coat_store *store = NULL;
    coat_lane *lane = NULL;
    const char *fault = NULL;

    FUZZ_CHECK(coat_store_open(&conf, &store) == COAT_OK);
    FUZZ_CHECK(coat_lane_open(store, NULL, &lane) == COAT_OK);
    history_init(&h, lane, choose, &c);
    for (int i = 0; i < OPERATIONS_MAX && fault == NULL && c.left > 0; i++)
        fault = history_step(&h);
    if (fault == NULL)
        fault = history_settle(&h);
    if (fault != NULL)
        (void)fprintf(stderr, "%s (operation %d)\n", fault, (int)h.asked.op);
    FUZZ_CHECK(fault == NULL);
    coat_lane_close(lane);
    coat_store_close(store);
    return 0;
}
