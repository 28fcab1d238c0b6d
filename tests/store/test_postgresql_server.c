/* SPDX-License-Identifier: Apache-2.0 */
/** What a real server does beside answering: failing, refusing, dying, being of another kind.
 */

#include "fault_proxy.h"
#include "pg_fixture.h"

static pg_server server = {.args = {"fsync=off", "full_page_writes=off"}};
static coat_store *store;
static coat_lane *lane;
static _Atomic int64_t ahead_ms;   /* of the real clock */
static _Atomic int64_t stopped_ms; /* not 0: our clock stands still */

static int64_t
test_monotonic(void *ctx)
{
    struct timespec now;

    (void)ctx;
    if (atomic_load(&stopped_ms) != 0)
        return atomic_load(&stopped_ms);
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 + atomic_load(&ahead_ms);
}

static pg_store *
inside(void)
{
    return (pg_store *)store;
}

/** A fresh store, with a clock that tests set ahead. */
static void
begin_on(pg_server *s)
{
    if (s->pid == 0)
        server_start(s);
    REQUIRE_OK(server_open(s, &store));
    inside()->remote.monotonic = test_monotonic;
    REQUIRE_OK(coat_lane_open(store, NULL, &lane));
}

static void
begin(void)
{
    begin_on(&server);
}

static void
end(void)
{
    coat_lane_close(lane);
    coat_store_close(store);
    lane = NULL;
    store = NULL;
}

static const char *
sql(const char *format, ...)
{
    char text[2000], whole[2200];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    (void)snprintf(whole, sizeof whole, "SET search_path = t%d; %s", server.schema, text);
    return server_sql(&server, "%s", whole);
}

/** The lane's loop for a while: reconnections, deadlines. */
static void
turn(int times)
{
    for (int i = 0; i < times; i++) {
        (void)uv_run(((remote_lane *)lane)->loop, UV_RUN_NOWAIT);
        server_sleep();
    }
}

/** Until an operation is answered definitely; the breaker is led by the clock. */
static coat_err
come_back(void)
{
    coat_err err = COAT_STORE_DOWN;

    for (int i = 0; i < 4000 && err == COAT_STORE_DOWN; i++) {
        coat_store_req req = session_req(COAT_OP_EPOCHS, 1, 0);

        req.timeout_ms = 500; /* a connection may be held */
        err = coat_store_run(lane, &req);
        if (err == COAT_STORE_DOWN) {
            atomic_fetch_add(&ahead_ms, 200);
            turn(1);
        }
    }
    return err;
}

static coat_err
replace_with(uint64_t owner, uint64_t serial, size_t len, uint32_t timeout_ms)
{
    static const uint8_t bytes[COAT_STORE_VALUE_MAX];
    coat_store_req get = session_req(COAT_OP_LOAD, owner, serial);
    coat_store_req put = session_req(COAT_OP_REPLACE, owner, serial);
    coat_err err = coat_store_run(lane, &get);

    if (err != COAT_OK)
        return err;
    put.version = get.found_version;
    put.value = (coat_span){bytes, len};
    put.timeout_ms = timeout_ms;
    return coat_store_run(lane, &put);
}

static coat_err
replace(uint64_t owner, uint64_t serial, size_t len)
{
    return replace_with(owner, serial, len, PATIENCE_MS);
}

/* ---- errors of statements ---- */

/** A trigger that fails the next `times` changes of a session with an SQLSTATE. */
static void
fail_next(const char *state, int times)
{
    (void)sql(
        "DROP SEQUENCE IF EXISTS failures; CREATE SEQUENCE failures;"
        "GRANT ALL ON SEQUENCE failures TO coatcheck;"
        "CREATE OR REPLACE FUNCTION stumble() RETURNS trigger LANGUAGE plpgsql AS $$ "
        "BEGIN IF nextval('t%d.failures') <= %d THEN RAISE EXCEPTION 'stumbled' USING "
        "ERRCODE = '%s'; END IF; RETURN coalesce(NEW, OLD); END $$;"
        "DROP TRIGGER IF EXISTS stumble ON sessions;"
        "CREATE TRIGGER stumble BEFORE INSERT OR UPDATE OR DELETE ON sessions FOR EACH ROW "
        "EXECUTE FUNCTION stumble()",
        server.schema, times, state);
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

/** A connection of the test's own that holds a lock. */
static PGconn *
hold(const char *statement)
{
    char info[300];
    PGconn *conn;

    (void)snprintf(info, sizeof info,
                   "host=%s port=%d user=postgres dbname=coatcheck sslmode=disable "
                   "options='-c search_path=t%d'",
                   server.dir, SERVER_PORT, server.schema);
    conn = PQconnectdb(info);
    PQclear(PQexec(conn, "BEGIN"));
    PQclear(PQexec(conn, statement));
    return conn;
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
    PGconn *holder;

    begin();
    CHECK_ERR(sign_in(lane, 1, 1, 10), COAT_OK);
    holder = hold("SELECT FROM sessions FOR UPDATE");
    /* Our own clock stands still: only the server can end it. */
    atomic_store(&stopped_ms, test_monotonic(NULL));
    CHECK_ERR(replace_with(1, 1, 20, 200), COAT_STORE_DOWN);
    atomic_store(&stopped_ms, 0);
    CHECK_INT(inside()->doubt_count, 0); /* its connection is fine, nothing is in doubt */
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
    holder = hold("LOCK TABLE owners");
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

/** What a pooler does when it restarts, or an administrator. */
static void
cut_off(void)
{
    begin();
    CHECK_ERR(sign_in(lane, 1, 1, 10), COAT_OK);
    for (int round = 0; round < 4; round++) {
        (void)server_sql(&server, "SELECT count(pg_terminate_backend(pid, 1000)) FROM "
                                  "pg_stat_activity WHERE usename = 'coatcheck'");
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
    static coat_store_req reqs[EACH];
    static pg_server durable; /* as it comes: fsync and synchronous_commit on */
    long rounds = test_scaled(200, ROUNDS);

    begin_on(&durable);
    CHECK((coat_store_caps_of(store) & COAT_CAP_DURABLE) != 0);
    for (long round = 0; round < rounds; round++) {
        uint64_t owner = (uint64_t)round + 1;
        coat_err err;

        CHECK_INT(sign_in_many(lane, owner, 1, EACH + 1, 50, &err), EACH);
        /* Sign-outs in flight when it dies. */
        for (uint64_t i = 0; i < EACH; i++) {
            reqs[i] = session_req(i % 2 == 0 ? COAT_OP_REMOVE : COAT_OP_LOAD, owner, i + 1);
            coat_store_submit(lane, &reqs[i]);
        }
        turn((int)(round % 3));
        server_kill(&durable, SIGKILL);
        atomic_fetch_add(&ahead_ms, PATIENCE_MS);
        for (uint64_t i = 0; i < EACH; i++) {
            lane->store->ops->wait(lane, &reqs[i]);
            CHECK(reqs[i].result == COAT_OK || reqs[i].result == COAT_STORE_DOWN);
        }
        server_start(&durable);
        CHECK_ERR(come_back(), COAT_OK);
        for (uint64_t i = 0; i < EACH; i++) {
            err = run_op(lane, COAT_OP_LOAD, owner, i + 1);
            if (i % 2 != 0)
                CHECK_ERR(err, COAT_OK);
            else if (reqs[i].result == COAT_OK)
                CHECK_ERR(err, COAT_NO_SESSION);
        }
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
    inside()->remote.monotonic = test_monotonic;
    REQUIRE_OK(coat_lane_open(store, NULL, &lane));
    for (int i = 0; i < 8; i++) {
        coat_store_req req = session_req(COAT_OP_LOAD, 1, 1);

        coat_store_submit(lane, &req);
        atomic_fetch_add(&ahead_ms, PATIENCE_MS);
        lane->store->ops->wait(lane, &req);
        CHECK_ERR(req.result, COAT_STORE_DOWN);
    }
    REQUIRE_OK(coat_store_stats_get(store, &stats));
    CHECK(stats.away && stats.notice[0] != '\0');
    server_start(&server);
    CHECK_ERR(come_back(), COAT_OK);
    REQUIRE_OK(coat_store_stats_get(store, &stats));
    CHECK(!stats.away);
    end();
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
    coat_store_req in, out;
    char url[200], message[300] = "?";
    coat_store_conf conf = {.url = url, .message = message, .message_cap = sizeof message};

    begin_on(&tcp);
    end();
    memcpy(proxy.upstream_path, tcp.socket, strlen(tcp.socket) + 1);
    proxy_start(&proxy, 2);
    (void)snprintf(url, sizeof url, "postgresql://127.0.0.1:%d?schema=t%d", proxy.port,
                   tcp.schema);
    REQUIRE_OK(server_open_url(&conf, &store));
    inside()->remote.monotonic = test_monotonic;
    REQUIRE_OK(coat_lane_open(store, NULL, &lane));
    for (int round = 0; round < 3; round++) {
        uint64_t owner = (uint64_t)round + 1;
        pg_conninfo *info = &inside()->conninfo;

        CHECK_ERR(come_back(), COAT_OK);
        CHECK_ERR(sign_in(lane, owner, 1, 10), COAT_OK);
        in = session_req(COAT_OP_INSERT, owner, 2);
        out = session_req(COAT_OP_REMOVE_OWNER, owner, 0);
        proxy_set(&proxy, FAULT_HOLD, FAULT_NONE, 0);
        coat_store_submit(lane, &in);
        coat_store_submit(lane, &out);
        turn(10);
        atomic_fetch_add(&ahead_ms, PATIENCE_MS);
        lane->store->ops->wait(lane, &in);
        lane->store->ops->wait(lane, &out);
        CHECK_ERR(in.result, COAT_STORE_DOWN);
        CHECK_ERR(out.result, COAT_STORE_DOWN);
        CHECK(inside()->doubt_count > 0);
        /* New connections pass by; the bytes of the old one are still held. */
        inside()->host = NULL;
        info->values[0] = tcp.dir;
        (void)snprintf(info->port, sizeof info->port, "%d", SERVER_PORT);
        CHECK_ERR(come_back(), COAT_OK);
        CHECK_ERR(run_op(lane, COAT_OP_SWEEP, 0, 0), COAT_OK);
        CHECK_INT(inside()->doubt_count, 0);
        proxy_set(&proxy, FAULT_NONE, FAULT_NONE, 0);
        turn(20);
        CHECK_ERR(run_op(lane, COAT_OP_LOAD, owner, 1), COAT_OK);
        CHECK_ERR(run_op(lane, COAT_OP_LOAD, owner, 2), COAT_NO_SESSION);
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

/* ---- kinds of servers and schemas ---- */

static void
read_only(void)
{
    coat_store_stats stats;

    begin();
    CHECK_ERR(sign_in(lane, 1, 1, 10), COAT_OK);
    /* As after a switch-over: open connections are standbys', new ones too. */
    (void)server_sql(&server, "ALTER ROLE coatcheck SET default_transaction_read_only = on");
    (void)server_sql(&server, "SELECT count(pg_terminate_backend(pid, 1000)) FROM "
                              "pg_stat_activity WHERE usename = 'coatcheck'");
    for (int i = 0; i < 10; i++) {
        atomic_fetch_add(&ahead_ms, 1300);
        turn(2);
        CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 1), COAT_STORE_DOWN);
    }
    REQUIRE_OK(coat_store_stats_get(store, &stats));
    CHECK(stats.away && strstr(stats.notice, "read-only") != NULL);
    (void)server_sql(&server, "ALTER ROLE coatcheck RESET default_transaction_read_only");
    CHECK_ERR(come_back(), COAT_OK);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 1), COAT_OK);
    /* And one that becomes so under our feet. */
    fail_next("25006", 1);
    CHECK_ERR(run_op(lane, COAT_OP_END_ALL, 0, 0), COAT_OK);
    CHECK_ERR(sign_in(lane, 2, 1, 10), COAT_STORE_DOWN);
    CHECK_ERR(come_back(), COAT_OK);
    end();
}

static void
versions(void)
{
    static const struct {
        const char *name, *statement, *said;
        coat_err want;
    } cases[] = {
        {"none", "DROP SCHEMA t%d CASCADE", "store migrate", COAT_UNSUPPORTED},
        {"older", "UPDATE t%d.versions SET version = 0", "store migrate", COAT_UNSUPPORTED},
        {"newer", "UPDATE t%d.versions SET version = 99", "too old", COAT_NEWER_FORMAT},
    };

    for (size_t i = 0; i < 3; i++) {
        char url[200], message[300] = "?";
        coat_store_conf conf = {.url = url, .message = message, .message_cap = sizeof message};
        coat_store *other = NULL;
        uint32_t from, to;

        test_case(cases[i].name);
        begin();
        CHECK_ERR(sign_in(lane, 1, 1, 10), COAT_OK);
        end();
        server_url(&server, url, sizeof url, "");
        (void)server_sql(&server, cases[i].statement, server.schema);
        CHECK_ERR(server_open_url(&conf, &other), cases[i].want);
        CHECK(other == NULL);
        CHECK(strstr(message, cases[i].said) != NULL);
        if (cases[i].want == COAT_NEWER_FORMAT) {
            CHECK_ERR(pg_migrate(&conf, &from, &to), COAT_NEWER_FORMAT);
            CHECK(strcmp(server_sql(&server, "SELECT max(version) FROM t%d.versions",
                                    server.schema),
                         "99") == 0);
        }
    }
    test_case(NULL);
}

/** A running daemon whose schema was moved on stops using it. */
static void
moved_on(void)
{
    coat_store_stats stats;

    begin();
    CHECK_ERR(sign_in(lane, 1, 1, 10), COAT_OK);
    (void)sql("INSERT INTO versions (version) VALUES (99)");
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 1), COAT_OK); /* until it connects anew */
    (void)sql("ALTER TABLE sessions RENAME TO sessions_of_99");
    for (int i = 0; i < 10; i++) {
        atomic_fetch_add(&ahead_ms, 1300);
        turn(2);
        CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 1), COAT_STORE_DOWN);
    }
    REQUIRE_OK(coat_store_stats_get(store, &stats));
    CHECK(strstr(stats.notice, "version 99") != NULL);
    end();
}

static void
migrated(void)
{
    char url[200], message[300] = "?";
    coat_store_conf conf = {.url = url, .message = message, .message_cap = sizeof message};
    uint32_t from = 7, to = 7;

    begin();
    CHECK_ERR(sign_in(lane, 1, 1, 10), COAT_OK);
    server_url(&server, url, sizeof url, "");
    /* Again changes nothing, while daemons work on it. */
    CHECK_ERR(pg_migrate(&conf, &from, &to), COAT_OK);
    CHECK(from == PG_FORMAT && to == PG_FORMAT);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 1), COAT_OK);
    end();
    /* From the daemon only when told. */
    server.schema++;
    server_url(&server, url, sizeof url, "&migrate=yes");
    REQUIRE_OK(server_open_url(&conf, &store));
    CHECK(strstr(message, "not ready") == NULL);
    REQUIRE_OK(coat_lane_open(store, NULL, &lane));
    CHECK_ERR(sign_in(lane, 1, 1, 10), COAT_OK);
    end();
    /* A step that fails leaves nothing behind. */
    server.schema++;
    server_url(&server, url, sizeof url, "");
    (void)server_sql(&server, "CREATE SCHEMA t%d AUTHORIZATION coatcheck", server.schema);
    (void)server_sql(&server, "CREATE TABLE t%d.meta (a int)", server.schema);
    CHECK_ERR(pg_migrate(&conf, &from, &to), COAT_IO);
    CHECK(strstr(message, "meta") != NULL);
    CHECK(strcmp(server_sql(&server, "SELECT count(*) FROM pg_tables WHERE schemaname = 't%d'",
                            server.schema),
                 "1") == 0);
}

static void
notices(void)
{
    static const struct {
        const char *setting, *said;
    } cases[] = {
        {"synchronous_commit = off", "synchronous_commit is off"},
        {"synchronous_commit = on", "fsync"}, /* as this server was started */
    };

    for (size_t i = 0; i < 2; i++) {
        char url[200], message[300] = "?";
        coat_store_conf conf = {.url = url, .message = message, .message_cap = sizeof message};

        begin();
        end();
        (void)server_sql(&server, "ALTER ROLE coatcheck SET %s", cases[i].setting);
        server_url(&server, url, sizeof url, "");
        REQUIRE_OK(server_open_url(&conf, &store));
        CHECK(strstr(message, cases[i].said) != NULL);
        CHECK((strstr(message, "synchronous_commit") != NULL) == (i == 0));
        CHECK((coat_store_caps_of(store) & COAT_CAP_DURABLE) == 0);
        coat_store_close(store);
    }
    (void)server_sql(&server, "ALTER ROLE coatcheck RESET synchronous_commit");
}

/** The rights of docs/stores.md, and none beyond. */
static void
rights(void)
{
    char url[200], message[300] = "?";
    coat_store_conf conf = {.url = url, .message = message, .message_cap = sizeof message};

    begin();
    end();
    (void)sql("DROP ROLE IF EXISTS door; CREATE ROLE door LOGIN;"
              "GRANT USAGE ON SCHEMA t%d TO door;"
              "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA t%d TO door;"
              "REVOKE INSERT, UPDATE, DELETE ON t%d.versions FROM door;"
              "GRANT SELECT, USAGE, UPDATE ON ALL SEQUENCES IN SCHEMA t%d TO door",
              server.schema, server.schema, server.schema, server.schema);
    server_url(&server, url, sizeof url, "&user=door");
    REQUIRE_OK(server_open_url(&conf, &store));
    CHECK(strstr(message, "not ready") == NULL);
    inside()->remote.monotonic = test_monotonic;
    REQUIRE_OK(coat_lane_open(store, NULL, &lane));
    CHECK_ERR(sign_in(lane, 1, 1, 10), COAT_OK);
    CHECK_ERR(replace(1, 1, 20), COAT_OK);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 2), COAT_NO_SESSION);
    CHECK_ERR(run_op(lane, COAT_OP_REMOVE_OWNER, 1, 0), COAT_OK);
    CHECK_ERR(run_op(lane, COAT_OP_END_ALL, 1, 0), COAT_OK);
    CHECK_INT(sweep_all(lane, NOW_MS), 1);
    /* Taken away, it is an outage: nobody is let in, and nobody is thrown out. */
    CHECK_ERR(sign_in(lane, 1, 3, 10), COAT_OK);
    (void)sql("REVOKE ALL ON sessions FROM door");
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 3), COAT_STORE_DOWN);
    (void)sql("GRANT SELECT, INSERT, UPDATE, DELETE ON sessions TO door");
    CHECK_ERR(come_back(), COAT_OK);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 3), COAT_OK);
    end();
}

/* ---- values ---- */

static void
bytes_stay_bytes(void)
{
    static const uint8_t nasty[] = "'; DROP TABLE sessions; --\0\\000$1$$\r\n\xff\xfe{s}";
    coat_store_req put, get;

    begin();
    put = session_req(COAT_OP_INSERT, 1, 1);
    put.value = (coat_span){nasty, sizeof nasty};
    REQUIRE_OK(coat_store_run(lane, &put));
    CHECK_ERR(replace(1, 1, 4), COAT_OK);
    get = session_req(COAT_OP_LOAD, 1, 1);
    REQUIRE_OK(coat_store_run(lane, &get));
    put = session_req(COAT_OP_REPLACE, 1, 1);
    put.value = (coat_span){nasty, sizeof nasty};
    put.version = get.found_version;
    REQUIRE_OK(coat_store_run(lane, &put));
    CHECK_INT(strtol(sql("SELECT octet_length(value) FROM sessions"), NULL, 10), sizeof nasty);
    CHECK(strcmp(sql("SELECT count(*) FROM sessions"), "1") == 0);
    end();
}

static void
strange_values(void)
{
    coat_store_stats stats;

    begin();
    CHECK_ERR(sign_in(lane, 1, 1, 30), COAT_OK);
    /* What constraints keep out, and an operator may let in all the same. */
    (void)sql("ALTER TABLE sessions DROP CONSTRAINT sessions_version_check");
    (void)sql("UPDATE sessions SET version = -1");
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 1), COAT_MALFORMED);
    (void)sql("UPDATE sessions SET version = 5, value = decode(repeat('00', %d), 'hex')",
              COAT_STORE_VALUE_MAX + 1);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 1), COAT_MALFORMED);
    REQUIRE_OK(coat_store_stats_get(store, &stats));
    CHECK_INT(stats.unreadable, 2);
    /* Kept: it is taken, and not swept. */
    CHECK_ERR(sign_in(lane, 1, 1, 10), COAT_EXISTS);
    CHECK_INT(sweep_all(lane, NOW_MS), 0);
    CHECK(strcmp(sql("SELECT count(*) FROM sessions"), "1") == 0);
    /* The global epoch's row is gone: nobody is let in. */
    (void)sql("DELETE FROM state");
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 1), COAT_STORE_DOWN);
    end();
}

/** The server comes back with older data: a global epoch seen before is put back, and numbers
 * are not given out again. */
static void
set_back(void)
{
    coat_store_req all, get, epochs;
    uint64_t version;

    begin();
    CHECK_ERR(sign_in(lane, 1, 1, 10), COAT_OK);
    all = session_req(COAT_OP_END_ALL, 0, 0);
    REQUIRE_OK(coat_store_run(lane, &all));
    CHECK_ERR(sign_in(lane, 1, 2, 10), COAT_OK);
    get = session_req(COAT_OP_LOAD, 1, 2);
    REQUIRE_OK(coat_store_run(lane, &get));
    version = get.found_version;
    (void)sql("UPDATE state SET epoch = 0; SELECT setval('numbers', 1)");
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 1), COAT_NO_SESSION); /* known here all the same */
    (void)server_sql(&server, "SELECT count(pg_terminate_backend(pid, 1000)) FROM "
                              "pg_stat_activity WHERE usename = 'coatcheck'");
    CHECK_ERR(come_back(), COAT_OK);
    epochs = session_req(COAT_OP_EPOCHS, 1, 0);
    REQUIRE_OK(coat_store_run(lane, &epochs));
    CHECK(epochs.epoch_global == all.epoch_global);
    CHECK(strtoull(sql("SELECT epoch FROM state"), NULL, 10) == all.epoch_global);
    CHECK_ERR(sign_in(lane, 1, 3, 10), COAT_OK);
    get = session_req(COAT_OP_LOAD, 1, 3);
    REQUIRE_OK(coat_store_run(lane, &get));
    CHECK(get.found_version > version);
    end();
}

/** An owner's epoch is forgotten when nothing depends on it any more, and not before. */
static void
epochs_forgotten(void)
{
    enum { DAY_MS = 24 * 3600 * 1000 };
    coat_store_stats stats;

    begin();
    CHECK_ERR(sign_in(lane, 1, 1, 10), COAT_OK);
    CHECK_ERR(sign_in(lane, 2, 1, 10), COAT_OK);
    CHECK_ERR(run_op(lane, COAT_OP_REMOVE_OWNER, 1, 0), COAT_OK);
    CHECK_INT(sweep_all(lane, NOW_MS), 1);
    REQUIRE_OK(coat_store_stats_get(store, &stats));
    CHECK_INT(stats.sessions, 1);
    CHECK_INT(sweep_all(lane, NOW_MS + DAY_MS), 0); /* by the caller's clock only */
    CHECK(strcmp(sql("SELECT count(*) FROM owners"), "1") == 0);
    atomic_fetch_add(&ahead_ms, DAY_MS);
    CHECK_ERR(come_back(), COAT_OK);
    CHECK_INT(sweep_all(lane, NOW_MS), 0); /* by ours only */
    CHECK_INT(sweep_all(lane, NOW_MS + DAY_MS), 1);
    CHECK(strcmp(sql("SELECT count(*) FROM owners"), "0") == 0);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 2, 1), COAT_OK);
    end();
}

/** Whatever the planner thinks of a table, no statement reads all of it. */
static void
by_index(void)
{
    begin();
    for (uint64_t i = 1; i <= 20; i++)
        CHECK_ERR(sign_in(lane, i, i, 10), COAT_OK);
    (void)sql("SELECT pg_stat_reset()");
    for (uint64_t i = 1; i <= 20; i++) {
        CHECK_ERR(run_op(lane, COAT_OP_LOAD, i, i), COAT_OK);
        CHECK_ERR(replace(i, i, 20), COAT_OK);
        CHECK_ERR(run_op(lane, COAT_OP_REMOVE_OWNER, i, 0), COAT_OK);
    }
    CHECK_INT(sweep_all(lane, NOW_MS), 20);
    end(); /* statistics are written when a connection ends */
    for (int i = 0; i < 1000 && strcmp(sql("SELECT sum(idx_scan) > 0 FROM pg_stat_user_tables "
                                           "WHERE schemaname = 't%d' AND relname = 'sessions'",
                                           server.schema),
                                       "t") != 0;
         i++)
        server_sleep();
    CHECK(
        strcmp(sql("SELECT sum(seq_scan) FROM pg_stat_user_tables WHERE schemaname = 't%d' AND "
                   "relname IN ('sessions', 'owners', 'accounts', 'meta')",
                   server.schema),
               "0") == 0);
}

static void
refused_urls(void)
{
    static const struct {
        const char *url, *said;
    } cases[] = {
        {"postgresql://db.example?plaintext=yes", "only be"},
        {"postgresql://db.example?plaintext=allowed&tls=yes", "contradicts"},
        {"postgresql://db.example?plaintext=allowed&ca-file=/x", "contradicts"},
        {"postgresql://127.0.0.1?tls=no", "only be"},
        {"postgresql://127.0.0.1?colour=red", "no parameter"},
        {"postgresql://127.0.0.1?sslmode=disable", "no parameter"},
        {"postgresql://127.0.0.1?schema=a-b", "schema"},
        {"postgresql://127.0.0.1?schema=a;b", "schema"},
        {"postgresql://127.0.0.1?schema=Pg", "schema"},
        {"postgresql://127.0.0.1?schema=pg_x", "schema"},
        {"postgresql://127.0.0.1?schema=", "schema"},
        {"postgresql://127.0.0.1?connections=9", "1 to 8"},
        {"postgresql://127.0.0.1?connections=0", "1 to 8"},
        {"postgresql://127.0.0.1?port=5", "Unix sockets"},
        {"postgresql://127.0.0.1?user=x", "//user@host"},
        {"postgresql://127.0.0.1/host=evil", "not well-formed"},
        {"postgresql://127.0.0.1?migrate=no", "only be"},
        {"postgresql://door:secret@127.0.0.1", "no place in a URL"},
        {"postgresql://127.0.0.1?password-file=/nonexistent", "cannot be opened"},
        {"postgresql://127.0.0.1?ca-file=/nonexistent", "cannot be read"},
        {"postgresql://127.0.0.1?tls=yes&cert-file=/x", "belong together"},
        {"postgresql+unix://host/x", "directory"},
        {"postgresql+unix:/x?tls=yes", "no TLS"},
        {"postgresql:/x", "socket"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char message[400] = "";
        coat_store_conf conf = {
            .url = cases[i].url, .message = message, .message_cap = sizeof message};
        coat_store *none = NULL;

        test_case(cases[i].url);
        CHECK_ERR(coat_postgresql_ops.open(&conf, &none), COAT_INVALID);
        CHECK(none == NULL);
        CHECK(strstr(message, cases[i].said) != NULL);
        CHECK(strstr(message, "secret@") == NULL);
        coat_store_close(none);
    }
    test_case(NULL);
}

/** Nothing of the environment leads us elsewhere, or gives a password away. */
static void
environment(void)
{
    static const char *const set[][2] = {
        {"PGHOST", "10.255.255.1"},
        {"PGPORT", "1"},
        {"PGDATABASE", "other"},
        {"PGUSER", "other"},
        {"PGPASSWORD", "leaked"},
        {"PGOPTIONS", "-c fsync=x"},
        {"PGSSLMODE", "require"},
        {"PGPASSFILE", "/x"},
        {"PGTARGETSESSIONATTRS", "standby"},
        {"PGREQUIRESSL", "1"},
        {"PGAPPNAME", "other"},
    };
    static const char *const refused[] = {"PGSERVICE", "PGHOSTADDR"};

    if (server.pid == 0)
        server_start(&server);
    for (size_t i = 0; i < sizeof set / sizeof set[0]; i++)
        (void)setenv(set[i][0], set[i][1], 1);
    REQUIRE_OK(server_open(&server, &store));
    REQUIRE_OK(coat_lane_open(store, NULL, &lane));
    CHECK_ERR(sign_in(lane, 1, 1, 10), COAT_OK);
    end();
    for (size_t i = 0; i < sizeof set / sizeof set[0]; i++)
        (void)unsetenv(set[i][0]);
    for (size_t i = 0; i < 2; i++) {
        (void)setenv(refused[i], "x", 1);
        CHECK_ERR(server_open(&server, &store), COAT_INVALID);
        (void)unsetenv(refused[i]);
    }
}

static const coat_test tests[] = {
    {"ST-5: URLs that would send secrets in the clear, or make no sense, are refused",
     refused_urls},
    {"ST-4 ST-5: libpq's environment variables decide nothing", environment},
    {"SF-9: serialization failures and deadlocks are tried again, three times", retried},
    {"SF-9: a rotation that fails is not half done", never_half},
    {"SF-9: every statement has a timeout, and what an error means", timed_out},
    {"SF-1: reads that a failure takes along are answered all the same", company},
    {"SF-9: cut connections are made anew without a restart", cut_off},
    {"SF-9: a connection that lacks our statements is left", mixed_up},
    {"SF-3: what was acknowledged survives kill -9 of the server", killed},
    {"SF-11: a store that comes later is connected to without a restart", started_later},
    {"SWEEP decides what was answered STORE_DOWN before it", sweep_decides},
    {"SF-5 SF-9: a read-only server is not used, and nobody is signed out", read_only},
    {"a schema that is missing, older or newer is refused with a word", versions},
    {"a schema that is moved on under a daemon is not used any more", moved_on},
    {"migration makes the schema, once, and leaves nothing half done", migrated},
    {"SF-3 SF-7: what is unsuitable about a server is said at the start", notices},
    {"the rights that docs/stores.md gives are enough; taken away, it is an outage", rights},
    {"ST-6: bytes of a value are bytes, whatever they look like", bytes_stay_bytes},
    {"ST-8: what cannot be read is denied, counted and kept", strange_values},
    {"RV-5: older data does not undo the end of all sessions", set_back},
    {"ST-9: an owner's epoch is forgotten when nothing depends on it", epochs_forgotten},
    {"statements go by index, also while a table is small", by_index},
};

int
main(int argc, char **argv)
{
    int rc = coat_test_main(argc, argv, tests, sizeof tests / sizeof tests[0]);

    server_stop(&server);
    return rc;
}
