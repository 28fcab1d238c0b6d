/* SPDX-License-Identifier: Apache-2.0 */
#include "copy_targets.h"
#include "pg_fixture.h"

static pg_server server = {.args = {"fsync=off", "full_page_writes=off"}};

coat_err
target_postgresql_open(coat_store **out)
{
    if (server.pid == 0)
        server_start(&server);
    return server_open(&server, out);
}

void
target_postgresql_stop(void)
{
    server_stop(&server);
}
