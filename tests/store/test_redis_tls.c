/* SPDX-License-Identifier: Apache-2.0 */
/**
 * TLS to a real server, with certificates made here by openssl(1). Where the server is not the
 * right one, nothing of ours may reach it: the proxy in between counts the bytes, and a server
 * of the test's own keeps them.
 */

#include "redis_fixture.h"
#include "tls_cases.h"

static redis_server server;
static int tls_port;

static void
start_server(const char *certificate, const char *more, const char *value)
{
    static char port[8], pem[140], key[140], ca[140];

    if (dir[0] == '\0')
        make_all();
    memset(&server, 0, sizeof server);
    tls_port = free_port();
    (void)snprintf(port, sizeof port, "%d", tls_port);
    (void)snprintf(pem, sizeof pem, "%s/%s.pem", dir, certificate);
    (void)snprintf(key, sizeof key, "%s/%s.key", dir, certificate);
    (void)snprintf(ca, sizeof ca, "%s/ca.pem", dir);
    {
        const char *args[] = {"--save",
                              "",
                              "--tls-port",
                              port,
                              "--tls-cert-file",
                              pem,
                              "--tls-key-file",
                              key,
                              "--tls-ca-cert-file",
                              ca,
                              "--tls-auth-clients",
                              more[0] == '!' ? "yes" : "no",
                              more[0] == '-' ? more : NULL,
                              value};

        for (size_t i = 0; i < sizeof args / sizeof args[0]; i++)
            server.args[i] = args[i];
    }
    server_start(&server);
    (void)server_ask(&server, "ACL SETUSER door on >s3same ~* &* +@all");
}

static coat_err
open_url(const char *query, int port, char *message, size_t cap, coat_store **out)
{
    char url[700];
    coat_store_conf conf = {.url = url, .message = message, .message_cap = cap};

    (void)snprintf(url, sizeof url, "rediss://door@127.0.0.1:%d?password-file=%s/secret%s",
                   port, dir, query);
    return coat_redis_ops.open(&conf, out);
}

/* ---- tests ---- */

static void
works(void)
{
    coat_store *store;
    coat_lane *lane;

    start_server("good", "", NULL);
    store = open_ready(open_url, with_ca("ca.pem"), tls_port);
    REQUIRE_OK(coat_lane_open(store, NULL, &lane));
    much_works(lane);
    coat_lane_close(lane);
    coat_store_close(store);
    server_stop(&server);
}

static void
client_certificates(void)
{
    start_server("good", "!", NULL);
    wants_certificate(open_url, tls_port);
    server_stop(&server);
}

static void
wrong_servers(void)
{
    static const struct {
        const char *name, *certificate, *ca, *more, *value, *said;
    } cases[] = {
        {"another authority", "good", "other-ca.pem", "", NULL, "certificate"},
        {"another name", "name", "ca.pem", "", NULL, "mismatch"},
        {"expired", "expired", "ca.pem", "", NULL, "expired"},
        {"TLS 1.1 at most", "good", "ca.pem", "--tls-protocols", "TLSv1.1", "TLS"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *stats, *calls;
        coat_store *store;

        test_case(cases[i].name);
        start_server(cases[i].certificate, cases[i].more, cases[i].value);
        (void)server_ask(&server, "CONFIG RESETSTAT");
        store = open_refused(open_url, with_ca(cases[i].ca), tls_port, cases[i].said);
        nothing_works(store);
        coat_store_close(store);
        /* Not one command has arrived, AUTH least of all; there are only our own questions. */
        stats = server_ask(&server, "INFO commandstats");
        calls = strstr(stats, "cmdstat_");
        CHECK(strstr(stats, "cmdstat_auth") == NULL);
        CHECK(strstr(stats, "cmdstat_info") == NULL && strstr(stats, "cmdstat_client") == NULL);
        CHECK(calls == NULL || strstr(calls, "config|resetstat") != NULL);
        server_stop(&server);
    }
    test_case(NULL);
}

/** The name that the URL gives is the certificate's, and no pattern within a word is. */
static void
names(void)
{
    static const struct {
        const char *name, *said;
    } cases[] = {{"db.example", NULL},
                 {"other.example", "mismatch"},
                 {"a.db.example", "mismatch"},
                 {"cb.db.example", "mismatch"}};

    start_server("name", "", NULL);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char message[300] = "", query[400];
        coat_store *store;

        test_case(cases[i].name);
        (void)snprintf(query, sizeof query, "%s&server-name=%s", with_ca("ca.pem"),
                       cases[i].name);
        REQUIRE_OK(open_url(query, tls_port, message, sizeof message, &store));
        CHECK((strstr(message, "not ready") == NULL) == (cases[i].said == NULL));
        if (cases[i].said != NULL && strstr(message, cases[i].said) == NULL)
            test_fail(__FILE__, __LINE__, "said: %s", message);
        coat_store_close(store);
    }
    test_case(NULL);
    server_stop(&server);
}

/** A server that speaks Redis in the clear, and one that speaks nothing. */
static void
plaintext(void)
{
    static const char *const says[] = {"+OK\r\n", "-ERR unknown command\r\n", "",
                                       "HTTP/1.1 400\r\n\r\n"};

    for (size_t i = 0; i < sizeof says / sizeof says[0]; i++)
        tell_no_secrets(open_url, says[i], NULL, 0);
}

static void
corrupted(void)
{
    start_server("good", "", NULL);
    flip_bits(open_url, tls_port, (uint64_t)test_scaled(10000, 100));
    server_stop(&server);
}

static const coat_test tests[] = {
    {"ST-5: TLS with a certificate that fits", works},
    {"ST-5: a certificate of ours where the server wants one", client_certificates},
    {"ST-5: authority, name, time and version are verified before a word is said",
     wrong_servers},
    {"ST-5: the name that is asked for is the one that is verified", names},
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
