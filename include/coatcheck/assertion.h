/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COATCHECK_ASSERTION_H
#define COATCHECK_ASSERTION_H

/**
 * Signed assertions (FA-10): who a request comes from, for one API and for a minute at most, so
 * that an API behind the gateway need ask nobody. And the public keys that verify them.
 *
 * An assertion is a JWT in the compact form of RFC 7515, signed with Ed25519 (RFC 8037). Its
 * header is exactly {"alg":"EdDSA","typ":"coatcheck+jwt","kid":...}; the type of its own (RFC
 * 8725 3.11) keeps it from being taken for another token, and another token for it. Claims,
 * always in this order: iss, aud (one string), sub, iat, exp, auth_time (if known), amr, roles,
 * sid. No white space, no claim twice, strings escaped as JSON.stringify() would: one spelling
 * only, so a verifier may refuse all others.
 *
 * It is a credential while it lives, but holds no secret: sid is the keyed digest that the
 * audit log shows for the session; it addresses nothing.
 *
 * The key pairs are derived from the installation's live keys: the newest signs, all of them
 * verify. kid is the thumbprint of the public key (RFC 7638), so it is the same after a restart
 * and names one key in the world.
 *
 * Pure; no allocation; any thread.
 */

#include <coatcheck/keys.h>

#define COAT_ASSERTION_TYPE "coatcheck+jwt"
#define COAT_ASSERTION_MAX 4096 /* characters: fields of HTTP have limits of their own */
#define COAT_ASSERTION_LIFETIME_MAX_MS 60000
#define COAT_ASSERTION_ISSUER_MAX 300
#define COAT_ASSERTION_AUDIENCE_MAX 128
#define COAT_JWKS_MAX 512

typedef struct coat_assertion {
    coat_span issuer, audience;
    coat_span user;           /* sub: any UTF-8, 1 to COAT_USER_MAX bytes */
    coat_span roles, methods; /* separated by spaces, as in a record */
    const coat_handle *handle;
    int64_t now_ms;      /* wall clock, not below 0: verifiers compare it with theirs */
    int64_t auth_ms;     /* 0: not told */
    int64_t lifetime_ms; /* 1 to COAT_ASSERTION_LIFETIME_MAX_MS; rounded up to seconds */
} coat_assertion;

/**
 * Sign with the newest key.
 *
 * @param buf  len characters, no NUL; untouched unless COAT_OK. COAT_ASSERTION_MAX are enough.
 * @retval COAT_MALFORMED  a text is not UTF-8 (RFC 3629): it cannot be told in JSON
 * @retval COAT_TOO_LARGE  over cap, COAT_ASSERTION_MAX, or the limit of a part
 * @retval COAT_INVALID    no issuer, audience or user, or a time out of range
 */
COAT_API coat_err coat_assertion_sign(const coat_keys *keys, const coat_assertion *assertion,
                                      char *buf, size_t cap, size_t *len) COAT_MUST_USE;

/**
 * The JWK Set (RFC 7517 5) with the public keys of all live keys, newest first.
 *
 * @param buf  no NUL; untouched unless COAT_OK. COAT_JWKS_MAX always suffices.
 * @retval COAT_TOO_LARGE
 */
COAT_API coat_err coat_assertion_jwks(const coat_keys *keys, char *buf, size_t cap,
                                      size_t *len) COAT_MUST_USE;

#endif
