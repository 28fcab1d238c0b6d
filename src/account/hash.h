/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_ACCOUNT_HASH_H
#define COAT_ACCOUNT_HASH_H

/**
 * Password hashes (LG-1, LG-2): ours are Argon2id in PHC form; those of other systems are
 * checked and replaced at the first sign-in. A string is parsed, and its costs are held against
 * caps, before anything is computed. Any thread.
 */

#include <coatcheck/account.h>

#define COAT_SALT_BYTES 16
#define COAT_HASH_TAG_BYTES 32
#define COAT_PEPPER_BYTES 32
#define COAT_PEPPER_ID_BYTES 4

/* Caps on what an imported hash may cost. The first three allow what libcrypt, passlib and
 * Django produce by default and take about a second at most. */
#define COAT_IMPORT_KIB_MAX (64U * 1024)
#define COAT_IMPORT_BCRYPT_MAX 14U
#define COAT_IMPORT_ROUNDS_MAX 1000000U /* sha256crypt, sha512crypt */
#define COAT_IMPORT_PBKDF2_MAX 2000000U
#define COAT_IMPORT_WORK_MAX (1024U * 1024) /* Argon2, scrypt: KiB filled, over all passes */
#define COAT_IMPORT_LANES_MAX 16U

/* X(name, text) */
#define COAT_HASH_KIND_MAP(X)                                                                  \
    X(ARGON2ID, "argon2id")                                                                    \
    X(ARGON2I, "argon2i")                                                                      \
    X(BCRYPT, "bcrypt")                                                                        \
    X(SHA256CRYPT, "sha256crypt")                                                              \
    X(SHA512CRYPT, "sha512crypt")                                                              \
    X(MD5CRYPT, "md5crypt")                                                                    \
    X(YESCRYPT, "yescrypt")                                                                    \
    X(SCRYPT_CRYPT, "scrypt")                                                                  \
    X(SCRYPT, "scrypt")                                                                        \
    X(PBKDF2_SHA256, "pbkdf2-sha256")                                                          \
    X(APR1, "apr1")                                                                            \
    X(SHA1, "sha1")

typedef enum coat_hash_kind {
    COAT_HASH_NONE = 0,
#define X(name, text) COAT_HASH_##name,
    COAT_HASH_KIND_MAP(X)
#undef X
        COAT_HASH_KIND_COUNT
} coat_hash_kind;

/** What new hashes are made with. */
typedef struct coat_hash_params {
    uint32_t kib, passes;
    const uint8_t *pepper; /* 32 bytes or NULL */
} coat_hash_params;

/** A hash string, read. Spans borrow from it. */
typedef struct coat_hash {
    coat_hash_kind kind;
    coat_span text;
    uint32_t kib, passes, lanes; /* Argon2; scrypt: lanes */
    uint32_t rounds;             /* PBKDF2 iterations; scrypt: log2 N; bcrypt: cost */
    uint32_t block;              /* scrypt: r */
    uint8_t salt[64];
    size_t salt_len;
    uint8_t tag[64];
    size_t tag_len;
    bool peppered;
    uint8_t pepper_id[COAT_PEPPER_ID_BYTES];
} coat_hash;

const char *coat_hash_kind_name(coat_hash_kind kind);

/**
 * Read a hash string of any supported kind.
 * @param message  what is wrong and what would be right; may be NULL
 * @retval COAT_UNSUPPORTED  known, but not checked by this build
 * @retval COAT_TOO_LARGE    costs more than the caps allow
 * @retval COAT_MALFORMED
 */
coat_err coat_hash_parse(coat_span text, coat_hash *out, char *message,
                         size_t cap) COAT_MUST_USE;

/** Memory that checking it takes. */
uint32_t coat_hash_kib(const coat_hash *hash);

/** True if it is not what params would make now: kind, costs, salt, tag or pepper differ. */
bool coat_hash_outdated(const coat_hash *hash, const coat_hash_params *params);

/** @return true if the password (NFC) is the one hashed; false too when memory is short. */
bool coat_hash_verify(const coat_hash *hash, const coat_hash_params *params,
                      coat_span password) COAT_MUST_USE;

/** Argon2id of the password as PHC string with NUL. @retval COAT_NO_MEMORY */
coat_err coat_hash_make(const coat_hash_params *params, coat_span password,
                        const uint8_t salt[COAT_SALT_BYTES],
                        char text[COAT_HASH_MAX + 1]) COAT_MUST_USE;

/** As much work as a verification of a hash made with params; tells nothing. */
void coat_hash_decoy(const coat_hash_params *params, coat_span password,
                     const uint8_t salt[COAT_SALT_BYTES]);

/** The floor of LG-1. @return NULL, or what would be right */
const char *coat_hash_params_fault(uint32_t kib, uint32_t passes);

#endif
