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

/* More of them than there is room for, each several times and in turn. */
static void
test_digests(void)
{
    enum { TOKENS = 20000 };
    static coat_token tokens[TOKENS];
    uint8_t want[COAT_DIGEST_BYTES], got[COAT_DIGEST_BYTES];
    coat_owner owner = {{1}};

    start(1);
    for (int i = 0; i < TOKENS; i++)
        REQUIRE_OK(coat_token_mint(owner, kit_now, &kit_tags, test_rng_fill, &rng, &tokens[i]));
    for (int i = 0; i < 4 * TOKENS; i++) {
        const coat_token *token = &tokens[i % 2 == 0 ? i / 4 : i % TOKENS];

        coat_secret_digest(token->secret, want);
        coat_table_memo_prefetch(memo, token);
        coat_table_memo_digest(memo, token, got);
        CHECK_MEM(got, sizeof got, want, sizeof want);
        coat_table_memo_prefetch(NULL, token);
        coat_table_memo_digest(NULL, token, got);
        CHECK_MEM(got, sizeof got, want, sizeof want);
    }
    stop();
}

/* What it goes by is handle and tag, whole. Secrets under a tag that is not theirs, as here,
 * never get that far: the tag is checked before. */
static void
test_key(void)
{
    uint8_t first[COAT_DIGEST_BYTES], got[COAT_DIGEST_BYTES], want[COAT_DIGEST_BYTES];
    kit_session s;

    start(2);
    kit_session_make(&s, &rng, 1, 5, 5);
    coat_table_memo_digest(memo, &s.token, first);
    (void)test_rng_fill(&rng, s.token.secret, sizeof s.token.secret);
    coat_secret_digest(s.token.secret, want);
    coat_table_memo_digest(memo, &s.token, got);
    CHECK_MEM(got, sizeof got, first, sizeof first); /* so it was not computed again */

    for (size_t bit = 0; bit < 8 * (sizeof s.token.handle + sizeof s.token.tag); bit++) {
        uint8_t *byte = bit / 8 < sizeof s.token.handle
                            ? &s.token.handle.bytes[bit / 8]
                            : &s.token.tag[bit / 8 - sizeof s.token.handle];
        coat_token other;

        *byte ^= (uint8_t)(1 << bit % 8);
        other = s.token;
        *byte ^= (uint8_t)(1 << bit % 8);
        coat_table_memo_digest(memo, &other, got);
        CHECK_MEM(got, sizeof got, want, sizeof want);
        (void)test_rng_fill(&rng, other.secret, sizeof other.secret);
        memcpy(other.tag, s.token.tag, sizeof other.tag);
        other.handle = s.token.handle;
        coat_table_memo_free(memo); /* else the next flip might meet this one's entry */
        memo = coat_table_memo_new();
        REQUIRE(memo != NULL);
        coat_table_memo_digest(memo, &other, first);
    }
    stop();
}

/* Each way to be live no longer, for a session whose digest is known. */
static void
test_ends(void)
{
    const coat_context context = {.agent = COAT_LIT("x")}, other = {.agent = COAT_LIT("y")};
    kit_session s, old;

    start(3);
    kit_session_make(&s, &rng, 1, 5, 5);
    s.context = coat_table_context(table, &context);
    s.next_due_ms = kit_now + 15 * KIT_MINUTE;
    REQUIRE_OK(kit_fill(writer, &s));
    for (int i = 0; i < 3; i++)
        CHECK_INT(at(&s, kit_now), COAT_TABLE_LIVE);
    CHECK_INT(at(&s, kit_now + 15 * KIT_MINUTE), COAT_TABLE_ASK);
    CHECK_INT(verdict(&s, (coat_table_query){.now_ms = kit_now, .from = &context}),
              COAT_TABLE_LIVE);
    CHECK_INT(verdict(&s, (coat_table_query){.now_ms = kit_now, .from = &other}),
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
    {"RV-1: a known digest keeps nothing alive that has ended, rotated or changed", test_ends},
    {"tables and their keys change under it", test_tables},
    {"RV-1: random histories are answered as without it", test_histories},
};

COAT_TEST_MAIN(tests)
