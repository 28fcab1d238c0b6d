/* SPDX-License-Identifier: Apache-2.0 */
#include "core/judge.h"
#include "fixture.h"

#define SECOND ((int64_t)1000)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)

static const coat_tag_keys keys = {.key = {{1}}, .count = 1};
static const coat_demand no_demand = {0};

static coat_policy
policy_default(void)
{
    coat_policy policy;

    coat_policy_default(&policy);
    return policy;
}

static coat_judgement
judge_at(const coat_record *record, const coat_token *token, int64_t now)
{
    coat_policy policy = policy_default();
    coat_judgement j;

    memset(&j, 0xFF, sizeof j); /* everything is to be set */
    coat_judge(record, token, now, 0, &policy, &no_demand, &j);
    return j;
}

static void
defaults(void)
{
    coat_policy p = policy_default();

    CHECK_INT(p.idle_ms, 30 * MINUTE);
    CHECK_INT(p.absolute_ms, 12 * HOUR);
    CHECK_INT(p.rotate_every_ms, 15 * MINUTE);
    CHECK_INT(p.rotate_grace_ms, 10 * SECOND);
    CHECK_INT(p.rotate_redeliver_ms, 60 * SECOND);
    CHECK_INT(p.epoch_global, 0);
}

static void
limits(void)
{
    static const struct {
        const char *name;
        int64_t seen, now; /* since the session was made */
        coat_verdict want;
        coat_why why;
    } cases[] = {
        {"at once", 0, 0, COAT_VERDICT_LIVE, COAT_WHY_LIVE},
        {"idle - 1 s", 0, 30 * MINUTE - SECOND, COAT_VERDICT_LIVE, COAT_WHY_LIVE},
        {"idle - 1 ms", 0, 30 * MINUTE - 1, COAT_VERDICT_LIVE, COAT_WHY_LIVE},
        {"idle", 0, 30 * MINUTE, COAT_VERDICT_NONE, COAT_WHY_IDLE},
        {"idle + 1 s", 0, 30 * MINUTE + SECOND, COAT_VERDICT_NONE, COAT_WHY_IDLE},
        {"activity moves the idle end", 20 * MINUTE, 49 * MINUTE, COAT_VERDICT_LIVE,
         COAT_WHY_LIVE},
        {"but only by as much", 20 * MINUTE, 50 * MINUTE, COAT_VERDICT_NONE, COAT_WHY_IDLE},
        {"absolute - 1 s", 12 * HOUR - MINUTE, 12 * HOUR - SECOND, COAT_VERDICT_LIVE,
         COAT_WHY_LIVE},
        {"absolute", 12 * HOUR - MINUTE, 12 * HOUR, COAT_VERDICT_NONE, COAT_WHY_ABSOLUTE},
        {"absolute + 1 s", 12 * HOUR, 12 * HOUR + SECOND, COAT_VERDICT_NONE, COAT_WHY_ABSOLUTE},
        {"end of time", 0, INT64_MAX - FIXTURE_NOW, COAT_VERDICT_NONE, COAT_WHY_ABSOLUTE},
        {"another instance is ahead", 5 * SECOND, 0, COAT_VERDICT_LIVE, COAT_WHY_LIVE},
    };
    test_rng rng = {1};
    coat_token token = fixture_token(&rng, &keys);
    coat_policy policy = policy_default();

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t seen = FIXTURE_NOW + cases[i].seen, now = FIXTURE_NOW + cases[i].now;
        coat_record record = fixture_record(&rng, &token);
        coat_judgement j;

        test_case(cases[i].name);
        coat_judge(&record, &token, now, seen, &policy, &no_demand,
                   &j); /* known to the table */
        CHECK_INT(j.verdict, cases[i].want);
        CHECK_INT(j.why, cases[i].why);
        CHECK_INT(coat_judge_life(&record, now, seen, &policy), cases[i].why);
        record.seen_ms = seen; /* folded into the record */
        CHECK_INT(coat_judge_life(&record, now, 0, &policy), cases[i].why);
        coat_judge(&record, &token, now, 0, &policy, &no_demand, &j);
        CHECK_INT(j.verdict, cases[i].want);
        CHECK_INT(j.why, cases[i].why);
        CHECK_INT(j.idle_end_ms, seen + 30 * MINUTE);
        CHECK_INT(j.absolute_end_ms, FIXTURE_NOW + 12 * HOUR);
        CHECK_INT(j.ends_ms,
                  j.idle_end_ms < j.absolute_end_ms ? j.idle_end_ms : j.absolute_end_ms);
    }
}

static void
epoch(void)
{
    test_rng rng = {2};
    coat_token token = fixture_token(&rng, &keys);
    coat_record record = fixture_record(&rng, &token);
    coat_policy policy = policy_default();
    coat_judgement j;

    for (uint64_t e = 0; e < 6; e++) {
        policy.epoch_global = e;
        coat_judge(&record, &token, FIXTURE_NOW, 0, &policy, &no_demand, &j);
        CHECK_INT(j.verdict, e > 3 ? COAT_VERDICT_NONE : COAT_VERDICT_LIVE);
        CHECK_INT(j.why, e > 3 ? COAT_WHY_EPOCH : COAT_WHY_LIVE);
        CHECK_INT(coat_judge_life(&record, FIXTURE_NOW, 0, &policy), j.why);
        CHECK_INT(j.due, COAT_DUE_NOTHING);
    }
}

static void
dead_whatever_the_secret(void)
{
    test_rng rng = {3};
    coat_token token = fixture_token(&rng, &keys), other = fixture_token(&rng, &keys);
    coat_record record = fixture_record(&rng, &token);
    coat_judgement j = judge_at(&record, &other, FIXTURE_NOW + 31 * MINUTE);

    CHECK_INT(j.verdict, COAT_VERDICT_NONE); /* not STOLEN: nothing is left to steal */
    CHECK_INT(j.why, COAT_WHY_IDLE);
    CHECK_INT(j.bearer, COAT_BEARER_NONE);
    CHECK_INT(j.idle_end_ms, 0); /* tells nothing to who knows no secret */
    CHECK_INT(j.auth_age_ms, -1);
    j = judge_at(&record, &token, FIXTURE_NOW + 31 * MINUTE);
    CHECK_INT(j.bearer, COAT_BEARER_CURRENT);
    CHECK_INT(j.due, COAT_DUE_NOTHING);
}

static void
every_secret_bit(void)
{
    test_rng rng = {4};
    coat_token token = fixture_token(&rng, &keys);
    coat_record record = fixture_record(&rng, &token);
    coat_judgement j;

    for (size_t bit = 0; bit < 8 * COAT_SECRET_BYTES; bit++) {
        token.secret[bit / 8] ^= (uint8_t)(1 << bit % 8);
        j = judge_at(&record, &token, FIXTURE_NOW);
        CHECK_INT(j.verdict, COAT_VERDICT_STOLEN);
        CHECK_INT(j.why, COAT_WHY_REUSE);
        CHECK_INT(j.due, COAT_DUE_NOTHING);
        token.secret[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t bit = 0; bit < 8 * COAT_DIGEST_BYTES; bit++) {
        record.current_digest[bit / 8] ^= (uint8_t)(1 << bit % 8);
        CHECK_INT(judge_at(&record, &token, FIXTURE_NOW).verdict, COAT_VERDICT_STOLEN);
        record.current_digest[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    CHECK_INT(judge_at(&record, &token, FIXTURE_NOW).verdict, COAT_VERDICT_LIVE);
}

/* A digest without its flag is no secret of the session. */
static void
flags_decide(void)
{
    test_rng rng = {5};
    coat_token token = fixture_token(&rng, &keys);
    coat_record record = fixture_record(&rng, &token);

    memcpy(record.pending_digest, record.current_digest, COAT_DIGEST_BYTES);
    memcpy(record.previous_digest, record.current_digest, COAT_DIGEST_BYTES);
    memset(record.current_digest, 0, COAT_DIGEST_BYTES);
    record.previous_end_ms = INT64_MAX;
    CHECK_INT(judge_at(&record, &token, FIXTURE_NOW).bearer, COAT_BEARER_NONE);
    record.flags = COAT_RECORD_PREVIOUS;
    CHECK_INT(judge_at(&record, &token, FIXTURE_NOW).bearer, COAT_BEARER_PREVIOUS);
    record.flags = COAT_RECORD_PENDING | COAT_RECORD_PREVIOUS;
    CHECK_INT(judge_at(&record, &token, FIXTURE_NOW).bearer, COAT_BEARER_PENDING);
}

static void
step_up(void)
{
    static const struct {
        const char *name;
        int64_t auth, now, max_age; /* auth and now since the session was made */
        bool nobody;
        coat_verdict want;
        int64_t age;
    } cases[] = {
        {"any age", 0, 20 * MINUTE, 0, false, COAT_VERDICT_LIVE, 20 * MINUTE},
        {"just young enough", 0, 5 * MINUTE, 5 * MINUTE, false, COAT_VERDICT_LIVE, 5 * MINUTE},
        {"too old", 0, 5 * MINUTE + 1, 5 * MINUTE, false, COAT_VERDICT_STEP_UP, 5 * MINUTE + 1},
        {"stepped up", 10 * MINUTE, 12 * MINUTE, 5 * MINUTE, false, COAT_VERDICT_LIVE,
         2 * MINUTE},
        {"nobody signed in", 0, 0, 5 * MINUTE, true, COAT_VERDICT_STEP_UP, -1},
        {"nobody, any age", 0, 0, 0, true, COAT_VERDICT_LIVE, -1},
        {"by a clock ahead", 3 * SECOND, 0, SECOND, false, COAT_VERDICT_LIVE, 0},
        {"absurd demand", 0, 0, -1, false, COAT_VERDICT_STEP_UP, 0},
    };
    test_rng rng = {6};
    coat_token token = fixture_token(&rng, &keys);
    coat_policy policy = policy_default();

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        coat_record record = fixture_record(&rng, &token);
        coat_demand demand = {cases[i].max_age};
        coat_judgement j;

        test_case(cases[i].name);
        record.auth_ms = cases[i].nobody ? 0 : FIXTURE_NOW + cases[i].auth;
        coat_judge(&record, &token, FIXTURE_NOW + cases[i].now, 0, &policy, &demand, &j);
        CHECK_INT(j.verdict, cases[i].want);
        CHECK_INT(j.auth_age_ms, cases[i].age);
        CHECK_INT(j.why, cases[i].want == COAT_VERDICT_LIVE ? COAT_WHY_LIVE : COAT_WHY_AGE);
    }
}

/* Step-up is no reason to hold a rotation back, or to forget a theft. */
static void
step_up_and_due(void)
{
    test_rng rng = {7};
    coat_token token = fixture_token(&rng, &keys), other = fixture_token(&rng, &keys);
    coat_record record = fixture_record(&rng, &token);
    coat_policy policy = policy_default();
    coat_demand demand = {MINUTE};
    coat_judgement j;

    coat_judge(&record, &token, FIXTURE_NOW + 16 * MINUTE, 0, &policy, &demand, &j);
    CHECK_INT(j.verdict, COAT_VERDICT_STEP_UP);
    CHECK_INT(j.due, COAT_DUE_ROTATE);
    coat_judge(&record, &other, FIXTURE_NOW + 16 * MINUTE, 0, &policy, &demand, &j);
    CHECK_INT(j.verdict, COAT_VERDICT_STOLEN);
}

/* Any bytes at all as record, policy and times: an answer, and a consistent one. */
static void
total(void)
{
    static const int64_t edges[] = {INT64_MIN,   INT64_MIN + 1, -1,       0, 1,
                                    FIXTURE_NOW, INT64_MAX - 1, INT64_MAX};
    long count = test_scaled(1000000, 20000);
    test_rng rng = {8};
    coat_token token = fixture_token(&rng, &keys);

    for (long i = 0; i < count; i++) {
        coat_record record = {0};
        coat_policy policy;
        coat_demand demand;
        coat_judgement j;
        int64_t *times[] = {&record.seen_ms,         &record.idle_ms,
                            &record.auth_ms,         &record.absolute_end_ms,
                            &record.rotated_ms,      &record.handed_ms,
                            &record.previous_end_ms, &policy.rotate_every_ms,
                            &policy.rotate_grace_ms, &policy.rotate_redeliver_ms,
                            &demand.max_age_ms};
        int64_t now = edges[test_rng_below(&rng, 8)], seen;

        for (size_t t = 0; t < sizeof times / sizeof times[0]; t++)
            *times[t] = edges[test_rng_below(&rng, 8)];
        policy.epoch_global = test_rng_below(&rng, 2);
        record.flags = (uint32_t)test_rng_next(&rng);
        if (test_rng_below(&rng, 2) == 0)
            coat_secret_digest(token.secret, record.current_digest);
        else
            coat_secret_digest(token.secret, record.pending_digest);
        seen = edges[test_rng_below(&rng, 8)];
        memset(&j, 0xFF, sizeof j);
        coat_judge(&record, &token, now, seen, &policy, &demand, &j);
        /* Limits are the same whoever asks: a secret can only add reasons to refuse. */
        CHECK((coat_judge_life(&record, now, seen, &policy) != COAT_WHY_LIVE) ==
              (j.verdict == COAT_VERDICT_NONE));
        if (j.verdict == COAT_VERDICT_LIVE || j.verdict == COAT_VERDICT_STEP_UP) {
            CHECK(j.bearer != COAT_BEARER_NONE);
            CHECK(now < j.ends_ms && j.ends_ms <= record.absolute_end_ms);
        } else {
            CHECK_INT(j.due, COAT_DUE_NOTHING);
        }
        (void)coat_rotate_apply(&record, &token, now, &policy, &j);
    }
}

static const coat_test tests[] = {
    {"a default policy is what the documents say", defaults},
    {"LC-2: idle and absolute end to the millisecond, activity moves only idle", limits},
    {"a raised global epoch ends every session made before it", epoch},
    {"LC-2: a dead session is dead whatever the secret", dead_whatever_the_secret},
    {"LC-7: a secret or digest with any bit changed is not the current one", every_secret_bit},
    {"a digest counts only with its flag", flags_decide},
    {"step-up looks at the age of authentication", step_up},
    {"LC-7: step-up neither delays rotation nor hides theft", step_up_and_due},
    {"HD-10: any record, policy and time gives a consistent answer", total},
};
COAT_TEST_MAIN(tests)
