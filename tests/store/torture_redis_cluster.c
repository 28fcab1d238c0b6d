/* SPDX-License-Identifier: Apache-2.0 */
#include "redis_cluster_fixture.h"
#include "store_torture.h"

static redis_nodes nodes;

static coat_err
open_cluster(coat_store **out)
{
    char url[200], why[300];
    coat_store_conf conf = {.url = url, .message = why, .message_cap = sizeof why};

    (void)snprintf(url, sizeof url, "redis+cluster://127.0.0.1:%s/?prefix=t%d", nodes.ports[0],
                   nodes.prefix);
    return coat_redis_ops.open(&conf, out);
}

static void
begin(void)
{
    step_ms = 25;
    if (nodes.count == 0)
        nodes_start(&nodes, 3, false);
    nodes.prefix++;
}

static void
talking(void)
{
    begin();
    torture_talk(open_cluster, TORTURE_MEMORY | TORTURE_CALLS, 2, 2);
}

static void
opening_and_closing(void)
{
    begin();
    torture_opening(open_cluster, OPENS_BESIDE, TORTURE_MEMORY | TORTURE_CALLS, 20, 3);
}

static const coat_test tests[] = {
    {"HD-4: cluster: whatever fails, requests end as they may and nothing ended lives",
     talking},
    {"HD-4: cluster: opening and closing fail whole", opening_and_closing},
};

int
main(int argc, char **argv)
{
    int rc = coat_test_main(argc, argv, tests, sizeof tests / sizeof tests[0]);

    nodes_stop(&nodes);
    return rc;
}
