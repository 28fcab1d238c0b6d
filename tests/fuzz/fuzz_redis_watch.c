/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"
#include "store/redis/redis.h"

#include <string.h>

/* What comes on the connection of a watch, whatever it is: changes are reported between READY
 * and LOST only, each of these comes once for a connection, and what is no answer or message of
 * ours ends it. Connections are below, instead of those of stream.c.
 *
 * Input: flags, and which write fails (in the lowest four bits); the length of a read; then the
 * bytes. */

enum {
    GREETED = 0x80, /* a well-behaved greeting goes first, up to READY */
    PASSWORD = 0x40,
    LOST = 0x20, /* the connection ends in the end */
};

struct remote_stream {
    remote_owner owner;
    bool open;
};

static remote_stream stream;
static unsigned opened, readied, lost, writes, fails_at;

coat_err
remote_stream_open(uv_loop_t *loop, const remote_address *address, const remote_owner *owner,
                   remote_stream **out)
{
    (void)loop;
    (void)address;
    stream = (remote_stream){*owner, true};
    opened++;
    *out = &stream;
    return COAT_OK;
}

void
remote_stream_write(remote_stream *to, remote_buffer *bytes)
{
    FUZZ_CHECK(to->open && bytes->len > 0 && !bytes->failed);
    remote_buffer_free(bytes);
    if (++writes == fails_at) /* that may be told of before it returns */
        to->owner.lost(to->owner.ctx, "it cannot be written to");
}

void
remote_stream_drop(remote_stream *of)
{
    if (of != NULL)
        of->open = false;
}

static int64_t
fixed_clock(void *ctx)
{
    (void)ctx;
    return 1000;
}

static coat_err
fixed_random(void *ctx, uint8_t *buf, size_t len)
{
    (void)ctx;
    memset(buf, 0, len);
    return COAT_OK;
}

static void
on_event(void *ctx, const coat_watch_event *event)
{
    (void)ctx;
    readied += event->kind == COAT_WATCH_READY;
    lost += event->kind == COAT_WATCH_LOST;
    FUZZ_CHECK(readied == 1 && lost <= 1);
    FUZZ_CHECK(lost == 0 || event->kind == COAT_WATCH_LOST);
}

static void
start(remote_link *link)
{
    (void)link; /* the watch is alone */
}

static void
feed(const void *bytes, size_t len, size_t step)
{
    const uint8_t *at = bytes;

    while (len > 0 && stream.open) {
        size_t n = len < step ? len : step;

        stream.owner.bytes(stream.owner.ctx, at, n);
        at += n;
        len -= n;
    }
}

static void
greet(size_t step)
{
    static const char who[] =
        "$84\r\nredis_version:7.0.15\r\nrun_id:0123456789012345678901234567890123456789\r\n"
        "role:master\r\n\r\n*2\r\n$1\r\nn\r\n$4\r\nEgxe\r\n:7\r\n+OK\r\n";
    static const char subscribed[] = "*3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:1\r\n";

    feed(who, sizeof who - 1, step);
    for (int i = 0; i < 6; i++)
        feed(subscribed, sizeof subscribed - 1, step);
    FUZZ_CHECK(fails_at != 0 || (readied == 1 && lost == 0));
}

static void
watch(redis_store *store, uv_loop_t *loop, const uint8_t *data, size_t size)
{
    const coat_watch_sink sink = {.event = on_event};
    size_t step = data[1] % 16 == 0 ? SIZE_MAX : data[1] % 16;
    coat_watch *w, *another;
    coat_lane *lane;

    opened = readied = lost = writes = 0;
    fails_at = data[0] % 16;
    FUZZ_CHECK(remote_lane_open(&store->remote.base, loop, &lane) == COAT_OK);
    FUZZ_CHECK(redis_watch_open(lane, &sink, &w) == COAT_OK);
    FUZZ_CHECK(redis_watch_open(lane, &sink, &another) == COAT_EXISTS);
    uv_ref((uv_handle_t *)&((remote_watch *)w)->timer);
    (void)uv_run(loop, UV_RUN_NOWAIT); /* it connects */
    uv_unref((uv_handle_t *)&((remote_watch *)w)->timer);
    FUZZ_CHECK(opened == 1);
    stream.owner.ready(stream.owner.ctx);
    if ((data[0] & PASSWORD) != 0)
        feed("+OK\r\n", 5, step);
    if ((data[0] & GREETED) != 0)
        greet(step);
    feed(data + 2, size - 2, step);
    if ((data[0] & LOST) != 0 && stream.open)
        stream.owner.lost(stream.owner.ctx, "it has ended");
    FUZZ_CHECK(stream.open || readied == lost);
    redis_watch_close(w);
    FUZZ_CHECK(!stream.open);
    remote_lane_close(lane);
    (void)uv_run(loop, UV_RUN_DEFAULT);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static redis_store store;
    static struct remote_kind kind;
    struct coat_store_ops ops = coat_redis_ops;
    uv_loop_t loop;

    if (size < 2)
        return 0;
    memset(&store, 0, sizeof store);
    kind = redis_kind;
    kind.start = start;
    if (remote_store_init(&store.remote, &ops, &kind) != COAT_OK)
        return 0;
    store.remote.links = 1;
    store.remote.monotonic = fixed_clock;
    store.remote.rng = fixed_random;
    memcpy(store.prefix, "p:", 3);
    memcpy(store.channel, "p:0:changes", 12);
    store.channel_stem = 4;
    if ((data[0] & PASSWORD) != 0)
        memcpy(store.password, "secret", 7);
    FUZZ_CHECK(uv_loop_init(&loop) == 0);
    watch(&store, &loop, data, size);
    FUZZ_CHECK(uv_loop_close(&loop) == 0);
    remote_store_fini(&store.remote);
    return 0;
}
