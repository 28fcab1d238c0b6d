/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include <coatcheck/judge.h>
#include <coatcheck/record.h>
#include <string.h>

/**
 * Each of the three secrets, at each time at which something of the record ends or begins: a
 * secret counts only where the flags say that there is one, and nobody lives past a limit.
 */
static void
check_judged(coat_record record, uint64_t epoch_global)
{
    const int64_t times[] = {0,
                             record.created_ms,
                             record.seen_ms,
                             record.handed_ms,
                             record.previous_end_ms,
                             record.absolute_end_ms,
                             INT64_MAX};
    uint8_t *digests[] = {record.current_digest, record.pending_digest, record.previous_digest};
    coat_token token = {0};
    coat_demand demand = {.max_age_ms = record.auth_ms % 3 == 0 ? 1000 : 0};
    coat_policy policy;
    coat_judgement j;

    coat_policy_default(&policy);
    policy.epoch_global = epoch_global;
    policy.rotate_every_ms = record.rotated_ms % 2 == 0 ? policy.rotate_every_ms : 0;
    coat_secret_digest(token.secret, digests[record.created_ms % 3]);
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        coat_judge(&record, &token, times[i], times[i], &policy, &demand, &j);
        FUZZ_CHECK(j.bearer != COAT_BEARER_PENDING ||
                   (record.flags & COAT_RECORD_PENDING) != 0);
        FUZZ_CHECK(
            j.bearer != COAT_BEARER_PREVIOUS ||
            ((record.flags & COAT_RECORD_PREVIOUS) != 0 && times[i] < record.previous_end_ms));
        if (j.verdict == COAT_VERDICT_NONE)
            continue;
        FUZZ_CHECK(times[i] < record.absolute_end_ms && epoch_global <= record.epoch_global);
        FUZZ_CHECK(j.verdict != COAT_VERDICT_LIVE || demand.max_age_ms == 0 ||
                   (j.auth_age_ms >= 0 && j.auth_age_ms <= demand.max_age_ms));
    }
}

static void
inside(coat_span part, const uint8_t *data, size_t size)
{
    FUZZ_CHECK(part.ptr >= data && part.ptr <= data + size);
    FUZZ_CHECK(part.len <= (size_t)(data + size - part.ptr));
}

/**
 * What is accepted as a record is the one encoding of what was read, its parts lie inside the
 * input, and it can be judged; what is refused leaves the output alone.
 */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t again[COAT_RECORD_MAX];
    coat_token token = {0};
    coat_record record, before;
    coat_policy policy;
    coat_demand demand = {0};
    coat_judgement judgement;
    size_t len = 0;

    memset(&before, 0xA5, sizeof before);
    record = before;
    if (coat_record_view((coat_span){data, size}, &record) != COAT_OK) {
        FUZZ_CHECK(memcmp(&record, &before, sizeof before) == 0);
        return 0;
    }
    FUZZ_CHECK(size <= COAT_RECORD_MAX);
    inside(record.user, data, size);
    inside(record.roles, data, size);
    inside(record.methods, data, size);
    inside(record.first.agent, data, size);
    inside(record.last.language, data, size);
    inside(record.data, data, size);
    FUZZ_CHECK(coat_record_size(&record) == size);
    FUZZ_CHECK(coat_record_encode(&record, again, sizeof again, &len) == COAT_OK);
    FUZZ_CHECK(len == size && memcmp(again, data, size) == 0);

    check_judged(record, 0);
    check_judged(record, record.epoch_global);
    check_judged(record, UINT64_MAX);
    coat_policy_default(&policy);
    coat_judge(&record, &token, record.created_ms, 0, &policy, &demand, &judgement);
    FUZZ_CHECK(judgement.verdict != COAT_VERDICT_LIVE || judgement.bearer != COAT_BEARER_NONE);
    if (coat_rotate_apply(&record, &token, record.created_ms, &policy, &judgement))
        FUZZ_CHECK(coat_record_encode(&record, again, sizeof again, &len) == COAT_OK);
    return 0;
}
