/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include <coatcheck/judge.h>
#include <coatcheck/record.h>
#include <string.h>

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

    coat_policy_default(&policy);
    coat_judge(&record, &token, record.created_ms, 0, &policy, &demand, &judgement);
    FUZZ_CHECK(judgement.verdict != COAT_VERDICT_LIVE || judgement.bearer != COAT_BEARER_NONE);
    if (coat_rotate_apply(&record, &token, record.created_ms, &policy, &judgement))
        FUZZ_CHECK(coat_record_encode(&record, again, sizeof again, &len) == COAT_OK);
    return 0;
}
