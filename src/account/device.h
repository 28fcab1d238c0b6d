/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_ACCOUNT_DEVICE_H
#define COAT_ACCOUNT_DEVICE_H

/**
 * The known-client value (LG-8): says that this client signed in to this account within 30
 * days. It opens nothing; it only moves the client out of the strangers' failure counter.
 *
 * base64url of: format u8 (1) | issued u64 BE ms | keyed BLAKE2b-128 over these, the account's
 * address and the time its password was set, so that a new password makes strangers of all.
 */

#include "account/policy.h"

#define COAT_DEVICE_BYTES 25
#define COAT_DEVICE_CHARS 34
#define COAT_DEVICE_MS ((int64_t)30 * 24 * 3600 * 1000)

/** text is COAT_DEVICE_CHARS characters, no NUL. */
void coat_device_make(const coat_policy *policy, const coat_handle *account,
                      int64_t password_ms, int64_t now_ms, char text[COAT_DEVICE_CHARS]);
/** Takes the same time whatever is wrong with it, once it has the right length. */
bool coat_device_known(const coat_policy *policy, const coat_handle *account,
                       int64_t password_ms, int64_t now_ms, coat_span text) COAT_MUST_USE;

#endif
