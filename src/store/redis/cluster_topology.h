/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_STORE_REDIS_CLUSTER_TOPOLOGY_H
#define COAT_STORE_REDIS_CLUSTER_TOPOLOGY_H

/**
 * Which node of a cluster has what. All that must agree is in one of 256 buckets, whose keys
 * have one hash tag and so lie in one of Redis's 16384 slots. Pure.
 */

#include "store/redis/resp.h"

enum {
    CLUSTER_SLOTS = 16384,
    CLUSTER_BUCKETS = 256, /* part of the format: who is in which never changes */
    CLUSTER_TAG_MAX = 7,
    CLUSTER_PRIMARIES_MAX = 64,
    CLUSTER_HOST_MAX = 253,
    CLUSTER_ID = 40,
    CLUSTER_NOBODY = 255, /* no primary has it */
};

_Static_assert(CLUSTER_PRIMARIES_MAX <= CLUSTER_NOBODY, "a primary's number is a byte");

typedef struct cluster_buckets {
    char tags[CLUSTER_BUCKETS][CLUSTER_TAG_MAX + 1];
    uint16_t slots[CLUSTER_BUCKETS];
} cluster_buckets;

typedef struct cluster_primary {
    char host[CLUSTER_HOST_MAX + 1], id[CLUSTER_ID + 1];
    uint16_t port;
} cluster_primary;

typedef struct cluster_topology {
    size_t count;
    cluster_primary primaries[CLUSTER_PRIMARIES_MAX];
    uint8_t primary_of[CLUSTER_BUCKETS];
} cluster_topology;

/** Redis's slot of a hash tag. */
uint16_t cluster_slot(coat_span tag);
/** A tag for each bucket, spread evenly over the slots; the same ones always. */
void cluster_buckets_make(cluster_buckets *out);
/** The bucket of an owner, or of an entry that has none. */
uint16_t cluster_bucket_of(const uint8_t *bytes, size_t len);

/**
 * Read a reply to CLUSTER SLOTS: outside input.
 * @param asked  where it was asked, for a node that does not know its own address
 * @retval COAT_MALFORMED  not as Redis writes it, slots given twice, a host that is none
 * @retval COAT_TOO_LARGE  more primaries than we take
 */
coat_err cluster_topology_read(const resp_reply *reply, const cluster_buckets *buckets,
                               const char *asked, cluster_topology *out);

/**
 * Is the node that answers CLUSTER NODES handing over one of our buckets? Outside input.
 * @retval COAT_MALFORMED  it does not say which line is its own
 */
coat_err cluster_moving_read(const resp_reply *reply, const cluster_buckets *buckets,
                             bool *moving);

/**
 * Who has what at which epoch, as a number: two that agree on it agree on all of that. A bucket
 * that goes to another node and comes back has raised the epoch.
 * @return never 0
 */
uint64_t cluster_shape(const cluster_topology *topology, uint64_t epoch);

#endif
