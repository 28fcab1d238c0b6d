/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_STORE_MEMCACHED_H
#define COAT_STORE_MEMCACHED_H

/**
 * The store on one or more memcached servers, from version 1.6.10. A cache: it may forget
 * anything at any time, and then those whose sessions it forgot sign in again.
 *
 *  memcached.c  the store's functions: open, close, statistics
 *  servers.c    the URL: one or more servers
 *  ring.c       which owner is on which server
 *  lanes.c      lanes: one of remote/ for each server; requests to all servers
 *  link.c       a connection: replies in the order of commands
 *  hello.c      what is said and checked before the first request
 *  op.c         a request: look, apply, write if nothing has changed
 *  fence.c      writes of unknown outcome are made impossible
 *  apply.c      what a request makes of a box; no input or output
 *  journal.c    what was ended lately, for a server that has forgotten it
 *  box.c        what is kept
 *  meta.c       the wire format
 *  keys.c       the wire format of a server's list of keys
 *  dump.c       asking servers what they hold
 *  scan.c       SCAN: that list, and what is under each key of it
 *
 * Keys, all behind the prefix: `o:OWNER` an owner with all its sessions, `a:ADDRESS` an
 * account, `m:ADDRESS` meta data, `life` the server's life and the global epoch.
 *
 * Each server is a remote_store of its own, with lanes, links and a breaker: the loss of one
 * touches nobody whose sessions are on another (SF-5).
 */

#include "store/memcached/box.h"
#include "store/memcached/keys.h"
#include "store/memcached/meta.h"
#include "store/remote/remote.h"
#include "store/remote/stream.h"
#include "store/remote/url.h"

enum {
    MC_NODES_MAX = 32,
    MC_POINTS = 160, /* of each server on the ring */
    MC_PREFIX_MAX = 64,
    MC_KEY_MAX = MC_PREFIX_MAX + 40, /* the protocol's limit is 250 */
    MC_DOUBTS_MAX = 16384,
    MC_JOURNAL_MAX = 16384,
    MC_JOURNAL_MS = 120 * 1000,
    MC_SLACK_S = 3600,   /* the server forgets what has expired this much later */
    MC_EMPTY_S = 3600,   /* and a box without sessions: longer than any sign-in takes */
    MC_TURNS_MAX = 1000, /* times that a request looks again because others were faster */
    MC_SIZE_DEFAULT = 1 << 20,
    MC_ITEM_HEAD = 512,       /* of the server's limit: for its own head, and our key */
    MC_PLACES_MAX = 1 << 24,  /* a SCAN knows of: owners, or accounts, or counters */
    MC_DUMP_QUIET_MS = 10000, /* a server may be silent while it is to say what it holds, */
    MC_DUMP_MAX_MS = 60000,   /* and take for all of it */
    MC_DUMP_BUSY_MS = 10000,  /* may have something else to do, and is asked again */
    MC_DUMP_AGAIN_MS = 50,    /* so often */
};

typedef struct mc_store mc_store;
typedef struct mc_link mc_link;
typedef struct mc_op mc_op;

/** An item. */
typedef struct mc_place {
    coat_space space; /* 0: the life */
    coat_handle address;
} mc_place;

/** A session, or all sessions of an owner but perhaps one, that were ended. */
typedef struct mc_ended {
    bool is_owner, has_spare;
    coat_handle handle; /* the session; is_owner: the spared one, and whose they were */
    uint64_t number;    /* whatever was written up to this one was ended */
    uint64_t epoch;     /* is_owner: that it raised the owner's to */
    int64_t when_ms;    /* monotonic */
} mc_ended;

typedef struct mc_journal {
    mc_ended *ring; /* MC_JOURNAL_MAX, once there is something */
    size_t first, count;
    uint64_t added; /* so far; the number of the last entry */
} mc_journal;

/** One server. Its remote_store is what its lanes and links know. */
typedef struct mc_node {
    remote_store remote;
    mc_store *store;
    remote_address address;
    char name[256];          /* as in the URL */
    char host[256];          /* or path */
    _Atomic size_t size_max; /* of a box */
    _Atomic bool full;

    /* Under remote.mutex. */
    mc_place *doubts; /* may still be written by a connection that was dropped */
    size_t doubt_count, doubt_cap;
    bool doubts_lost; /* there were more: SWEEP can promise nothing any more */
    mc_journal journal;
    uint64_t losses, replayed; /* of connections; when the journal was last said */
    char notice[160];
    char trouble[200];  /* why there is no connection */
    char unlisted[200]; /* why it does not say what it holds */
} mc_node;

typedef struct mc_point {
    uint64_t at;
    uint32_t node;
} mc_point;

struct mc_store {
    coat_store base;
    remote_url url; /* of the first server; for the parameters */
    char prefix[MC_PREFIX_MAX + 2];
    char user[256], password[REMOTE_SECRET_MAX + 1];
    uint32_t generation;
    _Atomic bool outdated; /* a server has heard of a higher one */
    uint64_t ring_id;
    mc_point *points; /* in order */
    size_t point_count;
    mc_node *nodes[MC_NODES_MAX];
    uint32_t node_count;
    _Atomic uint64_t global; /* the highest epoch seen on any server */
    _Atomic uint64_t number; /* the last one given out */
};

/* ---- ring.c ---- */

/** Put all servers on the ring. @retval COAT_NO_MEMORY */
coat_err mc_ring_make(mc_store *store);
mc_node *mc_node_of(const mc_store *store, const mc_place *place);

/* ---- servers.c ---- */

/** @param why  for the operator, at least 300 bytes */
coat_err mc_servers_take(mc_store *store, const coat_store_conf *conf, char *why, size_t cap);

/* ---- apply.c ---- */

/** What a look at the server has shown. */
typedef struct mc_sight {
    bool has_box; /* whole, and of this life */
    mc_box box;
    uint64_t birth;
    uint64_t global; /* the highest epoch, seen here or anywhere */
    uint64_t number; /* higher than any given out */
    size_t size_max;
} mc_sight;

typedef struct mc_change {
    bool writes;
    remote_buffer box;     /* the new one */
    remote_buffer evicted; /* serials */
    uint32_t count;        /* of its entries */
    bool is_forever;
    int64_t until_ms; /* when the last of its entries expires */
    uint64_t number;  /* given out with it */
    uint64_t epoch;   /* REMOVE_OWNER: that what it ends is below */
} mc_change;

/**
 * What a request makes of a box. Its results are set in the request; they hold once what is to
 * be written was written.
 * @return its answer
 */
coat_err mc_apply(coat_store_req *req, const mc_sight *sight, mc_change *out);
/** The same for what was ended before and may be there again. */
void mc_apply_ended(const mc_ended *ended, const mc_sight *sight, mc_change *out);
void mc_change_free(mc_change *change);
/** Where a request's entry or list is. */
mc_place mc_place_of(const coat_store_req *req);
mc_place mc_place_of_handle(const coat_handle *handle);

/* ---- link.c ---- */

typedef enum mc_due_kind {
    DUE_HELLO,  /* link->hello says which */
    DUE_LIFE,   /* looks: the life */
    DUE_ITEM,   /* the item */
    DUE_WRITE,  /* of the item */
    DUE_REVIVE, /* of the life */
    DUE_AGAIN,  /* the life once more, after a write */
} mc_due_kind;

typedef struct mc_due {
    mc_op *op;
    mc_due_kind kind;
    uint64_t number; /* opaque to the server, which repeats it */
} mc_due;

struct mc_link {
    remote_link base;
    remote_stream *stream;
    mc_reader reader;
    remote_buffer out, cuts; /* where in `out` a value ends: size_t each */
    mc_due *due;             /* a ring */
    size_t due_first, due_count, due_cap;
    uint64_t connection; /* how many there were before */
    uint64_t number;     /* of the last command; begins at random */
    bool greeted, ready;
    uint8_t hello;
    uint64_t losses; /* of the server, when this connection was begun */
    mc_op *own;      /* operations that no request waits for, or not alone */
};

static inline mc_node *
mc_node_of_link(const mc_link *link)
{
    return (mc_node *)link->base.lane->base.store;
}

extern const struct remote_kind mc_kind;
/** Note that a reply is due for what was just queued. @return false: out of memory; the link
 * fails when it is flushed */
bool mc_expect(mc_link *link, mc_op *op, mc_due_kind kind);
/** What came from the server. */
void mc_bytes(void *link, const uint8_t *bytes, size_t len);
/** Drop the link, saying why. */
void mc_fail(mc_link *link, const char *why);
/** @return false: there is none, and the link was dropped */
bool mc_random(mc_link *link, uint64_t *out);

/* ---- hello.c ---- */

/** "set auth": user and password, in a buffer that is wiped. Nothing must be in it yet. */
void mc_put_password(const mc_store *store, remote_buffer *out);
void mc_hello(mc_link *link);
void mc_hello_reply(mc_link *link, const mc_reply *reply);
/** An operation of the link's own has ended. It may be ready for requests now. */
void mc_hello_go_on(mc_link *link);

/* ---- op.c ---- */

typedef enum mc_op_kind {
    MC_OP_REQUEST,
    MC_OP_GREET, /* looks at the life, and begins one if there is none */
    MC_OP_ENDED, /* says again that something was ended */
    MC_OP_FENCE, /* see fence.c */
} mc_op_kind;

struct mc_op {
    mc_op_kind kind;
    coat_store_req *req; /* REQUEST; FENCE: the SWEEP that waits for it */
    mc_op *next;         /* of the link's own */
    mc_place place;
    mc_ended ended;
    uint32_t turns;
    uint32_t fences; /* of a SWEEP, that are not yet done */
    bool failed;     /* one of them */
    /* Sent, and not yet answered. */
    bool writes_item, writes_life;
    bool erases; /* what could not be written is deleted */
    bool has_life, has_item;
    mc_life life;
    uint64_t life_cas, item_cas;
    uint64_t birth, global; /* that a write was decided by */
    coat_err result;
    mc_change change;
};

coat_err mc_send(remote_link *link, coat_store_req *req);
/** Begin an operation of the link's own. @return false: out of memory, see mc_expect() */
bool mc_op_start(mc_link *link, mc_op_kind kind, const mc_place *place, const mc_ended *ended,
                 coat_store_req *req);
void mc_op_reply(mc_link *link, const mc_due *due, const mc_reply *reply);
/** It is answered, or what waits for it goes on. */
void mc_op_finish(mc_link *link, mc_op *op, coat_err result);
void mc_op_free(mc_op *op);
/** Take an operation out of the link's own, and free it. */
void mc_op_drop(mc_link *link, mc_op *op);

/* Commands, which op.c and fence.c queue. @return as mc_expect() */
bool mc_say_look(mc_link *link, mc_op *op, const mc_place *place, mc_due_kind due);
typedef struct mc_write {
    const mc_place *place;
    coat_span value;
    bool adds; /* only if it is not there; else only if it is the one of `cas` */
    uint64_t cas;
    int64_t ttl_s; /* 0: never */
} mc_write;
bool mc_say_write(mc_link *link, mc_op *op, const mc_write *write, mc_due_kind due);

/* ---- fence.c ---- */

/** Note what the operations of a link that is dropped may have written. */
void mc_doubt(mc_link *link);
/** Begin to make the writes of unknown outcome impossible; op is a SWEEP's, and op->fences how
 * many it waits for. @return as mc_expect() */
bool mc_fences_start(mc_link *link, mc_op *op);
void mc_fence_reply(mc_link *link, mc_op *op, const mc_due *due, const mc_reply *reply);

/* ---- journal.c ---- */

void mc_journal_add(mc_node *node, const mc_ended *ended);
/** Say it again if this server may have forgotten it. @return as mc_expect() */
bool mc_journal_replay(mc_link *link);

/* ---- dump.c ---- */

typedef struct mc_dumps mc_dumps;

/** What dumps report to. Neither may begin or free dumps. */
typedef struct mc_dumps_owner {
    void *ctx;
    /* The name of an item, as mc_name_read() takes it. @return false: no more of them */
    bool (*name)(void *ctx, coat_span name);
    /* All servers have said everything, or one cannot. TOO_LARGE: name() has said no;
     * UNSUPPORTED: node->unlisted says why; BUSY, STORE_DOWN, NO_MEMORY */
    void (*done)(void *ctx, coat_err result);
} mc_dumps_owner;

/**
 * Ask all servers at once what they hold, on connections of their own: a server that lists its
 * keys loses what comes behind the question.
 * @param loop  of the caller's alone
 */
coat_err mc_dumps_new(mc_store *store, uv_loop_t *loop, const mc_dumps_owner *owner,
                      mc_dumps **out);
/** done() follows, perhaps before it returns. Not while one is under way. */
void mc_dumps_start(mc_dumps *dumps);
/** Its loop is to be run once more before it is freed. done() is not called any more. */
void mc_dumps_stop(mc_dumps *dumps);
void mc_dumps_free(mc_dumps *dumps);

/* ---- scan.c ---- */

typedef struct mc_scan mc_scan;

/** SCAN on a lane that its own loop drives: one at a time, further ones are BUSY. */
coat_err mc_scan_new(coat_lane *lane, uv_loop_t *loop, mc_scan **out);
void mc_scan_start(mc_scan *scan, coat_store_req *req);
/** What is under way is CANCELLED. As mc_dumps_stop() and _free(); NULL is a no-op. */
void mc_scan_stop(mc_scan *scan);
void mc_scan_free(mc_scan *scan);

/* ---- lanes.c ---- */

/** A request that no single lane of remote/ answers ends. */
void mc_answer(coat_store_req *req, coat_err result);
coat_err mc_lane_open(coat_store *store, struct uv_loop_s *loop, coat_lane **out);
void mc_lane_close(coat_lane *lane);
void mc_submit(coat_lane *lane, coat_store_req *req);
void mc_wait(coat_lane *lane, coat_store_req *req);

/* ---- memcached.c ---- */

extern const struct coat_store_ops coat_memcached_ops;
/** Note a global epoch. @return the highest */
uint64_t mc_global_seen(mc_store *store, uint64_t epoch);
/** A number higher than all before: of this process, and by the clock of all. */
uint64_t mc_number_next(mc_store *store);
/** Note a number that was given out elsewhere, or before: from here on only higher ones are. */
void mc_number_seen(mc_store *store, uint64_t number);

#endif
