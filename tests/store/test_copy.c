/* SPDX-License-Identifier: Apache-2.0 */
/**
 * Copying a store that is in use: random changes of the source between and within the requests
 * of the copy, requests to the target that fail, are lost or late, copies that are killed.
 * After a pass during which nobody changes anything the target is what a model says.
 */

#include "coat_test.h"
#include "core/bytes.h"
#include "hook_store.h"
#include "store/copy.h"
#include "store/copy_put.h"
#include "store/mark.h"

#include <stdlib.h>
#include <string.h>

enum { ENTRIES = 600, OWNERS = 8, VALUE_MAX = 40, CAPS = COAT_CAP_ACCOUNTS };

typedef struct entry { /* the model's */
    coat_space space;
    coat_handle address;
    bool there;
    uint8_t value[VALUE_MAX];
    size_t len;
    int64_t expires_ms;
    uint64_t version;
} entry;

typedef struct world {
    test_rng rng;
    coat_store *from, *to, *from_hook, *to_hook;
    coat_lane *user, *reader, *copy_from, *copy_to;
    entry entries[ENTRIES];
    bool changing;                     /* the source is changed between requests */
    bool silent_source, silent_target; /* SCAN is UNSUPPORTED */
    unsigned faults;                   /* in a thousand requests to the target */
    uint64_t changes;
    int64_t now_ms;
} world;

static world *w;

static bool
chance(unsigned in_thousand)
{
    return test_rng_below(&w->rng, 1000) < in_thousand;
}

static coat_store_req
request(coat_op op, const entry *e)
{
    return (coat_store_req){
        .op = op, .space = e->space, .address = e->address, .now_ms = w->now_ms};
}

static void
new_value(entry *e)
{
    e->len = test_rng_below(&w->rng, VALUE_MAX + 1);
    (void)test_rng_fill(&w->rng, e->value, e->len);
    /* Some have expired by every clock. They are nobody's business but SWEEP's. */
    e->expires_ms = chance(100) ? 0 : w->now_ms + 1000 + (int64_t)test_rng_below(&w->rng, 9999);
}

static void
epochs_of(const entry *e, coat_store_req *req)
{
    coat_store_req ask = {
        .op = COAT_OP_EPOCHS, .owner = coat_handle_owner(&e->address), .now_ms = w->now_ms};

    REQUIRE_OK(coat_store_run(w->user, &ask));
    req->epoch_owner = ask.epoch_owner;
    req->epoch_global = ask.epoch_global;
}

static void
put(entry *e)
{
    coat_store_req req = request(e->there ? COAT_OP_REPLACE : COAT_OP_INSERT, e);

    new_value(e);
    req.value = (coat_span){e->value, e->len};
    req.expires_ms = e->expires_ms;
    req.version = e->there ? e->version : 0;
    if (!e->there && e->space == COAT_SPACE_SESSION)
        epochs_of(e, &req);
    REQUIRE_OK(coat_store_run(w->user, &req));
    e->version = req.found_version;
    e->there = true;
}

static void
end(entry *e)
{
    coat_store_req req = request(COAT_OP_REMOVE, e);

    if (e->there && e->space == COAT_SPACE_SESSION && chance(300)) { /* as a check does */
        req.op = COAT_OP_REPLACE;
        req.version = e->version;
        req.expires_ms = 1;
    }
    REQUIRE_OK(coat_store_run(w->user, &req));
    e->there = false;
}

static void
end_owner(const entry *one)
{
    coat_owner owner = coat_handle_owner(&one->address);
    coat_store_req req = {.op = COAT_OP_REMOVE_OWNER,
                          .owner = owner,
                          .now_ms = w->now_ms,
                          .has_spare = chance(500),
                          .spare = one->address};

    if (one->space != COAT_SPACE_SESSION)
        return;
    REQUIRE_OK(coat_store_run(w->user, &req));
    for (size_t i = 0; i < ENTRIES; i++) {
        entry *e = &w->entries[i];
        coat_owner theirs = coat_handle_owner(&e->address);

        if (e->space == COAT_SPACE_SESSION && !(req.has_spare && e == one) &&
            memcmp(theirs.bytes, owner.bytes, sizeof owner.bytes) == 0)
            e->there = false;
    }
}

static void
end_all(void)
{
    coat_store_req req = {.op = COAT_OP_END_ALL, .now_ms = w->now_ms};

    REQUIRE_OK(coat_store_run(w->user, &req));
    for (size_t i = 0; i < ENTRIES; i++)
        if (w->entries[i].space == COAT_SPACE_SESSION)
            w->entries[i].there = false;
}

static void
change(void)
{
    entry *e = &w->entries[test_rng_below(&w->rng, ENTRIES)];
    uint64_t what = test_rng_below(&w->rng, 1000);

    w->changes++;
    if (what < 650)
        put(e);
    else if (what < 950)
        end(e);
    else if (what < 995)
        end_owner(e);
    else
        end_all();
}

static hook_fate
at_source(void *ctx, const coat_store_req *req)
{
    (void)ctx;
    while (w->changing && chance(700))
        change();
    return req->op == COAT_OP_SCAN && w->silent_source ? HOOK_UNABLE : HOOK_RUN;
}

static hook_fate
at_target(void *ctx, const coat_store_req *req)
{
    (void)ctx;
    while (w->changing && chance(300))
        change();
    if (req->op == COAT_OP_SCAN && w->silent_target)
        return HOOK_UNABLE;
    if (!chance(w->faults))
        return HOOK_RUN;
    if (req->op == COAT_OP_SCAN || req->op == COAT_OP_SWEEP || req->op == COAT_OP_LOAD)
        return HOOK_REFUSE;
    return (hook_fate)(HOOK_REFUSE + test_rng_below(&w->rng, 3));
}

static coat_store *
memory(void)
{
    coat_store *store = NULL;

    REQUIRE_OK(coat_store_open(&(coat_store_conf){.url = "memory:"}, &store));
    return store;
}

static coat_lane *
lane_of(coat_store *store)
{
    coat_lane *lane = NULL;

    REQUIRE_OK(coat_lane_open(store, NULL, &lane));
    return lane;
}

static void
address_of(entry *e, size_t i)
{
    (void)test_rng_fill(&w->rng, e->address.bytes, sizeof e->address.bytes);
    memset(e->address.bytes + 8, 0, 8);
    e->address.bytes[15] = (uint8_t)(i % OWNERS + 1);
}

static void
setup(uint64_t seed)
{
    /* A cache reports in another order than others. */
    uint32_t of_source = (seed & 1) != 0 ? COAT_CAP_CACHE : 0;
    uint32_t of_target = (seed & 2) != 0 ? COAT_CAP_CACHE : 0;

    w = calloc(1, sizeof *w);
    REQUIRE(w != NULL);
    w->rng.state = seed;
    w->now_ms = 1700000000000;
    w->from = memory();
    w->to = memory();
    w->from_hook = hook_store_new(w->from, CAPS | of_source, at_source, NULL);
    w->to_hook = hook_store_new(w->to, CAPS | of_target, at_target, NULL);
    REQUIRE(w->from_hook != NULL && w->to_hook != NULL);
    w->user = lane_of(w->from);
    w->reader = lane_of(w->to);
    w->copy_from = lane_of(w->from_hook);
    w->copy_to = lane_of(w->to_hook);
    for (size_t i = 0; i < ENTRIES; i++) {
        w->entries[i].space = i < ENTRIES - 80   ? COAT_SPACE_SESSION
                              : i < ENTRIES - 40 ? COAT_SPACE_ACCOUNT
                                                 : COAT_SPACE_META;
        address_of(&w->entries[i], i);
        if (chance(800))
            put(&w->entries[i]);
    }
}

static void
teardown(void)
{
    coat_lane_close(w->user);
    coat_lane_close(w->reader);
    coat_lane_close(w->copy_from);
    coat_lane_close(w->copy_to);
    coat_store_close(w->from_hook);
    coat_store_close(w->to_hook);
    coat_store_close(w->from);
    coat_store_close(w->to);
    free(w);
    w = NULL;
}

/* ---- comparing ---- */

static void
same_value(coat_store_req *req)
{
    const entry *e = req->ctx;

    if (req->result != COAT_OK)
        return;
    CHECK_MEM(req->found.ptr, req->found.len, e->value, e->len);
    CHECK_INT(req->found_expires_ms, e->expires_ms);
}

static void
count(coat_store_req *req, const coat_store_item *item)
{
    if (!coat_copy_stays(&item->address))
        ++*(size_t *)req->ctx;
}

/** Nothing lost, nothing revived, nothing old, and nothing there that nobody knows of. */
static void
equal(void)
{
    size_t want = 0, got = 0;

    for (size_t i = 0; i < ENTRIES; i++) {
        entry *e = &w->entries[i];
        coat_store_req req = request(COAT_OP_LOAD, e);

        req.done = same_value;
        req.ctx = e;
        CHECK_ERR(coat_store_run(w->reader, &req), e->there ? COAT_OK : COAT_NO_SESSION);
        want += e->there;
    }
    for (int space = COAT_SPACE_SESSION; space <= COAT_SPACE_META; space++) {
        coat_store_req req = {.op = COAT_OP_SCAN,
                              .space = (coat_space)space,
                              .now_ms = w->now_ms,
                              .item = count,
                              .ctx = &got};

        REQUIRE_OK(coat_store_run(w->reader, &req));
        CHECK(!req.more);
    }
    CHECK_INT(got, want);
}

static coat_copy *
begin(void)
{
    coat_copy *copy = NULL;

    REQUIRE_OK(
        coat_copy_new(w->copy_from, w->copy_to, COAT_COPY_ALL, test_clock, &w->now_ms, &copy));
    return copy;
}

static void
last_pass(coat_copy *copy)
{
    coat_store_req late = {.op = COAT_OP_SWEEP, .now_ms = 1};

    w->changing = false;
    w->faults = 0;
    REQUIRE_OK(coat_copy_pass(copy));
    REQUIRE_OK(coat_store_run(w->copy_to, &late)); /* nothing of it comes to light now */
    equal();
}

/* ---- tests ---- */

static void
a_store_at_rest(void)
{
    coat_copy *copy;
    const coat_copy_counts *counts;
    bool complete = false;
    uint64_t all = 0;

    setup(1);
    copy = begin();
    counts = coat_copy_count(copy);
    last_pass(copy);
    for (size_t i = 0; i < ENTRIES; i++)
        all += w->entries[i].there;
    CHECK_INT(counts->written, all);
    CHECK_INT(counts->sessions + counts->accounts + counts->meta, all);
    CHECK_INT(counts->removed, 0);
    CHECK_INT(counts->passes, 1);
    CHECK_INT(coat_copy_changes(copy), all);
    last_pass(copy);
    CHECK_INT(counts->written, all);
    CHECK_INT(coat_copy_changes(copy), 0);
    /* Another process, which knows nothing: it looks, and writes nothing. */
    coat_copy_free(copy);
    copy = begin();
    while (!complete)
        REQUIRE_OK(coat_copy_step(copy, &complete));
    CHECK_INT(coat_copy_count(copy)->written, 0);
    CHECK_INT(coat_copy_count(copy)->removed, 0);
    equal();
    coat_copy_free(copy);
    teardown();
}

static void
changes_between_all_requests(void)
{
    long rounds = test_scaled(4000, 40);
    uint64_t changes = 0;

    for (long i = 0; i < rounds; i++) {
        coat_copy *copy;
        bool complete;

        setup(1000 + (uint64_t)i);
        copy = begin();
        w->changing = true;
        for (unsigned steps = 0; steps < 12; steps++)
            REQUIRE_OK(coat_copy_step(copy, &complete));
        changes += w->changes;
        last_pass(copy);
        coat_copy_free(copy);
        teardown();
    }
    CHECK(changes > 100 * (uint64_t)rounds);
}

static void
faults_and_kills(void)
{
    long rounds = test_scaled(4000, 40);
    uint64_t failed = 0;

    for (long i = 0; i < rounds; i++) {
        coat_copy *copy;
        bool complete;

        setup(900000 + (uint64_t)i);
        copy = begin();
        w->changing = true;
        w->faults = 4;
        for (unsigned steps = 0; steps < 24; steps++) {
            coat_err err = coat_copy_step(copy, &complete);

            CHECK(err == COAT_OK || err == COAT_STORE_DOWN);
            failed += err != COAT_OK;
            if (chance(60)) { /* killed: what it had sent is decided by then */
                coat_store_req req = {.op = COAT_OP_SWEEP, .now_ms = 1};

                coat_copy_free(copy);
                w->faults = 0;
                REQUIRE_OK(coat_store_run(w->copy_to, &req));
                w->faults = 4;
                copy = begin();
            }
        }
        last_pass(copy);
        coat_copy_free(copy);
        teardown();
    }
    CHECK(failed > (uint64_t)rounds);
}

static uint64_t
global_of(coat_lane *lane)
{
    coat_store_req req = {.op = COAT_OP_EPOCHS, .now_ms = w->now_ms};

    REQUIRE_OK(coat_store_run(lane, &req));
    return req.epoch_global;
}

static void
epochs(void)
{
    coat_copy *copy;
    coat_store_req high = {.op = COAT_OP_END_ALL, .again = 1000000};
    coat_store_req raise = {.op = COAT_OP_REMOVE_OWNER};

    setup(7);
    high.now_ms = raise.now_ms = w->now_ms;
    /* Owners whose epoch is higher in the target already keep it, and their sessions come. */
    raise.owner = coat_handle_owner(&w->entries[0].address);
    for (int i = 0; i < 5; i++)
        REQUIRE_OK(coat_store_run(w->reader, &raise));
    end_all();
    for (size_t i = 0; i < ENTRIES; i += 2)
        put(&w->entries[i]);
    copy = begin();
    last_pass(copy);
    CHECK_INT(global_of(w->reader), global_of(w->user));
    /* Raised once more while it goes on: what is new then comes, what was before does not. */
    end_all();
    put(&w->entries[3]);
    last_pass(copy);
    CHECK_INT(global_of(w->reader), global_of(w->user));
    /* Records name their epoch, so the target's must not be above theirs. */
    REQUIRE_OK(coat_store_run(w->reader, &high));
    CHECK_ERR(coat_copy_pass(copy), COAT_REVOKED);
    CHECK_INT(global_of(w->reader), 1000000);
    coat_copy_free(copy);
    teardown();
}

static void
the_stores_own_entries_stay(void)
{
    static const coat_handle stamp = {.bytes = "table-stamp-0001"};
    coat_mark mark = {.state = COAT_MARK_FILLING}, found;
    coat_store_req req = {.op = COAT_OP_INSERT, .space = COAT_SPACE_META, .address = stamp};
    coat_copy *copy;

    setup(8);
    req.value = COAT_LIT("of the source");
    req.now_ms = w->now_ms;
    REQUIRE_OK(coat_store_run(w->user, &req));
    REQUIRE_OK(coat_mark_write(w->reader, &mark));
    copy = begin();
    last_pass(copy);
    req.op = COAT_OP_LOAD;
    CHECK_ERR(coat_store_run(w->reader, &req), COAT_NO_SESSION);
    REQUIRE_OK(coat_mark_read(w->reader, COAT_MARK_OF_STORE, &found));
    CHECK_INT(found.state, COAT_MARK_FILLING);
    REQUIRE_OK(coat_mark_read(w->user, COAT_MARK_OF_STORE, &found));
    CHECK_INT(found.state, COAT_MARK_NONE);
    coat_copy_free(copy);
    teardown();
}

/** Whether it is a cache that does not say what it holds shows when it is asked. */
static void
a_cache_that_says_nothing(void)
{
    static const struct {
        const char *name;
        bool source, target;
        coat_err want;
    } cases[] = {
        {"the source", true, false, COAT_UNSUPPORTED},
        {"the target, which is looked at only to go on with what is there", false, true,
         COAT_OK},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        coat_copy *copy;

        test_case(cases[i].name);
        setup(cases[i].source ? 1 : 2);
        w->silent_source = cases[i].source;
        w->silent_target = cases[i].target;
        copy = begin();
        CHECK_ERR(coat_copy_pass(copy), cases[i].want);
        if (cases[i].want == COAT_OK)
            equal();
        coat_copy_free(copy);
        teardown();
    }
    coat_copy_free(NULL);
    test_case(NULL);
}

int
main(int argc, char **argv)
{
    static const coat_test tests[] = {
        {"a store at rest is copied once, and compared by who comes later", a_store_at_rest},
        {"UP-4: changed between all requests of the copy: none lost, none revived",
         changes_between_all_requests},
        {"UP-4: failures, lost and late answers, killed copies: none lost, none revived",
         faults_and_kills},
        {"UP-4: epochs are carried, and never lowered", epochs},
        {"the table's stamp and the mark are each store's own", the_stores_own_entries_stay},
        {"a cache that does not say what it holds cannot be copied, but copied into",
         a_cache_that_says_nothing},
    };

    return coat_test_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
