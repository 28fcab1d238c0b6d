/* SPDX-License-Identifier: Apache-2.0 */
/** A node of a cluster that says that the cluster is down; the test is the node. */

#include "redis_fake.h"
#include "store/redis/cluster.h"

static redis_cluster cluster;

/** The store of redis_fake.h as one of a cluster's. */
static void
join(void)
{
    memset(&cluster, 0, sizeof cluster);
    REQUIRE_OK(remote_store_init(&cluster.home.remote, &ops, &kind));
    memcpy(cluster.home.prefix, "p:", 3);
    cluster_buckets_make(&cluster.buckets);
    begin();
    store.cluster = &cluster;
    store.home = &cluster.home;
}

static void
leave(void)
{
    end();
    redis_journal_free(&cluster.home.journal);
    remote_store_fini(&cluster.home.remote);
}

static void
submit_part(cluster_part *part, coat_op op)
{
    *part = (cluster_part){.kind = PART_REQUEST, .req = session_req(op, 1, 1)};
    part->bucket = cluster_bucket_of_request(&part->req);
    part->req.done = count_done;
    part->req.ctx = part;
    part->req.result = COAT_CANCELLED;
    coat_store_submit(lane, &part->req);
}

/** No answer, and held against the node; a slot that is elsewhere is not. */
static void
refused(void)
{
    static const struct {
        const char *reply;
        bool again, bad;
    } cases[] = {
        {"-CLUSTERDOWN The cluster is down\r\n", false, true},
        {"-CLUSTERDOWN Hash slot not served\r\n", false, true},
        {"-MOVED 3999 127.0.0.1:6381\r\n", true, false},
        {"-ASK 3999 127.0.0.1:6381\r\n", true, false},
        {"-TRYAGAIN Multiple keys request during rehashing of slot\r\n", true, false},
    };
    static const coat_op asked[] = {COAT_OP_LOAD, COAT_OP_INSERT, COAT_OP_REPLACE,
                                    COAT_OP_EPOCHS};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        test_case(cases[i].reply);
        for (size_t k = 0; k < sizeof asked / sizeof asked[0]; k++) {
            cluster_part part;

            join();
            done_count = 0;
            submit_part(&part, asked[k]);
            CHECK_INT(done_count, 0);
            hear(cases[i].reply);
            CHECK_INT(done_count, 1);
            CHECK_ERR(part.req.result, COAT_STORE_DOWN);
            CHECK_INT(part.again, cases[i].again);
            CHECK_INT(store.remote.breaker.failures, cases[i].bad ? 1 : 0);
            CHECK_INT(fake->base.state, REMOTE_READY);
            leave();
        }
    }
    test_case(NULL);
}

/** After five of them it is asked no more but once a second; others of the cluster are. */
static void
left_alone(void)
{
    cluster_part part;

    join();
    for (int i = 0; i < REMOTE_BREAKER_FAILURES; i++) {
        CHECK(!store.remote.breaker.open);
        submit_part(&part, COAT_OP_LOAD);
        hear("-CLUSTERDOWN The cluster is down\r\n");
    }
    CHECK(store.remote.breaker.open);
    CHECK(!cluster.home.remote.breaker.open);
    submit_part(&part, COAT_OP_LOAD);
    CHECK_ERR(part.req.result, COAT_STORE_DOWN);
    CHECK_INT(fake->due_count, 0);
    leave();
}

/* ---- CLUSTER INFO ---- */

static void
hear_bulk(const char *what)
{
    char text[300];

    (void)snprintf(text, sizeof text, "$%zu\r\n%s\r\n", strlen(what), what);
    hear(text);
}

/** What it was asked, one after the other: CLUSTER and what follows. */
static void
tell_cluster(const char *info)
{
    static char asked[2000];
    const char *at = asked;
    size_t len = fake->out.len < sizeof asked - 1 ? fake->out.len : sizeof asked - 1;

    memcpy(asked, fake->out.ptr, len);
    asked[len] = '\0';
    while (fake->base.state == REMOTE_CONNECTING && (at = strstr(at, "CLUSTER\r\n$")) != NULL) {
        at = strchr(at + strlen("CLUSTER\r\n$"), '\n') + 1;
        if (strncmp(at, "INFO", 4) == 0)
            hear_bulk(info);
        else if (strncmp(at, "SLOTS", 5) == 0)
            hear("*1\r\n*3\r\n:0\r\n:16383\r\n*3\r\n$9\r\n127.0.0.1\r\n:7\r\n"
                 "$40\r\naaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n");
        else if (strncmp(at, "NODES", 5) == 0)
            hear_bulk("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa 127.0.0.1:7@17 "
                      "myself,master - 0 0 1 connected 0-16383\n");
    }
}

/** A node that cannot reach most of the others may have been replaced. */
static void
not_greeted(void)
{
    static const struct {
        const char *info, *said; /* NULL: it goes on */
    } cases[] = {
        {"cluster_state:ok\r\ncluster_current_epoch:3\r\n", NULL},
        {"cluster_state:fail\r\ncluster_current_epoch:3\r\n",
         "it says that the cluster is down"},
        {"cluster_state:okay\r\ncluster_current_epoch:3\r\n",
         "it says that the cluster is down"},
        {"cluster_current_epoch:3\r\n", "it says that the cluster is down"},
        {"cluster_state:ok\r\n", "it is no node of a cluster"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        test_case(cases[i].info);
        join();
        fake->base.state = REMOTE_CONNECTING; /* as it was before its greeting */
        fake->greeted = false;
        fake->view = (redis_view){.id = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
        fake->out.len = 0;
        redis_cluster_ask(fake);
        tell_cluster(cases[i].info);
        CHECK((fake->base.state == REMOTE_IDLE) == (cases[i].said != NULL));
        if (cases[i].said != NULL && strstr(store.trouble, cases[i].said) == NULL)
            test_fail(__FILE__, __LINE__, "said: %s", store.trouble);
        /* What it says of the slots counts only then. */
        CHECK_INT(cluster.installations, cases[i].said == NULL ? 1 : 0);
        for (uint32_t n = 0; n < cluster.seat_count; n++)
            cluster_seat_free(cluster.seats[n]);
        leave();
    }
    test_case(NULL);
}

static const coat_test tests[] = {
    {"SF-1 SF-5: CLUSTERDOWN is no answer, and held against its node", refused},
    {"SF-2: a node that says so again and again is left alone", left_alone},
    {"SF-5: a node whose cluster is down is not used, nor believed", not_greeted},
};
COAT_TEST_MAIN(tests)
