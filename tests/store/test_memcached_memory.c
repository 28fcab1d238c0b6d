/* SPDX-License-Identifier: Apache-2.0 */
/**
 * HD-4: every allocation of a conversation with a real server fails once, each in its turn, and
 * then all from there on. Requests still end once, never with an answer that the server did not
 * give, and nothing that was ended is live afterwards.
 */

#include "failing_malloc.h"
#include "memcached_fixture.h"
#include "test_clock.h"

static mc_server server;
static coat_store *store;

static const struct {
    coat_op op;
    uint64_t serial;
    coat_err want;
} talk[] = {
    {COAT_OP_INSERT, 2, COAT_OK},       {COAT_OP_LOAD, 2, COAT_OK},
    {COAT_OP_INSERT, 1, COAT_EXISTS},   {COAT_OP_REPLACE, 1, COAT_CONFLICT},
    {COAT_OP_LIST_OWNER, 0, COAT_OK},   {COAT_OP_REMOVE, 1, COAT_OK},
    {COAT_OP_LOAD, 1, COAT_NO_SESSION}, {COAT_OP_SWEEP, 0, COAT_OK},
    {COAT_OP_REMOVE_OWNER, 0, COAT_OK}, {COAT_OP_LOAD, 2, COAT_NO_SESSION},
    {COAT_OP_EPOCHS, 0, COAT_OK},       {COAT_OP_END_ALL, 0, COAT_OK},
};
enum { TALKS = sizeof talk / sizeof talk[0] };

static unsigned ends;

static void
note_end(coat_store_req *req)
{
    (void)req;
    ends++;
}

static void
note_item(coat_store_req *req, const coat_store_item *item)
{
    (void)req;
    CHECK(item->value.len == 1000 || item->value.len == 0);
}

static void
converse(coat_lane *lane, coat_err got[TALKS])
{
    static const uint8_t value[1000];

    for (size_t i = 0; i < TALKS; i++) {
        coat_store_req req = session_req(talk[i].op, 1, talk[i].serial);

        req.value = (coat_span){value, sizeof value};
        req.version = 1;
        req.done = note_end;
        req.item = note_item;
        req.timeout_ms = 40;
        ends = 0;
        got[i] = coat_store_run(lane, &req);
        CHECK_INT(ends, 1);
        atomic_fetch_add(&ahead_ms, got[i] == talk[i].want ? 0 : 100);
    }
}

static void
check_answers(const coat_err got[TALKS], bool failed)
{
    bool sure = true; /* all before it were as wanted */

    for (size_t i = 0; i < TALKS; i++) {
        bool undecided = got[i] == COAT_STORE_DOWN || got[i] == COAT_NO_MEMORY;

        if (sure && got[i] != talk[i].want)
            CHECK(failed && undecided);
        sure = sure && got[i] == talk[i].want;
        /* Whatever happened to the others: what was ended is not live. */
        if (talk[i].op == COAT_OP_LOAD && got[i] == COAT_OK)
            CHECK(talk[i].want == COAT_OK || got[i - 1] != COAT_OK);
    }
}

static long
one_run(long n, bool all)
{
    coat_lane *lane;
    coat_err got[TALKS];
    bool failed;
    long used;

    prefixes++;
    REQUIRE_OK(servers_open(&server, 1, "", &store));
    ((mc_store *)store)->nodes[0]->remote.monotonic = test_monotonic;
    REQUIRE_OK(coat_lane_open(store, NULL, &lane));
    CHECK_ERR(run_op(lane, COAT_OP_INSERT, 1, 1), COAT_OK);
    seen = 0;
    from_then_on = all;
    countdown = n;
    converse(lane, got);
    used = seen;
    failed = seen > n;
    countdown = -1;
    check_answers(got, failed);
    coat_lane_close(lane);
    coat_store_close(store);
    return used;
}

static void
every_allocation(void)
{
    long sites;

    if (CANNOT_FAIL)
        test_skip("a sanitizer has the allocator");
    server_start(&server);
    sites = one_run(1000000, false);
    CHECK(sites > 40);
    for (long n = 0; n < sites; n++) {
        (void)one_run(n, false);
        (void)one_run(n, true);
    }
}

static const coat_test tests[] = {
    {"HD-4: without memory requests end once, and with no answer of our own making",
     every_allocation},
};

int
main(int argc, char **argv)
{
    int rc = coat_test_main(argc, argv, tests, sizeof tests / sizeof tests[0]);

    server_kill(&server);
    return rc;
}
