/* SPDX-License-Identifier: Apache-2.0 */
/** Races between threads, each with its own lane. */

#include "store/suite/suite.h"

#include <pthread.h>
#include <stdatomic.h>

enum { NOW = 1000000, THREADS_MAX = 50 };

typedef struct racer racer;
struct racer {
    suite_run *run;
    void (*work)(racer *r, coat_lane *lane);
    pthread_barrier_t *start;
    uint64_t number, seed;
    void *shared;
    uint32_t good, evicted;
    const char *fault; /* looked at after the race */
};

static void *
racer_main(void *arg)
{
    racer *r = arg;
    coat_lane *lane = NULL;
    coat_err err = coat_lane_open(r->run->store, NULL, &lane);

    pthread_barrier_wait(r->start);
    if (err == COAT_OK)
        r->work(r, lane);
    else
        r->fault = "no lane";
    coat_lane_close(lane);
    return NULL;
}

/** Run all at once and wait for them. */
static void
race(suite_run *run, racer *racers, size_t n)
{
    pthread_t threads[THREADS_MAX];
    pthread_barrier_t start;
    size_t started = 0;

    pthread_barrier_init(&start, NULL, (unsigned)n);
    for (; started < n; started++) {
        racers[started].run = run;
        racers[started].start = &start;
        if (pthread_create(&threads[started], NULL, racer_main, &racers[started]) != 0) {
            /* The others wait at the barrier for ever: nothing sensible is left to do. */
            suite_fault(run, __FILE__, __LINE__, "cannot start %zu threads", n);
            return;
        }
    }
    for (size_t i = 0; i < n; i++) {
        pthread_join(threads[i], NULL);
        if (racers[i].fault != NULL)
            suite_fault(run, __FILE__, __LINE__, "thread %zu: %s", i, racers[i].fault);
    }
    pthread_barrier_destroy(&start);
}

static uint32_t
rounds(const suite_run *run)
{
    return run->suite->races != 0 ? run->suite->races : 50;
}

/* ---- parallel sign-ins of one user, at most ten sessions ---- */

static void
sign_in_once(racer *r, coat_lane *lane)
{
    suite_list evicted = {0};
    uint64_t owner = *(uint64_t *)r->shared;
    coat_store_req req = {
        .owner_max = 10, .owner_evict = true, .item = suite_collect, .ctx = &evicted};

    coat_err err = suite_insert(lane, &req, COAT_SPACE_SESSION, suite_handle(owner, r->number),
                                "v", 0, NOW);

    if (err != COAT_OK)
        r->fault = coat_err_name(err);
    r->good += err == COAT_OK;
    r->evicted += evicted.count;
}

static void
parallel_sign_ins(suite_run *run)
{
    enum { THREADS = 50 };
    uint32_t n = rounds(run) / 10 + 1;

    for (uint64_t owner = 1; owner <= n && !run->failed; owner++) {
        racer racers[THREADS] = {0};
        uint32_t good = 0, evicted = 0, live = 0;

        for (uint64_t i = 0; i < THREADS; i++)
            racers[i] = (racer){.work = sign_in_once, .number = i + 1, .shared = &owner};
        race(run, racers, THREADS);
        for (uint64_t i = 0; i < THREADS; i++) {
            good += racers[i].good;
            evicted += racers[i].evicted;
            live += suite_load(run->lane, COAT_SPACE_SESSION, suite_handle(owner, i + 1),
                               NOW) == COAT_OK;
        }
        EXPECT_INT(run, good, THREADS);
        EXPECT_INT(run, live, 10);
        EXPECT_INT(run, evicted, 40);
    }
}

/* ---- sign-ins against revocations ---- */

typedef struct revocation {
    uint64_t owner;
    _Atomic uint64_t acknowledged; /* the highest epoch that a revocation has answered */
} revocation;

static void
sign_in_slowly(racer *r, coat_lane *lane)
{
    revocation *rev = r->shared;

    for (uint64_t i = 0; i < 8; i++) {
        coat_store_req req = {0};
        uint64_t before = 0, serial = r->number * 100 + i;
        coat_err err;

        /* Read before the credentials are checked ... */
        if (suite_epochs(lane, rev->owner, &before, &req.epoch_global) != COAT_OK)
            r->fault = "no epochs";
        req.epoch_owner = before;
        err = suite_insert(lane, &req, COAT_SPACE_SESSION, suite_handle(rev->owner, serial),
                           "v", 0, NOW);
        /* ... so a revocation acknowledged since then must have won. */
        if (err == COAT_OK && atomic_load(&rev->acknowledged) > before &&
            suite_load(lane, COAT_SPACE_SESSION, suite_handle(rev->owner, serial), NOW) ==
                COAT_OK)
            r->fault = "created before a revocation and accepted after it";
        if (err != COAT_OK && err != COAT_REVOKED)
            r->fault = coat_err_name(err);
        r->good += err == COAT_OK;
    }
}

static void
revoke(racer *r, coat_lane *lane)
{
    revocation *rev = r->shared;

    for (int i = 0; i < 4; i++) {
        uint64_t epoch = 0;

        if (suite_remove_owner(lane, rev->owner, NOW, &epoch) != COAT_OK)
            r->fault = "revocation failed";
        atomic_store(&rev->acknowledged, epoch);
    }
}

static void
racing_revocations(suite_run *run)
{
    for (uint64_t owner = 1; owner <= rounds(run) && !run->failed; owner++) {
        revocation rev = {owner, 0};
        racer racers[4] = {{.work = revoke, .shared = &rev}};

        for (uint64_t i = 1; i < 4; i++)
            racers[i] = (racer){.work = sign_in_slowly, .number = i, .shared = &rev};
        race(run, racers, 4);
    }
}

/* ---- touch, save and rotate against sign-out and revocation ---- */

enum { TARGETS = 8 };

typedef struct targets {
    uint64_t owner;
    _Atomic uint64_t version[TARGETS];
    _Atomic bool ended[TARGETS]; /* set after the acknowledgment */
} targets;

static void
use_or_end(racer *r, coat_lane *lane)
{
    targets *t = r->shared;
    uint64_t state = r->seed;

    for (int step = 0; step < 60; step++) {
        uint64_t i = suite_random(&state) % TARGETS, choice = suite_random(&state) % 100;
        coat_handle h = suite_handle(t->owner, i + 1);
        bool ended = atomic_load(&t->ended[i]);
        uint64_t version = atomic_load(&t->version[i]);
        coat_err err;

        if (choice < 45) {
            err = suite_load(lane, COAT_SPACE_SESSION, h, NOW);
        } else if (choice < 95) {
            err = suite_replace(lane, COAT_SPACE_SESSION, h, &version, "w", 0, NOW);
            if (err == COAT_OK)
                atomic_store(&t->version[i], version);
        } else if (choice < 99) {
            if (suite_remove(lane, COAT_SPACE_SESSION, h) != COAT_OK)
                r->fault = "remove failed";
            atomic_store(&t->ended[i], true);
            continue;
        } else {
            if (suite_remove_owner(lane, t->owner, NOW, NULL) != COAT_OK)
                r->fault = "remove_owner failed";
            for (int k = 0; k < TARGETS; k++)
                atomic_store(&t->ended[k], true);
            continue;
        }
        if (err == COAT_STORE_DOWN)
            r->fault = "no answer";
        else if (ended && err != COAT_NO_SESSION)
            r->fault = "accepted after its end was acknowledged";
    }
}

static void
interleavings(suite_run *run)
{
    for (uint64_t owner = 1; owner <= rounds(run) && !run->failed; owner++) {
        targets t = {.owner = owner};
        racer racers[4] = {0};

        for (uint64_t i = 0; i < TARGETS; i++) {
            coat_store_req req = {0};

            EXPECT_ERR(run,
                       suite_insert(run->lane, &req, COAT_SPACE_SESSION,
                                    suite_handle(owner, i + 1), "v", 0, NOW),
                       COAT_OK);
            atomic_store(&t.version[i], req.found_version);
        }
        for (uint64_t i = 0; i < 4; i++)
            racers[i] = (racer){
                .work = use_or_end, .shared = &t, .seed = run->suite->seed + owner * 16 + i};
        race(run, racers, 4);
        for (uint64_t i = 0; i < TARGETS; i++)
            if (atomic_load(&t.ended[i]))
                EXPECT_ERR(
                    run,
                    suite_load(run->lane, COAT_SPACE_SESSION, suite_handle(owner, i + 1), NOW),
                    COAT_NO_SESSION);
    }
}

/* ---- one winner per version ---- */

static void
replace_once(racer *r, coat_lane *lane)
{
    uint64_t version = *(uint64_t *)r->shared;
    coat_err err =
        suite_replace(lane, COAT_SPACE_META, suite_handle(1, 1), &version, "w", 0, NOW);

    if (err == COAT_OK)
        r->good++;
    else if (err != COAT_CONFLICT)
        r->fault = coat_err_name(err);
}

static void
one_winner(suite_run *run)
{
    enum { THREADS = 8 };
    coat_store_req req = {0};
    uint64_t version;

    EXPECT_ERR(run,
               suite_insert(run->lane, &req, COAT_SPACE_META, suite_handle(1, 1), "v", 0, NOW),
               COAT_OK);
    version = req.found_version;
    for (uint32_t i = 0; i < rounds(run) && !run->failed; i++) {
        racer racers[THREADS] = {0};
        coat_store_req get = {.op = COAT_OP_LOAD,
                              .space = COAT_SPACE_META,
                              .address = suite_handle(1, 1),
                              .timeout_ms = 60000};
        uint32_t winners = 0;

        for (int k = 0; k < THREADS; k++)
            racers[k] = (racer){.work = replace_once, .shared = &version};
        race(run, racers, THREADS);
        for (int k = 0; k < THREADS; k++)
            winners += racers[k].good;
        EXPECT_INT(run, winners, 1);
        EXPECT_ERR(run, coat_store_run(run->lane, &get), COAT_OK);
        version = get.found_version;
    }
}

const suite_case suite_thread_cases[] = {
    {"LC-10: 50 parallel sign-ins leave exactly 10 sessions and report 40", parallel_sign_ins,
     false},
    {"RV-4: a sign-in racing a revocation is never both before and after", racing_revocations,
     false},
    {"LC-9: no interleaving accepts what was ended", interleavings, false},
    {"of parallel replaces of one version exactly one wins", one_winner, false},
    {NULL, NULL, false},
};
