/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COATCHECK_CSRF_H
#define COATCHECK_CSRF_H

/**
 * CSRF tokens (CS-2, CS-3) and the pre-session of the sign-in form (CS-6).
 * A CSRF token is salt (16 random bytes) | MAC of the session | MAC of the handle:
 *   BLAKE2b-128(installation CSRF key, "csrf" | session CSRF key | handle | salt)
 *   BLAKE2b-128(installation CSRF key, "hand" | handle | salt)
 * With a salt of its own for each delivery no part of it is ever the same twice, which is what
 * a mask is for (CS-3). Both live key generations verify. Pure; any thread.
 */

#include <coatcheck/keys.h>

#define COAT_CSRF_BYTES 48 /* salt 16, two MACs of 16 */
#define COAT_CSRF_CHARS 64
#define COAT_PRESESSION_BYTES 40 /* time 8, random 16, MAC 16 */
#define COAT_PRESESSION_CHARS 54
#define COAT_PRESESSION_LIFE_MS (10 * 60 * 1000)

/** @retval COAT_RNG_FAILED */
COAT_API coat_err coat_csrf_issue(const coat_keys *keys, const coat_handle *handle,
                                  const uint8_t session_key[16], coat_rng_fn rng, void *rng_ctx,
                                  char text[COAT_CSRF_CHARS]) COAT_MUST_USE;
/** @retval COAT_DENIED  anything but a valid token of this session */
COAT_API coat_err coat_csrf_check(const coat_keys *keys, const coat_handle *handle,
                                  const uint8_t session_key[16], coat_span text) COAT_MUST_USE;
/**
 * Was it issued for the session of this handle? For when the record, and so its key, cannot be
 * read: enough to end that session (SF-4), and for nothing else.
 * @retval COAT_DENIED
 */
COAT_API coat_err coat_csrf_check_handle(const coat_keys *keys, const coat_handle *handle,
                                         coat_span text) COAT_MUST_USE;

/*
 * Pre-session: a signed, short-lived cookie of its own (never the session cookie's name), no
 * record behind it. The form's token is bound to it: coat_csrf_* with coat_presession_bind().
 */
COAT_API coat_err coat_presession_issue(const coat_keys *keys, int64_t now_ms, coat_rng_fn rng,
                                        void *rng_ctx,
                                        char text[COAT_PRESESSION_CHARS]) COAT_MUST_USE;
/** Check and derive the pair that coat_csrf_issue/check take. @retval COAT_DENIED */
COAT_API coat_err coat_presession_bind(const coat_keys *keys, coat_span text, int64_t now_ms,
                                       coat_handle *handle,
                                       uint8_t session_key[16]) COAT_MUST_USE;

#endif
