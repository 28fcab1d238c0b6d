/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Writers against readers, in one process so that ThreadSanitizer sees both. The store is an
 * array of version numbers; `acked` follows each commit once its change has ended.
 */

#include "versions.h"

#include <pthread.h>
#include <sched.h>

enum { SESSIONS = 24, READERS = 2, SLOTS = 16 };

static coat_table_writer *writer;
static pthread_mutex_t store_mutex = PTHREAD_MUTEX_INITIALIZER;
static uint64_t stored[SESSIONS];
static _Atomic uint64_t acked[SESSIONS];
static _Atomic uint64_t wrong, live, fills;
static _Atomic int running;
static long rounds;

static uint64_t
store_load(uint64_t id)
{
    uint64_t version;

    (void)pthread_mutex_lock(&store_mutex);
    version = stored[id];
    (void)pthread_mutex_unlock(&store_mutex);
    return version;
}

static uint64_t
store_commit(uint64_t id)
{
    uint64_t version;

    (void)pthread_mutex_lock(&store_mutex);
    version = ++stored[id];
    (void)pthread_mutex_unlock(&store_mutex);
    return version;
}

static void *
change_thread(void *ctx)
{
    test_rng rng = {(uint64_t)(uintptr_t)ctx};

    for (long i = 0; i < rounds; i++) {
        uint64_t id = test_rng_below(&rng, SESSIONS), version;
        coat_table_change change;
        coat_table_entry entry;
        kit_session s;

        version_make(&s, id, 0);
        coat_table_change_begin(writer, &s.token.handle, &change);
        version = store_commit(id);
        version_make(&s, id, version);
        entry = kit_entry(&s);
        coat_table_change_end(writer, &change, i % 2 != 0 ? &entry : NULL);
        /* Two changers of one session: the later commit is what counts. */
        for (uint64_t was = atomic_load(&acked[id]);
             was < version && !atomic_compare_exchange_weak(&acked[id], &was, version);)
            ;
        if (i % 16 == 0)
            (void)sched_yield();
    }
    atomic_fetch_sub(&running, 1);
    return NULL;
}

static void *
fill_thread(void *ctx)
{
    test_rng rng = {(uint64_t)(uintptr_t)ctx};

    while (atomic_load(&running) > 0) {
        uint64_t id = test_rng_below(&rng, SESSIONS);
        coat_table_ticket ticket;
        coat_table_entry entry;
        kit_session s;

        version_make(&s, id, 0);
        ticket = coat_table_ticket_take(writer, &s.token.handle);
        version_make(&s, id, store_load(id));
        if (test_rng_below(&rng, 4) == 0)
            (void)sched_yield();
        entry = kit_entry(&s);
        if (coat_table_fill(writer, ticket, &entry) == COAT_OK)
            atomic_fetch_add(&fills, 1);
    }
    return NULL;
}

static void *
read_thread(void *ctx)
{
    test_rng rng = {(uint64_t)(uintptr_t)ctx};
    const coat_table *table = coat_table_writer_reader(writer);

    while (atomic_load(&running) > 0) {
        uint64_t id = test_rng_below(&rng, SESSIONS);
        uint64_t known = atomic_load(&acked[id]);
        uint64_t version = known - (known > 0 ? test_rng_below(&rng, 2) : 0);
        coat_table_answer answer;
        kit_session s;

        version_make(&s, id, version);
        if (kit_ask(table, &s, (coat_table_query){.now_ms = kit_now + (int64_t)known},
                    &answer) != COAT_TABLE_LIVE)
            continue;
        atomic_fetch_add(&live, 1);
        /* Ended before we began, or put together from two versions? */
        if (version < known || !kit_is(&answer, &s))
            atomic_fetch_add(&wrong, 1);
    }
    return NULL;
}

static void
ignore(void *ctx, const coat_handle *handle, int64_t seen_ms)
{
    (void)ctx;
    (void)handle;
    (void)seen_ms;
}

static void *
housekeeping_thread(void *ctx)
{
    (void)ctx;
    while (atomic_load(&running) > 0) {
        coat_table_stats stats;

        (void)coat_table_fold(writer, 16, 1000, kit_now, ignore, NULL);
        coat_table_retag(writer, &kit_tags);
        coat_table_floor(writer, kit_now);
        coat_table_stats_get(writer, &stats);
        coat_table_all_begin(writer);
        coat_table_all_end(writer, 0);
        (void)sched_yield();
    }
    return NULL;
}

static void
test_threads(void)
{
    void *(*const bodies[])(void *) = {change_thread,      change_thread, fill_thread,
                                       fill_thread,        read_thread,   read_thread,
                                       housekeeping_thread};
    enum { THREADS = sizeof bodies / sizeof bodies[0] };
    pthread_t threads[THREADS];
    coat_table_conf conf;

    rounds = test_scaled(1000000, 10000);
    atomic_store(&wrong, 0);
    atomic_store(&live, 0);
    kit_conf(&conf, NULL, SLOTS); /* fewer than sessions: eviction all the time */
    writer = kit_create(&conf);
    atomic_store(&running, 2);
    for (uintptr_t i = 0; i < THREADS; i++) {
        union {
            uintptr_t seed;
            void *ctx;
        } arg = {.seed = i + 1};

        REQUIRE(pthread_create(&threads[i], NULL, bodies[i], arg.ctx) == 0);
    }
    for (int i = 0; i < THREADS; i++)
        REQUIRE(pthread_join(threads[i], NULL) == 0);
    printf("# %llu live answers, %llu fills\n", (unsigned long long)atomic_load(&live),
           (unsigned long long)atomic_load(&fills));
    CHECK_INT(atomic_load(&wrong), 0);
    CHECK(atomic_load(&live) > 0);
    CHECK(atomic_load(&fills) > 0);
    coat_table_writer_close(writer);
}

/* ---- one slot, rewritten as fast as can be, so that copies are often overtaken ---- */

static kit_session hot[2][2]; /* session, version */

static void *
rewrite_thread(void *ctx)
{
    (void)ctx;
    for (long i = 0; i < rounds; i++)
        (void)kit_fill(writer, &hot[i / 2 % 2][i % 2]);
    atomic_fetch_sub(&running, 1);
    return NULL;
}

static void *
watch_thread(void *ctx)
{
    const coat_table *table = coat_table_writer_reader(writer);

    (void)ctx;
    for (uint64_t i = 0; atomic_load(&running) > 0; i++) {
        const kit_session *s = &hot[i / 2 % 2][i % 2];
        coat_table_answer answer;

        if (kit_ask(table, s, (coat_table_query){.now_ms = kit_now}, &answer) !=
            COAT_TABLE_LIVE)
            continue;
        atomic_fetch_add(&live, 1);
        if (!kit_is(&answer, s))
            atomic_fetch_add(&wrong, 1);
    }
    return NULL;
}

static void
test_overtaken(void)
{
    pthread_t threads[2];
    coat_table_conf conf;

    rounds = test_scaled(30000000, 300000);
    for (uint64_t i = 0; i < 2; i++)
        for (uint64_t v = 0; v < 2; v++)
            version_make(&hot[i][v], i, 0x11111111 * (v + 1));
    kit_conf(&conf, NULL, SLOTS);
    writer = kit_create(&conf);
    atomic_store(&running, 1);
    atomic_store(&wrong, 0);
    atomic_store(&live, 0);
    REQUIRE(pthread_create(&threads[0], NULL, rewrite_thread, NULL) == 0);
    REQUIRE(pthread_create(&threads[1], NULL, watch_thread, NULL) == 0);
    for (int i = 0; i < 2; i++)
        REQUIRE(pthread_join(threads[i], NULL) == 0);
    printf("# %llu live answers\n", (unsigned long long)atomic_load(&live));
    CHECK_INT(atomic_load(&wrong), 0);
    CHECK(atomic_load(&live) > 0);
    coat_table_writer_close(writer);
}

static const coat_test tests[] = {
    {"a copy that is overtaken by the writer is not believed", test_overtaken},
    {"RV-3 LC-9: no reader is told LIVE of what was ended before it asked", test_threads},
};

COAT_TEST_MAIN(tests)
