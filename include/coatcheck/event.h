/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COATCHECK_EVENT_H
#define COATCHECK_EVENT_H

/** Audit events (AU-2, AU-3): what happened, once per cause. No field ever holds a secret. */

#include <coatcheck/token.h>

/* X(name, text, severity: I info, N notice, W warning, E error) */
#define COAT_EVENT_MAP(X)                                                                      \
    X(LOGIN_SUCCESS, "login_success", I)                                                       \
    X(LOGIN_FAILURE, "login_failure", N)                                                       \
    X(LOGIN_SUCCESS_AFTER_FAILURES, "login_success_after_failures", N)                         \
    X(LOGIN_LOCKED, "login_locked", W)                                                         \
    X(LOGIN_THROTTLED, "login_throttled", W)                                                   \
    X(SESSION_CREATED, "session_created", I)                                                   \
    X(SESSION_RENEWED, "session_renewed", I)                                                   \
    X(SESSION_CONFIRMED, "session_confirmed", I)                                               \
    X(SESSION_EXPIRED, "session_expired", I)                                                   \
    X(SESSION_USE_AFTER_EXPIRE, "session_use_after_expire", N)                                 \
    X(SESSION_LOGGED_OUT, "session_logged_out", I)                                             \
    X(SESSION_REVOKED, "session_revoked", N)                                                   \
    X(SESSION_EVICTED, "excess_sessions_exceeded", N)                                          \
    X(SESSION_UNKNOWN_TOKEN, "session_unknown_token", N)                                       \
    X(SESSION_CONTEXT_CHANGED, "session_context_changed", N)                                   \
    X(TOKEN_REUSE, "token_reuse", W)                                                           \
    X(TOKEN_WRONG_CHANNEL, "token_wrong_channel", W)                                           \
    X(TOKEN_GUESSING, "token_guessing", W)                                                     \
    X(COOKIE_AMBIGUOUS, "cookie_ambiguous", W)                                                 \
    X(CSRF_REFUSED, "csrf_refused", W)                                                         \
    X(CORS_REFUSED, "cors_refused", W)                                                         \
    X(HEADER_TRUST_REFUSED, "header_trust_refused", W)                                         \
    X(HTTPS_REQUIRED, "https_required", W)                                                     \
    X(STEP_UP_REQUIRED, "step_up_required", I)                                                 \
    X(STEP_UP_SUCCESS, "step_up_success", I)                                                   \
    X(STEP_UP_FAILURE, "step_up_failure", N)                                                   \
    X(ACCOUNT_CREATED, "account_created", N)                                                   \
    X(ACCOUNT_CHANGED, "account_changed", N)                                                   \
    X(ACCOUNT_DISABLED, "account_disabled", N)                                                 \
    X(PASSWORD_CHANGED, "password_changed", N)                                                 \
    X(PASSWORD_REHASHED, "password_rehashed", I)                                               \
    X(ADMIN_ACTION, "admin_action", N)                                                         \
    X(CONFIG_CHANGED, "config_changed", N)                                                     \
    X(KEY_CHANGED, "key_changed", N)                                                           \
    X(RECORD_TAMPERED, "record_tampered", E)                                                   \
    X(RECORD_UNREADABLE, "record_unreadable", E)                                               \
    X(STORE_FAILURE, "store_failure", E)                                                       \
    X(STORE_RECOVERY, "store_recovery", N)                                                     \
    X(RNG_FAILURE, "rng_failure", E)                                                           \
    X(CLOCK_JUMP, "clock_jump", W)                                                             \
    X(AUDIT_LOST, "audit_lost", E)                                                             \
    X(SERVER_START, "server_start", N)                                                         \
    X(SERVER_STOP, "server_stop", N)                                                           \
    X(SERVER_CRASH, "server_crash", E)                                                         \
    X(TABLE_TAMPERED, "table_tampered", E)                                                     \
    X(CLOCK_OFF, "clock_off", E)                                                               \
    X(CLOCK_AGREES, "clock_agrees", N)

typedef enum coat_event_type {
    COAT_EVENT_NONE = 0,
#define X(name, text, severity) COAT_EVENT_##name,
    COAT_EVENT_MAP(X)
#undef X
        COAT_EVENT_COUNT
} coat_event_type;

typedef struct coat_event {
    coat_event_type type;
    bool failed;        /* outcome */
    const char *reason; /* short stable word, or NULL */
    bool has_handle;
    coat_handle handle; /* logged as keyed digest only */
    coat_span user;     /* as claimed or known */
    uint64_t count;     /* for aggregated events; 0: not shown */
    const void *cause;  /* ctx of the coat_call / coat_account_call it arose in, or NULL */
} coat_event;

/** Receives events on the thread that caused them; borrowed until return; must not block. */
typedef void (*coat_event_fn)(void *ctx, const coat_event *event);

COAT_API const char *coat_event_name(coat_event_type type);

#endif
