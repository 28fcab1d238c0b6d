/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Which entries may be in the node table, and when: fills, changes of one session, of an owner
 * and of everybody, crashes of the daemon, and a reader. See README.md.
 */

#include "coat_test.h"
#include "explore.h"

#include <string.h>

enum {
    CHANGERS = 2, /* at once */
    STATES_MAX = 30 * 1000 * 1000,
};

typedef enum bug {
    BUG_NONE,
    BUG_NO_VERSION,     /* a fill looks only at whether a gate is up now */
    BUG_NO_UP,          /* a fill looks only at the count */
    BUG_END_UNCOUNTED,  /* the end of a change does not count */
    BUG_LIFT_EARLY,     /* the gate is lifted before the commit */
    BUG_CLEAR_LATE,     /* the slot is cleared after the commit */
    BUG_END_UNCHECKED,  /* what was committed is entered whatever else went on */
    BUG_OWNER_NO_GATE,  /* ending an owner's sessions clears, but raises no gate */
    BUG_ACK_EARLY,      /* acknowledged before the commit */
    BUG_NO_HOLD,        /* readers are not held off while everybody's sessions end */
    BUG_HOLD_EARLY,     /* they are let in before the new epoch stands in the header */
    BUG_TAKEOVER_EPOCH, /* the next daemon does not ask the store for the epoch */
} bug;

/** How many of each may begin. */
typedef struct limits {
    uint8_t changes, fills, crashes, owners, alls;
} limits;

/** Bytes only, so that equal states have equal bytes. */
typedef struct state {
    /* The store, and what clients were told. */
    uint8_t version, ended, epoch;
    uint8_t acked_version, acked_ended, acked_epoch;
    /* Shared memory: survives the daemon. */
    uint8_t present, entry_version, epoch_min, hold;
    /* The daemon's memory. */
    uint8_t up, down;
    struct {
        uint8_t at, disturbed, version, ended; /* disturbed: the count is not the ticket's */
    } fill;
    struct {
        uint8_t at, ends, disturbed, committed, version;
    } change[CHANGERS];
    uint8_t owner_at, all_at;
    /* The reader: what it knew when it began. */
    uint8_t read_at, known_version, known_ended, known_epoch, read_epoch_min;
    /* How often yet. */
    limits begun;
} state;

enum { IDLE, BEGUN, CLEARED, COMMITTED, LIFTED };

typedef struct model {
    bug bug;
    limits limits;
} model;

/** Counts are only compared: it is enough to know who would find a difference. */
static void
count_on(state *s)
{
    s->fill.disturbed = s->fill.at != IDLE;
    for (int i = 0; i < CHANGERS; i++)
        s->change[i].disturbed = s->change[i].at == BEGUN || s->change[i].at == COMMITTED;
}

/** Would a reader that begins now say LIVE, and of which version? */
static bool
readable(const state *s)
{
    return s->present && s->hold == 0 && s->epoch_min == 0;
}

/** Nothing under way that could put things right, or nobody there to do it. */
static bool
quiet(const state *s)
{
    if (s->down)
        return true;
    for (int i = 0; i < CHANGERS; i++)
        if (s->change[i].at != IDLE)
            return false;
    return s->owner_at == IDLE && s->all_at == IDLE;
}

static void
add(explore *e, const state *s, const char *label)
{
    if (quiet(s) && readable(s) &&
        (s->entry_version != s->version || s->ended || s->epoch != 0))
        explore_break(e, 'b', "the table holds what the store does not", label);
    if (memcmp(&s->change[0], &s->change[1], sizeof s->change[0]) > 0) {
        state swapped = *s; /* the two are alike: half the states */

        memcpy(&swapped.change[0], &s->change[1], sizeof s->change[0]);
        memcpy(&swapped.change[1], &s->change[0], sizeof s->change[0]);
        explore_add(e, &swapped, label);
        return;
    }
    explore_add(e, s, label);
}

/* ---- a fill: ticket, load, enter ---- */

static void
fill_step(explore *e, const model *m, const state *from)
{
    state s = *from;

    switch (s.fill.at) {
    case IDLE:
        if (s.begun.fills == m->limits.fills)
            return;
        s.begun.fills++;
        s.fill.at = BEGUN;
        add(e, &s, "fill: ticket");
        return;
    case BEGUN:
        s.fill.at = CLEARED;
        s.fill.version = s.version;
        s.fill.ended = s.ended || s.epoch != 0;
        add(e, &s, "fill: load");
        return;
    default:
        if (!s.fill.ended && (s.up == 0 || m->bug == BUG_NO_UP) &&
            (!s.fill.disturbed || m->bug == BUG_NO_VERSION)) {
            s.present = 1;
            s.entry_version = s.fill.version;
        }
        memset(&s.fill, 0, sizeof s.fill);
        add(e, &s, "fill: enter");
    }
}

/* ---- a change of one session: begin, commit, end, acknowledge ---- */

static void
change_begin(explore *e, const model *m, const state *from, int i)
{
    if (from->begun.changes == m->limits.changes)
        return;
    for (uint8_t ends = 0; ends < 2; ends++) {
        state s = *from;

        s.begun.changes++;
        s.up++;
        count_on(&s);
        s.change[i].at = BEGUN;
        s.change[i].ends = ends;
        if (m->bug != BUG_CLEAR_LATE)
            s.present = 0;
        if (m->bug == BUG_LIFT_EARLY) {
            s.up--;
            count_on(&s);
        }
        add(e, &s, ends ? "change: begin, to end it" : "change: begin");
    }
}

static void
acknowledge(state *s, int i)
{
    if (s->change[i].ends)
        s->acked_ended = 1;
    else if (s->change[i].committed && s->change[i].version > s->acked_version)
        s->acked_version = s->change[i].version;
}

static void
change_commit(explore *e, const model *m, const state *from, int i)
{
    state s = *from;

    s.change[i].at = COMMITTED;
    if (m->bug == BUG_ACK_EARLY && s.change[i].ends) {
        acknowledge(&s, i);
        add(e, &s, "change: acknowledge, commit later");
    }
    if (s.change[i].ends) {
        s.ended = 1;
    } else if (!s.ended) { /* a replace finds nothing once it has ended */
        s.version++;
        s.change[i].committed = 1;
        s.change[i].version = s.version;
    }
    add(e, &s, "change: commit");
}

static void
change_end(explore *e, const model *m, const state *from, int i)
{
    for (int refill = 0; refill < 2; refill++) {
        state s = *from;

        s.change[i].at = LIFTED;
        if (m->bug == BUG_CLEAR_LATE)
            s.present = 0;
        if (m->bug != BUG_LIFT_EARLY)
            s.up--;
        if (refill && s.change[i].committed && s.epoch == 0 &&
            ((s.up == 0 && !s.change[i].disturbed) || m->bug == BUG_END_UNCHECKED)) {
            s.present = 1;
            s.entry_version = s.change[i].version;
        }
        if (m->bug != BUG_END_UNCOUNTED && m->bug != BUG_LIFT_EARLY)
            count_on(&s);
        add(e, &s, refill ? "change: end, entering it" : "change: end");
    }
}

static void
change_step(explore *e, const model *m, const state *from, int i)
{
    state s = *from;

    switch (s.change[i].at) {
    case IDLE:
        change_begin(e, m, from, i);
        return;
    case BEGUN:
        change_commit(e, m, from, i);
        return;
    case COMMITTED:
        change_end(e, m, from, i);
        return;
    default:
        acknowledge(&s, i);
        memset(&s.change[i], 0, sizeof s.change[i]);
        add(e, &s, "change: acknowledge");
    }
}

/* ---- ending all sessions of the owner: gate, clear, commit, end ---- */

static void
owner_step(explore *e, const model *m, const state *from)
{
    bool gated = m->bug != BUG_OWNER_NO_GATE;
    state s = *from;

    switch (s.owner_at) {
    case IDLE:
        if (s.begun.owners == m->limits.owners)
            return;
        s.begun.owners++;
        s.owner_at = BEGUN;
        s.up = (uint8_t)(s.up + gated);
        if (gated)
            count_on(&s);
        add(e, &s, "owner: gate");
        return;
    case BEGUN:
        s.owner_at = CLEARED;
        s.present = 0;
        add(e, &s, "owner: clear");
        return;
    case CLEARED:
        s.owner_at = COMMITTED;
        s.ended = 1;
        add(e, &s, "owner: commit");
        return;
    case COMMITTED:
        s.owner_at = LIFTED;
        s.up = (uint8_t)(s.up - gated);
        if (gated)
            count_on(&s);
        add(e, &s, "owner: end");
        return;
    default:
        s.owner_at = IDLE;
        s.acked_ended = 1;
        add(e, &s, "owner: acknowledge");
    }
}

/* ---- ending everybody's: hold, commit, epoch into the header, let readers in ---- */

static void
all_step(explore *e, const model *m, const state *from)
{
    state s = *from;

    switch (s.all_at) {
    case IDLE:
        if (s.begun.alls == m->limits.alls)
            return;
        s.begun.alls++;
        s.all_at = BEGUN;
        s.hold = m->bug != BUG_NO_HOLD;
        add(e, &s, "all: hold");
        return;
    case BEGUN:
        s.all_at = CLEARED;
        s.epoch = 1;
        add(e, &s, "all: commit");
        return;
    case CLEARED:
        s.all_at = COMMITTED;
        if (m->bug == BUG_HOLD_EARLY)
            s.hold = 0;
        else
            s.epoch_min = s.epoch;
        add(e, &s, "all: epoch");
        return;
    case COMMITTED:
        s.all_at = LIFTED;
        s.epoch_min = s.epoch;
        s.hold = 0;
        add(e, &s, "all: let readers in");
        return;
    default:
        s.all_at = IDLE;
        s.acked_epoch = 1;
        add(e, &s, "all: acknowledge");
    }
}

/* ---- the daemon dies, and the next one takes over ---- */

static void
crash_step(explore *e, const model *m, const state *from)
{
    state s = *from;

    if (s.down) {
        s.down = 0;
        if (m->bug != BUG_TAKEOVER_EPOCH)
            s.epoch_min = s.epoch;
        s.hold = 0;
        add(e, &s, "take over");
        return;
    }
    if (s.begun.crashes == m->limits.crashes)
        return;
    s.begun.crashes++;
    s.down = 1;
    s.up = 0;
    memset(&s.fill, 0, sizeof s.fill);
    memset(s.change, 0, sizeof s.change);
    s.owner_at = s.all_at = IDLE;
    add(e, &s, "crash");
}

/* ---- the reader: header first, then the entry (a slot is copied whole: table_slot.c) ---- */

static void
read_step(explore *e, const state *from)
{
    state s = *from;

    switch (s.read_at) {
    case IDLE:
        s.read_at = BEGUN;
        s.known_version = s.acked_version;
        s.known_ended = s.acked_ended;
        s.known_epoch = s.acked_epoch;
        add(e, &s, "read: begin");
        return;
    case BEGUN:
        s.read_at = s.hold ? IDLE : CLEARED;
        if (s.read_at == IDLE)
            s.known_version = s.known_ended = s.known_epoch = 0;
        add(e, &s, "read: hold");
        return;
    case CLEARED:
        s.read_at = COMMITTED;
        s.read_epoch_min = s.epoch_min;
        add(e, &s, "read: epoch");
        return;
    default:
        if (s.present && s.read_epoch_min == 0 &&
            (s.entry_version < s.known_version || s.known_ended || s.known_epoch))
            explore_break(e, 'a', "LIVE of what was acknowledged as ended before",
                          "read: entry");
        s.read_at = s.known_version = s.known_ended = s.known_epoch = s.read_epoch_min = 0;
        add(e, &s, "read: entry");
    }
}

static void
expand(explore *e, const void *bytes, void *ctx)
{
    const model *m = ctx;
    state s;

    memcpy(&s, bytes, sizeof s);
    read_step(e, &s);
    crash_step(e, m, &s);
    if (s.down)
        return;
    fill_step(e, m, &s);
    for (int i = 0; i < CHANGERS; i++)
        change_step(e, m, &s, i);
    owner_step(e, m, &s);
    all_step(e, m, &s);
}

static explore_result
run(bug seeded, limits upto)
{
    model m = {seeded, upto};
    state initial;

    memset(&initial, 0, sizeof initial);
    return explore_run(&initial, sizeof initial, STATES_MAX, expand, &m);
}

static void
show(const explore_result *r)
{
    printf("# %u states, %u edges, depth %u\n", r->states, r->edges, r->depth);
    if (r->property == 0)
        return;
    printf("# (%c) %s\n", r->property, r->text);
    for (uint32_t i = 0; i < r->trace_length && i < 64; i++)
        printf("#   %s\n", r->trace[i]);
}

static void
breaks(bug seeded, char property)
{
    explore_result r =
        run(seeded, (limits){.changes = 2, .fills = 2, .crashes = 1, .owners = 1, .alls = 1});

    show(&r);
    CHECK_INT(r.property, property);
}

static void
holds(limits upto)
{
    explore_result r = run(BUG_NONE, upto);

    show(&r);
    CHECK(r.exhausted);
    CHECK_INT(r.property, 0);
}

/** At full scale one more fill and crash. */
static uint8_t
more(uint8_t count)
{
    return (uint8_t)(count + (test_scaled(100, 1) == 100));
}

static void
changes(void)
{
    holds((limits){.changes = 4, .fills = more(3), .crashes = more(1)});
}

static void
everything(void)
{
    holds((limits){.changes = 2, .fills = more(2), .crashes = more(1), .owners = 1, .alls = 1});
}

static void
bug_no_version(void)
{
    breaks(BUG_NO_VERSION, 'b');
}

static void
bug_no_up(void)
{
    breaks(BUG_NO_UP, 'b');
}

static void
bug_end_uncounted(void)
{
    breaks(BUG_END_UNCOUNTED, 'b');
}

static void
bug_lift_early(void)
{
    breaks(BUG_LIFT_EARLY, 'b');
}

static void
bug_clear_late(void)
{
    breaks(BUG_CLEAR_LATE, 'b');
}

static void
bug_end_unchecked(void)
{
    breaks(BUG_END_UNCHECKED, 'b');
}

static void
bug_owner_no_gate(void)
{
    breaks(BUG_OWNER_NO_GATE, 'b');
}

static void
bug_ack_early(void)
{
    breaks(BUG_ACK_EARLY, 'a');
}

static void
bug_no_hold(void)
{
    breaks(BUG_NO_HOLD, 'b');
}

static void
bug_hold_early(void)
{
    breaks(BUG_HOLD_EARLY, 'b');
}

static void
bug_takeover_epoch(void)
{
    breaks(BUG_TAKEOVER_EPOCH, 'b');
}

static const coat_test tests[] = {
    {"RV-3 LC-9: nothing untrue in the table: changes, fills, crashes, a reader", changes},
    {"RV-3 RV-4: nothing untrue in the table when an owner's or everybody's sessions end",
     everything},
    {"seeded bug no-version breaks (b)", bug_no_version},
    {"seeded bug no-up breaks (b)", bug_no_up},
    {"seeded bug end-uncounted breaks (b)", bug_end_uncounted},
    {"seeded bug lift-early breaks (b)", bug_lift_early},
    {"seeded bug clear-late breaks (b)", bug_clear_late},
    {"seeded bug end-unchecked breaks (b)", bug_end_unchecked},
    {"seeded bug owner-no-gate breaks (b)", bug_owner_no_gate},
    {"seeded bug ack-early breaks (a)", bug_ack_early},
    {"seeded bug no-hold breaks (b)", bug_no_hold},
    {"seeded bug hold-early breaks (b)", bug_hold_early},
    {"seeded bug takeover-epoch breaks (b)", bug_takeover_epoch},
};
COAT_TEST_MAIN(tests)
