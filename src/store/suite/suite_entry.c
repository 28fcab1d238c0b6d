/* SPDX-License-Identifier: Apache-2.0 */
/** Single entries: every operation by itself. */

#include "store/order.h"
#include "store/suite/suite.h"

#include <stdlib.h>

enum { NOW = 1000000 };

static const coat_space spaces[] = {COAT_SPACE_SESSION, COAT_SPACE_ACCOUNT, COAT_SPACE_META};

static void
absent(suite_run *run)
{
    coat_handle h = suite_handle(1, 1);
    uint64_t version = 1;

    for (int i = 0; i < 3; i++) {
        EXPECT_ERR(run, suite_load(run->lane, spaces[i], h, NOW), COAT_NO_SESSION);
        EXPECT_ERR(run, suite_replace(run->lane, spaces[i], h, &version, "x", 0, NOW),
                   COAT_NO_SESSION);
        EXPECT_ERR(run, suite_load(run->lane, spaces[i], h, NOW), COAT_NO_SESSION);
        EXPECT_ERR(run, suite_remove(run->lane, spaces[i], h), COAT_OK);
    }
}

typedef struct bytes_check {
    coat_span want;
    bool same;
    uint64_t version;
    int64_t expires_ms;
} bytes_check;

static void
compare_bytes(coat_store_req *req)
{
    bytes_check *check = req->ctx;

    check->same = req->result == COAT_OK && coat_span_is(req->found, check->want);
    check->version = req->found_version;
    check->expires_ms = req->found_expires_ms;
}

static void
sizes(suite_run *run)
{
    static const size_t lengths[] = {0,    1,    39,   40,    41,    511,
                                     2000, 4095, 4096, 16384, 65535, COAT_STORE_VALUE_MAX};
    uint8_t *bytes = malloc(COAT_STORE_VALUE_MAX);
    uint64_t state = 7;

    if (bytes == NULL) {
        suite_fault(run, __FILE__, __LINE__, "out of memory");
        return;
    }
    for (size_t i = 0; i < COAT_STORE_VALUE_MAX; i++)
        bytes[i] = (uint8_t)suite_random(&state);
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        bytes_check check = {{bytes, lengths[i]}, false, 0, 0};
        coat_store_req put = {.op = COAT_OP_INSERT,
                              .space = COAT_SPACE_SESSION,
                              .address = suite_handle(1, i),
                              .value = {bytes, lengths[i]},
                              .expires_ms = NOW + 5,
                              .now_ms = NOW,
                              .timeout_ms = 60000};
        coat_store_req get = {.op = COAT_OP_LOAD,
                              .space = COAT_SPACE_SESSION,
                              .address = suite_handle(1, i),
                              .now_ms = NOW,
                              .timeout_ms = 60000,
                              .done = compare_bytes,
                              .ctx = &check};

        EXPECT_ERR(run, coat_store_run(run->lane, &put), COAT_OK);
        EXPECT_ERR(run, coat_store_run(run->lane, &get), COAT_OK);
        EXPECT(run, check.same);
        EXPECT(run, check.version == put.found_version);
        EXPECT_INT(run, check.expires_ms, NOW + 5);
    }
    free(bytes);
}

static void
insert_never_overwrites(suite_run *run)
{
    char text[16];

    for (int i = 0; i < 3; i++) {
        coat_handle h = suite_handle(1, 1);

        EXPECT_ERR(run, suite_insert(run->lane, NULL, spaces[i], h, "one", NOW + 10, NOW),
                   COAT_OK);
        EXPECT_ERR(run, suite_insert(run->lane, NULL, spaces[i], h, "two", NOW + 10, NOW),
                   COAT_EXISTS);
        EXPECT_ERR(run, suite_load_text(run->lane, spaces[i], h, NOW, text, sizeof text),
                   COAT_OK);
        EXPECT(run, strcmp(text, "one") == 0);
        /* What has expired is not there, swept or not. */
        EXPECT_ERR(run, suite_insert(run->lane, NULL, spaces[i], h, "two", NOW + 90, NOW + 10),
                   COAT_OK);
        EXPECT_ERR(run, suite_load_text(run->lane, spaces[i], h, NOW + 10, text, sizeof text),
                   COAT_OK);
        EXPECT(run, strcmp(text, "two") == 0);
    }
}

static void
replace_compares(suite_run *run)
{
    char text[16];

    for (int i = 0; i < 3; i++) {
        coat_handle h = suite_handle(2, 1);
        coat_store_req put = {0};
        uint64_t version, stale, wrong;

        EXPECT_ERR(run, suite_insert(run->lane, &put, spaces[i], h, "a", 0, NOW), COAT_OK);
        version = stale = put.found_version;
        EXPECT_ERR(run, suite_replace(run->lane, spaces[i], h, &version, "b", 0, NOW), COAT_OK);
        EXPECT(run, version != stale);
        EXPECT_ERR(run, suite_replace(run->lane, spaces[i], h, &stale, "c", 0, NOW),
                   COAT_CONFLICT);
        wrong = version + 1;
        EXPECT_ERR(run, suite_replace(run->lane, spaces[i], h, &wrong, "c", 0, NOW),
                   COAT_CONFLICT);
        EXPECT_ERR(run, suite_load_text(run->lane, spaces[i], h, NOW, text, sizeof text),
                   COAT_OK);
        EXPECT(run, strcmp(text, "b") == 0);
    }
}

static void
late_write(suite_run *run)
{
    for (int i = 0; i < 3; i++) {
        coat_handle h = suite_handle(3, 1);
        coat_store_req put = {0};
        uint64_t version;

        EXPECT_ERR(run, suite_insert(run->lane, &put, spaces[i], h, "a", 0, NOW), COAT_OK);
        version = put.found_version;
        EXPECT_ERR(run, suite_remove(run->lane, spaces[i], h), COAT_OK);
        EXPECT_ERR(run, suite_replace(run->lane, spaces[i], h, &version, "b", 0, NOW),
                   COAT_NO_SESSION);
        EXPECT_ERR(run, suite_load(run->lane, spaces[i], h, NOW), COAT_NO_SESSION);
        /* A new entry at the same address is another one: old versions never fit it. */
        EXPECT_ERR(run, suite_insert(run->lane, NULL, spaces[i], h, "c", 0, NOW), COAT_OK);
        EXPECT_ERR(run, suite_replace(run->lane, spaces[i], h, &version, "b", 0, NOW),
                   COAT_CONFLICT);
    }
}

static void
remove_is_idempotent(suite_run *run)
{
    for (int i = 0; i < 3; i++) {
        coat_handle h = suite_handle(4, 1), other = suite_handle(4, 2);

        EXPECT_ERR(run, suite_insert(run->lane, NULL, spaces[i], h, "a", 0, NOW), COAT_OK);
        EXPECT_ERR(run, suite_insert(run->lane, NULL, spaces[i], other, "a", 0, NOW), COAT_OK);
        for (int twice = 0; twice < 2; twice++)
            EXPECT_ERR(run, suite_remove(run->lane, spaces[i], h), COAT_OK);
        EXPECT_ERR(run, suite_load(run->lane, spaces[i], h, NOW), COAT_NO_SESSION);
        EXPECT_ERR(run, suite_load(run->lane, spaces[i], other, NOW), COAT_OK);
    }
}

static void
expiry(suite_run *run)
{
    for (int i = 0; i < 3; i++) {
        coat_handle h = suite_handle(5, 1), forever = suite_handle(5, 2);
        coat_store_req put = {0};
        uint64_t version;

        EXPECT_ERR(run, suite_insert(run->lane, &put, spaces[i], h, "a", NOW + 100, NOW),
                   COAT_OK);
        EXPECT_ERR(run, suite_insert(run->lane, NULL, spaces[i], forever, "a", 0, NOW),
                   COAT_OK);
        EXPECT_ERR(run, suite_load(run->lane, spaces[i], h, NOW + 99), COAT_OK);
        EXPECT_ERR(run, suite_load(run->lane, spaces[i], h, NOW + 100), COAT_NO_SESSION);
        version = put.found_version;
        EXPECT_ERR(run,
                   suite_replace(run->lane, spaces[i], h, &version, "b", NOW + 900, NOW + 100),
                   COAT_NO_SESSION);
        EXPECT_ERR(run,
                   suite_replace(run->lane, spaces[i], h, &version, "b", NOW + 900, NOW + 99),
                   COAT_OK);
        EXPECT_ERR(run, suite_load(run->lane, spaces[i], h, NOW + 899), COAT_OK);
        EXPECT_ERR(run, suite_load(run->lane, spaces[i], h, NOW + 900), COAT_NO_SESSION);
        EXPECT_ERR(run, suite_load(run->lane, spaces[i], forever, INT64_MAX), COAT_OK);
    }
}

static void
spaces_never_meet(suite_run *run)
{
    coat_handle h = suite_handle(6, 1);
    char text[16];

    for (int i = 0; i < 3; i++)
        EXPECT_ERR(run,
                   suite_insert(run->lane, NULL, spaces[i], h,
                                i == 0   ? "s"
                                : i == 1 ? "a"
                                         : "m",
                                0, NOW),
                   COAT_OK);
    EXPECT_ERR(run, suite_remove(run->lane, COAT_SPACE_ACCOUNT, h), COAT_OK);
    EXPECT_ERR(run, suite_load_text(run->lane, COAT_SPACE_META, h, NOW, text, sizeof text),
               COAT_OK);
    EXPECT(run, strcmp(text, "m") == 0);
    EXPECT_ERR(run, suite_remove_owner(run->lane, 6, NOW, NULL), COAT_OK);
    EXPECT_ERR(run, suite_load(run->lane, COAT_SPACE_SESSION, h, NOW), COAT_NO_SESSION);
    EXPECT_ERR(run, suite_load(run->lane, COAT_SPACE_META, h, NOW), COAT_OK);
}

enum { SCANNED = 10, PAGE = 4 };

/** The serials that a scan is to report, in the store's order. Number 5 has expired. */
static uint32_t
in_order(uint32_t caps, coat_handle out[SCANNED])
{
    uint32_t count = 0;

    for (uint64_t serial = 1; serial <= SCANNED; serial++) {
        coat_handle h = suite_handle(7 + serial % 3, serial);
        uint32_t at = count;

        if (serial == 5)
            continue;
        for (; at > 0 && coat_scan_compare(caps, &out[at - 1], &h) > 0; at--)
            out[at] = out[at - 1];
        out[at] = h;
        count++;
    }
    return count;
}

static void
scan_space(suite_run *run, coat_space space)
{
    coat_store_req req = {.op = COAT_OP_SCAN,
                          .space = space,
                          .now_ms = NOW,
                          .timeout_ms = 60000,
                          .item = suite_collect};
    uint32_t caps = coat_store_caps_of(run->store), seen = 0, count;
    coat_handle want[SCANNED];

    count = in_order(caps, want);
    do {
        suite_list list = {0};
        coat_handle last = req.cursor;
        bool has_last = req.has_cursor;

        req.ctx = &list;
        req.limit = PAGE;
        EXPECT_ERR(run, coat_store_run(run->lane, &req), COAT_OK);
        EXPECT_INT(run, list.count, req.count);
        for (uint32_t i = 0; i < list.count && i < PAGE; i++) {
            last = list.items[i].address;
            has_last = true;
            EXPECT(run, seen < count && coat_handle_equal(&last, &want[seen]));
            EXPECT_INT(run, list.items[i].value.len, 1);
            seen++;
        }
        EXPECT(run, req.count == PAGE || !req.more || req.has_cursor);
        req.has_cursor = coat_scan_behind(caps, &req, has_last, &last);
        req.cursor = last;
    } while (req.more && !run->failed);
    EXPECT_INT(run, seen, count);
}

static void
scan_pages(suite_run *run)
{
    for (int s = 0; s < 3; s++) {
        for (uint64_t i = SCANNED; i > 0; i--)
            EXPECT_ERR(run,
                       suite_insert(run->lane, NULL, spaces[s], suite_handle(7 + i % 3, i), "v",
                                    i == 5 ? NOW : 0, NOW - 1),
                       COAT_OK);
        scan_space(run, spaces[s]);
        /* Begun anew it sees what has changed. */
        EXPECT_ERR(run, suite_remove(run->lane, spaces[s], suite_handle(8, 1)), COAT_OK);
        EXPECT_ERR(run,
                   suite_insert(run->lane, NULL, spaces[s], suite_handle(8, 1), "w", 0, NOW),
                   COAT_OK);
        scan_space(run, spaces[s]);
    }
}

static void
arguments(suite_run *run)
{
    static const uint8_t big[COAT_STORE_VALUE_MAX + 1];
    coat_handle mine = suite_handle(1, 1), foreign = suite_handle(2, 1);
    struct {
        coat_store_req req;
        coat_err want;
    } cases[] = {
        {{.op = 0}, COAT_INVALID},
        {{.op = COAT_OP_LEAVE + 1}, COAT_INVALID},
        {{.op = COAT_OP_LOAD}, COAT_INVALID},
        {{.op = COAT_OP_LOAD, .space = 4}, COAT_INVALID},
        {{.op = COAT_OP_LOAD, .space = COAT_SPACE_META, .now_ms = -1}, COAT_INVALID},
        {{.op = COAT_OP_SCAN, .space = COAT_SPACE_META}, COAT_INVALID},
        {{.op = COAT_OP_LIST_OWNER}, COAT_INVALID},
        {{.op = COAT_OP_LIST_OWNER,
          .owner = suite_owner(1),
          .has_cursor = true,
          .cursor = foreign,
          .item = suite_collect},
         COAT_INVALID},
        {{.op = COAT_OP_INSERT, .space = COAT_SPACE_META, .expires_ms = -1}, COAT_INVALID},
        {{.op = COAT_OP_INSERT, .space = COAT_SPACE_META, .value = {NULL, 1}}, COAT_INVALID},
        {{.op = COAT_OP_INSERT, .space = COAT_SPACE_META, .value = {big, sizeof big}},
         COAT_TOO_LARGE},
        {{.op = COAT_OP_REPLACE, .space = COAT_SPACE_META, .value = {big, SIZE_MAX}},
         COAT_TOO_LARGE},
        {{.op = COAT_OP_INSERT,
          .space = COAT_SPACE_SESSION,
          .address = mine,
          .has_superseded = true,
          .superseded = foreign},
         COAT_INVALID},
        {{.op = COAT_OP_INSERT,
          .space = COAT_SPACE_META,
          .address = mine,
          .has_superseded = true,
          .superseded = mine},
         COAT_INVALID},
        {{.op = COAT_OP_REMOVE_OWNER,
          .owner = suite_owner(1),
          .has_spare = true,
          .spare = foreign},
         COAT_INVALID},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        EXPECT_ERR(run, coat_store_run(run->lane, &cases[i].req), cases[i].want);
}

/** Loads from within done(): what was found stays readable until the outer one returns. */
typedef struct nest {
    suite_run *run;
    coat_store_req req;
    int depth;
} nest;

static void
nested_done(coat_store_req *req)
{
    nest *n = req->ctx, inner = {.run = n->run, .depth = n->depth + 1};
    coat_handle h = suite_handle(9, 1);
    uint64_t version = req->found_version;

    EXPECT_ERR(n->run, req->result, COAT_OK);
    EXPECT_INT(n->run, req->found.len, 5);
    if (n->depth < 8) {
        EXPECT_ERR(n->run,
                   suite_replace(n->run->lane, COAT_SPACE_SESSION, h, &version,
                                 n->depth % 2 == 0 ? "other" : "first", 0, NOW),
                   COAT_OK);
        inner.req = *req;
        inner.req.ctx = &inner;
        coat_store_submit(n->run->lane, &inner.req);
    }
    /* Still the bytes of this load, whatever happened meanwhile. */
    EXPECT(n->run, memcmp(req->found.ptr, n->depth % 2 == 0 ? "first" : "other", 5) == 0);
}

static void
nested_loads(suite_run *run)
{
    nest n = {.run = run,
              .req = {.op = COAT_OP_LOAD,
                      .space = COAT_SPACE_SESSION,
                      .address = suite_handle(9, 1),
                      .now_ms = NOW,
                      .timeout_ms = 60000,
                      .done = nested_done}};
    coat_lane *lane = run->lane;

    if ((coat_store_caps_of(run->store) & COAT_CAP_SHARED) != 0)
        return; /* completes later: nothing to nest */
    n.req.ctx = &n;
    EXPECT_ERR(
        run, suite_insert(lane, NULL, COAT_SPACE_SESSION, suite_handle(9, 1), "first", 0, NOW),
        COAT_OK);
    coat_store_submit(lane, &n.req);
}

static void
kept_after_reopening(suite_run *run)
{
    coat_handle kept = suite_handle(1, 1), ended = suite_handle(1, 2),
                gone = suite_handle(2, 1);
    uint64_t owner_before, owner_after, global;
    char text[16];

    EXPECT_ERR(run, suite_insert(run->lane, NULL, COAT_SPACE_SESSION, kept, "kept", 0, NOW),
               COAT_OK);
    EXPECT_ERR(run, suite_insert(run->lane, NULL, COAT_SPACE_SESSION, ended, "x", 0, NOW),
               COAT_OK);
    EXPECT_ERR(run, suite_insert(run->lane, NULL, COAT_SPACE_SESSION, gone, "x", 0, NOW),
               COAT_OK);
    EXPECT_ERR(run, suite_remove(run->lane, COAT_SPACE_SESSION, ended), COAT_OK);
    EXPECT_ERR(run, suite_remove_owner(run->lane, 2, NOW, &owner_before), COAT_OK);
    coat_lane_close(run->lane);
    run->lane = NULL;
    EXPECT_ERR(run, run->suite->reopen(run->suite->ctx, &run->store), COAT_OK);
    if (run->failed || coat_lane_open(run->store, NULL, &run->lane) != COAT_OK)
        return;
    EXPECT_ERR(run,
               suite_load_text(run->lane, COAT_SPACE_SESSION, kept, NOW, text, sizeof text),
               COAT_OK);
    EXPECT(run, strcmp(text, "kept") == 0);
    EXPECT_ERR(run, suite_load(run->lane, COAT_SPACE_SESSION, ended, NOW), COAT_NO_SESSION);
    EXPECT_ERR(run, suite_load(run->lane, COAT_SPACE_SESSION, gone, NOW), COAT_NO_SESSION);
    EXPECT_ERR(run, suite_epochs(run->lane, 2, &owner_after, &global), COAT_OK);
    EXPECT(run, owner_after == owner_before);
}

const suite_case suite_entry_cases[] = {
    {"what is absent is no session, for load and replace", absent, false},
    {"values of every size come back byte for byte", sizes, false},
    {"LC-9: insert never overwrites what is live", insert_never_overwrites, false},
    {"replace compares versions", replace_compares, false},
    {"LC-9: a late write does not bring back what was removed", late_write, false},
    {"LC-8: remove is idempotent and removes nothing else", remove_is_idempotent, false},
    {"ST-7: the request's clock decides about expiry", expiry, false},
    {"spaces never meet", spaces_never_meet, false},
    {"scan reports in the order it says, page by page", scan_pages, false},
    {"bad arguments are refused before the store sees them", arguments, false},
    {"what a load found stays readable until done() returns", nested_loads, false},
    {"LC-8: acknowledged changes survive reopening", kept_after_reopening, true},
    {NULL, NULL, false},
};
