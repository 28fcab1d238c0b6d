/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"
#include "store/redis/redis.h"
#include "store/remote/value.h"

#include <string.h>

/* What a server sends, whatever it is: every request ends exactly once, with an answer that the
 * contract knows; LOAD finds nothing but a live record of its own address; and how the bytes
 * were cut into reads makes no difference to the replies.
 *
 * Input: flags, and which space is asked; which operations are asked; the length of a read;
 * then the bytes. */

enum {
    REQUESTS = 4,
    GREETED = 0x80, /* a well-behaved greeting goes first, so the rest is read as answers */
    GUARDED = 0x40, /* a password was sent, another database is chosen, a sentinel was asked */
    ENDING = 0x20,  /* INSERT is over a session that it ends, REMOVE_OWNER spares one */
};

static uint8_t flags;

static int64_t now_ms;

static int64_t
fixed_clock(void *ctx)
{
    (void)ctx;
    return now_ms;
}

static coat_err
fixed_random(void *ctx, uint8_t *buf, size_t len)
{
    (void)ctx;
    memset(buf, 0, len);
    return COAT_OK;
}

static void
start(remote_link *base)
{
    redis_link *link = (redis_link *)base;

    link->greeted = false;
    link->number = 0;
    link->reader = resp_reader_new();
    if ((flags & GUARDED) != 0) {
        redis_store_of(link)->db = 1;
        redis_store_of(link)->sentinels.count = 1;
        FUZZ_CHECK(redis_expect(link, NULL, 0, SCRIPT_COUNT) == COAT_OK); /* of AUTH */
    }
    redis_hello(link);
}

static void
flush(remote_link *base)
{
    remote_buffer_free(&((redis_link *)base)->out);
}

static unsigned ended[REQUESTS];

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
    FUZZ_CHECK(req->count <= req->limit);
    if (req->op == COAT_OP_LOAD && req->result == COAT_OK) {
        coat_span whole = {req->found.ptr - REMOTE_VALUE_HEAD,
                           req->found.len + REMOTE_VALUE_HEAD};
        coat_value value;

        FUZZ_CHECK(remote_value_decode(whole, req->space, &req->address, &value) == COAT_OK);
        FUZZ_CHECK(!coat_value_expired(&value, req->now_ms));
    }
}

static const char who[] =
    "$163\r\nredis_version:7.0.15\r\nrun_id:0123456789012345678901234567890123456789\r\n"
    "role:master\r\nloading:0\r\naof_enabled:1\r\nmaxmemory:0\r\nmaxmemory_policy:"
    "noeviction\r\n"
    "cluster:0\r\n\r\n:7\r\n:0\r\n*2\r\n$11\r\nappendfsync\r\n$6\r\nalways\r\n*2\r\n$"
    "4\r\nsave\r\n$0\r\n\r\n";
static const char script[] = "$40\r\n0123456789012345678901234567890123456789\r\n";
static const char format[] = "*4\r\n:0\r\n$1\r\n1\r\n$1\r\n0\r\n$1\r\n0\r\n";

static struct remote_kind kind;

static void
feed(redis_link *link, const uint8_t *bytes, size_t len, size_t step)
{
    while (len > 0 && link->base.state != REMOTE_IDLE) {
        size_t n = len < step ? len : step;

        redis_bytes(link, bytes, n);
        bytes += n;
        len -= n;
    }
}

static void
feed_text(redis_link *link, const char *text, size_t step)
{
    feed(link, (const uint8_t *)text, strlen(text), step);
}

static void
greet(redis_link *link, size_t step)
{
    bool guarded = (flags & GUARDED) != 0;

    feed_text(link, guarded ? "+OK\r\n+OK\r\n" : "", step); /* AUTH, SELECT */
    feed_text(link, who, step);
    feed_text(link, guarded ? "*2\r\n$1\r\nm\r\n$1\r\n0\r\n" : "", step);
    for (int i = SCRIPT_HELLO + 1; i < SCRIPT_COUNT; i++)
        feed_text(link, script, step);
    feed_text(link, format, step);
    FUZZ_CHECK(link->base.state == REMOTE_READY);
}

static void
ask(coat_lane *lane, coat_store_req *reqs, uint8_t which)
{
    bool ending = (flags & ENDING) != 0;

    for (size_t i = 0; i < REQUESTS; i++) {
        coat_op op = (coat_op)(COAT_OP_INSERT + (which + i) % COAT_OP_LEAVE);
        coat_space space = (coat_space)(COAT_SPACE_SESSION + flags % 3);

        reqs[i] = (coat_store_req){.op = op,
                                   .space = space,
                                   .value = COAT_LIT("x"),
                                   .has_superseded = ending && space == COAT_SPACE_SESSION,
                                   .has_spare = ending,
                                   .now_ms = 1000,
                                   .item = on_item,
                                   .done = on_done,
                                   .ctx = (void *)(uintptr_t)i};
        memset(reqs[i].address.bytes, 'a', sizeof reqs[i].address.bytes);
        memset(reqs[i].owner.bytes, 'a', sizeof reqs[i].owner.bytes);
        memset(reqs[i].superseded.bytes, 'a', sizeof reqs[i].superseded.bytes);
        memset(reqs[i].spare.bytes, 'a', sizeof reqs[i].spare.bytes);
        coat_store_submit(lane, &reqs[i]);
    }
}

static void
converse(const uint8_t *data, size_t size)
{
    static redis_store store;
    static coat_store_req reqs[REQUESTS];
    struct coat_store_ops ops = coat_redis_ops;
    coat_lane *lane;
    redis_link *link;
    size_t step = data[2] % 16 == 0 ? SIZE_MAX : data[2] % 16;

    flags = data[0];
    memset(&store, 0, sizeof store);
    memset(ended, 0, sizeof ended);
    kind = redis_kind;
    kind.start = start;
    kind.flush = flush;
    if (remote_store_init(&store.remote, &ops, &kind) != COAT_OK)
        return;
    store.remote.links = 1;
    store.remote.monotonic = fixed_clock;
    store.remote.rng = fixed_random;
    memcpy(store.prefix, "p:", 3);
    FUZZ_CHECK(remote_lane_open(&store.remote.base, NULL, &lane) == COAT_OK);
    link = (redis_link *)((remote_lane *)lane)->links[0];
    if ((flags & GREETED) != 0)
        greet(link, step);
    ask(lane, reqs, data[1]);
    feed(link, data + 3, size - 3, step);
    now_ms += 10;
    remote_lane_close(lane);
    for (size_t i = 0; i < REQUESTS; i++)
        FUZZ_CHECK(ended[i] == 1);
    redis_journal_free(&store.journal);
    remote_store_fini(&store.remote);
}

/* ---- replies do not depend on how the bytes were cut ---- */

static uint64_t
mix(uint64_t sum, uint64_t value)
{
    return (sum ^ value) * 1099511628211U;
}

static uint64_t
sum_of(const resp_reply *reply, uint64_t sum)
{
    sum = mix(mix(mix(sum, reply->type), (uint64_t)reply->integer), reply->count);
    for (size_t i = 0; i < reply->text.len; i++)
        sum = mix(sum, reply->text.ptr[i]);
    for (size_t i = 0; i < reply->count; i++)
        sum = sum_of(reply->items[i], sum);
    FUZZ_CHECK(reply->count <= RESP_ELEMENTS_MAX);
    return sum;
}

static uint64_t
sum_in_steps(const uint8_t *data, size_t size, size_t step)
{
    resp_reader *reader = resp_reader_new();
    uint64_t sum = 14695981039346656037U;
    coat_err err = COAT_OK;

    if (reader == NULL)
        return 0;
    while (err == COAT_OK && size > 0) {
        size_t n = size < step ? size : step;
        resp_reply *reply = NULL;

        err = resp_feed(reader, data, n);
        while (err == COAT_OK && (err = resp_next(reader, &reply)) == COAT_OK &&
               reply != NULL) {
            sum = sum_of(reply, sum);
            resp_reply_free(reply);
            reply = NULL;
        }
        data += n;
        size -= n;
    }
    resp_reader_free(reader);
    return mix(sum, err != COAT_OK);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;
    converse(data, size);
    FUZZ_CHECK(sum_in_steps(data + 3, size - 3, SIZE_MAX) ==
               sum_in_steps(data + 3, size - 3, 1 + data[2] % 7));
    return 0;
}
