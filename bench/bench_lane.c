/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Look-ups by one lane, which is a store as one thread of the daemon uses it:
 *
 *   bench_lane fill URL MODULES SESSIONS
 *   bench_lane load URL MODULES SESSIONS IN_FLIGHT SECONDS
 *
 * MODULES: directory of the stores' modules. Session number N, below 10^12, has the serial
 * SERIAL and the owner whose bytes in hex are N in decimal: so redis-benchmark, which can put
 * 12 random digits into a key, can ask for the same ones. "load" keeps IN_FLIGHT requests under
 * way for random sessions and prints one line of JSON; an answer that is not the session's
 * value ends it with status 1.
 */

#include <coatcheck/store.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <uv.h>

enum {
    VALUE_BYTES = 400, /* as a sealed record has */
    IN_FLIGHT_MAX = 1000,
    FILL_IN_FLIGHT = 200,
    PATIENCE_MS = 60000,
    LOOK_EVERY = 256, /* answers between looks at the clock */
};

static const int64_t NOW_MS = 1700000000000;
static const uint8_t serial[8] = {0x18, 0xbc, 0xfe, 0x56, 0x80, 0, 0, 1};

typedef struct bench {
    uv_loop_t loop;
    coat_store *store;
    coat_lane *lane;
    coat_store_req reqs[IN_FLIGHT_MAX];
    coat_op op;
    uint64_t sessions, next, done, random;
    double end; /* of the monotonic clock; 0: when all were asked for once */
    uint32_t outstanding;
    bool over;
} bench;

static uint8_t value[VALUE_BYTES];

static double
seconds(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

_Noreturn static void
die(const char *what, const char *why)
{
    (void)fprintf(stderr, "bench_lane: %s: %s\n", what, why);
    exit(1);
}

static coat_handle
handle_of(uint64_t number)
{
    coat_handle h;

    memcpy(h.bytes, serial, sizeof serial);
    for (int i = 15; i >= 8; i--, number /= 100)
        h.bytes[i] = (uint8_t)(number / 10 % 10 << 4 | number % 10);
    return h;
}

static uint64_t
number_of_next(bench *b)
{
    if (b->op == COAT_OP_INSERT)
        return b->next;
    b->random = b->random * 6364136223846793005U + 1442695040888963407U;
    return (b->random >> 33) % b->sessions;
}

static void submit_next(bench *b, coat_store_req *req);

static void
on_done(coat_store_req *req)
{
    bench *b = req->ctx;

    if (req->result != COAT_OK)
        die("a request failed", coat_err_text(req->result));
    if (req->op == COAT_OP_LOAD && req->found.len != VALUE_BYTES)
        die("a request failed", "another value");
    b->outstanding--;
    b->done++;
    if (b->end != 0 && b->done % LOOK_EVERY == 0 && seconds(CLOCK_MONOTONIC) >= b->end)
        b->over = true;
    if (b->op == COAT_OP_INSERT)
        submit_next(b, req);
}

static void
submit_next(bench *b, coat_store_req *req)
{
    if (b->over || (b->end == 0 && b->next == b->sessions))
        return;
    *req = (coat_store_req){.op = b->op,
                            .space = COAT_SPACE_SESSION,
                            .address = handle_of(number_of_next(b)),
                            .now_ms = NOW_MS,
                            .timeout_ms = PATIENCE_MS,
                            .done = on_done,
                            .ctx = b};
    if (b->op == COAT_OP_INSERT)
        req->value = (coat_span){value, sizeof value};
    b->next++;
    b->outstanding++;
    coat_store_submit(b->lane, req);
}

static void
run(bench *b, uint32_t flight)
{
    do {
        for (uint32_t i = 0; i < flight; i++)
            submit_next(b, &b->reqs[i]);
        while (b->outstanding > 0)
            uv_run(&b->loop, UV_RUN_ONCE);
    } while (!b->over && (b->end != 0 || b->next < b->sessions));
}

static void
load(bench *b, uint32_t flight, double for_s)
{
    double wall, cpu;

    /* What comes first pays for connections and caches, and is not counted. */
    b->end = seconds(CLOCK_MONOTONIC) + 0.2;
    run(b, flight);
    b->over = false;
    b->done = 0;
    cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
    wall = seconds(CLOCK_MONOTONIC);
    b->end = wall + for_s;
    run(b, flight);
    wall = seconds(CLOCK_MONOTONIC) - wall;
    cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    printf("{\"count\": %llu, \"rate\": %.0f, \"cpu_us\": %.3f}\n", (unsigned long long)b->done,
           (double)b->done / wall, cpu * 1e6 / (double)b->done);
}

static bool
take_arguments(bench *b, int argc, char **argv, uint32_t *flight, double *for_s)
{
    bool fills = argc == 5 && strcmp(argv[1], "fill") == 0;

    if (!fills && (argc != 7 || strcmp(argv[1], "load") != 0))
        return false;
    b->op = fills ? COAT_OP_INSERT : COAT_OP_LOAD;
    b->sessions = strtoull(argv[4], NULL, 10);
    *flight = fills ? FILL_IN_FLIGHT : (uint32_t)strtoul(argv[5], NULL, 10);
    *for_s = fills ? 0 : strtod(argv[6], NULL);
    return b->sessions > 0 && b->sessions < 1000000000000 && *flight > 0 &&
           *flight <= IN_FLIGHT_MAX && (fills || *for_s > 0);
}

int
main(int argc, char **argv)
{
    static bench b;
    char message[256] = "";
    coat_store_conf conf = {.message = message, .message_cap = sizeof message};
    uint32_t flight;
    double for_s;

    if (!take_arguments(&b, argc, argv, &flight, &for_s))
        die("usage", "bench_lane fill URL MODULES SESSIONS | load ... IN_FLIGHT SECONDS");
    conf.url = argv[2];
    conf.module_dir = argv[3];
    if (uv_loop_init(&b.loop) != 0 || coat_store_open(&conf, &b.store) != COAT_OK ||
        coat_lane_open(b.store, &b.loop, &b.lane) != COAT_OK)
        die(conf.url, message);
    if (b.op == COAT_OP_LOAD)
        load(&b, flight, for_s);
    else
        run(&b, flight);
    coat_lane_close(b.lane);
    (void)uv_run(&b.loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&b.loop);
    coat_store_close(b.store);
    return 0;
}
