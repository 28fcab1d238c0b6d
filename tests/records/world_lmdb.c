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

const world the_world = {.name = "lmdb",
                         .drills = &cycle_tests,
                         .begin = begin,
                         .url = url,
                         .end = end,
                         .stop = stop,
                         .dump = dump};
