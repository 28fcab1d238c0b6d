/* SPDX-License-Identifier: Apache-2.0 */
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
test_answer(void)
{
    static const struct {
        const char *name;
        size_t user, roles;
    } cases[] = {
        {"nobody", 0, 0},
        {"short", 5, 11},
        {"just inline", 30, COAT_TABLE_INLINE - 30 - 3},
        {"just in the arena", 30, COAT_TABLE_INLINE - 30 - 2},
        {"largest", COAT_USER_MAX, COAT_ROLES_MAX},
    };

    start(64);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        coat_table_answer answer;
        kit_session s;

        test_case(cases[i].name);
        kit_session_make(&s, &rng, i, cases[i].user, cases[i].roles);
        s.record.flags = i % 2 != 0 ? COAT_RECORD_REMEMBER | COAT_RECORD_PENDING : 0;
        CHECK_INT(kit_verdict(table, &s, kit_now), COAT_TABLE_ASK);
        REQUIRE_OK(kit_fill(writer, &s));
        CHECK_INT(kit_ask(table, &s, (coat_table_query){.now_ms = kit_now + 5000}, &answer),
                  COAT_TABLE_LIVE);
        CHECK(kit_is(&answer, &s));
        CHECK_INT(answer.remember, i % 2 != 0);
        CHECK_INT(answer.ends_ms, kit_now + 5000 + s.record.idle_ms);
    }
    stop();
}

static void
test_refuse(void)
{
    coat_table_answer answer;
    coat_table_query query = {.now_ms = kit_now};
    kit_session s;

    start(64);
    kit_session_make(&s, &rng, 1, 5, 5);
    REQUIRE_OK(kit_fill(writer, &s));
    for (size_t i = 0; i < sizeof s.text; i++) {
        s.text[i] = s.text[i] == 'A' ? 'E' : 'A';
        CHECK_INT(kit_ask(table, &s, query, &answer), COAT_TABLE_REFUSE);
        coat_token_encode(&s.token, s.text);
    }
    coat_table_check(table, &query, &answer); /* no token at all */
    CHECK_INT(answer.verdict, COAT_TABLE_REFUSE);
    CHECK_INT(answer.user.len + answer.roles.len + answer.methods.len, 0);
    stop();
}

/** Another secret under a valid tag may be pending, previous or stolen: the daemon knows. */
static void
test_other_secret(void)
{
    kit_session s, other;

    start(64);
    kit_session_make(&s, &rng, 1, 5, 5);
    REQUIRE_OK(kit_fill(writer, &s));
    other = s;
    kit_session_rotate(&other, &rng);
    CHECK_INT(kit_verdict(table, &other, kit_now), COAT_TABLE_ASK);
    CHECK_INT(kit_verdict(table, &s, kit_now), COAT_TABLE_LIVE);
    stop();
}

static void
test_limits(void)
{
    kit_session s;

    start(64);
    kit_session_make(&s, &rng, 1, 5, 5);
    REQUIRE_OK(kit_fill(writer, &s));
    CHECK_INT(kit_verdict(table, &s, kit_now + s.record.idle_ms - 1000), COAT_TABLE_LIVE);
    CHECK_INT(kit_verdict(table, &s, kit_now + s.record.idle_ms + 1000), COAT_TABLE_ASK);

    /* One request a minute: only the absolute end is left, and it does not move. */
    for (int64_t t = kit_now; t < s.record.absolute_end_ms; t += KIT_MINUTE) {
        coat_table_answer answer;

        REQUIRE(kit_ask(table, &s, (coat_table_query){.now_ms = t}, &answer) ==
                COAT_TABLE_LIVE);
        REQUIRE(answer.ends_ms <= s.record.absolute_end_ms);
    }
    CHECK_INT(kit_verdict(table, &s, s.record.absolute_end_ms - 1000), COAT_TABLE_LIVE);
    CHECK_INT(kit_verdict(table, &s, s.record.absolute_end_ms + 1000), COAT_TABLE_ASK);
    stop();
}

/* Who asks is put together only for tokens of ours: what anybody can invent costs no more. */
static void
test_unwanted(void)
{
    kit_asker who = {{COAT_LIT("192.0.2.1"), COAT_LIT("Firefox"), COAT_LIT("de")}, 0};
    coat_table_query query = {.now_ms = kit_now, .from = kit_who, .from_ctx = &who};
    coat_table_answer answer;
    kit_session s;

    start(64);
    kit_session_make(&s, &rng, 1, 5, 5);
    CHECK_INT(kit_ask(table, &s, query, &answer), COAT_TABLE_ASK); /* not there, but ours */
    CHECK_INT(who.wanted, 1);
    s.text[COAT_TOKEN_CHARS / 2] ^= 1; /* another secret under the same tag */
    CHECK_INT(kit_ask(table, &s, query, &answer), COAT_TABLE_REFUSE);
    s.text[COAT_TOKEN_CHARS / 2] = '.';
    CHECK_INT(kit_ask(table, &s, query, &answer), COAT_TABLE_REFUSE);
    CHECK_INT(who.wanted, 1);
    stop();
}

static void
test_demands(void)
{
    coat_table_answer answer;
    kit_asker home = {{COAT_LIT("192.0.2.1"), COAT_LIT("Firefox"), COAT_LIT("de")}, 0};
    kit_asker moved = {{COAT_LIT("192.0.2.1F"), COAT_LIT("irefox"), COAT_LIT("de")}, 0};
    kit_session s;

    start(64);
    kit_session_make(&s, &rng, 1, 5, 5);
    s.context = coat_table_context(table, &home.context);
    s.next_due_ms = kit_now + 1000;
    REQUIRE_OK(kit_fill(writer, &s));
    CHECK(s.context != 0 && s.context == coat_table_context(table, &home.context));
    CHECK(coat_table_context(table, &moved.context) != s.context);
    CHECK_INT(kit_ask(table, &s,
                      (coat_table_query){
                          .now_ms = kit_now, .context = s.context, .max_age_ms = KIT_MINUTE},
                      &answer),
              COAT_TABLE_LIVE);
    CHECK_INT(kit_ask(table, &s,
                      (coat_table_query){.now_ms = kit_now,
                                         .context = coat_table_context(table, &moved.context)},
                      &answer),
              COAT_TABLE_ASK);
    CHECK_INT(kit_ask(table, &s,
                      (coat_table_query){.now_ms = kit_now, .from = kit_who, .from_ctx = &home},
                      &answer),
              COAT_TABLE_LIVE);
    CHECK_INT(
        kit_ask(table, &s,
                (coat_table_query){.now_ms = kit_now, .from = kit_who, .from_ctx = &moved},
                &answer),
        COAT_TABLE_ASK);
    CHECK(home.wanted == 1 && moved.wanted == 1);
    CHECK_INT(kit_verdict(table, &s, kit_now + 999), COAT_TABLE_LIVE);
    CHECK_INT(kit_verdict(table, &s, kit_now + 1000), COAT_TABLE_ASK);

    s.record.auth_ms = 0; /* nobody signed in: no age is young enough */
    s.next_due_ms = kit_now + KIT_HOUR;
    REQUIRE_OK(kit_fill(writer, &s));
    CHECK_INT(kit_verdict(table, &s, kit_now), COAT_TABLE_LIVE);
    CHECK_INT(kit_ask(table, &s, (coat_table_query){.now_ms = kit_now, .max_age_ms = INT64_MAX},
                      &answer),
              COAT_TABLE_ASK);
    stop();
}

/* Bytes that move from one part to the next make another context, also in long parts. */
static void
test_contexts(void)
{
    static uint8_t bytes[1200];
    static const size_t cuts[] = {0, 1, 2, 254, 255, 256, 257, 258, 300, 600};
    const size_t count = sizeof cuts / sizeof cuts[0];
    uint64_t hashes[sizeof cuts / sizeof cuts[0] * sizeof cuts / sizeof cuts[0]];
    size_t made = 0;

    start(64);
    memset(bytes, 'a', sizeof bytes);
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < count; j++) {
            coat_context context = {.address = {bytes, cuts[i]},
                                    .agent = {bytes, cuts[j]},
                                    .language = {bytes, 1200 - cuts[i] - cuts[j]}};

            hashes[made] = coat_table_context(table, &context);
            CHECK(hashes[made] != 0 && hashes[made] == coat_table_context(table, &context));
            for (size_t k = 0; k < made; k++)
                CHECK(hashes[k] != hashes[made]);
            made++;
        }
    stop();
}

static void
test_floor(void)
{
    kit_session s;

    start(64);
    kit_session_make(&s, &rng, 1, 5, 5);
    REQUIRE_OK(kit_fill(writer, &s));
    coat_table_floor(writer, kit_now + s.record.idle_ms);
    CHECK_INT(coat_table_time_ms(coat_table_writer_reader(writer)), kit_now + s.record.idle_ms);
    CHECK_INT(kit_verdict(table, &s, kit_now), COAT_TABLE_ASK);
    CHECK_INT(kit_verdict(table, &s, 0), COAT_TABLE_ASK);
    coat_table_floor(writer, kit_now);
    CHECK_INT(kit_verdict(table, &s, INT64_MIN), COAT_TABLE_LIVE);
    CHECK_INT(kit_verdict(table, &s, INT64_MAX), COAT_TABLE_ASK);
    stop();
}

static void
test_retag(void)
{
    coat_tag_keys next = {.key = {{9}}, .count = 2}, none = {.count = 0};
    kit_session s;

    start(64);
    kit_session_make(&s, &rng, 1, 5, 5);
    REQUIRE_OK(kit_fill(writer, &s));
    memcpy(next.key[1], kit_tags.key[0], sizeof next.key[1]);
    coat_table_retag(writer, &next);
    CHECK_INT(kit_verdict(table, &s, kit_now), COAT_TABLE_LIVE);
    next.count = 1;
    coat_table_retag(writer, &next);
    CHECK_INT(kit_verdict(table, &s, kit_now), COAT_TABLE_REFUSE);
    coat_table_retag(writer, &none); /* nothing to judge by is no reason to refuse */
    CHECK_INT(kit_verdict(table, &s, kit_now), COAT_TABLE_ASK);
    stop();
}

static void
test_lease(void)
{
    coat_table_conf conf;
    kit_session s;

    rng.state = 3;
    kit_conf(&conf, NULL, 64);
    conf.mode = COAT_TABLE_SHARED;
    writer = kit_create(&conf);
    table = coat_table_writer_reader(writer);
    kit_session_make(&s, &rng, 1, 5, 5);
    REQUIRE_OK(kit_fill(writer, &s));
    CHECK_INT(kit_verdict(table, &s, kit_now), COAT_TABLE_ASK);
    coat_table_lease(writer, kit_now + 1000, kit_mono + 1000);
    CHECK_INT(kit_verdict(table, &s, kit_now + 999), COAT_TABLE_LIVE);
    CHECK_INT(kit_verdict(table, &s, kit_now + 1000), COAT_TABLE_ASK);
    stop();
}

/** Whatever an answer held before, only LIVE reads as LIVE. */
static void
test_zeroed(void)
{
    kit_session known, unknown, forged;
    const kit_session *const sessions[] = {&unknown, &forged};

    start(64);
    kit_session_make(&known, &rng, 1, 5, 5);
    kit_session_make(&unknown, &rng, 2, 5, 5);
    forged = known;
    forged.text[0] ^= 1;
    REQUIRE_OK(kit_fill(writer, &known));
    for (int fill = 0; fill < 300; fill++) {
        for (size_t i = 0; i < 2; i++) {
            coat_table_query query = {
                .token = {(const uint8_t *)sessions[i]->text, COAT_TOKEN_CHARS},
                .now_ms = kit_now};
            coat_table_answer answer;

            memset(&answer, fill, sizeof answer);
            if (fill >= 256)
                (void)test_rng_fill(&rng, (uint8_t *)&answer, sizeof answer);
            coat_table_check(table, &query, &answer);
            REQUIRE(answer.verdict == (i == 0 ? COAT_TABLE_ASK : COAT_TABLE_REFUSE));
            REQUIRE(answer.user.ptr == NULL && answer.user.len == 0 && answer.roles.len == 0 &&
                    answer.methods.len == 0 && answer.identity[0] == '\0' &&
                    answer.ends_ms == 0 && answer.auth_ms == 0 && !answer.remember);
        }
    }
    CHECK_INT(COAT_TABLE_ASK, 0);
    stop();
}

static void
test_sums(void)
{
    coat_table_conf conf;
    coat_table_stats stats;
    uint32_t sessions = (uint32_t)test_scaled(1000000, 60000);
    coat_table_writer *w;
    kit_session s;

    rng.state = 11;
    kit_conf(&conf, NULL, coat_table_slots_for(sessions));
    w = kit_create(&conf);
    for (uint32_t i = 0; i < sessions; i++) {
        kit_session_make(&s, &rng, i, 17, 11);
        REQUIRE_OK(kit_fill(w, &s));
    }
    coat_table_stats_get(w, &stats);
    CHECK(stats.bytes / sessions <= 256);
    CHECK(stats.evicted <= sessions / 10000);
    CHECK_INT(stats.used + stats.evicted, sessions);
    coat_table_writer_close(w);
    CHECK_INT(coat_table_slots_for(0) % COAT_TABLE_WAYS, 0);
    CHECK(coat_table_slots_for(0) > 0);
    CHECK_INT(coat_table_slots_for(UINT64_MAX), COAT_TABLE_SLOTS_MAX);
}

/* ---- eviction ---- */

typedef struct gone_note {
    uint32_t count;
    coat_handle last;
    int64_t seen_ms;
} gone_note;

static void
on_evicted(void *ctx, const coat_handle *handle, int64_t seen_ms)
{
    gone_note *note = ctx;

    note->count++;
    note->last = *handle;
    note->seen_ms = seen_ms;
}

enum { SMALL = 64, MANY = 400 };

static void
test_overflow(void)
{
    static kit_session sessions[MANY];
    gone_note note = {.count = 0};
    coat_table_conf conf;
    coat_table_stats stats;
    uint32_t live = 0;

    rng.state = 5;
    kit_conf(&conf, NULL, SMALL);
    conf.evicted = on_evicted;
    conf.evicted_ctx = &note;
    writer = kit_create(&conf);
    table = coat_table_writer_reader(writer);
    for (size_t i = 0; i < MANY; i++) {
        coat_table_answer answer;

        kit_session_make(&sessions[i], &rng, i, 5, i % 7 == 0 ? 300 : 5);
        sessions[i].record.seen_ms += (int64_t)i * 1000;
        REQUIRE_OK(kit_fill(writer, &sessions[i]));
        /* Unfolded activity of each, so each that gives way must be reported. */
        REQUIRE(kit_ask(table, &sessions[i],
                        (coat_table_query){.now_ms = kit_now + (int64_t)i * 1000 + 2000},
                        &answer) == COAT_TABLE_LIVE);
    }
    for (size_t i = 0; i < MANY; i++) {
        coat_table_answer answer;
        coat_table_verdict verdict =
            kit_ask(table, &sessions[i], (coat_table_query){.now_ms = kit_now}, &answer);

        CHECK(verdict == COAT_TABLE_ASK ||
              (verdict == COAT_TABLE_LIVE && kit_is(&answer, &sessions[i])));
        live += verdict == COAT_TABLE_LIVE;
    }
    coat_table_stats_get(writer, &stats);
    CHECK_INT(live, stats.used);
    CHECK_INT(stats.used + stats.evicted, MANY);
    CHECK_INT(note.count, stats.evicted);
    CHECK(live > SMALL / 2);
    /* The last to come is there; the first has given way. */
    CHECK_INT(kit_verdict(table, &sessions[MANY - 1], kit_now), COAT_TABLE_LIVE);
    CHECK_INT(kit_verdict(table, &sessions[0], kit_now), COAT_TABLE_ASK);
    stop();
}

static void
test_lru(void)
{
    static kit_session sessions[40];
    coat_table_answer answer;
    uint32_t kept = 0;

    start(16); /* one set: both choices are the same */
    for (size_t i = 0; i < 40; i++) {
        kit_session_make(&sessions[i], &rng, i, 5, 5);
        REQUIRE_OK(kit_fill(writer, &sessions[i]));
        /* The first eight stay busy. */
        for (size_t k = 0; k <= i && k < 8; k++)
            CHECK_INT(kit_ask(table, &sessions[k],
                              (coat_table_query){.now_ms = kit_now + 10000 + 1000 * (int64_t)i},
                              &answer),
                      COAT_TABLE_LIVE);
    }
    for (size_t k = 0; k < 8; k++)
        kept += kit_verdict(table, &sessions[k], kit_now) == COAT_TABLE_LIVE;
    CHECK_INT(kept, 8);
    stop();
}

static void
test_arena_full(void)
{
    static kit_session sessions[MANY];
    coat_table_conf conf;
    coat_table_stats stats;
    uint32_t entered = 0;

    rng.state = 6;
    kit_conf(&conf, NULL, 4096);
    conf.arena_bytes = 4096;
    writer = kit_create(&conf);
    table = coat_table_writer_reader(writer);
    for (size_t i = 0; i < MANY; i++) {
        coat_table_answer answer;
        size_t probe = test_rng_below(&rng, i + 1);

        kit_session_make(&sessions[i], &rng, i, 100 + test_rng_below(&rng, 155),
                         test_rng_below(&rng, 1000));
        sessions[i].record.seen_ms += (int64_t)i;
        if (kit_fill(writer, &sessions[i]) == COAT_OK)
            entered++;
        if (kit_ask(table, &sessions[probe], (coat_table_query){.now_ms = kit_now}, &answer) ==
            COAT_TABLE_LIVE)
            CHECK(kit_is(&answer, &sessions[probe]));
    }
    coat_table_stats_get(writer, &stats);
    CHECK(stats.arena_used <= stats.arena_bytes);
    CHECK(entered > MANY * 9 / 10); /* others give way; now and then no piece is long enough */
    for (size_t i = 0; i < MANY; i++)
        (void)coat_table_clear(writer, &sessions[i].token.handle);
    coat_table_stats_get(writer, &stats);
    CHECK_INT(stats.arena_used, 0);
    CHECK_INT(stats.used, 0);
    /* An entry that can never fit costs slow paths only. */
    coat_table_writer_close(writer);
    conf.arena_bytes = 64;
    writer = kit_create(&conf);
    CHECK_ERR(kit_fill(writer, &sessions[0]), COAT_TOO_LARGE);
    stop();
}

static void
test_unknown_floods(void)
{
    static kit_session hot[32];
    coat_table_stats before, after;
    kit_session s;
    long count = test_scaled(10000000, 100000);

    start(64);
    for (size_t i = 0; i < 32; i++) {
        kit_session_make(&hot[i], &rng, i, 5, 5);
        REQUIRE_OK(kit_fill(writer, &hot[i]));
    }
    coat_table_stats_get(writer, &before);
    for (long i = 0; i < count; i++) {
        coat_table_answer answer;

        kit_session_make(&s, &rng, (uint64_t)i, 0, 0);
        REQUIRE(kit_ask(table, &s, (coat_table_query){.now_ms = kit_now}, &answer) ==
                COAT_TABLE_ASK);
    }
    coat_table_stats_get(writer, &after);
    CHECK_MEM(&before, sizeof before, &after, sizeof after);
    for (size_t i = 0; i < 32; i++)
        CHECK_INT(kit_verdict(table, &hot[i], kit_now), COAT_TABLE_LIVE);
    stop();
}

/* ---- keyed hash ---- */

static void
test_two_orders(void)
{
    coat_table_conf conf;
    coat_table_writer *other;
    uint32_t same = 0;
    kit_session s;

    start(16 * 1024);
    kit_conf(&conf, NULL, 16 * 1024);
    other = kit_create(&conf);
    for (int i = 0; i < 1000; i++) {
        coat_table_place a, b;

        kit_session_make(&s, &rng, (uint64_t)i, 0, 0);
        a = coat_table_place_of(table->hash_key, table->sets, &s.token.handle);
        b = coat_table_place_of(coat_table_writer_reader(other)->hash_key, table->sets,
                                &s.token.handle);
        same += a.set[0] == b.set[0];
    }
    CHECK(same < 20);
    coat_table_writer_close(other);
    stop();
}

/** Handles that all fall into one set under an all-zero key spread here like any others. */
static void
test_collisions(void)
{
    static const uint8_t zero_key[16];
    uint32_t want = (uint32_t)test_scaled(1000000, 3000), got = 0;
    coat_table_stats stats;

    start(coat_table_slots_for(want));
    while (got < want) {
        coat_table_place place;
        kit_session s;

        kit_session_make(&s, &rng, test_rng_next(&rng), 0, 0);
        place = coat_table_place_of(zero_key, 64, &s.token.handle);
        if (place.set[0] != 0)
            continue;
        REQUIRE_OK(kit_fill(writer, &s));
        got++;
    }
    coat_table_stats_get(writer, &stats);
    CHECK(stats.evicted <= 1 + want / 10000);
    stop();
}

/* ---- gates: every order of a fill and a change, one by one ---- */

enum { TICKET, FILL, BEGIN, END, OWNER_BEGIN, OWNER_END, ALL_BEGIN, ALL_END, STOP };

static void
test_gates(void)
{
    static const struct {
        const char *name;
        uint8_t steps[6];
        coat_err want;
    } cases[] = {
        {"undisturbed", {TICKET, FILL, STOP}, COAT_OK},
        {"before and after", {BEGIN, END, TICKET, FILL, STOP}, COAT_OK},
        {"change within", {TICKET, BEGIN, END, FILL, STOP}, COAT_CONFLICT},
        {"change began within", {TICKET, BEGIN, FILL, END, STOP}, COAT_CONFLICT},
        {"change ended within", {BEGIN, TICKET, END, FILL, STOP}, COAT_CONFLICT},
        {"within a change", {BEGIN, TICKET, FILL, END, STOP}, COAT_CONFLICT},
        {"owner within", {TICKET, OWNER_BEGIN, OWNER_END, FILL, STOP}, COAT_CONFLICT},
        {"owner began within", {TICKET, OWNER_BEGIN, FILL, OWNER_END, STOP}, COAT_CONFLICT},
        {"owner ended within", {OWNER_BEGIN, TICKET, OWNER_END, FILL, STOP}, COAT_CONFLICT},
        {"within owner", {OWNER_BEGIN, TICKET, FILL, OWNER_END, STOP}, COAT_CONFLICT},
        {"all within", {TICKET, ALL_BEGIN, ALL_END, FILL, STOP}, COAT_CONFLICT},
        {"all began within", {TICKET, ALL_BEGIN, FILL, ALL_END, STOP}, COAT_CONFLICT},
        {"all ended within", {ALL_BEGIN, TICKET, ALL_END, FILL, STOP}, COAT_CONFLICT},
        {"within all", {ALL_BEGIN, TICKET, FILL, ALL_END, STOP}, COAT_CONFLICT},
    };
    coat_table_ticket ticket = {0, 0};
    coat_table_change change;
    kit_session s;
    coat_owner owner;

    start(64);
    kit_session_make(&s, &rng, 1, 5, 5);
    owner = coat_handle_owner(&s.token.handle);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        coat_table_entry entry = kit_entry(&s);
        coat_err got = COAT_INVALID;

        test_case(cases[i].name);
        (void)coat_table_clear(writer, entry.handle);
        for (const uint8_t *step = cases[i].steps; *step != STOP; step++) {
            if (*step == TICKET)
                ticket = coat_table_ticket_take(writer, entry.handle);
            else if (*step == FILL)
                got = coat_table_fill(writer, ticket, &entry);
            else if (*step == BEGIN)
                coat_table_change_begin(writer, entry.handle, &change);
            else if (*step == END)
                coat_table_change_end(writer, &change, NULL);
            else if (*step == OWNER_BEGIN)
                coat_table_owner_begin(writer, owner);
            else if (*step == OWNER_END)
                coat_table_owner_end(writer, owner);
            else if (*step == ALL_BEGIN)
                coat_table_all_begin(writer);
            else
                coat_table_all_end(writer, 0);
        }
        CHECK_ERR(got, cases[i].want);
        CHECK_INT(kit_verdict(table, &s, kit_now),
                  got == COAT_OK ? COAT_TABLE_LIVE : COAT_TABLE_ASK);
    }
    stop();
}

/** Two changes of one session at once: what the first commits is old when it ends last. */
static void
test_crossing_changes(void)
{
    coat_table_change first, second;
    kit_session a, b;
    coat_table_entry entry_a, entry_b;

    start(64);
    kit_session_make(&a, &rng, 1, 5, 5);
    b = a;
    kit_session_rotate(&b, &rng);
    entry_a = kit_entry(&a);
    entry_b = kit_entry(&b);
    coat_table_change_begin(writer, entry_a.handle, &first);
    coat_table_change_end(writer, &first, &entry_a);
    CHECK_INT(kit_verdict(table, &a, kit_now), COAT_TABLE_LIVE); /* alone: entered at once */
    coat_table_change_begin(writer, entry_a.handle, &first);
    coat_table_change_begin(writer, entry_b.handle, &second);
    coat_table_change_end(writer, &second, &entry_b);
    coat_table_change_end(writer, &first, &entry_a);
    CHECK_INT(kit_verdict(table, &a, kit_now), COAT_TABLE_ASK);
    CHECK_INT(kit_verdict(table, &b, kit_now), COAT_TABLE_ASK);
    stop();
}

static const coat_test tests[] = {
    {"an answer carries the identity, inline and from the arena", test_answer},
    {"what was not issued here is refused without being looked up", test_refuse},
    {"another secret of a live session is for the daemon to judge", test_other_secret},
    {"LC-2: idle and absolute limits hold to the second, and activity moves no absolute end",
     test_limits},
    {"who asks is put together for tokens of ours alone", test_unwanted},
    {"step-up, context and next due time lead to ASK", test_demands},
    {"no two contexts run together, whatever their length", test_contexts},
    {"SF-10: a reader whose clock is behind lives by the daemon's", test_floor},
    {"UP-1: tag keys rotate under readers; no keys means ASK", test_retag},
    {"RV-2: shared mode: without a lease nothing is LIVE", test_lease},
    {"HD-10: no leftover in an answer reads as LIVE", test_zeroed},
    {"a session takes at most 256 bytes, and 85 % full overflows hardly ever", test_sums},
    {"SF-8: a full table costs slow paths, never a wrong verdict", test_overflow},
    {"the least recently active entry gives way", test_lru},
    {"SF-8: a full arena costs slow paths, never a wrong identity", test_arena_full},
    {"RX-4: unknown tokens write nothing and evict nobody", test_unknown_floods},
    {"RX-5: two tables have different orders", test_two_orders},
    {"RX-5: handles that collide under a zero key spread like others", test_collisions},
    {"RV-3: a fill is let in only if no change was up since its ticket", test_gates},
    {"LC-9: of two changes at once neither is entered on ending", test_crossing_changes},
};

COAT_TEST_MAIN(tests)
