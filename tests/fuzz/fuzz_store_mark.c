/* SPDX-License-Identifier: Apache-2.0 */
#include "core/bytes.h"
#include "fuzz.h"
#include "store/mark.h"

#include <string.h>

/* The mark of a copy, as a store gives it back: what cannot be read is not to be used. What can
 * be is written back as it was, through a store; and what is said of it is one line that a
 * terminal can show. */

static coat_store *store;
static coat_lane *lane;

static void
set_up(void)
{
    coat_store_conf conf = {.url = "memory:"};

    FUZZ_CHECK(coat_store_open(&conf, &store) == COAT_OK);
    FUZZ_CHECK(coat_lane_open(store, NULL, &lane) == COAT_OK);
}

static void
check_said(const coat_mark *mark)
{
    char message[2 * COAT_MARK_URL_MAX] = "z";

    coat_mark_explain(mark, message, sizeof message);
    FUZZ_CHECK((message[0] == '\0') == coat_mark_usable(mark->state));
    for (const char *c = message; *c != '\0'; c++)
        FUZZ_CHECK(*c >= ' ' && *c <= '~');
}

static void
compare(coat_store_req *req)
{
    FUZZ_CHECK(req->result == COAT_OK &&
               coat_span_is(req->found, *(const coat_span *)req->ctx));
}

static void
check_written(coat_mark *mark, coat_span found)
{
    coat_store_req req = {.done = compare, .ctx = &found, .timeout_ms = 1000};
    coat_mark again;

    mark->version = 0; /* so that it is a new entry */
    FUZZ_CHECK(coat_mark_write(lane, mark) == COAT_OK);
    coat_mark_ask(&req);
    FUZZ_CHECK(coat_store_run(lane, &req) == COAT_OK);
    FUZZ_CHECK(coat_mark_read(lane, COAT_MARK_OF_STORE, &again) == COAT_OK &&
               again.version == mark->version);
    FUZZ_CHECK(again.state == mark->state && strcmp(again.other, mark->other) == 0 &&
               memcmp(again.id, mark->id, sizeof again.id) == 0);
    FUZZ_CHECK(coat_mark_remove(lane, COAT_MARK_OF_STORE) == COAT_OK);
    FUZZ_CHECK(coat_mark_read(lane, COAT_MARK_OF_STORE, &again) == COAT_OK &&
               again.state == COAT_MARK_NONE);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    coat_store_req req = {.result = COAT_OK, .found = {data, size}, .found_version = 7};
    coat_mark mark;

    if (store == NULL)
        set_up();
    memset(&mark, 0xA5, sizeof mark);
    coat_mark_take(&req, &mark);
    FUZZ_CHECK(mark.version == 7 && mark.state != COAT_MARK_NONE);
    FUZZ_CHECK(memchr(mark.other, '\0', sizeof mark.other) != NULL);
    check_said(&mark);
    if (mark.state != COAT_MARK_UNREADABLE)
        check_written(&mark, req.found);
    return 0;
}
