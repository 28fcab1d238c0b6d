/* SPDX-License-Identifier: Apache-2.0 */
#include "rig.h"

#include "engine/clock.h"

static rig r;

static uint64_t
stored(void)
{
    coat_store_stats stats;

    REQUIRE_OK(coat_store_stats_get(r.inner, &stats));
    return stats.sessions;
}

static void
tick_for(int64_t ms)
{
    for (int64_t at = 0; at < ms; at += SECOND) {
        rig_pass(&r, SECOND);
        coat_desk_tick(r.desk[0]);
    }
}

static void
backward(void)
{
    static const int64_t steps[] = {SECOND, HOUR, 365 * 24 * HOUR};

    for (size_t i = 0; i < 3; i++) {
        rig_token token;
        int64_t before;

        rig_open(&r, 1);
        token = rig_sign_in(&r, 0, "ada");
        REQUIRE_OK(rig_knock(&r, 0, &token));
        before = coat_engine_now_ms(r.engine[0]);
        r.wall -= steps[i];
        CHECK(coat_engine_now_ms(r.engine[0]) >= before);
        rig_pass(&r, 30 * MINUTE - SECOND);
        CHECK_ERR(rig_run(&r, 0,
                          (coat_call){.op = COAT_CALL_CHECK,
                                      .token = rig_span(&token),
                                      .background = true}),
                  COAT_OK);
        rig_pass(&r, 2 * SECOND);
        CHECK_ERR(rig_knock(&r, 0, &token), COAT_NO_SESSION);
        coat_desk_tick(r.desk[0]);
        CHECK_INT(rig_events(&r, COAT_EVENT_CLOCK_JUMP), steps[i] > 5 * MINUTE);
        rig_stop(&r);
    }
}

static void
forward_and_back(void)
{
    enum { MANY = 100 };
    static rig_token tokens[MANY];
    char user[32];

    rig_open(&r, 1);
    for (int i = 0; i < MANY; i++) {
        snprintf(user, sizeof user, "user%d", i);
        tokens[i] = rig_sign_in(&r, 0, user);
    }
    tick_for(10 * SECOND);
    r.wall += 365 * 24 * HOUR;
    for (int i = 0; i < MANY; i++)
        CHECK_ERR(rig_knock(&r, 0, &tokens[i]), COAT_NO_SESSION); /* denied, */
    tick_for(10 * MINUTE);
    CHECK_INT(stored(), MANY); /* but not deleted */
    CHECK_INT(rig_events(&r, COAT_EVENT_CLOCK_JUMP), 1);
    CHECK_INT(rig_events(&r, COAT_EVENT_SESSION_EXPIRED), 0);
    r.wall -= 365 * 24 * HOUR;
    tick_for(20 * MINUTE);
    CHECK_INT(stored(), MANY);
    CHECK_INT(rig_events(&r, COAT_EVENT_CLOCK_JUMP), 2);
    rig_stop(&r);
}

/* Just past the limit, where the store has the record still. */
static void
forward_a_little(void)
{
    rig_token token;

    rig_open(&r, 1);
    token = rig_sign_in(&r, 0, "ada");
    r.wall += 40 * MINUTE;
    CHECK_ERR(rig_knock(&r, 0, &token), COAT_NO_SESSION);
    CHECK_INT(stored(), 1);
    CHECK_INT(rig_events(&r, COAT_EVENT_SESSION_EXPIRED), 0);
    r.wall -= 40 * MINUTE;
    rig_restart(&r); /* the clock is right again: nothing was lost */
    CHECK_ERR(rig_knock(&r, 0, &token), COAT_OK);
    rig_stop(&r);
}

static void
deletion_goes_on(void)
{
    rig_open(&r, 1);
    for (int i = 0; i < 10; i++)
        (void)rig_sign_in(&r, 0, "ada");
    tick_for(10 * SECOND);
    r.wall += 24 * HOUR;
    tick_for(14 * MINUTE);
    CHECK_INT(stored(), 10);
    tick_for(3 * MINUTE);
    CHECK_INT(stored(), 0);
    rig_stop(&r);
}

/* Meanwhile what was ended on purpose is erased. */
static void
ended_still_swept(void)
{
    rig_open(&r, 1);
    for (int i = 0; i < 10; i++)
        (void)rig_sign_in(&r, 0, "ada");
    (void)rig_sign_in(&r, 0, "bob");
    tick_for(10 * SECOND);
    r.wall += 24 * HOUR;
    tick_for(SECOND);
    REQUIRE_OK(rig_end_user(&r, 0, "ada"));
    tick_for(30 * SECOND);
    CHECK_INT(stored(), 1);
    rig_stop(&r);
}

static void
swept_in_time(void)
{
    char user[32];

    rig_open(&r, 1);
    for (int i = 0; i < 1000; i++) {
        snprintf(user, sizeof user, "user%d", i);
        (void)rig_sign_in(&r, 0, user);
    }
    CHECK_INT(stored(), 1000);
    tick_for(60 * MINUTE);
    CHECK_INT(stored(), 0);
    rig_stop(&r);
}

/* Random steps of the clock among random operations: nothing verifies past its true end. */
static void
random_steps(void)
{
    static const int64_t steps[] = {SECOND, HOUR, 365 * 24 * HOUR};
    long n = test_scaled(10000, 2000);
    test_rng random = {99};
    rig_token token;
    int64_t last_mono, begun_mono; /* monotonic time is the truth here */
    bool live = true;

    rig_open(&r, 1);
    token = rig_sign_in(&r, 0, "ada");
    last_mono = begun_mono = r.mono;
    for (long i = 0; i < n; i++) {
        int64_t step = steps[test_rng_below(&random, 3)];

        if (test_rng_below(&random, 20) == 0)
            r.wall += test_rng_below(&random, 2) == 0 ? step : -step;
        if (r.wall < 1000 * HOUR)
            r.wall = (int64_t)1800000000 * 1000;
        rig_pass(&r, (int64_t)test_rng_below(&random, 12 * MINUTE));
        if (test_rng_below(&random, 4) == 0)
            coat_desk_tick(r.desk[0]);
        if (rig_knock(&r, 0, &token) == COAT_OK) {
            CHECK(live);
            CHECK(r.mono - last_mono <= 30 * MINUTE + SECOND);
            CHECK(r.mono - begun_mono <= 12 * HOUR + SECOND);
            last_mono = r.mono;
            if (r.call.set_token)
                token = rig_token_of(&r);
            r.call.set_token = false;
        } else {
            token = rig_sign_in(&r, 0, "ada");
            last_mono = begun_mono = r.mono;
        }
    }
    rig_stop(&r);
}

/** Clocks of a thread that is stopped after some reading: meanwhile both go on. */
typedef struct stopped_clocks {
    int64_t wall, mono;
    int readings, stops_after;
} stopped_clocks;

static int64_t
read_stopped(stopped_clocks *c, const int64_t *clock)
{
    int64_t told = *clock;

    if (++c->readings == c->stops_after) {
        c->wall += HOUR;
        c->mono += HOUR;
    }
    return told;
}

static int64_t
stopped_wall(void *ctx)
{
    stopped_clocks *c = ctx;

    return read_stopped(c, &c->wall);
}

static int64_t
stopped_mono(void *ctx)
{
    stopped_clocks *c = ctx;

    return read_stopped(c, &c->mono);
}

static void
stopped_between_readings(void)
{
    enum { READINGS = 16 };

    for (int at = 1; at <= READINGS; at++) {
        stopped_clocks c = {.wall = 1000 * HOUR, .mono = 5 * HOUR, .stops_after = at};
        coat_clock clock;

        REQUIRE_OK(coat_clock_init(&clock, stopped_wall, &c, stopped_mono, &c));
        while (c.readings < READINGS)
            (void)(c.readings % 2 == 0 ? coat_clock_delete_ms(&clock)
                                       : coat_clock_now_ms(&clock));
        CHECK_INT(coat_clock_now_ms(&clock), c.wall);
        CHECK_INT(coat_clock_delete_ms(&clock), c.wall);
        CHECK_INT(coat_clock_jump_ms(&clock), 0);
        coat_clock_fini(&clock);
    }
}

static const coat_test tests[] = {
    {"SF-10: a backward step lengthens no session", backward},
    {"SF-10: +1 y, then -1 y within 10 min deletes nothing", forward_and_back},
    {"SF-10: a forward step past a limit refuses, but deletes nothing", forward_a_little},
    {"SF-10: deletion goes on 15 min after a forward step", deletion_goes_on},
    {"SF-10: what was ended on purpose is erased meanwhile", ended_still_swept},
    {"ST-9: ended sessions are erased", swept_in_time},
    {"SF-10: a thread that is stopped between two readings is no step",
     stopped_between_readings},
    {"SF-10: random steps among random operations", random_steps},
};
COAT_TEST_MAIN(tests)
