/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_TESTS_FAULT_DRILL_H
#define COAT_TESTS_FAULT_DRILL_H

/**
 * The drills of SF-1 and SF-6 for any store: users' sessions through a proxy that does what
 * networks do. The program has begin(seed), which opens the store with test_monotonic() as its
 * clock, and lanes for all drills, and end().
 */

#include "drill.h"
#include "fault_proxy.h"

static fault_proxy proxy;
static coat_store *store;
static drill drills[DRILL_THREADS];
static _Atomic int64_t ahead_ms;

static void begin(uint64_t seed);
static void end(void);

static int64_t
test_monotonic(void *ctx)
{
    struct timespec now;

    (void)ctx;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 + atomic_load(&ahead_ms);
}

/** For begin(). */
static void
open_drills(uint64_t seed)
{
    for (int i = 0; i < DRILL_THREADS; i++) {
        drills[i] = (drill){.store = store,
                            .owner = (uint64_t)i + 1,
                            .rng = {seed * 100 + (uint64_t)i},
                            .ahead_ms = &ahead_ms,
                            .timeout_ms = 50};
        REQUIRE_OK(coat_lane_open(store, NULL, &drills[i].lane));
    }
}

static void
close_drills_lanes(void)
{
    for (int i = 0; i < DRILL_THREADS; i++)
        coat_lane_close(drills[i].lane);
}

/** For end(). */
static void
close_drills(void)
{
    close_drills_lanes();
    coat_store_close(store);
    proxy_stop(&proxy);
}

/** Everybody gets through again, and what was live before is. */
static void
recover(void)
{
    proxy_set(&proxy, FAULT_NONE, FAULT_NONE, 0);
    atomic_store(&proxy.refuse, false);
    for (int i = 0; i < DRILL_THREADS; i++) {
        drill *d = &drills[i];
        coat_err err = COAT_STORE_DOWN;

        for (int n = 0; n < 4000 && err != COAT_OK; n++) {
            err = run_op(d->lane, COAT_OP_SWEEP, 0, 0); /* and decides what was in doubt */
            if (err != COAT_OK) {
                atomic_fetch_add(&ahead_ms, 200);
                (void)nanosleep(&(struct timespec){0, 5000000}, NULL);
            }
        }
        CHECK_ERR(err, COAT_OK);
        d->timeout_ms = PATIENCE_MS;
        for (uint64_t s = 0; s < DRILL_SESSIONS && d->fault == NULL; s++) {
            if (d->sessions[s].undecided)
                d->sessions[s].state = KNOWN_MAYBE;
            d->sessions[s].undecided = d->sessions[s].maybe_insert = false;
            drill_load(d, s);
            drill_load(d, s); /* decided once and for all */
        }
        d->timeout_ms = 50;
        if (d->fault != NULL)
            test_fail(__FILE__, __LINE__, "after recovery: %s", d->fault);
    }
}

static void
warm_up(uint64_t steps)
{
    for (int i = 0; i < DRILL_THREADS; i++) {
        drills[i].steps = steps;
        drills[i].timeout_ms = PATIENCE_MS;
    }
    drill_all(drills);
    for (int i = 0; i < DRILL_THREADS; i++)
        drills[i].timeout_ms = 50;
}

static void
drill_fault(fault to_server, fault to_client, int percent, bool refuse, long full, long floor)
{
    begin((uint64_t)to_server * 10 + to_client + 1);
    warm_up(200);
    atomic_store(&proxy.delay_ms, 100); /* up to twice the deadline */
    for (int round = 0; round < 2; round++) {
        proxy_set(&proxy, to_server, to_client, percent);
        atomic_store(&proxy.refuse, refuse);
        if (refuse)
            proxy_set(&proxy, FAULT_RESET, FAULT_RESET, 100);
        for (int i = 0; i < DRILL_THREADS; i++)
            drills[i].steps = (uint64_t)test_scaled(full, floor);
        drill_all(drills);
        recover();
    }
    CHECK(refuse || atomic_load(&proxy.met) > 0);
    for (int i = 0; i < DRILL_THREADS; i++)
        CHECK(drills[i].answered > 0);
    if (getenv("COAT_TEST_VERBOSE") != NULL)
        printf("# %d/%d: met %llu, answered %llu, down %llu\n", (int)to_server, (int)to_client,
               (unsigned long long)atomic_load(&proxy.met),
               (unsigned long long)drills[0].answered, (unsigned long long)drills[0].down);
    warm_up(100);
    end();
}

static const struct way {
    const char *name;
    fault to_server, to_client;
    int percent;
    bool refuse;
    long full, floor;
} ways[] = {
    {"refused", FAULT_NONE, FAULT_NONE, 0, true, 5000, 60},
    {"delayed answers", FAULT_NONE, FAULT_DELAY, 30, false, 5000, 60},
    {"delayed questions", FAULT_DELAY, FAULT_NONE, 30, false, 5000, 60},
    {"reset before the question", FAULT_RESET, FAULT_NONE, 10, false, 5000, 80},
    {"reset instead of the answer", FAULT_NONE, FAULT_RESET, 10, false, 5000, 80},
    {"questions cut short", FAULT_TRUNCATE, FAULT_NONE, 10, false, 5000, 80},
    {"answers cut short", FAULT_NONE, FAULT_TRUNCATE, 10, false, 5000, 80},
    {"questions vanish", FAULT_BLACKHOLE, FAULT_NONE, 100, false, 5000, 40},
    {"answers vanish", FAULT_NONE, FAULT_BLACKHOLE, 100, false, 5000, 40},
    {"questions out of order", FAULT_REORDER, FAULT_NONE, 20, false, 5000, 60},
    {"answers out of order", FAULT_NONE, FAULT_REORDER, 20, false, 5000, 60},
    {"answers repeated", FAULT_NONE, FAULT_REPEAT, 30, false, 5000, 400},
    {"questions held", FAULT_HOLD, FAULT_NONE, 100, false, 5000, 20},
};

static void
all_ways(void)
{
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        test_case(ways[i].name);
        drill_fault(ways[i].to_server, ways[i].to_client, ways[i].percent, ways[i].refuse,
                    ways[i].full, ways[i].floor);
    }
    test_case(NULL);
}

/** Bits flip on a wire without TLS: nobody gets another's record, and nothing breaks. */
static void
corrupted(void)
{
    for (int way = 0; way < 2; way++) {
        begin(77 + (uint64_t)way);
        for (int i = 0; i < DRILL_THREADS; i++)
            drills[i].may_corrupt = true;
        warm_up(100);
        proxy_set(&proxy, way == 0 ? FAULT_CORRUPT : FAULT_NONE,
                  way == 0 ? FAULT_NONE : FAULT_CORRUPT, 30);
        for (int i = 0; i < DRILL_THREADS; i++)
            drills[i].steps = (uint64_t)test_scaled(10000, 150);
        drill_all(drills);
        CHECK(atomic_load(&proxy.met) > 0);
        end();
    }
}

#endif
