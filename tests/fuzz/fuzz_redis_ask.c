/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"
#include "store/redis/sentinel.h"

#include <string.h>

/* Sentinels that say anything, in any order, in pieces, or go: they are told of once at most.
 * What is called sure was said by more than half of them; without TLS it is no other machine
 * unless that was allowed; whoever has been told, or does not want to be any more, has no
 * connection left open.
 *
 * Input: how many sentinels; flags, and which write fails (in the lowest four bits); then for
 * each piece which sentinel it is from (from 128 on: its connection is lost), its length, its
 * bytes. Connections are below, instead of those of stream.c. */

enum { PASSWORD = 0x80, USER = 0x40, PLAINTEXT = 0x20, GIVES_UP = 0x10 };

struct remote_stream {
    remote_owner owner;
    bool open, ready;
    size_t heard;
};

static remote_stream streams[SENTINELS_MAX];
static size_t opened;
static unsigned told, writes, fails_at;
static redis_sentinels sentinels;

coat_err
remote_stream_open(uv_loop_t *loop, const remote_address *address, const remote_owner *owner,
                   remote_stream **out)
{
    (void)loop;
    FUZZ_CHECK(opened < SENTINELS_MAX && address->host[0] != '\0');
    streams[opened] = (remote_stream){.owner = *owner, .open = true};
    *out = &streams[opened++];
    return COAT_OK;
}

void
remote_stream_write(remote_stream *stream, remote_buffer *bytes)
{
    FUZZ_CHECK(stream->open && bytes->len > 0);
    remote_buffer_free(bytes);
    if (++writes == fails_at) /* that may be told of before it returns */
        stream->owner.lost(stream->owner.ctx, "it cannot be written to");
}

void
remote_stream_drop(remote_stream *stream)
{
    if (stream != NULL)
        stream->open = false;
}

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
    told = writes = 0;
    fails_at = flags % 16;
}

static void
hear(uint8_t from, const uint8_t *bytes, size_t len)
{
    remote_stream *stream = &streams[from % 128 % sentinels.count];

    if (!stream->open)
        return;
    if (from >= 128) {
        stream->owner.lost(stream->owner.ctx, "it has gone");
        return;
    }
    if (!stream->ready)
        stream->owner.ready(stream->owner.ctx);
    stream->ready = true;
    if (!stream->open)
        return;
    stream->heard += len;
    stream->owner.bytes(stream->owner.ctx, bytes, len);
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
        hear(from, bytes, got);
    }
    for (uint8_t i = 0; (flags & GIVES_UP) == 0 && i < sentinels.count; i++)
        hear(128 + i, NULL, 0); /* all the others go */
    FUZZ_CHECK(told == 1 || (flags & GIVES_UP) != 0);
    if (told == 0)
        redis_ask_drop(ask);
    check_closed();
    (void)uv_run(&loop, UV_RUN_NOWAIT); /* frees it */
    return 0;
}
