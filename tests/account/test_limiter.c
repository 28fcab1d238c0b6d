/* SPDX-License-Identifier: Apache-2.0 */
#include "account/limiter.h"
#include "coat_test.h"
#include "core/bytes.h"
#include "fixture.h"
#include <pthread.h>

static coat_address
address_of(const char *text)
{
    coat_address address = {.known = false};

    REQUIRE_OK(coat_address_parse(coat_span_of(text), &address));
    return address;
}

static coat_address
v4(uint32_t number)
{
    char text[20];

    (void)snprintf(text, sizeof text, "%u.%u.%u.%u", number >> 24, number >> 16 & 255,
                   number >> 8 & 255, number & 255);
    return address_of(text);
}

static coat_limiter *
limiter_of(uint32_t per_minute, uint32_t distinct)
{
    const coat_limiter_conf conf = {per_minute, distinct};
    coat_limiter *limiter;

    REQUIRE_OK(coat_init());
    REQUIRE_OK(coat_limiter_new(&conf, &limiter));
    return limiter;
}

/* 20 in a minute, one report, and in no 60 s more than 20, however they are spread. */
static void
test_rate(void)
{
    coat_limiter *limiter = limiter_of(20, 0);
    coat_address a = address_of("192.0.2.7"), b = address_of("192.0.3.7");
    unsigned passed = 0, reports = 0;
    bool first;

    for (int64_t t = 0; t < 10000; t += 100) {
        passed += coat_limiter_hit(limiter, &a, t, &first) == 0;
        reports += first;
    }
    CHECK_INT(passed, 20);
    CHECK_INT(reports, 1);
    CHECK(coat_limiter_ask(limiter, &a, 10000) > 0);
    CHECK_INT(coat_limiter_ask(limiter, &b, 10000), 0);
    CHECK_INT(coat_limiter_hit(limiter, &b, 10000, &first), 0);
    coat_limiter_free(limiter);
}

static void
test_window(void)
{
    enum { STEPS = 4000, STEP_MS = 150 };
    static uint8_t ok[STEPS];
    coat_limiter *limiter = limiter_of(20, 0);
    coat_address a = address_of("2001:db8::1");
    test_rng rng = {3};
    bool first;

    for (unsigned i = 0; i < STEPS; i++) {
        bool burst = test_rng_below(&rng, 400) < 40 || i % 400 > 385;

        ok[i] = burst && coat_limiter_hit(limiter, &a, (int64_t)i * STEP_MS, &first) == 0;
    }
    for (unsigned from = 0; from + 60000 / STEP_MS < STEPS; from++) {
        unsigned sum = 0;

        for (unsigned i = from; i < from + 60000 / STEP_MS; i++)
            sum += ok[i];
        REQUIRE(sum <= 20);
    }
    coat_limiter_free(limiter);
}

/* Retry-After is honest: at its end there is room, a second before there is none. */
static void
test_retry_after(void)
{
    coat_limiter *limiter = limiter_of(5, 0);
    coat_address a = address_of("192.0.2.7");
    uint32_t wait;
    bool first;

    for (unsigned i = 0; i < 5; i++)
        CHECK_INT(coat_limiter_hit(limiter, &a, 7000 + i * 100, &first), 0);
    wait = coat_limiter_hit(limiter, &a, 8000, &first);
    CHECK(first);
    CHECK(wait >= 52 && wait <= 75);
    CHECK(coat_limiter_ask(limiter, &a, 8000 + (int64_t)(wait - 1) * 1000) > 0);
    CHECK_INT(coat_limiter_ask(limiter, &a, 8000 + (int64_t)wait * 1000), 0);
    coat_limiter_free(limiter);
}

static void
test_networks(void)
{
    static const struct {
        const char *format;
        unsigned count; /* addresses tried, all in one /64 or in one wide network */
        unsigned want;
    } cases[] = {
        {"2001:db8:0:1::%x", 1000, 20},  /* one /64 */
        {"2001:db8:0:%x::1", 1000, 160}, /* one /48 */
        {"198.51.100.%u", 250, 160},     /* one /24 */
    };

    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        coat_limiter *limiter = limiter_of(20, 0);
        unsigned passed = 0;
        bool first;

        test_case(cases[c].format);
        for (unsigned i = 1; i <= cases[c].count; i++) {
            char text[64];
            coat_address a;

            switch (c) {
            case 0:
                (void)snprintf(text, sizeof text, "2001:db8:0:1::%x", i);
                break;
            case 1:
                (void)snprintf(text, sizeof text, "2001:db8:0:%x::1", i);
                break;
            default:
                (void)snprintf(text, sizeof text, "198.51.100.%u", i);
            }
            a = address_of(text);
            passed += coat_limiter_hit(limiter, &a, 1000, &first) == 0;
        }
        CHECK_INT(passed, cases[c].want);
        coat_limiter_free(limiter);
    }
    test_case(NULL);
}

static void
test_distinct(void)
{
    coat_limiter *limiter = limiter_of(1000, 10);
    coat_address a = address_of("192.0.2.7"), b = address_of("192.0.2.8");
    uint32_t wait = 0;
    bool first;

    for (unsigned i = 0; i < 10; i++) {
        unsigned times = i < 9 ? 5 : 1; /* the same account counts once */

        for (unsigned again = 0; again < times; again++) {
            CHECK_INT(coat_limiter_hit(limiter, &a, 1000 + i, &first), 0);
            wait = coat_limiter_failed(limiter, &a, 0x123456789abcdef0U + i, 1000 + i, &first);
            if (i < 9)
                CHECK_INT(wait, 0);
        }
    }
    CHECK(wait > 590 && wait <= 600);
    CHECK(coat_limiter_hit(limiter, &a, 2000, &first) > 0);
    CHECK_INT(coat_limiter_ask(limiter, &b, 2000), 0);
    CHECK(coat_limiter_ask(limiter, &a, 599 * 1000) > 0);
    CHECK_INT(coat_limiter_ask(limiter, &a, 603 * 1000), 0);
    coat_limiter_free(limiter);
}

/* A flood from a million networks neither grows memory nor frees who is penalized. */
static void
test_bounded(void)
{
    enum { PENALIZED = 40 };
    long networks = test_scaled(1000000, 200000);
    coat_limiter *limiter = limiter_of(20, 10);
    size_t bytes = coat_limiter_bytes(limiter);
    bool first;

    for (uint32_t i = 0; i < PENALIZED; i++) {
        coat_address a = v4(0x0a000000 + (i << 12));

        for (unsigned n = 0; n < 20; n++)
            CHECK_INT(coat_limiter_hit(limiter, &a, 50000, &first), 0);
    }
    for (uint32_t i = 0; i < networks; i++) {
        coat_address a = v4(0x20000000 + i * 256);

        (void)coat_limiter_hit(limiter, &a, 50000 + i / 50, &first);
    }
    for (uint32_t i = 0; i < PENALIZED; i++) {
        coat_address a = v4(0x0a000000 + (i << 12));

        CHECK(coat_limiter_ask(limiter, &a, 50000 + networks / 50) > 0);
    }
    for (uint32_t i = 0; i < PENALIZED; i++) {
        coat_address a = v4(0x0a000000 + (i << 12));

        CHECK(coat_limiter_ask(limiter, &a, 50000 + 59000) > 0); /* to the end of its time */
    }
    CHECK_INT(coat_limiter_bytes(limiter), bytes);
    CHECK(bytes < (size_t)20 << 20);
    coat_limiter_free(limiter);
}

/* With every place penalized, newcomers share one count; they are neither free nor all shut. */
static void
test_overflow(void)
{
    coat_limiter *limiter = limiter_of(1, 0);
    unsigned passed = 0;
    bool first;

    /* 16 /24s' worth of /32s each are penalized by their first event */
    for (uint32_t i = 0; i < 400000; i++) {
        coat_address a = v4(0x20000000 + i * 256);

        (void)coat_limiter_hit(limiter, &a, 1000, &first);
    }
    for (uint32_t i = 0; i < 100000; i++) {
        coat_address a = v4(0x60000000 + i * 256);

        passed += coat_limiter_hit(limiter, &a, 2000, &first) == 0;
    }
    CHECK(passed < 100000 / 4);
    /* and once the minute is over there is room again */
    passed = 0;
    for (uint32_t i = 0; i < 1000; i++) {
        coat_address a = v4(0x70000000 + i * 256);

        passed += coat_limiter_hit(limiter, &a, 80000, &first) == 0;
    }
    CHECK_INT(passed, 1000);
    coat_limiter_free(limiter);
}

static void
test_clock_back(void)
{
    coat_limiter *limiter = limiter_of(20, 0);
    coat_address a = address_of("192.0.2.7");
    int64_t hour = 3600 * 1000;
    bool first;

    for (unsigned n = 0; n < 20; n++)
        CHECK_INT(coat_limiter_hit(limiter, &a, 10 * hour, &first), 0);
    CHECK(coat_limiter_ask(limiter, &a, 9 * hour) > 0);
    CHECK(coat_limiter_ask(limiter, &a, 9 * hour) <= 75);
    CHECK(coat_limiter_ask(limiter, &a, 9 * hour + 50000) > 0);
    CHECK_INT(coat_limiter_ask(limiter, &a, 9 * hour + 80000), 0);
    coat_limiter_free(limiter);
}

static void
test_local(void)
{
    coat_limiter *limiter = limiter_of(1, 1);
    coat_address local = {.known = false};
    bool first = true;

    for (unsigned n = 0; n < 100; n++) {
        CHECK_INT(coat_limiter_hit(limiter, &local, 1000, &first), 0);
        CHECK(!first);
        CHECK_INT(coat_limiter_failed(limiter, &local, n, 1000, &first), 0);
    }
    coat_limiter_free(limiter);
}

static void
test_conf(void)
{
    static const coat_limiter_conf bad[] = {{0, 0}, {70000, 0}, {20, 33}};
    coat_limiter *limiter = NULL;

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK_ERR(coat_limiter_new(&bad[i], &limiter), COAT_INVALID);
    CHECK(limiter == NULL);
    coat_limiter_free(NULL);
}

static void *
hit_often(void *arg)
{
    coat_limiter *limiter = arg;
    coat_address a = address_of("192.0.2.7");
    uintptr_t passed = 0;
    bool first;

    for (unsigned i = 0; i < 2000; i++)
        passed += coat_limiter_hit(limiter, &a, 1000, &first) == 0;
    return (void *)passed;
}

static void
test_threads(void)
{
    coat_limiter *limiter = limiter_of(20, 0);
    pthread_t threads[4];
    uintptr_t passed = 0;

    for (unsigned i = 0; i < 4; i++)
        REQUIRE(pthread_create(&threads[i], NULL, hit_often, limiter) == 0);
    for (unsigned i = 0; i < 4; i++) {
        void *result;

        REQUIRE(pthread_join(threads[i], &result) == 0);
        passed += (uintptr_t)result;
    }
    CHECK_INT(passed, 20);
    coat_limiter_free(limiter);
}

/* In the directory: before any hash, with the time to wait, one event. */
static void
test_sign_in(void)
{
    coat_directory_stats stats;
    fixture f;

    fixture_init(&f);
    f.conf.failures_unknown = 90;
    f.conf.failures_known = 10;
    REQUIRE_OK(fixture_add(&f, "alice", GOOD_PASSWORD));
    for (unsigned i = 0; i < 1000; i++) {
        char text[64], name[32];
        coat_err err;

        (void)snprintf(text, sizeof text, "2001:db8:0:1::%x", i + 1);
        (void)snprintf(name, sizeof name, "user-%u", i % 3); /* too few to count as distinct */
        err = fixture_run(&f, (coat_account_call){.op = COAT_ACCOUNT_SIGN_IN,
                                                  .name = coat_span_of(name),
                                                  .password = COAT_LIT(WRONG_PASSWORD),
                                                  .address = address_of(text)});
        CHECK(err == COAT_DENIED || err == COAT_THROTTLED);
        CHECK((err == COAT_THROTTLED) == (f.call.retry_after_s > 0));
    }
    coat_directory_stats_get(f.directory, &stats);
    CHECK(stats.hashes <= 21); /* one of them made alice */
    CHECK_ERR(fixture_sign_in(&f, "alice", GOOD_PASSWORD), COAT_OK);
    fixture_fini(&f);
}

/* One password over 200 accounts: 429 from the 11th on. */
static void
test_spray(void)
{
    fixture f;

    fixture_init(&f);
    for (unsigned i = 0; i < 200; i++) {
        char name[32];

        (void)snprintf(name, sizeof name, "user-%u", i);
        CHECK_ERR(fixture_run(&f, (coat_account_call){.op = COAT_ACCOUNT_SIGN_IN,
                                                      .name = coat_span_of(name),
                                                      .password = COAT_LIT(WRONG_PASSWORD),
                                                      .address = address_of("192.0.2.7")}),
                  i < 10 ? COAT_DENIED : COAT_THROTTLED);
        f.now_ms += 100;
        if (i >= 10)
            CHECK(f.call.retry_after_s > 500 && f.call.retry_after_s <= 600);
    }
    CHECK_INT(f.events[COAT_EVENT_LOGIN_THROTTLED], 1);
    fixture_fini(&f);
}

static const coat_test tests[] = {
    {"LG-9 ID-7: 20 a minute, and one report", test_rate},
    {"LG-9: no 60 seconds hold more than the limit", test_window},
    {"LG-9: the time to wait is right to the second", test_retry_after},
    {"LG-9: /32 and /64 at the limit, /24 and /48 at eight times", test_networks},
    {"LG-9: distinct accounts that fail from one network", test_distinct},
    {"RX-7: a flood of networks keeps memory and penalties", test_bounded},
    {"RX-7: networks without a place share one count", test_overflow},
    {"RX-7 SF-10: a clock set back neither lifts nor prolongs", test_clock_back},
    {"local callers are not limited", test_local},
    {"settings out of range are refused", test_conf},
    {"threads share one limit", test_threads},
    {"LG-9: attempts rotating through a /64 cost at most 20 hashes a minute", test_sign_in},
    {"LG-9: one password over 200 accounts is stopped at the 11th", test_spray},
};
COAT_TEST_MAIN(tests)
