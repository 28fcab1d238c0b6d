/* SPDX-License-Identifier: Apache-2.0 */
/**
 * What a node says of itself and of the cluster. It must be part of what serves, must not be
 * behind what is known already, and hears what was ended in the buckets that it has, before it
 * takes requests.
 */

#include "store/redis/cluster.h"

#include <stdio.h>

enum {
    HELLO_ID = HELLO_CLUSTER,
    HELLO_MOVING,
    HELLO_STATE,
    HELLO_SLOTS,
    HELLO_COVERAGE,
    HELLO_READS,
    HELLO_BUCKET,
    HELLO_GLOBAL,
};

void
redis_cluster_ask(redis_link *link)
{
    /* In this order: what it still calls its own is not on its way to somebody who may serve it
     * already. */
    REDIS_SAY(link, HELLO_MOVING, "CLUSTER", "NODES");
    REDIS_SAY(link, HELLO_STATE, "CLUSTER", "INFO");
    REDIS_SAY(link, HELLO_SLOTS, "CLUSTER", "SLOTS");
}

void
redis_cluster_hello(redis_link *link)
{
    link->view = (redis_view){0};
    REDIS_SAY(link, HELLO_ID, "CLUSTER", "MYID");
    redis_cluster_ask(link);
    REDIS_SAY(link, HELLO_COVERAGE, "CONFIG", "GET", "cluster-require-full-coverage");
    REDIS_SAY(link, HELLO_READS, "CONFIG", "GET", "cluster-allow-reads-when-down");
}

void
redis_cluster_judge(const redis_link *link, coat_out *out)
{
    if (link->view.full_coverage)
        coat_out_str(out, "; cluster-require-full-coverage yes: one shard away is an outage of "
                          "all");
    if (link->view.reads_when_down)
        coat_out_str(out,
                     "; cluster-allow-reads-when-down yes: what has ended may be read from "
                     "a node that was left behind");
}

bool
redis_cluster_claims(const redis_link *link, const redis_ended *ended)
{
    uint16_t bucket;

    if (redis_store_of(link)->cluster == NULL)
        return true;
    bucket = cluster_bucket_of(ended->handle.bytes + COAT_HANDLE_BYTES - COAT_OWNER_BYTES,
                               COAT_OWNER_BYTES);
    return (link->view.claims[bucket / 8] & 1U << bucket % 8) != 0;
}

coat_err
redis_cluster_say_global(redis_link *link, uint64_t global)
{
    coat_err err = COAT_OK;

    for (uint16_t bucket = 0; bucket < CLUSTER_BUCKETS && err == COAT_OK; bucket++) {
        cluster_part part = {.bucket = bucket};

        part.req.ctx = &part;
        if ((link->view.claims[bucket / 8] & 1U << bucket % 8) != 0)
            err = redis_say_global(link, &part.req, global, HELLO_GLOBAL);
    }
    return err;
}

static bool
read_number(coat_span lines, const char *name, uint64_t *out)
{
    resp_reply number = {.type = RESP_STRING, .text = redis_info_field(lines, name)};

    return resp_number(&number, out);
}

static bool
take_state(redis_link *link, const resp_reply *reply)
{
    redis_view *view = &link->view;

    if (reply->type != RESP_STRING ||
        !read_number(reply->text, "cluster_current_epoch", &view->epoch)) {
        redis_fail(link, "it is no node of a cluster, or the user may not CLUSTER INFO");
        return false;
    }
    view->ok = coat_span_is(redis_info_field(reply->text, "cluster_state"), COAT_LIT("ok"));
    return true;
}

/** The next bucket from `bucket` on that it has. */
static bool
greet_bucket(redis_link *link, uint16_t bucket)
{
    redis_view *view = &link->view;
    char prefix[REDIS_BUCKET_PREFIX_MAX];

    while (bucket < CLUSTER_BUCKETS && (view->claims[bucket / 8] & 1U << bucket % 8) == 0)
        bucket++;
    view->greeting = bucket;
    if (bucket == CLUSTER_BUCKETS)
        return false;
    cluster_bucket_prefix(redis_store_of(link)->cluster, bucket, prefix);
    redis_say_format(link, HELLO_BUCKET, prefix);
    remote_link_queued(&link->base);
    return true;
}

static void
take_claims(redis_link *link, const cluster_topology *topology)
{
    for (uint16_t bucket = 0; bucket < CLUSTER_BUCKETS; bucket++) {
        uint8_t primary = topology->primary_of[bucket];

        if (primary != CLUSTER_NOBODY &&
            strcmp(topology->primaries[primary].id, link->view.id) == 0)
            link->view.claims[bucket / 8] |= (uint8_t)(1U << bucket % 8);
    }
    /* One that has nothing is asked for nothing. */
    (void)greet_bucket(link, 0);
}

static bool
take_slots(redis_link *link, const resp_reply *reply)
{
    redis_store *store = redis_store_of(link);
    redis_cluster *cluster = store->cluster;
    cluster_topology topology;
    const char *wrong = NULL;

    link->view.shape = 0;
    if (!link->view.ok) {
        wrong = "it says that the cluster is down";
    } else if (cluster_topology_read(reply, &cluster->buckets, store->address.host,
                                     &topology) != COAT_OK) {
        wrong = "what it says of the cluster's slots cannot be read";
    } else {
        pthread_mutex_lock(&cluster->home.remote.mutex);
        if (!cluster_install(cluster, &topology, link->view.epoch))
            wrong = "it has not heard of the cluster's last change";
        pthread_mutex_unlock(&cluster->home.remote.mutex);
        if (!link->view.moving)
            link->view.shape = cluster_shape(&topology, link->view.epoch);
    }
    if (wrong == NULL && !link->greeted)
        take_claims(link, &topology);
    if (wrong == NULL || link->greeted)
        return true;
    redis_fail(link, wrong);
    return false;
}

static bool
take_moving(redis_link *link, const resp_reply *reply)
{
    const cluster_buckets *buckets = &redis_store_of(link)->cluster->buckets;

    if (cluster_moving_read(reply, buckets, &link->view.moving) == COAT_OK)
        return true;
    redis_fail(link, "it is no node of a cluster, or the user may not CLUSTER NODES");
    return false;
}

static bool
is_moving(const resp_reply *reply)
{
    static const char *const moving[] = {"MOVED ", "ASK ", "TRYAGAIN"};

    for (size_t i = 0; reply->type == RESP_ERROR && i < sizeof moving / sizeof moving[0]; i++) {
        size_t len = strlen(moving[i]);

        if (reply->text.len >= len && memcmp(reply->text.ptr, moving[i], len) == 0)
            return true;
    }
    return false;
}

static bool
take_bucket(redis_link *link, const resp_reply *reply)
{
    if (!is_moving(reply))
        return redis_take_format(link, reply);
    if (greet_bucket(link, link->view.greeting + 1))
        return true;
    redis_fail(link, "all that it has is on the move");
    return false;
}

/** A bucket that is on the move hears it with its next request: the others do not wait. */
static bool
take_global(redis_link *link, const resp_reply *reply)
{
    if (reply->type == RESP_ARRAY || is_moving(reply))
        return true;
    redis_fail(link, "it does not take that everybody's sessions were ended");
    return false;
}

static bool
is_yes(const resp_reply *reply)
{
    return resp_is(reply, 1, RESP_STRING) &&
           coat_span_is(reply->items[1]->text, COAT_LIT("yes"));
}

bool
redis_cluster_hello_reply(redis_link *link, const redis_due *due, const resp_reply *reply)
{
    switch (due->what) {
    case HELLO_ID:
        if (reply->type != RESP_STRING || reply->text.len != CLUSTER_ID) {
            redis_fail(link, "it is no node of a cluster, or the user may not CLUSTER MYID");
            return false;
        }
        memcpy(link->view.id, reply->text.ptr, CLUSTER_ID);
        return true;
    case HELLO_MOVING:
        return take_moving(link, reply);
    case HELLO_STATE:
        return take_state(link, reply);
    case HELLO_SLOTS:
        return take_slots(link, reply);
    case HELLO_COVERAGE:
        link->view.full_coverage = is_yes(reply);
        return true;
    case HELLO_READS:
        link->view.reads_when_down = is_yes(reply);
        return true;
    case HELLO_GLOBAL:
        return take_global(link, reply);
    default:
        return take_bucket(link, reply);
    }
}
