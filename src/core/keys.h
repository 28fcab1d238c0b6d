/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_CORE_KEYS_H
#define COAT_CORE_KEYS_H

/** What keys.c and keyfile.c share. */

#include <coatcheck/keys.h>

enum { COAT_KEY_USES = 10 }; /* numbers of coat_key_use are below this */

typedef struct coat_key_live {
    uint8_t key[COAT_KEY_BYTES];
    int64_t created_ms;
    uint32_t id; /* never 0 */
} coat_key_live;

/** The content of a key file. live[0] is the newest. Secret: lives in guarded memory. */
typedef struct coat_key_set {
    uint8_t root[COAT_KEY_BYTES];
    coat_key_live live[COAT_KEYS_LIVE];
    uint32_t count;
} coat_key_set;

enum { COAT_SIGNER_BYTES = 64, COAT_SIGNER_KID_CHARS = 43 };

/** A live key as it signs assertions: expanded once, not for each signature. */
typedef struct coat_signer {
    uint8_t secret[COAT_SIGNER_BYTES]; /* of Ed25519: seed, public key */
    char kid[COAT_SIGNER_KID_CHARS];
} coat_signer;

struct coat_keys {
    coat_key_set set;
    coat_tag_keys tags;
    uint8_t root[COAT_KEY_USES][COAT_KEY_BYTES];
    uint8_t live[COAT_KEYS_LIVE][COAT_KEY_USES][COAT_KEY_BYTES];
    coat_signer signer[COAT_KEYS_LIVE];
};

/** A writable coat_keys of zeros in guarded memory; NULL: no memory. */
coat_keys *coat_keys_alloc(void) COAT_MUST_USE;

/**
 * What makes a set usable: ids above 0 that fall with age, and no key of zeros or used twice
 * (ST-2: one key, one purpose). @return NULL, or what is wrong
 */
const char *coat_key_set_wrong(const coat_key_set *set);

/** The signer that a seed (COAT_KEY_ASSERTION) makes; straight into its place, no copies. */
void coat_signer_expand(const uint8_t seed[static COAT_KEY_BYTES], coat_signer *signer);

/** Derive all keys from keys->set and make the memory read-only. */
coat_err coat_keys_seal_memory(coat_keys *keys) COAT_MUST_USE;

#endif
