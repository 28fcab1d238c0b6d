/* SPDX-License-Identifier: Apache-2.0 */
/** What a real server does beside answering: failing, being slow, dying, being away. */

#include "fault_proxy.h"
#include "pg_kit.h"

#include <poll.h>

/** The one that has been given what was just submitted. */
static pg_link *
busy_link(void)
{
    remote_lane *r = (remote_lane *)lane;

    for (uint32_t i = 0; i < inside()->remote.links; i++) {
        pg_link *link = (pg_link *)r->links[i];

        if (r->links[i]->state == REMOTE_READY && link->due_count > 0)
            return link;
    }
    test_abort();
    return NULL;
}

/** The numbers of all connections, once there is none to be made. */
static uint64_t
connections(void)
{
    remote_lane *r = (remote_lane *)lane;
    uint64_t sum = 0;

    for (uint32_t i = 0; i < inside()->remote.links; i++) {
        while (r->links[i]->state != REMOTE_READY)
            REQUIRE(run_op(lane, COAT_OP_LOAD, 1, 1) != COAT_IO);
        sum += ((pg_link *)r->links[i])->connection;
    }
    return sum;
}

/** What a pooler does when it restarts, or an administrator. */
static void
cut_all(void)
{
    (void)server_sql(&server, "SELECT count(pg_terminate_backend(pid, 1000)) FROM "
                              "pg_stat_activity WHERE usename = 'coatcheck'");
}

static long
stumbled(void)
{
    return strtol(sql("SELECT last_value FROM failures"), NULL, 10);
}

static void
retried(void)
{
    static const char *const states[] = {"40001", "40P01"};

    begin();
    for (size_t i = 0; i < 2; i++) {
        uint64_t owner = i + 1;

        test_case(states[i]);
        CHECK_ERR(sign_in(lane, owner, 1, 10), COAT_OK);
        fail_next(states[i], 3);
        CHECK_ERR(replace(owner, 1, 20), COAT_OK); /* at the fourth time */
        CHECK_INT(stumbled(), 4);
        fail_next(states[i], 3);
        CHECK_ERR(sign_in(lane, owner, 2, 10), COAT_OK);
        fail_next(states[i], 3);
        CHECK_ERR(run_op(lane, COAT_OP_REMOVE, owner, 2), COAT_OK);
        CHECK_ERR(run_op(lane, COAT_OP_LOAD, owner, 2), COAT_NO_SESSION);
        /* No more than three times again; then nothing has happened, neither half nor whole. */
        fail_next(states[i], 1000);
        CHECK_ERR(replace(owner, 1, 30), COAT_STORE_DOWN);
        CHECK_INT(stumbled(), 4);
        CHECK_ERR(sign_in(lane, owner, 3, 10), COAT_STORE_DOWN);
        CHECK_ERR(run_op(lane, COAT_OP_REMOVE, owner, 1), COAT_STORE_DOWN);
        CHECK_ERR(run_op(lane, COAT_OP_LOAD, owner, 1), COAT_OK);
        CHECK_ERR(run_op(lane, COAT_OP_LOAD, owner, 3), COAT_NO_SESSION);
        CHECK(strcmp(sql("SELECT octet_length(value) FROM sessions"), "20") == 0);
        fail_next(states[i], 0);
    }
    test_case(NULL);
    end();
}

/** A superseding sign-in that fails in its last step leaves what was there. */
static void
never_half(void)
{
    coat_store_req in, epochs;

    begin();
    CHECK_ERR(sign_in(lane, 1, 1, 10), COAT_OK);
    (void)sql("CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE "
              "EXCEPTION 'no' USING ERRCODE = '40001'; END $$; CREATE TRIGGER no BEFORE INSERT "
              "ON sessions FOR EACH ROW EXECUTE FUNCTION no()");
    epochs = session_req(COAT_OP_EPOCHS, 1, 0);
    REQUIRE_OK(coat_store_run(lane, &epochs));
    in = session_req(COAT_OP_INSERT, 1, 2);
    in.has_superseded = true;
    in.superseded = handle_of(1, 1);
    in.epoch_owner = epochs.epoch_owner;
    in.epoch_global = epochs.epoch_global;
    in.owner_max = 1;
    in.owner_evict = true;
    CHECK_ERR(coat_store_run(lane, &in), COAT_STORE_DOWN);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 1), COAT_OK);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 2), COAT_NO_SESSION);
    (void)sql("DROP TRIGGER no ON sessions");
    CHECK_ERR(coat_store_run(lane, &in), COAT_OK);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 1), COAT_NO_SESSION);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 2), COAT_OK);
    end();
}

/** A change that the server says nothing about, and does not make, is not asked for for ever.
 */
static void
swallowed(void)
{
    begin();
    CHECK_ERR(sign_in(lane, 1, 1, 10), COAT_OK);
    (void)sql(
        "CREATE FUNCTION quiet() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; "
        "END $$; CREATE TRIGGER quiet BEFORE UPDATE ON sessions FOR EACH ROW EXECUTE "
        "FUNCTION quiet()");
    CHECK_ERR(replace(1, 1, 20), COAT_STORE_DOWN);
    (void)sql("DROP TRIGGER quiet ON sessions");
    CHECK_ERR(replace(1, 1, 20), COAT_OK);
    end();
}

/** On a connection that was just made a statement may take 900 ms. */
static void
timeouts(void)
{
    static const struct {
        uint32_t timeout_ms;
        const char *setting;
        bool anew; /* on another connection */
    } cases[] = {{5000, "4s", false},
                 {20000000, "1h", false},
                 {60000, "48s", false},
                 {60000, "48s", false},
                 {60000, "48s", true}};

    begin();
    CHECK_ERR(sign_in(lane, 1, 1, 10), COAT_OK);
    (void)sql("CREATE TABLE noted (setting text); GRANT ALL ON noted TO coatcheck;"
              "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
              "INSERT INTO t%d.noted VALUES (current_setting('statement_timeout')); "
              "RETURN NEW; END $$; CREATE TRIGGER note BEFORE UPDATE ON sessions FOR EACH ROW "
              "EXECUTE FUNCTION note()",
              server.schema);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        coat_err err = COAT_STORE_DOWN;
        const char *noted;

        test_case(cases[i].setting);
        if (cases[i].anew)
            cut_all();
        for (int tries = 0; tries < 100 && err == COAT_STORE_DOWN; tries++) {
            atomic_fetch_add(&ahead_ms, tries > 0 ? 200 : 0);
            err = replace_with(1, 1, 20, cases[i].timeout_ms);
        }
        CHECK_ERR(err, COAT_OK);
        noted = sql("DELETE FROM noted RETURNING setting");
        CHECK_STR(noted, cases[i].setting);
    }
    test_case(NULL);
    end();
}

/** Every statement has a timeout below its request's, by the server's clock. */
static void
timed_out(void)
{
    static const struct {
        const char *state;
        coat_err want;
    } others[] = {{"53100", COAT_STORE_FULL}, {"42501", COAT_STORE_DOWN}, {"22000", COAT_IO}};
    coat_store_stats stats;
    uint64_t before;
    PGconn *holder;

    begin();
    CHECK_ERR(sign_in(lane, 1, 1, 10), COAT_OK);
    before = connections();
    holder = hold("postgres", "SELECT FROM sessions FOR UPDATE");
    /* Our own clock stands still: only the server can end it. */
    freeze(true);
    CHECK_ERR(replace_with(1, 1, 20, 200), COAT_STORE_DOWN);
    freeze(false);
    CHECK_INT(inside()->doubt_count, 0); /* its connection is fine, nothing is in doubt */
    CHECK_INT(connections(), before);
    PQfinish(holder);
    CHECK_ERR(replace(1, 1, 20), COAT_OK);
    for (size_t i = 0; i < 3; i++) {
        test_case(others[i].state);
        fail_next(others[i].state, 1);
        CHECK_ERR(replace(1, 1, 30), others[i].want);
        REQUIRE_OK(coat_store_stats_get(store, &stats));
        CHECK(stats.full == (others[i].want == COAT_STORE_FULL));
        CHECK_ERR(sign_in(lane, 9, i + 1, 10), COAT_OK);
    }
    test_case(NULL);
    end();
}

/** Reads that share a segment with one that fails are asked again. */
static void
company(void)
{
    enum { READS = 40 };
    static coat_store_req reqs[READS + 1];
    PGconn *holder;

    begin();
    for (uint64_t i = 1; i <= READS; i++)
        CHECK_ERR(sign_in(lane, i, i, 10), COAT_OK);
    /* Nobody may even read the owners' epochs; so the first of them runs into its timeout. */
    holder = hold("postgres", "LOCK TABLE owners");
    for (uint64_t i = 0; i < READS; i++) {
        reqs[i] = session_req(COAT_OP_LOAD, i + 1, i + 1);
        reqs[i].timeout_ms = i == 0 ? 100 : 101; /* the others may take longer */
        coat_store_submit(lane, &reqs[i]);
    }
    turn(40);
    PQfinish(holder);
    for (uint64_t i = 0; i < READS; i++) {
        lane->store->ops->wait(lane, &reqs[i]);
        CHECK(reqs[i].result == COAT_OK || reqs[i].result == COAT_STORE_DOWN);
    }
    CHECK_ERR(come_back(), COAT_OK);
    for (uint64_t i = 1; i <= READS; i++)
        CHECK_ERR(run_op(lane, COAT_OP_LOAD, i, i), COAT_OK);
    end();
}

/* ---- connections ---- */

static void
cut_off(void)
{
    begin();
    CHECK_ERR(sign_in(lane, 1, 1, 10), COAT_OK);
    for (int round = 0; round < 4; round++) {
        cut_all();
        if (round % 2 != 0)
            turn(3);
        CHECK_ERR(come_back(), COAT_OK);
        CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 1), COAT_OK);
        CHECK_ERR(replace(1, 1, 10 + (size_t)round), COAT_OK);
    }
    end();
}

/** A pooler that hands us another's connection: our statements are not there. */
static void
mixed_up(void)
{
    begin();
    CHECK_ERR(sign_in(lane, 1, 1, 10), COAT_OK);
    for (uint32_t i = 0; i < inside()->remote.links; i++) {
        pg_link *link = (pg_link *)((remote_lane *)lane)->links[i];

        link->prepared = ~(uint64_t)0;
    }
    (void)run_op(lane, COAT_OP_LIST_OWNER, 1, 0);
    CHECK_ERR(run_op(lane, COAT_OP_END_ALL, 0, 0), COAT_STORE_DOWN);
    CHECK_ERR(come_back(), COAT_OK);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 1), COAT_OK);
    CHECK_ERR(run_op(lane, COAT_OP_END_ALL, 0, 0), COAT_OK);
    end();
}

static void
killed(void)
{
    enum { ROUNDS = 2, EACH = 40 };
    static amid requests;
    static pg_server durable; /* as it comes: fsync and synchronous_commit on */
    long rounds = test_scaled(200, ROUNDS);

    begin_on(&durable);
    CHECK((coat_store_caps_of(store) & COAT_CAP_DURABLE) != 0);
    for (long round = 0; round < rounds; round++) {
        uint64_t owner = (uint64_t)round + 1;
        coat_err err;

        CHECK_INT(sign_in_many(lane, owner, 1, EACH + 1, 50, &err), EACH);
        amid_submit(&requests, owner, EACH);
        turn((int)(round % 3));
        server_kill(&durable, SIGKILL);
        amid_wait(&requests);
        server_start(&durable);
        amid_check(&requests);
    }
    end();
    server_stop(&durable);
}

static void
started_later(void)
{
    char url[200], message[300] = "?";
    coat_store_conf conf = {.url = url, .message = message, .message_cap = sizeof message};
    coat_store_stats stats;

    begin();
    end();
    server_stop(&server);
    server_url(&server, url, sizeof url, "");
    REQUIRE_OK(coat_postgresql_ops.open(&conf, &store));
    CHECK(strstr(message, "not ready") != NULL);
    CHECK((coat_store_caps_of(store) & COAT_CAP_DURABLE) == 0);
    take_store();
    nobody_answers(8);
    REQUIRE_OK(coat_store_stats_get(store, &stats));
    CHECK(stats.away && stats.notice[0] != '\0');
    server_start(&server);
    CHECK_ERR(come_back(), COAT_OK);
    REQUIRE_OK(coat_store_stats_get(store, &stats));
    CHECK(!stats.away);
    end();
}

/** On a busy machine one may run into its deadline, and is then in doubt itself, until the
 * next. */
static coat_err
sweep_patiently(void)
{
    coat_err err = COAT_STORE_DOWN;

    for (int i = 0; i < 20 && err == COAT_STORE_DOWN; i++)
        err = run_op(lane, COAT_OP_SWEEP, 0, 0);
    return err;
}

/**
 * A sign-in and a sign-out whose bytes are under way when their time is over, or that wait for
 * a lock in the server: once a SWEEP has been answered they must not happen any more.
 */
static void
sweep_decides(void)
{
    static pg_server tcp = {.args = {"fsync=off", "full_page_writes=off"}};
    fault_proxy proxy = {0};
    char url[200], message[300] = "?";
    coat_store_conf conf = {.url = url, .message = message, .message_cap = sizeof message};

    begin_on(&tcp);
    end();
    memcpy(proxy.upstream_path, tcp.socket, strlen(tcp.socket) + 1);
    proxy_start(&proxy, 2);
    (void)snprintf(url, sizeof url, "postgresql://127.0.0.1:%d?schema=t%d", proxy.port,
                   tcp.schema);
    REQUIRE_OK(server_open_url(&conf, &store));
    take_store();
    for (int round = 0; round < 3; round++) {
        uint64_t owner = (uint64_t)round + 1;
        pg_conninfo *info = &inside()->conninfo;

        hold_two(&proxy, owner);
        CHECK(inside()->doubt_count > 0);
        /* New connections pass by; the bytes of the old one are still held. */
        inside()->host = NULL;
        info->values[0] = tcp.dir;
        (void)snprintf(info->port, sizeof info->port, "%d", SERVER_PORT);
        CHECK_ERR(come_back(), COAT_OK);
        CHECK_ERR(sweep_patiently(), COAT_OK);
        CHECK_INT(inside()->doubt_count, 0);
        let_two_go(&proxy, owner);
        /* Through the proxy again. */
        inside()->host = inside()->url.host;
        info->values[0] = inside()->host;
        (void)snprintf(info->port, sizeof info->port, "%d", proxy.port);
        (void)server_sql(&tcp, "SELECT count(pg_terminate_backend(pid, 1000)) FROM "
                               "pg_stat_activity WHERE usename = 'coatcheck'");
        turn(4);
    }
    end();
    proxy_stop(&proxy);
    server_stop(&tcp);
}

/** More connections are dropped than doubts fit: those that the server has no more are
 * forgotten when the next one begins, and SWEEP came to be refused for good once. */
static void
many_dropped(void)
{
    PGconn *alive;
    PGresult *self;
    pg_doubt *last = NULL;

    begin();
    CHECK_ERR(sign_in(lane, 1, 1, 10), COAT_OK);
    alive = hold("coatcheck", "SELECT");
    self = PQexec(alive, "SELECT (extract(epoch FROM backend_start) * 1000000)::int8 FROM "
                         "pg_stat_activity WHERE pid = pg_backend_pid()");
    pthread_mutex_lock(&inside()->remote.mutex);
    for (size_t i = 0; i < PG_DOUBTS_MAX; i++) {
        last = &inside()->doubts[i];
        *last = (pg_doubt){++inside()->doubt_number, 1, 1, ""};
        memcpy(last->server, inside()->watches.serving, sizeof last->server);
    }
    inside()->doubt_count = PG_DOUBTS_MAX;
    last->pid = PQbackendPID(alive);
    last->started_us = strtoll(PQgetvalue(self, 0, 0), NULL, 10);
    pthread_mutex_unlock(&inside()->remote.mutex);
    PQclear(self);
    (void)sql("SELECT count(pg_terminate_backend(pid, 1000)) FROM pg_stat_activity WHERE "
              "usename = 'coatcheck' AND application_name <> 'holder'");
    CHECK_ERR(come_back(), COAT_OK);
    CHECK_INT(inside()->doubt_count, 1);
    CHECK_INT(inside()->doubts[0].pid, PQbackendPID(alive));
    PQfinish(alive);
    end();
}

/** Where they were too many all the same, SWEEP promises nothing until another server serves.
 */
static void
too_many_dropped(void)
{
    coat_store_req req = session_req(COAT_OP_INSERT, 1, 1);

    begin();
    CHECK_ERR(sign_in(lane, 1, 1, 10), COAT_OK);
    inside()->doubt_count = PG_DOUBTS_MAX;
    coat_store_submit(lane, &req);
    REQUIRE(remote_pending_of(&req)->link != NULL);
    pg_fail((pg_link *)remote_pending_of(&req)->link, "cut");
    CHECK_ERR(req.result, COAT_STORE_DOWN);
    CHECK_STR(inside()->lost_on, inside()->watches.serving);
    CHECK_ERR(come_back(), COAT_OK);
    CHECK_ERR(run_op(lane, COAT_OP_SWEEP, 0, 0), COAT_STORE_DOWN);
    server_stop(&server);
    server_start(&server);
    CHECK_ERR(come_back(), COAT_OK);
    CHECK_ERR(run_op(lane, COAT_OP_SWEEP, 0, 0), COAT_OK);
    end();
}

/** The end of everybody's sessions is lost there: it holds here at once, and there again with
 * the next connection (RV-5). */
static void
lost_epoch(void)
{
    coat_store_req all = session_req(COAT_OP_END_ALL, 0, 0);

    begin();
    CHECK_ERR(sign_in(lane, 1, 1, 10), COAT_OK);
    REQUIRE_OK(coat_store_run(lane, &all));
    (void)sql("UPDATE state SET epoch = 0");
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 1), COAT_NO_SESSION);
    (void)server_sql(&server, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                              " WHERE application_name = 'coatcheck'");
    CHECK_ERR(come_back(), COAT_OK);
    CHECK(strtoull(sql("SELECT epoch FROM state"), NULL, 10) == all.epoch_global);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 1), COAT_NO_SESSION);
    end();
}

/** What a server says of itself, as it would be of another version, or a standby. */
static PGresult *
facts_of(uint32_t version, bool read_only)
{
    static const int lengths[] = {4, 1, 1, 1, 4, 8, 1, 3};
    PGresult *result = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
    char name[] = "c";
    PGresAttDesc columns[8];
    uint8_t bytes[8] = {0};

    for (size_t i = 0; i < 8; i++)
        columns[i] = (PGresAttDesc){.name = name, .format = 1};
    REQUIRE(PQsetResultAttrs(result, 8, columns) == 1);
    for (int i = 0; i < 8; i++) {
        memset(bytes, i == 7 ? 'x' : 0, sizeof bytes);
        if (i == 0)
            for (int k = 0; k < 4; k++)
                bytes[k] = (uint8_t)(version >> (24 - 8 * k));
        if (i == 1)
            bytes[0] = read_only;
        REQUIRE(PQsetvalue(result, 0, i, (char *)bytes, lengths[i]) == 1);
    }
    return result;
}

static void
unfit_servers(void)
{
    static const struct {
        uint32_t version;
        bool read_only;
        const char *why;
    } cases[] = {{150000, false, NULL},
                 {140000, false, NULL},
                 {139999, false, "older"},
                 {150000, true, "standby"}};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        PGresult *result = facts_of(cases[i].version, cases[i].read_only);
        pg_server_facts facts;
        const char *why = pg_read_server(result, &facts);

        CHECK((why == NULL) == (cases[i].why == NULL));
        CHECK(why == NULL || strstr(why, cases[i].why) != NULL);
        PQclear(result);
    }
}

static unsigned items;

static void
count_item(coat_store_req *req, const coat_store_item *item)
{
    (void)req;
    (void)item;
    items++;
}

/** What gave way is of the owner who has signed in, or the answer is none. */
static void
others_evicted(void)
{
    coat_store_req req = session_req(COAT_OP_INSERT, 1, 1);

    begin();
    (void)sql("CREATE OR REPLACE FUNCTION insert_session(a bytea, o bytea, key bigint, now_ms "
              "bigint, of_owner bigint, of_global bigint, expires bigint, val bytea, most "
              "integer, evict boolean, old bytea, old_version bigint, OUT answer integer, OUT "
              "number bigint, OUT evicted bytea) LANGUAGE plpgsql AS $$ BEGIN answer := 0; "
              "number := 7; evicted := '\\x00000000000000010000000000000002'; END $$");
    items = 0;
    req.item = count_item;
    CHECK_ERR(coat_store_run(lane, &req), COAT_STORE_DOWN);
    CHECK_INT(items, 0);
    end();
}

/* ---- another server ---- */

static void
note_end(coat_store_req *req)
{
    *(bool *)req->ctx = true;
}

/** Another lane has come to the promoted server when the former one answers; the end is a
 * sign-in over another session, which nobody sends twice. */
static void
late_acknowledgment(void)
{
    coat_store_req epochs = session_req(COAT_OP_EPOCHS, 1, 0);
    coat_store_req req = session_req(COAT_OP_INSERT, 1, 2);
    bool ended = false;
    uint64_t era;
    pg_link *link;

    begin();
    CHECK_ERR(sign_in(lane, 1, 1, 10), COAT_OK);
    REQUIRE_OK(coat_store_run(lane, &epochs));
    req.epoch_owner = epochs.epoch_owner;
    req.epoch_global = epochs.epoch_global;
    req.has_superseded = true;
    req.superseded = handle_of(1, 1);
    req.done = note_end;
    req.ctx = &ended;
    coat_store_submit(lane, &req);
    link = busy_link();
    pg_flush(&link->base);
    CHECK(remote_server_admit(&inside()->remote, &inside()->watches, "promoted", &era));
    while (!ended) {
        struct pollfd wire = {PQsocket(link->socket.conn), POLLIN, 0};

        REQUIRE(poll(&wire, 1, PATIENCE_MS) == 1);
        pg_readable(link);
    }
    CHECK_ERR(req.result, COAT_STORE_DOWN);
    CHECK_INT(link->base.state, REMOTE_IDLE);
    end();
}

static void
clock_told(void)
{
    begin();
    check_store_clock(lane);
    end();
}

/** An answer that bears another number is none, and the connection is left. */
static void
another_number(void)
{
    coat_store_req req = session_req(COAT_OP_REMOVE_OWNER, 1, 0);
    bool ended = false;
    pg_link *link;

    begin();
    REQUIRE_OK(run_op(lane, COAT_OP_REMOVE_OWNER, 1, 0)); /* its statement is prepared */
    req.done = note_end;
    req.ctx = &ended;
    coat_store_submit(lane, &req);
    link = busy_link();
    for (size_t i = 0; i < link->due_count; i++)
        link->due[(link->due_first + i) % link->due_cap].number++;
    remote_wait(lane, &req);
    CHECK(ended);
    CHECK_ERR(req.result, COAT_STORE_DOWN);
    end();
}

static const coat_test tests[] = {
    {"SF-9: serialization failures and deadlocks are tried again, three times", retried},
    {"SF-9: a rotation that fails is not half done", never_half},
    {"SF-9: a change that is swallowed is not tried for ever", swallowed},
    {"SF-9: every statement has a timeout, which follows its request's", timeouts},
    {"SF-9: a statement that is held up is ended by the server, and what an error means",
     timed_out},
    {"SF-1: reads that a failure takes along are answered all the same", company},
    {"SF-9: cut connections are made anew without a restart", cut_off},
    {"SF-9: a connection that lacks our statements is left", mixed_up},
    {"SF-10: the server's clock is told", clock_told},
    {"SF-3: what was acknowledged survives kill -9 of the server", killed},
    {"SF-11: a store that comes later is connected to without a restart", started_later},
    {"RV-5: the end of everybody's sessions that the server has lost holds", lost_epoch},
    {"SF-5 SF-9: servers that will not do, and why", unfit_servers},
    {"SF-6: an answer with another number is not believed", another_number},
    {"SF-6: who is said to have given way is of the same owner", others_evicted},
    {"SF-5: a late acknowledgment of a former server is not believed", late_acknowledgment},
    {"SWEEP decides what was answered STORE_DOWN before it", sweep_decides},
    {"SF-2: a connection that the server has no more is in doubt no more", many_dropped},
    {"SF-2: where too many are, SWEEP is back with the next server", too_many_dropped},
};

int
main(int argc, char **argv)
{
    int rc = coat_test_main(argc, argv, tests, sizeof tests / sizeof tests[0]);

    server_stop(&server);
    return rc;
}
