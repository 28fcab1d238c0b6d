/* SPDX-License-Identifier: Apache-2.0 */

/**
 * kill -9 of the writer before every single store to shared memory of a script of changes, and
 * at random moments; of readers at random moments. The store is memory shared with the child
 * that dies: what it holds is what was committed.
 */

#include "versions.h"

#include <limits.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SESSIONS = 20, SLOTS = 16 };

/** What the store says, across the crash. */
typedef struct durable {
    _Atomic uint64_t version[SESSIONS];
    _Atomic int ended[SESSIONS];
    _Atomic uint64_t epoch;
    _Atomic uint64_t acked_epoch;
    _Atomic int done;
} durable;

static durable *store;
static char path[PATH_MAX];
static long steps_left;

static void
setup(void)
{
    (void)snprintf(path, sizeof path, "%s/table", test_tmpdir());
    store =
        mmap(NULL, sizeof *store, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(store != MAP_FAILED);
}

static void
die_at_step(void *ctx)
{
    (void)ctx;
    if (--steps_left == 0)
        (void)kill(getpid(), SIGKILL);
}

static coat_table_writer *
create(void (*step)(void *))
{
    coat_table_conf conf;
    coat_table_writer *w = NULL;

    kit_conf(&conf, path, SLOTS);
    conf.epoch_global = atomic_load(&store->epoch);
    conf.step = step;
    return coat_table_create(&conf, &w) == COAT_OK ? w : NULL;
}

static void
make(kit_session *s, uint64_t id)
{
    version_make(s, id, atomic_load(&store->version[id]));
    s->record.epoch_global = atomic_load(&store->epoch);
}

static void
fill(coat_table_writer *w, uint64_t id)
{
    kit_session s;

    make(&s, id);
    (void)kit_fill(w, &s);
}

static void
change(coat_table_writer *w, uint64_t id, bool end, bool refill)
{
    coat_table_change c;
    coat_table_entry entry;
    kit_session s;

    make(&s, id);
    coat_table_change_begin(w, &s.token.handle, &c);
    if (end)
        atomic_store(&store->ended[id], 1);
    else
        atomic_fetch_add(&store->version[id], 1);
    make(&s, id);
    entry = kit_entry(&s);
    coat_table_change_end(w, &c, refill && !end ? &entry : NULL);
}

static void
end_everybody(coat_table_writer *w)
{
    coat_table_all_begin(w);
    atomic_fetch_add(&store->epoch, 1);
    coat_table_all_end(w, atomic_load(&store->epoch));
}

/** Everything a daemon does to the table, with and without arena, with eviction. */
static void
script(coat_table_writer *w)
{
    for (uint64_t id = 0; id < 6; id++)
        fill(w, id);
    change(w, 0, false, true);
    change(w, 1, false, true);
    change(w, 2, true, false);
    change(w, 3, true, false);
    fill(w, 0);
    change(w, 1, false, false);
    coat_table_retag(w, &kit_tags);
    fill(w, 1);
    end_everybody(w);
    fill(w, 4);
    for (uint64_t id = 0; id < SESSIONS; id++)
        if (atomic_load(&store->ended[id]) == 0)
            fill(w, id);
    change(w, 7, true, false);
}

/** No LIVE but of what the store holds: the current version of a session that is not ended. */
static long
check_all(const coat_table *table)
{
    long live = 0;

    for (uint64_t id = 0; id < SESSIONS; id++) {
        for (uint64_t version = 0; version <= atomic_load(&store->version[id]) + 1; version++) {
            coat_table_answer answer;
            kit_session s;

            version_make(&s, id, version);
            if (kit_ask(table, &s, (coat_table_query){.now_ms = kit_now}, &answer) !=
                COAT_TABLE_LIVE)
                continue;
            live++;
            CHECK(kit_is(&answer, &s));
            CHECK_INT(version, atomic_load(&store->version[id]));
            CHECK_INT(atomic_load(&store->ended[id]), 0);
        }
    }
    return live;
}

/** One life of a writer, killed at its n-th store. @return true if it came to its end */
static bool
one_life(long n)
{
    int status;
    pid_t child;

    child = test_fork();
    if (child == 0) {
        coat_table_writer *w;

        steps_left = n;
        w = create(die_at_step);
        if (w == NULL)
            _exit(1);
        script(w);
        _exit(0);
    }
    REQUIRE(child > 0 && waitpid(child, &status, 0) == child);
    REQUIRE(status == 0 || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
    return status == 0;
}

static void
test_every_store(void)
{
    long n = 0, stride = 100 / test_scaled(100, 10);
    long live = 0;
    bool finished = false;

    test_not_under_valgrind("children leave with what they allocated");
    setup();
    for (n = 1; !finished; n += stride) {
        coat_table *reader = NULL;
        coat_table_writer *w;
        kit_session s;
        coat_err err;

        memset(store, 0, sizeof *store);
        (void)unlink(path); /* each life on a fresh table */
        finished = one_life(n);
        /* As a reader finds it while the daemon is away ... */
        err = coat_table_open(path, &reader);
        if (err == COAT_OK)
            live += check_all(reader);
        /* ... and after the next daemon has taken it over. */
        w = create(NULL);
        REQUIRE(w != NULL);
        CHECK_INT(coat_table_writer_taken_over(w), err == COAT_OK);
        live += check_all(coat_table_writer_reader(w));
        if (reader != NULL)
            CHECK(!coat_table_stale(reader));
        /* It works again, whatever was left. */
        make(&s, 11);
        REQUIRE_OK(kit_fill(w, &s));
        CHECK_INT(kit_verdict(coat_table_writer_reader(w), &s, kit_now), COAT_TABLE_LIVE);
        coat_table_close(reader);
        coat_table_writer_close(w);
    }
    printf("# %ld stores, every %ld., %ld live answers\n", n, stride, live);
    CHECK(n > 500);
    CHECK(live > n / stride);
}

static coat_table *watcher;

static void
look_at_step(void *ctx)
{
    (void)ctx;
    if (watcher != NULL)
        (void)check_all(watcher);
}

/** As a reader that is fast, or a writer that is stopped in the middle of things. */
static void
test_between_stores(void)
{
    coat_table_writer *w;

    setup();
    w = create(look_at_step);
    REQUIRE(w != NULL);
    REQUIRE_OK(coat_table_open(path, &watcher));
    script(w);
    CHECK(check_all(watcher) > 0);
    coat_table_close(watcher);
    watcher = NULL;
    coat_table_writer_close(w);
}

static void
random_life(uint64_t seed)
{
    test_rng rng = {seed};
    coat_table_writer *w = create(NULL);

    if (w == NULL)
        _exit(1);
    for (;;) {
        uint64_t id = test_rng_below(&rng, SESSIONS - 2); /* two stay as they are */

        switch (test_rng_below(&rng, 8)) {
        case 0:
        case 1:
            change(w, id, false, true);
            break;
        case 2:
            change(w, id, false, false);
            break;
        case 3:
            coat_table_retag(w, &kit_tags);
            break;
        default:
            fill(w, id);
        }
        atomic_store(&store->done, 1);
    }
}

/** Asks in the order version, answer, version: only what held throughout is judged. */
static void
read_racing(const coat_table *table, test_rng *rng)
{
    uint64_t id = test_rng_below(rng, SESSIONS), back = test_rng_below(rng, 2);
    uint64_t before = atomic_load(&store->version[id]);
    coat_table_answer answer;
    kit_session s;

    if (before < back)
        return;
    version_make(&s, id, before - back);
    if (kit_ask(table, &s, (coat_table_query){.now_ms = kit_now}, &answer) != COAT_TABLE_LIVE)
        return;
    CHECK(back == 0);
    CHECK(kit_is(&answer, &s));
}

static void
test_random_kills(void)
{
    test_rng rng = {77};
    coat_table_writer *w;
    coat_table *reader = NULL;
    long kills = test_scaled(2000, 30);

    setup();
    w = create(NULL);
    REQUIRE(w != NULL);
    coat_table_writer_close(w);
    REQUIRE_OK(coat_table_open(path, &reader));
    for (long i = 0; i < kills; i++) {
        pid_t child;
        int status;

        atomic_store(&store->done, 0);
        child = test_fork();
        if (child == 0)
            random_life(test_rng_next(&rng) + (uint64_t)i);
        REQUIRE(child > 0);
        while (atomic_load(&store->done) == 0 && waitpid(child, &status, WNOHANG) == 0)
            ;
        for (uint64_t k = test_rng_below(&rng, 3000); k > 0; k--)
            read_racing(reader, &rng);
        REQUIRE(kill(child, SIGKILL) == 0 && waitpid(child, &status, 0) == child);
        REQUIRE(WIFSIGNALED(status));
        (void)check_all(reader);
    }
    CHECK(!coat_table_stale(reader)); /* each one took over from the one before */
    coat_table_close(reader);
}

static void
test_killed_readers(void)
{
    test_rng rng = {78};
    coat_table_writer *w;
    long kills = test_scaled(1000, 20);

    setup();
    w = create(NULL);
    REQUIRE(w != NULL);
    for (long i = 0; i < kills; i++) {
        int status, ready[2];
        char byte;
        pid_t child;

        REQUIRE(pipe(ready) == 0);
        child = test_fork();
        if (child == 0) {
            coat_table *table = NULL;
            test_rng own = {(uint64_t)i};

            if (coat_table_open(path, &table) != COAT_OK || write(ready[1], "r", 1) != 1)
                _exit(1);
            for (;;)
                read_racing(table, &own);
        }
        REQUIRE(child > 0 && read(ready[0], &byte, 1) == 1);
        for (uint64_t k = test_rng_below(&rng, 200); k > 0; k--)
            change(w, k % SESSIONS, false, k % 3 != 0);
        REQUIRE(kill(child, SIGKILL) == 0 && waitpid(child, &status, 0) == child);
        REQUIRE(WIFSIGNALED(status));
        (void)close(ready[0]);
        (void)close(ready[1]);
        for (uint64_t id = 0; id < SESSIONS; id++)
            fill(w, id);
        CHECK_INT(check_all(coat_table_writer_reader(w)), SLOTS);
    }
    coat_table_writer_close(w);
}

/** A slot left half-written stops nobody: readers give up on it and ask. */
static void
test_stuck_slot(void)
{
    coat_table_writer *w;
    coat_table_place place;
    kit_session s, other;
    int64_t index;

    setup();
    w = create(NULL);
    REQUIRE(w != NULL);
    make(&s, 1);
    make(&other, 2);
    REQUIRE_OK(kit_fill(w, &s));
    REQUIRE_OK(kit_fill(w, &other));
    place = coat_table_place_of(w->view.hash_key, w->view.sets, &s.token.handle);
    index = coat_table_find(w, &place, &s.token.handle);
    REQUIRE(index >= 0);
    atomic_fetch_add(&w->slot[index].seq, 1);
    CHECK_INT(kit_verdict(&w->view, &s, kit_now), COAT_TABLE_ASK);
    CHECK_INT(kit_verdict(&w->view, &other, kit_now), COAT_TABLE_LIVE);
    atomic_fetch_add(&w->head->tag_seq, 1);
    CHECK_INT(kit_verdict(&w->view, &other, kit_now), COAT_TABLE_ASK);
    coat_table_writer_close(w);
    w = create(NULL);
    REQUIRE(w != NULL && coat_table_writer_taken_over(w));
    CHECK_INT(kit_verdict(&w->view, &s, kit_now), COAT_TABLE_ASK);
    CHECK_INT(kit_verdict(&w->view, &other, kit_now), COAT_TABLE_LIVE);
    coat_table_writer_close(w);
}

static const coat_test tests[] = {
    {"a writer killed before any store leaves nothing untrue, and the next takes over",
     test_every_store},
    {"between any two stores of a writer a reader is told nothing untrue", test_between_stores},
    {"kill -9 of writers at random moments, readers racing them", test_random_kills},
    {"kill -9 of readers disturbs nobody", test_killed_readers},
    {"a slot left half-written costs slow paths only", test_stuck_slot},
};

COAT_TEST_MAIN(tests)
