/* SPDX-License-Identifier: Apache-2.0 */
#include "coat_test.h"
#include "core/bytes.h"

#include <coatcheck/coatcheck.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <uv.h>

/** One engine, many threads; run under ThreadSanitizer to be worth its name. */

enum { THREADS = 4 };

static coat_engine *engine;
static coat_engine_conf conf;
static coat_store *store;
static coat_keys *keys;
static atomic_uint event_counts[COAT_EVENT_COUNT];
static atomic_uint faults;

static void
note(void *ctx, const coat_event *event)
{
    (void)ctx;
    atomic_fetch_add(&event_counts[event->type], 1);
}

static void
open_all(const char *url)
{
    coat_store_conf store_conf = {.url = url};

    if (strncmp(url, "lmdb", 4) == 0)
        test_not_under_valgrind("it has no room for a map of full size");
    REQUIRE_OK(coat_init());
    REQUIRE_OK(coat_store_open(&store_conf, &store));
    REQUIRE_OK(coat_keys_generate(coat_clock_system(NULL), coat_rng_system, NULL, &keys));
    coat_engine_conf_default(&conf);
    conf.keys = keys;
    conf.store = store;
    conf.table_slots = 4096;
    conf.sessions_per_user = 0;
    conf.events = note;
    for (int i = 0; i < COAT_EVENT_COUNT; i++)
        atomic_store(&event_counts[i], 0);
    atomic_store(&faults, 0);
}

static void
start(void)
{
    REQUIRE_OK(coat_engine_new(&conf, &engine));
}

static void
close_all(void)
{
    coat_engine_free(engine);
    coat_store_close(store);
    coat_keys_free(keys);
}

static void
expect(bool good)
{
    if (!good)
        atomic_fetch_add(&faults, 1);
}

static void
run_threads(void *(*work)(void *), unsigned count)
{
    pthread_t threads[THREADS + 1];
    unsigned numbers[THREADS + 1];

    for (unsigned i = 0; i < count; i++) {
        numbers[i] = i;
        REQUIRE(pthread_create(&threads[i], NULL, work, &numbers[i]) == 0);
    }
    for (unsigned i = 0; i < count; i++)
        (void)pthread_join(threads[i], NULL);
}

static coat_err
knock(coat_desk *desk, const char *text, coat_call *call)
{
    coat_table_query query = {.token = {(const uint8_t *)text, COAT_TOKEN_CHARS},
                              .now_ms = coat_engine_now_ms(engine)};
    coat_table_answer answer;

    coat_engine_peek(engine, &query, &answer);
    *call = (coat_call){.op = COAT_CALL_CHECK, .token = query.token};
    if (answer.verdict != COAT_TABLE_ASK)
        return answer.verdict == COAT_TABLE_LIVE ? COAT_OK : COAT_NO_SESSION;
    return coat_call_run(desk, call);
}

/* ---- each thread its own sessions, one keeps house and reloads ---- */

static atomic_bool working;

static void *
own_sessions(void *arg)
{
    unsigned number = *(unsigned *)arg;
    long rounds = test_scaled(2000, 40);
    char user[32], token[COAT_TOKEN_CHARS];
    coat_desk *desk;
    coat_call call;

    if (number == THREADS) {
        expect(coat_desk_open(engine, NULL, &desk) == COAT_OK);
        while (atomic_load(&working)) {
            coat_desk_tick(desk);
            expect(coat_engine_reconfigure(engine, &conf) == COAT_OK);
        }
        coat_desk_close(desk);
        return NULL;
    }
    expect(coat_desk_open(engine, NULL, &desk) == COAT_OK);
    snprintf(user, sizeof user, "user%u", number);
    for (long i = 0; i < rounds; i++) {
        call = (coat_call){.op = COAT_CALL_CREATE, .user = coat_span_of(user)};
        expect(coat_call_run(desk, &call) == COAT_OK);
        memcpy(token, call.token_text, sizeof token);
        coat_session_free(call.session);
        for (int k = 0; k < 5; k++) {
            expect(knock(desk, token, &call) == COAT_OK);
            coat_session_free(call.session);
        }
        call = (coat_call){.op = COAT_CALL_PATCH,
                           .token = {(uint8_t *)token, sizeof token},
                           .data = COAT_LIT("{\"a\":1}")};
        expect(coat_call_run(desk, &call) == COAT_OK);
        coat_session_free(call.session);
        call = (coat_call){.op = i % 2 == 0 ? COAT_CALL_END : COAT_CALL_END_USER,
                           .token = {(uint8_t *)token, i % 2 == 0 ? sizeof token : 0},
                           .user = coat_span_of(user)};
        expect(coat_call_run(desk, &call) == COAT_OK);
        expect(knock(desk, token, &call) == COAT_NO_SESSION);
    }
    coat_desk_close(desk);
    if (number == 0)
        atomic_store(&working, false);
    return NULL;
}

static void
side_by_side(void)
{
    open_all("memory:");
    start();
    atomic_store(&working, true);
    run_threads(own_sessions, THREADS + 1);
    CHECK_INT(atomic_load(&faults), 0);
    close_all();
}

/* ---- one session, rotated every few milliseconds, used by all ---- */

static pthread_mutex_t latest_mutex = PTHREAD_MUTEX_INITIALIZER;
static char latest[COAT_TOKEN_CHARS];
static atomic_uint carried, outdated;

static void *
one_session(void *arg)
{
    long rounds = test_scaled(20000, 500);
    char token[COAT_TOKEN_CHARS];
    coat_desk *desk;
    coat_call call;
    unsigned before;

    (void)arg;
    expect(coat_desk_open(engine, NULL, &desk) == COAT_OK);
    for (long i = 0; i < rounds; i++) {
        pthread_mutex_lock(&latest_mutex);
        memcpy(token, latest, sizeof token);
        before = atomic_load(&carried);
        pthread_mutex_unlock(&latest_mutex);
        /* a thread that slept through two rotations holds a superseded token */
        if (knock(desk, token, &call) != COAT_OK) {
            expect(atomic_load(&carried) - before >= 2);
            atomic_fetch_add(&outdated, 1);
        }
        if (call.set_token) {
            pthread_mutex_lock(&latest_mutex);
            memcpy(latest, call.token_text, sizeof latest);
            atomic_fetch_add(&carried, 1);
            pthread_mutex_unlock(&latest_mutex);
        }
        coat_session_free(call.session);
    }
    coat_desk_close(desk);
    return NULL;
}

static void
shared_session(void)
{
    coat_engine_stats stats;
    coat_session *session;

    open_all("memory:");
    conf.policy.rotate_every_ms = 2;
    conf.policy.rotate_grace_ms = 60000;
    conf.reuse_report_only = true;
    start();
    REQUIRE_OK(coat_session_create(engine, COAT_LIT("ada"), (coat_span){0}, (coat_span){0},
                                   NULL, &session, latest));
    coat_session_free(session);
    atomic_store(&carried, 0);
    atomic_store(&outdated, 0);
    run_threads(one_session, THREADS);
    CHECK_INT(atomic_load(&faults), 0);
    CHECK_INT(atomic_load(&event_counts[COAT_EVENT_TOKEN_REUSE]), atomic_load(&outdated));
    coat_engine_stats_get(engine, &stats);
    CHECK_INT(stats.rotated, atomic_load(&carried));
    close_all();
}

/* ---- nobody gets in after an acknowledged end ---- */

static atomic_uint round_started, round_ended;

static void *
ended_under_load(void *arg)
{
    unsigned number = *(unsigned *)arg, rounds = (unsigned)test_scaled(5000, 100);
    coat_session *session;
    coat_desk *desk;
    coat_call call;
    char token[COAT_TOKEN_CHARS];

    expect(coat_desk_open(engine, NULL, &desk) == COAT_OK);
    for (unsigned i = 1; number == 0 && i <= rounds; i++) {
        expect(coat_session_create(engine, COAT_LIT("ada"), (coat_span){0}, (coat_span){0},
                                   NULL, &session, token) == COAT_OK);
        coat_session_free(session);
        pthread_mutex_lock(&latest_mutex);
        memcpy(latest, token, sizeof latest);
        atomic_store(&round_started, i);
        pthread_mutex_unlock(&latest_mutex);
        for (int k = 0; k < 20; k++) {
            expect(knock(desk, token, &call) == COAT_OK);
            coat_session_free(call.session);
        }
        call = (coat_call){.op = i % 3 == 0   ? COAT_CALL_END_ALL
                                 : i % 3 == 1 ? COAT_CALL_END_USER
                                              : COAT_CALL_END,
                           .token = {(uint8_t *)token, i % 3 == 2 ? sizeof token : 0},
                           .user = COAT_LIT("ada")};
        expect(coat_call_run(desk, &call) == COAT_OK);
        atomic_store(&round_ended, i);
    }
    if (number == 0)
        atomic_store(&working, false);
    while (number != 0 && atomic_load(&working)) {
        unsigned ended, started;
        coat_err err;

        pthread_mutex_lock(&latest_mutex);
        memcpy(token, latest, sizeof token);
        started = atomic_load(&round_started);
        pthread_mutex_unlock(&latest_mutex);
        ended = atomic_load(&round_ended);
        if (number % 2 == 1) { /* for a long connection, which must notice as well */
            call = (coat_call){.op = COAT_CALL_ALIVE,
                               .token = {(const uint8_t *)token, sizeof token}};
            err = coat_call_run(desk, &call);
        } else {
            err = knock(desk, token, &call);
        }
        expect(!(err == COAT_OK && started != 0 && ended >= started));
        coat_session_free(call.session);
    }
    coat_desk_close(desk);
    return NULL;
}

static void
ended_is_ended(void)
{
    open_all("memory:");
    start();
    atomic_store(&working, true);
    atomic_store(&round_started, 0);
    atomic_store(&round_ended, 0);
    memset(latest, 'A', sizeof latest);
    run_threads(ended_under_load, THREADS);
    CHECK_INT(atomic_load(&faults), 0);
    close_all();
}

/* ---- loops, on LMDB ---- */

typedef struct looper {
    coat_desk *desk;
    coat_call call;
    char user[32], token[COAT_TOKEN_CHARS];
    long left;
} looper;

static void
next(coat_call *call)
{
    looper *l = call->ctx;
    coat_call_op op = call->op;

    if (coat_err_kind_of(call->result) == COAT_KIND_RETRY) { /* a slow disk */
        coat_call_start(l->desk, call);
        return;
    }
    expect(call->result == COAT_OK || (op == COAT_CALL_CHECK && l->left == 0));
    if (op == COAT_CALL_CREATE)
        memcpy(l->token, call->token_text, sizeof l->token);
    coat_session_free(call->session);
    if (l->left-- == 0)
        return;
    *call = (coat_call){.op = op == COAT_CALL_CREATE  ? COAT_CALL_CHECK
                              : op == COAT_CALL_CHECK ? COAT_CALL_PATCH
                              : op == COAT_CALL_PATCH ? COAT_CALL_END
                                                      : COAT_CALL_CREATE,
                        .token = {(uint8_t *)l->token, sizeof l->token},
                        .user = coat_span_of(l->user),
                        .data = COAT_LIT("{\"a\":1}"),
                        .done = next,
                        .ctx = l};
    if (call->op == COAT_CALL_CREATE)
        call->token = (coat_span){0};
    coat_call_start(l->desk, call);
}

static void *
on_a_loop(void *arg)
{
    looper l = {.left = test_scaled(2000, 40)};
    uv_loop_t loop;

    snprintf(l.user, sizeof l.user, "user%u", *(unsigned *)arg);
    expect(uv_loop_init(&loop) == 0);
    expect(coat_desk_open(engine, &loop, &l.desk) == COAT_OK);
    l.call = (coat_call){
        .op = COAT_CALL_CREATE, .user = coat_span_of(l.user), .done = next, .ctx = &l};
    coat_call_start(l.desk, &l.call);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    expect(l.left == -1);
    if (*(unsigned *)arg == 0) /* one desk keeps house */
        coat_desk_tick(l.desk);
    coat_desk_close(l.desk);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    expect(uv_loop_close(&loop) == 0);
    return NULL;
}

static void
loops(void)
{
    char url[300];

    snprintf(url, sizeof url, "lmdb:%s/store", test_tmpdir());
    open_all(url);
    start();
    run_threads(on_a_loop, THREADS);
    CHECK_INT(atomic_load(&faults), 0);
    close_all();
}

/* A slow disk is no fault: try again. */
#define PATIENTLY(err, expression)                                                             \
    do                                                                                         \
        (err) = (expression);                                                                  \
    while (coat_err_kind_of(err) == COAT_KIND_RETRY)

/* ---- the blocking functions, and what outlives a restart ---- */

static void *
blocking(void *arg)
{
    char user[32], token[COAT_TOKEN_CHARS], next_token[COAT_TOKEN_CHARS];
    coat_context context = {COAT_LIT("192.0.2.1"), COAT_LIT("Firefox/1"), COAT_LIT("en")};
    coat_session *session;
    bool set;
    coat_err err;

    snprintf(user, sizeof user, "user%u", *(unsigned *)arg);
    for (int i = 0; i < 10; i++) {
        PATIENTLY(err, coat_session_create(engine, coat_span_of(user), COAT_LIT("r"),
                                           COAT_LIT("{\"a\":1}"), &context, &session, token));
        expect(err == COAT_OK);
        coat_session_free(session);
        set = true;
        PATIENTLY(err, coat_session_check(engine, (coat_span){(uint8_t *)token, sizeof token},
                                          &context, &session, &set, next_token));
        expect(err == COAT_OK && !set);
        expect(coat_session_has_role(session, "r"));
        coat_session_free(session);
        session = NULL;
        expect(coat_session_check(engine, COAT_LIT("nonsense"), NULL, &session, &set,
                                  next_token) == COAT_NO_SESSION &&
               session == NULL);
    }
    return NULL;
}

static void
blocking_calls(void)
{
    char url[300], token[COAT_TOKEN_CHARS], text[COAT_CSRF_CHARS];
    coat_session *session;
    bool set;
    coat_err err;

    snprintf(url, sizeof url, "lmdb:%s/store", test_tmpdir());
    open_all(url);
    start();
    run_threads(blocking, THREADS);
    CHECK_INT(atomic_load(&faults), 0);
    PATIENTLY(err, coat_session_create(engine, COAT_LIT("ada"), (coat_span){0}, (coat_span){0},
                                       NULL, &session, token));
    REQUIRE_OK(err);
    coat_session_free(session);
    coat_engine_free(engine);
    coat_store_close(store);
    REQUIRE_OK(coat_store_open(&(coat_store_conf){.url = url}, &store));
    conf.store = store;
    start();
    PATIENTLY(err, coat_session_check(engine, (coat_span){(uint8_t *)token, sizeof token}, NULL,
                                      &session, &set, token));
    REQUIRE_OK(err);
    REQUIRE_OK(coat_session_csrf(engine, session, text));
    CHECK_ERR(
        coat_session_csrf_check(engine, session, (coat_span){(uint8_t *)text, sizeof text}),
        COAT_OK);
    text[0] ^= 1;
    CHECK_ERR(
        coat_session_csrf_check(engine, session, (coat_span){(uint8_t *)text, sizeof text}),
        COAT_DENIED);
    coat_session_free(session);
    close_all();
}

static const coat_test tests[] = {
    {"desks on several threads, with reloads and housekeeping", side_by_side},
    {"LC-5: one session on several threads, rotating all the time", shared_session},
    {"LC-9 LC-11: threads find no session after its acknowledged end", ended_is_ended},
    {"desks on loops, on LMDB", loops},
    {"SF-3: blocking functions on several threads; sessions outlive a restart", blocking_calls},
};
COAT_TEST_MAIN(tests)
