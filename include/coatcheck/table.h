/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COATCHECK_TABLE_H
#define COATCHECK_TABLE_H

/**
 * The node table as its readers see it: sessions of this machine in shared memory, written by
 * the daemon only, read without connection, lock, allocation or system call.
 *
 * The reader answers by itself when a session is live and nothing is due; it refuses what this
 * installation never issued; for everything else it says ASK: the daemon decides.
 * Threads: one coat_table may be shared by any number of threads. Source: ARCHITECTURE.md
 * "Node table".
 */

#include <coatcheck/judge.h>

typedef struct coat_table coat_table;
typedef struct coat_table_memo coat_table_memo;

typedef enum coat_table_verdict {
    COAT_TABLE_ASK = 0,    /* cannot tell: ask the daemon (never "not logged in") */
    COAT_TABLE_REFUSE = 1, /* malformed or not issued here: no session, ask nobody */
    COAT_TABLE_LIVE = 2,   /* live, nothing due */
} coat_table_verdict;

typedef struct coat_table_query {
    coat_span token; /* cookie value as received */
    int64_t now_ms;
    int64_t max_age_ms; /* step-up demand; not met: ASK */
    uint64_t context;   /* coat_table_context(); 0: do not compare. Differs: ASK */
    /* Or NULL: says what context would be of. Cheaper, since it is put together and hashed only
     * when it matters. */
    const coat_context *(*from)(void *from_ctx);
    void *from_ctx;
    bool background;       /* do not note activity */
    coat_table_memo *memo; /* or NULL */
} coat_table_query;

/** Set in full on every return; zeroed it means ASK. Spans point into `identity`. */
typedef struct coat_table_answer {
    coat_table_verdict verdict;
    coat_handle handle;
    coat_span user, roles, methods;
    int64_t created_ms, auth_ms, ends_ms;
    uint64_t context; /* LIVE: what was compared, for the next query; 0: nothing */
    bool remember;
    char identity[COAT_USER_MAX + COAT_ROLES_MAX + COAT_METHODS_MAX + 1];
} coat_table_answer;

/**
 * Map the table at path (activity lies beside it, path ".seen") for reading.
 * @retval COAT_IO  not there, not readable, not a table; try again later
 * @retval COAT_NEWER_FORMAT
 */
COAT_API coat_err coat_table_open(const char *path, coat_table **out) COAT_MUST_USE;
COAT_API void coat_table_close(coat_table *table);

/**
 * Of the tokens that came last, for any tables, the digests of their secrets and where their
 * sessions were; a page brings the same one with each of its requests. A matter of speed alone:
 * what a check answers does not depend on it. It holds no secret, has a fixed size (256 KiB),
 * and belongs to one thread of one process.
 * @return NULL: no memory
 */
COAT_API coat_table_memo *coat_table_memo_new(void) COAT_MUST_USE;
COAT_API void coat_table_memo_free(coat_table_memo *memo);

COAT_API void coat_table_check(const coat_table *table, const coat_table_query *query,
                               coat_table_answer *out) COAT_NONNULL;

/**
 * For a connection that began with this token and goes on for long: has its session ended?
 * LIVE if the session of the token's handle is within its limits, whatever secret it has by
 * now; REFUSE if the token was not issued here; ASK otherwise (never "it has ended"). Notes no
 * activity, and gives nobody access: a new request is for coat_table_check.
 */
COAT_API coat_table_verdict coat_table_live(const coat_table *table, coat_span token,
                                            int64_t now_ms) COAT_NONNULL;

/**
 * True when the daemon has replaced the file: open anew, then close this one. One memory read;
 * the functions above answer ASK meanwhile.
 */
COAT_API bool coat_table_stale(const coat_table *table);

/**
 * The time in the table, which the daemon writes about once a second. While the daemon is away
 * it stands still, and the table is true all the same; where it stands still although the
 * daemon answers, this is not the daemon's table (any more).
 */
COAT_API int64_t coat_table_time_ms(const coat_table *table);

/** Keyed hash of client context, for query.context; never 0. */
COAT_API uint64_t coat_table_context(const coat_table *table, const coat_context *context);

#endif
