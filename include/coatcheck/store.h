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

#define COAT_STORE_ABI 2
#define COAT_STORE_VALUE_MAX (COAT_RECORD_MAX + 64)
#define COAT_STORE_LIST_MAX 1000  /* entries a LIST_OWNER or SCAN reports at most */
#define COAT_STORE_SWEEP_MAX 1000 /* entries a SWEEP looks at at most */
#define COAT_STORE_TIMEOUT_MS 250 /* default deadline of an operation */

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
     * `version`. Never an upsert: a late write must not revive a session that was ended. */
    COAT_OP_REPLACE,
    /* Idempotent: OK also if already gone. Durable before done(). Works on a full store. */
    COAT_OP_REMOVE,
    /* Report the unexpired sessions of `owner` through item(), oldest first, after `cursor`
     * if has_cursor, at most `limit`; sets more. A consistent snapshot within one call. */
    COAT_OP_LIST_OWNER,
    /* End all sessions of `owner` but `spare` (if has_spare), in one atomic step whose cost
     * does not depend on their number, durable before done(), also on a full store. It raises
     * the owner's epoch; the result's epoch_owner is the new one. */
    COAT_OP_REMOVE_OWNER,
    /* Result: the current epoch_owner of `owner` (0: never raised; see also COAT_CAP_CACHE) and
     * epoch_global. */
    COAT_OP_EPOCHS,
    /* End every session of everybody: one write that raises the global epoch. */
    COAT_OP_END_ALL,
    /* Report entries of a space through item(), in address order, like LIST_OWNER. */
    COAT_OP_SCAN,
    /* Erase at most `limit` expired or ended entries (and stale index and epoch entries),
     * counting them in `count`. Goes on where the last call stopped; sets more until the end of
     * a walk through everything. What expired behind it waits for the next walk. OK also says:
     * every write that was answered STORE_DOWN before this one was submitted has taken place by
     * now, or never will. */
    COAT_OP_SWEEP,
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
    uint32_t timeout_ms;   /* 0: COAT_STORE_TIMEOUT_MS; STORE_DOWN when it runs out */
    uint64_t epoch_owner;  /* INSERT; result of EPOCHS, REMOVE_OWNER */
    uint64_t epoch_global; /* INSERT; result of EPOCHS, END_ALL */
    uint32_t owner_max;
    bool owner_evict;
    bool has_superseded, has_spare, has_cursor;
    coat_handle superseded, spare, cursor;
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
    uint32_t count;
    bool more;

    /* The store's own. */
    void *priv[8];
};

typedef struct coat_store coat_store;
typedef struct coat_lane coat_lane;

enum coat_store_caps {
    COAT_CAP_DURABLE = 1U << 0, /* survives kill -9 of everything once acknowledged */
    COAT_CAP_WATCH = 1U << 1,
    COAT_CAP_SHARED = 1U << 2,   /* other machines may change it: node table needs a lease */
    COAT_CAP_EXPIRES = 1U << 3,  /* expires by itself: SWEEP has nothing to do */
    COAT_CAP_ACCOUNTS = 1U << 4, /* fit to keep accounts */
    /* May forget anything at any time, which ends sessions. It cannot say what it holds: SCAN
     * is UNSUPPORTED. And an owner's epoch that was never raised is not 0. */
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
    bool away;           /* behind a network: no connection is ready just now */
    char notice[256];    /* away: why; else what is unsuitable about the server, or "" */
} coat_store_stats;

struct coat_watch_event {
    bool all, is_owner; /* everything; an owner (else one address) */
    coat_handle address;
    coat_owner owner;
};

/** A store's functions. All required but watch. */
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
    coat_err (*watch)(coat_lane *lane,
                      void (*changed)(void *ctx, const struct coat_watch_event *event),
                      void *ctx);
};

/** First member of every store and lane. */
struct coat_store {
    const struct coat_store_ops *ops;
};
struct coat_lane {
    coat_store *store;
};

/** Make a further store known by its URL scheme. Before threads start. */
COAT_API coat_err coat_store_register(const struct coat_store_ops *ops) COAT_MUST_USE;

/** Open by URL. @retval COAT_INVALID unknown scheme or bad URL; COAT_IO, COAT_NEWER_FORMAT */
COAT_API coat_err coat_store_open(const coat_store_conf *conf, coat_store **out) COAT_MUST_USE;
COAT_API void coat_store_close(coat_store *store);
COAT_API uint32_t coat_store_caps_of(const coat_store *store);
COAT_API coat_err coat_store_stats_get(coat_store *store, coat_store_stats *out) COAT_MUST_USE;

/** @param loop  the libuv loop (uv_loop_t) that drives the lane, or NULL: coat_store_run drives
 *  it; then done() may submit further requests, but not run them. Programs with loops ignore
 *  SIGPIPE, as libuv wants it. */
COAT_API coat_err coat_lane_open(coat_store *store, struct uv_loop_s *loop,
                                 coat_lane **out) COAT_MUST_USE;
COAT_API void coat_lane_close(coat_lane *lane);

/** Check the request's arguments once for all stores (INVALID, TOO_LARGE), then hand it on. */
COAT_API void coat_store_submit(coat_lane *lane, coat_store_req *req);
/** Submit and wait: for lanes without loop. Returns req->result; done may be NULL. */
COAT_API coat_err coat_store_run(coat_lane *lane, coat_store_req *req) COAT_MUST_USE;

#endif
