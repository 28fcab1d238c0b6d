/* SPDX-License-Identifier: Apache-2.0 */
/* The memo of digests may change how long a check takes, and nothing else. */
#include "kit.h"
#include "table/memo.h"

static test_rng rng;
static coat_table_writer *writer;
static const coat_table *table;
static coat_table_memo *memo;

static void
start(uint64_t seed)
{
    coat_table_conf conf;

    rng = (test_rng){.state = seed};
    kit_conf(&conf, NULL, 64);
    writer = kit_create(&conf);
    table = coat_table_writer_reader(writer);
    memo = coat_table_memo_new();
    REQUIRE(memo != NULL);
}

static void
stop(void)
{
    coat_table_memo_free(memo);
    coat_table_writer_close(writer);
}

/** The verdict of a check, which has to be the same with and without a memo. */
static coat_table_verdict
verdict(const kit_session *s, coat_table_query query)
{
    coat_table_answer with, without;
    coat_table_query bare = query;

    query.memo = memo;
    query.background = bare.background = true;
    (void)kit_ask(table, s, query, &with);
    (void)kit_ask(table, s, bare, &without);
    CHECK_INT(with.verdict, without.verdict);
    if (with.verdict == COAT_TABLE_LIVE)
        CHECK(kit_is(&with, s) && with.ends_ms == without.ends_ms);
    return with.verdict;
}

static coat_table_verdict
at(const kit_session *s, int64_t now_ms)
{
    return verdict(s, (coat_table_query){.now_ms = now_ms});
}

static void
change(kit_session *s, bool end)
{
    coat_table_change c;
    coat_table_entry entry;

    coat_table_change_begin(writer, &s->token.handle, &c);
    if (!end)
        kit_session_rotate(s, &rng);
    entry = kit_entry(s);
    coat_table_change_end(writer, &c, end ? NULL : &entry);
}

/** The text of a token, which lasts till the next. */
static coat_span
text_of(const coat_token *token)
{
    static char text[COAT_TOKEN_CHARS];

    coat_token_encode(token, text);
    return (coat_span){(uint8_t *)text, sizeof text};
}

/* More of them than there is room for, each several times and in turn. */
static void
test_digests(void)
{
    enum { TOKENS = 20000 };
    static coat_token tokens[TOKENS];
    uint8_t digest[COAT_DIGEST_BYTES];
    coat_owner owner = {{1}};
    unsigned known = 0, unknown = 0;

    start(1);
    for (int i = 0; i < TOKENS; i++)
        REQUIRE_OK(coat_token_mint(owner, kit_now, &kit_tags, test_rng_fill, &rng, &tokens[i]));
    for (int i = 0; i < 4 * TOKENS; i++) {
        uint32_t number = (uint32_t)(i % 2 == 0 ? i / 4 : i % TOKENS);
        const coat_token *token = &tokens[number];
        coat_table_known *set = coat_table_memo_set(memo, text_of(token));
        const coat_table_known *found = coat_table_memo_find(set, token);

        coat_secret_digest(token->secret, digest);
        if (found != NULL) {
            known++;
            CHECK_MEM(found->digest, sizeof found->digest, digest, sizeof digest);
            CHECK_INT(found->slot, number);
            continue;
        }
        unknown++;
        coat_table_memo_keep(set, token, digest, number);
        found = coat_table_memo_find(set, token);
        REQUIRE(found == set);
        CHECK_INT(found->slot, number);
    }
    CHECK(known > TOKENS / 2 && unknown > TOKENS);
    CHECK(coat_table_memo_set(NULL, text_of(&tokens[0])) == NULL);
    CHECK(coat_table_memo_set(memo, COAT_LIT("short")) == NULL);
    CHECK(coat_table_memo_find(NULL, &tokens[0]) == NULL);
    coat_table_memo_keep(NULL, &tokens[0], digest, 0);
    stop();
}

/* What it goes by is handle and tag, whole. */
static void
test_key(void)
{
    const uint8_t digest[COAT_DIGEST_BYTES] = {1};
    coat_table_known *set;
    kit_session s;

    start(2);
    kit_session_make(&s, &rng, 1, 5, 5);
    set = coat_table_memo_set(memo, text_of(&s.token));
    coat_table_memo_keep(set, &s.token, digest, 7);
    for (size_t bit = 0; bit < 8 * (sizeof s.token.handle + sizeof s.token.tag); bit++) {
        uint8_t *byte = bit / 8 < sizeof s.token.handle
                            ? &s.token.handle.bytes[bit / 8]
                            : &s.token.tag[bit / 8 - sizeof s.token.handle];

        CHECK(coat_table_memo_find(set, &s.token) == set);
        *byte ^= (uint8_t)(1 << bit % 8);
        CHECK(coat_table_memo_find(set, &s.token) == NULL);
        *byte ^= (uint8_t)(1 << bit % 8);
    }
    coat_table_memo_keep(set, &s.token, digest, 8); /* has moved: it does not take two places */
    CHECK_INT(set[0].slot, 8);
    CHECK_INT(set[1].tag, 0);
    stop();
}

/* A slot that is remembered holds another session by now, none, or is of a larger table. */
static void
test_slots(void)
{
    enum { SESSIONS = 48 };
    static kit_session s[SESSIONS];
    coat_table_known *set;

    start(6);
    for (unsigned i = 0; i < SESSIONS; i++) {
        kit_session_make(&s[i], &rng, i, 5, 5);
        REQUIRE_OK(kit_fill(writer, &s[i]));
        CHECK_INT(at(&s[i], kit_now), COAT_TABLE_LIVE);
    }
    for (unsigned i = 0; i < SESSIONS; i++)
        for (uint32_t slot = 0; slot < 70; slot++) {
            set = coat_table_memo_set(memo, text_of(&s[i].token));
            REQUIRE(coat_table_memo_find(set, &s[i].token) != NULL);
            coat_table_memo_find(set, &s[i].token)->slot = slot < 69 ? slot : UINT32_MAX;
            CHECK_INT(at(&s[i], kit_now), COAT_TABLE_LIVE);
            CHECK(coat_table_memo_find(set, &s[i].token)->slot < 64);
        }
    for (unsigned i = 0; i < SESSIONS; i += 2)
        change(&s[i], true);
    for (unsigned i = 0; i < SESSIONS; i++)
        CHECK_INT(at(&s[i], kit_now), i % 2 == 0 ? COAT_TABLE_ASK : COAT_TABLE_LIVE);
    stop();
}

/* Each way to be live no longer, for a session whose digest is known. */
static void
test_ends(void)
{
    kit_asker who = {{.agent = COAT_LIT("x")}, 0}, other = {{.agent = COAT_LIT("y")}, 0};
    kit_session s, old;

    start(3);
    kit_session_make(&s, &rng, 1, 5, 5);
    s.context = coat_table_context(table, &who.context);
    s.next_due_ms = kit_now + 15 * KIT_MINUTE;
    REQUIRE_OK(kit_fill(writer, &s));
    for (int i = 0; i < 3; i++)
        CHECK_INT(at(&s, kit_now), COAT_TABLE_LIVE);
    CHECK_INT(at(&s, kit_now + 15 * KIT_MINUTE), COAT_TABLE_ASK);
    CHECK_INT(
        verdict(&s, (coat_table_query){.now_ms = kit_now, .from = kit_who, .from_ctx = &who}),
        COAT_TABLE_LIVE);
    CHECK_INT(
        verdict(&s, (coat_table_query){.now_ms = kit_now, .from = kit_who, .from_ctx = &other}),
        COAT_TABLE_ASK);
    CHECK_INT(verdict(&s, (coat_table_query){.now_ms = kit_now + 2000, .max_age_ms = 1000}),
              COAT_TABLE_ASK);

    old = s;
    change(&s, false);
    for (int i = 0; i < 3; i++) {
        CHECK_INT(at(&old, kit_now), COAT_TABLE_ASK);
        CHECK_INT(at(&s, kit_now), COAT_TABLE_LIVE);
    }
    s.next_due_ms = kit_now + 24 * (int64_t)KIT_HOUR;
    REQUIRE_OK(kit_fill(writer, &s));
    CHECK_INT(at(&s, kit_now + 30 * KIT_MINUTE), COAT_TABLE_ASK);
    CHECK_INT(at(&s, kit_now + 30 * KIT_MINUTE - 1), COAT_TABLE_LIVE);
    change(&s, true);
    CHECK_INT(at(&s, kit_now), COAT_TABLE_ASK);
    REQUIRE_OK(kit_fill(writer, &s));
    CHECK_INT(at(&s, kit_now), COAT_TABLE_LIVE);
    coat_table_all_begin(writer);
    CHECK_INT(at(&s, kit_now), COAT_TABLE_ASK);
    coat_table_all_end(writer, 1);
    CHECK_INT(at(&s, kit_now), COAT_TABLE_ASK);
    stop();
}

/* A worker has one memo for all its tables, and keeps it when the daemon makes a new one. */
static void
test_tables(void)
{
    coat_tag_keys others = {.key = {{9, 9, 9}}, .count = 1};
    kit_session s;

    start(4);
    kit_session_make(&s, &rng, 1, 5, 5);
    REQUIRE_OK(kit_fill(writer, &s));
    CHECK_INT(at(&s, kit_now), COAT_TABLE_LIVE);
    coat_table_retag(writer, &others);
    CHECK_INT(at(&s, kit_now), COAT_TABLE_REFUSE);
    coat_table_retag(writer, &kit_tags);
    CHECK_INT(at(&s, kit_now), COAT_TABLE_LIVE);
    coat_table_writer_close(writer);
    {
        coat_table_conf conf;

        kit_conf(&conf, NULL, 64);
        writer = kit_create(&conf);
        table = coat_table_writer_reader(writer);
    }
    CHECK_INT(at(&s, kit_now), COAT_TABLE_ASK);
    REQUIRE_OK(kit_fill(writer, &s));
    CHECK_INT(at(&s, kit_now), COAT_TABLE_LIVE);
    stop();
}

/* A few sessions, whatever happens to them, and tokens of now and before. */
static void
test_histories(void)
{
    enum { SESSIONS = 6, FORMER = 4, STEPS = 40000 };
    static kit_session now[SESSIONS], former[SESSIONS][FORMER];
    unsigned live = 0, other = 0;

    start(5);
    for (unsigned i = 0; i < SESSIONS; i++) {
        kit_session_make(&now[i], &rng, i, 5, 5);
        for (unsigned k = 0; k < FORMER; k++)
            former[i][k] = now[i];
    }
    for (unsigned step = 0; step < STEPS; step++) {
        unsigned i = (unsigned)test_rng_below(&rng, SESSIONS);
        const kit_session *asked = &now[i];

        switch (test_rng_below(&rng, 12)) {
        case 0:
            former[i][test_rng_below(&rng, FORMER)] = now[i];
            change(&now[i], false);
            break;
        case 1:
            change(&now[i], true);
            break;
        case 2:
            coat_table_owner_begin(writer, coat_handle_owner(&now[i].token.handle));
            (void)coat_table_clear(writer, &now[i].token.handle);
            coat_table_owner_end(writer, coat_handle_owner(&now[i].token.handle));
            break;
        case 3:
        case 4:
            REQUIRE_OK(kit_fill(writer, &now[i]));
            break;
        case 5:
        case 6:
            asked = &former[i][test_rng_below(&rng, FORMER)];
            break;
        }
        if (at(asked, kit_now + (int64_t)test_rng_below(&rng, 31) * KIT_MINUTE) ==
            COAT_TABLE_LIVE)
            live++;
        else
            other++;
    }
    CHECK(live > STEPS / 10 && other > STEPS / 10);
    stop();
}

static const coat_test tests[] = {
    {"its digests are those that are computed, whatever it had room for", test_digests},
    {"it goes by all of handle and tag", test_key},
    {"RV-1: where an entry was says nothing about what is there", test_slots},
    {"RV-1: a known digest keeps nothing alive that has ended, rotated or changed", test_ends},
    {"tables and their keys change under it", test_tables},
    {"RV-1: random histories are answered as without it", test_histories},
};

COAT_TEST_MAIN(tests)
