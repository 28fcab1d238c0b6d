/* SPDX-License-Identifier: Apache-2.0 */
/** Moving to another store: never are both to be used, wherever it is cut off. */

#include "move_world.h"

static void
from_end_to_end(void)
{
    world w;
    bool complete = false;

    setup(&w, PLAIN, PLAIN);
    for (uint8_t n = 1; n < 20; n++)
        add(w.user, COAT_SPACE_SESSION, n);
    add(w.user, COAT_SPACE_ACCOUNT, 1);
    REQUIRE_OK(begin(&w));
    CHECK_INT(state_of(w.user), COAT_MARK_SOURCE);
    CHECK_INT(state_of(w.reader), COAT_MARK_FILLING);
    while (!complete)
        REQUIRE_OK(coat_move_step(w.move, &complete));
    CHECK_INT(coat_copy_count(coat_move_copy(w.move))->sessions, 19);
    end(w.user, 7);
    add(w.user, COAT_SPACE_SESSION, 30);
    REQUIRE_OK(finish(&w));
    CHECK(!has(w.reader, COAT_SPACE_SESSION, 7));
    CHECK(has(w.reader, COAT_SPACE_SESSION, 8) && has(w.reader, COAT_SPACE_SESSION, 30));
    CHECK(has(w.reader, COAT_SPACE_ACCOUNT, 1));
    CHECK_INT(state_of(w.user), COAT_MARK_MOVED);
    CHECK_INT(state_of(w.reader), COAT_MARK_NONE);
    CHECK_INT(w.slept_ms, 0);
    /* What is ended there afterwards stays ended, whatever the operator tries. */
    end(w.reader, 8);
    CHECK_ERR(begin(&w), COAT_INVALID);
    CHECK(strstr(w.message, "finished already") != NULL);
    CHECK(!has(w.reader, COAT_SPACE_SESSION, 8));
    /* Nor to a third one, nor back. */
    w.conf.to_url = "hook:third";
    CHECK_ERR(begin(&w), COAT_INVALID);
    CHECK(strstr(w.message, "moved") != NULL && strstr(w.message, "hook:to") != NULL);
    w.conf = (coat_move_conf){.from = w.to,
                              .to = w.from,
                              .from_url = "hook:to",
                              .to_url = "hook:from",
                              .clock = coat_clock_system,
                              .rng = test_rng_fill,
                              .rng_ctx = &w.rng};
    CHECK_ERR(begin(&w), COAT_EXISTS);
    CHECK_INT(state_of(w.reader), COAT_MARK_NONE);
    teardown(&w);
}

static void
refusals(void)
{
    static const struct {
        const char *name;
        uint32_t from, to;
        const char *to_url;
        bool account, used;
        coat_err want;
        const char *said;
    } cases[] = {
        {"one URL", PLAIN, PLAIN, "hook:from", false, false, COAT_INVALID, "same store"},
        {"out of a cache", COAT_CAP_CACHE, PLAIN, "hook:to", false, false, COAT_OK, ""},
        {"accounts into a cache", PLAIN, COAT_CAP_CACHE, "hook:to", true, false,
         COAT_UNSUPPORTED, "accounts.url"},
        {"sessions into a cache", PLAIN, COAT_CAP_CACHE, "hook:to", false, false, COAT_OK, ""},
        {"into what is used", PLAIN, PLAIN, "hook:to", false, true, COAT_EXISTS, "not empty"},
        {"into a cache that is used", PLAIN, COAT_CAP_CACHE, "hook:to", false, true,
         COAT_EXISTS, "not empty"},
        {"fine", PLAIN, PLAIN, "hook:to", true, false, COAT_OK, ""},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        world w;

        test_case(cases[i].name);
        setup(&w, cases[i].from, cases[i].to);
        w.conf.to_url = cases[i].to_url;
        if (cases[i].account)
            add(w.user, COAT_SPACE_ACCOUNT, 1);
        if (cases[i].used)
            add(w.reader, COAT_SPACE_META, 1);
        CHECK_ERR(begin(&w), cases[i].want);
        CHECK(strstr(w.message, cases[i].said) != NULL);
        if (cases[i].want != COAT_OK) {
            CHECK_INT(state_of(w.user), COAT_MARK_NONE);
            CHECK_INT(state_of(w.reader), COAT_MARK_NONE);
        }
        teardown(&w);
    }
    test_case(NULL);
}

static void
accounts_stay(void)
{
    world w;

    setup(&w, PLAIN, COAT_CAP_CACHE);
    w.conf.what = COAT_COPY_SESSIONS;
    add(w.user, COAT_SPACE_SESSION, 1);
    add(w.user, COAT_SPACE_ACCOUNT, 2);
    add(w.user, COAT_SPACE_META, 3);
    REQUIRE_OK(begin(&w));
    REQUIRE_OK(finish(&w));
    CHECK(has(w.reader, COAT_SPACE_SESSION, 1));
    CHECK(!has(w.reader, COAT_SPACE_ACCOUNT, 2) && !has(w.reader, COAT_SPACE_META, 3));
    CHECK(has(w.user, COAT_SPACE_ACCOUNT, 2));
    teardown(&w);
}

static void
one_store_under_two_names(void)
{
    world w;

    setup(&w, PLAIN, PLAIN);
    coat_store_close(w.to);
    w.to = hook_store_new(w.from_inner, PLAIN, NULL, NULL);
    w.conf.to = w.to;
    CHECK_ERR(begin(&w), COAT_INVALID);
    CHECK(strstr(w.message, "same store") != NULL);
    CHECK_INT(state_of(w.user), COAT_MARK_NONE);
    teardown(&w);
}

static void
another_ones_copy(void)
{
    world w;
    coat_mark mark = {.state = COAT_MARK_FILLING, .id = {9}, .other = "hook:elsewhere"};

    setup(&w, PLAIN, PLAIN);
    REQUIRE_OK(coat_mark_write(w.reader, &mark));
    CHECK_ERR(begin(&w), COAT_EXISTS);
    CHECK(strstr(w.message, "another store") != NULL);
    mark.state = COAT_MARK_MOVED;
    REQUIRE_OK(coat_mark_write(w.reader, &mark));
    CHECK_ERR(begin(&w), COAT_EXISTS);
    /* And what is being filled is not copied on. */
    mark.state = COAT_MARK_FILLING;
    mark.version = 0;
    REQUIRE_OK(coat_mark_write(w.user, &mark));
    CHECK_ERR(begin(&w), COAT_INVALID);
    CHECK(strstr(w.message, "not complete") != NULL);
    teardown(&w);
}

static void
taken_up_again(void)
{
    world w;
    bool complete;

    setup(&w, PLAIN, PLAIN);
    add(w.user, COAT_SPACE_SESSION, 1);
    add(w.user, COAT_SPACE_SESSION, 2);
    REQUIRE_OK(begin(&w));
    REQUIRE_OK(coat_move_step(w.move, &complete));
    end(w.user, 1);
    REQUIRE_OK(begin(&w)); /* a process that knows nothing */
    REQUIRE_OK(finish(&w));
    CHECK(!has(w.reader, COAT_SPACE_SESSION, 1));
    CHECK(has(w.reader, COAT_SPACE_SESSION, 2));
    CHECK(!w.away_source && w.slept_ms == 0);
    teardown(&w);
}

static void
a_shared_source_is_held(void)
{
    world w;

    setup(&w, PLAIN | COAT_CAP_SHARED, PLAIN);
    add(w.user, COAT_SPACE_SESSION, 1);
    REQUIRE_OK(begin(&w));
    REQUIRE_OK(finish(&w));
    CHECK_INT(w.slept_ms, COAT_MOVE_HOLD_MS);
    CHECK_INT(w.slept_in, COAT_MARK_HOLDING);
    /* What daemons had under way then has taken place before the pass, or never will. */
    CHECK_INT(w.swept_ms, COAT_MOVE_HOLD_MS);
    CHECK_INT(state_of(w.user), COAT_MARK_MOVED);
    CHECK(COAT_MOVE_HOLD_MS > COAT_MOVE_TRUST_MS);
    teardown(&w);
}

/** Whichever request is the last that a store answers. */
static void
cut_off_anywhere(void)
{
    enum { REQUESTS = 60, SHARED = PLAIN | COAT_CAP_SHARED };
    unsigned taken_back = 0, half = 0;

    for (unsigned n = 1; n < 2 * REQUESTS; n++)
        for (int target = 0; target < 2; target++) {
            world w;
            coat_err err;
            coat_mark_state here, there;

            setup(&w, n < REQUESTS ? SHARED : SHARED | COAT_CAP_CACHE, PLAIN);
            add(w.user, COAT_SPACE_SESSION, 1);
            add(w.user, COAT_SPACE_SESSION, 2);
            *(target ? &w.to_target : &w.to_source) = n % REQUESTS;
            err = begin(&w);
            if (err == COAT_OK)
                err = finish(&w);
            here = state_of(w.user);
            there = state_of(w.reader);
            CHECK(err == COAT_OK ||
                  !(coat_mark_usable(there) && has(w.reader, COAT_SPACE_SESSION, 1)));
            CHECK(!(here == COAT_MARK_MOVED && coat_mark_usable(there)) || err == COAT_OK);
            taken_back += err != COAT_OK && w.slept_ms > 0 && here == COAT_MARK_SOURCE;
            half += err != COAT_OK && here == COAT_MARK_MOVED;
            /* Once it answers again, the same command ends it well. */
            w.away_source = w.away_target = false;
            w.to_source = w.to_target = 0;
            if (err != COAT_OK) {
                CHECK(w.message[0] != '\0');
                if (coat_mark_usable(here))
                    end(w.user, 2);
                REQUIRE_OK(begin(&w));
                REQUIRE_OK(finish(&w));
                CHECK(has(w.reader, COAT_SPACE_SESSION, 2) == !coat_mark_usable(here));
            }
            CHECK(has(w.reader, COAT_SPACE_SESSION, 1));
            CHECK_INT(state_of(w.user), COAT_MARK_MOVED);
            CHECK_INT(state_of(w.reader), COAT_MARK_NONE);
            teardown(&w);
        }
    CHECK(taken_back > 0);
    CHECK(half > 0);
}

static coat_mark_state
accounts_state_of(coat_lane *lane)
{
    coat_mark mark;

    REQUIRE_OK(coat_mark_read(lane, COAT_MARK_OF_ACCOUNTS, &mark));
    return mark.state;
}

/** A store that sessions were moved out of keeps the accounts, until these are moved as well.
 */
static void
accounts_alone(void)
{
    world w;
    coat_mark moved = {.state = COAT_MARK_MOVED, .id = {7}, .other = "hook:cache"};

    setup(&w, PLAIN, PLAIN);
    add(w.user, COAT_SPACE_SESSION, 1);
    add(w.user, COAT_SPACE_ACCOUNT, 2);
    add(w.user, COAT_SPACE_META, 3);
    REQUIRE_OK(coat_mark_write(w.user, &moved));
    add(w.reader, COAT_SPACE_SESSION, 4); /* it is in use for sessions */
    end_everybody(w.reader);
    add(w.reader, COAT_SPACE_SESSION, 5);
    CHECK_ERR(begin(&w), COAT_INVALID); /* all of it: has been moved */
    w.conf.what = COAT_COPY_ACCOUNTS;
    REQUIRE_OK(begin(&w));
    CHECK_INT(accounts_state_of(w.user), COAT_MARK_SOURCE);
    CHECK_INT(accounts_state_of(w.reader), COAT_MARK_FILLING);
    REQUIRE_OK(finish(&w));
    CHECK(has(w.reader, COAT_SPACE_ACCOUNT, 2) && has(w.reader, COAT_SPACE_META, 3));
    CHECK(has(w.reader, COAT_SPACE_SESSION, 5) && !has(w.reader, COAT_SPACE_SESSION, 1));
    CHECK_INT(accounts_state_of(w.user), COAT_MARK_MOVED);
    CHECK_INT(accounts_state_of(w.reader), COAT_MARK_NONE);
    CHECK_INT(state_of(w.user), COAT_MARK_MOVED);
    CHECK_INT(state_of(w.reader), COAT_MARK_NONE);
    CHECK_ERR(begin(&w), COAT_INVALID);
    CHECK(strstr(w.message, "finished already") != NULL);
    w.conf.to_url = "hook:third";
    CHECK_ERR(begin(&w), COAT_INVALID);
    CHECK(strstr(w.message, "set accounts.url to hook:to") != NULL);
    teardown(&w);
}

static void
accounts_not_into_others(void)
{
    world w;

    setup(&w, PLAIN, PLAIN);
    w.conf.what = COAT_COPY_ACCOUNTS;
    add(w.user, COAT_SPACE_ACCOUNT, 2);
    add(w.reader, COAT_SPACE_ACCOUNT, 9);
    CHECK_ERR(begin(&w), COAT_EXISTS);
    CHECK_INT(accounts_state_of(w.user), COAT_MARK_NONE);
    CHECK(has(w.reader, COAT_SPACE_ACCOUNT, 9));
    teardown(&w);
    setup(&w, PLAIN, COAT_CAP_CACHE);
    w.conf.what = COAT_COPY_ACCOUNTS;
    add(w.user, COAT_SPACE_ACCOUNT, 2);
    CHECK_ERR(begin(&w), COAT_UNSUPPORTED);
    CHECK_INT(accounts_state_of(w.user), COAT_MARK_NONE);
    teardown(&w);
}

/* ---- giving it up ---- */

/** As a process that was killed at this stage has left it. */
static void
reach(world *w, int stage)
{
    bool complete = false;

    if (stage == 0) /* marked the source only */
        REQUIRE_OK(coat_mark_write(
            w->user, &(coat_mark){.state = COAT_MARK_SOURCE, .id = {1}, .other = "hook:to"}));
    if (stage == 0)
        return;
    if (stage == 4) /* sessions were made under a later epoch than the first */
        end_everybody(w->user);
    fill_source(w);
    REQUIRE_OK(begin(w));
    if (stage == 2)
        REQUIRE_OK(coat_move_step(w->move, &complete));
    while (stage >= 3 && !complete)
        REQUIRE_OK(coat_move_step(w->move, &complete));
    if (stage == 5) {
        coat_mark mark;

        REQUIRE_OK(coat_mark_read(w->user, COAT_MARK_OF_STORE, &mark));
        mark.state = COAT_MARK_HOLDING;
        REQUIRE_OK(coat_mark_write(w->user, &mark));
    }
}

static void
given_up_at_each_stage(void)
{
    for (int stage = 0; stage <= 5; stage++)
        for (int shared = 0; shared < 2; shared++) {
            world w;

            setup(&w, PLAIN | (shared ? COAT_CAP_SHARED : 0), PLAIN);
            reach(&w, stage);
            CHECK_ERR(cancel(&w), COAT_OK);
            CHECK_INT(w.slept_ms, shared ? COAT_MOVE_HOLD_MS : 0);
            CHECK_INT(state_of(w.user), COAT_MARK_NONE);
            CHECK_INT(state_of(w.reader), COAT_MARK_NONE);
            CHECK(is_empty(w.reader));
            if (stage > 0)
                CHECK(has(w.user, COAT_SPACE_SESSION, 19) &&
                      has(w.user, COAT_SPACE_ACCOUNT, 1) && has(w.user, COAT_SPACE_META, 2));
            CHECK_ERR(cancel(&w), COAT_INVALID);
            CHECK(strstr(w.message, "nothing is being copied") != NULL);

            /* And another time it is done after all, into the same one. */
            end(w.user, 3);
            REQUIRE_OK(begin(&w));
            REQUIRE_OK(finish(&w));
            CHECK(has(w.reader, COAT_SPACE_SESSION, 4) == (stage > 0));
            CHECK(!has(w.reader, COAT_SPACE_SESSION, 3));
            CHECK_ERR(cancel(&w), COAT_INVALID);
            CHECK(strstr(w.message, "was moved") != NULL);
            CHECK_INT(state_of(w.user), COAT_MARK_MOVED);
            teardown(&w);
        }
}

/** Who copies, somewhere else, notices, and can finish nothing. */
static void
given_up_elsewhere(void)
{
    for (int shared = 0; shared < 2; shared++) {
        world w;
        bool complete;

        setup(&w, PLAIN | (shared ? COAT_CAP_SHARED : 0), PLAIN);
        fill_source(&w);
        REQUIRE_OK(begin(&w));
        REQUIRE_OK(coat_move_step(w.move, &complete));
        REQUIRE_OK(cancel(&w));
        if (shared) {
            CHECK_ERR(coat_move_step(w.move, &complete), COAT_CONFLICT);
            CHECK(!coat_move_is_passing(COAT_CONFLICT));
        }
        CHECK(finish(&w) != COAT_OK);
        CHECK_INT(state_of(w.user), COAT_MARK_NONE);
        if (shared) /* else the last pass was made, by the one process that can */
            CHECK(is_empty(w.reader));
        CHECK(has(w.user, COAT_SPACE_SESSION, 1));
        teardown(&w);
    }
}

/** Of accounts only: what else is in the target was there before. */
static void
accounts_given_up(void)
{
    world w;
    bool complete = false;

    setup(&w, PLAIN, PLAIN);
    w.conf.what = COAT_COPY_ACCOUNTS;
    fill_source(&w);
    add(w.reader, COAT_SPACE_SESSION, 30);
    REQUIRE_OK(begin(&w));
    while (!complete)
        REQUIRE_OK(coat_move_step(w.move, &complete));
    CHECK(has(w.reader, COAT_SPACE_ACCOUNT, 1));
    REQUIRE_OK(cancel(&w));
    CHECK(!has(w.reader, COAT_SPACE_ACCOUNT, 1) && !has(w.reader, COAT_SPACE_META, 2));
    CHECK(has(w.reader, COAT_SPACE_SESSION, 30) && has(w.user, COAT_SPACE_ACCOUNT, 1));
    CHECK_INT(accounts_state_of(w.user), COAT_MARK_NONE);
    CHECK_INT(accounts_state_of(w.reader), COAT_MARK_NONE);
    teardown(&w);
}

static void
not_to_be_given_up(void)
{
    static const struct {
        const char *name;
        coat_mark here, there;
        const char *said;
    } cases[] = {
        {"nothing", {0}, {0}, "nothing is being copied"},
        {"to a third one",
         {.state = COAT_MARK_SOURCE, .id = {1}, .other = "hook:third"},
         {0},
         "another store"},
        {"finished", {.state = COAT_MARK_MOVED, .id = {1}, .other = "hook:to"}, {0}, "moved"},
        {"finished but for its last step",
         {.state = COAT_MARK_MOVED, .id = {1}, .other = "hook:to"},
         {.state = COAT_MARK_FILLING, .id = {1}, .other = "hook:from"},
         "cut off in its last step"},
        {"a target itself",
         {.state = COAT_MARK_FILLING, .id = {1}, .other = "hook:x"},
         {0},
         "not complete"},
        {"the target is another one's",
         {.state = COAT_MARK_SOURCE, .id = {1}, .other = "hook:to"},
         {.state = COAT_MARK_FILLING, .id = {2}, .other = "hook:x"},
         "another copy"},
        {"the target is in use, and being copied",
         {.state = COAT_MARK_SOURCE, .id = {1}, .other = "hook:to"},
         {.state = COAT_MARK_SOURCE, .id = {1}, .other = "hook:x"},
         "another copy"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        coat_mark here = cases[i].here, there = cases[i].there;
        world w;

        test_case(cases[i].name);
        setup(&w, PLAIN, PLAIN);
        fill_source(&w);
        add(w.reader, COAT_SPACE_SESSION, 33);
        if (here.state != COAT_MARK_NONE)
            REQUIRE_OK(coat_mark_write(w.user, &here));
        if (there.state != COAT_MARK_NONE)
            REQUIRE_OK(coat_mark_write(w.reader, &there));
        CHECK_ERR(cancel(&w), COAT_INVALID);
        CHECK(strstr(w.message, cases[i].said) != NULL);
        CHECK_INT(state_of(w.user), here.state);
        CHECK_INT(state_of(w.reader), there.state);
        CHECK(has(w.user, COAT_SPACE_SESSION, 1) && has(w.reader, COAT_SPACE_SESSION, 33));
        teardown(&w);
    }
    test_case(NULL);
}

/** The source was put back from a copy of before; the target still names it. */
static void
source_has_forgotten(void)
{
    world w;

    setup(&w, PLAIN, PLAIN);
    fill_source(&w);
    REQUIRE_OK(begin(&w));
    REQUIRE_OK(coat_mark_remove(w.user, COAT_MARK_OF_STORE));
    REQUIRE_OK(cancel(&w));
    CHECK_INT(state_of(w.reader), COAT_MARK_NONE);
    CHECK(is_empty(w.reader));
    teardown(&w);
}

/** Whichever request is the last that a store answers. */
static void
giving_up_cut_off_anywhere(void)
{
    unsigned failed = 0;

    for (unsigned n = 1; n < 60; n++)
        for (int target = 0; target < 2; target++) {
            world w;
            coat_err err;

            setup(&w, PLAIN | COAT_CAP_SHARED, PLAIN);
            reach(&w, n % 2 == 0 ? 3 : 5);
            *(target ? &w.to_target : &w.to_source) = n;
            err = cancel(&w);
            CHECK(err == COAT_OK || w.message[0] != '\0');
            failed += err != COAT_OK;
            CHECK(!coat_mark_usable(state_of(w.reader)) || is_empty(w.reader));
            CHECK(err != COAT_OK || coat_mark_usable(state_of(w.user)));
            w.away_source = w.away_target = false;
            w.to_source = w.to_target = 0;
            if (err != COAT_OK && n % 3 == 0) { /* or it is gone on with */
                REQUIRE_OK(begin(&w));
                REQUIRE_OK(finish(&w));
                CHECK(has(w.reader, COAT_SPACE_SESSION, 1));
            } else {
                if (err != COAT_OK)
                    REQUIRE_OK(cancel(&w));
                CHECK_INT(state_of(w.user), COAT_MARK_NONE);
                CHECK_INT(state_of(w.reader), COAT_MARK_NONE);
                CHECK(is_empty(w.reader) && has(w.user, COAT_SPACE_SESSION, 1));
            }
            teardown(&w);
        }
    CHECK(failed > 4);
}

static void
marks(void)
{
    static const struct {
        const char *bytes;
        coat_mark_state want;
    } cases[] = {
        {"c1s0123456789abcdefredis:x", COAT_MARK_SOURCE},
        {"c1f0123456789abcdef", COAT_MARK_FILLING},
        {"c1m0123456789abcdefx", COAT_MARK_MOVED},
        {"c1h0123456789abcdefx", COAT_MARK_HOLDING},
        {"c2s0123456789abcdefx", COAT_MARK_UNREADABLE},
        {"d1s0123456789abcdefx", COAT_MARK_UNREADABLE},
        {"c1x0123456789abcdefx", COAT_MARK_UNREADABLE},
        {"c1s0123456789abcde", COAT_MARK_UNREADABLE},
        {"c1s0123456789abcdef\x1b[2J", COAT_MARK_UNREADABLE},
        {"", COAT_MARK_UNREADABLE},
    };
    char message[300];

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        coat_store_req req = {.result = COAT_OK, .found = coat_span_of(cases[i].bytes)};
        coat_mark mark;

        test_case(cases[i].bytes);
        coat_mark_take(&req, &mark);
        CHECK_INT(mark.state, cases[i].want);
        CHECK(coat_mark_usable(mark.state) == (mark.state == COAT_MARK_SOURCE));
        coat_mark_explain(&mark, message, sizeof message);
        CHECK((message[0] == '\0') == coat_mark_usable(mark.state));
    }
    test_case(NULL);
}

int
main(int argc, char **argv)
{
    static const coat_test tests[] = {
        {"UP-4: moved: only the target is to be used, and it stays so", from_end_to_end},
        {"what cannot be moved is refused, and nothing is marked", refusals},
        {"accounts and counters stay if they are to", accounts_stay},
        {"one store under two names is noticed", one_store_under_two_names},
        {"a target of another copy is left alone", another_ones_copy},
        {"UP-4: a copy that was killed is taken up again", taken_up_again},
        {"a shared source is held before the last pass", a_shared_source_is_held},
        {"UP-4: cut off anywhere: at most one store is to be used, and the next try ends well",
         cut_off_anywhere},
        {"UP-4: accounts alone, out of a store that sessions were moved from", accounts_alone},
        {"accounts are not mixed with others, nor put where they may be lost",
         accounts_not_into_others},
        {"accounts that are given up leave sessions alone", accounts_given_up},
        {"UP-4: given up at each stage: the source is in use, the target empty",
         given_up_at_each_stage},
        {"UP-4: who copies elsewhere stops, and can finish nothing", given_up_elsewhere},
        {"what is no copy between these two is left alone", not_to_be_given_up},
        {"a copy that the source knows nothing of is given up, too", source_has_forgotten},
        {"UP-4: giving up cut off anywhere: the target is empty before it can be used",
         giving_up_cut_off_anywhere},
        {"marks that cannot be read mean no", marks},
    };

    return coat_test_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
