/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include <coatcheck/keys.h>
#include <string.h>

#define KEYS                                                                                   \
    "coatcheck-keys 1\n"                                                                       \
    "root 1111111111111111111111111111111111111111111111111111111111111111\n"                  \
    "key 7 1 2222222222222222222222222222222222222222222222222222222222222222\n"               \
    "key 8 1 3333333333333333333333333333333333333333333333333333333333333333\n"

static coat_keys *keys;

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    FUZZ_CHECK(coat_init() == COAT_OK);
    FUZZ_CHECK(coat_keys_parse(COAT_LIT(KEYS), &keys, NULL) == COAT_OK);
    return 0;
}

/**
 * Input: address (16), place and mask of a change (3), payload. What is sealed unseals to
 * itself; changed at any one place it does not. The raw input as sealed bytes points inside or
 * is refused with the output untouched.
 */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { PAYLOAD_MAX = 4096 };
    static uint8_t buf[PAYLOAD_MAX + COAT_SEAL_BYTES];
    uint8_t address[16] = {0}, change[3] = {0};
    coat_span payload = {NULL, 4711};
    const uint8_t *part;
    size_t got, at, len;

    if (coat_unseal(keys, 1, address, (coat_span){data, size}, &payload) == COAT_OK)
        FUZZ_CHECK(payload.ptr == data && payload.len + COAT_SEAL_BYTES == size);
    else
        FUZZ_CHECK(payload.ptr == NULL && payload.len == 4711);

    part = fuzz_take(&data, &size, sizeof address, &got);
    if (got > 0)
        memcpy(address, part, got);
    part = fuzz_take(&data, &size, sizeof change, &got);
    if (got > 0)
        memcpy(change, part, got);
    part = fuzz_take(&data, &size, PAYLOAD_MAX, &got);
    if (got > 0)
        memcpy(buf, part, got);
    len = got + COAT_SEAL_BYTES;
    coat_seal(keys, 1, address, buf, got);
    FUZZ_CHECK(coat_unseal(keys, 1, address, (coat_span){buf, len}, &payload) == COAT_OK);
    FUZZ_CHECK(payload.ptr == buf && payload.len == got);
    FUZZ_CHECK(coat_unseal(keys, 2, address, (coat_span){buf, len}, &payload) == COAT_TAMPERED);

    at = (size_t)(change[0] << 8 | change[1]) % len;
    buf[at] ^= change[2] != 0 ? change[2] : 1;
    FUZZ_CHECK(coat_unseal(keys, 1, address, (coat_span){buf, len}, &payload) == COAT_TAMPERED);
    return 0;
}
