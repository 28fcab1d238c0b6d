/* SPDX-License-Identifier: Apache-2.0 */

/**
 * A message by way of all nodes of a cluster (src/store/redis/cluster_say.c): a bucket moves
 * from node to node, instance A keeps a session of it in its node table, instance B ends that.
 * See README.md.
 */

#include "coat_test.h"
#include "explore.h"

#include <string.h>

enum {
    NODES = 3, /* 0: has the register; 1: has the bucket at first; 2: has nothing else */
    L = 2,     /* a lease, in ticks */
    QUEUE = 3, /* reports on their way from a node to A */
    AGE = L + 1,
    STATES_MAX = 40 * 1000 * 1000,
};

typedef enum bug {
    BUG_NONE,
    BUG_NO_QUESTION,   /* nodes are not asked what they see */
    BUG_HANDED_OVER,   /* nor whether they are handing the bucket over */
    BUG_NO_EPOCH,      /* whoever has the same buckets sees the same */
    BUG_ANY_SHAPE,     /* what an author sees is not looked at */
    BUG_FIRST_NODE,    /* a message is heard with the first node that says it */
    BUG_REGISTER_LAST, /* the other nodes say it before the register is entered */
} bug;

enum { CHANGE = 1, BEAT, SYNC };                  /* reports */
enum { IDLE, ASKING, ENTERING, TELLING };         /* of who says something */
enum { AT_REST, COMMITTED, SAYING, SAID, ACKED }; /* B */

typedef struct report {
    uint8_t kind, shape;
} report;

/** Saying something. Sets are of nodes, as bits. */
typedef struct telling {
    uint8_t at, shape, done;
} telling;

/** Bytes only, so that equal states have equal bytes. A shape is a number of `owner`. */
typedef struct state {
    /* The cluster: who had the bucket, move by move; what each node knows of it. */
    uint8_t owner[NODES], moves, to; /* to: 1 + who gets it; 0: nobody */
    uint8_t knows[NODES], leaving;   /* leaving: who hands it over, or did and does not know */
    uint8_t ended, in_register;
    report queue[NODES][QUEUE];
    uint8_t queued[NODES];
    /* A */
    uint8_t ready, shape, entry, lease;
    telling beat;
    uint8_t beat_age, beat_heard, sync_heard;
    /* B */
    uint8_t b_at, b_needs_a, b_confirmed, since; /* since: the commit */
    telling sync;
} state;

typedef struct model {
    bug bug;
    uint8_t moves;
    unsigned long live; /* how often a reader said LIVE */
} model;

/** Who has a bucket in this shape: 0 and 1 have others, always. */
static uint8_t
serving(const state *s, uint8_t shape)
{
    return s->owner[shape] == 2 ? 7 : 3;
}

static bool
same(const model *m, const state *s, uint8_t one, uint8_t other)
{
    return one == other || (m->bug == BUG_NO_EPOCH && s->owner[one] == s->owner[other]);
}

/** @return false: no room */
static bool
publish(state *s, int node, uint8_t kind, uint8_t shape)
{
    if (!s->ready || (serving(s, s->shape) >> node & 1) == 0)
        return true; /* A does not listen there */
    if (s->queued[node] == QUEUE)
        return false;
    s->queue[node][s->queued[node]++] = (report){kind, shape};
    return true;
}

/* ---- the cluster ---- */

static void
hears_of_move(state *s, int node)
{
    s->knows[node] = s->moves;
    s->leaving &= (uint8_t) ~(1U << node);
}

static void
move(explore *e, const model *m, const state *from)
{
    state s = *from;

    for (uint8_t to = 0; s.to == 0 && s.moves < m->moves && to < NODES; to++) {
        if (to == s.owner[s.moves] || s.knows[to] != s.moves ||
            s.knows[s.owner[s.moves]] != s.moves)
            continue;
        s.to = (uint8_t)(to + 1);
        s.leaving |= (uint8_t)(1U << s.owner[s.moves]);
        explore_add(e, &s, "its node begins to hand the bucket over");
        s = *from;
    }
    if (s.to != 0) {
        s.owner[s.moves + 1] = (uint8_t)(s.to - 1);
        s.moves++;
        hears_of_move(&s, s.to - 1);
        s.to = 0;
        explore_add(e, &s, "the other one has it");
        s = *from;
    }
    for (int node = 0; node < NODES; node++)
        if (s.knows[node] != s.moves) {
            hears_of_move(&s, node);
            explore_add(e, &s, "a node hears of the move");
            s = *from;
        }
}

static bool
answers(const state *s, int node)
{
    return s->owner[s->knows[node]] == node && (s->leaving >> node & 1) == 0;
}

/* ---- saying something ---- */

static bool
agrees(const model *m, const state *s, int node, uint8_t shape)
{
    return m->bug == BUG_NO_QUESTION ||
           (same(m, s, s->knows[node], shape) &&
            (m->bug == BUG_HANDED_OVER || (s->leaving >> node & 1) == 0));
}

/** A node says it, the first one when all have been asked. @return false: not this one now */
static bool
tell(const model *m, state *s, telling *t, int node, uint8_t kind)
{
    uint8_t others = (uint8_t)(serving(s, t->shape) & ~1), bit = (uint8_t)(1U << node);
    bool early = m->bug == BUG_REGISTER_LAST;

    if ((serving(s, t->shape) & bit) == 0 || (t->done & bit) != 0)
        return false;
    if ((t->at == ENTERING) != ((node == 0) != early))
        return false;
    if (!publish(s, node, kind, t->shape))
        return false;
    t->done |= bit;
    if (early && t->at == ENTERING && (t->done & others) == others)
        t->at = TELLING;
    if (!early && t->at == ENTERING)
        t->at = TELLING;
    return true;
}

static void
lose(state *s)
{
    s->ready = s->entry = s->lease = 0;
    s->beat = (telling){0};
    s->beat_age = s->beat_heard = s->sync_heard = 0;
    memset(s->queue, 0, sizeof s->queue);
    memset(s->queued, 0, sizeof s->queued);
}

/* ---- A ---- */

static void
a_beat(explore *e, const model *m, const state *from)
{
    state s = *from;

    if (!s.ready)
        return;
    if (s.beat.at == IDLE && s.beat_heard == 0) {
        s.beat = (telling){.at = ASKING, .shape = s.shape};
        s.beat_age = 0;
        explore_add(e, &s, "A: begins a beat");
        return;
    }
    for (int node = 0; node < NODES; node++, s = *from) {
        uint8_t bit = (uint8_t)(1U << node);

        if (s.beat.at == ASKING && (serving(&s, s.beat.shape) & ~s.beat.done & bit) != 0) {
            if (!agrees(m, &s, node, s.beat.shape)) {
                lose(&s);
                explore_add(e, &s, "A: a node sees another cluster");
                continue;
            }
            s.beat.done |= bit;
            if (s.beat.done == serving(&s, s.beat.shape))
                s.beat = (telling){.at = ENTERING, .shape = s.beat.shape};
            explore_add(e, &s, "A: a node sees the same");
        } else if (s.beat.at >= ENTERING && tell(m, &s, &s.beat, node, BEAT)) {
            s.in_register |= node == 0;
            explore_add(e, &s, "A: a node says the beat");
        }
    }
}

static void
a_renew(state *s)
{
    if (s->beat_age < L && s->lease < L - s->beat_age)
        s->lease = (uint8_t)(L - s->beat_age);
    s->beat = (telling){0};
    s->beat_age = s->beat_heard = 0;
}

static bool
is_complete(const model *m, const state *s, uint8_t heard)
{
    return m->bug == BUG_FIRST_NODE || heard == serving(s, s->shape);
}

static void
a_hear(explore *e, const model *m, const state *from)
{
    for (int node = 0; node < NODES; node++) {
        state s = *from;
        report r = s.queue[node][0];
        uint8_t bit = (uint8_t)(1U << node);

        if (s.queued[node] == 0)
            continue;
        memmove(s.queue[node], s.queue[node] + 1, sizeof s.queue[node] - sizeof r);
        s.queue[node][--s.queued[node]] = (report){0};
        if (r.kind == CHANGE) {
            s.entry = 0;
        } else if (!same(m, &s, r.shape, s.shape) && m->bug != BUG_ANY_SHAPE) {
            lose(&s);
        } else if (r.kind == BEAT && s.beat.at >= ENTERING) {
            s.beat_heard |= bit;
            if (is_complete(m, &s, s.beat_heard))
                a_renew(&s);
        } else if (r.kind == SYNC) {
            s.sync_heard |= bit;
            s.b_confirmed |= is_complete(m, &s, s.sync_heard);
        }
        explore_add(e, &s, "A: hears something");
    }
}

/** By what some node sees; the table is dropped. */
static void
a_ready(explore *e, const state *from)
{
    for (int node = 0; node < NODES && !from->ready; node++) {
        state s = *from;

        s.ready = 1;
        s.shape = s.knows[node];
        explore_add(e, &s, "A: ready");
    }
}

/** From who has the bucket, as A sees it; a node that has it not, or not all of it, refuses. */
static void
a_fill(explore *e, const state *from)
{
    state s = *from;

    if (!s.ready || s.entry || s.ended || !answers(&s, s.owner[s.shape]))
        return;
    s.entry = 1;
    explore_add(e, &s, "A: fills its table");
}

static void
a_read(explore *e, model *m, const state *s)
{
    if (!s->entry || s->lease == 0)
        return;
    m->live++;
    if (s->b_at == ACKED)
        explore_break(e, 'a', "accepted after its end was acknowledged", "A: LIVE");
    if (s->ended && s->since > L)
        explore_break(e, 'b', "accepted for longer than a lease after its end", "A: LIVE");
}

/* ---- B ---- */

static void
b_end(explore *e, const state *from)
{
    state s = *from;
    uint8_t owner = s.owner[s.moves];

    if (s.b_at != AT_REST || !answers(&s, owner) || !publish(&s, owner, CHANGE, 0))
        return;
    s.ended = 1;
    s.b_at = COMMITTED;
    s.sync.shape = s.moves; /* it knew who has it */
    explore_add(e, &s, "B: has ended it");
}

static void
b_say(explore *e, const model *m, const state *from)
{
    state s = *from;
    uint8_t all = serving(&s, s.sync.shape);

    if (s.b_at == COMMITTED) {
        s.sync = (telling){.at = ASKING, .shape = s.moves};
        s.b_at = SAYING;
        explore_add(e, &s, "B: begins to say SYNC");
        return;
    }
    for (int node = 0; node < NODES && s.b_at == SAYING; node++, s = *from) {
        uint8_t bit = (uint8_t)(1U << node);

        if (s.sync.at == ASKING && (all & ~s.sync.done & bit) != 0) {
            if (!agrees(m, &s, node, s.sync.shape)) {
                s.b_at = COMMITTED; /* and begins again */
                s.sync = (telling){0};
                explore_add(e, &s, "B: a node sees another cluster");
                continue;
            }
            s.sync.done |= bit;
            if (s.sync.done == all)
                s.sync = (telling){.at = ENTERING, .shape = s.sync.shape};
            explore_add(e, &s, "B: a node sees the same");
        } else if (s.sync.at >= ENTERING && tell(m, &s, &s.sync, node, SYNC)) {
            if (node == 0)
                s.b_needs_a = s.in_register;
            if (s.sync.done == all)
                s.b_at = SAID;
            explore_add(e, &s, "B: a node says SYNC");
        }
    }
}

static void
b_ack(explore *e, const state *from)
{
    state s = *from;

    if (s.b_at == AT_REST || s.b_at == ACKED)
        return;
    if (s.since < L && !(s.b_at == SAID && (!s.b_needs_a || s.b_confirmed)))
        return;
    s.b_at = ACKED;
    s.sync = (telling){0};
    s.b_needs_a = s.b_confirmed = s.sync_heard = 0;
    explore_add(e, &s, "B: acknowledges");
}

static uint8_t
up(uint8_t age)
{
    return age < AGE ? (uint8_t)(age + 1) : age;
}

static void
tick(explore *e, const state *from)
{
    state s = *from;

    if (s.lease > 0)
        s.lease--;
    if (s.beat.at != IDLE)
        s.beat_age = up(s.beat_age);
    if (s.ended)
        s.since = up(s.since);
    explore_add(e, &s, "time passes");
}

static void
expand(explore *e, const void *bytes, void *ctx)
{
    model *m = ctx;
    state s;

    memcpy(&s, bytes, sizeof s);
    a_read(e, m, &s);
    tick(e, &s);
    move(e, m, &s);
    a_beat(e, m, &s);
    a_hear(e, m, &s);
    a_ready(e, &s);
    a_fill(e, &s);
    b_end(e, &s);
    b_say(e, m, &s);
    b_ack(e, &s);
}

static explore_result
run(bug seeded, uint8_t moves, unsigned long *live)
{
    model m = {.bug = seeded, .moves = moves};
    explore_result r;
    state initial;

    memset(&initial, 0, sizeof initial);
    initial.owner[0] = 1;
    r = explore_run(&initial, sizeof initial, STATES_MAX, expand, &m);
    *live = m.live;
    printf("# %u states, %u edges, depth %u, LIVE %lu times\n", r.states, r.edges, r.depth,
           m.live);
    for (uint32_t i = 0; i < r.trace_length && i < 64 && r.property != 0; i++)
        printf("#   %s\n", r.trace[i]);
    return r;
}

static void
holds(void)
{
    unsigned long live;

    for (uint8_t moves = 0; moves < NODES; moves++) {
        explore_result r = run(BUG_NONE, moves, &live);

        CHECK(r.exhausted);
        CHECK_INT(r.property, 0);
        CHECK(live > 0);
    }
}

static void
breaks(bug seeded, char property, uint8_t moves)
{
    unsigned long live;
    explore_result r = run(seeded, moves, &live);

    CHECK_INT(r.property, property);
}

#define BUG_TEST(name, seeded, property, moves)                                                \
    static void name(void)                                                                     \
    {                                                                                          \
        breaks(seeded, property, moves);                                                       \
    }

BUG_TEST(no_question, BUG_NO_QUESTION, 'b', 1)
BUG_TEST(being_handed_over, BUG_HANDED_OVER, 'b', 1)
BUG_TEST(no_epoch, BUG_NO_EPOCH, 'b', 2)
BUG_TEST(any_shape, BUG_ANY_SHAPE, 'a', 1)
BUG_TEST(first_node, BUG_FIRST_NODE, 'b', 0)
BUG_TEST(register_last, BUG_REGISTER_LAST, 'a', 0)

static const coat_test tests[] = {
    {"RV-1 RV-2: nothing late from the table while buckets move between nodes", holds},
    {"seeded bug no-question breaks (b)", no_question},
    {"seeded bug handed-over breaks (b)", being_handed_over},
    {"seeded bug no-epoch breaks (b)", no_epoch},
    {"seeded bug any-shape breaks (a)", any_shape},
    {"seeded bug first-node breaks (b)", first_node},
    {"seeded bug register-last breaks (a)", register_last},
};
COAT_TEST_MAIN(tests)
