/* SPDX-License-Identifier: Apache-2.0 */
/** Copying a store in the background, where a copy that has failed and the next one meet. */

#include "coat_test.h"
#include "server/app/moving.h"
#include "server/log/log.h"

#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>
#include <string.h>
#include <unistd.h>

static coat_app app;
static pthread_t test_thread;
static atomic_bool held; /* the thread that copies is to wait when it logs something */
static sem_t go_on;

/* In place of the system's, for who begins anew: whoever is to end must be able to. */
int
pthread_join(pthread_t thread, void **out)
{
    int (*real)(pthread_t, void **);
    void *found = dlsym(RTLD_NEXT, "pthread_join");

    memcpy(&real, &found, sizeof real);
    if (atomic_exchange(&held, false))
        (void)sem_post(&go_on);
    return real(thread, out);
}

/** The log asks for the time on the thread that logs. */
static int64_t
clock_of_log(void *ctx)
{
    (void)ctx;
    if (atomic_load(&held) && !pthread_equal(pthread_self(), test_thread))
        while (sem_wait(&go_on) != 0)
            continue;
    return 0;
}

static coat_moving_state
state_of(coat_moving *moving)
{
    coat_moving_status status;

    coat_moving_look(moving, &status);
    return status.state;
}

static void
until_failed(coat_moving *moving)
{
    while (state_of(moving) != COAT_MOVING_FAILED)
        (void)usleep(1000);
}

static coat_moving *
open_moving(void)
{
    coat_log_conf log = {
        .level = COAT_LOG_ERROR, .target = "file:/dev/null", .clock = clock_of_log};
    coat_store_conf conf = {.url = "memory:"};
    coat_moving *moving = NULL;

    test_thread = pthread_self();
    REQUIRE(sem_init(&go_on, 0, 0) == 0);
    REQUIRE_OK(coat_init());
    REQUIRE_OK(coat_store_open(&conf, &app.store));
    app.rng = coat_rng_system;
    REQUIRE_OK(coat_log_new(&log, &app.log, NULL, 0));
    REQUIRE_OK(coat_moving_new(&app, conf.url, &conf, &moving));
    return moving;
}

static void
close_moving(coat_moving *moving)
{
    CHECK_ERR(coat_moving_end(moving, NULL), COAT_OK);
    coat_moving_free(moving);
    coat_log_free(app.log);
    coat_store_close(app.store);
    (void)sem_destroy(&go_on);
}

/**
 * A copy is seen to have failed while its thread is still about to end, and the next one, or
 * giving it up, waits for that thread: each waited for the other once.
 */
static void
begun_anew(void)
{
    static const struct {
        const char *name, *next;
        bool cancels;
    } cases[] = {
        {"the same once more", "nowhere:first", false},
        {"another one", "nowhere:second", false},
        {"given up", "nowhere:first", true},
        {"another one given up", "nowhere:second", true},
    };

    (void)alarm(120); /* instead of waiting for ever */
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        coat_moving *moving = open_moving();
        coat_moving_status status;

        test_case(cases[i].name);
        atomic_store(&held, true);
        CHECK_ERR(coat_moving_start(moving, "nowhere:first", false), COAT_OK);
        until_failed(moving);
        CHECK_ERR(cases[i].cancels ? coat_moving_cancel(moving, cases[i].next)
                                   : coat_moving_start(moving, cases[i].next, false),
                  COAT_OK);
        CHECK(!atomic_load(&held)); /* it has waited for the first */
        until_failed(moving);
        coat_moving_look(moving, &status);
        CHECK_STR(status.to, cases[i].next);
        CHECK(status.message[0] != '\0');
        close_moving(moving);
    }
    (void)alarm(0);
    test_case(NULL);
}

/** What is no target is refused, and does not wait either. */
static void
refused(void)
{
    coat_moving *moving = open_moving();

    CHECK_ERR(coat_moving_start(moving, "memory:", false), COAT_INVALID);
    CHECK_ERR(coat_moving_cancel(moving, "memory:"), COAT_INVALID);
    CHECK_INT(state_of(moving), COAT_MOVING_NONE);
    close_moving(moving);
}

static const coat_test tests[] = {
    {"a copy that has failed does not keep the next one waiting", begun_anew},
    {"the store in use is no target", refused},
};
COAT_TEST_MAIN(tests)
