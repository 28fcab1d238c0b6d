/* SPDX-License-Identifier: Apache-2.0 */
/**
 * The former release on the schema of this one (UP-4): the store as it is built for the version
 * before, on tables that were migrated under it, passes the contract suite; and what it changes
 * is told to programs of this release.
 */

#include "pg_fixture.h"
#include "store/postgresql/schema.h"
#include "suite_tap.h"
#include "test_clock.h"

static pg_server server = {.args = {"fsync=off", "full_page_writes=off"}};

/** What `coatcheck store migrate` of this release does to the tables of the former one. */
static void
move_on(pg_server *s)
{
    char schema[24], info[300];
    PGconn *conn;

    (void)snprintf(schema, sizeof schema, "t%d", s->schema);
    (void)snprintf(info, sizeof info,
                   "host=%s user=coatcheck dbname=coatcheck sslmode=disable gssencmode=disable",
                   s->dir);
    conn = PQconnectdb(info);
    for (int version = PG_FORMAT; pg_migrations[version].name != NULL; version++) {
        char *text = pg_with_schema((const char *)pg_migrations[version].bytes, schema);
        PGresult *result = PQexec(conn, text);

        if (PQresultStatus(result) != PGRES_COMMAND_OK)
            test_fail(__FILE__, __LINE__, "%s", PQerrorMessage(conn));
        PQclear(result);
        free(text);
        (void)server_sql(s, "INSERT INTO %s.versions (version) VALUES (%d)", schema,
                         version + 1);
    }
    PQfinish(conn);
}

static coat_err
open_moved_on(void *ctx, coat_store **out)
{
    pg_server *s = ctx;
    coat_store *before;
    char url[600], message[300];
    coat_store_conf conf = {.url = url, .message = message, .message_cap = sizeof message};
    coat_err err;

    if (s->pid == 0)
        server_start(s);
    err = server_open(s, &before); /* makes the tables of the former release */
    if (err != COAT_OK)
        return err;
    coat_store_close(before);
    move_on(s);
    server_url(s, url, sizeof url, "&migrate=yes"); /* which finds nothing to do */
    err = server_open_url(&conf, out);
    if (err == COAT_OK)
        ((remote_store *)*out)->monotonic = slow_monotonic;
    return err;
}

static void
close_moved_on(void *ctx, coat_store *store)
{
    coat_store_close(store);
    (void)server_sql(ctx, "DROP SCHEMA t%d CASCADE", ((pg_server *)ctx)->schema);
}

/** While it runs: its statements were prepared before the migration. */
static void
under_way(void)
{
    coat_store *store;
    coat_lane *lane;

    REQUIRE_OK(server_open(&server, &store));
    REQUIRE_OK(coat_lane_open(store, NULL, &lane));
    CHECK_ERR(sign_in(lane, 1, 1, 10), COAT_OK);
    CHECK_ERR(run_op(lane, COAT_OP_REMOVE, 1, 1), COAT_OK);
    CHECK_ERR(sign_in(lane, 1, 1, 10), COAT_OK);
    CHECK_ERR(run_op(lane, COAT_OP_REMOVE_OWNER, 2, 0), COAT_OK);
    move_on(&server);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 1), COAT_OK);
    CHECK_ERR(sign_in(lane, 1, 2, 10), COAT_OK);
    CHECK_ERR(run_op(lane, COAT_OP_REMOVE_OWNER, 1, 0), COAT_OK);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 2), COAT_NO_SESSION);
    CHECK_INT(sweep_all(lane, NOW_MS), 2);
    coat_lane_close(lane);
    close_moved_on(&server, store);
}

/** How many notifications have come that begin so. */
static int
told(PGconn *conn, char kind)
{
    PGnotify *notify;
    int count = 0;

    PQclear(PQexec(conn, "SELECT 1")); /* what was committed before it comes with its answer */
    while ((notify = PQnotifies(conn)) != NULL) {
        count += notify->extra[0] == kind;
        PQfreemem(notify);
    }
    return count;
}

static void
heard(void)
{
    char info[300], listen[100];
    coat_store *store;
    coat_lane *lane;
    PGconn *conn;

    REQUIRE_OK(open_moved_on(&server, &store));
    CHECK((coat_store_caps_of(store) & COAT_CAP_WATCH) == 0);
    REQUIRE_OK(coat_lane_open(store, NULL, &lane));
    (void)snprintf(info, sizeof info, "host=%s user=coatcheck dbname=coatcheck sslmode=disable",
                   server.dir);
    conn = PQconnectdb(info);
    (void)snprintf(listen, sizeof listen, "LISTEN %s",
                   server_sql(&server, "SELECT channel FROM t%d.watching", server.schema));
    PQclear(PQexec(conn, listen));
    CHECK_ERR(sign_in(lane, 1, 1, 10), COAT_OK);
    CHECK_INT(told(conn, 'a'), 0);
    CHECK_ERR(run_op(lane, COAT_OP_REMOVE, 1, 1), COAT_OK);
    CHECK_INT(told(conn, 'a'), 1);
    CHECK_ERR(run_op(lane, COAT_OP_REMOVE_OWNER, 1, 0), COAT_OK);
    CHECK_INT(told(conn, 'o'), 1);
    CHECK_ERR(run_op(lane, COAT_OP_END_ALL, 0, 0), COAT_OK);
    CHECK_INT(told(conn, 'g'), 1);
    PQfinish(conn);
    coat_lane_close(lane);
    close_moved_on(&server, store);
}

static const coat_test more[] = {
    {"UP-4: the tables are moved on under the former release, which goes on", under_way},
    {"UP-1 UP-4: what the former release ends is told to this one", heard},
};

int
main(int argc, char **argv)
{
    int rc;

    suite_conf = (coat_suite){.open = open_moved_on,
                              .close = close_moved_on,
                              .ctx = &server,
                              .seed = 6,
                              .histories = (uint32_t)test_scaled(100, 1),
                              .steps = 200,
                              .races = 5};
    rc = run_suite(argc, argv, more, sizeof more / sizeof more[0]);
    server_stop(&server);
    return rc;
}
