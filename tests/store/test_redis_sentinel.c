/* SPDX-License-Identifier: Apache-2.0 */
/**
 * A primary that sentinels name: the contract through them, and what happens when they name
 * another one. Real servers and sentinels; those that lie are the test's own.
 */

#include "sentinel_fixture.h"
#include "store/redis/redis.h"
#include "suite_tap.h"
#include "tls_fixture.h"
#include "watch_seen.h"

static sentinel_group group;
static coat_store *store;
static coat_lane *lane;

/* ---- a store through the sentinels ---- */

static coat_err
open_url(const char *url, char *message, size_t cap, coat_store **out)
{
    coat_store_conf conf = {.url = url, .message = message, .message_cap = cap};

    if (cap > 0)
        message[0] = '\0';
    return coat_redis_ops.open(&conf, out);
}

static const char *
notice(void)
{
    static coat_store_stats stats;

    REQUIRE_OK(coat_store_stats_get(store, &stats));
    return stats.notice;
}

/** A request with a short deadline: a lane without a loop reports while it is used. */
static coat_err
try_op(coat_lane *which, coat_op op, uint64_t owner, uint64_t serial)
{
    coat_store_req req = session_req(op, owner, serial);
    coat_err err;

    req.timeout_ms = 100;
    err = coat_store_run(which, &req);
    if (err == COAT_STORE_DOWN)
        server_sleep();
    return err;
}

static void
begin(void)
{
    if (group.nodes[0].pid == 0)
        group_up(&group);
    group_settle(&group);
    (void)server_ask(&group.nodes[group_primary(&group, 0)], "FLUSHALL");
    REQUIRE_OK(open_url(group_url(&group, "redis+sentinel"), NULL, 0, &store));
    REQUIRE_OK(coat_lane_open(store, NULL, &lane));
    watch_begin(store);
    TURN_UNTIL(try_op(lane, COAT_OP_EPOCHS, 1, 0) == COAT_OK);
}

static void
end(void)
{
    watch_end();
    coat_lane_close(lane);
    coat_store_close(store);
}

/* ---- the contract ---- */

static coat_err
suite_open(void *ctx, coat_store **out)
{
    char url[500];

    (void)ctx;
    if (group.nodes[0].pid == 0)
        group_up(&group);
    (void)snprintf(url, sizeof url, "%s/0?prefix=suite", group_url(&group, "redis+sentinel"));
    return open_url(url, NULL, 0, out);
}

static void
suite_close(void *ctx, coat_store *closing)
{
    (void)ctx;
    coat_store_close(closing);
    (void)server_ask(&group.nodes[group_primary(&group, 0)], "FLUSHALL");
}

static coat_err
suite_reopen(void *ctx, coat_store **reopened)
{
    coat_store_close(*reopened);
    *reopened = NULL;
    return suite_open(ctx, reopened);
}

/* ---- URLs ---- */

static void
refused_urls(void)
{
    static const struct {
        const char *url, *said;
    } cases[] = {
        {"redis+sentinel:/x", "HOST,HOST,HOST/NAME"},
        {"redis+sentinel://", "host is missing"},
        {"redis+sentinel://127.0.0.1", "name of the primary is missing"},
        {"redis+sentinel://127.0.0.1/", "name of the primary is missing"},
        {"redis+sentinel://127.0.0.1//0", "name of the primary is missing"},
        {"redis+sentinel://127.0.0.1,/m", "host is missing"},
        {"redis+sentinel://,127.0.0.1/m", "host is missing"},
        {"redis+sentinel://127.0.0.1,127.0.0.1:26379/m", "named twice"},
        {"redis+sentinel://127.0.0.1:1,127.0.0.1:x/m", "port"},
        {"redis+sentinel://127.0.0.1:1,127.0.0.1:65536/m", "port"},
        {"redis+sentinel://127.0.0.1/my%20master", "letters, digits"},
        {"redis+sentinel://127.0.0.1/m/x", "not a number"},
        {"redis+sentinel://127.0.0.1/m/0/0", "not a number"},
        {"redis+sentinel://127.0.0.1,10.0.0.1/m", "10.0.0.1 is another machine"},
        {"redis+sentinel://127.0.0.1/m?ca-file=/x", "need rediss"},
        {"redis+sentinel://127.0.0.1/m?sentinel-user=x", "needs sentinel-password-file"},
        {"redis+sentinel://127.0.0.1/m?sentinel-password-file=/nonexistent", "be opened"},
        {"redis+sentinel://door@127.0.0.1/m", "password-file"},
        {"redis+sentinel://127.0.0.1,door:secret@127.0.0.1/m", "no place in a URL"},
        {"redis+sentinel://1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17/m", "more than 16"},
        {"rediss+sentinel://db.example/m?plaintext=allowed", "contradicts"},
        {"rediss+sentinel://db.example/m?ca-file=/nonexistent", "ca-file"},
        {"redis://127.0.0.1,127.0.0.2", "one host only"},
        {"redis://127.0.0.1?sentinel-user=x", "no parameter"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check_url_refused(&coat_redis_ops, cases[i].url, cases[i].said);
}

static void
taken_urls(void)
{
    redis_sentinels s;
    remote_url url;
    const char *why;

    REQUIRE_OK(redis_sentinel_parse(
        "redis+sentinel://u%20x@a:1,[::1]:2,b.example/my.m-1_/3?db=4", &s, &url, &why));
    CHECK_INT(s.count, 3);
    CHECK_STR(s.at[0].host, "a");
    CHECK_INT(s.at[0].port, 1);
    CHECK_STR(s.at[1].host, "::1");
    CHECK_INT(s.at[1].port, 2);
    CHECK_STR(s.at[2].host, "b.example");
    CHECK_INT(s.at[2].port, 26379);
    CHECK_STR(s.name, "my.m-1_");
    CHECK_STR(url.user, "u x");
    CHECK_STR(url.path, "3");
    CHECK_STR(remote_url_param(&url, "db"), "4");
    CHECK_STR(redis_sentinel_remote(&s), "a");
    REQUIRE_OK(redis_sentinel_parse("rediss+sentinel://[::1],127.1.2.3:9/m", &s, &url, &why));
    CHECK_INT(s.count, 2);
    CHECK_STR(url.path, "");
    CHECK(redis_sentinel_remote(&s) == NULL);
}

/* ---- sentinels that lie ---- */

/** One that says this and nothing else, whatever it is asked. */
static const char *
lie_of(const char *what)
{
    static char text[4096];
    int replica = (group_primary(&group, 0) + 1) % NODES;
    int at = strcmp(what, "a replica") == 0  ? group.node_ports[replica]
             : strcmp(what, "nobody") == 0   ? free_port()
             : strcmp(what, "no redis") == 0 ? group.sentinel_ports[0]
                                             : 0;
    char port[8];

    if (at == 0 && strcmp(what, "oversize") != 0)
        return what;
    if (at == 0) {
        memset(text, 'x', sizeof text - 1);
        memcpy(text, "$4000\r\n", 7);
        return text;
    }
    (void)snprintf(port, sizeof port, "%d", at);
    (void)snprintf(text, sizeof text, "*2\r\n$9\r\n127.0.0.1\r\n$%zu\r\n%s\r\n", strlen(port),
                   port);
    return text;
}

/** Everything that is no place, by the decoder alone. */
static void
no_places(void)
{
    static const char *const replies[] = {
        "*-1\r\n",
        "$-1\r\n",
        "-ERR no\r\n",
        "-IDONTKNOW\r\n",
        "+OK\r\n",
        ":1\r\n",
        "*0\r\n",
        "*1\r\n$9\r\n127.0.0.1\r\n",
        "*3\r\n$9\r\n127.0.0.1\r\n$1\r\n1\r\n$1\r\n1\r\n",
        "*2\r\n$9\r\n127.0.0.1\r\n$1\r\n0\r\n",
        "*2\r\n$9\r\n127.0.0.1\r\n$5\r\n65536\r\n",
        "*2\r\n$9\r\n127.0.0.1\r\n$2\r\n-1\r\n",
        "*2\r\n$9\r\n127.0.0.1\r\n:1\r\n",
        "*2\r\n$0\r\n\r\n$1\r\n1\r\n",
        "*2\r\n$7\r\n/etc/xx\r\n$1\r\n1\r\n",
        "*2\r\n$3\r\na\0b\r\n$1\r\n1\r\n",
        "*2\r\n$-1\r\n$-1\r\n",
        "*2\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\n1\r\n",
    };

    for (size_t i = 0; i < sizeof replies / sizeof replies[0]; i++) {
        size_t len = strstr(replies[i], "$3") != NULL ? 20 : strlen(replies[i]);
        resp_reader *reader = resp_reader_new();
        redis_place place = {"untouched", 9};
        resp_reply *reply = NULL;

        test_case(replies[i]);
        REQUIRE_OK(resp_feed(reader, (const uint8_t *)replies[i], len));
        REQUIRE_OK(resp_next(reader, &reply));
        REQUIRE(reply != NULL);
        CHECK(redis_sentinel_place(reply, &place) != NULL);
        CHECK_STR(place.host, "untouched");
        CHECK_INT(place.port, 9);
        resp_reply_free(reply);
        resp_reader_free(reader);
    }
    test_case(NULL);
}

/** A store that never gets anywhere, and says why. */
static void
goes_nowhere(const char *url, const char *said)
{
    int64_t until_ms = real_ms() + PATIENCE_MS;
    coat_store *mine = store;
    coat_lane *theirs;

    REQUIRE_OK(open_url(url, NULL, 0, &store));
    REQUIRE_OK(coat_lane_open(store, NULL, &theirs));
    do {
        CHECK_ERR(try_op(theirs, COAT_OP_LOAD, 1, 1), COAT_STORE_DOWN);
        CHECK_ERR(try_op(theirs, COAT_OP_REMOVE, 1, 1), COAT_STORE_DOWN);
    } while (strstr(notice(), said) == NULL && real_ms() < until_ms);
    if (strstr(notice(), said) == NULL)
        test_fail(__FILE__, __LINE__, "said: %s", notice());
    coat_lane_close(theirs);
    coat_store_close(store);
    store = mine;
}

static void
lie(void)
{
    static const struct {
        const char *says, *said;
    } cases[] = {
        {"a replica", "it is a replica"},
        {"nobody", "refused"},
        {"no redis", "it is a sentinel"},
        {"oversize", "not the answer of a sentinel"},
        {"garbage\r\n", "not the answer of a sentinel"},
        {"*-1\r\n", "does not know a primary"},
        {"-ERR no\r\n", "wants a password"},
        {"", "no sentinel answers"},
        /* Where our password would leave this machine in the clear. */
        {"*2\r\n$8\r\n10.0.0.1\r\n$4\r\n6379\r\n", "names another machine"},
    };

    begin();
    CHECK_ERR(sign_in(lane, 1, 1, 10), COAT_OK);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char url[300], message[400];
        listener l;
        coat_store *other;
        coat_lane *theirs;

        test_case(cases[i].says);
        listener_start(&l, lie_of(cases[i].says));
        /* Alone it makes an outage, not an answer. */
        (void)snprintf(url, sizeof url, "redis+sentinel://127.0.0.1:%d/mymaster", l.port);
        goes_nowhere(url, cases[i].said);
        /* Outvoted it makes nothing. */
        (void)snprintf(url, sizeof url,
                       "redis+sentinel://127.0.0.1:%d,127.0.0.1:%d,127.0.0.1:%d/mymaster",
                       l.port, group.sentinel_ports[1], group.sentinel_ports[2]);
        REQUIRE_OK(open_url(url, message, sizeof message, &other));
        if (strstr(message, "not ready") != NULL)
            test_fail(__FILE__, __LINE__, "said: %s", message);
        REQUIRE_OK(coat_lane_open(other, NULL, &theirs));
        CHECK_ERR(run_op(theirs, COAT_OP_LOAD, 1, 1), COAT_OK);
        coat_lane_close(theirs);
        coat_store_close(other);
        listener_stop(&l);
    }
    test_case(NULL);
    end();
}

/** One against one is no answer: neither is known to be right. */
static void
contradiction(void)
{
    char url[300], message[400];
    coat_store *other;
    listener l;

    begin();
    listener_start(&l, lie_of("nobody"));
    (void)snprintf(url, sizeof url, "redis+sentinel://127.0.0.1:%d,127.0.0.1:%d/mymaster",
                   l.port, group.sentinel_ports[1]);
    goes_nowhere(url, "contradict one another");
    listener_stop(&l);
    /* One that is gone leaves the word to the other. */
    REQUIRE_OK(open_url(url, message, sizeof message, &other));
    CHECK(strstr(message, "not ready") == NULL);
    coat_store_close(other);
    end();
}

/* ---- what operators see ---- */

static void
described(void)
{
    redis_server *primary;
    char url[400], message[400], where[60];
    coat_store *other;

    begin();
    primary = &group.nodes[group_primary(&group, 0)];
    (void)snprintf(where, sizeof where, "the primary is 127.0.0.1:%d",
                   group.node_ports[group_primary(&group, 0)]);
    CHECK(strstr(notice(), where) != NULL);
    CHECK(strstr(notice(), "min-replicas-to-write") != NULL);
    CHECK(strstr(notice(), "fewer than 3") == NULL);
    (void)snprintf(url, sizeof url, "redis+sentinel://127.0.0.1:%d/mymaster",
                   group.sentinel_ports[0]);
    REQUIRE_OK(open_url(url, message, sizeof message, &other));
    CHECK(strstr(message, "min-replicas-to-write 0") != NULL);
    CHECK(strstr(message, "fewer than 3 sentinels") != NULL);
    coat_store_close(other);
    CHECK(server_ask(primary, "CONFIG SET min-replicas-to-write 1")[0] == '+');
    REQUIRE_OK(open_url(url, message, sizeof message, &other));
    CHECK(strstr(message, "min-replicas-to-write") == NULL);
    coat_store_close(other);
    (void)server_ask(primary, "CONFIG SET min-replicas-to-write 0");
    (void)snprintf(url, sizeof url, "redis+sentinel://127.0.0.1:%d/other",
                   group.sentinel_ports[0]);
    goes_nowhere(url, "does not know a primary");
    end();
}

static void
write_secret(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    REQUIRE(f != NULL);
    (void)fputs(text, f);
    (void)fclose(f);
    CHECK_INT(chmod(path, 0600), 0);
}

/** Sentinels have users and passwords of their own. */
static void
users(void)
{
    char url[700], message[400], file[120];
    coat_store *other;

    begin();
    end();
    (void)snprintf(file, sizeof file, "%s/secret", group.sentinels[0].dir);
    for (int i = 0; i < SENTINELS; i++)
        CHECK(server_ask(&group.sentinels[i], "ACL SETUSER door on >of-sentinels +auth "
                                              "+sentinel|get-master-addr-by-name")[0] == '+');
    (void)snprintf(url, sizeof url, "%s?sentinel-user=door&sentinel-password-file=%s",
                   group_url(&group, "redis+sentinel"), file);
    write_secret(file, "wrong\n");
    goes_nowhere(url, "user or password is refused");
    write_secret(file, "of-sentinels\n");
    REQUIRE_OK(open_url(url, message, sizeof message, &other));
    CHECK(strstr(message, "not ready") == NULL);
    coat_store_close(other);
}

/* ---- failovers ---- */

static bool
node_has(int n, uint64_t owner, uint64_t serial)
{
    return strncmp(server_ask(&group.nodes[n], "EXISTS %s",
                              server_key("coat", handle_of(owner, serial))),
                   ":1", 2) == 0;
}

static void
all_have(uint64_t owner, uint64_t serial)
{
    for (int n = 0; n < NODES; n++)
        GROUP_UNTIL(node_has(n, owner, serial));
}

/** What was ended stays so, whatever is answered; and what is live is never "no session". */
static void
nobody_is_wrong(uint64_t owner, uint64_t ended_from, uint64_t ended_to, uint64_t live)
{
    for (uint64_t s = ended_from; s < ended_to; s++) {
        coat_err err = try_op(lane, COAT_OP_LOAD, owner, s);

        CHECK(err == COAT_STORE_DOWN || err == COAT_NO_SESSION);
    }
    if (live != 0) {
        coat_err err = try_op(lane, COAT_OP_LOAD, owner, live);

        CHECK(err == COAT_STORE_DOWN || err == COAT_OK);
    }
}

static bool
is_at(int node)
{
    char where[60];

    (void)snprintf(where, sizeof where, "the primary is 127.0.0.1:%d", group.node_ports[node]);
    return strstr(notice(), where) != NULL;
}

/** Until requests and watch have come to whom the sentinels name; all the time nobody is
 * wrong. @return who that is */
static int
arrive(int former, uint64_t owner, uint64_t ended_from, uint64_t ended_to, uint64_t live)
{
    int64_t until_ms = real_ms() + PATIENCE_MS;
    int now = -1;

    while (real_ms() < until_ms) {
        now = group_agreed(&group);
        if (now >= 0 && now != former && is_at(now) && saw.ready &&
            try_op(lane, COAT_OP_EPOCHS, owner, 0) == COAT_OK)
            return now;
        nobody_is_wrong(owner, ended_from, ended_to, live);
        (void)try_op(watched, COAT_OP_EPOCHS, owner, 0);
    }
    test_fail(__FILE__, __LINE__, "node %d, watch %s, notice: %s", now,
              saw.ready ? "ready" : "lost", notice());
    test_abort();
}

/** The primary dies with sign-outs that no replica has heard of. */
static void
failover(uint64_t owner)
{
    int former = group_primary(&group, 0), now;
    int before = saw.losts;
    coat_store *other;
    coat_lane *theirs;

    for (uint64_t serial = 1; serial <= 4; serial++)
        CHECK_ERR(sign_in(lane, owner, serial, 10), COAT_OK);
    CHECK_ERR(sign_in(lane, owner + 1, 1, 10), COAT_OK);
    all_have(owner + 1, 1);
    group_stop_replication(&group, former);
    CHECK_ERR(run_op(lane, COAT_OP_REMOVE, owner, 1), COAT_OK);
    CHECK_ERR(run_op(lane, COAT_OP_REMOVE, owner, 2), COAT_OK);
    CHECK_ERR(run_op(lane, COAT_OP_REMOVE_OWNER, owner + 1, 0), COAT_OK);
    for (int n = 0; n < NODES; n++)
        CHECK(node_has(n, owner, 1) == (n != former));
    server_kill(&group.nodes[former], SIGKILL);
    group_patience(&group, 300);
    while (group_primary(&group, 0) == former) {
        nobody_is_wrong(owner, 1, 3, 3);
        nobody_is_wrong(owner + 1, 1, 2, 0);
    }
    group_patience(&group, 60000);
    now = arrive(former, owner, 1, 3, 3);
    CHECK(saw.losts > before);
    /* It is there, before anything else has been answered. */
    CHECK(!node_has(now, owner, 1) && !node_has(now, owner, 2) && node_has(now, owner, 3));
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, owner, 1), COAT_NO_SESSION);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, owner, 4), COAT_OK);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, owner + 1, 1), COAT_NO_SESSION);
    /* Also for those who did not end it. */
    REQUIRE_OK(open_url(group_url(&group, "redis+sentinel"), NULL, 0, &other));
    REQUIRE_OK(coat_lane_open(other, NULL, &theirs));
    CHECK_ERR(run_op(theirs, COAT_OP_LOAD, owner, 2), COAT_NO_SESSION);
    CHECK_ERR(run_op(theirs, COAT_OP_LOAD, owner + 1, 1), COAT_NO_SESSION);
    CHECK_ERR(run_op(theirs, COAT_OP_LOAD, owner, 3), COAT_OK);
    coat_lane_close(theirs);
    coat_store_close(other);
    group_node_up(&group, former, now);
    group_settle(&group);
}

static void
failovers(void)
{
    long rounds = test_scaled(100, 1);

    begin();
    for (long round = 0; round < rounds; round++)
        failover((uint64_t)round * 2 + 1);
    end();
}

/**
 * The primary is cut off from replicas and sentinels, and goes on answering us. What it
 * acknowledged is said to the one that was promoted, and from then on its word is worthless.
 */
static void
partition(uint64_t owner)
{
    int former = group_primary(&group, 0), now;
    int64_t until_ms;
    coat_store
        *blind; /* without a watch, and so without a sentry: its connection just lives on */
    coat_lane *theirs;

    REQUIRE_OK(open_url(group_url(&group, "redis+sentinel"), NULL, 0, &blind));
    REQUIRE_OK(coat_lane_open(blind, NULL, &theirs));
    for (uint64_t serial = 1; serial <= 5; serial++)
        CHECK_ERR(sign_in(lane, owner, serial, 10), COAT_OK);
    CHECK_ERR(run_op(theirs, COAT_OP_LOAD, owner, 4), COAT_OK);
    all_have(owner, 5);
    group_cut_off(&group, former);
    CHECK_ERR(run_op(lane, COAT_OP_REMOVE, owner, 1), COAT_OK);
    now = group_promoted(&group, former);
    /* Nobody has told us yet, and the former primary does not know either. */
    CHECK_ERR(run_op(lane, COAT_OP_REMOVE, owner, 2), COAT_OK);
    CHECK_ERR(run_op(theirs, COAT_OP_REMOVE, owner, 3), COAT_OK);
    CHECK(node_has(now, owner, 1) && node_has(now, owner, 2) && node_has(now, owner, 3));
    now = arrive(former, owner, 1, 3, 4);
    CHECK(!node_has(now, owner, 1) && !node_has(now, owner, 2) && node_has(now, owner, 4));
    /* It heals: the former primary becomes a replica, and drops who is still there. */
    group_heal(&group, former);
    GROUP_UNTIL(group_follows(&group, former));
    until_ms = real_ms() + PATIENCE_MS;
    while (node_has(now, owner, 3) && real_ms() < until_ms) {
        coat_err err = try_op(theirs, COAT_OP_LOAD, owner, 3);

        CHECK(err == COAT_STORE_DOWN || err == COAT_NO_SESSION);
    }
    CHECK(!node_has(now, owner, 3));
    CHECK_ERR(try_op(lane, COAT_OP_LOAD, owner, 5), COAT_OK);
    coat_lane_close(theirs);
    coat_store_close(blind);
    group_settle(&group);
}

static void
partitions(void)
{
    long rounds = test_scaled(100, 1);

    begin();
    for (long round = 0; round < rounds; round++)
        partition((uint64_t)round + 1);
    end();
}

/** Without anybody's death, as an operator does it: nobody is signed out. */
/** Sentinels give one up if the machine is too slow for it: then it is asked for again. */
static void
ask_for_failover(int former)
{
    enum { AGAIN_MS = 10000 };
    int64_t until_ms = real_ms() + PATIENCE_MS / 2, again_ms = 0;

    while (group_primary(&group, 0) == former && real_ms() < until_ms) {
        if (real_ms() >= again_ms) {
            (void)server_ask(&group.sentinels[0], "SENTINEL FAILOVER mymaster");
            again_ms = real_ms() + AGAIN_MS;
        }
        nobody_is_wrong(1, 1, 2, 2);
        (void)try_op(watched, COAT_OP_EPOCHS, 1, 0);
    }
}

static void
switched(void)
{
    int former;

    begin();
    CHECK_ERR(sign_in(lane, 1, 1, 10), COAT_OK);
    CHECK_ERR(sign_in(lane, 1, 2, 10), COAT_OK);
    CHECK_ERR(run_op(lane, COAT_OP_REMOVE, 1, 1), COAT_OK);
    all_have(1, 2);
    former = group_primary(&group, 0);
    ask_for_failover(former);
    (void)arrive(former, 1, 1, 2, 2);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 1), COAT_NO_SESSION);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 2), COAT_OK);
    group_settle(&group);
    end();
}

static void
started_later(void)
{
    char message[400];
    int64_t until_ms = real_ms() + PATIENCE_MS;

    group_down(&group);
    memset(&group, 0, sizeof group);
    group_ports(&group);
    REQUIRE_OK(open_url(group_url(&group, "redis+sentinel"), message, sizeof message, &store));
    CHECK(strstr(message, "not ready") != NULL && strstr(message, "sentinel") != NULL);
    REQUIRE_OK(coat_lane_open(store, NULL, &lane));
    for (int i = 0; i < 8; i++)
        CHECK_ERR(try_op(lane, COAT_OP_LOAD, 1, 1), COAT_STORE_DOWN);
    CHECK(strstr(notice(), "sentinel") != NULL);
    group_up(&group);
    while (try_op(lane, COAT_OP_EPOCHS, 1, 0) != COAT_OK && real_ms() < until_ms) {
    }
    CHECK_ERR(sign_in(lane, 1, 1, 10), COAT_OK);
    CHECK(is_at(0));
    coat_lane_close(lane);
    coat_store_close(store);
}

/* ---- TLS ---- */

static void
tls_up(redis_server *server, redis_server *sentinel, const char *of_server,
       const char *of_sentinel, int *sentinel_port)
{
    static char port[8], pem[140], key[140], ca[140];
    const char *args[] = {
        "--save",         "",  "--tls-port",         port, "--tls-cert-file",    pem,
        "--tls-key-file", key, "--tls-ca-cert-file", ca,   "--tls-auth-clients", "no"};
    char more[600];

    (void)snprintf(port, sizeof port, "%d", free_port());
    (void)snprintf(pem, sizeof pem, "%s/%s.pem", dir, of_server);
    (void)snprintf(key, sizeof key, "%s/%s.key", dir, of_server);
    (void)snprintf(ca, sizeof ca, "%s/ca.pem", dir);
    memset(server, 0, sizeof *server);
    memset(sentinel, 0, sizeof *sentinel);
    memcpy(server->args, args, sizeof args);
    server_start(server);
    (void)server_ask(server, "ACL SETUSER door on >s3same ~* &* +@all");
    *sentinel_port = free_port();
    (void)snprintf(more, sizeof more,
                   "port 0\ntls-port %d\ntls-replication yes\ntls-auth-clients no\n"
                   "tls-ca-cert-file %s\ntls-cert-file %s/%s.pem\ntls-key-file %s/%s.key\n"
                   "sentinel monitor mymaster 127.0.0.1 %s 1\n",
                   *sentinel_port, ca, dir, of_sentinel, dir, of_sentinel, port);
    sentinel_start(sentinel, more);
}

static void
tls(void)
{
    static const struct {
        const char *name, *of_server, *of_sentinel, *ca, *more, *said;
    } cases[] = {
        {"all is well", "good", "good", "ca.pem", "", NULL},
        {"a sentinel of another name", "good", "name", "ca.pem", "", "mismatch"},
        {"a server of another name", "name", "good", "ca.pem", "", "mismatch"},
        {"an expired server", "expired", "good", "ca.pem", "", "expired"},
        {"an expired sentinel", "good", "expired", "ca.pem", "", "expired"},
        {"another authority", "good", "good", "other-ca.pem", "", "certificate"},
        {"the name is given", "name", "name", "ca.pem", "&server-name=db.example", NULL},
    };

    if (dir[0] == '\0')
        make_all();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        redis_server server, sentinel;
        char url[700];
        int port;

        test_case(cases[i].name);
        tls_up(&server, &sentinel, cases[i].of_server, cases[i].of_sentinel, &port);
        (void)snprintf(url, sizeof url,
                       "rediss+sentinel://door@127.0.0.1:%d/mymaster?password-file=%s/secret"
                       "&ca-file=%s/%s%s",
                       port, dir, dir, cases[i].ca, cases[i].more);
        if (cases[i].said == NULL) {
            REQUIRE_OK(open_url(url, NULL, 0, &store));
            REQUIRE_OK(coat_lane_open(store, NULL, &lane));
            CHECK_ERR(sign_in(lane, 1, 1, 3000), COAT_OK);
            CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 1), COAT_OK);
            coat_lane_close(lane);
            coat_store_close(store);
        } else {
            goes_nowhere(url, cases[i].said);
            /* No credentials have come; what it was asked is the sentinel's. */
            CHECK(strstr(server_ask(&server, "INFO commandstats"), "cmdstat_auth") == NULL);
        }
        server_kill(&sentinel, SIGKILL);
        server_kill(&server, SIGKILL);
    }
    test_case(NULL);
}

static const coat_test tests[] = {
    {"ST-5: URLs of sentinels that would send secrets in the clear, or make no sense, are "
     "refused",
     refused_urls},
    {"URLs of sentinels are taken apart", taken_urls},
    {"SF-5 ST-8: a sentinel that lies makes an outage at most, and none if it is outvoted",
     lie},
    {"ST-8: what is no place in a sentinel's answer", no_places},
    {"SF-5: sentinels that contradict one another are not believed", contradiction},
    {"SF-3 RV-5: the primary and the window of lost writes are shown", described},
    {"ST-4: sentinels have users and passwords of their own", users},
    {"RV-5 SF-5: what a dead primary told no replica is told to the promoted one", failovers},
    {"RV-5 SF-5: a primary that is cut off is left, and what it said is said again",
     partitions},
    {"SF-5: a switch by hand signs nobody out", switched},
    {"SF-11: sentinels that come later are asked without a restart", started_later},
    {"ST-5: TLS to sentinels and servers, each verified", tls},
};

int
main(int argc, char **argv)
{
    int rc;

    (void)signal(SIGPIPE, SIG_IGN); /* libuv writes with write(2) to primaries that have gone */
    suite_conf = (coat_suite){.open = suite_open,
                              .close = suite_close,
                              .reopen = suite_reopen,
                              .seed = 4,
                              .histories = (uint32_t)test_scaled(400, 1),
                              .steps = 300,
                              .races = (uint32_t)test_scaled(10000, 2)};
    rc = run_suite(argc, argv, tests, sizeof tests / sizeof tests[0]);
    group_down(&group);
    return rc;
}
