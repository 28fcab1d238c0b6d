/* SPDX-License-Identifier: Apache-2.0 */
/** Servers and schemas of other kinds, rights, and what may be in the tables. */

#include "pg_kit.h"

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
        const char *name, *before, *after, *said;
        coat_err want;
    } cases[] = {
        {"none", "DROP SCHEMA", " CASCADE", "store migrate", COAT_UNSUPPORTED},
        {"older", "DELETE FROM", ".versions WHERE version > 1", "store migrate",
         COAT_UNSUPPORTED},
        {"newer", "INSERT INTO", ".versions (version, oldest) VALUES (99, 99)", "too old",
         COAT_NEWER_FORMAT},
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
        (void)server_sql(&server, "%s t%d%s", cases[i].before, server.schema, cases[i].after);
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
    (void)sql("INSERT INTO versions (version, oldest) VALUES (99, 99)");
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

static const coat_test tests[] = {
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
