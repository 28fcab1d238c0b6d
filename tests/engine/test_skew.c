/* SPDX-License-Identifier: Apache-2.0 */

/** SF-10: an instance whose clock is over 30 s off its store issues nothing. */

#include "engine/skew.h"
#include "rig.h"

#include <string.h>

static rig r;
static struct coat_store_ops ops;
static int64_t store_clock;

/** An engine over a store that others share, and that tells its time. */
static void
start(int64_t ahead_ms)
{
    rig_prepare(&r, NULL, 1);
    ops = *r.store->ops;
    ops.caps |= COAT_CAP_SHARED;
    r.store->ops = &ops;
    store_clock = r.wall - ahead_ms;
    sched_clock(r.store, &store_clock);
    rig_start(&r);
}

static void
pass(int64_t ms)
{
    rig_pass(&r, ms);
    store_clock += ms;
}

static void
tick_for(int64_t ms)
{
    for (int64_t at = 0; at < ms; at += SECOND) {
        pass(SECOND);
        coat_desk_tick(r.desk[0]);
    }
}

static coat_err
sign_in(void)
{
    return rig_run(&r, 0, (coat_call){.op = COAT_CALL_CREATE, .user = COAT_LIT("ada")});
}

static coat_err
renew(const rig_token *token)
{
    return rig_run(&r, 0, (coat_call){.op = COAT_CALL_RENEW, .token = rig_span(token)});
}

static coat_engine_stats
stats(void)
{
    coat_engine_stats s;

    coat_engine_stats_get(r.engine[0], &s);
    return s;
}

/* ---- what is off ---- */

static void
limits(void)
{
    static const struct {
        const char *name;
        int64_t store_ms, sent_ms, heard_ms;
        bool off;
    } cases[] = {
        {"equal", 1000000, 1000000, 1000000, false},
        {"ahead by the limit", 1000000, 1030000, 1030000, false},
        {"ahead by more", 1000000, 1030001, 1030001, true},
        {"behind by the limit", 1000000, 970000, 970000, false},
        {"behind by more", 1000000, 969999, 969999, true},
        {"ahead, unless it was asked late", 1000000, 1030000, 1030500, false},
        {"ahead, however it was", 1000000, 1030001, 1030500, true},
        {"behind, unless it was asked early", 1000000, 969500, 970000, false},
        {"behind, however it was", 1000000, 969500, 969999, true},
        {"no answer for longer than the limit", 1000000, 969000, 1031000, false},
        {"our clock at its beginning", 1800000000000, 0, 0, true},
        {"the highest clock", (int64_t)1 << 61, 1000000, 1000000, true},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        coat_skew skew = {0};
        bool changed = coat_skew_take(&skew, COAT_CLOCK_OFF_MS, cases[i].store_ms,
                                      cases[i].sent_ms, cases[i].heard_ms);

        test_case(cases[i].name);
        CHECK(changed == cases[i].off);
        CHECK(atomic_load(&skew.off) == cases[i].off);
        CHECK(atomic_load(&skew.known));
    }
}

/* A clock that is none says nothing, and changes nothing. */
static void
no_clock(void)
{
    static const int64_t none[] = {0, -1, INT64_MIN, INT64_MAX, ((int64_t)1 << 61) + 1};
    coat_skew skew = {0};

    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        CHECK(!coat_skew_take(&skew, COAT_CLOCK_OFF_MS, none[i], 1000000, 1000000));
        CHECK(!atomic_load(&skew.known) && !atomic_load(&skew.off));
    }
    CHECK(coat_skew_take(&skew, COAT_CLOCK_OFF_MS, 2000000, 1000000, 1000000));
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        CHECK(!coat_skew_take(&skew, COAT_CLOCK_OFF_MS, none[i], 1000000, 1000000));
        CHECK(atomic_load(&skew.off));
        CHECK_INT(atomic_load(&skew.offset_ms), -1000000);
    }
}

/* ---- what follows ---- */

static void
issues_nothing(void)
{
    static const int64_t steps[] = {31 * SECOND, -31 * SECOND, HOUR, -365 * 24 * HOUR};

    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        rig_token token, ended;
        uint64_t before;

        start(0);
        token = rig_sign_in(&r, 0, "ada");
        ended = rig_sign_in(&r, 0, "ada");
        CHECK(stats().issuing && stats().clock_known);
        store_clock -= steps[i]; /* of another server, perhaps */
        before = sched_seen(r.store, COAT_OP_INSERT);
        CHECK_ERR(sign_in(), COAT_CLOCK_OFF);
        CHECK(r.call.session == NULL && !r.call.set_token);
        CHECK_ERR(renew(&token), COAT_CLOCK_OFF);
        CHECK_ERR(rig_run(&r, 0, (coat_call){.op = COAT_CALL_EPOCHS, .user = COAT_LIT("ada")}),
                  COAT_CLOCK_OFF);
        CHECK(!r.call.epochs.set);
        CHECK_ERR(rig_run(&r, 0,
                          (coat_call){.op = COAT_CALL_CREATE,
                                      .user = COAT_LIT("ada"),
                                      .epochs = {.set = true}}),
                  COAT_CLOCK_OFF);
        CHECK_INT(sched_seen(r.store, COAT_OP_INSERT), before);
        CHECK(coat_err_kind_of(COAT_CLOCK_OFF) == COAT_KIND_RETRY); /* 503 */
        CHECK(!stats().issuing && !coat_engine_issues(r.engine[0]));
        CHECK_INT(stats().clock_offset_ms, steps[i]);
        CHECK_INT(rig_events(&r, COAT_EVENT_CLOCK_OFF), 1);
        CHECK_STR(r.events[r.event_count - 1].reason, steps[i] > 0 ? "ahead" : "behind");

        /* All else goes on. */
        CHECK_ERR(rig_knock(&r, 0, &token), COAT_OK);
        CHECK_ERR(rig_patch(&r, 0, &token, "{\"a\":1}"), COAT_OK);
        CHECK_ERR(rig_end(&r, 0, &ended), COAT_OK);
        CHECK_ERR(rig_knock(&r, 0, &ended), COAT_NO_SESSION);
        pass(16 * MINUTE);
        CHECK_ERR(rig_check(&r, 0, &token), COAT_OK);
        CHECK(r.call.set_token); /* a rotation keeps a session, and makes none */
        rig_stop(&r);
    }
}

static void
recovers(void)
{
    start(0);
    store_clock -= MINUTE;
    CHECK_ERR(sign_in(), COAT_CLOCK_OFF);
    tick_for(20 * SECOND);
    CHECK(!stats().issuing);
    CHECK_ERR(sign_in(), COAT_CLOCK_OFF);
    store_clock += MINUTE - 29 * SECOND;
    CHECK_ERR(sign_in(), COAT_OK); /* at once: it is measured with the sign-in */
    CHECK(stats().issuing);
    CHECK_INT(stats().clock_offset_ms, 29 * SECOND);
    CHECK_INT(rig_events(&r, COAT_EVENT_CLOCK_OFF), 1);
    CHECK_INT(rig_events(&r, COAT_EVENT_CLOCK_AGREES), 1);

    /* And without one, so that whoever passes epochs on, or asks status, need not wait. */
    store_clock -= MINUTE;
    tick_for(MINUTE);
    CHECK(!stats().issuing);
    store_clock += MINUTE;
    tick_for(6 * SECOND);
    CHECK(stats().issuing);
    CHECK_INT(rig_events(&r, COAT_EVENT_CLOCK_OFF), 2);
    CHECK_INT(rig_events(&r, COAT_EVENT_CLOCK_AGREES), 2);
    rig_stop(&r);
}

/* Our own clock is what is wrong. Effective time follows a step forward, never one back. */
static void
our_clock(void)
{
    start(0);
    r.wall -= HOUR; /* effective time goes on as it was */
    CHECK_ERR(sign_in(), COAT_OK);
    r.wall += 2 * HOUR;
    CHECK_ERR(sign_in(), COAT_CLOCK_OFF);
    r.wall -= HOUR; /* right again, but time does not run backward here: */
    CHECK_ERR(sign_in(), COAT_CLOCK_OFF);
    rig_restart(&r);
    CHECK_ERR(sign_in(), COAT_OK);
    rig_stop(&r);

    start(-HOUR); /* behind from the start: known before anybody comes */
    CHECK(!stats().issuing);
    CHECK_INT(rig_events(&r, COAT_EVENT_CLOCK_OFF), 1);
    CHECK_ERR(sign_in(), COAT_CLOCK_OFF);
    r.wall += HOUR; /* set right, without a restart */
    CHECK_ERR(sign_in(), COAT_OK);
    rig_stop(&r);
}

static int64_t delay_ms;

static void
late(void)
{
    pass(delay_ms);
}

/* Neither the way there nor the way back is taken for an offset. */
static void
round_trip(void)
{
    static const struct {
        int64_t ahead_ms, ms;
        bool there; /* it takes so long on the way there, else back */
        coat_err want;
    } cases[] = {
        {0, 40 * SECOND, true, COAT_OK},
        {0, 40 * SECOND, false, COAT_OK},
        {30 * SECOND, 200, true, COAT_OK},
        {30 * SECOND + 100, 200, true, COAT_OK}, /* perhaps */
        {30 * SECOND + 201, 200, true, COAT_CLOCK_OFF},
        {30 * SECOND + 1, 200, false, COAT_CLOCK_OFF},
        {-30 * SECOND - 100, 200, false, COAT_OK}, /* perhaps */
        {-30 * SECOND - 201, 200, false, COAT_CLOCK_OFF},
        {-30 * SECOND - 1, 200, true, COAT_CLOCK_OFF},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        start(0);
        store_clock -= cases[i].ahead_ms;
        delay_ms = cases[i].ms;
        if (cases[i].there)
            sched_before(r.store, COAT_OP_EPOCHS, late);
        else
            sched_after(r.store, COAT_OP_EPOCHS, late);
        CHECK_ERR(sign_in(), cases[i].want);
        rig_stop(&r);
    }
}

/* Switched off, or another limit. */
static void
another_limit(void)
{
    rig_prepare(&r, NULL, 1);
    store_clock = r.wall - HOUR;
    sched_clock(r.store, &store_clock);
    r.conf.clock_off_ms = 0;
    rig_start(&r);
    CHECK_ERR(sign_in(), COAT_OK);
    CHECK(stats().clock_known && stats().clock_offset_ms == HOUR);
    r.conf.clock_off_ms = HOUR - 1;
    REQUIRE_OK(coat_engine_reconfigure(r.engine[0], &r.conf));
    CHECK_ERR(sign_in(), COAT_CLOCK_OFF);
    r.conf.clock_off_ms = HOUR;
    REQUIRE_OK(coat_engine_reconfigure(r.engine[0], &r.conf));
    CHECK_ERR(sign_in(), COAT_OK);
    r.conf.clock_off_ms = -1;
    CHECK_ERR(coat_engine_reconfigure(r.engine[0], &r.conf), COAT_INVALID);
    rig_stop(&r);
}

/* ---- how often ---- */

static void
once_a_minute(void)
{
    uint64_t before;

    start(0);
    before = sched_seen(r.store, COAT_OP_EPOCHS);
    tick_for(10 * MINUTE);
    CHECK_INT(sched_seen(r.store, COAT_OP_EPOCHS), before + 10);
    store_clock -= HOUR;
    tick_for(MINUTE);
    CHECK(!stats().issuing);
    before = sched_seen(r.store, COAT_OP_EPOCHS);
    tick_for(MINUTE);
    CHECK_INT(sched_seen(r.store, COAT_OP_EPOCHS), before + 12);
    rig_stop(&r);
}

/* It may be another server that has come back. */
static void
after_an_outage(void)
{
    rig_token token;

    start(0);
    token = rig_sign_in(&r, 0, "ada");
    tick_for(2 * SECOND);
    sched_fail(r.store, 0, SCHED_REFUSE, 1000);
    CHECK_ERR(rig_check(&r, 0, &token), COAT_STORE_DOWN);
    tick_for(2 * SECOND);
    CHECK(stats().issuing);
    store_clock += HOUR;
    sched_fail(r.store, 0, SCHED_REFUSE, 0);
    CHECK_ERR(rig_check(&r, 0, &token), COAT_OK);
    CHECK(stats().issuing);
    tick_for(SECOND);
    CHECK(!stats().issuing);
    rig_stop(&r);
}

/* One that tells no time, or is of this machine: nothing is asked and nothing refused. */
static void
without_clock(void)
{
    uint64_t before;

    start(0);
    sched_clock(r.store, NULL);
    rig_restart(&r);
    r.wall += 365 * 24 * HOUR;
    CHECK_ERR(sign_in(), COAT_OK);
    CHECK(!stats().clock_known && stats().issuing);
    rig_stop(&r);

    rig_open(&r, 1);
    before = sched_seen(r.store, COAT_OP_EPOCHS);
    for (int i = 0; i < 200; i++) {
        rig_pass(&r, SECOND);
        coat_desk_tick(r.desk[0]);
    }
    CHECK_INT(sched_seen(r.store, COAT_OP_EPOCHS), before);
    rig_stop(&r);
}

static const coat_test tests[] = {
    {"SF-10: off is what is over 30 s at both ends of the round trip", limits},
    {"SF-10: a store's clock that is none says nothing", no_clock},
    {"SF-10: over 30 s off its store an instance issues nothing, and all else goes on",
     issues_nothing},
    {"SF-10: it issues again by itself, and says so once", recovers},
    {"SF-10: a clock of our own that is off, and is set right", our_clock},
    {"SF-10: round trips are no offset", round_trip},
    {"SF-10: the limit can be another one, or none", another_limit},
    {"SF-10: the store's clock is asked for once a minute", once_a_minute},
    {"SF-10: and after an outage, since it may be another server", after_an_outage},
    {"SF-10: a store that tells no time refuses nobody", without_clock},
};
COAT_TEST_MAIN(tests)
