/* SPDX-License-Identifier: Apache-2.0 */
#include "account/pool.h"
#include "coat_test.h"
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>

static atomic_llong now_ms;

static int64_t
fake_monotonic(void)
{
    return atomic_load(&now_ms);
}

static sem_t entered, leave, finished;

/* Keeps its thread busy until the test lets go. */
static void
hold(coat_job *job)
{
    (void)job;
    (void)sem_post(&entered);
    (void)sem_wait(&leave);
    (void)sem_post(&finished);
}

static void
note_finished(coat_job *job)
{
    (void)job;
    (void)sem_post(&finished);
}

static coat_job
job_of(void (*done)(coat_job *job))
{
    return (coat_job){.kind = COAT_JOB_MAKE,
                      .params = {8, 1, NULL},
                      .password = COAT_LIT("any password"),
                      .done = done};
}

static coat_pool *
pool_of(uint32_t threads, uint32_t queue_max)
{
    const coat_pool_conf conf = {threads, queue_max, 2000, 19456, fake_monotonic};
    coat_pool *pool;

    REQUIRE_OK(coat_init());
    (void)sem_init(&entered, 0, 0);
    (void)sem_init(&leave, 0, 0);
    (void)sem_init(&finished, 0, 0);
    atomic_store(&now_ms, 0);
    REQUIRE_OK(coat_pool_new(&conf, &pool));
    return pool;
}

static void
wait_for(sem_t *sem, unsigned times)
{
    for (unsigned i = 0; i < times; i++)
        (void)sem_wait(sem);
}

static void
let_go(unsigned times)
{
    for (unsigned i = 0; i < times; i++)
        (void)sem_post(&leave);
}

enum { THREADS = 2, QUEUE = 4 };

static void
test_bounded(void)
{
    coat_pool *pool = pool_of(THREADS, QUEUE);
    coat_job held[THREADS], queued[QUEUE], extra = job_of(note_finished);
    coat_pool_stats stats;

    for (unsigned i = 0; i < THREADS; i++) {
        held[i] = job_of(hold);
        REQUIRE_OK(coat_pool_submit(pool, &held[i]));
        wait_for(&entered, 1);
    }
    for (unsigned i = 0; i < QUEUE; i++) {
        CHECK(!coat_pool_full(pool));
        queued[i] = job_of(note_finished);
        REQUIRE_OK(coat_pool_submit(pool, &queued[i]));
    }
    CHECK(coat_pool_full(pool));
    CHECK_ERR(coat_pool_submit(pool, &extra), COAT_BUSY);
    let_go(THREADS);
    wait_for(&finished, THREADS + QUEUE);
    coat_pool_stats_get(pool, &stats);
    CHECK_INT(stats.queued_peak, QUEUE);
    CHECK(stats.running_peak <= THREADS);
    CHECK_INT(stats.overflows, 2);
    for (unsigned i = 0; i < QUEUE; i++)
        CHECK_ERR(queued[i].result, COAT_OK);
    coat_pool_free(pool);
}

static void
test_wait_limit(void)
{
    coat_pool *pool = pool_of(1, QUEUE);
    coat_job held = job_of(hold), old = job_of(note_finished), young = job_of(note_finished);
    coat_pool_stats stats;

    REQUIRE_OK(coat_pool_submit(pool, &held));
    wait_for(&entered, 1);
    REQUIRE_OK(coat_pool_submit(pool, &old));
    atomic_store(&now_ms, 1500);
    REQUIRE_OK(coat_pool_submit(pool, &young));
    atomic_store(&now_ms, 2001);
    let_go(1);
    wait_for(&finished, 3);
    CHECK_ERR(old.result, COAT_BUSY);
    CHECK(old.hash[0] == '\0');
    CHECK_ERR(young.result, COAT_OK);
    CHECK(young.hash[0] == '$');
    coat_pool_stats_get(pool, &stats);
    CHECK_INT(stats.overflows, 1);
    CHECK_INT(stats.hashes, 2);
    coat_pool_free(pool);
}

static void
test_withdraw(void)
{
    coat_pool *pool = pool_of(1, QUEUE);
    coat_job held = job_of(hold), jobs[3];

    REQUIRE_OK(coat_pool_submit(pool, &held));
    wait_for(&entered, 1);
    for (unsigned i = 0; i < 3; i++) {
        jobs[i] = job_of(note_finished);
        REQUIRE_OK(coat_pool_submit(pool, &jobs[i]));
    }
    CHECK(!coat_pool_withdraw(pool, &held));
    CHECK(coat_pool_withdraw(pool, &jobs[2])); /* the tail, then a new one behind it */
    CHECK(coat_pool_withdraw(pool, &jobs[0]));
    CHECK(!coat_pool_withdraw(pool, &jobs[0]));
    REQUIRE_OK(coat_pool_submit(pool, &jobs[2]));
    let_go(1);
    wait_for(&finished, 3);
    CHECK_ERR(jobs[0].result, COAT_BUSY);
    CHECK_ERR(jobs[1].result, COAT_OK);
    CHECK_ERR(jobs[2].result, COAT_OK);
    coat_pool_free(pool);
}

static void
test_conf(void)
{
    static const coat_pool_conf bad[] = {
        {0, 1, 1, 1, NULL}, {1, 0, 1, 1, NULL}, {1025, 1, 1, 1, NULL}};
    coat_pool *pool = NULL;

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK_ERR(coat_pool_new(&bad[i], &pool), COAT_INVALID);
    CHECK(pool == NULL);
    coat_pool_free(NULL);
}

/* Imported hashes that take more memory than ours run one at a time. */
static void
test_heavy(void)
{
    static const char text[] =
        "$scrypt$ln=10,r=8,p=1$c2FsdGJ5dGVz$dr1g7QS7N9WrYvHREDLS8aKkIf1qr3l0Gb8IsGGOzvs";
    enum { JOBS = 8 };
    coat_pool *pool = pool_of(THREADS, JOBS);
    coat_hash hash;
    coat_job jobs[JOBS];

    coat_pool_configure(pool, JOBS, 2000, 512); /* 1 MiB is heavy now */
    REQUIRE_OK(coat_hash_parse(COAT_LIT(text), &hash, NULL, 0));
    CHECK_INT(coat_hash_kib(&hash), 1024);
    for (unsigned i = 0; i < JOBS; i++) {
        jobs[i] = job_of(note_finished);
        jobs[i].kind = COAT_JOB_VERIFY;
        jobs[i].stored = &hash;
        jobs[i].password = COAT_LIT("a quiet lamp behind the sofa");
        REQUIRE_OK(coat_pool_submit(pool, &jobs[i]));
    }
    wait_for(&finished, JOBS);
    coat_pool_free(pool);
    for (unsigned i = 0; i < JOBS; i++)
        CHECK(jobs[i].match);
}

static const coat_test tests[] = {
    {"LG-10: K at once, a bounded queue, the rest is refused at once", test_bounded},
    {"LG-10: what waited longer than the limit is refused unhashed", test_wait_limit},
    {"a waiting job can be taken back, a running one not", test_withdraw},
    {"LG-10: hashes that take more memory run one at a time", test_heavy},
    {"settings out of range are refused", test_conf},
};
COAT_TEST_MAIN(tests)
