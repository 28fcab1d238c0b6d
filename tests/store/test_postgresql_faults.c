/* SPDX-License-Identifier: Apache-2.0 */
/**
 * The drills of SF-1, SF-2 and SF-6 through a proxy that does what networks do. Reduced counts;
 * COAT_TEST_SCALE=100 runs them in full (scripts/stress).
 */

#include "fault_drill.h"
#include "pg_fixture.h"

static pg_server server = {.args = {"fsync=off", "full_page_writes=off"}};

static void
begin(uint64_t seed)
{
    char url[200], message[300] = "";
    coat_store_conf conf = {.url = url, .message = message, .message_cap = sizeof message};
    uint32_t from, to;

    if (server.pid == 0)
        server_start(&server);
    server.schema++;
    server_url(&server, url, sizeof url, "");
    REQUIRE_OK(pg_migrate(&conf, &from, &to));
    memset(&proxy, 0, sizeof proxy);
    memcpy(proxy.upstream_path, server.socket, strlen(server.socket));
    proxy_start(&proxy, seed);
    (void)snprintf(url, sizeof url, "postgresql://127.0.0.1:%d?schema=t%d", proxy.port,
                   server.schema);
    REQUIRE_OK(server_open_url(&conf, &store));
    ((remote_store *)store)->monotonic = test_monotonic;
    open_drills(seed);
}

static void
end(void)
{
    close_drills();
}

/** An outage costs the store no more than probes, and the caller no more than a word. */
static void
breaker(void)
{
    drill *d = &drills[0];
    int before, probes;

    begin(5);
    warm_up(20);
    proxy_set(&proxy, FAULT_BLACKHOLE, FAULT_BLACKHOLE, 100);
    for (int i = 0; i < 6; i++) {
        coat_store_req req = session_req(COAT_OP_LOAD, 1, 1);

        coat_store_submit(d->lane, &req);
        atomic_fetch_add(&ahead_ms, PATIENCE_MS);
        d->lane->store->ops->wait(d->lane, &req);
        CHECK_ERR(req.result, COAT_STORE_DOWN);
    }
    CHECK(((remote_store *)store)->breaker.open);
    /* Ten seconds of a busy door. */
    (void)remote_breaker_admits(&((remote_store *)store)->breaker, test_monotonic(NULL), 0);
    before = atomic_load(&proxy.accepted);
    for (int i = 0; i < 10000; i++) {
        coat_store_req req = session_req(COAT_OP_LOAD, 1, 1);

        req.timeout_ms = 1;
        if (i % 10 == 0)
            atomic_fetch_add(&ahead_ms, 10);
        CHECK_ERR(coat_store_run(d->lane, &req), COAT_STORE_DOWN);
    }
    probes = atomic_load(&proxy.accepted) - before;
    CHECK(probes <= 12 + 2); /* the machine's own time counts too */
    recover();
    CHECK(!((remote_store *)store)->breaker.open);
    end();
}

/** What is not idempotent reaches the server once at most, whatever happens to its answer. */
static void
never_twice(void)
{
    drill *d = &drills[0];

    begin(6);
    warm_up(20);
    for (uint64_t i = 0; i < (uint64_t)test_scaled(100, 4); i++) {
        coat_store_req req = session_req(COAT_OP_REMOVE_OWNER, 50 + i, 0);
        char count[24];

        (void)server_sql(
            &server,
            "CREATE TABLE IF NOT EXISTS t%d.raised (owner bytea);"
            "GRANT ALL ON t%d.raised TO coatcheck;"
            "CREATE OR REPLACE FUNCTION t%d.note() RETURNS trigger LANGUAGE plpgsql "
            "AS $$ BEGIN INSERT INTO t%d.raised VALUES (NEW.owner); RETURN NEW; END "
            "$$; CREATE OR REPLACE TRIGGER note BEFORE INSERT OR UPDATE ON t%d.owners "
            "FOR EACH ROW EXECUTE FUNCTION t%d.note()",
            server.schema, server.schema, server.schema, server.schema, server.schema,
            server.schema);
        proxy_set(&proxy, FAULT_NONE, i % 2 == 0 ? FAULT_RESET : FAULT_BLACKHOLE, 100);
        coat_store_submit(d->lane, &req);
        for (int n = 0; n < 5; n++) {
            (void)uv_run(((remote_lane *)d->lane)->loop, UV_RUN_NOWAIT);
            server_sleep();
        }
        atomic_fetch_add(&ahead_ms, PATIENCE_MS);
        d->lane->store->ops->wait(d->lane, &req);
        CHECK_ERR(req.result, COAT_STORE_DOWN);
        proxy_set(&proxy, FAULT_NONE, FAULT_NONE, 0);
        recover();
        (void)snprintf(count, sizeof count, "%s",
                       server_sql(&server, "SELECT count(*) FROM t%d.raised", server.schema));
        (void)server_sql(&server, "DELETE FROM t%d.raised", server.schema);
        CHECK(strcmp(count, "0") == 0 || strcmp(count, "1") == 0);
    }
    end();
}

static const coat_test tests[] = {
    {"SF-1 SF-6 LC-9: no fault of the network makes a wrong answer", all_ways},
    {"SF-6 ST-8: flipped bits give nobody another's record", corrupted},
    {"SF-2: a dead store costs one probe a second, and answers at once", breaker},
    {"SF-2: what ends all of a user's sessions is sent once", never_twice},
};

int
main(int argc, char **argv)
{
    int rc = coat_test_main(argc, argv, tests, sizeof tests / sizeof tests[0]);

    server_stop(&server);
    return rc;
}
