/* SPDX-License-Identifier: Apache-2.0 */
#include "rig.h"

#include <string.h>

static rig r;

/** Bring a session to the instant where its rotation is due. */
static rig_token
due(unsigned engines)
{
    rig_token token;

    rig_open(&r, engines);
    token = rig_sign_in(&r, 0, "ada");
    rig_pass(&r, 15 * MINUTE);
    rig_forget(&r);
    return token;
}

static bool
same(const rig_token *a, const rig_token *b)
{
    return memcmp(a->text, b->text, sizeof a->text) == 0;
}

enum { PARALLEL = 200 };
static coat_call calls[PARALLEL];
static unsigned finished;

static void
count_done(coat_call *call)
{
    (void)call;
    finished++;
}

static void
run_all_waiting(test_rng *order)
{
    while (sched_waiting(r.store) > 0)
        sched_finish(r.store, test_rng_below(order, sched_waiting(r.store)), SCHED_RUN);
}

static void
one_carries_the_successor(void)
{
    long rounds = test_scaled(1000, 10);
    test_rng order = {7};
    rig_token token = due(3);

    for (long round = 0; round < rounds; round++) {
        rig_token next = token;
        unsigned carried = 0;

        finished = 0;
        sched_immediate(r.store, false);
        for (unsigned i = 0; i < PARALLEL; i++) {
            calls[i] = (coat_call){
                .op = COAT_CALL_CHECK, .token = rig_span(&token), .done = count_done};
            coat_call_start(r.desk[i % 3], &calls[i]);
        }
        run_all_waiting(&order);
        sched_immediate(r.store, true);
        CHECK_INT(finished, PARALLEL);
        for (unsigned i = 0; i < PARALLEL; i++) {
            CHECK_ERR(calls[i].result, COAT_OK);
            if (calls[i].set_token) {
                carried++;
                memcpy(next.text, calls[i].token_text, sizeof next.text);
            }
            coat_session_free(calls[i].session);
        }
        CHECK_INT(carried, 1);
        CHECK(!same(&next, &token));
        REQUIRE_OK(rig_check(&r, 1, &next)); /* confirms */
        token = next;
        if (round % 40 == 39) /* the absolute end comes: begin anew */
            token = rig_sign_in(&r, 0, "ada");
        rig_pass(&r, 15 * MINUTE);
    }
    rig_stop(&r);
}

static void
lost_response(void)
{
    rig_token token = due(1), first, second;

    CHECK_ERR(rig_knock(&r, 0, &token), COAT_OK);
    REQUIRE(r.call.set_token);
    first = rig_token_of(&r); /* lost on its way */
    for (int s = 0; s < 60; s++) {
        CHECK_ERR(rig_check(&r, 0, &token), COAT_OK);
        CHECK(!r.call.set_token);
        rig_pass(&r, s == 59 ? SECOND - 1 : SECOND);
    }
    CHECK_ERR(rig_check(&r, 0, &token), COAT_OK);
    CHECK(!r.call.set_token);
    rig_pass(&r, 1);
    CHECK_ERR(rig_check(&r, 0, &token), COAT_OK);
    REQUIRE(r.call.set_token);
    second = rig_token_of(&r);
    CHECK(same(&first, &second));
    CHECK_ERR(rig_check(&r, 0, &token), COAT_OK);
    CHECK(!r.call.set_token);
    CHECK_INT(rig_events(&r, COAT_EVENT_SESSION_CONFIRMED), 0);
    CHECK_ERR(rig_knock(&r, 0, &second), COAT_OK);
    CHECK_INT(rig_events(&r, COAT_EVENT_SESSION_CONFIRMED), 1);
    rig_stop(&r);
}

static void
lost_many_times(void)
{
    long rounds = test_scaled(1000, 20);
    rig_token token;

    rig_open(&r, 1);
    r.conf.policy.absolute_ms = 1000 * HOUR;
    r.conf.policy.idle_ms = 10 * HOUR;
    REQUIRE_OK(coat_engine_reconfigure(r.engine[0], &r.conf));
    token = rig_sign_in(&r, 0, "ada");
    for (long i = 0; i < rounds; i++) {
        rig_pass(&r, 15 * MINUTE);
        REQUIRE_OK(rig_knock(&r, 0, &token));
    }
    CHECK_INT(rig_events(&r, COAT_EVENT_TOKEN_REUSE), 0);
    rig_stop(&r);
}

static void
grace(void)
{
    rig_token token = due(1), next;

    REQUIRE_OK(rig_knock(&r, 0, &token));
    next = rig_token_of(&r);
    REQUIRE_OK(rig_knock(&r, 0, &next)); /* confirmed */
    rig_pass(&r, 9 * SECOND);
    CHECK_ERR(rig_knock(&r, 0, &token), COAT_OK); /* was in flight */
    CHECK(!r.call.set_token);
    CHECK_ERR(rig_knock(&r, 0, &next), COAT_OK);
    rig_pass(&r, 2 * SECOND);
    CHECK_ERR(rig_knock(&r, 0, &token), COAT_NO_SESSION);
    rig_stop(&r);
}

static void
theft(void)
{
    rig_token token = due(1), next;
    coat_store_stats stats;

    REQUIRE_OK(rig_knock(&r, 0, &token));
    next = rig_token_of(&r);
    REQUIRE_OK(rig_knock(&r, 0, &next));
    REQUIRE_OK(rig_knock(&r, 0, &next)); /* from the table now */
    rig_pass(&r, 60 * SECOND);
    CHECK_ERR(rig_knock(&r, 0, &token), COAT_NO_SESSION); /* the copy */
    CHECK(r.call.session == NULL && !r.call.set_token);
    CHECK_ERR(rig_knock(&r, 0, &next), COAT_NO_SESSION); /* the victim, at once */
    CHECK_ERR(rig_knock(&r, 0, &token), COAT_NO_SESSION);
    CHECK_INT(rig_events(&r, COAT_EVENT_TOKEN_REUSE), 1);
    CHECK_INT(rig_listed(&r, 0, "ada"), 0);
    REQUIRE_OK(coat_store_stats_get(r.inner, &stats));
    CHECK_INT(stats.sessions, 0); /* nothing of it is left */
    rig_stop(&r);
}

static void
theft_in_parallel(void)
{
    test_rng order = {11};
    rig_token token, next;

    for (int round = 0; round < 20; round++) {
        token = due(3);
        REQUIRE_OK(rig_check(&r, 0, &token));
        next = rig_token_of(&r);
        REQUIRE_OK(rig_check(&r, 0, &next));
        rig_pass(&r, 60 * SECOND);
        sched_immediate(r.store, false);
        for (unsigned i = 0; i < 20; i++) {
            calls[i] = (coat_call){
                .op = COAT_CALL_CHECK, .token = rig_span(&token), .done = count_done};
            coat_call_start(r.desk[i % 3], &calls[i]);
        }
        run_all_waiting(&order);
        sched_immediate(r.store, true);
        for (unsigned i = 0; i < 20; i++)
            CHECK_ERR(calls[i].result, COAT_NO_SESSION);
        CHECK_INT(rig_events(&r, COAT_EVENT_TOKEN_REUSE), 1);
        CHECK_ERR(rig_check(&r, 1, &next), COAT_NO_SESSION);
        rig_stop(&r);
    }
}

static void
theft_report_only(void)
{
    rig_token token, next;

    rig_prepare(&r, NULL, 1);
    r.conf.reuse_report_only = true;
    rig_start(&r);
    token = rig_sign_in(&r, 0, "ada");
    rig_pass(&r, 15 * MINUTE);
    REQUIRE_OK(rig_knock(&r, 0, &token));
    next = rig_token_of(&r);
    REQUIRE_OK(rig_knock(&r, 0, &next));
    rig_pass(&r, 60 * SECOND);
    CHECK_ERR(rig_knock(&r, 0, &token), COAT_NO_SESSION);
    CHECK_INT(rig_events(&r, COAT_EVENT_TOKEN_REUSE), 1);
    CHECK_ERR(rig_knock(&r, 0, &next), COAT_OK);
    rig_stop(&r);
}

/* A copy polls with the predecessor each second while the owner stays active. */
static void
polling_thief(void)
{
    rig_token owner = due(1), thief = owner;
    bool ended = false;

    for (int s = 0; s < 3600 && !ended; s++) {
        coat_err err = rig_knock(&r, 0, &owner);

        if (err == COAT_OK && r.call.set_token)
            owner = rig_token_of(&r);
        r.call.set_token = false;
        err = rig_knock(&r, 0, &thief);
        CHECK(!(err == COAT_OK && r.call.set_token));
        r.call.set_token = false;
        ended = err == COAT_NO_SESSION;
        rig_pass(&r, SECOND);
    }
    CHECK(ended);
    CHECK_INT(rig_events(&r, COAT_EVENT_TOKEN_REUSE), 1);
    CHECK_ERR(rig_knock(&r, 0, &owner), COAT_NO_SESSION);
    rig_stop(&r);
}

static void
rotation_can_wait(void)
{
    static const sched_fate fates[] = {SCHED_REFUSE, SCHED_FULL, SCHED_LATE, SCHED_LOSE};
    rig_token token;

    for (size_t i = 0; i < sizeof fates / sizeof fates[0]; i++) {
        token = due(1);
        sched_fail(r.store, COAT_OP_REPLACE, fates[i], 1);
        CHECK_ERR(rig_knock(&r, 0, &token), COAT_OK);
        CHECK(!r.call.set_token);
        sched_catch_up(r.store);
        rig_pass(&r, 61 * SECOND);
        CHECK_ERR(rig_knock(&r, 0, &token), COAT_OK);
        CHECK(r.call.set_token);
        rig_stop(&r);
    }
}

/* A confirmation whose answer was lost: the former secret must not stay in the table. */
static void
lost_confirmation(void)
{
    rig_token token, next;

    for (int late = 0; late < 2; late++) {
        token = due(1);
        REQUIRE_OK(rig_knock(&r, 0, &token));
        next = rig_token_of(&r);
        sched_fail(r.store, COAT_OP_REPLACE, late ? SCHED_LATE : SCHED_LOSE, 1);
        CHECK_ERR(rig_knock(&r, 0, &next), COAT_OK);
        CHECK_ERR(rig_knock(&r, 0, &token), COAT_OK); /* would fill the table */
        sched_catch_up(r.store);
        rig_pass(&r, 30 * SECOND);
        coat_desk_tick(r.desk[0]);
        CHECK_ERR(rig_knock(&r, 0, &token), COAT_NO_SESSION);
        CHECK_ERR(rig_knock(&r, 0, &next), COAT_NO_SESSION);
        CHECK_INT(rig_events(&r, COAT_EVENT_TOKEN_REUSE), 1);
        rig_stop(&r);
    }
}

/* A check has loaded; then its session ends; then its optional write fails for that reason. */
static void
overtaken(void)
{
    static const int64_t ages[] = {15 * MINUTE, 2 * MINUTE}; /* to rotate; to write activity */

    for (int i = 0; i < 2; i++) {
        rig_token token;

        rig_open(&r, 2);
        token = rig_sign_in(&r, 0, "ada");
        rig_pass(&r, ages[i]);
        sched_immediate(r.store, false);
        calls[0] =
            (coat_call){.op = COAT_CALL_CHECK, .token = rig_span(&token), .done = count_done};
        coat_call_start(r.desk[0], &calls[0]);
        sched_finish(r.store, 0, SCHED_RUN);
        REQUIRE(sched_waiting(r.store) == 1 &&
                sched_request(r.store, 0)->op == COAT_OP_REPLACE);
        sched_immediate(r.store, true);
        REQUIRE_OK(rig_end(&r, 1, &token));
        sched_finish(r.store, 0, SCHED_RUN);
        CHECK_ERR(calls[0].result, COAT_NO_SESSION);
        CHECK(calls[0].session == NULL && !calls[0].set_token);
        rig_stop(&r);
    }
}

static const coat_test tests[] = {
    {"LC-5: of parallel requests exactly one carries the successor, none fails",
     one_carries_the_successor},
    {"LC-6: a lost response is redelivered once after 60 s", lost_response},
    {"LC-6: losing every response signs nobody out", lost_many_times},
    {"LC-6: a predecessor is honoured 9 s, not 11 s after confirmation", grace},
    {"LC-7: a copy ends the whole session, with one event", theft},
    {"LC-7: parallel copies give one event", theft_in_parallel},
    {"LC-7: report only", theft_report_only},
    {"LC-6 LC-7: a polling copy gets no successor and ends the session", polling_thief},
    {"LC-9: a check that a sign-out overtakes says no", overtaken},
    {"a rotation that the store does not take is made later", rotation_can_wait},
    {"LC-6: a confirmation with a lost answer leaves nothing stale in the table",
     lost_confirmation},
};
COAT_TEST_MAIN(tests)
