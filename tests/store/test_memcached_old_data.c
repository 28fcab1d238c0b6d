/* SPDX-License-Identifier: Apache-2.0 */
/** RV-5: servers that remember too much, and what is ended while they are told. */

#include "memcached_kit.h"

static server_bytes old_life, old_box;

static void
take_snapshot(uint64_t owner)
{
    char key[100], life[30];

    owner_key(owner, key);
    (void)snprintf(life, sizeof life, "t%d:life", prefixes);
    old_box = *server_get(&servers[0], key);
    old_life = *server_get(&servers[0], life);
    CHECK(old_box.len > 0 && old_life.len > 0);
}

/** The server dies, and comes back as it was then. */
static void
restore_snapshot(uint64_t owner)
{
    char key[100], life[30];

    owner_key(owner, key);
    (void)snprintf(life, sizeof life, "t%d:life", prefixes);
    server_kill(&servers[0]);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, owner, 1), COAT_STORE_DOWN);
    server_start(&servers[0]);
    server_set(&servers[0], key, old_box.bytes, old_box.len);
    server_set(&servers[0], life, old_life.bytes, old_life.len);
}

static void
old_data(void)
{
    static const coat_op ops[] = {COAT_OP_REMOVE, COAT_OP_REMOVE_OWNER, COAT_OP_END_ALL};

    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++) {
        coat_lane *other_lane;
        coat_store *other;

        begin(1);
        CHECK_ERR(sign_in(lane, 1, 1, 10), COAT_OK);
        CHECK_ERR(sign_in(lane, 1, 2, 10), COAT_OK);
        take_snapshot(1);
        CHECK_ERR(run_op(lane, ops[i], 1, 1), COAT_OK);
        CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 1), COAT_NO_SESSION);
        restore_snapshot(1);
        CHECK_ERR(come_back(lane, 1), COAT_OK);
        CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 1), COAT_NO_SESSION);
        /* It is in the server again: another daemon sees it too. */
        other = open_store("");
        REQUIRE_OK(coat_lane_open(other, NULL, &other_lane));
        CHECK_ERR(run_op(other_lane, COAT_OP_LOAD, 1, 1), COAT_NO_SESSION);
        CHECK_ERR(run_op(other_lane, COAT_OP_LOAD, 1, 2),
                  ops[i] == COAT_OP_REMOVE ? COAT_OK : COAT_NO_SESSION);
        coat_lane_close(other_lane);
        coat_store_close(other);
        end();
    }
}

/** What was spared stays, and what was signed in since. */
static void
old_data_spares(void)
{
    coat_store_req req = session_req(COAT_OP_REMOVE_OWNER, 1, 0);

    begin(1);
    for (uint64_t serial = 1; serial <= 3; serial++)
        CHECK_ERR(sign_in(lane, 1, serial, 10), COAT_OK);
    take_snapshot(1);
    req.has_spare = true;
    req.spare = handle_of(1, 2);
    REQUIRE_OK(coat_store_run(lane, &req));
    restore_snapshot(1);
    CHECK_ERR(come_back(lane, 1), COAT_OK);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 1), COAT_NO_SESSION);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 2), COAT_OK);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 3), COAT_NO_SESSION);
    end();
}

static coat_err
sign_in_over(uint64_t owner, uint64_t serial, uint64_t former)
{
    coat_store_req epochs = session_req(COAT_OP_EPOCHS, owner, 0);
    coat_store_req req = session_req(COAT_OP_INSERT, owner, serial);

    if (coat_store_run(lane, &epochs) != COAT_OK)
        return epochs.result;
    req.epoch_owner = epochs.epoch_owner;
    req.epoch_global = epochs.epoch_global;
    req.has_superseded = true;
    req.superseded = handle_of(owner, former);
    return coat_store_run(lane, &req);
}

/** A session that another one followed has ended as any other; one that was put again where one
 * had ended has not. */
static void
old_data_follows(void)
{
    begin(1);
    CHECK_ERR(sign_in(lane, 1, 1, 10), COAT_OK);
    take_snapshot(1);
    CHECK_ERR(sign_in_over(1, 2, 1), COAT_OK);
    restore_snapshot(1);
    CHECK_ERR(come_back(lane, 1), COAT_OK);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 1), COAT_NO_SESSION);
    CHECK_ERR(sign_in(lane, 1, 1, 10), COAT_OK);
    take_snapshot(1);
    restore_snapshot(1);
    CHECK_ERR(come_back(lane, 1), COAT_OK);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 1), COAT_OK);
    end();
}

/** Somebody else signs the user in on the old data, before it hears what was ended. */
static void
old_data_goes_on(void)
{
    coat_lane *mine;
    coat_store *other;

    begin(1);
    CHECK_ERR(sign_in(lane, 1, 1, 10), COAT_OK);
    take_snapshot(1);
    CHECK_ERR(run_op(lane, COAT_OP_REMOVE_OWNER, 1, 0), COAT_OK);
    restore_snapshot(1);
    other = open_store("");
    REQUIRE_OK(coat_lane_open(other, NULL, &mine));
    CHECK_ERR(sign_in(mine, 1, 7, 10), COAT_OK);
    CHECK_ERR(come_back(lane, 1), COAT_OK);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 1), COAT_NO_SESSION);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 7), COAT_OK);
    coat_lane_close(mine);
    coat_store_close(other);
    end();
}

/** Everybody's sessions are ended between a sign-in's look and its write. */
static void
overtaken_sign_in(void)
{
    coat_store_req epochs = session_req(COAT_OP_EPOCHS, 1, 0);
    coat_store_req req = session_req(COAT_OP_INSERT, 1, 1);
    coat_lane *theirs, *mine;
    coat_store *other;
    const mc_op *op;

    begin(1);
    other = open_store("");
    REQUIRE_OK(coat_lane_open(other, NULL, &theirs));
    REQUIRE_OK(coat_store_run(lane, &epochs));
    REQUIRE_OK(remote_lane_open(&inside(store)->nodes[0]->remote.base, NULL, &mine));
    req.epoch_owner = epochs.epoch_owner;
    req.epoch_global = epochs.epoch_global;
    remote_submit(mine, &req);
    do { /* what it writes is queued, and leaves with the next turn of the loop */
        remote_run(((remote_lane *)mine)->loop, UV_RUN_ONCE);
        op = remote_pending_of(&req)->data;
    } while (op == NULL || !op->writes_item);
    CHECK_ERR(run_op(theirs, COAT_OP_END_ALL, 0, 0), COAT_OK);
    remote_wait(mine, &req);
    CHECK_ERR(req.result, COAT_REVOKED);
    CHECK_ERR(run_op(theirs, COAT_OP_LOAD, 1, 1), COAT_NO_SESSION);
    remote_lane_close(mine);
    coat_lane_close(theirs);
    coat_store_close(other);
    end();
}

/** The journal is full, and goes on being written while it is said again. */
static void
old_data_while_ending(void)
{
    enum { SESSIONS = 6 };
    mc_node *node;

    begin(1);
    node = inside(store)->nodes[0];
    for (uint64_t serial = 1; serial <= SESSIONS; serial++)
        CHECK_ERR(sign_in(lane, 1, serial, 10), COAT_OK);
    take_snapshot(1);
    for (uint64_t i = 0; i < MC_JOURNAL_MAX; i++) /* too old to be said */
        mc_journal_add(node, &(mc_ended){.handle = handle_of(98, i)});
    atomic_fetch_add(&ahead_ms, MC_JOURNAL_MS + 1000);
    for (uint64_t serial = 1; serial <= SESSIONS; serial++)
        CHECK_ERR(run_op(lane, COAT_OP_REMOVE, 1, serial), COAT_OK);
    restore_snapshot(1);
    ended_left = 1000;
    ended_on = node;
    CHECK_ERR(come_back(lane, 1), COAT_OK);
    ended_on = NULL;
    for (uint64_t serial = 1; serial <= SESSIONS; serial++)
        CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, serial), COAT_NO_SESSION);
    end();
}

static coat_err
sign_in_under(uint64_t owner, uint64_t serial, uint64_t epoch)
{
    coat_store_req req = session_req(COAT_OP_INSERT, owner, serial);

    req.epoch_owner = epoch;
    return coat_store_run(lane, &req);
}

/** An emptied server is told an epoch: sign-ins from before it are refused, later ones are
 * not. Then that too is ended again on a server with old data, and nothing since. */
static void
put_back(void)
{
    coat_store_req before = session_req(COAT_OP_EPOCHS, 1, 0);
    coat_store_req ends = session_req(COAT_OP_REMOVE_OWNER, 1, 0);

    begin(1);
    REQUIRE_OK(coat_store_run(lane, &before));
    CHECK_ERR(sign_in(lane, 1, 1, 10), COAT_OK);
    take_snapshot(1);
    server_kill(&servers[0]);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 1), COAT_STORE_DOWN);
    server_start(&servers[0]);
    CHECK_ERR(come_back(lane, 2), COAT_OK);
    ends.again = before.epoch_owner + 1;
    for (int round = 0; round < 2; round++) {
        REQUIRE_OK(coat_store_run(lane, &ends));
        CHECK(ends.epoch_owner == ends.again);
    }
    CHECK_ERR(sign_in_under(1, 2, before.epoch_owner), COAT_REVOKED);
    CHECK_ERR(sign_in_under(1, 2, 0), COAT_REVOKED);
    CHECK_ERR(sign_in_under(1, 3, ends.again), COAT_OK);
    REQUIRE_OK(coat_store_run(lane, &ends));
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 3), COAT_OK);
    restore_snapshot(1);
    CHECK_ERR(come_back(lane, 1), COAT_OK);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 1), COAT_NO_SESSION);
    CHECK_ERR(sign_in_under(1, 4, ends.again), COAT_OK);
    end();
}

static const coat_test tests[] = {
    {"RV-5: a server that comes back with old data hears what was ended", old_data},
    {"RV-5: but not of what was spared", old_data_spares},
    {"RV-5: and of what was followed, but not of what was put again", old_data_follows},
    {"RV-5: nor of what was signed in meanwhile", old_data_goes_on},
    {"RV-4: a sign-in that everybody's end has overtaken is refused", overtaken_sign_in},
    {"RV-5: and all of it, also while more is being ended", old_data_while_ending},
    {"RV-5: an epoch is put back to a server that has lost it", put_back},
};

int
main(int argc, char **argv)
{
    int rc = coat_test_main(argc, argv, tests, sizeof tests / sizeof tests[0]);

    for (size_t i = 0; i < 3; i++)
        server_kill(&servers[i]);
    return rc;
}
