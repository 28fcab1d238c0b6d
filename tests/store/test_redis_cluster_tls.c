/* SPDX-License-Identifier: Apache-2.0 */
/**
 * TLS to a real cluster of three primaries, which speak nothing else. The servers of the URL
 * are verified, and so is everybody whom they name. Each node has its certificate changed under
 * way; among themselves nodes take those of both authorities.
 */

#include "redis_cluster_fixture.h"
#include "tls_cases.h"

static redis_nodes nodes = {.partial = true};

static void
cluster_up(void)
{
    if (nodes.count > 0)
        return;
    make_all();
    make_certificate("other-ca", "other", "DNS:localhost,IP:127.0.0.1");
    shell("cat %s/ca.pem %s/other-ca.pem > %s/all.pem", dir, dir, dir);
    nodes.tls = dir;
    nodes_start(&nodes, 3, false);
    for (int i = 0; i < nodes.count; i++)
        node_must(&nodes.nodes[i], "ACL SETUSER door on >s3same ~* &* +@all", "+OK");
}

/** Connections from now on get this certificate; and nobody has said anything so far. */
static void
use_certificate(int node, const char *name)
{
    char line[400];

    (void)snprintf(line, sizeof line,
                   "CONFIG SET tls-cert-file %s/%s.pem tls-key-file %s/%s.key", dir, name, dir,
                   name);
    node_must(&nodes.nodes[node], line, "+OK");
    node_must(&nodes.nodes[node], "CONFIG RESETSTAT", "+OK");
}

static void
use_certificates(const char *first, const char *second, const char *third)
{
    cluster_up();
    use_certificate(0, first);
    use_certificate(1, second);
    use_certificate(2, third);
}

/** What a connection of ours begins with has not come: nor could anything behind it. */
static bool
heard_nothing(int node)
{
    const char *stats = server_ask(&nodes.nodes[node], "INFO commandstats");

    return strstr(stats, "cmdstat_config|resetstat") != NULL &&
           strstr(stats, "cmdstat_auth") == NULL && strstr(stats, "cmdstat_client") == NULL &&
           strstr(stats, "cmdstat_cluster|slots") == NULL;
}

/** It is told of the node at that port. */
static coat_err
open_url(const char *query, int port, char *message, size_t cap, coat_store **out)
{
    char url[700];
    coat_store_conf conf = {.url = url, .message = message, .message_cap = cap};

    (void)snprintf(url, sizeof url,
                   "rediss+cluster://door@127.0.0.1:%d?prefix=t%d&password-file=%s/secret%s",
                   port, ++nodes.prefix, dir, query);
    return coat_redis_ops.open(&conf, out);
}

static int
port_of(int node)
{
    return (int)strtol(nodes.ports[node], NULL, 10);
}

/** Each of a node's answers comes quickly, or not at all. */
static coat_err
try_load(coat_lane *lane, uint64_t owner)
{
    coat_store_req req = session_req(COAT_OP_LOAD, owner, 1);

    req.timeout_ms = 100;
    return coat_store_run(lane, &req);
}

/* ---- tests ---- */

static void
works(void)
{
    coat_store *store;
    coat_lane *lane;

    use_certificates("good", "good", "good");
    store = open_ready(open_url, with_ca("ca.pem"), port_of(1));
    REQUIRE_OK(coat_lane_open(store, NULL, &lane));
    much_works(lane);
    coat_lane_close(lane);
    coat_store_close(store);
    for (int i = 0; i < nodes.count; i++)
        CHECK(strstr(server_ask(&nodes.nodes[i], "INFO commandstats"), "cmdstat_auth") != NULL);
}

/** No node of the cluster is the right one: none hears a word, whichever the URL names. */
static void
wrong_cluster(void)
{
    static const struct {
        const char *certificate, *ca, *more, *said;
    } cases[] = {
        {"good", "other-ca.pem", "", "certificate"},
        {"name", "ca.pem", "", "mismatch"},
        {"good", "ca.pem", "&server-name=db.example", "mismatch"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *name = cases[i].certificate;
        char query[300];
        coat_store_stats stats;
        int64_t until_ms;
        coat_store *store;
        coat_lane *lane;

        test_case(cases[i].said);
        use_certificates(name, name, name);
        (void)snprintf(query, sizeof query, "%s%s", with_ca(cases[i].ca), cases[i].more);
        REQUIRE_OK(open_url(query, port_of(0), NULL, 0, &store));
        REQUIRE_OK(coat_lane_open(store, NULL, &lane));
        until_ms = real_ms() + PATIENCE_MS;
        do {
            CHECK_ERR(try_load(lane, 1), COAT_STORE_DOWN);
            CHECK_ERR(try_load(lane, 2), COAT_STORE_DOWN);
            REQUIRE_OK(coat_store_stats_get(store, &stats));
        } while (strstr(stats.notice, cases[i].said) == NULL && real_ms() < until_ms);
        CHECK(stats.away && strstr(stats.notice, cases[i].said) != NULL);
        coat_lane_close(lane);
        coat_store_close(store);
        for (int node = 0; node < nodes.count; node++)
            CHECK(heard_nothing(node));
    }
    test_case(NULL);
}

/** What the node of the URL has is served; these owners are not, and their nodes hear nothing.
 */
static void
not_served(coat_lane *lane, uint64_t own, const uint64_t *others, const int *theirs, int count)
{
    coat_store_stats stats;

    for (int round = 0; round < 3; round++) {
        CHECK_ERR(try_load(lane, own), COAT_OK);
        for (int i = 0; i < count; i++)
            CHECK_ERR(try_load(lane, others[i]), COAT_STORE_DOWN);
    }
    REQUIRE_OK(coat_store_stats_get(lane->store, &stats));
    CHECK(strstr(stats.notice, nodes.ports[theirs[0]]) != NULL);
    for (int i = 0; i < count; i++)
        CHECK(heard_nothing(theirs[i]));
}

/** Its certificate was the only thing that was wrong about it. */
static void
served_when_mended(coat_lane *lane, uint64_t owner, int node)
{
    coat_err err = COAT_STORE_DOWN;

    use_certificate(node, "good");
    for (int i = 0; i < FIXTURE_PATIENCE && err == COAT_STORE_DOWN; i++) {
        err = try_load(lane, owner);
        server_sleep();
    }
    CHECK_ERR(err, COAT_NO_SESSION);
    CHECK_ERR(sign_in(lane, owner, 1, 10), COAT_OK);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, owner, 1), COAT_OK);
}

/** The node of the URL is the right one. Of those that it names one has a certificate for
 * another name, one a certificate of another authority. */
static void
wrong_nodes(void)
{
    const uint64_t own = owner_at(&nodes, 0, 1),
                   others[] = {owner_at(&nodes, 1, 1), owner_at(&nodes, 2, 1)};
    static const int theirs[] = {1, 2};
    coat_store *store;
    coat_lane *lane;

    use_certificates("good", "name", "other");
    REQUIRE_OK(open_url(with_ca("ca.pem"), port_of(0), NULL, 0, &store));
    REQUIRE_OK(coat_lane_open(store, NULL, &lane));
    CHECK_ERR(sign_in(lane, own, 1, 10), COAT_OK);
    not_served(lane, own, others, theirs, 2);
    served_when_mended(lane, others[0], 1);
    CHECK(heard_nothing(2));
    coat_lane_close(lane);
    coat_store_close(store);
}

/** One more primary, without slots. */
static void
add_node(int i)
{
    int port = free_port();

    (void)snprintf(nodes.ports[i], sizeof nodes.ports[i], "%d", port);
    (void)snprintf(nodes.buses[i], sizeof nodes.buses[i], "%d", bus_port(port));
    node_start(&nodes, i);
    nodes.count++;
    read_id(&nodes, i);
    node_join(&nodes, i);
    node_must(&nodes.nodes[i], "ACL SETUSER door on >s3same ~* &* +@all", "+OK");
    for (int n = 0; n <= i; n++)
        node_must(&nodes.nodes[n], "CLUSTER INFO", "cluster_known_nodes:4");
    node_must(&nodes.nodes[i], "CLUSTER INFO", "cluster_state:ok");
}

/** The slot is another node's from now on; there is no key in it. */
static void
hand_over(uint16_t slot, int from, int to)
{
    char line[120];

    (void)snprintf(line, sizeof line, "CLUSTER SETSLOT %u NODE %s", slot, nodes.ids[to]);
    node_must(&nodes.nodes[to], line, "+OK");
    node_must(&nodes.nodes[from], line, "+OK");
}

/** A node that nobody has named so far is where MOVED leads to. */
static void
moved(void)
{
    const uint64_t own = owner_at(&nodes, 0, 1);
    uint64_t other = owner_at(&nodes, 0, own + 1);
    static const int theirs[] = {3};
    coat_store *store;
    coat_lane *lane;

    while (slot_of(other) == slot_of(own))
        other = owner_at(&nodes, 0, other + 1);
    use_certificates("good", "good", "good");
    add_node(3);
    use_certificate(3, "name");
    store = open_ready(open_url, with_ca("ca.pem"), port_of(0));
    REQUIRE_OK(coat_lane_open(store, NULL, &lane));
    CHECK_ERR(sign_in(lane, own, 1, 10), COAT_OK);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, other, 1), COAT_NO_SESSION);
    hand_over(slot_of(other), 0, 3);
    not_served(lane, own, &other, theirs, 1);
    CHECK(strstr(server_ask(&nodes.nodes[0], "INFO errorstats"), "errorstat_MOVED") != NULL);
    served_when_mended(lane, other, 3);
    coat_lane_close(lane);
    coat_store_close(store);
}

static void
plaintext(void)
{
    cluster_up();
    tell_no_secrets(open_url, "+OK\r\n", NULL, 0);
}

static const coat_test tests[] = {
    {"ST-5: TLS to a cluster whose certificates fit", works},
    {"ST-5: a cluster of another authority, or name, hears not a word", wrong_cluster},
    {"ST-5: nodes that a cluster names are verified, too", wrong_nodes},
    {"ST-5: and so is whom MOVED leads to", moved},
    {"ST-5: a node without TLS hears no credentials", plaintext},
};

int
main(int argc, char **argv)
{
    int rc = coat_test_main(argc, argv, tests, sizeof tests / sizeof tests[0]);

    nodes_stop(&nodes);
    return rc;
}
