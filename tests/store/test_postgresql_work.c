/* SPDX-License-Identifier: Apache-2.0 */

/** How much the server looks at for one statement: it has a bound, whatever there is. */

#include "pg_kit.h"

/* ---- lists ---- */

static uint64_t listed;

static void
note_listed(coat_store_req *req, const coat_store_item *item)
{
    (void)req;
    listed = coat_load64be(item->address.bytes);
}

/** Sign in serials from..to of owner 5, and end them. */
static void
die(uint64_t from, uint64_t to)
{
    coat_err err;

    CHECK_INT(sign_in_many(lane, 5, from, to, 10, &err), to - from);
    CHECK_ERR(run_op(lane, COAT_OP_REMOVE_OWNER, 5, 0), COAT_OK);
}

/** One that lives, behind and before very many that have ended and are not swept yet. */
static void
dead_are_passed(void)
{
    enum { DEAD = PG_LIST_LOOK + 50, LIVES = DEAD + 1 };
    static const struct {
        const char *name;
        uint32_t limit, count[4]; /* of each page */
    } cases[] = {{"a small page", 10, {0, 1, 0, 0}}, {"a large one", 3 * DEAD, {1, 0, 0, 0}}};

    begin();
    die(1, LIVES);
    die(LIVES + 1, LIVES + 1 + DEAD);
    CHECK_ERR(sign_in(lane, 5, LIVES, 10), COAT_OK);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        coat_store_req list = session_req(COAT_OP_LIST_OWNER, 5, 0);
        coat_handle before = {{0}};
        size_t page = 0;

        test_case(cases[i].name);
        listed = 0;
        list.item = note_listed;
        do {
            list.limit = cases[i].limit;
            CHECK_ERR(coat_store_run(lane, &list), COAT_OK);
            CHECK_INT(list.count, cases[i].count[page]);
            /* Whoever goes on gets on. */
            CHECK(!list.more || (list.has_cursor && memcmp(list.cursor.bytes, before.bytes,
                                                           sizeof before.bytes) > 0));
            before = list.cursor;
        } while (list.more && ++page < 4);
        CHECK_INT(page, cases[i].limit < DEAD ? (2 * DEAD + 1) / PG_LIST_LOOK : 0);
        CHECK_INT(listed, LIVES);
    }
    test_case(NULL);
    CHECK_INT(sweep_all(lane, NOW_MS), 2 * DEAD);
    end();
}

/* ---- plans ---- */

/** Many sessions of one owner, more of others; those of even owners have ended. */
static void
fill(void)
{
    (void)sql("INSERT INTO sessions SELECT a || o, o, n, CASE n %% 3 WHEN 0 THEN n ELSE 0 END,"
              " 0, 0, a FROM (SELECT n, int8send(n) AS a, int8send(CASE WHEN n %% 4 = 0 THEN 2"
              " ELSE n %% 2000 + 3 END) AS o FROM generate_series(1::bigint, 20000) n) x");
    (void)sql("INSERT INTO accounts SELECT address, version, expires_ms, value FROM sessions");
    (void)sql("INSERT INTO meta SELECT address, version, expires_ms, value FROM sessions");
    (void)sql("INSERT INTO owners SELECT int8send(n), 30000 + n, 0"
              " FROM generate_series(2::bigint, 3000, 2) n");
    CHECK(strcmp(sql("SELECT count(*) FROM sessions"), "20000") == 0);
}

/** As a connection of the store's own, but in no hurry; with all its statements. */
static PGconn *
connect_as_store(void)
{
    pg_conninfo *info = &inside()->conninfo;
    PGconn *conn = PQconnectdbParams(info->keys, info->values, 0);

    REQUIRE(PQstatus(conn) == CONNECTION_OK);
    PQclear(PQexec(conn, "SET statement_timeout = 0"));
    for (int i = 0; i < PG_STATEMENT_COUNT; i++) {
        char *text = pg_with_schema(pg_texts[i].sql, inside()->schema);

        PQclear(PQprepare(conn, pg_texts[i].name, text, 0, NULL));
        free(text);
    }
    return conn;
}

static double
number_behind(const char *line, const char *words)
{
    const char *at = strstr(line, words);

    return at != NULL ? strtod(at + strlen(words), NULL) : 0;
}

/** @return the rows that the busiest part of its plan has met; 0: it failed */
static double
rows_met(PGconn *conn, pg_statement statement, const char *arguments)
{
    PGresult *result;
    char line[300];
    double most = 0;

    PQclear(PQexec(conn, "BEGIN"));
    (void)snprintf(line, sizeof line, "EXPLAIN (ANALYZE, TIMING OFF, COSTS OFF) EXECUTE %s(%s)",
                   pg_texts[statement].name, arguments);
    result = PQexec(conn, line);
    if (PQresultStatus(result) != PGRES_TUPLES_OK)
        test_fail(__FILE__, __LINE__, "%s", PQerrorMessage(conn));
    for (int i = 0; i < PQntuples(result); i++) {
        const char *at = PQgetvalue(result, i, 0);
        double met = number_behind(at, "actual rows=") * number_behind(at, "loops=");

        met += number_behind(at, "Filter: "); /* Rows Removed by Filter, or by Join Filter */
        most = met > most ? met : most;
        if (getenv("COAT_TEST_VERBOSE") != NULL)
            printf("# %s\n", at);
    }
    PQclear(result);
    PQclear(PQexec(conn, "ROLLBACK"));
    return most;
}

static void
plans(void)
{
    static const struct {
        pg_statement statement;
        const char *arguments;
        double most;
    } cases[] = {
        {PG_LOAD_SESSION, "int8send(4) || int8send(2), int8send(2), 1", 1},
        {PG_REPLACE_SESSION, "int8send(5) || int8send(8), 5, 0, '', 1, 1, int8send(8)", 1},
        {PG_SCAN_SESSIONS, "'', 1000, 10, 4000000, 1, 1", PG_LOOK_MAX},
        {PG_SCAN_ACCOUNTS, "'', 1000, 10, 4000000, 1, 1", PG_LOOK_MAX},
        {PG_SCAN_META, "'', 1000, 10, 4000000, 1, 1", PG_LOOK_MAX},
        {PG_LIST, "int8send(2), '', 256, 10, 4000000, 1, 1", PG_LIST_LOOK},
        {PG_LIST, "int8send(2), int8send(9) || int8send(2), 256, 10, 4000000, 1, 1",
         PG_LIST_LOOK},
        {PG_SWEEP_EXPIRED, "1000000, 1000, 1", PG_LOOK_MAX},
        {PG_SWEEP_ENDED, "'', 1000, 1", PG_LOOK_MAX},
        {PG_SWEEP_META, "1000000, 1000, 1", PG_LOOK_MAX},
        {PG_SWEEP_ACCOUNTS, "'', 1000, 1, 1000000", PG_LOOK_MAX},
        {PG_SWEEP_OWNERS, "'', 1000, 1, 1000000, 1", PG_LOOK_MAX},
    };
    PGconn *conn;

    begin();
    conn = connect_as_store();
    for (int round = 0; round < 3; round++) {
        if (round == 1)
            fill(); /* the plans are those for empty tables */
        if (round == 2)
            (void)sql("ANALYZE"); /* and now they are made anew */
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
            double met = rows_met(conn, cases[i].statement, cases[i].arguments);

            test_case(pg_texts[cases[i].statement].name);
            if (met < 1 || met > cases[i].most)
                test_fail(__FILE__, __LINE__, "round %d: %.0f rows", round, met);
        }
    }
    test_case(NULL);
    PQfinish(conn);
    end();
}

static const coat_test tests[] = {
    {"RV-4 AD-5: a list passes very many dead sessions in bounded steps", dead_are_passed},
    {"AD-5: no statement meets more rows than it is to look at, however many there are", plans},
};

int
main(int argc, char **argv)
{
    int rc = coat_test_main(argc, argv, tests, sizeof tests / sizeof tests[0]);

    server_stop(&server);
    return rc;
}
