/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include <coatcheck/csrf.h>
#include <string.h>

#define KEYS                                                                                   \
    "coatcheck-keys 1\n"                                                                       \
    "root 1111111111111111111111111111111111111111111111111111111111111111\n"                  \
    "key 7 1 2222222222222222222222222222222222222222222222222222222222222222\n"

static coat_keys *keys;
static const uint8_t *source;
static size_t source_len;

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    FUZZ_CHECK(coat_init() == COAT_OK);
    FUZZ_CHECK(coat_keys_parse(COAT_LIT(KEYS), &keys, NULL) == COAT_OK);
    return 0;
}

static coat_err
from_input(void *ctx, uint8_t *buf, size_t len)
{
    (void)ctx;
    memset(buf, 0, len);
    if (source_len > 0)
        memcpy(buf, source, len < source_len ? len : source_len);
    return COAT_OK;
}

/**
 * A string that is no token of ours is denied with outputs untouched (forging 128 bits is
 * beyond a fuzzer; the seeds hold real tokens, whose only spelling must come back). What is
 * issued with any randomness verifies for its session and for no other.
 */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const coat_handle handle = {{1}}, other_handle = {{2}};
    const uint8_t session_key[16] = {2}, other_key[16] = {3};
    const coat_span text = {data, size};
    char issued[COAT_CSRF_CHARS], pre[COAT_PRESESSION_CHARS];
    coat_handle bound = {{0xA5}};
    uint8_t bound_key[16] = {0xA5};

    if (coat_csrf_check(keys, &handle, session_key, text) == COAT_OK) {
        FUZZ_CHECK(size == COAT_CSRF_CHARS);
        FUZZ_CHECK(coat_csrf_check(keys, &handle, other_key, text) == COAT_DENIED);
        FUZZ_CHECK(coat_csrf_check_handle(keys, &handle, text) == COAT_OK);
    }
    FUZZ_CHECK(coat_csrf_check_handle(keys, &other_handle, text) == COAT_DENIED);
    if (coat_presession_bind(keys, text, 1000, &bound, bound_key) != COAT_OK)
        FUZZ_CHECK(bound.bytes[0] == 0xA5 && bound_key[0] == 0xA5);
    else
        FUZZ_CHECK(size == COAT_PRESESSION_CHARS);

    source = data;
    source_len = size;
    FUZZ_CHECK(coat_csrf_issue(keys, &handle, session_key, from_input, NULL, issued) ==
               COAT_OK);
    FUZZ_CHECK(coat_csrf_check(keys, &handle, session_key,
                               (coat_span){(uint8_t *)issued, sizeof issued}) == COAT_OK);
    FUZZ_CHECK(coat_csrf_check(keys, &handle, other_key,
                               (coat_span){(uint8_t *)issued, sizeof issued}) == COAT_DENIED);
    FUZZ_CHECK(coat_presession_issue(keys, 1000, from_input, NULL, pre) == COAT_OK);
    FUZZ_CHECK(coat_presession_bind(keys, (coat_span){(uint8_t *)pre, sizeof pre}, 1000, &bound,
                                    bound_key) == COAT_OK);
    return 0;
}
