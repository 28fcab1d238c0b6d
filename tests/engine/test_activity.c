/* SPDX-License-Identifier: Apache-2.0 */
#include "rig.h"

#include <limits.h>
#include <string.h>
#include <unistd.h>

static rig r;

static void
tick_for(int64_t ms)
{
    for (int64_t at = 0; at < ms; at += SECOND) {
        rig_pass(&r, SECOND);
        coat_desk_tick(r.desk[0]);
    }
}

static int64_t
stored_seen(const rig_token *token)
{
    static coat_record record;
    static int64_t seen;
    coat_handle handle = rig_handle(token);

    /* without the table: a second engine on the same store */
    coat_engine_conf conf = r.conf;
    coat_engine *other;
    coat_call call = {.op = COAT_CALL_READ, .has_handle = true, .handle = handle};

    conf.table_slots = 0;
    REQUIRE_OK(coat_engine_new(&conf, &other));
    REQUIRE_OK(coat_engine_run(other, &call));
    record = *coat_session_record(call.session);
    seen = record.seen_ms;
    coat_session_free(call.session);
    coat_engine_free(other);
    return seen;
}

/* What is not activity does not keep a session. */
static void
not_activity(void)
{
    static const char *const names[] = {"background check", "peek in the background", "read",
                                        "list", "patch by handle"};

    for (int kind = 0; kind < 5; kind++) {
        rig_token token;
        coat_table_query query;
        coat_table_answer answer;
        coat_handle handle;

        test_case(names[kind]);
        rig_open(&r, 1);
        token = rig_sign_in(&r, 0, "ada");
        REQUIRE_OK(rig_run(
            &r, 0,
            (coat_call){.op = COAT_CALL_CHECK, .token = rig_span(&token), .background = true}));
        handle = rig_handle(&token);
        for (int s = 0; s < 1800 - 10; s += 10) {
            rig_pass(&r, 10 * SECOND);
            query = (coat_table_query){.token = rig_span(&token),
                                       .now_ms = coat_engine_now_ms(r.engine[0]),
                                       .background = true};
            if (kind == 0)
                (void)rig_run(&r, 0,
                              (coat_call){.op = COAT_CALL_CHECK,
                                          .token = rig_span(&token),
                                          .background = true});
            else if (kind == 1)
                coat_engine_peek(r.engine[0], &query, &answer);
            else if (kind == 2)
                (void)rig_run(
                    &r, 0,
                    (coat_call){.op = COAT_CALL_READ, .has_handle = true, .handle = handle});
            else if (kind == 3)
                (void)rig_listed(&r, 0, "ada");
            else
                (void)rig_run(&r, 0,
                              (coat_call){.op = COAT_CALL_PATCH,
                                          .has_handle = true,
                                          .handle = handle,
                                          .data = COAT_LIT("{\"a\":1}")});
            if (s % 100 == 0)
                coat_desk_tick(r.desk[0]);
        }
        CHECK_ERR(rig_run(&r, 0,
                          (coat_call){.op = COAT_CALL_CHECK,
                                      .token = rig_span(&token),
                                      .background = true}),
                  COAT_OK);
        rig_pass(&r, 11 * SECOND);
        CHECK_ERR(rig_knock(&r, 0, &token), COAT_NO_SESSION);
        rig_stop(&r);
    }
}

/* Activity reaches the record at most a minute late, by few writes. */
static void
folded_in_time(void)
{
    rig_token token;
    uint64_t before;

    rig_open(&r, 1);
    token = rig_sign_in(&r, 0, "ada");
    REQUIRE_OK(rig_knock(&r, 0, &token));
    before = sched_seen(r.store, COAT_OP_REPLACE);
    for (int s = 0; s < 600; s++) {
        tick_for(SECOND);
        REQUIRE_OK(rig_knock(&r, 0, &token));
        if (s % 30 == 29)
            CHECK(r.wall - stored_seen(&token) <= 60 * SECOND + SECOND);
    }
    CHECK(sched_seen(r.store, COAT_OP_REPLACE) - before <= 25);
    CHECK(sched_seen(r.store, COAT_OP_REPLACE) - before >= 10);
    rig_stop(&r);
}

static void
folded_in_time_short_idle(void)
{
    rig_token token;

    rig_prepare(&r, NULL, 1);
    r.conf.policy.idle_ms = 100 * SECOND;
    rig_start(&r);
    token = rig_sign_in(&r, 0, "ada");
    REQUIRE_OK(rig_knock(&r, 0, &token));
    for (int s = 0; s < 300; s++) {
        tick_for(SECOND);
        REQUIRE_OK(rig_knock(&r, 0, &token));
        CHECK(s < 20 || r.wall - stored_seen(&token) <= 11 * SECOND);
    }
    rig_stop(&r);
}

/* A crash: the table and what was not folded in is gone. */
static void
crash_shortens(void)
{
    rig_token token;
    int64_t last;
    coat_engine *crashed;

    rig_open(&r, 1);
    token = rig_sign_in(&r, 0, "ada");
    REQUIRE_OK(rig_knock(&r, 0, &token));
    for (int s = 0; s < 300; s++) {
        tick_for(SECOND);
        REQUIRE_OK(rig_knock(&r, 0, &token));
    }
    last = r.wall;
    /* no folding at the end: the store answers nothing while this engine goes */
    crashed = r.engine[0];
    coat_session_free(r.call.session);
    r.call.session = NULL;
    coat_desk_close(r.desk[0]);
    sched_fail(r.store, 0, SCHED_REFUSE, 1000);
    coat_engine_free(crashed);
    sched_fail(r.store, 0, SCHED_REFUSE, 0);
    rig_start(&r);

    rig_pass(&r, last + 29 * MINUTE - SECOND - r.wall);
    CHECK_ERR(
        rig_run(
            &r, 0,
            (coat_call){.op = COAT_CALL_CHECK, .token = rig_span(&token), .background = true}),
        COAT_OK);
    rig_pass(&r, last + 30 * MINUTE - r.wall);
    CHECK_ERR(rig_knock(&r, 0, &token), COAT_NO_SESSION);
    rig_stop(&r);
}

static void
orderly_stop_loses_nothing(void)
{
    rig_token token;

    rig_open(&r, 1);
    token = rig_sign_in(&r, 0, "ada");
    REQUIRE_OK(rig_knock(&r, 0, &token));
    rig_pass(&r, 20 * SECOND);
    REQUIRE_OK(rig_knock(&r, 0, &token)); /* the table alone knows */
    rig_restart(&r);
    rig_pass(&r, 30 * MINUTE - SECOND);
    CHECK_ERR(rig_knock(&r, 0, &token), COAT_OK);
    rig_stop(&r);
}

static void
store_down_while_folding(void)
{
    rig_token token;

    rig_open(&r, 1);
    token = rig_sign_in(&r, 0, "ada");
    REQUIRE_OK(rig_knock(&r, 0, &token));
    rig_pass(&r, 5 * MINUTE);
    REQUIRE_OK(rig_knock(&r, 0, &token));
    sched_fail(r.store, COAT_OP_REPLACE, SCHED_REFUSE, 40);
    tick_for(30 * SECOND);
    sched_fail(r.store, COAT_OP_REPLACE, SCHED_REFUSE, 0);
    tick_for(5 * SECOND);
    CHECK(r.wall - stored_seen(&token) <= 40 * SECOND);
    rig_stop(&r);
}

static rig_token patched;

static void
patch_elsewhere(void)
{
    coat_engine_conf conf = r.conf;
    coat_engine *other;
    coat_call call = {.op = COAT_CALL_PATCH,
                      .has_handle = true,
                      .handle = rig_handle(&patched),
                      .data = COAT_LIT("{\"a\":1}")};

    conf.table_slots = 0;
    REQUIRE_OK(coat_engine_new(&conf, &other));
    REQUIRE_OK(coat_engine_run(other, &call));
    coat_session_free(call.session);
    coat_engine_free(other);
}

static void
overtaken_while_folding(void)
{
    rig_open(&r, 1);
    patched = rig_sign_in(&r, 0, "ada");
    REQUIRE_OK(rig_knock(&r, 0, &patched));
    rig_pass(&r, 5 * MINUTE);
    REQUIRE_OK(rig_knock(&r, 0, &patched));
    sched_before(r.store, COAT_OP_REPLACE, patch_elsewhere);
    tick_for(40 * SECOND);
    CHECK(r.wall - stored_seen(&patched) <= 41 * SECOND);
    rig_stop(&r);
}

/* Sessions that give way in the table take their activity to the record. */
static void
evicted_from_the_table(void)
{
    enum { MANY = 200 };
    static rig_token tokens[MANY];
    char user[32];
    coat_engine_stats stats;

    rig_prepare(&r, NULL, 1);
    r.conf.table_slots = 32;
    r.conf.policy.rotate_every_ms = 24 * HOUR; /* it would write activity, too */
    rig_start(&r);
    for (int i = 0; i < MANY; i++) {
        snprintf(user, sizeof user, "user%d", i);
        tokens[i] = rig_sign_in(&r, 0, user);
        REQUIRE_OK(rig_knock(&r, 0, &tokens[i]));
    }
    for (int round = 0; round < 50; round++) { /* 50 minutes of all being active */
        for (int i = 0; i < MANY; i++) {
            rig_pass(&r, 300);
            REQUIRE_OK(rig_knock(&r, 0, &tokens[i]));
            if (i % 100 == 0) /* always with the same ones in the table */
                coat_desk_tick(r.desk[0]);
        }
    }
    coat_engine_stats_get(r.engine[0], &stats);
    CHECK(stats.table_evicted > MANY);
    rig_stop(&r);
}

static void
without_a_table(void)
{
    rig_token token;

    rig_prepare(&r, NULL, 1);
    r.conf.table_slots = 0;
    rig_start(&r);
    token = rig_sign_in(&r, 0, "ada");
    for (int minute = 0; minute < 120; minute++) {
        rig_pass(&r, MINUTE);
        REQUIRE_OK(rig_knock(&r, 0, &token));
        if (r.call.set_token) {
            token = rig_token_of(&r);
            r.call.set_token = false;
        }
    }
    rig_pass(&r, 31 * MINUTE);
    CHECK_ERR(rig_knock(&r, 0, &token), COAT_NO_SESSION);
    rig_stop(&r);
}

/* The file of activity is what readers may write; one has cut it off. */
static void
cut_off(void)
{
    char path[PATH_MAX], seen[PATH_MAX + 8];
    rig_token token;

    (void)snprintf(path, sizeof path, "%s/table", test_tmpdir());
    (void)snprintf(seen, sizeof seen, "%s.seen", path);
    rig_prepare(&r, NULL, 1);
    r.conf.table_path = path;
    rig_start(&r);
    token = rig_sign_in(&r, 0, "ada");
    REQUIRE_OK(rig_knock(&r, 0, &token));
    tick_for(2 * SECOND);
    CHECK_INT(rig_events(&r, COAT_EVENT_TABLE_TAMPERED), 0);
    REQUIRE(truncate(seen, 0) == 0);
    tick_for(2 * SECOND);
    CHECK_INT(rig_events(&r, COAT_EVENT_TABLE_TAMPERED), 1); /* and mended before the fold */
    CHECK_ERR(rig_knock(&r, 0, &token), COAT_OK);
    tick_for(10 * SECOND);
    CHECK_INT(rig_events(&r, COAT_EVENT_TABLE_TAMPERED), 1);
    rig_stop(&r);
}

static const coat_test tests[] = {
    {"LC-4: background requests, reads and patches by handle are no activity", not_activity},
    {"LC-4: activity is folded in at most 60 s late", folded_in_time},
    {"LC-4: and at most a tenth of a short idle limit late", folded_in_time_short_idle},
    {"LC-4: a crash shortens a session by at most a minute, and never lengthens it",
     crash_shortens},
    {"LC-4: an orderly stop loses no activity", orderly_stop_loses_nothing},
    {"LC-4: activity that the store did not take is folded in later", store_down_while_folding},
    {"LC-4: folding that a patch overtakes is done again", overtaken_while_folding},
    {"LC-4 SF-8: a full table costs no activity", evicted_from_the_table},
    {"LC-4: without a table activity is written directly", without_a_table},
    {"SF-12: an activity file that was cut off is mended and reported once", cut_off},
};
COAT_TEST_MAIN(tests)
