/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_ACCOUNT_THROTTLE_H
#define COAT_ACCOUNT_THROTTLE_H

/**
 * Consecutive failures of an account, for each class of clients its own counter (LG-7, LG-8).
 * Decisions only; the counters' compare-and-set is the caller's.
 *
 * An attempt is counted as a failure before its password is looked at and taken back when it
 * was right, so that parallel guesses cannot share a count. Names without an account count in
 * one of a fixed number of places, where a later name pushes an earlier one out: guessing
 * names makes the store grow by no more than those.
 */

#include "account/policy.h"

#define COAT_WAIT_FROM 5 /* failures; then 1 s, doubling */
#define COAT_WAIT_MAX_MS (15 * 60 * 1000)
#define COAT_DECOY_PLACES 16384

typedef enum coat_client_class {
    COAT_CLIENT_UNKNOWN = 1,
    COAT_CLIENT_KNOWN = 2, /* signed in to this account within 30 days, or live session */
} coat_client_class;

typedef struct coat_counter {
    uint32_t failures;
    int64_t last_ms; /* of the last attempt */
    uint64_t whose;  /* which account: places of unknown names are shared */
} coat_counter;

#define COAT_COUNTER_BYTES 24
#define COAT_COUNTER_STORED (COAT_COUNTER_BYTES + COAT_MARK_BYTES)

/** Wait after so many failures. */
int64_t coat_throttle_wait_ms(uint32_t failures);
/** @return 0: try now; else milliseconds to wait */
int64_t coat_throttle_left_ms(const coat_counter *counter, int64_t now_ms);

/** Place of the counter of an account that exists, or does not (decoy). */
coat_handle coat_throttle_address(const coat_policy *policy, const coat_handle *account,
                                  coat_client_class client, bool decoy);
uint64_t coat_throttle_whose(const coat_handle *account);

void coat_counter_encode(const coat_policy *policy, const coat_handle *address,
                         const coat_counter *counter, uint8_t buf[COAT_COUNTER_STORED]);
/** A counter of another account reads as none. @retval COAT_TAMPERED, COAT_NEWER_FORMAT */
coat_err coat_counter_decode(const coat_policy *policy, const coat_handle *address,
                             coat_span stored, uint64_t whose, coat_counter *out) COAT_MUST_USE;

#endif
