/* SPDX-License-Identifier: Apache-2.0 */
#include "redis_fixture.h"
#include "store_torture.h"

static redis_server server = {.args = {"--save", "", "--appendonly", "no"}};

static coat_err
open_redis(coat_store **out)
{
    char url[200], why[300];
    coat_store_conf conf = {.url = url, .message = why, .message_cap = sizeof why};

    (void)snprintf(url, sizeof url, "redis+unix:%s?prefix=t%d", server.socket, server.prefix);
    return coat_redis_ops.open(&conf, out);
}

static void
begin(void)
{
    if (server.pid == 0)
        server_start(&server);
    server.prefix++;
}

static void
talking(void)
{
    begin();
    torture_talk(open_redis, TORTURE_ALL | TORTURE_UNNOTICED, 2, 8);
}

static void
opening_and_closing(void)
{
    begin();
    torture_opening(open_redis, OPENS_BESIDE, TORTURE_ALL | TORTURE_UNNOTICED, 20, 8);
}

static const coat_test tests[] = {
    {"HD-4: Redis: whatever fails, requests end as they may and nothing ended lives", talking},
    {"HD-4: Redis: opening and closing fail whole", opening_and_closing},
};

int
main(int argc, char **argv)
{
    int rc = coat_test_main(argc, argv, tests, sizeof tests / sizeof tests[0]);

    server_kill(&server, SIGKILL);
    return rc;
}
