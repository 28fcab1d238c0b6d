/* SPDX-License-Identifier: Apache-2.0 */

/** How long the node table is trusted, and what ends that. */

#include "world.h"

static void
start(unsigned count)
{
    world_open();
    for (unsigned n = 0; n < count; n++)
        node_start(n);
}

/** The table answers as long as beats come back, and not a lease longer. */
static void
renewed(void)
{
    world_token token;

    start(2);
    token = sign_in(0, "ada");
    warm(1, &token);
    for (int i = 0; i < 100; i++) {
        world_pass(100);
        CHECK_INT(peek(1, &token), COAT_TABLE_LIVE);
    }
    nodes[1].stopped = true; /* the daemon hangs; its readers do not */
    world_pass(COAT_LEASE_GIVEN_MS - COAT_PULSE_MS);
    CHECK_INT(peek(1, &token), COAT_TABLE_LIVE);
    world_pass(COAT_PULSE_MS);
    CHECK_INT(peek(1, &token), COAT_TABLE_ASK);
    world_close();
}

/** Before it is ready, and without a watch at all, nothing is trusted. */
static void
not_ready(void)
{
    world_token token;

    world_open();
    node_start(0);
    token = sign_in(0, "ada");
    REQUIRE_OK(coat_engine_new(&nodes[1].conf, &nodes[1].engine));
    REQUIRE_OK(coat_desk_open(nodes[1].engine, NULL, &nodes[1].desk));
    REQUIRE_OK(check(1, &token));
    CHECK_INT(peek(1, &token), COAT_TABLE_ASK);
    world_pass(2000); /* it pulses, and waits for its channel */
    CHECK(channel_open(1) && !channel_joined(1));
    REQUIRE_OK(check(1, &token));
    CHECK_INT(peek(1, &token), COAT_TABLE_ASK);
    channel_join(1);
    world_pass(500);
    CHECK_INT(peek(1, &token), COAT_TABLE_ASK); /* what was filled in before READY */
    warm(1, &token);
    world_close();
}

/** RV-2: the channel is lost: at once nothing; and after it is back nothing of before. */
static void
lost(void)
{
    world_token token, other;

    start(2);
    token = sign_in(0, "ada");
    other = sign_in(0, "bob");
    warm(1, &token);
    warm(1, &other);
    channel_lose(1, false);
    CHECK_INT(peek(1, &token), COAT_TABLE_ASK);
    CHECK_INT(events_of(COAT_EVENT_STORE_FAILURE), 1);
    world_pass(300);
    REQUIRE_OK(check(1, &token)); /* is filled in, unheard */
    REQUIRE_OK(run(0, COAT_CALL_END, &token, NULL, NULL));
    channel_join(1);
    world_pass(1000);
    CHECK_INT(events_of(COAT_EVENT_STORE_RECOVERY), 1);
    CHECK_INT(peek(1, &token), COAT_TABLE_ASK);
    CHECK_ERR(check(1, &token), COAT_NO_SESSION);
    CHECK_INT(peek(1, &other), COAT_TABLE_ASK);
    warm(1, &other);
    world_close();
}

/** A load that began before READY is not filled in after it. */
static void
fill_across_ready(void)
{
    world_token token;
    started *s;

    start(2);
    token = sign_in(0, "ada");
    channel_lose(1, false);
    world_hold(1, COAT_OP_LOAD, true);
    s = begin(1, COAT_CALL_CHECK, &token, NULL);
    world_place(0);
    REQUIRE_OK(run(0, COAT_CALL_END, &token, NULL, NULL)); /* node 1 does not hear of it */
    channel_join(1);
    world_pass(1000);
    world_hold(1, COAT_OP_LOAD, false);
    world_answer(0);
    CHECK(s->done);
    CHECK_INT(peek(1, &token), COAT_TABLE_ASK);
    world_close();
}

/** RV-2: a black hole: nothing comes, and nobody says so. */
static void
black_hole(void)
{
    world_token token;

    start(2);
    token = sign_in(0, "ada");
    warm(1, &token);
    nodes[1].silent = true;
    world_pass(COAT_LEASE_MS);
    CHECK_INT(peek(1, &token), COAT_TABLE_ASK);
    CHECK(channel_joined(1));
    world_pass(COAT_LEASE_SILENT_MS); /* it subscribes anew */
    CHECK(!channel_joined(1));
    nodes[1].silent = false;
    channel_join(1);
    world_pass(500);
    CHECK_INT(peek(1, &token), COAT_TABLE_ASK);
    warm(1, &token);
    world_close();
}

/** What was held up for long extends no lease, though it comes in order. */
static void
held_up(void)
{
    world_token token;

    start(2);
    token = sign_in(0, "ada");
    warm(1, &token);
    nodes[1].silent = true;
    world_pass(1500); /* beats are said and wait */
    CHECK(channel_waiting(1) > 0);
    nodes[1].stopped = true;
    channel_deliver(1, 3);
    CHECK_INT(peek(1, &token), COAT_TABLE_ASK); /* they are from a lease ago */
    world_close();
}

static void
done_nothing(coat_store_req *req)
{
    (void)req;
}

/** Says the beat that is under way, as `from`. @return whether it was taken for that one */
static bool
takes_beat(unsigned from, bool unordered)
{
    bool taken;
    uint8_t bytes[COAT_MESSAGE_BYTES];
    coat_message forged = {.kind = COAT_MESSAGE_BEAT};
    coat_store_req say = {.op = COAT_OP_SAY,
                          .value = {bytes, sizeof bytes},
                          .has_to = true,
                          .done = done_nothing};
    coat_lease *lease;
    coat_lane *lane;

    start(2);
    lease = &nodes[1].engine->shared->lease;
    world_hold(1, COAT_OP_SAY, true);
    coat_shared_pulse(nodes[1].desk); /* a beat is said, and does not arrive */
    forged.turn = lease->turn;
    forged.number = lease->number;
    coat_message_put(&forged, bytes);
    say.address = nodes[from].engine->shared->id;
    say.to = nodes[1].engine->shared->id;
    say.unordered = unordered;
    REQUIRE_OK(coat_lane_open(world_store(0), NULL, &lane));
    coat_store_submit(lane, &say);
    CHECK_ERR(say.result, COAT_OK);
    world_settle();
    taken = lease->beats[forged.number % COAT_LEASE_BEATS].number != forged.number;
    coat_lane_close(lane);
    world_hold(1, 0, false);
    while (world_held() > 0)
        world_refuse(0);
    world_close();
    return taken;
}

/** Only one's own beat tells when it was said, whatever another says of it; and only if it came
 * behind what was before. */
static void
foreign_beat(void)
{
    CHECK(!takes_beat(0, false));
    CHECK(!takes_beat(1, true));
    CHECK(takes_beat(1, false));
}

/** Epochs that were asked for before the channel was lost say nothing about it as it is now. */
static void
former_epochs(void)
{
    const coat_lease *lease;

    start(1);
    lease = &nodes[0].engine->shared->lease;
    channel_lose(0, false);
    world_hold(0, COAT_OP_EPOCHS, true);
    channel_join(0);
    channel_deliver(0, channel_waiting(0));
    coat_shared_pulse(nodes[0].desk);
    CHECK_INT(world_held(), 1);
    channel_lose(0, false);
    channel_join(0);
    channel_deliver(0, channel_waiting(0));
    CHECK(lease->ready && !lease->settled);
    world_hold(0, 0, false);
    world_place(0);
    world_answer(0);
    CHECK(!lease->settled);
    world_pass(500);
    CHECK(lease->settled);
    world_close();
}

/** A daemon that was stopped for ten seconds wakes up with a beat in its hands. */
static void
stopped(void)
{
    world_token token;

    start(2);
    token = sign_in(0, "ada");
    warm(1, &token);
    nodes[1].silent = true;
    coat_shared_pulse(nodes[1].desk); /* a beat is said */
    nodes[1].stopped = true;
    REQUIRE_OK(run(0, COAT_CALL_END, &token, NULL, NULL));
    world_pass(10000);
    while (channel_waiting(1) > 1) {
        CHECK_INT(peek(1, &token), COAT_TABLE_ASK);
        channel_deliver(1, 1);
    }
    CHECK_INT(peek(1, &token), COAT_TABLE_ASK);
    world_close();
}

/** Beats of a former turn or a former process prove nothing. */
static void
former_turn(void)
{
    int64_t until_ms, until_mono_ms;
    coat_lease lease = {0};
    uint64_t number, turn;

    CHECK_INT(coat_lease_beat(&lease, 1000, 5000), 0); /* not ready */
    coat_lease_ready(&lease);
    CHECK_INT(coat_lease_beat(&lease, 1000, 5000), 0); /* nor settled */
    lease.settled = true;
    turn = lease.turn;
    number = coat_lease_beat(&lease, 1000, 5000);
    CHECK(number > 0);
    coat_lease_lost(&lease);
    CHECK(!coat_lease_heard(&lease, turn, number, &until_ms, &until_mono_ms));
    coat_lease_ready(&lease);
    lease.settled = true;
    CHECK(!coat_lease_heard(&lease, turn, number, &until_ms, &until_mono_ms));
    CHECK(!coat_lease_heard(&lease, lease.turn, number, &until_ms, &until_mono_ms));
    number = coat_lease_beat(&lease, 2000, 6000);
    CHECK(!coat_lease_heard(&lease, turn, number, &until_ms, &until_mono_ms));
    CHECK(coat_lease_heard(&lease, lease.turn, number, &until_ms, &until_mono_ms));
    CHECK_INT(until_mono_ms, 2000 + COAT_LEASE_GIVEN_MS);
    CHECK_INT(until_ms, 6000 + COAT_LEASE_GIVEN_MS);
    CHECK(!coat_lease_heard(&lease, lease.turn, number, &until_ms, &until_mono_ms)); /* twice */
    CHECK(!coat_lease_heard(&lease, lease.turn, 0, &until_ms, &until_mono_ms));
    CHECK(!coat_lease_heard(&lease, lease.turn, number + 1, &until_ms, &until_mono_ms));
}

/** Later beats may come back first; the lease never gets shorter by an earlier one. */
static void
beats_under_way(void)
{
    int64_t until_ms, until_mono_ms;
    coat_lease lease = {0};
    uint64_t numbers[COAT_LEASE_BEATS];

    coat_lease_ready(&lease);
    lease.settled = true;
    for (int i = 0; i < COAT_LEASE_BEATS; i++) {
        numbers[i] = coat_lease_beat(&lease, 1000 + 10 * i, 0);
        REQUIRE(numbers[i] != 0);
    }
    CHECK_INT(coat_lease_beat(&lease, 1100, 0), 0); /* too many */
    CHECK(coat_lease_heard(&lease, lease.turn, numbers[3], &until_ms, &until_mono_ms));
    CHECK(!coat_lease_heard(&lease, lease.turn, numbers[2], &until_ms, &until_mono_ms));
    CHECK_INT(lease.until_mono_ms, 1030 + COAT_LEASE_GIVEN_MS);
    CHECK(coat_lease_beat(&lease, 1000 + COAT_LEASE_GIVEN_MS, 0) !=
          0);                                  /* an old one is given up */
    CHECK(!coat_lease_silent(&lease, 100000)); /* nothing was said yet */
    coat_lease_said(&lease, numbers[5], 2000);
    CHECK(!coat_lease_silent(&lease, 2000 + COAT_LEASE_SILENT_MS));
    CHECK(coat_lease_silent(&lease, 2001 + COAT_LEASE_SILENT_MS));
    coat_lease_said(&lease, numbers[6], 3000);
    CHECK(coat_lease_silent(&lease, 2001 + COAT_LEASE_SILENT_MS));
    CHECK(coat_lease_heard(&lease, lease.turn, numbers[6], &until_ms, &until_mono_ms));
    CHECK(!coat_lease_silent(&lease, 100000));
    coat_lease_said(&lease, numbers[6], 3000); /* heard before the answer came */
    CHECK(!coat_lease_silent(&lease, 100000));
}

/** SF-10: the wall clock is stepped while there is a lease and the daemon hangs. */
static void
wall_steps(void)
{
    static const int64_t steps[] = {-3600000, -1000, 1000, 600000};
    world_token token;

    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        start(2);
        token = sign_in(0, "ada");
        warm(1, &token);
        nodes[1].stopped = true;
        nodes[1].wall += steps[i];
        world_pass(COAT_LEASE_MS);
        CHECK_INT(peek(1, &token), COAT_TABLE_ASK);
        nodes[1].stopped = false;
        world_pass(500); /* and beats go on after it */
        REQUIRE_OK(check(1, &token));
        CHECK_INT(peek(1, &token), COAT_TABLE_LIVE);
        world_close();
    }
}

/** The store takes no beats: no lease, and no other channel is tried for that. */
static void
store_down(void)
{
    world_token token;

    start(2);
    token = sign_in(0, "ada");
    warm(1, &token);
    world_cut(1, true);
    world_pass(5000);
    CHECK_INT(peek(1, &token), COAT_TABLE_ASK);
    CHECK(channel_joined(1));
    CHECK_ERR(check(1, &token), COAT_STORE_DOWN);
    world_cut(1, false);
    world_pass(500);
    CHECK_INT(peek(1, &token), COAT_TABLE_LIVE); /* every report has come */
    world_close();
}

/** SF-11: an instance starts while its store is away. */
static void
started_without_store(void)
{
    world_token token;

    world_open();
    node_start(0);
    token = sign_in(0, "ada");
    world_cut(1, true);
    REQUIRE_OK(coat_engine_new(&nodes[1].conf, &nodes[1].engine));
    REQUIRE_OK(coat_desk_open(nodes[1].engine, NULL, &nodes[1].desk));
    world_pass(1000);
    channel_join(1);
    world_pass(1000);
    CHECK_ERR(check(1, &token), COAT_STORE_DOWN);
    CHECK_INT(peek(1, &token), COAT_TABLE_ASK);
    world_cut(1, false);
    world_pass(500);
    warm(1, &token);
    world_close();
}

/** A session that is changed by its own node stays in that node's table. */
static void
own_changes(void)
{
    world_token token;

    start(2);
    token = sign_in(0, "ada");
    warm(0, &token);
    warm(1, &token);
    REQUIRE_OK(patch(0, &token, "{\"a\":1}"));
    REQUIRE_OK(check(0, &token)); /* fills it in again, before the report of it comes */
    CHECK_INT(peek(0, &token), COAT_TABLE_LIVE);
    CHECK_INT(peek(1, &token), COAT_TABLE_LIVE); /* on its way */
    world_settle();
    CHECK_INT(peek(0, &token), COAT_TABLE_LIVE);
    CHECK_INT(peek(1, &token), COAT_TABLE_ASK);
    world_close();
}

/** Folding activity in is nothing that others need hear. */
static void
folding_is_quiet(void)
{
    world_token token;
    size_t before;

    start(2);
    token = sign_in(0, "ada");
    warm(0, &token);
    warm(1, &token);
    world_pass(200 * 1000);
    CHECK_INT(peek(0, &token), COAT_TABLE_LIVE); /* is activity */
    before = (size_t)world_seen(0, COAT_OP_REPLACE);
    for (int i = 0; i < 40; i++) {
        world_pass(1000);
        coat_desk_tick(nodes[0].desk);
        world_settle();
    }
    CHECK(world_seen(0, COAT_OP_REPLACE) > before);
    CHECK_INT(peek(1, &token), COAT_TABLE_LIVE);
    world_close();
}

static const coat_test tests[] = {
    {"RV-2: the table is trusted while beats come back, and a lease longer", renewed},
    {"RV-2: nothing is trusted before the channel is ready", not_ready},
    {"RV-2: a lost channel ends trust at once; what was there is dropped", lost},
    {"RV-3: a load from before READY is not filled in after it", fill_across_ready},
    {"RV-2: a black hole ends trust within a lease, and is subscribed anew", black_hole},
    {"RV-2: beats that were held up extend nothing", held_up},
    {"RV-2: a daemon that was stopped extends nothing with an old beat", stopped},
    {"RV-2: beats of a former turn prove nothing", former_turn},
    {"RV-2: nor beats that are not one's own", foreign_beat},
    {"RV-5 RV-2: nor epochs that were asked for in a former turn", former_epochs},
    {"RV-2: beats that come back in another order", beats_under_way},
    {"RV-2 SF-10: steps of the wall clock lengthen no lease", wall_steps},
    {"SF-1: a store that takes no beats ends trust", store_down},
    {"SF-11: an instance starts without its store", started_without_store},
    {"own changes leave the own table as it is", own_changes},
    {"folding in activity drops nothing elsewhere", folding_is_quiet},
};
COAT_TEST_MAIN(tests)
