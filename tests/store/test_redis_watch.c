/* SPDX-License-Identifier: Apache-2.0 */
/** Watching a real server: what others do to it, losing it, and changing to another one. */

#include "fault_proxy.h"
#include "redis_fixture.h"
#include "watch_seen.h"

static redis_server first = {
    .args = {"--save", "", "--appendonly", "no", "--notify-keyspace-events", "Egxe"}};
static redis_server second = {.args = {"--save", "", "--appendonly", "no"}};
static fault_proxy proxy;
static coat_store *store;
static coat_lane *lane;

static void
begin_url(const char *url)
{
    coat_store_conf conf = {.url = url};

    REQUIRE_OK(coat_redis_ops.open(&conf, &store));
    REQUIRE_OK(coat_lane_open(store, NULL, &lane));
    watch_begin(store);
}

static void
begin(void)
{
    char url[200];

    if (first.pid == 0)
        server_start(&first);
    (void)server_ask(&first, "FLUSHALL");
    (void)snprintf(url, sizeof url, "redis+unix:%s", first.socket);
    begin_url(url);
}

static void
end(void)
{
    watch_end();
    coat_lane_close(lane);
    coat_store_close(store);
}

static const char *
notice(void)
{
    static coat_store_stats stats;

    REQUIRE_OK(coat_store_stats_get(store, &stats));
    return stats.notice;
}

static void
by_hand(void)
{
    coat_handle handle = handle_of(1, 1);

    begin();
    CHECK(strstr(notice(), "notify-keyspace-events") == NULL);
    CHECK_ERR(sign_in(lane, 1, 1, 10), COAT_OK);
    catch_up(lane);
    CHECK_INT(saw.addresses, 0); /* one's own insert need not be */
    CHECK(strncmp(server_ask(&first, "DEL %s", server_key("coat", handle_of(1, 1))), ":1", 2) ==
          0);
    catch_up(lane);
    CHECK_INT(saw.gone, 1);
    CHECK(coat_handle_equal(&saw.last, &handle));
    CHECK_ERR(sign_in(lane, 1, 2, 10), COAT_OK);
    CHECK(strncmp(server_ask(&first, "PEXPIRE %s 1", server_key("coat", handle_of(1, 2))), ":1",
                  2) == 0);
    for (int i = 0;
         i < 4000 && strncmp(server_ask(&first, "GET %s", server_key("coat", handle_of(1, 2))),
                             "$-1", 3) != 0;
         i++)
        server_sleep();
    catch_up(lane);
    CHECK_INT(saw.gone, 2);
    /* Evicted: for want of memory, by a policy that should not be set. */
    CHECK_ERR(sign_in(lane, 1, 3, 10), COAT_OK);
    (void)server_ask(&first, "CONFIG SET maxmemory-policy allkeys-random");
    (void)server_ask(&first, "CONFIG SET maxmemory 1");
    (void)server_ask(&first, "SET x 1");
    (void)server_ask(&first, "CONFIG SET maxmemory 0");
    (void)server_ask(&first, "CONFIG SET maxmemory-policy noeviction");
    catch_up(lane);
    CHECK_INT(saw.gone, 3);
    CHECK_ERR(run_op(lane, COAT_OP_REMOVE_OWNER, 1, 0), COAT_OK);
    CHECK(strncmp(server_ask(&first, "DEL %.22s}:e", server_key("coat", handle_of(1, 1))), ":1",
                  2) == 0);
    catch_up(lane);
    CHECK_INT(saw.owners, 2);
    CHECK_INT(saw.epoch, 0);
    CHECK_INT(saw.losts, 0);
    end();
}

/** A flush is told of whatever the server's settings are; what is not told of is said. */
static void
flushes(void)
{
    static const char *const how[] = {"FLUSHALL", "FLUSHDB", "FLUSHALL ASYNC"};

    begin();
    end();
    (void)server_ask(&first, "CONFIG SET notify-keyspace-events \"\"");
    begin();
    CHECK(strstr(notice(), "notify-keyspace-events without Egxe") != NULL);
    for (size_t i = 0; i < sizeof how / sizeof how[0]; i++) {
        int before = saw.alls;

        CHECK_ERR(sign_in(lane, 1, 1 + i, 10), COAT_OK);
        CHECK(strncmp(server_ask(&first, "%s", how[i]), "+OK", 3) == 0);
        catch_up(lane);
        CHECK(saw.alls > before);
    }
    end();
    (void)server_ask(&first, "CONFIG SET notify-keyspace-events Egxe");
}

static void
whose(void)
{
    coat_store *other;
    coat_lane *theirs;
    coat_store_conf conf = {.url = NULL};
    char url[200];

    begin();
    (void)snprintf(url, sizeof url, "redis+unix:%s", first.socket);
    conf.url = url;
    REQUIRE_OK(coat_redis_ops.open(&conf, &other));
    REQUIRE_OK(coat_lane_open(other, NULL, &theirs));
    tell_whose(lane, theirs);
    coat_lane_close(theirs);
    coat_store_close(other);
    end();
}

static void
cut(void)
{
    begin();
    for (int round = 1; round <= 5; round++) {
        CHECK(strncmp(server_ask(&first, "CLIENT KILL TYPE pubsub"), ":", 1) == 0);
        TURN_UNTIL(saw.losts == round);
        TURN_UNTIL(saw.ready);
        CHECK_ERR(sign_in(lane, 1, (uint64_t)round, 10), COAT_OK);
        CHECK_ERR(run_op(lane, COAT_OP_REMOVE, 1, (uint64_t)round), COAT_OK);
        catch_up(lane);
        CHECK(saw.gone >= round);
    }
    /* What is published there and not by us: nobody knows what it stands for. */
    CHECK(server_ask(&first, "PUBLISH coat:0:changes nonsense")[0] == ':');
    TURN_UNTIL(saw.losts == 6);
    TURN_UNTIL(saw.ready);
    end();
}

static void
no_right(void)
{
    begin();
    (void)server_ask(&first, "ACL SETUSER default -subscribe");
    (void)server_ask(&first, "CLIENT KILL TYPE pubsub");
    TURN_UNTIL(strstr(notice(), "may not SUBSCRIBE") != NULL);
    CHECK(!saw.ready);
    CHECK_ERR(sign_in(lane, 1, 1, 10), COAT_OK); /* the store serves all the same */
    (void)server_ask(&first, "ACL SETUSER default +subscribe");
    TURN_UNTIL(saw.ready);
    CHECK(strstr(notice(), "SUBSCRIBE") == NULL);
    end();
}

/** Without the right to publish no change could be told of: so none is made. */
static void
no_publishing(void)
{
    begin();
    (void)server_ask(&first, "ACL SETUSER default resetchannels");
    (void)server_ask(&first, "CLIENT KILL TYPE normal");
    CHECK(sign_in(lane, 1, 1, 10) != COAT_OK);
    (void)server_ask(&first, "ACL SETUSER default allchannels");
    end();
}

/* ---- another server ---- */

/** A proxy leads new connections to another server, as a failover or a balancer would. */
static void
another_server(void)
{
    char url[200];

    begin();
    end();
    if (second.pid == 0)
        server_start(&second);
    (void)snprintf(proxy.upstream_path, sizeof proxy.upstream_path, "%s", first.socket);
    proxy_start(&proxy, 3);
    (void)snprintf(url, sizeof url, "redis://127.0.0.1:%d", proxy.port);
    begin_url(url);
    CHECK_ERR(sign_in(lane, 1, 1, 10), COAT_OK);
    for (int round = 0; round < 6; round++) {
        const redis_server *from = round % 2 == 0 ? &first : &second;
        const redis_server *to = round % 2 == 0 ? &second : &first;

        (void)snprintf(proxy.upstream_path, sizeof proxy.upstream_path, "%s", to->socket);
        (void)server_ask(from, "CLIENT KILL TYPE normal");
        follow(lane, round % 2 == 0 ? COAT_NO_SESSION : COAT_OK);
        CHECK(strcmp(((remote_watch *)watch)->server,
                     ((redis_store *)store)->watches.serving) == 0);
    }
    end();
    proxy_stop(&proxy);
}

static void
demoted(void)
{
    coat_err err = COAT_OK;

    begin();
    CHECK_ERR(sign_in(lane, 1, 1, 10), COAT_OK);
    CHECK(server_ask(&first, "REPLICAOF 127.0.0.1 1")[0] == '+');
    CHECK_ERR(sign_in(lane, 1, 2, 10), COAT_STORE_DOWN); /* READONLY */
    TURN_UNTIL(saw.losts == 1);
    /* Nor is anything read from it any more, on whatever connection. */
    err = run_op(lane, COAT_OP_LOAD, 1, 1);
    CHECK_ERR(err, COAT_STORE_DOWN);
    CHECK(!saw.ready);
    CHECK(server_ask(&first, "REPLICAOF NO ONE")[0] == '+');
    TURN_UNTIL(saw.ready);
    for (int i = 0; i < 4000 && err != COAT_OK; i++) {
        err = run_op(lane, COAT_OP_LOAD, 1, 1);
        server_sleep();
    }
    CHECK_ERR(err, COAT_OK);
    end();
}

/** A sign-in over another session, which a full server refuses, leaves that one as it is. */
static void
refused(void)
{
    coat_store_req epochs = session_req(COAT_OP_EPOCHS, 1, 0);
    coat_store_req over = session_req(COAT_OP_INSERT, 1, 2);

    CHECK_ERR(coat_store_run(lane, &epochs), COAT_OK);
    over.epoch_owner = epochs.epoch_owner;
    over.epoch_global = epochs.epoch_global;
    over.has_superseded = true;
    over.superseded = handle_of(1, 1);
    CHECK_ERR(coat_store_run(lane, &over), COAT_STORE_FULL);
    catch_up(lane);
    CHECK_INT(saw.gone, 0);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 1), COAT_OK);
}

static void
full(void)
{
    coat_store_req say = say_req();

    begin();
    CHECK_ERR(sign_in(lane, 1, 1, 10), COAT_OK);
    (void)server_ask(&first, "CONFIG SET maxmemory 1");
    CHECK_ERR(sign_in(lane, 1, 2, 10), COAT_STORE_FULL);
    refused();
    CHECK_ERR(coat_store_run(lane, &say), COAT_OK); /* leases go on */
    CHECK_ERR(run_op(lane, COAT_OP_REMOVE, 1, 1), COAT_OK);
    catch_up(lane);
    CHECK(saw.gone >= 1);
    CHECK_ERR(run_op(lane, COAT_OP_REMOVE_OWNER, 1, 0), COAT_OK);
    CHECK_ERR(run_op(lane, COAT_OP_END_ALL, 1, 0), COAT_OK);
    catch_up(lane);
    CHECK(saw.owners >= 1 && saw.alls >= 1);
    (void)server_ask(&first, "CONFIG SET maxmemory 0");
    end();
}

static const coat_test tests[] = {
    {"RV-2: what others delete, expire and evict is reported", by_hand},
    {"RV-2: a flush is reported whatever is set, and what is not reported is said", flushes},
    {"quiet changes are not reported, and one's own are known", whose},
    {"RV-2: a subscription that is cut is LOST, then READY again", cut},
    {"RV-2: without the right to subscribe it is never ready, and says why", no_right},
    {"RV-2: without the right to publish nothing is changed", no_publishing},
    {"RV-2 RV-5: no answer of another server before LOST", another_server},
    {"RV-2 SF-5: a server that became a replica is LOST, and not read from", demoted},
    {"RV-1 SF-3: a full server still tells and is told", full},
};

int
main(int argc, char **argv)
{
    int rc = coat_test_main(argc, argv, tests, sizeof tests / sizeof tests[0]);

    server_stop(&first);
    server_stop(&second);
    return rc;
}
