/* SPDX-License-Identifier: Apache-2.0 */
/** Watches of stores behind a network, of a kind that needs none: their life between LOST and
 * READY, and one server at a time. */

#include "loopback.h"
#include "requests.h"
#include "store/remote/watch.h"

#include <stdlib.h>

static uv_loop_t loop;
static uv_async_t awake; /* a loop without a referenced handle does not run at all */
static remote_store store;
static remote_watches all;

/* ---- a store that is never connected to ---- */

static void
never(remote_link *link)
{
    (void)link;
}

static coat_err
never_sent(remote_link *link, coat_store_req *req)
{
    (void)link;
    (void)req;
    return COAT_STORE_DOWN;
}

static int64_t
no_time(void *ctx)
{
    (void)ctx;
    return 0;
}

/** So that whatever is spread over time comes as early as it may. */
static coat_err
no_spread(void *ctx, uint8_t *out, size_t len)
{
    (void)ctx;
    memset(out, 0, len);
    return COAT_OK;
}

/* ---- what is watched ---- */

typedef struct watching {
    coat_lane *lane;
    remote_watch *watch;
    int starts, stops, settled; /* of its kind */
    int events, readies, losts; /* reported */
    coat_watch_event last;
} watching;

/** First: its kind finds the rest by it. */
typedef struct own_watch {
    remote_watch base;
    watching *of;
} own_watch;

static watching first, second;

static watching *
of(remote_watch *watch)
{
    return ((own_watch *)watch)->of;
}

static void
count_start(remote_watch *watch)
{
    of(watch)->starts++;
}

static void
count_stop(remote_watch *watch)
{
    of(watch)->stops++;
}

static void
count_ready(remote_watch *watch)
{
    of(watch)->settled++;
}

static void
on_event(void *ctx, const coat_watch_event *event)
{
    watching *w = ctx;

    w->events++;
    w->readies += event->kind == COAT_WATCH_READY;
    w->losts += event->kind == COAT_WATCH_LOST;
    w->last = *event;
}

static const struct remote_watch_kind watch_kind = {count_start, count_stop, count_ready};

static coat_err
watch_open(watching *w)
{
    coat_watch_sink sink = {.event = on_event, .ctx = w};
    own_watch *own = calloc(1, sizeof *own);
    coat_err err;

    REQUIRE(own != NULL);
    own->of = w;
    err = remote_watch_open(&own->base, w->lane, &sink, &all, &watch_kind);
    if (err == COAT_OK)
        w->watch = &own->base;
    else
        free(own);
    return err;
}

/** The loop until this is so. */
#define LOOP_UNTIL(cond)                                                                       \
    do {                                                                                       \
        int64_t until_ms = real_ms() + PATIENCE_MS;                                            \
                                                                                               \
        while (!(cond) && real_ms() < until_ms) {                                              \
            (void)uv_run(&loop, UV_RUN_NOWAIT);                                                \
            server_sleep();                                                                    \
        }                                                                                      \
        REQUIRE(cond);                                                                         \
    } while (0)

static void
begin_one(watching *w)
{
    *w = (watching){0};
    REQUIRE_OK(remote_lane_open(&store.base, &loop, &w->lane));
    REQUIRE_OK(watch_open(w));
}

static void
begin(void)
{
    static const struct remote_kind kind = {.link_bytes = sizeof(remote_link),
                                            .start = never,
                                            .send = never_sent,
                                            .flush = never,
                                            .stop = never};

    all = (remote_watches){0};
    store = (remote_store){0};
    REQUIRE_OK(remote_store_init(&store, NULL, &kind));
    store.monotonic = no_time;
    store.rng = no_spread;
    REQUIRE(uv_loop_init(&loop) == 0);
    REQUIRE(uv_async_init(&loop, &awake, NULL) == 0);
    begin_one(&first);
    begin_one(&second);
}

static void
end_one(watching *w)
{
    if (w->watch != NULL)
        remote_watch_close(w->watch);
    remote_lane_close(w->lane);
}

static void
end(void)
{
    end_one(&first);
    end_one(&second);
    uv_close((uv_handle_t *)&awake, NULL);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    CHECK_INT(uv_loop_close(&loop), 0);
    remote_store_fini(&store);
}

/** Its channel is open, to this server. */
static void
subscribed(watching *w, const char *server)
{
    LOOP_UNTIL(w->watch->started);
    (void)snprintf(w->watch->server, sizeof w->watch->server, "%s", server);
    remote_watch_subscribed(w->watch);
}

static void
tell(watching *w)
{
    static const coat_watch_event event = {.kind = COAT_WATCH_ALL, .epoch = 7};

    remote_watch_tell(w->watch, &event);
}

/* ---- tests ---- */

/** What comes between is not reported: nothing was known of this server before READY, and
 * nothing is after LOST. */
static void
only_while_ready(void)
{
    begin();
    tell(&first); /* not even begun */
    LOOP_UNTIL(first.starts == 1);
    tell(&first);
    subscribed(&second, "one");
    CHECK_INT(second.readies, 1);
    /* The other one is ready elsewhere: this one waits for it to lose. */
    subscribed(&first, "two");
    CHECK(!first.watch->ready);
    tell(&first);
    CHECK_INT(first.events, 0);
    LOOP_UNTIL(first.readies == 1);
    CHECK_INT(second.losts, 1);
    tell(&first);
    CHECK_INT(first.events, 2);
    CHECK(first.last.kind == COAT_WATCH_ALL && first.last.epoch == 7);
    remote_watch_lose(first.watch, "cut off");
    CHECK_INT(first.losts, 1);
    tell(&first);
    remote_watch_lose(first.watch, "cut off twice");
    CHECK_INT(first.events, 3); /* and LOST is said once */
    subscribed(&first, "two");
    CHECK_INT(first.readies, 2);
    tell(&first);
    CHECK_INT(first.events, 5);
    end();
}

/** The former server's connections are of no use before the new one's are. */
static void
one_server(void)
{
    uint64_t era, later;

    begin();
    CHECK(remote_server_admit(&store, &all, "one", &era));
    subscribed(&first, "one");
    CHECK_INT(first.readies, 1);
    CHECK_INT(first.settled, 1);
    CHECK(!uv_is_active((uv_handle_t *)&first.watch->timer)); /* it is READY once */
    CHECK(remote_server_admit(&store, &all, "one", &later));
    CHECK_INT(later, era); /* it is the same one */
    CHECK(!remote_server_admit(&store, &all, "two", &later));
    CHECK_INT(later, era);
    CHECK_INT(first.losts, 0); /* on its own thread */
    LOOP_UNTIL(first.losts == 1);
    CHECK(remote_server_admit(&store, &all, "two", &later));
    CHECK_INT(later, era + 1);
    /* Whoever was of the former one has nothing to say about this one. */
    subscribed(&second, "two");
    CHECK_INT(second.readies, 1);
    remote_server_leave(&store, &all, era);
    for (int i = 0; i < 20; i++)
        (void)uv_run(&loop, UV_RUN_NOWAIT);
    CHECK_INT(second.losts, 0);
    remote_server_leave(&store, &all, later);
    LOOP_UNTIL(second.losts == 1);
    CHECK(remote_server_admit(&store, &all, "two", &era));
    CHECK_INT(era, later + 2); /* left, and come to once more */
    end();
}

/** What it is told to leave it leaves once, not when it begins anew. */
static void
told_once(void)
{
    uint64_t era;

    begin();
    subscribed(&first, "one");
    CHECK(!remote_server_admit(&store, &all, "two", &era));
    remote_watch_lose(first.watch, "cut off"); /* before it has heard that */
    CHECK_INT(first.losts, 1);
    subscribed(&first, "one");
    CHECK_INT(first.readies, 2);
    for (int i = 0; i < 20; i++)
        (void)uv_run(&loop, UV_RUN_NOWAIT);
    CHECK_INT(first.losts, 1);
    CHECK_INT(first.stops, 1);
    end();
}

static void
what_is_wrong(void)
{
    begin();
    LOOP_UNTIL(first.starts == 1);
    remote_watch_lose(first.watch, "no\nroute");
    CHECK_INT(first.events, 0);
    CHECK_INT(first.stops, 1);
    CHECK_STR(all.trouble, "changes are not heard of: no route");
    LOOP_UNTIL(first.starts == 2);
    remote_watch_lose(first.watch, NULL);
    CHECK_STR(all.trouble, "changes are not heard of: no route");
    subscribed(&first, "one");
    CHECK_STR(all.trouble, "");
    remote_watch_lose(first.watch, "cut off");
    CHECK_STR(all.trouble, "changes are not heard of: cut off");
    CHECK_INT(first.watch->backoff.failures, 1); /* it was well since */
    end();
}

/** A channel that says nothing is given up, and opened anew. */
static void
no_answer(void)
{
    begin();
    LOOP_UNTIL(first.starts == 2);
    CHECK_INT(first.stops, 1);
    CHECK_STR(all.trouble, "changes are not heard of: no answer");
    CHECK_INT(first.events, 0);
    end();
}

static void
closing(void)
{
    uint64_t era;

    begin();
    CHECK_ERR(watch_open(&first), COAT_EXISTS);
    subscribed(&first, "one");
    subscribed(&second, "one");
    CHECK_INT(second.readies, 1);
    CHECK(!remote_server_admit(&store, &all, "two", &era));
    remote_watch_close(first.watch);
    remote_watch_close(second.watch);
    CHECK(all.first == NULL);
    CHECK(remote_server_admit(&store, &all, "two", &era)); /* nobody is ready elsewhere */
    for (int i = 0; i < 20; i++)
        (void)uv_run(&loop, UV_RUN_NOWAIT);
    CHECK_INT(first.events, 1); /* nor is anything reported any more */
    CHECK_INT(second.events, 1);
    CHECK_INT(first.stops, 1);
    first.watch = second.watch = NULL;
    REQUIRE_OK(watch_open(&first));
    subscribed(&first, "two");
    CHECK_INT(first.readies, 2);
    end();
}

static const coat_test tests[] = {
    {"RV-2: reports come between READY and LOST only", only_while_ready},
    {"SF-5 RV-5: one server at a time", one_server},
    {"RV-2: to be told to leave does not outlast LOST", told_once},
    {"what is wrong with a watch is said until it is ready", what_is_wrong},
    {"RV-2: a channel that says nothing is opened anew", no_answer},
    {"a watch that is closed reports nothing and is in nobody's way", closing},
};
COAT_TEST_MAIN(tests)
