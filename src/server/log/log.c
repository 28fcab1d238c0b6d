/* SPDX-License-Identifier: Apache-2.0 */
#include "server/log/log.h"

#include "server/log/flood.h"
#include "server/log/internal.h"
#include "server/log/line.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LEVELS = COAT_LOG_ERROR + 1, INSTANCE_MAX = 64 };

struct coat_log {
    coat_sink *lines, *audit; /* the same, or two */
    coat_log_format format;
    _Atomic int level;
    uint32_t flood_max, commit_ms;
    coat_clock_fn clock, monotonic;
    void *clock_ctx, *monotonic_ctx;
    char instance[INSTANCE_MAX + 1];
    pthread_mutex_t lock; /* of what follows; taken before a sink's, never after */
    const coat_keys *keys;
    coat_flood events[COAT_EVENT_COUNT];
    coat_flood ordinary[LEVELS];
    uint64_t aggregated;
};

static const char *const level_names[LEVELS] = {"debug", "info", "notice", "warning", "error"};

static int64_t
clock_monotonic(void *ctx)
{
    struct timespec ts;

    (void)ctx;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static coat_log_level
event_level(coat_event_type type)
{
    enum { I = COAT_LOG_INFO, N = COAT_LOG_NOTICE, W = COAT_LOG_WARNING, E = COAT_LOG_ERROR };
    static const uint8_t levels[COAT_EVENT_COUNT] = {
#define X(name, text, severity) [COAT_EVENT_##name] = (severity),
        COAT_EVENT_MAP(X)
#undef X
    };

    return (coat_log_level)levels[type];
}

/* ---- lines ---- */

static void
begin(const coat_log *log, coat_line *line, coat_log_level level)
{
    coat_line_begin(line, log->format);
    coat_line_time(line, log->clock(log->clock_ctx));
    coat_line_text(line, "level", coat_span_of(level_names[level]));
}

static void
text_or_none(coat_line *line, const char *name, coat_span text)
{
    if (text.len > 0)
        coat_line_text(line, name, text);
    else
        coat_line_none(line, name);
}

static void
put_session(coat_log *log, coat_line *line, const coat_event *event)
{
    char hex[16];
    bool known = false;

    pthread_mutex_lock(&log->lock);
    if (event->has_handle && log->keys != NULL) {
        coat_keys_audit_digest(log->keys, &event->handle, hex);
        known = true;
    }
    pthread_mutex_unlock(&log->lock);
    text_or_none(line, "session", (coat_span){(const uint8_t *)hex, known ? sizeof hex : 0});
}

/* AU-2: always all of these fields, so that a reader can rely on them. */
static size_t
make_event(coat_log *log, coat_line *line, const coat_event *event,
           const coat_audit_origin *origin)
{
    char client[64] = "";

    if (origin != NULL && origin->client.known)
        coat_address_format(&origin->client, client, sizeof client);
    begin(log, line, event_level(event->type));
    coat_line_text(line, "event", coat_span_of(coat_event_name(event->type)));
    coat_line_text(line, "outcome", event->failed ? COAT_LIT("failure") : COAT_LIT("success"));
    text_or_none(line, "reason", coat_span_of(event->reason));
    text_or_none(line, "user", event->user);
    text_or_none(line, "client", coat_span_of(client));
    put_session(log, line, event);
    text_or_none(line, "request_id", origin != NULL ? origin->request_id : (coat_span){0});
    coat_line_text(line, "instance", coat_span_of(log->instance));
    if (event->count > 0)
        coat_line_number(line, "count", (int64_t)event->count);
    return coat_line_end(line);
}

static void
push_sum(coat_log *log, coat_event_type type, uint64_t count)
{
    coat_event event = {.type = type, .reason = "aggregated", .count = count};
    coat_line line;
    size_t len;

    if (count == 0)
        return;
    len = make_event(log, &line, &event, NULL);
    (void)coat_sink_push(log->audit, COAT_LINE_AUDIT, line.text, len, NULL, NULL);
}

static void
push_line(coat_log *log, coat_log_level level, const char *what, const coat_log_field *fields,
          size_t count)
{
    static const char *const names[COAT_LOG_F_NAMES] = {
#define X(name, text) text,
        COAT_LOG_NAME_MAP(X)
#undef X
    };
    coat_line line;

    begin(log, &line, level);
    coat_line_text(&line, "msg", coat_span_of(what));
    for (size_t i = 0; i < count; i++)
        if (fields[i].is_number)
            coat_line_number(&line, names[fields[i].name], fields[i].number);
        else
            coat_line_text(&line, names[fields[i].name], fields[i].text);
    coat_line_text(&line, "instance", coat_span_of(log->instance));
    (void)coat_sink_push(log->lines, COAT_LINE_ORDINARY, line.text, coat_line_end(&line), NULL,
                         NULL);
}

static void
push_suppressed(coat_log *log, coat_log_level level, uint64_t count)
{
    coat_log_field field = coat_log_number(COAT_LOG_F_COUNT, (int64_t)count);

    if (count > 0)
        push_line(log, level, "lines of this level were left out", &field, 1);
}

coat_log_field
coat_log_text(coat_log_name name, const char *text)
{
    return coat_log_span(name, coat_span_of(text));
}

void
coat_log_line(coat_log *log, coat_log_level level, const char *what,
              const coat_log_field *fields, size_t count)
{
    uint64_t sum;
    bool pass;

    if (log == NULL || (int)level < atomic_load_explicit(&log->level, memory_order_relaxed))
        return;
    pthread_mutex_lock(&log->lock);
    pass = coat_flood_admit(&log->ordinary[level], log->flood_max,
                            log->monotonic(log->monotonic_ctx), &sum);
    pthread_mutex_unlock(&log->lock);
    push_suppressed(log, level, sum);
    if (pass)
        push_line(log, level, what, fields, count);
}

/* ---- audit ---- */

void
coat_audit_event(coat_log *log, const coat_event *event, const coat_audit_origin *origin)
{
    coat_line line;
    uint64_t sum;
    bool pass;

    if (log == NULL || event->type <= COAT_EVENT_NONE || event->type >= COAT_EVENT_COUNT)
        return;
    pthread_mutex_lock(&log->lock);
    pass = coat_flood_admit(&log->events[event->type], log->flood_max,
                            log->monotonic(log->monotonic_ctx), &sum);
    log->aggregated += !pass;
    pthread_mutex_unlock(&log->lock);
    push_sum(log, event->type, sum);
    if (pass) {
        size_t len = make_event(log, &line, event, origin);

        (void)coat_sink_push(log->audit, COAT_LINE_AUDIT, line.text, len, NULL, NULL);
    }
}

void
coat_audit_event_fn(void *log, const coat_event *event)
{
    coat_audit_event(log, event, event->cause);
}

bool
coat_audit_writable(const coat_log *log)
{
    return coat_sink_writable(log->audit);
}

coat_sink *
coat_log_audit_sink(coat_log *log)
{
    return log->audit;
}

bool
coat_log_push_commit(coat_log *log, const coat_event *event, const coat_audit_origin *origin,
                     coat_commit_fn done, void *ctx)
{
    coat_line line;
    size_t len;

    if (event->type <= COAT_EVENT_NONE || event->type >= COAT_EVENT_COUNT)
        return false;
    len = make_event(log, &line, event, origin);
    return coat_sink_push(log->audit, COAT_LINE_AUDIT, line.text, len, done, ctx);
}

typedef struct waiting {
    pthread_cond_t cond;
    bool done;
    coat_err result;
} waiting;

static void
committed(void *ctx, coat_err result)
{
    waiting *w = ctx;

    w->done = true;
    w->result = result;
    pthread_cond_signal(&w->cond);
}

coat_err
coat_audit_commit(coat_log *log, const coat_event *event, const coat_audit_origin *origin)
{
    waiting w = {.result = COAT_AUDIT_DOWN};
    pthread_mutex_t *lock = coat_sink_lock(log->audit);
    int64_t until = clock_monotonic(NULL) + log->commit_ms;
    struct timespec ts = {until / 1000, until % 1000 * 1000000};
    pthread_condattr_t attr;

    if (pthread_condattr_init(&attr) != 0)
        return COAT_AUDIT_DOWN;
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    if (pthread_cond_init(&w.cond, &attr) != 0)
        goto out;
    if (coat_log_push_commit(log, event, origin, committed, &w)) {
        pthread_mutex_lock(lock);
        while (!w.done && pthread_cond_timedwait(&w.cond, lock, &ts) != ETIMEDOUT)
            continue;
        if (!w.done)
            coat_sink_detach(log->audit, &w);
        pthread_mutex_unlock(lock);
    }
    (void)pthread_cond_destroy(&w.cond);
out:
    (void)pthread_condattr_destroy(&attr);
    return w.result;
}

/* ---- what the sinks' threads ask for ---- */

static size_t
report(void *ctx, coat_line_kind kind, uint64_t lost, char *text)
{
    coat_log *log = ctx;
    coat_line line;
    size_t len;

    if (kind == COAT_LINE_AUDIT) {
        coat_event event = {
            .type = COAT_EVENT_AUDIT_LOST, .failed = true, .reason = "no_room", .count = lost};

        len = make_event(log, &line, &event, NULL);
    } else {
        begin(log, &line, COAT_LOG_WARNING);
        coat_line_text(&line, "msg", COAT_LIT("log lines found no room and were lost"));
        coat_line_number(&line, "count", (int64_t)lost);
        coat_line_text(&line, "instance", coat_span_of(log->instance));
        len = coat_line_end(&line);
    }
    memcpy(text, line.text, len);
    return len;
}

static void
tick(void *ctx, bool last)
{
    coat_log *log = ctx;

    for (int type = COAT_EVENT_NONE + 1; type < COAT_EVENT_COUNT; type++) {
        uint64_t sum;

        pthread_mutex_lock(&log->lock);
        sum = coat_flood_tick(&log->events[type], log->monotonic(log->monotonic_ctx), last);
        pthread_mutex_unlock(&log->lock);
        push_sum(log, (coat_event_type)type, sum);
    }
    for (int level = 0; level < LEVELS; level++) {
        uint64_t sum;

        pthread_mutex_lock(&log->lock);
        sum = coat_flood_tick(&log->ordinary[level], log->monotonic(log->monotonic_ctx), last);
        pthread_mutex_unlock(&log->lock);
        push_suppressed(log, (coat_log_level)level, sum);
    }
}

static void
tick_nothing(void *ctx, bool last)
{
    (void)ctx;
    (void)last;
}

/* ---- life ---- */

static coat_err
open_sinks(coat_log *log, const coat_log_conf *conf, char *message, size_t cap)
{
    coat_sink_conf sink = {
        .target = conf->target,
        .lines_max = conf->ring_max != 0 ? conf->ring_max : COAT_LOG_RING_MAX,
        .commit_ms = log->commit_ms,
        .report = report,
        .tick = tick_nothing,
        .ctx = log,
    };
    bool one = conf->audit_target == NULL || strcmp(conf->audit_target, "log") == 0 ||
               strcmp(conf->audit_target, conf->target) == 0;
    coat_err err;

    /* One thread ticks: that of the audit stream, which is made last and stopped first. */
    if (!one) {
        err = coat_sink_new(&sink, &log->lines, message, cap);
        if (err != COAT_OK)
            return err;
        sink.target = conf->audit_target;
    }
    sink.tick = tick;
    err = coat_sink_new(&sink, &log->audit, message, cap);
    if (err != COAT_OK)
        coat_sink_free(log->lines);
    else if (one)
        log->lines = log->audit;
    return err;
}

coat_err
coat_log_new(const coat_log_conf *conf, coat_log **out, char *message, size_t cap)
{
    coat_log *log = calloc(1, sizeof *log);
    coat_err err = COAT_NO_MEMORY;

    if (log == NULL)
        return err;
    log->format = conf->format;
    atomic_init(&log->level, (int)conf->level);
    log->flood_max = conf->flood_max != 0 ? conf->flood_max : COAT_LOG_FLOOD_MAX;
    log->commit_ms = conf->commit_ms != 0 ? conf->commit_ms : COAT_LOG_COMMIT_MS;
    log->clock = conf->clock != NULL ? conf->clock : coat_clock_system;
    log->clock_ctx = conf->clock_ctx;
    log->monotonic = conf->monotonic != NULL ? conf->monotonic : clock_monotonic;
    log->monotonic_ctx = conf->monotonic_ctx;
    if (conf->instance != NULL && conf->instance[0] != '\0')
        (void)snprintf(log->instance, sizeof log->instance, "%s", conf->instance);
    else if (gethostname(log->instance, sizeof log->instance) != 0)
        (void)snprintf(log->instance, sizeof log->instance, "unknown");
    log->instance[INSTANCE_MAX] = '\0';
    if (pthread_mutex_init(&log->lock, NULL) == 0) {
        err = open_sinks(log, conf, message, cap);
        if (err != COAT_OK)
            (void)pthread_mutex_destroy(&log->lock);
    }
    if (err != COAT_OK) {
        free(log);
        return err;
    }
    *out = log;
    return COAT_OK;
}

void
coat_log_free(coat_log *log)
{
    if (log == NULL)
        return;
    if (log->audit != log->lines)
        coat_sink_free(log->audit);
    coat_sink_free(log->lines);
    (void)pthread_mutex_destroy(&log->lock);
    free(log);
}

coat_err
coat_log_reopen(coat_log *log)
{
    coat_err err = coat_sink_reopen(log->lines);

    return err == COAT_OK && log->audit != log->lines ? coat_sink_reopen(log->audit) : err;
}

void
coat_log_level_set(coat_log *log, coat_log_level level)
{
    atomic_store_explicit(&log->level, (int)level, memory_order_relaxed);
}

void
coat_log_keys_set(coat_log *log, const coat_keys *keys)
{
    pthread_mutex_lock(&log->lock);
    log->keys = keys;
    pthread_mutex_unlock(&log->lock);
}

void
coat_log_stats_get(const coat_log *log, coat_log_stats *out)
{
    coat_log *mutable = (coat_log *)(uintptr_t)log; /* for its locks only */

    *out = (coat_log_stats){0};
    coat_sink_stats(log->lines, out);
    if (log->audit != log->lines)
        coat_sink_stats(log->audit, out);
    pthread_mutex_lock(&mutable->lock);
    out->aggregated = log->aggregated;
    pthread_mutex_unlock(&mutable->lock);
}
