/* SPDX-License-Identifier: Apache-2.0 */
/* Activity: what readers note, and what the daemon makes of it. */
#include "kit.h"

static coat_table_writer *writer;
static const coat_table *table;
static test_rng rng;

static void
start(uint32_t slots)
{
    coat_table_conf conf;

    rng.state = 7;
    kit_conf(&conf, NULL, slots);
    writer = kit_create(&conf);
    table = coat_table_writer_reader(writer);
}

static void
stop(void)
{
    coat_table_writer_close(writer);
    writer = NULL;
}

static void
test_background(void)
{
    coat_table_answer answer;
    int64_t seen_ms;
    kit_session s;

    start(64);
    kit_session_make(&s, &rng, 1, 5, 5);
    REQUIRE_OK(kit_fill(writer, &s));
    for (int64_t t = kit_now; t < kit_now + s.record.idle_ms; t += 1000)
        REQUIRE(kit_verdict(table, &s, t) == COAT_TABLE_LIVE);
    CHECK_INT(kit_verdict(table, &s, kit_now + s.record.idle_ms), COAT_TABLE_ASK);
    CHECK(coat_table_seen(writer, &s.token.handle, &seen_ms));
    CHECK_INT(seen_ms, kit_now);

    /* Nor do a step-up that is not met, another context, or something due. */
    s.record.auth_ms = kit_now - KIT_HOUR;
    s.context = 99;
    s.next_due_ms = kit_now + 10 * KIT_MINUTE;
    REQUIRE_OK(kit_fill(writer, &s));
    CHECK_INT(kit_ask(table, &s,
                      (coat_table_query){.now_ms = kit_now + 5000, .max_age_ms = KIT_MINUTE},
                      &answer),
              COAT_TABLE_ASK);
    CHECK_INT(kit_ask(table, &s, (coat_table_query){.now_ms = kit_now + 5000, .context = 98},
                      &answer),
              COAT_TABLE_ASK);
    CHECK_INT(kit_ask(table, &s, (coat_table_query){.now_ms = s.next_due_ms}, &answer),
              COAT_TABLE_ASK);
    CHECK(coat_table_seen(writer, &s.token.handle, &seen_ms));
    CHECK_INT(seen_ms, kit_now);

    /* Activity is what counts, to the second below. */
    CHECK_INT(kit_ask(table, &s, (coat_table_query){.now_ms = kit_now + 5900, .context = 99},
                      &answer),
              COAT_TABLE_LIVE);
    CHECK(coat_table_seen(writer, &s.token.handle, &seen_ms));
    CHECK_INT(seen_ms, kit_now + 5000);
    /* A slow clock takes nothing back. */
    CHECK_INT(kit_ask(table, &s, (coat_table_query){.now_ms = kit_now + 2000, .context = 99},
                      &answer),
              COAT_TABLE_LIVE);
    CHECK(coat_table_seen(writer, &s.token.handle, &seen_ms));
    CHECK_INT(seen_ms, kit_now + 5000);
    stop();
}

enum { FOLDED_MAX = 256 };

typedef struct fold_notes {
    uint32_t count;
    coat_handle handle[FOLDED_MAX];
    int64_t seen_ms[FOLDED_MAX];
} fold_notes;

static void
on_fold(void *ctx, const coat_handle *handle, int64_t seen_ms)
{
    fold_notes *notes = ctx;

    if (notes->count < FOLDED_MAX) {
        notes->handle[notes->count] = *handle;
        notes->seen_ms[notes->count] = seen_ms;
    }
    notes->count++;
}

static uint32_t
fold_all(fold_notes *notes, int64_t lag_ms, int64_t now_ms)
{
    notes->count = 0;
    while (!coat_table_fold(writer, 100, lag_ms, now_ms, on_fold, notes))
        ;
    return notes->count;
}

static void
test_fold(void)
{
    fold_notes notes;
    coat_table_query query = {.now_ms = kit_now};
    coat_table_answer answer;
    coat_table_stats stats;
    kit_session s, quick;

    start(1024);
    kit_session_make(&s, &rng, 1, 5, 5);
    kit_session_make(&quick, &rng, 2, 5, 5);
    quick.record.idle_ms = 100000; /* a tenth of it is less than the lag */
    REQUIRE_OK(kit_fill(writer, &s));
    REQUIRE_OK(kit_fill(writer, &quick));
    CHECK_INT(fold_all(&notes, 60000, kit_now), 0);

    query.now_ms = kit_now + 59000;
    CHECK_INT(kit_ask(table, &s, query, &answer), COAT_TABLE_LIVE);
    CHECK_INT(fold_all(&notes, 60000, query.now_ms), 0);
    query.now_ms = kit_now + 60000;
    CHECK_INT(kit_ask(table, &s, query, &answer), COAT_TABLE_LIVE);
    CHECK_INT(fold_all(&notes, 60000, query.now_ms), 1);
    CHECK_INT(notes.seen_ms[0], kit_now + 60000);
    CHECK(coat_handle_equal(&notes.handle[0], &s.token.handle));
    CHECK_INT(fold_all(&notes, 60000, query.now_ms), 0);

    query.now_ms = kit_now + 9000;
    CHECK_INT(kit_ask(table, &quick, query, &answer), COAT_TABLE_LIVE);
    CHECK_INT(fold_all(&notes, 60000, query.now_ms), 0);
    query.now_ms = kit_now + 10000;
    CHECK_INT(kit_ask(table, &quick, query, &answer), COAT_TABLE_LIVE);
    CHECK_INT(fold_all(&notes, 60000, query.now_ms), 1);
    CHECK(coat_handle_equal(&notes.handle[0], &quick.token.handle));

    /* Refreshing an entry does not hide what is not folded; shutting down folds all. */
    query.now_ms = kit_now + 65000;
    CHECK_INT(kit_ask(table, &s, query, &answer), COAT_TABLE_LIVE);
    REQUIRE_OK(kit_fill(writer, &s));
    CHECK_INT(fold_all(&notes, 0, query.now_ms), 1);
    CHECK_INT(notes.seen_ms[0], kit_now + 65000);
    CHECK_INT(fold_all(&notes, 0, query.now_ms), 0);

    /* What has ended makes room. */
    CHECK_INT(fold_all(&notes, 60000, kit_now + 10000 + 100000), 0);
    coat_table_stats_get(writer, &stats);
    CHECK_INT(stats.used, 1);
    CHECK_INT(fold_all(&notes, 60000, s.record.absolute_end_ms), 0);
    coat_table_stats_get(writer, &stats);
    CHECK_INT(stats.used, 0);
    stop();
}

/** The most that a reader can do with what it may write: keep a session from idling out. */
static void
test_hostile_activity(void)
{
    fold_notes notes;
    coat_table_answer answer;
    kit_session s;

    start(64);
    kit_session_make(&s, &rng, 1, 5, 5);
    REQUIRE_OK(kit_fill(writer, &s));
    for (uint32_t i = 0; i < 64; i++)
        atomic_store(&table->seen[i],
                     UINT32_MAX - COAT_TABLE_SEEN_TAG + (coat_table_seq(writer, i) >> 1 & 15));
    CHECK_INT(
        kit_ask(table, &s, (coat_table_query){.now_ms = s.record.absolute_end_ms - 1}, &answer),
        COAT_TABLE_LIVE);
    CHECK_INT(kit_verdict(table, &s, s.record.absolute_end_ms), COAT_TABLE_ASK);
    CHECK_INT(fold_all(&notes, 60000, kit_now + KIT_MINUTE), 1);
    CHECK_INT(notes.seen_ms[0], kit_now + KIT_MINUTE); /* no record gets a future */
    stop();
}

/** A reader that noted late, after its slot had gone to another session. */
static void
test_late_note(void)
{
    int64_t seen_ms;
    kit_session first, second;
    uint32_t stale;
    int64_t index;
    coat_table_place place;

    start(16);
    kit_session_make(&first, &rng, 1, 5, 5);
    kit_session_make(&second, &rng, 2, 5, 5);
    REQUIRE_OK(kit_fill(writer, &first));
    place = coat_table_place_of(table->hash_key, table->sets, &first.token.handle);
    index = coat_table_find(writer, &place, &first.token.handle);
    REQUIRE(index >= 0);
    stale = coat_table_seen_word(table->base_s, kit_now + 20 * KIT_MINUTE,
                                 coat_table_seq(writer, (uint32_t)index));
    (void)coat_table_clear(writer, &first.token.handle);
    REQUIRE_OK(kit_fill(writer, &second));
    atomic_store(&table->seen[index], stale);
    CHECK(coat_table_seen(writer, &second.token.handle, &seen_ms));
    CHECK_INT(seen_ms, kit_now);
    stop();
}

static const coat_test tests[] = {
    {"LC-4: background requests and unmet demands note no activity", test_background},
    {"LC-4: activity is folded in at most min(lag, idle/10) late", test_fold},
    {"a reader's writes can at most keep a session from idling out", test_hostile_activity},
    {"LC-4: a late note counts for nobody else", test_late_note},
};

COAT_TEST_MAIN(tests)
