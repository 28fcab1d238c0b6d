/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_ENGINE_SKEW_H
#define COAT_ENGINE_SKEW_H

/**
 * How far this machine's effective time is from the store's clock (SF-10).
 *
 * Times in records are written by one instance and judged by others: one whose clock is off by
 * much would shorten or lengthen what it issues. So it issues nothing until both agree again.
 * Answers of EPOCHS carry the store's clock, and every sign-in asks for epochs: so what decides
 * is measured with it.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct coat_skew {
    atomic_bool known;
    _Atomic int64_t offset_ms; /* ours minus the store's, give or take half of a round trip */
    atomic_bool off;           /* over the limit, however long either way took */
} coat_skew;

/**
 * Take over a measurement.
 * @param limit_ms          what is more is off; 0: nothing is
 * @param store_ms          the store's clock; 0: it told none
 * @param sent_ms, heard_ms effective time when it was asked and when it had answered
 * @return has `off` changed?
 */
bool coat_skew_take(coat_skew *skew, int64_t limit_ms, int64_t store_ms, int64_t sent_ms,
                    int64_t heard_ms);

#endif
