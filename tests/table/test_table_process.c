/* SPDX-License-Identifier: Apache-2.0 */

/** The table as files: other processes as readers, taking over, new generations, refusals. */

#include "kit.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__SANITIZE_THREAD__)
#define THREADS_OF_ITS_OWN true
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define THREADS_OF_ITS_OWN true
#endif
#endif
#ifndef THREADS_OF_ITS_OWN
#define THREADS_OF_ITS_OWN false
#endif

static test_rng rng = {21};
static char path[PATH_MAX];

static void
fresh_path(void)
{
    (void)snprintf(path, sizeof path, "%s/table", test_tmpdir());
}

static const char *
beside(const char *suffix)
{
    static char buf[PATH_MAX + 16];

    (void)snprintf(buf, sizeof buf, "%s%s", path, suffix);
    return buf;
}

/* ---- no allocation: the linker sends every call of ours here ---- */

static long allocations;
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__real_realloc(void *ptr, size_t size);
void *__wrap_realloc(void *ptr, size_t size);

void *
__wrap_malloc(size_t size)
{
    allocations++;
    return __real_malloc(size);
}

void *
__wrap_calloc(size_t count, size_t size)
{
    allocations++;
    return __real_calloc(count, size);
}

void *
__wrap_realloc(void *ptr, size_t size)
{
    allocations++;
    return __real_realloc(ptr, size);
}

/* ---- huge pages: likewise ---- */

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

static long collapses;
int __real_madvise(void *at, size_t len, int advice);
int __wrap_madvise(void *at, size_t len, int advice);

int
__wrap_madvise(void *at, size_t len, int advice)
{
    if (advice == MADV_COLLAPSE)
        collapses++;
    return __real_madvise(at, len, advice);
}

/* ---- children ---- */

/** Run body in a child. @return its wait status */
static int
in_child(void (*body)(void *ctx), void *ctx)
{
    int status = -1;
    pid_t child;

    child = test_fork();
    if (child == 0) {
        body(ctx);
        _exit(99);
    }
    REQUIRE(child > 0);
    REQUIRE(waitpid(child, &status, 0) == child);
    return status;
}

typedef struct reader_task {
    const kit_session *session;
    coat_table_verdict want;
    const coat_table *table;
    size_t at;
} reader_task;

static void
read_once(void *ctx)
{
    const reader_task *task = ctx;
    coat_table_answer answer;
    coat_table *table;

    if (coat_table_open(path, &table) != COAT_OK)
        _exit(1);
    if (kit_ask(table, task->session, (coat_table_query){.now_ms = kit_now + 7000}, &answer) !=
        task->want)
        _exit(2);
    if (task->want == COAT_TABLE_LIVE && !kit_is(&answer, task->session))
        _exit(3);
    coat_table_close(table);
    _exit(0);
}

static void
test_second_process(void)
{
    coat_table_conf conf;
    coat_table_writer *w;
    kit_session in, arena;
    reader_task task = {.want = COAT_TABLE_LIVE};
    int64_t seen_ms;
    struct stat st;

    fresh_path();
    kit_conf(&conf, path, 64);
    w = kit_create(&conf);
    CHECK(!coat_table_writer_taken_over(w));
    kit_session_make(&in, &rng, 1, 5, 5);
    kit_session_make(&arena, &rng, 2, 200, 900);
    REQUIRE_OK(kit_fill(w, &in));
    REQUIRE_OK(kit_fill(w, &arena));
    task.session = &in;
    CHECK_INT(in_child(read_once, &task), 0);
    task.session = &arena;
    CHECK_INT(in_child(read_once, &task), 0);
    /* What the other process noted is seen here. */
    CHECK(coat_table_seen(w, &arena.token.handle, &seen_ms));
    CHECK_INT(seen_ms, kit_now + 7000);
    (void)coat_table_clear(w, &arena.token.handle);
    task.want = COAT_TABLE_ASK;
    CHECK_INT(in_child(read_once, &task), 0);

    REQUIRE(stat(path, &st) == 0);
    CHECK_INT(st.st_mode & 0777, 0600);
    REQUIRE(stat(beside(".seen"), &st) == 0);
    CHECK_INT(st.st_mode & 0777, 0600);
    coat_table_writer_close(w);
}

static void
scribble(void *ctx)
{
    const reader_task *task = ctx;
    coat_table *table;

    (void)signal(SIGSEGV, SIG_DFL); /* sanitizers turn it into an exit */
    if (coat_table_open(path, &table) != COAT_OK)
        _exit(1);
    ((volatile uint8_t *)table->map)[task->at] = 1;
    _exit(2);
}

static void
test_read_only(void)
{
    coat_table_conf conf;
    coat_table_writer *w;
    reader_task task;

    fresh_path();
    kit_conf(&conf, path, 64);
    w = kit_create(&conf);
    for (task.at = 0; task.at < coat_table_writer_reader(w)->map_len; task.at += 1024) {
        int status = in_child(scribble, &task);

        REQUIRE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    }
    coat_table_writer_close(w);
}

enum { NO_MAPPING, DUMPED, KEPT_OUT };

/* What a core file has of the mapping that holds an address: from its flags in smaps. */
static int
in_core(const void *address)
{
    FILE *in = fopen("/proc/self/smaps", "re");
    char line[PATH_MAX + 128];
    int found = NO_MAPPING;
    bool inside = false;

    REQUIRE(in != NULL);
    while (found == NO_MAPPING && fgets(line, sizeof line, in) != NULL) {
        unsigned long from, to;

        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            inside = (uintptr_t)address >= from && (uintptr_t)address < to;
        else if (inside && strncmp(line, "VmFlags:", 8) == 0)
            found = strstr(line, " dd") != NULL ? KEPT_OUT : DUMPED;
    }
    (void)fclose(in);
    return found;
}

/* Tag keys and digests are in it, and a worker of nginx may leave a core. */
static void
test_no_core(void)
{
    coat_table_conf conf;
    coat_table_writer *w;
    coat_table *table;
    const uint8_t *map;

    fresh_path();
    kit_conf(&conf, path, 64);
    w = kit_create(&conf);
    REQUIRE_OK(coat_table_open(path, &table));
    map = coat_table_writer_reader(w)->map;
    CHECK_INT(in_core(map), KEPT_OUT);
    CHECK_INT(in_core(map + table->map_len - 1), KEPT_OUT);
    map = table->map;
    CHECK_INT(in_core(map), KEPT_OUT);
    CHECK_INT(in_core(map + table->map_len - 1), KEPT_OUT);
    coat_table_close(table);
    CHECK_INT(in_core(map), NO_MAPPING); /* and no room stays reserved */
    coat_table_writer_close(w);
}

static void
check_in_a_cage(void *ctx)
{
    const reader_task *task = ctx;
    coat_table_answer answer;
    int live = 0;

    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0)
        (void)syscall(SYS_exit, 77);
    for (int i = 0; i < 1000; i++) {
        live +=
            kit_ask(task->table, task->session, (coat_table_query){.now_ms = kit_now + i * 100},
                    &answer) == COAT_TABLE_LIVE;
        live += kit_live(task->table, task->session, kit_now + i * 100) == COAT_TABLE_LIVE;
    }
    (void)syscall(SYS_exit, live == 2000 ? 0 : 1);
}

static void
test_no_calls(void)
{
    coat_table_conf conf;
    coat_table_writer *w;
    coat_table_answer answer;
    coat_table *table;
    kit_session s;
    reader_task task = {.session = &s};
    long before;
    int status;

    test_not_under_valgrind("its own system calls are not ours");
    fresh_path();
    kit_conf(&conf, path, 64);
    w = kit_create(&conf);
    kit_session_make(&s, &rng, 1, 50, 500);
    REQUIRE_OK(kit_fill(w, &s));
    REQUIRE_OK(coat_table_open(path, &table));
    before = allocations;
    CHECK(before > 0); /* the count does count */
    for (int i = 0; i < 1000; i++) {
        (void)kit_ask(table, &s, (coat_table_query){.now_ms = kit_now + i * 100}, &answer);
        (void)kit_live(table, &s, kit_now + i * 100);
    }
    CHECK_INT(allocations, before);

    task.table = table;
    /* ThreadSanitizer has a thread of its own, which outlives the caged one. */
    status = THREADS_OF_ITS_OWN ? 77 << 8 : in_child(check_in_a_cage, &task);
    coat_table_close(table);
    coat_table_writer_close(w);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        test_skip("no seccomp here");
    CHECK_INT(status, 0);
}

/* ---- taking over ---- */

static void
test_take_over(void)
{
    static kit_session sessions[30];
    coat_table_conf conf;
    coat_table_writer *w;
    coat_table *reader;
    coat_table_answer answer;
    coat_table_stats stats;
    int64_t seen_ms;

    fresh_path();
    kit_conf(&conf, path, 128);
    w = kit_create(&conf);
    for (size_t i = 0; i < 30; i++) {
        kit_session_make(&sessions[i], &rng, i, 5, i % 3 == 0 ? 200 : 5);
        REQUIRE_OK(kit_fill(w, &sessions[i]));
    }
    REQUIRE_OK(coat_table_open(path, &reader));
    CHECK_INT(
        kit_ask(reader, &sessions[0], (coat_table_query){.now_ms = kit_now + 9000}, &answer),
        COAT_TABLE_LIVE);
    coat_table_writer_close(w);

    /* Away: the table stays true. Back: nothing is lost, activity included. */
    CHECK_INT(kit_verdict(reader, &sessions[1], kit_now), COAT_TABLE_LIVE);
    conf.now_ms = kit_now + 10000;
    w = kit_create(&conf);
    CHECK(coat_table_writer_taken_over(w));
    CHECK(!coat_table_stale(reader));
    for (size_t i = 0; i < 30; i++) {
        CHECK_INT(kit_ask(reader, &sessions[i],
                          (coat_table_query){.now_ms = kit_now, .background = true}, &answer),
                  COAT_TABLE_LIVE);
        CHECK(kit_is(&answer, &sessions[i]));
    }
    CHECK(coat_table_seen(w, &sessions[0].token.handle, &seen_ms));
    CHECK_INT(seen_ms, kit_now + 9000);
    coat_table_stats_get(w, &stats);
    CHECK_INT(stats.used, 30);
    CHECK_INT(stats.arena_used, 10 * 256);
    coat_table_writer_close(w);

    /* Everybody was signed out meanwhile. */
    conf.epoch_global = 1;
    w = kit_create(&conf);
    CHECK(coat_table_writer_taken_over(w));
    for (size_t i = 0; i < 30; i++)
        CHECK_INT(kit_verdict(reader, &sessions[i], kit_now), COAT_TABLE_ASK);
    coat_table_stats_get(w, &stats);
    CHECK_INT(stats.used + stats.arena_used, 0);
    coat_table_writer_close(w);
    coat_table_close(reader);
}

/* Whoever touches a page that is being made part of a huge one waits for that. */
static void
test_huge(void)
{
    coat_table_conf conf;
    coat_table_writer *w;
    long built;

    fresh_path();
    kit_conf(&conf, path, 128);
    collapses = 0;
    w = kit_create(&conf);
    built = collapses;
    CHECK(built > 0);
    coat_table_writer_close(w);
    w = kit_create(&conf);
    CHECK(coat_table_writer_taken_over(w));
    CHECK_INT(collapses, built);
    coat_table_writer_close(w);

    conf.binding[0] ^= 1; /* another store */
    w = kit_create(&conf);
    CHECK(!coat_table_writer_taken_over(w));
    CHECK_INT(collapses, 2 * built);
    coat_table_writer_close(w);
}

static void
copy_slot(coat_table_writer *w, uint32_t from, uint32_t to)
{
    coat_table_image image;

    atomic_store(&w->slot[to].lengths, coat_table_peek(w, from, &image));
    for (size_t i = 0; i < COAT_TABLE_WORDS; i++)
        atomic_store(&w->slot[to].word[i], atomic_load(&w->slot[from].word[i]));
}

/** What no writer leaves behind, and no taking over may believe. */
static void
test_unbelievable(void)
{
    kit_session twin, strayed, halved, fine;
    const kit_session *const all[] = {&twin, &strayed, &halved, &fine};
    coat_table_conf conf;
    coat_table_writer *w;
    coat_table_stats stats;
    uint32_t at[4];

    fresh_path();
    kit_conf(&conf, path, 1024);
    w = kit_create(&conf);
    kit_session_make(&twin, &rng, 1, 5, 5);
    kit_session_make(&strayed, &rng, 2, 5, 5);
    kit_session_make(&halved, &rng, 3, 5, 5);
    kit_session_make(&fine, &rng, 4, 5, 5);
    for (size_t i = 0; i < 4; i++) {
        coat_table_place place =
            coat_table_place_of(w->view.hash_key, w->view.sets, &all[i]->token.handle);

        REQUIRE_OK(kit_fill(w, all[i]));
        at[i] = (uint32_t)coat_table_find(w, &place, &all[i]->token.handle);
        if (i == 0) /* a second time in its set */
            copy_slot(w, at[0], at[0] ^ 1);
        if (i == 1) /* where no look-up would find it */
            for (uint32_t set = 0; set < w->view.sets; set++)
                if (set != place.set[0] && set != place.set[1])
                    copy_slot(w, at[1], set * COAT_TABLE_WAYS + 3);
        if (i == 2)
            atomic_fetch_add(&w->slot[at[2]].seq, 1);
    }
    coat_table_writer_close(w);
    w = kit_create(&conf);
    CHECK(coat_table_writer_taken_over(w));
    CHECK_INT(kit_verdict(&w->view, &twin, kit_now), COAT_TABLE_ASK); /* which one is true? */
    CHECK_INT(kit_verdict(&w->view, &strayed, kit_now), COAT_TABLE_LIVE);
    CHECK_INT(kit_verdict(&w->view, &halved, kit_now), COAT_TABLE_ASK);
    CHECK_INT(kit_verdict(&w->view, &fine, kit_now), COAT_TABLE_LIVE);
    coat_table_stats_get(w, &stats);
    CHECK_INT(stats.used, 2);
    for (uint32_t i = 0; i < w->view.geometry.slots; i++)
        REQUIRE((coat_table_seq(w, i) & 1) == 0);
    coat_table_writer_close(w);
}

typedef void (*change_fn)(coat_table_conf *conf);

static void
other_size(coat_table_conf *conf)
{
    conf->slots = 256;
}

static void
other_arena(coat_table_conf *conf)
{
    conf->arena_bytes = 128 * 1024;
}

static void
other_mode(coat_table_conf *conf)
{
    conf->mode = COAT_TABLE_SHARED;
}

static void
other_binding(coat_table_conf *conf)
{
    conf->binding[15] = 1;
}

static void
years_later(coat_table_conf *conf)
{
    conf->now_ms += 8 * 365 * 24 * (int64_t)KIT_HOUR;
}

static void
days_earlier(coat_table_conf *conf)
{
    conf->now_ms -= 3 * 24 * (int64_t)KIT_HOUR;
}

static void
poke(const char *file, off_t at, uint8_t byte)
{
    int fd = open(file, O_WRONLY);

    REQUIRE(fd >= 0);
    REQUIRE(pwrite(fd, &byte, 1, at) == 1);
    (void)close(fd);
}

static void
other_boot(coat_table_conf *conf)
{
    (void)conf;
    poke(path, offsetof(coat_table_head, boot), 0xee);
}

static void
no_magic(coat_table_conf *conf)
{
    (void)conf;
    poke(path, 0, 0);
}

static void
newer_format(coat_table_conf *conf)
{
    (void)conf;
    poke(path, offsetof(coat_table_head, format), COAT_TABLE_FORMAT + 1);
}

static void
other_seen(coat_table_conf *conf)
{
    (void)conf;
    poke(beside(".seen"), offsetof(coat_table_seen_head, generation), 0xee);
    poke(beside(".seen"), offsetof(coat_table_seen_head, generation) + 1, 0xee);
}

static void
seen_gone(coat_table_conf *conf)
{
    (void)conf;
    REQUIRE(unlink(beside(".seen")) == 0);
}

static void
test_generations(void)
{
    static const struct {
        const char *name;
        change_fn change;
    } cases[] = {
        {"size", other_size},         {"arena", other_arena},
        {"mode", other_mode},         {"store", other_binding},
        {"age", years_later},         {"clock before its base", days_earlier},
        {"boot", other_boot},         {"not a table", no_magic},
        {"format", newer_format},     {"activity of another", other_seen},
        {"activity gone", seen_gone},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        coat_table_conf conf;
        coat_table_writer *w;
        coat_table *before, *after;
        kit_session s;

        test_case(cases[i].name);
        fresh_path();
        kit_conf(&conf, path, 128);
        w = kit_create(&conf);
        kit_session_make(&s, &rng, 1, 5, 5);
        REQUIRE_OK(kit_fill(w, &s));
        REQUIRE_OK(coat_table_open(path, &before));
        coat_table_writer_close(w);

        cases[i].change(&conf);
        w = kit_create(&conf);
        CHECK(!coat_table_writer_taken_over(w));
        CHECK(coat_table_stale(before));
        CHECK_INT(kit_verdict(before, &s, kit_now), COAT_TABLE_ASK);
        REQUIRE_OK(coat_table_open(path, &after));
        CHECK(!coat_table_stale(after));
        CHECK_INT(kit_verdict(after, &s, kit_now), COAT_TABLE_ASK);
        coat_table_close(before);
        coat_table_close(after);
        coat_table_writer_close(w);
    }
}

static void
test_refusals(void)
{
    coat_table_conf conf;
    coat_table_writer *w, *second = NULL;
    coat_table *reader = NULL;
    char real[PATH_MAX + 16];

    fresh_path();
    kit_conf(&conf, path, 64);
    CHECK_ERR(coat_table_open(path, &reader), COAT_IO); /* not there */
    w = kit_create(&conf);
    CHECK_ERR(coat_table_create(&conf, &second), COAT_BUSY);
    coat_table_writer_close(w);

    REQUIRE(chmod(path, 0666) == 0);
    CHECK_ERR(coat_table_create(&conf, &second), COAT_DENIED);
    REQUIRE(chmod(path, 0600) == 0);

    (void)snprintf(real, sizeof real, "%s.real", path);
    REQUIRE(rename(path, real) == 0 && symlink(real, path) == 0);
    CHECK_ERR(coat_table_create(&conf, &second), COAT_DENIED);
    CHECK_ERR(coat_table_open(path, &reader), COAT_IO);
    REQUIRE(unlink(path) == 0 && mkdir(path, 0700) == 0);
    CHECK_ERR(coat_table_create(&conf, &second), COAT_IO);
    CHECK_ERR(coat_table_open(path, &reader), COAT_IO);
    REQUIRE(rmdir(path) == 0 && rename(real, path) == 0);
    if (geteuid() == 0) {
        REQUIRE(chown(path, 12345, 12345) == 0);
        CHECK_ERR(coat_table_create(&conf, &second), COAT_DENIED);
        CHECK_ERR(coat_table_open(path, &reader), COAT_IO); /* .seen is somebody else's */
        REQUIRE(chown(path, 0, 0) == 0);
    }
    poke(path, offsetof(coat_table_head, format), COAT_TABLE_FORMAT + 1);
    CHECK_ERR(coat_table_open(path, &reader), COAT_NEWER_FORMAT);
    poke(path, offsetof(coat_table_head, format), COAT_TABLE_FORMAT);
    poke(beside(".seen"), offsetof(coat_table_seen_head, generation) + 3, 0xee);
    poke(beside(".seen"), offsetof(coat_table_seen_head, generation) + 4, 0xee);
    CHECK_ERR(coat_table_open(path, &reader), COAT_IO); /* activity of another generation */
    REQUIRE(truncate(path, 5000) == 0);
    CHECK_ERR(coat_table_open(path, &reader), COAT_IO);
    REQUIRE(truncate(path, 0) == 0);
    CHECK_ERR(coat_table_open(path, &reader), COAT_IO);
    CHECK(second == NULL && reader == NULL);

    conf.path = "/nonexistent/table";
    CHECK_ERR(coat_table_create(&conf, &second), COAT_IO);
    conf.path = path;
    conf.slots = COAT_TABLE_SLOTS_MAX + 1;
    CHECK_ERR(coat_table_create(&conf, &second), COAT_INVALID);
    conf.slots = 64;
    conf.tags = NULL;
    CHECK_ERR(coat_table_create(&conf, &second), COAT_INVALID);
    CHECK_ERR(coat_table_open(NULL, &reader), COAT_INVALID);
}

static coat_err
no_rng(void *ctx, uint8_t *buf, size_t len)
{
    (void)ctx;
    (void)buf;
    (void)len;
    return COAT_RNG_FAILED;
}

static void
test_no_random(void)
{
    coat_table_conf conf;
    coat_table_writer *w = NULL;
    coat_table *reader = NULL;

    fresh_path();
    kit_conf(&conf, path, 64);
    conf.rng = no_rng;
    CHECK_ERR(coat_table_create(&conf, &w), COAT_RNG_FAILED);
    CHECK(w == NULL);
    CHECK_ERR(coat_table_open(path, &reader), COAT_IO); /* nothing half-made was published */
    CHECK(access(beside(".new"), F_OK) != 0 && access(beside(".seen.new"), F_OK) != 0);
}

static const coat_test tests[] = {
    {"a second process reads what the first one fills, and notes activity",
     test_second_process},
    {"a reader cannot write to the table", test_read_only},
    {"HD-6: whoever maps the table, it is in no core file", test_no_core},
    {"a check allocates nothing and makes no system call", test_no_calls},
    {"a restarted daemon takes the table over with all that is in it", test_take_over},
    {"HD-11: a table is put into huge pages while nobody has it mapped, and never again",
     test_huge},
    {"taking over believes no twin, no stray and no half-written slot", test_unbelievable},
    {"what cannot be taken over is replaced, and readers turn to the new one",
     test_generations},
    {"one writer only; no links, no foreign or open files; no damaged ones", test_refusals},
    {"without random bytes there is no table", test_no_random},
};

COAT_TEST_MAIN(tests)
