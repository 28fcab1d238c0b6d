/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COATCHECK_ENGINE_H
#define COATCHECK_ENGINE_H

/**
 * Sessions: everything the daemon does with one, for any C program.
 *
 * One coat_engine per process joins policy, keys, store and node table. Each thread that works
 * asynchronously opens a desk on its libuv loop. A program without a loop uses the blocking
 * functions at the end of this file, from any thread.
 */

#include <coatcheck/csrf.h>
#include <coatcheck/event.h>
#include <coatcheck/judge.h>
#include <coatcheck/keys.h>
#include <coatcheck/store.h>
#include <coatcheck/table.h>

typedef struct coat_engine coat_engine;
typedef struct coat_desk coat_desk;
typedef struct coat_session coat_session;

/** What a change of client context does (LC-13). A change of address alone only reports. */
typedef enum coat_context_policy {
    COAT_CONTEXT_REPORT = 0,
    COAT_CONTEXT_STEP_UP,
    COAT_CONTEXT_END,
} coat_context_policy;

#define COAT_CLOCK_OFF_MS (30 * 1000)

typedef struct coat_engine_conf {
    coat_policy policy;
    coat_context_policy context_policy;
    bool context_privacy;       /* keep networks (/24, /48), not full addresses */
    bool reuse_report_only;     /* LC-7: do not end the session on token reuse */
    uint32_t sessions_per_user; /* default 10; 0: any number */
    bool sessions_deny;         /* refuse the newest instead of ending the oldest */
    uint32_t data_max;          /* bytes of application data; default 4096 */
    /* Borrowed until coat_engine_free; after coat_engine_reconfigure, those of before until the
     * last call that was started before has ended. */
    const coat_keys *keys;
    coat_store *store;      /* borrowed */
    const char *table_path; /* NULL: a private table in memory */
    uint32_t table_slots;   /* default 131072; 0: no table, every check asks the store */
    uint32_t table_gid;     /* group that may read the table; (uint32_t)-1: nobody else */
    /* File of sessions that are still to be ended after an outage of the store, so that this
     * outlives the process (SF-4). NULL: beside the table (path ".ended"), if that has a path.
     */
    const char *outbox_path;
    /* SF-10: issue nothing while effective time is further than this from the clock of a store
     * that tells its own; default COAT_CLOCK_OFF_MS; 0: issue all the same. */
    int64_t clock_off_ms;
    coat_rng_fn rng; /* NULL: coat_rng_system */
    void *rng_ctx;
    coat_clock_fn clock; /* NULL: coat_clock_system */
    void *clock_ctx;
    coat_clock_fn monotonic; /* NULL: CLOCK_MONOTONIC, milliseconds */
    void *monotonic_ctx;
    coat_event_fn events; /* NULL: dropped */
    void *events_ctx;
} coat_engine_conf;

/** Fill with defaults; keys and store remain to be set. */
COAT_API void coat_engine_conf_default(coat_engine_conf *conf);

COAT_API coat_err coat_engine_new(const coat_engine_conf *conf,
                                  coat_engine **out) COAT_MUST_USE;
COAT_API void coat_engine_free(coat_engine *engine); /* after all desks; folds activity in */

/** New policy or keys while running (reload, key rotation). Copied / borrowed as above. */
COAT_API coat_err coat_engine_reconfigure(coat_engine *engine,
                                          const coat_engine_conf *conf) COAT_MUST_USE;

/** Effective time: never runs backward by more than 1 s, notices jumps (SF-10). Any thread. */
COAT_API int64_t coat_engine_now_ms(coat_engine *engine);

/**
 * False while that is over clock_off_ms from the clock of a store that tells its own: then
 * CREATE, RENEW and EPOCHS end in CLOCK_OFF, and all else goes on. Measured with every EPOCHS,
 * and once a minute; as of the last time. Any thread.
 */
COAT_API bool coat_engine_issues(coat_engine *engine);

/**
 * The hot path: answer from the node table alone. ASK means: submit COAT_CALL_CHECK.
 * No allocation, lock, or system call. Any thread.
 */
COAT_API void coat_engine_peek(coat_engine *engine, const coat_table_query *query,
                               coat_table_answer *out) COAT_NONNULL;
COAT_API uint64_t coat_engine_context(const coat_engine *engine, const coat_context *context);

/* ---- a session as read: an immutable snapshot, wiped and freed by coat_session_free ---- */

COAT_API void coat_session_free(coat_session *session);
COAT_API const coat_handle *coat_session_handle(const coat_session *session);
/** All fields of the record (record.h); spans live as long as the session. */
COAT_API const coat_record *coat_session_record(const coat_session *session);
COAT_API uint64_t coat_session_version(const coat_session *session);
/** Last activity including what is not folded in yet; earliest end. */
COAT_API int64_t coat_session_seen_ms(const coat_session *session);
COAT_API int64_t coat_session_ends_ms(const coat_session *session);
/** Does the space-separated list of roles contain role? */
COAT_API bool coat_session_has_role(const coat_session *session, const char *role);
/** CSRF token of this session, a new string each time; check one (csrf.h). */
COAT_API coat_err coat_session_csrf(const coat_engine *engine, const coat_session *session,
                                    char text[COAT_CSRF_CHARS]) COAT_MUST_USE;
COAT_API coat_err coat_session_csrf_check(const coat_engine *engine,
                                          const coat_session *session,
                                          coat_span text) COAT_MUST_USE;

/* ---- asynchronous calls ---- */

typedef enum coat_call_op {
    /* token -> session, judgement; carries out rotation, confirmation, theft, context change.
     * OK live; STEP_UP live but too old (session set); NO_SESSION. set_token: send token_text.
     */
    COAT_CALL_CHECK = 1,
    /* user ("" for none), roles, methods, remember, context, data -> session, token_text.
     * `token`, if given, names the session that this one follows: it is ended, in the same step
     * where the owner is the same, and before done() in any case; keep_data takes its data
     * over, patched by `data`. TOO_MANY, REVOKED. expected_epochs: see COAT_CALL_EPOCHS. */
    COAT_CALL_CREATE,
    /* token -> a new handle and secret for the same session: after step-up, role or password
     * change (LC-1). user as before; roles / methods if their spans are set; both timers
     * restart if `reauthenticated`. The old token dies with no grace. */
    COAT_CALL_RENEW,
    /* handle (or token) and data (RFC 7396 merge patch) -> session. Retries conflicts. */
    COAT_CALL_PATCH,
    /* handle (or token) -> ended. Idempotent. `owner_user` if set: only if it is that user's
     * session, else NOT_FOUND. */
    COAT_CALL_END,
    /* user [, token or handle to spare] -> all sessions of the user ended. count: how many, as
     * far as that is cheap; more: those and others. */
    COAT_CALL_END_USER,
    COAT_CALL_END_ALL,
    /* handle -> session; not activity. NOT_FOUND. */
    COAT_CALL_READ,
    /* user, limit, cursor -> item() per session (borrowed), oldest first; more. */
    COAT_CALL_LIST,
    /* limit, cursor -> item() per session of everybody; more. */
    COAT_CALL_SCAN,
    /* user -> epochs: read before credentials are checked, passed to CREATE afterwards, so that
     * a sign-in racing a revocation or a disabled account cannot slip through (RV-4). */
    COAT_CALL_EPOCHS,
    /* token -> OK while the session of its handle is within its limits, whatever secret it has
     * by now; NO_SESSION once it has ended. For connections that go on for long (table.h:
     * coat_table_live, which finds it in the table afterwards). Gives nobody access: not
     * activity, nothing rotates, an old secret is no theft. */
    COAT_CALL_ALIVE,
} coat_call_op;

typedef struct coat_epochs {
    bool set;
    uint64_t owner, global;
} coat_epochs;

typedef struct coat_call coat_call;
struct coat_call {
    /* Set by the caller; all spans borrowed until done(). Zero the rest. */
    coat_call_op op;
    coat_span token; /* cookie value as received */
    bool has_handle;
    coat_handle handle;
    coat_span user, roles, methods, data;
    coat_span owner_user;
    coat_context context;
    coat_demand demand;
    coat_epochs epochs;
    bool remember, background, keep_data, reauthenticated;
    bool has_cursor;
    coat_handle cursor;
    uint32_t limit;
    void (*item)(coat_call *call, const coat_session *session);
    void (*done)(coat_call *call);
    void *ctx;

    /* Results. */
    coat_err result;
    coat_judgement judgement;
    coat_session *session;             /* the caller's: coat_session_free */
    bool set_token;                    /* send token_text in a Set-Cookie */
    char token_text[COAT_TOKEN_CHARS]; /* secret: wipe */
    int64_t max_age_s; /* for the cookie: remaining absolute time if remember, else -1 */
    uint32_t count;
    bool more;
    /* END, END_USER, END_ALL with a result that is not OK: the sessions are refused by this
     * engine from now on, and ended in the store as soon as that can be reached (SF-4). So the
     * cookie can be deleted. Of more than one those that were there by now; one that begins
     * before the store is reached may be among them, a later one is not. */
    bool pending;

    void *priv; /* the engine's own */
};

/** A desk: an engine as one thread uses it. @param loop libuv loop, or NULL (blocking). */
COAT_API coat_err coat_desk_open(coat_engine *engine, struct uv_loop_s *loop,
                                 coat_desk **out) COAT_MUST_USE;
/** Outstanding calls end in CANCELLED before it returns. */
COAT_API void coat_desk_close(coat_desk *desk);
COAT_API coat_lane *coat_desk_lane(coat_desk *desk);
COAT_API coat_engine *coat_desk_engine(coat_desk *desk);

/** Start a call; exactly one done(), perhaps before this returns. */
COAT_API void coat_call_start(coat_desk *desk, coat_call *call) COAT_NONNULL;
/** Start and wait; for desks without loop. done may be NULL. Returns call->result. */
COAT_API coat_err coat_call_run(coat_desk *desk, coat_call *call) COAT_MUST_USE;

/**
 * Housekeeping in slices, to be called about once a second by one desk: folds activity in,
 * sweeps, renews what needs renewal. Returns at once; work goes on through the lane.
 */
COAT_API void coat_desk_tick(coat_desk *desk);

/** Counters for metrics, status and tests; never reset. */
typedef struct coat_engine_stats {
    uint64_t checks, table_hits, table_refused, slow_checks;
    uint64_t created, ended, rotated, confirmed, reused, expired, evicted, conflicts;
    uint64_t store_errors, folded, swept;
    uint64_t table_slots, table_used, table_evicted;
    /* Where other machines change sessions too: how often reports of changes were lost; reports
     * acted upon; terminations that waited for a lease to run out; what a store that had lost
     * it was told again. */
    uint64_t changes_lost, changes_heard, unconfirmed, repaired;
    /* Effective time minus the store's clock, where that tells one (SF-10); and whether tokens
     * are issued. */
    bool clock_known, issuing;
    int64_t clock_offset_ms;
} coat_engine_stats;
COAT_API void coat_engine_stats_get(coat_engine *engine, coat_engine_stats *out);

/* ---- blocking: any thread on one engine; up to the store's deadline ---- */

/**
 * Decide whether a presented token names a live session, and do what is due.
 * @param set_token  true on return: send token_text in a Set-Cookie
 * @retval COAT_OK live; COAT_NO_SESSION answer 401; others: undecided, answer 503
 */
COAT_API coat_err coat_session_check(coat_engine *engine, coat_span token,
                                     const coat_context *context, coat_session **out,
                                     bool *set_token,
                                     char token_text[COAT_TOKEN_CHARS]) COAT_MUST_USE;
/** Make a session; user may be empty. */
COAT_API coat_err coat_session_create(coat_engine *engine, coat_span user, coat_span roles,
                                      coat_span data, const coat_context *context,
                                      coat_session **out,
                                      char token_text[COAT_TOKEN_CHARS]) COAT_MUST_USE;
/** Any other call, blocking: fill call as for coat_call_start. */
COAT_API coat_err coat_engine_run(coat_engine *engine, coat_call *call) COAT_MUST_USE;

#endif
