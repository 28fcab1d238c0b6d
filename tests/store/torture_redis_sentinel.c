/* SPDX-License-Identifier: Apache-2.0 */
#include "sentinel_fixture.h"
#include "store_torture.h"

static sentinel_group group;
static int prefix;

static coat_err
open_sentinels(coat_store **out)
{
    char url[500], why[300];
    coat_store_conf conf = {.url = url, .message = why, .message_cap = sizeof why};

    (void)snprintf(url, sizeof url, "%s?prefix=t%d", group_url(&group, "redis+sentinel"),
                   prefix);
    return coat_redis_ops.open(&conf, out);
}

static void
begin(void)
{
    step_ms = 25;
    if (group.node_ports[0] == 0)
        group_up(&group);
    prefix++;
}

static void
talking(void)
{
    begin();
    torture_talk(open_sentinels, TORTURE_ALL | TORTURE_UNNOTICED, 2, 6);
}

static void
opening_and_closing(void)
{
    begin();
    torture_opening(open_sentinels, OPENS_BESIDE, TORTURE_ALL | TORTURE_UNNOTICED, 36, 8);
}

static const coat_test tests[] = {
    {"HD-4: Sentinel: whatever fails, requests end as they may and nothing ended lives",
     talking},
    {"HD-4: Sentinel: opening and closing fail whole", opening_and_closing},
};

int
main(int argc, char **argv)
{
    int rc = coat_test_main(argc, argv, tests, sizeof tests / sizeof tests[0]);

    group_down(&group);
    return rc;
}
