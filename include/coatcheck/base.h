/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COATCHECK_BASE_H
#define COATCHECK_BASE_H

/**
 * What every coatcheck header shares: results, byte spans, attributes.
 *
 * Conventions of the whole API:
 *  - Times are int64 milliseconds since 1970-01-01T00:00:00Z unless a name ends in _s.
 *  - A result is a coat_err. Outputs come last and are untouched unless it is COAT_OK.
 *  - Anything but COAT_OK refuses access. Zeroed result objects mean "deny".
 *  - _new/_free own heap memory; _init/_fini fill the caller's storage. NULL may be freed.
 *  - Spans are borrowed, not NUL-terminated, and may be {NULL, 0}.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define COAT_API __attribute__((visibility("default")))
#define COAT_MUST_USE __attribute__((warn_unused_result))
#define COAT_NONNULL __attribute__((nonnull))
#else
#define COAT_API
#define COAT_MUST_USE
#define COAT_NONNULL
#endif

#define COAT_VERSION "0.1.0"

/* X(name, value, kind, text). Values are ABI: append, never renumber, never reuse.
 * ANSWER: a definite answer. RETRY: undecided now, refuse with 503. BAD: the caller's or the
 * configuration's mistake. BROKEN: undecided, and something is wrong with this machine. */
#define COAT_ERR_MAP(X)                                                                        \
    X(OK, 0, ANSWER, "ok")                                                                     \
    X(NO_SESSION, 1, ANSWER, "no live session")                                                \
    X(CONFLICT, 2, ANSWER, "record changed since it was read")                                 \
    X(NOT_FOUND, 3, ANSWER, "no such entry")                                                   \
    X(EXISTS, 4, ANSWER, "already exists")                                                     \
    X(REVOKED, 5, ANSWER, "ended by a revocation while it was being made")                     \
    X(TOO_MANY, 6, ANSWER, "limit of sessions reached")                                        \
    X(STEP_UP, 7, ANSWER, "a fresh sign-in is required")                                       \
    X(DENIED, 8, ANSWER, "refused")                                                            \
    X(THROTTLED, 9, ANSWER, "too many attempts, try again later")                              \
    X(TAMPERED, 10, ANSWER, "record does not carry a valid seal")                              \
    X(STORE_DOWN, 32, RETRY, "store gave no answer in time")                                   \
    X(STORE_FULL, 33, RETRY, "store has no room for new entries")                              \
    X(BUSY, 34, RETRY, "too much work waiting")                                                \
    X(CANCELLED, 35, RETRY, "operation was cancelled")                                         \
    X(AUDIT_DOWN, 36, RETRY, "audit log is not writable")                                      \
    X(CLOCK_OFF, 37, RETRY, "this clock and the store's are too far apart")                    \
    X(NO_MEMORY, 48, BROKEN, "out of memory")                                                  \
    X(RNG_FAILED, 49, BROKEN, "the operating system gave no random bytes")                     \
    X(IO, 50, BROKEN, "input/output error")                                                    \
    X(MALFORMED, 64, BAD, "malformed input")                                                   \
    X(TOO_LARGE, 65, BAD, "over its size limit")                                               \
    X(INVALID, 66, BAD, "invalid argument or setting")                                         \
    X(NEWER_FORMAT, 67, BAD, "written by a newer version")                                     \
    X(UNSUPPORTED, 68, BAD, "not supported by this store")

typedef enum coat_err {
#define X(name, value, kind, text) COAT_##name = (value),
    COAT_ERR_MAP(X)
#undef X
} coat_err;

typedef enum coat_err_kind {
    COAT_KIND_ANSWER,
    COAT_KIND_RETRY,
    COAT_KIND_BAD,
    COAT_KIND_BROKEN,
} coat_err_kind;

/** Borrowed bytes. */
typedef struct coat_span {
    const uint8_t *ptr;
    size_t len;
} coat_span;

/** A span over a string literal. */
#define COAT_LIT(s) ((coat_span){(const uint8_t *)(s), sizeof(s) - 1})

/** Symbolic name ("NO_SESSION") and text; never NULL, also for unknown values. */
COAT_API const char *coat_err_name(coat_err err);
COAT_API const char *coat_err_text(coat_err err);
COAT_API coat_err_kind coat_err_kind_of(coat_err err);
/** Version of the library that is running, as "major.minor.patch". */
COAT_API const char *coat_version(void);

/**
 * Initialise the library: libsodium, and known-answer tests of every primitive in use (HD-9).
 * Call once before anything else; calling again is harmless.
 * @retval COAT_OK
 * @retval COAT_RNG_FAILED  no randomness
 * @retval COAT_IO          a known answer did not come out: stop the process
 * Threads: any.
 */
COAT_API coat_err coat_init(void) COAT_MUST_USE;

/**
 * Source of random bytes: fills buf completely or returns COAT_RNG_FAILED, never less.
 * The default, coat_rng_system, is getrandom(2), unbuffered, so fork(2) can repeat nothing.
 */
typedef coat_err (*coat_rng_fn)(void *ctx, uint8_t *buf, size_t len);
COAT_API coat_err coat_rng_system(void *ctx, uint8_t *buf, size_t len) COAT_MUST_USE;

/** Wall clock in milliseconds; tests step it. */
typedef int64_t (*coat_clock_fn)(void *ctx);
COAT_API int64_t coat_clock_system(void *ctx);

#endif
