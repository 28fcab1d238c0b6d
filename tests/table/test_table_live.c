/* SPDX-License-Identifier: Apache-2.0 */

/**
 * coat_table_live(): what a long-lived connection asks again and again. Each case changes one
 * thing about a session that is in the table, and says what is answered then, to the current
 * token and to any other one that was issued for the same handle.
 */

#include "kit.h"

static coat_table_writer *writer;
static const coat_table *table;
static test_rng rng;

enum what {
    NOTHING,
    NEVER_FILLED,
    CLEARED,
    CHANGE_UP,
    ROTATED,
    DUE,
    OTHER_CONTEXT,
    STEP_UP,
    LONG_IDENTITY,
    ACTIVE,
    ACTIVE_BEFORE, /* activity of a former occupant of the slot */
    EPOCH_SAME,
    EPOCH_LATER,
    HOLD,
    REPLACED,
    SLOT_BUSY,
    TAGS_BUSY,
    NO_TAGS,
    OTHER_TAGS,
    NEXT_TAGS,
    FLOOR_LATE,
    LEASE,
    LEASE_OVER,
    LEASE_FLOOR,
};

/* Sessions idle out after 30 minutes and end after 12 hours. */
#define IDLE (30 * KIT_MINUTE)
#define ABSOLUTE (12 * (int64_t)KIT_HOUR)

static const struct live_case {
    const char *name;
    enum what what;
    int64_t at_ms; /* after kit_now */
    coat_table_verdict want;
} live_cases[] = {
    {"live", NOTHING, 0, COAT_TABLE_LIVE},
    {"not in the table", NEVER_FILLED, 0, COAT_TABLE_ASK},
    {"ended", CLEARED, 0, COAT_TABLE_ASK},
    {"a change is under way", CHANGE_UP, 0, COAT_TABLE_ASK},

    {"rotated since", ROTATED, 0, COAT_TABLE_LIVE},
    {"a rotation is due", DUE, 0, COAT_TABLE_LIVE},
    {"from elsewhere", OTHER_CONTEXT, 0, COAT_TABLE_LIVE},
    {"authenticated long ago", STEP_UP, 0, COAT_TABLE_LIVE},
    {"identity in the arena", LONG_IDENTITY, 0, COAT_TABLE_LIVE},

    {"just before idling out", NOTHING, IDLE - 1, COAT_TABLE_LIVE},
    {"idle", NOTHING, IDLE, COAT_TABLE_ASK},
    {"kept by activity", ACTIVE, IDLE, COAT_TABLE_LIVE},
    {"kept by activity to the end", ACTIVE, 20 * KIT_MINUTE + IDLE - 1, COAT_TABLE_LIVE},
    {"idle since that activity", ACTIVE, 20 * KIT_MINUTE + IDLE, COAT_TABLE_ASK},
    {"another session's activity", ACTIVE_BEFORE, IDLE, COAT_TABLE_ASK},
    {"beyond time", NOTHING, INT64_MAX - 1700000000000, COAT_TABLE_ASK},
    {"before the session began", NOTHING, -KIT_HOUR, COAT_TABLE_LIVE},
    {"a clock that is behind", FLOOR_LATE, 0, COAT_TABLE_ASK},

    {"the epoch it was made in", EPOCH_SAME, 0, COAT_TABLE_LIVE},
    {"everybody was signed out", EPOCH_LATER, 0, COAT_TABLE_ASK},
    {"everybody is being signed out", HOLD, 0, COAT_TABLE_ASK},
    {"table replaced", REPLACED, 0, COAT_TABLE_ASK},
    {"slot being written all the time", SLOT_BUSY, 0, COAT_TABLE_ASK},
    {"keys being written all the time", TAGS_BUSY, 0, COAT_TABLE_ASK},

    {"no keys to judge by", NO_TAGS, 0, COAT_TABLE_ASK},
    {"keys of another installation", OTHER_TAGS, 0, COAT_TABLE_REFUSE},
    {"the former of two keys", NEXT_TAGS, 0, COAT_TABLE_LIVE},

    {"within the lease", LEASE, 999, COAT_TABLE_LIVE},
    {"lease over", LEASE_OVER, 1000, COAT_TABLE_ASK},
    {"lease over by the daemon's clock", LEASE_FLOOR, 999, COAT_TABLE_ASK},
};

static void
start(enum what what)
{
    coat_table_conf conf;

    rng.state = 21;
    kit_conf(&conf, NULL, 64);
    if (what == LEASE || what == LEASE_OVER || what == LEASE_FLOOR)
        conf.mode = COAT_TABLE_SHARED;
    writer = kit_create(&conf);
    table = coat_table_writer_reader(writer);
    if (conf.mode == COAT_TABLE_SHARED)
        coat_table_lease(writer, kit_now + 1000, kit_mono + 1000);
}

static uint32_t
slot_of(const kit_session *s)
{
    coat_table_place place =
        coat_table_place_of(table->hash_key, table->sets, &s->token.handle);
    int64_t index = coat_table_find(writer, &place, &s->token.handle);

    REQUIRE(index >= 0);
    return (uint32_t)index;
}

static void
be_active(const kit_session *s, uint32_t other_occupant)
{
    uint32_t index = slot_of(s);

    atomic_store(&table->seen[index],
                 coat_table_seen_word(table->base_s, kit_now + 20 * KIT_MINUTE,
                                      coat_table_seq(writer, index) + other_occupant));
}

/** What must be so before the session is entered. */
static void
prepare(enum what what, kit_session *s)
{
    kit_session_make(s, &rng, 1, 5, what == LONG_IDENTITY ? 500 : 5);
    s->record.epoch_global = 3;
    if (what == DUE)
        s->next_due_ms = kit_now;
    if (what == OTHER_CONTEXT)
        s->context = 99;
    if (what == STEP_UP)
        s->record.auth_ms = 0;
}

static void
change_header(enum what what)
{
    coat_tag_keys keys = {.key = {{9}}, .count = what == NO_TAGS ? 0 : 1};

    if (what == EPOCH_SAME || what == EPOCH_LATER) {
        coat_table_all_begin(writer);
        coat_table_all_end(writer, what == EPOCH_SAME ? 3 : 4);
    }
    if (what == HOLD)
        coat_table_all_begin(writer);
    if (what == REPLACED)
        atomic_store(&writer->head->replaced, 1);
    if (what == TAGS_BUSY)
        atomic_fetch_add(&writer->head->tag_seq, 1);
    if (what == NO_TAGS || what == OTHER_TAGS)
        coat_table_retag(writer, &keys);
    if (what == NEXT_TAGS) {
        memcpy(keys.key[1], kit_tags.key[0], sizeof keys.key[1]);
        keys.count = 2;
        coat_table_retag(writer, &keys);
    }
    if (what == FLOOR_LATE)
        coat_table_floor(writer, kit_now + IDLE);
    if (what == LEASE_FLOOR)
        coat_table_floor(writer, kit_now + 1000);
}

static void
change_entry(enum what what, kit_session *s, coat_table_change *change)
{
    kit_session now = *s;

    if (what == CLEARED)
        (void)coat_table_clear(writer, &s->token.handle);
    if (what == CHANGE_UP)
        coat_table_change_begin(writer, &s->token.handle, change);
    if (what == ROTATED) {
        kit_session_rotate(&now, &rng);
        REQUIRE_OK(kit_fill(writer, &now));
    }
    if (what == ACTIVE || what == ACTIVE_BEFORE)
        be_active(s, what == ACTIVE_BEFORE ? 2 : 0);
    if (what == SLOT_BUSY)
        atomic_fetch_add(&writer->slot[slot_of(s)].seq, 1);
}

static void
test_cases(void)
{
    for (size_t i = 0; i < sizeof live_cases / sizeof live_cases[0]; i++) {
        const struct live_case *c = &live_cases[i];
        coat_table_change change;
        kit_session s, other;

        test_case(c->name);
        start(c->what);
        prepare(c->what, &s);
        if (c->what != NEVER_FILLED) {
            REQUIRE_OK(kit_fill(writer, &s));
            CHECK_INT(kit_live(table, &s, kit_now), COAT_TABLE_LIVE);
        }
        change_entry(c->what, &s, &change);
        change_header(c->what);
        CHECK_INT(kit_live(table, &s, kit_now + c->at_ms), c->want);
        other = s;
        kit_session_rotate(&other, &rng);
        CHECK_INT(kit_live(table, &other, kit_now + c->at_ms), c->want);
        coat_table_writer_close(writer);
    }
}

static void
test_absolute(void)
{
    kit_session s;

    start(NOTHING);
    kit_session_make(&s, &rng, 1, 5, 5);
    s.record.idle_ms = 100 * ABSOLUTE;
    REQUIRE_OK(kit_fill(writer, &s));
    CHECK_INT(kit_live(table, &s, kit_now + ABSOLUTE - 1), COAT_TABLE_LIVE);
    CHECK_INT(kit_live(table, &s, kit_now + ABSOLUTE), COAT_TABLE_ASK);
    /* Whatever a reader has written about its activity. */
    atomic_store(&table->seen[slot_of(&s)],
                 UINT32_MAX - COAT_TABLE_SEEN_TAG +
                     (coat_table_seq(writer, slot_of(&s)) >> 1 & COAT_TABLE_SEEN_TAG));
    CHECK_INT(kit_live(table, &s, kit_now + ABSOLUTE - 1), COAT_TABLE_LIVE);
    CHECK_INT(kit_live(table, &s, kit_now + ABSOLUTE), COAT_TABLE_ASK);
    coat_table_writer_close(writer);
}

static void
test_bad_tag(void)
{
    static const coat_span texts[] = {
        {NULL, 0},
        COAT_LIT("A"),
        COAT_LIT("not a token at all, but as long as a real one would be")};
    kit_session s;

    start(NOTHING);
    kit_session_make(&s, &rng, 1, 5, 5);
    REQUIRE_OK(kit_fill(writer, &s));
    for (size_t i = 0; i < sizeof s.text; i++) {
        s.text[i] = s.text[i] == 'A' ? 'E' : 'A';
        CHECK_INT(kit_live(table, &s, kit_now), COAT_TABLE_REFUSE);
        coat_token_encode(&s.token, s.text);
    }
    for (size_t len = 0; len < sizeof s.text; len++)
        CHECK_INT(coat_table_live(table, (coat_span){(const uint8_t *)s.text, len}, kit_now),
                  COAT_TABLE_REFUSE);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        CHECK_INT(coat_table_live(table, texts[i], kit_now), COAT_TABLE_REFUSE);
    coat_table_writer_close(writer);
}

/** It looks, and nothing more: asked each second, it lengthens nothing. */
static void
test_notes_nothing(void)
{
    coat_table_stats before, after;
    kit_session s, unknown;
    int64_t seen_ms;

    start(NOTHING);
    kit_session_make(&s, &rng, 1, 5, 5);
    kit_session_make(&unknown, &rng, 2, 5, 5);
    REQUIRE_OK(kit_fill(writer, &s));
    coat_table_stats_get(writer, &before);
    for (int64_t t = 0; t < IDLE; t += 1000) {
        REQUIRE(kit_live(table, &s, kit_now + t) == COAT_TABLE_LIVE);
        REQUIRE(kit_live(table, &unknown, kit_now + t) == COAT_TABLE_ASK);
    }
    CHECK_INT(kit_live(table, &s, kit_now + IDLE), COAT_TABLE_ASK);
    CHECK(coat_table_seen(writer, &s.token.handle, &seen_ms));
    CHECK_INT(seen_ms, kit_now);
    CHECK_INT(atomic_load(&table->seen[slot_of(&s)]), 0);
    coat_table_stats_get(writer, &after);
    CHECK_MEM(&before, sizeof before, &after, sizeof after);
    coat_table_writer_close(writer);
}

static const coat_test tests[] = {
    {"RV-1: a long connection is LIVE while its session is, whatever secret it has by now",
     test_cases},
    {"LC-2: no activity carries a long connection past the absolute end", test_absolute},
    {"a long connection's token must be one of ours", test_bad_tag},
    {"LC-4: asking whether a session is live is no activity", test_notes_nothing},
};

COAT_TEST_MAIN(tests)
