/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"
#include "store/redis/redis.h"

#include <string.h>

/* What is published, by whomever: at most one event comes of it, of bounded size, with an epoch
 * that a script could have given out; and none of what is not understood. In a cluster nothing
 * is gone for good, and what is said counts once all nodes have said it.
 *
 * Input: one byte, whether it came by our channel, another one, or as an invalidation without
 * keys, and (128) of a node of a cluster; then the message. */

enum { IN_CLUSTER = 128 };

static unsigned events;
static bool in_cluster, by_hand;

static void
on_event(void *ctx, const coat_watch_event *event)
{
    (void)ctx;
    events++;
    FUZZ_CHECK(event->kind >= COAT_WATCH_ADDRESS && event->kind <= COAT_WATCH_SAID);
    FUZZ_CHECK(event->epoch < (uint64_t)1 << 53);
    FUZZ_CHECK((event->message.len > 0) == (event->kind == COAT_WATCH_SAID));
    FUZZ_CHECK(event->message.len <= COAT_SAY_MAX);
    if (in_cluster && by_hand)
        FUZZ_CHECK(!event->gone);
    if (event->has_spare)
        FUZZ_CHECK(memcmp(event->spare.bytes + 8, event->owner.bytes, 8) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static redis_store store;
    resp_reply reply = {.type = RESP_STRING};
    remote_watch w = {.store = &store.remote, .sink = {.event = on_event}, .ready = true};
    coat_span channel;
    bool ours;

    if (size < 1)
        return 0;
    memcpy(store.prefix, "p:", 3);
    memcpy(store.channels, "p:0:", 5);
    atomic_store(&store.global, 0);
    in_cluster = (data[0] & IN_CLUSTER) != 0;
    store.cluster = in_cluster ? (struct redis_cluster *)(void *)&store : NULL; /* any */
    ours = data[0] % 3 == 0;
    by_hand = !ours;
    /* What then is made of it has a test of its own: test_redis_cluster_watch.c. */
    w.ready = !(in_cluster && ours && size > 1 && data[1] == 'p');
    channel = ours ? COAT_LIT("p:0:to:x") : COAT_LIT("__keyevent@0__:del");
    reply.text = (coat_span){data + 1, size - 1};
    if (data[0] % 3 == 2)
        reply = (resp_reply){.type = RESP_NIL};
    events = 0;
    if (!redis_report(&w, channel, &reply))
        FUZZ_CHECK(events == 0 && ours);
    FUZZ_CHECK(events <= 1);
    w.ready = false;
    (void)redis_report(&w, channel, &reply);
    FUZZ_CHECK(events <= 1);
    return 0;
}
