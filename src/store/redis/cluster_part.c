/* SPDX-License-Identifier: Apache-2.0 */
/**
 * What requests and replies of a node differ in from those of a single server. A request's keys
 * are its bucket's, all in one slot; a node that has not the slot says so before it does
 * anything, and the request goes to another.
 */

#include "store/redis/cluster.h"

#include <stdio.h>

uint16_t
cluster_bucket_of_request(const coat_store_req *req)
{
    if (req->op == COAT_OP_LEAVE || req->op == COAT_OP_SAY)
        return CLUSTER_REGISTER;
    if (req->op == COAT_OP_LIST_OWNER || req->op == COAT_OP_REMOVE_OWNER ||
        req->op == COAT_OP_EPOCHS)
        return cluster_bucket_of(req->owner.bytes, COAT_OWNER_BYTES);
    if (req->space == COAT_SPACE_SESSION)
        return cluster_bucket_of(req->address.bytes + COAT_HANDLE_BYTES - COAT_OWNER_BYTES,
                                 COAT_OWNER_BYTES);
    return cluster_bucket_of(req->address.bytes, COAT_HANDLE_BYTES);
}

void
cluster_bucket_prefix(const redis_cluster *cluster, uint16_t bucket, char *out)
{
    (void)snprintf(out, REDIS_BUCKET_PREFIX_MAX, "%s{%s}:", cluster->home.prefix,
                   cluster->buckets.tags[bucket]);
}

void
redis_cluster_prefix(const redis_store *store, const coat_store_req *req, char *out)
{
    /* What a connection says by itself is no part of anything. */
    uint16_t bucket =
        req->ctx != NULL ? cluster_part_of(req)->bucket : cluster_bucket_of_request(req);

    cluster_bucket_prefix(store->cluster, bucket, out);
}

redis_sweeper *
redis_cluster_sweeper(const redis_store *store, const coat_store_req *req)
{
    return &store->cluster->sweepers[cluster_part_of(req)->bucket];
}

uint32_t
redis_cluster_look(const coat_store_req *req)
{
    return cluster_part_of(req)->look;
}

void
redis_cluster_counted(const coat_store_req *req, uint64_t sessions, uint64_t accounts)
{
    const cluster_part *part = cluster_part_of(req);
    redis_cluster *cluster = cluster_of_lane(part->lane);

    pthread_mutex_lock(&cluster->home.remote.mutex);
    cluster->sessions[part->bucket] = (uint32_t)sessions;
    cluster->accounts[part->bucket] = (uint32_t)accounts;
    pthread_mutex_unlock(&cluster->home.remote.mutex);
}

bool
redis_cluster_own(redis_link *link, coat_store_req *req, coat_err *result)
{
    const cluster_part *part = cluster_part_of(req);

    if (part->kind == PART_REQUEST || part->kind == PART_SAY)
        return false;
    if (part->kind == PART_TOPOLOGY)
        redis_cluster_ask(link);
    /* Its answer comes behind all that was queued before. */
    resp_begin(&link->out, 1);
    resp_arg_str(&link->out, "PING");
    *result = redis_expect(link, req, DUE_ANSWER, SCRIPT_COUNT);
    return true;
}

bool
redis_cluster_own_answer(const redis_link *link, coat_store_req *req)
{
    cluster_part *part = cluster_part_of(req);

    part->shape = part->kind == PART_TOPOLOGY ? link->view.shape : part->shape;
    return part->kind != PART_REQUEST && part->kind != PART_SAY;
}

uint64_t
redis_cluster_message(const coat_store_req *req, uint8_t *shape)
{
    const cluster_part *part = cluster_part_of(req);

    coat_store64(shape, part->shape);
    return part->version;
}

static bool
begins(coat_span text, const char *with)
{
    return text.len >= strlen(with) && memcmp(text.ptr, with, strlen(with)) == 0;
}

/**
 * MOVED and ASK name a node, but that is what a server says: who has a slot is asked for anew.
 * While a slot is on the move its keys are here and there, and a bucket needs all of them: so
 * ASK is not followed but tried again, as TRYAGAIN is.
 */
bool
redis_cluster_refused(redis_link *link, coat_store_req *req, coat_span text)
{
    redis_store *store = redis_store_of(link);

    if (store->cluster == NULL)
        return false;
    if (begins(text, "MOVED ") || begins(text, "ASK ") || begins(text, "TRYAGAIN")) {
        cluster_part_of(req)->again = true;
        remote_note_good(&store->remote);
    } else if (begins(text, "CLUSTERDOWN")) {
        remote_note_bad(&store->remote);
    } else {
        return false;
    }
    req->result = COAT_STORE_DOWN;
    remote_answer(req);
    return true;
}
