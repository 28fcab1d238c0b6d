/* SPDX-License-Identifier: Apache-2.0 */
/**
 * Watching a real cluster: three primaries with their replicas, and a node that has no slots
 * until a test gives it some, which nobody listens to at first.
 */

#include "drill.h"
#include "redis_cluster_fixture.h"
#include "watch_seen.h"

enum { SPARE = 6, TELLS_A_MOVE = 8 };

/* Nobody takes over but by a test's word. */
static redis_nodes nodes = {.partial = true, .spares = 1, .patience_ms = 20000};
static coat_store *store, *other;
static coat_lane *lane, *theirs;

static redis_cluster *
inside(coat_store *of)
{
    return (redis_cluster *)(void *)of;
}

static void
begin(void)
{
    if (nodes.count == 0) {
        nodes_start(&nodes, 3, true);
        for (int i = 0; i < nodes.count; i++)
            node_must(&nodes.nodes[i], "CONFIG SET notify-keyspace-events Egxe", "+OK");
    }
    nodes_flush(&nodes);
    REQUIRE_OK(nodes_open(&nodes, 0, &store));
    REQUIRE_OK(coat_lane_open(store, NULL, &lane));
    nodes.prefix--;
    REQUIRE_OK(nodes_open(&nodes, SPARE, &other)); /* another instance */
    REQUIRE_OK(coat_lane_open(other, NULL, &theirs));
    watch_begin(store);
}

static void
end(void)
{
    watch_end();
    coat_lane_close(theirs);
    coat_store_close(other);
    coat_lane_close(lane);
    coat_store_close(store);
}

static const char *
prefix(uint64_t owner)
{
    static char text[REDIS_BUCKET_PREFIX_MAX];

    (void)snprintf(text, sizeof text, "t%d:{%s}", nodes.prefix,
                   inside(store)->buckets.tags[bucket_of(owner)]);
    return text;
}

static uint64_t
shape_of(coat_store *of)
{
    redis_cluster *cluster = inside(of);
    uint64_t shape;

    pthread_mutex_lock(&cluster->home.remote.mutex);
    shape = cluster->shape;
    pthread_mutex_unlock(&cluster->home.remote.mutex);
    return shape;
}

/* ---- what is reported ---- */

static void
each_node(void)
{
    begin();
    for (int node = 0; node < 3; node++) {
        uint64_t owner = owner_at(&nodes, node, 1);

        CHECK_ERR(sign_in(theirs, owner, 1, 10), COAT_OK);
        CHECK_ERR(sign_in(theirs, owner, 2, 10), COAT_OK);
        CHECK_ERR(run_op(theirs, COAT_OP_REMOVE, owner, 1), COAT_OK);
        catch_up(theirs);
        CHECK_INT(saw.gone, node + 1);
        CHECK_ERR(run_op(theirs, COAT_OP_REMOVE_OWNER, owner, 0), COAT_OK);
        catch_up(lane); /* whoever says something */
        CHECK_INT(saw.owners, node + 1);
    }
    CHECK_ERR(run_op(theirs, COAT_OP_END_ALL, 0, 0), COAT_OK);
    catch_up(theirs);
    CHECK(saw.alls >= 1);
    CHECK_INT(saw.losts, 0);
    end();
}

/** In a cluster keys also go when they move: so what is gone by itself is not said to have
 * ended. */
static void
by_hand(void)
{
    uint64_t owner = owner_at(&nodes, 1, 1);

    begin();
    CHECK_ERR(sign_in(lane, owner, 1, 10), COAT_OK);
    CHECK_ERR(run_op(lane, COAT_OP_REMOVE_OWNER, owner, 0), COAT_OK);
    CHECK_ERR(sign_in(lane, owner, 2, 10), COAT_OK);
    catch_up(lane);
    CHECK(server_ask(&nodes.nodes[1], "DEL %s",
                     server_key(prefix(owner), handle_of(owner, 2)))[1] == '1');
    catch_up(lane);
    CHECK_INT(saw.addresses, 1);
    CHECK_INT(saw.gone, 0);
    CHECK(server_ask(&nodes.nodes[1], "DEL %.*se",
                     (int)(strlen(server_key(prefix(owner), handle_of(owner, 2))) - 18),
                     server_key(prefix(owner), handle_of(owner, 2)))[1] == '1');
    catch_up(lane);
    CHECK_INT(saw.owners, 2);
    CHECK(strncmp(server_ask(&nodes.nodes[2], "FLUSHALL"), "+OK", 3) == 0);
    catch_up(lane);
    CHECK_INT(saw.alls, 1);
    CHECK_INT(saw.losts, 0);
    end();
}

/** As catch_up(), where what is said may fall between LOST and READY: as each beat does, again.
 */
static void
hear(coat_lane *by)
{
    int64_t patient_ms = real_ms() + PATIENCE_MS;
    int before = saw.said;

    while (saw.said == before && real_ms() < patient_ms) {
        coat_store_req say = say_req();

        say.timeout_ms = 50;
        (void)!coat_store_run(by, &say);
        for (int i = 0; i < 10; i++)
            watch_turn();
    }
    CHECK(saw.said > before);
}

/* ---- messages ---- */

/** As `from` of the tests says it by way of one node. */
static void
say_by_hand(int node, uint64_t version, uint64_t shape)
{
    char line[700], *at = line;
    uint8_t head[16];

    at += snprintf(at, 120, "PUBLISH t%d:0:changes:%s \"p%016d", nodes.prefix, nodes.ids[node],
                   7);
    coat_store64(head, version);
    coat_store64(head + 8, shape);
    for (size_t i = 0; i < sizeof head; i++)
        at += snprintf(at, 8, "\\x%02x", head[i]);
    (void)snprintf(at, 8, "hi\"");
    CHECK(server_ask(&nodes.nodes[node], "%s", line)[0] == ':');
}

/** As catch_up(), with those made by hand: any of them may be heard before what is said here.
 */
static void
catch_up_to(int said)
{
    coat_store_req say = say_req();

    REQUIRE_OK(coat_store_run(lane, &say));
    TURN_UNTIL(saw.said >= said);
    CHECK_INT(saw.said, said);
}

static void
by_all(void)
{
    uint64_t shape;

    begin();
    shape = shape_of(store);
    say_by_hand(0, 5, shape);
    say_by_hand(1, 5, shape);
    say_by_hand(1, 5, shape); /* doubled is not by another */
    catch_up_to(1);
    say_by_hand(2, 5, shape);
    catch_up_to(3);
    /* Two at once, on connections that overtake each other: both are heard. */
    say_by_hand(0, 6, shape);
    for (int node = 0; node < 3; node++)
        say_by_hand(node, 7, shape);
    catch_up_to(5);
    say_by_hand(1, 6, shape);
    say_by_hand(2, 6, shape);
    catch_up_to(7);
    CHECK_INT(saw.losts, 0);
    end();
}

/** Whoever says something knows of nodes that we do not, or has not heard of those we do. */
static void
by_another_cluster(void)
{
    begin();
    for (int node = 0; node < 3; node++)
        say_by_hand(node, 5, shape_of(store) + 1);
    TURN_UNTIL(saw.losts == 1);
    CHECK_INT(saw.said, 0);
    TURN_UNTIL(saw.ready);
    catch_up(lane);
    CHECK_INT(saw.losts, 1);
    end();
}

/** More than can be kept of what only some nodes have said: the oldest is forgotten. */
static void
too_many(void)
{
    uint64_t shape;

    begin();
    shape = shape_of(store);
    for (uint64_t version = 1; version <= 300; version++) {
        say_by_hand(0, version, shape);
        watch_turn();
    }
    catch_up(lane);
    for (int node = 1; node < 3; node++) {
        say_by_hand(node, 1, shape);
        say_by_hand(node, 300, shape);
    }
    catch_up_to(3);
    CHECK_INT(saw.losts, 0);
    end();
}

static void
nonsense(void)
{
    static const char *const bad[] = {"nonsense", "p", "p12345678901234567890123456789012",
                                      "s1234567890123456"};

    begin();
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK(server_ask(&nodes.nodes[1], "PUBLISH t%d:0:changes:%s %s", nodes.prefix,
                         nodes.ids[1], bad[i])[0] == ':');
        TURN_UNTIL(saw.losts == (int)i + 1);
        TURN_UNTIL(saw.ready);
    }
    CHECK_INT(saw.said, 0);
    /* What need not be said by all. */
    CHECK(server_ask(&nodes.nodes[1], "PUBLISH t%d:0:changes:%s s1234567890123456x",
                     nodes.prefix, nodes.ids[1])[0] == ':');
    TURN_UNTIL(saw.said == 1 && saw.unordered == 1);
    /* What another node says comes over the cluster's bus, too: it is no news. */
    CHECK(server_ask(&nodes.nodes[1], "PUBLISH t%d:0:changes %s", nodes.prefix, bad[0])[0] ==
          ':');
    catch_up(lane);
    CHECK_INT(saw.losts, 4);
    end();
}

/** A node does not answer: what is said may not be behind what it has done. */
static void
one_is_silent(void)
{
    coat_store_req say = say_req();

    begin();
    (void)kill(nodes.nodes[2].pid, SIGSTOP);
    say.timeout_ms = 300;
    CHECK_ERR(coat_store_run(theirs, &say), COAT_STORE_DOWN);
    for (int i = 0; i < 20; i++)
        watch_turn();
    CHECK_INT(saw.said, 0);
    (void)kill(nodes.nodes[2].pid, SIGCONT);
    TURN_UNTIL(saw.ready);
    catch_up(lane);
    end();
}

/** A node that has not heard of the last change would say it behind what it has not heard of.
 */
static void
one_is_behind(void)
{
    redis_cluster *cluster;
    coat_store_req say = say_req();

    begin();
    cluster = inside(other);
    hear(theirs); /* it is connected to all */
    saw.said = 0;
    pthread_mutex_lock(&cluster->home.remote.mutex);
    cluster->epoch += 1000;
    cluster->shape++;
    pthread_mutex_unlock(&cluster->home.remote.mutex);
    say.timeout_ms = 300;
    CHECK_ERR(coat_store_run(theirs, &say), COAT_STORE_DOWN);
    for (int i = 0; i < 20; i++)
        watch_turn();
    CHECK_INT(saw.said, 0);
    pthread_mutex_lock(&cluster->home.remote.mutex);
    cluster->epoch -= 1000;
    pthread_mutex_unlock(&cluster->home.remote.mutex);
    hear(theirs);
    end();
}

/** A node that has another name now: what is published by the former is not listened to. */
static void
another_name(void)
{
    redis_cluster *cluster;
    cluster_topology is = {.count = 3};
    uint64_t era;

    begin();
    CHECK_ERR(sign_in(theirs, owner_at(&nodes, 0, 1), 1, 10), COAT_OK);
    cluster = inside(other);
    pthread_mutex_lock(&cluster->home.remote.mutex);
    for (int i = 0; i < 3; i++) {
        (void)snprintf(is.primaries[i].host, sizeof is.primaries[i].host, "127.0.0.1");
        is.primaries[i].port = (uint16_t)strtol(nodes.ports[i], NULL, 10);
        memcpy(is.primaries[i].id, nodes.ids[i], sizeof is.primaries[i].id);
    }
    for (size_t b = 0; b < CLUSTER_BUCKETS; b++)
        is.primary_of[b] = (uint8_t)(b * 3 / CLUSTER_BUCKETS);
    CHECK(cluster_install(cluster, &is, cluster->epoch));
    era = atomic_load(&cluster->seats[cluster->seat_of[0]]->store.watches.era);
    is.primaries[0].id[0] ^= 1;
    CHECK(cluster_install(cluster, &is, cluster->epoch));
    CHECK(atomic_load(&cluster->seats[cluster->seat_of[0]]->store.watches.era) > era);
    pthread_mutex_unlock(&cluster->home.remote.mutex);
    hear(theirs); /* and is put right by what the nodes say */
    end();
}

static void
one_watch(void)
{
    static const coat_watch_sink sink = {{{1}}, on_event, &saw};
    coat_watch *second = NULL;

    begin();
    CHECK_ERR(coat_watch_open(watched, &sink, &second), COAT_EXISTS);
    end();
}

static void
no_right(void)
{
    coat_store_stats stats = {.notice = ""};

    begin();
    (void)server_ask(&nodes.nodes[1], "ACL SETUSER default -subscribe");
    (void)server_ask(&nodes.nodes[1], "CLIENT KILL TYPE pubsub");
    TURN_UNTIL(saw.losts == 1);
    for (int i = 0; i < 4000 && strstr(stats.notice, "may not SUBSCRIBE") == NULL; i++) {
        watch_turn();
        REQUIRE_OK(coat_store_stats_get(store, &stats));
    }
    CHECK(strstr(stats.notice, nodes.ports[1]) != NULL);
    CHECK(!saw.ready);
    CHECK_ERR(sign_in(lane, 1, 1, 10), COAT_OK);
    (void)server_ask(&nodes.nodes[1], "ACL SETUSER default +subscribe");
    TURN_UNTIL(saw.ready);
    end();
}

/** Say it until it is taken. The watch's lane is this thread's too: it has to have its turn. */
static void
say_until(coat_lane *by, int losts)
{
    int64_t patient_ms = real_ms() + PATIENCE_MS;
    coat_err err = COAT_STORE_DOWN;

    saw.said = 0;
    while (err != COAT_OK && saw.losts == losts && real_ms() < patient_ms) {
        coat_store_req say = say_req();

        say.timeout_ms = 50;
        err = coat_store_run(by, &say);
        watch_turn();
    }
    while (saw.said == 0 && saw.losts == losts && real_ms() < patient_ms)
        watch_turn();
    CHECK_INT(saw.said, 0);
    CHECK(saw.losts > losts);
    TURN_UNTIL(saw.ready);
}

/* ---- slots that move ---- */

/** From one node that is listened to to another: nobody has ended. */
static void
moved(void)
{
    uint64_t owner = owner_at(&nodes, 0, 1);

    begin();
    for (uint64_t serial = 1; serial <= 5; serial++)
        CHECK_ERR(sign_in(lane, owner, serial, 10), COAT_OK);
    move_slot(&nodes, slot_of(owner), 0, 1);
    nodes_agree(&nodes);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, owner, 1), COAT_OK); /* where it has gone is known */
    TURN_UNTIL(saw.losts >= 1);
    TURN_UNTIL(saw.ready);
    CHECK_INT(saw.gone, 0);
    CHECK_ERR(run_op(theirs, COAT_OP_REMOVE, owner, 1), COAT_OK);
    hear(theirs);
    CHECK_INT(saw.gone, 1);
    nodes_agree(&nodes);
    move_slot(&nodes, slot_of(owner), 1, 0);
    end();
}

/** To one that is not: what is changed there nobody hears of, so nothing that is said later is
 * heard before LOST, whoever says it. */
static void
moved_away(void)
{
    uint64_t owner = owner_at(&nodes, 0, 1);

    begin();
    for (int round = 0; round < 2; round++) {
        int losts;

        nodes_agree(&nodes);
        CHECK_ERR(sign_in(lane, owner, 1, 10), COAT_OK);
        CHECK_ERR(run_op(theirs, COAT_OP_LOAD, owner, 1), COAT_OK);
        hear(lane);
        losts = saw.losts;
        move_slot(&nodes, slot_of(owner), 0, SPARE);
        CHECK_ERR(run_op(theirs, COAT_OP_REMOVE, owner, 1), COAT_OK);
        say_until(round == 0 ? lane : theirs, losts);
        hear(lane);
        nodes_agree(&nodes);
        move_slot(&nodes, slot_of(owner), SPARE, 0);
        CHECK_ERR(run_op(lane, COAT_OP_LOAD, owner, 1), COAT_NO_SESSION);
        TURN_UNTIL(saw.losts >= losts + 2);
        TURN_UNTIL(saw.ready);
    }
    end();
}

/** There and back, unnoticed: what it held in between nobody has heard of. */
static void
moved_and_back(void)
{
    uint64_t owner = owner_at(&nodes, 0, 1);
    int losts;

    begin();
    nodes_agree(&nodes);
    CHECK_ERR(sign_in(lane, owner, 1, 10), COAT_OK);
    hear(lane);
    losts = saw.losts;
    move_slot(&nodes, slot_of(owner), 0, SPARE);
    CHECK_ERR(run_op(theirs, COAT_OP_REMOVE, owner, 1), COAT_OK);
    nodes_agree(&nodes);
    move_slot(&nodes, slot_of(owner), SPARE, 0);
    nodes_agree(&nodes);
    say_until(lane, losts);
    end();
}

/** Requests are led to a node that is not listened to: it is used once that is LOST. */
static void
answers(void)
{
    uint64_t owner = 1;
    int from = 0;

    begin();
    while (slot_of(owner) >= first_slot(&nodes, from + 1))
        from++;
    CHECK_ERR(sign_in(lane, owner, 1, 10), COAT_OK);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, owner, 1), COAT_OK);
    nodes_agree(&nodes);
    move_slot(&nodes, slot_of(owner), from, SPARE);
    CHECK_ERR(run_op(theirs, COAT_OP_REMOVE, owner, 1), COAT_OK);
    follow(lane, COAT_NO_SESSION);
    nodes_agree(&nodes);
    move_slot(&nodes, slot_of(owner), SPARE, from);
    end();
}

/** The node that gets a slot serves it already, and the one that had it does not know: it has
 * been told that it hands it over, so it says nothing. */
static void
handed_over(void)
{
    uint64_t owner = owner_at(&nodes, 0, 1);
    uint16_t slot = slot_of(owner);
    coat_store_req say = say_req();
    int losts;

    begin();
    nodes_agree(&nodes);
    CHECK_ERR(sign_in(lane, owner, 1, 10), COAT_OK);
    hear(lane);
    hear(theirs);
    losts = saw.losts;
    set_slot(&nodes, SPARE, slot, "IMPORTING", 0);
    set_slot(&nodes, 0, slot, "MIGRATING", SPARE);
    say.timeout_ms = 200;
    CHECK_ERR(coat_store_run(lane, &say), COAT_STORE_DOWN);
    CHECK_ERR(coat_store_run(theirs, &say), COAT_STORE_DOWN);
    set_slot(&nodes, SPARE, slot, "STABLE", -1);
    set_slot(&nodes, 0, slot, "STABLE", -1);
    CHECK_INT(saw.losts, losts);
    hear(lane);
    end();
}

/* ---- a table, as the engine keeps one ---- */

typedef struct teller {
    uint64_t owner;
    _Atomic bool enough;
    _Atomic int told;
} teller;

/** Change a session, then say which version it has now. */
static void *
tell(void *arg)
{
    teller *t = arg;
    coat_lane *by;
    uint64_t version = 0;

    if (coat_lane_open(other, NULL, &by) != COAT_OK)
        return NULL;
    while (!atomic_load(&t->enough)) {
        coat_store_req load = session_req(COAT_OP_LOAD, t->owner, 1);
        coat_store_req put = session_req(COAT_OP_REPLACE, t->owner, 1), say = say_req();
        uint8_t message[8];

        load.timeout_ms = put.timeout_ms = say.timeout_ms = 2000;
        if (version == 0 && coat_store_run(by, &load) == COAT_OK)
            version = load.found_version;
        put.version = version;
        put.value = COAT_LIT("changed");
        version = 0;
        if (put.version == 0 || coat_store_run(by, &put) != COAT_OK)
            continue; /* undecided */
        version = put.found_version;
        coat_store64(message, version);
        say.value = (coat_span){message, sizeof message};
        if (coat_store_run(by, &say) == COAT_OK)
            atomic_fetch_add(&t->told, 1);
    }
    coat_lane_close(by);
    return NULL;
}

typedef struct table {
    bool ready, valid;
    uint64_t version; /* of what it holds */
    coat_handle handle;
    int early, heard, losts, fills;
} table;

static void
on_table(void *ctx, const coat_watch_event *event)
{
    table *t = ctx;

    switch (event->kind) {
    case COAT_WATCH_READY:
    case COAT_WATCH_LOST:
        t->losts += t->ready;
        t->ready = event->kind == COAT_WATCH_READY;
        t->valid = false;
        break;
    case COAT_WATCH_ADDRESS:
        t->valid = t->valid && !coat_handle_equal(&event->address, &t->handle);
        break;
    case COAT_WATCH_SAID:
        t->heard++;
        t->early += t->valid && coat_load64(event->message.ptr) > t->version;
        break;
    default:
        t->valid = false;
        break;
    }
}

static void
fill(table *t, uint64_t owner)
{
    coat_store_req load = session_req(COAT_OP_LOAD, owner, 1);

    load.timeout_ms = 50;
    if (!t->ready || t->valid || coat_store_run(lane, &load) != COAT_OK)
        return;
    t->valid = true;
    t->version = load.found_version;
    t->fills++;
}

/** Its slot goes round meanwhile, also to where nobody listens. */
static void
play(table *t, teller *by, int64_t moves)
{
    static const int round[] = {0, 1, SPARE, 2, SPARE};
    int at = 0, heard = 0, told = 0;
    pthread_t thread;

    REQUIRE(pthread_create(&thread, NULL, tell, by) == 0);
    for (int64_t moved = 0; moved < moves;) {
        int to = (at + 1) % 5;

        fill(t, by->owner);
        watch_turn();
        if (t->heard < heard + TELLS_A_MOVE || !t->valid ||
            atomic_load(&by->told) < told + TELLS_A_MOVE)
            continue;
        move_slot(&nodes, slot_of(by->owner), round[at], round[to]);
        nodes_agree(&nodes); /* moved faster, two would claim it at the same epoch */
        heard = t->heard;
        told = atomic_load(&by->told);
        at = to;
        moved++;
    }
    atomic_store(&by->enough, true);
    (void)pthread_join(thread, NULL);
    nodes_agree(&nodes);
    if (round[at] != 0)
        move_slot(&nodes, slot_of(by->owner), round[at], 0);
}

static void
table_is_true(void)
{
    teller by = {.owner = owner_at(&nodes, 0, 1)};
    table kept = {.handle = handle_of(by.owner, 1)};
    coat_watch_sink sink = {{{2}}, on_table, &kept};
    begin();
    watch_end();
    REQUIRE_OK(coat_lane_open(store, NULL, &watched));
    REQUIRE_OK(coat_watch_open(watched, &sink, &watch));
    CHECK_ERR(sign_in(lane, by.owner, 1, 10), COAT_OK);
    TURN_UNTIL(kept.ready);
    play(&kept, &by, test_scaled(2000, 11));
    CHECK_INT(kept.early, 0);
    CHECK(kept.losts > 0 && kept.fills > 0);
    if (getenv("COAT_TEST_VERBOSE") != NULL)
        printf("# %d told, %d heard, %d lost, %d fills\n", by.told, kept.heard, kept.losts,
               kept.fills);
    end();
}

/* ---- primaries that go ---- */

static void
taken_over(void)
{
    uint64_t owner = owner_at(&nodes, 0, 1);

    begin();
    CHECK_ERR(sign_in(lane, owner, 1, 10), COAT_OK);
    catch_up(lane);
    for (int round = 0; round < 2; round++) {
        int to = round == 0 ? 3 : 0, losts = saw.losts, gone = saw.gone;

        node_must(&nodes.nodes[to], "INFO replication", "master_link_status:up");
        node_must(&nodes.nodes[to], "CLUSTER FAILOVER TAKEOVER", "+OK");
        node_must(&nodes.nodes[3 - to], "INFO replication", "role:slave");
        say_until(lane, losts); /* as each beat does */
        CHECK_ERR(sign_in(theirs, owner, 10 + (uint64_t)round, 10), COAT_OK);
        CHECK_ERR(run_op(theirs, COAT_OP_REMOVE, owner, 10 + (uint64_t)round), COAT_OK);
        hear(theirs);
        CHECK(saw.gone > gone);
    }
    end();
}

static void
dies(void)
{
    begin();
    server_kill(&nodes.nodes[4], SIGKILL); /* so that nobody takes over */
    server_kill(&nodes.nodes[1], SIGKILL);
    TURN_UNTIL(saw.losts == 1);
    CHECK(!saw.ready);
    CHECK_ERR(sign_in(lane, owner_at(&nodes, 0, 1), 1, 10), COAT_OK);
    node_start(&nodes, 1);
    TURN_UNTIL(saw.ready);
    hear(theirs);
    CHECK_ERR(run_op(theirs, COAT_OP_REMOVE, owner_at(&nodes, 0, 1), 1), COAT_OK);
    catch_up(theirs);
    CHECK_INT(saw.gone, 1);
    end();
}

int
main(int argc, char **argv)
{
    static const coat_test tests[] = {
        {"RV-2: changes on each node of a cluster are reported", each_node},
        {"RV-2: what others delete or flush on a node is reported, and is not said to have "
         "ended",
         by_hand},
        {"RV-1: a message is heard once all nodes have said it", by_all},
        {"RV-2: a message of who sees another cluster is not heard before LOST",
         by_another_cluster},
        {"RV-1: of too many messages that not all nodes have said the oldest is forgotten",
         too_many},
        {"RV-2: what is no message of ours is LOST, and what comes over the bus is nothing",
         nonsense},
        {"RV-1: while a node is silent nothing is said", one_is_silent},
        {"RV-2: while a node is behind the last change nothing is said", one_is_behind},
        {"RV-2: a node of another name is greeted anew", another_name},
        {"a lane has one watch", one_watch},
        {"RV-2: without the right to subscribe on one node it is never ready, and says which",
         no_right},
        {"RV-2: a slot that moves ends nobody's session", moved},
        {"RV-2: nothing that is said after a change on a new node is heard before LOST",
         moved_away},
        {"RV-2: a slot that was away and is back is LOST", moved_and_back},
        {"RV-2: while a slot is being handed over nothing is said", handed_over},
        {"RV-2 SF-5: no answer of a node that is not listened to before LOST", answers},
        {"RV-2: what is kept is never older than what was said, while slots move",
         table_is_true},
        {"RV-2 SF-5: a replica that takes over is listened to", taken_over},
        {"RV-2 SF-11: a node that dies is LOST, and READY when it is back", dies},
    };
    int rc = coat_test_main(argc, argv, tests, sizeof tests / sizeof tests[0]);

    nodes_stop(&nodes);
    return rc;
}
