/* SPDX-License-Identifier: Apache-2.0 */
#include "records.h"

#include "../store/test_clock.h"
#include "store/remote/remote.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

rig r;

int64_t
records_network_clock(void *ctx)
{
    return test_monotonic(ctx);
}

coat_err
records_nothing(void *ctx, uint8_t *bytes, size_t len)
{
    (void)ctx;
    memset(bytes, 0, len);
    return COAT_OK;
}

enum { HURRY_MS = 125 }; /* twice in every close look at the clocks */
static bool is_precise;

int64_t
records_monotonic(void *ctx)
{
    (void)ctx;
    if (the_world.remote != NULL && !is_precise)
        rig_pass(&r, HURRY_MS);
    return r.mono;
}

void
records_precise(bool precise)
{
    is_precise = precise;
}

void
records_hurry(int64_t ms)
{
    atomic_fetch_add(&ahead_ms, ms);
}

void
records_prepare(unsigned engines)
{
    the_world.begin();
    rig_prepare(&r, the_world.url(true), engines);
    r.conf.table_slots = 0; /* every answer is the store's */
    r.conf.monotonic = records_monotonic;
    if (the_world.remote != NULL) /* its breaker and back-off go by this clock */
        the_world.remote(r.inner)->monotonic = records_network_clock;
}

void
records_begin(unsigned engines)
{
    records_prepare(engines);
    rig_start(&r);
}

void
records_end(void)
{
    rig_stop(&r);
    the_world.end();
}

static coat_store_stats
stats(void)
{
    coat_store_stats stats;

    REQUIRE_OK(coat_store_stats_get(r.inner, &stats));
    return stats;
}

uint64_t
records_entries(void)
{
    return the_world.entries != NULL ? the_world.entries(r.inner) : stats().sessions;
}

uint64_t
records_bytes(void)
{
    return the_world.bytes != NULL ? the_world.bytes(r.inner) : stats().bytes_used;
}

static stored *into;

static void
keep(coat_store_req *req)
{
    if (req->result != COAT_OK)
        return;
    memcpy(into->bytes, req->found.ptr, req->found.len);
    into->len = req->found.len;
    into->version = req->found_version;
    into->expires_ms = req->found_expires_ms;
}

/** On the first engine's lane; a busy machine is no fault. */
static coat_err
run(coat_store_req *req)
{
    coat_store_req fresh = *req;

    do {
        *req = fresh;
        req->result = coat_store_run(coat_desk_lane(r.desk[0]), req);
    } while (coat_err_kind_of(req->result) == COAT_KIND_RETRY);
    return req->result;
}

coat_err
records_fetch(const coat_handle *handle, stored *out)
{
    coat_store_req req = {.op = COAT_OP_LOAD,
                          .space = COAT_SPACE_SESSION,
                          .address = *handle,
                          .now_ms = r.wall,
                          .done = keep};

    into = out;
    return run(&req);
}

void
records_put(const coat_handle *handle, stored *s)
{
    coat_store_req req = {.op = COAT_OP_REPLACE,
                          .space = COAT_SPACE_SESSION,
                          .address = *handle,
                          .value = {s->bytes, s->len},
                          .version = s->version,
                          .expires_ms = s->expires_ms,
                          .now_ms = r.wall,
                          .timeout_ms = 60000};

    REQUIRE_OK(run(&req));
    s->version = req.found_version;
}

void
records_sweep(void)
{
    for (int walks = 0; walks < 2;) {
        coat_store_req req = {.op = COAT_OP_SWEEP, .now_ms = r.wall, .timeout_ms = 60000};

        REQUIRE_OK(run(&req));
        CHECK(req.count <= COAT_STORE_SWEEP_MAX);
        walks += !req.more;
    }
}

int
main(int argc, char **argv)
{
    const records_tests *const all[] = {&at_rest_tests,
                                        &bulk_tests,
                                        the_world.more_tests[0],
                                        the_world.more_tests[1],
                                        the_world.more_tests[2],
                                        the_world.more_tests[3],
                                        getenv("COAT_DRILLS") != NULL ? the_world.drills
                                                                      : NULL};
    coat_test tests[RECORDS_TESTS_MAX];
    size_t count = 0;
    int rc;

    if (the_world.ops != NULL)
        REQUIRE(coat_store_register(the_world.ops) != COAT_TOO_MANY);
    if (argc == 6 && strcmp(argv[1], "--process") == 0)
        the_world.process(argv + 2);
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        for (size_t n = 0; all[i] != NULL && n < all[i]->count && count < RECORDS_TESTS_MAX;
             n++)
            tests[count++] = all[i]->tests[n];
    rc = coat_test_main(argc, argv, tests, count);
    the_world.stop();
    return rc;
}
