/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_SERVER_LOG_LOG_H
#define COAT_SERVER_LOG_LOG_H

/**
 * Log lines and audit events: one line each, logfmt or JSON (AU-1 to AU-5).
 *
 * Nothing here blocks its caller but coat_audit_commit: lines go into a bounded queue, and a
 * thread of the log's own writes them. What finds the queue full is counted and reported as
 * audit_lost once there is room again. More than 100 events of one type in a second are
 * summed up: one event with `count` and reason "aggregated" per second.
 *
 * No function takes free-form data: values go under a name of coat_log_name, and no name
 * stands for a secret. What has the shape of a token (54 or 64 base64url characters on their
 * own) is written as "[redacted]" wherever it turns up.
 *
 * Threads: any, but new and free.
 */

#include <coatcheck/event.h>
#include <coatcheck/forward.h>
#include <coatcheck/keys.h>

#define COAT_LOG_FIELD_MAX 256 /* bytes of a value */
#define COAT_LOG_LINE_MAX 8192
#define COAT_LOG_RING_MAX 10000
#define COAT_LOG_FLOOD_MAX 100  /* lines of one type a second */
#define COAT_LOG_COMMIT_MS 2000 /* longest wait of coat_audit_commit */

typedef struct coat_log coat_log;

typedef enum coat_log_level { /* order of log.level */
                              COAT_LOG_DEBUG,
                              COAT_LOG_INFO,
                              COAT_LOG_NOTICE,
                              COAT_LOG_WARNING,
                              COAT_LOG_ERROR,
} coat_log_level;

typedef enum coat_log_format { COAT_LOG_LOGFMT, COAT_LOG_JSON } coat_log_format;

typedef struct coat_log_conf {
    coat_log_level level;
    coat_log_format format;
    const char *target;       /* "stderr", "stdout", "file:/path", "fd:3" (borrowed) */
    const char *audit_target; /* the same, or "log" / NULL for one stream */
    const char *instance;     /* NULL: host name */
    uint32_t ring_max;        /* 0: COAT_LOG_RING_MAX */
    uint32_t flood_max;       /* 0: COAT_LOG_FLOOD_MAX */
    uint32_t commit_ms;       /* 0: COAT_LOG_COMMIT_MS */
    coat_clock_fn clock;      /* NULL: coat_clock_system */
    void *clock_ctx;
    coat_clock_fn monotonic; /* NULL: CLOCK_MONOTONIC; decides about floods */
    void *monotonic_ctx;
} coat_log_conf;

coat_err coat_log_new(const coat_log_conf *conf, coat_log **out, char *message,
                      size_t cap) COAT_MUST_USE;
/** Writes what is waiting (for at most commit_ms), then stops. NULL is a no-op. */
void coat_log_free(coat_log *log);
/** Open files anew, after rotation. Keeps the old one on failure. */
coat_err coat_log_reopen(coat_log *log) COAT_MUST_USE;
void coat_log_level_set(coat_log *log, coat_log_level level);
/** Keys for the correlation digest of sessions; borrowed until replaced. NULL: "-". */
void coat_log_keys_set(coat_log *log, const coat_keys *keys);

/* ---- ordinary lines ---- */

/* X(name, text): what a line may say, and nothing else. */
#define COAT_LOG_NAME_MAP(X)                                                                   \
    X(REQUEST, "request_id")                                                                   \
    X(CLIENT, "client")                                                                        \
    X(METHOD, "method")                                                                        \
    X(ROUTE, "route") /* the pattern, never the target: a query may hold anything */           \
    X(STATUS, "status")                                                                        \
    X(CODE, "code")   /* stable error code */                                                  \
    X(ERROR, "error") /* coat_err_name, strerror */                                            \
    X(FILE, "file")                                                                            \
    X(KEY, "key")         /* a configuration key */                                            \
    X(VALUE, "value")     /* of a configuration key */                                         \
    X(ADDRESS, "address") /* of a listener */                                                  \
    X(USER, "user")                                                                            \
    X(COUNT, "count")                                                                          \
    X(DURATION, "duration_ms")                                                                 \
    X(PID, "pid")                                                                              \
    X(VERSION, "version")                                                                      \
    X(DETAIL, "detail") /* a message made by coatcheck itself */

typedef enum coat_log_name {
#define X(name, text) COAT_LOG_F_##name,
    COAT_LOG_NAME_MAP(X)
#undef X
        COAT_LOG_F_NAMES
} coat_log_name;

typedef struct coat_log_field {
    coat_log_name name;
    bool is_number;
    int64_t number;
    coat_span text;
} coat_log_field;

/** what: a literal. COAT_LOG_FIELDS makes the last two arguments. */
void coat_log_line(coat_log *log, coat_log_level level, const char *what,
                   const coat_log_field *fields, size_t count);
#define COAT_LOG_FIELDS(...)                                                                   \
    (const coat_log_field[]){__VA_ARGS__},                                                     \
        sizeof((const coat_log_field[]){__VA_ARGS__}) / sizeof(coat_log_field)

static inline coat_log_field
coat_log_number(coat_log_name name, int64_t number)
{
    return (coat_log_field){.name = name, .is_number = true, .number = number};
}
static inline coat_log_field
coat_log_span(coat_log_name name, coat_span text)
{
    return (coat_log_field){.name = name, .text = text};
}
coat_log_field coat_log_text(coat_log_name name, const char *text);

/* ---- audit events ---- */

/** Which request an event belongs to. */
typedef struct coat_audit_origin {
    coat_span request_id;
    coat_address client;
} coat_audit_origin;

/** Put an event into the stream; never blocks. origin may be NULL. */
void coat_audit_event(coat_log *log, const coat_event *event, const coat_audit_origin *origin);
/**
 * A coat_event_fn; ctx is the coat_log. Takes the origin from event->cause: in the daemon the
 * ctx of every coat_call and coat_account_call points to a struct that begins with a
 * coat_audit_origin (or is NULL).
 */
void coat_audit_event_fn(void *log, const coat_event *event);

/** False while events cannot be written: refuse changes by administrators (503 AUDIT_DOWN). */
bool coat_audit_writable(const coat_log *log);

/**
 * Write ahead: returns COAT_OK once the event is in the stream (and synced, for a file), so
 * that its effect never comes without it. Blocks for at most commit_ms: not for hot loops.
 * @retval COAT_AUDIT_DOWN  not written: do not act
 */
coat_err coat_audit_commit(coat_log *log, const coat_event *event,
                           const coat_audit_origin *origin) COAT_MUST_USE;

/** The same for a libuv loop, without blocking it. */
struct uv_loop_s;
typedef struct coat_audit_lane coat_audit_lane;
typedef struct coat_audit_call coat_audit_call;
struct coat_audit_call {
    coat_event event; /* borrowed contents until coat_audit_start returns */
    coat_audit_origin origin;
    /** On the loop's thread, exactly once, never from within coat_audit_start. */
    void (*done)(coat_audit_call *call);
    void *ctx;
    coat_err result; /* COAT_OK or COAT_AUDIT_DOWN */
    void *priv[2];
};
coat_err coat_audit_lane_open(coat_log *log, struct uv_loop_s *loop,
                              coat_audit_lane **out) COAT_MUST_USE;
/** Outstanding calls end in AUDIT_DOWN before it returns; run the loop once more after it. */
void coat_audit_lane_close(coat_audit_lane *lane);
void coat_audit_start(coat_audit_lane *lane, coat_audit_call *call);

typedef struct coat_log_stats {
    uint64_t events, lines; /* accepted */
    uint64_t written;       /* lines that reached their target, of all kinds */
    uint64_t audit_lost;    /* events that found no room */
    uint64_t lines_lost;
    uint64_t aggregated; /* events summed up instead of written one by one */
    uint64_t waiting;    /* in the queue now */
    uint64_t write_errors;
} coat_log_stats;
void coat_log_stats_get(const coat_log *log, coat_log_stats *out);

#endif
