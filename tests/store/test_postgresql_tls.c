/* SPDX-License-Identifier: Apache-2.0 */
/**
 * TLS to a real server, with certificates made here by openssl(1). Where the server is not the
 * right one, nothing of ours may reach it: the proxy in between counts the bytes, and a server
 * of the test's own keeps them.
 */

#include "pg_fixture.h"
#include "tls_cases.h"

static pg_server server;
static int tls_port;

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

/* ---- tests ---- */

static void
works(void)
{
    char message[300] = "";
    coat_store *store;
    coat_lane *lane;

    start_server("good", "scram-sha-256", NULL);
    store = open_ready(open_url, with_ca("ca.pem"), tls_port);
    REQUIRE_OK(coat_lane_open(store, NULL, &lane));
    much_works(lane);
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

static void
client_certificates(void)
{
    start_server("good", "scram-sha-256 clientcert=verify-ca", NULL);
    wants_certificate(open_url, tls_port);
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
        coat_store *store;

        test_case(cases[i].name);
        start_server(cases[i].certificate, "trust", cases[i].more);
        store = open_refused(open_url, with_ca(cases[i].ca), tls_port, cases[i].said);
        nothing_works(store);
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

/** As open_url(), without making anything there. */
static coat_err
open_stranger(const char *query, int port, char *message, size_t cap, coat_store **out)
{
    char url[700];
    coat_store_conf conf = {.url = url, .message = message, .message_cap = cap};

    (void)snprintf(url, sizeof url, "postgresql://door@127.0.0.1:%d?password-file=%s/secret%s",
                   port, dir, query);
    return coat_postgresql_ops.open(&conf, out);
}

/** A server that has no TLS, and some that are none: they hear the question for it. */
static void
plaintext(void)
{
    static const char *const says[] = {"N", "NR", "E", "", "S", "HTTP/1.1 400\r\n\r\n"};

    for (size_t i = 0; i < sizeof says / sizeof says[0]; i++)
        tell_no_secrets(open_stranger, says[i], "\0\0\0\10\4\322\26\57", 8);
}

static void
corrupted(void)
{
    start_server("good", "scram-sha-256", NULL);
    flip_bits(open_url, tls_port, (uint64_t)test_scaled(10000, 60));
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
