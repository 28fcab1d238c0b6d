/* SPDX-License-Identifier: Apache-2.0 */

/** What others have changed is not found any more; nor are an owner's many sessions. */

#include "kit.h"

enum { OWNERS = 40, EACH = 5 };

static const coat_table_mode modes[] = {COAT_TABLE_SHARED, COAT_TABLE_EMBEDDED};
static const char *const mode_names[] = {"shared", "embedded"};

static test_rng rng, table_rng = {1};
static coat_table_mode mode = COAT_TABLE_SHARED;
static coat_table_writer *writer;
static const coat_table *table;
static kit_session sessions[OWNERS][EACH];

static coat_owner
owner_of(uint64_t number)
{
    coat_owner o;

    coat_store64(o.bytes, number);
    return o;
}

static void
lease(void)
{
    coat_table_lease(writer, kit_now + 1000, kit_mono + 1000);
}

static void
open_table(const char *path)
{
    coat_table_conf conf;

    kit_conf(&conf, path, 512);
    conf.mode = mode;
    /* Owners of one bucket disturb each other: which are is not for chance to say. */
    conf.rng = test_rng_fill;
    conf.rng_ctx = &table_rng;
    writer = kit_create(&conf);
    table = coat_table_writer_reader(writer);
    if (mode == COAT_TABLE_SHARED)
        lease();
}

static void
start(void)
{
    rng.state = 33;
    open_table(NULL);
    for (uint64_t o = 0; o < OWNERS; o++)
        for (int i = 0; i < EACH; i++) {
            kit_session_make(&sessions[o][i], &rng, o, 5, i == 0 ? 300 : 5);
            REQUIRE_OK(kit_fill(writer, &sessions[o][i]));
        }
}

static unsigned
live(uint64_t owner)
{
    unsigned count = 0;

    for (int i = 0; i < EACH; i++) {
        coat_table_verdict verdict = kit_verdict(table, &sessions[owner][i], kit_now);

        CHECK_INT(kit_live(table, &sessions[owner][i], kit_now), verdict);
        CHECK(verdict != COAT_TABLE_REFUSE);
        count += verdict == COAT_TABLE_LIVE;
    }
    return count;
}

static void
one(void)
{
    const kit_session *s = &sessions[1][0];
    coat_table_ticket ticket;
    coat_table_entry entry = kit_entry(s);
    coat_table_answer answer;

    start();
    ticket = coat_table_ticket_take(writer, &s->token.handle);
    CHECK_INT(coat_table_forget(writer, &s->token.handle), 0);
    CHECK_INT(live(1), EACH - 1);
    CHECK_ERR(coat_table_fill(writer, ticket, &entry), COAT_CONFLICT);
    REQUIRE_OK(kit_fill(writer, s));
    CHECK_INT(live(1), EACH);
    /* What was noted here and nowhere else is handed out. */
    CHECK_INT(kit_ask(table, s, (coat_table_query){.now_ms = kit_now + 9000}, &answer),
              COAT_TABLE_ASK); /* the lease is over */
    coat_table_lease(writer, kit_now + 10000, kit_mono + 1000);
    CHECK_INT(kit_ask(table, s, (coat_table_query){.now_ms = kit_now + 9000}, &answer),
              COAT_TABLE_LIVE);
    CHECK_INT(coat_table_forget(writer, &s->token.handle), kit_now + 9000);
    CHECK_INT(coat_table_forget(writer, &s->token.handle), 0);
    coat_table_writer_close(writer);
}

static void
drop_owner(void)
{
    coat_table_entry entry = kit_entry(&sessions[2][0]);
    coat_table_ticket ticket, other;

    start();
    ticket = coat_table_ticket_take(writer, entry.handle);
    other = coat_table_ticket_take(writer, &sessions[3][0].token.handle);
    coat_table_forget_owner(writer, owner_of(2));
    CHECK_INT(live(2), 0);
    CHECK_INT(live(3), EACH);
    CHECK_ERR(coat_table_fill(writer, ticket, &entry), COAT_CONFLICT);
    entry = kit_entry(&sessions[3][0]);
    REQUIRE_OK(coat_table_fill(writer, other, &entry));
    /* One that is loaded again is trusted again, and only that one. */
    REQUIRE_OK(kit_fill(writer, &sessions[2][0]));
    CHECK_INT(live(2), 1);
    coat_table_writer_close(writer);
}

static void
of_an_owner(void)
{
    for (int m = 0; m < 2; m++) {
        test_case(mode_names[m]);
        mode = modes[m];
        drop_owner();
    }
    mode = COAT_TABLE_SHARED;
}

/** The gate is up, the owner forgotten, and the change commits; or the daemon dies first. */
static void
owner_change(void)
{
    char path[256];

    mode = COAT_TABLE_EMBEDDED;
    for (int dies = 0; dies < 2; dies++) {
        kit_session ended, other;
        coat_table *reader;

        test_case(dies ? "dies" : "commits");
        snprintf(path, sizeof path, "%s/owner%d", test_tmpdir(), dies);
        rng.state = 8;
        open_table(path);
        kit_session_make(&ended, &rng, 1, 5, 5);
        kit_session_make(&other, &rng, 2, 5, 5);
        REQUIRE_OK(kit_fill(writer, &ended));
        REQUIRE_OK(kit_fill(writer, &other));
        REQUIRE_OK(coat_table_open(path, &reader));
        CHECK_INT(kit_verdict(reader, &ended, kit_now), COAT_TABLE_LIVE);
        coat_table_owner_begin(writer, owner_of(1));
        coat_table_forget_owner(writer, owner_of(1));
        CHECK_INT(kit_verdict(reader, &ended, kit_now), COAT_TABLE_ASK);
        CHECK_ERR(kit_fill(writer, &ended), COAT_CONFLICT);
        if (!dies)
            coat_table_owner_end(writer, owner_of(1));
        coat_table_writer_close(writer);
        open_table(path); /* the next daemon, on the same entries */
        CHECK(coat_table_writer_taken_over(writer));
        CHECK_INT(kit_verdict(table, &ended, kit_now), COAT_TABLE_ASK);
        CHECK_INT(kit_verdict(table, &other, kit_now), COAT_TABLE_LIVE);
        CHECK_INT(kit_verdict(reader, &ended, kit_now), COAT_TABLE_ASK);
        CHECK_INT(kit_verdict(reader, &other, kit_now), COAT_TABLE_LIVE);
        coat_table_close(reader);
        coat_table_writer_close(writer);
    }
    mode = COAT_TABLE_SHARED;
}

static void
all(void)
{
    coat_table_entry entry = kit_entry(&sessions[4][0]);
    coat_table_ticket ticket;
    int64_t seen_ms;

    start();
    ticket = coat_table_ticket_take(writer, entry.handle);
    coat_table_forget_all(writer);
    for (uint64_t o = 0; o < OWNERS; o++)
        CHECK_INT(live(o), 0);
    CHECK_ERR(coat_table_fill(writer, ticket, &entry), COAT_CONFLICT);
    /* Activity outlives the trust. */
    CHECK(coat_table_seen(writer, entry.handle, &seen_ms));
    REQUIRE_OK(kit_fill(writer, &sessions[4][0]));
    CHECK_INT(live(4), 1);
    coat_table_writer_close(writer);
}

/** A change of our own meanwhile does not bring back what others have changed since. */
static void
own_change(void)
{
    static const char *const who[] = {"one", "owner", "all", "nobody"};
    const coat_handle *handle = &sessions[5][0].token.handle;

    for (int i = 0; i < 4; i++) {
        coat_table_change change;
        coat_table_entry entry;

        test_case(who[i]);
        start();
        entry = kit_entry(&sessions[5][0]);
        coat_table_change_begin(writer, handle, &change);
        if (i == 0)
            (void)!coat_table_forget(writer, handle);
        else if (i == 1)
            coat_table_forget_owner(writer, owner_of(5));
        else if (i == 2)
            coat_table_forget_all(writer);
        coat_table_change_end(writer, &change, &entry);
        CHECK_INT(kit_verdict(table, &sessions[5][0], kit_now),
                  i == 3 ? COAT_TABLE_LIVE : COAT_TABLE_ASK);
        coat_table_writer_close(writer);
    }
}

/** Stamps are 16 bits: an entry that is forgotten 65,536 times must not be remembered. */
static void
wear_out(void)
{
    start();
    for (uint32_t i = 0; i < 1U << 16; i++)
        coat_table_forget_owner(writer, owner_of(6));
    CHECK_INT(live(6), 0);
    CHECK_INT(live(7), EACH);
    REQUIRE_OK(kit_fill(writer, &sessions[6][0]));
    CHECK_INT(live(6), 1);
    for (uint32_t i = 0; i < 1U << 16; i++)
        coat_table_forget_all(writer);
    for (uint64_t o = 0; o < OWNERS; o++)
        CHECK_INT(live(o), 0);
    coat_table_writer_close(writer);
}

static void
worn_stamps(void)
{
    for (int m = 0; m < 2; m++) {
        test_case(mode_names[m]);
        mode = modes[m];
        wear_out();
    }
    mode = COAT_TABLE_SHARED;
}

/** Nobody has listened between one daemon and the next. */
static void
taken_over(void)
{
    char path[256];
    coat_table *reader;
    kit_session s;

    snprintf(path, sizeof path, "%s/table", test_tmpdir());
    rng.state = 5;
    open_table(path);
    kit_session_make(&s, &rng, 1, 5, 5);
    REQUIRE_OK(kit_fill(writer, &s));
    coat_table_writer_close(writer);
    open_table(path);
    CHECK(coat_table_writer_taken_over(writer));
    CHECK_INT(kit_verdict(table, &s, kit_now), COAT_TABLE_ASK);
    REQUIRE_OK(kit_fill(writer, &s));
    CHECK_INT(kit_verdict(table, &s, kit_now), COAT_TABLE_LIVE);
    /* A reader has the machine's clock, and this lease is none by that. */
    REQUIRE_OK(coat_table_open(path, &reader));
    coat_table_lease(writer, INT64_MAX, coat_table_clock_ms() - 1);
    CHECK_INT(kit_verdict(reader, &s, kit_now), COAT_TABLE_ASK);
    coat_table_lease(writer, INT64_MAX, coat_table_clock_ms() + 3600 * 1000);
    CHECK_INT(kit_verdict(reader, &s, kit_now), COAT_TABLE_ASK);
    coat_table_close(reader);
    coat_table_writer_close(writer);
}

/** A session that may idle for centuries is entered; far in the future the daemon is asked. */
static void
long_idle(void)
{
    kit_session s;

    start();
    kit_session_make(&s, &rng, 90, 5, 5);
    s.record.idle_ms = INT64_MAX;
    s.record.absolute_end_ms = INT64_MAX;
    s.next_due_ms = INT64_MAX;
    REQUIRE_OK(kit_fill(writer, &s));
    CHECK_INT(kit_verdict(table, &s, kit_now), COAT_TABLE_LIVE);
    coat_table_lease(writer, INT64_MAX, kit_mono + 1000);
    CHECK_INT(kit_verdict(table, &s, kit_now + COAT_TABLE_IDLE_MAX_MS - 1), COAT_TABLE_LIVE);
    CHECK_INT(kit_verdict(table, &s, kit_now + COAT_TABLE_IDLE_MAX_MS), COAT_TABLE_ASK);
    coat_table_writer_close(writer);
}

/** The wall clock is set back, and nobody is there to renew the lease. */
static void
lease_clocks(void)
{
    static const struct {
        const char *name;
        int64_t left_ms, wall_ms, mono_ms;
        coat_table_verdict want;
    } cases[] = {
        {"both say yes", 1000, 999, 999, COAT_TABLE_LIVE},
        {"the wall clock was set back", 1000, -KIT_HOUR, 1000, COAT_TABLE_ASK},
        {"the machine slept", 1000, 10000, 1, COAT_TABLE_ASK},
        {"no lease", 0, 0, 0, COAT_TABLE_ASK},
        {"longer than any lease: another clock", 1001, 0, 0, COAT_TABLE_ASK},
        {"another clock, far behind", 1000, 0, -1, COAT_TABLE_ASK},
    };
    int64_t began = kit_mono;
    kit_session s;

    rng.state = 3;
    open_table(NULL);
    kit_session_make(&s, &rng, 1, 5, 5);
    REQUIRE_OK(kit_fill(writer, &s));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        test_case(cases[i].name);
        coat_table_lease(writer, kit_now + 1000, began + cases[i].left_ms);
        kit_mono = began + cases[i].mono_ms;
        CHECK_INT(kit_verdict(table, &s, kit_now + cases[i].wall_ms), cases[i].want);
        CHECK_INT(kit_live(table, &s, kit_now + cases[i].wall_ms), cases[i].want);
    }
    kit_mono = began;
    coat_table_writer_close(writer);
}

static void
lease_clock(void)
{
    int64_t before = coat_table_clock_ms();

    CHECK(before > 0 && coat_table_clock_ms() >= before);
}

static const coat_test tests[] = {
    {"RV-3: a session changed elsewhere is not found, nor filled in from before", one},
    {"RV-4: an owner's sessions ended elsewhere are not found; others are", of_an_owner},
    {"RV-4: nor those of an owner with many, also for the next daemon", owner_change},
    {"RV-2: when reports were lost, nothing is found that was there", all},
    {"RV-3: nor is it entered by a change of our own that was under way", own_change},
    {"RV-4: stamps that begin anew bring nothing back", worn_stamps},
    {"RV-2: the next daemon trusts nothing of the former one's", taken_over},
    {"an idle limit of centuries", long_idle},
    {"RV-2 SF-10: a lease ends by whichever clock says so", lease_clocks},
    {"the clock of leases never goes back", lease_clock},
};
COAT_TEST_MAIN(tests)
