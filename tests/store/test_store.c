/* SPDX-License-Identifier: Apache-2.0 */
/** Opening by URL, registering, and the ordered map of the memory store. */

#include "coat_test.h"
#include "core/bytes.h"
#include "store/tree.h"

#include <coatcheck/store.h>
#include <stdlib.h>

static void
urls(void)
{
    static const struct {
        const char *url;
        coat_err want;
        const char *said;
    } cases[] = {
        {"memory:", COAT_OK, ""},
        {"memory:x", COAT_INVALID, "memory"},
        {"memory", COAT_INVALID, "not a store URL"},
        {"", COAT_INVALID, "not a store URL"},
        {"/var/lib/x", COAT_INVALID, "not a store URL"},
        {":x", COAT_INVALID, "no known kind"},
        {"rabbit://localhost", COAT_INVALID, "no known kind"},
        {"LMDB:/x", COAT_INVALID, "no known kind"},
        {"lmdb:", COAT_INVALID, "lacks the directory"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char message[200] = "?";
        coat_store_conf conf = {
            .url = cases[i].url, .message = message, .message_cap = sizeof message};
        coat_store *store = NULL;

        test_case(cases[i].url);
        CHECK_ERR(coat_store_open(&conf, &store), cases[i].want);
        CHECK(strstr(message, cases[i].said) != NULL);
        CHECK((store != NULL) == (cases[i].want == COAT_OK));
        coat_store_close(store);
        conf.message = NULL; /* nobody asks why */
        store = NULL;
        CHECK_ERR(coat_store_open(&conf, &store), cases[i].want);
        coat_store_close(store);
        conf.message = message;
        conf.message_cap = 1;
        store = NULL;
        CHECK_ERR(coat_store_open(&conf, &store), cases[i].want);
        CHECK(message[0] == '\0');
        coat_store_close(store);
    }
    test_case(NULL);
}

static void
null_arguments(void)
{
    coat_store_conf conf = {.url = NULL};
    coat_store *store = NULL;
    coat_lane *lane = NULL;

    CHECK_ERR(coat_store_open(NULL, &store), COAT_INVALID);
    CHECK_ERR(coat_store_open(&conf, &store), COAT_INVALID);
    CHECK_ERR(coat_lane_open(NULL, NULL, &lane), COAT_INVALID);
    coat_store_close(NULL);
    coat_lane_close(NULL);
}

static void
reserve_above_map(void)
{
    coat_store_conf conf = {
        .url = "lmdb:/nonexistent/x", .map_bytes = 1 << 20, .reserve_bytes = 1 << 20};
    coat_store *store = NULL;

    CHECK_ERR(coat_store_open(&conf, &store), COAT_INVALID);
}

/** What an operation may take: its own, or the store's, or what all stores have. */
static void
timeouts(void)
{
    static const struct {
        uint32_t of_store, of_req, want; /* 0: refused */
    } cases[] = {
        {0, 0, 250},     {0, 77, 77}, {10, 0, 10},  {5000, 0, 5000},    {5000, 60000, 60000},
        {400, 300, 300}, {9, 0, 0},   {5001, 0, 0}, {UINT32_MAX, 0, 0},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char message[200] = "";
        coat_store_conf conf = {.url = "memory:",
                                .timeout_ms = cases[i].of_store,
                                .message = message,
                                .message_cap = sizeof message};
        coat_store_req req = {.op = COAT_OP_EPOCHS, .timeout_ms = cases[i].of_req};
        coat_store *store = NULL;
        coat_lane *lane;

        if (cases[i].want == 0) {
            CHECK_ERR(coat_store_open(&conf, &store), COAT_INVALID);
            CHECK(store == NULL && strstr(message, "10 to 5000") != NULL);
            continue;
        }
        REQUIRE_OK(coat_store_open(&conf, &store));
        REQUIRE_OK(coat_lane_open(store, NULL, &lane));
        CHECK_ERR(coat_store_run(lane, &req), COAT_OK);
        CHECK_INT(req.timeout_ms, cases[i].want);
        coat_lane_close(lane);
        coat_store_close(store);
    }
}

/* A store of somebody else's: the memory store under another name. */
static struct coat_store_ops foreign;

static void
registering(void)
{
    coat_store_conf conf = {.url = "memory:"};
    coat_store *store = NULL;
    struct coat_store_ops bad;

    REQUIRE_OK(coat_store_open(&conf, &store));
    foreign = *store->ops;
    coat_store_close(store);
    CHECK_ERR(coat_store_register(&foreign), COAT_EXISTS);
    foreign.name = "foreign";
    bad = foreign;
    bad.abi = COAT_STORE_ABI + 1;
    CHECK_ERR(coat_store_register(&bad), COAT_INVALID);
    bad = foreign;
    bad.wait = NULL;
    CHECK_ERR(coat_store_register(&bad), COAT_INVALID);
    CHECK_ERR(coat_store_register(NULL), COAT_INVALID);
    CHECK_ERR(coat_store_register(&foreign), COAT_OK);
    conf.url = "foreign:x";
    CHECK_ERR(coat_store_open(&conf, &store), COAT_INVALID); /* found: its own refusal */
}

static void
tree_against_array(void)
{
    enum { KEYS = 200, STEPS = 20000 };
    static uint8_t present[KEYS];
    coat_tree tree;
    test_rng rng = {3};
    size_t count = 0;

    coat_tree_init(&tree, 16);
    for (int step = 0; step < STEPS; step++) {
        uint8_t key[16] = {0}, byte = (uint8_t)(test_rng_next(&rng) | 1);
        size_t k = test_rng_below(&rng, KEYS), next;
        const coat_tree_node *node;

        coat_store64be(key, k);
        switch (test_rng_below(&rng, 3)) {
        case 0:
            count += present[k] == 0;
            present[k] = byte;
            REQUIRE_OK(coat_tree_put(&tree, key, (coat_span){&byte, 1}, (coat_span){NULL, 0}));
            break;
        case 1:
            CHECK(coat_tree_del(&tree, key) == (present[k] != 0));
            count -= present[k] != 0;
            present[k] = 0;
            break;
        default:
            node = coat_tree_get(&tree, key);
            CHECK((node != NULL) == (present[k] != 0));
            if (node != NULL)
                CHECK_INT(node->value[0], present[k]);
        }
        for (next = k + 1; next < KEYS && present[next] == 0;)
            next++;
        node = coat_tree_seek(&tree, key, true);
        CHECK_INT(node != NULL ? coat_load64be(node->key) : KEYS, next);
        CHECK_INT(tree.count, count);
    }
    coat_tree_clear(&tree);
    CHECK_INT(tree.count, 0);
    CHECK_INT(tree.bytes, 0);
}

static const coat_test tests[] = {
    {"URLs name a store, or the message says what would", urls},
    {"NULL is refused or does nothing", null_arguments},
    {"a reserve larger than the map is refused", reserve_above_map},
    {"SF-2: an operation that names no deadline has the store's", timeouts},
    {"further stores register by scheme, once, with all functions", registering},
    {"the memory store's map agrees with an array", tree_against_array},
};
COAT_TEST_MAIN(tests)
