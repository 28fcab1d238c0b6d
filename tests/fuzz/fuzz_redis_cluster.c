/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"
#include "store/redis/cluster.h"

#include <string.h>

/* What a node of a cluster sends, whatever it is: a topology that is taken has each bucket with
 * one primary of a sound address; nobody but the node that was named before is connected to;
 * and every request ends exactly once, with an answer that the contract knows.
 *
 * Input: flags; which operations are asked; the length of a read; then the bytes. */

enum {
    REQUESTS = 2,
    GREETED = 0x80, /* a well-behaved greeting goes first */
    ASKED = 0x40,   /* then it is asked once more who has what */
};

static coat_err
fixed_random(void *ctx, uint8_t *buf, size_t len)
{
    (void)ctx;
    memset(buf, 0, len);
    return COAT_OK;
}

static int64_t
fixed_clock(void *ctx)
{
    (void)ctx;
    return 1000;
}

static redis_link *the_link;
static unsigned ended[REQUESTS];
static struct remote_kind kind;

static void
start(remote_link *base)
{
    redis_link *link = (redis_link *)base;

    the_link = link;
    link->greeted = false;
    link->number = 0;
    link->reader = resp_reader_new();
    redis_hello(link);
}

static void
flush(remote_link *base)
{
    remote_buffer_free(&((redis_link *)base)->out);
}

static void
on_item(coat_store_req *req, const coat_store_item *item)
{
    FUZZ_CHECK(item->value.len <= COAT_STORE_VALUE_MAX);
    FUZZ_CHECK(ended[(size_t)(uintptr_t)req->ctx] == 0);
}

static void
on_done(coat_store_req *req)
{
    ended[(size_t)(uintptr_t)req->ctx]++;
    FUZZ_CHECK(req->result <= COAT_UNSUPPORTED);
    FUZZ_CHECK(req->op == COAT_OP_EPOCHS || req->op == COAT_OP_REMOVE || req->limit == 0 ||
               req->count <= req->limit);
}

static void
feed(const uint8_t *bytes, size_t len, size_t step)
{
    while (len > 0 && the_link->base.state != REMOTE_IDLE) {
        size_t n = len < step ? len : step;

        redis_bytes(the_link, bytes, n);
        bytes += n;
        len -= n;
    }
}

/** It has all slots. */
static void
greet(size_t step)
{
    static const char greeting[] =
        "$40\r\n0123456789012345678901234567890123456789\r\n"
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

    feed((const uint8_t *)greeting, sizeof greeting - 1, step);
    for (int i = SCRIPT_HELLO + 1; i < SCRIPT_COUNT; i++)
        feed((const uint8_t *)script, sizeof script - 1, step);
    feed((const uint8_t *)format, sizeof format - 1, step);
    FUZZ_CHECK(the_link->base.state == REMOTE_READY);
}

static void
ask(coat_lane *lane, coat_store_req *reqs, uint8_t which)
{
    for (size_t i = 0; i < REQUESTS; i++) {
        coat_op op = (coat_op)(COAT_OP_INSERT + (which + i) % COAT_OP_LEAVE);

        reqs[i] = (coat_store_req){.op = op,
                                   .space = (coat_space)(COAT_SPACE_SESSION + which % 3),
                                   .now_ms = 1000,
                                   .item = on_item,
                                   .done = on_done,
                                   .ctx = (void *)(uintptr_t)i};
        memset(reqs[i].address.bytes, 'a', sizeof reqs[i].address.bytes);
        coat_store_submit(lane, &reqs[i]);
    }
}

static void
converse(const uint8_t *data, size_t size)
{
    static coat_store_req reqs[REQUESTS];
    coat_store_conf conf = {.url = "redis+cluster://127.0.0.1:7000"};
    size_t step = data[2] % 16 == 0 ? SIZE_MAX : data[2] % 16;
    coat_store *store;
    redis_cluster *cluster;
    coat_lane *lane;
    uv_loop_t loop;

    memset(ended, 0, sizeof ended);
    kind = redis_kind;
    kind.start = start;
    kind.flush = flush;
    FUZZ_CHECK(redis_cluster_open(&conf, &store) == COAT_OK);
    cluster = (redis_cluster *)(void *)store;
    cluster->home.remote.monotonic = fixed_clock;
    FUZZ_CHECK(cluster->seat_count == 1);
    cluster->seats[0]->store.remote.kind = &kind;
    cluster->seats[0]->store.remote.rng = fixed_random;
    cluster->seats[0]->store.remote.links = 1;
    (void)snprintf(cluster->front, sizeof cluster->front, "redis:");
    FUZZ_CHECK(uv_loop_init(&loop) == 0);
    FUZZ_CHECK(coat_lane_open(store, &loop, &lane) == COAT_OK);
    if ((data[0] & GREETED) != 0) {
        greet(step);
        if ((data[0] & ASKED) != 0)
            redis_cluster_ask(the_link);
    }
    ask(lane, reqs, data[1]);
    feed(data + 3, size - 3, step);
    FUZZ_CHECK(cluster->seat_count == 1);
    for (size_t b = 0; b < CLUSTER_BUCKETS; b++)
        FUZZ_CHECK(cluster->seat_of[b] == 0 || cluster->seat_of[b] == CLUSTER_NOBODY);
    coat_lane_close(lane);
    for (size_t i = 0; i < REQUESTS; i++)
        FUZZ_CHECK(ended[i] == 1);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    FUZZ_CHECK(uv_loop_close(&loop) == 0);
    coat_store_close(store);
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
