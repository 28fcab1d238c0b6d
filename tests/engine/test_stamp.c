/* SPDX-License-Identifier: Apache-2.0 */
/* A node table outlives its daemon; it must not outlive its store. */
#include "rig.h"

#include <limits.h>
#include <string.h>

static rig r;
static char path[PATH_MAX];

/** The entry of the stamp, as an administrator with the store's files in hand could change it.
 */
typedef struct stamp_entry {
    uint8_t bytes[16];
    uint64_t version;
} stamp_entry;

static coat_store_req
request(coat_op op)
{
    coat_store_req req = {.op = op, .space = COAT_SPACE_META, .now_ms = r.wall};

    memcpy(req.address.bytes, "table-stamp-0001", sizeof req.address.bytes);
    return req;
}

static coat_err
run(coat_store_req *req)
{
    coat_lane *lane;
    coat_err err;

    REQUIRE_OK(coat_lane_open(r.inner, NULL, &lane));
    err = coat_store_run(lane, req);
    coat_lane_close(lane);
    return err;
}

static void
keep(coat_store_req *req)
{
    stamp_entry *entry = req->ctx;

    REQUIRE(req->result == COAT_OK && req->found.len == sizeof entry->bytes);
    memcpy(entry->bytes, req->found.ptr, sizeof entry->bytes);
    entry->version = req->found_version;
}

static stamp_entry
read_stamp(void)
{
    stamp_entry entry;
    coat_store_req req = request(COAT_OP_LOAD);

    req.done = keep;
    req.ctx = &entry;
    REQUIRE_OK(run(&req));
    return entry;
}

static void
write_stamp(const stamp_entry *entry)
{
    coat_store_req req = request(COAT_OP_REPLACE);

    req.version = read_stamp().version;
    req.value = (coat_span){entry->bytes, sizeof entry->bytes};
    REQUIRE_OK(run(&req));
}

static void
remove_stamp(void)
{
    coat_store_req req = request(COAT_OP_REMOVE);

    REQUIRE_OK(run(&req));
}

static void
start(const char *name)
{
    (void)snprintf(path, sizeof path, "%s/%s", test_tmpdir(), name);
    rig_prepare(&r, NULL, 1);
    r.conf.table_path = path;
    rig_start(&r);
}

static rig_token
signed_in(void)
{
    rig_token token = rig_sign_in(&r, 0, "ada");

    REQUIRE_OK(rig_knock(&r, 0, &token));
    return token;
}

/** Would nginx, which asks nobody, let it pass? */
static bool
passes(const rig_token *token)
{
    coat_table *table;
    coat_table_verdict verdict;

    REQUIRE_OK(coat_table_open(path, &table));
    verdict = coat_table_live(table, rig_span(token), r.wall);
    coat_table_close(table);
    return verdict == COAT_TABLE_LIVE;
}

static void
restart_keeps(void)
{
    rig_token token;

    start("kept");
    token = signed_in();
    for (int i = 0; i < 3; i++) {
        CHECK(passes(&token));
        rig_restart(&r);
    }
    CHECK(passes(&token));
    rig_stop(&r);
}

static void
wiped_store(void)
{
    rig_token token;

    start("wiped");
    token = signed_in();
    remove_stamp();
    rig_restart(&r);
    CHECK(!passes(&token));
    rig_stop(&r);
}

static void
restored_store(void)
{
    stamp_entry before;
    rig_token token;

    start("restored");
    before = read_stamp();
    rig_restart(&r);
    CHECK(memcmp(before.bytes, read_stamp().bytes, sizeof before.bytes) != 0);
    token = signed_in();
    write_stamp(&before); /* as a copy from before the restart has it */
    rig_restart(&r);
    CHECK(!passes(&token));
    rig_stop(&r);
}

/* Another table was in use meanwhile; what ended then is still in the former one. */
static void
other_table(void)
{
    static char other[PATH_MAX + 8];
    rig_token token;

    start("one");
    token = signed_in();
    (void)snprintf(other, sizeof other, "%s-other", path);
    r.conf.table_path = other;
    rig_restart(&r);
    REQUIRE_OK(rig_end(&r, 0, &token));
    r.conf.table_path = path;
    rig_restart(&r);
    CHECK(!passes(&token));
    rig_stop(&r);
}

/* A store that takes no stamp does not keep the engine from working; the table is good as long
 * as it runs, and not taken over. */
static void
store_refuses(void)
{
    rig_token token;

    start("refused");
    sched_fail(r.store, COAT_OP_REPLACE, SCHED_FULL, 1);
    rig_restart(&r);
    token = signed_in();
    CHECK(passes(&token));
    rig_restart(&r);
    CHECK(!passes(&token));
    token = signed_in();
    rig_restart(&r);
    CHECK(passes(&token));
    rig_stop(&r);
}

static const coat_test tests[] = {
    {"a table is taken over from process to process", restart_keeps},
    {"RV-5: the table of a store that was wiped is not", wiped_store},
    {"RV-5: nor that of a store that was restored from an older copy", restored_store},
    {"RV-1 RV-5: nor one that was not in use meanwhile", other_table},
    {"RV-5: a stamp that cannot be written costs the next take-over, nothing else",
     store_refuses},
};

COAT_TEST_MAIN(tests)
