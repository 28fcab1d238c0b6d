/* SPDX-License-Identifier: Apache-2.0 */

/** RV-5, SF-4: a store that returns to an older state, or is away when something ends. */

#include "world.h"

static world_token victim, spared;

static void
start(void)
{
    world_open();
    for (unsigned n = 0; n < WORLD_NODES; n++)
        node_start(n);
    world_pass(2000);
    victim = sign_in(0, "ada");
    spared = sign_in(0, "ada");
    for (unsigned n = 0; n < WORLD_NODES; n++) {
        warm(n, &victim);
        warm(n, &spared);
    }
    world_replicate();
}

typedef enum kind {
    END,
    END_USER,
    END_OTHERS, /* of the user, but `spared` */
    END_ALL,
    RENEW,
    KINDS,
} kind;

static const char *const names[] = {"end", "end user", "end others", "end all", "renew"};

static void
terminate(unsigned n, kind k)
{
    coat_err err = COAT_OK;
    started *s;

    switch (k) {
    case END:
        err = run(n, COAT_CALL_END, &victim, NULL, NULL);
        break;
    case END_USER:
        err = run(n, COAT_CALL_END_USER, NULL, "ada", NULL);
        break;
    case END_OTHERS:
        s = begin(n, COAT_CALL_END_USER, &spared, "ada");
        world_settle();
        err = s->done ? s->call.result : COAT_BUSY;
        break;
    case END_ALL:
        err = run(n, COAT_CALL_END_ALL, NULL, NULL, NULL);
        break;
    default:
        err = run(n, COAT_CALL_RENEW, &victim, "ada", NULL);
        break;
    }
    CHECK_ERR(err, COAT_OK);
}

static void
denied_everywhere(void)
{
    for (unsigned n = 0; n < WORLD_NODES; n++) {
        started *s;

        if (nodes[n].engine == NULL)
            continue;
        CHECK(peek(n, &victim) != COAT_TABLE_LIVE);
        s = begin(n, COAT_CALL_CHECK, &victim, NULL);
        CHECK(s->done);
        CHECK_ERR(s->call.result, COAT_NO_SESSION);
        s = begin(n, COAT_CALL_ALIVE, &victim, NULL);
        CHECK_ERR(s->call.result, COAT_NO_SESSION);
    }
}

/** The primary dies before it has replicated what was acknowledged. */
static void
promoted(void)
{
    coat_handle handle;

    for (kind k = 0; k < KINDS; k++) {
        test_case(names[k]);
        start();
        terminate(0, k);
        denied_everywhere();
        world_failover();
        handle = handle_of(&victim);
        CHECK(world_has(&handle) || k == END_ALL); /* the store has forgotten */
        denied_everywhere();
        for (unsigned n = 0; n < WORLD_NODES; n++)
            channel_join(n);
        denied_everywhere();
        for (int i = 0; i < 20; i++) {
            world_pass(100);
            denied_everywhere();
        }
        CHECK(!world_has(&handle)); /* and was told */
        CHECK(nodes[0].engine->shared->repaired > 0);
        if (k == END || k == END_OTHERS || k == RENEW)
            CHECK_ERR(check(1, &spared), COAT_OK);
        else
            CHECK_ERR(check(1, &spared), COAT_NO_SESSION);
        /* What comes after lives, and goes on living. */
        victim = sign_in(1, "ada");
        warm(2, &victim);
        world_pass(3000);
        warm(2, &victim);
        world_close();
    }
}

/** Nobody asks for it: it is told all the same, within two seconds. */
static void
told_unasked(void)
{
    coat_handle handle;

    for (kind k = 0; k < KINDS; k++) {
        test_case(names[k]);
        start();
        handle = handle_of(&victim);
        terminate(0, k);
        world_failover();
        for (unsigned n = 0; n < WORLD_NODES; n++)
            channel_join(n);
        world_pass(2000);
        CHECK(!world_has(&handle));
        world_close();
    }
}

/** The instance that had acknowledged it is gone: another one notices, denies and tells. */
static void
told_by_another(void)
{
    coat_handle handle;

    for (kind k = END; k <= END_OTHERS; k++) {
        test_case(names[k]);
        start();
        handle = handle_of(&victim);
        terminate(0, k);
        world_failover();
        node_stop(0);
        channel_join(1);
        channel_join(2);
        world_pass(1000);
        CHECK(world_has(&handle)); /* nobody has asked */
        denied_everywhere();
        world_pass(1000);
        CHECK(!world_has(&handle));
        world_close();
    }
}

/** A sign-in does not go on under an epoch that the store has lost. */
static void
sign_in_meanwhile(void)
{
    world_token fresh;
    started *s;

    start();
    terminate(0, END_USER);
    world_failover();
    s = begin(1, COAT_CALL_CREATE, NULL, "ada");
    CHECK(s->done);
    CHECK_ERR(s->call.result, COAT_STORE_DOWN);
    s = begin(1, COAT_CALL_EPOCHS, NULL, "ada");
    CHECK_ERR(s->call.result, COAT_STORE_DOWN);
    s = begin(1, COAT_CALL_CREATE, NULL, "bob"); /* no concern of his */
    CHECK_ERR(s->call.result, COAT_OK);
    for (unsigned n = 0; n < WORLD_NODES; n++)
        channel_join(n);
    world_pass(1000);
    fresh = sign_in(1, "ada");
    warm(2, &fresh);
    denied_everywhere();
    world_close();
}

/** A snapshot of long ago is restored: the journal is over, the global epoch is not. */
static void
restored(void)
{
    uint64_t epoch;

    start();
    terminate(0, END_ALL);
    epoch = world_epoch_global();
    world_pass(600 * 1000);
    world_failover();
    CHECK(world_epoch_global() < epoch);
    denied_everywhere();
    for (unsigned n = 0; n < WORLD_NODES; n++)
        channel_join(n);
    world_pass(1000);
    denied_everywhere();
    CHECK_INT(world_epoch_global(), epoch);
    world_close();
}

/** Two minutes, then the store alone knows. */
static void
journal_ends(void)
{
    start();
    terminate(0, END);
    world_pass(COAT_JOURNAL_MS - 1000);
    CHECK_INT(atomic_load(&nodes[0].engine->shared->journal.count), 1);
    CHECK_INT(atomic_load(&nodes[1].engine->shared->journal.count), 1);
    world_failover();
    denied_everywhere();
    world_close();

    start();
    terminate(0, END);
    world_pass(COAT_JOURNAL_MS + 1000);
    CHECK_ERR(check(0, &victim), COAT_NO_SESSION); /* looks, and tidies up */
    victim = sign_in(1, "ada");
    warm(0, &victim);
    world_close();
}

/** SF-4: signed out while the store is away. */
static void
outage(void)
{
    coat_handle handle;

    start();
    handle = handle_of(&victim);
    world_cut(0, true);
    CHECK_ERR(run(0, COAT_CALL_END, &victim, NULL, NULL), COAT_STORE_DOWN);
    CHECK(peek(0, &victim) != COAT_TABLE_LIVE);
    CHECK_ERR(check(0, &victim), COAT_NO_SESSION); /* here, at once */
    CHECK_ERR(check(0, &spared), COAT_STORE_DOWN);
    world_pass(5000);
    CHECK_ERR(check(0, &victim), COAT_NO_SESSION);
    world_cut(0, false);
    CHECK_ERR(check(0, &victim), COAT_NO_SESSION);
    /* No way round it by a call that is not a check. */
    CHECK_ERR(run(0, COAT_CALL_RENEW, &victim, NULL, NULL), COAT_NO_SESSION);
    coat_desk_tick(nodes[0].desk);
    world_settle();
    CHECK(!world_has(&handle));
    for (unsigned n = 0; n < WORLD_NODES; n++)
        CHECK_ERR(check(n, &victim), COAT_NO_SESSION);
    world_close();
}

/** A store that reports nothing (Memcached): every check asks it, and what was ended here is
 * denied here whatever it says, and told to it again when it comes back. */
static void
without_reports(void)
{
    coat_handle handle, unasked;
    world_token other;

    world_open();
    world_without_watch();
    for (unsigned n = 0; n < 2; n++) {
        REQUIRE_OK(coat_engine_new(&nodes[n].conf, &nodes[n].engine));
        REQUIRE_OK(coat_desk_open(nodes[n].engine, NULL, &nodes[n].desk));
    }
    world_pass(1000);
    victim = sign_in(0, "ada");
    handle = handle_of(&victim);
    other = sign_in(0, "bob");
    unasked = handle_of(&other);
    REQUIRE_OK(check(0, &victim));
    REQUIRE_OK(check(1, &victim));
    CHECK_INT(peek(0, &victim), COAT_TABLE_ASK);
    CHECK_INT(peek(1, &victim), COAT_TABLE_ASK);
    world_replicate();
    {
        started *s = begin(0, COAT_CALL_END, &victim, NULL);

        CHECK(s->done); /* nobody trusts a table: nobody to wait for */
        CHECK_ERR(s->call.result, COAT_OK);
        CHECK_ERR(run(0, COAT_CALL_END, &other, NULL, NULL), COAT_OK);
    }
    CHECK_ERR(check(1, &victim), COAT_NO_SESSION);
    world_cut(0, true);
    CHECK_ERR(run(0, COAT_CALL_EPOCHS, NULL, "ada", NULL), COAT_STORE_DOWN);
    world_failover();
    world_cut(0, false);
    CHECK(world_has(&handle) && world_has(&unasked));
    CHECK_ERR(check(0, &victim), COAT_NO_SESSION);
    world_pass(500);
    CHECK(!world_has(&handle));
    CHECK(!world_has(&unasked)); /* nobody has to ask for it */
    CHECK_ERR(check(1, &victim), COAT_NO_SESSION);
    world_close();
}

/** What gave way to a limit has ended as anything else has. */
static void
gave_way(void)
{
    coat_handle handle;

    world_open();
    nodes[0].conf.sessions_per_user = 1;
    node_start(0);
    victim = sign_in(0, "ada");
    handle = handle_of(&victim);
    world_replicate();
    (void)sign_in(0, "ada");
    CHECK(!world_has(&handle));
    world_failover();
    CHECK(world_has(&handle));
    CHECK_ERR(check(0, &victim), COAT_NO_SESSION);
    channel_join(0);
    world_pass(500);
    CHECK(!world_has(&handle));
    world_close();
}

/* ---- the journal by itself ---- */

static coat_handle
handle(uint32_t owner, uint32_t serial)
{
    coat_handle h = {{0}};

    coat_store32(h.bytes, serial);
    coat_store32(h.bytes + 8, owner + 1);
    return h;
}

static void
journal(void)
{
    coat_record old = {.epoch_owner = 4}, new = {.epoch_owner = 5};
    coat_handle a = handle(1, 1), b = handle(1, 2), c = handle(2, 1);
    coat_owner one = coat_handle_owner(&a), two = coat_handle_owner(&c);
    coat_journal_item item;
    coat_journal j;

    REQUIRE_OK(coat_journal_init(&j));
    CHECK(!coat_journal_denies(&j, &a, &old, 0));
    CHECK(!coat_journal_next(&j, &item));
    coat_journal_end_owner(&j, one, 5, &b, false, 1000);
    CHECK(coat_journal_denies(&j, &a, &old, 1000));
    CHECK(!coat_journal_denies(&j, &a, &new, 1000));
    CHECK(!coat_journal_denies(&j, &b, &old, 1000)); /* spared */
    CHECK(!coat_journal_denies(&j, &c, &old, 1000));
    CHECK(coat_journal_older(&j, one, 4, 1000) && !coat_journal_older(&j, one, 5, 1000));
    CHECK(!coat_journal_older(&j, two, 0, 1000));
    coat_journal_end_owner(&j, one, 3, NULL, false, 1000); /* late report of an earlier one */
    CHECK(!coat_journal_denies(&j, &b, &old, 1000));
    coat_journal_end_owner(&j, one, 6, NULL, false, 1000); /* spares nobody */
    CHECK(coat_journal_denies(&j, &b, &new, 1000));

    /* It was denied, so it is due; each once. */
    CHECK(coat_journal_next(&j, &item));
    CHECK(item.of_owner && item.epoch == 6 && !item.has_spare);
    CHECK(!coat_journal_next(&j, &item) && !coat_journal_is_due(&j));
    coat_journal_end(&j, &c, true, 2000);
    CHECK(!coat_journal_is_due(&j));
    coat_journal_doubt(&j, 2000); /* only what was ended here */
    CHECK(coat_journal_next(&j, &item));
    CHECK(!item.of_owner && coat_handle_equal(&item.handle, &c));
    CHECK(!coat_journal_next(&j, &item));
    coat_journal_again(&j, &item);
    CHECK(coat_journal_is_due(&j));

    /* Each has its time. */
    CHECK(coat_journal_denies(&j, &c, &old, 2000 + COAT_JOURNAL_MS - 1));
    CHECK_INT(atomic_load(&j.count), 1);
    CHECK(!coat_journal_denies(&j, &c, &old, 2000 + COAT_JOURNAL_MS));
    CHECK_INT(atomic_load(&j.count), 0);
    CHECK(!coat_journal_next(&j, &item));
    coat_journal_fini(&j);
}

/** Against a plain list, with many entries. */
static void
journal_many(void)
{
    enum { SERIALS = 500, STEPS = 200000 };
    static int64_t until[SERIALS];
    static bool due[SERIALS];
    test_rng rng = {.state = 12};
    coat_record record = {0};
    coat_journal_item item;
    coat_journal j;
    int64_t now = 0;

    memset(until, 0, sizeof until);
    memset(due, 0, sizeof due);
    REQUIRE_OK(coat_journal_init(&j));
    for (int i = 0; i < STEPS; i++) {
        uint32_t serial = (uint32_t)test_rng_below(&rng, SERIALS);
        coat_handle h = handle(serial % 7, serial);
        bool denied;

        now += (int64_t)test_rng_below(&rng, 1000);
        switch (test_rng_below(&rng, 3)) {
        case 0:
            if (until[serial] <= now)
                due[serial] = false;
            coat_journal_end(&j, &h, false, now);
            until[serial] = now + COAT_JOURNAL_MS;
            break;
        case 1:
            denied = coat_journal_denies(&j, &h, &record, now);
            REQUIRE(denied == (until[serial] > now));
            due[serial] = denied;
            break;
        default:
            if (!coat_journal_next(&j, &item))
                break;
            serial = coat_load32(item.handle.bytes);
            REQUIRE(due[serial]);
            due[serial] = false;
            break;
        }
    }
    for (uint32_t s = 0; s < SERIALS; s++)
        due[s] = due[s] && until[s] > now;
    coat_journal_doubt(&j, now); /* nothing is own; expires what is over */
    while (coat_journal_next(&j, &item)) {
        REQUIRE(due[coat_load32(item.handle.bytes)]);
        due[coat_load32(item.handle.bytes)] = false;
    }
    for (uint32_t s = 0; s < SERIALS; s++)
        CHECK(!due[s]);
    coat_journal_fini(&j);
}

static void
journal_full(void)
{
    coat_record record = {0};
    coat_handle first = handle(0, 0), second = handle(0, 1);
    coat_journal j;

    REQUIRE_OK(coat_journal_init(&j));
    for (uint32_t i = 0; i <= COAT_JOURNAL_MAX; i++) {
        coat_handle h = handle(i % 1000, i);

        coat_journal_end(&j, &h, true, 1);
    }
    CHECK_INT(atomic_load(&j.count), COAT_JOURNAL_MAX);
    CHECK(!coat_journal_denies(&j, &first, &record, 1)); /* the oldest has given way */
    second = handle(1, 1);
    CHECK(coat_journal_denies(&j, &second, &record, 1));
    coat_journal_fini(&j);
}

static const coat_test tests[] = {
    {"RV-5: a promoted replica revives nothing, and is told what it missed", promoted},
    {"RV-5: so it is told although nobody asks", told_unasked},
    {"RV-5: so it is when the instance that knew best is gone", told_by_another},
    {"RV-5 RV-4: no sign-in under an epoch that the store has lost", sign_in_meanwhile},
    {"RV-5: a restored snapshot does not undo the end of everybody's", restored},
    {"RV-5: what has ended is kept for two minutes", journal_ends},
    {"SF-4: signed out during an outage: denied at once, ended afterwards", outage},
    {"RV-5 SF-7: a store without reports that comes back with old data", without_reports},
    {"RV-5 LC-10: nor does what gave way to a limit come back", gave_way},
    {"RV-5: the journal: who is denied, and what is due", journal},
    {"RV-5: the journal agrees with a plain list", journal_many},
    {"RV-5: a full journal forgets the oldest", journal_full},
};
COAT_TEST_MAIN(tests)
