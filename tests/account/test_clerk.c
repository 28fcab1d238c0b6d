/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"
#include <pthread.h>
#include <uv.h>

/* A thread's loop, lane and clerk. */
typedef struct desk {
    uv_loop_t loop;
    coat_lane *lane;
    coat_clerk *clerk;
} desk;

static void
desk_open(desk *d, fixture *f)
{
    REQUIRE(uv_loop_init(&d->loop) == 0);
    REQUIRE_OK(coat_lane_open(f->store, &d->loop, &d->lane));
    REQUIRE_OK(coat_clerk_open(f->directory, d->lane, &d->loop, &d->clerk));
}

static void
desk_close(desk *d)
{
    coat_clerk_close(d->clerk);
    coat_lane_close(d->lane);
    (void)uv_run(&d->loop, UV_RUN_DEFAULT);
    CHECK_INT(uv_loop_close(&d->loop), 0);
}

typedef struct tally {
    unsigned done, ok, denied, busy, cancelled, other;
} tally;

static void
count(coat_account_call *call)
{
    tally *t = call->ctx;

    t->done++;
    switch (call->result) {
    case COAT_OK:
        t->ok++;
        break;
    case COAT_DENIED:
        t->denied++;
        break;
    case COAT_BUSY:
        t->busy++;
        break;
    case COAT_CANCELLED:
        t->cancelled++;
        break;
    default:
        t->other++;
    }
}

static void
add_users(fixture *f, unsigned users)
{
    for (unsigned i = 0; i < users; i++) {
        char name[32];

        (void)snprintf(name, sizeof name, "user-%u", i);
        REQUIRE_OK(fixture_add(f, name, GOOD_PASSWORD));
    }
}

enum { CALLS = 60, NAME_SIZE = 32 };

typedef struct batch {
    coat_account_call calls[CALLS];
    char names[CALLS][NAME_SIZE];
    tally tally;
} batch;

static void
batch_start(batch *b, coat_clerk *clerk, unsigned first_user, bool all_right)
{
    for (unsigned i = 0; i < CALLS; i++) {
        (void)snprintf(b->names[i], NAME_SIZE, "user-%u", first_user + i);
        b->calls[i] = (coat_account_call){
            .op = COAT_ACCOUNT_SIGN_IN,
            .name = coat_span_of(b->names[i]),
            .password =
                all_right || i % 2 == 0 ? COAT_LIT(GOOD_PASSWORD) : COAT_LIT(WRONG_PASSWORD),
            .done = count,
            .ctx = &b->tally,
        };
        coat_account_start(clerk, &b->calls[i]);
    }
}

static void
test_loop(void)
{
    static batch b;
    desk d;
    fixture f;

    fixture_prepare(&f, "memory:");
    f.conf.hash_threads = 2;
    fixture_open(&f, &fixture_weak);
    add_users(&f, CALLS);
    desk_open(&d, &f);
    memset(&b, 0, sizeof b);
    batch_start(&b, d.clerk, 0, false);
    (void)uv_run(&d.loop, UV_RUN_DEFAULT); /* ends by itself when the calls have */
    CHECK_INT(b.tally.done, CALLS);
    CHECK_INT(b.tally.ok, CALLS / 2);
    CHECK_INT(b.tally.denied, CALLS / 2);
    for (unsigned i = 0; i < CALLS; i += 2)
        CHECK_STR(b.calls[i].user, b.names[i]);
    CHECK_ERR(coat_account_run(d.clerk, &b.calls[0]), COAT_INVALID);
    desk_close(&d);
    fixture_fini(&f);
}

/* Closed with calls in every state: in the queue, being hashed, at the store. */
static void
cancel_with(const char *url, uint32_t kib)
{
    static batch b;
    desk d;
    fixture f;

    fixture_prepare(&f, url);
    f.conf.argon_kib = kib;
    fixture_open(&f, &fixture_weak);
    REQUIRE_OK(fixture_add(&f, "user-0", GOOD_PASSWORD));
    desk_open(&d, &f);
    memset(&b, 0, sizeof b);
    batch_start(&b, d.clerk, 0, true);
    coat_clerk_close(d.clerk);
    d.clerk = NULL;
    CHECK_INT(b.tally.done, CALLS);
    CHECK_INT(b.tally.cancelled, CALLS);
    for (unsigned i = 0; i < CALLS; i++)
        CHECK_STR(b.calls[i].user, "");
    desk_close(&d);
    fixture_fini(&f);
}

static void
test_cancel(void)
{
    char url[300];

    cancel_with("memory:", 4096);
    (void)snprintf(url, sizeof url, "lmdb:%s/store", test_tmpdir());
    cancel_with(url, 8);
}

static void
test_lmdb_loop(void)
{
    static batch b;
    char url[300];
    desk d;
    fixture f;

    (void)snprintf(url, sizeof url, "lmdb:%s/store", test_tmpdir());
    fixture_prepare(&f, url);
    fixture_open(&f, &fixture_weak);
    add_users(&f, CALLS);
    desk_open(&d, &f);
    memset(&b, 0, sizeof b);
    batch_start(&b, d.clerk, 0, false);
    while (b.tally.done < CALLS)
        (void)uv_run(&d.loop, UV_RUN_ONCE);
    CHECK_INT(b.tally.ok, CALLS / 2);
    CHECK_INT(b.tally.denied, CALLS / 2);
    desk_close(&d);
    fixture_fini(&f);
}

/* Overflow is answered at once and is not held against the account. */
static void
test_overflow(void)
{
    static batch b;
    coat_directory_stats stats;
    desk d;
    fixture f;

    fixture_prepare(&f, "memory:");
    f.conf.argon_kib = 4096;
    f.conf.queue_max = 2;
    fixture_open(&f, &fixture_weak);
    add_users(&f, CALLS);
    desk_open(&d, &f);
    memset(&b, 0, sizeof b);
    batch_start(&b, d.clerk, 0, true);
    (void)uv_run(&d.loop, UV_RUN_DEFAULT);
    CHECK_INT(b.tally.done, CALLS);
    CHECK_INT(b.tally.ok + b.tally.busy, CALLS);
    CHECK(b.tally.busy > 0 && b.tally.ok >= 2);
    coat_directory_stats_get(f.directory, &stats);
    CHECK(stats.queue_peak <= 2);
    CHECK(stats.overflows >= b.tally.busy);
    for (unsigned i = 0; i < CALLS; i++)
        CHECK_INT(fixture_failures(&f, b.names[i], COAT_CLIENT_UNKNOWN), 0);
    desk_close(&d);
    fixture_fini(&f);
}

static atomic_llong monotonic;

static int64_t
jumping_monotonic(void)
{
    return atomic_fetch_add(&monotonic,
                            3000); /* each look 3 s later: all have waited too long */
}

static void
test_waited_too_long(void)
{
    const coat_directory_test slow = {.weak_ok = true, .monotonic_ms = jumping_monotonic};
    fixture f;

    fixture_init(&f);
    REQUIRE_OK(fixture_add(&f, "alice", GOOD_PASSWORD));
    CHECK_ERR(fixture_sign_in(&f, "alice", WRONG_PASSWORD), COAT_DENIED);
    fixture_shut(&f);
    fixture_open(&f, &slow);
    for (unsigned i = 0; i < 10; i++) {
        CHECK_ERR(fixture_sign_in(&f, "alice", GOOD_PASSWORD), COAT_BUSY);
        CHECK_INT(fixture_failures(&f, "alice", COAT_CLIENT_UNKNOWN), 1);
        CHECK_ERR(fixture_sign_in(&f, "nobody", GOOD_PASSWORD), COAT_BUSY);
    }
    fixture_fini(&f);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
static long
peak_kib(void)
{
    FILE *file = fopen("/proc/self/status", "re");
    char line[256];
    long kib = 0;

    REQUIRE(file != NULL);
    while (fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "VmHWM: %ld kB", &kib) == 1)
            break;
    (void)fclose(file);
    return kib;
}

static void
test_memory(void)
{
    enum { K = 2, ROUNDS = 10 };
    static batch b;
    unsigned done = 0;
    long before, after;
    desk d;
    fixture f;

    fixture_prepare(&f, "memory:");
    f.conf.argon_kib = 19456;
    f.conf.argon_passes = 2;
    f.conf.hash_threads = K;
    f.conf.queue_max = 6;
    fixture_open(&f, NULL);
    before = peak_kib();
    desk_open(&d, &f);
    for (unsigned round = 0; round < ROUNDS; round++) {
        memset(&b, 0, sizeof b);
        batch_start(&b, d.clerk, 1000 * round, true);
        if (round == ROUNDS - 1)
            (void)uv_run(&d.loop, UV_RUN_DEFAULT);
        else
            while (b.tally.done < CALLS)
                (void)uv_run(&d.loop, UV_RUN_ONCE);
        done += b.tally.done;
    }
    after = peak_kib();
    CHECK_INT(done, ROUNDS * CALLS);
    CHECK(after - before <= (K * 19 + 32) * 1024L);
    desk_close(&d);
    fixture_fini(&f);
}
#else
static void
test_memory(void)
{
    test_skip("sanitizers have memory of their own");
}
#endif

/* Several loops on one directory, while it is given new settings and its figures are read. */
typedef struct worker {
    fixture *f;
    pthread_t thread;
    unsigned number;
    batch b;
} worker;

static void *
work_main(void *arg)
{
    worker *w = arg;
    desk d;

    desk_open(&d, w->f);
    batch_start(&w->b, d.clerk, w->number * CALLS, false);
    while (w->b.tally.done < CALLS)
        (void)uv_run(&d.loop, UV_RUN_ONCE);
    desk_close(&d);
    return NULL;
}

static void
test_threads(void)
{
    enum { WORKERS = 3 };
    static worker workers[WORKERS];
    coat_directory_stats stats;
    char message[160];
    fixture f;

    fixture_prepare(&f, "memory:");
    f.conf.hash_threads = 2;
    f.conf.queue_max = WORKERS * CALLS;
    f.conf.rng = NULL; /* the test's generator is for one thread */
    f.conf.events = NULL;
    fixture_open(&f, &fixture_weak);
    add_users(&f, WORKERS * CALLS);
    for (unsigned i = 0; i < WORKERS; i++) {
        workers[i] = (worker){.f = &f, .number = i};
        REQUIRE(pthread_create(&workers[i].thread, NULL, work_main, &workers[i]) == 0);
    }
    f.conf.argon_passes = 2;
    REQUIRE_OK(coat_directory_reconfigure(f.directory, &f.conf, message, sizeof message));
    f.conf.failures_known = 0;
    CHECK_ERR(coat_directory_reconfigure(f.directory, &f.conf, message, sizeof message),
              COAT_INVALID);
    coat_directory_stats_get(f.directory, &stats);
    for (unsigned i = 0; i < WORKERS; i++) {
        REQUIRE(pthread_join(workers[i].thread, NULL) == 0);
        CHECK_INT(workers[i].b.tally.ok, CALLS / 2);
        CHECK_INT(workers[i].b.tally.denied, CALLS / 2);
    }
    coat_directory_stats_get(f.directory, &stats);
    CHECK_INT(stats.sign_ins, WORKERS * CALLS / 2);
    CHECK_INT(stats.failures, WORKERS * CALLS / 2);
    fixture_fini(&f);
}

static const coat_test tests[] = {
    {"calls on a loop, many at a time", test_loop},
    {"calls on a loop over a durable store", test_lmdb_loop},
    {"closing a clerk cancels what is outstanding", test_cancel},
    {"LG-10: overflow is refused at once and is no failure of the account", test_overflow},
    {"LG-10: what waited too long is refused and is no failure of the account",
     test_waited_too_long},
    {"LG-10: a flood takes no more memory than K hashes", test_memory},
    {"several threads, new settings meanwhile", test_threads},
};
COAT_TEST_MAIN(tests)
