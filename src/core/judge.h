/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_CORE_JUDGE_H
#define COAT_CORE_JUDGE_H

#include <coatcheck/judge.h>

/** What a session's life is measured by, wherever it is kept. */
typedef struct coat_limits {
    uint64_t epoch_global;
    int64_t seen_ms, idle_ms, absolute_end_ms;
} coat_limits;

/** When it ends if nothing more is heard of it than at seen_ms. */
int64_t coat_limits_end(const coat_limits *limits, int64_t seen_ms) COAT_NONNULL;

/** coat_judge_life() for limits alone. */
coat_why coat_limits_judge(const coat_limits *limits, int64_t now_ms, int64_t seen_ms,
                           uint64_t epoch_global) COAT_NONNULL;

/** May a session authenticated at auth_ms (0: never) do what needs that demand? */
bool coat_judge_age(int64_t auth_ms, int64_t now_ms, const coat_demand *demand) COAT_NONNULL;

/**
 * Is the session of this record within its limits, whoever asks? COAT_WHY_LIVE, or which limit
 * it has passed: epoch, absolute, idle. For those who may know it by other means than the
 * present secret; it gives nobody access.
 */
coat_why coat_judge_life(const coat_record *record, int64_t now_ms, int64_t seen_ms,
                         const coat_policy *policy) COAT_NONNULL;

#endif
