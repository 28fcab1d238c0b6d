/* SPDX-License-Identifier: Apache-2.0 */
/**
 * How a server is reached: URLs, passwords, TLS to a real server. Where the server is not the
 * right one, nothing of ours may reach it.
 */

#include "memcached_fixture.h"
#include "tls_cases.h"

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
open_as(const char *user, const char *query, int port, char *message, size_t cap,
        coat_store **out)
{
    char url[800];
    coat_store_conf conf = {.url = url, .message = message, .message_cap = cap};

    (void)snprintf(url, sizeof url, "memcacheds://%s127.0.0.1:%d?%s", user, port, query);
    return coat_memcached_ops.open(&conf, out);
}

static coat_err
open_with_password(const char *user, const char *query, int port, char *message, size_t cap,
                   coat_store **out)
{
    char whole[720];

    (void)snprintf(whole, sizeof whole, "password-file=%s/secret%s", dir, query);
    return open_as(user, whole, port, message, cap, out);
}

static coat_err
open_url(const char *query, int port, char *message, size_t cap, coat_store **out)
{
    return open_with_password("door@", query, port, message, cap, out);
}

static coat_err
open_without(const char *query, int port, char *message, size_t cap, coat_store **out)
{
    return open_as("", query + 1, port, message, cap, out);
}

static coat_err
open_stranger(const char *query, int port, char *message, size_t cap, coat_store **out)
{
    return open_with_password("window@", query, port, message, cap, out);
}

static void
count_item(coat_store_req *req, const coat_store_item *item)
{
    (void)item;
    ++*(size_t *)req->ctx;
}

/** Its list of keys comes through TLS as well, in more than one record, to who has let himself
 * in. */
static void
list_works(coat_lane *lane)
{
    enum { MANY = 900 };
    size_t seen = 0;
    coat_store_req req = session_req(COAT_OP_SCAN, 0, 0);

    for (uint64_t owner = 100; owner < 100 + MANY; owner++)
        CHECK_ERR(sign_in(lane, owner, 1, 10), COAT_OK);
    req.item = count_item;
    req.ctx = &seen;
    CHECK_ERR(coat_store_run(lane, &req), COAT_OK);
    CHECK_INT(seen, MANY);
    CHECK(!req.more);
}

static void
works(void)
{
    coat_store *store;
    coat_lane *lane;

    start_server("good", "ssl_verify_mode=0");
    store = open_ready(open_url, with_ca("ca.pem"), server.port);
    REQUIRE_OK(coat_lane_open(store, NULL, &lane));
    much_works(lane);
    list_works(lane);
    coat_lane_close(lane);
    coat_store_close(store);
    coat_store_close(
        open_refused(open_without, with_ca("ca.pem"), server.port, "wants a password"));
    coat_store_close(open_refused(open_stranger, with_ca("ca.pem"), server.port, "refused"));
    server_kill(&server);
    start_server("good", "ssl_verify_mode=2");
    wants_certificate(open_url, server.port);
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
        test_case(cases[i].name);
        start_server(cases[i].certificate, "ssl_verify_mode=0");
        coat_store_close(
            open_refused(open_url, with_ca(cases[i].ca), server.port, cases[i].said));
        server_kill(&server);
    }
    test_case(NULL);
}

static void
plaintext(void)
{
    static const char *const says[] = {"STORED\r\n", "ERROR\r\n", "", "HTTP/1.1 400\r\n\r\n"};

    for (size_t i = 0; i < sizeof says / sizeof says[0]; i++)
        tell_no_secrets(open_url, says[i], NULL, 0);
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
        /* Without room for what was found nobody is looked for, which takes a second. */
        coat_store_conf conf = {.url = cases[i].url,
                                .message = message,
                                .message_cap = cases[i].said != NULL ? sizeof message : 0};
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

/** What the meta commands that we use came with. */
static void
versions(void)
{
    static const struct {
        const char *says;
        bool old;
    } cases[] = {
        {"VERSION 1.6.9\r\nEND\r\n", true},  {"VERSION 1.6.10\r\nEND\r\n", false},
        {"VERSION 1.5.99\r\nEND\r\n", true}, {"VERSION 1.7.0\r\nEND\r\n", false},
        {"VERSION 0.9.99\r\nEND\r\n", true}, {"VERSION 2.0.0\r\nEND\r\n", false},
        {"VERSION 1.6\r\nEND\r\n", true},    {"VERSION unknown\r\nEND\r\n", true},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char message[400] = "", url[100];
        coat_store_conf conf = {.url = url, .message = message, .message_cap = sizeof message};
        coat_store *store;
        listener l;

        test_case(cases[i].says);
        listener_start(&l, cases[i].says);
        (void)snprintf(url, sizeof url, "memcached://127.0.0.1:%d", l.port);
        REQUIRE_OK(coat_memcached_ops.open(&conf, &store));
        listener_stop(&l);
        coat_memcached_ops.close(store);
        if ((strstr(message, "older than 1.6.10") != NULL) != cases[i].old)
            test_fail(__FILE__, __LINE__, "said: %s", message);
    }
    test_case(NULL);
}

static const coat_test tests[] = {
    {"ST-5: TLS and passwords", works},
    {"ST-5: authority, name and time are verified before a word is said", wrong_servers},
    {"ST-5: a server without TLS hears no credentials", plaintext},
    {"ST-5 ST-6: URLs", urls},
    {"SF-7: a server that will not do is told so", unfit},
    {"SF-7: and one that is older than what we speak", versions},
};

int
main(int argc, char **argv)
{
    int rc = coat_test_main(argc, argv, tests, sizeof tests / sizeof tests[0]);

    server_kill(&server);
    server_kill(&plain);
    return rc;
}
