/* SPDX-License-Identifier: Apache-2.0 */
/* Former tables are unmapped beside the loop. Closing one waits here until it may. */
#include "coat_test.h"

#include <pthread.h>
#include <semaphore.h>

static int create_thread(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *),
                         void *data);
#define pthread_create create_thread
#include "nginx/unmap.c"
#undef pthread_create

struct coat_table {
    sem_t may, done;
    pthread_t by;
    sigset_t blocked;
    atomic_int closed;
};

enum { TABLES = HELPERS_MAX + 1 };
static coat_table tables[TABLES];
static unsigned said; /* lines in the log */
static int refusal;   /* what making a thread fails with */
static ngx_log_t error_log = {.log_level = NGX_LOG_DEBUG};

static int
create_thread(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *data)
{
    return refusal != 0 ? refusal : pthread_create(thread, attr, run, data);
}

void
coat_table_close(coat_table *table)
{
    REQUIRE(sem_wait(&table->may) == 0);
    table->by = pthread_self();
    (void)pthread_sigmask(SIG_SETMASK, NULL, &table->blocked);
    (void)atomic_fetch_add(&table->closed, 1);
    (void)sem_post(&table->done);
}

void
ngx_log_error_core(ngx_uint_t level, ngx_log_t *log, ngx_err_t err, const char *fmt, ...)
{
    CHECK(level == NGX_LOG_WARN && log == &error_log && err == EAGAIN && fmt != NULL);
    said++;
}

static void
setup(void)
{
    said = 0;
    refusal = 0;
    for (size_t i = 0; i < TABLES; i++) {
        atomic_store(&tables[i].closed, 0);
        REQUIRE(sem_init(&tables[i].may, 0, 0) == 0 && sem_init(&tables[i].done, 0, 0) == 0);
    }
}

static void
let(size_t i)
{
    REQUIRE(sem_post(&tables[i].may) == 0);
}

static bool
is_by_me(size_t i)
{
    return atomic_load(&tables[i].closed) == 1 && pthread_equal(tables[i].by, pthread_self());
}

static void
test_beside(void)
{
    sigset_t mine, after;

    setup();
    (void)sigemptyset(&mine);
    (void)sigaddset(&mine, SIGUSR2);
    REQUIRE(pthread_sigmask(SIG_SETMASK, &mine, NULL) == 0);
    coat_ngx_unmap(&tables[0], &error_log);
    CHECK_INT(atomic_load(&tables[0].closed), 0); /* and we went on */
    REQUIRE(pthread_sigmask(SIG_SETMASK, NULL, &after) == 0);
    for (int signal = 1; signal <= SIGRTMAX; signal++)
        CHECK(sigismember(&after, signal) == (signal == SIGUSR2));
    let(0);
    coat_ngx_unmaps_end();
    CHECK_INT(atomic_load(&tables[0].closed), 1);
    CHECK(!pthread_equal(tables[0].by, pthread_self()));
    for (const int *signal = (const int[]){SIGHUP, SIGTERM, SIGCHLD, SIGALRM, SIGIO, 0};
         *signal != 0; signal++)
        CHECK(sigismember(&tables[0].blocked, *signal) == 1);
    CHECK_INT(said, 0);
}

static void
test_limit(void)
{
    setup();
    for (size_t i = 0; i < HELPERS_MAX; i++)
        coat_ngx_unmap(&tables[i], &error_log);
    let(HELPERS_MAX);
    coat_ngx_unmap(&tables[HELPERS_MAX], &error_log);
    CHECK(is_by_me(HELPERS_MAX));
    CHECK_INT(said, 1);
    for (size_t i = 0; i < HELPERS_MAX; i++) {
        CHECK_INT(atomic_load(&tables[i].closed), 0);
        let(i);
    }
    coat_ngx_unmaps_end();
    for (size_t i = 0; i < HELPERS_MAX; i++)
        CHECK(atomic_load(&tables[i].closed) == 1 && !is_by_me(i));
}

/* More than there is room for, one after another: who has ended makes room. */
static void
test_again(void)
{
    enum { ROUNDS = 10 * HELPERS_MAX };

    setup();
    for (int round = 0; round < ROUNDS; round++) {
        coat_ngx_unmap(&tables[0], &error_log);
        let(0);
        REQUIRE(sem_wait(&tables[0].done) == 0);
        while (!atomic_load(&helpers[0].ended))
            (void)sched_yield();
        CHECK(!pthread_equal(tables[0].by, pthread_self()));
    }
    CHECK_INT(atomic_load(&tables[0].closed), ROUNDS);
    CHECK_INT(said, 0);
    for (size_t i = 1; i < HELPERS_MAX; i++)
        CHECK(!helpers[i].begun);
    coat_ngx_unmaps_end();
    coat_ngx_unmaps_end(); /* nothing to wait for */
}

static void
test_no_thread(void)
{
    setup();
    refusal = EAGAIN;
    let(0);
    coat_ngx_unmap(&tables[0], &error_log);
    CHECK(is_by_me(0));
    CHECK_INT(said, 1);
    coat_ngx_unmaps_end();
    refusal = 0;
    let(1);
    coat_ngx_unmap(&tables[1], &error_log);
    coat_ngx_unmaps_end();
    CHECK(atomic_load(&tables[1].closed) == 1 && !is_by_me(1));
    CHECK_INT(said, 1);
    coat_ngx_unmap(NULL, &error_log);
    CHECK(!helpers[0].begun);
}

static const coat_test tests[] = {
    {"HD-11: a former table is unmapped by another thread, which takes no signals",
     test_beside},
    {"HD-11: no more than a few at a time, and when a worker ends all are done", test_limit},
    {"HD-11: who has ended makes room for the next", test_again},
    {"HD-11: where there is no thread it is unmapped all the same", test_no_thread},
};

COAT_TEST_MAIN(tests)
