/* SPDX-License-Identifier: Apache-2.0 */
/**
 * The drills of fault_cases.h on Redis, and what only Redis has: users whose rights end,
 * replicas, a full server, a failover.
 */

#include "redis_fixture.h"

#include "fault_cases.h"

static redis_server server = {.args = {"--save", "", "--appendonly", "no"}};

static remote_store *
remote(void)
{
    return (remote_store *)store;
}

static void
open_through_proxy(void)
{
    char url[300], secret[120];
    coat_store_conf conf = {.url = url};

    (void)snprintf(secret, sizeof secret, "%s/secret", server.dir);
    test_write_secret(secret, "s3same\n");
    (void)snprintf(url, sizeof url, "redis://drill@127.0.0.1:%d?password-file=%s", proxy.port,
                   secret);
    REQUIRE_OK(coat_redis_ops.open(&conf, &store));
}

static void
begin_store(uint64_t seed)
{
    if (server.pid == 0)
        server_start(&server);
    (void)server_ask(&server, "ACL SETUSER drill on >s3same ~coat:* &coat:* +@all");
    (void)server_ask(&server, "FLUSHALL");
    memcpy(proxy.upstream_path, server.socket, strlen(server.socket));
    proxy_start(&proxy, seed);
    open_through_proxy();
}

/** All keys of an owner have this tag. */
static size_t
write_mark(uint64_t owner, char mark[PROXY_NEEDLE_MAX])
{
    return (size_t)snprintf(mark, PROXY_NEEDLE_MAX, "{%016llx}:",
                            (unsigned long long)coat_load64be(owner_of(owner).bytes));
}

/* ---- the server's own outages ---- */

static void
user_off(void)
{
    (void)server_ask(&server, "ACL SETUSER drill off");
    (void)server_ask(&server, "CLIENT KILL USER drill");
}

static void
user_on(void)
{
    (void)server_ask(&server, "ACL SETUSER drill on");
}

/** Of nobody: it has its data, and takes no changes. */
static void
replica(void)
{
    (void)server_ask(&server, "REPLICAOF 127.0.0.1 1");
}

static void
primary(void)
{
    (void)server_ask(&server, "REPLICAOF NO ONE");
}

static void
memory_out(void)
{
    (void)server_ask(&server, "CONFIG SET maxmemory 1");
}

static void
memory_back(void)
{
    (void)server_ask(&server, "CONFIG SET maxmemory 0");
}

static void
server_outages(void)
{
    static const outage own[] = {
        {"user switched off", user_off, user_on, false, false, COAT_STORE_DOWN},
        {"read-only", replica, primary, true, false, COAT_STORE_DOWN},
        {"out of memory", memory_out, memory_back, true, false, COAT_STORE_FULL},
    };

    run_outages(own, sizeof own / sizeof own[0]);
}

/* ---- SF-5 ---- */

static unsigned long long
offset_of(const redis_server *s)
{
    const char *text = strstr(server_ask(s, "INFO replication"), "master_repl_offset:");

    return text != NULL ? strtoull(strchr(text, ':') + 1, NULL, 10) : 0;
}

static void
follow(const redis_server *s)
{
    const char *answer = "";

    (void)server_ask(&server, "CONFIG SET repl-diskless-sync-delay 0");
    for (int i = 0; i < 20 && strncmp(answer, "+OK", 3) != 0; i++) {
        int port = free_port();

        answer = server_ask(&server, "CONFIG SET port %d", port);
        if (strncmp(answer, "+OK", 3) == 0)
            answer = server_ask(s, "REPLICAOF 127.0.0.1 %d", port);
    }
}

static void
wait_for_replica(const redis_server *s)
{
    for (int i = 0; i < TURNS_MAX; i++) {
        if (strstr(server_ask(s, "INFO replication"), "master_link_status:up") != NULL &&
            offset_of(s) == offset_of(&server))
            return;
        server_sleep();
    }
    test_fail(__FILE__, __LINE__, "the replica does not follow");
    test_abort();
}

/**
 * The primary is cut off with a sign-out and a sign-in on their way, its replica promoted. What
 * the former primary says later is not heard, what it took without a replica never was.
 */
static void
failover(uint64_t round)
{
    redis_server other = {.args = {"--save", "", "--appendonly", "no"}};
    coat_store_req in, out;
    bool done_in, done_out;
    uint64_t met;
    hand h;

    server_start(&other);
    open_store(20 + round);
    (void)server_ask(&other, "ACL SETUSER drill on >s3same ~coat:* &coat:* +@all");
    follow(&other);
    hand_open(&h, 1);
    for (uint64_t serial = 1; serial <= 3; serial++)
        hand_sign_in(&h, 7, serial);
    CHECK_ERR(hand_op(&h, COAT_OP_REMOVE, 7, 3), COAT_OK);
    wait_for_replica(&other);
    in = hand_insert(&h, 7, 4);
    out = session_req(COAT_OP_REMOVE, 7, 1);
    freeze(true);
    (void)server_ask(&other, "REPLICAOF NO ONE");
    met = atomic_load(&proxy.met);
    proxy_set(&proxy, FAULT_NONE, FAULT_HOLD, 100); /* what it says, it says to nobody */
    hand_submit(&h, &in, &done_in);
    hand_submit(&h, &out, &done_out);
    HAND_UNTIL(&h, atomic_load(&proxy.met) > met);
    CHECK(!done_in && !done_out);
    proxy_point(&proxy, other.socket);
    proxy_spare_new(&proxy);
    atomic_fetch_add(&ahead_ms, PATIENCE_MS);
    HAND_UNTIL(&h, done_in && done_out);
    CHECK_ERR(in.result, COAT_STORE_DOWN);
    CHECK_ERR(out.result, COAT_STORE_DOWN);
    heal();
    freeze(false);
    CHECK_ERR(hand_op_patient(&h, COAT_OP_LOAD, 7, 1), COAT_OK);
    CHECK_ERR(hand_op_patient(&h, COAT_OP_LOAD, 7, 2), COAT_OK);
    CHECK_ERR(hand_op_patient(&h, COAT_OP_LOAD, 7, 3), COAT_NO_SESSION);
    CHECK_ERR(hand_op_patient(&h, COAT_OP_LOAD, 7, 4), COAT_NO_SESSION);
    /* And ends on the new one are ends. */
    CHECK_ERR(hand_op_patient(&h, COAT_OP_REMOVE, 7, 2), COAT_OK);
    CHECK_ERR(hand_op_patient(&h, COAT_OP_LOAD, 7, 2), COAT_NO_SESSION);
    hand_close(&h);
    close_store();
    server_stop(&other);
}

static void
failovers(void)
{
    for (long i = 0; i < test_scaled(100, 2); i++)
        failover((uint64_t)i);
}

static const coat_test tests[] = {
    FAULT_CASES,
    {"SF-5: a failover makes no wrong answer, and the former primary is not heard", failovers},
};

int
main(int argc, char **argv)
{
    int rc = coat_test_main(argc, argv, tests, sizeof tests / sizeof tests[0]);

    server_stop(&server);
    return rc;
}
