/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_STORE_REMOTE_H
#define COAT_STORE_REMOTE_H

/**
 * The common ground of stores behind a network.
 *
 *  backoff.c  when to try again; the circuit breaker
 *  lane.c     lanes: requests, their deadlines, links, retries
 *  stream.c   a connection on libuv: TCP or Unix socket, with or without TLS
 *  tls.c      TLS between bytes and bytes
 *  url.c      store URLs; secrets from files
 *
 * A lane keeps a few links. A link is one connection to the store as its kind speaks to it;
 * kinds that have sockets of their own (libpq) do without stream.c. A request waits in its lane
 * until a link is ready, is then in flight on that link, and ends in exactly one done().
 *
 * A link that has gone wrong in any way, a late reply among them, is dropped with all that is
 * in flight on it: no reply of it is ever used again (SF-6).
 */

#include "core/bytes.h"
#include "store/remote/backoff.h"

#include <coatcheck/store.h>
#include <pthread.h>
#include <stdatomic.h>
#include <uv.h>

enum {
    REMOTE_LINKS_MAX = 8,
    REMOTE_WAITING_MAX = 65536, /* outstanding requests of a lane; more are BUSY */
    REMOTE_CONNECT_MS = 1000,   /* to connect and be greeted */
    REMOTE_PACE_BUSY_MS = 10,   /* how exactly deadlines are kept */
    REMOTE_PACE_IDLE_MS = 50,   /* how exactly reconnections are */
};

typedef struct remote_store remote_store;
typedef struct remote_lane remote_lane;
typedef struct remote_link remote_link;

typedef struct remote_list {
    coat_store_req *head, *tail;
    size_t count;
} remote_list;

/** What a request carries in priv. */
typedef struct remote_pending {
    coat_store_req *next, *prev;
    remote_link *link; /* in flight on it; NULL: waits, or has ended */
    int64_t deadline_ms;
    bool answered; /* done() is about to be called or was */
    uint8_t tries; /* how often it was sent */
    uint8_t step;  /* not 0: not to be sent again. The kind's own, as all below; 0 when sent */
    uint32_t count;
    uint64_t mark;
    void *data;
} remote_pending;

_Static_assert(sizeof(remote_pending) <= sizeof((coat_store_req *)0)->priv,
               "priv is too small");

/** How one kind of store is spoken to. All functions run on the lane's thread. */
struct remote_kind {
    size_t link_bytes; /* of its link, which begins with a remote_link; zeroed at first */
    /* Begin to connect. Ends, later or before it returns, in remote_link_ready() or
     * remote_link_failed(). */
    void (*start)(remote_link *link);
    /* Queue a request's commands. It ends, later, in remote_answer() or with the link.
     * @retval COAT_OK  in flight; anything else is its answer, and nothing was queued */
    coat_err (*send)(remote_link *link, coat_store_req *req);
    /* What was queued in this turn of the loop leaves now, in one write. */
    void (*flush)(remote_link *link);
    /* Drop the connection, if there is one; nothing of it may come any more. What is in flight
     * is still in link->flight, so that writes of unknown outcome can be noted. */
    void (*stop)(remote_link *link);
    /* May be NULL: may a request still be sent on it? If not it is dropped. Cheap. */
    bool (*fit)(const remote_link *link);
    /* May be NULL: called now and then while it connects. */
    void (*look)(remote_link *link);
};

typedef enum remote_state {
    REMOTE_IDLE,       /* to be started at next_ms */
    REMOTE_CONNECTING, /* until next_ms */
    REMOTE_READY,
} remote_state;

struct remote_link {
    remote_lane *lane;
    remote_state state;
    remote_list flight;
    remote_backoff backoff;
    int64_t next_ms;
    bool queued; /* flush() is due */
};

/** First member of every remote store. */
struct remote_store {
    coat_store base;
    const struct remote_kind *kind;
    uint32_t links;                  /* a lane keeps */
    uint32_t flight_max;             /* requests on one link before the next is used */
    int64_t (*monotonic)(void *ctx); /* milliseconds; tests set them */
    void *monotonic_ctx;
    coat_rng_fn rng;
    void *rng_ctx;

    pthread_mutex_t mutex; /* guards the breaker, and what the kind puts under it */
    remote_breaker breaker;
    _Atomic bool
        doubted; /* the breaker has failures: to spare the lock on the way of success */
    _Atomic uint32_t ready; /* links that are ready */
    _Atomic uint64_t unreadable;
    _Atomic uint64_t operations[16];
};

struct remote_lane {
    coat_lane base;
    uv_loop_t *loop;
    uv_loop_t own; /* if opened without one */
    bool owned, running, closing;
    bool watched; /* has a watch: the kind's own */
    remote_list waiting;
    uint32_t outstanding;
    uint64_t closings; /* of the breaker, as last seen */
    remote_link *links[REMOTE_LINKS_MAX];
    uv_timer_t pace;
    uv_prepare_t flush;
    int handles;
};

static inline remote_pending *
remote_pending_of(coat_store_req *req)
{
    return (remote_pending *)(void *)req->priv;
}

static inline remote_store *
remote_store_of(const remote_link *link)
{
    return (remote_store *)link->lane->base.store;
}

/** May it be sent again when its first outcome is unknown? */
static inline bool
remote_is_idempotent(coat_op op)
{
    return op == COAT_OP_LOAD || op == COAT_OP_LIST_OWNER || op == COAT_OP_EPOCHS ||
           op == COAT_OP_SCAN || op == COAT_OP_REMOVE;
}

static inline bool
remote_reads(coat_op op)
{
    return remote_is_idempotent(op) && op != COAT_OP_REMOVE;
}

void remote_list_push(remote_list *list, coat_store_req *req);
void remote_list_remove(remote_list *list, coat_store_req *req);

/** Fill in what all remote stores have. */
coat_err remote_store_init(remote_store *store, const struct coat_store_ops *ops,
                           const struct remote_kind *kind);
void remote_store_fini(remote_store *store);
int64_t remote_now_ms(const remote_store *store);
uint32_t remote_random(const remote_store *store);
/** The store has answered; or could not (refused, late, lost, unable). */
void remote_note_good(remote_store *store);
void remote_note_bad(remote_store *store);
/** Raise it to a number that was seen. @return the highest so far */
uint64_t remote_raise(_Atomic uint64_t *highest, uint64_t seen);
/** Add what has been counted to a kind's statistics. */
void remote_stats_add(remote_store *store, coat_store_stats *stats);
/**
 * More room in a ring that is full.
 * @param ring   on the heap, or NULL; freed on success
 * @param first  of its *cap entries of `each` bytes; is 0 afterwards
 * @return NULL: out of memory, and nothing has changed
 */
void *remote_ring_grow(void *ring, size_t each, size_t *first, size_t *cap);
/** A server's words in one line, to be shown to operators: nothing that a terminal would obey.
 * `words` may be `out`. */
void remote_line(char *out, size_t cap, const char *words);
/** Append to a notice, as much as there is room for; "" is nothing. */
void remote_notice_add(char *notice, size_t cap, const char *more);

/* For the store's table of functions. */
coat_err remote_lane_open(coat_store *store, struct uv_loop_s *loop, coat_lane **out);
void remote_lane_close(coat_lane *lane);
void remote_submit(coat_lane *lane, coat_store_req *req);
void remote_wait(coat_lane *lane, coat_store_req *req);
/** Run a loop of our own, without SIGPIPE. For stores whose lanes are several of these. */
void remote_run(uv_loop_t *loop, uv_run_mode mode);

/* For kinds. */
void remote_link_ready(remote_link *link);
/** The link is of no use any more; what is in flight on it is tried again or STORE_DOWN. */
void remote_link_failed(remote_link *link);
/** A request in flight has its answer: req->result and what goes with it are set. */
void remote_answer(coat_store_req *req);
/** Have flush() called at the end of this turn of the loop. */
void remote_link_queued(remote_link *link);

#endif
