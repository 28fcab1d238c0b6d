/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_TESTS_MEMCACHED_KIT_H
#define COAT_TESTS_MEMCACHED_KIT_H

/** Up to three servers, one store on them with a clock that tests set ahead, one lane. */

#include "memcached_fixture.h"
#include "test_clock.h"

static mc_server servers[3];
static size_t count;
static coat_store *store;
static coat_lane *lane;
static mc_node *ended_on; /* whenever the clock is looked at, by another lane; or NULL */
static int ended_left;

static inline int64_t
ending_monotonic(void *ctx)
{
    mc_node *node = ended_on;

    if (node != NULL && ended_left-- > 0) {
        ended_on = NULL; /* not of itself */
        mc_journal_add(node, &(mc_ended){.handle = handle_of(99, (uint64_t)ended_left)});
        ended_on = node;
    }
    return test_monotonic(ctx);
}

static inline mc_store *
inside(coat_store *which)
{
    return (mc_store *)which;
}

static inline coat_store *
open_store(const char *params)
{
    coat_store *out = NULL;

    REQUIRE_OK(servers_open(servers, count, params, &out));
    for (uint32_t i = 0; i < inside(out)->node_count; i++)
        inside(out)->nodes[i]->remote.monotonic = ending_monotonic;
    return out;
}

/** A fresh store on so many servers. */
static inline void
begin(size_t n)
{
    count = n;
    for (size_t i = 0; i < n; i++)
        if (servers[i].pid == 0)
            server_start(&servers[i]);
    prefixes++;
    store = open_store("");
    REQUIRE_OK(coat_lane_open(store, NULL, &lane));
}

static inline void
end(void)
{
    coat_lane_close(lane);
    coat_store_close(store);
    lane = NULL;
    store = NULL;
}

/** Until an owner's operation is answered definitely; the breaker is led by the clock. */
static inline coat_err
come_back(coat_lane *with, uint64_t owner)
{
    coat_err err = COAT_STORE_DOWN;

    for (int i = 0; i < 4000 && err == COAT_STORE_DOWN; i++) {
        err = run_op(with, COAT_OP_EPOCHS, owner, 0);
        if (err == COAT_STORE_DOWN) {
            atomic_fetch_add(&ahead_ms, 200);
            server_sleep();
        }
    }
    return err;
}

static inline void
owner_key(uint64_t owner, char key[100])
{
    coat_owner o = owner_of(owner);
    int n = snprintf(key, 100, "t%d:o:", prefixes);

    for (int i = 0; i < 8; i++)
        n += snprintf(key + n, 100 - (size_t)n, "%02x", o.bytes[i]);
}

static inline size_t
server_of(uint64_t owner)
{
    coat_handle h = handle_of(owner, 1);
    mc_place place = mc_place_of_handle(&h);
    const mc_node *node = mc_node_of(inside(store), &place);

    for (size_t i = 0; i < count; i++)
        if (inside(store)->nodes[i] == node)
            return i;
    return 0;
}

#endif
