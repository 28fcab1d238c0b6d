/* SPDX-License-Identifier: Apache-2.0 */
/**
 * Durable inserts and removes of the embedded store, and what a session costs on disk.
 *
 *   bench_store [directory] [sessions]
 */

#include <coatcheck/store.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

enum { VALUE_BYTES = 400, IN_FLIGHT_MAX = 1000 };

typedef struct bench {
    uv_loop_t loop;
    coat_store *store;
    coat_lane *lane;
    coat_store_req reqs[IN_FLIGHT_MAX];
    coat_op op;
    uint64_t next, end, failed;
    uint32_t outstanding;
    bool grouped; /* start the next group when this one is through */
} bench;

static uint8_t value[VALUE_BYTES];

static double
seconds(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static uint64_t
mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

/** Session i: handles as minted, 44 bits of milliseconds (100 sign-ins in each) and 20 random
 * ones, and an owner of its own. */
static coat_handle
handle_of(uint64_t i)
{
    uint64_t serial = (1700000000000U + i / 100) << 20 | (mix(i) & 0xfffff);
    uint64_t owner = mix(i * 2 + 1);
    coat_handle h;

    for (int k = 0; k < 8; k++) {
        h.bytes[k] = (uint8_t)(serial >> (56 - 8 * k));
        h.bytes[8 + k] = (uint8_t)(owner >> (56 - 8 * k));
    }
    return h;
}

static void submit_next(bench *b, coat_store_req *req);

static void
on_done(coat_store_req *req)
{
    bench *b = req->ctx;

    b->failed += req->result != COAT_OK && req->op != COAT_OP_LOAD;
    b->outstanding--;
    if (!b->grouped)
        submit_next(b, req);
}

static void
submit_next(bench *b, coat_store_req *req)
{
    if (b->next == b->end)
        return;
    *req = (coat_store_req){.op = b->op,
                            .space = COAT_SPACE_SESSION,
                            .address = handle_of(b->next++),
                            .value = {value, sizeof value},
                            .now_ms = 1700000000000,
                            .owner_max = 10,
                            .owner_evict = true,
                            .timeout_ms = 60000,
                            .done = on_done,
                            .ctx = b};
    b->outstanding++;
    coat_store_submit(b->lane, req);
}

/** Carry out op on sessions from..to with so many in flight; prints one line. */
static void
measure(bench *b, const char *what, coat_op op, uint64_t from, uint64_t to, uint32_t flight,
        bool grouped)
{
    double wall = seconds(CLOCK_MONOTONIC), cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);

    b->op = op;
    b->next = from;
    b->end = to;
    b->failed = 0;
    b->grouped = grouped;
    do {
        for (uint32_t i = 0; i < flight; i++)
            submit_next(b, &b->reqs[i]);
        uv_run(&b->loop, UV_RUN_DEFAULT);
    } while (b->next < b->end);
    wall = seconds(CLOCK_MONOTONIC) - wall;
    cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    printf("%-28s %9.0f /s  %6.2f us CPU each%s\n", what, (double)(to - from) / wall,
           cpu * 1e6 / (double)(to - from), b->failed != 0 ? "  (FAILURES)" : "");
    fflush(stdout);
}

static void
measure_size(bench *b, const char *dir, uint64_t sessions)
{
    coat_store_stats stats;
    struct stat st;
    char path[512];

    (void)snprintf(path, sizeof path, "%s/data.mdb", dir);
    if (coat_store_stats_get(b->store, &stats) != COAT_OK || stat(path, &st) != 0)
        return;
    printf("%-28s %9.1f bytes in the file, %.1f in use; ratio %.2f\n", "disk per session",
           (double)st.st_size / (double)sessions, (double)stats.bytes_used / (double)sessions,
           (double)st.st_size / (double)sessions / VALUE_BYTES);
}

static void
run_all(bench *b, const char *dir, uint64_t sessions)
{
    uint64_t quarter = sessions / 4;

    measure(b, "inserts, groups of 100", COAT_OP_INSERT, 0, quarter, 100, true);
    measure(b, "inserts, 1000 in flight", COAT_OP_INSERT, quarter, sessions, 1000, false);
    measure_size(b, dir, sessions);
    measure(b, "removes, groups of 100", COAT_OP_REMOVE, 0, quarter, 100, true);
    measure(b, "removes, 1000 in flight", COAT_OP_REMOVE, quarter, sessions, 1000, false);
    measure(b, "loads of what is gone", COAT_OP_LOAD, 0, quarter, 1, true);
}

int
main(int argc, char **argv)
{
    static bench b;
    char dir[400], url[420], message[256];
    coat_store_conf conf = {.url = url, .message = message, .message_cap = sizeof message};
    unsigned long long sessions = 1000000;

    if (argc > 2 && sscanf(argv[2], "%9llu", &sessions) != 1)
        return 2;
    (void)snprintf(dir, sizeof dir, "%s/coat-bench-XXXXXX", argc > 1 ? argv[1] : "/tmp");
    if (mkdtemp(dir) == NULL) {
        perror(dir);
        return 1;
    }
    (void)snprintf(url, sizeof url, "lmdb:%s", dir);
    if (uv_loop_init(&b.loop) != 0 || coat_store_open(&conf, &b.store) != COAT_OK ||
        coat_lane_open(b.store, &b.loop, &b.lane) != COAT_OK) {
        (void)fprintf(stderr, "%s\n", message);
        return 1;
    }
    run_all(&b, dir, sessions);
    coat_lane_close(b.lane);
    uv_run(&b.loop, UV_RUN_DEFAULT);
    coat_store_close(b.store);
    for (int i = 0; i < 3; i++) {
        static const char *const names[] = {"data.mdb", "lock.mdb", "lock"};

        (void)snprintf(url, sizeof url, "%s/%s", dir, names[i]);
        (void)unlink(url);
    }
    return rmdir(dir) == 0 ? 0 : 1;
}
