/* SPDX-License-Identifier: Apache-2.0 */
/** What a real server does beside answering: forgetting, refusing, dying, being strange. */

#include "one_store.h"
#include "redis_fixture.h"
#include "store/remote/value.h"

static redis_server server = {.args = {"--save", "", "--appendonly", "no"}};

static redis_store *
inside(void)
{
    return (redis_store *)store;
}

/** A fresh store, with a clock that tests set ahead. */
static void
begin(void)
{
    if (server.pid == 0)
        server_start(&server);
    (void)server_ask(&server, "FLUSHALL");
    REQUIRE_OK(server_open(&server, &store));
    take_store();
}

static void
scripts_flushed(void)
{
    begin();
    for (int round = 0; round < 3; round++) {
        CHECK(strncmp(server_ask(&server, "SCRIPT FLUSH"), "+OK", 3) == 0);
        CHECK_ERR(sign_in(lane, 1, 1, 10), COAT_OK);
        CHECK(strncmp(server_ask(&server, "SCRIPT FLUSH"), "+OK", 3) == 0);
        CHECK_ERR(replace(1, 1, 20), COAT_OK);
        CHECK(strncmp(server_ask(&server, "SCRIPT FLUSH"), "+OK", 3) == 0);
        CHECK_ERR(run_op(lane, COAT_OP_SWEEP, 0, 0), COAT_OK);
        CHECK_ERR(run_op(lane, COAT_OP_REMOVE, 1, 1), COAT_OK);
        CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 1), COAT_NO_SESSION);
    }
    end();
}

static void
flushed(void)
{
    coat_store_req all, epochs;
    uint64_t before;

    begin();
    CHECK_ERR(sign_in(lane, 1, 1, 10), COAT_OK);
    all = session_req(COAT_OP_END_ALL, 0, 0);
    REQUIRE_OK(coat_store_run(lane, &all));
    CHECK_ERR(sign_in(lane, 1, 2, 10), COAT_OK);
    before = all.epoch_global;
    CHECK(strncmp(server_ask(&server, "FLUSHALL"), "+OK", 3) == 0);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 2), COAT_NO_SESSION);
    /* What was ended for good is known to be, though the server has forgotten it. */
    epochs = session_req(COAT_OP_EPOCHS, 1, 0);
    REQUIRE_OK(coat_store_run(lane, &epochs));
    CHECK(epochs.epoch_global == before);
    CHECK_ERR(sign_in(lane, 1, 3, 10), COAT_OK);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 3), COAT_OK);
    REQUIRE_OK(coat_store_run(lane, &all));
    CHECK(all.epoch_global > before);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 3), COAT_NO_SESSION);
    end();
}

/** An older state of the server comes back: a snapshot, or a replica that lagged. */
static void
set_back(void)
{
    coat_store_req all, put, get;
    uint64_t version;

    begin();
    CHECK_ERR(sign_in(lane, 1, 1, 10), COAT_OK);
    get = session_req(COAT_OP_LOAD, 1, 1);
    REQUIRE_OK(coat_store_run(lane, &get));
    version = get.found_version;
    CHECK(strncmp(server_ask(&server, "COPY t%d:{%s}:s:0000000000000001 saved", server.prefix,
                             "9e3779b97f4a7c15"),
                  ":1", 2) == 0);
    all = session_req(COAT_OP_END_ALL, 0, 0);
    REQUIRE_OK(coat_store_run(lane, &all));
    CHECK(strncmp(server_ask(&server, "COPY saved t%d:{%s}:s:0000000000000001 REPLACE",
                             server.prefix, "9e3779b97f4a7c15"),
                  ":1", 2) == 0);
    (void)server_ask(&server, "DEL t%d:global t%d:epochs t%d:versions", server.prefix,
                     server.prefix, server.prefix);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 1), COAT_NO_SESSION);
    put = session_req(COAT_OP_REPLACE, 1, 1);
    put.version = version;
    CHECK_ERR(coat_store_run(lane, &put), COAT_NO_SESSION);
    /* Versions are not given out again either. */
    CHECK_ERR(sign_in(lane, 1, 1, 10), COAT_OK);
    get = session_req(COAT_OP_LOAD, 1, 1);
    REQUIRE_OK(coat_store_run(lane, &get));
    CHECK(get.found_version > version);
    end();
}

static void
full(void)
{
    coat_store_req epochs;
    coat_store_stats stats;

    begin();
    for (uint64_t i = 1; i <= 4; i++)
        CHECK_ERR(sign_in(lane, i, i, 100), COAT_OK);
    CHECK(strncmp(server_ask(&server, "CONFIG SET maxmemory 1"), "+OK", 3) == 0);
    CHECK_ERR(sign_in(lane, 9, 9, 10), COAT_STORE_FULL);
    REQUIRE_OK(coat_store_stats_get(store, &stats));
    CHECK(stats.full);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 9, 9), COAT_NO_SESSION);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 1), COAT_OK);
    CHECK_ERR(replace(1, 1, 500), COAT_OK);
    CHECK_ERR(replace(1, 1, 50000), COAT_STORE_FULL);
    CHECK_ERR(run_op(lane, COAT_OP_REMOVE, 1, 1), COAT_OK);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 1), COAT_NO_SESSION);
    CHECK_ERR(run_op(lane, COAT_OP_REMOVE_OWNER, 2, 0), COAT_OK);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 2, 2), COAT_NO_SESSION);
    epochs = session_req(COAT_OP_EPOCHS, 2, 0);
    REQUIRE_OK(coat_store_run(lane, &epochs));
    CHECK(epochs.epoch_owner > 0);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 3, 3), COAT_OK);
    CHECK_ERR(run_op(lane, COAT_OP_END_ALL, 0, 0), COAT_OK);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 3, 3), COAT_NO_SESSION);
    CHECK_ERR(run_op(lane, COAT_OP_SWEEP, 0, 0), COAT_OK);
    CHECK(strncmp(server_ask(&server, "CONFIG SET maxmemory 0"), "+OK", 3) == 0);
    CHECK_ERR(sign_in(lane, 9, 9, 10), COAT_OK);
    REQUIRE_OK(coat_store_stats_get(store, &stats));
    CHECK(!stats.full);
    end();
}

static void
demoted(void)
{
    coat_store_stats stats;

    begin();
    CHECK_ERR(sign_in(lane, 1, 1, 10), COAT_OK);
    CHECK(strncmp(server_ask(&server, "REPLICAOF 127.0.0.1 1"), "+OK", 3) == 0);
    CHECK_ERR(run_op(lane, COAT_OP_REMOVE, 1, 1), COAT_STORE_DOWN);
    for (int i = 0; i < 20; i++) {
        atomic_fetch_add(&ahead_ms, 1300);
        turn(2);
        CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 1), COAT_STORE_DOWN);
    }
    REQUIRE_OK(coat_store_stats_get(store, &stats));
    CHECK(stats.away);
    CHECK(strstr(stats.notice, "replica") != NULL);
    CHECK(strncmp(server_ask(&server, "REPLICAOF NO ONE"), "+OK", 3) == 0);
    CHECK_ERR(come_back(), COAT_OK);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 1), COAT_OK);
    end();
}

/** A sweep writes, so that a server that has become a replica does not go unnoticed. */
static void
demoted_noticed(void)
{
    begin();
    CHECK(strncmp(server_ask(&server, "REPLICAOF 127.0.0.1 1"), "+OK", 3) == 0);
    CHECK_ERR(run_op(lane, COAT_OP_SWEEP, 0, 0), COAT_STORE_DOWN);
    CHECK(strncmp(server_ask(&server, "REPLICAOF NO ONE"), "+OK", 3) == 0);
    CHECK_ERR(come_back(), COAT_OK);
    end();
}

static const char *
key_of(uint64_t serial)
{
    char prefix[12];

    (void)snprintf(prefix, sizeof prefix, "t%d", server.prefix);
    return server_key(prefix, handle_of(1, serial));
}

static void
strange_values(void)
{
    coat_store_stats stats;

    begin();
    CHECK_ERR(sign_in(lane, 1, 1, 30), COAT_OK);
    CHECK_ERR(sign_in(lane, 1, 2, 30), COAT_OK);
    /* Every prefix of a real one. */
    for (int len = 0; len < 86; len++) {
        char copy[100];

        (void)snprintf(copy, sizeof copy, "%s", key_of(3));
        (void)server_ask(&server,
                         "EVAL \"redis.call('SET', KEYS[2], redis.call('GETRANGE', KEYS[1], 0, "
                         "ARGV[1]))\" 2 %s %s %d",
                         key_of(1), copy, len - 1);
        if (len > 0)
            CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 3), COAT_MALFORMED);
    }
    REQUIRE_OK(coat_store_stats_get(store, &stats));
    CHECK_INT(stats.unreadable, 85);
    /* Kept: it is taken, and not swept. */
    (void)server_ask(&server, "SET %s garbage", key_of(3));
    CHECK_ERR(sign_in(lane, 1, 3, 10), COAT_EXISTS);
    (void)sweep_all(lane, NOW_MS);
    CHECK(strstr(server_ask(&server, "GET %s", key_of(3)), "garbage") != NULL);
    /* Somebody's record at another's address. */
    {
        char copy[100];

        (void)snprintf(copy, sizeof copy, "%s", key_of(2));
        (void)server_ask(&server, "COPY %s %s REPLACE", key_of(1), copy);
    }
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 2), COAT_TAMPERED);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 1), COAT_OK);
    /* An epoch that cannot be read lets nobody in. */
    (void)server_ask(&server, "SET t%d:{9e3779b97f4a7c15}:e x", server.prefix);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 1), COAT_IO);
    CHECK_ERR(replace(1, 1, 5), COAT_IO);
    CHECK_ERR(sign_in(lane, 1, 4, 5), COAT_IO);
    end();
}

static void
bytes_stay_bytes(void)
{
    static const uint8_t nasty[] =
        "\r\n$-1\r\n*1\r\n$8\r\nFLUSHALL\r\n'\";\0]]return 1\r\n*-1\r\n";
    coat_store_req put, get;

    begin();
    put = session_req(COAT_OP_INSERT, 1, 1);
    put.value = (coat_span){nasty, sizeof nasty};
    REQUIRE_OK(coat_store_run(lane, &put));
    CHECK_ERR(replace(1, 1, 4), COAT_OK);
    get = session_req(COAT_OP_LOAD, 1, 1);
    REQUIRE_OK(coat_store_run(lane, &get));
    put = session_req(COAT_OP_REPLACE, 1, 1);
    put.value = (coat_span){nasty, sizeof nasty};
    put.version = get.found_version;
    REQUIRE_OK(coat_store_run(lane, &put));
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 1), COAT_OK);
    CHECK_INT(strtol(server_ask(&server, "STRLEN %s", key_of(1)) + 1, NULL, 10),
              REMOTE_VALUE_HEAD + sizeof nasty);
    end();
}

static void
time_to_live(void)
{
    coat_store_req put;
    long ttl;

    begin();
    put = session_req(COAT_OP_INSERT, 1, 1);
    put.expires_ms = NOW_MS + 5000;
    REQUIRE_OK(coat_store_run(lane, &put));
    ttl = strtol(server_ask(&server, "PTTL %s", key_of(1)) + 1, NULL, 10);
    CHECK(ttl > REDIS_SLACK_MS && ttl <= REDIS_SLACK_MS + 5000);
    put = session_req(COAT_OP_INSERT, 1, 2);
    REQUIRE_OK(coat_store_run(lane, &put));
    CHECK(strncmp(server_ask(&server, "PTTL %s", key_of(2)), ":-1", 3) == 0);
    /* The server's expiry decides nothing. */
    (void)server_ask(&server, "PERSIST %s", key_of(1));
    put = session_req(COAT_OP_LOAD, 1, 1);
    put.now_ms = NOW_MS + 5000;
    CHECK_ERR(coat_store_run(lane, &put), COAT_NO_SESSION);
    put.now_ms = NOW_MS + 4999;
    CHECK_ERR(coat_store_run(lane, &put), COAT_OK);
    (void)server_ask(&server, "PEXPIRE %s 1", key_of(1));
    for (int i = 0; i < 1000 && coat_store_run(lane, &put) == COAT_OK; i++)
        server_sleep();
    CHECK_ERR(put.result, COAT_NO_SESSION);
    end();
}

static void
killed(void)
{
    enum { ROUNDS = 4, EACH = 16 };
    static amid requests;
    redis_server durable = {
        .args = {"--save", "", "--appendonly", "yes", "--appendfsync", "always"}};
    long rounds = test_scaled(200, ROUNDS);

    server_start(&durable);
    REQUIRE_OK(server_open(&durable, &store));
    take_store();
    for (long round = 0; round < rounds; round++) {
        uint64_t owner = (uint64_t)round + 1;

        for (uint64_t i = 0; i < EACH; i++)
            CHECK_ERR(sign_in(lane, owner, i + 1, 50), COAT_OK);
        amid_submit(&requests, owner, EACH);
        turn((int)(round % 3));
        server_kill(&durable, SIGKILL);
        amid_wait(&requests);
        server_start(&durable);
        amid_check(&requests);
    }
    end();
    server_stop(&durable);
}

/** The server dies and comes back with a snapshot from before. */
static void
snapshot(void)
{
    redis_server old = {.args = {"--save", "", "--appendonly", "no"}};
    coat_store_req req, get;
    uint64_t version;

    server_start(&old);
    REQUIRE_OK(server_open(&old, &store));
    take_store();
    for (uint64_t owner = 1; owner <= 4; owner++)
        for (uint64_t serial = 1; serial <= 3; serial++)
            CHECK_ERR(sign_in(lane, owner, serial, 10), COAT_OK);
    CHECK(strncmp(server_ask(&old, "SAVE"), "+OK", 3) == 0);
    /* Owner 1 signs out once, 2 everywhere, 3 everywhere else; 4 signs in anew. */
    CHECK_ERR(run_op(lane, COAT_OP_REMOVE, 1, 1), COAT_OK);
    CHECK_ERR(run_op(lane, COAT_OP_REMOVE_OWNER, 2, 0), COAT_OK);
    req = session_req(COAT_OP_REMOVE_OWNER, 3, 0);
    req.has_spare = true;
    req.spare = handle_of(3, 2);
    REQUIRE_OK(coat_store_run(lane, &req));
    req = session_req(COAT_OP_INSERT, 4, 9);
    req.has_superseded = true;
    req.superseded = handle_of(4, 1);
    REQUIRE_OK(coat_store_run(lane, &req));
    version = req.found_version;
    server_kill(&old, SIGKILL);
    server_start(&old);
    CHECK_ERR(come_back(), COAT_OK);
    for (uint64_t serial = 1; serial <= 3; serial++) {
        CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, serial),
                  serial == 1 ? COAT_NO_SESSION : COAT_OK);
        CHECK_ERR(run_op(lane, COAT_OP_LOAD, 2, serial), COAT_NO_SESSION);
        CHECK_ERR(run_op(lane, COAT_OP_LOAD, 3, serial),
                  serial == 2 ? COAT_OK : COAT_NO_SESSION);
        CHECK_ERR(run_op(lane, COAT_OP_LOAD, 4, serial),
                  serial == 1 ? COAT_NO_SESSION : COAT_OK);
    }
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 4, 9), COAT_NO_SESSION); /* lost: sign in again */
    CHECK_ERR(sign_in(lane, 4, 9, 10), COAT_OK);
    get = session_req(COAT_OP_LOAD, 4, 9);
    REQUIRE_OK(coat_store_run(lane, &get));
    CHECK(get.found_version > version);
    CHECK_ERR(sign_in(lane, 2, 7, 10), COAT_OK); /* under the epoch that was put back */
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 2, 7), COAT_OK);
    end();
    /* The server itself has it, so that everybody else has. */
    old.prefix--;
    REQUIRE_OK(server_open(&old, &store));
    REQUIRE_OK(coat_lane_open(store, NULL, &lane));
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 1), COAT_NO_SESSION);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 2, 1), COAT_NO_SESSION);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 3, 2), COAT_OK);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 3, 3), COAT_NO_SESSION);
    end();
    server_stop(&old);
}

static void
started_later(void)
{
    redis_server late = {.args = {"--save", "", "--appendonly", "no"}};
    coat_store_stats stats;
    char url[200], message[300] = "?";
    coat_store_conf conf = {.url = url, .message = message, .message_cap = sizeof message};

    server_start(&late);
    server_stop(&late);
    (void)snprintf(url, sizeof url, "redis+unix:%s", late.socket);
    REQUIRE_OK(coat_redis_ops.open(&conf, &store));
    CHECK(strstr(message, "not ready") != NULL);
    take_store();
    nobody_answers(8);
    REQUIRE_OK(coat_store_stats_get(store, &stats));
    CHECK(stats.away && stats.notice[0] != '\0');
    server_start(&late);
    CHECK_ERR(come_back(), COAT_OK);
    REQUIRE_OK(coat_store_stats_get(store, &stats));
    CHECK(!stats.away);
    end();
    server_stop(&late);
}

static void
notices(void)
{
    static const struct {
        const char *name, *args[6], *said;
    } cases[] = {
        {"eviction", {"--save", "", "--maxmemory-policy", "allkeys-lru"}, "allkeys-lru"},
        {"no persistence", {"--save", ""}, "restart signs everybody out"},
        {"snapshots only", {"--save", "900 1"}, "minutes"},
        {"every second", {"--appendonly", "yes", "--save", ""}, "up to a second"},
        {"all is well", {"--appendonly", "yes", "--appendfsync", "always"}, ""},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        redis_server s = {0};
        char url[200], message[300] = "?";
        coat_store_conf conf = {.url = url, .message = message, .message_cap = sizeof message};

        test_case(cases[i].name);
        memcpy(s.args, cases[i].args, sizeof cases[i].args);
        server_start(&s);
        (void)snprintf(url, sizeof url, "redis+unix:%s", s.socket);
        REQUIRE_OK(coat_redis_ops.open(&conf, &store));
        CHECK(cases[i].said[0] == '\0' ? message[0] == '\0'
                                       : strstr(message, cases[i].said) != NULL);
        coat_store_close(store);
        server_stop(&s);
    }
    test_case(NULL);
}

static void
users(void)
{
    char url[400], message[300], secret[200];
    coat_store_conf conf = {.url = url, .message = message, .message_cap = sizeof message};

    begin();
    end();
    (void)server_ask(&server, "ACL SETUSER door on >s3same ~coat:* &coat:* +@all");
    (void)server_ask(
        &server, "ACL SETUSER narrow on >s3same ~coat:* &coat:* +@all -client|kill -config");
    (void)snprintf(secret, sizeof secret, "%s/secret", server.dir);
    test_write_secret(secret, "wrong\n");
    {
        /* Through TCP, since only there a URL has a user. */
        fault_proxy proxy = {0};

        (void)snprintf(proxy.upstream_path, sizeof proxy.upstream_path, "%s", server.socket);
        proxy_start(&proxy, 1);
        (void)snprintf(url, sizeof url, "redis://door@127.0.0.1:%d?password-file=%s",
                       proxy.port, secret);
        REQUIRE_OK(coat_redis_ops.open(&conf, &store));
        CHECK(strstr(message, "password is refused") != NULL);
        CHECK(strstr(message, "wrong") == NULL);
        coat_store_close(store);
        test_write_secret(secret, "s3same\n");
        REQUIRE_OK(coat_redis_ops.open(&conf, &store));
        CHECK(strstr(message, "not ready") == NULL);
        inside()->remote.monotonic = test_monotonic;
        REQUIRE_OK(coat_lane_open(store, NULL, &lane));
        CHECK_ERR(sign_in(lane, 1, 1, 10), COAT_OK);
        /* The right to be here is taken away: nobody is let in, and nobody is thrown out. */
        (void)server_ask(&server, "ACL SETUSER door off");
        (void)server_ask(&server, "CLIENT KILL USER door");
        turn(4);
        for (int i = 0; i < 8; i++) {
            coat_store_req req = session_req(COAT_OP_LOAD, 1, 1);

            coat_store_submit(lane, &req);
            atomic_fetch_add(&ahead_ms, PATIENCE_MS);
            lane->store->ops->wait(lane, &req);
            CHECK_ERR(req.result, COAT_STORE_DOWN);
        }
        (void)server_ask(&server, "ACL SETUSER door on");
        CHECK_ERR(come_back(), COAT_OK);
        CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 1), COAT_OK);
        end();
        (void)snprintf(url, sizeof url, "redis://narrow@127.0.0.1:%d?password-file=%s",
                       proxy.port, secret);
        REQUIRE_OK(coat_redis_ops.open(&conf, &store));
        CHECK(strstr(message, "CLIENT KILL") != NULL);
        coat_store_close(store);
        /* The rights of docs/stores.md, and none beyond. */
        (void)server_ask(&server, "ACL SETUSER coatcheck on >s3same ~coat:* &coat:* "
                                  "&__keyevent@*__:* &__redis__:invalidate +@read +@write "
                                  "+@scripting +@connection +client|id +client|kill "
                                  "+client|tracking +info +time +config|get +select "
                                  "+publish +subscribe");
        (void)snprintf(url, sizeof url, "redis://coatcheck@127.0.0.1:%d/2?password-file=%s",
                       proxy.port, secret);
        REQUIRE_OK(coat_redis_ops.open(&conf, &store));
        CHECK(strstr(message, "not ready") == NULL && strstr(message, "CLIENT KILL") == NULL);
        REQUIRE_OK(coat_lane_open(store, NULL, &lane));
        CHECK_ERR(sign_in(lane, 1, 1, 10), COAT_OK);
        CHECK_ERR(replace(1, 1, 20), COAT_OK);
        CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 2), COAT_NO_SESSION);
        CHECK_ERR(run_op(lane, COAT_OP_REMOVE_OWNER, 1, 0), COAT_OK);
        CHECK_ERR(run_op(lane, COAT_OP_END_ALL, 1, 0), COAT_OK);
        CHECK_INT(sweep_all(lane, NOW_MS), 1);
        end();
        proxy_stop(&proxy);
    }
    (void)server_ask(&server, "ACL DELUSER door narrow coatcheck");
}

/**
 * A sign-out and a sign-in whose bytes are under way when their time is over, arrive after a
 * SWEEP has been answered: they must not happen any more.
 */
static void
sweep_decides(void)
{
    fault_proxy proxy = {0};
    char url[200];
    coat_store_conf conf = {.url = url};

    begin();
    end();
    (void)snprintf(proxy.upstream_path, sizeof proxy.upstream_path, "%s", server.socket);
    proxy_start(&proxy, 2);
    (void)snprintf(url, sizeof url, "redis://127.0.0.1:%d", proxy.port);
    REQUIRE_OK(coat_redis_ops.open(&conf, &store));
    inside()->remote.monotonic = test_monotonic;
    inside()->remote.links = 1; /* none is left that is held, too, and waits its time out */
    REQUIRE_OK(coat_lane_open(store, NULL, &lane));
    for (int round = 0; round < 3; round++) {
        uint64_t owner = (uint64_t)round + 1;

        hold_two(&proxy, owner);
        CHECK(inside()->doubt_count > 0);
        /* New connections pass, the bytes of the old one are still held: by whom is not seen.
         */
        inside()->address.host = NULL;
        inside()->address.path = server.socket;
        CHECK_ERR(come_back(), COAT_OK);
        CHECK_ERR(run_op(lane, COAT_OP_SWEEP, 0, 0), COAT_OK);
        CHECK_INT(inside()->doubt_count, 0);
        let_two_go(&proxy, owner);
        /* Through the proxy again. */
        inside()->address.host = inside()->url.host;
        inside()->address.path = NULL;
        (void)server_ask(&server, "CLIENT KILL TYPE normal SKIPME yes");
        turn(4);
    }
    end();
    proxy_stop(&proxy);
}

#define TEN "0123456789" /* a path of 108 bytes has no room in a socket's address */

static void
refused_urls(void)
{
    static const struct {
        const char *url, *said;
    } cases[] = {
        {"redis://db.example", "rediss:"},
        {"redis://10.0.0.1:6379", "rediss:"},
        {"rediss://db.example?plaintext=allowed", "contradicts"},
        {"redis://db.example?plaintext=yes", "only be"},
        {"redis://127.0.0.1?ca-file=/x", "need rediss"},
        {"redis://127.0.0.1?colour=red", "no parameter"},
        {"redis://127.0.0.1?prefix=a{b", "prefix"},
        {"redis://127.0.0.1?prefix=", "prefix"},
        {"redis://127.0.0.1/x", "not a number"},
        {"redis://127.0.0.1/99999", "not a number"},
        {"redis://door@127.0.0.1", "password-file"},
        {"redis://door:secret@127.0.0.1", "no place in a URL"},
        {"redis://127.0.0.1?password-file=/nonexistent", "cannot be opened"},
        {"rediss://127.0.0.1?ca-file=/nonexistent", "ca-file"},
        {"rediss://127.0.0.1?cert-file=/x", "belong together"},
        {"redis+unix://host/x", "path"},
        {"redis:/x", "socket"},
        {"redis+unix:/" TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN "1234567", "too long"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check_url_refused(&coat_redis_ops, cases[i].url, cases[i].said);
}

static void
clock_told(void)
{
    begin();
    check_store_clock(lane);
    end();
}

static uint64_t
epoch_of(uint64_t owner)
{
    coat_store_req epochs = session_req(COAT_OP_EPOCHS, owner, 0);

    REQUIRE_OK(coat_store_run(lane, &epochs));
    return epochs.epoch_owner;
}

/** An owner's epoch stays as long as anything may depend on it: a day by the clock of this
 * machine, behind a walk that has met everything, and a day by the caller's. */
static void
epochs_are_kept(void)
{
    enum { LATER_MS = 25 * 3600 * 1000 };

    begin();
    CHECK_ERR(sign_in(lane, 1, 1, 10), COAT_OK);
    CHECK_ERR(run_op(lane, COAT_OP_REMOVE_OWNER, 1, 0), COAT_OK);
    (void)sweep_all(lane, NOW_MS);
    CHECK(epoch_of(1) > 0);
    (void)sweep_all(lane, (int64_t)NOW_MS + LATER_MS);
    CHECK(epoch_of(1) > 0);
    atomic_fetch_add(&ahead_ms, LATER_MS);
    (void)sweep_all(lane, NOW_MS);
    CHECK(epoch_of(1) > 0);
    (void)sweep_all(lane, (int64_t)NOW_MS + LATER_MS);
    CHECK_INT(epoch_of(1), 0);
    end();
}

static const coat_test tests[] = {
    {"ST-5: URLs that would send secrets in the clear, or make no sense, are refused",
     refused_urls},
    {"scripts that the server has forgotten are sent again", scripts_flushed},
    {"SF-7 RV-5: a flushed server means signing in again, and revocations stay", flushed},
    {"RV-4: an epoch is kept for as long as anything may depend on it", epochs_are_kept},
    {"RV-5: older state does not bring back what was ended", set_back},
    {"a full server refuses what is new, and ends what is old", full},
    {"SF-5: a server that became a replica is left, and nobody is signed out", demoted},
    {"SF-5: sweeping notices that a server became a replica", demoted_noticed},
    {"ST-8 SF-6: what cannot be read or belongs elsewhere is denied and kept", strange_values},
    {"ST-6: bytes of a value are bytes, whatever they look like", bytes_stay_bytes},
    {"ST-7: the server's expiry comes later, and decides nothing", time_to_live},
    {"RV-5: a snapshot from before does not bring back what was ended since", snapshot},
    {"SF-10: the server's clock is told", clock_told},
    {"SF-3: what was acknowledged survives kill -9 of the server", killed},
    {"SF-11: a store that comes later is connected to without a restart", started_later},
    {"SF-3 SF-7: what is unsuitable about a server is said at the start", notices},
    {"ST-4 SF-1: user and password from a file; taken away, it is an outage", users},
    {"SWEEP decides what was answered STORE_DOWN before it", sweep_decides},
};

int
main(int argc, char **argv)
{
    int rc = coat_test_main(argc, argv, tests, sizeof tests / sizeof tests[0]);

    server_stop(&server);
    return rc;
}
