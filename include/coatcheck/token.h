/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COATCHECK_TOKEN_H
#define COATCHECK_TOKEN_H

/**
 * The cookie value: handle (serial, owner), secret, tag. See ARCHITECTURE.md "Token".
 * Pure functions; no allocation; any thread.
 */

#include <coatcheck/base.h>

#define COAT_HANDLE_BYTES 16
#define COAT_OWNER_BYTES 8
#define COAT_SECRET_BYTES 16
#define COAT_TAG_BYTES 8
#define COAT_TOKEN_BYTES 40
/** 40 bytes in unpadded base64url (RFC 4648 section 5); the last character is canonical. */
#define COAT_TOKEN_CHARS 54
#define COAT_HANDLE_CHARS 22
#define COAT_TAG_KEY_BYTES 16
#define COAT_DIGEST_BYTES 32

/** Public address of a session: 8 bytes serial (big-endian, time first), 8 bytes owner. */
typedef struct coat_handle {
    uint8_t bytes[COAT_HANDLE_BYTES];
} coat_handle;

/** Keyed hash of a user id; random for a session without a user. */
typedef struct coat_owner {
    uint8_t bytes[COAT_OWNER_BYTES];
} coat_owner;

/** A decoded token. Holds a secret: wipe with coat_token_wipe(). */
typedef struct coat_token {
    coat_handle handle;
    uint8_t secret[COAT_SECRET_BYTES];
    uint8_t tag[COAT_TAG_BYTES];
} coat_token;

/** Tag keys by age: [0] signs, [1] (if count is 2) is still accepted. */
typedef struct coat_tag_keys {
    uint8_t key[2][COAT_TAG_KEY_BYTES];
    uint32_t count; /* 0: nothing is accepted */
} coat_tag_keys;

/**
 * Decode without checking the tag. Strict: exactly 54 characters, one spelling.
 * @retval COAT_NO_SESSION  anything else; *out untouched
 */
COAT_API coat_err coat_token_decode(coat_span text, coat_token *out) COAT_MUST_USE;

/**
 * Decode and refuse, without touching any store, what this installation did not issue.
 * @retval COAT_NO_SESSION  malformed or wrong tag; *out untouched
 */
COAT_API coat_err coat_token_open(coat_span text, const coat_tag_keys *keys,
                                  coat_token *out) COAT_MUST_USE;

/** Tag handle and secret under keys->key[0] into token->tag. */
COAT_API void coat_token_tag(coat_token *token, const coat_tag_keys *keys);

/** Encode; text is COAT_TOKEN_CHARS characters, no NUL. */
COAT_API void coat_token_encode(const coat_token *token, char text[COAT_TOKEN_CHARS]);

/**
 * Mint a token: a fresh serial for now_ms, the given owner, a random secret, tagged.
 * @retval COAT_RNG_FAILED  no random bytes: nothing was issued
 */
COAT_API coat_err coat_token_mint(coat_owner owner, int64_t now_ms, const coat_tag_keys *keys,
                                  coat_rng_fn rng, void *rng_ctx,
                                  coat_token *out) COAT_MUST_USE;

/** BLAKE2b-256 of the secret: what records hold in its place. */
COAT_API void coat_secret_digest(const uint8_t secret[COAT_SECRET_BYTES],
                                 uint8_t out[COAT_DIGEST_BYTES]);

COAT_API void coat_token_wipe(coat_token *token);

/** Handle as 22 canonical base64url characters, and back. COAT_MALFORMED if not canonical. */
COAT_API void coat_handle_encode(const coat_handle *handle, char text[COAT_HANDLE_CHARS]);
COAT_API coat_err coat_handle_decode(coat_span text, coat_handle *out) COAT_MUST_USE;
COAT_API coat_owner coat_handle_owner(const coat_handle *handle);
/** Creation time in the handle: milliseconds, to be shown only, never trusted. */
COAT_API int64_t coat_handle_time_ms(const coat_handle *handle);
COAT_API bool coat_handle_equal(const coat_handle *a, const coat_handle *b);

/**
 * Canonical unpadded base64url (RFC 4648 section 5), ours because libsodium 1.0.18 decodes
 * bytes 0x80-0xFF as alphabet. Time does not depend on the content.
 * @param out_len  exactly the decoded length: text.len must be its one encoding's length
 * @retval COAT_MALFORMED  wrong length, foreign character, unused bits set; out untouched
 */
COAT_API coat_err coat_b64url_decode(coat_span text, uint8_t *out,
                                     size_t out_len) COAT_MUST_USE;
/** Writes (len * 8 + 5) / 6 characters, no NUL. */
COAT_API void coat_b64url_encode(const uint8_t *bytes, size_t len, char *text);

#endif
