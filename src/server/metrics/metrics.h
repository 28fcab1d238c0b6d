/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_SERVER_METRICS_METRICS_H
#define COAT_SERVER_METRICS_METRICS_H

/**
 * Prometheus metrics (text format 0.0.4). Each loop has a meter that only it writes: counting
 * is one load, one add and one store, without lock or allocation. A scrape sums over the meters
 * and asks the other parts for their counters.
 */

#include "server/http/server.h"
#include "server/log/log.h"
#include <coatcheck/account.h>
#include <coatcheck/engine.h>
#include <stdatomic.h>

#define COAT_METRICS_MAX 32768 /* bytes of an exposition */

/* X(NAME, metric, label pairs, help). Rows of one metric stand together. */
#define COAT_METER_MAP(X)                                                                      \
    X(VERIFY_LIVE, "coatcheck_verify_total", "result=\"live\"", "Answers of /verify")          \
    X(VERIFY_NONE, "coatcheck_verify_total", "result=\"none\"", "")                            \
    X(VERIFY_FORBIDDEN, "coatcheck_verify_total", "result=\"forbidden\"", "")                  \
    X(VERIFY_STEP_UP, "coatcheck_verify_total", "result=\"step_up\"", "")                      \
    X(VERIFY_UNAVAILABLE, "coatcheck_verify_total", "result=\"unavailable\"", "")              \
    X(VERIFY_FAST, "coatcheck_verify_path_total", "path=\"table\"",                            \
      "How /verify was decided: from the node table, or by the engine")                        \
    X(VERIFY_SLOW, "coatcheck_verify_path_total", "path=\"engine\"", "")                       \
    X(LOGIN_OK, "coatcheck_logins_total", "result=\"success\"", "Sign-ins")                    \
    X(LOGIN_DENIED, "coatcheck_logins_total", "result=\"denied\"", "")                         \
    X(LOGIN_THROTTLED, "coatcheck_logins_total", "result=\"throttled\"", "")                   \
    X(LOGIN_UNAVAILABLE, "coatcheck_logins_total", "result=\"unavailable\"", "")               \
    X(LOGOUTS, "coatcheck_logouts_total", "", "Sign-outs")                                     \
    X(CSRF_REFUSED, "coatcheck_csrf_refused_total", "", "Requests refused as cross-site")      \
    X(HTTP_2XX, "coatcheck_http_responses_total", "class=\"2xx\"", "Responses")                \
    X(HTTP_3XX, "coatcheck_http_responses_total", "class=\"3xx\"", "")                         \
    X(HTTP_4XX, "coatcheck_http_responses_total", "class=\"4xx\"", "")                         \
    X(HTTP_5XX, "coatcheck_http_responses_total", "class=\"5xx\"", "")

typedef enum coat_meter_id {
#define X(name, metric, labels, help) COAT_METER_##name,
    COAT_METER_MAP(X)
#undef X
        COAT_METERS
} coat_meter_id;

typedef enum coat_timer_id {
    COAT_TIMER_VERIFY, /* 1 us to 250 ms */
    COAT_TIMER_LOGIN,  /* 1 ms to 10 s */
    COAT_TIMERS
} coat_timer_id;

#define COAT_TIMER_BUCKETS 12 /* bounds; one more for what is above the last */

/** Of one loop. Zeroed is ready. Cache lines of its own, so that loops do not share any. */
typedef struct coat_meter {
    _Alignas(64) _Atomic uint64_t counters[COAT_METERS];
    struct {
        _Atomic uint64_t buckets[COAT_TIMER_BUCKETS + 1];
        _Atomic uint64_t sum_ns;
    } timers[COAT_TIMERS];
} coat_meter;

/* One writer: no read-modify-write instruction is needed. */
static inline void
coat_meter_bump(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

static inline void
coat_meter_add(coat_meter *meter, coat_meter_id id, uint64_t n)
{
    coat_meter_bump(&meter->counters[id], n);
}

void coat_meter_observe(coat_meter *meter, coat_timer_id timer, uint64_t ns);
/** Count a response by its class. */
void coat_meter_status(coat_meter *meter, unsigned status);

/** Where the rest comes from; NULL leaves its metrics out. */
typedef struct coat_metrics_sources {
    const coat_meter *const *meters;
    size_t meter_count;
    coat_engine *engine;
    coat_directory *directory;
    coat_store *store;
    const coat_log *log;
    const coat_http_server *http;
    int64_t started_ms;
} coat_metrics_sources;

/**
 * Write the exposition. Any thread.
 * @retval COAT_TOO_LARGE  COAT_METRICS_MAX bytes always do
 */
coat_err coat_metrics_write(const coat_metrics_sources *sources, char *buf, size_t cap,
                            size_t *len) COAT_MUST_USE;

#endif
