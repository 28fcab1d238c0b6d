/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/internal.h"
#include "rig.h"

#include <string.h>

/** COAT_CALL_ALIVE: what is asked on behalf of a connection that goes on for long. */

static rig r;

static coat_err
alive(unsigned engine, const rig_token *token)
{
    return rig_run(&r, engine, (coat_call){.op = COAT_CALL_ALIVE, .token = rig_span(token)});
}

/** As the other processes of the machine see it. */
static coat_table_verdict
look(const rig_token *token)
{
    return coat_table_live(coat_table_writer_reader(r.engine[0]->writer), rig_span(token),
                           coat_engine_now_ms(r.engine[0]));
}

/** Its entry gives way. */
static void
forget(const rig_token *token)
{
    coat_handle handle = rig_handle(token);

    (void)coat_table_clear(r.engine[0]->writer, &handle);
}

/** The first check rotates, the second confirms: the token before is superseded for good. */
static rig_token
rotate(const rig_token *token)
{
    rig_token next;

    rig_pass(&r, 15 * MINUTE);
    REQUIRE_OK(rig_knock(&r, 0, token));
    REQUIRE(r.call.set_token);
    next = rig_token_of(&r);
    REQUIRE_OK(rig_knock(&r, 0, &next));
    rig_pass(&r, MINUTE);
    return next;
}

static void
any_secret(void)
{
    for (unsigned engines = 1; engines <= 3; engines += 2) {
        rig_token tokens[5];

        rig_open(&r, engines);
        tokens[0] = rig_sign_in(&r, 0, "ada");
        for (int i = 1; i < 5; i++) {
            tokens[i] = rotate(&tokens[i - 1]);
            for (int k = 0; k <= i; k++) {
                CHECK_ERR(alive(engines - 1, &tokens[k]), COAT_OK);
                CHECK(r.call.session == NULL && !r.call.set_token);
            }
        }
        CHECK_INT(rig_events(&r, COAT_EVENT_TOKEN_REUSE), 0);
        CHECK_ERR(rig_knock(&r, 0, &tokens[4]), COAT_OK);
        /* What it is kept apart from: a request with one of these ends the session. */
        CHECK_ERR(rig_knock(&r, 0, &tokens[0]), COAT_NO_SESSION);
        CHECK_INT(rig_events(&r, COAT_EVENT_TOKEN_REUSE), 1);
        for (int i = 0; i < 5; i++)
            CHECK_ERR(alive(engines - 1, &tokens[i]), COAT_NO_SESSION);
        rig_stop(&r);
    }
}

/* An hour before its end nothing else is due: rotation, confirmation, another delivery. */
static void
nothing_is_due(void)
{
    rig_token token, pending;
    unsigned events;
    uint64_t writes;

    rig_open(&r, 1);
    token = rig_sign_in(&r, 0, "ada");
    rig_pass(&r, 15 * MINUTE);
    REQUIRE_OK(rig_knock(&r, 0, &token));
    pending = rig_token_of(&r);
    events = r.event_count;
    writes = sched_seen(r.store, 0) - sched_seen(r.store, COAT_OP_LOAD);
    for (int i = 0; i < 20; i++) {
        rig_pass(&r, MINUTE);
        CHECK_ERR(alive(0, &token), COAT_OK);
        CHECK_ERR(alive(0, &pending), COAT_OK);
        CHECK(!r.call.set_token);
        forget(&token);
    }
    CHECK_INT(r.event_count, events);
    CHECK_INT(sched_seen(r.store, 0) - sched_seen(r.store, COAT_OP_LOAD), writes);
    /* The pending one is still to be confirmed. */
    CHECK_ERR(rig_knock(&r, 0, &pending), COAT_OK);
    CHECK_INT(rig_events(&r, COAT_EVENT_SESSION_CONFIRMED), 1);
    rig_stop(&r);
}

enum end { IDLE, ABSOLUTE, ENDED, USER_ENDED, ALL_ENDED, STOLEN, RENEWED };
static const struct end_case {
    const char *name;
    enum end end;
} ends[] = {
    {"idle", IDLE},
    {"absolute", ABSOLUTE},
    {"signed out", ENDED},
    {"all of the user's", USER_ENDED},
    {"everybody's", ALL_ENDED},
    {"stolen", STOLEN},
    {"followed by another handle", RENEWED},
};

static void
bring_to_end(enum end end, const rig_token *first, const rig_token *now)
{
    switch (end) {
    case IDLE:
        rig_pass(&r, 30 * MINUTE - 1);
        CHECK_ERR(alive(0, first), COAT_OK);
        rig_pass(&r, 1);
        break;
    case ABSOLUTE:
        rig_pass(&r, 12 * HOUR - 16 * MINUTE);
        break;
    case ENDED:
        REQUIRE_OK(rig_end(&r, 0, now));
        break;
    case USER_ENDED:
        REQUIRE_OK(rig_end_user(&r, 0, "ada"));
        break;
    case ALL_ENDED:
        REQUIRE_OK(rig_run(&r, 0, (coat_call){.op = COAT_CALL_END_ALL}));
        break;
    case STOLEN:
        CHECK_ERR(rig_check(&r, 0, first), COAT_NO_SESSION);
        break;
    case RENEWED:
        REQUIRE_OK(rig_run(&r, 0, (coat_call){.op = COAT_CALL_RENEW, .token = rig_span(now)}));
        break;
    }
}

static void
every_end(void)
{
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
        for (int in_table = 0; in_table < 2; in_table++) {
            rig_token first, now;
            unsigned events;

            test_case(ends[i].name);
            rig_prepare(&r, NULL, 1);
            if (ends[i].end == ABSOLUTE)
                r.conf.policy.idle_ms = 100 * HOUR;
            rig_start(&r);
            first = rig_sign_in(&r, 0, "ada");
            now = rotate(&first);
            REQUIRE_OK(rig_knock(&r, 0, &now));
            if (in_table == 0)
                rig_restart(&r); /* its activity is folded in */
            else
                CHECK_INT(look(&first), COAT_TABLE_LIVE);
            bring_to_end(ends[i].end, &first, &now);
            events = r.event_count;
            CHECK_INT(look(&first), COAT_TABLE_ASK);
            CHECK_ERR(alive(0, &first), COAT_NO_SESSION);
            CHECK_ERR(alive(0, &now), COAT_NO_SESSION);
            CHECK_INT(look(&first), COAT_TABLE_ASK);
            CHECK_INT(r.event_count, events); /* whoever ended it has said so, or will */
            rig_stop(&r);
        }
}

/* One that is found expired here is left to those who report it. */
static void
expired_is_left(void)
{
    rig_token token;

    rig_open(&r, 1);
    token = rig_sign_in(&r, 0, "ada");
    rig_pass(&r, 31 * MINUTE);
    CHECK_ERR(alive(0, &token), COAT_NO_SESSION);
    CHECK_INT(sched_seen(r.store, COAT_OP_REPLACE) + sched_seen(r.store, COAT_OP_REMOVE), 0);
    CHECK_INT(rig_events(&r, COAT_EVENT_SESSION_EXPIRED), 0);
    CHECK_ERR(rig_knock(&r, 0, &token), COAT_NO_SESSION);
    CHECK_INT(rig_events(&r, COAT_EVENT_SESSION_EXPIRED), 1);
    rig_stop(&r);
}

/* Asked all the time, with and without its entry, a session idles out as if nobody asked. */
static void
not_activity(void)
{
    for (int cleared = 0; cleared < 2; cleared++) {
        rig_token token;

        rig_open(&r, 1);
        token = rig_sign_in(&r, 0, "ada");
        for (int s = 0; s < 1800; s += 10) {
            CHECK_ERR(alive(0, &token), COAT_OK);
            if (s % 60 == 0)
                coat_desk_tick(r.desk[0]);
            if (cleared == 1)
                forget(&token);
            rig_pass(&r, 10 * SECOND);
        }
        CHECK_ERR(alive(0, &token), COAT_NO_SESSION);
        CHECK_ERR(rig_knock(&r, 0, &token), COAT_NO_SESSION);
        CHECK_INT(sched_seen(r.store, COAT_OP_REPLACE), 1); /* ending it */
        rig_stop(&r);
    }
}

/* Activity that only the table knows counts, and is not lost by the fill. */
static void
activity_is_kept(void)
{
    rig_token token;
    int64_t seen_ms;
    coat_handle handle;

    rig_open(&r, 1);
    token = rig_sign_in(&r, 0, "ada");
    handle = rig_handle(&token);
    REQUIRE_OK(rig_knock(&r, 0, &token));
    rig_pass(&r, 10 * MINUTE);
    REQUIRE_OK(rig_knock(&r, 0, &token));
    rig_pass(&r, 25 * MINUTE);
    CHECK_ERR(alive(0, &token), COAT_OK);
    coat_table_all_begin(r.engine[0]->writer); /* makes the look fail, so that it loads */
    CHECK_ERR(alive(0, &token), COAT_OK);
    coat_table_all_end(r.engine[0]->writer, 0);
    CHECK_ERR(alive(0, &token), COAT_OK);
    REQUIRE(coat_table_seen(r.engine[0]->writer, &handle, &seen_ms));
    CHECK_INT(seen_ms, r.wall - 25 * MINUTE);
    rig_pass(&r, 5 * MINUTE);
    CHECK_ERR(alive(0, &token), COAT_NO_SESSION);
    rig_stop(&r);
}

static void
fills_the_table(void)
{
    rig_token token;
    uint64_t loads;

    rig_open(&r, 1);
    token = rig_sign_in(&r, 0, "ada");
    rig_restart(&r); /* a new table, empty */
    CHECK_INT(look(&token), COAT_TABLE_ASK);
    CHECK_ERR(alive(0, &token), COAT_OK);
    CHECK_INT(look(&token), COAT_TABLE_LIVE);
    loads = sched_seen(r.store, COAT_OP_LOAD);
    for (int i = 0; i < 100; i++)
        CHECK_ERR(alive(0, &token), COAT_OK);
    CHECK_INT(sched_seen(r.store, COAT_OP_LOAD), loads);
    /* It answers no check; the first one enters what does. */
    CHECK_ERR(rig_knock(&r, 0, &token), COAT_OK);
    CHECK_INT(sched_seen(r.store, COAT_OP_LOAD), loads + 1);
    CHECK_ERR(rig_knock(&r, 0, &token), COAT_OK);
    CHECK_ERR(alive(0, &token), COAT_OK);
    CHECK_ERR(rig_knock(&r, 0, &token), COAT_OK);
    CHECK_INT(sched_seen(r.store, COAT_OP_LOAD), loads + 1);
    rig_stop(&r);
}

/* LC-13: one who looks different has to confirm at each door, whatever else is asked. */
static void
opens_no_side_door(void)
{
    static const coat_context home = {COAT_LIT("192.0.2.1"), COAT_LIT("Firefox/1 Linux"),
                                      COAT_LIT("en")};
    static const coat_context away = {COAT_LIT("198.51.100.7"), COAT_LIT("Chrome/2 Windows"),
                                      COAT_LIT("de")};
    rig_token token;

    rig_prepare(&r, NULL, 1);
    r.conf.context_policy = COAT_CONTEXT_STEP_UP;
    rig_start(&r);
    REQUIRE_OK(rig_run(
        &r, 0, (coat_call){.op = COAT_CALL_CREATE, .user = COAT_LIT("ada"), .context = home}));
    token = rig_token_of(&r);
    for (int i = 0; i < 3; i++) {
        coat_table_query query = {.token = rig_span(&token),
                                  .now_ms = coat_engine_now_ms(r.engine[0]),
                                  .context = coat_engine_context(r.engine[0], &away)};
        coat_table_answer answer;

        CHECK_ERR(
            rig_run(
                &r, 0,
                (coat_call){.op = COAT_CALL_CHECK, .token = rig_span(&token), .context = away}),
            COAT_STEP_UP);
        CHECK_ERR(alive(0, &token), COAT_OK);
        CHECK_INT(look(&token), COAT_TABLE_LIVE);
        coat_engine_peek(r.engine[0], &query, &answer);
        CHECK_INT(answer.verdict, COAT_TABLE_ASK);
        query.context = 0; /* a door that does not compare */
        coat_engine_peek(r.engine[0], &query, &answer);
        CHECK_INT(answer.verdict, COAT_TABLE_ASK);
    }
    rig_stop(&r);
}

static void
tag_first(void)
{
    rig_token token, other;
    char text[COAT_TOKEN_CHARS + 1] = "";

    rig_open(&r, 1);
    token = rig_sign_in(&r, 0, "ada");
    for (size_t i = 0; i < sizeof token.text; i++) {
        other = token;
        other.text[i] = other.text[i] == 'A' ? 'E' : 'A';
        CHECK_ERR(alive(0, &other), COAT_NO_SESSION);
    }
    for (size_t len = 0; len <= sizeof text; len++) {
        if (len == COAT_TOKEN_CHARS)
            continue;
        memset(text, 'A', sizeof text);
        CHECK_ERR(
            rig_run(&r, 0,
                    (coat_call){.op = COAT_CALL_ALIVE, .token = {(const uint8_t *)text, len}}),
            COAT_NO_SESSION);
    }
    /* A handle is public: it alone asks nothing. */
    CHECK_ERR(rig_run(&r, 0,
                      (coat_call){.op = COAT_CALL_ALIVE,
                                  .has_handle = true,
                                  .handle = rig_handle(&token)}),
              COAT_NO_SESSION);
    CHECK_INT(sched_seen(r.store, COAT_OP_LOAD), 0);
    rig_stop(&r);
}

/* "It has ended" is said only of what has ended. */
static void
undecided(void)
{
    rig_token token;

    rig_open(&r, 1);
    token = rig_sign_in(&r, 0, "ada");
    sched_fail(r.store, COAT_OP_LOAD, SCHED_REFUSE, 1);
    CHECK_ERR(alive(0, &token), COAT_STORE_DOWN);
    CHECK_INT(look(&token), COAT_TABLE_ASK);
    CHECK_ERR(alive(0, &token), COAT_OK);
    /* From the table also while the store is away (SF-1). */
    sched_fail(r.store, COAT_OP_LOAD, SCHED_REFUSE, 10);
    CHECK_ERR(alive(0, &token), COAT_OK);
    CHECK_INT(look(&token), COAT_TABLE_LIVE);
    rig_stop(&r);
}

/* An end that the store has not taken yet is in force all the same (SF-4). */
static void
unsettled_end(void)
{
    static const sched_fate fates[] = {SCHED_REFUSE, SCHED_LOSE, SCHED_LATE};

    for (size_t i = 0; i < sizeof fates / sizeof fates[0]; i++) {
        rig_token token;

        rig_open(&r, 1);
        token = rig_sign_in(&r, 0, "ada");
        CHECK_ERR(alive(0, &token), COAT_OK);
        sched_fail(r.store, COAT_OP_REMOVE, fates[i], 1);
        CHECK_ERR(rig_end(&r, 0, &token), COAT_STORE_DOWN);
        CHECK_ERR(alive(0, &token), COAT_NO_SESSION);
        CHECK_INT(look(&token), COAT_TABLE_ASK);
        rig_pass(&r, SECOND);
        coat_desk_tick(r.desk[0]);
        sched_catch_up(r.store);
        CHECK_ERR(alive(0, &token), COAT_NO_SESSION);
        CHECK_INT(look(&token), COAT_TABLE_ASK);
        rig_stop(&r);
    }
}

/* ---- races: every order in which the store may take up what two calls want of it ---- */

enum { ORDERS = 64, STARTS = 4 };
static coat_call asking, changing;
static bool asked, changed;

static void
asking_done(coat_call *call)
{
    (void)call;
    asked = true;
}

static void
changing_done(coat_call *call)
{
    (void)call;
    changed = true;
}

static const struct race_case {
    const char *name;
    coat_call_op op;
    bool old_secret; /* presents the superseded one */
    bool ends;
} race_cases[] = {
    {"sign-out", COAT_CALL_END, false, true},
    {"all of the user's", COAT_CALL_END_USER, false, true},
    {"everybody's", COAT_CALL_END_ALL, false, true},
    {"theft", COAT_CALL_CHECK, true, true},
    {"a new handle", COAT_CALL_RENEW, false, true},
    {"a rotation", COAT_CALL_CHECK, false, false},
    {"a patch", COAT_CALL_PATCH, false, false},
};

static bool
reads(const coat_store_req *req)
{
    return req->op == COAT_OP_LOAD || req->op == COAT_OP_LIST_OWNER ||
           req->op == COAT_OP_EPOCHS;
}

/** Take up one of what waits, by the next digit of order; writes meet their fate. */
static void
take_up(unsigned *order, sched_fate fate)
{
    size_t waiting = sched_waiting(r.store), index = *order % waiting;
    const coat_store_req *req = sched_request(r.store, index);

    *order /= (unsigned)waiting;
    sched_finish(r.store, index, reads(req) ? SCHED_RUN : fate);
}

/** Has the change been answered, in a way that says it has taken place? */
static bool
acknowledged(const struct race_case *c, sched_fate fate)
{
    if (c->old_secret) /* is refused whatever becomes of the end that it causes */
        return changed && fate == SCHED_RUN;
    return changed && changing.result == COAT_OK;
}

static void
race(const struct race_case *c, unsigned order, int start, sched_fate fate)
{
    coat_table_verdict seen;
    rig_token first, now;
    bool was_dead;

    rig_open(&r, 1);
    first = rig_sign_in(&r, 0, "ada");
    now = rotate(&first);
    if (c->op == COAT_CALL_CHECK && !c->old_secret)
        rig_pass(&r, 15 * MINUTE);
    forget(&now);
    asked = changed = false;
    asking = (coat_call){.op = COAT_CALL_ALIVE, .token = rig_span(&first), .done = asking_done};
    changing = (coat_call){.op = c->op,
                           .token = rig_span(c->old_secret ? &first : &now),
                           .user = COAT_LIT("ada"),
                           .data = COAT_LIT("{\"a\":1}"),
                           .done = changing_done};
    if (c->op == COAT_CALL_END_USER || c->op == COAT_CALL_END_ALL)
        changing.token = (coat_span){0};
    sched_immediate(r.store, false);
    if (start > 0)
        coat_call_start(r.desk[0], &changing);
    for (int i = 1; i < start && sched_waiting(r.store) > 0; i++)
        take_up(&order, fate);
    was_dead = c->ends && acknowledged(c, fate);
    coat_call_start(r.desk[0], &asking);
    if (start == 0)
        coat_call_start(r.desk[0], &changing);
    while (sched_waiting(r.store) > 0)
        take_up(&order, fate);
    CHECK(asked && changed);
    CHECK_ERR(asking.result,
              was_dead || (c->ends && asking.result != COAT_OK) ? COAT_NO_SESSION : COAT_OK);
    coat_session_free(changing.session);

    sched_immediate(r.store, true);
    if (acknowledged(c, fate)) {
        if (c->ends)
            CHECK_INT(look(&first), COAT_TABLE_ASK);
        CHECK_ERR(alive(0, &first), c->ends ? COAT_NO_SESSION : COAT_OK);
    }
    /* Acknowledged or not: the table says nothing that the store does not. */
    sched_catch_up(r.store);
    seen = look(&first);
    forget(&first);
    CHECK(alive(0, &first) == COAT_OK || seen == COAT_TABLE_ASK);
    rig_stop(&r);
}

static void
every_order(void)
{
    static const sched_fate fates[] = {SCHED_RUN, SCHED_LOSE, SCHED_LATE};

    for (size_t i = 0; i < sizeof race_cases / sizeof race_cases[0]; i++) {
        test_case(race_cases[i].name);
        for (size_t f = 0; f < sizeof fates / sizeof fates[0]; f++)
            for (int start = 0; start < STARTS; start++)
                for (unsigned order = 0; order < ORDERS; order++)
                    race(&race_cases[i], order, start, fates[f]);
    }
}

/* The one order that a thread alone cannot make: the change takes place, begin to end, between
 * the moment of the load and the fill. */
static const struct race_case *overtaking;
static rig_token overtaking_token;

static void
overtake(void)
{
    coat_call call = {.op = overtaking->op,
                      .token = rig_span(&overtaking_token),
                      .user = COAT_LIT("ada"),
                      .data = COAT_LIT("{\"a\":1}")};

    if (call.op == COAT_CALL_END_USER || call.op == COAT_CALL_END_ALL)
        call.token = (coat_span){0};
    CHECK_ERR(coat_call_run(r.desk[0], &call),
              overtaking->old_secret ? COAT_NO_SESSION : COAT_OK);
    coat_session_free(call.session);
}

static void
overtaken(void)
{
    for (size_t i = 0; i < sizeof race_cases / sizeof race_cases[0]; i++) {
        rig_token first, now;

        overtaking = &race_cases[i];
        test_case(overtaking->name);
        rig_open(&r, 1);
        first = rig_sign_in(&r, 0, "ada");
        now = rotate(&first);
        overtaking_token = overtaking->old_secret ? first : now;
        forget(&now);
        sched_after(r.store, COAT_OP_LOAD, overtake);
        /* It was alive when it was looked at; the epoch of everybody's end shows at once. */
        CHECK_ERR(alive(0, &now),
                  overtaking->op == COAT_CALL_END_ALL ? COAT_NO_SESSION : COAT_OK);
        if (overtaking->ends)
            CHECK_INT(look(&now), COAT_TABLE_ASK);
        CHECK_ERR(alive(0, &now), overtaking->ends ? COAT_NO_SESSION : COAT_OK);
        rig_stop(&r);
    }
}

/* Stopping in the middle of it. */
static void
stopped(void)
{
    rig_token token;

    rig_open(&r, 1);
    token = rig_sign_in(&r, 0, "ada");
    asked = false;
    asking = (coat_call){.op = COAT_CALL_ALIVE, .token = rig_span(&token), .done = asking_done};
    sched_immediate(r.store, false);
    coat_call_start(r.desk[0], &asking);
    CHECK(!asked);
    coat_desk_close(r.desk[0]);
    r.desk[0] = NULL;
    CHECK(asked);
    CHECK_ERR(asking.result, COAT_CANCELLED);
    sched_immediate(r.store, true);
    rig_stop(&r);
}

static const coat_test tests[] = {
    {"a session is alive whatever secret is presented, and an old one is no theft", any_secret},
    {"LC-5: asking rotates and confirms nothing and writes nothing", nothing_is_due},
    {"LC-2 RV-1: after every kind of end the answer is no", every_end},
    {"AU-2: an expired session is left for those who report it", expired_is_left},
    {"LC-4: asking whether a session is alive is no activity", not_activity},
    {"LC-4: activity that only the table knows counts and is kept", activity_is_kept},
    {"the next look from shared memory finds it", fills_the_table},
    {"LC-13: what is filled in answers no check", opens_no_side_door},
    {"RX-4: what was not issued here touches no store", tag_first},
    {"SF-1: without an answer of the store it is undecided, never ended", undecided},
    {"SF-4: an end that has not come through is in force", unsettled_end},
    {"RV-3 LC-11: an end wins over a fill in every order", every_order},
    {"RV-3 LC-11: what was loaded before an end is not filled in after it", overtaken},
    {"a desk that closes ends the call once", stopped},
};
COAT_TEST_MAIN(tests)
