/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz_redis.h"
#include "store/redis/cluster.h"

/* What a node of a cluster sends, whatever it is: a topology that is taken has each bucket with
 * one primary of a sound address; nobody but the node that was named before is connected to;
 * and every request ends exactly once, with an answer that the contract knows.
 *
 * Input: flags; which operations are asked; the length of a read; then the bytes. */

enum {
    GREETED = 0x80, /* a well-behaved greeting goes first */
    ASKED = 0x40,   /* then it is asked once more who has what */
    TOLD = 0x20, /* everybody's sessions were ended, and one: before it is used it hears so */
};

static void
on_done(coat_store_req *req)
{
    has_ended(req);
    FUZZ_CHECK(req->op == COAT_OP_EPOCHS || req->op == COAT_OP_REMOVE || req->limit == 0 ||
               req->count <= req->limit);
}

/** It has all slots. At one go: how a greeting is cut into reads is tried with those of inputs.
 */
static void
greet(bool told)
{
    static const char greeting[] =
        "$40\r\n0123456789012345678901234567890123456789\r\n"
        "$102\r\n0123456789012345678901234567890123456789 127.0.0.1:7000@17000 myself,master "
        "- 0 0 1 connected 0-16383\n\r\n"
        "$63\r\ncluster_state:ok\r\ncluster_current_epoch:3\r\ncluster_my_epoch:1\r\n\r\n"
        "*1\r\n*3\r\n:0\r\n:16383\r\n*3\r\n$9\r\n127.0.0.1\r\n:7000\r\n"
        "$40\r\n0123456789012345678901234567890123456789\r\n"
        "*2\r\n$1\r\na\r\n$3\r\nyes\r\n*2\r\n$1\r\na\r\n$2\r\nno\r\n"
        "$103\r\nredis_version:7.0.15\r\nrun_id:0123456789012345678901234567890123456789\r\n"
        "role:master\r\ncluster_enabled:1\r\n\r\n:7\r\n:0\r\n*0\r\n*0\r\n";
    /* With a name for each script: else its text would go with each of hundreds of questions.
     */
    static const char script[] = "$40\r\n0123456789012345678901234567890123456789\r\n";
    static const char format[] = "*4\r\n:0\r\n$1\r\n1\r\n$1\r\n0\r\n$1\r\n0\r\n";

    feed_text(greeting, SIZE_MAX);
    for (int i = SCRIPT_HELLO + 1; i < SCRIPT_COUNT; i++)
        feed_text(script, SIZE_MAX);
    feed_text(format, SIZE_MAX);
    FUZZ_CHECK(the_link->base.state == (told ? REMOTE_CONNECTING : REMOTE_READY));
}

/* One store and one loop for all inputs: to open them costs more than most inputs do. The store
 * is as it was when it was opened before each. */
static redis_cluster *cluster, cluster_opened;
static cluster_seat *seat, seat_opened;
static uv_loop_t loop;

static void
open_once(void)
{
    coat_store_conf conf = {.url = "redis+cluster://127.0.0.1:7000"};
    coat_store *store;

    if (cluster != NULL)
        return;
    FUZZ_CHECK(redis_cluster_open(&conf, &store) == COAT_OK);
    cluster = (redis_cluster *)(void *)store;
    cluster->home.remote.monotonic = fixed_clock;
    FUZZ_CHECK(cluster->seat_count == 1);
    seat = cluster->seats[0];
    seat->store.remote.kind = redis_without_network();
    seat->store.remote.rng = fixed_random;
    seat->store.remote.links = 1;
    (void)snprintf(cluster->front, sizeof cluster->front, "redis:");
    memcpy(&cluster_opened, cluster, sizeof cluster_opened);
    memcpy(&seat_opened, seat, sizeof seat_opened);
    FUZZ_CHECK(uv_loop_init(&loop) == 0);
}

static void
as_opened(void)
{
    redis_journal_free(&cluster->home.journal);
    memcpy(cluster, &cluster_opened, sizeof *cluster);
    memcpy(seat, &seat_opened, sizeof *seat);
}

static void
note_ends(void)
{
    const redis_ended one = {.raised_ms = fuzz_ms};

    (void)redis_global_seen(&cluster->home, 5);
    FUZZ_CHECK(redis_journal_add(the_link, &one));
}

/** Four in a row; but one at most that goes to each bucket: it costs as much as hundreds. */
static void
ask_four(coat_lane *lane, uint8_t from)
{
    bool all = false;

    for (size_t i = 0; i < REQUESTS; i++) {
        coat_op op = (coat_op)(COAT_OP_INSERT + (from + i) % COAT_OP_LEAVE);
        bool to_all = op == COAT_OP_END_ALL || op == COAT_OP_SCAN || op == COAT_OP_SWEEP;

        ask(lane, i, to_all && all ? COAT_OP_LOAD : op, from, on_done);
        all = all || to_all;
    }
}

static void
converse(const uint8_t *data, size_t size)
{
    size_t step = step_of(data[2]);
    coat_lane *lane;

    open_once();
    FUZZ_CHECK(coat_lane_open(&cluster->home.remote.base, &loop, &lane) == COAT_OK);
    if ((data[0] & TOLD) != 0)
        note_ends();
    if ((data[0] & GREETED) != 0) {
        greet((data[0] & TOLD) != 0);
        if ((data[0] & ASKED) != 0)
            redis_cluster_ask(the_link);
    }
    ask_four(lane, data[1]);
    feed_redis(data + 3, size - 3, step);
    FUZZ_CHECK(cluster->seat_count == 1);
    for (size_t b = 0; b < CLUSTER_BUCKETS; b++)
        FUZZ_CHECK(cluster->seat_of[b] == 0 || cluster->seat_of[b] == CLUSTER_NOBODY);
    coat_lane_close(lane);
    all_have_ended();
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    FUZZ_CHECK(!uv_loop_alive(&loop));
    as_opened();
}

/* ---- a topology alone ---- */

static void
check_topology(const cluster_topology *t)
{
    FUZZ_CHECK(t->count <= CLUSTER_PRIMARIES_MAX);
    for (size_t i = 0; i < t->count; i++) {
        const cluster_primary *p = &t->primaries[i];

        FUZZ_CHECK(p->port != 0 && strlen(p->id) <= CLUSTER_ID);
        FUZZ_CHECK(p->host[0] != '\0' && strlen(p->host) <= CLUSTER_HOST_MAX);
        FUZZ_CHECK(strpbrk(p->host, "@/?#%,[] \r\n") == NULL);
        for (size_t k = 0; k < i; k++)
            FUZZ_CHECK(t->primaries[k].port != p->port ||
                       strcmp(t->primaries[k].host, p->host) != 0);
    }
    for (size_t b = 0; b < CLUSTER_BUCKETS; b++)
        FUZZ_CHECK(t->primary_of[b] == CLUSTER_NOBODY || t->primary_of[b] < t->count);
}

static void
topology(const uint8_t *data, size_t size)
{
    resp_reader *reader = resp_reader_new();
    static cluster_buckets buckets;
    resp_reply *reply = NULL;

    if (buckets.tags[0][0] == '\0')
        cluster_buckets_make(&buckets);
    if (reader == NULL)
        return;
    if (resp_feed(reader, data, size) == COAT_OK)
        while (resp_next(reader, &reply) == COAT_OK && reply != NULL) {
            cluster_topology t;
            bool moving;

            if (cluster_moving_read(reply, &buckets, &moving) != COAT_OK)
                FUZZ_CHECK(!moving);
            if (cluster_topology_read(reply, &buckets, "asked.example", &t) == COAT_OK)
                check_topology(&t);
            resp_reply_free(reply);
            reply = NULL;
        }
    resp_reader_free(reader);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;
    topology(data + 3, size - 3);
    converse(data, size);
    return 0;
}
