/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"
#include "store/redis/redis.h"

#include <string.h>

/* What is published, by whomever: at most one event comes of it, of bounded size, with an epoch
 * that a script could have given out; and none of what is not understood.
 *
 * Input: one byte, whether it came by our channel, another one, or as an invalidation without
 * keys; then the message. */

static unsigned events;

static void
on_event(void *ctx, const coat_watch_event *event)
{
    (void)ctx;
    events++;
    FUZZ_CHECK(event->kind >= COAT_WATCH_ADDRESS && event->kind <= COAT_WATCH_SAID);
    FUZZ_CHECK(event->epoch < (uint64_t)1 << 53);
    FUZZ_CHECK((event->message.len > 0) == (event->kind == COAT_WATCH_SAID));
    FUZZ_CHECK(event->message.len <= COAT_SAY_MAX);
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
    memcpy(store.channel, "p:0:changes", 12);
    store.channel_stem = 4;
    atomic_store(&store.global, 0);
    ours = data[0] % 3 == 0;
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
