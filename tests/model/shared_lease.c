/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Shared mode: one instance (A) keeps a session in its node table, another one (B) ends it.
 * Between them a store that may fail over, and A's channel of reports, which may be late or be
 * lost. See README.md.
 */

#include "coat_test.h"
#include "explore.h"

#include <string.h>

enum {
    L = 2,       /* a lease, in ticks */
    QUEUE = 4,   /* reports on their way to A */
    AGE = L + 1, /* older is all the same */
    STATES_MAX = 30 * 1000 * 1000,
};

typedef enum bug {
    BUG_NONE,
    BUG_LEASE_AT_RETURN,  /* the lease begins when the beat comes back */
    BUG_NO_DROP,          /* READY trusts what was there before */
    BUG_FILL_ANYWAY,      /* a report does not spoil a fill that is under way */
    BUG_FILL_ACROSS,      /* nor does READY */
    BUG_REPORT_LATE,      /* the store reports a change some time after it took place */
    BUG_ACK_EARLY,        /* B acknowledges when the store has answered */
    BUG_SHORT_WAIT,       /* B waits for less than a lease */
    BUG_CONFIRM_EARLY,    /* A confirms what lies behind reports that it has not heard yet */
    BUG_UNREGISTERED,     /* a beat does not enter A in the register */
    BUG_SILENT_SOON,      /* an instance counts as silent before its lease is over */
    BUG_REGISTER_TRUSTED, /* the register is believed right after a reconnection */
    BUG_LEAVE_FIRST,      /* A leaves the register before it gives up its lease */
    BUG_NO_JOURNAL,       /* A forgets what was reported as ended */
    BUG_NO_REPLAY,        /* B does not tell the store again */
} bug;

typedef struct limits {
    uint8_t losses, failovers, fills, leaves, crashes;
} limits;

enum { CHANGE = 1, BEAT, SYNC, LOST }; /* reports */
enum { IDLE, COMMITTED, SAID, ACKED }; /* B */

typedef struct report {
    uint8_t kind, age; /* of a beat: since it was said */
} report;

/** Bytes only, so that equal states have equal bytes. */
typedef struct state {
    /* The store, its replica, and the register. */
    uint8_t ended, replica_ended;
    uint8_t in_register, replica_register;
    uint8_t unreported; /* BUG_REPORT_LATE: a change not reported yet */
    uint8_t server;     /* how often it has failed over */
    /* A: shared memory, then the daemon. */
    uint8_t entry, trusted, lease;
    uint8_t down, attached, ready; /* attached: subscribed at a server; ready: knows so */
    uint8_t a_server;              /* which it uses, +1; 0: none */
    uint8_t beats;                 /* on their way */
    uint8_t heard, knows;          /* of the end; knows: by its journal */
    uint8_t fill_at, fill_live, fill_spoilt;
    report queue[QUEUE];
    uint8_t queued;
    /* A's reader. */
    uint8_t read_at, read_acked, read_late;
    /* B. */
    uint8_t b_at, b_waited, b_needs_a, b_confirmed;
    uint8_t b_server, b_ready, b_ready_age, b_due;
    uint8_t b_seen, b_seen_age; /* A's entry in the register: unchanged for how long */
    uint8_t since;              /* the commit */
    uint8_t unheard;            /* the store has lost the end, and A had not heard of it */
    limits begun;
} state;

typedef struct model {
    bug bug;
    limits limits;
    unsigned long live; /* how often a reader said LIVE */
} model;

static void
add(explore *e, const state *s, const char *label)
{
    /* Nothing on its way, and the table is trusted: then it is right. */
    if (s->queued == 0 && s->unreported == 0 && s->ready && s->attached && s->lease > 0 &&
        s->entry && s->trusted && s->ended && s->a_server == s->server + 1)
        explore_break(e, 'd', "the table holds what the store does not", label);
    if (s->b_at == ACKED && s->b_ready && s->b_server == s->server && !s->b_due && !s->ended)
        explore_break(e, 'f', "the store has lost an end, and nobody will tell it", label);
    explore_add(e, s, label);
}

static uint8_t
up(uint8_t age)
{
    return age < AGE ? (uint8_t)(age + 1) : age;
}

static bool
publish(state *s, uint8_t kind)
{
    if (!s->attached || s->a_server != s->server + 1)
        return true; /* A is not listening */
    if (s->queued == QUEUE)
        return false;
    s->queue[s->queued++] = (report){kind, 0};
    return true;
}

/* ---- time ---- */

static void
tick(explore *e, const state *from)
{
    state s = *from;

    if (s.lease > 0)
        s.lease--;
    for (int i = 0; i < s.queued; i++)
        if (s.queue[i].kind == BEAT)
            s.queue[i].age = up(s.queue[i].age);
    if (s.b_at == COMMITTED || s.b_at == SAID)
        s.b_waited = up(s.b_waited);
    s.b_ready_age = up(s.b_ready_age);
    if (s.b_seen)
        s.b_seen_age = up(s.b_seen_age);
    if (s.since > 0)
        s.since = up(s.since);
    add(e, &s, "time passes");
}

/* ---- A: beats, reports, fills ---- */

static void
a_beat(explore *e, const model *m, const state *from)
{
    state s = *from;

    if (!s.ready || s.a_server != s.server + 1 || s.beats == 2 || !publish(&s, BEAT))
        return;
    s.beats++;
    if (m->bug != BUG_UNREGISTERED)
        s.in_register = 1;
    s.b_seen = 0; /* its entry has changed */
    s.b_seen_age = 0;
    add(e, &s, "A: beat");
}

static void
be_lost(state *s)
{
    s->ready = s->attached = 0;
    s->lease = 0;
    s->beats = 0;
    s->a_server = 0;
}

static void
a_hear(explore *e, const model *m, const state *from)
{
    report r = from->queue[0];
    state s = *from;

    if (s.queued == 0)
        return;
    memmove(&s.queue[0], &s.queue[1], (QUEUE - 1) * sizeof(report));
    s.queue[--s.queued] = (report){0, 0};
    switch (r.kind) {
    case CHANGE:
        s.entry = 0;
        if (m->bug != BUG_FILL_ANYWAY)
            s.fill_spoilt = 1;
        s.heard = 1;
        if (m->bug != BUG_NO_JOURNAL)
            s.knows = 1;
        add(e, &s, "A: hears the change");
        return;
    case BEAT:
        s.beats--;
        if (m->bug == BUG_LEASE_AT_RETURN)
            s.lease = L;
        else if (r.age < L && L - r.age > s.lease)
            s.lease = (uint8_t)(L - r.age);
        add(e, &s, "A: hears its beat");
        return;
    case SYNC:
        s.b_confirmed = 1;
        add(e, &s, "A: hears SYNC, confirms");
        return;
    default:
        be_lost(&s);
        add(e, &s, "A: hears that its channel is lost");
    }
}

static void
a_confirm_early(explore *e, const model *m, const state *from)
{
    state s = *from;

    if (m->bug != BUG_CONFIRM_EARLY)
        return;
    for (int i = 0; i < s.queued; i++)
        if (s.queue[i].kind == SYNC && !s.b_confirmed) {
            s.b_confirmed = 1;
            add(e, &s, "A: confirms a SYNC that is on its way");
            return;
        }
}

/** The channel breaks: A notices at once, or behind what is on its way. */
static void
a_lose(explore *e, const model *m, const state *from)
{
    state s = *from;

    if (!s.attached || s.begun.losses == m->limits.losses)
        return;
    s.begun.losses++;
    s.attached = 0;
    if (s.queued < QUEUE) {
        s.queue[s.queued++] = (report){LOST, 0};
        add(e, &s, "A: its channel breaks");
    }
    s = *from;
    s.begun.losses++;
    memset(s.queue, 0, sizeof s.queue);
    s.queued = 0;
    be_lost(&s);
    add(e, &s, "A: its channel breaks, what was on its way with it");
}

static void
a_join(explore *e, const model *m, const state *from)
{
    state s = *from;

    if (s.attached || s.ready || s.queued > 0)
        return;
    s.attached = s.ready = 1;
    s.a_server = (uint8_t)(s.server + 1);
    if (m->bug != BUG_NO_DROP)
        s.trusted = 0;
    if (m->bug != BUG_FILL_ACROSS)
        s.fill_spoilt = 1;
    add(e, &s, "A: ready");
}

/** Requests are answered by the server that is watched, or, while none is, by any (rule 3). */
static bool
answered(const state *s)
{
    return s->a_server == 0 || s->a_server == s->server + 1;
}

static void
a_fill(explore *e, const model *m, const state *from)
{
    state s = *from;

    switch (s.fill_at) {
    case 0:
        if (s.begun.fills == m->limits.fills)
            return;
        s.begun.fills++;
        s.fill_at = 1;
        s.fill_spoilt = 0;
        add(e, &s, "A: fill, ticket");
        return;
    case 1:
        if (!answered(&s))
            return;
        s.fill_at = 2;
        s.fill_live = !s.ended && !s.knows;
        add(e, &s, "A: fill, load");
        return;
    default:
        if (s.fill_live && !s.fill_spoilt)
            s.entry = s.trusted = 1;
        s.fill_at = s.fill_live = s.fill_spoilt = 0;
        add(e, &s, "A: fill, enter");
    }
}

/** A check that asks the store, on an instance that has heard of the end. */
static void
a_check(explore *e, const state *from)
{
    if (from->b_at == ACKED && from->heard && answered(from) && !from->ended && !from->knows)
        explore_break(e, 'c', "a check says OK of what was acknowledged as ended", "A: check");
}

static void
a_leave(explore *e, const model *m, const state *from)
{
    state s = *from;

    if (s.begun.leaves == m->limits.leaves || !s.ready)
        return;
    s.begun.leaves++;
    if (m->bug == BUG_LEAVE_FIRST) {
        s.in_register = 0;
        add(e, &s, "A: leaves the register");
        return;
    }
    memset(s.queue, 0, sizeof s.queue);
    s.queued = 0;
    be_lost(&s);
    s.in_register = 0;
    s.b_seen = s.b_seen_age = 0;
    add(e, &s, "A: gives up its lease, leaves the register");
}

/** The daemon dies, and its readers go on with what there is; and the next one. */
static void
a_crash(explore *e, const model *m, const state *from)
{
    state s = *from;

    if (!s.down) {
        if (s.begun.crashes == m->limits.crashes)
            return;
        s.begun.crashes++;
        s.down = 1;
        s.ready = s.attached = s.a_server = s.beats = 0;
        s.fill_at = s.fill_live = s.fill_spoilt = 0;
        s.queued = 0;
        memset(s.queue, 0, sizeof s.queue);
        add(e, &s, "A: crashes");
        return;
    }
    s.down = 0;
    s.heard = s.knows = 0;
    s.lease = 0;
    add(e, &s, "A: takes over");
}

/* ---- A's reader: the lease, then the entry ---- */

static void
read_step(explore *e, model *m, const state *from)
{
    state s = *from;

    if (s.read_at == 0) {
        if (s.lease == 0)
            return; /* ASK */
        s.read_at = 1;
        s.read_acked = s.b_at == ACKED;
        s.read_late = s.since > L;
        add(e, &s, "read: the lease is good");
        return;
    }
    if (s.entry && s.trusted) {
        m->live += !s.unheard;
        if (s.read_acked && !s.unheard)
            explore_break(e, 'a', "LIVE of what was acknowledged as ended", "read: entry");
        if (s.read_late && !s.unheard)
            explore_break(e, 'b', "LIVE more than a lease after the end", "read: entry");
    }
    s.read_at = s.read_acked = s.read_late = 0;
    add(e, &s, "read: entry");
}

/* ---- B ends the session ---- */

static void
b_commit(explore *e, const model *m, const state *from)
{
    state s = *from;

    if (s.b_at != IDLE || s.b_server != s.server || !s.b_ready)
        return;
    s.ended = 1;
    s.since = 1;
    if (m->bug == BUG_REPORT_LATE)
        s.unreported = 1;
    else if (!publish(&s, CHANGE))
        return;
    s.b_at = m->bug == BUG_ACK_EARLY ? ACKED : COMMITTED;
    add(e, &s, "B: the store has ended it");
}

static void
report_late(explore *e, const state *from)
{
    state s = *from;

    if (!s.unreported || !publish(&s, CHANGE))
        return;
    s.unreported = 0;
    add(e, &s, "the store reports it");
}

/** SYNC, and who is in the register. */
static void
b_sync(explore *e, const model *m, const state *from)
{
    uint8_t silent_after = m->bug == BUG_SILENT_SOON ? 1 : L;
    state s = *from;

    if (s.b_at != COMMITTED || s.b_server != s.server || !s.b_ready || !publish(&s, SYNC))
        return;
    if (s.b_ready_age < L && m->bug != BUG_REGISTER_TRUSTED)
        return; /* by time only */
    s.b_at = SAID;
    s.b_confirmed = 0;
    s.b_needs_a = s.in_register && !(s.b_seen && s.b_seen_age >= silent_after);
    add(e, &s, "B: says SYNC");
}

/** B reads the register now and then: is A's entry still the same? */
static void
b_look(explore *e, const state *from)
{
    state s = *from;

    if (s.b_seen || !s.in_register || s.b_server != s.server || !s.b_ready)
        return;
    s.b_seen = 1;
    s.b_seen_age = 0;
    add(e, &s, "B: reads the register");
}

static void
b_ack(explore *e, const model *m, const state *from)
{
    uint8_t wait = m->bug == BUG_SHORT_WAIT ? L - 1 : L;
    state s = *from;

    if (s.b_at != COMMITTED && s.b_at != SAID)
        return;
    if (s.b_waited < wait && !(s.b_at == SAID && (!s.b_needs_a || s.b_confirmed)))
        return;
    s.b_at = ACKED;
    s.b_waited = s.b_needs_a = s.b_confirmed = 0;
    add(e, &s, "B: acknowledges");
}

static void
b_recover(explore *e, const model *m, const state *from)
{
    state s = *from;

    if (!s.b_ready) {
        s.b_ready = 1;
        s.b_ready_age = 0;
        s.b_server = s.server;
        s.b_seen = s.b_seen_age = 0;
        s.b_due = s.b_at != IDLE && m->bug != BUG_NO_REPLAY;
        add(e, &s, "B: ready");
        return;
    }
    if (!s.b_due || s.b_server != s.server || !publish(&s, CHANGE))
        return;
    s.b_due = 0;
    s.ended = 1;
    add(e, &s, "B: tells the store again");
}

/* ---- the store ---- */

static void
store_step(explore *e, const model *m, const state *from)
{
    state s = *from;

    if (s.begun.failovers == m->limits.failovers)
        return;
    if (s.replica_ended != s.ended || s.replica_register != s.in_register) {
        s.replica_ended = s.ended;
        s.replica_register = s.in_register;
        add(e, &s, "the replica catches up");
        s = *from;
    }
    s.begun.failovers++;
    s.server++;
    s.unheard |= s.ended && !s.replica_ended && !s.heard;
    s.ended = s.replica_ended;
    s.in_register = s.replica_register;
    s.unreported = 0;
    s.b_ready = 0; /* B notices; A perhaps not yet */
    s.b_seen = s.b_seen_age = 0;
    if (s.attached && s.queued < QUEUE)
        s.queue[s.queued++] = (report){LOST, 0};
    else if (s.attached)
        return;
    s.attached = 0;
    add(e, &s, "the replica takes over");
}

static void
expand(explore *e, const void *bytes, void *ctx)
{
    model *m = ctx;
    state s;

    memcpy(&s, bytes, sizeof s);
    tick(e, &s);
    read_step(e, m, &s);
    a_crash(e, m, &s);
    b_commit(e, m, &s);
    b_sync(e, m, &s);
    b_look(e, &s);
    b_ack(e, m, &s);
    b_recover(e, m, &s);
    report_late(e, &s);
    store_step(e, m, &s);
    if (s.down)
        return;
    a_beat(e, m, &s);
    a_hear(e, m, &s);
    a_confirm_early(e, m, &s);
    a_lose(e, m, &s);
    a_join(e, m, &s);
    a_fill(e, m, &s);
    a_check(e, &s);
    a_leave(e, m, &s);
}

static explore_result
run(bug seeded, limits upto, unsigned long *live)
{
    model m = {.bug = seeded, .limits = upto};
    explore_result r;
    state initial;

    memset(&initial, 0, sizeof initial);
    initial.b_ready = 1;
    initial.b_ready_age = AGE;
    r = explore_run(&initial, sizeof initial, STATES_MAX, expand, &m);
    *live = m.live;
    return r;
}

static void
show(const explore_result *r, unsigned long live)
{
    printf("# %u states, %u edges, depth %u, LIVE %lu times\n", r->states, r->edges, r->depth,
           live);
    if (r->property == 0)
        return;
    printf("# (%c) %s\n", r->property, r->text);
    for (uint32_t i = 0; i < r->trace_length && i < 64; i++)
        printf("#   %s\n", r->trace[i]);
}

static void
breaks(bug seeded, char property, limits upto)
{
    unsigned long live;
    explore_result r = run(seeded, upto, &live);

    show(&r, live);
    CHECK_INT(r.property, property);
}

static void
holds(limits upto)
{
    unsigned long live;
    explore_result r = run(BUG_NONE, upto, &live);

    show(&r, live);
    CHECK(r.exhausted);
    CHECK_INT(r.property, 0);
    CHECK(live > 0);
}

static void
losses(void)
{
    holds((limits){.losses = 1, .fills = 2});
}

static void
failover(void)
{
    holds((limits){.failovers = 1, .fills = 1});
}

static void
coming_and_going(void)
{
    holds((limits){.fills = 1, .leaves = 1, .crashes = 1});
}

#define BUG_TEST(name, seeded, property, ...)                                                  \
    static void name(void)                                                                     \
    {                                                                                          \
        breaks(seeded, property, (limits){__VA_ARGS__});                                       \
    }

BUG_TEST(lease_at_return, BUG_LEASE_AT_RETURN, 'b', .fills = 1)
BUG_TEST(no_drop, BUG_NO_DROP, 'd', .losses = 1, .fills = 1)
BUG_TEST(fill_anyway, BUG_FILL_ANYWAY, 'd', .fills = 1)
BUG_TEST(fill_across, BUG_FILL_ACROSS, 'd', .losses = 1, .fills = 1)
BUG_TEST(report_late_, BUG_REPORT_LATE, 'b', .fills = 1)
BUG_TEST(ack_early, BUG_ACK_EARLY, 'a', .fills = 1)
BUG_TEST(short_wait, BUG_SHORT_WAIT, 'a', .fills = 1)
BUG_TEST(confirm_early, BUG_CONFIRM_EARLY, 'a', .fills = 1)
BUG_TEST(unregistered, BUG_UNREGISTERED, 'a', .fills = 1)
BUG_TEST(silent_soon, BUG_SILENT_SOON, 'a', .fills = 1)
BUG_TEST(register_trusted, BUG_REGISTER_TRUSTED, 'a', .failovers = 1, .fills = 1)
BUG_TEST(leave_first, BUG_LEAVE_FIRST, 'a', .fills = 1, .leaves = 1)
BUG_TEST(no_journal, BUG_NO_JOURNAL, 'c', .failovers = 1)
BUG_TEST(no_replay, BUG_NO_REPLAY, 'f', .failovers = 1)

static const coat_test tests[] = {
    {"RV-1 RV-2 RV-3: nothing late from the table when a channel is lost", losses},
    {"RV-1 RV-2 RV-5: nor when the store fails over", failover},
    {"RV-1 RV-2: nor when the instance leaves, dies, or is taken over", coming_and_going},
    {"seeded bug lease-at-return breaks (b)", lease_at_return},
    {"seeded bug no-drop breaks (d)", no_drop},
    {"seeded bug fill-anyway breaks (d)", fill_anyway},
    {"seeded bug fill-across breaks (d)", fill_across},
    {"seeded bug report-late breaks (b)", report_late_},
    {"seeded bug ack-early breaks (a)", ack_early},
    {"seeded bug short-wait breaks (a)", short_wait},
    {"seeded bug confirm-early breaks (a)", confirm_early},
    {"seeded bug unregistered breaks (a)", unregistered},
    {"seeded bug silent-soon breaks (a)", silent_soon},
    {"seeded bug register-trusted breaks (a)", register_trusted},
    {"seeded bug leave-first breaks (a)", leave_first},
    {"seeded bug no-journal breaks (c)", no_journal},
    {"seeded bug no-replay breaks (f)", no_replay},
};
COAT_TEST_MAIN(tests)
