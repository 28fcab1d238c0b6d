/* SPDX-License-Identifier: Apache-2.0 */
/**
 * HD-4 for the file of sessions that are to be ended. Whatever fails: what it held is held,
 * what was said to be in it is in it, and what cannot be read is not taken for the end of the
 * file.
 */

#include "engine/outbox.h"

#include "coat_test.h"
#include "torture.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { BEFORE = 3, ADDED = 3, ALL = BEFORE + ADDED };

static char path[256];
static coat_outbox outbox;
static coat_unsettled unsettled;
static coat_err opened;
static bool kept[ALL];

static coat_changes
end_of(uint8_t number)
{
    return (coat_changes){.end = {COAT_END_OF_SESSION, .last = {{number, 1, 2, 3}}}};
}

static coat_err
open_outbox(void)
{
    coat_err err = coat_unsettled_init(&unsettled);

    if (err != COAT_OK)
        return err;
    err = coat_outbox_init(&outbox);
    if (err == COAT_OK)
        err = coat_outbox_open(&outbox, path, &unsettled);
    return err;
}

static void
close_outbox(void)
{
    coat_outbox_fini(&outbox);
    coat_unsettled_fini(&unsettled, NULL, 0);
}

static void
put(uint8_t first, uint8_t behind)
{
    for (uint8_t i = first; i < behind; i++) {
        coat_changes changes = end_of(i);

        kept[i] = coat_outbox_put(&outbox, &unsettled, &changes);
    }
}

static void
begin(void)
{
    (void)unlink(path);
    memset(kept, 0, sizeof kept);
    REQUIRE_OK(open_outbox());
    put(0, BEFORE);
    close_outbox();
}

static bool
is_ending(uint8_t number)
{
    coat_changes changes = end_of(number);

    return coat_unsettled_ending(&unsettled, &changes.end.last);
}

static void
run(void)
{
    opened = open_outbox();
    if (opened == COAT_OK) {
        torture_spare();
        for (uint8_t i = 0; i < BEFORE; i++)
            CHECK(is_ending(i));
        torture_spare_no_more();
        put(BEFORE, ALL);
        coat_outbox_tidy(&outbox, &unsettled);
    }
    close_outbox();
}

static void
end(bool harmed)
{
    if (!harmed)
        CHECK_ERR(opened, COAT_OK);
    REQUIRE_OK(open_outbox());
    for (uint8_t i = 0; i < ALL; i++) {
        if (kept[i])
            CHECK(is_ending(i));
        CHECK(kept[i] || harmed);
    }
    close_outbox();
}

static void
failing(void)
{
    static const torture t = {TORTURE_ALL | TORTURE_EACH, begin, run, end, 2, 0};

    (void)snprintf(path, sizeof path, "%s/ended", test_tmpdir());
    torture_all(&t);
}

static const coat_test tests[] = {
    {"HD-4 SF-4: the file of sessions to be ended: whatever fails, none that it holds is lost",
     failing},
};
COAT_TEST_MAIN(tests)
