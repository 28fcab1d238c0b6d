/* SPDX-License-Identifier: Apache-2.0 */

/** SF-4: all of a user's sessions, all but one, everybody's: what was to be ended during an
 * outage is denied at once, ended afterwards, and outlives the process. */

#include "outbox_kit.h"

/* ---- all of a user's ---- */

enum { SESSIONS = 230 }; /* three pages */

static coat_err
end_user(const char *user, const rig_token *token)
{
    coat_call call = {.op = COAT_CALL_END_USER, .user = coat_span_of(user)};

    if (token != NULL)
        call.token = (coat_span){(const uint8_t *)token->text, sizeof token->text};
    return rig_run(&r, 0, call);
}

static int
denied(const rig_token *tokens, int count)
{
    int n = 0;

    for (int i = 0; i < count; i++)
        n += rig_knock(&r, 0, &tokens[i]) == COAT_NO_SESSION &&
             rig_check(&r, 0, &tokens[i]) == COAT_NO_SESSION;
    return n;
}

static void
ticks(int count)
{
    for (int i = 0; i < count; i++)
        coat_desk_tick(r.desk[0]);
}

/** Those that were there are denied at once and ended later; what begins afterwards is not
 * theirs, however late the others are ended. */
static void
all_of_them(void)
{
    static const coat_op ops[] = {COAT_OP_LIST_OWNER, COAT_OP_REMOVE_OWNER};
    static rig_token old[SESSIONS];
    rig_token other, young;

    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++) {
        test_case(i == 0 ? "LIST_OWNER" : "REMOVE_OWNER");
        prepare();
        r.conf.sessions_per_user = 0;
        rig_start(&r);
        for (int k = 0; k < SESSIONS; k++)
            old[k] = rig_sign_in(&r, 0, "ada");
        other = rig_sign_in(&r, 0, "bob");
        CHECK_INT(denied(old, SESSIONS), 0); /* they are in the table now */
        sched_fail(r.store, ops[i], SCHED_REFUSE, 1);
        CHECK_ERR(end_user("ada", NULL), COAT_STORE_DOWN);
        CHECK(r.call.pending);
        CHECK_INT(size_of(path), RECORD);
        CHECK_INT(denied(old, SESSIONS), SESSIONS);
        CHECK_ERR(rig_check(&r, 0, &other), COAT_OK);
        CHECK_INT(rig_listed(&r, 0, "ada"), SESSIONS); /* the store has them all */
        rig_pass(&r, 2 * r.conf.clock_off_ms + 1);
        young = rig_sign_in(&r, 0, "ada");
        CHECK_ERR(rig_check(&r, 0, &young), COAT_OK);
        sched_fail(r.store, COAT_OP_LIST_OWNER, SCHED_REFUSE, 1);
        ticks(1); /* nothing comes through */
        CHECK_INT(denied(old, SESSIONS), SESSIONS);
        ticks(3);
        CHECK_INT(rig_listed(&r, 0, "ada"), 1);
        CHECK_INT(denied(old, SESSIONS), SESSIONS);
        CHECK_ERR(rig_check(&r, 0, &young), COAT_OK);
        CHECK_ERR(rig_check(&r, 0, &other), COAT_OK);
        CHECK_INT(size_of(path), 0);
        CHECK_INT(atomic_load(&r.engine[0]->unsettled.count), 0);
        CHECK_INT(rig_events(&r, COAT_EVENT_SESSION_REVOKED), SESSIONS);
        rig_stop(&r);
    }
    test_case(NULL);
}

/** And after a restart; what cannot be ended yet is tried again. */
static void
all_restarted(void)
{
    rig_token old[3], young;

    prepare();
    rig_start(&r);
    for (int i = 0; i < 3; i++)
        old[i] = rig_sign_in(&r, 0, "ada");
    sched_fail(r.store, COAT_OP_REMOVE_OWNER, SCHED_REFUSE, 1);
    CHECK_ERR(end_user("ada", NULL), COAT_STORE_DOWN);
    rig_pass(&r, 2 * r.conf.clock_off_ms + 1);
    young = rig_sign_in(&r, 0, "ada");
    stop_engine();
    rig_start(&r);
    CHECK_INT(size_of(path), RECORD);
    CHECK_INT(denied(old, 3), 3);
    CHECK_ERR(rig_check(&r, 0, &young), COAT_OK);
    sched_fail(r.store, COAT_OP_REMOVE, SCHED_REFUSE, 1);
    ticks(1); /* they are known by name now, and one of them is left */
    CHECK_INT(denied(old, 3), 3);
    CHECK(size_of(path) > 0);
    stop_engine();
    rig_start(&r);
    CHECK_INT(denied(old, 3), 3);
    ticks(3);
    CHECK_INT(rig_listed(&r, 0, "ada"), 1);
    CHECK_INT(denied(old, 3), 3);
    CHECK_ERR(rig_check(&r, 0, &young), COAT_OK);
    CHECK_INT(size_of(path), 0);
    rig_stop(&r);
}

/** Where others share the store, one of them may mint by a clock that is ahead: twice the
 * limit. */
static void
all_of_a_clock_ahead(void)
{
    static const struct {
        const char *name;
        int64_t ahead_ms; /* over twice the limit */
        bool shared, ends;
    } cases[] = {
        {"within the limits of both", 0, true, true},
        {"beyond them", 2, true, false},
        {"nobody else's clock", 0, false, false},
    };
    struct coat_store_ops ops;
    rig_token ahead;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t by_ms;

        test_case(cases[i].name);
        prepare();
        by_ms = 2 * r.conf.clock_off_ms + cases[i].ahead_ms;
        ops = *r.store->ops;
        ops.caps |= cases[i].shared ? COAT_CAP_SHARED : 0;
        r.store->ops = &ops;
        r.wall += by_ms;
        rig_start(&r);
        ahead = rig_sign_in(&r, 0, "ada");
        stop_engine();
        r.wall -= by_ms;
        rig_start(&r);
        sched_fail(r.store, COAT_OP_REMOVE_OWNER, SCHED_REFUSE, 1);
        CHECK_ERR(end_user("ada", NULL), COAT_STORE_DOWN);
        CHECK_INT(denied(&ahead, 1), cases[i].ends);
        ticks(3);
        CHECK_INT(rig_listed(&r, 0, "ada"), !cases[i].ends);
        CHECK_INT(denied(&ahead, 1), cases[i].ends);
        rig_stop(&r);
    }
    test_case(NULL);
}

/** Asked for again, and done: who signs in right afterwards is let in, and stays. */
static void
all_asked_again(void)
{
    rig_token old, young, mine;

    prepare();
    rig_start(&r);
    old = rig_sign_in(&r, 0, "ada");
    sched_fail(r.store, COAT_OP_REMOVE_OWNER, SCHED_REFUSE, 1);
    CHECK_ERR(end_user("ada", NULL), COAT_STORE_DOWN);
    rig_pass(&r, 1);
    mine = rig_sign_in(&r, 0, "ada");
    REQUIRE_OK(end_user("ada", &mine)); /* all but one: the others are still to be ended */
    CHECK_INT(size_of(path), RECORD);
    CHECK_INT(atomic_load(&r.engine[0]->unsettled.count), 1);
    REQUIRE_OK(end_user("ada", NULL));
    young = rig_sign_in(&r, 0, "ada"); /* in the same millisecond */
    CHECK_INT(denied(&old, 1) + denied(&mine, 1), 2);
    CHECK_INT(denied(&young, 1), 0);
    ticks(3);
    CHECK_INT(denied(&young, 1), 0);
    CHECK_INT(rig_listed(&r, 0, "ada"), 1);
    CHECK_INT(size_of(path), 0);
    CHECK_INT(atomic_load(&r.engine[0]->unsettled.count), 0);
    rig_stop(&r);
}

static rig_token late;
static int64_t passed_ms;

/** Somebody has signed in, and all are to be ended once more; that is not done. */
static void
asked_meanwhile(void)
{
    coat_call call = {.op = COAT_CALL_END_USER, .user = COAT_LIT("ada")};
    coat_call in = {.op = COAT_CALL_CREATE, .user = COAT_LIT("ada")};

    rig_pass(&r, passed_ms);
    REQUIRE_OK(coat_call_run(r.desk[0], &in));
    memcpy(late.text, in.token_text, sizeof late.text);
    coat_session_free(in.session);
    sched_fail(r.store, COAT_OP_REMOVE_OWNER, SCHED_REFUSE, 1);
    CHECK_ERR(coat_call_run(r.desk[0], &call), COAT_STORE_DOWN);
    CHECK(call.pending);
}

/** What is done says nothing of what was asked for after it had begun. */
static void
all_asked_meanwhile(void)
{
    rig_token old;

    for (passed_ms = 0; passed_ms < 2; passed_ms++) {
        prepare();
        rig_start(&r);
        old = rig_sign_in(&r, 0, "ada");
        sched_after(r.store, COAT_OP_REMOVE_OWNER, asked_meanwhile);
        REQUIRE_OK(end_user("ada", NULL));
        CHECK_INT(denied(&old, 1) + denied(&late, 1), 2);
        CHECK_INT(size_of(path), RECORD);
        CHECK_INT(rig_listed(&r, 0, "ada"), 1);
        ticks(3);
        CHECK_INT(rig_listed(&r, 0, "ada"), 0);
        CHECK_INT(denied(&late, 1), 1);
        CHECK_INT(size_of(path), 0);
        rig_stop(&r);
    }
}

/** The others are denied and ended, the spared one lives on, over restarts. */
static void
all_but_one(void)
{
    rig_token mine, also[SESSIONS], young;

    prepare();
    r.conf.sessions_per_user = 0;
    rig_start(&r);
    for (int i = 0; i < SESSIONS; i++) {
        also[i] = rig_sign_in(&r, 0, "ada");
        if (i == SESSIONS / 2)
            mine = also[i] = rig_sign_in(&r, 0, "ada");
    }
    sched_fail(r.store, COAT_OP_REMOVE_OWNER, SCHED_REFUSE, 1);
    CHECK_ERR(end_user("ada", &mine), COAT_STORE_DOWN);
    CHECK(r.call.pending);
    CHECK_INT(size_of(path), 2 * RECORD);
    sched_fail(r.store, COAT_OP_REMOVE_OWNER, SCHED_REFUSE, 1);
    CHECK_ERR(end_user("ada", &mine), COAT_STORE_DOWN); /* asked again takes no room */
    CHECK(r.call.pending);
    CHECK_INT(size_of(path), 2 * RECORD);
    CHECK_ERR(rig_check(&r, 0, &mine), COAT_OK);
    CHECK_INT(denied(also, SESSIONS), SESSIONS - 1);
    stop_engine();
    rig_start(&r);
    CHECK_ERR(rig_check(&r, 0, &mine), COAT_OK);
    CHECK_INT(denied(also, SESSIONS), SESSIONS - 1);
    CHECK_INT(rig_listed(&r, 0, "ada"), SESSIONS + 1);
    rig_pass(&r, 1);
    young = rig_sign_in(&r, 0, "ada");
    ticks(3);
    CHECK_INT(rig_listed(&r, 0, "ada"), 2);
    CHECK(rig_check(&r, 0, &mine) == COAT_OK && rig_check(&r, 0, &young) == COAT_OK);
    CHECK_INT(denied(also, SESSIONS), SESSIONS - 1);
    CHECK_INT(size_of(path), 0);
    rig_stop(&r);
}

/** The spared one is ended by another device, which spares itself: none of both is left. */
static void
all_but_each_other(void)
{
    rig_token mine, theirs;

    prepare();
    rig_start(&r);
    mine = rig_sign_in(&r, 0, "ada");
    theirs = rig_sign_in(&r, 0, "ada");
    sched_fail(r.store, COAT_OP_REMOVE_OWNER, SCHED_REFUSE, 2);
    CHECK_ERR(end_user("ada", &mine), COAT_STORE_DOWN);
    CHECK_ERR(end_user("ada", &theirs), COAT_STORE_DOWN);
    CHECK_INT(denied(&mine, 1) + denied(&theirs, 1), 2);
    ticks(3);
    CHECK_INT(rig_listed(&r, 0, "ada"), 0);
    CHECK_INT(size_of(path), 0);
    rig_stop(&r);
}

/* ---- everybody's ---- */

enum { USERS = 7, EACH = 33, LATER = 300 }; /* together three pages */

static rig_token everybody[USERS * EACH];

static void
sign_all_in(void)
{
    char user[8];

    for (int i = 0; i < USERS * EACH; i++) {
        snprintf(user, sizeof user, "u%d", i % USERS);
        everybody[i] = rig_sign_in(&r, 0, user);
    }
}

static int
listed_of_all(void)
{
    char user[8];
    int n = 0;

    for (int i = 0; i < USERS; i++) {
        snprintf(user, sizeof user, "u%d", i);
        n += (int)rig_listed(&r, 0, user);
    }
    return n;
}

static coat_err
end_all(void)
{
    return rig_run(&r, 0, (coat_call){.op = COAT_CALL_END_ALL});
}

/** Denied at once, ended page by page, also when a page is cut off, and over a restart; who
 * signs in afterwards stays. */
static void
of_everybody(void)
{
    static const struct {
        const char *name;
        coat_op fails;
        int restart;
    } cases[] = {
        {"at once", 0, 0},
        {"a page does not come through", COAT_OP_SCAN, 0},
        {"a removal does not come through", COAT_OP_REMOVE, 0},
        {"restarted before", 0, 1},
        {"restarted in the middle", COAT_OP_REMOVE, 2},
    };
    rig_token young;
    uint64_t before;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        test_case(cases[i].name);
        prepare();
        r.conf.sessions_per_user = 0;
        rig_start(&r);
        sign_all_in();
        CHECK_INT(denied(everybody, USERS * EACH), 0);
        sched_fail(r.store, COAT_OP_END_ALL, SCHED_REFUSE, 1);
        CHECK_ERR(end_all(), COAT_STORE_DOWN);
        CHECK(r.call.pending);
        CHECK_INT(size_of(path), RECORD);
        CHECK_INT(denied(everybody, USERS * EACH), USERS * EACH);
        rig_pass(&r, 1);
        for (int k = 0; k < LATER; k++)
            young = rig_sign_in(&r, 0, "later");
        CHECK_ERR(rig_knock(&r, 0, &young), COAT_OK);
        CHECK_INT(listed_of_all(), USERS * EACH); /* the store has them all */
        if (cases[i].restart == 1) {
            stop_engine();
            rig_start(&r);
        }
        if (cases[i].fails != 0) {
            sched_fail(r.store, cases[i].fails, SCHED_REFUSE, 1);
            ticks(1);
            CHECK(listed_of_all() > 0);
            CHECK_INT(size_of(path), cases[i].fails == COAT_OP_REMOVE ? 2 * RECORD : RECORD);
        }
        if (cases[i].restart == 2) {
            stop_engine();
            rig_start(&r);
        }
        CHECK_INT(denied(everybody, USERS * EACH), USERS * EACH);
        before = sched_seen(r.store, COAT_OP_SCAN);
        ticks(3);
        CHECK_INT(listed_of_all(), 0);
        CHECK_INT(rig_listed(&r, 0, "later"), LATER);
        CHECK(sched_seen(r.store, COAT_OP_SCAN) <=
              before + 3); /* later ones are not gone through */
        CHECK_INT(denied(everybody, USERS * EACH), USERS * EACH);
        CHECK_ERR(rig_knock(&r, 0, &young), COAT_OK);
        CHECK_INT(size_of(path), 0);
        CHECK_INT(atomic_load(&r.engine[0]->unsettled.count), 0);
        rig_stop(&r);
    }
    test_case(NULL);
}

/** One event, however many there are; and none says whose. */
static void
of_everybody_reported(void)
{
    prepare();
    r.conf.sessions_per_user = 0;
    rig_start(&r);
    sign_all_in();
    sched_fail(r.store, COAT_OP_END_ALL, SCHED_REFUSE, 1);
    CHECK_ERR(end_all(), COAT_STORE_DOWN);
    CHECK_INT(rig_events(&r, COAT_EVENT_SESSION_REVOKED), 0); /* it is not done */
    ticks(3);
    CHECK_INT(rig_events(&r, COAT_EVENT_SESSION_REVOKED), 1);
    rig_stop(&r);
}

/** Asked for again, and done: it settles all that was pending, and harms nobody. */
static void
of_everybody_again(void)
{
    rig_token one, young;

    prepare();
    rig_start(&r);
    one = rig_sign_in(&r, 0, "ada");
    sched_fail(r.store, COAT_OP_REMOVE, SCHED_REFUSE, 1);
    sched_fail(r.store, COAT_OP_END_ALL, SCHED_REFUSE, 1);
    CHECK_ERR(end_all(), COAT_STORE_DOWN);
    sched_fail(r.store, COAT_OP_REMOVE_OWNER, SCHED_REFUSE, 1);
    CHECK_ERR(end_user("bob", NULL), COAT_STORE_DOWN);
    CHECK_INT(size_of(path), 2 * RECORD);
    rig_pass(&r, 1);
    REQUIRE_OK(end_all());
    young = rig_sign_in(&r, 0, "bob");
    CHECK_INT(denied(&one, 1), 1);
    CHECK_ERR(rig_check(&r, 0, &young), COAT_OK);
    ticks(3);
    CHECK_ERR(rig_check(&r, 0, &young), COAT_OK);
    CHECK_INT(size_of(path), 0);
    CHECK_INT(atomic_load(&r.engine[0]->unsettled.count), 0);
    rig_stop(&r);
}

static rig_token in_between;

/** Asked for again, and done; and somebody signs in. */
static void
done_meanwhile(coat_call_op op)
{
    coat_call call = {.op = op, .user = COAT_LIT("ada")};
    coat_call in = {.op = COAT_CALL_CREATE, .user = COAT_LIT("ada")};

    REQUIRE_OK(coat_call_run(r.desk[0], &call));
    REQUIRE_OK(coat_call_run(r.desk[0], &in));
    memcpy(in_between.text, in.token_text, sizeof in_between.text);
    coat_session_free(in.session);
}

static void
user_done_meanwhile(void)
{
    done_meanwhile(COAT_CALL_END_USER);
}

static void
all_done_meanwhile(void)
{
    done_meanwhile(COAT_CALL_END_ALL);
}

/** The pages that are still to come name a session that is not meant: within what another
 * instance's clock may be ahead. */
static void
settled_while_listed(void)
{
    struct coat_store_ops ops;
    rig_token old;

    for (int all = 0; all < 2; all++) {
        test_case(all ? "everybody's" : "a user's");
        prepare();
        ops = *r.store->ops;
        ops.caps |= COAT_CAP_SHARED;
        r.store->ops = &ops;
        rig_start(&r);
        old = rig_sign_in(&r, 0, "ada");
        sched_fail(r.store, all ? COAT_OP_END_ALL : COAT_OP_REMOVE_OWNER, SCHED_REFUSE, 1);
        CHECK_ERR(all ? end_all() : end_user("ada", NULL), COAT_STORE_DOWN);
        rig_pass(&r, 1);
        sched_before(r.store, all ? COAT_OP_SCAN : COAT_OP_LIST_OWNER,
                     all ? all_done_meanwhile : user_done_meanwhile);
        ticks(3);
        CHECK_ERR(rig_check(&r, 0, &old), COAT_NO_SESSION);
        CHECK_ERR(rig_check(&r, 0, &in_between), COAT_OK);
        CHECK_INT(size_of(path), 0);
        rig_stop(&r);
    }
    test_case(NULL);
}

/** What cannot be listed is ended by one write, and all there are with it. */
static void
of_a_cache(void)
{
    static const struct {
        const char *name;
        coat_op fails, replays;
        unsigned left;
    } cases[] = {
        {"a user's", COAT_OP_REMOVE_OWNER, COAT_OP_REMOVE_OWNER, 0},
        {"all but one of a user's", COAT_OP_REMOVE_OWNER, COAT_OP_REMOVE_OWNER, 1},
        {"everybody's", COAT_OP_END_ALL, COAT_OP_END_ALL, 0},
    };
    struct coat_store_ops ops;
    rig_token mine, other;
    uint64_t before;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        test_case(cases[i].name);
        prepare();
        ops = *r.store->ops;
        ops.caps |= COAT_CAP_CACHE;
        r.store->ops = &ops;
        rig_start(&r);
        mine = rig_sign_in(&r, 0, "ada");
        other = rig_sign_in(&r, 0, "ada");
        sched_fail(r.store, cases[i].fails, SCHED_REFUSE, 1);
        CHECK_ERR(i == 2 ? end_all() : end_user("ada", i == 1 ? &mine : NULL), COAT_STORE_DOWN);
        CHECK(r.call.pending);
        before = sched_seen(r.store, cases[i].replays);
        ticks(3);
        CHECK_INT(sched_seen(r.store, cases[i].replays), before + 1);
        CHECK_INT(sched_seen(r.store, COAT_OP_SCAN), 0);
        CHECK_INT(rig_listed(&r, 0, "ada"), cases[i].left);
        CHECK((atomic_load(&r.engine[0]->epoch_global) > 0) == (i == 2));
        CHECK_INT(denied(&mine, 1), cases[i].left == 0);
        CHECK_INT(denied(&other, 1), 1);
        CHECK_INT(size_of(path), 0);
        rig_stop(&r);
    }
    test_case(NULL);
}

static const coat_test tests[] = {
    {"SF-4: all of a user's: denied at once, ended later, and none that began afterwards",
     all_of_them},
    {"SF-4: so it is over restarts", all_restarted},
    {"SF-4: a user's sessions of a clock that is ahead end, too", all_of_a_clock_ahead},
    {"SF-4: all of a user's, asked for again", all_asked_again},
    {"SF-4: all of a user's, asked for while they are being ended", all_asked_meanwhile},
    {"SF-4: all but one: the others denied at once and ended later, over a restart",
     all_but_one},
    {"SF-4: all but one, asked for by two", all_but_each_other},
    {"SF-4 RV-4: everybody's: denied at once, ended later, and none that began afterwards",
     of_everybody},
    {"SF-4: everybody's: one event when it is done", of_everybody_reported},
    {"SF-4: everybody's, asked for again", of_everybody_again},
    {"SF-4 RV-4: asked for again, and done, while they are being listed: later ones stay",
     settled_while_listed},
    {"SF-4: of a store that cannot list them they are ended by one write", of_a_cache},
};
COAT_TEST_MAIN(tests)
