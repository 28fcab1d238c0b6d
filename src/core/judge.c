/* SPDX-License-Identifier: Apache-2.0 */
#include "core/judge.h"
#include "core/bytes.h"
#include "core/taint.h"

#include <coatcheck/judge.h>
#include <sodium.h>

enum { SECOND_MS = 1000, MINUTE_MS = 60 * SECOND_MS, HOUR_MS = 60 * MINUTE_MS };

void
coat_policy_default(coat_policy *policy)
{
    *policy = (coat_policy){
        .idle_ms = 30 * MINUTE_MS,
        .absolute_ms = 12 * HOUR_MS,
        .remember_idle_ms = 24 * (int64_t)HOUR_MS,
        .remember_absolute_ms = 24 * (int64_t)HOUR_MS,
        .rotate_every_ms = 15 * MINUTE_MS,
        .rotate_grace_ms = 10 * SECOND_MS,
        .rotate_redeliver_ms = 60 * SECOND_MS,
    };
}

/** Total: never past the ends of time, whatever a record or a policy claims. */
static int64_t
later(int64_t time_ms, int64_t by_ms)
{
    int64_t sum;

    if (__builtin_add_overflow(time_ms, by_ms, &sum))
        return by_ms > 0 ? INT64_MAX : INT64_MIN;
    return sum;
}

/**
 * Whose secret is it? All three digests are compared, each in constant time; only the answer
 * is revealed. crypto_verify_32 is libsodium's comparison for this length.
 */
static coat_bearer
bearer_of(const coat_record *record, const uint8_t digest[static COAT_DIGEST_BYTES],
          int64_t now_ms)
{
    int differs[3];

    differs[0] = crypto_verify_32(digest, record->current_digest);
    differs[1] = crypto_verify_32(digest, record->pending_digest);
    differs[2] = crypto_verify_32(digest, record->previous_digest);
    coat_reveal(differs, sizeof differs);

    if (differs[0] == 0)
        return COAT_BEARER_CURRENT;
    if (differs[1] == 0 && (record->flags & COAT_RECORD_PENDING) != 0)
        return COAT_BEARER_PENDING;
    if (differs[2] == 0 && (record->flags & COAT_RECORD_PREVIOUS) != 0 &&
        now_ms < record->previous_end_ms)
        return COAT_BEARER_PREVIOUS;
    return COAT_BEARER_NONE;
}

/** When it ends if nothing more is heard of it, by its idle limit. */
static int64_t
idle_end(const coat_limits *limits, int64_t seen_ms)
{
    return later(seen_ms > limits->seen_ms ? seen_ms : limits->seen_ms, limits->idle_ms);
}

int64_t
coat_limits_end(const coat_limits *limits, int64_t seen_ms)
{
    int64_t idle_end_ms = idle_end(limits, seen_ms);

    return idle_end_ms < limits->absolute_end_ms ? idle_end_ms : limits->absolute_end_ms;
}

/** A limit's end belongs to the dead. */
coat_why
coat_limits_judge(const coat_limits *limits, int64_t now_ms, int64_t seen_ms,
                  uint64_t epoch_global)
{
    if (limits->epoch_global < epoch_global)
        return COAT_WHY_EPOCH;
    if (now_ms >= limits->absolute_end_ms)
        return COAT_WHY_ABSOLUTE;
    if (now_ms >= idle_end(limits, seen_ms))
        return COAT_WHY_IDLE;
    return COAT_WHY_LIVE;
}

static coat_limits
limits_of(const coat_record *record)
{
    return (coat_limits){.epoch_global = record->epoch_global,
                         .seen_ms = record->seen_ms,
                         .idle_ms = record->idle_ms,
                         .absolute_end_ms = record->absolute_end_ms};
}

coat_why
coat_judge_life(const coat_record *record, int64_t now_ms, int64_t seen_ms,
                const coat_policy *policy)
{
    coat_limits limits = limits_of(record);

    return coat_limits_judge(&limits, now_ms, seen_ms, policy->epoch_global);
}

/** When a bearer of the current secret is to be handed a successor. */
static int64_t
rotation_due_ms(const coat_record *record, const coat_policy *policy)
{
    if ((record->flags & COAT_RECORD_PENDING) != 0)
        return later(record->handed_ms, policy->rotate_redeliver_ms);
    if (policy->rotate_every_ms <= 0)
        return INT64_MAX; /* periodic rotation is off */
    return later(record->rotated_ms, policy->rotate_every_ms);
}

static uint32_t
due_of(coat_bearer bearer, int64_t now_ms, int64_t next_due_ms)
{
    if (bearer == COAT_BEARER_PENDING)
        return COAT_DUE_CONFIRM;
    if (bearer == COAT_BEARER_CURRENT && now_ms >= next_due_ms)
        return COAT_DUE_ROTATE;
    return COAT_DUE_NOTHING;
}

/** Milliseconds since authentication, -1 if there was none. Never negative otherwise. */
static int64_t
auth_age(int64_t auth_ms, int64_t now_ms)
{
    int64_t age;

    if (auth_ms == 0)
        return -1;
    if (__builtin_sub_overflow(now_ms, auth_ms, &age))
        return auth_ms < 0 ? INT64_MAX : 0;
    return age > 0 ? age : 0;
}

bool
coat_judge_age(int64_t auth_ms, int64_t now_ms, const coat_demand *demand)
{
    int64_t age_ms = auth_age(auth_ms, now_ms);

    return demand->max_age_ms == 0 || (age_ms >= 0 && age_ms <= demand->max_age_ms);
}

/** Everything but the time since authentication, which depends on what is asked for. */
static coat_judgement
judge(const coat_record *record, coat_bearer bearer, int64_t now_ms, int64_t seen_ms,
      const coat_policy *policy)
{
    coat_judgement j = {.verdict = COAT_VERDICT_NONE, .auth_age_ms = -1, .bearer = bearer};
    coat_limits limits = limits_of(record);

    j.why = coat_judge_life(record, now_ms, seen_ms, policy);
    if (bearer != COAT_BEARER_NONE) {
        j.idle_end_ms = idle_end(&limits, seen_ms);
        j.absolute_end_ms = record->absolute_end_ms;
        j.ends_ms = coat_limits_end(&limits, seen_ms);
        j.auth_age_ms = auth_age(record->auth_ms, now_ms);
    }
    if (j.why != COAT_WHY_LIVE)
        return j; /* dead is dead, whatever the secret */
    if (bearer == COAT_BEARER_NONE) {
        j.verdict = COAT_VERDICT_STOLEN;
        j.why = COAT_WHY_REUSE;
        return j;
    }
    j.next_due_ms = rotation_due_ms(record, policy);
    j.due = due_of(bearer, now_ms, j.next_due_ms);
    j.verdict = COAT_VERDICT_LIVE;
    return j;
}

void
coat_judge(const coat_record *record, const coat_token *token, int64_t now_ms, int64_t seen_ms,
           const coat_policy *policy, const coat_demand *demand, coat_judgement *out)
{
    uint8_t digest[COAT_DIGEST_BYTES];
    coat_judgement j;

    coat_secret_digest(token->secret, digest);
    j = judge(record, bearer_of(record, digest, now_ms), now_ms, seen_ms, policy);
    sodium_memzero(digest, sizeof digest);
    if (j.verdict == COAT_VERDICT_LIVE && !coat_judge_age(record->auth_ms, now_ms, demand)) {
        j.verdict = COAT_VERDICT_STEP_UP;
        j.why = COAT_WHY_AGE;
    }
    *out = j;
}
