/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Instances on libuv loops in threads of their own, over the store in memory as if it were
 * shared: what wakes what, and that everything ends. Time is real here; nothing is judged by
 * it.
 */

#include "coat_test.h"
#include "core/bytes.h"
#include "engine/shared.h"
#include "store/stores.h"

#include <coatcheck/coatcheck.h>
#include <pthread.h>
#include <stdlib.h>
#include <uv.h>

enum { INSTANCES = 3, DESKS = 2, PATIENCE = 200000 };

typedef struct worker {
    pthread_t thread;
    uv_loop_t loop;
    uv_async_t wake;
    uv_timer_t tick;
    coat_engine *engine;
    coat_desk *desk;
    bool ticks, stop;
    pthread_mutex_t mutex;
    pthread_cond_t change;
    coat_call *ask; /* to be started */
    bool ready, done;
} worker;

static struct coat_store_ops ops;
static coat_store *store;
static coat_keys *keys;
static coat_engine *engines[INSTANCES];
static worker workers[INSTANCES][DESKS];

static void
on_done(coat_call *call)
{
    worker *w = call->ctx;

    pthread_mutex_lock(&w->mutex);
    w->done = true;
    pthread_cond_signal(&w->change);
    pthread_mutex_unlock(&w->mutex);
}

static void
on_tick(uv_timer_t *timer)
{
    worker *w = timer->data;

    coat_desk_tick(w->desk);
}

static void
on_wake(uv_async_t *async)
{
    worker *w = async->data;
    coat_call *call;
    bool stop;

    pthread_mutex_lock(&w->mutex);
    call = w->ask;
    w->ask = NULL;
    stop = w->stop;
    pthread_mutex_unlock(&w->mutex);
    if (call != NULL)
        coat_call_start(w->desk, call);
    if (!stop)
        return;
    coat_desk_close(w->desk);
    uv_close((uv_handle_t *)&w->wake, NULL);
    uv_close((uv_handle_t *)&w->tick, NULL);
}

static void *
work(void *arg)
{
    worker *w = arg;

    if (uv_loop_init(&w->loop) != 0 || uv_async_init(&w->loop, &w->wake, on_wake) != 0 ||
        coat_desk_open(w->engine, &w->loop, &w->desk) != COAT_OK)
        abort();
    w->wake.data = w;
    w->tick.data = w;
    (void)uv_timer_init(&w->loop, &w->tick);
    if (w->ticks)
        (void)uv_timer_start(&w->tick, on_tick, 0, 100);
    pthread_mutex_lock(&w->mutex);
    w->ready = true;
    pthread_cond_signal(&w->change);
    pthread_mutex_unlock(&w->mutex);
    (void)uv_run(&w->loop, UV_RUN_DEFAULT);
    if (uv_loop_close(&w->loop) != 0)
        abort();
    return NULL;
}

static void
begin(worker *w, coat_engine *engine, bool ticks)
{
    memset(w, 0, sizeof *w);
    w->engine = engine;
    w->ticks = ticks;
    REQUIRE(pthread_mutex_init(&w->mutex, NULL) == 0);
    REQUIRE(pthread_cond_init(&w->change, NULL) == 0);
    REQUIRE(pthread_create(&w->thread, NULL, work, w) == 0);
    pthread_mutex_lock(&w->mutex);
    while (!w->ready)
        pthread_cond_wait(&w->change, &w->mutex);
    pthread_mutex_unlock(&w->mutex);
}

static void
end(worker *w)
{
    pthread_mutex_lock(&w->mutex);
    w->stop = true;
    pthread_mutex_unlock(&w->mutex);
    (void)uv_async_send(&w->wake);
    (void)pthread_join(w->thread, NULL);
    pthread_mutex_destroy(&w->mutex);
    pthread_cond_destroy(&w->change);
}

static coat_err
ask(worker *w, coat_call *call)
{
    call->done = on_done;
    call->ctx = w;
    pthread_mutex_lock(&w->mutex);
    w->done = false;
    w->ask = call;
    (void)uv_async_send(&w->wake);
    while (!w->done)
        pthread_cond_wait(&w->change, &w->mutex);
    pthread_mutex_unlock(&w->mutex);
    coat_session_free(call->session);
    call->session = NULL;
    return call->result;
}

static void
start(void)
{
    coat_store_conf sconf = {.url = "memory:"};
    coat_engine_conf conf;

    REQUIRE_OK(coat_init());
    REQUIRE_OK(coat_store_open(&sconf, &store));
    ops = coat_memory_ops;
    ops.caps |= COAT_CAP_SHARED;
    store->ops = &ops;
    REQUIRE_OK(coat_keys_generate(coat_clock_system(NULL), coat_rng_system, NULL, &keys));
    coat_engine_conf_default(&conf);
    conf.keys = keys;
    conf.store = store;
    conf.table_slots = 256;
    for (unsigned i = 0; i < INSTANCES; i++) {
        REQUIRE_OK(coat_engine_new(&conf, &engines[i]));
        for (unsigned d = 0; d < DESKS; d++)
            begin(&workers[i][d], engines[i], d == 0);
    }
}

static void
stop(void)
{
    for (unsigned i = 0; i < INSTANCES; i++) {
        for (unsigned d = 0; d < DESKS; d++)
            end(&workers[i][d]);
        coat_engine_free(engines[i]);
    }
    coat_store_close(store);
    coat_keys_free(keys);
}

static coat_table_verdict
peek(unsigned i, const char *token)
{
    coat_table_query query = {.token = {(const uint8_t *)token, COAT_TOKEN_CHARS},
                              .now_ms = coat_engine_now_ms(engines[i])};
    coat_table_answer answer;

    coat_engine_peek(engines[i], &query, &answer);
    return answer.verdict;
}

/** Until this instance finds it in its table. */
static void
warm(unsigned i, unsigned desk, const char *token)
{
    for (int n = 0; n < PATIENCE; n++) {
        coat_call call = {.op = COAT_CALL_CHECK,
                          .token = {(const uint8_t *)token, COAT_TOKEN_CHARS}};

        if (peek(i, token) == COAT_TABLE_LIVE)
            return;
        REQUIRE_OK(ask(&workers[i][desk], &call));
        if (peek(i, token) != COAT_TABLE_LIVE)
            uv_sleep(1);
    }
    test_fail(__FILE__, __LINE__, "the table never answers");
}

static void
terminations(void)
{
    static const coat_call_op how[] = {COAT_CALL_END, COAT_CALL_END_USER, COAT_CALL_END_ALL,
                                       COAT_CALL_RENEW};
    long rounds = test_scaled(2000, 40);

    start();
    for (long r = 0; r < rounds; r++) {
        coat_call made = {.op = COAT_CALL_CREATE, .user = COAT_LIT("ada")};
        coat_call ended = {.op = how[r % 4]};
        worker *w = &workers[r % INSTANCES][(r / 3) % DESKS];

        REQUIRE_OK(ask(&workers[0][1], &made));
        for (unsigned i = 0; i < INSTANCES; i++)
            warm(i, (unsigned)r % DESKS, made.token_text);
        if (ended.op == COAT_CALL_END || ended.op == COAT_CALL_RENEW)
            ended.token = (coat_span){(const uint8_t *)made.token_text, COAT_TOKEN_CHARS};
        if (ended.op == COAT_CALL_END_USER)
            ended.user = COAT_LIT("ada");
        CHECK_ERR(ask(w, &ended), COAT_OK);
        for (unsigned i = 0; i < INSTANCES; i++)
            CHECK(peek(i, made.token_text) != COAT_TABLE_LIVE);
    }
    for (unsigned i = 0; i < INSTANCES; i++)
        printf("# instance %u: %lu waits ended by time\n", i,
               (unsigned long)atomic_load(&engines[i]->shared->unconfirmed));
    stop();
}

/** A program without a loop ends a session: it waits, and it ends. */
static void
blocking(void)
{
    coat_call made = {.op = COAT_CALL_CREATE, .user = COAT_LIT("bob")};
    coat_call ended = {.op = COAT_CALL_END};

    start();
    REQUIRE_OK(ask(&workers[0][0], &made));
    warm(1, 0, made.token_text);
    ended.token = (coat_span){(const uint8_t *)made.token_text, COAT_TOKEN_CHARS};
    REQUIRE_OK(coat_engine_run(engines[2], &ended));
    CHECK(peek(1, made.token_text) != COAT_TABLE_LIVE);
    stop();
}

/** Loops stop while calls wait for somebody who never confirms. */
static void
stops_while_waiting(void)
{
    coat_call made = {.op = COAT_CALL_CREATE, .user = COAT_LIT("cyd")};
    coat_call ended = {.op = COAT_CALL_END, .done = on_done, .ctx = &workers[0][1]};
    coat_store_req ghost = {.op = COAT_OP_SAY, .address = {{42}}, .value = COAT_LIT("?")};
    coat_lane *lane;

    start();
    REQUIRE_OK(ask(&workers[0][0], &made));
    warm(0, 0, made.token_text);
    REQUIRE_OK(coat_lane_open(store, NULL, &lane));
    REQUIRE_OK(coat_store_run(lane, &ghost)); /* is in the register, and that is all */
    coat_lane_close(lane);
    ended.token = (coat_span){(const uint8_t *)made.token_text, COAT_TOKEN_CHARS};
    pthread_mutex_lock(&workers[0][1].mutex);
    workers[0][1].done = false;
    workers[0][1].ask = &ended;
    (void)uv_async_send(&workers[0][1].wake);
    pthread_mutex_unlock(&workers[0][1].mutex);
    stop();
    CHECK(ended.result == COAT_CANCELLED || ended.result == COAT_OK);
}

static const coat_test tests[] = {
    {"RV-1: no LIVE after the acknowledgement, between threads and loops", terminations},
    {"RV-1: a call that blocks waits for the others too", blocking},
    {"loops stop while calls wait for a confirmation", stops_while_waiting},
};
COAT_TEST_MAIN(tests)
