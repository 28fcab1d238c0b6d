/* SPDX-License-Identifier: Apache-2.0 */
#include "account/device.h"
#include "fixture.h"
#include <pthread.h>

static void
test_waits(void)
{
    static const struct {
        uint32_t failures;
        int64_t wait_ms;
    } cases[] = {{0, 0},       {4, 0},         {5, 1000},           {6, 2000},    {7, 4000},
                 {13, 256000}, {14, 512000},   {15, 900000},        {16, 900000}, {50, 900000},
                 {69, 900000}, {1000, 900000}, {UINT32_MAX, 900000}};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        CHECK_INT(coat_throttle_wait_ms(cases[i].failures), cases[i].wait_ms);
}

static void
test_growing_wait(void)
{
    fixture f;

    fixture_init(&f);
    REQUIRE_OK(fixture_add(&f, "alice", GOOD_PASSWORD));
    for (unsigned i = 0; i < 5; i++)
        CHECK_ERR(fixture_sign_in(&f, "alice", WRONG_PASSWORD), COAT_DENIED);
    for (unsigned i = 0; i < 10; i++) {
        int64_t wait = coat_throttle_wait_ms(5 + i);

        CHECK_ERR(fixture_sign_in(&f, "alice", GOOD_PASSWORD), COAT_THROTTLED);
        CHECK_INT(f.call.retry_after_s, wait / 1000);
        f.now_ms += wait - 1;
        CHECK_ERR(fixture_sign_in(&f, "alice", GOOD_PASSWORD), COAT_THROTTLED);
        CHECK_INT(f.call.retry_after_s, 1);
        f.now_ms += 1;
        CHECK_ERR(fixture_sign_in(&f, "alice", WRONG_PASSWORD), COAT_DENIED);
    }
    fixture_fini(&f);
}

static void
test_success_clears(void)
{
    fixture f;

    fixture_init(&f);
    REQUIRE_OK(fixture_add(&f, "alice", GOOD_PASSWORD));
    for (unsigned round = 0; round < 20; round++) {
        for (unsigned i = 0; i < 4; i++)
            CHECK_ERR(fixture_sign_in(&f, "alice", WRONG_PASSWORD), COAT_DENIED);
        CHECK_INT(fixture_failures(&f, "alice", COAT_CLIENT_UNKNOWN), 4);
        CHECK_ERR(fixture_sign_in(&f, "alice", GOOD_PASSWORD), COAT_OK);
        CHECK_INT(fixture_failures(&f, "alice", COAT_CLIENT_UNKNOWN), 0);
        CHECK_INT(f.count, 4);
    }
    CHECK_INT(f.events[COAT_EVENT_LOGIN_SUCCESS_AFTER_FAILURES], 20);
    fixture_fini(&f);
}

static void
sign_in_as(fixture *f, const char *device, const char *password, coat_err want)
{
    (void)snprintf(f->device, sizeof f->device, "%s", device);
    CHECK_ERR(fixture_sign_in(f, "alice", password), want);
    f->device[0] = '\0';
}

static void
test_disabled_by_class(void)
{
    char device[64];
    fixture f;

    fixture_init(&f);
    REQUIRE_OK(fixture_add(&f, "alice", GOOD_PASSWORD));
    CHECK_ERR(fixture_sign_in(&f, "alice", GOOD_PASSWORD), COAT_OK);
    memcpy(device, f.call.device_text, sizeof device);
    for (unsigned i = 0; i < 50; i++, fixture_rest(&f))
        CHECK_ERR(fixture_sign_in(&f, "alice", WRONG_PASSWORD), COAT_DENIED);
    CHECK_INT(f.events[COAT_EVENT_LOGIN_LOCKED], 1);
    CHECK_STR(f.reason, "wrong_password");
    CHECK_ERR(fixture_sign_in(&f, "alice", GOOD_PASSWORD), COAT_DENIED);
    CHECK_STR(f.reason, "locked");
    f.now_ms += COAT_WAIT_MAX_MS; /* 50 times 15 minutes are less than the device's 30 days */
    sign_in_as(&f, device, GOOD_PASSWORD, COAT_OK);
    memcpy(device, f.call.device_text, sizeof device);
    /* ... and that did not open the door for strangers again */
    fixture_rest(&f);
    CHECK_ERR(fixture_sign_in(&f, "alice", GOOD_PASSWORD), COAT_DENIED);
    for (unsigned i = 0; i < 50; i++, fixture_rest(&f))
        sign_in_as(&f, device, WRONG_PASSWORD, COAT_DENIED);
    CHECK_INT(f.events[COAT_EVENT_LOGIN_LOCKED], 2);
    sign_in_as(&f, device, GOOD_PASSWORD, COAT_DENIED);
    CHECK_STR(f.reason, "locked");
    REQUIRE_OK(fixture_do(&f, COAT_ACCOUNT_ENABLE, "alice"));
    sign_in_as(&f, device, GOOD_PASSWORD, COAT_OK);
    CHECK_ERR(fixture_sign_in(&f, "alice", GOOD_PASSWORD), COAT_OK);
    fixture_fini(&f);
}

/* Four instances on one store, 100 guesses each, all at once. */
typedef struct instance {
    fixture *shared;
    coat_directory *directory;
    pthread_t thread;
    uint64_t verified;
} instance;

static int64_t
ever_later(void *ctx)
{
    /* every look at the clock is a quarter of an hour later: no wait ever holds a guess back */
    return (int64_t)atomic_fetch_add((atomic_llong *)ctx, COAT_WAIT_MAX_MS);
}

static void *
guess(void *arg)
{
    instance *self = arg;
    coat_lane *lane;
    coat_clerk *clerk;
    coat_pool_stats stats;

    REQUIRE_OK(coat_lane_open(self->shared->store, NULL, &lane));
    REQUIRE_OK(coat_clerk_open(self->directory, lane, NULL, &clerk));
    for (unsigned i = 0; i < 100; i++) {
        coat_account_call call = {.op = COAT_ACCOUNT_SIGN_IN,
                                  .name = COAT_LIT("alice"),
                                  .password = COAT_LIT(WRONG_PASSWORD)};

        CHECK(coat_account_run(clerk, &call) != COAT_OK);
    }
    coat_clerk_close(clerk);
    coat_lane_close(lane);
    coat_pool_stats_get(self->directory->pool, &stats);
    self->verified = stats.verifications;
    return NULL;
}

static void
test_parallel_guesses(void)
{
    enum { INSTANCES = 4 };
    instance instances[INSTANCES];
    atomic_llong clock;
    uint64_t verified = 0;
    fixture f;

    fixture_init(&f);
    REQUIRE_OK(fixture_add(&f, "alice", GOOD_PASSWORD));
    atomic_init(&clock, f.now_ms);
    f.conf.clock = ever_later;
    f.conf.clock_ctx = &clock;
    f.conf.events = NULL;
    f.conf.rng = NULL;
    for (unsigned i = 0; i < INSTANCES; i++) {
        instances[i].shared = &f;
        REQUIRE_OK(
            coat_directory_open(&f.conf, &fixture_weak, &instances[i].directory, NULL, 0));
        REQUIRE(pthread_create(&instances[i].thread, NULL, guess, &instances[i]) == 0);
    }
    for (unsigned i = 0; i < INSTANCES; i++) {
        REQUIRE(pthread_join(instances[i].thread, NULL) == 0);
        verified += instances[i].verified;
        coat_directory_free(instances[i].directory);
    }
    CHECK(verified <= 50 + 4);
    CHECK(verified >= 40); /* it was the limit that stopped them */
    f.now_ms = atomic_load(&clock);
    CHECK(fixture_failures(&f, "alice", COAT_CLIENT_UNKNOWN) >= 50);
    CHECK_ERR(fixture_sign_in(&f, "alice", GOOD_PASSWORD), COAT_DENIED);
    fixture_fini(&f);
}

/* 24 hours of guesses from 1,000 addresses, ten a second; every minute the owner signs in. */
static void
test_owner_not_kept_out(void)
{
    long minutes = test_scaled(24 * 60, 60);
    coat_directory_stats stats;
    char device[64];
    unsigned guesses = 0;
    fixture f;

    fixture_init(&f);
    REQUIRE_OK(fixture_add(&f, "alice", GOOD_PASSWORD));
    CHECK_ERR(fixture_sign_in(&f, "alice", GOOD_PASSWORD), COAT_OK);
    memcpy(device, f.call.device_text, sizeof device);
    for (long minute = 0; minute < minutes; minute++) {
        for (unsigned i = 0; i < 600; i++, f.now_ms += 100) {
            coat_account_call call = {.op = COAT_ACCOUNT_SIGN_IN,
                                      .name = COAT_LIT("alice"),
                                      .password = COAT_LIT(WRONG_PASSWORD),
                                      .address = {.known = true}};
            char text[32];

            (void)snprintf(text, sizeof text, "10.%u.%u.9", guesses % 1000 / 250,
                           guesses % 250);
            REQUIRE_OK(coat_address_parse(coat_span_of(text), &call.address));
            guesses++;
            CHECK(fixture_run(&f, call) != COAT_OK);
        }
        sign_in_as(&f, device, GOOD_PASSWORD, COAT_OK);
        memcpy(device, f.call.device_text, sizeof device);
    }
    coat_directory_stats_get(f.directory, &stats);
    CHECK_INT(stats.sign_ins, minutes + 1);
    CHECK(f.events[COAT_EVENT_LOGIN_LOCKED] <= 1);
    /* throttled guesses are reported about once a minute, not ten times a second */
    CHECK(f.events[COAT_EVENT_LOGIN_THROTTLED] <= (unsigned)minutes + 2);
    fixture_fini(&f);
}

static void
test_device(void)
{
    char device[COAT_DEVICE_CHARS + 1] = "", forged[COAT_DEVICE_CHARS + 1];
    coat_handle alice, bob;
    const coat_policy *policy;
    int64_t now, set = 12345;
    fixture f;

    fixture_init(&f);
    now = f.now_ms;
    policy = f.directory->policy;
    alice = fixture_address(&f, "alice");
    bob = fixture_address(&f, "bob");
    coat_device_make(policy, &alice, set, now, device);
    CHECK(coat_device_known(policy, &alice, set, now, coat_span_of(device)));
    CHECK(coat_device_known(policy, &alice, set, now + COAT_DEVICE_MS, coat_span_of(device)));
    CHECK(!coat_device_known(policy, &alice, set, now + COAT_DEVICE_MS + 1,
                             coat_span_of(device)));
    CHECK(!coat_device_known(policy, &bob, set, now, coat_span_of(device)));
    CHECK(!coat_device_known(policy, &alice, set + 1, now, coat_span_of(device)));
    CHECK(!coat_device_known(policy, &alice, set, now, (coat_span){NULL, 0}));
    CHECK(!coat_device_known(policy, &alice, set, now,
                             (coat_span){(const uint8_t *)device, COAT_DEVICE_CHARS - 1}));
    for (unsigned i = 0; i < COAT_DEVICE_CHARS; i++) {
        memcpy(forged, device, sizeof forged);
        forged[i] = forged[i] == 'A' ? 'B' : 'A';
        CHECK(!coat_device_known(policy, &alice, set, now, coat_span_of(forged)));
    }
    fixture_fini(&f);
}

/* A new password makes strangers of all clients; another person's value helps nobody. */
static void
test_device_ends(void)
{
    char device[64];
    fixture f;

    fixture_init(&f);
    REQUIRE_OK(fixture_add(&f, "alice", GOOD_PASSWORD));
    CHECK_ERR(fixture_sign_in(&f, "alice", GOOD_PASSWORD), COAT_OK);
    memcpy(device, f.call.device_text, sizeof device);
    sign_in_as(&f, device, WRONG_PASSWORD, COAT_DENIED);
    CHECK_INT(fixture_failures(&f, "alice", COAT_CLIENT_KNOWN), 1);
    f.now_ms += 1000;
    REQUIRE_OK(
        fixture_run(&f, (coat_account_call){.op = COAT_ACCOUNT_SET_PASSWORD,
                                            .name = COAT_LIT("alice"),
                                            .password = COAT_LIT("umbrellas in a storm")}));
    CHECK_INT(fixture_failures(&f, "alice", COAT_CLIENT_KNOWN), 0);
    sign_in_as(&f, device, WRONG_PASSWORD, COAT_DENIED);
    CHECK_INT(fixture_failures(&f, "alice", COAT_CLIENT_KNOWN), 0);
    CHECK_INT(fixture_failures(&f, "alice", COAT_CLIENT_UNKNOWN), 1);
    fixture_fini(&f);
}

static void
test_device_key_rotation(void)
{
    coat_keys *once, *twice;
    char device[64];
    char message[160];
    fixture f;

    fixture_init(&f);
    REQUIRE_OK(fixture_add(&f, "alice", GOOD_PASSWORD));
    CHECK_ERR(fixture_sign_in(&f, "alice", GOOD_PASSWORD), COAT_OK);
    memcpy(device, f.call.device_text, sizeof device);
    for (unsigned i = 0; i < 4; i++)
        CHECK_ERR(fixture_sign_in(&f, "alice", WRONG_PASSWORD), COAT_DENIED);
    REQUIRE_OK(coat_keys_rotate(f.keys, f.now_ms, test_rng_fill, &f.rng, &once));
    REQUIRE_OK(coat_keys_rotate(once, f.now_ms, test_rng_fill, &f.rng, &twice));
    f.conf.keys = once;
    REQUIRE_OK(coat_directory_reconfigure(f.directory, &f.conf, message, sizeof message));
    sign_in_as(&f, device, WRONG_PASSWORD, COAT_DENIED);
    CHECK_INT(fixture_failures(&f, "alice", COAT_CLIENT_KNOWN), 1);
    f.conf.keys = twice;
    REQUIRE_OK(coat_directory_reconfigure(f.directory, &f.conf, message, sizeof message));
    /* the value has lapsed; accounts and counters stay readable */
    CHECK_INT(fixture_failures(&f, "alice", COAT_CLIENT_UNKNOWN), 4);
    sign_in_as(&f, device, GOOD_PASSWORD, COAT_OK);
    CHECK_INT(fixture_failures(&f, "alice", COAT_CLIENT_UNKNOWN), 0);
    fixture_fini(&f);
    coat_keys_free(once);
    coat_keys_free(twice);
}

/* Guessing names does not grow the store without bound. */
static void
test_unknown_names_bounded(void)
{
    long names = test_scaled(200000, 20000);
    coat_store_stats stats;
    uint64_t inserts;
    fixture f;

    fixture_init(&f);
    for (long i = 0; i < names; i++) {
        char name[32];

        (void)snprintf(name, sizeof name, "nobody-%ld", i);
        CHECK_ERR(fixture_sign_in(&f, name, WRONG_PASSWORD), COAT_DENIED);
    }
    REQUIRE_OK(coat_store_stats_get(f.store, &stats));
    inserts = stats.operations[COAT_OP_INSERT];
    CHECK(inserts <= COAT_DECOY_PLACES);
    CHECK(inserts > 8000);
    fixture_fini(&f);
}

static void
test_clock_back(void)
{
    fixture f;

    fixture_init(&f);
    REQUIRE_OK(fixture_add(&f, "alice", GOOD_PASSWORD));
    for (unsigned i = 0; i < 5; i++)
        CHECK_ERR(fixture_sign_in(&f, "alice", WRONG_PASSWORD), COAT_DENIED);
    f.now_ms -= 24 * 3600 * 1000;
    CHECK_ERR(fixture_sign_in(&f, "alice", GOOD_PASSWORD), COAT_THROTTLED);
    CHECK_INT(f.call.retry_after_s, 1);
    f.now_ms += 1000;
    CHECK_ERR(fixture_sign_in(&f, "alice", GOOD_PASSWORD), COAT_OK);
    fixture_fini(&f);
}

/** Whatever time a store says that the last attempt was at: never longer than the rule. */
static void
test_left(void)
{
    static const struct {
        int64_t last_ms, now_ms, left_ms;
    } cases[] = {{1000, 1000, 16000},
                 {1000, 16999, 1},
                 {1000, 17000, 0},
                 {1000, 0, 16000},
                 {INT64_MAX, 0, 16000},
                 {INT64_MAX, INT64_MAX, 16000},
                 {INT64_MIN, INT64_MAX, 0},
                 {INT64_MIN, INT64_MIN, 16000},
                 {INT64_MAX, INT64_MIN, 16000},
                 {-1, INT64_MAX, 0}};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        coat_counter counter = {.failures = 9, .last_ms = cases[i].last_ms};

        CHECK_INT(coat_throttle_left_ms(&counter, cases[i].now_ms), cases[i].left_ms);
        counter.failures = 4;
        CHECK_INT(coat_throttle_left_ms(&counter, cases[i].now_ms), 0);
    }
}

static const coat_test tests[] = {
    {"LG-7: waits begin at the 5th failure and double up to 15 minutes", test_waits},
    {"LG-7: what is left of a wait, whatever time a counter names", test_left},
    {"LG-7: a wait refuses before any hash, and says how long", test_growing_wait},
    {"LG-7: success after 4 failures leaves 0", test_success_clears},
    {"LG-7 LG-8: 50 failures disable for one class of clients, 100 for all",
     test_disabled_by_class},
    {"LG-7: four instances, 400 parallel guesses, at most 54 evaluations",
     test_parallel_guesses},
    {"LG-8: a day of guesses does not keep the owner out", test_owner_not_kept_out},
    {"LG-8: a known-client value is bound to account, password and 30 days", test_device},
    {"LG-8: a new password makes strangers of all clients", test_device_ends},
    {"LG-8: known clients live through one rotation of keys, accounts through all",
     test_device_key_rotation},
    {"LG-6 RX-7: names without account share a fixed number of counters",
     test_unknown_names_bounded},
    {"LG-7 SF-10: a clock set back does not prolong a wait", test_clock_back},
};
COAT_TEST_MAIN(tests)
