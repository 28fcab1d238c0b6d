/* SPDX-License-Identifier: Apache-2.0 */
/**
 * TLS to a real server, with certificates made here by openssl(1). Where the server is not the
 * right one, nothing of ours may reach it: the proxy in between counts the bytes, and a server
 * of the test's own keeps them.
 */

#include "drill.h"
#include "fault_proxy.h"
#include "pg_fixture.h"
#include "tls_fixture.h"

static pg_server server;
static int tls_port;
static _Atomic int64_t ahead_ms;

static int64_t
test_monotonic(void *ctx)
{
    struct timespec now;

    (void)ctx;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 + atomic_load(&ahead_ms);
}

/** Once for all: a cluster takes a while to make. */
static void
make_server(void)
{
    if (dir[0] == '\0')
        make_all();
    shell("chmod 711 %s && chmod 644 %s/*.pem", dir, dir); /* the server may run as nobody */
    tls_port = free_port();
    server_make(&server);
    server.port = tls_port;
}

/** An empty one. */
static void
make_schema(void)
{
    char url[300], message[300] = "";
    coat_store_conf conf = {.url = url, .message = message, .message_cap = sizeof message};
    uint32_t from, to;

    (void)server_sql(&server, "DROP SCHEMA IF EXISTS t1 CASCADE");
    (void)snprintf(url, sizeof url, "postgresql+unix:%s?schema=t1&user=coatcheck&port=%d",
                   server.dir, tls_port);
    if (pg_migrate(&conf, &from, &to) != COAT_OK)
        test_fail(__FILE__, __LINE__, "said: %s", message);
}

static void
make_database(void)
{
    (void)server_sql(&server, "CREATE DATABASE coatcheck");
    (void)server_sql(&server, "CREATE ROLE coatcheck LOGIN");
    (void)server_sql(&server, "CREATE ROLE door LOGIN PASSWORD 's3same'");
    (void)server_sql(&server, "GRANT CREATE ON DATABASE coatcheck TO coatcheck, door");
    (void)server_sql(&server, "GRANT coatcheck TO door");
}

/** With a certificate; `hba` is how the role "door" may come in over TLS. */
static void
start_server(const char *certificate, const char *hba, const char *more)
{
    static char port[30], pem[160], key[160], ca[160], log[160];
    bool first = server.dir[0] == '\0';
    FILE *rules;
    char path[140];

    if (first)
        make_server();
    shell("rm -f %s/log %s/key && cp %s/%s.key %s/key && chmod 600 %s/key && "
          "chown --reference=%s %s/key",
          server.dir, server.dir, dir, certificate, server.dir, server.dir, server.dir,
          server.dir);
    (void)snprintf(path, sizeof path, "%s/pg_hba.conf", server.data);
    rules = fopen(path, "w");
    REQUIRE(rules != NULL);
    (void)fprintf(rules, "local all all trust\nhostssl all door 127.0.0.1/32 %s\n", hba);
    (void)fclose(rules);
    (void)snprintf(port, sizeof port, "port=%d", tls_port);
    (void)snprintf(pem, sizeof pem, "ssl_cert_file=%s/%s.pem", dir, certificate);
    (void)snprintf(key, sizeof key, "ssl_key_file=%s/key", server.dir);
    (void)snprintf(ca, sizeof ca, "ssl_ca_file=%s/ca.pem", dir);
    (void)snprintf(log, sizeof log, "log_directory=%s", server.dir);
    {
        const char *args[] = {"fsync=off",
                              "listen_addresses=127.0.0.1",
                              port,
                              "ssl=on",
                              pem,
                              key,
                              ca,
                              "logging_collector=on",
                              log,
                              "log_filename=log",
                              "log_connections=on",
                              "log_line_prefix=<%u> ",
                              "log_min_messages=log",
                              "ssl_min_protocol_version=TLSv1",
                              more};

        for (size_t i = 0; i < sizeof args / sizeof args[0]; i++)
            server.args[i] = args[i];
    }
    server_run(&server, first ? "postgres" : "coatcheck");
    if (first)
        make_database();
    make_schema();
}

static coat_err
open_url(const char *query, int port, char *message, size_t cap, coat_store **out)
{
    char url[700];
    coat_store_conf conf = {.url = url, .message = message, .message_cap = cap};

    (void)snprintf(url, sizeof url,
                   "postgresql://door@127.0.0.1:%d?schema=t1&password-file=%s/secret%s", port,
                   dir, query);
    return server_open_url(&conf, out);
}

static const char *
with_ca(const char *file)
{
    static char text[200];

    (void)snprintf(text, sizeof text, "&ca-file=%s/%s", dir, file);
    return text;
}

/* ---- tests ---- */

static void
works(void)
{
    char message[300] = "";
    coat_store *store;
    coat_lane *lane;

    start_server("good", "scram-sha-256", NULL);
    REQUIRE_OK(open_url(with_ca("ca.pem"), tls_port, message, sizeof message, &store));
    if (strstr(message, "not ready") != NULL)
        test_fail(__FILE__, __LINE__, "said: %s", message);
    REQUIRE_OK(coat_lane_open(store, NULL, &lane));
    for (uint64_t i = 1; i <= 50 && strstr(message, "not ready") == NULL; i++) {
        CHECK_ERR(sign_in(lane, i, i, i * 1300), COAT_OK);
        CHECK_ERR(run_op(lane, COAT_OP_LOAD, i, i), COAT_OK);
    }
    CHECK_ERR(run_op(lane, COAT_OP_END_ALL, 0, 0), COAT_OK);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 1), COAT_NO_SESSION);
    CHECK(strcmp(server_sql(&server, "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN "
                                     "pg_stat_activity USING (pid) WHERE usename = 'door'"),
                 "t") == 0);
    coat_lane_close(lane);
    coat_store_close(store);
    /* A wrong password says so, and not which. */
    shell("cd %s && printf 'wr0ng' > secret", dir);
    REQUIRE_OK(open_url(with_ca("ca.pem"), tls_port, message, sizeof message, &store));
    CHECK(strstr(message, "password") != NULL && strstr(message, "wr0ng") == NULL);
    coat_store_close(store);
    shell("cd %s && printf 's3same' > secret", dir);
    server_stop(&server);
}

/** The server may ask for a certificate of ours. */
static void
client_certificates(void)
{
    char message[300] = "", query[600];
    coat_store *store;

    start_server("good", "scram-sha-256 clientcert=verify-ca", NULL);
    REQUIRE_OK(open_url(with_ca("ca.pem"), tls_port, message, sizeof message, &store));
    CHECK(strstr(message, "not ready") != NULL);
    coat_store_close(store);
    (void)snprintf(query, sizeof query, "%s&cert-file=%s/good.pem&key-file=%s/good.key",
                   with_ca("ca.pem"), dir, dir);
    REQUIRE_OK(open_url(query, tls_port, message, sizeof message, &store));
    if (strstr(message, "not ready") != NULL)
        test_fail(__FILE__, __LINE__, "said: %s", message);
    coat_store_close(store);
    server_stop(&server);
}

static void
wrong_servers(void)
{
    static const struct {
        const char *name, *certificate, *ca, *more, *said;
    } cases[] = {
        {"another authority", "good", "other-ca.pem", NULL, "certificate"},
        {"another name", "name", "ca.pem", NULL, "does not match"},
        {"expired", "expired", "ca.pem", NULL, "certificate"},
        {"TLS 1.1 at most", "good", "ca.pem", "ssl_max_protocol_version=TLSv1.1", "SSL"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char message[300] = "";
        coat_store *store;
        coat_lane *lane;

        test_case(cases[i].name);
        start_server(cases[i].certificate, "trust", cases[i].more);
        REQUIRE_OK(open_url(with_ca(cases[i].ca), tls_port, message, sizeof message, &store));
        CHECK(strstr(message, "not ready") != NULL);
        if (strstr(message, cases[i].said) == NULL)
            test_fail(__FILE__, __LINE__, "said: %s", message);
        ((remote_store *)store)->monotonic = test_monotonic;
        REQUIRE_OK(coat_lane_open(store, NULL, &lane));
        for (int n = 0; n < 4; n++) {
            coat_store_req req = session_req(COAT_OP_LOAD, 1, 1);

            coat_store_submit(lane, &req);
            for (int turn = 0; turn < 10; turn++) {
                (void)uv_run(((remote_lane *)lane)->loop, UV_RUN_NOWAIT);
                server_sleep();
            }
            atomic_fetch_add(&ahead_ms, PATIENCE_MS);
            lane->store->ops->wait(lane, &req);
            CHECK_ERR(req.result, COAT_STORE_DOWN);
        }
        coat_lane_close(lane);
        coat_store_close(store);
        /* Not even a name has arrived, which the server's log would have in each line. */
        if (getenv("COAT_TEST_VERBOSE") != NULL)
            shell("cat %s/log*", server.dir);
        shell("grep -q 'connection received: host=127.0.0.1' %s/log && ! grep -q door %s/log",
              server.dir, server.dir);
        server_stop(&server);
    }
    test_case(NULL);
}

/** A server that has no TLS, and some that are none. */
static void
plaintext(void)
{
    static const char *const says[] = {"N", "NR", "E", "", "S", "HTTP/1.1 400\r\n\r\n"};

    if (dir[0] == '\0')
        make_all();
    for (size_t i = 0; i < sizeof says / sizeof says[0]; i++) {
        char message[300] = "", url[700];
        coat_store_conf conf = {.url = url, .message = message, .message_cap = sizeof message};
        coat_store *store;
        listener l;

        listener_start(&l, says[i]);
        (void)snprintf(url, sizeof url,
                       "postgresql://door@127.0.0.1:%d?password-file=%s/secret%s", l.port, dir,
                       with_ca("ca.pem"));
        REQUIRE_OK(coat_postgresql_ops.open(&conf, &store));
        CHECK(strstr(message, "not ready") != NULL);
        coat_store_close(store);
        listener_stop(&l);
        /* The question for TLS, perhaps a ClientHello, and nothing else. */
        CHECK(l.len >= 8 && memcmp(l.heard, "\0\0\0\10\4\322\26\57", 8) == 0);
        CHECK(l.len == 8 || l.heard[8] == 0x16 || memcmp(l.heard + 8, l.heard, 8) == 0);
        CHECK(memmem(l.heard, l.len, "s3same", 6) == NULL);
        CHECK(memmem(l.heard, l.len, "user", 4) == NULL);
        CHECK(memmem(l.heard, l.len, "door", 4) == NULL);
    }
}

/** Until what was in doubt is decided. */
static coat_err
decided(coat_lane *lane)
{
    coat_err err = COAT_STORE_DOWN;

    for (int i = 0; i < 4000 && err != COAT_OK; i++) {
        err = run_op(lane, COAT_OP_SWEEP, 0, 0);
        if (err == COAT_OK)
            break;
        atomic_fetch_add(&ahead_ms, 200);
        server_sleep();
    }
    return err;
}

/** Bits flip on the wire: with TLS no changed answer is ever believed. */
static void
corrupted(void)
{
    fault_proxy proxy = {.upstream_port = 0};
    char message[300] = "";
    coat_store *store;
    static drill drills[DRILL_THREADS];

    start_server("good", "scram-sha-256", NULL);
    proxy.upstream_port = tls_port;
    proxy_start(&proxy, 9);
    REQUIRE_OK(open_url(with_ca("ca.pem"), proxy.port, message, sizeof message, &store));
    ((remote_store *)store)->monotonic = test_monotonic;
    for (int i = 0; i < DRILL_THREADS; i++) {
        drills[i] = (drill){.store = store,
                            .owner = (uint64_t)i + 1,
                            .rng = {(uint64_t)i + 1},
                            .ahead_ms = &ahead_ms,
                            .steps = 100,
                            .timeout_ms = PATIENCE_MS};
        REQUIRE_OK(coat_lane_open(store, NULL, &drills[i].lane));
    }
    drill_all(drills);
    for (int way = 0; way < 2; way++) {
        proxy_set(&proxy, way == 0 ? FAULT_CORRUPT : FAULT_NONE,
                  way == 0 ? FAULT_NONE : FAULT_CORRUPT, 5);
        for (int i = 0; i < DRILL_THREADS; i++) {
            drills[i].timeout_ms = 100;
            drills[i].steps = (uint64_t)test_scaled(10000, 60);
        }
        drill_all(drills);
    }
    CHECK(atomic_load(&proxy.met) > 0);
    /* How many were answered meanwhile is the machine's business; afterwards it goes on. */
    proxy_set(&proxy, FAULT_NONE, FAULT_NONE, 0);
    for (int i = 0; i < DRILL_THREADS; i++) {
        CHECK_ERR(decided(drills[i].lane), COAT_OK);
        drills[i].timeout_ms = PATIENCE_MS;
        drills[i].answered = 0;
        drills[i].steps = 20;
    }
    drill_all(drills);
    for (int i = 0; i < DRILL_THREADS; i++) {
        CHECK(drills[i].answered > 0);
        coat_lane_close(drills[i].lane);
    }
    coat_store_close(store);
    proxy_stop(&proxy);
    server_stop(&server);
}

static const coat_test tests[] = {
    {"ST-5: TLS with a certificate that fits", works},
    {"ST-5: a certificate of ours where the server wants one", client_certificates},
    {"ST-5: authority, name, time and version are verified before a word is said",
     wrong_servers},
    {"ST-5: a server without TLS hears no credentials", plaintext},
    {"SF-1 SF-6: bits that flip under TLS make no wrong answer", corrupted},
};

int
main(int argc, char **argv)
{
    int rc = coat_test_main(argc, argv, tests, sizeof tests / sizeof tests[0]);

    server_stop(&server);
    return rc;
}
