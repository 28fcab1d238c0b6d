/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_STORE_LMDB_STORE_H
#define COAT_STORE_LMDB_STORE_H

/**
 * The store on LMDB. One environment per process and directory; one named map per coat_map.
 *
 *  lmdb.c         the store's functions: open, close, submit, stats
 *  lmdb_dir.c     directory, permissions, the lock that keeps other processes out
 *  lmdb_kv.c      the maps of kv.h under an LMDB transaction
 *  lmdb_room.c    room in the map and on the disk, kept in reserve for ending sessions
 *  lmdb_writer.c  the thread that writes, and how requests travel to it and back
 *  lmdb_lane.c    lanes: reads, delivery, deadlines
 *
 * One mutex guards the queue, the finished lists of all lanes and the states of requests. It
 * is never held while LMDB is called or a callback runs.
 */

#include "store/apply.h"
#include "store/stores.h"

#include <lmdb.h>
#include <pthread.h>
#include <uv.h>

enum {
    LMDB_BATCH_MAX = 1024,  /* requests in one transaction */
    LMDB_QUEUE_MAX = 65536, /* requests waiting; more are BUSY */
    LMDB_READERS_MAX = 510,
    LMDB_NESTED_MAX = 4, /* read transactions a lane keeps for requests made in callbacks */
    LMDB_READER_CHECK_MS = 60 * 1000,
};

/** Requests in order, linked through their lmdb_pending. */
typedef struct lmdb_list {
    coat_store_req *head, *tail;
    size_t count;
} lmdb_list;

typedef enum lmdb_state {
    LMDB_QUEUED = 1, /* in the store's queue: may still be withdrawn */
    LMDB_WRITING,    /* in a transaction: will be answered truthfully */
    LMDB_FINISHED,   /* in its lane's list */
} lmdb_state;

typedef struct lmdb_lane lmdb_lane;

/** What a request carries in priv. */
typedef struct lmdb_pending {
    coat_store_req *next, *prev;
    lmdb_lane *lane;
    int64_t deadline_ms; /* CLOCK_MONOTONIC */
    coat_evicted evicted;
    lmdb_state state;
    bool answered; /* done() is about to be called or was; the lane's thread only */
} lmdb_pending;

_Static_assert(sizeof(lmdb_pending) <= sizeof((coat_store_req *)0)->priv, "priv is too small");

typedef struct lmdb_store {
    coat_store base;
    MDB_env *env;
    MDB_dbi dbi[COAT_MAP_COUNT];
    int dir_fd, lock_fd;
    size_t page_bytes;
    uint64_t map_bytes, reserve_bytes;

    pthread_t thread;
    bool started;
    pthread_mutex_t mutex;
    pthread_cond_t wake; /* the writer waits here */
    lmdb_list queue;
    bool stopping;

    /* The writer's own. */
    coat_store_req *batch[LMDB_BATCH_MAX];
    coat_sweeper sweeper;
    uint8_t tail[COAT_KEY_MAX]; /* the highest handle, if known: what is higher is appended */
    bool tail_known;
    uint64_t allocated_end; /* disk blocks of the data file are ours up to here */
    int64_t readers_checked_ms;
    uint8_t scratch[COAT_STORE_VALUE_MAX];

    _Atomic bool full;
    _Atomic uint64_t unreadable;
    _Atomic uint64_t operations[16];
} lmdb_store;

struct lmdb_lane {
    coat_lane base;
    lmdb_list finished;    /* under the store's mutex */
    uint32_t writing;      /* under the store's mutex: requests in a transaction */
    pthread_cond_t change; /* with the store's mutex: finished has grown */

    MDB_txn *txn[LMDB_NESTED_MAX];
    int depth;
    uint32_t outstanding;
    bool closing;

    struct uv_loop_s *loop; /* NULL: driven by wait */
    uv_async_t async;
    uv_timer_t timer;
    int handles; /* open ones of async and timer */
};

static inline lmdb_pending *
lmdb_pending_of(coat_store_req *req)
{
    return (lmdb_pending *)(void *)req->priv;
}

static inline lmdb_store *
lmdb_store_of(const lmdb_lane *lane)
{
    return (lmdb_store *)lane->base.store;
}

coat_err lmdb_err(int rc);
int64_t lmdb_monotonic_ms(void);

/* lmdb_dir.c */
coat_err lmdb_dir_open(lmdb_store *store, const coat_store_conf *conf, const char *path);
void lmdb_dir_close(lmdb_store *store);

/* lmdb_kv.c */
typedef struct lmdb_kv {
    coat_kv kv;
    lmdb_store *store;
    MDB_txn *txn;
    MDB_cursor *cursor[COAT_MAP_COUNT];
    bool at_known[COAT_MAP_COUNT]; /* the cursor stands on the key `at` */
    uint8_t at[COAT_MAP_COUNT][COAT_KEY_MAX];
} lmdb_kv;
void lmdb_kv_begin(lmdb_kv *kv, lmdb_store *store, MDB_txn *txn);
void lmdb_kv_end(lmdb_kv *kv); /* before the transaction ends */

/* lmdb_room.c */
/** Make sure of disk blocks ahead. @return bytes that INSERT may use, negative: none */
int64_t lmdb_room(lmdb_store *store);
/** Bytes of pages in use, and the end of the used part of the file. */
coat_err lmdb_used(lmdb_store *store, uint64_t *used, uint64_t *end);

/* lmdb_writer.c */
coat_err lmdb_writer_start(lmdb_store *store);
void lmdb_writer_stop(lmdb_store *store); /* after what is queued has been written */
void lmdb_list_push(lmdb_list *list, coat_store_req *req);
void lmdb_list_remove(lmdb_list *list, coat_store_req *req);
/** Hand a request to its lane for delivery. The mutex is held. */
void lmdb_finish(lmdb_store *store, coat_store_req *req, coat_err result);

/* lmdb_lane.c */
coat_err lmdb_lane_open(coat_store *store, struct uv_loop_s *loop, coat_lane **out);
void lmdb_lane_close(coat_lane *lane);
void lmdb_submit(coat_lane *lane, coat_store_req *req);
void lmdb_wait(coat_lane *lane, coat_store_req *req);

#endif
