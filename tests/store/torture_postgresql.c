/* SPDX-License-Identifier: Apache-2.0 */
#include "pg_fixture.h"
#include "store_torture.h"

static pg_server server = {.args = {"fsync=off", "full_page_writes=off"}};

static coat_err
open_postgresql(coat_store **out)
{
    char url[600], why[300];
    coat_store_conf conf = {.url = url, .message = why, .message_cap = sizeof why};

    server_url(&server, url, sizeof url, "");
    return coat_postgresql_ops.open(&conf, out);
}

static coat_err migrated;

static void
run_migrating(void)
{
    char url[600], why[300];
    coat_store_conf conf = {.url = url, .message = why, .message_cap = sizeof why};
    uint32_t from, to;

    server_url(&server, url, sizeof url, "");
    migrated = pg_migrate(&conf, &from, &to);
}

static void
new_schema(void)
{
    step_ms = 25;
    if (server.pid == 0)
        server_start(&server);
    server.schema++;
}

static void
migrate(void)
{
    new_schema();
    run_migrating();
    REQUIRE_OK(migrated);
}

/** All of it or nothing was done: the next one comes to its end, and the store works. */
static void
end_migrating(bool harmed)
{
    (void)harmed; /* it gives up by itself where it has to wait for longer than a second */
    for (int i = 0; i < AGAIN && (i == 0 || migrated != COAT_OK); i++)
        run_migrating();
    REQUIRE_OK(migrated);
    keeper_open();
    begin_round();
    check_afterwards();
    keeper_close();
}

static void
migrating(void)
{
    static const torture t = {
        TORTURE_ALL | TORTURE_UNNOTICED, new_schema, run_migrating, end_migrating, 20, 1};

    torture_open = open_postgresql;
    torture_all(&t);
}

static void
talking(void)
{
    migrate();
    torture_talk(open_postgresql, TORTURE_ALL | TORTURE_UNNOTICED, 4, 3);
}

static void
opening_and_closing(void)
{
    migrate();
    torture_opening(open_postgresql, OPENS_BESIDE, TORTURE_ALL | TORTURE_UNNOTICED, 40, 5);
}

/** libpq says nothing of a notification that it had no memory for. */
static void
run_removing(void)
{
    coat_store_req req = torture_req(COAT_OP_REMOVE, ALICE, 2);
    coat_err err = coat_store_run(tortured_lane, &req);

    set_fate(ALICE, 2, err, ENDED);
    for (int i = 0; i < 100 && err == COAT_OK && !heard.address[ALICE][2] && !heard.lost; i++) {
        req = torture_req(COAT_OP_EPOCHS, ALICE, 0);
        err = coat_store_run(tortured_lane, &req);
    }
}

static void
end_removing(bool harmed)
{
    (void)harmed;
    check_heard();
    CHECK(fates[ALICE][2] != ENDED || heard.address[ALICE][2] || heard.lost);
    check_afterwards();
}

static void
forgotten_notifications(void)
{
    static const torture t = {
        TORTURE_MEMORY | TORTURE_EACH, begin_talk, run_removing, end_removing, 2, 0};

    migrate();
    torture_kept(&t, open_postgresql);
}

static const coat_test tests[] = {
    {"HD-4: PostgreSQL: whatever fails, requests end as they may and nothing ended lives",
     talking},
    {"HD-4: PostgreSQL: opening and closing fail whole", opening_and_closing},
    {"HD-4: PostgreSQL: a session's end that was not heard for want of memory is LOST",
     forgotten_notifications},
    {"HD-4: PostgreSQL: migrating fails whole, and can be begun again", migrating},
};

int
main(int argc, char **argv)
{
    int rc = coat_test_main(argc, argv, tests, sizeof tests / sizeof tests[0]);

    server_kill(&server, SIGQUIT);
    return rc;
}
