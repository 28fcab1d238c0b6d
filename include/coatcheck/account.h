/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COATCHECK_ACCOUNT_H
#define COATCHECK_ACCOUNT_H

/**
 * Who may sign in: accounts, passwords, throttling (LG-1 to LG-11).
 *
 * Accounts live in the store's COAT_SPACE_ACCOUNT under a keyed hash of their name, sealed
 * like session records; throttling counters in COAT_SPACE_META. Passwords are hashed with
 * Argon2id on worker threads of the directory's own, behind a bounded queue.
 *
 * A user id is the account's name: NFC, compared byte by byte, never changed or reused for
 * another person without ending the sessions of the former one.
 */

#include <coatcheck/event.h>
#include <coatcheck/forward.h>
#include <coatcheck/keys.h>
#include <coatcheck/store.h>

#define COAT_NAME_MAX 128      /* bytes of an account name */
#define COAT_PASSWORD_MAX 1024 /* bytes; longer ones fail like wrong ones, unhashed */
#define COAT_PASSWORD_MIN 15   /* code points of a new password used alone */
#define COAT_HASH_MAX 256      /* bytes of a stored hash string */

typedef struct coat_directory coat_directory;
typedef struct coat_clerk coat_clerk;

typedef struct coat_directory_conf {
    const coat_keys *keys;
    coat_store *store;
    uint32_t argon_kib;           /* 19456 */
    uint32_t argon_passes;        /* 2; p is always 1 */
    const uint8_t *pepper;        /* optional 32-byte server-side key, borrowed; NULL: none */
    uint32_t hash_threads;        /* K; 0: number of cores */
    uint32_t queue_max;           /* waiting hashes; 0: 64 * K */
    uint32_t queue_wait_ms;       /* 2000 */
    uint32_t failures_known;      /* 50: consecutive failures until disabled, known clients */
    uint32_t failures_unknown;    /* 50 */
    uint32_t attempts_per_minute; /* 20 per /32 or /64 */
    const char *service_name;     /* context word for the blocklist */
    coat_rng_fn rng;
    void *rng_ctx;
    coat_clock_fn clock;
    void *clock_ctx;
    coat_event_fn events;
    void *events_ctx;
} coat_directory_conf;

COAT_API void coat_directory_conf_default(coat_directory_conf *conf);
/** Refuses parameters below the floor of LG-1 with a message. */
COAT_API coat_err coat_directory_new(const coat_directory_conf *conf, coat_directory **out,
                                     char *message, size_t cap) COAT_MUST_USE;
COAT_API void coat_directory_free(coat_directory *directory); /* after all clerks */
COAT_API coat_err coat_directory_reconfigure(coat_directory *directory,
                                             const coat_directory_conf *conf, char *message,
                                             size_t cap) COAT_MUST_USE;

/** A directory as one thread uses it: its lane, its loop (NULL: blocking only). */
COAT_API coat_err coat_clerk_open(coat_directory *directory, coat_lane *lane,
                                  struct uv_loop_s *loop, coat_clerk **out) COAT_MUST_USE;
/** Outstanding calls end in CANCELLED before it returns. */
COAT_API void coat_clerk_close(coat_clerk *clerk);

/** An account as listed: never its hash. */
typedef struct coat_account {
    coat_span name, roles;
    bool disabled;
    bool has_password;
    coat_span hash_kind; /* "argon2id", "bcrypt", "crypt", "apr1", ...: what the hash is */
    int64_t created_ms, changed_ms, password_ms, last_login_ms;
} coat_account;

/** Stable reason codes of refused new passwords (LG-4). */
typedef enum coat_password_fault {
    COAT_PASSWORD_FINE = 0,
    COAT_PASSWORD_SHORT,
    COAT_PASSWORD_LONG,
    COAT_PASSWORD_COMMON,   /* on the blocklist */
    COAT_PASSWORD_CONTEXT,  /* derived from the user or service name */
    COAT_PASSWORD_ENCODING, /* not UTF-8 */
} coat_password_fault;

COAT_API coat_password_fault coat_password_judge(coat_span name, coat_span password,
                                                 const char *service_name);
COAT_API const char *coat_password_fault_name(coat_password_fault fault);
COAT_API const char *coat_password_fault_text(coat_password_fault fault);

typedef enum coat_account_op {
    /* name, password, address, device -> OK with user, roles; DENIED (unknown, wrong, disabled,
     * locked: all the same, at the same cost); THROTTLED with retry_after_s, before any hash;
     * BUSY; STORE_DOWN. On OK device_text is the client's new known-client value. Re-hashes at
     * once if the stored hash is older than configured. */
    COAT_ACCOUNT_SIGN_IN = 1,
    /* As SIGN_IN for the user of a live session (step-up, password change). */
    COAT_ACCOUNT_VERIFY,
    COAT_ACCOUNT_ADD,          /* name, password (or hash), roles; EXISTS; INVALID with fault */
    COAT_ACCOUNT_SET_PASSWORD, /* name, password */
    COAT_ACCOUNT_SET_ROLES,
    COAT_ACCOUNT_DISABLE, /* the caller then ends the user's sessions (LC-11) */
    COAT_ACCOUNT_ENABLE,  /* also clears counters */
    COAT_ACCOUNT_DELETE,
    COAT_ACCOUNT_SHOW, /* name -> item() once; NOT_FOUND */
    COAT_ACCOUNT_LIST, /* cursor, limit -> item(); more */
} coat_account_op;

typedef struct coat_account_call coat_account_call;
struct coat_account_call {
    coat_account_op op;
    coat_span name, password, roles;
    coat_span hash;       /* ADD / SET_PASSWORD on import: PHC or crypt(3) string */
    coat_address address; /* client; !known: local, not throttled by network */
    coat_span device;     /* known-client cookie as received, may be empty */
    bool has_cursor;
    coat_handle cursor;
    uint32_t limit;
    void (*item)(coat_account_call *call, const coat_account *account);
    void (*done)(coat_account_call *call);
    void *ctx;

    coat_err result;
    coat_password_fault fault;
    char user[COAT_NAME_MAX + 1];
    char user_roles[COAT_ROLES_MAX + 1];
    char device_text[64]; /* NUL-terminated; empty: leave the cookie as it is */
    uint32_t retry_after_s;
    bool more;
    coat_handle next; /* cursor of the next page */

    void *priv;
};

/**
 * The call and what its spans point to are the caller's and live until done(), which comes
 * once, on the clerk's thread, perhaps before this returns. done() may start calls, but not
 * close the clerk. The directory's own copy of the password is wiped before done().
 */
COAT_API void coat_account_start(coat_clerk *clerk, coat_account_call *call) COAT_NONNULL;
/** Start and wait; for clerks without a loop (INVALID with one). done may be NULL. */
COAT_API coat_err coat_account_run(coat_clerk *clerk, coat_account_call *call) COAT_MUST_USE;

/** Check a hash string for import: kind recognised, parameters within caps. */
COAT_API coat_err coat_hash_check(coat_span hash, const char **kind, char *message,
                                  size_t cap) COAT_MUST_USE;

/* ---- limits by source network (LG-9, ID-7, RX-7): bounded memory, any thread ---- */

typedef struct coat_limiter coat_limiter;
typedef struct coat_limiter_conf {
    uint32_t per_minute;   /* events per minute for /32 and /64; x8 for /24 and /48 */
    uint32_t distinct_max; /* distinct accounts failing per network in 10 min; 0: not counted */
} coat_limiter_conf;

COAT_API coat_err coat_limiter_new(const coat_limiter_conf *conf,
                                   coat_limiter **out) COAT_MUST_USE;
COAT_API void coat_limiter_free(coat_limiter *limiter);
/** Count one event. @return 0, or the seconds to wait. first: the limit was just reached. */
COAT_API uint32_t coat_limiter_hit(coat_limiter *limiter, const coat_address *address,
                                   int64_t now_ms, bool *first);
/** As hit, without counting. */
COAT_API uint32_t coat_limiter_ask(coat_limiter *limiter, const coat_address *address,
                                   int64_t now_ms);
/** Count a failure of an account (by hash) from a network. @return as coat_limiter_hit */
COAT_API uint32_t coat_limiter_failed(coat_limiter *limiter, const coat_address *address,
                                      uint64_t account_hash, int64_t now_ms, bool *first);
COAT_API size_t coat_limiter_bytes(const coat_limiter *limiter);

typedef struct coat_directory_stats {
    uint64_t hashes, rehashes, queue_length, queue_peak, overflows, sign_ins, failures;
} coat_directory_stats;
COAT_API void coat_directory_stats_get(coat_directory *directory, coat_directory_stats *out);

#endif
