/* SPDX-License-Identifier: Apache-2.0 */
/** The drills of fault_cases.h on memcached. What only memcached has is in
 * test_memcached_server.c. */

#include "memcached_fixture.h"

#include "fault_cases.h"

static char users[120];
static mc_server server = {.args = {"-Y", users}};

static remote_store *
remote(void)
{
    return &((mc_store *)store)->nodes[0]->remote;
}

static void
begin_store(uint64_t seed)
{
    char url[300], secret[120];
    coat_store_conf conf = {.url = url};

    if (server.pid == 0) {
        (void)snprintf(server.dir, sizeof server.dir, "%s", test_tmpdir());
        (void)snprintf(server.socket, sizeof server.socket, "%s/s", server.dir);
        (void)snprintf(users, sizeof users, "%s/users", server.dir);
        test_write_secret(users, "drill:s3same\n");
        server_start(&server);
    }
    (void)snprintf(secret, sizeof secret, "%s/secret", server.dir);
    test_write_secret(secret, "s3same\n");
    memcpy(proxy.upstream_path, server.socket, strlen(server.socket));
    proxy_start(&proxy, seed);
    (void)snprintf(url, sizeof url,
                   "memcached://drill@127.0.0.1:%d?prefix=f%d&password-file=%s", proxy.port,
                   ++prefixes, secret);
    REQUIRE_OK(coat_memcached_ops.open(&conf, &store));
}

/** A look is repeated freely; this is the write. */
static size_t
write_mark(uint64_t owner, char mark[PROXY_NEEDLE_MAX])
{
    return (size_t)snprintf(mark, PROXY_NEEDLE_MAX, "ms f%d:o:%016llx", prefixes,
                            (unsigned long long)coat_load64be(owner_of(owner).bytes));
}

/** Has the server read its file again? */
static bool
lets_in(void)
{
    static const char hello[] = "set auth 0 0 12\r\ndrill s3same\r\n";

    return memcmp(server_say(&server, hello, sizeof hello - 1, "\r\n")->bytes, "STORED", 6) ==
           0;
}

static void
set_password(const char *line, bool ours)
{
    test_write_secret(users, line);
    (void)kill(server.pid, SIGHUP);
    for (int i = 0; i < TURNS_MAX && lets_in() != ours; i++)
        server_sleep();
    CHECK(lets_in() == ours);
}

/** Who is connected stays so; who connects is refused. */
static void
password_gone(void)
{
    set_password("drill:other\n", false);
    proxy_cut(&proxy);
    while (atomic_load(&remote()->ready) > 0) {
        (void)run_op(drills[0].lane, COAT_OP_LOAD, 1, 1);
        (void)run_op(drills[1].lane, COAT_OP_LOAD, 1, 1);
    }
}

static void
password_back(void)
{
    set_password("drill:s3same\n", true);
}

static void
server_outages(void)
{
    static const outage own[] = {
        {"another password", password_gone, password_back, false, false, COAT_STORE_DOWN}};

    run_outages(own, sizeof own / sizeof own[0]);
}

static const coat_test tests[] = {FAULT_CASES};

int
main(int argc, char **argv)
{
    int rc = coat_test_main(argc, argv, tests, sizeof tests / sizeof tests[0]);

    server_kill(&server);
    return rc;
}
