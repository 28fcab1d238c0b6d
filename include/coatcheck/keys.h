/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COATCHECK_KEYS_H
#define COATCHECK_KEYS_H

/**
 * The installation's keys. One key file holds a root that never changes (it addresses owners
 * and accounts) and up to two live keys that rotate; every key in use is derived from one of
 * these by a labelled KDF (libsodium crypto_kdf), one label per purpose.
 *
 * Key file: text, 0600, owned by the service user. Line 1 "coatcheck-keys 1", then
 *   root <64 hex>
 *   key <id> <created_ms> <64 hex>      newest last; one or two of them
 * Anything else is refused with the line number.
 *
 * Memory: a coat_keys lives in locked, guard-paged memory excluded from dumps (HD-6).
 * Threads: immutable after loading, share freely.
 */

#include <coatcheck/token.h>

typedef struct coat_keys coat_keys;

#define COAT_KEY_BYTES 32
#define COAT_KEYS_LIVE 2

/** Purposes; the number is the KDF subkey id and never reused. */
typedef enum coat_key_use {
    COAT_KEY_TAG = 1,       /* rotating: cookie tag */
    COAT_KEY_SEAL = 2,      /* rotating: MAC over stored bytes */
    COAT_KEY_CSRF = 3,      /* rotating: CSRF tokens, pre-session */
    COAT_KEY_OWNER = 4,     /* root: user id -> owner */
    COAT_KEY_ACCOUNT = 5,   /* root: login name -> account address */
    COAT_KEY_AUDIT = 6,     /* root: session -> correlation digest in logs */
    COAT_KEY_THROTTLE = 7,  /* root: throttle and known-client addresses */
    COAT_KEY_ASSERTION = 8, /* rotating: seed of the Ed25519 assertion key */
    COAT_KEY_DEVICE = 9,    /* rotating: known-client cookie */
} coat_key_use;

/** Where a message about the file goes: line 0 means the file as a whole. */
typedef struct coat_keys_error {
    unsigned line;
    char text[160];
} coat_keys_error;

/** Parse the text of a key file. @retval COAT_MALFORMED with *error filled (may be NULL). */
COAT_API coat_err coat_keys_parse(coat_span text, coat_keys **out,
                                  coat_keys_error *error) COAT_MUST_USE;
/** A new set with one key. @retval COAT_RNG_FAILED */
COAT_API coat_err coat_keys_generate(int64_t now_ms, coat_rng_fn rng, void *rng_ctx,
                                     coat_keys **out) COAT_MUST_USE;
/** A copy of keys with a new newest key; the former newest stays accepted, an older one goes.
 */
COAT_API coat_err coat_keys_rotate(const coat_keys *keys, int64_t now_ms, coat_rng_fn rng,
                                   void *rng_ctx, coat_keys **out) COAT_MUST_USE;
/** Text of the key file into buf (wipe it). @retval COAT_TOO_LARGE; 512 bytes always do. */
COAT_API coat_err coat_keys_format(const coat_keys *keys, char *buf, size_t cap,
                                   size_t *len) COAT_MUST_USE;
COAT_API void coat_keys_free(coat_keys *keys);

/** Number of live rotating keys (1 or 2), and the id / creation of one; 0 is the newest. */
COAT_API uint32_t coat_keys_count(const coat_keys *keys);
COAT_API uint32_t coat_keys_id(const coat_keys *keys, uint32_t index);
COAT_API int64_t coat_keys_created_ms(const coat_keys *keys, uint32_t index);

/** Derived key of a rotating use; index 0 is the newest. Borrowed, 32 bytes, NULL if none. */
COAT_API const uint8_t *coat_keys_live(const coat_keys *keys, coat_key_use use, uint32_t index);
/** Derived key of a root use. Borrowed, 32 bytes. */
COAT_API const uint8_t *coat_keys_root(const coat_keys *keys, coat_key_use use);
COAT_API const coat_tag_keys *coat_keys_tags(const coat_keys *keys);

/** Owner of a user id: keyed hash, the same for all sessions of one user. */
COAT_API coat_owner coat_keys_owner(const coat_keys *keys, coat_span user);
/** Random owner for a session without a user. */
COAT_API coat_err coat_owner_random(coat_rng_fn rng, void *rng_ctx,
                                    coat_owner *out) COAT_MUST_USE;
/** 64-bit keyed digest of a handle for correlating log lines; not a store key (AU-2). */
COAT_API void coat_keys_audit_digest(const coat_keys *keys, const coat_handle *handle,
                                     char hex[16]);

/*
 * Seal: what binds stored bytes to their address (ST-2). The sealed form is
 *   payload | key id (u32 LE) | BLAKE2b-256 keyed MAC, truncated to 16, over
 *   kind | address | payload | key id
 */
#define COAT_SEAL_BYTES 20

/** Append the seal: buf holds payload_len bytes and has room for COAT_SEAL_BYTES more. */
COAT_API void coat_seal(const coat_keys *keys, uint8_t kind, const uint8_t address[16],
                        uint8_t *buf, size_t payload_len);
/** @retval COAT_TAMPERED  no live key fits; on COAT_OK *payload points into sealed */
COAT_API coat_err coat_unseal(const coat_keys *keys, uint8_t kind, const uint8_t address[16],
                              coat_span sealed, coat_span *payload) COAT_MUST_USE;

#endif
