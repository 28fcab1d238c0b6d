/* SPDX-License-Identifier: Apache-2.0 */
#include "../store/memcached_fixture.h"
#include "files.h"
#include "records.h"
#include "remote_world.h"

#include "core/chars.h"

static mc_server server;

static void
begin(void)
{
    if (server.pid == 0)
        server_start(&server);
    prefixes++;
    world_ways_open(server.socket);
}

static const char *
url(bool through_proxy)
{
    (void)through_proxy; /* the list of servers is kept by them: all must give the same name */
    return world_way_url(true, "memcached", "prefix=w", prefixes);
}

static void
stop(void)
{
    server_kill(&server);
}

/** A key as metadump writes it, %XX for what is no letter or digit, as it is. */
static size_t
decode_key(const char *from, size_t len, char *to)
{
    size_t n = 0;

    for (size_t i = 0; i < len; i++) {
        unsigned byte = (uint8_t)from[i];

        if (from[i] == '%' && i + 2 < len && sscanf(from + i + 1, "%2x", &byte) == 1)
            i += 2;
        to[n++] = (char)byte;
    }
    to[n] = '\0';
    return n;
}

/** Each item that the server names. */
static void
dump(coat_store *store, take_bytes take)
{
    static const char ask[] = "lru_crawler metadump all\r\n";
    static char list[1 << 20];
    const server_bytes *reply = server_say(&server, ask, sizeof ask - 1, "END\r\n");
    unsigned items = 0;

    (void)store;
    CHECK(reply->len >= 5); /* BUSY has no END, and then nothing was read */
    memcpy(list, reply->bytes, reply->len + 1);
    for (char *at = strstr(list, "key="); at != NULL; at = strstr(at + 1, "key=")) {
        size_t len = strcspn(at + 4, " ");
        const server_bytes *item;
        char key[260];

        REQUIRE(len < sizeof key);
        len = decode_key(at + 4, len, key);
        take((const uint8_t *)key, len);
        item = server_get(&server, key);
        take(item->bytes, item->len);
        items++;
    }
    CHECK(items > 0);
}

static uint64_t
stat_of(const char *name)
{
    static const char ask[] = "stats\r\n";
    const char *at =
        strstr((const char *)server_say(&server, ask, sizeof ask - 1, "END\r\n")->bytes, name);

    return at != NULL ? strtoull(at + strlen(name), NULL, 10) : 0;
}

static uint64_t
entries(coat_store *store)
{
    (void)store;
    return stat_of("STAT curr_items ");
}

static uint64_t
bytes_used(coat_store *store)
{
    (void)store;
    return stat_of("STAT bytes ");
}

/** The owner's one item, and so all of the owner's sessions. */
static void
forget(const coat_handle *handle)
{
    char hex[17];

    for (size_t i = 0; i < 8; i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", handle->bytes[8 + i]);
    CHECK(strncmp(server_ask(&server, "md w%d:o:%s", prefixes, hex), "HD", 2) == 0);
}

/** Lines; behind one that begins with ms, a value of the length that it says. */
static bool
verbs(const uint8_t *bytes, size_t len, char *out, size_t cap)
{
    coat_span rest = {bytes, len};
    size_t used = 0;

    while (rest.len > 0) {
        size_t line = coat_span_find(rest, '\n'), size = 0, at;

        if (line >= rest.len || line < 3 || line > 300 || rest.ptr[line - 1] != '\r')
            return false;
        if (used + 4 < cap) {
            memcpy(out + used, rest.ptr, 2);
            out[used + 2] = ' ';
            used += 3;
        }
        if (memcmp(rest.ptr, "ms ", 3) == 0) {
            at = 3 + coat_span_find(coat_span_slice(rest, 3, line), ' ') + 1;
            for (; at < line && rest.ptr[at] >= '0' && rest.ptr[at] <= '9' && size < 1 << 24;
                 at++)
                size = size * 10 + (size_t)(rest.ptr[at] - '0');
            if (line + 1 + size + 2 > rest.len ||
                memcmp(rest.ptr + line + 1 + size, "\r\n", 2) != 0)
                return false;
            line += size + 2;
        }
        rest = coat_span_slice(rest, line + 1, rest.len);
    }
    out[used] = '\0';
    return true;
}

static remote_store *
remote(coat_store *store)
{
    return &((mc_store *)store)->nodes[0]->remote;
}

/** The format of the life, which is what all else depends on. */
static void
newer(bool undo)
{
    static server_bytes kept;
    server_bytes *item;
    char key[40];

    (void)snprintf(key, sizeof key, "w%d:life", prefixes);
    item = server_get(&server, key);
    REQUIRE(item->len == MC_LIFE_BYTES);
    if (!undo)
        kept = *item;
    else
        item = &kept;
    item->bytes[2] = undo ? item->bytes[2] : MC_FORMAT + 1;
    server_set(&server, key, item->bytes, item->len);
}

const world the_world = {.name = "memcached",
                         .ops = &coat_memcached_ops,
                         .process = crash_process,
                         .more_tests = {&wire_tests, &cycle_tests, &crash_tests},
                         .is_cache = true,
                         .begin = begin,
                         .url = url,
                         .end = world_ways_close,
                         .stop = stop,
                         .dump = dump,
                         .entries = entries,
                         .bytes = bytes_used,
                         .forget = forget,
                         .verbs = verbs,
                         .remote = remote,
                         .newer = newer};
