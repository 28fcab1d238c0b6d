/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_SERVER_LOG_SINK_H
#define COAT_SERVER_LOG_SINK_H

/**
 * Where lines go: a bounded queue and a thread that writes it out (AU-5).
 *
 * A target that fails (full disk, reader gone) or stalls (reader asleep) keeps its lines in the
 * queue and is tried again; what then finds no room is counted. Lines that somebody waits for
 * ("commits") are answered at once with failure and dropped when the target fails.
 */

#include "server/log/log.h"

#include <pthread.h>

typedef enum coat_line_kind { COAT_LINE_ORDINARY, COAT_LINE_AUDIT } coat_line_kind;

typedef struct coat_sink coat_sink;

/** Called under the sink's lock, on any thread: sets and signals, nothing else. */
typedef void (*coat_commit_fn)(void *ctx, coat_err result);

typedef struct coat_sink_conf {
    const char *target;
    uint32_t lines_max;
    uint32_t commit_ms;
    /** Make the line that reports losses into text (COAT_LOG_LINE_MAX). @return its length */
    size_t (*report)(void *ctx, coat_line_kind kind, uint64_t lost, char *text);
    /** Called by the thread about once a second and before it stops, without lock. */
    void (*tick)(void *ctx, bool last);
    void *ctx;
} coat_sink_conf;

coat_err coat_sink_new(const coat_sink_conf *conf, coat_sink **out, char *message,
                       size_t cap) COAT_MUST_USE;
void coat_sink_free(coat_sink *sink);
coat_err coat_sink_reopen(coat_sink *sink) COAT_MUST_USE;

/** Queue a line, never blocking. done may be NULL. @return false: lost (and counted) */
bool coat_sink_push(coat_sink *sink, coat_line_kind kind, const char *text, size_t len,
                    coat_commit_fn done, void *ctx);
/** Answer AUDIT_DOWN to the commits with this function whose ctx is the owner's. */
void coat_sink_abandon(coat_sink *sink, coat_commit_fn done,
                       bool (*mine)(const void *ctx, const void *owner), const void *owner);
bool coat_sink_writable(coat_sink *sink);
void coat_sink_stats(coat_sink *sink, coat_log_stats *out); /* adds */
/** For waiting on a commit: the lock under which coat_commit_fn is called. */
pthread_mutex_t *coat_sink_lock(coat_sink *sink);
/** As abandon of one ctx, with the lock held, without calling its function. */
void coat_sink_detach(coat_sink *sink, const void *ctx);

#endif
