/* SPDX-License-Identifier: Apache-2.0 */

/** RV-1: when a termination is acknowledged. */

#include "world.h"

typedef enum kind {
    END,
    END_USER,
    END_ALL,
    RENEW,
    FOLLOW,
    KINDS,
} kind;

static const char *const names[] = {"end", "end user", "end all", "renew",
                                    "sign in over another"};

static world_token victim;

static void
start(void)
{
    world_open();
    for (unsigned n = 0; n < WORLD_NODES; n++)
        node_start(n);
    world_pass(2000); /* the register is believed from here on */
    victim = sign_in(0, "ada");
    for (unsigned n = 0; n < WORLD_NODES; n++)
        warm(n, &victim);
}

static started *
terminate(unsigned n, kind k)
{
    switch (k) {
    case END:
        return begin(n, COAT_CALL_END, &victim, NULL);
    case END_USER:
        return begin(n, COAT_CALL_END_USER, NULL, "ada");
    case END_ALL:
        return begin(n, COAT_CALL_END_ALL, NULL, NULL);
    case RENEW:
        return begin(n, COAT_CALL_RENEW, &victim, "ada");
    default:
        return begin(n, COAT_CALL_CREATE, &victim, "ada");
    }
}

static unsigned
live(void)
{
    unsigned count = 0;

    for (unsigned n = 0; n < WORLD_NODES; n++)
        count += peek(n, &victim) == COAT_TABLE_LIVE;
    return count;
}

/** Not before everybody has heard of it, and then at once. */
static void
confirmed(void)
{
    for (kind k = 0; k < KINDS; k++) {
        started *s;

        test_case(names[k]);
        start();
        s = terminate(0, k);
        CHECK(!s->done);
        CHECK_INT(live(), WORLD_NODES - 1); /* they have not heard: not acknowledged */
        nodes[2].silent = true;
        world_settle();
        CHECK(!s->done);
        CHECK_INT(live(), 1);
        nodes[2].silent = false;
        world_settle();
        CHECK(s->done);
        CHECK_ERR(s->call.result, COAT_OK);
        CHECK_INT(live(), 0);
        CHECK_ERR(check(1, &victim), COAT_NO_SESSION);
        CHECK_INT(nodes[0].engine->shared->unconfirmed, 0);
        world_close();
    }
}

/** Nor is a copy refused before everybody has heard that its session has ended. */
static void
copied(void)
{
    enum { ROTATE_MS = 15 * 60 * 1000, GRACE_MS = 10 * 1000 };
    world_token next;
    started *s;

    start();
    world_pass(ROTATE_MS + 1000);
    REQUIRE_OK(run(0, COAT_CALL_CHECK, &victim, NULL, &next));
    REQUIRE_OK(check(1, &next));
    world_pass(GRACE_MS + 1000);
    for (unsigned n = 0; n < WORLD_NODES; n++)
        warm(n, &next);
    nodes[2].silent = true;
    s = begin(0, COAT_CALL_CHECK, &victim, NULL);
    world_settle();
    CHECK(!s->done);
    CHECK(peek(2, &next) == COAT_TABLE_LIVE);
    nodes[2].silent = false;
    world_settle();
    CHECK(s->done);
    CHECK_ERR(s->call.result, COAT_NO_SESSION);
    CHECK_INT(events_of(COAT_EVENT_TOKEN_REUSE), 1);
    for (unsigned n = 0; n < WORLD_NODES; n++)
        CHECK(peek(n, &next) != COAT_TABLE_LIVE);
    world_close();
}

/** One hears nothing: acknowledged when its lease must be over, and it is. */
static void
by_time(void)
{
    for (kind k = 0; k < KINDS; k++) {
        started *s;
        int64_t waited = 0;

        test_case(names[k]);
        start();
        nodes[2].silent = true;
        coat_shared_pulse(nodes[2].desk);
        channel_deliver(2, SIZE_MAX); /* the longest lease there can be */
        s = terminate(0, k);
        world_settle();
        while (!s->done && waited < 5000) {
            nodes[0].mono++;
            nodes[1].mono++;
            nodes[2].mono++;
            for (unsigned n = 0; n < WORLD_NODES; n++)
                nodes[n].wall++;
            waited++;
            if (waited % COAT_PULSE_MS == 0)
                for (unsigned n = 0; n < WORLD_NODES; n++)
                    coat_shared_pulse(nodes[n].desk);
            coat_waiting_look(nodes[0].desk);
            world_settle();
            if (s->done)
                CHECK_INT(live(), 0);
        }
        CHECK_INT(waited, COAT_CONFIRM_MS);
        CHECK_ERR(s->call.result, COAT_OK);
        world_close();
    }
}

/** A lost answer, and the same again: the second time there is nothing left to end, and that
 * is acknowledged no earlier. */
static void
ended_twice(void)
{
    started *first, *second;

    start();
    world_hold(0, COAT_OP_REMOVE, true);
    first = begin(0, COAT_CALL_END, &victim, NULL);
    world_place(0);
    world_refuse(0); /* the connection broke: 503 */
    world_hold(0, COAT_OP_REMOVE, false);
    CHECK(first->done);
    CHECK_ERR(first->call.result, COAT_STORE_DOWN);
    CHECK_INT(live(), WORLD_NODES - 1);
    second = begin(0, COAT_CALL_END, &victim, NULL);
    CHECK(!second->done);
    world_settle();
    CHECK(second->done);
    CHECK_ERR(second->call.result, COAT_OK);
    CHECK_INT(live(), 0);
    world_close();
}

/** Many at once: one SYNC is on its way at a time, and confirms all that waited for it. */
static void
in_one(void)
{
    enum { MANY = 50 };
    started *s[MANY];
    world_token tokens[MANY];
    uint64_t before;

    start();
    for (int i = 0; i < MANY; i++) {
        char user[16];

        snprintf(user, sizeof user, "user%d", i);
        tokens[i] = sign_in(1, user);
        warm(2, &tokens[i]);
    }
    before = world_seen(0, COAT_OP_SAY);
    world_hold(0, COAT_OP_SAY, true);
    for (int i = 0; i < MANY; i++)
        s[i] = begin(0, COAT_CALL_END, &tokens[i], NULL);
    CHECK_INT(world_seen(0, COAT_OP_SAY) - before, 1);
    world_place(0);
    world_answer(0);
    CHECK_INT(world_seen(0, COAT_OP_SAY) - before, 2);
    world_settle();
    CHECK(s[0]->done);
    CHECK(!s[1]->done);
    world_hold(0, COAT_OP_SAY, false);
    world_place(0);
    world_answer(0);
    world_settle();
    for (int i = 0; i < MANY; i++) {
        CHECK(s[i]->done);
        CHECK_INT(peek(2, &tokens[i]), COAT_TABLE_ASK);
    }
    CHECK(world_seen(1, COAT_OP_SAY) < 400); /* answers are gathered likewise */
    world_close();
}

/** SYNC does not come through: by time. */
static void
no_sync(void)
{
    started *s;

    start();
    world_hold(0, COAT_OP_SAY, true);
    s = begin(0, COAT_CALL_END, &victim, NULL);
    world_refuse(0);
    world_hold(0, COAT_OP_SAY, false);
    world_pass(COAT_CONFIRM_MS - 50);
    CHECK(!s->done);
    world_pass(50);
    CHECK(s->done);
    CHECK_ERR(s->call.result, COAT_OK);
    CHECK_INT(nodes[0].engine->shared->unconfirmed, 1);
    world_close();
}

/** An instance that died delays the first calls, and after a lease's length nobody. */
static void
dead_member(void)
{
    started *s;

    start();
    nodes[2].stopped = true; /* kill -9 */
    s = begin(0, COAT_CALL_END, &victim, NULL);
    world_pass(1000);
    CHECK(!s->done);
    world_pass(50);
    CHECK(s->done);
    world_pass(2000);
    victim = sign_in(0, "ada");
    s = begin(0, COAT_CALL_END, &victim, NULL);
    world_settle();
    CHECK(s->done);
    CHECK_INT(nodes[0].engine->shared->unconfirmed, 1);
    CHECK_INT(nodes[0].engine->shared->members.count, 3);
    world_pass(COAT_MEMBER_DEAD_MS + 2000); /* and is forgotten */
    CHECK_INT(nodes[0].engine->shared->members.count, 2);
    /* It comes back, late: it is in the register again before it has a lease. */
    nodes[2].stopped = false;
    world_pass(2000);
    CHECK_INT(nodes[0].engine->shared->members.count, 3);
    victim = sign_in(0, "ada");
    warm(2, &victim);
    nodes[2].silent = true;
    s = begin(0, COAT_CALL_END, &victim, NULL);
    world_settle();
    CHECK(!s->done);
    world_pass(COAT_CONFIRM_MS);
    CHECK(s->done);
    world_close();
}

/** One that stops in order leaves: nobody waits for it. */
static void
left(void)
{
    started *s;

    start();
    node_stop(2);
    s = begin(0, COAT_CALL_END, &victim, NULL);
    CHECK(!s->done);
    world_settle();
    CHECK(s->done);
    CHECK_INT(nodes[0].engine->shared->unconfirmed, 0);
    world_close();
}

/** One that has just started and has no lease yet may delay, never spoil it. */
static void
joins_meanwhile(void)
{
    started *s;

    start();
    node_stop(2);
    s = begin(0, COAT_CALL_END, &victim, NULL);
    node_start(2); /* after the end had taken place */
    CHECK_INT(peek(2, &victim), COAT_TABLE_ASK);
    CHECK_ERR(check(2, &victim), COAT_NO_SESSION);
    world_settle();
    CHECK(s->done);
    world_close();
}

/** After a reconnection the register may be older than leases are: by time, for a while. */
static void
after_reconnection(void)
{
    started *s;

    start();
    channel_lose(0, false);
    s = begin(0, COAT_CALL_END, &victim, NULL);
    world_settle();
    CHECK(!s->done);
    channel_join(0);
    world_pass(COAT_CONFIRM_MS);
    CHECK(s->done);
    CHECK_INT(live(), 0);
    world_close();
}

/**
 * The replica that takes over has never heard of an instance that holds a lease and does not
 * know yet that its channel is dead.
 */
static void
register_lost(void)
{
    started *s;

    world_open();
    node_start(0);
    node_start(1);
    victim = sign_in(0, "ada");
    world_replicate();
    node_start(2);
    world_pass(2000);
    for (unsigned n = 0; n < WORLD_NODES; n++)
        warm(n, &victim);
    coat_shared_pulse(nodes[2].desk);
    world_settle();
    nodes[2].silent = nodes[2].stopped = true;
    world_failover();
    channel_join(0);
    channel_join(1);
    world_settle();
    s = begin(0, COAT_CALL_END, &victim, NULL);
    world_settle();
    CHECK_INT(live(), 1);
    CHECK(!s->done);
    world_pass(COAT_CONFIRM_MS);
    CHECK(s->done);
    CHECK_INT(live(), 0);
    world_close();
}

/** The desk closes while a call waits: it is not acknowledged. */
static void
desk_closes(void)
{
    coat_handle handle;
    started *s;

    start();
    handle = handle_of(&victim);
    CHECK(world_has(&handle));
    s = begin(0, COAT_CALL_END, &victim, NULL);
    CHECK(!s->done);
    node_stop(0);
    CHECK(s->done);
    CHECK_ERR(s->call.result, COAT_CANCELLED);
    CHECK(!world_has(&handle)); /* ended it is */
    world_close();
}

/** A register that another server has answered than is watched now is not taken. */
static void
former_register(void)
{
    const coat_members *members;
    started *s;

    start();
    members = &nodes[0].engine->shared->members;
    world_hold(0, COAT_OP_SAY, true);
    s = begin(0, COAT_CALL_END, &victim, NULL);
    CHECK(!s->done);
    CHECK(world_held() > 0);
    channel_lose(0, false);
    channel_join(0);
    channel_deliver(0, channel_waiting(0));
    CHECK_INT(members->version, 0);
    world_hold(0, 0, false);
    while (world_held() > 0) {
        world_place(0);
        world_answer(0);
    }
    CHECK_INT(members->version, 0);
    CHECK(!members->trusted);
    world_close();
}

/** The store has answered, and the desk is being closed: nobody will be waited for. */
static void
answered_while_closing(void)
{
    started *s;

    start();
    world_hold(0, COAT_OP_REMOVE, true);
    s = begin(0, COAT_CALL_END, &victim, NULL);
    CHECK_INT(world_held(), 1);
    world_place(0);
    nodes[0].desk->closing = true;
    world_answer(0);
    nodes[0].desk->closing = false;
    CHECK(s->done);
    CHECK_ERR(s->call.result, COAT_CANCELLED);
    world_hold(0, 0, false);
    world_close();
}

/** Others' sign-ins are not held up by a revocation that waits for its confirmation. */
static void
gates_are_lifted(void)
{
    world_token other;
    started *s;

    start();
    other = sign_in(0, "bob");
    nodes[2].silent = true;
    s = begin(0, COAT_CALL_END_USER, NULL, "ada");
    CHECK(!s->done);
    warm(0, &other);
    victim = sign_in(0, "ada"); /* made after it: lives */
    warm(0, &victim);
    world_pass(COAT_CONFIRM_MS);
    CHECK(s->done);
    CHECK_ERR(check(0, &victim), COAT_OK);
    world_close();
}

/** What a later release says is no reason to do anything. */
static void
unknown_messages(void)
{
    static const uint8_t texts[][20] = {{0}, {2, 2}, {1, 4}, {1, 0}, {1, 200}, {'?'}};
    started *s;

    start();
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        for (size_t len = 1; len <= sizeof texts[i]; len++) {
            coat_store_req req = {
                .op = COAT_OP_SAY, .address = {{(uint8_t)i, 77}}, .value = {texts[i], len}};
            coat_lane *lane;

            REQUIRE_OK(coat_lane_open(world_store(0), NULL, &lane));
            REQUIRE_OK(coat_store_run(lane, &req));
            req = (coat_store_req){.op = COAT_OP_LEAVE, .address = {{(uint8_t)i, 77}}};
            REQUIRE_OK(coat_store_run(lane, &req));
            coat_lane_close(lane);
        }
    world_settle();
    s = begin(0, COAT_CALL_END, &victim, NULL);
    world_settle();
    CHECK(s->done);
    CHECK_INT(live(), 0);
    world_close();
}

/** A message of a later release may be longer; what we know of it counts. */
static void
message_bytes(void)
{
    const coat_message message = {COAT_MESSAGE_CONFIRM, 0x1122334455667788, UINT64_MAX};
    uint8_t bytes[COAT_MESSAGE_BYTES + 5] = {0};
    coat_message back;

    coat_message_put(&message, bytes);
    for (size_t len = 0; len < COAT_MESSAGE_BYTES; len++)
        CHECK(!coat_message_get((coat_span){bytes, len}, &back));
    CHECK(coat_message_get((coat_span){bytes, sizeof bytes}, &back));
    CHECK(back.kind == message.kind && back.turn == message.turn &&
          back.number == message.number);
}

/* ---- members, one by one ---- */

static coat_handle
instance(uint8_t number)
{
    return (coat_handle){{number}};
}

static void
read_late(coat_members *m, uint64_t version, uint64_t other_version, int64_t asked_ms,
          int64_t at_ms)
{
    coat_handle self = instance(1);
    coat_roll roll = {0};

    coat_roll_add(&roll, &(coat_store_item){.address = self, .version = version});
    coat_roll_add(&roll, &(coat_store_item){.address = instance(2), .version = other_version});
    coat_members_store(m, &roll, &self, version, 6, asked_ms, at_ms);
    coat_roll_free(&roll);
}

static void
read_register(coat_members *m, uint64_t version, uint64_t number, uint64_t other_version,
              int64_t at_ms)
{
    coat_handle self = instance(1);
    coat_roll roll = {0};

    coat_roll_add(&roll, &(coat_store_item){.address = self, .version = version});
    if (other_version != 0)
        coat_roll_add(&roll,
                      &(coat_store_item){.address = instance(2), .version = other_version});
    coat_members_store(m, &roll, &self, version, number, at_ms, at_ms);
    coat_roll_free(&roll);
}

static void
members(void)
{
    coat_handle self = instance(1), two = instance(2);
    coat_members m = {0};

    CHECK(!coat_members_confirmed(&m, &self, 0)); /* never read */
    read_register(&m, 10, 5, 9, 1000);
    CHECK(!coat_members_confirmed(&m, &self, 5));
    coat_members_get(&m, &two)->confirmed = 4;
    CHECK(coat_members_confirmed(&m, &self, 4));
    CHECK(!coat_members_confirmed(&m, &self, 5));
    coat_members_get(&m, &two)->confirmed = 7;
    CHECK(coat_members_confirmed(&m, &self, 5));
    CHECK(!coat_members_confirmed(&m, &self, 6)); /* confirmed, but the register is not read */
    /* A reading of before that comes late hides nobody. */
    read_register(&m, 8, 6, 0, 1100);
    coat_members_get(&m, &two)->confirmed = 5;
    CHECK(!coat_members_confirmed(&m, &self, 6));
    /* Silent once a lease's length lies between two readings of the same entry. */
    read_register(&m, 11, 6, 9, 1000 + COAT_CONFIRM_MS - 1);
    CHECK(!coat_members_confirmed(&m, &self, 6));
    /* By when the second was asked for, not by when it was answered. */
    read_late(&m, 12, 9, 1000 + COAT_CONFIRM_MS - 1, 1000 + COAT_CONFIRM_MS);
    CHECK(!coat_members_confirmed(&m, &self, 6));
    read_register(&m, 13, 6, 9, 1000 + COAT_CONFIRM_MS);
    CHECK(coat_members_confirmed(&m, &self, 6));
    read_register(&m, 14, 6, 14, 1000 + COAT_CONFIRM_MS); /* it has said something */
    CHECK(!coat_members_confirmed(&m, &self, 6));
    read_register(&m, 15, 6, 0, 3000); /* it has left */
    CHECK(coat_members_confirmed(&m, &self, 6));
    /* A register that could not be stored is not believed. */
    coat_members_store(&m, &(coat_roll){.failed = true}, &self, 16, 6, 3000, 3000);
    CHECK(!coat_members_confirmed(&m, &self, 6));
    coat_members_free(&m);
}

static const coat_test tests[] = {
    {"RV-1: acknowledged once every instance has confirmed it", confirmed},
    {"LC-7 RV-1: a copy is refused once every instance knows that its session has ended",
     copied},
    {"RV-1: or its lease has run out, no later than a lease and 50 ms", by_time},
    {"RV-1: what had ended without an answer is acknowledged no earlier", ended_twice},
    {"RV-1: many terminations share a message", in_one},
    {"RV-1: without a message it takes the time of a lease", no_sync},
    {"RV-1: a dead instance delays, and soon no more", dead_member},
    {"RV-1: an instance that leaves delays nobody", left},
    {"RV-1: an instance that joins meanwhile knows", joins_meanwhile},
    {"RV-1: after a reconnection the register is not believed yet", after_reconnection},
    {"RV-1 RV-5: a register that has lost an instance is not believed yet", register_lost},
    {"RV-1: a desk that closes acknowledges nothing", desk_closes},
    {"RV-1 RV-5: the register of a former server is not believed", former_register},
    {"RV-1: nor what the store has answered by then", answered_while_closing},
    {"RV-1: what waits for others holds up nobody", gates_are_lifted},
    {"UP-1: messages of another release", unknown_messages},
    {"UP-1: the bytes of messages", message_bytes},
    {"RV-1: who is in the register, and has confirmed", members},
};
COAT_TEST_MAIN(tests)
