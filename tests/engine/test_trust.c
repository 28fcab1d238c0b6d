/* SPDX-License-Identifier: Apache-2.0 */
/** A shared store that is moved away: from then on nothing is sent to it, and nobody signed
 * out. */
#include "engine/trust.h"
#include "rig.h"
#include "store/move.h"

static rig r;

static void
mark(coat_mark_state state)
{
    coat_lane *lane;
    coat_mark m;

    REQUIRE_OK(coat_lane_open(r.inner, NULL, &lane));
    REQUIRE_OK(coat_mark_read(lane, COAT_MARK_OF_STORE, &m));
    m.state = state;
    REQUIRE_OK(coat_mark_write(lane, &m));
    coat_lane_close(lane);
}

static void
held(void)
{
    rig_token token, other;

    rig_open(&r, 2); /* no table: every check asks the store */
    token = rig_sign_in(&r, 0, "ada");
    other = rig_sign_in(&r, 1, "ada");
    coat_engine_trust(r.engine[0], coat_engine_mono_ms(r.engine[0]), COAT_MOVE_TRUST_MS);
    mark(COAT_MARK_HOLDING);
    /* Seen a moment ago: the mover waits for longer than this. */
    CHECK_ERR(rig_check(&r, 0, &token), COAT_OK);
    rig_pass(&r, COAT_MOVE_TRUST_MS);
    CHECK_ERR(rig_check(&r, 0, &token), COAT_STORE_DOWN);
    CHECK_ERR(rig_end(&r, 0, &token), COAT_STORE_DOWN);
    CHECK_ERR(rig_end_user(&r, 0, "ada"), COAT_STORE_DOWN);
    CHECK_ERR(rig_run(&r, 0, (coat_call){.op = COAT_CALL_CREATE, .user = COAT_LIT("bob")}),
              COAT_STORE_DOWN);
    /* Nothing has reached it, as the one that never was told shows. */
    CHECK_ERR(rig_check(&r, 1, &token), COAT_OK);
    CHECK_ERR(rig_check(&r, 1, &other), COAT_OK);
    rig_stop(&r);
}

static void
looked_at_again(void)
{
    rig_token token;

    rig_open(&r, 1);
    token = rig_sign_in(&r, 0, "ada");
    coat_engine_trust(r.engine[0], 0, 0);
    CHECK_ERR(rig_check(&r, 0, &token), COAT_OK); /* looks, and may */
    rig_pass(&r, HOUR / 10);                      /* the machine has slept */
    CHECK_ERR(rig_check(&r, 0, &token), COAT_OK);
    mark(COAT_MARK_SOURCE);
    rig_pass(&r, COAT_MOVE_TRUST_MS);
    CHECK_ERR(rig_check(&r, 0, &token), COAT_OK);
    /* It does not say whether it may be used: then it may not. */
    rig_pass(&r, COAT_MOVE_TRUST_MS);
    sched_fail(r.store, COAT_OP_LOAD, SCHED_REFUSE, 2); /* END looks once more */
    CHECK_ERR(rig_end(&r, 0, &token), COAT_STORE_DOWN);
    rig_stop(&r);
}

static void
slow_answer(void)
{
    rig_pass(&r, 2 * SECOND);
}

/** The answer was true when it was asked for, and that long ago it is. */
static void
asked_long_ago(void)
{
    rig_token token;

    rig_open(&r, 1);
    token = rig_sign_in(&r, 0, "ada");
    coat_engine_trust(r.engine[0], 0, 0);
    sched_before(r.store, COAT_OP_LOAD, slow_answer);
    CHECK_ERR(rig_check(&r, 0, &token), COAT_OK);
    sched_before(r.store, COAT_OP_LOAD, NULL);
    mark(COAT_MARK_HOLDING);
    rig_pass(&r, COAT_MOVE_TRUST_MS - 2 * SECOND);
    CHECK_ERR(rig_check(&r, 0, &token), COAT_STORE_DOWN);
    rig_stop(&r);
}

int
main(int argc, char **argv)
{
    static const coat_test tests[] = {
        {"UP-4: a store that is being moved is asked nothing, and nobody is signed out", held},
        {"UP-4: how long ago it was seen counts from the question", asked_long_ago},
        {"after a long pause the store is looked at before it is used", looked_at_again},
    };

    return coat_test_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
