/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz_stream.h"
#include "store/redis/sentinel.h"

#include <string.h>

/* Sentinels that say anything, in any order, in pieces, or go: they are told of once at most.
 * What is called sure was said by more than half of them; without TLS it is no other machine
 * unless that was allowed; whoever has been told, or does not want to be any more, has no
 * connection left open.
 *
 * Input: how many sentinels, and flags; then for each piece which sentinel it is from (from 128
 * on: its connection is lost), its length, its bytes. */

enum { PASSWORD = 0x80, USER = 0x40, PLAINTEXT = 0x20, GIVES_UP = 0x10 };

static unsigned told;
static redis_sentinels sentinels;

static void
check_closed(void)
{
    for (size_t i = 0; i < opened; i++)
        FUZZ_CHECK(!streams[i].open);
}

static void
on_told(void *ctx, const redis_place *place, bool sure, const char *why)
{
    size_t heard = 0;

    (void)ctx;
    FUZZ_CHECK(told++ == 0);
    check_closed();
    if (place == NULL) {
        FUZZ_CHECK(!sure && why[0] != '\0');
        return;
    }
    for (size_t i = 0; i < opened; i++)
        heard += streams[i].heard > 0;
    FUZZ_CHECK(!sure || heard > sentinels.count / 2);
    FUZZ_CHECK(place->port > 0 && place->host[0] != '\0' &&
               strlen(place->host) <= SENTINEL_HOST_MAX);
    FUZZ_CHECK(sentinels.plaintext || remote_host_is_local(place->host));
}

static void
set_up(uint8_t count, uint8_t flags)
{
    memset(&sentinels, 0, sizeof sentinels);
    sentinels.count = 1 + count % SENTINELS_MAX;
    for (size_t i = 0; i < sentinels.count; i++) {
        (void)snprintf(sentinels.at[i].host, sizeof sentinels.at[i].host, "127.0.0.%zu", i + 1);
        sentinels.at[i].port = 26379;
    }
    memcpy(sentinels.name, "main", 5);
    if ((flags & PASSWORD) != 0)
        memcpy(sentinels.password, "secret", 7);
    sentinels.user = (flags & USER) != 0 ? "app" : NULL;
    sentinels.plaintext = (flags & PLAINTEXT) != 0;
    opened = 0;
    told = 0;
}

static void
hear_one(uint8_t from, const uint8_t *bytes, size_t len)
{
    remote_stream *stream = &streams[from % 128 % sentinels.count];

    if (!stream->open)
        return;
    if (from >= 128) {
        stream->owner.lost(stream->owner.ctx, "it has gone");
        return;
    }
    hear(stream, bytes, len);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uv_loop_t loop;
    static bool begun;
    redis_ask *ask;
    uint8_t flags;

    if (size < 2)
        return 0;
    if (!begun)
        FUZZ_CHECK(uv_loop_init(&loop) == 0);
    begun = true;
    flags = data[1];
    set_up(data[0], flags);
    data += 2;
    size -= 2;
    FUZZ_CHECK(redis_ask_begin(&loop, &sentinels, on_told, NULL, &ask) == COAT_OK);
    while (size >= 2) {
        uint8_t from = data[0], len = data[1];
        const uint8_t *bytes;
        size_t got;

        data += 2;
        size -= 2;
        bytes = fuzz_take(&data, &size, len, &got);
        hear_one(from, bytes, got);
    }
    for (uint8_t i = 0; (flags & GIVES_UP) == 0 && i < sentinels.count; i++)
        hear_one(128 + i, NULL, 0); /* all the others go */
    FUZZ_CHECK(told == 1 || (flags & GIVES_UP) != 0);
    if (told == 0)
        redis_ask_drop(ask);
    check_closed();
    (void)uv_run(&loop, UV_RUN_NOWAIT); /* frees it */
    return 0;
}
