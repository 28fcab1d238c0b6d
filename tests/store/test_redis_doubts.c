/* SPDX-License-Identifier: Apache-2.0 */
/**
 * Writes of unknown outcome, without a network: what is in doubt, by which connection it ends,
 * and when SWEEP promises that it has.
 */

#include "redis_fake.h"

static const char first[] = "0123456789012345678901234567890123456789";
static const char second[] = "abcdefabcdefabcdefabcdefabcdefabcdefabcd";

/** The connection is lost with a write in flight, and begun anew for the sake of a request. */
static void
lose(coat_store_req *held, coat_store_req *next)
{
    (void)submit(held, COAT_OP_INSERT);
    reconnect(next);
    CHECK_ERR(held->result, COAT_STORE_DOWN);
}

/** It is greeted by this server, and the request that it was begun for is answered. */
static void
come_back(const char *run_id, coat_store_req *next)
{
    greet_as(run_id);
    REQUIRE(fake->base.state == REMOTE_READY);
    hear("*3\r\n:0\r\n$1\r\n7\r\n$1\r\n1\r\n");
    CHECK_ERR(next->result, COAT_OK);
}

/** @return whether SWEEP goes to the server, rather than being refused; it is not answered */
static bool
sweeps(coat_store_req *sweep)
{
    done_count = 0;
    (void)submit(sweep, COAT_OP_SWEEP);
    if (done_count > 0)
        CHECK_ERR(sweep->result, COAT_STORE_DOWN);
    return done_count == 0;
}

static void
fill(const char *run_id, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        store.doubts[i] = (redis_doubt){.number = ++store.doubt_number, .client = i + 1};
        memcpy(store.doubts[i].run_id, run_id, REDIS_RUN_ID);
    }
    store.doubt_count = count;
}

/**
 * More connections are lost than there may be doubts: when there are many, the next one has the
 * server drop all of them. They came to be too many once, and SWEEP was refused until a
 * restart.
 */
static void
never_too_many(void)
{
    coat_store_req held, next, sweep;
    size_t most = 0;

    begin();
    for (int n = 0; n < 2 * REDIS_DOUBTS_MAX; n++) {
        lose(&held, &next);
        most = store.doubt_count > most ? store.doubt_count : most;
        come_back(first, &next);
    }
    CHECK_INT(most, REDIS_DOUBTS_MANY);
    CHECK(store.lost_on[0] == '\0');
    CHECK(sweeps(&sweep));
    end();
}

/** A server that does not drop them is not used. */
static void
not_dropped(void)
{
    coat_store_req held, next;

    begin();
    fill(first, REDIS_DOUBTS_MANY);
    lose(&held, &next);
    drop_reply = "-ERR out of order\r\n";
    greet_as(first);
    CHECK_INT(fake->base.state, REMOTE_IDLE);
    CHECK_INT(store.doubt_count, REDIS_DOUBTS_MANY + 1);
    end();
}

/** SWEEP promises nothing if connections were dropped that it may not name, or cannot. */
static void
promises(void)
{
    static const struct {
        const char *name;
        size_t before; /* in doubt, on the first server */
        bool refused;  /* CLIENT KILL, also later */
        const char *then;
        bool want;
    } cases[] = {
        {"one", 0, false, first, true},
        {"that may not be dropped", 0, true, first, false},
        {"and ends with its server", 0, true, second, true},
        {"as many as fit", REDIS_DOUBTS_MAX - 1, true, first, false},
        {"end with their server", REDIS_DOUBTS_MAX - 1, true, second, true},
        {"more than fit", REDIS_DOUBTS_MAX, true, first, false},
        {"end with it too", REDIS_DOUBTS_MAX, true, second, true},
        {"more than fit, and now it may", REDIS_DOUBTS_MAX, false, first, false},
        {"which a new server need not", REDIS_DOUBTS_MAX, false, second, true},
    };
    coat_store_req held, next, sweep;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        test_case(cases[i].name);
        begin();
        fill(first, cases[i].before);
        lose(&held, &next);
        CHECK((store.lost_on[0] != '\0') == (cases[i].before == REDIS_DOUBTS_MAX));
        kill_refused = cases[i].refused;
        come_back(cases[i].then, &next);
        CHECK(sweeps(&sweep) == cases[i].want);
        if (cases[i].want && cases[i].before >= REDIS_DOUBTS_MANY)
            CHECK(store.doubt_count == 0 && store.lost_on[0] == '\0');
        end();
    }
    test_case(NULL);
}

/** A connection to a former server that is dropped late does not hide what was lost since. */
static void
late_loss(void)
{
    coat_store_req held, next, sweep;
    redis_link former;

    begin();
    former = *fake;
    lose(&held, &next);
    come_back(second, &next);
    fill(second, REDIS_DOUBTS_MAX);
    kill_refused = true;
    lose(&held, &next);
    CHECK_MEM(store.lost_on, REDIS_RUN_ID, second, REDIS_RUN_ID);
    former.greeted = true;
    former.base.flight.head = &held; /* a write */
    redis_doubt_note(&former);
    CHECK_MEM(store.lost_on, REDIS_RUN_ID, second, REDIS_RUN_ID);
    come_back(second, &next);
    CHECK(!sweeps(&sweep));
    end();
}

/** A doubt that came while SWEEP had the earlier ones decided is still one. */
static void
doubted_meanwhile(void)
{
    coat_store_req sweep;
    char text[120];

    begin();
    CHECK(sweeps(&sweep));
    fill(first, 1);
    for (int number = 1; number <= REDIS_PHASES; number++) {
        CHECK_INT(done_count, 0);
        (void)snprintf(text, sizeof text,
                       "*10\r\n:0\r\n:0\r\n:0\r\n:1\r\n$0\r\n\r\n:0\r\n:0\r\n:0\r\n$1\r\n0\r\n$"
                       "1\r\n%d\r\n",
                       number);
        hear(text);
    }
    CHECK_INT(done_count, 1);
    CHECK_ERR(sweep.result, COAT_OK);
    CHECK_INT(store.doubt_count, 1);
    end();
}

static const coat_test tests[] = {
    {"SF-2: however many connections are lost, the next ones decide the former",
     never_too_many},
    {"SF-2: and is not used before it has", not_dropped},
    {"SF-2: a sweep promises nothing where it cannot be kept, and again on another server",
     promises},
    {"SF-2: also where a former server's connection is dropped late", late_loss},
    {"SF-2: nor of connections that were dropped meanwhile", doubted_meanwhile},
};
COAT_TEST_MAIN(tests)
