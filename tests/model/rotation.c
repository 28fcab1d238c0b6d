/* SPDX-License-Identifier: Apache-2.0 */

/* The rotation protocol, explored exhaustively: see README.md. The decisions are those of the
 * library (coat_judge, coat_rotate_apply, coat_rotate_successor on real records and secrets);
 * modelled are the store's compare-and-set, instances that crash, a network that loses and
 * reorders, the owner, a thief with a copied cookie, and time.
 *
 * Secrets are numbered relative to the current one: 0 current, 1 its successor, -1 its
 * predecessor, -2 everything older. So any number of rotations gives finitely many states. */

#include "coat_test.h"
#include "explore.h"

#include <coatcheck/judge.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

enum {
    SLOTS_MAX = 4, /* requests that may be under way at once */
    /* In ticks. A request or a response is under way for less than the grace; longer ones are
     * lost (README.md, "What is assumed"). */
    EVERY = 3,
    REDELIVER = 2,
    GRACE = 2,
    SLOT_AGE = GRACE - 1,
    OLDEST = -2,
    NO_SECRET = 9,
    CHAIN = 5, /* secrets -2 .. 2 */
    CHAIN_CURRENT = 2,
};

enum bug {
    BUG_NONE,
    BUG_NO_GRACE,
    BUG_LOSERS_CARRY,
    BUG_REDELIVER_AT_ONCE,
    BUG_ACK_BEFORE_REMOVE,
    BUG_ROTATE_AT_ONCE,
    BUG_ENDLESS_GRACE,
    BUG_REUSE_IGNORED,
    BUG_BLIND_WRITE,
    BUG_UPSERT,
};

enum phase { IDLE, SENT, LOADED, ANSWERED };
enum kind { CHECK_REQUEST, LOGOUT_REQUEST };
enum party { OWNER, THIEF };
enum act { ACT_NONE, ACT_ROTATE, ACT_CONFIRM, ACT_END, ACT_REMOVE };
enum ended { ALIVE, LOGGED_OUT, STOLEN, EXPIRED };

/* All bytes, so that there is no padding. */
typedef struct rec {
    uint8_t pending, previous;
    uint8_t rotated_age, handed_age, previous_left;
} rec;

typedef struct slot {
    uint8_t phase, kind, party, age, act;
    int8_t secret;      /* presented */
    uint8_t stale;      /* the record has changed since it was loaded */
    uint8_t after_ack;  /* sent after a logout had been acknowledged */
    uint8_t superseded; /* presented out of grace */
    uint8_t live;       /* the answer */
    int8_t cookie;      /* Set-Cookie in the answer, or NO_SECRET */
    rec loaded;         /* kept by the bugs that write blindly, else zeros */
    uint8_t shifted;    /* confirmations since it was loaded, for the same */
} slot;

typedef struct state {
    rec record;
    uint8_t ended;
    int8_t owner, thief; /* what is in their cookie jars, or NO_SECRET */
    uint8_t copied;      /* the theft has taken place */
    uint8_t logout_sent, acked;
    /* Watched, not used: */
    int8_t highest;    /* newest secret that was ever presented */
    uint8_t delivered; /* 0, or 1 + ticks since the pending secret was last handed out */
    uint8_t confirmed; /* ticks since the current secret was confirmed */
    slot slots[SLOTS_MAX];
} state;

typedef struct model {
    enum bug bug;
    int slots;
    bool thief;
    coat_policy policy;
    coat_tag_keys keys;
    coat_record base;
    coat_token secret[CHAIN];
    uint8_t digest[CHAIN][COAT_DIGEST_BYTES];
    const state *from;
} model;

static const int64_t now_ms = 1000;

static uint8_t
capped(unsigned value, unsigned cap)
{
    return (uint8_t)(value < cap ? value : cap);
}

static int8_t
older(int8_t secret)
{
    return (int8_t)(secret == NO_SECRET || secret == OLDEST ? secret : secret - 1);
}

/* ---- the real record behind the abstract one ---- */

static coat_record
concrete(const model *m, const rec *r)
{
    coat_record record = m->base;

    memcpy(record.current_digest, m->digest[CHAIN_CURRENT], COAT_DIGEST_BYTES);
    record.rotated_ms = now_ms - r->rotated_age;
    if (r->pending) {
        record.flags |= COAT_RECORD_PENDING;
        record.handed_ms = now_ms - r->handed_age;
        memcpy(record.pending_digest, m->digest[CHAIN_CURRENT + 1], COAT_DIGEST_BYTES);
    }
    if (r->previous) {
        record.flags |= COAT_RECORD_PREVIOUS;
        record.previous_end_ms = now_ms + r->previous_left;
        memcpy(record.previous_digest, m->digest[CHAIN_CURRENT - 1], COAT_DIGEST_BYTES);
    }
    return record;
}

/** Which secret of the chain is it? @return NO_SECRET if it is none of ours */
static int
secret_of(const model *m, const uint8_t digest[static COAT_DIGEST_BYTES])
{
    for (int i = 0; i < CHAIN; i++)
        if (memcmp(m->digest[i], digest, COAT_DIGEST_BYTES) == 0)
            return i - CHAIN_CURRENT;
    return NO_SECRET;
}

static coat_judgement
judged(const model *m, const coat_record *record, int8_t secret)
{
    coat_demand demand = {0};
    coat_judgement j;

    coat_judge(record, &m->secret[CHAIN_CURRENT + secret], now_ms, now_ms, &m->policy, &demand,
               &j);
    return j;
}

/* ---- steps ---- */

static int
compare_slots(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(slot));
}

/** Slots are alike: one order of them stands for all. */
static void
add(explore *e, state *s, const char *label)
{
    qsort(s->slots, SLOTS_MAX, sizeof s->slots[0], compare_slots);
    explore_add(e, s, label);
}

static void
clear(slot *r)
{
    memset(r, 0, sizeof *r);
}

static void
changed(state *s, const slot *by)
{
    for (int i = 0; i < SLOTS_MAX; i++)
        if (s->slots[i].phase == LOADED && &s->slots[i] != by)
            s->slots[i].stale = 1;
}

static void
answer(explore *e, state *s, slot *r, bool live, int8_t cookie, const char *label)
{
    if (live && r->after_ack)
        explore_break(e, 'c', "accepted after logout was acknowledged", label);
    if (r->superseded && s->ended == ALIVE)
        explore_break(e, 'f', "superseded secret came back and the session goes on", label);
    if (cookie != NO_SECRET) {
        if (s->delivered != 0 && s->delivered - 1 < REDELIVER)
            explore_break(e, 'b', "two requests carry one delivery", label);
        s->delivered = 1;
    }
    r->phase = ANSWERED;
    r->age = 0;
    r->act = ACT_NONE;
    r->live = live;
    r->cookie = cookie;
    r->stale = r->after_ack = r->superseded = r->shifted = 0;
    memset(&r->loaded, 0, sizeof r->loaded);
    r->secret = 0; /* of no further importance */
    if (r->kind == LOGOUT_REQUEST)
        s->acked = 1;
    add(e, s, label);
}

/** What must be true of every judgement, and what is noted of it. */
static void
watch_judgement(explore *e, state *s, slot *r, bool live)
{
    r->superseded = r->secret <= OLDEST || (r->secret == -1 && s->confirmed >= GRACE);
    if (live && r->superseded)
        explore_break(e, 'e', "previous secret accepted after its grace", "judge");
    if (!live && r->secret >= s->highest)
        explore_break(e, 'd', "newest presented secret refused while alive", "judge");
    if (!live && r->party == OWNER && !s->copied)
        explore_break(e, 'a', "owner taken for a thief", "judge");
    if (r->secret > s->highest)
        s->highest = r->secret;
}

static void
load(explore *e, const model *m, state s, int i)
{
    static const char *const labels[] = {
        [ACT_END] = "judge: stolen",
        [ACT_CONFIRM] = "judge: confirm due",
        [ACT_ROTATE] = "judge: rotate due",
    };
    slot *r = &s.slots[i];
    coat_record record = concrete(m, &s.record);
    coat_judgement j;
    bool live;

    if (s.ended != ALIVE) {
        answer(e, &s, r, false, NO_SECRET, "load: gone");
        return;
    }
    j = judged(m, &record, r->secret);
    live = j.verdict == COAT_VERDICT_LIVE;
    watch_judgement(e, &s, r, live);
    if (live && j.due == COAT_DUE_NOTHING) {
        answer(e, &s, r, true, NO_SECRET, "judge: live");
        return;
    }
    if (!live && (j.verdict != COAT_VERDICT_STOLEN || m->bug == BUG_REUSE_IGNORED)) {
        answer(e, &s, r, false, NO_SECRET, "judge: refused");
        return;
    }
    r->phase = LOADED;
    r->act = !live ? ACT_END : (j.due & COAT_DUE_CONFIRM) != 0 ? ACT_CONFIRM : ACT_ROTATE;
    if (m->bug == BUG_BLIND_WRITE)
        r->loaded = s.record;
    add(e, &s, labels[r->act]);
}

/** Everything that is numbered relative to the current secret, one older. */
static void
shift(state *s)
{
    s->owner = older(s->owner);
    s->thief = older(s->thief);
    s->highest = older(s->highest);
    for (int i = 0; i < SLOTS_MAX; i++) {
        slot *r = &s->slots[i];

        if (r->phase == SENT || r->phase == LOADED)
            r->secret = older(r->secret);
        if (r->phase == ANSWERED)
            r->cookie = older(r->cookie);
        if (r->phase == LOADED)
            r->shifted = capped(r->shifted + 1U, 2);
    }
    s->confirmed = 0;
    s->delivered = 0;
}

/** The abstract record behind a real one; the inverse of concrete(). */
static rec
abstract(const coat_record *record)
{
    int64_t left = record->previous_end_ms - now_ms;

    return (rec){
        .pending = (record->flags & COAT_RECORD_PENDING) != 0,
        .previous = (record->flags & COAT_RECORD_PREVIOUS) != 0,
        .rotated_age = capped((unsigned)(now_ms - record->rotated_ms), EVERY),
        .handed_age = (record->flags & COAT_RECORD_PENDING) != 0
                          ? capped((unsigned)(now_ms - record->handed_ms), REDELIVER)
                          : 0,
        .previous_left = left > 0 ? capped((unsigned)left, GRACE) : 0,
    };
}

/** Apply what is due with the library's own code and read the result back. */
static void
apply(explore *e, model *m, state *s, slot *r, const rec *from, const char *label)
{
    coat_record record = concrete(m, from);
    coat_judgement j = judged(m, &record, r->secret);
    coat_token next;
    int current;

    coat_rotate_successor(&record, &m->secret[CHAIN_CURRENT + r->secret], &m->keys, &next);
    if (memcmp(&next, &m->secret[CHAIN_CURRENT + r->secret + 1], sizeof next) != 0)
        explore_break(e, 'b', "a second successor of one secret", label);
    if (!coat_rotate_apply(&record, &m->secret[CHAIN_CURRENT + r->secret], now_ms, &m->policy,
                           &j))
        explore_break(e, 'd', "what was due cannot be applied", label);
    if (m->bug == BUG_ROTATE_AT_ONCE && r->act == ACT_ROTATE) {
        j = judged(m, &record, 1);
        (void)coat_rotate_apply(&record, &next, now_ms, &m->policy, &j);
    }
    current = secret_of(m, record.current_digest);
    if (current != 0 && current != 1)
        explore_break(e, 'd', "current secret replaced by a strange one", label);
    s->record = abstract(&record);
    if (s->record.pending && secret_of(m, record.pending_digest) != current + 1)
        explore_break(e, 'b', "pending secret is not the successor", label);
    if (s->record.previous && secret_of(m, record.previous_digest) != current - 1)
        explore_break(e, 'd', "previous secret is not the former current one", label);
    if (current == 1)
        shift(s);
}

static void
conflict(explore *e, const model *m, state *s, slot *r)
{
    if (m->bug == BUG_LOSERS_CARRY && r->act == ACT_ROTATE && s->ended == ALIVE &&
        s->record.pending && r->secret == 0) {
        answer(e, s, r, true, 1, "conflict: carry all the same");
        return;
    }
    r->phase = SENT; /* judge again on what is there now */
    r->act = ACT_NONE;
    r->stale = r->superseded = 0;
    add(e, s, "conflict: load again");
}

static void
rotate_or_confirm(explore *e, model *m, state *s, slot *r)
{
    rec from = m->bug == BUG_BLIND_WRITE ? r->loaded : s->record;
    bool rotate = r->act == ACT_ROTATE;
    const char *label = rotate ? "commit: rotate" : "commit: confirm";

    if (s->ended != ALIVE) {
        explore_break(e, 'g', "a late write revived an ended session", label);
        return;
    }
    if (r->shifted > 0) {
        explore_break(e, 'g', "a late write undid a confirmation", label);
        return;
    }
    apply(e, m, s, r, &from, label);
    changed(s, r);
    if (rotate)
        answer(e, s, r, true, m->bug == BUG_ROTATE_AT_ONCE ? 0 : 1, label);
    else
        answer(e, s, r, true, NO_SECRET, label);
}

/** The compare-and-set. */
static void
commit(explore *e, model *m, state s, int i)
{
    slot *r = &s.slots[i];
    bool blind = m->bug == BUG_BLIND_WRITE || (m->bug == BUG_UPSERT && s.ended != ALIVE);

    if (r->act == ACT_REMOVE) { /* only with BUG_ACK_BEFORE_REMOVE */
        s.ended = LOGGED_OUT;
        changed(&s, r);
        answer(e, &s, r, false, NO_SECRET, "logout: remove, late");
    } else if (r->stale && !blind) {
        conflict(e, m, &s, r);
    } else if (r->act == ACT_END) {
        s.ended = STOLEN;
        changed(&s, r);
        answer(e, &s, r, false, NO_SECRET, "commit: end the session");
    } else {
        rotate_or_confirm(e, m, &s, r);
    }
}

static void
logout_arrives(explore *e, const model *m, state s, int i)
{
    slot *r = &s.slots[i];

    if (m->bug == BUG_ACK_BEFORE_REMOVE && s.ended == ALIVE) {
        r->phase = LOADED;
        r->act = ACT_REMOVE;
        s.acked = 1;
        add(e, &s, "logout: acknowledge, remove later");
        return;
    }
    if (s.ended == ALIVE) {
        s.ended = LOGGED_OUT;
        changed(&s, r);
    }
    answer(e, &s, r, false, NO_SECRET, "logout: remove");
}

static void
deliver(explore *e, state s, int i)
{
    slot *r = &s.slots[i];
    int8_t *jar = r->party == OWNER ? &s.owner : &s.thief;

    if (r->party == OWNER && !r->live && r->kind == CHECK_REQUEST &&
        (s.ended == ALIVE || (s.ended == STOLEN && !s.copied)))
        explore_break(e, 'a', "owner logged out without theft, logout or expiry", "deliver");
    if (!r->live)
        *jar = NO_SECRET;
    else if (r->cookie != NO_SECRET && *jar != NO_SECRET)
        *jar = r->cookie; /* also if it is older than what is there: responses are reordered */
    clear(r);
    add(e, &s, "deliver a response");
}

static void
send(explore *e, const model *m, const state *from, enum party party, enum kind kind,
     const char *label)
{
    state s = *from;
    int8_t secret = party == OWNER ? s.owner : s.thief;
    slot *r;
    int idle = 0;

    if (secret == NO_SECRET)
        return;
    for (int i = 0; i < SLOTS_MAX; i++) {
        idle += s.slots[i].phase == IDLE;
        if (s.slots[i].phase != IDLE && s.slots[i].party == THIEF && party == THIEF)
            return; /* one at a time is enough to poll */
    }
    if (idle <= SLOTS_MAX - m->slots)
        return;
    r = &s.slots[0]; /* slots are sorted: idle ones come first */
    clear(r);
    r->phase = SENT;
    r->kind = (uint8_t)kind;
    r->party = (uint8_t)party;
    r->secret = kind == LOGOUT_REQUEST ? 0 : secret;
    r->cookie = NO_SECRET;
    r->after_ack = s.acked;
    if (kind == LOGOUT_REQUEST)
        s.logout_sent = 1;
    add(e, &s, label);
}

static void
tick(explore *e, const model *m, const state *from)
{
    state s = *from;

    for (int i = 0; i < SLOTS_MAX; i++) {
        if (s.slots[i].phase == IDLE)
            continue;
        if (s.slots[i].age >= SLOT_AGE)
            return;
        s.slots[i].age++;
    }
    s.record.rotated_age = capped(s.record.rotated_age + 1U, EVERY);
    if (s.record.pending)
        s.record.handed_age = capped(s.record.handed_age + 1U, REDELIVER);
    if (s.record.previous_left > 0 && m->bug != BUG_ENDLESS_GRACE)
        s.record.previous_left--;
    if (s.delivered != 0)
        s.delivered = capped(s.delivered + 1U, REDELIVER + 1);
    s.confirmed = capped(s.confirmed + 1U, GRACE);
    add(e, &s, "time passes");
}

static void
expand_slot(explore *e, model *m, const state *s, int i)
{
    state next = *s;

    switch (s->slots[i].phase) {
    case SENT:
        if (s->slots[i].kind == LOGOUT_REQUEST)
            logout_arrives(e, m, next, i);
        else
            load(e, m, next, i);
        break;
    case LOADED:
        commit(e, m, next, i);
        break;
    case ANSWERED:
        deliver(e, next, i);
        break;
    default:
        return;
    }
    next = *s;
    clear(&next.slots[i]);
    add(e, &next, s->slots[i].phase == LOADED ? "an instance crashes" : "the network loses it");
}

static void
expand(explore *e, const void *bytes, void *ctx)
{
    const state *s = bytes;
    model *m = ctx;

    send(e, m, s, OWNER, CHECK_REQUEST, "owner sends a request");
    if (!s->logout_sent)
        send(e, m, s, OWNER, LOGOUT_REQUEST, "owner sends a logout");
    if (m->thief && !s->copied && s->owner != NO_SECRET) {
        state next = *s;

        next.copied = 1;
        next.thief = s->owner;
        add(e, &next, "thief copies the cookie");
    }
    send(e, m, s, THIEF, CHECK_REQUEST, "thief sends a request");
    for (int i = 0; i < SLOTS_MAX; i++)
        if (i == 0 || memcmp(&s->slots[i], &s->slots[i - 1], sizeof(slot)) != 0)
            expand_slot(e, m, s, i);
    tick(e, m, s);
    if (s->ended == ALIVE) {
        state next = *s;

        next.ended = EXPIRED;
        changed(&next, NULL);
        add(e, &next, "the session expires");
    }
}

/* ---- (f), the other half: two who go on are found out in bounded time ---- */

typedef struct race {
    rec record;
    int8_t jar[2];
    uint8_t ticks, turns; /* turns: who has come in this tick */
    uint8_t ended;
} race;

enum { CAUGHT_WITHIN = 2 * EVERY + REDELIVER + GRACE + 2 };

static void
visit(explore *e, model *m, const race *from, int who)
{
    race s = *from;
    coat_record record = concrete(m, &s.record);
    coat_judgement j = judged(m, &record, s.jar[who]);
    slot request = {.secret = s.jar[who]};
    state shell = {
        .record = s.record, .owner = s.jar[0], .thief = s.jar[1], .ended = ALIVE, .highest = 0};

    s.turns |= (uint8_t)(1 << who);
    if (j.verdict != COAT_VERDICT_LIVE) {
        s.ended = 1;
    } else if (j.due != COAT_DUE_NOTHING) {
        request.act = (j.due & COAT_DUE_CONFIRM) != 0 ? ACT_CONFIRM : ACT_ROTATE;
        apply(e, m, &shell, &request, &s.record, "visit");
        s.record = shell.record;
        s.jar[0] = shell.owner;
        s.jar[1] = shell.thief;
        if (request.act == ACT_ROTATE)
            s.jar[who] = 1;
    }
    explore_add(e, &s, who == 0 ? "owner comes" : "thief comes");
}

static void
expand_race(explore *e, const void *bytes, void *ctx)
{
    const race *s = bytes;
    model *m = ctx;

    if (s->ended)
        return;
    if (s->ticks > CAUGHT_WITHIN) {
        explore_break(e, 'f', "owner and thief go on together", "time passes");
        return;
    }
    for (int who = 0; who < 2; who++)
        if ((s->turns & 1 << who) == 0)
            visit(e, m, s, who);
    if (s->turns == 3) {
        race next = *s;

        next.turns = 0;
        next.ticks++;
        next.record.rotated_age = capped(next.record.rotated_age + 1U, EVERY);
        if (next.record.pending)
            next.record.handed_age = capped(next.record.handed_age + 1U, REDELIVER);
        if (next.record.previous_left > 0)
            next.record.previous_left--;
        explore_add(e, &next, "time passes");
    }
}

/* ---- set-up and tests ---- */

static void
model_init(model *m, enum bug bug, int slots, bool thief)
{
    coat_token token = {.handle = {{1}}, .secret = {2}};

    *m = (model){.bug = bug, .slots = slots, .thief = thief};
    m->keys.count = 1;
    m->policy = (coat_policy){
        .rotate_every_ms = EVERY, .rotate_redeliver_ms = REDELIVER, .rotate_grace_ms = GRACE};
    if (bug == BUG_NO_GRACE)
        m->policy.rotate_grace_ms = 0;
    if (bug == BUG_REDELIVER_AT_ONCE)
        m->policy.rotate_redeliver_ms = 0;
    m->base = (coat_record){.idle_ms = 1000, .seen_ms = now_ms, .absolute_end_ms = 100000};
    m->base.rotation_key[0] = 3;
    coat_token_tag(&token, &m->keys);
    for (int i = 0; i < CHAIN; i++) {
        m->secret[i] = token;
        coat_secret_digest(token.secret, m->digest[i]);
        coat_rotate_successor(&m->base, &token, &m->keys, &token);
    }
}

static explore_result
run(enum bug bug, int slots, bool thief)
{
    state initial = {.thief = NO_SECRET, .confirmed = GRACE};
    model m;

    model_init(&m, bug, slots, thief);
    return explore_run(&initial, sizeof initial, 40 * 1000 * 1000, expand, &m);
}

static explore_result
run_race(enum bug bug)
{
    race initial = {.ended = 0};
    model m;

    model_init(&m, bug, 1, true);
    return explore_run(&initial, sizeof initial, 1000 * 1000, expand_race, &m);
}

static void
show(const explore_result *r)
{
    printf("# %u states, %u steps, depth %u\n", r->states, r->edges, r->depth);
    if (r->property == 0)
        return;
    printf("# (%c) %s, after %u steps:\n", r->property, r->text, r->trace_length);
    for (uint32_t i = 0; i < r->trace_length && i < 64; i++)
        printf("#   %u. %s\n", i + 1, r->trace[i]);
}

static void
holds(explore_result r)
{
    show(&r);
    CHECK(r.exhausted);
    CHECK_INT(r.property, 0);
}

static void
breaks(explore_result r, char property)
{
    show(&r);
    CHECK_INT(r.property, property);
}

static void
two_requests(void)
{
    holds(run(BUG_NONE, 2, true));
}

static void
three_requests(void)
{
    holds(run(BUG_NONE, 3, true));
}

static void
four_requests(void)
{
    /* With a thief at full scale only. */
    holds(run(BUG_NONE, 4, test_scaled(100, 1) == 100));
}

static void
found_out(void)
{
    holds(run_race(BUG_NONE));
}

static void
bug_no_grace(void)
{
    breaks(run(BUG_NO_GRACE, 2, true), 'a');
}

static void
bug_losers_carry(void)
{
    breaks(run(BUG_LOSERS_CARRY, 2, true), 'b');
}

static void
bug_redeliver_at_once(void)
{
    breaks(run(BUG_REDELIVER_AT_ONCE, 2, true), 'b');
}

static void
bug_ack_before_remove(void)
{
    breaks(run(BUG_ACK_BEFORE_REMOVE, 2, true), 'c');
}

static void
bug_rotate_at_once(void)
{
    breaks(run(BUG_ROTATE_AT_ONCE, 2, true), 'd');
}

static void
bug_endless_grace(void)
{
    breaks(run(BUG_ENDLESS_GRACE, 2, true), 'e');
}

static void
bug_reuse_ignored(void)
{
    breaks(run(BUG_REUSE_IGNORED, 2, true), 'f');
}

static void
bug_race_redeliver(void)
{
    breaks(run_race(BUG_REDELIVER_AT_ONCE), 'f');
}

static void
bug_blind_write(void)
{
    breaks(run(BUG_BLIND_WRITE, 2, false), 'g');
}

static void
bug_upsert(void)
{
    breaks(run(BUG_UPSERT, 2, false), 'g');
}

static const coat_test tests[] = {
    {"LC-5 LC-6 LC-7 LC-9: all properties hold, two requests and a thief", two_requests},
    {"LC-5 LC-6 LC-7 LC-9: all properties hold, three requests and a thief", three_requests},
    {"LC-5 LC-6 LC-9: all properties hold, four parallel requests", four_requests},
    {"LC-7: owner and thief who both go on are found out", found_out},
    {"seeded bug no-grace breaks (a)", bug_no_grace},
    {"seeded bug losers-carry breaks (b)", bug_losers_carry},
    {"seeded bug redeliver-at-once breaks (b)", bug_redeliver_at_once},
    {"seeded bug ack-before-remove breaks (c)", bug_ack_before_remove},
    {"seeded bug rotate-at-once breaks (d)", bug_rotate_at_once},
    {"seeded bug endless-grace breaks (e)", bug_endless_grace},
    {"seeded bug reuse-ignored breaks (f)", bug_reuse_ignored},
    {"seeded bug redeliver-at-once breaks (f): the thief is never found out",
     bug_race_redeliver},
    {"seeded bug blind-write breaks (g)", bug_blind_write},
    {"seeded bug upsert breaks (g)", bug_upsert},
};
COAT_TEST_MAIN(tests)
