/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_TESTS_REDIS_CLUSTER_FIXTURE_H
#define COAT_TESTS_REDIS_CLUSTER_FIXTURE_H

/**
 * A Redis Cluster of the test's own, on loopback: primaries, a replica of each if asked for,
 * and spare nodes that have no slots yet. Put together by the cluster's own commands, so that
 * each step is known to be over.
 */

#include "redis_fixture.h"
#include "store/redis/cluster.h"

enum { NODES_MAX = 8, NODE_TIMEOUT_MS = 1500, FIXTURE_PATIENCE = 6000 };

typedef struct redis_nodes {
    redis_server nodes[NODES_MAX];
    char ports[NODES_MAX][8], buses[NODES_MAX][8], ids[NODES_MAX][41];
    int primaries, count; /* the replica of node i is node primaries + i */
    int spares;           /* set before nodes_start(): the last ones */
    int patience_ms;      /* after which a node that is silent is away; 0: NODE_TIMEOUT_MS */
    bool partial;         /* no cluster-require-full-coverage */
    const char *tls;      /* a directory: nothing but TLS, with good.pem; they trust all.pem */
    int prefix;
} redis_nodes;

/** Ask until the reply has this in it. */
static inline bool
node_says(const redis_server *node, const char *question, const char *expected)
{
    for (int i = 0; i < FIXTURE_PATIENCE; i++) {
        if (strstr(server_ask(node, "%s", question), expected) != NULL)
            return true;
        server_sleep();
    }
    return false;
}

static inline void
node_must(const redis_server *node, const char *question, const char *expected)
{
    if (node_says(node, question, expected))
        return;
    test_fail(__FILE__, __LINE__, "%s: no %s in %s", question, expected,
              server_ask(node, "%s", question));
    test_abort();
}

static inline void
node_start(redis_nodes *c, int i)
{
    static char timeout[8], pem[140], key[140], ca[140];
    redis_server *node = &c->nodes[i];
    const char *args[] = {
        c->tls != NULL ? "--tls-port" : "--port",
        c->ports[i],
        "--cluster-port",
        c->buses[i],
        "--cluster-enabled",
        "yes",
        "--cluster-node-timeout",
        timeout,
        "--save",
        "",
        "--appendonly",
        "no",
        "--cluster-require-full-coverage",
        c->partial ? "no" : "yes",
        "--repl-diskless-sync-delay",
        "0",
        "--cluster-replica-validity-factor",
        "0",
        "--cluster-allow-replica-migration", /* else who loses its last slot */
        "no",                                /* becomes a replica */
        c->tls != NULL ? "--tls-cluster" : NULL,
        "yes",
        "--tls-cert-file",
        pem,
        "--tls-key-file",
        key,
        "--tls-ca-cert-file",
        ca,
        "--tls-auth-clients",
        "no"};

    (void)snprintf(timeout, sizeof timeout, "%d",
                   c->patience_ms != 0 ? c->patience_ms : NODE_TIMEOUT_MS);
    (void)snprintf(pem, sizeof pem, "%s/good.pem", c->tls);
    (void)snprintf(key, sizeof key, "%s/good.key", c->tls);
    (void)snprintf(ca, sizeof ca, "%s/all.pem", c->tls);
    memcpy(node->args, args, sizeof args);
    server_start(node);
}

static inline int
bus_port(int port)
{
    int bus = free_port();

    return bus != port ? bus : bus_port(port);
}

static inline void
read_id(redis_nodes *c, int i)
{
    const char *id = strchr(server_ask(&c->nodes[i], "CLUSTER MYID"), '\n');

    if (id == NULL || strlen(id) < 41)
        test_abort();
    memcpy(c->ids[i], id + 1, 40);
}

/** Slots of primary i, as redis-cli shares them out. */
static inline int
first_slot(const redis_nodes *c, int i)
{
    return i * CLUSTER_SLOTS / c->primaries;
}

static inline void
node_join(redis_nodes *c, int i)
{
    char line[120];

    (void)snprintf(line, sizeof line, "CLUSTER SET-CONFIG-EPOCH %d", i + 1);
    node_must(&c->nodes[i], line, "+OK");
    if (i < c->primaries) {
        (void)snprintf(line, sizeof line, "CLUSTER ADDSLOTSRANGE %d %d", first_slot(c, i),
                       first_slot(c, i + 1) - 1);
        node_must(&c->nodes[i], line, "+OK");
    }
    /* Each is told of each: gossip would take seconds. */
    (void)snprintf(line, sizeof line, "CLUSTER MEET 127.0.0.1 %s %s", c->ports[i], c->buses[i]);
    for (int other = 0; other < i; other++)
        node_must(&c->nodes[other], line, "+OK");
}

/** Who is no replica knows who has each slot, and has heard of the last change. */
static inline void
nodes_agree(const redis_nodes *c)
{
    const char *field = "cluster_current_epoch:";
    char epoch[40];

    for (int same = 0; same < c->count; server_sleep()) {
        const char *at = strstr(server_ask(&c->nodes[0], "CLUSTER INFO"), field);

        (void)snprintf(epoch, sizeof epoch, "%.*s\r", (int)strcspn(at, "\r"), at);
        for (same = 0; same < c->count; same++) {
            const char *info = server_ask(&c->nodes[same], "CLUSTER INFO");

            if ((same < c->primaries || same >= c->count - c->spares) &&
                (strstr(info, epoch) == NULL ||
                 strstr(info, "cluster_slots_assigned:16384\r") == NULL))
                break;
        }
    }
}

static inline void
nodes_meet(redis_nodes *c)
{
    char text[80];

    for (int i = 0; i < c->count; i++)
        node_join(c, i);
    (void)snprintf(text, sizeof text, "cluster_known_nodes:%d", c->count);
    for (int i = 0; i < c->count; i++)
        node_must(&c->nodes[i], "CLUSTER INFO", text);
    for (int i = c->primaries; i < c->count - c->spares; i++) {
        (void)snprintf(text, sizeof text, "CLUSTER REPLICATE %s", c->ids[i - c->primaries]);
        node_must(&c->nodes[i], text, "+OK");
    }
    for (int i = c->primaries; i < c->count - c->spares; i++)
        node_must(&c->nodes[i], "INFO replication", "master_link_status:up");
    for (int i = 0; i < c->count; i++)
        node_must(&c->nodes[i], "CLUSTER INFO", "cluster_state:ok");
    nodes_agree(c);
}

/** Start the cluster. @param replicas  one of each primary */
static inline void
nodes_start(redis_nodes *c, int primaries, bool replicas)
{
    c->primaries = primaries;
    c->count = (replicas ? 2 * primaries : primaries) + c->spares;
    for (int i = 0; i < c->count; i++) {
        int port = free_port();

        (void)snprintf(c->ports[i], sizeof c->ports[i], "%d", port);
        (void)snprintf(c->buses[i], sizeof c->buses[i], "%d", bus_port(port));
        node_start(c, i);
        read_id(c, i);
    }
    nodes_meet(c);
}

static inline void
nodes_stop(redis_nodes *c)
{
    for (int i = 0; i < c->count; i++)
        server_kill(&c->nodes[i], SIGKILL);
    c->count = 0;
}

static inline uint16_t
bucket_of(uint64_t owner)
{
    coat_owner o = owner_of(owner);

    return cluster_bucket_of(o.bytes, sizeof o.bytes);
}

static inline uint16_t
slot_of(uint64_t owner)
{
    cluster_buckets buckets;

    cluster_buckets_make(&buckets);
    return buckets.slots[bucket_of(owner)];
}

/** The lowest owner from `from` on whose bucket is with this primary at first. */
static inline uint64_t
owner_at(const redis_nodes *c, int node, uint64_t from)
{
    uint16_t slot;

    do
        slot = slot_of(from++);
    while (slot < first_slot(c, node) || slot >= first_slot(c, node + 1));
    return from - 1;
}

/** Move up to ten keys. @return false: none is left */
static inline bool
move_keys(redis_nodes *c, int from, int to, uint16_t slot)
{
    char list[4096] = "", line[4096], *at, *save = NULL;
    int count = 0;

    (void)snprintf(list, sizeof list, "%s",
                   server_ask(&c->nodes[from], "CLUSTER GETKEYSINSLOT %u 10", slot));
    (void)snprintf(line, sizeof line, "MIGRATE 127.0.0.1 %s \"\" 0 5000 KEYS", c->ports[to]);
    for (at = strtok_r(list, "\r\n", &save); at != NULL; at = strtok_r(NULL, "\r\n", &save)) {
        if (at[0] == '*' || at[0] == '$')
            continue;
        strcat(strcat(line, " "), at);
        count++;
    }
    if (count == 0)
        return false;
    node_must(&c->nodes[from], line, "+"); /* OK, or NOKEY where some have just gone */
    return true;
}

/** @param other  -1: it takes none */
static inline void
set_slot(redis_nodes *c, int at, uint16_t slot, const char *how, int other)
{
    char line[120];

    (void)snprintf(line, sizeof line, "CLUSTER SETSLOT %u %s %s", slot, how,
                   other >= 0 ? c->ids[other] : "");
    node_must(&c->nodes[at], line, "+OK");
}

/** As redis-cli moves one, but with the slot open for a while. */
static inline void
move_slot(redis_nodes *c, uint16_t slot, int from, int to)
{
    set_slot(c, to, slot, "IMPORTING", from);
    set_slot(c, from, slot, "MIGRATING", to);
    while (move_keys(c, from, to, slot))
        server_sleep();
    server_sleep();
    set_slot(c, to, slot, "NODE", to);
    set_slot(c, from, slot, "NODE", to);
}

static inline void
nodes_flush(redis_nodes *c)
{
    for (int i = 0; i < c->count; i++)
        (void)server_ask(&c->nodes[i], "FLUSHALL"); /* a replica refuses */
}

/** A store on it under a prefix of its own: empty. It is told of one node. */
static inline coat_err
nodes_open(redis_nodes *c, int seed, coat_store **out)
{
    char url[200];
    coat_store_conf conf = {.url = url};

    (void)snprintf(url, sizeof url, "redis+cluster://127.0.0.1:%s/?prefix=t%d", c->ports[seed],
                   ++c->prefix);
    return coat_redis_ops.open(&conf, out);
}

#endif
