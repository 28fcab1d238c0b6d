/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_TESTS_SENTINEL_FIXTURE_H
#define COAT_TESTS_SENTINEL_FIXTURE_H

/**
 * A primary, two replicas and three sentinels of the test's own, on free ports of the loopback
 * address. Their periods are short, so that a failover takes a second or two. The primary is
 * also cut off from all of them, as a partition would, while clients still reach it.
 */

#include "redis_fixture.h"

enum { NODES = 3, SENTINELS = 3, PACE_FAST_MS = 200, PACE_MS = 1000 };

typedef struct sentinel_group {
    redis_server nodes[NODES], sentinels[SENTINELS];
    int node_ports[NODES], sentinel_ports[SENTINELS];
} sentinel_group;

/* Who replicates and who watches has users of their own: so each can be shut out. */
static const char *const node_users[] = {
    "ACL SETUSER replica on >s3same ~* &* +@all",
    "ACL SETUSER sentinel on >s3same ~* &* +@all",
    NULL,
};

static inline void
group_node_up(sentinel_group *g, int n, int primary)
{
    static char ports[NODES][8], follows[NODES][24];
    redis_server *s = &g->nodes[n];
    const char *args[] = {"--bind",
                          "127.0.0.1",
                          "--port",
                          ports[n],
                          "--save",
                          "",
                          "--appendonly",
                          "no",
                          "--notify-keyspace-events",
                          "Egxe",
                          "--masteruser",
                          "replica",
                          "--masterauth",
                          "s3same",
                          "--repl-diskless-sync-delay",
                          "0",
                          "--repl-ping-replica-period",
                          "1",
                          primary != n ? "--replicaof" : NULL,
                          follows[n],
                          NULL};

    (void)snprintf(ports[n], sizeof ports[n], "%d", g->node_ports[n]);
    (void)snprintf(follows[n], sizeof follows[n], "127.0.0.1 %d", g->node_ports[primary]);
    for (size_t i = 0; i < sizeof args / sizeof args[0]; i++)
        s->args[i] = args[i];
    server_start(s);
    for (int i = 0; node_users[i] != NULL; i++)
        (void)server_ask(s, "%s", node_users[i]);
}

/** @param settings  lines of its configuration beside where it is */
static inline void
sentinel_start(redis_server *s, const char *settings)
{
    char conf[120];
    FILE *f;

    if (s->dir[0] == '\0') {
        (void)snprintf(s->dir, sizeof s->dir, "%s", test_tmpdir());
        (void)snprintf(s->socket, sizeof s->socket, "%s/s", s->dir);
    }
    (void)snprintf(conf, sizeof conf, "%s/conf", s->dir);
    f = fopen(conf, "w");
    REQUIRE(f != NULL);
    (void)fprintf(f, "bind 127.0.0.1\nunixsocket %s\ndir %s\nlogfile log\n%s", s->socket,
                  s->dir, settings);
    (void)fclose(f);
    s->pid = fork();
    if (s->pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)execlp("redis-server", "redis-server", conf, "--sentinel", (char *)NULL);
        _exit(127);
    }
    for (int i = 0; i < 4000 && strncmp(server_ask(s, "PING"), "+PONG", 5) != 0; i++)
        server_sleep();
    /* Nothing of a machine that is merely busy is taken for a clock that jumped. */
    CHECK(server_ask(s, "SENTINEL DEBUG info-period 100 ping-period 100 ask-period 100 "
                        "election-timeout 1000 tilt-trigger 60000 "
                        "slave-reconf-timeout 1000 min-link-reconnect-period 200")[0] == '+');
}

static inline void
group_sentinel_up(sentinel_group *g, int n, int primary)
{
    char settings[400];

    (void)snprintf(settings, sizeof settings,
                   "port %d\n"
                   "sentinel monitor mymaster 127.0.0.1 %d 2\n"
                   "sentinel auth-user mymaster sentinel\n"
                   "sentinel auth-pass mymaster s3same\n"
                   "sentinel down-after-milliseconds mymaster 60000\n"
                   "sentinel failover-timeout mymaster 3000\n",
                   g->sentinel_ports[n], g->node_ports[primary]);
    sentinel_start(&g->sentinels[n], settings);
}

/** The number behind a name in what SENTINEL MASTER says; -1: it is not there. */
static inline long
group_field(const redis_server *sentinel, const char *name)
{
    const char *at = strstr(server_ask(sentinel, "SENTINEL MASTER mymaster"), name);

    at = at != NULL ? strstr(at, "\r\n$") : NULL;
    at = at != NULL ? strstr(at + 2, "\r\n") : NULL;
    return at != NULL ? strtol(at + 2, NULL, 10) : -1;
}

/** Who is the primary, as a sentinel says it; -1: none of them. */
static inline int
group_primary(sentinel_group *g, int sentinel)
{
    const char *reply =
        server_ask(&g->sentinels[sentinel], "SENTINEL GET-MASTER-ADDR-BY-NAME mymaster");
    char port[16];

    for (int n = 0; n < NODES; n++) {
        (void)snprintf(port, sizeof port, "\r\n%d\r\n", g->node_ports[n]);
        if (strstr(reply, port) != NULL)
            return n;
    }
    return -1;
}

/** Until a condition holds, as long as it takes on a busy machine. */
#define GROUP_UNTIL(cond)                                                                      \
    do {                                                                                       \
        int tries_left = 12000;                                                                \
                                                                                               \
        while (!(cond) && tries_left-- > 0)                                                    \
            server_sleep();                                                                    \
        REQUIRE(cond);                                                                         \
    } while (0)

static inline bool
group_follows(sentinel_group *g, int n)
{
    const char *info = server_ask(&g->nodes[n], "INFO replication");

    return strstr(info, "role:slave") != NULL && strstr(info, "master_link_status:up") != NULL;
}

/** Nothing is under way, in the eyes of a sentinel. */
static inline bool
group_calm(sentinel_group *g, int sentinel)
{
    return strstr(server_ask(&g->sentinels[sentinel], "SENTINEL MASTER mymaster"),
                  "\r\nflags\r\n$6\r\nmaster\r\n") != NULL;
}

/** Who all sentinels say it is; -1: they do not agree. */
static inline int
group_agreed(sentinel_group *g)
{
    int primary = group_primary(g, 0);

    for (int i = 1; i < SENTINELS; i++)
        if (group_primary(g, i) != primary)
            return -1;
    return primary;
}

/** After how long a silent server is given up. Patient, but where its death is the test's: a
 * machine that is merely busy must not make a failover. */
static inline void
group_patience(sentinel_group *g, int ms)
{
    for (int i = 0; i < SENTINELS; i++)
        CHECK(server_ask(&g->sentinels[i], "SENTINEL SET mymaster down-after-milliseconds %d",
                         ms)[0] == '+');
}

/** How often they talk. A server that is not what they agree on is set right after four
 * periods: a promotion, which takes its leader a second to notice, must be sooner. */
static inline void
group_pace(sentinel_group *g, int ms)
{
    for (int i = 0; i < SENTINELS; i++)
        CHECK(server_ask(&g->sentinels[i], "SENTINEL DEBUG publish-period %d", ms)[0] == '+');
}

/** All nodes that are up follow the primary, and all sentinels know all of them. */
static inline void
group_settle(sentinel_group *g)
{
    int primary;

    group_pace(g, PACE_FAST_MS);
    for (int i = 0; i < SENTINELS; i++)
        GROUP_UNTIL(group_calm(g, i));
    GROUP_UNTIL((primary = group_agreed(g)) >= 0);
    for (int n = 0; n < NODES; n++)
        if (n != primary && g->nodes[n].pid > 0)
            GROUP_UNTIL(group_follows(g, n));
    for (int i = 0; i < SENTINELS; i++) {
        GROUP_UNTIL(group_field(&g->sentinels[i], "num-slaves") == NODES - 1);
        GROUP_UNTIL(group_field(&g->sentinels[i], "num-other-sentinels") == SENTINELS - 1);
    }
    group_pace(g, PACE_MS);
}

static inline void
group_ports(sentinel_group *g)
{
    for (int i = 0; i < NODES; i++)
        g->node_ports[i] = free_port();
    for (int i = 0; i < SENTINELS; i++)
        g->sentinel_ports[i] = free_port();
}

static inline void
group_up(sentinel_group *g)
{
    if (g->node_ports[0] == 0)
        group_ports(g);
    for (int i = 0; i < NODES; i++)
        group_node_up(g, i, 0);
    for (int i = 1; i < NODES; i++)
        GROUP_UNTIL(group_follows(g, i));
    for (int i = 0; i < SENTINELS; i++)
        group_sentinel_up(g, i, 0);
    group_settle(g);
}

static inline void
group_down(sentinel_group *g)
{
    for (int i = 0; i < SENTINELS; i++)
        server_kill(&g->sentinels[i], SIGKILL);
    for (int i = 0; i < NODES; i++)
        server_kill(&g->nodes[i], SIGKILL);
}

/** From now on the replicas hear nothing of this primary. */
static inline void
group_stop_replication(sentinel_group *g, int primary)
{
    CHECK(server_ask(&g->nodes[primary], "ACL SETUSER replica off")[0] == '+');
    (void)server_ask(&g->nodes[primary], "CLIENT KILL USER replica");
}

/** Nor do the sentinels; clients still do. */
static inline void
group_cut_off(sentinel_group *g, int primary)
{
    group_stop_replication(g, primary);
    CHECK(server_ask(&g->nodes[primary], "ACL SETUSER default -ping -replicaof -slaveof")[0] ==
          '+');
    CHECK(server_ask(&g->nodes[primary], "ACL SETUSER sentinel off")[0] == '+');
    (void)server_ask(&g->nodes[primary], "CLIENT KILL USER sentinel");
}

static inline void
group_heal(sentinel_group *g, int node)
{
    (void)server_ask(&g->nodes[node], "ACL SETUSER default +ping +replicaof +slaveof");
    (void)server_ask(&g->nodes[node], "ACL SETUSER sentinel on");
    (void)server_ask(&g->nodes[node], "ACL SETUSER replica on");
    group_pace(g, PACE_FAST_MS);
}

/** Let them give the former primary up. @return who was promoted */
static inline int
group_promoted(sentinel_group *g, int former)
{
    group_patience(g, 300);
    GROUP_UNTIL(group_primary(g, 0) >= 0 && group_primary(g, 0) != former);
    group_patience(g, 60000);
    return group_primary(g, 0);
}

/** "scheme://127.0.0.1:PORT,.../mymaster" */
static inline const char *
group_url(const sentinel_group *g, const char *scheme)
{
    static char url[400];

    (void)snprintf(url, sizeof url, "%s://127.0.0.1:%d,127.0.0.1:%d,127.0.0.1:%d/mymaster",
                   scheme, g->sentinel_ports[0], g->sentinel_ports[1], g->sentinel_ports[2]);
    return url;
}

#endif
