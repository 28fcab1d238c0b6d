/* SPDX-License-Identifier: Apache-2.0 */

/**
 * A slot of the node table word by word: one writer that rewrites, clears and reuses it and its
 * piece of the arena, and may die between any two stores; one reader, whose loads of data may
 * happen in any order that acquire loads allow. See README.md.
 */

#include "coat_test.h"
#include "explore.h"

#include <string.h>

enum {
    WORDS = 3,     /* of data in the slot; word 0 says who is there (0: nobody) */
    ARENA = WORDS, /* index of the arena word in a reader's copy */
    ROUNDS = 2,    /* tries of the reader */
    STATES_MAX = 30 * 1000 * 1000,
    UNREAD = 0xff,
};

typedef enum bug {
    BUG_NONE,
    BUG_NO_RECHECK,    /* the sequence is not looked at again */
    BUG_ODD_ACCEPTED,  /* equal is enough, though odd */
    BUG_EARLY_RECHECK, /* data loads are relaxed: the second look may overtake them */
    BUG_LATE_ODD,      /* data stores are relaxed: they may overtake the odd sequence */
    BUG_EARLY_EVEN,    /* the even sequence overtakes the last data store */
    BUG_ARENA_EARLY,   /* a piece of arena is reused before its slot is cleared */
    BUG_KEEP_ODD,      /* the next writer leaves a half-written slot as if it were whole */
} bug;

/**
 * What the writer does, in order. Version v of the slot has v in all its words and in its piece
 * of arena: 1, then rewritten as 2 (another piece), cleared, piece 0 reused as 3, slot as 3.
 */
typedef struct state {
    uint8_t seq, word[WORDS], arena[2];
    uint8_t at;         /* next of the writer's stores */
    uint8_t down, died; /* killed; how often yet */
    uint8_t read_at, tries, read_seq;
    uint8_t got[WORDS + 1], got_seq; /* UNREAD or what was loaded */
} state;

typedef struct store {
    enum { SEQ, WORD, PIECE } what;
    uint8_t index, value;
    const char *label;
} store;

typedef struct model {
    bug bug;
    store script[40];
    uint8_t length;
} model;

enum { READ_IDLE, READ_DATA, READ_DONE };

/** Which piece of the arena a version lies in. */
static uint8_t
piece_of(uint8_t version)
{
    return version == 2 ? 1 : 0;
}

static void
emit(model *m, int what, uint8_t index, uint8_t value, const char *label)
{
    store *to = &m->script[m->length++];

    to->what = what;
    to->index = index;
    to->value = value;
    to->label = label;
}

/** One rewrite of the slot, as write_slot() does it; version 0 clears. */
static void
emit_update(model *m, uint8_t version, uint8_t *seq)
{
    bool late_odd = m->bug == BUG_LATE_ODD, early_even = m->bug == BUG_EARLY_EVEN;

    if (!late_odd)
        emit(m, SEQ, 0, ++*seq, "write: odd");
    for (uint8_t i = 0; i < WORDS; i++) {
        if (late_odd && i == 1)
            emit(m, SEQ, 0, ++*seq, "write: odd, late");
        if (early_even && i == WORDS - 1)
            emit(m, SEQ, 0, ++*seq, "write: even, early");
        emit(m, WORD, i, version, version != 0 ? "write: word" : "clear: word");
    }
    if (!early_even)
        emit(m, SEQ, 0, ++*seq, "write: even");
}

static void
write_script(model *m)
{
    uint8_t seq = 0;

    emit(m, PIECE, 0, 1, "arena: first piece");
    emit_update(m, 1, &seq);
    emit(m, PIECE, 1, 2, "arena: second piece");
    if (m->bug == BUG_ARENA_EARLY)
        emit(m, PIECE, 0, 3, "arena: reuse of the first, early");
    emit_update(m, 0, &seq);
    emit_update(m, 2, &seq);
    if (m->bug != BUG_ARENA_EARLY)
        emit(m, PIECE, 0, 3, "arena: reuse of the first");
    emit_update(m, 0, &seq);
    emit_update(m, 3, &seq);
}

static void
write_step(explore *e, const model *m, const state *from)
{
    const store *what = &m->script[from->at];
    state s = *from;

    if (s.down || s.at >= m->length)
        return;
    if (what->what == SEQ)
        s.seq = what->value;
    else if (what->what == WORD)
        s.word[what->index] = what->value;
    else
        s.arena[what->index] = what->value;
    s.at++;
    explore_add(e, &s, what->label);
}

/** Killed between two stores; the next writer clears what is half-written and goes no further.
 */
static void
crash_step(explore *e, const model *m, const state *from)
{
    state s = *from;

    if (s.down == 1) {
        s.down = 2;
        if ((s.seq & 1) != 0) {
            if (m->bug != BUG_KEEP_ODD)
                memset(s.word, 0, sizeof s.word);
            s.seq++;
        }
        explore_add(e, &s, "take over");
    } else if (s.down == 0 && s.died == 0) {
        s.died = 1;
        s.down = 1;
        explore_add(e, &s, "killed");
    }
}

static void
decide(explore *e, const model *m, state *s)
{
    bool whole = m->bug == BUG_ODD_ACCEPTED || (s->read_seq & 1) == 0;
    bool accepted = whole && (s->got_seq == s->read_seq || m->bug == BUG_NO_RECHECK);
    uint8_t version = s->got[0];

    if (accepted && version != 0) {
        for (int i = 1; i < WORDS; i++)
            if (s->got[i] != version)
                explore_break(e, 't', "a mixture of two versions was accepted", "read: decide");
        if (s->got[ARENA] != version)
            explore_break(e, 't', "an identity of another was accepted", "read: decide");
    }
    s->tries++;
    s->read_at = s->tries == ROUNDS ? READ_DONE : READ_IDLE;
    s->read_seq = s->got_seq = 0;
    memset(s->got, UNREAD, sizeof s->got);
    if (accepted)
        s->read_at = READ_DONE;
    explore_add(e, s, accepted ? "read: accept" : "read: try again");
}

/** One load of the data: any word that is not loaded yet; the arena once its offset is known.
 */
static void
load_data(explore *e, const state *from)
{
    for (int i = 0; i < WORDS; i++) {
        state s = *from;

        if (s.got[i] != UNREAD)
            continue;
        s.got[i] = s.word[i];
        explore_add(e, &s, "read: word");
    }
    /* The last word leads to the arena: a dependent load. */
    if (from->got[WORDS - 1] != UNREAD && from->got[ARENA] == UNREAD) {
        state s = *from;

        s.got[ARENA] = s.arena[piece_of(s.got[WORDS - 1])];
        explore_add(e, &s, "read: arena");
    }
}

static void
read_step(explore *e, const model *m, const state *from)
{
    state s = *from;
    bool all = true;

    switch (s.read_at) {
    case READ_IDLE:
        s.read_at = READ_DATA;
        s.read_seq = s.seq;
        s.got_seq = UNREAD;
        explore_add(e, &s, "read: sequence");
        return;
    case READ_DATA:
        load_data(e, &s);
        for (int i = 0; i <= WORDS; i++)
            all = all && s.got[i] != UNREAD;
        if (s.got_seq == UNREAD && (all || m->bug == BUG_EARLY_RECHECK)) {
            s.got_seq = s.seq;
            explore_add(e, &s, "read: sequence again");
        } else if (all && s.got_seq != UNREAD) {
            decide(e, m, &s);
        }
        return;
    default:
        return;
    }
}

static void
expand(explore *e, const void *bytes, void *ctx)
{
    const model *m = ctx;
    state s;

    memcpy(&s, bytes, sizeof s);
    write_step(e, m, &s);
    crash_step(e, m, &s);
    read_step(e, m, &s);
}

static explore_result
run(bug seeded)
{
    model m = {.bug = seeded};
    explore_result r;
    state initial;

    write_script(&m);
    memset(&initial, 0, sizeof initial);
    memset(initial.got, UNREAD, sizeof initial.got);
    r = explore_run(&initial, sizeof initial, STATES_MAX, expand, &m);
    printf("# %u states, %u edges, depth %u\n", r.states, r.edges, r.depth);
    if (r.property != 0) {
        printf("# (%c) %s\n", r.property, r.text);
        for (uint32_t i = 0; i < r.trace_length && i < 64; i++)
            printf("#   %s\n", r.trace[i]);
    }
    return r;
}

static void
holds(void)
{
    explore_result r = run(BUG_NONE);

    CHECK(r.exhausted);
    CHECK_INT(r.property, 0);
}

static void
bug_no_recheck(void)
{
    CHECK_INT(run(BUG_NO_RECHECK).property, 't');
}

static void
bug_odd_accepted(void)
{
    CHECK_INT(run(BUG_ODD_ACCEPTED).property, 't');
}

static void
bug_early_recheck(void)
{
    CHECK_INT(run(BUG_EARLY_RECHECK).property, 't');
}

static void
bug_late_odd(void)
{
    CHECK_INT(run(BUG_LATE_ODD).property, 't');
}

static void
bug_early_even(void)
{
    CHECK_INT(run(BUG_EARLY_EVEN).property, 't');
}

static void
bug_arena_early(void)
{
    CHECK_INT(run(BUG_ARENA_EARLY).property, 't');
}

static void
bug_keep_odd(void)
{
    CHECK_INT(run(BUG_KEEP_ODD).property, 't');
}

static const coat_test tests[] = {
    {"what a reader accepts is one version, with its own identity", holds},
    {"seeded bug no-recheck breaks (t)", bug_no_recheck},
    {"seeded bug odd-accepted breaks (t)", bug_odd_accepted},
    {"seeded bug early-recheck breaks (t)", bug_early_recheck},
    {"seeded bug late-odd breaks (t)", bug_late_odd},
    {"seeded bug early-even breaks (t)", bug_early_even},
    {"seeded bug arena-early breaks (t)", bug_arena_early},
    {"seeded bug keep-odd breaks (t)", bug_keep_odd},
};
COAT_TEST_MAIN(tests)
