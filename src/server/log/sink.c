/* SPDX-License-Identifier: Apache-2.0 */
#include "server/log/sink.h"

#include "server/log/target.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    TICK_MS = 500,    /* between ticks when nothing happens */
    RETRY_MS = 200,   /* between tries of a target that fails */
    POLL_MS = 50,     /* between looks at the clock while a target stalls */
    STALL_MS = 1000,  /* a target that takes nothing for this long is not writable */
    PIECE_MAX = 4096, /* PIPE_BUF: a pipe that polls writable takes it without blocking */
    BYTES_MAX = 16 * 1024 * 1024,
    ORDINARY_TENTHS = 9, /* of the queue; the rest is kept for audit events */
};

typedef struct entry {
    struct entry *next;
    size_t len;
    coat_line_kind kind;
    coat_commit_fn done;
    void *ctx;
    int64_t deadline_ms; /* of a commit */
    char text[];
} entry;

struct coat_sink {
    coat_sink_conf conf;
    char *name; /* conf.target, our own copy */
    pthread_mutex_t lock;
    pthread_cond_t wake; /* on CLOCK_MONOTONIC */
    pthread_t thread;
    /* Below: under lock. */
    entry *head, **tail;
    size_t count, bytes, commits;
    uint64_t accepted[2], lost[2], unreported[2], written, errors;
    bool stop, failing, stalled;
    int64_t stop_ms;
    coat_target *next_target; /* from reopen, to be taken over by the thread */
    /* The thread's own. */
    coat_target *target;
};

static int64_t
now_ms(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Wait under the lock for a push, a stop or a reopen. */
static void
wait_ms(coat_sink *sink, int64_t ms)
{
    int64_t until = now_ms() + ms;
    struct timespec ts = {until / 1000, until % 1000 * 1000000};

    (void)pthread_cond_timedwait(&sink->wake, &sink->lock, &ts);
}

static void
answer(coat_sink *sink, entry *e, coat_err result)
{
    if (e->done == NULL)
        return;
    e->done(e->ctx, result);
    e->done = NULL;
    sink->commits--;
}

static entry *
unlink_entry(coat_sink *sink, entry **at)
{
    entry *e = *at;

    *at = e->next;
    if (e->next == NULL)
        sink->tail = at;
    sink->count--;
    sink->bytes -= e->len;
    return e;
}

/* The target fails: who waits is told at once, and their lines go, so that nobody reads of an
 * action that was refused. keep: the line being written, which may stand there in part. */
static void
fail_commits(coat_sink *sink, const entry *keep)
{
    for (entry **at = &sink->head; *at != NULL && sink->commits > 0;) {
        if ((*at)->done == NULL) {
            at = &(*at)->next;
            continue;
        }
        answer(sink, *at, COAT_AUDIT_DOWN);
        if (*at == keep)
            at = &(*at)->next;
        else
            free(unlink_entry(sink, at));
    }
}

static void
expire_commits(coat_sink *sink, const entry *keep)
{
    int64_t now = sink->commits > 0 ? now_ms() : 0;

    for (entry **at = &sink->head; *at != NULL && sink->commits > 0;) {
        if ((*at)->done == NULL || (*at)->deadline_ms > now) {
            at = &(*at)->next;
            continue;
        }
        answer(sink, *at, COAT_AUDIT_DOWN);
        if (*at == keep)
            at = &(*at)->next;
        else
            free(unlink_entry(sink, at));
    }
}

static bool
give_up(const coat_sink *sink)
{
    return sink->stop && now_ms() >= sink->stop_ms;
}

static void
take_over_target(coat_sink *sink)
{
    if (sink->next_target == NULL)
        return;
    coat_target_free(sink->target);
    sink->target = sink->next_target;
    sink->next_target = NULL;
    sink->failing = sink->stalled = false; /* until it is tried */
}

/* Write bytes, waiting as long as it takes, under the lock but for the system calls.
 * @return false: the target failed, or the log is stopping and its time is up */
static bool
write_line(coat_sink *sink, const char *text, size_t len, const entry *keep, bool sync)
{
    int64_t began = now_ms();
    bool gone = false;
    size_t at = 0;

    coat_target_mark(sink->target);
    while (at < len) {
        size_t piece = len - at < PIECE_MAX ? len - at : PIECE_MAX;
        ssize_t n;

        pthread_mutex_unlock(&sink->lock);
        n = coat_target_write(sink->target, text + at, piece, POLL_MS);
        pthread_mutex_lock(&sink->lock);
        if (n < 0)
            break;
        at += (size_t)n;
        sink->stalled = n == 0 && now_ms() - began > STALL_MS;
        if (n > 0)
            began = now_ms();
        expire_commits(sink, keep);
        gone = n == 0 && (give_up(sink) || sink->next_target != NULL);
        if (gone)
            break;
    }
    if (at == len && sync) {
        pthread_mutex_unlock(&sink->lock);
        gone = !coat_target_sync(sink->target);
        pthread_mutex_lock(&sink->lock);
    }
    if (at == len && !gone)
        return true;
    coat_target_undo(sink->target, at);
    sink->errors += !gone;
    return false;
}

static void
report_losses(coat_sink *sink)
{
    char text[COAT_LOG_LINE_MAX];

    for (int kind = 0; kind < 2; kind++) {
        uint64_t lost = sink->unreported[kind];
        size_t len;

        if (lost == 0)
            continue;
        pthread_mutex_unlock(&sink->lock);
        len = sink->conf.report(sink->conf.ctx, (coat_line_kind)kind, lost, text);
        pthread_mutex_lock(&sink->lock);
        if (!write_line(sink, text, len, NULL, false))
            return;
        sink->unreported[kind] -= lost;
        sink->written++;
    }
}

/* The oldest line; it stays in the queue until it is written. @return false: try again later */
static bool
write_head(coat_sink *sink)
{
    entry *e = sink->head;
    bool ok = write_line(sink, e->text, e->len, e, e->done != NULL);

    sink->failing = !ok && !sink->stalled;
    if (!ok) {
        fail_commits(sink, NULL);
        return false;
    }
    answer(sink, e, COAT_OK);
    free(unlink_entry(sink, &sink->head));
    sink->written++;
    report_losses(sink);
    return true;
}

static void *
run(void *arg)
{
    coat_sink *sink = arg;
    int64_t ticked = 0;
    bool last = false;

    pthread_mutex_lock(&sink->lock);
    for (;;) {
        if (sink->stop && !last) {
            last = true;
            pthread_mutex_unlock(&sink->lock);
            sink->conf.tick(sink->conf.ctx, true);
            pthread_mutex_lock(&sink->lock);
        } else if (!sink->stop && now_ms() - ticked >= TICK_MS) {
            ticked = now_ms();
            pthread_mutex_unlock(&sink->lock);
            sink->conf.tick(sink->conf.ctx, false);
            pthread_mutex_lock(&sink->lock);
        }
        if ((sink->stop && sink->head == NULL) || give_up(sink))
            break;
        /* With nothing unlocked between this and a line: what came after a reopen is written
         * there. */
        take_over_target(sink);
        if (sink->head == NULL)
            wait_ms(sink, TICK_MS);
        else if (!write_head(sink) && !give_up(sink) && sink->next_target == NULL)
            wait_ms(sink, RETRY_MS);
    }
    fail_commits(sink, NULL);
    pthread_mutex_unlock(&sink->lock);
    return NULL;
}

static coat_err
start(coat_sink *sink)
{
    pthread_condattr_t attr;
    sigset_t all, before;
    int failed;

    if (pthread_condattr_init(&attr) != 0)
        return COAT_NO_MEMORY;
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    failed = pthread_cond_init(&sink->wake, &attr);
    (void)pthread_condattr_destroy(&attr);
    if (failed != 0)
        return COAT_NO_MEMORY;
    /* Signals are for the loops, and SIGPIPE must come as EPIPE. */
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    failed = pthread_create(&sink->thread, NULL, run, sink);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed == 0)
        return COAT_OK;
    (void)pthread_cond_destroy(&sink->wake);
    return COAT_NO_MEMORY;
}

coat_err
coat_sink_new(const coat_sink_conf *conf, coat_sink **out, char *message, size_t cap)
{
    coat_sink *sink = calloc(1, sizeof *sink);
    coat_err err;

    if (sink == NULL)
        return COAT_NO_MEMORY;
    sink->conf = *conf;
    sink->name = strdup(conf->target);
    sink->tail = &sink->head;
    err = sink->conf.target != NULL
              ? coat_target_open(conf->target, &sink->target, message, cap)
              : COAT_NO_MEMORY;
    if (err == COAT_OK && pthread_mutex_init(&sink->lock, NULL) != 0)
        err = COAT_NO_MEMORY;
    if (err == COAT_OK) {
        err = start(sink);
        if (err == COAT_OK) {
            *out = sink;
            return COAT_OK;
        }
        (void)pthread_mutex_destroy(&sink->lock);
    }
    coat_target_free(sink->target);
    free(sink->name);
    free(sink);
    return err;
}

void
coat_sink_free(coat_sink *sink)
{
    if (sink == NULL)
        return;
    pthread_mutex_lock(&sink->lock);
    sink->stop = true;
    sink->stop_ms = now_ms() + sink->conf.commit_ms;
    pthread_cond_broadcast(&sink->wake);
    pthread_mutex_unlock(&sink->lock);
    (void)pthread_join(sink->thread, NULL);
    while (sink->head != NULL)
        free(unlink_entry(sink, &sink->head));
    coat_target_free(sink->target);
    coat_target_free(sink->next_target);
    (void)pthread_cond_destroy(&sink->wake);
    (void)pthread_mutex_destroy(&sink->lock);
    free(sink->name);
    free(sink);
}

coat_err
coat_sink_reopen(coat_sink *sink)
{
    coat_target *target = NULL, *unused;
    coat_err err = coat_target_open(sink->name, &target, NULL, 0);

    if (err != COAT_OK)
        return err;
    pthread_mutex_lock(&sink->lock);
    unused = sink->next_target;
    sink->next_target = target;
    pthread_cond_broadcast(&sink->wake);
    pthread_mutex_unlock(&sink->lock);
    coat_target_free(unused);
    return COAT_OK;
}

/* Room for this line? Under lock. */
static bool
has_room(const coat_sink *sink, coat_line_kind kind, size_t len)
{
    size_t most = sink->conf.lines_max;

    if (kind == COAT_LINE_ORDINARY)
        most = most / 10 * ORDINARY_TENTHS;
    return sink->count < most && sink->bytes + len <= BYTES_MAX;
}

bool
coat_sink_push(coat_sink *sink, coat_line_kind kind, const char *text, size_t len,
               coat_commit_fn done, void *ctx)
{
    entry *e = malloc(sizeof *e + len);
    bool room;

    pthread_mutex_lock(&sink->lock);
    room = e != NULL && has_room(sink, kind, len) && !(done != NULL && sink->failing);
    if (!room && done == NULL) { /* a commit that is refused is known to its caller */
        sink->lost[kind]++;
        sink->unreported[kind]++;
    }
    if (room) {
        *e = (entry){.len = len, .kind = kind, .done = done, .ctx = ctx};
        e->deadline_ms = done != NULL ? now_ms() + sink->conf.commit_ms : 0;
        memcpy(e->text, text, len);
        *sink->tail = e;
        sink->tail = &e->next;
        sink->count++;
        sink->bytes += len;
        sink->commits += done != NULL;
        sink->accepted[kind]++;
        pthread_cond_broadcast(&sink->wake);
    }
    pthread_mutex_unlock(&sink->lock);
    if (!room)
        free(e);
    return room;
}

void
coat_sink_abandon(coat_sink *sink, coat_commit_fn done,
                  bool (*mine)(const void *ctx, const void *owner), const void *owner)
{
    pthread_mutex_lock(&sink->lock);
    for (entry *e = sink->head; e != NULL; e = e->next)
        if (e->done == done && mine(e->ctx, owner))
            answer(sink, e, COAT_AUDIT_DOWN);
    pthread_mutex_unlock(&sink->lock);
}

void
coat_sink_detach(coat_sink *sink, const void *ctx)
{
    for (entry *e = sink->head; e != NULL; e = e->next)
        if (e->done != NULL && e->ctx == ctx) {
            e->done = NULL;
            sink->commits--;
        }
}

pthread_mutex_t *
coat_sink_lock(coat_sink *sink)
{
    return &sink->lock;
}

bool
coat_sink_writable(coat_sink *sink)
{
    bool writable;

    pthread_mutex_lock(&sink->lock);
    writable = !sink->failing && !sink->stalled && sink->count < sink->conf.lines_max;
    pthread_mutex_unlock(&sink->lock);
    return writable;
}

void
coat_sink_stats(coat_sink *sink, coat_log_stats *out)
{
    pthread_mutex_lock(&sink->lock);
    out->events += sink->accepted[COAT_LINE_AUDIT];
    out->lines += sink->accepted[COAT_LINE_ORDINARY];
    out->audit_lost += sink->lost[COAT_LINE_AUDIT];
    out->lines_lost += sink->lost[COAT_LINE_ORDINARY];
    out->written += sink->written;
    out->waiting += sink->count;
    out->write_errors += sink->errors;
    pthread_mutex_unlock(&sink->lock);
}
