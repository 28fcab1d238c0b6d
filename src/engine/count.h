/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_ENGINE_COUNT_H
#define COAT_ENGINE_COUNT_H

/**
 * Counters that many threads raise on the hot path: a stripe for each few threads, a cache line
 * apart, summed up when read.
 */

#include <stdatomic.h>
#include <stdint.h>

typedef enum coat_count {
    COAT_COUNT_CHECKS,
    COAT_COUNT_TABLE_HITS,
    COAT_COUNT_TABLE_REFUSED,
    COAT_COUNT_SLOW_CHECKS,
    COAT_COUNT_CREATED,
    COAT_COUNT_ENDED,
    COAT_COUNT_ROTATED,
    COAT_COUNT_CONFIRMED,
    COAT_COUNT_REUSED,
    COAT_COUNT_EXPIRED,
    COAT_COUNT_EVICTED,
    COAT_COUNT_CONFLICTS,
    COAT_COUNT_STORE_ERRORS,
    COAT_COUNT_FOLDED,
    COAT_COUNT_SWEPT,
    COAT_COUNT_ALL
} coat_count;

enum { COAT_STRIPES = 16 };

typedef struct coat_counters {
    struct {
        _Alignas(128) _Atomic uint64_t n[COAT_COUNT_ALL];
    } stripe[COAT_STRIPES];
} coat_counters;

void coat_count_add(coat_counters *counters, coat_count which, uint64_t by);
uint64_t coat_count_get(coat_counters *counters, coat_count which);

#endif
