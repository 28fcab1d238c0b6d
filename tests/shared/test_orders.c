/* SPDX-License-Identifier: Apache-2.0 */

/**
 * RV-3: a read is under way on one instance while another changes what is read. Every order of
 * what can happen is tried: the read takes place, its answer arrives, the change takes place,
 * its report arrives, a beat is said, the beats that came before are heard, the lease runs out,
 * the channel is lost, and joined again.
 */

#include "world.h"

enum { A = 1, B = 0 }; /* A reads, B changes */

typedef enum event {
    PLACE,  /* the read takes place */
    ANSWER, /* its answer arrives */
    CHANGE, /* B's request takes place and is answered */
    HEAR,   /* A hears all there is */
    PULSE,  /* A says a beat */
    EXPIRE, /* a lease's time passes without A's doing anything */
    LOSE,   /* A's channel is lost */
    JOIN,   /* and ready again */
    EVENTS,
} event;

typedef enum kind {
    END,
    END_USER,
    END_ALL,
    RENEW,
    PATCH,
    KINDS,
} kind;

static const char *const names[] = {"end", "end user", "end all", "renew", "patch"};

static world_token victim;
static started *reading, *changing;
static unsigned long runs_done, live_seen, stale;

static void
change(kind k)
{
    switch (k) {
    case END:
        changing = begin(B, COAT_CALL_END, &victim, NULL);
        break;
    case END_USER:
        changing = begin(B, COAT_CALL_END_USER, NULL, "ada");
        break;
    case END_ALL:
        changing = begin(B, COAT_CALL_END_ALL, NULL, NULL);
        break;
    case RENEW:
        changing = begin(B, COAT_CALL_RENEW, &victim, "ada");
        break;
    default:
        REQUIRE_OK(patch(B, &victim, "{\"a\":1}"));
        break;
    }
}

static void
happen(event e, kind k)
{
    switch (e) {
    case PLACE:
        world_place(0);
        break;
    case ANSWER:
        world_answer(0);
        break;
    case CHANGE:
        change(k);
        break;
    case HEAR:
        channel_deliver(A, SIZE_MAX);
        channel_deliver(B, SIZE_MAX);
        channel_deliver(A, SIZE_MAX);
        break;
    case PULSE:
        coat_shared_pulse(nodes[A].desk);
        break;
    case EXPIRE:
        for (unsigned n = 0; n < 2; n++) {
            nodes[n].mono += COAT_CONFIRM_MS;
            nodes[n].wall += COAT_CONFIRM_MS;
        }
        coat_waiting_look(nodes[B].desk);
        break;
    case LOSE:
        channel_lose(A, true);
        break;
    default:
        channel_join(A);
        break;
    }
}

static bool
live(void)
{
    bool yes = peek(A, &victim) == COAT_TABLE_LIVE;

    live_seen += yes;
    return yes;
}

/** Does the store still have it, under this secret? */
static bool
exists(void)
{
    coat_handle handle = handle_of(&victim);

    return world_has(&handle) && world_epoch_global() == 0;
}

static void
start(void)
{
    world_open();
    node_start(A);
    node_start(B);
    world_pass(2000);
    victim = sign_in(B, "ada");
    world_settle();
    nodes[A].silent = nodes[B].silent = true;
    world_hold(A, COAT_OP_LOAD, true);
    changing = NULL;
    reading = begin(A, COAT_CALL_CHECK, &victim, NULL);
}

static void
finish(const char *order)
{
    world_hold(A, 0, false);
    while (world_held() > 0)
        world_refuse(0);
    nodes[A].silent = nodes[B].silent = false;
    channel_join(A);
    channel_join(B);
    world_pass(2500);
    if (live() && !exists())
        test_fail(__FILE__, __LINE__, "%s: the table holds what the store does not", order);
    if (changing != NULL)
        CHECK(changing->done && changing->call.result == COAT_OK);
    /* And it goes on as ever. */
    victim = sign_in(A, "ada");
    warm(A, &victim);
    world_close();
}

static const char *
spell(const event *order, size_t count)
{
    static const char letters[] = "PACHBELJ";
    static char text[EVENTS + 1];

    for (size_t i = 0; i < count; i++)
        text[i] = letters[order[i]];
    text[count] = '\0';
    return text;
}

/** Was the read answered with what A had heard to be changed since? */
static bool
is_stale(const event *order, size_t at)
{
    size_t when[EVENTS];

    for (size_t i = 0; i < EVENTS; i++)
        when[i] = SIZE_MAX;
    for (size_t i = 0; i <= at; i++)
        when[order[i]] = i;
    return order[at] == ANSWER && when[PLACE] < when[CHANGE] && when[CHANGE] < when[HEAR] &&
           when[HEAR] < at && when[LOSE] == SIZE_MAX;
}

static void
try(const event *order, size_t count, kind k)
{
    int64_t changed_ms = -1;

    start();
    for (size_t i = 0; i < count; i++) {
        happen(order[i], k);
        if (order[i] == CHANGE)
            changed_ms = nodes[A].mono;
        if (is_stale(order, i)) {
            stale++;
            if (live())
                test_fail(__FILE__, __LINE__, "%s: a stale answer was filled in",
                          spell(order, count));
        }
        if (changed_ms < 0 || k == PATCH || !live())
            continue;
        if (changing->done)
            test_fail(__FILE__, __LINE__, "%s after %zu: LIVE after it was acknowledged",
                      spell(order, count), i + 1);
        if (nodes[A].mono - changed_ms >= COAT_LEASE_MS)
            test_fail(__FILE__, __LINE__, "%s after %zu: LIVE for longer than a lease",
                      spell(order, count), i + 1);
    }
    runs_done++;
    finish(spell(order, count));
}

static bool
may_follow(const event *order, size_t count, event next)
{
    bool had[EVENTS] = {false};

    for (size_t i = 0; i < count; i++)
        had[order[i]] = true;
    return !had[next] && (next != ANSWER || had[PLACE]) && (next != JOIN || had[LOSE]);
}

static void
permute(event *order, size_t count, size_t wanted, uint32_t events, kind k)
{
    if (count == wanted) {
        try(order, count, k);
        return;
    }
    for (event e = 0; e < EVENTS; e++)
        if ((events & 1U << e) != 0 && may_follow(order, count, e)) {
            order[count] = e;
            permute(order, count + 1, wanted, events, k);
        }
}

static void
all_orders(uint32_t events)
{
    event order[EVENTS];

    runs_done = live_seen = 0;
    for (kind k = 0; k < KINDS; k++) {
        test_case(names[k]);
        permute(order, 0, (size_t)__builtin_popcount(events), events, k);
    }
    printf("# %lu runs, LIVE %lu times\n", runs_done, live_seen);
    CHECK(live_seen > 0 && stale > 0);
}

static void
a_fill(void)
{
    all_orders(1U << PLACE | 1U << ANSWER | 1U << CHANGE | 1U << HEAR | 1U << PULSE |
               1U << EXPIRE);
}

static void
a_loss(void)
{
    all_orders(1U << PLACE | 1U << ANSWER | 1U << CHANGE | 1U << HEAR | 1U << LOSE |
               1U << JOIN);
}

/** Everything, for the plain end: 10,080 orders, a slice of them but at full scale. */
static void
everything(void)
{
    event order[EVENTS];
    test_rng random = {.state = 99};
    long count = test_scaled(10080, 500);

    runs_done = 0;
    for (long i = 0; i < count; i++) {
        size_t n = 0;

        while (n < EVENTS) {
            event e = (event)test_rng_below(&random, EVENTS);

            if (may_follow(order, n, e))
                order[n++] = e;
        }
        try(order, n, (kind)test_rng_below(&random, KINDS));
    }
    printf("# %lu runs\n", runs_done);
}

static const coat_test tests[] = {
    {"RV-3 RV-1: every order of read, change, report, beat and end of lease", a_fill},
    {"RV-3 RV-2: every order of read, change, report, loss and reconnection", a_loss},
    {"RV-1 RV-2 RV-3: all of them together", everything},
};
COAT_TEST_MAIN(tests)
