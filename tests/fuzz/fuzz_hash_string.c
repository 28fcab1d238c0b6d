/* SPDX-License-Identifier: Apache-2.0 */

/* Hash strings for import: what passes the check is bounded in cost, has its kind named, and
 * what does not says why and leaves the output alone. */

#include "account/hash.h"
#include "fuzz.h"
#include <string.h>

/* A hash is up to date only by its own costs, under the pepper it was made with or none. */
static void
check_outdated(const coat_hash *hash)
{
    static const uint8_t pepper[COAT_PEPPER_BYTES] = {1};
    coat_hash_params params = {.kib = hash->kib, .passes = hash->passes};

    if (!coat_hash_outdated(hash, &params))
        FUZZ_CHECK(hash->kind == COAT_HASH_ARGON2ID && !hash->peppered);
    params.pepper = pepper;
    if (!coat_hash_outdated(hash, &params))
        FUZZ_CHECK(hash->kind == COAT_HASH_ARGON2ID && hash->peppered);
    params.passes++;
    FUZZ_CHECK(coat_hash_outdated(hash, &params));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const coat_span text = {data, size};
    const char *kind = NULL;
    char message[400] = "x";
    coat_hash hash, before;

    memset(&before, 0xA5, sizeof before);
    memcpy(&hash, &before, sizeof hash);
    if (coat_hash_parse(text, &hash, message, sizeof message) != COAT_OK) {
        FUZZ_CHECK(memcmp(&hash, &before, sizeof hash) == 0);
        FUZZ_CHECK(message[0] != '\0');
        FUZZ_CHECK(coat_hash_check(text, &kind, NULL, 0) != COAT_OK && kind == NULL);
        return 0;
    }
    check_outdated(&hash);
    FUZZ_CHECK(size > 0 && size <= COAT_HASH_MAX && hash.text.ptr == data);
    FUZZ_CHECK(hash.salt_len <= sizeof hash.salt && hash.tag_len <= sizeof hash.tag);
    if (hash.kind == COAT_HASH_ARGON2ID)
        FUZZ_CHECK(hash.salt_len >= 8 && hash.tag_len >= 16);
    if (coat_hash_check(text, &kind, message, sizeof message) != COAT_OK) {
        FUZZ_CHECK(kind == NULL && message[0] != '\0');
        return 0;
    }
    FUZZ_CHECK(kind != NULL && kind[0] != '\0' && !hash.peppered);
    FUZZ_CHECK(coat_hash_kib(&hash) <= COAT_IMPORT_KIB_MAX);
    FUZZ_CHECK((uint64_t)hash.kib * hash.passes <= COAT_IMPORT_WORK_MAX);
    FUZZ_CHECK(hash.rounds <= COAT_IMPORT_PBKDF2_MAX);
    return 0;
}
