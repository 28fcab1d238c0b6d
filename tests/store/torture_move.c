/* SPDX-License-Identifier: Apache-2.0 */
/**
 * HD-4 for moving to another store, from memory to LMDB. Whatever fails: at most one of both
 * may be used, a session that was ended is in neither, and what is begun again comes to its end
 * with all that there was.
 */

#include "lmdb_fixture.h"
#include "requests.h"
#include "store/move.h"
#include "torture.h"

enum { SESSIONS = 300, OTHERS = 40, ENDED_BEFORE = 50, LEN = 60 };

static lmdb_fixture f = {.map_bytes = 64 << 20, .reserve_bytes = 1 << 20};
static bool to_disk;
static coat_store *from, *to;
static coat_lane *user;
static coat_err answer; /* of finishing */
static char message[400];

static int64_t
moment(void *ctx)
{
    (void)ctx;
    return NOW_MS;
}

static void
do_not_sleep(void *ctx, int64_t ms)
{
    (void)ctx;
    (void)ms;
}

static coat_move_conf
conf_of(void)
{
    return (coat_move_conf){.from = from,
                            .to = to,
                            .from_url = "memory:",
                            .to_url = to_disk ? f.url : "memory: another",
                            .clock = moment,
                            .rng = coat_rng_system,
                            .sleep_ms = do_not_sleep};
}

static void
put_other(coat_space space, uint64_t number)
{
    static const uint8_t bytes[LEN];
    coat_store_req req = session_req(COAT_OP_INSERT, 9, number);

    req.space = space;
    req.value = (coat_span){bytes, sizeof bytes};
    REQUIRE_OK(coat_store_run(user, &req));
}

static void
open_target(void)
{
    if (to_disk)
        REQUIRE_OK(fixture_open(&f, &to));
    else
        REQUIRE_OK(coat_store_open(&(coat_store_conf){.url = "memory:"}, &to));
}

static void
begin(void)
{
    coat_err err;

    fixture_fresh(&f);
    REQUIRE_OK(coat_store_open(&(coat_store_conf){.url = "memory:"}, &from));
    open_target();
    REQUIRE_OK(coat_lane_open(from, NULL, &user));
    for (uint64_t owner = 0; owner < 3; owner++)
        (void)sign_in_many(user, owner, 0, SESSIONS / 3, LEN, &err);
    for (uint64_t i = 0; i < OTHERS; i++) {
        put_other(COAT_SPACE_ACCOUNT, i);
        put_other(COAT_SPACE_META, i);
    }
    sign_out_many(user, 0, 0, ENDED_BEFORE);
}

/** As the command does it: what passes is tried again, here but a few times. */
static coat_err
move_once(void)
{
    coat_move_conf conf = conf_of();
    coat_move *move;
    bool complete = false;
    coat_err err = coat_move_begin(&conf, &move, message, sizeof message);

    if (err != COAT_OK)
        return err;
    for (int i = 0; i < 20 && err == COAT_OK && !complete; i++)
        err = coat_move_step(move, &complete);
    if (err == COAT_OK)
        err = run_op(user, COAT_OP_REMOVE_OWNER, 1, 0); /* meanwhile */
    if (err == COAT_OK)
        err = coat_move_finish(move, message, sizeof message);
    coat_move_free(move);
    return err;
}

static void
run(void)
{
    answer = move_once();
}

static coat_mark_state
state_of(coat_store *store)
{
    coat_lane *lane;
    coat_mark mark;

    REQUIRE_OK(coat_lane_open(store, NULL, &lane));
    REQUIRE_OK(coat_mark_read(lane, COAT_MARK_OF_STORE, &mark));
    coat_lane_close(lane);
    return mark.state;
}

/** Sessions of the three that a store has, all others being ended. */
static unsigned
count_live(coat_store *store)
{
    unsigned count = 0;
    coat_lane *lane;

    REQUIRE_OK(coat_lane_open(store, NULL, &lane));
    for (uint64_t owner = 0; owner < 3; owner++)
        for (uint64_t serial = 0; serial < SESSIONS / 3; serial++) {
            coat_err err = run_op(lane, COAT_OP_LOAD, owner, serial);

            CHECK(err == COAT_OK || err == COAT_NO_SESSION);
            if (err == COAT_OK && (owner == 1 || (owner == 0 && serial < ENDED_BEFORE)))
                test_fail(__FILE__, __LINE__, "it was ended: %d/%d", (int)owner, (int)serial);
            count += err == COAT_OK;
        }
    coat_lane_close(lane);
    return count;
}

static unsigned
count_others(coat_store *store)
{
    unsigned count = 0;
    coat_lane *lane;

    REQUIRE_OK(coat_lane_open(store, NULL, &lane));
    for (uint64_t i = 0; i < OTHERS; i++)
        for (int space = COAT_SPACE_ACCOUNT; space <= COAT_SPACE_META; space++) {
            coat_store_req req = session_req(COAT_OP_LOAD, 9, i);

            req.space = (coat_space)space;
            count += coat_store_run(lane, &req) == COAT_OK;
        }
    coat_lane_close(lane);
    return count;
}

/** LMDB gives up when it cannot write a meta page; opened anew, all is well. */
static void
revive(void)
{
    coat_lane *lane;

    if (!to_disk)
        return;
    if (coat_lane_open(to, NULL, &lane) == COAT_OK) {
        coat_err err = run_op(lane, COAT_OP_EPOCHS, 1, 0);

        coat_lane_close(lane);
        if (err == COAT_OK)
            return;
    }
    coat_store_close(to);
    open_target();
}

static void
end(bool harmed)
{
    bool source = coat_mark_usable(state_of(from)), target;

    revive();
    if (answer != COAT_OK && state_of(to) == COAT_MARK_NONE && source) {
        CHECK_INT(count_live(to), 0); /* not begun: whoever used it would find nothing */
    } else {
        target = coat_mark_usable(state_of(to));
        CHECK(!(source && target));
        CHECK((answer == COAT_OK) == target);
    }
    if (!harmed)
        CHECK_ERR(answer, COAT_OK);
    CHECK_ERR(run_op(user, COAT_OP_REMOVE_OWNER, 1, 0), COAT_OK);
    if (answer != COAT_OK)
        CHECK_ERR(move_once(), COAT_OK);
    CHECK_STR(message, "");
    CHECK_INT(count_live(to), SESSIONS / 3 * 2 - ENDED_BEFORE);
    CHECK_INT(count_others(to), 2 * OTHERS);
    CHECK(!coat_mark_usable(state_of(from)));
    coat_lane_close(user);
    coat_store_close(from);
    coat_store_close(to);
    if (to_disk)
        fixture_remove(&f);
}

static void
without_memory(void)
{
    static const torture t = {TORTURE_MEMORY, begin, run, end, 20, 0};

    to_disk = false;
    torture_all(&t);
}

static void
without_disk(void)
{
    static const torture t = {TORTURE_CALLS | TORTURE_PATIENT, begin, run, end, 4, 0};

    to_disk = true;
    torture_all(&t);
}

static const coat_test tests[] = {
    {"HD-4: moving without memory: one store at most is to be used and nothing ended lives",
     without_memory},
    {"HD-4: moving to a disk with faults: one store at most is to be used and nothing ended "
     "lives",
     without_disk},
};
COAT_TEST_MAIN(tests)
