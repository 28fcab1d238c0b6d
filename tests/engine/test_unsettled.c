/* SPDX-License-Identifier: Apache-2.0 */

/** SF-4: sessions whose end has not come through, as every check asks for them. */

#include "engine/unsettled.h"

#include "coat_test.h"
#include "core/bytes.h"

static coat_unsettled u;

static coat_handle
handle_of(uint64_t serial, uint64_t owner)
{
    coat_handle handle;

    coat_store64be(handle.bytes, serial);
    coat_store64be(handle.bytes + 8, owner);
    return handle;
}

static void
end(const coat_handle *handle)
{
    coat_changes changes = {.end = coat_end_of_session(handle)};

    coat_unsettled_add(&u, &changes);
}

static void
ended(const coat_handle *handle)
{
    coat_end end = coat_end_of_session(handle);

    coat_unsettled_ended(&u, &end);
}

static void
later(const coat_handle *handle)
{
    coat_end end = coat_end_of_session(handle);

    coat_unsettled_later(&u, &end);
}

static void
settle(void)
{
    coat_unsettled_settle(&u, NULL, coat_unsettled_mark(&u), 0);
}

/** Sessions beside each other, in one bucket or not, and one of them told apart. */
static void
beside_each_other(void)
{
    enum { BUCKETS = COAT_UNSETTLED_BUCKETS };
    static const struct {
        const char *name;
        uint64_t serials[4]; /* the last is never to be ended */
        uint64_t owners[4];
    } cases[] = {
        {"all in buckets of their own", {1, 2, 3, 4}, {9, 9, 9, 9}},
        {"all in one", {1, 1 + BUCKETS, 1 + 2 * BUCKETS, 1 + 3 * BUCKETS}, {9, 9, 9, 9}},
        {"of one serial", {5, 5, 5, 5}, {1, 2, 3, 4}},
        {"the first and the last bucket", {0, BUCKETS - 1, BUCKETS, 2 * BUCKETS - 1}, {0}},
        {"times far apart",
         {0, UINT64_MAX, (uint64_t)1 << 63, (uint64_t)1 << 62},
         {7, 7, 7, 7}},
    };
    coat_handle h[4];
    coat_end next;
    uint32_t from = 0;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (int first = 0; first < 3; first++) {
            test_case(cases[i].name);
            REQUIRE_OK(coat_unsettled_init(&u));
            for (int k = 0; k < 4; k++)
                h[k] = handle_of(cases[i].serials[k], cases[i].owners[k]);
            for (int k = 0; k < 4; k++)
                CHECK(!coat_unsettled_ending(&u, &h[k]));
            CHECK(!coat_unsettled_next(&u, &from, &next));
            for (int k = 0; k < 3; k++)
                end(&h[k]);
            end(&h[first]); /* twice */
            for (int k = 0; k < 4; k++)
                CHECK(coat_unsettled_ending(&u, &h[k]) == (k < 3));
            settle(); /* lifts nothing: they are not ended */
            ended(&h[3]);
            ended(&h[first]); /* at once */
            for (int k = 0; k < 4; k++)
                CHECK(coat_unsettled_ending(&u, &h[k]) == (k < 3 && k != first));
            settle();
            CHECK_INT(atomic_load(&u.count), 2);
            for (int n = 0; n < 2; n++) {
                REQUIRE(coat_unsettled_next(&u, &from, &next));
                CHECK(coat_unsettled_ending(&u, &next.last));
                coat_unsettled_ended(&u, &next);
                CHECK(!coat_unsettled_ending(&u, &next.last));
            }
            CHECK(!coat_unsettled_next(&u, &from, &next));
            settle();
            CHECK_INT(atomic_load(&u.count), 0);
            end(&h[first]); /* and again */
            CHECK(coat_unsettled_ending(&u, &h[first]));
            coat_unsettled_fini(&u, NULL, 0);
        }
    test_case(NULL);
}

/** Gates alone end nobody's session. */
static void
gates_only(void)
{
    coat_changes changes = {.one = true};
    coat_end next;
    uint32_t from = 0;

    changes.change.handle = changes.end.last = handle_of(1, 2);
    REQUIRE_OK(coat_unsettled_init(&u));
    coat_unsettled_add(&u, &changes);
    CHECK(!coat_unsettled_ending(&u, &changes.end.last));
    CHECK(!coat_unsettled_next(&u, &from, &next));
    settle();
    CHECK_INT(atomic_load(&u.count), 0);
    coat_unsettled_fini(&u, NULL, 0);
}

/** Who asks for a session that is not among them waits for nobody. */
static void
without_the_lock(void)
{
    coat_handle ending = handle_of(1, 9), other = handle_of(2, 9);

    REQUIRE_OK(coat_unsettled_init(&u));
    end(&ending);
    pthread_mutex_lock(&u.mutex); /* it is no recursive one: waiting would be for ever */
    CHECK(!coat_unsettled_ending(&u, &other));
    ended(&other);
    pthread_mutex_unlock(&u.mutex);
    CHECK(coat_unsettled_ending(&u, &ending));
    coat_unsettled_fini(&u, NULL, 0);
}

/** Beyond what is kept there is a reserve for ends, which comes back when they have come
 * through; and beyond that nothing is lost of the others. */
static void
too_many(void)
{
    const uint64_t most = COAT_UNSETTLED_MAX + COAT_UNSETTLED_RESERVE;
    coat_changes gate = {.one = true};
    coat_handle h;

    REQUIRE_OK(coat_unsettled_init(&u));
    for (uint64_t i = 0; i <= most; i++) {
        h = handle_of(i, 1);
        end(&h);
        if (i == COAT_UNSETTLED_MAX) /* a gate alone stays up */
            coat_unsettled_add(&u, &gate);
    }
    CHECK(!coat_unsettled_ending(&u, &h));
    CHECK_INT(atomic_load(&u.count), (long long)most);
    for (uint64_t i = 0; i < most; i += 97) {
        h = handle_of(i, 1);
        CHECK(coat_unsettled_ending(&u, &h));
    }
    for (uint64_t i = COAT_UNSETTLED_MAX; i < most; i++) {
        h = handle_of(i, 1);
        ended(&h);
    }
    settle();
    CHECK_INT(atomic_load(&u.count), COAT_UNSETTLED_MAX);
    for (uint64_t i = most; i < most + COAT_UNSETTLED_RESERVE; i++) {
        h = handle_of(i, 1);
        end(&h);
        CHECK(coat_unsettled_ending(&u, &h));
    }
    coat_unsettled_fini(&u, NULL, 0);
}

/** From any place on, round and round; one that is put off comes behind the others of its
 * bucket, and is not forgotten. */
static void
in_turn(void)
{
    enum { BUCKETS = COAT_UNSETTLED_BUCKETS };
    const coat_handle low = handle_of(3, 1), high = handle_of(BUCKETS - 1, 1);
    const coat_handle twin = handle_of(3 + BUCKETS, 1);
    coat_end next;
    uint32_t from = 4;

    REQUIRE_OK(coat_unsettled_init(&u));
    end(&twin);
    end(&low); /* the later one comes first */
    end(&high);
    REQUIRE(coat_unsettled_next(&u, &from, &next));
    CHECK(coat_handle_equal(&next.last, &high) && from == BUCKETS - 1);
    later(&high); /* alone in its bucket */
    from++;
    REQUIRE(coat_unsettled_next(&u, &from, &next));
    CHECK(coat_handle_equal(&next.last, &low) && from == 3);
    later(&twin); /* it is not its turn */
    later(&low);
    REQUIRE(coat_unsettled_next(&u, &from, &next));
    CHECK(coat_handle_equal(&next.last, &twin));
    later(&twin);
    REQUIRE(coat_unsettled_next(&u, &from, &next));
    CHECK(coat_handle_equal(&next.last, &low));
    CHECK(coat_unsettled_ending(&u, &low) && coat_unsettled_ending(&u, &twin) &&
          coat_unsettled_ending(&u, &high));
    from = UINT32_MAX; /* it is a place like any other */
    CHECK(coat_unsettled_next(&u, &from, &next) && from < BUCKETS);
    coat_unsettled_fini(&u, NULL, 0);
}

/* ---- an owner's ---- */

static void
end_older(uint64_t owner_number, int64_t until_ms)
{
    coat_owner owner;
    coat_changes changes = {.end.of = COAT_END_OF_OWNER};

    coat_store64be(owner.bytes, owner_number);
    changes.end.last = coat_handle_last(owner, until_ms);
    if (!coat_unsettled_has(&u, &changes.end))
        coat_unsettled_add(&u, &changes);
}

static bool
ending(int64_t minted_ms, uint64_t random, uint64_t owner)
{
    coat_handle h = handle_of((uint64_t)minted_ms << 20 | random, owner);

    return coat_unsettled_ending(&u, &h);
}

/** All that were minted by then, whatever their random bits, and nobody else's. */
static void
owners(void)
{
    const int64_t t = 1800000000000;
    coat_end next;
    coat_handle one = handle_of((uint64_t)(t + 9) << 20, 7);
    uint32_t from = 0;

    REQUIRE_OK(coat_unsettled_init(&u));
    end_older(7, t);
    CHECK(ending(t, 0, 7) && ending(t, 0xfffff, 7) && ending(t - 1, 0xfffff, 7) &&
          ending(0, 0, 7));
    CHECK(!ending(t + 1, 0, 7) && !ending(t, 0, 8) && !ending(t - 1, 0, 7 + 4096));
    end_older(7 + 4096, t - 5); /* of the same bucket */
    CHECK(ending(t - 5, 3, 7 + 4096) && !ending(t - 4, 0, 7 + 4096) && ending(t, 0, 7));

    /* Asked for again it reaches further, and takes no room; never less far. */
    end_older(7, t + 2);
    end_older(7, t - 2);
    CHECK_INT(atomic_load(&u.count), 2);
    CHECK(ending(t + 2, 0xfffff, 7) && !ending(t + 3, 0, 7));

    /* A session of theirs may be among the others as well. */
    end(&one);
    CHECK(ending(t + 9, 0, 7) && !ending(t + 9, 1, 7));
    ended(&one);
    CHECK(!ending(t + 9, 0, 7) && ending(t + 2, 0, 7));

    settle();
    CHECK_INT(atomic_load(&u.count), 2);
    for (int n = 0; n < 2; n++) {
        REQUIRE(coat_unsettled_next(&u, &from, &next));
        CHECK(next.of == COAT_END_OF_OWNER && !next.has_spare);
        end_older(7, t + 4); /* one is asked for while it is under way */
        coat_unsettled_ended(&u, &next);
    }
    settle();
    while (coat_unsettled_next(&u, &from, &next))
        coat_unsettled_ended(&u, &next);
    settle();
    CHECK_INT(atomic_load(&u.count), 0);
    CHECK(!ending(t, 0, 7) && !ending(t - 5, 3, 7 + 4096));

    end_older(7, t);
    REQUIRE(coat_unsettled_next(&u, &from, &next));
    end_older(7, t + 4);
    coat_unsettled_ended(&u, &next); /* what came later is still to be done */
    CHECK(ending(t, 0, 7) && ending(t + 4, 0, 7));
    coat_unsettled_fini(&u, NULL, 0);
}

/* ---- all but one, and everybody's ---- */

static coat_end
end_until(coat_end_of of, uint64_t owner, int64_t until_ms, const coat_handle *spare)
{
    coat_changes changes = {.end.of = of, .end.has_spare = spare != NULL};
    coat_handle last = handle_of((uint64_t)until_ms << 20 | 0xfffff, owner);

    changes.end.last = last;
    if (spare != NULL)
        changes.end.spare = *spare;
    return changes.end;
}

static void
put(const coat_end *end)
{
    coat_changes changes = {.end = *end};

    if (!coat_unsettled_has(&u, end))
        coat_unsettled_add(&u, &changes);
}

/** Two devices, each of which has the other ones signed out. */
static void
all_but_one(void)
{
    const int64_t t = 1800000000000;
    const coat_handle mine = handle_of((uint64_t)t << 20 | 5, 7),
                      theirs = handle_of((uint64_t)t << 20 | 6, 7),
                      stranger = handle_of((uint64_t)t << 20 | 5, 8);
    coat_end but_mine = end_until(COAT_END_OF_OWNER, 7, t, &mine),
             but_theirs = end_until(COAT_END_OF_OWNER, 7, t, &theirs),
             all = end_until(COAT_END_OF_OWNER, 7, t - 1, NULL), next;
    uint32_t from = 0;

    REQUIRE_OK(coat_unsettled_init(&u));
    put(&but_mine);
    CHECK(!coat_unsettled_ending(&u, &mine) && coat_unsettled_ending(&u, &theirs) &&
          !coat_unsettled_ending(&u, &stranger) && ending(t - 1, 0, 7) && !ending(t + 1, 0, 7));
    put(&but_mine);
    CHECK_INT(atomic_load(&u.count), 1);
    put(&but_theirs);
    CHECK(coat_unsettled_ending(&u, &mine) && coat_unsettled_ending(&u, &theirs));
    coat_unsettled_ended(&u, &but_mine);
    CHECK(coat_unsettled_ending(&u, &mine) && !coat_unsettled_ending(&u, &theirs));
    REQUIRE(coat_unsettled_next(&u, &from, &next));
    CHECK(next.has_spare && coat_handle_equal(&next.spare, &theirs));

    /* One that spares somebody settles none that spares nobody; the other way round it does, as
     * far as it reaches. */
    put(&all);
    coat_unsettled_ended(&u, &but_theirs);
    CHECK(!coat_unsettled_ending(&u, &mine) && ending(t - 1, 0, 7));
    put(&but_theirs);
    settle();
    CHECK_INT(atomic_load(&u.count), 2);
    coat_unsettled_ended(&u, &all);
    CHECK(coat_unsettled_ending(&u, &mine));
    all = end_until(COAT_END_OF_OWNER, 7, t, NULL);
    coat_unsettled_ended(&u, &all);
    CHECK(!coat_unsettled_next(&u, &from, &next));
    settle();
    CHECK_INT(atomic_load(&u.count), 0);
    coat_unsettled_fini(&u, NULL, 0);
}

static void
everybody(void)
{
    const int64_t t = 1800000000000;
    const coat_handle before = handle_of((uint64_t)(t - 9) << 20, 3),
                      after = handle_of((uint64_t)(t + 9) << 20, 3);
    coat_end all = end_until(COAT_END_OF_EVERYBODY, 0, t, NULL),
             more = end_until(COAT_END_OF_EVERYBODY, 0, t + 2, NULL), next;
    uint32_t from = 0;

    REQUIRE_OK(coat_unsettled_init(&u));
    CHECK(!ending(t, 0, 1));
    put(&all);
    for (uint64_t owner = 0; owner < 3 * COAT_UNSETTLED_BUCKETS; owner += 511) {
        CHECK(ending(t, 0xfffff, owner) && ending(0, 0, owner));
        CHECK(!ending(t + 1, 0, owner));
    }
    put(&more); /* it reaches further, and takes no room */
    CHECK_INT(atomic_load(&u.count), 1);
    CHECK(ending(t + 2, 0xfffff, 1) && !ending(t + 3, 0, 1));
    from = 17;
    REQUIRE(coat_unsettled_next(&u, &from, &next));
    CHECK(next.of == COAT_END_OF_EVERYBODY && from == COAT_UNSETTLED_BUCKETS);
    coat_unsettled_later(&u, &next);
    from++; /* on with the first */
    REQUIRE(coat_unsettled_next(&u, &from, &next));

    /* It settles what it includes of all others, and no more. */
    end(&before);
    end(&after);
    end_older(7, t + 2);
    end_older(8, t + 3);
    coat_unsettled_ended(&u, &all);
    CHECK(ending(t + 2, 0, 1)); /* asked for again since */
    coat_unsettled_ended(&u, &more);
    CHECK(!coat_unsettled_ending(&u, &before) && coat_unsettled_ending(&u, &after));
    CHECK(!ending(t, 0, 1) && !ending(t, 0, 7) && ending(t + 3, 0, 8));
    settle();
    CHECK_INT(atomic_load(&u.count), 2);
    coat_unsettled_fini(&u, NULL, 0);
}

/* ---- threads: under ThreadSanitizer ---- */

enum { CHECKERS = 3, ROUNDS = 20000 };

static atomic_bool over;
static atomic_uint faults;

static void *
check(void *arg)
{
    coat_handle always = handle_of(1, 1), never = handle_of(1 + COAT_UNSETTLED_BUCKETS, 1);
    coat_handle apart = handle_of(2, 1);

    (void)arg;
    while (!atomic_load(&over))
        if (!coat_unsettled_ending(&u, &always) || coat_unsettled_ending(&u, &never) ||
            coat_unsettled_ending(&u, &apart))
            atomic_fetch_add(&faults, 1);
    return NULL;
}

/** Others come and go in the bucket of one that stays. */
static void
threads(void)
{
    pthread_t checkers[CHECKERS];
    coat_handle always = handle_of(1, 1);

    REQUIRE_OK(coat_unsettled_init(&u));
    atomic_store(&over, false);
    atomic_store(&faults, 0);
    end(&always);
    for (int i = 0; i < CHECKERS; i++)
        REQUIRE(pthread_create(&checkers[i], NULL, check, NULL) == 0);
    for (uint64_t n = 0; n < ROUNDS; n++) {
        coat_handle guest = handle_of(1 + (2 + n % 3) * COAT_UNSETTLED_BUCKETS, 1);

        end(&guest);
        if (!coat_unsettled_ending(&u, &guest))
            atomic_fetch_add(&faults, 1);
        ended(&guest);
        if (n % 16 == 0)
            settle();
    }
    atomic_store(&over, true);
    for (int i = 0; i < CHECKERS; i++)
        (void)pthread_join(checkers[i], NULL);
    CHECK_INT(atomic_load(&faults), 0);
    coat_unsettled_fini(&u, NULL, 0);
}

static const coat_test tests[] = {
    {"SF-4: of an owner those that were there then are ending, and nobody else's", owners},
    {"SF-4: all but one, of two who spare each a session of their own", all_but_one},
    {"SF-4: everybody's that were there then are ending", everybody},
    {"SF-4: a session that is to be ended is told from all others", beside_each_other},
    {"SF-4: a change whose outcome is unknown ends no session", gates_only},
    {"SF-4: and who asks for another one takes no lock", without_the_lock},
    {"SF-4: more than can be kept", too_many},
    {"SF-4: each has its turn, whoever does not come through", in_turn},
    {"SF-4: asked for while others come and go", threads},
};
COAT_TEST_MAIN(tests)
