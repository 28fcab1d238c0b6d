/* SPDX-License-Identifier: Apache-2.0 */
/** The drills of fault_cases.h on PostgreSQL, and outages that only PostgreSQL has. */

#include "pg_fixture.h"

#include "fault_cases.h"

static pg_server server = {.args = {"fsync=off", "full_page_writes=off"}};

static remote_store *
remote(void)
{
    return (remote_store *)store;
}

static void
begin_store(uint64_t seed)
{
    char url[200], message[300] = "";
    coat_store_conf conf = {.url = url, .message = message, .message_cap = sizeof message};
    uint32_t from, to;

    if (server.pid == 0)
        server_start(&server);
    server.schema++;
    server_url(&server, url, sizeof url, "");
    REQUIRE_OK(pg_migrate(&conf, &from, &to));
    memcpy(proxy.upstream_path, server.socket, strlen(server.socket));
    proxy_start(&proxy, seed);
    (void)snprintf(url, sizeof url, "postgresql://127.0.0.1:%d?schema=t%d", proxy.port,
                   server.schema);
    REQUIRE_OK(server_open_url(&conf, &store));
}

/** Parameters are binary: the owner as it is. */
static size_t
write_mark(uint64_t owner, char mark[PROXY_NEEDLE_MAX])
{
    coat_owner o = owner_of(owner);

    memcpy(mark, o.bytes, sizeof o.bytes);
    return sizeof o.bytes;
}

/* ---- the server's own outages ---- */

static void
end_connections(void)
{
    (void)server_sql(&server, "SELECT count(pg_terminate_backend(pid, 1000)) FROM "
                              "pg_stat_activity WHERE usename = 'coatcheck'");
}

static void
login_off(void)
{
    (void)server_sql(&server, "ALTER ROLE coatcheck NOLOGIN");
    end_connections();
}

static void
login_on(void)
{
    (void)server_sql(&server, "ALTER ROLE coatcheck LOGIN");
}

static void
read_only(void)
{
    (void)server_sql(&server, "ALTER ROLE coatcheck SET default_transaction_read_only = on");
    end_connections();
}

static void
read_write(void)
{
    (void)server_sql(&server, "ALTER ROLE coatcheck RESET default_transaction_read_only");
}

static void
memory_out(void)
{
    (void)server_sql(&server,
                     "CREATE FUNCTION t%d.fail() RETURNS trigger LANGUAGE plpgsql AS "
                     "$$ BEGIN RAISE 'out of memory' USING ERRCODE = '53200'; END $$; "
                     "CREATE TRIGGER fail BEFORE INSERT ON t%d.sessions FOR EACH ROW "
                     "EXECUTE FUNCTION t%d.fail()",
                     server.schema, server.schema, server.schema);
}

static void
memory_back(void)
{
    (void)server_sql(&server, "DROP TRIGGER fail ON t%d.sessions", server.schema);
}

static void
server_outages(void)
{
    static const outage own[] = {
        {"no right to connect", login_off, login_on, false, false, COAT_STORE_DOWN},
        {"read-only", read_only, read_write, false, false, COAT_STORE_DOWN},
        {"out of memory", memory_out, memory_back, true, false, COAT_STORE_DOWN},
    };

    run_outages(own, sizeof own / sizeof own[0]);
}

static const coat_test tests[] = {FAULT_CASES};

int
main(int argc, char **argv)
{
    int rc = coat_test_main(argc, argv, tests, sizeof tests / sizeof tests[0]);

    server_stop(&server);
    return rc;
}
