/* SPDX-License-Identifier: Apache-2.0 */
#include "records.h"

#include <string.h>

static const char *
url(bool through_proxy)
{
    (void)through_proxy;
    return "memory:";
}

static void
nothing(void)
{
}

static void (*take_next)(const uint8_t *bytes, size_t len);

static void
take_item(coat_store_req *req, const coat_store_item *item)
{
    take_next(item->address.bytes, sizeof item->address.bytes);
    take_next(item->value.ptr, item->value.len);
    req->cursor = item->address;
}

static void
dump(coat_store *store, void (*take)(const uint8_t *bytes, size_t len))
{
    coat_store_req req = {
        .op = COAT_OP_SCAN, .space = COAT_SPACE_SESSION, .item = take_item, .now_ms = 1};
    coat_lane *lane;

    take_next = take;
    REQUIRE_OK(coat_lane_open(store, NULL, &lane));
    do {
        REQUIRE_OK(coat_store_run(lane, &req));
        req.has_cursor = true;
    } while (req.more);
    coat_lane_close(lane);
}

const world the_world = {.name = "memory",
                         .more_tests = {&cycle_tests},
                         .begin = nothing,
                         .url = url,
                         .end = nothing,
                         .stop = nothing,
                         .dump = dump};
