/* SPDX-License-Identifier: Apache-2.0 */
#include "copy_targets.h"
#include "redis_fixture.h"

static redis_server server = {.args = {"--save", ""}};

coat_err
target_redis_open(coat_store **out)
{
    if (server.pid == 0)
        server_start(&server);
    return server_open(&server, out);
}

void
target_redis_stop(void)
{
    server_stop(&server);
}
