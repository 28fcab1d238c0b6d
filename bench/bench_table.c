/* SPDX-License-Identifier: Apache-2.0 */

/**
 * What a check in the node table costs: prints "name value" lines, nanoseconds of CPU per
 * check, the median of rounds. hot: one session; million: a random one of 10^6; invented: a
 * well-formed token that was never issued.
 */

#include "table/writer.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROUNDS = 9, CHECKS = 400000, SESSIONS = 1000000, IDLE_MS = 1800000 };

static const int64_t now_ms = 1700000000000;
static coat_tag_keys tags = {.count = 1};

typedef struct bench_text {
    char chars[COAT_TOKEN_CHARS];
} bench_text;

static void
die(const char *what)
{
    (void)fprintf(stderr, "bench_table: %s\n", what);
    exit(1);
}

static double
cpu_ns(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static int
compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static uint64_t
next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
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
measure(const char *name, const coat_table *table, const bench_text *texts, uint32_t count,
        coat_table_verdict want)
{
    double ns[ROUNDS];
    uint64_t state = 88172645463325252U;
    uint64_t wrong = 0;
    const bench_text *text = texts;
    coat_table_answer answer; /* out here: the build clears what is declared in the loop */

    for (int round = 0; round < ROUNDS; round++) {
        double start = cpu_ns();

        for (int i = 0; i < CHECKS; i++) {
            coat_table_query query = {.token = {(const uint8_t *)text->chars, COAT_TOKEN_CHARS},
                                      .now_ms = now_ms};

            /* A request brings its token along: fetching that is no part of the check. */
            text = &texts[count == 1 ? 0 : next(&state) % count];
            __builtin_prefetch(text);
            __builtin_prefetch(text->chars + sizeof text->chars - 1);
            coat_table_check(table, &query, &answer);
            wrong += answer.verdict != want;
        }
        ns[round] = (cpu_ns() - start) / CHECKS;
    }
    qsort(ns, ROUNDS, sizeof ns[0], compare);
    printf("table_check_%s_ns %.1f\n", name, ns[ROUNDS / 2]);
    /* Entries that gave way in a nearly full table: a handful at most. */
    if (wrong > (uint64_t)ROUNDS * CHECKS / 1000)
        die("too many checks gave another answer");
}

int
main(void)
{
    coat_table_conf conf;
    coat_table_writer *w;
    coat_table_stats stats;
    bench_text *texts = calloc(SESSIONS, sizeof *texts), invented;

    if (texts == NULL || coat_init() != COAT_OK)
        die("no memory or library");
    randombytes_buf(tags.key[0], sizeof tags.key[0]);
    coat_table_conf_default(&conf);
    conf.slots = coat_table_slots_for(SESSIONS);
    conf.tags = &tags;
    conf.now_ms = now_ms;
    if (coat_table_create(&conf, &w) != COAT_OK)
        die("no table");
    enter(w, &texts[0]);
    memset(invented.chars, 'A', sizeof invented.chars);
    measure("hot", coat_table_writer_reader(w), texts, 1, COAT_TABLE_LIVE);
    measure("invented", coat_table_writer_reader(w), &invented, 1, COAT_TABLE_REFUSE);
    for (uint32_t i = 1; i < SESSIONS; i++)
        enter(w, &texts[i]);
    measure("million", coat_table_writer_reader(w), texts, SESSIONS, COAT_TABLE_LIVE);
    coat_table_stats_get(w, &stats);
    printf("table_bytes_per_session %.1f\n", (double)stats.bytes / SESSIONS);
    printf("table_evicted_of_million %llu\n", (unsigned long long)stats.evicted);
    coat_table_writer_close(w);
    free(texts);
    return 0;
}
