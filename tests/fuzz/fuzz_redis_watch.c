/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz_remote.h"
#include "fuzz_stream.h"
#include "store/redis/redis.h"

/* What comes on the connection of a watch, whatever it is: changes are reported between READY
 * and LOST only, each of these comes once for a connection, and what is no answer or message of
 * ours ends it. Once it is ready it lives on exactly as long as all it hears are messages of
 * ours, and it reports what these say and nothing else.
 *
 * Input: flags; the length of a read; then the bytes. */

enum {
    GREETED = 0x80, /* a well-behaved greeting goes first, up to READY */
    PASSWORD = 0x40,
    LOST = 0x20, /* the connection ends in the end */
};

static unsigned readied, lost, changes, expected;

static void
on_event(void *ctx, const coat_watch_event *event)
{
    (void)ctx;
    readied += event->kind == COAT_WATCH_READY;
    lost += event->kind == COAT_WATCH_LOST;
    changes += event->kind != COAT_WATCH_READY && event->kind != COAT_WATCH_LOST;
    FUZZ_CHECK(readied == 1 && lost <= 1);
    FUZZ_CHECK(lost == 0 || event->kind == COAT_WATCH_LOST);
}

static void
on_expected(void *ctx, const coat_watch_event *event)
{
    (void)ctx;
    (void)event;
    expected++;
}

static void
feed_watch(const void *bytes, size_t len, size_t step)
{
    const uint8_t *at = bytes;

    while (len > 0 && streams[0].open) {
        size_t n = len < step ? len : step;

        hear(&streams[0], at, n);
        at += n;
        len -= n;
    }
}

static void
greet(bool with_password, size_t step)
{
    static const char who[] =
        "$84\r\nredis_version:7.0.15\r\nrun_id:0123456789012345678901234567890123456789\r\n"
        "role:master\r\n\r\n*2\r\n$1\r\nn\r\n$4\r\nEgxe\r\n:7\r\n+OK\r\n";
    static const char subscribed[] = "*3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:1\r\n";

    if (with_password)
        feed_watch("+OK\r\n", 5, step);
    feed_watch(who, sizeof who - 1, step);
    for (int i = 0; i < 6; i++)
        feed_watch(subscribed, sizeof subscribed - 1, step);
    FUZZ_CHECK(streams[0].open && readied == 1 && lost == 0 && changes == 0);
}

static bool
is_message(const resp_reply *reply)
{
    return reply->count == 3 && resp_is(reply, 0, RESP_STRING) &&
           resp_is(reply, 1, RESP_STRING) &&
           coat_span_is(reply->items[0]->text, COAT_LIT("message"));
}

/** What a watch that was ready must have made of these bytes. */
static void
check_heard(redis_store *store, const uint8_t *data, size_t size)
{
    remote_watch ready = {
        .store = &store->remote, .sink = {.event = on_expected}, .ready = true};
    resp_reader *reader = resp_reader_new();
    resp_reply *reply = NULL;
    bool ours;

    FUZZ_CHECK(reader != NULL);
    expected = 0;
    ours = resp_feed(reader, data, size) == COAT_OK;
    while (ours) {
        ours = resp_next(reader, &reply) == COAT_OK;
        if (!ours || reply == NULL)
            break;
        ours =
            is_message(reply) && redis_report(&ready, reply->items[1]->text, reply->items[2]);
        resp_reply_free(reply);
    }
    resp_reader_free(reader);
    FUZZ_CHECK(ours == streams[0].open && changes == expected);
}

static void
converse(redis_store *store, const uint8_t *data, size_t size)
{
    bool with_password = (data[0] & PASSWORD) != 0, greeted = (data[0] & GREETED) != 0;
    size_t step = step_of(data[1]);

    hear(&streams[0], NULL, 0);
    if (greeted)
        greet(with_password, step);
    feed_watch(data + 2, size - 2, step);
    FUZZ_CHECK(lost == (streams[0].open ? 0 : readied));
    if (greeted)
        check_heard(store, data + 2, size - 2);
    if ((data[0] & LOST) != 0 && streams[0].open) {
        streams[0].owner.lost(streams[0].owner.ctx, "it has ended");
        FUZZ_CHECK(!streams[0].open && lost == readied);
    }
}

static void
watch(redis_store *store, uv_loop_t *loop, const uint8_t *data, size_t size)
{
    const coat_watch_sink sink = {.event = on_event};
    coat_watch *w, *another;
    uv_handle_t *timer;
    coat_lane *lane;
    unsigned told;

    opened = readied = lost = changes = 0;
    FUZZ_CHECK(remote_lane_open(&store->remote.base, loop, &lane) == COAT_OK);
    FUZZ_CHECK(redis_watch_open(lane, &sink, &w) == COAT_OK);
    FUZZ_CHECK(redis_watch_open(lane, &sink, &another) == COAT_EXISTS);
    timer = (uv_handle_t *)&((remote_watch *)w)->timer;
    uv_ref(timer);
    (void)uv_run(loop, UV_RUN_NOWAIT); /* it connects */
    uv_unref(timer);
    FUZZ_CHECK(opened == 1);
    converse(store, data, size);
    told = readied + lost + changes;
    redis_watch_close(w);
    FUZZ_CHECK(!streams[0].open);
    remote_lane_close(lane);
    (void)uv_run(loop, UV_RUN_DEFAULT);
    FUZZ_CHECK(opened == 1 && readied + lost + changes == told);
}

static void
start(remote_link *link)
{
    (void)link; /* the watch is alone */
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
    store.address.host = "127.0.0.1";
    memcpy(store.prefix, "p:", 3);
    memcpy(store.channels, "p:0:", 5);
    if ((data[0] & PASSWORD) != 0)
        memcpy(store.password, "secret", 7);
    FUZZ_CHECK(uv_loop_init(&loop) == 0);
    watch(&store, &loop, data, size);
    FUZZ_CHECK(uv_loop_close(&loop) == 0);
    remote_store_fini(&store.remote);
    return 0;
}
