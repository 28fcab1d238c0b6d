/* SPDX-License-Identifier: Apache-2.0 */
#include "server/metrics/metrics.h"

#include "core/out.h"

typedef enum origin { ENGINE, DIRECTORY, STORE, LOG, HTTP } origin;
typedef enum kind { COUNTER, GAUGE } kind;

/* Everything that others count, once. Rows of one metric stand together. */
typedef struct row {
    const char *metric, *labels, *help;
    origin from;
    kind kind;
    size_t offset;
} row;

#define E(field) ENGINE, COUNTER, offsetof(coat_engine_stats, field)
#define EG(field) ENGINE, GAUGE, offsetof(coat_engine_stats, field)
#define D(field) DIRECTORY, COUNTER, offsetof(coat_directory_stats, field)
#define DG(field) DIRECTORY, GAUGE, offsetof(coat_directory_stats, field)
#define SG(field) STORE, GAUGE, offsetof(coat_store_stats, field)
#define SO(op) STORE, COUNTER, offsetof(coat_store_stats, operations) + (op) * sizeof(uint64_t)
#define L(field) LOG, COUNTER, offsetof(coat_log_stats, field)
#define LG(field) LOG, GAUGE, offsetof(coat_log_stats, field)
#define H(field) HTTP, COUNTER, offsetof(coat_http_stats, field)
#define HG(field) HTTP, GAUGE, offsetof(coat_http_stats, field)
#define SESSIONS "coatcheck_session_events_total"
#define OPS "coatcheck_store_operations_total"

/* clang-format off */
static const row rows[] = {
    {"coatcheck_checks_total", "", "Sessions checked", E(checks)},
    {"coatcheck_table_answers_total", "answer=\"live\"", "Checks the node table answered", E(table_hits)},
    {"coatcheck_table_answers_total", "answer=\"refused\"", "", E(table_refused)},
    {"coatcheck_slow_checks_total", "", "Checks that read the store", E(slow_checks)},
    {SESSIONS, "event=\"created\"", "What happened to sessions", E(created)},
    {SESSIONS, "event=\"ended\"", "", E(ended)},
    {SESSIONS, "event=\"rotated\"", "", E(rotated)},
    {SESSIONS, "event=\"confirmed\"", "", E(confirmed)},
    {SESSIONS, "event=\"reused\"", "", E(reused)},
    {SESSIONS, "event=\"expired\"", "", E(expired)},
    {SESSIONS, "event=\"evicted\"", "", E(evicted)},
    {"coatcheck_conflicts_total", "", "Compare-and-set operations that were tried again", E(conflicts)},
    {"coatcheck_store_errors_total", "", "Store operations without an answer", E(store_errors)},
    {"coatcheck_activity_folded_total", "", "Last activities written to records", E(folded)},
    {"coatcheck_swept_total", "", "Dead records erased", E(swept)},
    {"coatcheck_table_slots", "", "Slots of the node table", EG(table_slots)},
    {"coatcheck_table_used", "", "Slots in use", EG(table_used)},
    {"coatcheck_table_evicted_total", "", "Slots given to another session", E(table_evicted)},
    {"coatcheck_hashes_total", "", "Password hashes computed", D(hashes)},
    {"coatcheck_rehashes_total", "", "Stored hashes brought up to date", D(rehashes)},
    {"coatcheck_hash_queue", "", "Password hashes waiting", DG(queue_length)},
    {"coatcheck_hash_queue_peak", "", "Most that ever waited", DG(queue_peak)},
    {"coatcheck_hash_overflows_total", "", "Sign-ins refused because too many waited", D(overflows)},
    {"coatcheck_store_sessions", "", "Session records, ended ones included until swept", SG(sessions)},
    {"coatcheck_store_accounts", "", "Accounts", SG(accounts)},
    {"coatcheck_store_bytes", "state=\"used\"", "Bytes of the store", SG(bytes_used)},
    {"coatcheck_store_bytes", "state=\"map\"", "", SG(bytes_map)},
    {OPS, "op=\"insert\"", "Store operations", SO(COAT_OP_INSERT)},
    {OPS, "op=\"load\"", "", SO(COAT_OP_LOAD)},
    {OPS, "op=\"replace\"", "", SO(COAT_OP_REPLACE)},
    {OPS, "op=\"remove\"", "", SO(COAT_OP_REMOVE)},
    {OPS, "op=\"list_owner\"", "", SO(COAT_OP_LIST_OWNER)},
    {OPS, "op=\"remove_owner\"", "", SO(COAT_OP_REMOVE_OWNER)},
    {OPS, "op=\"epochs\"", "", SO(COAT_OP_EPOCHS)},
    {OPS, "op=\"end_all\"", "", SO(COAT_OP_END_ALL)},
    {OPS, "op=\"scan\"", "", SO(COAT_OP_SCAN)},
    {OPS, "op=\"sweep\"", "", SO(COAT_OP_SWEEP)},
    {"coatcheck_audit_events_total", "", "Audit events accepted", L(events)},
    {"coatcheck_audit_lost_total", "", "Audit events lost", L(audit_lost)},
    {"coatcheck_audit_aggregated_total", "", "Audit events summed up", L(aggregated)},
    {"coatcheck_log_lines_lost_total", "", "Log lines lost", L(lines_lost)},
    {"coatcheck_log_write_errors_total", "", "Failed writes of log and audit", L(write_errors)},
    {"coatcheck_log_waiting", "", "Lines waiting to be written", LG(waiting)},
    {"coatcheck_http_requests_total", "", "Requests", H(requests)},
    {"coatcheck_http_refused_total", "why=\"malformed\"", "Requests and connections refused", H(bad_requests)},
    {"coatcheck_http_refused_total", "why=\"timeout\"", "", H(timeouts)},
    {"coatcheck_http_refused_total", "why=\"connections\"", "", H(refused_cap)},
    {"coatcheck_http_refused_total", "why=\"source\"", "", H(refused_source)},
    {"coatcheck_http_accepted_total", "", "Connections accepted", H(accepted)},
    {"coatcheck_http_connections", "", "Connections open", HG(open)},
};
/* clang-format on */

static const struct {
    const char *metric, *labels, *help;
} counters[COAT_METERS] = {
#define X(name, metric, labels, help) {metric, labels, help},
    COAT_METER_MAP(X)
#undef X
};

static const struct {
    const char *metric, *help;
    uint64_t bounds_us[COAT_TIMER_BUCKETS];
} timers[COAT_TIMERS] = {
    [COAT_TIMER_VERIFY] = {"coatcheck_verify_seconds",
                           "Time to answer /verify",
                           {1, 2, 5, 10, 25, 50, 100, 250, 1000, 5000, 50000, 250000}},
    [COAT_TIMER_LOGIN] = {"coatcheck_login_seconds",
                          "Time to answer a sign-in",
                          {1000, 5000, 10000, 25000, 50000, 100000, 250000, 500000, 1000000,
                           2500000, 5000000, 10000000}},
};

void
coat_meter_observe(coat_meter *meter, coat_timer_id timer, uint64_t ns)
{
    size_t i = 0;

    while (i < COAT_TIMER_BUCKETS && ns > timers[timer].bounds_us[i] * 1000)
        i++;
    coat_meter_bump(&meter->timers[timer].buckets[i], 1);
    coat_meter_bump(&meter->timers[timer].sum_ns, ns);
}

void
coat_meter_status(coat_meter *meter, unsigned status)
{
    if (status >= 200 && status < 600)
        coat_meter_add(meter, (coat_meter_id)(COAT_METER_HTTP_2XX + (status / 100 - 2)), 1);
}

static void
put_head(coat_out *out, const char *metric, const char *type, const char *help)
{
    coat_out_str(out, "# HELP ");
    coat_out_str(out, metric);
    coat_out_char(out, ' ');
    coat_out_str(out, help);
    coat_out_str(out, "\n# TYPE ");
    coat_out_str(out, metric);
    coat_out_char(out, ' ');
    coat_out_str(out, type);
    coat_out_char(out, '\n');
}

static void
put_sample(coat_out *out, const char *metric, const char *labels, uint64_t value)
{
    coat_out_str(out, metric);
    if (labels[0] != '\0') {
        coat_out_char(out, '{');
        coat_out_str(out, labels);
        coat_out_char(out, '}');
    }
    coat_out_char(out, ' ');
    coat_out_uint(out, value);
    coat_out_char(out, '\n');
}

/* Seconds with as many decimals as are needed, from units of 10^-digits. */
static void
put_seconds(coat_out *out, uint64_t value, unsigned digits)
{
    uint64_t unit = 1;

    for (unsigned i = 0; i < digits; i++)
        unit *= 10;
    coat_out_uint(out, value / unit);
    value %= unit;
    if (value == 0)
        return;
    coat_out_char(out, '.');
    while (value != 0) {
        unit /= 10;
        coat_out_char(out, (char)('0' + value / unit));
        value %= unit;
    }
}

static uint64_t
load(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static void
put_counters(coat_out *out, const coat_metrics_sources *s)
{
    for (size_t i = 0; i < COAT_METERS; i++) {
        uint64_t sum = 0;

        for (size_t m = 0; m < s->meter_count; m++)
            sum += load(&s->meters[m]->counters[i]);
        if (counters[i].help[0] != '\0')
            put_head(out, counters[i].metric, "counter", counters[i].help);
        put_sample(out, counters[i].metric, counters[i].labels, sum);
    }
}

static void
put_timer(coat_out *out, const coat_metrics_sources *s, size_t timer)
{
    const char *metric = timers[timer].metric;
    uint64_t count = 0, sum_ns = 0;

    put_head(out, metric, "histogram", timers[timer].help);
    for (size_t i = 0; i <= COAT_TIMER_BUCKETS; i++) {
        for (size_t m = 0; m < s->meter_count; m++)
            count += load(&s->meters[m]->timers[timer].buckets[i]);
        coat_out_str(out, metric);
        coat_out_str(out, "_bucket{le=\"");
        if (i < COAT_TIMER_BUCKETS)
            put_seconds(out, timers[timer].bounds_us[i], 6);
        else
            coat_out_str(out, "+Inf");
        coat_out_str(out, "\"} ");
        coat_out_uint(out, count);
        coat_out_char(out, '\n');
    }
    for (size_t m = 0; m < s->meter_count; m++)
        sum_ns += load(&s->meters[m]->timers[timer].sum_ns);
    coat_out_str(out, metric);
    coat_out_str(out, "_sum ");
    put_seconds(out, sum_ns, 9);
    coat_out_char(out, '\n');
    coat_out_str(out, metric);
    coat_out_str(out, "_count ");
    coat_out_uint(out, count);
    coat_out_char(out, '\n');
}

/* Snapshots of all parts; NULL where there is none. */
typedef struct snapshot {
    coat_engine_stats engine;
    coat_directory_stats directory;
    coat_store_stats store;
    coat_log_stats log;
    coat_http_stats http;
    const void *of[HTTP + 1];
} snapshot;

static void
take(const coat_metrics_sources *s, snapshot *snap)
{
    *snap = (snapshot){0};
    if (s->engine != NULL) {
        coat_engine_stats_get(s->engine, &snap->engine);
        snap->of[ENGINE] = &snap->engine;
    }
    if (s->directory != NULL) {
        coat_directory_stats_get(s->directory, &snap->directory);
        snap->of[DIRECTORY] = &snap->directory;
    }
    if (s->store != NULL && coat_store_stats_get(s->store, &snap->store) == COAT_OK)
        snap->of[STORE] = &snap->store;
    if (s->log != NULL) {
        coat_log_stats_get(s->log, &snap->log);
        snap->of[LOG] = &snap->log;
    }
    if (s->http != NULL) {
        coat_http_server_stats(s->http, &snap->http);
        snap->of[HTTP] = &snap->http;
    }
}

static void
put_rows(coat_out *out, const snapshot *snap)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t value;

        if (snap->of[rows[i].from] == NULL)
            continue;
        memcpy(&value, (const char *)snap->of[rows[i].from] + rows[i].offset, sizeof value);
        if (rows[i].help[0] != '\0')
            put_head(out, rows[i].metric, rows[i].kind == COUNTER ? "counter" : "gauge",
                     rows[i].help);
        put_sample(out, rows[i].metric, rows[i].labels, value);
    }
}

static void
put_clock(coat_out *out, const coat_engine_stats *s)
{
    int64_t ms = s->clock_offset_ms;

    put_head(out, "coatcheck_issuing", "gauge",
             "0 while nobody can sign in: this clock is too far from the store's");
    put_sample(out, "coatcheck_issuing", "", s->issuing);
    if (!s->clock_known)
        return;
    put_head(out, "coatcheck_store_clock_offset_seconds", "gauge",
             "How far this clock is ahead of the store's");
    coat_out_str(out, ms < 0 ? "coatcheck_store_clock_offset_seconds -"
                             : "coatcheck_store_clock_offset_seconds ");
    put_seconds(out, (uint64_t)(ms < 0 ? -ms : ms), 3);
    coat_out_char(out, '\n');
}

coat_err
coat_metrics_write(const coat_metrics_sources *s, char *buf, size_t cap, size_t *len)
{
    coat_out out = coat_out_init(buf, cap);
    snapshot snap;

    take(s, &snap);
    put_head(&out, "coatcheck_build_info", "gauge", "Version that is running");
    put_sample(&out, "coatcheck_build_info", "version=\"" COAT_VERSION "\"", 1);
    put_head(&out, "coatcheck_start_time_seconds", "gauge", "When this process started");
    put_sample(&out, "coatcheck_start_time_seconds", "",
               (uint64_t)(s->started_ms > 0 ? s->started_ms / 1000 : 0));
    if (s->meter_count > 0) {
        put_counters(&out, s);
        for (size_t i = 0; i < COAT_TIMERS; i++)
            put_timer(&out, s, i);
    }
    put_rows(&out, &snap);
    if (snap.of[ENGINE] != NULL)
        put_clock(&out, &snap.engine);
    if (snap.of[STORE] != NULL) {
        put_head(&out, "coatcheck_store_full", "gauge", "1 while new sessions are refused");
        put_sample(&out, "coatcheck_store_full", "", snap.store.full);
    }
    if (snap.of[LOG] != NULL) {
        put_head(&out, "coatcheck_audit_writable", "gauge", "0 while audit cannot be written");
        put_sample(&out, "coatcheck_audit_writable", "", coat_audit_writable(s->log));
    }
    if (out.over)
        return COAT_TOO_LARGE;
    *len = out.len;
    return COAT_OK;
}
