/* SPDX-License-Identifier: Apache-2.0 */
/** What a real cluster of three primaries and their replicas does beside answering: slots that
 * move, primaries that die, shards that stay away. */

#include "drill.h"
#include "redis_cluster_fixture.h"

enum { OUTAGE_MS = 30000, MOVE_PAUSE = 3 };

static redis_nodes nodes = {.partial = true};
static coat_store *store;
static coat_lane *lane;

static redis_cluster *
inside(void)
{
    return (redis_cluster *)(void *)store;
}

static void
begin(void)
{
    if (nodes.count == 0)
        nodes_start(&nodes, 3, true);
    REQUIRE_OK(nodes_open(&nodes, 0, &store));
    REQUIRE_OK(coat_lane_open(store, NULL, &lane));
}

static void
end(void)
{
    coat_lane_close(lane);
    coat_store_close(store);
    lane = NULL;
    store = NULL;
}

static coat_err
load_quickly(uint64_t owner, uint64_t serial)
{
    coat_store_req req = session_req(COAT_OP_LOAD, owner, serial);

    req.timeout_ms = COAT_STORE_TIMEOUT_MS;
    return coat_store_run(lane, &req);
}

static coat_err
until_answered(coat_op op, uint64_t owner, uint64_t serial)
{
    coat_err err = COAT_STORE_DOWN;

    for (int i = 0; i < FIXTURE_PATIENCE && err == COAT_STORE_DOWN; i++) {
        err = op == COAT_OP_INSERT ? sign_in(lane, owner, serial, 10)
                                   : run_op(lane, op, owner, serial);
        server_sleep();
    }
    return err;
}

/* ---- URLs ---- */

static void
urls(void)
{
    static const struct {
        const char *url, *why;
    } bad[] = {
        {"redis+cluster:/path", "write redis+cluster://"},
        {"redis+cluster://", "host is missing"},
        {"redis+cluster://127.0.0.1:7000,", "host is missing"},
        {"redis+cluster://127.0.0.1:7000,127.0.0.1:7000", "named twice"},
        {"redis+cluster://127.0.0.1:7000/1", "databases"},
        {"redis+cluster://127.0.0.1:7000?db=1", "databases"},
        {"redis+cluster://127.0.0.1:7000,redis.example", "another machine"},
        {"redis+cluster://127.0.0.1:7000?prefix={a}", "prefix"},
        {"redis+cluster://127.0.0.1:7000?sentinel=x", "no parameter"},
        {"redis+cluster://u:p@127.0.0.1:7000", "password"},
        {"redis+cluster://127.0.0.1:0", "port"},
        {"rediss+cluster://127.0.0.1:7000?plaintext=allowed", "contradicts"},
        {"rediss+cluster://127.0.0.1:7000?ca-file=/nonexistent", "ca-file"},
    };

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        check_url_refused(&coat_redis_ops, bad[i].url, bad[i].why);
}

/** One server is no cluster, and a node of a cluster no single server. */
static void
wrong_server(void)
{
    redis_server single = {.args = {"--save", "", "--appendonly", "no"}};
    char message[300] = "", url[100], port[8];
    coat_store_conf conf = {.url = url, .message = message, .message_cap = sizeof message};

    (void)snprintf(port, sizeof port, "%d", free_port());
    single.args[4] = "--port";
    single.args[5] = port;
    server_start(&single);
    (void)snprintf(url, sizeof url, "redis+cluster://127.0.0.1:%s", port);
    REQUIRE_OK(coat_redis_ops.open(&conf, &store));
    CHECK(strstr(message, "not ready") != NULL);
    CHECK(strstr(message, "it is no node of a cluster") != NULL);
    coat_store_close(store);
    server_stop(&single);
    begin();
    (void)snprintf(url, sizeof url, "redis://127.0.0.1:%s", nodes.ports[0]);
    end();
    REQUIRE_OK(coat_redis_ops.open(&conf, &store));
    CHECK(strstr(message, "redis+cluster://") != NULL);
    coat_store_close(store);
}

/** @return the message of opening it, told of a node that is no primary */
static const char *
opening(void)
{
    static char message[400];
    char url[120];
    coat_store_conf conf = {.url = url, .message = message, .message_cap = sizeof message};

    (void)snprintf(url, sizeof url, "redis+cluster://127.0.0.1:%s?prefix=s", nodes.ports[4]);
    REQUIRE_OK(coat_redis_ops.open(&conf, &store));
    coat_store_close(store);
    return message;
}

static void
settings(void)
{
    const char *said;

    begin();
    end();
    for (int i = 0; i < 3; i++)
        node_must(&nodes.nodes[i], "CONFIG SET cluster-require-full-coverage yes", "+OK");
    node_must(&nodes.nodes[0], "CONFIG SET maxmemory-policy allkeys-lru", "+OK");
    said = opening();
    CHECK(strstr(said, nodes.ports[0]) != NULL);
    CHECK(strstr(said, "allkeys-lru may drop sessions") != NULL);
    for (int i = 0; i < 3; i++)
        node_must(&nodes.nodes[i], "CONFIG SET appendonly yes", "+OK");
    for (int i = 0; i < 3; i++)
        node_must(&nodes.nodes[i], "CONFIG SET appendfsync always", "+OK");
    node_must(&nodes.nodes[0], "CONFIG SET maxmemory-policy noeviction", "+OK");
    said = opening();
    CHECK(strstr(said, "cluster-require-full-coverage yes") != NULL);
    for (int i = 0; i < 3; i++)
        node_must(&nodes.nodes[i], "CONFIG SET cluster-require-full-coverage no", "+OK");
    CHECK(strcmp(opening(), "") == 0);
    for (int i = 0; i < 3; i++)
        node_must(&nodes.nodes[i], "CONFIG SET appendonly no", "+OK");
}

/* ---- slots that move ---- */

typedef struct driver {
    drill *drills;
    _Atomic bool done;
} driver;

static void *
drive(void *arg)
{
    driver *d = arg;

    drill_all(d->drills);
    atomic_store(&d->done, true);
    return NULL;
}

/** Their slots go round and round meanwhile. @return how often */
static int
drill_and_move(drill *drills, int *at)
{
    driver d = {.drills = drills};
    pthread_t thread;
    int moved = 0;

    REQUIRE(pthread_create(&thread, NULL, drive, &d) == 0);
    while (!atomic_load(&d.done))
        for (int i = 0; i < DRILL_THREADS; i++, moved++) {
            for (int pause = 0; pause < MOVE_PAUSE && !atomic_load(&d.done); pause++)
                server_sleep();
            move_slot(&nodes, inside()->buckets.slots[bucket_of(drills[i].owner)], at[i],
                      (at[i] + 1) % 3);
            at[i] = (at[i] + 1) % 3;
        }
    (void)pthread_join(thread, NULL);
    return moved;
}

/** Whatever was undecided is decided: nothing that was live is gone, nothing ended is back. */
static void
settle(drill *d)
{
    CHECK_ERR(until_answered(COAT_OP_SWEEP, 0, 0), COAT_OK);
    d->timeout_ms = PATIENCE_MS;
    for (uint64_t s = 0; s < DRILL_SESSIONS && d->fault == NULL; s++) {
        if (d->sessions[s].undecided)
            d->sessions[s].state = KNOWN_MAYBE;
        d->sessions[s].undecided = d->sessions[s].maybe_insert = false;
        drill_load(d, s);
        drill_load(d, s);
    }
    if (d->fault != NULL)
        test_fail(__FILE__, __LINE__, "at rest: %s", d->fault);
}

static void
slots_move(void)
{
    static drill drills[DRILL_THREADS];
    static _Atomic int64_t unused_ms;
    int at[DRILL_THREADS], moved;
    uint64_t down = 0;

    begin();
    for (int i = 0; i < DRILL_THREADS; i++) {
        drills[i] = (drill){.store = store,
                            .owner = owner_at(&nodes, i, 1),
                            .rng = {77 + (uint64_t)i},
                            .ahead_ms = &unused_ms,
                            .steps = (uint64_t)test_scaled(20000, 150),
                            .timeout_ms = 2000};
        at[i] = i;
        REQUIRE_OK(coat_lane_open(store, NULL, &drills[i].lane));
    }
    moved = drill_and_move(drills, at);
    for (int i = 0; i < DRILL_THREADS; i++) {
        settle(&drills[i]);
        CHECK(drills[i].answered > 0);
        down += drills[i].down;
        coat_lane_close(drills[i].lane);
        /* Back to where the other tests look for it. */
        if (at[i] != i)
            move_slot(&nodes, inside()->buckets.slots[bucket_of(drills[i].owner)], at[i], i);
    }
    CHECK(moved >= DRILL_THREADS);
    if (getenv("COAT_TEST_VERBOSE") != NULL)
        printf("# %d slots moved, %llu answered, %llu down\n", moved,
               (unsigned long long)(drills[0].answered + drills[1].answered),
               (unsigned long long)down);
    end();
}

/** Half of an owner's keys are there already: nothing is answered wrongly, least of all that
 * somebody was signed out; and when the slot has settled everything is as before. */
static void
half_moved(void)
{
    uint64_t owner = owner_at(&nodes, 0, 1);
    uint16_t slot;
    coat_store_req req;
    coat_err err;
    char line[120];

    begin();
    slot = inside()->buckets.slots[bucket_of(owner)];
    for (uint64_t serial = 1; serial <= 30; serial++)
        CHECK_ERR(sign_in(lane, owner, serial, 10), COAT_OK);
    (void)snprintf(line, sizeof line, "CLUSTER SETSLOT %u IMPORTING %s", slot, nodes.ids[0]);
    node_must(&nodes.nodes[1], line, "+OK");
    (void)snprintf(line, sizeof line, "CLUSTER SETSLOT %u MIGRATING %s", slot, nodes.ids[1]);
    node_must(&nodes.nodes[0], line, "+OK");
    CHECK(move_keys(&nodes, 0, 1, slot));
    for (uint64_t serial = 1; serial <= 30; serial += 5) {
        req = session_req(COAT_OP_LOAD, owner, serial);
        req.timeout_ms = 100;
        err = coat_store_run(lane, &req);
        CHECK(err == COAT_OK || err == COAT_STORE_DOWN);
    }
    req = session_req(COAT_OP_REMOVE, owner, 1);
    req.timeout_ms = 100;
    CHECK_ERR(coat_store_run(lane, &req), COAT_STORE_DOWN);
    req = session_req(COAT_OP_REMOVE_OWNER, owner, 0);
    req.timeout_ms = 100;
    CHECK_ERR(coat_store_run(lane, &req), COAT_STORE_DOWN);
    req = session_req(COAT_OP_END_ALL, 0, 0);
    req.timeout_ms = 600;
    CHECK_ERR(coat_store_run(lane, &req), COAT_STORE_DOWN);
    req = session_req(COAT_OP_LOAD, owner_at(&nodes, 2, 1), 1);
    CHECK_ERR(coat_store_run(lane, &req), COAT_NO_SESSION); /* others are not concerned */
    while (move_keys(&nodes, 0, 1, slot))
        continue;
    (void)snprintf(line, sizeof line, "CLUSTER SETSLOT %u NODE %s", slot, nodes.ids[1]);
    node_must(&nodes.nodes[1], line, "+OK");
    node_must(&nodes.nodes[0], line, "+OK");
    /* The refused REMOVE_OWNER has not taken place; END_ALL has begun, and SWEEP ends it. */
    CHECK_ERR(until_answered(COAT_OP_SWEEP, 0, 0), COAT_OK);
    for (uint64_t serial = 1; serial <= 30; serial++)
        CHECK_ERR(run_op(lane, COAT_OP_LOAD, owner, serial), COAT_NO_SESSION);
    CHECK_ERR(sign_in(lane, owner, 100, 10), COAT_OK);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, owner, 100), COAT_OK);
    move_slot(&nodes, slot, 1, 0);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, owner, 100), COAT_OK);
    end();
}

/* ---- primaries that die ---- */

static long
reply_number(const redis_server *node, const char *question)
{
    return strtol(server_ask(node, "%s", question) + 1, NULL, 10);
}

static void
replicate(int primary)
{
    const redis_server *p = &nodes.nodes[primary], *r = &nodes.nodes[(primary + 3) % 6];

    for (int i = 0; i < FIXTURE_PATIENCE; i++) {
        if (reply_number(p, "DBSIZE") == reply_number(r, "DBSIZE"))
            return;
        server_sleep();
    }
    test_fail(__FILE__, __LINE__, "the replica does not follow");
}

/** The new primary, as one sees it who has not ended anything himself. */
static void
look_from_outside(uint64_t ended, uint64_t revoked, uint64_t live)
{
    coat_store *other;
    coat_lane *other_lane;

    nodes.prefix--;
    REQUIRE_OK(nodes_open(&nodes, 1, &other));
    REQUIRE_OK(coat_lane_open(other, NULL, &other_lane));
    CHECK_ERR(run_op(other_lane, COAT_OP_LOAD, ended, 1), COAT_NO_SESSION);
    CHECK_ERR(run_op(other_lane, COAT_OP_LOAD, revoked, 1), COAT_NO_SESSION);
    CHECK_ERR(run_op(other_lane, COAT_OP_LOAD, live, 1), COAT_OK);
    coat_lane_close(other_lane);
    coat_store_close(other);
}

/**
 * What was ended just before the primary died has not reached its replica, which is promoted.
 */
static void
lagging_replica(void)
{
    uint64_t ended = owner_at(&nodes, 0, 1), revoked = owner_at(&nodes, 0, ended + 1),
             live = owner_at(&nodes, 0, revoked + 1), elsewhere = owner_at(&nodes, 1, 1);
    redis_server *primary = &nodes.nodes[0], *replica = &nodes.nodes[3];
    int64_t since_ms;
    coat_err err = COAT_STORE_DOWN;
    bool seen_down = false;

    begin();
    CHECK_ERR(sign_in(lane, ended, 1, 10), COAT_OK);
    CHECK_ERR(sign_in(lane, revoked, 1, 10), COAT_OK);
    CHECK_ERR(sign_in(lane, live, 1, 10), COAT_OK);
    CHECK_ERR(sign_in(lane, elsewhere, 1, 10), COAT_OK);
    replicate(0);
    (void)kill(replica->pid, SIGSTOP);
    node_must(primary, "CLIENT KILL TYPE replica", ":");
    node_must(primary, "INFO replication", "connected_slaves:0");
    CHECK_ERR(run_op(lane, COAT_OP_REMOVE, ended, 1), COAT_OK);
    CHECK_ERR(run_op(lane, COAT_OP_REMOVE_OWNER, revoked, 0), COAT_OK);
    server_kill(primary, SIGKILL);
    (void)kill(replica->pid, SIGCONT);
    since_ms = real_ms();
    while (err != COAT_OK && real_ms() - since_ms < OUTAGE_MS) {
        coat_err of_ended = load_quickly(ended, 1), of_revoked = load_quickly(revoked, 1);

        CHECK(of_ended == COAT_NO_SESSION || of_ended == COAT_STORE_DOWN);
        CHECK(of_revoked == COAT_NO_SESSION || of_revoked == COAT_STORE_DOWN);
        CHECK_ERR(load_quickly(elsewhere, 1), COAT_OK);
        err = load_quickly(live, 1);
        seen_down = seen_down || err == COAT_STORE_DOWN;
        server_sleep();
    }
    CHECK_ERR(err, COAT_OK);
    CHECK(seen_down);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, ended, 1), COAT_NO_SESSION);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, revoked, 1), COAT_NO_SESSION);
    look_from_outside(ended, revoked, live);
    CHECK_ERR(run_op(lane, COAT_OP_SWEEP, 0, 0), COAT_OK);
    /* The former one comes back as a replica, empty: it is not read from. */
    node_start(&nodes, 0);
    node_must(primary, "INFO replication", "master_link_status:up");
    for (int i = 0; i < 20; i++)
        CHECK_ERR(load_quickly(live, 1), COAT_OK);
    end();
}

/** There and back, without waiting for what has not been replicated: what comes to serve again
 * is the same process, and yet must hear what was ended while it did not. */
static void
takeovers(void)
{
    uint64_t owner = owner_at(&nodes, 0, 1);

    begin();
    for (int round = 0; round < (int)test_scaled(100, 4); round++) {
        int to = round % 2 == 0 ? 0 : 3, from = 3 - to;
        uint64_t serial = 1000 + (uint64_t)round;

        node_must(&nodes.nodes[to], "INFO replication", "master_link_status:up");
        CHECK_ERR(until_answered(COAT_OP_INSERT, owner, serial), COAT_OK);
        replicate(from);
        (void)kill(nodes.nodes[to].pid, SIGSTOP);
        node_must(&nodes.nodes[from], "CLIENT KILL TYPE replica", ":");
        CHECK_ERR(until_answered(COAT_OP_REMOVE, owner, serial), COAT_OK);
        (void)kill(nodes.nodes[to].pid, SIGCONT);
        node_must(&nodes.nodes[to], "CLUSTER FAILOVER TAKEOVER", "+OK");
        node_must(&nodes.nodes[from], "INFO replication", "role:slave");
        CHECK_ERR(until_answered(COAT_OP_LOAD, owner, serial), COAT_NO_SESSION);
    }
    end();
}

/** Everybody's sessions were ended, and the replica that is promoted has not heard of it: it
 * has, in all of its buckets, before anything is asked of it. */
static void
lagging_for_all(void)
{
    redis_server *from = &nodes.nodes[3], *to = &nodes.nodes[0];
    uint64_t owner = owner_at(&nodes, 0, 1);
    coat_store_req all = session_req(COAT_OP_END_ALL, 0, 0);
    char epoch[24];

    begin();
    node_must(from, "INFO replication", "role:master");
    node_must(to, "INFO replication", "master_link_status:up");
    CHECK_ERR(sign_in(lane, owner, 1, 10), COAT_OK);
    replicate(3);
    (void)kill(to->pid, SIGSTOP);
    node_must(from, "CLIENT KILL TYPE replica", ":");
    REQUIRE_OK(coat_store_run(lane, &all));
    (void)kill(to->pid, SIGCONT);
    node_must(to, "CLUSTER FAILOVER TAKEOVER", "+OK");
    node_must(from, "INFO replication", "role:slave");
    CHECK_ERR(until_answered(COAT_OP_LOAD, owner, 1), COAT_NO_SESSION);
    (void)snprintf(epoch, sizeof epoch, "%llu", (unsigned long long)all.epoch_global);
    for (int b = 0; b < CLUSTER_BUCKETS && inside()->buckets.slots[b] < first_slot(&nodes, 1);
         b++)
        CHECK(strstr(server_ask(to, "GET t%d:{%s}:global", nodes.prefix,
                                inside()->buckets.tags[b]),
                     epoch) != NULL);
    end();
}

/* ---- acknowledgments that come too late ---- */

/** Its node serves no more when the acknowledgment of an end comes: it is none. The end is a
 * sign-in over another session, which nobody sends twice. */
static void
late_acknowledgment(void)
{
    uint64_t owner = owner_at(&nodes, 1, 1);
    coat_store_req epochs = session_req(COAT_OP_EPOCHS, owner, 0);
    coat_store_req req = session_req(COAT_OP_INSERT, owner, 8);
    cluster_topology empty = {0};

    begin();
    CHECK_ERR(sign_in(lane, owner, 7, 10), COAT_OK);
    REQUIRE_OK(coat_store_run(lane, &epochs));
    req.epoch_owner = epochs.epoch_owner;
    req.epoch_global = epochs.epoch_global;
    req.value = (coat_span){(const uint8_t *)"value", 5};
    req.has_superseded = true;
    req.superseded = handle_of(owner, 7);
    (void)kill(nodes.nodes[1].pid, SIGSTOP);
    coat_store_submit(lane, &req);
    memset(empty.primary_of, CLUSTER_NOBODY, sizeof empty.primary_of);
    pthread_mutex_lock(&inside()->home.remote.mutex);
    CHECK(
        !cluster_install(inside(), &empty, inside()->epoch - 1)); /* what is older is no news */
    CHECK(inside()->seat_of[bucket_of(owner)] != CLUSTER_NOBODY);
    CHECK(cluster_install(inside(), &empty, inside()->epoch));
    pthread_mutex_unlock(&inside()->home.remote.mutex);
    (void)kill(nodes.nodes[1].pid, SIGCONT);
    lane->store->ops->wait(lane, &req);
    CHECK_ERR(req.result, COAT_STORE_DOWN);
    /* Who serves is asked for again. */
    CHECK_ERR(until_answered(COAT_OP_REMOVE, owner, 7), COAT_OK);
    end();
}

/** Connections that were dropped with writes under way are ended on the node that has them. */
static void
doubts_of_nodes(void)
{
    redis_store *node;

    begin();
    CHECK_ERR(sign_in(lane, 1, 1, 10), COAT_OK);
    node = &inside()->seats[inside()->seat_of[bucket_of(1)]]->store;
    pthread_mutex_lock(&node->remote.mutex);
    node->doubts[0] = (redis_doubt){.number = ++node->doubt_number, .client = 1U << 30};
    memcpy(node->doubts[0].run_id, node->watches.serving, REDIS_RUN_ID);
    node->doubt_count = 1;
    pthread_mutex_unlock(&node->remote.mutex);
    CHECK_ERR(run_op(lane, COAT_OP_SWEEP, 0, 0), COAT_OK);
    CHECK_INT(node->doubt_count, 0);
    memcpy(node->lost_on, node->watches.serving, REDIS_RUN_ID);
    CHECK_ERR(run_op(lane, COAT_OP_SWEEP, 0, 0), COAT_STORE_DOWN);
    node->lost_on[0] ^= 1; /* another server: it ends with what is asked of this one */
    CHECK_ERR(run_op(lane, COAT_OP_SWEEP, 0, 0), COAT_OK);
    CHECK(node->lost_on[0] == '\0');
    end();
}

/* ---- shards that stay away ---- */

/** One owner in each bucket. */
static void
owners_of_all(uint64_t *owners)
{
    uint64_t next = 1;

    memset(owners, 0, CLUSTER_BUCKETS * sizeof *owners);
    for (int found = 0; found < CLUSTER_BUCKETS; next++)
        if (owners[bucket_of(next)] == 0) {
            owners[bucket_of(next)] = next;
            found++;
        }
}

static void
count_item(coat_store_req *req, const coat_store_item *item)
{
    (void)req;
    (void)item;
}

static void
shard_away(void)
{
    static uint64_t owners[CLUSTER_BUCKETS];
    coat_store_req all = session_req(COAT_OP_END_ALL, 0, 0);
    coat_store_req scan = session_req(COAT_OP_SCAN, 0, 0);
    coat_store_stats stats;
    int down = 0;

    begin();
    owners_of_all(owners);
    for (int b = 0; b < CLUSTER_BUCKETS; b++)
        CHECK_ERR(sign_in(lane, owners[b], 1, 10), COAT_OK);
    server_kill(&nodes.nodes[5], SIGKILL);
    server_kill(&nodes.nodes[2], SIGKILL);
    for (int b = 0; b < CLUSTER_BUCKETS; b++) {
        bool there = inside()->buckets.slots[b] >= first_slot(&nodes, 2);
        coat_err err = load_quickly(owners[b], 1);

        CHECK_ERR(err, there ? COAT_STORE_DOWN : COAT_OK);
        down += err == COAT_STORE_DOWN;
    }
    CHECK(down > 0 && down * 100 <= CLUSTER_BUCKETS * 34);
    REQUIRE_OK(coat_store_stats_get(store, &stats));
    CHECK(!stats.away);
    CHECK(strstr(stats.notice, nodes.ports[2]) != NULL);
    /* That everybody was signed out is not said while somebody may not have been. */
    all.timeout_ms = 300;
    CHECK_ERR(coat_store_run(lane, &all), COAT_STORE_DOWN);
    scan.item = count_item;
    scan.timeout_ms = 100;
    CHECK_ERR(coat_store_run(lane, &scan), COAT_STORE_DOWN);
    /* But where it could be done it was. */
    CHECK_ERR(load_quickly(owner_at(&nodes, 1, 1), 1), COAT_NO_SESSION);
    node_start(&nodes, 2);
    node_must(&nodes.nodes[2], "CLUSTER INFO", "cluster_state:ok");
    CHECK_ERR(until_answered(COAT_OP_SWEEP, 0, 0), COAT_OK);
    all = session_req(COAT_OP_END_ALL, 0, 0);
    REQUIRE_OK(coat_store_run(lane, &all));
    CHECK_ERR(run_op(lane, COAT_OP_SWEEP, 0, 0), COAT_OK);
    for (int b = 0; b < CLUSTER_BUCKETS; b++) {
        coat_store_req epochs = session_req(COAT_OP_EPOCHS, owners[b], 0);

        CHECK_ERR(load_quickly(owners[b], 1), COAT_NO_SESSION);
        CHECK_ERR(coat_store_run(lane, &epochs), COAT_OK);
        CHECK(epochs.epoch_global == all.epoch_global);
    }
    end();
}

static void
clock_told(void)
{
    begin();
    check_store_clock(lane);
    end();
}

int
main(int argc, char **argv)
{
    static const coat_test tests[] = {
        {"ST-5: URLs of clusters that would send secrets in the clear, or make no sense, are "
         "refused",
         urls},
        {"one server is no cluster, and a node is no single server", wrong_server},
        {"SF-7: what is unsuitable about a node is said, by name", settings},
        {"SF-5: slots that move lose nobody and revive nobody", slots_move},
        {"SF-10: the clock of the node that is asked is told", clock_told},
        {"ST-9: half of a bucket is not read, nor written", half_moved},
        {"SF-5: a late acknowledgment of a node that serves no more is not trusted",
         late_acknowledgment},
        {"SF-2: SWEEP settles what is in doubt on each node, or promises nothing",
         doubts_of_nodes},
        {"RV-5 SF-5: a promoted replica that lagged revives nothing", lagging_replica},
        {"RV-5 SF-5: who serves again after a while hears what was ended meanwhile", takeovers},
        {"RV-5: a promoted replica that lagged hears that everybody's sessions were ended",
         lagging_for_all},
        {"SF-5: of three shards one away is 503 for its own third, and never END_ALL",
         shard_away},
    };
    int rc = coat_test_main(argc, argv, tests, sizeof tests / sizeof tests[0]);

    nodes_stop(&nodes);
    return rc;
}
