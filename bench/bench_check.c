/* SPDX-License-Identifier: Apache-2.0 */

/**
 * What checking a token costs in the library, beside verifying a JSON Web Token: one process,
 * rounds interleaved, medians of CPU nanoseconds per check. Prints one JSON object.
 *
 *   hot       one session      million   a random one of 10^6
 *   invented  well-formed, never issued
 *   found     the same, looked for among a browser's cookies first
 */

#include "table/writer.h"

#include "check_peers.h"

#include <coatcheck/cookie.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    ROUNDS = 15,
    SESSIONS = 1000000,
    CHECKS = 100000,
    IDLE_MS = 1800000,
    KINDS_MAX = 16,
    OWN_KINDS = 4,
};

static const int64_t now_ms = 1700000000000;
static coat_tag_keys tags = {.count = 1};

typedef struct bench_text {
    char chars[COAT_TOKEN_CHARS];
} bench_text;

/** One thing that is measured. */
typedef struct kind {
    const char *name;
    uint32_t count; /* of checks in a round */
    double ns[ROUNDS];
    double allocations; /* of one check */
} kind;

static struct {
    const coat_table *table;
    bench_text *texts;
    bench_text invented;
    coat_cookie_conf cookie;
    char line[256];
    uint64_t random, wrong;
} bench;

/* ---- allocations are counted at the only door to them ---- */

/* Exported, so that the libraries come through it too. */
#define COUNTED __attribute__((visibility("default")))

static uint64_t allocations;

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *ptr, size_t size);

COUNTED void *
malloc(size_t size)
{
    allocations++;
    return __libc_malloc(size);
}

COUNTED void *
calloc(size_t count, size_t size)
{
    allocations++;
    return __libc_calloc(count, size);
}

COUNTED void *
realloc(void *ptr, size_t size)
{
    allocations++;
    return __libc_realloc(ptr, size);
}

static void
die(const char *what)
{
    (void)fprintf(stderr, "bench_check: %s\n", what);
    exit(1);
}

/* CPU time: what others on the machine do counts as little as can be. */
static double
cpu_ns(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static uint64_t
next(void)
{
    bench.random ^= bench.random << 13;
    bench.random ^= bench.random >> 7;
    bench.random ^= bench.random << 17;
    return bench.random;
}

static void
enter(coat_table_writer *w, bench_text *text)
{
    coat_record record = {.created_ms = now_ms - 1000,
                          .auth_ms = now_ms - 1000,
                          .seen_ms = now_ms - 1000,
                          .idle_ms = IDLE_MS,
                          .absolute_end_ms = now_ms + 12 * 3600000,
                          .user = COAT_LIT("alice@example.com"),
                          .roles = COAT_LIT("user editor"),
                          .methods = COAT_LIT("pwd")};
    coat_table_entry entry = {.record = &record, .next_due_ms = now_ms + 900000};
    coat_token token;
    coat_owner owner;

    randombytes_buf(&owner, sizeof owner);
    if (coat_token_mint(owner, now_ms, &tags, coat_rng_system, NULL, &token) != COAT_OK)
        die("no token");
    coat_secret_digest(token.secret, record.current_digest);
    entry.handle = &token.handle;
    if (coat_table_fill(w, coat_table_ticket_take(w, entry.handle), &entry) != COAT_OK)
        die("fill refused");
    coat_token_encode(&token, text->chars);
}

static void
check(const bench_text *texts, uint32_t count, coat_table_verdict want, uint32_t rounds)
{
    const bench_text *text = texts;
    coat_table_answer answer; /* out here: the build clears what is declared in the loop */

    for (uint32_t i = 0; i < rounds; i++) {
        coat_table_query query = {.token = {(const uint8_t *)text->chars, COAT_TOKEN_CHARS},
                                  .now_ms = now_ms};

        /* A request brings its token along: fetching that is no part of the check. */
        text = &texts[count == 1 ? 0 : next() % count];
        __builtin_prefetch(text);
        __builtin_prefetch(text->chars + sizeof text->chars - 1);
        coat_table_check(bench.table, &query, &answer);
        bench.wrong += answer.verdict != want;
    }
}

/* As the gate does for each request that nobody is signed in with. */
static void
find_and_check(uint32_t rounds)
{
    coat_span line = {(const uint8_t *)bench.line, strlen(bench.line)};
    coat_cookie_found found;
    coat_table_answer answer;

    for (uint32_t i = 0; i < rounds; i++) {
        coat_table_query query = {.now_ms = now_ms};

        coat_cookie_find(&bench.cookie, &line, 1, &found);
        query.token = found.value[0];
        coat_table_check(bench.table, &query, &answer);
        bench.wrong += found.count != 1 || answer.verdict != COAT_TABLE_REFUSE;
    }
}

static void
run_kind(uint32_t index, uint32_t count)
{
    if (index == 0)
        check(bench.texts, 1, COAT_TABLE_LIVE, count);
    else if (index == 1)
        check(bench.texts, SESSIONS, COAT_TABLE_LIVE, count);
    else if (index == 2)
        check(&bench.invented, 1, COAT_TABLE_REFUSE, count);
    else if (index == 3)
        find_and_check(count);
    else
        for (uint32_t i = 0; i < count; i++)
            bench.wrong += !peer_check(index - OWN_KINDS);
}

static void
measure(kind *kinds, uint32_t count)
{
    for (int round = 0; round < ROUNDS; round++)
        for (uint32_t k = 0; k < count; k++) {
            uint64_t before;
            double start;

            run_kind(k, kinds[k].count / 16); /* caches and branches as in a run of these */
            before = allocations;
            start = cpu_ns();
            run_kind(k, kinds[k].count);
            kinds[k].ns[round] = (cpu_ns() - start) / kinds[k].count;
            kinds[k].allocations = (double)(allocations - before) / kinds[k].count;
        }
}

/* ---- system calls: a process that may make none makes checks ---- */

static void
forbid_all_but_exit(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    };
    struct sock_fprog program = {.len = sizeof code / sizeof code[0], .filter = code};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        _exit(2);
}

/** @return "0", "some", or "not counted" where the kernel has no filter */
static const char *
system_calls(void)
{
    pid_t pid = fork();
    int status = 0;

    if (pid == 0) {
        uint64_t wrong = bench.wrong;

        forbid_all_but_exit();
        for (uint32_t k = 0; k < OWN_KINDS; k++)
            run_kind(k, CHECKS);
        _exit(bench.wrong - wrong < CHECKS / 1000 ? 0 : 3);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return "not counted";
    if (WIFSIGNALED(status))
        return "some";
    return WEXITSTATUS(status) == 0 ? "0" : "not counted";
}

static int
by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void
print(kind *kinds, uint32_t count, const coat_table_stats *stats)
{
    printf("{\"syscalls\": \"%s\", \"bytes_per_session\": %.1f, \"evicted\": %llu, "
           "\"peers\": \"%s\", \"kinds\": {",
           system_calls(), (double)stats->bytes / SESSIONS, (unsigned long long)stats->evicted,
           peers_version());
    for (uint32_t k = 0; k < count; k++) {
        qsort(kinds[k].ns, ROUNDS, sizeof kinds[k].ns[0], by_value);
        printf("%s\"%s\": {\"median_ns\": %.1f, \"least_ns\": %.1f, \"allocations\": %.2f}",
               k == 0 ? "" : ", ", kinds[k].name, kinds[k].ns[ROUNDS / 2], kinds[k].ns[0],
               kinds[k].allocations);
    }
    printf("}}\n");
}

/* In a file on tmpfs, as the daemon makes it; where there is none, in memory. */
static coat_table_writer *
make_table(void)
{
    char folder[] = "/dev/shm/bench_check.XXXXXX", path[64], other[80];
    bool shared = mkdtemp(folder) != NULL;
    coat_table_conf conf;
    coat_table_writer *w;

    (void)snprintf(path, sizeof path, "%s/table", folder);
    coat_table_conf_default(&conf);
    conf.path = shared ? path : NULL;
    conf.slots = coat_table_slots_for(SESSIONS);
    conf.tags = &tags;
    conf.now_ms = now_ms;
    if (coat_table_create(&conf, &w) != COAT_OK)
        die("no table");
    for (int i = 0; i < 3 && shared; i++) { /* mapped, they stay as long as they are needed */
        static const char *const parts[] = {"", ".seen", ".lock"};

        (void)snprintf(other, sizeof other, "%s%s", path, parts[i]);
        (void)unlink(other);
    }
    (void)rmdir(folder);
    return w;
}

int
main(void)
{
    kind kinds[KINDS_MAX] = {{.name = "hot", .count = CHECKS},
                             {.name = "million", .count = CHECKS},
                             {.name = "invented", .count = CHECKS},
                             {.name = "found", .count = CHECKS}};
    uint32_t count = OWN_KINDS;
    coat_table_writer *w;
    coat_table_stats stats;

    bench.random = 88172645463325252U;
    bench.texts = calloc(SESSIONS, sizeof *bench.texts);
    if (bench.texts == NULL || coat_init() != COAT_OK || !peers_open())
        die("no memory or library");
    for (uint32_t i = 0; i < peers_count(); i++)
        kinds[count++] = (kind){.name = peer_name(i), .count = peer_rounds(i)};
    randombytes_buf(tags.key[0], sizeof tags.key[0]);
    w = make_table();
    memset(bench.invented.chars, 'A', sizeof bench.invented.chars);
    (void)snprintf(bench.line, sizeof bench.line,
                   "theme=dark; _ga=GA1.1.1733742113.1755862013; __Host-id=%.*s",
                   COAT_TOKEN_CHARS, bench.invented.chars);
    (void)snprintf(bench.cookie.name, sizeof bench.cookie.name, "__Host-id");
    for (uint32_t i = 0; i < SESSIONS; i++)
        enter(w, &bench.texts[i]);
    bench.table = coat_table_writer_reader(w);
    measure(kinds, count);
    /* Entries that gave way in a nearly full table: a handful at most. */
    if (bench.wrong > (uint64_t)ROUNDS * CHECKS / 1000)
        die("too many checks gave another answer");
    coat_table_stats_get(w, &stats);
    print(kinds, count, &stats);
    coat_table_writer_close(w);
    peers_close();
    free(bench.texts);
    return 0;
}
