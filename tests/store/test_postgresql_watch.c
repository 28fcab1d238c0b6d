/* SPDX-License-Identifier: Apache-2.0 */
/** Watching a real server: what others do to it, losing it, and changing to another one. */

#include "fault_proxy.h"
#include "pg_kit.h"
#include "watch_seen.h"

static pg_server second = {.args = {"fsync=off", "full_page_writes=off"}};

static void
open_watched(void)
{
    begin();
    watch_begin(store);
}

static void
close_watched(void)
{
    watch_end();
    end();
}

static const char *
notice(void)
{
    static coat_store_stats stats;

    REQUIRE_OK(coat_store_stats_get(store, &stats));
    return stats.notice;
}

/** As psql would, by somebody who knows nothing of us. */
#define BY_HAND(...) CHECK(sql(__VA_ARGS__)[0] == '\0')

static void
cut_listeners(void)
{
    (void)server_sql(&server, "SELECT count(pg_terminate_backend(pid, 1000)) FROM "
                              "pg_stat_activity WHERE usename = 'coatcheck' AND query LIKE "
                              "'LISTEN%%'");
}

static void
by_hand(void)
{
    coat_handle handle = handle_of(1, 1);

    open_watched();
    CHECK_ERR(sign_in(lane, 1, 1, 10), COAT_OK);
    CHECK_ERR(sign_in(lane, 1, 2, 10), COAT_OK);
    catch_up(lane);
    CHECK_INT(saw.addresses, 0); /* one's own insert need not be */
    BY_HAND("UPDATE sessions SET expires_ms = 1 WHERE address = substr(address, 1, 8) || owner "
            "AND get_byte(address, 7) = 1");
    catch_up(lane);
    CHECK_INT(saw.addresses, 1);
    CHECK(coat_handle_equal(&saw.last, &handle));
    BY_HAND("UPDATE sessions SET owner = owner"); /* nothing has changed */
    BY_HAND("UPDATE sessions SET epoch_owner = epoch_owner + 1");
    catch_up(lane);
    CHECK_INT(saw.addresses, 1);
    BY_HAND("UPDATE sessions SET epoch_owner = epoch_owner - 1 WHERE get_byte(address, 7) = 1");
    BY_HAND("UPDATE sessions SET value = 'other' WHERE get_byte(address, 7) = 1");
    catch_up(lane);
    CHECK_INT(saw.addresses, 3);
    BY_HAND("DELETE FROM sessions");
    catch_up(lane);
    CHECK_INT(saw.gone, 2);
    CHECK_INT(saw.own, 0);
    CHECK_ERR(run_op(lane, COAT_OP_REMOVE_OWNER, 1, 0), COAT_OK);
    BY_HAND("DELETE FROM owners"); /* what it had ended would be back */
    catch_up(lane);
    CHECK_INT(saw.owners, 2);
    CHECK_INT(saw.epoch, 0);
    CHECK_INT(saw.losts + saw.alls, 0);
    BY_HAND("TRUNCATE sessions");
    BY_HAND("TRUNCATE owners");
    BY_HAND("UPDATE state SET epoch = epoch + 5");
    catch_up(lane);
    CHECK_INT(saw.alls, 3);
    CHECK(saw.epoch >= 5);
    BY_HAND("DELETE FROM state");
    BY_HAND("INSERT INTO state VALUES (true, 1)");
    catch_up(lane);
    CHECK_INT(saw.alls, 5);
    CHECK(saw.epoch >= 5); /* what was seen once is the least that counts */
    close_watched();
}

/** Whatever the number, it is told of: one by one, or as a whole. */
static void
in_bulk(void)
{
    enum { SOME = 450, MANY = 1100 };
    coat_err err;

    open_watched();
    CHECK_INT(sign_in_many(lane, 1, 1, SOME + 1, 10, &err), SOME);
    BY_HAND("SET session_replication_role = replica; DELETE FROM sessions");
    catch_up(lane);
    CHECK_INT(saw.gone, SOME);
    CHECK_INT(saw.alls, 0);
    CHECK_INT(sign_in_many(lane, 1, 1, MANY + 1, 10, &err), MANY);
    BY_HAND("UPDATE sessions SET expires_ms = 1");
    catch_up(lane);
    CHECK(saw.alls == 1 && saw.epoch == 0);
    CHECK_INT(saw.gone, SOME);
    /* What is swept was dead before, and told of. */
    CHECK_INT(sweep_all(lane, NOW_MS), MANY);
    catch_up(lane);
    CHECK_INT(saw.alls + saw.gone, SOME + 1);
    close_watched();
}

static void
whose(void)
{
    coat_store *other;
    coat_lane *theirs;
    char url[200], message[300];
    coat_store_conf conf = {.url = url, .message = message, .message_cap = sizeof message};

    open_watched();
    server_url(&server, url, sizeof url, "");
    REQUIRE_OK(server_open_url(&conf, &other));
    REQUIRE_OK(coat_lane_open(other, NULL, &theirs));
    tell_whose(lane, theirs);
    CHECK_INT(saw.gone, 1);
    coat_lane_close(theirs);
    coat_store_close(other);
    close_watched();
}

/** One that is dead is not what was spared; nor is a later end of the same owner's. */
static void
spared(void)
{
    coat_store_req out;
    coat_handle none = {{0}}, kept = handle_of(1, 1);

    open_watched();
    CHECK_ERR(sign_in(lane, 1, 1, 10), COAT_OK);
    for (int i = 0; i < 3; i++) {
        out = session_req(COAT_OP_REMOVE_OWNER, 1, 0);
        out.has_spare = i < 2;
        out.spare = handle_of(1, i == 0 ? 1 : 2);
        REQUIRE_OK(coat_store_run(lane, &out));
        catch_up(lane);
        CHECK(coat_handle_equal(&saw.spare, i == 0 ? &kept : &none));
        CHECK(saw.epoch == out.epoch_owner);
    }
    CHECK_INT(saw.owners, 3);
    CHECK_INT(saw.addresses, 0);
    close_watched();
}

static void
cut(void)
{
    open_watched();
    for (int round = 1; round <= 2; round++) {
        cut_listeners();
        TURN_UNTIL(saw.losts == round);
        TURN_UNTIL(saw.ready);
        CHECK_ERR(sign_in(lane, 1, (uint64_t)round, 10), COAT_OK);
        CHECK_ERR(run_op(lane, COAT_OP_REMOVE, 1, (uint64_t)round), COAT_OK);
        catch_up(lane);
        CHECK(saw.gone >= round);
    }
    /* What comes by our channel and not from us: nobody knows what it stands for. */
    (void)sql("SELECT pg_notify(channel, 'nonsense') FROM watching");
    TURN_UNTIL(saw.losts == 3);
    TURN_UNTIL(saw.ready);
    close_watched();
}

/** Nothing is trusted that would go unheard. */
static void
untold(void)
{
    static const char *const undo[][3] = {
        {"ALTER TABLE sessions DISABLE TRIGGER tell_delete",
         "ALTER TABLE sessions ENABLE ALWAYS TRIGGER tell_delete", "triggers"},
        {"ALTER TABLE owners ENABLE TRIGGER tell_change",
         "ALTER TABLE owners ENABLE ALWAYS TRIGGER tell_change", "triggers"},
        {"ALTER TABLE watching RENAME TO other", "ALTER TABLE other RENAME TO watching",
         "watching"},
    };

    open_watched();
    for (size_t i = 0; i < sizeof undo / sizeof undo[0]; i++) {
        int losts = saw.losts;

        test_case(undo[i][0]);
        BY_HAND("%s", undo[i][0]);
        cut_listeners();
        TURN_UNTIL(saw.losts > losts && strstr(notice(), undo[i][2]) != NULL);
        CHECK(strstr(notice(), "not heard of") != NULL && !saw.ready);
        CHECK_ERR(sign_in(lane, 1, i + 1, 10), COAT_OK); /* the store serves all the same */
        BY_HAND("%s", undo[i][1]);
        TURN_UNTIL(saw.ready);
        CHECK(strstr(notice(), "not heard of") == NULL);
    }
    test_case(NULL);
    /* Without a channel nothing could be told: so nothing is changed. */
    CHECK_ERR(sign_in(lane, 2, 1, 10), COAT_OK);
    BY_HAND("ALTER TABLE watching RENAME TO other; CREATE TABLE watching AS SELECT true AS one,"
            " ''::text AS channel; GRANT SELECT ON watching TO coatcheck");
    CHECK(run_op(lane, COAT_OP_REMOVE, 2, 1) != COAT_OK);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 2, 1), COAT_OK);
    close_watched();
}

/** A full queue, a lost race: nothing has happened, and nothing is said twice. */
static void
refused(void)
{
    coat_store_req say = say_req();

    open_watched();
    CHECK_ERR(sign_in(lane, 1, 1, 10), COAT_OK);
    fail_next("54000", 1); /* "too many notifications in the NOTIFY queue" */
    CHECK_ERR(run_op(lane, COAT_OP_REMOVE, 1, 1), COAT_STORE_DOWN);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 1), COAT_OK);
    (void)sql("CREATE TRIGGER stumble BEFORE INSERT OR UPDATE ON members FOR EACH ROW EXECUTE "
              "FUNCTION stumble()");
    fail_next("40001", 1);
    CHECK_ERR(coat_store_run(lane, &say), COAT_STORE_DOWN);
    CHECK(strcmp(sql("SELECT last_value FROM failures"), "1") == 0);
    catch_up(lane);
    CHECK_INT(saw.said, 1);
    BY_HAND("INSERT INTO members SELECT decode(lpad(n::text, 32, '0'), 'hex'), 1 FROM "
            "generate_series(2, 1000) n");
    say = say_req();
    CHECK_ERR(coat_store_run(lane, &say), COAT_OK); /* one of the thousand */
    say = say_req();
    say.address.bytes[0] = 0xff;
    CHECK_ERR(coat_store_run(lane, &say), COAT_TOO_MANY);
    close_watched();
}

/* ---- another server ---- */

static void
lead_to(fault_proxy *proxy, const pg_server *to)
{
    (void)snprintf(proxy->upstream_path, sizeof proxy->upstream_path, "%.107s", to->socket);
}

/** A store and its watch on the first of two servers, by way of a proxy. */
static void
open_led(fault_proxy *proxy)
{
    char url[200], message[300];
    coat_store_conf conf = {.url = url, .message = message, .message_cap = sizeof message};
    uint32_t from, to;

    begin();
    end();
    server_start(&second);
    second.schema = server.schema;
    server_url(&second, url, sizeof url, "");
    REQUIRE_OK(pg_migrate(&conf, &from, &to));
    lead_to(proxy, &server);
    proxy_start(proxy, 3);
    (void)snprintf(url, sizeof url, "postgresql://127.0.0.1:%d?schema=t%d", proxy->port,
                   server.schema);
    REQUIRE_OK(server_open_url(&conf, &store));
    take_store();
    watch_begin(store);
}

static void
close_led(fault_proxy *proxy)
{
    close_watched();
    proxy_stop(proxy);
    server_stop(&second);
}

static void
cut_requests(const pg_server *s)
{
    (void)server_sql(s, "SELECT count(pg_terminate_backend(pid, 1000)) FROM pg_stat_activity "
                        "WHERE usename = 'coatcheck' AND query NOT LIKE 'LISTEN%%'");
}

/** A proxy leads new connections to another server, as a failover or a balancer would. */
static void
another_server(void)
{
    static fault_proxy proxy;

    open_led(&proxy);
    CHECK_ERR(sign_in(lane, 1, 1, 10), COAT_OK);
    for (int round = 0; round < 2; round++) {
        const pg_server *was = round % 2 == 0 ? &server : &second;
        const pg_server *is = round % 2 == 0 ? &second : &server;

        lead_to(&proxy, is);
        cut_requests(was);
        follow(lane, round % 2 == 0 ? COAT_NO_SESSION : COAT_OK);
        CHECK(strcmp(((remote_watch *)watch)->server, inside()->watches.serving) == 0);
    }
    close_led(&proxy);
}

/** A connection is lost to us while its write waits for a lock in the first server. */
static void
doubt_a_write(coat_store_req *put)
{
    static const char waiting[] =
        "SELECT count(*) FROM pg_stat_activity WHERE usename = 'coatcheck' AND "
        "wait_event_type = 'Lock'";

    coat_store_submit(lane, put);
    for (int i = 0; i < 4000 && strcmp(server_sql(&server, waiting), "1") != 0; i++)
        turn(1);
    REQUIRE(strcmp(server_sql(&server, waiting), "1") == 0);
    REQUIRE(remote_pending_of(put)->link != NULL);
    pg_fail((pg_link *)remote_pending_of(put)->link, "cut");
    CHECK_ERR(put->result, COAT_STORE_DOWN);
    CHECK_INT(inside()->doubt_count, 1);
    CHECK_STR(inside()->doubts[0].server, inside()->watches.serving);
}

static bool
waits_elsewhere(void)
{
    remote_lane *r = (remote_lane *)lane;

    for (uint32_t i = 0; i < inside()->remote.links; i++) {
        const pg_link *link = (const pg_link *)r->links[i];

        if (link->greeted && link->base.state != REMOTE_READY &&
            strcmp(link->server, inside()->watches.serving) != 0)
            return true;
    }
    return false;
}

/** One of the lane's connections is greeted by the second server. The watch's lane has no turn:
 * it stays ready on the first. */
static void
be_greeted_elsewhere(fault_proxy *proxy)
{
    lead_to(proxy, &second);
    for (int i = 0; i < 4000 && !waits_elsewhere(); i++) {
        coat_store_req req = session_req(COAT_OP_EPOCHS, 1, 0);

        req.timeout_ms = 50;
        (void)!coat_store_run(lane, &req); /* another connection may still serve */
        atomic_fetch_add(&ahead_ms, 200);
        turn(1);
    }
    REQUIRE(waits_elsewhere());
    CHECK(saw.ready);
}

/** What is in doubt on a server is not decided because another one knows nothing of it. */
static void
doubts_of_another(void)
{
    static fault_proxy proxy;

    open_led(&proxy);
    for (int back = 1; back >= 0; back--) {
        coat_store_req get = session_req(COAT_OP_LOAD, 1, 1);
        coat_store_req put = session_req(COAT_OP_REPLACE, 1, 1);
        PGconn *holder;

        test_case(back != 0 ? "the first server serves on" : "the second one serves");
        if (back != 0)
            CHECK_ERR(sign_in(lane, 1, 1, 10), COAT_OK);
        REQUIRE_OK(coat_store_run(lane, &get));
        put.version = get.found_version;
        put.value = COAT_LIT("changed");
        holder = hold("postgres", "SELECT FROM sessions FOR UPDATE");
        doubt_a_write(&put);
        be_greeted_elsewhere(&proxy);
        CHECK_INT(inside()->doubt_count, 1);
        if (back != 0) {
            lead_to(&proxy, &server);
            cut_requests(&second);
        } else {
            cut_requests(&server);
            follow(lane, COAT_NO_SESSION);
        }
        CHECK_ERR(come_back(), COAT_OK);
        CHECK_ERR(run_op(lane, COAT_OP_SWEEP, 0, 0), COAT_OK);
        CHECK_INT(inside()->doubt_count, 0);
        PQfinish(holder);
        if (back != 0) {
            REQUIRE_OK(coat_store_run(lane, &get));
            CHECK(get.found_version == put.version); /* it has not happened, and never will */
            TURN_UNTIL(saw.ready);
        }
    }
    test_case(NULL);
    close_led(&proxy);
}

static void
standby_signal(void)
{
    char path[160];
    int fd;

    (void)snprintf(path, sizeof path, "%s/standby.signal", server.data);
    fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0666);
    REQUIRE(fd >= 0 && fchmod(fd, 0666) == 0);
    (void)close(fd);
}

/** The same cluster as a standby, and promoted. */
static void
standby(void)
{
    char before[REMOTE_SERVER_MAX];
    coat_store_stats stats;

    open_watched();
    CHECK_ERR(sign_in(lane, 1, 1, 10), COAT_OK);
    memcpy(before, inside()->watches.serving, sizeof before);
    server_stop(&server);
    standby_signal();
    server_start(&server);
    CHECK(strcmp(server_sql(&server, "SELECT pg_is_in_recovery()"), "t") == 0);
    TURN_UNTIL(saw.losts == 1);
    TURN_UNTIL(strstr((coat_store_stats_get(store, &stats) == COAT_OK ? stats.notice : ""),
                      "read-only") != NULL);
    for (int i = 0; i < 10; i++) {
        atomic_fetch_add(&ahead_ms, 1300);
        turn(2);
        CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 1), COAT_STORE_DOWN);
        CHECK_ERR(run_op(lane, COAT_OP_REMOVE, 1, 1), COAT_STORE_DOWN);
        watch_turn();
    }
    CHECK(!saw.ready);
    CHECK(strcmp(server_sql(&server, "SELECT pg_promote()"), "t") == 0);
    CHECK_ERR(come_back(), COAT_OK);
    TURN_UNTIL(saw.ready);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 1), COAT_OK);
    CHECK(strcmp(before, inside()->watches.serving) != 0);
    CHECK_ERR(run_op(lane, COAT_OP_REMOVE, 1, 1), COAT_OK);
    catch_up(lane);
    CHECK_INT(saw.gone, 1);
    close_watched();
}

/** It becomes read-only under our feet: whoever is told so tells the watch. */
static void
turned_read_only(void)
{
    open_watched();
    CHECK_ERR(sign_in(lane, 1, 1, 10), COAT_OK);
    fail_next("25006", 1);
    CHECK_ERR(sign_in(lane, 1, 2, 10), COAT_STORE_DOWN);
    TURN_UNTIL(saw.losts == 1);
    CHECK_ERR(come_back(), COAT_OK);
    TURN_UNTIL(saw.ready);
    close_watched();
}

static const coat_test tests[] = {
    {"RV-2: what others change, delete and truncate by hand is reported", by_hand},
    {"RV-2: many at once are reported, one by one or as all", in_bulk},
    {"quiet changes are not reported, and one's own are known", whose},
    {"RV-4: who is spared is said, and nobody else", spared},
    {"RV-2: a connection that is cut is LOST, then READY again", cut},
    {"RV-2: without its triggers it is never ready; without its channel nothing changes",
     untold},
    {"RV-1 SF-9: what is refused has not happened, and nothing is said twice", refused},
    {"RV-2 RV-5: no answer of another server before LOST", another_server},
    {"SF-2 SF-5: what is in doubt on a server is not decided by another one",
     doubts_of_another},
    {"RV-2 SF-5 SF-9: a standby is LOST and not read from; promoted, it is another server",
     standby},
    {"RV-2 SF-5: a server that refuses to write is LOST", turned_read_only},
};

int
main(int argc, char **argv)
{
    int rc = coat_test_main(argc, argv, tests, sizeof tests / sizeof tests[0]);

    server_stop(&server);
    server_stop(&second);
    return rc;
}
