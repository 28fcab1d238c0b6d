/* SPDX-License-Identifier: Apache-2.0 */
#include "server/log/flood.h"

enum { WINDOW_MS = 1000 };

uint64_t
coat_flood_tick(coat_flood *flood, int64_t now_ms, bool last)
{
    bool over = now_ms - flood->began_ms >= WINDOW_MS || now_ms < flood->began_ms || last;
    uint64_t sum = over ? flood->held : 0;

    if (over)
        *flood = (coat_flood){.began_ms = now_ms};
    return sum;
}

bool
coat_flood_admit(coat_flood *flood, uint32_t most, int64_t now_ms, uint64_t *sum)
{
    *sum = coat_flood_tick(flood, now_ms, false);
    if (flood->passed == 0)
        flood->began_ms = now_ms; /* the second begins with its first event */
    if (flood->passed >= most) {
        flood->held++;
        return false;
    }
    flood->passed++;
    return true;
}
