/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/internal.h"
#include "rig.h"

#include <string.h>

/**
 * Random interleavings of everything that writes with everything that ends, with answers that
 * get lost or writes that take place late: what has been acknowledged as ended stays ended.
 */

enum { SESSIONS = 4, CALLS = 16 };

static rig r;
static test_rng random_;

typedef struct racer {
    coat_call call;
    bool busy;
    int session;
    unsigned generation; /* of the session when the call started */
    bool was_dead;
} racer;

static racer racers[CALLS];
static struct {
    rig_token token[2]; /* the first one, and the latest one */
    unsigned generation;
    bool dead;
    char user[16];
} sessions[SESSIONS];
static unsigned long accepts, refusals, terminations;

static unsigned
pick(unsigned limit)
{
    return (unsigned)test_rng_below(&random_, limit);
}

/** No session is made while anything terminating is under way: all that are, are meant. */
static void
terminated(const racer *done)
{
    terminations++;
    for (int s = 0; s < SESSIONS; s++) {
        bool same_user = strcmp(sessions[s].user, sessions[done->session].user) == 0;

        if ((done->call.op == COAT_CALL_END && s == done->session) ||
            (done->call.op == COAT_CALL_END_USER && same_user) ||
            done->call.op == COAT_CALL_END_ALL)
            sessions[s].dead = true;
    }
}

static void
finished(coat_call *call)
{
    racer *done = call->ctx;
    bool current = done->generation == sessions[done->session].generation;

    done->busy = false;
    switch (call->op) {
    case COAT_CALL_CHECK:
    case COAT_CALL_PATCH:
    case COAT_CALL_ALIVE:
        if (call->result == COAT_OK) {
            CHECK(!done->was_dead);
            accepts++;
        } else {
            refusals++;
        }
        if (call->set_token && current)
            memcpy(sessions[done->session].token[1].text, call->token_text,
                   sizeof call->token_text);
        break;
    default:
        if (call->result == COAT_OK)
            terminated(done);
    }
    coat_session_free(call->session);
    call->session = NULL;
}

static void
sign_in(int s)
{
    sched_immediate(r.store, true);
    snprintf(sessions[s].user, sizeof sessions[s].user, "user%d", s / 2);
    sessions[s].token[0] = sessions[s].token[1] =
        rig_sign_in(&r, pick(r.engines), sessions[s].user);
    sessions[s].generation++;
    sessions[s].dead = false;
    sched_immediate(r.store, false);
}

static bool
terminating(void)
{
    for (int i = 0; i < CALLS; i++)
        if (racers[i].busy && racers[i].call.op != COAT_CALL_CHECK &&
            racers[i].call.op != COAT_CALL_PATCH && racers[i].call.op != COAT_CALL_ALIVE)
            return true;
    return false;
}

static void
start(void)
{
    static const coat_call_op going_on[] = {COAT_CALL_PATCH, COAT_CALL_ALIVE, COAT_CALL_CHECK,
                                            COAT_CALL_CHECK};
    static const coat_call_op ending[] = {COAT_CALL_END, COAT_CALL_END, COAT_CALL_END_USER,
                                          COAT_CALL_END_ALL};
    racer *one = &racers[pick(CALLS)];
    int s = (int)pick(SESSIONS);
    bool ends = pick(30) == 0;

    if (one->busy)
        return;
    *one = (racer){
        .busy = true,
        .session = s,
        .generation = sessions[s].generation,
        .was_dead = sessions[s].dead,
        .call = {.op = ends ? ending[pick(4)] : going_on[pick(4)],
                 .token = rig_span(&sessions[s].token[pick(2)]),
                 .data = COAT_LIT("{\"a\":1}"),
                 .done = finished,
                 .ctx = one},
    };
    if (one->call.op == COAT_CALL_END_USER || one->call.op == COAT_CALL_END_ALL) {
        one->call.user = coat_span_of(sessions[s].user);
        one->call.token = (coat_span){0};
    }
    coat_call_start(r.desk[pick(r.engines)], &one->call);
}

/** No door says yes to what is dead. */
static void
peek(void)
{
    int s = (int)pick(SESSIONS);
    coat_table_query query = {.token = rig_span(&sessions[s].token[pick(2)]),
                              .now_ms = coat_engine_now_ms(r.engine[0])};
    coat_table_answer answer;

    coat_engine_peek(r.engine[0], &query, &answer);
    if (answer.verdict == COAT_TABLE_LIVE) {
        CHECK(!sessions[s].dead);
        accepts++;
    }
    if (r.engine[0]->writer != NULL &&
        coat_table_live(coat_table_writer_reader(r.engine[0]->writer), query.token,
                        query.now_ms) == COAT_TABLE_LIVE)
        CHECK(!sessions[s].dead);
}

static void
answer_one(bool failures)
{
    static const sched_fate fates[] = {SCHED_REFUSE, SCHED_LOSE, SCHED_LATE};
    size_t waiting = sched_waiting(r.store);

    if (waiting > 0)
        sched_finish(r.store, pick((unsigned)waiting),
                     failures && pick(12) == 0 ? fates[pick(3)] : SCHED_RUN);
}

static void
step(bool failures)
{
    unsigned what = pick(100);

    if (what < 30) {
        start();
    } else if (what < 70) {
        answer_one(failures);
    } else if (what < 80) {
        peek();
    } else if (what < 83) {
        rig_pass(&r, (int64_t)pick(4 * MINUTE));
    } else if (what < 86 && failures) {
        sched_catch_up(r.store);
    } else if (what < 88) {
        sched_immediate(r.store, true);
        coat_desk_tick(r.desk[0]);
        sched_immediate(r.store, false);
    } else if (!terminating()) { /* a new one is not meant by what ends others */
        int s = (int)pick(SESSIONS);

        if (sessions[s].dead)
            sign_in(s);
    }
}

static void
race(unsigned engines, bool failures, uint64_t seed)
{
    long steps = test_scaled(1000000, 20000);

    random_.state = seed;
    memset(racers, 0, sizeof racers);
    memset(sessions, 0, sizeof sessions);
    accepts = refusals = terminations = 0;
    rig_prepare(&r, NULL, engines);
    r.conf.policy.absolute_ms = 100000 * HOUR;
    r.conf.policy.idle_ms = 1000 * HOUR;
    rig_start(&r);
    for (int s = 0; s < SESSIONS; s++)
        sign_in(s);
    for (long i = 0; i < steps; i++)
        step(failures);
    while (sched_waiting(r.store) > 0)
        answer_one(false);
    sched_catch_up(r.store);
    for (int s = 0; s < SESSIONS; s++)
        if (sessions[s].dead) {
            sched_immediate(r.store, true);
            CHECK_ERR(rig_knock(&r, 0, &sessions[s].token[1]), COAT_NO_SESSION);
        }
    printf("# %lu accepts, %lu refusals, %lu terminations\n", accepts, refusals, terminations);
    CHECK(accepts > 1000 && refusals > 100 && terminations > 100);
    rig_stop(&r);
}

static void
instances(void)
{
    race(3, false, 1);
}

static void
instances_failing(void)
{
    race(3, true, 2);
}

static void
table(void)
{
    race(1, false, 3);
}

static void
table_failing(void)
{
    race(1, true, 4);
}

/* Stopping in the middle of everything: each call ends, exactly once. */
static void
stopped(void)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        random_.state = seed;
        memset(racers, 0, sizeof racers);
        memset(sessions, 0, sizeof sessions);
        rig_open(&r, 2);
        for (int s = 0; s < SESSIONS; s++)
            sign_in(s);
        for (int i = 0; i < 300; i++)
            step(true);
        sched_immediate(r.store, false);
        for (unsigned i = 0; i < r.engines; i++) {
            coat_desk_close(r.desk[i]);
            r.desk[i] = NULL;
        }
        for (int i = 0; i < CALLS; i++)
            CHECK(!racers[i].busy);
        CHECK_INT(sched_waiting(r.store), 0);
        sched_immediate(r.store, true);
        rig_stop(&r);
    }
}

static const coat_test tests[] = {
    {"LC-9: random interleavings on three instances", instances},
    {"LC-9: with lost answers and late writes", instances_failing},
    {"LC-9 LC-11: random interleavings with the node table", table},
    {"LC-9 LC-11: with the node table, lost answers and late writes", table_failing},
    {"every call ends exactly once when its desk closes", stopped},
};
COAT_TEST_MAIN(tests)
