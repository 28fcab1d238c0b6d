/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"
#include "reference.h"

#include <sodium.h>

#define SECOND ((int64_t)1000)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)

static const coat_tag_keys keys = {.key = {{1}}, .count = 1};

/* A session with its store reduced to one versioned record, as one instance after another uses
 * it. */
typedef struct counter {
    coat_record record;
    coat_policy policy;
    uint64_t version;
    int64_t now;
} counter;

typedef struct visit {
    coat_judgement judgement;
    bool wrote;
    bool set_cookie;
    coat_token successor;
} visit;

static void
open_counter(counter *c, test_rng *rng, coat_token *token)
{
    *token = fixture_token(rng, &keys);
    *c = (counter){.record = fixture_record(rng, token), .now = FIXTURE_NOW};
    coat_policy_default(&c->policy);
}

/** Load, judge, apply, compare-and-set against the version that was loaded. */
static visit
finish_visit(counter *c, const coat_record *loaded, uint64_t version, const coat_token *token)
{
    coat_demand demand = {0};
    coat_record next = *loaded;
    visit v = {0};

    coat_judge(loaded, token, c->now, c->now, &c->policy, &demand, &v.judgement);
    v.wrote = coat_rotate_apply(&next, token, c->now, &c->policy, &v.judgement);
    if (v.wrote && version == c->version) {
        c->record = next;
        c->version++;
        v.set_cookie = (v.judgement.due & COAT_DUE_ROTATE) != 0;
        if (v.set_cookie)
            coat_rotate_successor(loaded, token, &keys, &v.successor);
    }
    return v;
}

static visit
come(counter *c, const coat_token *token)
{
    coat_record loaded = c->record;

    return finish_visit(c, &loaded, c->version, token);
}

static void
successor_is_derived(void)
{
    test_rng rng = {1};
    coat_token token = fixture_token(&rng, &keys), next, again, opened;
    coat_record record = fixture_record(&rng, &token), other = record;
    uint8_t want[COAT_SECRET_BYTES];
    char text[COAT_TOKEN_CHARS];

    coat_rotate_successor(&record, &token, &keys, &next);
    coat_rotate_successor(&record, &token, &keys, &again);
    CHECK(memcmp(&next, &again, sizeof next) == 0); /* any instance hands out the same */
    (void)crypto_generichash(want, sizeof want, token.secret, sizeof token.secret,
                             record.rotation_key, sizeof record.rotation_key);
    CHECK_MEM(next.secret, sizeof next.secret, want, sizeof want);
    CHECK(coat_handle_equal(&next.handle, &token.handle));
    coat_token_encode(&next, text);
    CHECK_ERR(coat_token_open(fixture_text(text, sizeof text), &keys, &opened), COAT_OK);

    other.rotation_key[0] ^= 1; /* another record's key, another successor */
    coat_rotate_successor(&other, &token, &keys, &again);
    CHECK(memcmp(next.secret, again.secret, sizeof next.secret) != 0);
    coat_rotate_successor(&record, &next, &keys, &again);
    CHECK(memcmp(token.secret, again.secret, sizeof token.secret) != 0);
    coat_rotate_successor(&record, &token, &keys, &token); /* out may be the token itself */
    CHECK(memcmp(&next, &token, sizeof next) == 0);
}

static void
not_before_it_is_due(void)
{
    test_rng rng = {2};
    coat_token token;
    counter c;
    visit v;

    open_counter(&c, &rng, &token);
    c.now += 15 * MINUTE - 1;
    v = come(&c, &token);
    CHECK(!v.wrote && !v.set_cookie);
    CHECK_INT(v.judgement.next_due_ms, FIXTURE_NOW + 15 * MINUTE);
    c.now++;
    CHECK(come(&c, &token).set_cookie);
    c.policy.rotate_every_ms = 0; /* off */
    open_counter(&c, &rng, &token);
    c.policy.rotate_every_ms = 0;
    c.now += 29 * MINUTE;
    v = come(&c, &token);
    CHECK(!v.wrote && v.judgement.next_due_ms == INT64_MAX);
}

/* 200 requests loaded the record before any of them wrote. */
static void
one_successor(void)
{
    enum { PARALLEL = 200 };
    long rounds = test_scaled(1000, 10);
    test_rng rng = {3};

    for (long round = 0; round < rounds; round++) {
        coat_token token, successor = {0};
        coat_record loaded;
        uint64_t version;
        counter c;
        int carried = 0;

        open_counter(&c, &rng, &token);
        c.now += 15 * MINUTE;
        loaded = c.record;
        version = c.version;
        for (int i = 0; i < PARALLEL; i++) {
            /* Three instances: some load late and see what the winner wrote. */
            visit v =
                i % 3 == 2 ? come(&c, &token) : finish_visit(&c, &loaded, version, &token);

            CHECK_INT(v.judgement.verdict, COAT_VERDICT_LIVE);
            carried += v.set_cookie;
            if (v.set_cookie)
                successor = v.successor;
        }
        CHECK_INT(carried, 1);
        CHECK_INT(come(&c, &successor).judgement.bearer, COAT_BEARER_PENDING);
    }
}

static void
lost_response(void)
{
    long rounds = test_scaled(1000, 100);
    test_rng rng = {4};

    for (long round = 0; round < rounds; round++) {
        coat_token token, first;
        counter c;
        visit v;
        int carried = 0;

        open_counter(&c, &rng, &token);
        c.now += 15 * MINUTE;
        v = come(&c, &token);
        REQUIRE(v.set_cookie);
        first = v.successor; /* and never arrives */
        for (int s = 1; s < 60; s++) {
            c.now += SECOND;
            v = come(&c, &token);
            CHECK_INT(v.judgement.verdict, COAT_VERDICT_LIVE);
            CHECK(!v.set_cookie);
        }
        c.now += SECOND - 1;
        CHECK(!come(&c, &token).set_cookie);
        c.now += 1;
        for (int i = 0; i < 20; i++) { /* to one request of many */
            v = come(&c, &token);
            CHECK_INT(v.judgement.verdict, COAT_VERDICT_LIVE);
            carried += v.set_cookie;
            if (v.set_cookie)
                CHECK(memcmp(&v.successor, &first, sizeof first) == 0); /* the same one */
        }
        CHECK_INT(carried, 1);
    }
}

/* Lost every time: the current secret serves until the session ends of itself. */
static void
never_confirmed(void)
{
    test_rng rng = {5};
    coat_token token;
    counter c;
    int carried = 0;

    open_counter(&c, &rng, &token);
    for (int i = 1; i < 12 * 60; i++) {
        visit v;

        c.now += MINUTE;
        v = come(&c, &token);
        CHECK_INT(v.judgement.verdict, COAT_VERDICT_LIVE);
        carried += v.set_cookie;
        c.record.seen_ms = c.now;
    }
    CHECK_INT(carried, 12 * 60 - 15);
    c.now += MINUTE + SECOND;
    CHECK_INT(come(&c, &token).judgement.why, COAT_WHY_ABSOLUTE);
}

/** A session whose successor was confirmed just now. */
static void
rotated(counter *c, test_rng *rng, coat_token *old, coat_token *fresh)
{
    visit v;

    open_counter(c, rng, old);
    c->now += 15 * MINUTE;
    v = come(c, old);
    REQUIRE(v.set_cookie);
    *fresh = v.successor;
    c->now += SECOND;
    v = come(c, fresh);
    CHECK_INT(v.judgement.bearer, COAT_BEARER_PENDING);
    CHECK_INT(v.judgement.due, COAT_DUE_CONFIRM);
    CHECK(v.wrote && !v.set_cookie);
}

static void
grace(void)
{
    static const struct {
        int64_t after;
        coat_verdict want;
    } cases[] = {{0, COAT_VERDICT_LIVE},
                 {9 * SECOND, COAT_VERDICT_LIVE},
                 {10 * SECOND - 1, COAT_VERDICT_LIVE},
                 {10 * SECOND, COAT_VERDICT_STOLEN},
                 {11 * SECOND, COAT_VERDICT_STOLEN},
                 {MINUTE, COAT_VERDICT_STOLEN}};
    test_rng rng = {6};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        coat_token old, fresh;
        counter c;
        visit v;

        rotated(&c, &rng, &old, &fresh);
        c.now += cases[i].after;
        v = come(&c, &old);
        CHECK_INT(v.judgement.verdict, cases[i].want);
        CHECK(!v.wrote && v.judgement.due == COAT_DUE_NOTHING);
        CHECK_INT(v.judgement.bearer,
                  cases[i].want == COAT_VERDICT_LIVE ? COAT_BEARER_PREVIOUS : COAT_BEARER_NONE);
        CHECK_INT(come(&c, &fresh).judgement.bearer, COAT_BEARER_CURRENT);
    }
}

static void
grandparent(void)
{
    test_rng rng = {7};
    coat_token old, middle, fresh;
    counter c;
    visit v;

    rotated(&c, &rng, &old, &middle);
    c.policy.rotate_every_ms = SECOND; /* two rotations within one grace */
    c.now += SECOND;
    v = come(&c, &middle);
    REQUIRE(v.set_cookie);
    fresh = v.successor;
    CHECK_INT(come(&c, &fresh).judgement.bearer, COAT_BEARER_PENDING);
    CHECK_INT(come(&c, &middle).judgement.bearer, COAT_BEARER_PREVIOUS);
    CHECK_INT(come(&c, &old).judgement.verdict, COAT_VERDICT_STOLEN);
}

static void
copy_that_polls(void)
{
    test_rng rng = {8};
    coat_token owner, copy;
    counter c;
    bool caught = false;

    open_counter(&c, &rng, &owner);
    copy = owner;
    for (int s = 0; s < 3600 && !caught; s++) {
        visit v = come(&c, &owner); /* the owner is active, and first in each second */

        CHECK_INT(v.judgement.verdict, COAT_VERDICT_LIVE);
        if (v.set_cookie)
            owner = v.successor;
        v = come(&c, &copy);
        CHECK(!v.set_cookie);
        caught = v.judgement.verdict == COAT_VERDICT_STOLEN;
        c.now += SECOND;
    }
    CHECK(caught);
    CHECK_INT((c.now - FIXTURE_NOW) / SECOND, 15 * 60 + 1 + 10 + 1);
}

static void
replayed_copy(void)
{
    test_rng rng = {9};
    coat_token old, fresh;
    counter c;

    rotated(&c, &rng, &old, &fresh);
    c.now += 60 * SECOND;
    CHECK_INT(come(&c, &old).judgement.verdict, COAT_VERDICT_STOLEN);
    CHECK_INT(come(&c, &old).judgement.why, COAT_WHY_REUSE);
}

/* If the thief is first, it is the owner's next visit that gives the theft away. */
static void
thief_first(void)
{
    test_rng rng = {10};
    coat_token owner, thief;
    counter c;
    visit v;

    open_counter(&c, &rng, &owner);
    thief = owner;
    c.now += 15 * MINUTE;
    v = come(&c, &thief);
    REQUIRE(v.set_cookie);
    thief = v.successor;
    CHECK_INT(come(&c, &owner).judgement.verdict, COAT_VERDICT_LIVE);
    CHECK(come(&c, &thief).wrote);
    c.now += 10 * SECOND;
    CHECK_INT(come(&c, &owner).judgement.verdict, COAT_VERDICT_STOLEN);
}

static void
absolute_end_stays(void)
{
    test_rng rng = {11};
    coat_token token;
    counter c;
    int rotations = 0;

    open_counter(&c, &rng, &token);
    while (c.now < FIXTURE_NOW + 12 * HOUR) {
        visit v = come(&c, &token);

        CHECK_INT(v.judgement.verdict, COAT_VERDICT_LIVE);
        CHECK_INT(v.judgement.absolute_end_ms, FIXTURE_NOW + 12 * HOUR);
        if (v.set_cookie) {
            token = v.successor;
            rotations++;
        }
        c.record.seen_ms = c.now;
        c.now += MINUTE;
    }
    CHECK(rotations >= 44);
    c.now = FIXTURE_NOW + 12 * HOUR + SECOND;
    CHECK_INT(come(&c, &token).judgement.why, COAT_WHY_ABSOLUTE);
}

/* Judgements that do not belong together change nothing. */
static void
apply_refuses(void)
{
    test_rng rng = {12};
    coat_token token;
    counter c;
    coat_record kept;
    coat_judgement j[] = {
        {0},
        {.verdict = COAT_VERDICT_NONE, .bearer = COAT_BEARER_CURRENT, .due = COAT_DUE_ROTATE},
        {.verdict = COAT_VERDICT_STOLEN, .bearer = COAT_BEARER_CURRENT, .due = COAT_DUE_ROTATE},
        {.verdict = COAT_VERDICT_LIVE, .bearer = COAT_BEARER_PREVIOUS, .due = COAT_DUE_ROTATE},
        {.verdict = COAT_VERDICT_LIVE, .bearer = COAT_BEARER_PENDING, .due = COAT_DUE_ROTATE},
        {.verdict = COAT_VERDICT_LIVE, .bearer = COAT_BEARER_CURRENT, .due = COAT_DUE_CONFIRM},
        {.verdict = COAT_VERDICT_LIVE, .bearer = COAT_BEARER_PENDING, .due = COAT_DUE_CONFIRM},
        {.verdict = COAT_VERDICT_LIVE, .bearer = COAT_BEARER_CURRENT},
    };

    open_counter(&c, &rng, &token);
    kept = c.record; /* nothing is pending in it */
    for (size_t i = 0; i < sizeof j / sizeof j[0]; i++) {
        CHECK(!coat_rotate_apply(&c.record, &token, c.now, &c.policy, &j[i]));
        CHECK(memcmp(&c.record, &kept, sizeof kept) == 0);
    }
}

static void
stored_form(void)
{
    test_rng rng = {13};
    coat_token old, fresh;
    counter c;
    uint8_t buf[1024];
    size_t len;

    rotated(&c, &rng, &old, &fresh);
    CHECK_ERR(coat_record_encode(&c.record, buf, sizeof buf, &len), COAT_OK);
    CHECK(memmem(buf, len, fresh.secret, sizeof fresh.secret) == NULL); /* only digests */
    CHECK(memmem(buf, len, old.secret, sizeof old.secret) == NULL);
    c.now += 15 * MINUTE;
    CHECK(come(&c, &fresh).set_cookie);
    CHECK_ERR(coat_record_encode(&c.record, buf, sizeof buf, &len), COAT_OK);
}

/* ---- against the plain model, under random histories ---- */

typedef struct pair {
    counter c;
    reference r;
    coat_token token[REFERENCE_GENERATIONS];
} pair;

static void
start_pair(pair *p, test_rng *rng)
{
    open_counter(&p->c, rng, &p->token[0]);
    for (int g = 0; g + 1 < REFERENCE_GENERATIONS; g++)
        coat_rotate_successor(&p->c.record, &p->token[g], &keys, &p->token[g + 1]);
    p->c.policy.rotate_every_ms = (int64_t)test_rng_below(rng, 4) * 20 * SECOND + SECOND;
    p->c.policy.rotate_redeliver_ms = (int64_t)test_rng_below(rng, 60) * SECOND;
    p->r = (reference){.idle_ms = p->c.record.idle_ms,
                       .absolute_end_ms = p->c.record.absolute_end_ms,
                       .seen_ms = FIXTURE_NOW,
                       .auth_ms = FIXTURE_NOW,
                       .epoch = p->c.record.epoch_global};
    for (int g = 0; g < REFERENCE_GENERATIONS; g++)
        p->r.handed_ms[g] = p->r.confirmed_ms[g] = -1;
    p->r.confirmed_ms[0] = FIXTURE_NOW;
}

/** One request in both worlds. @return false if they disagree, or the session has ended */
static bool
step_pair(pair *p, test_rng *rng)
{
    int current = reference_current(&p->r);
    int g = current - 2 + (int)test_rng_below(rng, 5);
    int64_t seen = p->c.now - (int64_t)test_rng_below(rng, 100) * SECOND;
    coat_demand demand = {test_rng_below(rng, 4) == 0 ? MINUTE : 0};
    coat_token foreign = fixture_token(rng, &keys);
    const coat_token *token = g < 0 || test_rng_below(rng, 50) == 0 ? &foreign : &p->token[g];
    reference_answer want;
    coat_judgement got;
    bool changed;

    if (token == &foreign)
        g = -1;
    p->c.policy.epoch_global = test_rng_below(rng, 500) == 0 ? 4 : 0;
    want = reference_judge(&p->r, g, p->c.now, seen, demand.max_age_ms, &p->c.policy);
    coat_judge(&p->c.record, token, p->c.now, seen, &p->c.policy, &demand, &got);
    CHECK_INT(got.verdict, want.verdict);
    CHECK_INT(got.why, want.why);
    CHECK_INT((got.due & COAT_DUE_ROTATE) != 0, want.rotate);
    CHECK_INT((got.due & COAT_DUE_CONFIRM) != 0, want.confirm);
    changed = coat_rotate_apply(&p->c.record, token, p->c.now, &p->c.policy, &got);
    CHECK_INT(changed, want.rotate || want.confirm);
    reference_apply(&p->r, g, p->c.now, &want);
    if (test_rng_below(rng, 4) == 0)
        p->c.record.seen_ms = p->r.seen_ms = p->c.now;
    return got.verdict == want.verdict && p->c.now < p->r.absolute_end_ms;
}

static void
random_histories(void)
{
    long histories = test_scaled(100000, 500);
    long steps = 0, generations = 0;

    for (long seed = 0; seed < histories; seed++) {
        test_rng rng = {(uint64_t)seed};
        pair p;

        start_pair(&p, &rng);
        for (int i = 0; i < 300 && reference_current(&p.r) + 3 < REFERENCE_GENERATIONS; i++) {
            p.c.now += (int64_t)test_rng_below(
                &rng, test_rng_below(&rng, 50) == 0 ? HOUR : 30 * SECOND);
            steps++;
            if (!step_pair(&p, &rng))
                break;
        }
        generations += reference_current(&p.r);
    }
    CHECK(steps > 50 * histories && generations > 2 * histories); /* it went somewhere */
}

static const coat_test tests[] = {
    {"LC-6: the successor is derived and the same for every instance", successor_is_derived},
    {"LC-5: nothing rotates before it is due", not_before_it_is_due},
    {"LC-5: 200 parallel requests, one successor, one delivery, none fails", one_successor},
    {"LC-6: a lost response is redelivered once after 60 s, to one request", lost_response},
    {"LC-6: an unconfirmed rotation never kills the current secret", never_confirmed},
    {"LC-6 LC-7: the predecessor lives 10 s after confirmation", grace},
    {"LC-7: what was superseded twice has no grace", grandparent},
    {"LC-6 LC-7: a polling copy never gets a successor and is caught", copy_that_polls},
    {"LC-7: a replayed copy is theft", replayed_copy},
    {"LC-7: a thief who rotates first is given away by the owner", thief_first},
    {"LC-2: rotation never moves the absolute end", absolute_end_stays},
    {"HD-10: a judgement that does not fit changes nothing", apply_refuses},
    {"ID-6: a rotated record is valid and holds no secret", stored_form},
    {"LC-2 LC-5 LC-6 LC-7: judge and rotation agree with a plain model", random_histories},
};
COAT_TEST_MAIN(tests)
