/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"
#include "store/value.h"

#include <string.h>

/* A stored value that decodes is written back as the same bytes; its payload lies within; what
 * does not decode leaves the output alone. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t head[COAT_VALUE_HEAD];
    coat_value value, before;
    coat_err err;

    memset(&before, 0xA5, sizeof before);
    value = before;
    err = coat_value_decode((coat_span){data, size}, &value);
    if (err != COAT_OK) {
        FUZZ_CHECK(err == COAT_MALFORMED || err == COAT_NEWER_FORMAT);
        FUZZ_CHECK(memcmp(&value, &before, sizeof before) == 0);
        return 0;
    }
    FUZZ_CHECK(value.payload.ptr == data + COAT_VALUE_HEAD);
    FUZZ_CHECK(value.payload.len == size - COAT_VALUE_HEAD);
    FUZZ_CHECK(value.payload.len <= COAT_STORE_VALUE_MAX);
    coat_value_head(&value, head);
    FUZZ_CHECK(memcmp(head, data, sizeof head) == 0);
    FUZZ_CHECK(coat_value_expired(&value, INT64_MAX) == (value.expires_ms != 0));
    return 0;
}
