/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_STORE_REDIS_CLUSTER_H
#define COAT_STORE_REDIS_CLUSTER_H

/**
 * Redis Cluster: the store as 256 small ones, its buckets, each with all it needs in one slot:
 * sessions, epochs, the global epoch, indexes, counters. A request of one owner goes to one
 * bucket and is there what it is on a single server; END_ALL, SWEEP and SCAN go to all.
 *
 *  cluster.c           open, close, statistics
 *  cluster_topology.c  slots, buckets, who has them
 *  cluster_seats.c     the nodes, as they come and go
 *  cluster_hello.c     what a node says of itself
 *  cluster_part.c      what a request is to a node: its bucket, refusals, answers
 *  cluster_lane.c      to whom a request goes, and when it goes again
 *  cluster_all.c       requests to all buckets: END_ALL, SWEEP
 *  cluster_scan.c      SCAN: all buckets, in the order of addresses
 *  cluster_say.c       SAY: a message by way of all nodes
 *  cluster_watch.c     what changes: a watch of each node, and when they are one
 */

#include "store/redis/cluster_topology.h"
#include "store/redis/redis.h"

enum {
    CLUSTER_SEATS_MAX = CLUSTER_PRIMARIES_MAX,
    CLUSTER_SEEDS_MAX = 32,
    CLUSTER_TRIES_MAX = 32, /* of a request that its slot's node has refused */
    CLUSTER_PACE_MS = 5,    /* between such tries, at first */
    CLUSTER_PACE_MOST_MS = 50,
    CLUSTER_LEAST_MS = 20,  /* left for one: else it is late, which is held against its node */
    CLUSTER_LOOK_MS = 100,  /* how often nodes are asked who serves, while one is away */
    CLUSTER_CALM_MS = 1000, /* how often it is looked whether one is */
    CLUSTER_SEEDS_MS = 500, /* nobody answers: then those of the URL are asked */
    CLUSTER_DARK_MS = 10 * 1000, /* nobody answers: what comes then may be another cluster */
    CLUSTER_GROUP = 16,          /* buckets that a SWEEP works on at a time */
    CLUSTER_REGISTER = 0,        /* the bucket that has the register of who says something */
};

typedef struct cluster_watch cluster_watch;

/** A node, known by its address: a store of its own to remote/, with links and a breaker. */
typedef struct cluster_seat {
    redis_store store;
    char host[CLUSTER_HOST_MAX + 1];
    uint16_t port;
    char name[CLUSTER_HOST_MAX + 10];
    char id[CLUSTER_ID + 1]; /* the node's, when it was last named */
    bool seed;               /* of the URL */
    bool named;              /* a primary that has slots, by the topology */
    uint32_t users;          /* lanes that have one of it */
    uint64_t marked;         /* by which installation it was found */
} cluster_seat;

typedef struct redis_cluster {
    /* Never connected: the URL, the prefix, what was ended, the highest epochs. Its mutex
     * guards all below, and is taken before a seat's. */
    redis_store home;
    cluster_buckets buckets;
    char front[REMOTE_URL_MAX + 1], rest[REMOTE_URL_MAX + 1]; /* of the URL, around a server */
    cluster_seat *seats[CLUSTER_SEATS_MAX];
    uint32_t seat_count;
    uint8_t seat_of[CLUSTER_BUCKETS];
    uint64_t epoch; /* of the topology, by the cluster's own count */
    uint64_t shape; /* of the topology; 0: nothing is known yet */
    cluster_watch *watches;
    uint64_t installations;
    _Atomic uint32_t generation;   /* of seats and seat_of */
    uint64_t ends_failed, leveled; /* END_ALLs that did not reach all; how many were mended */
    redis_sweeper sweepers[CLUSTER_BUCKETS];
    uint32_t sessions[CLUSTER_BUCKETS], accounts[CLUSTER_BUCKETS];
    uint32_t group, pending; /* a walk's place: which group, and who of it has not ended */
    uint64_t walk_steps;
    _Atomic uint64_t operations[16];
} redis_cluster;

/* ---- cluster_seats.c; all under the mutex of home ---- */

/** @return the seat of this address, a new one if need be; NULL: refused or no room, see
 *  home.trouble */
cluster_seat *cluster_seat_find(redis_cluster *cluster, const char *host, uint16_t port,
                                coat_err *err);
void cluster_seat_free(cluster_seat *seat);
/** What a node says, if it is not behind what is known. @return false: it is behind */
bool cluster_install(redis_cluster *cluster, const cluster_topology *topology, uint64_t epoch);

/* ---- cluster_lane.c ---- */

typedef struct cluster_lane cluster_lane;
typedef struct cluster_part cluster_part;

typedef enum cluster_part_kind {
    PART_REQUEST,  /* of a bucket */
    PART_TOPOLOGY, /* of a seat: who has what */
    PART_SETTLE,   /* of a seat: what was in doubt is decided */
    PART_SAY,      /* of a bucket that must be this seat's */
} cluster_part_kind;

/** What a node is asked for, by a request or a part of one. */
struct cluster_part {
    coat_store_req req;
    cluster_lane *lane;
    cluster_part *next; /* of those that wait to be sent again */
    cluster_part_kind kind;
    uint16_t bucket;
    uint8_t seat, tries;
    bool again;    /* its node has refused it, nothing has happened: others may have the slot */
    uint32_t look; /* SWEEP: entries to look at */
    uint64_t shape;   /* PART_TOPOLOGY: as the node sees it, 0: it is of no use; PART_SAY */
    uint64_t version; /* PART_SAY: of the message; 0: the register gives it one */
    int64_t deadline_ms, next_ms;
    void (*ended)(cluster_part *part); /* part->req has the answer */
    void *ctx;
};

static inline cluster_part *
cluster_part_of(const coat_store_req *req)
{
    return req->ctx;
}

coat_err cluster_lane_open(coat_store *store, struct uv_loop_s *loop, coat_lane **out);
void cluster_lane_close(coat_lane *lane);
void cluster_submit(coat_lane *lane, coat_store_req *req);
void cluster_wait(coat_lane *lane, coat_store_req *req);
/** Send it to who has its bucket, or to its seat. ended() will follow, or was called. */
void cluster_send(cluster_part *part);
/** The same after a while, which is longer the more tries there were. */
void cluster_send_later(cluster_part *part);
redis_cluster *cluster_of_lane(const cluster_lane *lane);
/** A request of the caller's has its answer. */
void cluster_answer(cluster_lane *lane, coat_store_req *req, coat_err result);

/* For cluster_watch.c. */
/** Of a seat; opened if need be. NULL: it cannot be */
coat_lane *cluster_seat_lane(cluster_lane *lane, uint32_t seat);
struct uv_loop_s *cluster_loop(cluster_lane *lane);
/** Somebody has another view of the cluster than this lane: ask who serves. */
void cluster_ask_soon(cluster_lane *lane);
cluster_watch **cluster_watch_of(cluster_lane *lane);

/* ---- cluster_part.c ---- */

uint16_t cluster_bucket_of_request(const coat_store_req *req);
void cluster_bucket_prefix(const redis_cluster *cluster, uint16_t bucket, char *out);

/* ---- cluster_all.c, cluster_scan.c ---- */

void cluster_end_all(cluster_lane *lane, coat_store_req *req, int64_t deadline_ms);
void cluster_sweep(cluster_lane *lane, coat_store_req *req, int64_t deadline_ms);
void cluster_scan(cluster_lane *lane, coat_store_req *req, int64_t deadline_ms);

/* ---- cluster_say.c ---- */

void cluster_say(cluster_lane *lane, coat_store_req *req, int64_t deadline_ms);

/* ---- cluster_watch.c ---- */

coat_err cluster_watch_open(coat_lane *lane, const coat_watch_sink *sink, coat_watch **out);
void cluster_watch_close(coat_watch *watch);
/** Listen to who serves. On the lane's thread, not from within a callback of a node's. */
void cluster_watch_sync(cluster_watch *watch);
/** Its lane to this seat is about to be closed. */
void cluster_watch_leave(cluster_watch *watch, uint32_t seat);
/** Under the mutex of home: the cluster is another one than was watched. */
void cluster_watches_lose(redis_cluster *cluster);

#endif
