/* SPDX-License-Identifier: Apache-2.0 */
/**
 * A store that other machines may change. Until an instance hears of their changes, every check
 * must ask the store: what the node table holds may be out of date at any moment.
 */

#include "engine/internal.h"
#include "rig.h"

#include <string.h>

static rig r;
static struct coat_store_ops ops;

/** The rig's store, with or without the mark that others share it. */
static void
start(bool shared)
{
    rig_prepare(&r, NULL, 1);
    ops = *r.store->ops;
    if (shared)
        ops.caps |= COAT_CAP_SHARED;
    r.store->ops = &ops;
    rig_start(&r);
}

/** What another machine does to a session behind this engine's back. */
static void
end_elsewhere(const rig_token *token)
{
    coat_store_req req = {
        .op = COAT_OP_REMOVE, .space = COAT_SPACE_SESSION, .address = rig_handle(token)};
    coat_lane *lane;

    REQUIRE_OK(coat_lane_open(r.inner, NULL, &lane));
    REQUIRE_OK(coat_store_run(lane, &req));
    coat_lane_close(lane);
}

static coat_table_verdict
peek(const rig_token *token)
{
    coat_table_query query = {.token = rig_span(token),
                              .now_ms = coat_engine_now_ms(r.engine[0])};
    coat_table_answer answer;

    coat_engine_peek(r.engine[0], &query, &answer);
    return answer.verdict;
}

static void
asks_the_store(void)
{
    for (int shared = 0; shared < 2; shared++) {
        rig_token token;

        start(shared != 0);
        token = rig_sign_in(&r, 0, "ada");
        for (int i = 0; i < 3; i++) {
            REQUIRE_OK(rig_knock(&r, 0, &token));
            CHECK_INT(peek(&token), shared != 0 ? COAT_TABLE_ASK : COAT_TABLE_LIVE);
            CHECK_INT(coat_table_live(coat_table_writer_reader(r.engine[0]->writer),
                                      rig_span(&token), coat_engine_now_ms(r.engine[0])),
                      shared != 0 ? COAT_TABLE_ASK : COAT_TABLE_LIVE);
        }
        end_elsewhere(&token);
        /* Not shared, nobody else could have ended it: that is what the mark is for. */
        CHECK_ERR(rig_knock(&r, 0, &token), shared != 0 ? COAT_NO_SESSION : COAT_OK);
        rig_stop(&r);
    }
}

/** Forged tokens are still refused without asking. */
static void
refuses_by_itself(void)
{
    rig_token token;
    uint64_t loads;

    start(true);
    token = rig_sign_in(&r, 0, "ada");
    REQUIRE_OK(rig_knock(&r, 0, &token));
    token.text[20] = token.text[20] == 'A' ? 'B' : 'A';
    loads = sched_seen(r.store, COAT_OP_LOAD);
    CHECK_INT(peek(&token), COAT_TABLE_REFUSE);
    CHECK_ERR(rig_knock(&r, 0, &token), COAT_NO_SESSION);
    CHECK(sched_seen(r.store, COAT_OP_LOAD) == loads);
    rig_stop(&r);
}

/** Down is not signed out, and an engine starts without its store. */
static void
outage(void)
{
    rig_token token;

    start(true);
    token = rig_sign_in(&r, 0, "ada");
    sched_fail(r.store, COAT_OP_LOAD, SCHED_REFUSE, 1);
    CHECK_ERR(rig_knock(&r, 0, &token), COAT_STORE_DOWN);
    CHECK_ERR(rig_knock(&r, 0, &token), COAT_OK);
    sched_fail(r.store, COAT_OP_EPOCHS, SCHED_REFUSE, 1);
    rig_restart(&r);
    CHECK_ERR(rig_knock(&r, 0, &token), COAT_OK);
    rig_stop(&r);
}

static const coat_test tests[] = {
    {"RV-2: on a shared store every check asks it", asks_the_store},
    {"RX-4: but for tokens that were never issued", refuses_by_itself},
    {"SF-1 SF-11: a shared store that is away is an outage, not a sign-out", outage},
};
COAT_TEST_MAIN(tests)
