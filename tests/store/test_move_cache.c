/* SPDX-License-Identifier: Apache-2.0 */
/** Moving out of a cache and into one: it may forget anything, the marks too, and may be unable
 * to say what it holds. */

#include "move_world.h"

enum { CACHE = COAT_CAP_CACHE | COAT_CAP_SHARED };

static uint64_t
global_of(coat_lane *lane)
{
    coat_store_req req = {.op = COAT_OP_EPOCHS, .now_ms = 5};

    REQUIRE_OK(coat_store_run(lane, &req));
    return req.epoch_global;
}

static void
copy_once(world *w)
{
    bool complete = false;

    while (!complete)
        REQUIRE_OK(coat_move_step(w->move, &complete));
}

/** It may forget the mark: what it still has of sessions must be nobody's then. */
static void
out_of_a_cache(void)
{
    world w;
    uint64_t before;

    setup(&w, CACHE | PLAIN, PLAIN);
    end_everybody(w.user);
    before = global_of(w.user);
    fill_source(&w);
    REQUIRE_OK(begin(&w));
    copy_once(&w);
    end(w.user, 7);
    add(w.user, COAT_SPACE_SESSION, 30);
    REQUIRE_OK(finish(&w));
    CHECK(!has(w.reader, COAT_SPACE_SESSION, 7));
    CHECK(has(w.reader, COAT_SPACE_SESSION, 8) && has(w.reader, COAT_SPACE_SESSION, 30));
    CHECK(has(w.reader, COAT_SPACE_META, 2));
    CHECK_INT(global_of(w.reader), before);
    CHECK_INT(state_of(w.user), COAT_MARK_MOVED);
    CHECK_INT(state_of(w.reader), COAT_MARK_NONE);
    CHECK_INT(w.slept_in, COAT_MARK_HOLDING);
    /* The target goes on as ever; the source has nothing any more. */
    end(w.reader, 8);
    REQUIRE_OK(coat_mark_remove(w.user, COAT_MARK_OF_STORE));
    CHECK(!has(w.user, COAT_SPACE_SESSION, 8) && !has(w.user, COAT_SPACE_SESSION, 9));
    CHECK(global_of(w.user) > before);
    /* Nor is it copied once more, over what is in use. */
    CHECK_ERR(begin(&w), COAT_EXISTS);
    CHECK(has(w.reader, COAT_SPACE_SESSION, 9));
    teardown(&w);
}

static void
accounts_of_a_cache(void)
{
    world w;

    setup(&w, CACHE | PLAIN, PLAIN);
    w.conf.what = COAT_COPY_ACCOUNTS;
    fill_source(&w);
    REQUIRE_OK(begin(&w));
    REQUIRE_OK(finish(&w));
    CHECK(has(w.reader, COAT_SPACE_ACCOUNT, 1) && !has(w.reader, COAT_SPACE_SESSION, 1));
    CHECK(has(w.user, COAT_SPACE_SESSION, 1)); /* they stay in use there */
    teardown(&w);
}

static void
that_says_nothing(void)
{
    world w;

    setup(&w, CACHE, PLAIN);
    fill_source(&w);
    w.silent_source = true;
    CHECK_ERR(begin(&w), COAT_UNSUPPORTED);
    CHECK(strstr(w.message, "does not say what it holds") != NULL);
    CHECK_INT(state_of(w.user), COAT_MARK_NONE);
    CHECK_INT(state_of(w.reader), COAT_MARK_NONE);
    /* The same while it goes on: an LRU crawler was switched off. */
    w.silent_source = false;
    REQUIRE_OK(begin(&w));
    w.silent_source = true;
    CHECK_ERR(finish(&w), COAT_UNSUPPORTED);
    CHECK(w.message[0] != '\0');
    CHECK_INT(state_of(w.user), COAT_MARK_SOURCE);
    CHECK_INT(state_of(w.reader), COAT_MARK_FILLING);
    teardown(&w);
}

/** Whoever copies stops, and who begins anew goes on with what is there. */
static void
mark_forgotten(void)
{
    static const struct {
        const char *name;
        coat_mark_state lost;
    } cases[] = {{"while it is copied", COAT_MARK_SOURCE},
                 {"while the last pass is made", COAT_MARK_HOLDING},
                 {"when it was moved, but the target was not free yet", COAT_MARK_MOVED}};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        world w;

        test_case(cases[i].name);
        setup(&w, CACHE, PLAIN);
        fill_source(&w);
        w.conf.what = COAT_COPY_SESSIONS;
        REQUIRE_OK(begin(&w));
        copy_once(&w);
        w.forgets = cases[i].lost;
        CHECK(finish(&w) != COAT_OK || cases[i].lost == COAT_MARK_MOVED);
        w.forgets = COAT_MARK_NONE;
        if (cases[i].lost != COAT_MARK_MOVED) {
            CHECK(w.message[0] != '\0');
            CHECK_INT(state_of(w.reader), COAT_MARK_FILLING); /* not to be used */
            end(w.user, 3);
            REQUIRE_OK(begin(&w));
            REQUIRE_OK(begin(&w)); /* cut off once more: both know each other again */
            REQUIRE_OK(finish(&w));
            CHECK(!has(w.reader, COAT_SPACE_SESSION, 3));
        }
        CHECK(has(w.reader, COAT_SPACE_SESSION, 4));
        CHECK_INT(state_of(w.reader), COAT_MARK_NONE);
        teardown(&w);
    }
    test_case(NULL);
}

/** The mark in the target must be of the same place, whatever the source has forgotten. */
static void
another_ones_target(void)
{
    world w;
    coat_mark mark = {.state = COAT_MARK_FILLING, .id = {9}, .other = "hook:elsewhere"};

    setup(&w, CACHE, PLAIN);
    REQUIRE_OK(coat_mark_write(w.reader, &mark));
    CHECK_ERR(begin(&w), COAT_EXISTS);
    CHECK(strstr(w.message, "another store") != NULL);
    teardown(&w);
}

static void
into_a_cache_again(void)
{
    world w;

    setup(&w, PLAIN, CACHE);
    w.conf.what = COAT_COPY_SESSIONS;
    fill_source(&w);
    REQUIRE_OK(begin(&w));
    copy_once(&w);
    end(w.user, 1);
    REQUIRE_OK(begin(&w)); /* a process that knows nothing */
    REQUIRE_OK(finish(&w));
    CHECK(!has(w.reader, COAT_SPACE_SESSION, 1) && has(w.reader, COAT_SPACE_SESSION, 2));
    teardown(&w);
    /* Where it does not say, what was ended meanwhile might be left in it. */
    setup(&w, PLAIN, CACHE);
    w.conf.what = COAT_COPY_SESSIONS;
    w.silent_target = true;
    REQUIRE_OK(begin(&w));
    CHECK_ERR(begin(&w), COAT_EXISTS);
    CHECK(strstr(w.message, "empty it") != NULL);
    teardown(&w);
}

static void
given_up(void)
{
    world w;

    setup(&w, CACHE, CACHE);
    fill_source(&w);
    w.conf.what = COAT_COPY_SESSIONS;
    REQUIRE_OK(begin(&w));
    copy_once(&w);
    REQUIRE_OK(cancel(&w));
    CHECK_STR(w.message, "");
    CHECK_INT(state_of(w.user), COAT_MARK_NONE);
    CHECK_INT(state_of(w.reader), COAT_MARK_NONE);
    CHECK(is_empty(w.reader) && has(w.user, COAT_SPACE_SESSION, 1));
    teardown(&w);
    /* Where it does not say what it holds it keeps its mark until it is flushed. */
    setup(&w, PLAIN, CACHE);
    w.conf.what = COAT_COPY_SESSIONS;
    w.silent_target = true;
    fill_source(&w);
    REQUIRE_OK(begin(&w));
    CHECK_ERR(cancel(&w), COAT_OK);
    CHECK(strstr(w.message, "flush") != NULL);
    CHECK_INT(state_of(w.user), COAT_MARK_NONE);
    CHECK_INT(state_of(w.reader), COAT_MARK_FILLING); /* nobody uses it as it is */
    teardown(&w);
}

static const coat_test tests[] = {
    {"UP-4: out of a cache: nobody is signed out, and the cache lets in nobody any more",
     out_of_a_cache},
    {"accounts that are moved out of a cache leave its sessions alone", accounts_of_a_cache},
    {"a cache that does not say what it holds is refused, and stays in use", that_says_nothing},
    {"UP-4: a cache that forgets its mark: nothing is used half, and the next try ends well",
     mark_forgotten},
    {"a target of another copy is left alone", another_ones_target},
    {"UP-4: a copy into a cache is gone on with, if that says what it has", into_a_cache_again},
    {"UP-4: a copy between caches is given up, and the target is empty", given_up},
};
COAT_TEST_MAIN(tests)
