/* SPDX-License-Identifier: Apache-2.0 */
#include "coat_test.h"
#include "server/http/wheel.h"

#include <stddef.h>
#include <string.h>

enum { NODES = 300 };

typedef struct item {
    coat_wheel_node node;
    int64_t fired_ms, want_ms;
    unsigned fires;
} item;

static coat_wheel wheel;
static item items[NODES];
static int64_t now;

static void
fire(void *ctx, coat_wheel_node *node)
{
    item *it = (item *)node;

    (void)ctx;
    it->fired_ms = now;
    it->fires++;
    CHECK(it->node.next == NULL);
}

static void
reset(int64_t start)
{
    memset(items, 0, sizeof items);
    now = start;
    coat_wheel_init(&wheel, now);
}

static void
advance_to(int64_t end, int64_t step)
{
    while (now < end) {
        now += step;
        coat_wheel_advance(&wheel, now, fire, NULL);
    }
}

/* Against a plain list: random sets, changes and removals; never early, at most a step late. */
static void
fires_in_time(void)
{
    test_rng rng = {3};

    for (long round = 0; round < test_scaled(400, 8); round++) {
        reset((int64_t)test_rng_below(&rng, 1u << 30));
        for (int64_t i = 0; i < 3000; i++) {
            item *it = &items[test_rng_below(&rng, NODES)];

            if (test_rng_below(&rng, 5) == 0) {
                coat_wheel_remove(&it->node);
                it->want_ms = 0;
            } else {
                it->want_ms = now + (int64_t)test_rng_below(&rng, 200000);
                it->fires = 0;
                coat_wheel_set(&wheel, &it->node, it->want_ms);
            }
            advance_to(now + (int64_t)test_rng_below(&rng, 120), 60);
            for (size_t k = 0; k < NODES; k++) {
                if (items[k].want_ms == 0)
                    continue;
                if (items[k].fires == 0)
                    CHECK(now < items[k].want_ms + COAT_WHEEL_STEP_MS);
                else
                    CHECK(items[k].fires == 1 && items[k].fired_ms >= items[k].want_ms);
            }
        }
    }
}

static void
survives_pauses(void)
{
    reset(1000);
    coat_wheel_set(&wheel, &items[0].node, 2000);
    coat_wheel_set(&wheel, &items[1].node, 100000000);
    now = 50000000;
    coat_wheel_advance(&wheel, now, fire, NULL);
    CHECK_INT(items[0].fires, 1);
    CHECK_INT(items[1].fires, 0);
    now = 100000250;
    coat_wheel_advance(&wheel, now, fire, NULL);
    CHECK_INT(items[1].fires, 1);
}

static void
set_again(void *ctx, coat_wheel_node *node)
{
    (void)ctx;
    ((item *)node)->fires++;
    /* Also touches a neighbour that is due in the same step. */
    coat_wheel_remove(&items[1].node);
    coat_wheel_set(&wheel, node, now + 1);
}

static void
may_be_changed_while_firing(void)
{
    reset(0);
    coat_wheel_set(&wheel, &items[0].node, 100);
    coat_wheel_set(&wheel, &items[1].node, 100);
    now = 250;
    coat_wheel_advance(&wheel, now, set_again, NULL);
    CHECK_INT(items[0].fires, 1);
    CHECK_INT(items[1].fires, 0);
    now = 500;
    coat_wheel_advance(&wheel, now, set_again, NULL);
    CHECK_INT(items[0].fires, 2);
}

static const coat_test tests[] = {
    {"RX-2: never early, at most a step late", fires_in_time},
    {"a long pause fires all that is due", survives_pauses},
    {"entries may be changed while firing", may_be_changed_while_firing},
};

COAT_TEST_MAIN(tests)
