/* SPDX-License-Identifier: Apache-2.0 */
/**
 * How a server is reached: URLs, passwords, TLS to a real server. Where the server is not the
 * right one, nothing of ours may reach it.
 */

#include "memcached_fixture.h"
#include "tls_fixture.h"

static mc_server server, plain;

/** A TLS server with a password, on a port. */
static void
start_server(const char *certificate, const char *options)
{
    static char chain[200], key[200], ca[200], more[100], users[200];
    const char *args[] = {"-Z", "-o", chain, "-o", key, "-o", ca, "-o", more, "-Y", users};

    if (dir[0] == '\0') {
        make_all();
        shell("cd %s && printf 'door:s3same\\n' > users", dir);
    }
    (void)snprintf(chain, sizeof chain, "ssl_chain_cert=%s/%s.pem", dir, certificate);
    (void)snprintf(key, sizeof key, "ssl_key=%s/%s.key", dir, certificate);
    (void)snprintf(ca, sizeof ca, "ssl_ca_cert=%s/ca.pem", dir);
    (void)snprintf(more, sizeof more, "%s", options);
    (void)snprintf(users, sizeof users, "%s/users", dir);
    memset(&server, 0, sizeof server);
    server.port = free_port();
    for (size_t i = 0; i < sizeof args / sizeof args[0]; i++)
        server.args[i] = args[i];
    server_start(&server);
}

static coat_err
open_at(const char *user, int port, const char *query, char *message, size_t cap,
        coat_store **out)
{
    char url[700];
    coat_store_conf conf = {.url = url, .message = message, .message_cap = cap};

    (void)snprintf(url, sizeof url, "memcacheds://%s127.0.0.1:%d?ca-file=%s/%s", user, port,
                   dir, query);
    return coat_memcached_ops.open(&conf, out);
}

static const char *
with_password(const char *ca)
{
    static char text[300];

    (void)snprintf(text, sizeof text, "%s&password-file=%s/secret", ca, dir);
    return text;
}

static void
works(void)
{
    char message[400] = "", query[700];
    coat_store *store;
    coat_lane *lane;

    start_server("good", "ssl_verify_mode=0");
    REQUIRE_OK(open_at("door@", server.port, with_password("ca.pem"), message, sizeof message,
                       &store));
    CHECK(strstr(message, "not ready") == NULL);
    REQUIRE_OK(coat_lane_open(store, NULL, &lane));
    for (uint64_t i = 1; i <= 50; i++) {
        CHECK_ERR(sign_in(lane, i, i, i * 1300), COAT_OK);
        CHECK_ERR(run_op(lane, COAT_OP_LOAD, i, i), COAT_OK);
    }
    CHECK_ERR(run_op(lane, COAT_OP_END_ALL, 0, 0), COAT_OK);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 1), COAT_NO_SESSION);
    coat_lane_close(lane);
    coat_store_close(store);
    /* Without the password, and with another user's. */
    REQUIRE_OK(open_at("", server.port, "ca.pem", message, sizeof message, &store));
    CHECK(strstr(message, "wants a password") != NULL);
    coat_store_close(store);
    REQUIRE_OK(open_at("window@", server.port, with_password("ca.pem"), message, sizeof message,
                       &store));
    CHECK(strstr(message, "refused") != NULL);
    coat_store_close(store);
    server_kill(&server);
    /* A certificate of ours where the server wants one. */
    start_server("good", "ssl_verify_mode=2");
    REQUIRE_OK(open_at("door@", server.port, with_password("ca.pem"), message, sizeof message,
                       &store));
    CHECK(strstr(message, "not ready") != NULL);
    coat_store_close(store);
    (void)snprintf(query, sizeof query, "%s&cert-file=%s/good.pem&key-file=%s/good.key",
                   with_password("ca.pem"), dir, dir);
    REQUIRE_OK(open_at("door@", server.port, query, message, sizeof message, &store));
    CHECK(strstr(message, "not ready") == NULL);
    coat_store_close(store);
    server_kill(&server);
}

static void
wrong_servers(void)
{
    static const struct {
        const char *name, *certificate, *ca, *said;
    } cases[] = {
        {"another authority", "good", "other-ca.pem", "certificate"},
        {"another name", "name", "ca.pem", "mismatch"},
        {"expired", "expired", "ca.pem", "expired"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char message[400] = "";
        coat_store *store;

        test_case(cases[i].name);
        start_server(cases[i].certificate, "ssl_verify_mode=0");
        REQUIRE_OK(open_at("door@", server.port, with_password(cases[i].ca), message,
                           sizeof message, &store));
        CHECK(strstr(message, "not ready") != NULL);
        if (strstr(message, cases[i].said) == NULL)
            test_fail(__FILE__, __LINE__, "said: %s", message);
        coat_store_close(store);
        server_kill(&server);
    }
    test_case(NULL);
}

static void
plaintext(void)
{
    static const char *const says[] = {"STORED\r\n", "ERROR\r\n", "", "HTTP/1.1 400\r\n\r\n"};

    if (dir[0] == '\0')
        make_all();
    for (size_t i = 0; i < sizeof says / sizeof says[0]; i++) {
        char message[400] = "";
        coat_store *store;
        listener l;

        listener_start(&l, says[i]);
        REQUIRE_OK(
            open_at("door@", l.port, with_password("ca.pem"), message, sizeof message, &store));
        CHECK(strstr(message, "not ready") != NULL);
        coat_store_close(store);
        listener_stop(&l);
        CHECK(l.len > 0 && l.heard[0] == 0x16); /* a ClientHello, and nothing else */
        CHECK(memmem(l.heard, l.len, "s3same", 6) == NULL);
        CHECK(memmem(l.heard, l.len, "door", 4) == NULL);
    }
}

#define TEN "0123456789" /* a path of 108 bytes has no room in a socket's address */

static void
urls(void)
{
    static const struct {
        const char *url, *said; /* NULL: it is right */
    } cases[] = {
        {"memcached://127.0.0.1:1", NULL},
        {"memcached://localhost:1,127.0.0.1:2,[::1]:3/?prefix=x", NULL},
        {"memcached://127.0.0.1:1,127.0.0.1:1", "is named twice"},
        {"memcached://127.0.0.1:1,127.0.0.1", NULL},
        {"memcached://127.0.0.1:1,", "host is missing"},
        {"memcached://127.0.0.1:1,cache.example", "is another machine"},
        {"memcached://cache.example", "is another machine"},
        {"memcached://127.0.0.1:1?plaintext=yes", "can only be"},
        {"memcacheds://127.0.0.1:1?plaintext=allowed", "contradicts"},
        {"memcached://127.0.0.1:1?ca-file=/x", "certificates need"},
        {"memcached://127.0.0.1:1/0", "no databases"},
        {"memcached://127.0.0.1:1?prefix=a%20b", "prefix may have"},
        {"memcached://127.0.0.1:1?prefix=", "prefix may have"},
        {"memcached://127.0.0.1:1?generation=x", "is no number"},
        {"memcached://127.0.0.1:1?generation=3", NULL},
        {"memcached://127.0.0.1:1?speed=high", "is no parameter"},
        {"memcached://door@127.0.0.1:1", "go together"},
        {"memcached://127.0.0.1:1?password-file=/x", "go together"},
        {"memcached://door:secret@127.0.0.1:1", "no place in a URL"},
        {"memcached+unix:/tmp/none-here,/tmp/nor-here", NULL},
        {"memcached+unix://127.0.0.1", "is followed by a path"},
        {"memcached:/tmp/x", "the host is missing"},
        {"memcached+unix:/tmp/a,/" TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN "1234567",
         "too long"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char message[400] = "";
        coat_store_conf conf = {
            .url = cases[i].url, .message = message, .message_cap = sizeof message};
        coat_store *store = NULL;
        coat_err err = coat_memcached_ops.open(&conf, &store);

        test_case(cases[i].url);
        CHECK_ERR(err, cases[i].said == NULL ? COAT_OK : COAT_INVALID);
        if (cases[i].said != NULL && strstr(message, cases[i].said) == NULL)
            test_fail(__FILE__, __LINE__, "said: %s", message);
        coat_memcached_ops.close(store);
    }
    test_case(NULL);
}

/** A server of another kind, or set up so that nothing is safe. */
static void
unfit(void)
{
    static const char *const args[][2] = {{"-C", NULL}, {"-I", "1k"}};
    static const char *const said[] = {"without CAS", "item_size_max"};

    for (size_t i = 0; i < 2; i++) {
        char message[400] = "", url[200];
        coat_store_conf conf = {.url = url, .message = message, .message_cap = sizeof message};
        coat_store *store;

        memset(&plain, 0, sizeof plain);
        plain.args[0] = args[i][0];
        plain.args[1] = args[i][1];
        if (i == 1) { /* a limit so low needs smaller pages of memory too */
            plain.args[2] = "-o";
            plain.args[3] = "slab_chunk_max=512";
        }
        server_start(&plain);
        (void)snprintf(url, sizeof url, "memcached+unix:%s", plain.socket);
        REQUIRE_OK(coat_memcached_ops.open(&conf, &store));
        if (strstr(message, said[i]) == NULL)
            test_fail(__FILE__, __LINE__, "said: %s", message);
        coat_memcached_ops.close(store);
        server_kill(&plain);
    }
}

static const coat_test tests[] = {
    {"ST-5: TLS and passwords", works},
    {"ST-5: authority, name and time are verified before a word is said", wrong_servers},
    {"ST-5: a server without TLS hears no credentials", plaintext},
    {"ST-5 ST-6: URLs", urls},
    {"SF-7: a server that will not do is told so", unfit},
};

int
main(int argc, char **argv)
{
    int rc = coat_test_main(argc, argv, tests, sizeof tests / sizeof tests[0]);

    server_kill(&server);
    server_kill(&plain);
    return rc;
}
