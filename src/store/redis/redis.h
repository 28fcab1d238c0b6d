/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_STORE_REDIS_H
#define COAT_STORE_REDIS_H

/**
 * The store on Redis or Valkey from version 6.2: one server, or one that sentinels name; or a
 * cluster, see cluster.h.
 *
 *  redis.c     the store's functions: open, close, statistics
 *  link.c      a connection: replies in the order of commands, errors
 *  hello.c     what is said and checked before the first request
 *  doubt.c     writes of unknown outcome are decided
 *  request.c   requests to commands
 *  answer.c    replies to answers
 *  server.c    one server at a time: see remote/watch.h; and what it has to hear first
 *  watch.c, report.c  changes, as they are reported
 *  journal.c   what was ended lately, for a server that has forgotten it
 *  sentinel.h  which server it is, if sentinels know
 *  resp.c      the wire format
 *  scripts/    what runs in the server, compiled in
 *
 * Keys, all behind the prefix:
 *   {OWNER}:s:SERIAL  a session              {OWNER}:i  its owner's: serials in order
 *   {OWNER}:e         its owner's epoch and when it was raised
 *   {ADDRESS}:a, :m   an account, meta data
 *   sessions, accounts, meta, owners         addresses in order, for SCAN and SWEEP
 *   global, epochs, versions, format         global epoch, counters
 *   members           who has said something, and the version of it
 *   nothing           never is: see scripts/common.lua
 * In a cluster the prefix of a bucket's keys is PREFIX {TAG}:
 * Channels: PREFIX DB:changes, and PREFIX DB:to:INSTANCE; in a cluster each with :NODE behind
 * it, by which a message that came over the cluster's bus is told from one of the node's own.
 */

#include "core/out.h"
#include "store/redis/resp.h"
#include "store/redis/sentinel.h"
#include "store/remote/remote.h"
#include "store/remote/stream.h"
#include "store/remote/url.h"
#include "store/remote/watch.h"

enum {
    REDIS_FORMAT = 1,
    REDIS_PREFIX_MAX = 64,
    REDIS_CHANNEL_MAX = REDIS_PREFIX_MAX + 104,
    REDIS_DOUBTS_MAX = 1024,
    REDIS_DOUBTS_MANY = REDIS_DOUBTS_MAX / 2, /* what is left is enough for a daemon's links */
    REDIS_RUN_ID = 40,
    REDIS_REPORT_BYTES = 4 << 20, /* values in one answer to LIST_OWNER or SCAN, about */
    REDIS_LOOK_MAX =
        100, /* entries that one SCAN or SWEEP script looks at: others wait for it */
    REDIS_LIST_LOOK = 256, /* LIST_OWNER likewise; most owners fit */
    REDIS_JOURNAL_MAX = 16384,
    REDIS_JOURNAL_HEADS = 65536,
    REDIS_JOURNAL_MS = 120 * 1000,
    REDIS_BUCKET_PREFIX_MAX = REDIS_PREFIX_MAX + 16, /* of a bucket of a cluster */
    REDIS_SLACK_MS = 3600 * 1000, /* the server forgets what has expired this much later */
};

typedef enum redis_script {
    SCRIPT_HELLO,
    SCRIPT_ADD,
    SCRIPT_END_ALL,
    SCRIPT_EPOCHS,
    SCRIPT_INSERT,
    SCRIPT_LEAVE,
    SCRIPT_LIST,
    SCRIPT_LOAD,
    SCRIPT_REMOVE,
    SCRIPT_REMOVE_OWNER,
    SCRIPT_REPLACE,
    SCRIPT_SAY,
    SCRIPT_SCAN,
    SCRIPT_SWEEP,
    SCRIPT_COUNT,
} redis_script;

/** A connection that was dropped with writes in flight: they may still take place, until the
 * server has dropped it too. */
typedef struct redis_doubt {
    uint64_t number; /* counted from 1 */
    uint64_t client;
    char run_id[REDIS_RUN_ID];
} redis_doubt;

/** A session, or all sessions of an owner but perhaps one, that were ended. */
typedef struct redis_ended {
    bool is_owner, has_spare;
    coat_handle handle; /* the session; is_owner: the spared one, and whose they were */
    uint64_t epoch;     /* is_owner: the one that ended them */
    int64_t raised_ms;  /* the request's clock */
    int64_t when_ms;    /* monotonic */
    uint64_t number;    /* the journal's own: entries are counted, */
    uint16_t before;    /* and those of a check sum are a chain */
} redis_ended;

typedef struct redis_journal {
    redis_ended *ring; /* REDIS_JOURNAL_MAX, once there is something */
    uint16_t *heads;   /* REDIS_JOURNAL_HEADS: by check sum of a session, its last entry + 1 */
    size_t first, count;
    uint64_t added; /* so far; the number of the last entry */
} redis_journal;

/** How far SWEEP has come; and epochs that no session and no sign-in depends on any more. */
typedef struct redis_sweeper {
    uint32_t phase;
    uint8_t cursor[16];
    uint8_t cursor_len;
    uint64_t steps;    /* so far: a reply to an earlier question moves nothing */
    bool odd;          /* this walk has met sessions that cannot be read */
    uint64_t began;    /* the last epoch when this walk began */
    int64_t began_ms;  /* monotonic */
    uint64_t walked;   /* a walk that began at this epoch has come to its end */
    int64_t walked_ms; /* when it began */
    uint64_t settled;
} redis_sweeper;

typedef struct redis_store {
    remote_store remote;
    struct redis_cluster *cluster; /* it is a node of this one; else NULL */
    struct redis_store *home;      /* what all nodes of a cluster share; NULL: this itself */
    remote_url url;
    remote_address address; /* of one server; TLS of all */
    redis_sentinels sentinels;
    char prefix[REDIS_PREFIX_MAX + 2]; /* with the colon */
    char password[REMOTE_SECRET_MAX + 1];
    uint32_t db;
    char channels[REDIS_PREFIX_MAX + 16]; /* what all our channels begin with: channels are not
                                           * of one database, so they bear its number */
    uint8_t self[8];                      /* who has changed something: this store */
    _Atomic uint64_t global;              /* the highest global epoch seen */
    _Atomic uint64_t given;               /* the highest epoch of whatever kind */
    _Atomic uint64_t sessions, accounts;
    _Atomic bool full;
    _Atomic int64_t sentry_ms; /* when the sentinels were last asked; monotonic */

    /* Under remote.mutex. */
    redis_doubt doubts[REDIS_DOUBTS_MAX];
    size_t doubt_count;
    uint64_t doubt_number;
    char lost_on[REDIS_RUN_ID]; /* a server where there were more: SWEEP can promise nothing
                                 * while it serves. "": none */
    uint64_t lost_era;
    redis_sweeper sweeper;
    redis_journal journal;
    char replayed[REDIS_RUN_ID];    /* the server that has heard the journal */
    char replayed_as[REDIS_RUN_ID]; /* its history of replication then: a promotion begins
                                     * another */
    char run_id[REDIS_RUN_ID];      /* of the server that notice is about */
    char notice[400];               /* what is unsuitable about it */
    char trouble[200];              /* why there is no connection */
    remote_watches watches;         /* servers are known by their run id */
    redis_place serving_at;         /* where the current one is, if sentinels have named it */
} redis_store;

static inline redis_store *
redis_home(redis_store *part)
{
    return part->home != NULL ? part->home : part;
}

/** What a node of a cluster says of itself. */
typedef struct redis_view {
    char id[41];
    bool moving;          /* it is handing a bucket over */
    bool ok;              /* it serves: most of the cluster can be reached */
    bool full_coverage;   /* it does not when any slot is not served */
    bool reads_when_down; /* it answers though others may have taken over */
    uint64_t epoch;       /* of the cluster: it rises with each promotion */
    uint64_t shape;       /* as it sees the cluster; 0: of no use */
    uint8_t claims[32];   /* bits: the buckets it has */
    uint16_t greeting;    /* the bucket that its format is asked for */
} redis_view;

/** What a reply that is due belongs to. */
typedef struct redis_due {
    coat_store_req *req; /* NULL: the connection's own */
    uint8_t what;        /* of the hello; or redis_due_kind */
    uint8_t script;      /* SCRIPT_COUNT: none */
    uint64_t number;     /* of the request on this link: a script's answer names it */
} redis_due;

enum redis_due_kind {
    DUE_ANSWER, /* the request's answer, or a part of it */
    DUE_IGNORE, /* comes before it and says nothing */
};

typedef struct redis_link {
    remote_link base;
    redis_ask *ask; /* before there is a stream */
    redis_place place;
    remote_stream *stream;
    resp_reader *reader;
    remote_buffer out;
    redis_due *due; /* a ring */
    size_t due_first, due_count, due_cap;
    bool greeted;
    uint64_t told;        /* so much of the journal was said on it */
    uint64_t told_global; /* and this global epoch */
    uint64_t era;         /* it was greeted in */
    uint64_t connection;  /* how many there were before */
    uint64_t number;      /* of the last request; begins at random */
    uint64_t client;
    uint64_t settles;            /* doubts up to this number, once it is greeted */
    char shas[SCRIPT_COUNT][41]; /* by which the server knows our scripts */
    char run_id[REDIS_RUN_ID + 1], history[REDIS_RUN_ID];
    char appendfsync[16], save[16];
    bool aof, may_kill;
    char policy[32], min_replicas[16];
    redis_view view;
} redis_link;

static inline redis_store *
redis_store_of(const redis_link *link)
{
    return (redis_store *)link->base.lane->base.store;
}

/* link.c */
extern const struct remote_kind redis_kind;
/** Note that a reply is due for what was just queued, under link->number. */
coat_err redis_expect(redis_link *link, coat_store_req *req, uint8_t what, uint8_t script);
/** What came from the server. */
void redis_bytes(void *link, const uint8_t *bytes, size_t len);
/** Drop the link, saying why. */
void redis_fail(redis_link *link, const char *why);

/* hello.c */
void redis_hello(redis_link *link); /* queue it */
/** @return false: the link is of no use and was dropped */
enum { HELLO_REPLAY = 100 }; /* `what` of a reply to redis_say_ended() */
bool redis_hello_reply(redis_link *link, const redis_due *due, const resp_reply *reply);
/** Queue a command of the connection's own. */
void redis_say(redis_link *link, uint8_t what, size_t count, const char *const *words);
#define REDIS_SAY(link, what, ...)                                                             \
    redis_say(link, what, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *),   \
              (const char *const[]){__VA_ARGS__})
/** Ask for the format of what is kept behind this prefix. */
void redis_say_format(redis_link *link, uint8_t what, const char *prefix);
bool redis_take_format(redis_link *link, const resp_reply *reply);

/** What a server's INFO says against it, or NULL; and which one it is: REDIS_RUN_ID characters
 * and a NUL. */
const char *redis_info_wrong(coat_span info, bool in_cluster, char *run_id);
/** The value of "name:value" in lines; NULL pointer: it is not there. */
coat_span redis_info_field(coat_span info, const char *name);

/* cluster_hello.c, cluster_part.c: where a node of a cluster differs */
enum { HELLO_CLUSTER = 120 }; /* `what` of its replies, and above */
void redis_cluster_hello(redis_link *link);
/** Ask who has what: replies are the connection's own. */
void redis_cluster_ask(redis_link *link);
bool redis_cluster_hello_reply(redis_link *link, const redis_due *due, const resp_reply *reply);
void redis_cluster_judge(const redis_link *link, coat_out *out);
bool redis_cluster_claims(const redis_link *link, const redis_ended *ended);
/** Queue the global epoch for each bucket that it has. */
coat_err redis_cluster_say_global(redis_link *link, uint64_t global);
/** The prefix of the bucket that a request is for, REDIS_BUCKET_PREFIX_MAX bytes. */
void redis_cluster_prefix(const redis_store *store, const coat_store_req *req, char *out);
redis_sweeper *redis_cluster_sweeper(const redis_store *store, const coat_store_req *req);
uint32_t redis_cluster_look(const coat_store_req *req);
void redis_cluster_counted(const coat_store_req *req, uint64_t sessions, uint64_t accounts);
/** A request that is to a node and to no bucket. @return false: it is none */
bool redis_cluster_own(redis_link *link, coat_store_req *req, coat_err *result);
bool redis_cluster_own_answer(const redis_link *link, coat_store_req *req);
/** What a SAY to a node is part of. @param shape  8 bytes
 * @return the version that the message has already; 0: none */
uint64_t redis_cluster_message(const coat_store_req *req, uint8_t *shape);
/** May a node be used that a watch does not listen to? Under the mutex of home. @return false:
 * not until that is LOST */
bool redis_cluster_covered(redis_store *store);
/** What a node has said of a message, by this watch of it. */
void redis_cluster_heard(remote_watch *watch, const coat_watch_event *event, uint64_t version,
                         uint64_t shape);
/** A node that has not the slot, or not all of it. @return false: it says something else */
bool redis_cluster_refused(redis_link *link, coat_store_req *req, coat_span text);

/* server.c */
bool redis_admit(redis_link *link); /* may it be used now? */
bool redis_fit(const remote_link *link);
/** The current server serves no more if it is at another place than this. */
void redis_leave_other(redis_store *store, const redis_place *place);
/** What is in use and what is wrong with it, for statistics. */
void redis_describe(redis_store *store, bool away, char *text, size_t cap);

/* sentry.c */
typedef struct redis_sentry redis_sentry;
/** @param out  NULL: none is needed */
coat_err redis_sentry_open(uv_loop_t *loop, redis_store *store, redis_sentry **out);
void redis_sentry_close(redis_sentry *sentry); /* NULL is a no-op */

/* watch.c */
coat_err redis_watch_open(coat_lane *lane, const coat_watch_sink *sink, coat_watch **out);
void redis_watch_close(coat_watch *watch);
/** The identifier of the node of a cluster that it listens to, when it is ready. */
const char *redis_watch_node(const coat_watch *watch);

/* report.c */
/** @return false: not what our scripts publish */
bool redis_report(remote_watch *watch, coat_span channel, const resp_reply *message);

/* scripts/, compiled in by scripts/embed-lua */
coat_span redis_script_body(redis_script script);

/* journal.c */
/** Note what this link's server has acknowledged. @return false: it serves no more, and its
 * word counts no more */
bool redis_journal_add(redis_link *link, const redis_ended *ended);
/** A session was put where one was ended: that end must not be said again. */
void redis_journal_forget(const redis_link *link, const coat_handle *handle);
void redis_journal_free(redis_journal *journal);
/** Does its server serve, so that its word counts? As redis_journal_add() */
bool redis_journal_counts(const redis_link *link);
/** Queue what this server has not heard of the journal. @return false: out of memory */
bool redis_journal_replay(redis_link *link);
/** Under the mutex. Has it heard all? */
bool redis_journal_heard(const redis_link *link);

/* doubt.c */
/** The link is dropped: note whether writes are in flight on it. */
void redis_doubt_note(const redis_link *link);
/**
 * Queue that this link's server drops what is in doubt on it.
 * @param req   NULL: the link's own, and only if there are many
 * @param mark  set: up to this number
 * @retval COAT_STORE_DOWN  not all that was can be: SWEEP can promise nothing
 */
coat_err redis_doubts_end(redis_link *link, coat_store_req *req, uint8_t what, uint64_t *mark);
/** It has: forget them, and what was in doubt on servers before it. */
void redis_doubts_ended(const redis_link *link, uint64_t mark);

/* request.c */
/** Queue that something was ended once more, as the connection's own. */
coat_err redis_say_ended(redis_link *link, const redis_ended *ended);
/** The same for the global epoch. @param req  names it; zeroed but for what the bucket needs
 * @param what  of its reply */
coat_err redis_say_global(redis_link *link, coat_store_req *req, uint64_t global, uint8_t what);
coat_err redis_send(remote_link *link, coat_store_req *req);
/** A pending LOAD's count: it is asked again by a script, whose answer names its request. */
enum { REDIS_LOAD_AGAIN = 1 };
/** Queue the next part of a SCAN or SWEEP, or a LOAD again; or all of a request anew,
 * with the script's body. */
coat_err redis_request(redis_link *link, coat_store_req *req, bool with_body);
enum { REDIS_PHASES = 4 };
/** Where SWEEP is, under redis_home()'s mutex; and how many entries one looks at. */
redis_sweeper *redis_sweeper_of(redis_store *store, const coat_store_req *req);
uint32_t redis_look_max(const redis_store *store, const coat_store_req *req);
/** The arguments that every script has last. */
void redis_last_args(redis_link *link);
/** The channel of changes, or of messages to one instance: REDIS_CHANNEL_MAX bytes.
 * @param node  of a cluster, by its identifier; else "" */
void redis_channel(const redis_store *store, const coat_handle *to, const char *node,
                   char *out);

/* answer.c */
void redis_finish(redis_link *link, coat_store_req *req, coat_err result);
void redis_answer(redis_link *link, coat_store_req *req, const resp_reply *reply);

/* redis.c */
extern const struct coat_store_ops coat_redis_ops;
/** Note a global epoch: what is lower from now on is out of date. @return the highest */
uint64_t redis_global_seen(redis_store *store, uint64_t epoch);
/** Note an epoch that was given out: from here on only higher ones are. */
void redis_given_seen(redis_store *store, uint64_t epoch);
/** Fill in a store by its URL, from conf->url. */
coat_err redis_take_url(redis_store *store, const coat_store_conf *conf);
/** Ask once, and say in conf->message what was found. */
void redis_look_once(redis_store *store, const coat_store_conf *conf,
                     const coat_store_req *question);
/* cluster.c */
coat_err redis_cluster_open(const coat_store_conf *conf, coat_store **out);

#endif
