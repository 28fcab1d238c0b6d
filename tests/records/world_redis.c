/* SPDX-License-Identifier: Apache-2.0 */
#include "../store/redis_fixture.h"
#include "files.h"
#include "records.h"
#include "remote_world.h"

#include "core/chars.h"

static redis_server server = {
    .args = {"--appendonly", "yes", "--appendfsync", "no", "--rdbcompression", "no",
             "--maxmemory-policy", "noeviction", "--save", "", "--aof-use-rdb-preamble", "no"}};

static void
begin(void)
{
    if (server.pid == 0)
        server_start(&server);
    server.prefix++;
    world_ways_open(server.socket);
}

static const char *
url(bool through_proxy)
{
    return world_way_url(through_proxy, "redis", "prefix=w", server.prefix);
}

static void
stop(void)
{
    server_stop(&server);
}

/** What SAVE writes, and the log of commands, which is what replicas get. */
static void
dump(coat_store *store, take_bytes take)
{
    char path[200];

    (void)store;
    CHECK(strncmp(server_ask(&server, "SAVE"), "+OK", 3) == 0);
    (void)snprintf(path, sizeof path, "%s/dump.rdb", server.dir);
    CHECK(take_file(path, take) > 0);
    (void)snprintf(path, sizeof path, "%s/appendonlydir", server.dir);
    CHECK(take_folder(path, take) > 0);
}

static uint64_t
number_after(const char *text, const char *word)
{
    const char *at = strstr(text, word);

    return at != NULL ? strtoull(at + strlen(word), NULL, 10) : 0;
}

/** Other stores' keys are counted too: they do not change meanwhile. */
static uint64_t
entries(coat_store *store)
{
    (void)store;
    return number_after(server_ask(&server, "DBSIZE"), ":");
}

/** Of our keys: what the server takes for itself is many times as much, and not constant. */
static uint64_t
bytes_used(coat_store *store)
{
    (void)store;
    return number_after(
        server_ask(&server,
                   "EVAL \"local n = 0 for _, key in ipairs(redis.call('KEYS', 'w%d:*')) do "
                   "n = n + redis.call('MEMORY', 'USAGE', key, 'SAMPLES', '0') end "
                   "return n\" 0",
                   server.prefix),
        ":");
}

static void
forget(const coat_handle *handle)
{
    char prefix[12];

    (void)snprintf(prefix, sizeof prefix, "w%d", server.prefix);
    CHECK(strncmp(server_ask(&server, "DEL %s", server_key(prefix, *handle)), ":1", 2) == 0);
}

/** A number and its CRLF behind a letter. @return false: it is not there */
static bool
take_number(coat_span *rest, uint8_t letter, size_t *out)
{
    size_t at = 1;

    *out = 0;
    if (rest->len == 0 || rest->ptr[0] != letter)
        return false;
    for (; at < rest->len && at < 9 && rest->ptr[at] >= '0' && rest->ptr[at] <= '9'; at++)
        *out = *out * 10 + (size_t)(rest->ptr[at] - '0');
    if (at == 1 || at + 2 > rest->len || memcmp(rest->ptr + at, "\r\n", 2) != 0)
        return false;
    *rest = coat_span_slice(*rest, at + 2, rest->len);
    return true;
}

/** RESP: arrays of strings, each with its length before it. */
static bool
verbs(const uint8_t *bytes, size_t len, char *out, size_t cap)
{
    coat_span rest = {bytes, len};
    size_t used = 0, n, size;

    while (rest.len > 0) {
        if (!take_number(&rest, '*', &n))
            return false;
        for (size_t i = 0; i < n; i++) {
            if (!take_number(&rest, '$', &size) || rest.len < size + 2 ||
                memcmp(rest.ptr + size, "\r\n", 2) != 0)
                return false;
            if (i == 0 && used + size + 2 < cap) {
                memcpy(out + used, rest.ptr, size);
                used += size;
                out[used++] = ' ';
            }
            rest = coat_span_slice(rest, size + 2, rest.len);
        }
    }
    out[used] = '\0';
    return true;
}

static remote_store *
remote(coat_store *store)
{
    return &((redis_store *)store)->remote;
}

static void
newer(bool undo)
{
    if (undo)
        CHECK(strncmp(server_ask(&server, "SET w%d:format 1", server.prefix), "+OK", 3) == 0);
    else
        CHECK(strncmp(server_ask(&server, "SET w%d:format 2", server.prefix), "+OK", 3) == 0);
}

const world the_world = {.name = "redis",
                         .ops = &coat_redis_ops,
                         .process = crash_process,
                         .more_tests = {&wire_tests, &cycle_tests, &crash_tests},
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
