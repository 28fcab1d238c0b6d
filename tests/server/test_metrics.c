/* SPDX-License-Identifier: Apache-2.0 */
#include "coat_test.h"

#include "core/bytes.h"
#include "server/metrics/metrics.h"

#include <stdlib.h>
#include <unistd.h>

static char text[COAT_METRICS_MAX + 1];

static void
expose(const coat_metrics_sources *sources)
{
    size_t len = 0;

    REQUIRE_OK(coat_metrics_write(sources, text, COAT_METRICS_MAX, &len));
    text[len] = '\0';
}

static bool
has_line(const char *line)
{
    const char *at = strstr(text, line);

    return at != NULL && (at == text || at[-1] == '\n') && at[strlen(line)] == '\n';
}

static void
test_counters_sum_over_loops(void)
{
    static coat_meter a, b;
    const coat_meter *meters[] = {&a, &b};
    coat_metrics_sources sources = {
        .meters = meters, .meter_count = 2, .started_ms = 1795410408123};

    coat_meter_add(&a, COAT_METER_VERIFY_LIVE, 40);
    coat_meter_add(&b, COAT_METER_VERIFY_LIVE, 2);
    coat_meter_add(&b, COAT_METER_LOGOUTS, 1);
    for (unsigned status = 0; status < 700; status += 50)
        coat_meter_status(&a, status);
    expose(&sources);
    CHECK(has_line("coatcheck_verify_total{result=\"live\"} 42"));
    CHECK(has_line("coatcheck_verify_total{result=\"none\"} 0"));
    CHECK(has_line("coatcheck_logouts_total 1"));
    CHECK(has_line("coatcheck_http_responses_total{class=\"2xx\"} 2"));
    CHECK(has_line("coatcheck_http_responses_total{class=\"5xx\"} 2"));
    CHECK(has_line("coatcheck_start_time_seconds 1795410408"));
    CHECK(has_line("coatcheck_build_info{version=\"" COAT_VERSION "\"} 1"));
}

static void
test_histograms(void)
{
    static coat_meter a, b;
    const coat_meter *meters[] = {&a, &b};
    coat_metrics_sources sources = {.meters = meters, .meter_count = 2};

    coat_meter_observe(&a, COAT_TIMER_VERIFY, 0);
    coat_meter_observe(&a, COAT_TIMER_VERIFY, 1000); /* on the bound: counts as within */
    coat_meter_observe(&b, COAT_TIMER_VERIFY, 1001);
    coat_meter_observe(&b, COAT_TIMER_VERIFY, 250000001);
    coat_meter_observe(&b, COAT_TIMER_LOGIN, 30000000);
    expose(&sources);
    CHECK(has_line("coatcheck_verify_seconds_bucket{le=\"0.000001\"} 2"));
    CHECK(has_line("coatcheck_verify_seconds_bucket{le=\"0.000002\"} 3"));
    CHECK(has_line("coatcheck_verify_seconds_bucket{le=\"0.25\"} 3"));
    CHECK(has_line("coatcheck_verify_seconds_bucket{le=\"+Inf\"} 4"));
    CHECK(has_line("coatcheck_verify_seconds_count 4"));
    CHECK(has_line("coatcheck_verify_seconds_sum 0.250002002"));
    CHECK(has_line("coatcheck_login_seconds_bucket{le=\"0.05\"} 1"));
    CHECK(has_line("coatcheck_login_seconds_bucket{le=\"10\"} 1"));
}

/* The rules of the text format that a scraper insists on. */
static void
test_format(void)
{
    static coat_meter a;
    const coat_meter *meters[] = {&a};
    coat_log_conf conf = {.target = "fd:2"};
    coat_log *log = NULL;
    coat_metrics_sources sources = {.meters = meters, .meter_count = 1};
    char seen[100][64];
    size_t metrics = 0, samples = 0;

    REQUIRE_OK(coat_log_new(&conf, &log, NULL, 0));
    sources.log = log;
    expose(&sources);
    coat_log_free(log);
    CHECK(has_line("coatcheck_audit_writable 1"));
    for (char *line = text, *end; *line != '\0'; line = end + 1) {
        char name[64];

        end = strchr(line, '\n');
        REQUIRE(end != NULL);
        *end = '\0';
        test_case(line);
        if (sscanf(line, "# HELP %63s", name) == 1) {
            for (size_t i = 0; i < metrics; i++) /* rows of a metric stand together */
                CHECK(strcmp(seen[i], name) != 0);
            memcpy(seen[metrics++], name, sizeof name);
            CHECK(strlen(line) > strlen("# HELP ") + strlen(name) + 1);
        } else if (strncmp(line, "# TYPE ", 7) == 0) {
            CHECK(strncmp(line + 7, seen[metrics - 1], strlen(seen[metrics - 1])) == 0);
        } else {
            CHECK(strncmp(line, seen[metrics - 1], strlen(seen[metrics - 1])) == 0);
            CHECK(strrchr(line, ' ') != NULL &&
                  strspn(strrchr(line, ' ') + 1, "0123456789.") > 0);
            samples++;
        }
        *end = '\n';
    }
    CHECK(metrics > 10 && samples > 40);
}

static void
test_bounds(void)
{
    static coat_meter a;
    const coat_meter *meters[] = {&a};
    coat_metrics_sources sources = {.meters = meters, .meter_count = 1};
    size_t len = 0, unused = 7;

    for (size_t i = 0; i < COAT_METERS; i++)
        coat_meter_add(&a, (coat_meter_id)i, UINT64_MAX); /* the longest numbers */
    REQUIRE_OK(coat_metrics_write(&sources, text, COAT_METRICS_MAX, &len));
    CHECK(len < COAT_METRICS_MAX / 2);
    CHECK_ERR(coat_metrics_write(&sources, text, len - 1, &unused), COAT_TOO_LARGE);
    CHECK_INT(unused, 7);
}

static const coat_test tests[] = {
    {"counters sum over the loops", test_counters_sum_over_loops},
    {"histograms are cumulative, in seconds", test_histograms},
    {"the text format is kept", test_format},
    {"an exposition is bounded", test_bounds},
};
COAT_TEST_MAIN(tests)
