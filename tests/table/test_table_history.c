/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Seeded random histories of everything a daemon does, against a plain model: an array of what
 * was filled in. A roomy table must agree with it exactly; a small one may forget, but what it
 * remembers must be right, and no activity may be lost on the way to the store.
 */

#include "kit.h"

enum { SESSIONS = 60, OWNERS = 12 };

typedef struct modelled {
    kit_session now;    /* as the store holds it */
    bool ended;         /* gone from the store */
    bool entered;       /* in the table, as far as the model knows */
    kit_session filled; /* what was entered */
    int64_t noted_s;    /* second of the last activity noted since, or before and kept */
    int64_t told_ms;    /* latest activity that a report or the record holds */
} modelled;

static modelled m[SESSIONS];
static coat_table_writer *w;
static const coat_table *table;
static test_rng rng;
static int64_t now_ms;
static uint64_t epoch;
static bool roomy;
static long lives, asks;

static modelled *
of_handle(const coat_handle *handle)
{
    for (size_t i = 0; i < SESSIONS; i++)
        if (coat_handle_equal(&m[i].now.token.handle, handle))
            return &m[i];
    test_fail(__FILE__, __LINE__, "report of an unknown handle");
    test_abort();
}

static int64_t
seen_of(const modelled *s)
{
    int64_t noted_ms = s->noted_s * 1000;

    return noted_ms > s->filled.record.seen_ms ? noted_ms : s->filled.record.seen_ms;
}

/** What the specification of a read-only door says, without the table's code. */
static coat_table_verdict
expect(const modelled *s, const coat_table_query *query)
{
    const coat_record *r = &s->filled.record;

    if (!s->entered ||
        memcmp(s->now.token.secret, s->filled.token.secret, COAT_SECRET_BYTES) != 0)
        return COAT_TABLE_ASK;
    if (query->now_ms >= s->filled.next_due_ms || query->now_ms >= r->absolute_end_ms ||
        query->now_ms >= seen_of(s) + r->idle_ms || r->epoch_global < epoch)
        return COAT_TABLE_ASK;
    if (query->max_age_ms != 0 &&
        (r->auth_ms == 0 || query->now_ms - r->auth_ms > query->max_age_ms))
        return COAT_TABLE_ASK;
    if (query->context != 0 && query->context != s->filled.context)
        return COAT_TABLE_ASK;
    return COAT_TABLE_LIVE;
}

static void
on_told(void *ctx, const coat_handle *handle, int64_t seen_ms)
{
    modelled *s = of_handle(handle);

    (void)ctx;
    CHECK(seen_ms <= now_ms);
    CHECK_INT(seen_ms, seen_of(s));
    if (seen_ms > s->told_ms)
        s->told_ms = seen_ms;
    if (seen_ms > s->now.record.seen_ms)
        s->now.record.seen_ms = seen_ms; /* folded into the record */
}

static void
on_evicted(void *ctx, const coat_handle *handle, int64_t seen_ms)
{
    on_told(ctx, handle, seen_ms);
    CHECK(!roomy);
}

static void
entered(modelled *s, const kit_session *what)
{
    int64_t kept_s = s->entered ? seen_of(s) / 1000 : 0;

    s->entered = true;
    s->filled = *what;
    s->noted_s = kept_s;
    s->told_ms = what->record.seen_ms > s->told_ms ? what->record.seen_ms : s->told_ms;
}

static void
repoint(kit_session *s)
{
    s->record.user.ptr = (const uint8_t *)s->user;
    s->record.roles.ptr = (const uint8_t *)s->roles;
}

/** A fill whose load and entry may have a change between them. */
static void
do_fill(modelled *s)
{
    coat_table_ticket ticket = coat_table_ticket_take(w, &s->now.token.handle);
    kit_session loaded = s->now;
    coat_table_entry entry;
    uint64_t meddle = test_rng_below(&rng, 6);
    coat_table_change change;
    coat_err want = s->ended || loaded.record.epoch_global < epoch ? COAT_CONFLICT : COAT_OK;

    if (s->ended)
        return; /* nothing was loaded */
    repoint(&loaded);
    entry = kit_entry(&loaded);
    if (meddle == 0) { /* a change comes and goes */
        coat_table_change_begin(w, entry.handle, &change);
        s->entered = false;
        kit_session_rotate(&s->now, &rng);
        coat_table_change_end(w, &change, NULL);
        want = COAT_CONFLICT;
    } else if (meddle == 1) { /* one is under way */
        coat_table_owner_begin(w, coat_handle_owner(entry.handle));
        want = COAT_CONFLICT;
    }
    CHECK_ERR(coat_table_fill(w, ticket, &entry), want);
    if (meddle == 1)
        coat_table_owner_end(w, coat_handle_owner(entry.handle));
    if (want == COAT_OK)
        entered(s, &loaded);
    repoint(&s->filled);
}

static void
do_check(modelled *s)
{
    coat_table_query query = {.now_ms = now_ms, .background = test_rng_below(&rng, 4) == 0};
    coat_table_verdict want, got;
    coat_table_answer answer;

    if (test_rng_below(&rng, 8) == 0)
        query.max_age_ms = 1 + (int64_t)test_rng_below(&rng, KIT_HOUR);
    if (test_rng_below(&rng, 8) == 0)
        query.context = 1 + test_rng_below(&rng, 2);
    want = expect(s, &query);
    got = kit_ask(table, &s->now, query, &answer);
    if (roomy || got == COAT_TABLE_LIVE)
        CHECK_INT(got, want);
    asks++;
    if (got != COAT_TABLE_LIVE) {
        do_fill(s); /* as the daemon does when it was asked */
        return;
    }
    lives++;
    CHECK(kit_is(&answer, &s->filled));
    if (!query.background && now_ms / 1000 > s->noted_s)
        s->noted_s = now_ms / 1000;
}

static void
do_change(modelled *s)
{
    coat_table_change change;
    coat_table_entry entry;
    int64_t seen_ms = s->entered ? seen_of(s) : 0;
    bool refill = test_rng_below(&rng, 2) == 0;

    if (s->ended)
        return;
    coat_table_change_begin(w, &s->now.token.handle, &change);
    if (roomy || change.seen_ms != 0)
        CHECK_INT(change.seen_ms, seen_ms);
    s->entered = false;
    if (change.seen_ms > s->now.record.seen_ms)
        s->now.record.seen_ms = change.seen_ms;
    if (test_rng_below(&rng, 4) == 0)
        s->ended = true;
    else
        kit_session_rotate(&s->now, &rng);
    s->now.record.epoch_global = epoch;
    s->now.next_due_ms = now_ms + (int64_t)test_rng_below(&rng, KIT_HOUR);
    s->now.context = test_rng_below(&rng, 3);
    repoint(&s->now);
    entry = kit_entry(&s->now);
    coat_table_change_end(w, &change, refill && !s->ended ? &entry : NULL);
    if (refill && !s->ended)
        entered(s, &s->now);
    repoint(&s->filled);
}

static void
do_end_owner(modelled *s)
{
    coat_owner owner = coat_handle_owner(&s->now.token.handle);

    coat_table_owner_begin(w, owner);
    for (size_t i = 0; i < SESSIONS; i++) {
        coat_owner of = coat_handle_owner(&m[i].now.token.handle);

        if (memcmp(of.bytes, owner.bytes, sizeof of.bytes) != 0)
            continue;
        (void)coat_table_clear(w, &m[i].now.token.handle);
        m[i].entered = false;
        m[i].ended = true;
    }
    coat_table_owner_end(w, owner);
}

static void
begin_anew(modelled *s, size_t i)
{
    bool was_entered = s->entered;

    if (!s->ended && now_ms < s->now.next_due_ms && s->now.record.epoch_global == epoch)
        return;
    if (!s->ended) { /* nothing that a door could still say LIVE of */
        (void)coat_table_clear(w, &s->now.token.handle);
        was_entered = false;
    }
    CHECK(!was_entered);
    *s = (modelled){.ended = false};
    kit_session_make(&s->now, &rng, i % OWNERS, 1 + test_rng_below(&rng, 40),
                     test_rng_below(&rng, 200));
    s->now.record.created_ms = s->now.record.seen_ms = s->now.record.auth_ms = now_ms;
    s->now.record.absolute_end_ms = now_ms + 2 * (int64_t)KIT_HOUR;
    s->now.record.epoch_global = epoch;
    s->now.next_due_ms = now_ms + KIT_HOUR;
    s->told_ms = now_ms;
}

static void
do_end_all(void)
{
    coat_table_all_begin(w);
    CHECK_INT(kit_verdict(table, &m[0].now, now_ms), COAT_TABLE_ASK);
    if (test_rng_below(&rng, 2) == 0) /* or the store refused */
        epoch++;
    coat_table_all_end(w, epoch);
}

static void
do_fold(void)
{
    while (!coat_table_fold(w, 64, 60000, now_ms, on_told, NULL))
        ;
    for (size_t i = 0; i < SESSIONS; i++) {
        modelled *s = &m[i];

        if (!s->entered)
            continue;
        if (now_ms >= s->filled.record.absolute_end_ms ||
            now_ms >= seen_of(s) + s->filled.record.idle_ms)
            s->entered = false; /* it made room */
        else
            CHECK(seen_of(s) - s->told_ms < 60000); /* LC-4 */
    }
}

static void
do_seen(modelled *s)
{
    int64_t seen_ms = -1;
    bool found = coat_table_seen(w, &s->now.token.handle, &seen_ms);

    if (roomy)
        CHECK_INT(found, s->entered);
    if (found)
        CHECK_INT(seen_ms, seen_of(s));
}

static void
one_step(void)
{
    size_t i = test_rng_below(&rng, SESSIONS);

    now_ms += (int64_t)test_rng_below(&rng, 2000);
    switch (test_rng_below(&rng, 40)) {
    case 0:
        if (test_rng_below(&rng, 4) == 0)
            do_end_owner(&m[i]);
        break;
    case 1:
        if (test_rng_below(&rng, 20) == 0)
            do_end_all();
        break;
    case 2:
        do_fold();
        break;
    case 3:
    case 4:
        do_seen(&m[i]);
        break;
    case 5:
    case 6:
    case 7:
        do_change(&m[i]);
        break;
    case 8:
    case 9:
        begin_anew(&m[i], i);
        break;
    case 10:
    case 11:
    case 12:
    case 13:
    case 14:
    case 15:
        do_fill(&m[i]);
        break;
    default:
        do_check(&m[i]);
    }
}

static void
history(uint64_t seed, uint32_t slots)
{
    coat_table_conf conf;

    rng.state = seed;
    now_ms = kit_now;
    epoch = 0;
    kit_conf(&conf, NULL, slots);
    conf.evicted = on_evicted;
    w = kit_create(&conf);
    table = coat_table_writer_reader(w);
    for (size_t i = 0; i < SESSIONS; i++) {
        m[i] = (modelled){.ended = true};
        begin_anew(&m[i], i);
    }
    for (int step = 0; step < 4000; step++)
        one_step();
    coat_table_writer_close(w);
}

static void
test_roomy(void)
{
    long count = test_scaled(2000, 20);

    roomy = true;
    lives = asks = 0;
    for (long i = 0; i < count; i++)
        history((uint64_t)i, 1024);
    printf("# %ld of %ld checks live\n", lives, asks);
    CHECK(lives > asks / 10 && lives < asks * 9 / 10);
}

static void
test_cramped(void)
{
    long count = test_scaled(2000, 20);

    roomy = false;
    lives = asks = 0;
    for (long i = 0; i < count; i++)
        history((uint64_t)i + 1000000, 16);
    printf("# %ld of %ld checks live\n", lives, asks);
    CHECK(lives > asks / 50);
}

static const coat_test tests[] = {
    {"a roomy table agrees with the model in every answer", test_roomy},
    {"SF-8: a cramped one forgets, but is never wrong and loses no activity", test_cramped},
};

COAT_TEST_MAIN(tests)
