/* SPDX-License-Identifier: Apache-2.0 */
#include "core/timekeeper.h"
#include "fixture.h"

#define SECOND ((int64_t)1000)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define YEAR (365 * 24 * HOUR)

/* A machine with a true time, a monotonic clock that follows it, and a wall clock that is off.
 */
typedef struct machine {
    coat_timekeeper keeper;
    int64_t true_ms, wall_off_ms;
    coat_time last;
} machine;

static void
start(machine *m)
{
    *m = (machine){.true_ms = FIXTURE_NOW};
    coat_timekeeper_init(&m->keeper, FIXTURE_NOW, 0, 0);
}

static void
pass(machine *m, int64_t ms)
{
    coat_time before = m->last;

    m->true_ms += ms;
    m->last =
        coat_timekeeper_step(&m->keeper, m->true_ms + m->wall_off_ms, m->true_ms - FIXTURE_NOW);
    CHECK(m->last.now_ms >= before.now_ms);
}

static void
follows(void)
{
    machine m;

    start(&m);
    for (int i = 0; i < 100; i++) {
        pass(&m, i);
        CHECK_INT(m.last.now_ms, m.true_ms);
        CHECK_INT(m.last.delete_ms, m.true_ms);
        CHECK_INT(m.last.jump_ms, 0);
    }
    pass(&m, YEAR); /* a long pause is no jump */
    CHECK_INT(m.last.now_ms, m.true_ms);
    CHECK_INT(m.last.jump_ms, 0);
}

static void
backward(void)
{
    static const int64_t steps[] = {1, SECOND, MINUTE, HOUR, YEAR, FIXTURE_NOW};

    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        machine m;
        int64_t end;

        start(&m);
        pass(&m, SECOND);
        end = m.last.now_ms + 30 * MINUTE; /* of a session made now */
        m.wall_off_ms -= steps[i];
        pass(&m, 0);
        CHECK_INT(m.last.jump_ms, steps[i] > 5 * MINUTE ? -steps[i] : 0);
        pass(&m, 30 * MINUTE - 1);
        CHECK(m.last.now_ms < end);
        CHECK(m.last.delete_ms < end);
        pass(&m, 1);
        CHECK(m.last.now_ms >= end); /* dead on time, not a step later */
        m.wall_off_ms = 0;           /* and set right again: no second jump ahead */
        pass(&m, 0);
        CHECK_INT(m.last.now_ms, m.true_ms);
    }
}

static void
forward_small(void)
{
    machine m;

    start(&m);
    m.wall_off_ms = 5 * MINUTE;
    pass(&m, SECOND);
    CHECK_INT(m.last.jump_ms, 0);
    CHECK_INT(m.last.now_ms, m.true_ms + 5 * MINUTE);
    CHECK_INT(m.last.delete_ms, m.last.now_ms);
}

static void
forward_large(void)
{
    machine m;

    start(&m);
    m.wall_off_ms = 5 * MINUTE + 1;
    pass(&m, SECOND);
    CHECK_INT(m.last.jump_ms, 5 * MINUTE + 1);
    CHECK_INT(m.last.now_ms, m.true_ms + m.wall_off_ms); /* denial follows at once */
    CHECK(m.last.delete_ms == INT64_MIN);
    pass(&m, 15 * MINUTE - 1);
    CHECK_INT(m.last.jump_ms, 0); /* reported once */
    CHECK(m.last.delete_ms == INT64_MIN);
    pass(&m, 1);
    CHECK_INT(m.last.delete_ms, m.last.now_ms);
    m.wall_off_ms += HOUR; /* a second jump suspends anew */
    pass(&m, 1);
    CHECK_INT(m.last.jump_ms, HOUR);
    CHECK(m.last.delete_ms == INT64_MIN);
}

static void
year_and_back(void)
{
    machine m;

    start(&m);
    m.wall_off_ms = YEAR;
    for (int i = 0; i < 600; i++) {
        pass(&m, SECOND);
        CHECK(m.last.delete_ms == INT64_MIN);
    }
    m.wall_off_ms = 0;
    pass(&m, SECOND);
    CHECK_INT(m.last.jump_ms, -YEAR);
    CHECK(m.last.now_ms >= m.true_ms + YEAR - SECOND); /* never backward */
    for (int i = 0; i < 3600; i++) {
        pass(&m, SECOND);
        /* What only the wrong clock called expired is not deleted, now or later. */
        CHECK(m.last.delete_ms <= m.true_ms);
    }
    CHECK_INT(m.last.delete_ms, m.true_ms);
}

static void
random_steps(void)
{
    static const int64_t steps[] = {SECOND, -SECOND, HOUR, -HOUR, YEAR, -YEAR};
    long count = test_scaled(10000, 10000);
    test_rng rng = {1};
    machine m;
    int64_t made_now = FIXTURE_NOW, made_true = FIXTURE_NOW;

    start(&m);
    for (long i = 0; i < count; i++) {
        if (test_rng_below(&rng, 20) == 0)
            m.wall_off_ms += steps[test_rng_below(&rng, 6)];
        pass(&m, (int64_t)test_rng_below(&rng, 30 * SECOND));
        /* A session of 30 minutes by effective time, held against the true one. */
        if (m.last.now_ms < made_now + 30 * MINUTE)
            CHECK(m.true_ms < made_true + 30 * MINUTE + SECOND);
        else {
            made_now = m.last.now_ms;
            made_true = m.true_ms;
        }
    }
}

static void
restart_with_floor(void)
{
    coat_timekeeper keeper;
    coat_time t;

    coat_timekeeper_init(&keeper, FIXTURE_NOW - HOUR, 5000, FIXTURE_NOW);
    t = coat_timekeeper_step(&keeper, FIXTURE_NOW - HOUR + 1, 5001);
    CHECK_INT(t.now_ms, FIXTURE_NOW + 1);
    CHECK_INT(t.delete_ms, FIXTURE_NOW - HOUR + 1);
    CHECK_INT(t.jump_ms, 0);
}

static void
absurd_clocks(void)
{
    static const int64_t values[] = {INT64_MIN, -1, 0, 1, FIXTURE_NOW, INT64_MAX};

    for (size_t a = 0; a < 6; a++)
        for (size_t b = 0; b < 6; b++)
            for (size_t c = 0; c < 36; c++) {
                coat_timekeeper keeper;
                coat_time first, second;

                coat_timekeeper_init(&keeper, values[a], values[b], values[c % 6]);
                first = coat_timekeeper_step(&keeper, values[c / 6], values[a]);
                second = coat_timekeeper_step(&keeper, values[b], values[c % 6]);
                CHECK(first.now_ms >= 0 && second.now_ms >= first.now_ms);
            }
}

static const coat_test tests[] = {
    {"SF-10: effective time follows the clock", follows},
    {"SF-10: a backward step lengthens no session", backward},
    {"SF-10: a forward step of 5 minutes is followed silently", forward_small},
    {"SF-10: a larger one denies at once, is reported once, deletes nothing for 15 minutes",
     forward_large},
    {"SF-10: a year ahead and back within 10 minutes deletes nothing", year_and_back},
    {"SF-10: no session outlives its true end under 10^4 random steps", random_steps},
    {"SF-10: a restart does not go back behind the floor", restart_with_floor},
    {"absurd clocks overflow nothing", absurd_clocks},
};
COAT_TEST_MAIN(tests)
