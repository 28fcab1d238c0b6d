/* SPDX-License-Identifier: Apache-2.0 */
/** Watching: what is reported, and in which order. For stores with COAT_CAP_WATCH. */

#include "store/suite/suite.h"

#include <pthread.h>
#include <stdlib.h>
#include <uv.h>

enum {
    NOW = 1000000,
    PUMPS_MAX = 200000, /* round trips that a report may take: more than it ever should */
    LOOKS_MAX = 60000,  /* turns of a loop with a timer of a millisecond */
    SERIALS = 64,
    TELLERS = 4,
    ROUNDS = 100,
};

typedef struct watcher {
    suite_run *run;
    coat_lane *lane;
    coat_watch *watch;
    pthread_t thread;
    bool ready;
    uint32_t readies, losts, said, alls;
    uint64_t epoch_owner, epoch_global;
    bool has_spare;
    coat_handle spare, from;
    uint8_t message[COAT_SAY_MAX];
    size_t message_len;
    uint32_t changed[SERIALS], gone[SERIALS]; /* by serial, of any owner */
    /* Said and not preceded by what it must be preceded by. */
    uint32_t early;
    uint64_t last[TELLERS];
} watcher;

static coat_handle
instance(uint64_t number)
{
    return suite_handle(1000, number);
}

/** "n of teller t": the change of serial t + 1 for the n-th time came before. */
static void
check_order(watcher *w, const coat_watch_event *event)
{
    uint64_t teller, n;

    if (event->message.len != 17 || event->message.ptr[0] != '#')
        return;
    teller = coat_load64(event->message.ptr + 1);
    n = coat_load64(event->message.ptr + 9);
    if (teller >= TELLERS || w->changed[teller + 1] < n || n <= w->last[teller])
        w->early++;
    else
        w->last[teller] = n;
}

static void
on_event(void *ctx, const coat_watch_event *event)
{
    watcher *w = ctx;
    uint64_t serial = suite_serial(&event->address);

    if (!pthread_equal(pthread_self(), w->thread))
        suite_fault(w->run, __FILE__, __LINE__, "reported on a foreign thread");
    if (!w->ready && event->kind != COAT_WATCH_READY)
        suite_fault(w->run, __FILE__, __LINE__, "reported before it was ready");
    switch (event->kind) {
    case COAT_WATCH_READY:
        w->ready = true;
        w->readies++;
        break;
    case COAT_WATCH_LOST:
        w->ready = false;
        w->losts++;
        break;
    case COAT_WATCH_ADDRESS:
        if (serial < SERIALS) {
            w->changed[serial]++;
            w->gone[serial] += event->gone;
        }
        break;
    case COAT_WATCH_OWNER:
        w->epoch_owner = event->epoch;
        w->has_spare = event->has_spare;
        w->spare = event->spare;
        break;
    case COAT_WATCH_ALL:
        w->epoch_global = event->epoch;
        w->alls++;
        break;
    case COAT_WATCH_SAID:
        w->from = event->address;
        w->message_len = event->message.len;
        if (event->message.len <= COAT_SAY_MAX && event->message.len > 0)
            memcpy(w->message, event->message.ptr, event->message.len);
        check_order(w, event);
        w->said++;
        break;
    }
}

/** Let the watch's lane look around once. */
static void
look(watcher *w)
{
    uint64_t owner, global;

    (void)suite_epochs(w->lane, 1, &owner, &global);
}

#define PUMP(w, cond)                                                                          \
    do {                                                                                       \
        for (int pumps = 0; pumps < PUMPS_MAX && !(cond) && !(w)->run->failed; pumps++)        \
            look(w);                                                                           \
        EXPECT((w)->run, cond);                                                                \
    } while (0)

static bool
watch(watcher *w, suite_run *run, uint64_t number)
{
    coat_watch_sink sink = {instance(number), on_event, w};

    memset(w, 0, sizeof *w);
    w->run = run;
    w->thread = pthread_self();
    EXPECT_ERR(run, coat_lane_open(run->store, NULL, &w->lane), COAT_OK);
    if (w->lane == NULL)
        return false;
    EXPECT_ERR(run, coat_watch_open(w->lane, &sink, &w->watch), COAT_OK);
    if (w->watch == NULL)
        return false;
    PUMP(w, w->ready);
    return !run->failed;
}

static void
unwatch(watcher *w)
{
    coat_watch_close(w->watch);
    coat_lane_close(w->lane);
}

static bool
can_watch(suite_run *run)
{
    return (coat_store_caps_of(run->store) & COAT_CAP_WATCH) != 0;
}

static coat_err
say(coat_lane *lane, uint64_t from, const void *bytes, size_t len)
{
    coat_store_req req = {.op = COAT_OP_SAY,
                          .address = instance(from),
                          .value = {bytes, len},
                          .now_ms = NOW,
                          .timeout_ms = 60000};

    return coat_store_run(lane, &req);
}

/** Everything that had taken place has been reported once this has come back. */
static void
catch_up(watcher *w)
{
    uint32_t before = w->said;

    EXPECT_ERR(w->run, say(w->run->lane, 77, "now", 3), COAT_OK);
    PUMP(w, w->said > before);
}

static void
cannot(suite_run *run)
{
    coat_watch_sink sink = {instance(1), on_event, NULL};
    coat_store_req leave = {.op = COAT_OP_LEAVE, .address = instance(1)};
    coat_watch *none;

    if (can_watch(run))
        return;
    EXPECT_ERR(run, coat_watch_open(run->lane, &sink, &none), COAT_UNSUPPORTED);
    EXPECT_ERR(run, say(run->lane, 1, "x", 1), COAT_UNSUPPORTED);
    EXPECT_ERR(run, coat_store_run(run->lane, &leave), COAT_UNSUPPORTED);
}

static void
insert(suite_run *run, uint64_t serial, coat_store_req *more)
{
    EXPECT_ERR(
        run,
        suite_insert(run->lane, more, COAT_SPACE_SESSION, suite_handle(1, serial), "v", 0, NOW),
        COAT_OK);
}

static void
changes(suite_run *run)
{
    coat_store_req first = {0}, evicting = {.owner_max = 2, .owner_evict = true};
    coat_store_req following = {.has_superseded = true, .superseded = suite_handle(1, 3)};
    uint64_t version;
    watcher w;

    if (!can_watch(run) || !watch(&w, run, 1))
        return;
    insert(run, 1, &first);
    insert(run, 2, NULL);
    version = first.found_version;
    EXPECT_ERR(
        run,
        suite_replace(run->lane, COAT_SPACE_SESSION, suite_handle(1, 1), &version, "w", 0, NOW),
        COAT_OK);
    catch_up(&w);
    EXPECT(run, w.changed[1] >= 1);
    insert(run, 3, &evicting); /* 1 gives way */
    catch_up(&w);
    EXPECT(run, w.changed[1] >= 2 || w.alls > 0);
    insert(run, 4, &following); /* 3 is superseded */
    EXPECT_ERR(run, suite_remove(run->lane, COAT_SPACE_SESSION, suite_handle(1, 2)), COAT_OK);
    catch_up(&w);
    EXPECT(run, w.changed[3] >= 1);
    EXPECT(run, w.changed[2] >= 1);
    EXPECT_INT(run, w.losts, 0);
    unwatch(&w);
}

/** Who hears that a session is gone ends it, should the store show it again. */
static void
refused(suite_run *run)
{
    coat_store_req no_room = {.has_superseded = true, .superseded = suite_handle(1, 3)};
    watcher w;

    no_room.owner_max = 2;
    if (!can_watch(run) || !watch(&w, run, 1))
        return;
    for (uint64_t serial = 1; serial <= 3; serial++)
        insert(run, serial, NULL);
    EXPECT_ERR(
        run,
        suite_insert(run->lane, &no_room, COAT_SPACE_SESSION, suite_handle(1, 4), "v", 0, NOW),
        COAT_TOO_MANY);
    catch_up(&w);
    for (uint64_t serial = 1; serial <= 3; serial++)
        EXPECT_INT(run, w.gone[serial], 0);
    unwatch(&w);
}

static void
many_ended(suite_run *run)
{
    coat_store_req spare = {.op = COAT_OP_REMOVE_OWNER,
                            .owner = suite_owner(1),
                            .has_spare = true,
                            .spare = suite_handle(1, 2),
                            .now_ms = NOW,
                            .timeout_ms = 60000};
    coat_store_req all = {.op = COAT_OP_END_ALL, .now_ms = NOW, .timeout_ms = 60000};
    watcher w;

    if (!can_watch(run) || !watch(&w, run, 1))
        return;
    insert(run, 1, NULL);
    insert(run, 2, NULL);
    EXPECT_ERR(run, coat_store_run(run->lane, &spare), COAT_OK);
    catch_up(&w);
    EXPECT_INT(run, w.epoch_owner, spare.epoch_owner);
    EXPECT(run, w.has_spare && coat_handle_equal(&w.spare, &spare.spare));
    EXPECT_ERR(run, suite_remove_owner(run->lane, 1, NOW, NULL), COAT_OK);
    catch_up(&w);
    EXPECT(run, w.epoch_owner > spare.epoch_owner && !w.has_spare);
    EXPECT_ERR(run, coat_store_run(run->lane, &all), COAT_OK);
    catch_up(&w);
    EXPECT_INT(run, w.epoch_global, all.epoch_global);
    unwatch(&w);
}

static void
messages(suite_run *run)
{
    uint8_t bytes[COAT_SAY_MAX + 1];
    coat_store_req to = {.op = COAT_OP_SAY,
                         .address = instance(1),
                         .value = COAT_LIT("to two"),
                         .has_to = true,
                         .to = instance(2),
                         .timeout_ms = 60000};
    watcher one, two;

    if (!can_watch(run) || !watch(&one, run, 1) || !watch(&two, run, 2))
        return;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7); /* NUL, line ends, bytes above 0x7f */
    EXPECT_ERR(run, say(run->lane, 1, bytes, COAT_SAY_MAX), COAT_OK);
    PUMP(&one, one.said == 1); /* also to whom has said it */
    PUMP(&two, two.said == 1);
    EXPECT_INT(run, two.message_len, COAT_SAY_MAX);
    EXPECT(run, memcmp(two.message, bytes, COAT_SAY_MAX) == 0);
    EXPECT(run, suite_serial(&two.from) == 1);
    EXPECT_ERR(run, say(run->lane, 1, bytes, sizeof bytes), COAT_TOO_LARGE);
    EXPECT_ERR(run, say(run->lane, 1, NULL, 0), COAT_INVALID);

    EXPECT_ERR(run, coat_store_run(run->lane, &to), COAT_OK);
    PUMP(&two, two.said == 2);
    catch_up(&one);
    EXPECT_INT(run, one.said, 2);
    EXPECT_INT(run, one.message_len, 3);
    PUMP(&two, two.said == 3);
    to.unordered = true; /* comes all the same */
    EXPECT_ERR(run, coat_store_run(run->lane, &to), COAT_OK);
    EXPECT(run, to.found_version > 0);
    PUMP(&two, two.said == 4);
    EXPECT_INT(run, two.message_len, 6);
    catch_up(&one);
    EXPECT_INT(run, one.said, 3);
    unwatch(&one);
    unwatch(&two);
}

static uint32_t
members(suite_run *run, uint64_t from, suite_list *list)
{
    coat_store_req req = {.op = COAT_OP_SAY,
                          .address = instance(from),
                          .value = COAT_LIT("here"),
                          .timeout_ms = 60000,
                          .item = suite_collect,
                          .ctx = list};

    list->count = 0;
    EXPECT_ERR(run, coat_store_run(run->lane, &req), COAT_OK);
    for (uint32_t i = 0; i < list->count && i < SUITE_LIST_MAX; i++)
        if (suite_serial(&list->items[i].address) == from)
            EXPECT_INT(run, list->items[i].version, req.found_version);
    return list->count;
}

static uint64_t
version_of(const suite_list *list, uint64_t number)
{
    for (uint32_t i = 0; i < list->count && i < SUITE_LIST_MAX; i++)
        if (suite_serial(&list->items[i].address) == number)
            return list->items[i].version;
    return 0;
}

static void
the_register(suite_run *run)
{
    coat_store_req leave = {.op = COAT_OP_LEAVE, .address = instance(1), .timeout_ms = 60000};
    suite_list list = {0};
    uint64_t first;

    if (!can_watch(run))
        return;
    EXPECT_INT(run, members(run, 1, &list), 1);
    EXPECT_INT(run, members(run, 2, &list), 2);
    first = version_of(&list, 1);
    EXPECT_INT(run, members(run, 2, &list), 2);
    EXPECT_INT(run, version_of(&list, 1), (long long)first);
    EXPECT_INT(run, members(run, 1, &list), 2);
    EXPECT(run, version_of(&list, 1) != first);
    leave.version = first; /* it has been heard of since */
    EXPECT_ERR(run, coat_store_run(run->lane, &leave), COAT_CONFLICT);
    leave.version = version_of(&list, 1);
    EXPECT_ERR(run, coat_store_run(run->lane, &leave), COAT_OK);
    EXPECT_ERR(run, coat_store_run(run->lane, &leave), COAT_OK);
    EXPECT_INT(run, members(run, 2, &list), 1);
    EXPECT_INT(run, members(run, 1, &list), 2);
    EXPECT(run, version_of(&list, 1) != leave.version && version_of(&list, 1) != first);
    leave.version = 0;
    EXPECT_ERR(run, coat_store_run(run->lane, &leave), COAT_OK);
    EXPECT_INT(run, members(run, 2, &list), 1);
}

/* ---- order, with several threads that change and tell ---- */

typedef struct teller {
    suite_run *run;
    uint64_t number;
    coat_err err;
} teller;

static void *
tell(void *arg)
{
    teller *t = arg;
    coat_handle handle = suite_handle(t->number, t->number + 1);
    coat_store_req made = {0};
    uint8_t message[17] = {'#'};
    coat_lane *change = NULL, *tells = NULL;
    uint64_t version;

    t->err = coat_lane_open(t->run->store, NULL, &change);
    if (t->err == COAT_OK)
        t->err = coat_lane_open(t->run->store, NULL, &tells);
    if (t->err == COAT_OK)
        t->err = suite_insert(change, &made, COAT_SPACE_SESSION, handle, "v", 0, NOW);
    version = made.found_version;
    coat_store64(message + 1, t->number);
    for (uint64_t n = 1; n <= ROUNDS && t->err == COAT_OK; n++) {
        t->err = suite_replace(change, COAT_SPACE_SESSION, handle, &version, "w", 0, NOW);
        coat_store64(message + 9, n);
        if (t->err == COAT_OK) /* on another lane than the change */
            t->err = say(tells, t->number, message, sizeof message);
    }
    coat_lane_close(tells);
    coat_lane_close(change);
    return NULL;
}

static void
order(suite_run *run)
{
    teller tellers[TELLERS];
    pthread_t threads[TELLERS];
    watcher w;

    if (!can_watch(run) || !watch(&w, run, 1))
        return;
    for (uint64_t i = 0; i < TELLERS; i++) {
        tellers[i] = (teller){run, i, COAT_OK};
        if (pthread_create(&threads[i], NULL, tell, &tellers[i]) != 0)
            abort();
    }
    PUMP(&w, w.said >= TELLERS * ROUNDS || w.early > 0);
    for (uint64_t i = 0; i < TELLERS; i++) {
        (void)pthread_join(threads[i], NULL);
        EXPECT_ERR(run, tellers[i].err, COAT_OK);
        EXPECT_INT(run, w.last[i], ROUNDS);
    }
    EXPECT_INT(run, w.early, 0);
    unwatch(&w);
}

/* ---- on a loop ---- */

static void
nothing(uv_timer_t *timer)
{
    (void)timer;
}

static void
on_loop(suite_run *run)
{
    watcher w = {.run = run, .thread = pthread_self()};
    coat_watch_sink sink = {instance(1), on_event, &w};
    uv_timer_t timer; /* a watch need not keep a loop going */
    uv_loop_t loop;

    if (!can_watch(run))
        return;
    if (uv_loop_init(&loop) != 0) {
        suite_fault(run, __FILE__, __LINE__, "no loop");
        return;
    }
    (void)uv_timer_init(&loop, &timer);
    (void)uv_timer_start(&timer, nothing, 1, 1);
    EXPECT_ERR(run, coat_lane_open(run->store, &loop, &w.lane), COAT_OK);
    EXPECT_ERR(run, coat_watch_open(w.lane, &sink, &w.watch), COAT_OK);
    for (int i = 0; i < LOOKS_MAX && !w.ready && w.watch != NULL; i++)
        (void)uv_run(&loop, UV_RUN_ONCE);
    EXPECT(run, w.ready);
    EXPECT_ERR(run, suite_remove_owner(run->lane, 1, NOW, NULL), COAT_OK);
    EXPECT_ERR(run, say(run->lane, 2, "x", 1), COAT_OK);
    for (int i = 0; i < LOOKS_MAX && w.said == 0 && w.ready; i++)
        (void)uv_run(&loop, UV_RUN_ONCE);
    EXPECT_INT(run, w.said, 1);
    EXPECT(run, w.epoch_owner > 0);
    coat_watch_close(w.watch);
    EXPECT_ERR(run, say(run->lane, 2, "y", 1), COAT_OK);
    coat_lane_close(w.lane);
    uv_close((uv_handle_t *)&timer, NULL);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    EXPECT_INT(run, w.said, 1); /* closed is closed */
    EXPECT_INT(run, uv_loop_close(&loop), 0);
}

const suite_case suite_watch_cases[] = {
    {"a store that cannot report changes says so", cannot, false},
    {"RV-2: what others replace, remove, supersede and evict is reported", changes, false},
    {"RV-2: of a sign-in that is refused nothing is reported as gone", refused, false},
    {"RV-4: the end of all sessions is reported, with the epoch", many_ended, false},
    {"RV-1: messages reach everybody, or one, byte by byte", messages, false},
    {"RV-1: whoever says something is in the register until it leaves", the_register, false},
    {"RV-2: a message is reported after what had taken place before", order, false},
    {"a loop's lane reports on its thread, until the watch is closed", on_loop, false},
    {NULL, NULL, false},
};
