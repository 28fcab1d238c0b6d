/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_STORE_POSTGRESQL_H
#define COAT_STORE_POSTGRESQL_H

/**
 * The store on PostgreSQL, from version 14.
 *
 *  postgresql.c  the store's functions: open, close, statistics
 *  conninfo.c    store URLs to libpq's parameters
 *  connect.c     a connection until it can be spoken on
 *  hello.c       what is asked and checked before the first request
 *  link.c        results in the order of questions, errors, doubts
 *  request.c     requests to statements
 *  answer.c      results to answers
 *  watch.c, report.c  changes, as they are reported
 *  statements.c  the statements, prepared on each connection when they are first used
 *  migrate.c     the schema and its versions
 *  schema/       its migrations, compiled in
 *
 * A connection is in pipeline mode. Questions go in *segments*, each ended by a Sync and a
 * transaction of its own: any number of reads, and one write at most. So the reads of a turn of
 * the loop cost one transaction, and writes neither share their fate nor wait for each other's
 * locks. A write is answered when its segment's Sync is: only then it is committed.
 */

#include "store/remote/remote.h"
#include "store/remote/url.h"
#include "store/remote/watch.h"

#include <libpq-fe.h>

enum { PG_OID_BOOL = 16, PG_OID_BYTEA = 17, PG_OID_INT8 = 20, PG_OID_INT4 = 23 };

/* The version of the schema that we work on. Tests build the former release's, too. */
#ifndef PG_FORMAT
#define PG_FORMAT 2
#endif

enum {
    PG_FORMAT_WATCH = 2, /* from this version on changes can be heard of */
    PG_NAME_MAX = 63,    /* of a schema */
    PG_SERVER_LEAST = 140000,
    PG_DOUBTS_MAX = 1024,
    PG_LOOK_MAX = 1000,        /* entries that one SCAN or SWEEP statement looks at */
    PG_LIST_LOOK = 256,        /* LIST_OWNER likewise, or as many as it may report */
    PG_REPORT_BYTES = 4 << 20, /* values in one answer to LIST_OWNER or SCAN, about */
    PG_RETRIES_MAX = 3,        /* of serialization failures and deadlocks (SF-9) */
    PG_PARAMS_MAX = 16,
    PG_FLIGHT_MAX = 64, /* requests on one connection before the next is used */
    PG_CONN_PARAMS_MAX = 40,
    PG_SELF_BYTES = 8,
    PG_CHANNEL_MAX = 63, /* as of any name in PostgreSQL */
};

/* Epochs that may be put back: there must be numbers left above them. */
#define PG_AGAIN_MAX ((uint64_t)INT64_MAX / 2)

/** X(name): statements.c has their text. */
#define PG_STATEMENTS(X)                                                                       \
    X(LOAD_SESSION)                                                                            \
    X(LOAD_ACCOUNT)                                                                            \
    X(LOAD_META)                                                                               \
    X(INSERT_SESSION)                                                                          \
    X(INSERT_ACCOUNT)                                                                          \
    X(INSERT_META)                                                                             \
    X(REPLACE_SESSION)                                                                         \
    X(REPLACE_ACCOUNT)                                                                         \
    X(REPLACE_META)                                                                            \
    X(REPLACE_QUIETLY)                                                                         \
    X(REMOVE_SESSION)                                                                          \
    X(REMOVE_ACCOUNT)                                                                          \
    X(REMOVE_META)                                                                             \
    X(SCAN_SESSIONS)                                                                           \
    X(SCAN_ACCOUNTS)                                                                           \
    X(SCAN_META)                                                                               \
    X(LIST)                                                                                    \
    X(REMOVE_OWNER)                                                                            \
    X(EPOCHS)                                                                                  \
    X(END_ALL)                                                                                 \
    X(SWEEP_EXPIRED)                                                                           \
    X(SWEEP_ENDED)                                                                             \
    X(SWEEP_META)                                                                              \
    X(SWEEP_ACCOUNTS)                                                                          \
    X(SWEEP_OWNERS)                                                                            \
    X(SAY)                                                                                     \
    X(LEAVE)                                                                                   \
    X(SETTLE)                                                                                  \
    X(TIMEOUT)

typedef enum pg_statement {
#define X(name) PG_##name,
    PG_STATEMENTS(X)
#undef X
        PG_STATEMENT_COUNT,
} pg_statement;

/** A connection that was dropped with writes in flight: they may still take place, until the
 * server has dropped it too. */
typedef struct pg_doubt {
    uint64_t number; /* counted from 1 */
    int32_t pid;
    int64_t started_us; /* a pid alone may be somebody else's by now */
    char server[REMOTE_SERVER_MAX];
} pg_doubt;

enum { PG_PHASES = 5 };

/** How far SWEEP has come; and epochs that no sign-in depends on any more. */
typedef struct pg_sweeper {
    uint32_t phase;
    uint8_t cursor[COAT_HANDLE_BYTES];
    uint8_t cursor_len;
    uint64_t steps;              /* so far: an answer to an earlier question moves nothing */
    uint64_t sessions, accounts; /* met in this walk and left */
    uint64_t walked;             /* numbers up to here had been given out at walked_ms */
    int64_t walked_ms;           /* monotonic */
    uint64_t settled;
} pg_sweeper;

/** Parameters for PQconnectStartParams(), but for the addresses. */
typedef struct pg_conninfo {
    const char *keys[PG_CONN_PARAMS_MAX], *values[PG_CONN_PARAMS_MAX];
    size_t count;
    char port[8], options[600];
} pg_conninfo;

typedef struct pg_store {
    remote_store remote;
    remote_url url;
    const char *host; /* to be resolved; NULL: a Unix socket */
    char schema[PG_NAME_MAX + 1];
    uint8_t self[PG_SELF_BYTES]; /* who has changed something: this store */
    char password[REMOTE_SECRET_MAX + 1];
    pg_conninfo conninfo;
    _Atomic uint64_t global; /* the highest global epoch seen */
    _Atomic uint64_t sessions, accounts;
    _Atomic bool full;
    _Atomic int32_t format; /* of the schema, as last seen: -1 unknown, 0 none */
    _Atomic int32_t oldest; /* see pg_format_trouble() */
    _Atomic bool durable;   /* as last seen */

    /* Under remote.mutex. */
    pg_doubt doubts[PG_DOUBTS_MAX];
    size_t doubt_count;
    uint64_t doubt_number;
    char lost_on[REMOTE_SERVER_MAX]; /* a server where there were more: SWEEP can promise
                                      * nothing while it serves. "": none */
    uint64_t lost_era;
    pg_sweeper sweeper;
    char notice[256];  /* what is unsuitable about the server */
    char trouble[200]; /* why there is no connection */
    remote_watches watches;
} pg_store;

/** Whose a connection is. On the lane's thread. */
typedef struct pg_socket_user {
    void (*connected)(void *owner);
    void (*readable)(void *owner);
    void (*writable)(void *owner);
    void (*failed)(void *owner, const char *why);
} pg_socket_user;

typedef struct pg_poll pg_poll;
typedef struct pg_lookup pg_lookup;

/** A connection of libpq, and the handles that watch it. */
typedef struct pg_socket {
    pg_store *store;
    uv_loop_t *loop;
    const pg_socket_user *user;
    void *owner;
    PGconn *conn;
    pg_poll *poll;     /* a handle of its own: it outlives the connection by a turn */
    pg_lookup *lookup; /* of the host's addresses, while under way */
    uint32_t attempt;
} pg_socket;

/** What a server says of itself. */
typedef struct pg_server_facts {
    int32_t version, pid;
    int64_t started_us; /* when the server process of this connection was */
    bool read_only, asynchronous, synced, has_schema;
    char identity[REMOTE_SERVER_MAX];
} pg_server_facts;

typedef enum pg_due_kind {
    PG_DUE_SYNC,    /* the end of a segment */
    PG_DUE_HELLO,   /* the connection's own */
    PG_DUE_REQUEST, /* a request's answer, or a part of it */
    PG_DUE_ASIDE,   /* comes before it */
    PG_DUE_PREPARE, /* a statement is used for the first time */
} pg_due_kind;

/** What a result that is due belongs to. */
typedef struct pg_due {
    uint8_t kind; /* pg_due_kind */
    uint8_t what; /* HELLO: its question; REQUEST: its statement */
    coat_store_req *req;
    uint64_t number; /* the result's first column */
} pg_due;

typedef struct pg_link {
    remote_link base;
    pg_socket socket;
    uint64_t connection; /* how many there were before */
    char server[REMOTE_SERVER_MAX];
    uint64_t era; /* it was greeted in: see remote/watch.h */

    pg_due *due; /* a ring */
    size_t due_first, due_count, due_cap;
    bool open;            /* a segment has begun */
    bool broken;          /* something could not be sent: dropped when it is flushed */
    coat_store_req *held; /* a write that waits for its segment's Sync, with its result */
    PGresult *held_result;
    uint64_t number; /* of the last question; begins at random */
    bool greeted;
    uint32_t timeout_ms; /* of requests that statement_timeout is set for */
    uint64_t prepared;   /* statements, by bit */

    int32_t pid;
    int64_t started_us;
    uint64_t asked_doubts; /* its hello asks about doubts up to this number */
} pg_link;

static inline pg_store *
pg_store_of(const pg_link *link)
{
    return (pg_store *)link->base.lane->base.store;
}

/* statements.c */
typedef struct pg_text {
    const char *name, *sql; /* {s} stands for the schema */
    const char *types;      /* of the parameters: b bytea, q bigint, i integer, ? boolean */
    bool writes;
} pg_text;
extern const pg_text pg_texts[PG_STATEMENT_COUNT];
/** sql with the schema's name in it; to be freed. NULL: no memory */
char *pg_with_schema(const char *sql, const char *schema);

/* conninfo.c */
coat_err pg_take_url(pg_store *store, const coat_store_conf *conf);
coat_err pg_refuse(const coat_store_conf *conf, const char *what, const char *why);

/* connect.c */
/** Begin to connect. Ends, later or before it returns, in connected() or failed(). */
void pg_socket_open(pg_socket *socket, pg_store *store, uv_loop_t *loop,
                    const pg_socket_user *user, void *owner);
/** @param abort  what libpq has not sent yet is not to be sent in parting: it was given up */
void pg_socket_close(pg_socket *socket, bool abort);
/** Watch the socket for what is left to be sent, too. */
void pg_socket_watch(pg_socket *socket, bool writable);

/* hello.c */
/** What is asked first, and what is wrong with the answer; NULL: nothing. */
extern const char pg_ask_server[], pg_ask_format[];
const char *pg_read_server(const PGresult *result, pg_server_facts *out);
/** @return false: not an answer to pg_ask_format */
bool pg_read_format(const PGresult *result, int32_t *version, int32_t *oldest);

void pg_hello(pg_link *link); /* ask */
/** @return false: the link was dropped */
bool pg_hello_result(pg_link *link, const pg_due *due, const PGresult *result);
/**
 * What this says about the schema, for the operator.
 *
 * @param oldest  the oldest version that a program may work on for this schema, as its last
 *                migration says
 * @return false: nothing wrong
 */
bool pg_format_trouble(const pg_store *store, int32_t format, int32_t oldest, char *out,
                       size_t cap);
/** Use the connection once no watch is ready on another server. */
void pg_settle(pg_link *link);

/* link.c */
extern const struct remote_kind pg_kind;
coat_err pg_expect(pg_link *link, const pg_due *due);
/** Something has come. */
void pg_readable(pg_link *link);
void pg_flush(remote_link *link);
/** Drop the link, saying why. */
void pg_fail(pg_link *link, const char *why);
/** May it be asked again for what others do at the same time? Three times (SF-9). */
bool pg_may_retry(coat_store_req *req);
/** Under the mutex: forget doubts up to this number.
 * @param alive  kept are other servers' than the link's, and those whose pid and start are in
 *               its rows; NULL: the link's server serves and has dropped them all, so none */
void pg_doubts_forget(const pg_link *link, uint64_t mark, const PGresult *alive);
/** Take one result that is due; frees it. Also for tests, without a server. */
void pg_take_result(pg_link *link, PGresult *result);
/** End the segment. */
void pg_sync(pg_link *link);

/* request.c */
coat_err pg_send(remote_link *link, coat_store_req *req);
/** Queue a request's statement: the first time, the next part, or once more. */
void pg_ask(pg_link *link, coat_store_req *req);

/** How many entries a LIST_OWNER or SCAN statement looks at. */
uint32_t pg_look(const coat_store_req *req);

/* answer.c */
/** The result of a request's statement, whose transaction is committed if it writes. */
void pg_answer(pg_link *link, coat_store_req *req, const PGresult *result);
/** Ended by an error of the server. */
void pg_finish(pg_link *link, coat_store_req *req, coat_err result);

/* watch.c */
coat_err pg_watch_open(coat_lane *lane, const coat_watch_sink *sink, coat_watch **out);
void pg_watch_close(coat_watch *watch);

/* report.c */
/** Report what a notification says. @return false: not what our functions say */
bool pg_report(remote_watch *watch, const char *payload);

/* row.c: fields of results, never trusted */
bool pg_is_row(const PGresult *result, int row, int columns);
bool pg_signed(const PGresult *result, int row, int column, int64_t *out);
bool pg_small(const PGresult *result, int row, int column, int32_t *out);
bool pg_bool(const PGresult *result, int row, int column, bool *out);
/** NULL: {NULL, 0} */
coat_span pg_bytes(const PGresult *result, int row, int column);
/** A number that is never negative: versions, epochs, times. */
bool pg_number(const PGresult *result, int row, int column, uint64_t *out);

/* migrate.c */
coat_err pg_migrate(const coat_store_conf *conf, uint32_t *from, uint32_t *to);
coat_err pg_migrate_store(pg_store *store, const coat_store_conf *conf, uint32_t *from,
                          uint32_t *to);

/* postgresql.c */
extern const struct coat_store_ops coat_postgresql_ops;
/** Note a global epoch: what is lower from now on is out of date. @return the highest */
uint64_t pg_global_seen(pg_store *store, uint64_t epoch);

#endif
