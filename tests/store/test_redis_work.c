/* SPDX-License-Identifier: Apache-2.0 */

/** How long the server is kept from others: a script has a bound, whatever there is. */

#include "redis_fixture.h"
#include "requests.h"

static redis_server server = {.args = {"--save", "", "--appendonly", "no"}};
static coat_store *store;
static coat_lane *lane;

/** One connection, so that no greeting of another is counted. */
static void
begin(void)
{
    if (server.pid == 0)
        server_start(&server);
    (void)server_ask(&server, "FLUSHALL");
    REQUIRE_OK(server_open(&server, &store));
    ((redis_store *)store)->remote.links = 1;
    REQUIRE_OK(coat_lane_open(store, NULL, &lane));
}

static void
end(void)
{
    coat_lane_close(lane);
    coat_store_close(store);
}

/** Calls of a command since they were last counted, in scripts too; NULL: of all. */
static unsigned long
calls_of(const char *command)
{
    const char *at = server_ask(&server, "INFO commandstats");
    char name[40];
    unsigned long sum = 0;

    (void)snprintf(name, sizeof name, "cmdstat_%s:calls=", command != NULL ? command : "");
    for (; (at = strstr(at, "cmdstat_")) != NULL; at++) {
        if (command == NULL)
            sum += strtoul(strchr(at, '=') + 1, NULL, 10);
        else if (strncmp(at, name, strlen(name)) == 0)
            sum = strtoul(at + strlen(name), NULL, 10);
    }
    return sum;
}

static void
scripts_are_short(void)
{
    enum { MANY = 450, FEW = 2 };
    unsigned long looked, scripts, of_few, of_many;
    coat_err err;

    begin();
    CHECK_INT(sign_in_many(lane, 1, 1, MANY + 1, 10, &err), MANY);
    CHECK_INT(sign_in_many(lane, 2, 1, FEW + 1, 10, &err), FEW);
    CHECK_INT(sweep_all(lane, NOW_MS), 0);
    (void)server_ask(&server, "CONFIG RESETSTAT");
    CHECK_INT(sweep_all(lane, NOW_MS), 0); /* they live: all are looked at, twice */
    looked = calls_of("getrange");
    scripts = calls_of("evalsha");
    CHECK_INT(looked, 2 * (MANY + FEW));
    CHECK(scripts >= looked / REDIS_LOOK_MAX && REDIS_LOOK_MAX <= 100);

    (void)server_ask(&server, "CONFIG RESETSTAT");
    CHECK_ERR(run_op(lane, COAT_OP_REMOVE_OWNER, 2, 0), COAT_OK);
    of_few = calls_of(NULL);
    (void)server_ask(&server, "CONFIG RESETSTAT");
    CHECK_ERR(run_op(lane, COAT_OP_REMOVE_OWNER, 1, 0), COAT_OK);
    of_many = calls_of(NULL);
    CHECK_INT(calls_of("evalsha"), 1);
    CHECK(of_few > 1);
    CHECK_INT(of_many, of_few);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, MANY), COAT_NO_SESSION);
    CHECK_INT(sweep_all(lane, NOW_MS), MANY + FEW);
    end();
}

static void
listed_nothing(coat_store_req *req, const coat_store_item *item)
{
    (void)item;
    CHECK(req == NULL); /* they are dead */
}

/** So many that have ended with everybody's, and none is swept yet. */
static void
dead_are_passed(void)
{
    enum { DEAD = 2 * REDIS_LIST_LOOK + 50 };
    coat_store_req list = session_req(COAT_OP_LIST_OWNER, 5, 0);
    unsigned pages = 0;
    coat_err err;

    begin();
    CHECK_INT(sign_in_many(lane, 5, 1, DEAD + 1, 10, &err), DEAD);
    CHECK_ERR(run_op(lane, COAT_OP_END_ALL, 0, 0), COAT_OK);
    list.item = listed_nothing;
    (void)server_ask(&server, "CONFIG RESETSTAT");
    do {
        list.limit = 10;
        CHECK_ERR(coat_store_run(lane, &list), COAT_OK);
        CHECK_INT(list.count, 0);
        pages++;
    } while (list.more && pages < 10);
    CHECK_INT(pages, 3);
    CHECK_INT(calls_of("evalsha"), pages);
    CHECK_INT(sweep_all(lane, NOW_MS), DEAD);
    end();
}

static const coat_test tests[] = {
    {"RV-4 AD-5: one script of the same length ends few and many, those of SWEEP are short",
     scripts_are_short},
    {"AD-5: an owner's many dead are passed in short scripts", dead_are_passed},
};

int
main(int argc, char **argv)
{
    int rc = coat_test_main(argc, argv, tests, sizeof tests / sizeof tests[0]);

    server_stop(&server);
    return rc;
}
