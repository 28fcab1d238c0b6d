/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COATCHECK_STORE_H
#define COATCHECK_STORE_H

/**
 * The store contract. A store keeps addresses, opaque bytes, a version and an expiry; it
 * decides nothing about sessions. Compare-and-set is the only write to what exists.
 *
 * A process opens a store once. Each thread that uses it opens a lane, driven by that thread:
 * by its libuv loop, or, opened without a loop, by coat_store_run(). Every request ends in
 * exactly one req->done(), on the lane's thread: before coat_store_submit() returns (memory,
 * LMDB reads) or later. The request is the caller's and lives until then.
 *
 * All stores pass the contract suite of <coatcheck/store_suite.h>.
 */

#include <coatcheck/record.h>

struct uv_loop_s;

#define COAT_STORE_ABI 3
#define COAT_STORE_VALUE_MAX (COAT_RECORD_MAX + 64)
#define COAT_STORE_LIST_MAX 1000  /* entries a LIST_OWNER or SCAN reports at most */
#define COAT_STORE_SWEEP_MAX 1000 /* entries a SWEEP looks at at most */
#define COAT_STORE_TIMEOUT_MS 250 /* default deadline of an operation, and its limits */
#define COAT_STORE_TIMEOUT_MIN_MS 10
#define COAT_STORE_TIMEOUT_MAX_MS 5000
#define COAT_SAY_MAX 512 /* bytes of a message */

/** What lives side by side in one store. Addresses of different spaces never meet. */
typedef enum coat_space {
    COAT_SPACE_SESSION = 1, /* address: the handle; its last 8 bytes are the owner */
    COAT_SPACE_ACCOUNT = 2, /* address: keyed hash of the login name */
    COAT_SPACE_META = 3,    /* counters with an expiry (throttling) and the like */
} coat_space;

/** X(name, what it does) */
typedef enum coat_op {
    /* Add value at address. EXISTS if it is taken: never overwrites. SESSION only, all in the
     * same atomic step: REVOKED if the owner's or the global epoch is not the one given in
     * epoch_owner / epoch_global; removes `superseded` if set (same owner; NO_SESSION, and
     * nothing inserted, if that is gone; CONFLICT if `version` is set and not its version, so
     * that nothing written to it meanwhile is lost); keeps at most owner_max unexpired sessions
     * of the owner (0: any number), by removing the oldest ones (reported through item()) or,
     * without owner_evict, by TOO_MANY. STORE_FULL if there is no room beyond the reserve. */
    COAT_OP_INSERT = 1,
    /* NO_SESSION if absent, past expires_ms, or of an ended epoch; they are the same answer. */
    COAT_OP_LOAD,
    /* Compare-and-set: NO_SESSION if removed meanwhile, CONFLICT if its version is not
     * `version`. Never an upsert: a late write must not revive a session that was ended.
     * `quiet`: watchers need not hear of it. */
    COAT_OP_REPLACE,
    /* Idempotent: OK also if already gone. Durable before done(). Works on a full store. */
    COAT_OP_REMOVE,
    /* Report the unexpired sessions of `owner` through item(), oldest first, after `cursor`
     * if has_cursor, at most `limit`; sets more. A consistent snapshot within one call. Of an
     * owner with very many dead ones it may report fewer, or none, and set more all the same:
     * then cursor is set to where it got. */
    COAT_OP_LIST_OWNER,
    /* End all sessions of `owner` but `spare` (if has_spare), in one atomic step whose cost
     * does not depend on their number, durable before done(), also on a full store. It raises
     * the owner's epoch; the result's epoch_owner is the new one. With `again` set it is a
     * replay to a store that may have lost it (RV-5), and idempotent: if the owner's epoch is
     * `again` or higher nothing is changed; else it becomes that, and from then on only higher
     * ones are given out. */
    COAT_OP_REMOVE_OWNER,
    /* Result: the current epoch_owner of `owner` (0: never raised; see also COAT_CAP_CACHE) and
     * epoch_global. And found_clock_ms, read while this was answered. */
    COAT_OP_EPOCHS,
    /* End every session of everybody: one write that raises the global epoch. With
     * `again` set it is a replay, as above. */
    COAT_OP_END_ALL,
    /* Report entries of a space through item(), like LIST_OWNER: in address order, or as
     * COAT_CAP_CACHE says. */
    COAT_OP_SCAN,
    /* Erase at most `limit` expired or ended entries (and stale index and epoch entries),
     * counting them in `count`. Goes on where the last call stopped; sets more until the end of
     * a walk through everything. What expired behind it waits for the next walk. OK also says:
     * every write that was answered STORE_DOWN before this one was submitted has taken place by
     * now, or never will. */
    COAT_OP_SWEEP,
    /* COAT_CAP_WATCH only. Tell every watcher `value`, the teller's own too, or with has_to
     * only those of instance `to`; at most COAT_SAY_MAX bytes. In the same atomic step instance
     * `address` is entered in the register under a version higher than it ever had, the
     * result's found_version, and the register as it is then is reported through item(), if
     * that is set (address and version; values empty). With `unordered` set the message proves
     * nothing of what was before it, and the rule of order is not for it. A write: refused
     * whenever REPLACE would be. Never tried twice by the store. TOO_MANY beyond
     * COAT_STORE_LIST_MAX instances. */
    COAT_OP_SAY,
    /* COAT_CAP_WATCH only. Take instance `address` out of the register; if `version` is set
     * only if that is its version, else CONFLICT. Idempotent. */
    COAT_OP_LEAVE,
} coat_op;

/** One reported entry; borrowed until item() returns. */
typedef struct coat_store_item {
    coat_handle address;
    uint64_t version;
    int64_t expires_ms;
    coat_span value; /* empty when an eviction is reported */
} coat_store_item;

typedef struct coat_store_req coat_store_req;
struct coat_store_req {
    /* Set by the caller; zero what an operation does not use. */
    coat_op op;
    coat_space space;
    coat_handle address;
    coat_owner owner;
    coat_span value;       /* borrowed until done() */
    uint64_t version;      /* REPLACE: the version it must have; INSERT: of superseded, or 0 */
    int64_t expires_ms;    /* 0: never */
    int64_t now_ms;        /* the caller's clock, decides about expiry */
    uint32_t timeout_ms;   /* 0: the store's; STORE_DOWN when it runs out */
    uint64_t epoch_owner;  /* INSERT; result of EPOCHS, REMOVE_OWNER */
    uint64_t epoch_global; /* INSERT; result of EPOCHS, END_ALL */
    uint64_t again;        /* REMOVE_OWNER, END_ALL: an epoch to put back; 0: raise it */
    uint32_t owner_max;
    bool owner_evict;
    bool has_superseded, has_spare, has_cursor, has_to;
    bool quiet;     /* REPLACE: what others keep of it stays good enough */
    bool unordered; /* SAY: see there */
    coat_handle superseded, spare, cursor, to;
    uint32_t limit;
    void (*item)(coat_store_req *req, const coat_store_item *item);
    void (*done)(coat_store_req *req);
    void *ctx;

    /* Results; valid when done() is called. */
    coat_err result;
    coat_span found; /* LOAD: borrowed until done() returns */
    /* LOAD, INSERT, REPLACE: the version it has now. Opaque; those of an address only grow,
     * also when it is removed and inserted again. */
    uint64_t found_version;
    int64_t found_expires_ms;
    int64_t found_clock_ms; /* EPOCHS: the store's own clock; 0: it has none, or tells none */
    uint32_t count;
    bool more;

    /* The store's own. */
    void *priv[8];
};

typedef struct coat_store coat_store;
typedef struct coat_lane coat_lane;

enum coat_store_caps {
    COAT_CAP_DURABLE = 1U << 0,  /* survives kill -9 of everything once acknowledged */
    COAT_CAP_WATCH = 1U << 1,    /* reports changes: watch_open, SAY, LEAVE */
    COAT_CAP_SHARED = 1U << 2,   /* other machines may change it: node table needs a lease */
    COAT_CAP_EXPIRES = 1U << 3,  /* expires by itself: SWEEP has nothing to do */
    COAT_CAP_ACCOUNTS = 1U << 4, /* fit to keep accounts */
    /* May forget anything at any time, which ends sessions. An owner's epoch that was never
     * raised is not 0. SCAN is not for every day: it is UNSUPPORTED on lanes with a loop, and
     * where a server does not let its keys be listed (stats.notice says why); one at a time on
     * a lane, others are BUSY; begun without a cursor it may take a minute, whatever its
     * timeout. It reports in the order of owners, then serials: by the last half of the
     * address, then by the first. */
    COAT_CAP_CACHE = 1U << 5,
};

typedef struct coat_store_conf {
    const char *url;        /* "memory:", "lmdb:/var/lib/coatcheck/store" */
    uint64_t map_bytes;     /* LMDB: size of the map; 0: 64 GiB, sparse */
    uint64_t reserve_bytes; /* LMDB: kept free for ending sessions; 0: 16 MiB or map/16 */
    bool read_only_ok;      /* unused by memory and LMDB */
    /* Why open failed, what would be right; may be NULL. After COAT_OK what the operator should
     * know all the same: a server that is not there yet, or settings that lose data; or "". */
    char *message;
    size_t message_cap;
    /* Stores behind a network are modules, loaded when their URL is used. NULL: where they were
     * installed. */
    const char *module_dir;
    /* Deadline of an operation that names none, COAT_STORE_TIMEOUT_MIN_MS to _MAX_MS; 0:
     * COAT_STORE_TIMEOUT_MS (SF-2) */
    uint32_t timeout_ms;
} coat_store_conf;

/** For status, metrics and tests. */
typedef struct coat_store_stats {
    /* Entries incl. ended ones not yet swept; of a store behind a network, as the last SWEEP
     * saw them. */
    uint64_t sessions;
    uint64_t accounts;
    uint64_t bytes_used, bytes_map; /* 0 if unknown */
    uint64_t operations[16];        /* by coat_op, since open */
    bool full;                      /* INSERT is refused */
    uint64_t unreadable; /* values met that could not be decoded: denied, kept; since open */
    /* Behind a network: no connection is ready just now. LMDB: it has given up, see notice. */
    bool away;
    char notice[256]; /* away: why; else what is unsuitable about the server, or "" */
} coat_store_stats;

/* ---- watching (COAT_CAP_WATCH) ---- */

/**
 * A watch reports what changes in the store, whoever changes it, so that what a process keeps
 * of it can be dropped. It is opened on a lane and reports on that lane's thread, from within
 * its loop; on a lane without loop, from within submit and wait. At most one a lane.
 *
 * It begins LOST, and is READY and LOST in turns. Between READY and the next LOST:
 *
 *  1. Order. A message is reported after every change that had taken place before SAY was
 *     submitted. A change has taken place once its request was answered or a LOAD can see it.
 *     Among messages of one instance one that was said when another had been answered is
 *     reported after that.
 *  2. Completeness. Every change after READY is reported, unless LOST is. Either may be late
 *     without bound: silence promises nothing. Whoever must know says something and waits until
 *     it hears that; by rule 1 it has then heard what was before. A channel that can drop a
 *     single report while it stays open must number them: a gap is LOST.
 *  3. One server. Whatever any lane of this coat_store is answered, to requests submitted after
 *     READY and before LOST, comes from the server whose changes are reported. When a lane is
 *     to use another one (failover, restored snapshot: another run id, timeline or system
 *     identifier), LOST comes first, the lanes' connections to the former are dropped, and
 *     READY comes after that. READY also says: by now every write of this coat_store that was
 *     answered STORE_DOWN before LOST has taken place, or never will, or will be reported.
 *  4. Sessions only: accounts and META are not reported. Nor need be: a REPLACE that is quiet,
 *     an INSERT's own address, a request that has changed nothing, what SWEEP erases.
 *
 * Reports may be doubled, and there may be more than asked for (ALL is always right). Before
 * READY and after LOST nothing is reported but READY. How a channel is subscribed, and when it
 * is tried again after LOST, is the store's business; one that is silent for good is closed and
 * opened anew by who watches.
 */
typedef enum coat_watch_kind {
    COAT_WATCH_READY = 1, /* from here on */
    COAT_WATCH_LOST,      /* from here on reports are missing */
    COAT_WATCH_ADDRESS,   /* a session was replaced, removed, superseded, evicted, forgotten */
    COAT_WATCH_OWNER,     /* all sessions of an owner but `spare` were ended */
    COAT_WATCH_ALL,       /* everybody's were; or whatever else the store cannot name */
    COAT_WATCH_SAID,
} coat_watch_kind;

/** Borrowed until event() returns. */
typedef struct coat_watch_event {
    coat_watch_kind kind;
    bool own;            /* ADDRESS: by a lane of this very coat_store. May be left false */
    bool gone;           /* ADDRESS: is there no longer. May be left false */
    bool has_spare;      /* OWNER */
    bool unordered;      /* SAID: by a store that orders others, and not this one */
    coat_handle address; /* ADDRESS: which; SAID: who */
    coat_handle spare;
    coat_owner owner;
    uint64_t epoch;    /* OWNER, ALL: the new one; 0: unknown (flushed, ...) */
    coat_span message; /* SAID */
} coat_watch_event;

typedef struct coat_watch_sink {
    coat_handle instance; /* whose watch it is: messages to it are reported here */
    void (*event)(void *ctx, const coat_watch_event *event);
    void *ctx;
} coat_watch_sink;

typedef struct coat_watch coat_watch;

/** A store's functions. All required but those for watching. */
struct coat_store_ops {
    uint32_t abi;     /* COAT_STORE_ABI */
    uint32_t caps;    /* coat_store_caps */
    const char *name; /* URL scheme */
    coat_err (*open)(const coat_store_conf *conf, coat_store **out);
    void (*close)(coat_store *store); /* after all lanes; NULL is a no-op */
    coat_err (*lane_open)(coat_store *store, struct uv_loop_s *loop, coat_lane **out);
    /* Outstanding requests end in CANCELLED, before it returns. */
    void (*lane_close)(coat_lane *lane);
    void (*submit)(coat_lane *lane, coat_store_req *req);
    /* Drive a lane without loop until req is done. */
    void (*wait)(coat_lane *lane, coat_store_req *req);
    coat_err (*stats)(coat_store *store, coat_store_stats *out);
    /* COAT_CAP_WATCH. event() is not called before watch_open returns, nor after watch_close
     * has begun; it may call submit, not watch_close. */
    coat_err (*watch_open)(coat_lane *lane, const coat_watch_sink *sink, coat_watch **out);
    void (*watch_close)(coat_watch *watch); /* before its lane */
};

/** First member of every store, lane and watch. */
struct coat_store {
    const struct coat_store_ops *ops;
    uint32_t timeout_ms; /* set by coat_store_open(); 0: COAT_STORE_TIMEOUT_MS */
};
struct coat_lane {
    coat_store *store;
};
struct coat_watch {
    coat_lane *lane;
};

/** Make a further store known by its URL scheme. Before threads start. */
COAT_API coat_err coat_store_register(const struct coat_store_ops *ops) COAT_MUST_USE;

/** Open by URL. @retval COAT_INVALID unknown scheme or bad URL; COAT_IO, COAT_NEWER_FORMAT */
COAT_API coat_err coat_store_open(const coat_store_conf *conf, coat_store **out) COAT_MUST_USE;
/**
 * Bring the schema that a store keeps its tables in to the version that this release works on,
 * or make it. Never done by coat_store_open: daemons of the former release may still be at
 * work.
 *
 * @param from, to  its versions before and now; set on COAT_OK
 * @retval COAT_UNSUPPORTED  the store has no schema of its own: there is nothing to do
 * @retval COAT_NEWER_FORMAT  it belongs to a later release; COAT_INVALID bad URL; COAT_IO
 */
COAT_API coat_err coat_store_migrate(const coat_store_conf *conf, uint32_t *from,
                                     uint32_t *to) COAT_MUST_USE;
COAT_API void coat_store_close(coat_store *store);
COAT_API uint32_t coat_store_caps_of(const coat_store *store);
/** The deadline of an operation that names none. */
COAT_API uint32_t coat_store_timeout_of(const coat_store *store);
COAT_API coat_err coat_store_stats_get(coat_store *store, coat_store_stats *out) COAT_MUST_USE;

/** @param loop  the libuv loop (uv_loop_t) that drives the lane, or NULL: coat_store_run drives
 *  it; then done() may submit further requests, but not run them. Programs with loops ignore
 *  SIGPIPE, as libuv wants it. */
COAT_API coat_err coat_lane_open(coat_store *store, struct uv_loop_s *loop,
                                 coat_lane **out) COAT_MUST_USE;
COAT_API void coat_lane_close(coat_lane *lane);

/** Check the request's arguments once for all stores (INVALID, TOO_LARGE), then hand it on. */
COAT_API void coat_store_submit(coat_lane *lane, coat_store_req *req);
/** @retval COAT_UNSUPPORTED  the store cannot; COAT_EXISTS  the lane has one already */
COAT_API coat_err coat_watch_open(coat_lane *lane, const coat_watch_sink *sink,
                                  coat_watch **out) COAT_MUST_USE;
COAT_API void coat_watch_close(coat_watch *watch); /* NULL is a no-op */

/** Submit and wait: for lanes without loop. Returns req->result; done may be NULL. */
COAT_API coat_err coat_store_run(coat_lane *lane, coat_store_req *req) COAT_MUST_USE;

#endif
