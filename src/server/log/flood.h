/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_SERVER_LOG_FLOOD_H
#define COAT_SERVER_LOG_FLOOD_H

/** So many of one kind a second, the rest summed up (AU-5). Pure; the caller locks. */

#include <coatcheck/base.h>

typedef struct coat_flood {
    int64_t began_ms; /* of the running second; meaningful if passed > 0 */
    uint32_t passed;
    uint64_t held; /* summed up since it began */
} coat_flood;

/**
 * One more of its kind.
 * @param sum  how many were held back in a second that is over now: report them first
 * @return true: let it pass
 */
bool coat_flood_admit(coat_flood *flood, uint32_t most, int64_t now_ms, uint64_t *sum);
/** As time goes by without a further one. @return the same sum, 0 if there is none yet */
uint64_t coat_flood_tick(coat_flood *flood, int64_t now_ms, bool last);

#endif
