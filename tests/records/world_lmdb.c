/* SPDX-License-Identifier: Apache-2.0 */
#include "../store/lmdb_fixture.h"
#include "files.h"
#include "records.h"

static lmdb_fixture fixture;

static void
begin(void)
{
    fixture_fresh(&fixture);
}

static const char *
url(bool through_proxy)
{
    (void)through_proxy;
    return fixture.url;
}

static void
end(void)
{
    fixture_remove(&fixture);
}

static void
stop(void)
{
}

static void
dump(coat_store *store, void (*take)(const uint8_t *bytes, size_t len))
{
    (void)store;
    take_file(fixture_path(&fixture, "data.mdb"), take);
}

static uint64_t
entries(coat_store *store)
{
    coat_store_stats stats;

    REQUIRE_OK(coat_store_stats_get(store, &stats));
    return stats.sessions;
}

static uint64_t
bytes_used(coat_store *store)
{
    coat_store_stats stats;

    REQUIRE_OK(coat_store_stats_get(store, &stats));
    return stats.bytes_used;
}

const world the_world = {.name = "lmdb",
                         .drills = &cycle_tests,
                         .begin = begin,
                         .url = url,
                         .end = end,
                         .stop = stop,
                         .dump = dump,
                         .entries = entries,
                         .bytes = bytes_used};
