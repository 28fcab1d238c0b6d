/* SPDX-License-Identifier: Apache-2.0 */
#include "core/bytes.h"
#include "fuzz.h"

#include <coatcheck/token.h>
#include <string.h>

/* As of tokens; and a handle is the front of the token that it belongs to. */
static void
check_handle(coat_span text)
{
    coat_handle handle, before;
    char again[COAT_HANDLE_CHARS];
    coat_owner owner;

    memset(&before, 0xA5, sizeof before);
    handle = before;
    if (coat_handle_decode(text, &handle) != COAT_OK) {
        FUZZ_CHECK(coat_handle_equal(&handle, &before));
        return;
    }
    coat_handle_encode(&handle, again);
    FUZZ_CHECK(coat_span_is(text, (coat_span){(const uint8_t *)again, sizeof again}));
    owner = coat_handle_owner(&handle);
    FUZZ_CHECK(memcmp(owner.bytes, handle.bytes + sizeof handle - sizeof owner, sizeof owner) ==
               0);
    FUZZ_CHECK(coat_handle_time_ms(&handle) >= 0);
}

/* A token text that decodes has exactly one spelling, and refusing leaves the output alone. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const coat_tag_keys keys = {.key = {{1}, {2}}, .count = 2};
    char text[COAT_TOKEN_CHARS];
    coat_token token, before, opened;

    check_handle((coat_span){data, size});
    memset(&before, 0xA5, sizeof before);
    token = before;
    opened = before;
    if (coat_token_decode((coat_span){data, size}, &token) != COAT_OK) {
        FUZZ_CHECK(memcmp(&token, &before, sizeof before) == 0);
        FUZZ_CHECK(coat_token_open((coat_span){data, size}, &keys, &opened) != COAT_OK);
        FUZZ_CHECK(memcmp(&opened, &before, sizeof before) == 0);
        return 0;
    }
    coat_token_encode(&token, text);
    FUZZ_CHECK(size == sizeof text && memcmp(text, data, size) == 0);

    /* Opening agrees with tagging: what we tag opens, what opens is what we tag. */
    if (coat_token_open((coat_span){data, size}, &keys, &opened) == COAT_OK)
        FUZZ_CHECK(memcmp(&opened, &token, sizeof token) == 0);
    else
        FUZZ_CHECK(memcmp(&opened, &before, sizeof before) == 0);
    coat_token_tag(&token, &keys);
    coat_token_encode(&token, text);
    FUZZ_CHECK(coat_token_open((coat_span){(const uint8_t *)text, sizeof text}, &keys,
                               &opened) == COAT_OK);
    FUZZ_CHECK(memcmp(&opened, &token, sizeof token) == 0);
    return 0;
}
