/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COATCHECK_TARGET_H
#define COATCHECK_TARGET_H

/** Return targets after sign-in (RD-1, RD-2): parsed and written anew, never passed through. */

#include <coatcheck/origin.h>

#define COAT_TARGET_MAX 2048

/**
 * Validate a return target, as it stands in the request after exactly one decoding, and
 * re-serialize it: a path with one leading "/" (and query), or an allow-listed origin with such
 * a path. No fragment, userinfo, backslash, control or non-ASCII byte, no second slash after
 * the first, encoded or not. The result is percent-encoded and holds no CR, LF, NUL.
 * The result is NUL-terminated; len counts without the NUL.
 * @retval COAT_DENIED  use the configured default instead; buf untouched
 * @retval COAT_TOO_LARGE  buf is too small: COAT_TARGET_MAX + 1 is always enough
 */
COAT_API coat_err coat_target_check(coat_span target, const coat_origins *allowed, char *buf,
                                    size_t cap, size_t *len) COAT_MUST_USE;

/** Percent-encode for use as a query value (RFC 3986 unreserved stay), NUL-terminated.
 *  COAT_TOO_LARGE. */
COAT_API coat_err coat_percent_encode(coat_span text, char *buf, size_t cap,
                                      size_t *len) COAT_MUST_USE;
/** Decode %XX once; '+' is a space if form. COAT_MALFORMED on a bad escape.
 *  buf may be text.ptr itself. No NUL is added. */
COAT_API coat_err coat_percent_decode(coat_span text, bool form, uint8_t *buf, size_t cap,
                                      size_t *len) COAT_MUST_USE;

#endif
