/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/internal.h"
#include "rig.h"

#include <string.h>

static rig r;

static void
sign_out(void)
{
    rig_token token;

    rig_open(&r, 3);
    token = rig_sign_in(&r, 0, "ada");
    REQUIRE_OK(rig_end(&r, 1, &token));
    CHECK_INT(r.call.count, 1);
    for (unsigned e = 0; e < 3; e++)
        CHECK_ERR(rig_knock(&r, e, &token), COAT_NO_SESSION);
    CHECK_ERR(rig_end(&r, 2, &token), COAT_OK);
    CHECK_INT(r.call.count, 0);
    CHECK_INT(rig_events(&r, COAT_EVENT_SESSION_LOGGED_OUT), 1);
    rig_stop(&r);
}

static void
sign_out_from_table(void)
{
    rig_token token;

    rig_open(&r, 1);
    token = rig_sign_in(&r, 0, "ada");
    REQUIRE_OK(rig_knock(&r, 0, &token));
    REQUIRE_OK(rig_knock(&r, 0, &token));
    REQUIRE_OK(rig_end(&r, 0, &token));
    CHECK_ERR(rig_knock(&r, 0, &token), COAT_NO_SESSION);
    CHECK_ERR(rig_run(&r, 0, (coat_call){.op = COAT_CALL_END, .token = COAT_LIT("nonsense")}),
              COAT_OK);
    rig_stop(&r);
}

static void
by_handle_and_owner(void)
{
    rig_token token;
    coat_call call = {.op = COAT_CALL_END, .has_handle = true};

    rig_open(&r, 1);
    token = rig_sign_in(&r, 0, "ada");
    REQUIRE_OK(rig_knock(&r, 0, &token));
    call.handle = rig_handle(&token);
    call.owner_user = COAT_LIT("bob");
    CHECK_ERR(rig_run(&r, 0, call), COAT_NOT_FOUND);
    CHECK_ERR(rig_knock(&r, 0, &token), COAT_OK);
    call.owner_user = COAT_LIT("ada");
    CHECK_ERR(rig_run(&r, 0, call), COAT_OK);
    CHECK_ERR(rig_run(&r, 0, call), COAT_NOT_FOUND);
    CHECK_ERR(rig_knock(&r, 0, &token), COAT_NO_SESSION);
    CHECK_INT(rig_events(&r, COAT_EVENT_SESSION_REVOKED), 1);
    rig_stop(&r);
}

/* The end is denied success, is in force here, and comes through later. */
static void
outage(void)
{
    static const sched_fate fates[] = {SCHED_REFUSE, SCHED_LOSE, SCHED_LATE};
    rig_token token, other;

    for (size_t i = 0; i < sizeof fates / sizeof fates[0]; i++) {
        rig_open(&r, 1);
        token = rig_sign_in(&r, 0, "ada");
        other = rig_sign_in(&r, 0, "ada");
        REQUIRE_OK(rig_knock(&r, 0, &token));
        REQUIRE_OK(rig_knock(&r, 0, &token));
        sched_fail(r.store, COAT_OP_REMOVE, fates[i], 1);
        CHECK_ERR(rig_end(&r, 0, &token), COAT_STORE_DOWN);
        CHECK_ERR(rig_knock(&r, 0, &token), COAT_NO_SESSION);
        CHECK_ERR(rig_knock(&r, 0, &other), COAT_OK);
        sched_fail(r.store, COAT_OP_REMOVE, SCHED_REFUSE, 1);
        rig_pass(&r, SECOND);
        coat_desk_tick(r.desk[0]); /* still down */
        CHECK_ERR(rig_knock(&r, 0, &token), COAT_NO_SESSION);
        rig_pass(&r, SECOND);
        coat_desk_tick(r.desk[0]);
        CHECK_INT(rig_listed(&r, 0, "ada"), 1);
        CHECK_INT(rig_events(&r, COAT_EVENT_SESSION_REVOKED), 1);
        sched_catch_up(r.store);
        rig_pass(&r, SECOND);
        coat_desk_tick(r.desk[0]);
        /* the gate is down again: the other session is served from the table */
        CHECK_ERR(rig_knock(&r, 0, &other), COAT_OK);
        {
            uint64_t before = sched_seen(r.store, COAT_OP_LOAD);

            CHECK_ERR(rig_knock(&r, 0, &other), COAT_OK);
            CHECK_INT(sched_seen(r.store, COAT_OP_LOAD), before);
        }
        CHECK_ERR(rig_knock(&r, 0, &token), COAT_NO_SESSION);
        rig_stop(&r);
    }
}

/* The caller is told whether that is so; a store without room is as good as one that is away.
 */
static void
pending(void)
{
    static const sched_fate fates[] = {SCHED_RUN, SCHED_REFUSE, SCHED_LOSE, SCHED_FULL};
    rig_token token;

    for (size_t i = 0; i < sizeof fates / sizeof fates[0]; i++) {
        coat_err want = fates[i] == SCHED_RUN    ? COAT_OK
                        : fates[i] == SCHED_FULL ? COAT_STORE_FULL
                                                 : COAT_STORE_DOWN;

        rig_open(&r, 1);
        token = rig_sign_in(&r, 0, "ada");
        /* Whose it is cannot be read, either, as in every outage. */
        if (fates[i] != SCHED_RUN)
            sched_fail(r.store, COAT_OP_LOAD, SCHED_REFUSE, 1);
        sched_fail(r.store, COAT_OP_REMOVE, fates[i], 1);
        CHECK_ERR(rig_end(&r, 0, &token), want);
        CHECK(r.call.pending == (fates[i] != SCHED_RUN));
        CHECK_ERR(rig_knock(&r, 0, &token), COAT_NO_SESSION);
        coat_desk_tick(r.desk[0]);
        CHECK_INT(rig_listed(&r, 0, "ada"), 0);
        CHECK_ERR(rig_end(&r, 0, &token), COAT_OK);
        CHECK(!r.call.pending);
        rig_stop(&r);
    }
    rig_open(&r, 1); /* nothing of the kind for what is not kept */
    token = rig_sign_in(&r, 0, "ada");
    sched_fail(r.store, COAT_OP_REPLACE, SCHED_REFUSE, 1);
    CHECK_ERR(rig_patch(&r, 0, &token, "{\"a\":1}"), COAT_STORE_DOWN);
    CHECK(!r.call.pending);
    CHECK_ERR(rig_knock(&r, 0, &token), COAT_OK);
    rig_stop(&r);
}

/** However many there are, one page of them is looked at, and one write ends all. */
enum { COUNTED = 100 };

static void
end_user(unsigned engines, int n)
{
    static rig_token tokens[1000];
    uint64_t before;
    rig_token bob;

    rig_prepare(&r, NULL, engines);
    r.conf.sessions_per_user = 0;
    r.conf.table_slots = engines > 1 ? 0 : 4096;
    rig_start(&r);
    for (int i = 0; i < n; i++) {
        tokens[i] = rig_sign_in(&r, (unsigned)i % engines, "ada");
        REQUIRE_OK(rig_knock(&r, 0, &tokens[i]));
    }
    bob = rig_sign_in(&r, 0, "bob");
    REQUIRE_OK(rig_knock(&r, 0, &bob));
    before = sched_seen(r.store, 0);
    REQUIRE_OK(rig_end_user(&r, 0, "ada"));
    CHECK_INT(sched_seen(r.store, 0), before + 2);
    CHECK_INT(r.call.count, n < COUNTED ? n : COUNTED);
    CHECK_INT(r.call.more, n > COUNTED);
    CHECK_INT(sched_seen(r.store, COAT_OP_REMOVE_OWNER), 1);
    CHECK_INT(sched_seen(r.store, COAT_OP_REMOVE), 0);
    for (int i = 0; i < n; i++)
        CHECK_ERR(rig_knock(&r, (unsigned)i % engines, &tokens[i]), COAT_NO_SESSION);
    CHECK_ERR(rig_knock(&r, 0, &bob), COAT_OK);
    CHECK_INT(rig_listed(&r, 0, "ada"), 0);
    tokens[0] = rig_sign_in(&r, 0, "ada");
    CHECK_ERR(rig_knock(&r, 0, &tokens[0]), COAT_OK);
    rig_stop(&r);
}

static void
end_user_instances(void)
{
    end_user(3, 1000);
}

static void
end_user_table(void)
{
    static const int counts[] = {1, COUNTED - 1, COUNTED, COUNTED + 1, 1000};

    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        end_user(1, counts[i]);
}

/** The session that is spared stays, and what the table knew of its activity with it. */
static void
spared_of_many(void)
{
    static const int counts[] = {2, COUNTED + 1, 3 * COUNTED};

    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        static rig_token tokens[3 * COUNTED];
        int spared = counts[i] / 2;

        rig_prepare(&r, NULL, 1);
        r.conf.sessions_per_user = 0;
        rig_start(&r);
        for (int k = 0; k < counts[i]; k++) {
            tokens[k] = rig_sign_in(&r, 0, "ada");
            REQUIRE_OK(rig_knock(&r, 0, &tokens[k]));
        }
        rig_pass(&r, 5 * MINUTE);
        REQUIRE_OK(rig_knock(&r, 0, &tokens[spared]));
        REQUIRE_OK(rig_run(&r, 0,
                           (coat_call){.op = COAT_CALL_END_USER,
                                       .user = COAT_LIT("ada"),
                                       .token = rig_span(&tokens[spared])}));
        CHECK_INT(r.call.more, counts[i] > COUNTED);
        for (int k = 0; k < counts[i]; k++)
            if (k != spared)
                CHECK_ERR(rig_knock(&r, 0, &tokens[k]), COAT_NO_SESSION);
        rig_pass(&r, 27 * MINUTE); /* idle since it was made, but not since it was used */
        CHECK_ERR(rig_knock(&r, 0, &tokens[spared]), COAT_OK);
        CHECK_INT(rig_listed(&r, 0, "ada"), 1);
        rig_stop(&r);
    }
}

/** Its write fails: all have ended here at once, and in the store a tick later. */
static void
many_and_refused(void)
{
    static const sched_fate fates[] = {SCHED_REFUSE, SCHED_LOSE, SCHED_LATE};

    for (size_t i = 0; i < sizeof fates / sizeof fates[0]; i++) {
        static rig_token tokens[COUNTED + 50];

        rig_prepare(&r, NULL, 1);
        r.conf.sessions_per_user = 0;
        rig_start(&r);
        for (size_t k = 0; k < COUNTED + 50; k++) {
            tokens[k] = rig_sign_in(&r, 0, "ada");
            REQUIRE_OK(rig_knock(&r, 0, &tokens[k]));
        }
        sched_fail(r.store, COAT_OP_REMOVE_OWNER, fates[i], 1);
        CHECK_ERR(rig_end_user(&r, 0, "ada"), COAT_STORE_DOWN);
        for (size_t k = 0; k < COUNTED + 50; k++)
            CHECK_ERR(rig_knock(&r, 0, &tokens[k]), COAT_NO_SESSION);
        sched_catch_up(r.store);
        rig_pass(&r, SECOND);
        coat_desk_tick(r.desk[0]);
        for (size_t k = 0; k < COUNTED + 50; k++)
            CHECK_ERR(rig_knock(&r, 0, &tokens[k]), COAT_NO_SESSION);
        CHECK_INT(rig_listed(&r, 0, "ada"), 0);
        tokens[0] = rig_sign_in(&r, 0, "ada");
        CHECK_ERR(rig_knock(&r, 0, &tokens[0]), COAT_OK);
        REQUIRE_OK(rig_end_user(&r, 0, "ada"));
        CHECK_ERR(rig_knock(&r, 0, &tokens[0]), COAT_NO_SESSION);
        rig_stop(&r);
    }
}

static void
end_everybody(void)
{
    static rig_token tokens[100];
    char user[32];
    uint64_t before;

    for (unsigned engines = 1; engines <= 3; engines += 2) {
        rig_open(&r, engines);
        for (int i = 0; i < 100; i++) {
            snprintf(user, sizeof user, "user%d", i);
            tokens[i] = rig_sign_in(&r, 0, user);
            REQUIRE_OK(rig_knock(&r, 0, &tokens[i]));
            REQUIRE_OK(rig_knock(&r, 0, &tokens[i]));
        }
        before = sched_seen(r.store, 0);
        REQUIRE_OK(rig_run(&r, 0, (coat_call){.op = COAT_CALL_END_ALL}));
        CHECK_INT(sched_seen(r.store, 0), before + 1);
        for (int i = 0; i < 100; i++)
            CHECK_ERR(rig_knock(&r, (unsigned)i % engines, &tokens[i]), COAT_NO_SESSION);
        /* clocks do not matter: an hour back, and a new sign-in holds */
        r.wall -= HOUR;
        tokens[0] = rig_sign_in(&r, 0, "user0");
        for (unsigned e = 0; e < engines; e++)
            CHECK_ERR(rig_knock(&r, e, &tokens[0]), COAT_OK);
        rig_stop(&r);
    }
}

static void
lost_answers_of_revocations(void)
{
    static const coat_call_op ops[] = {COAT_CALL_END_USER, COAT_CALL_END_ALL};
    static const coat_op store_ops[] = {COAT_OP_REMOVE_OWNER, COAT_OP_END_ALL};
    static const sched_fate fates[] = {SCHED_LOSE, SCHED_LATE, SCHED_REFUSE};
    rig_token token;

    for (int k = 0; k < 6; k++) {
        rig_open(&r, 1);
        token = rig_sign_in(&r, 0, "ada");
        REQUIRE_OK(rig_knock(&r, 0, &token));
        sched_fail(r.store, store_ops[k % 2], fates[k / 2], 1);
        CHECK_ERR(rig_run(&r, 0, (coat_call){.op = ops[k % 2], .user = COAT_LIT("ada")}),
                  COAT_STORE_DOWN);
        (void)rig_knock(&r, 0, &token); /* might fill the table again */
        sched_catch_up(r.store);
        CHECK_ERR(rig_knock(&r, 0, &token), COAT_NO_SESSION);
        rig_pass(&r, SECOND);
        coat_desk_tick(r.desk[0]);
        CHECK_ERR(rig_knock(&r, 0, &token), COAT_NO_SESSION);
        token = rig_sign_in(&r, 0, "ada");
        REQUIRE_OK(rig_knock(&r, 0, &token));
        {
            uint64_t before = sched_seen(r.store, COAT_OP_LOAD);

            CHECK_ERR(rig_knock(&r, 0, &token), COAT_OK);
            CHECK_INT(sched_seen(r.store, COAT_OP_LOAD), before); /* all gates are down */
        }
        rig_stop(&r);
    }
}

static coat_call calls[2];

static void
ignore_done(coat_call *call)
{
    (void)call;
}

/* A sign-in that races a revocation loses, or began after it. */
static void
sign_in_races_revocation(void)
{
    long rounds = test_scaled(10000, 400);
    unsigned revoked = 0, made = 0;

    for (long round = 0; round < rounds; round++) {
        test_rng order = {(uint64_t)round};
        rig_token token;

        rig_open(&r, 2);
        REQUIRE_OK(
            rig_run(&r, 0, (coat_call){.op = COAT_CALL_EPOCHS, .user = COAT_LIT("ada")}));
        sched_immediate(r.store, false);
        calls[0] = (coat_call){.op = COAT_CALL_CREATE,
                               .user = COAT_LIT("ada"),
                               .epochs = round % 3 == 0 ? r.call.epochs : (coat_epochs){0},
                               .done = ignore_done};
        calls[1] = (coat_call){
            .op = round % 2 == 0 ? COAT_CALL_END_USER : COAT_CALL_END_ALL,
            .user = COAT_LIT("ada"),
            .done = ignore_done,
        };
        coat_call_start(r.desk[0], &calls[0]);
        coat_call_start(r.desk[1], &calls[1]);
        if (round % 5 == 0)
            r.wall -= HOUR;
        while (sched_waiting(r.store) > 0) {
            bool acknowledged = calls[1].result == COAT_OK;

            sched_finish(r.store, test_rng_below(&order, sched_waiting(r.store)), SCHED_RUN);
            if (!acknowledged && calls[1].result == COAT_OK && calls[0].result == COAT_OK) {
                sched_immediate(r.store, true); /* created before: must be dead now */
                memcpy(token.text, calls[0].token_text, sizeof token.text);
                CHECK_ERR(rig_check(&r, 0, &token), COAT_NO_SESSION);
                sched_immediate(r.store, false);
            }
        }
        sched_immediate(r.store, true);
        CHECK_ERR(calls[1].result, COAT_OK);
        CHECK(calls[0].result == COAT_OK || calls[0].result == COAT_REVOKED);
        if (round % 3 == 0 && calls[0].result == COAT_OK) {
            /* the epochs of before the revocation: it cannot have outlived it */
            memcpy(token.text, calls[0].token_text, sizeof token.text);
            CHECK_ERR(rig_check(&r, 0, &token), COAT_NO_SESSION);
        }
        revoked += calls[0].result == COAT_REVOKED;
        made += calls[0].result == COAT_OK;
        CHECK((calls[0].session != NULL) == (calls[0].result == COAT_OK));
        coat_session_free(calls[0].session);
        rig_stop(&r);
    }
    CHECK(revoked > 0 && made > 0);
}

/** Until a later write has come through, what was answered with nothing may yet take place: the
 * gates stay up. */
static void
undecided_until_swept(void)
{
    atomic_uint *count;

    rig_open(&r, 1);
    count = &r.engine[0]->unsettled.count;
    (void)rig_sign_in(&r, 0, "ada");
    sched_fail(r.store, COAT_OP_REMOVE_OWNER, SCHED_LATE, 1);
    CHECK_ERR(rig_end_user(&r, 0, "ada"), COAT_STORE_DOWN);
    CHECK_INT(atomic_load(count), 1);
    sched_fail(r.store, COAT_OP_SWEEP, SCHED_REFUSE, 1);
    coat_desk_tick(r.desk[0]);
    CHECK_INT(atomic_load(count), 2); /* and the session that was found, ended since */
    coat_desk_tick(r.desk[0]);
    CHECK_INT(atomic_load(count), 0);
    rig_stop(&r);
}

static const coat_test tests[] = {
    {"LC-8: a sign-out holds everywhere at once and is idempotent", sign_out},
    {"LC-8: a sign-out holds in the table at once", sign_out_from_table},
    {"LC-12: ending by handle needs the owner, if one is named", by_handle_and_owner},
    {"SF-4: a sign-out during an outage is denied success, in force here, replayed", outage},
    {"SF-4: a sign-out that is denied success says that it is kept", pending},
    {"LC-11 RV-4: 1,000 sessions of a user end in one operation, on three instances",
     end_user_instances},
    {"LC-11 RV-4: 1,000 sessions of a user leave the table", end_user_table},
    {"LC-11 RV-4: of however many, the spared session stays", spared_of_many},
    {"RV-4: ending very many that fails ends nothing, or all", many_and_refused},
    {"RV-4: everybody's sessions end in one write, whatever the clock", end_everybody},
    {"RV-4: revocations with lost answers leave nothing stale and no gate up",
     lost_answers_of_revocations},
    {"RV-3 SF-4: what is undecided is so until a later write has come through",
     undecided_until_swept},
    {"RV-4: a sign-in that races a revocation loses", sign_in_races_revocation},
};
COAT_TEST_MAIN(tests)
