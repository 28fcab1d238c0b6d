/* SPDX-License-Identifier: Apache-2.0 */
/**
 * Moving out of memcached, of three servers, to each other kind of store, while sessions come,
 * change and go. Afterwards the target has what a model has, and nothing else.
 */

#include "copy_targets.h"
#include "lmdb_fixture.h"
#include "memcached_kit.h"
#include "store/move.h"

enum { USERS = 400, EACH = 3, SESSIONS = USERS * EACH, COUNTERS = 60, LEN_MAX = 60 };

typedef struct entry { /* the model's */
    coat_space space;
    coat_handle address;
    bool there;
    uint8_t value[LEN_MAX];
    size_t len;
    int64_t expires_ms;
    uint64_t version;
} entry;

static entry model[SESSIONS + COUNTERS];
static test_rng rng;
static coat_store *target;
static coat_lane *reader;
static coat_move *move;
static uint64_t epoch; /* of everybody's, that the sessions are under */
static char message[400];

static coat_store_req
request(coat_op op, const entry *e)
{
    return (coat_store_req){.op = op,
                            .space = e->space,
                            .address = e->address,
                            .owner = coat_handle_owner(&e->address),
                            .now_ms = NOW_MS,
                            .timeout_ms = PATIENCE_MS,
                            .done = done_nothing};
}

static void
put(entry *e)
{
    coat_store_req epochs = request(COAT_OP_EPOCHS, e);
    coat_store_req req = request(e->there ? COAT_OP_REPLACE : COAT_OP_INSERT, e);

    REQUIRE_OK(coat_store_run(lane, &epochs));
    e->len = test_rng_below(&rng, LEN_MAX + 1);
    (void)test_rng_fill(&rng, e->value, e->len);
    e->expires_ms = test_rng_below(&rng, 10) == 0 ? 0 : NOW_MS + 1000000;
    req.value = (coat_span){e->value, e->len};
    req.expires_ms = e->expires_ms;
    req.version = e->there ? e->version : 0;
    req.epoch_owner = epochs.epoch_owner;
    req.epoch_global = epochs.epoch_global;
    REQUIRE_OK(coat_store_run(lane, &req));
    e->version = req.found_version;
    e->there = true;
}

static void
end_one(entry *e)
{
    coat_store_req req = request(COAT_OP_REMOVE, e);

    REQUIRE_OK(coat_store_run(lane, &req));
    e->there = false;
}

static void
end_user(const entry *of)
{
    coat_store_req req = request(COAT_OP_REMOVE_OWNER, of);

    REQUIRE_OK(coat_store_run(lane, &req));
    for (size_t i = 0; i < SESSIONS; i++)
        if (memcmp(model[i].address.bytes + 8, of->address.bytes + 8, 8) == 0)
            model[i].there = false;
}

static void
change(int times)
{
    for (int i = 0; i < times; i++) {
        entry *e = &model[test_rng_below(&rng, SESSIONS + COUNTERS)];
        uint64_t what = test_rng_below(&rng, 10);

        if (what < 6)
            put(e);
        else if (what < 9 || e->space != COAT_SPACE_SESSION)
            end_one(e);
        else
            end_user(e);
    }
}

static coat_err
end_all(coat_lane *with, uint64_t *now)
{
    coat_store_req req = {.op = COAT_OP_END_ALL,
                          .now_ms = NOW_MS,
                          .timeout_ms = PATIENCE_MS,
                          .done = done_nothing};
    coat_err err = coat_store_run(with, &req);

    *now = req.epoch_global;
    return err;
}

static void
fill(void)
{
    REQUIRE_OK(end_all(lane, &epoch)); /* a number by the clock, as memcached has them */
    for (size_t i = 0; i < SESSIONS + COUNTERS; i++) {
        model[i] = (entry){.space = i < SESSIONS ? COAT_SPACE_SESSION : COAT_SPACE_META};
        model[i].address = handle_of(1 + i % USERS, 1 + i / USERS);
        if (test_rng_below(&rng, 10) < 8)
            put(&model[i]);
    }
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
count_one(coat_store_req *req, const coat_store_item *item)
{
    *(size_t *)req->ctx += !coat_copy_stays(&item->address);
}

static size_t
count_space(coat_space space)
{
    size_t n = 0;
    coat_store_req req = {.op = COAT_OP_SCAN,
                          .space = space,
                          .now_ms = NOW_MS,
                          .limit = COAT_STORE_LIST_MAX,
                          .timeout_ms = PATIENCE_MS,
                          .item = count_one,
                          .done = done_nothing,
                          .ctx = &n};

    REQUIRE_OK(coat_store_run(reader, &req));
    while (req.more && n < COAT_STORE_LIST_MAX)
        REQUIRE_OK(coat_store_run(reader, &req));
    return n;
}

/** Nothing lost, nothing revived, nothing old, and nothing there that nobody knows of. */
static void
check_target(void)
{
    size_t want = 0, counters = 0;

    for (size_t i = 0; i < SESSIONS + COUNTERS; i++) {
        entry *e = &model[i];
        coat_store_req req = request(COAT_OP_LOAD, e);

        req.done = same_value;
        req.ctx = e;
        CHECK_ERR(coat_store_run(reader, &req), e->there ? COAT_OK : COAT_NO_SESSION);
        want += e->there && e->space == COAT_SPACE_SESSION;
        counters += e->there && e->space == COAT_SPACE_META;
    }
    CHECK(want > 100 && want < COAT_STORE_LIST_MAX);
    CHECK_INT(count_space(COAT_SPACE_SESSION), want);
    CHECK_INT(count_space(COAT_SPACE_META), counters);
}

/** The epoch of everybody has come along, and is raised as ever. */
static void
check_epochs(void)
{
    coat_store_req here = request(COAT_OP_EPOCHS, &model[0]);
    uint64_t next;

    REQUIRE_OK(coat_store_run(reader, &here));
    CHECK(here.epoch_global == epoch);
    REQUIRE_OK(end_all(reader, &next));
    CHECK(next > epoch);
    CHECK_INT(count_space(COAT_SPACE_SESSION), 0);
    CHECK_ERR(sign_in(reader, USERS + 1, 1, 10), COAT_OK);
    CHECK_ERR(run_op(reader, COAT_OP_LOAD, USERS + 1, 1), COAT_OK);
    REQUIRE_OK(end_all(reader, &here.epoch_global));
    CHECK(here.epoch_global > next);
    CHECK_ERR(run_op(reader, COAT_OP_LOAD, USERS + 1, 1), COAT_NO_SESSION);
}

/** Nobody comes in by the former store: by its mark, nor if that is forgotten. */
static void
check_source(void)
{
    coat_mark mark;

    REQUIRE_OK(coat_mark_read(lane, COAT_MARK_OF_STORE, &mark));
    CHECK_INT(mark.state, COAT_MARK_MOVED);
    for (size_t i = 0; i < SESSIONS; i++) {
        coat_store_req req = request(COAT_OP_LOAD, &model[i]);

        CHECK_ERR(coat_store_run(lane, &req), COAT_NO_SESSION);
    }
}

/* ---- moving ---- */

static void
do_not_sleep(void *ctx, int64_t ms)
{
    (void)ctx;
    (void)ms;
}

static int64_t
moment(void *ctx)
{
    (void)ctx;
    return NOW_MS;
}

static coat_move_conf
conf_of(void)
{
    return (coat_move_conf){.from = store,
                            .to = target,
                            .from_url = "memcached:",
                            .to_url = "another:",
                            .clock = moment,
                            .rng = test_rng_fill,
                            .rng_ctx = &rng,
                            .sleep_ms = do_not_sleep};
}

static void
move_all(void)
{
    const coat_move_conf conf = conf_of();
    int passes = 0;

    REQUIRE_OK(coat_move_begin(&conf, &move, message, sizeof message));
    while (passes < 3) {
        bool complete = false;
        coat_err err = coat_move_step(move, &complete);

        CHECK(err == COAT_OK || coat_move_is_passing(err));
        passes += complete;
        change(20);
        if (passes == 1 && complete) { /* killed, and begun by another process */
            coat_move_free(move);
            REQUIRE_OK(coat_move_begin(&conf, &move, message, sizeof message));
        }
    }
    CHECK_ERR(coat_move_finish(move, message, sizeof message), COAT_OK);
    coat_move_free(move);
    move = NULL;
}

static void
move_to(coat_err (*open)(coat_store **out))
{
    begin(3);
    fill();
    REQUIRE_OK(open(&target));
    REQUIRE_OK(coat_lane_open(target, NULL, &reader));
    move_all();
    check_target();
    check_source();
    check_epochs();
    coat_lane_close(reader);
    coat_store_close(target);
    end();
}

static coat_err
open_memory(coat_store **out)
{
    return coat_store_open(&(coat_store_conf){.url = "memory:"}, out);
}

static lmdb_fixture disk = {.map_bytes = 64 << 20, .reserve_bytes = 1 << 20};

static coat_err
open_lmdb(coat_store **out)
{
    fixture_fresh(&disk);
    return fixture_open(&disk, out);
}

static coat_err
open_memcached(coat_store **out)
{
    return servers_open(servers, 3, "other", out);
}

static void
to_memory(void)
{
    move_to(open_memory);
}

static void
to_lmdb(void)
{
    move_to(open_lmdb);
    fixture_remove(&disk);
}

static void
to_memcached(void)
{
    move_to(open_memcached);
}

#ifdef WITH_REDIS
static void
to_redis(void)
{
    move_to(target_redis_open);
}
#endif

#ifdef WITH_POSTGRESQL
static void
to_postgresql(void)
{
    move_to(target_postgresql_open);
}
#endif

/** A server that is restarted while it is copied has lost everything, the mark as well. */
static void
restarted(void)
{
    const coat_move_conf *conf;
    coat_move_conf made;
    coat_err err = COAT_STORE_DOWN;
    bool complete = false;

    begin(1);
    fill();
    REQUIRE_OK(open_memory(&target));
    REQUIRE_OK(coat_lane_open(target, NULL, &reader));
    made = conf_of();
    conf = &made;
    REQUIRE_OK(coat_move_begin(conf, &move, message, sizeof message));
    while (!complete)
        REQUIRE_OK(coat_move_step(move, &complete));
    server_kill(&servers[0]);
    server_start(&servers[0]);
    for (int i = 0; i < 4000 && coat_move_is_passing(err); i++) {
        err = coat_move_step(move, &complete);
        atomic_fetch_add(&ahead_ms, 200);
        server_sleep();
    }
    CHECK_ERR(err, COAT_CONFLICT);
    coat_move_explain(err, message, sizeof message);
    CHECK(strstr(message, "forgotten") != NULL);
    coat_move_free(move);
    /* What is left in the target must not be used; the next copy makes it what the source is.
     */
    CHECK_ERR(come_back(lane, 1), COAT_OK);
    for (size_t i = 0; i < SESSIONS + COUNTERS; i++)
        model[i].there = false;
    for (size_t i = 0; i < SESSIONS + COUNTERS; i += 3)
        put(&model[i]);
    REQUIRE_OK(coat_move_begin(conf, &move, message, sizeof message));
    REQUIRE_OK(coat_move_finish(move, message, sizeof message));
    coat_move_free(move);
    move = NULL;
    check_target();
    coat_lane_close(reader);
    coat_store_close(target);
    end();
}

static void
refused(void)
{
    coat_move_conf conf;
    coat_mark mark;

    begin(1);
    CHECK_ERR(sign_in(lane, 1, 1, 10), COAT_OK);
    REQUIRE_OK(open_memory(&target));
    REQUIRE_OK(coat_lane_open(target, NULL, &reader));
    conf = conf_of();
    server_crawler_off(&servers[0]);
    CHECK_ERR(coat_move_begin(&conf, &move, message, sizeof message), COAT_UNSUPPORTED);
    CHECK(strstr(message, "does not say what it holds") != NULL);
    CHECK(strstr(message, "lru_crawler enable") != NULL);
    REQUIRE_OK(coat_mark_read(lane, COAT_MARK_OF_STORE, &mark));
    CHECK_INT(mark.state, COAT_MARK_NONE);
    server_crawler_on(&servers[0]);
    REQUIRE_OK(coat_move_begin(&conf, &move, message, sizeof message));
    REQUIRE_OK(coat_move_finish(move, message, sizeof message));
    coat_move_free(move);
    move = NULL;
    CHECK_ERR(run_op(reader, COAT_OP_LOAD, 1, 1), COAT_OK);
    coat_lane_close(reader);
    coat_store_close(target);
    end();
}

static const coat_test tests[] = {
    {"UP-4: from memcached to memory, with changes meanwhile: none lost, none revived",
     to_memory},
    {"UP-4: from memcached to LMDB, with changes meanwhile: none lost, none revived", to_lmdb},
    {"UP-4: from memcached to memcached, with changes meanwhile: none lost, none revived",
     to_memcached},
#ifdef WITH_REDIS
    {"UP-4: from memcached to Redis, with changes meanwhile: none lost, none revived",
     to_redis},
#endif
#ifdef WITH_POSTGRESQL
    {"UP-4: from memcached to PostgreSQL, with changes meanwhile: none lost, none revived",
     to_postgresql},
#endif
    {"UP-4: a server that is restarted while it is copied: nothing is used half", restarted},
    {"a server that does not list its keys is refused, and the operator told what helps",
     refused},
};

int
main(int argc, char **argv)
{
    int rc = coat_test_main(argc, argv, tests, sizeof tests / sizeof tests[0]);

    for (size_t i = 0; i < sizeof servers / sizeof servers[0]; i++)
        server_kill(&servers[i]);
#ifdef WITH_REDIS
    target_redis_stop();
#endif
#ifdef WITH_POSTGRESQL
    target_postgresql_stop();
#endif
    return rc;
}
