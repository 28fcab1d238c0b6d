/* SPDX-License-Identifier: Apache-2.0 */
#include "lmdb_fixture.h"
#include "store_torture.h"

static lmdb_fixture f = {.map_bytes = 64 << 20, .reserve_bytes = 1 << 20};

static coat_err
open_lmdb(coat_store **out)
{
    return fixture_open(&f, out);
}

static void
talking(void)
{
    fixture_fresh(&f);
    /* LMDB does so when it cannot write a meta page: nobody knows what the disk has of it. */
    may_give_up = true;
    torture_talk(open_lmdb, TORTURE_ALL | TORTURE_EACH, 4, 0);
    CHECK(given_up > 0);
}

static void
opening_and_closing(void)
{
    fixture_fresh(&f);
    torture_opening(open_lmdb, OPENS_ALONE, TORTURE_ALL | TORTURE_EACH, 14, 0);
}

static const coat_test tests[] = {
    {"HD-4: LMDB: whatever fails, requests end as they may and nothing ended lives", talking},
    {"HD-4: LMDB: opening and closing fail whole", opening_and_closing},
};
COAT_TEST_MAIN(tests)
