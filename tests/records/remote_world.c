/* SPDX-License-Identifier: Apache-2.0 */
#include "remote_world.h"

fault_proxy world_proxy, world_direct;

void
world_ways_open(const char *socket)
{
    fault_proxy *ways[] = {&world_proxy, &world_direct};

    for (int i = 0; i < 2; i++) {
        memset(ways[i], 0, sizeof *ways[i]);
        memcpy(ways[i]->upstream_path, socket, strlen(socket));
        proxy_start(ways[i], 1);
    }
}

void
world_ways_close(void)
{
    proxy_stop(&world_proxy);
    proxy_stop(&world_direct);
}

const char *
world_way_url(bool through_proxy, const char *scheme, const char *param, int number)
{
    static char text[2][200];
    const fault_proxy *way = through_proxy ? &world_proxy : &world_direct;

    (void)snprintf(text[through_proxy], sizeof text[0], "%s://127.0.0.1:%d?%s%d", scheme,
                   way->port, param, number);
    return text[through_proxy];
}
