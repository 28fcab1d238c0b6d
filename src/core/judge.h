/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_CORE_JUDGE_H
#define COAT_CORE_JUDGE_H

#include <coatcheck/judge.h>

/** coat_judge() for a caller that has computed the digest of the secret meanwhile. */
void coat_judge_digest(const coat_record *record, const uint8_t digest[COAT_DIGEST_BYTES],
                       int64_t now_ms, int64_t seen_ms, const coat_policy *policy,
                       const coat_demand *demand, coat_judgement *out) COAT_NONNULL;

/**
 * Is the session of this record within its limits, whoever asks? COAT_WHY_LIVE, or which limit
 * it has passed: epoch, absolute, idle. For those who may know it by other means than the
 * present secret; it gives nobody access.
 */
coat_why coat_judge_life(const coat_record *record, int64_t now_ms, int64_t seen_ms,
                         const coat_policy *policy) COAT_NONNULL;

#endif
