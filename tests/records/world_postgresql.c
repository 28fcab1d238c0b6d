/* SPDX-License-Identifier: Apache-2.0 */
#include "../store/pg_fixture.h"
#include "files.h"
#include "records.h"
#include "remote_world.h"

#include "core/bytes.h"

static pg_server server = {.args = {"fsync=off", "full_page_writes=off", "autovacuum=off"}};

static void
begin(void)
{
    char text[300], message[300];
    coat_store_conf conf = {.url = text, .message = message, .message_cap = sizeof message};
    uint32_t from, to;

    if (server.pid == 0)
        server_start(&server);
    server.schema++;
    server_url(&server, text, sizeof text, "");
    REQUIRE_OK(pg_migrate(&conf, &from, &to));
    world_ways_open(server.socket);
}

static const char *
url(bool through_proxy)
{
    return world_way_url(through_proxy, "postgresql", "schema=t", server.schema);
}

static void
stop(void)
{
    server_stop(&server);
}

/** The files of the database, and the log, which is what standbys get. */
static void
dump(coat_store *store, take_bytes take)
{
    char path[300];

    (void)store;
    (void)server_sql(&server, "CHECKPOINT");
    (void)snprintf(
        path, sizeof path, "%s/base/%s", server.data,
        server_sql(&server, "SELECT oid FROM pg_database WHERE datname = 'coatcheck'"));
    CHECK(take_folder(path, take) > 0);
    (void)snprintf(path, sizeof path, "%s/pg_wal", server.data);
    CHECK(take_folder(path, take) > 0);
}

static uint64_t
entries(coat_store *store)
{
    (void)store;
    return strtoull(server_sql(&server,
                               "SELECT (SELECT count(*) FROM t%d.sessions) + "
                               "(SELECT count(*) FROM t%d.owners)",
                               server.schema, server.schema),
                    NULL, 10);
}

/** As autovacuum does, more than once a day: pages of an index that one VACUUM has found empty
 * are used again only after another, when nobody is left who may be on the way to them. */
static uint64_t
bytes_used(coat_store *store)
{
    (void)store;
    for (int i = 0; i < 2; i++) {
        (void)server_sql(&server, "VACUUM t%d.sessions", server.schema);
        (void)server_sql(&server, "VACUUM t%d.owners", server.schema);
        (void)server_sql(&server, "SELECT pg_current_xact_id()"); /* time passes */
    }
    return strtoull(
        server_sql(&server, "SELECT pg_total_relation_size('t%d.sessions')", server.schema),
        NULL, 10);
}

static void
forget(const coat_handle *handle)
{
    char hex[2 * COAT_HANDLE_BYTES + 1];

    for (size_t i = 0; i < COAT_HANDLE_BYTES; i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", handle->bytes[i]);
    CHECK(strcmp(server_sql(&server,
                            "DELETE FROM t%d.sessions WHERE address = '\\x%s' RETURNING 1",
                            server.schema, hex),
                 "1") == 0);
}

/** The protocol's messages: a letter and a length. */
static bool
verbs(const uint8_t *bytes, size_t len, char *out, size_t cap)
{
    size_t used = 0, at = 0;

    while (at < len) {
        uint32_t size;

        if (len - at < 5)
            return false;
        size = (uint32_t)bytes[at + 1] << 24 | (uint32_t)bytes[at + 2] << 16 |
               (uint32_t)bytes[at + 3] << 8 | bytes[at + 4];
        if (size < 4 || size > len - at - 1)
            return false;
        if (used + 1 < cap)
            out[used++] = (char)bytes[at];
        at += 1 + size;
    }
    out[used] = '\0';
    return true;
}

static remote_store *
remote(coat_store *store)
{
    return &((pg_store *)store)->remote;
}

static void
newer(bool undo)
{
    (void)server_sql(&server,
                     undo ? "DELETE FROM t%d.versions WHERE version = 99"
                          : "INSERT INTO t%d.versions (version, oldest) VALUES (99, 99)",
                     server.schema);
}

const world the_world = {.name = "postgresql",
                         .ops = &coat_postgresql_ops,
                         .more_tests = {&wire_tests, &cycle_tests},
                         .drills = &crash_tests,
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
