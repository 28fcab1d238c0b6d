/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"
#include "store/remote/value.h"

#include <string.h>

/* A value that decodes for an address is what encoding gives, byte for byte; what does not
 * leaves the output alone. The address asked for is the one in the input, or another. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t front[REMOTE_VALUE_FRONT], back[REMOTE_VALUE_BACK];
    coat_store_req req = {.space = COAT_SPACE_SESSION};
    coat_value value, before;
    coat_err err;

    if (size >= REMOTE_VALUE_HEAD)
        memcpy(req.address.bytes, data + 40, sizeof req.address.bytes);
    memset(&before, 0xA5, sizeof before);
    value = before;
    err = remote_value_decode((coat_span){data, size}, req.space, &req.address, &value);
    if (err != COAT_OK) {
        FUZZ_CHECK(err == COAT_MALFORMED || err == COAT_NEWER_FORMAT || err == COAT_TAMPERED);
        FUZZ_CHECK(memcmp(&value, &before, sizeof before) == 0);
        return 0;
    }
    req.expires_ms = value.expires_ms;
    req.epoch_owner = value.epoch_owner;
    req.epoch_global = value.epoch_global;
    remote_value_front(req.space, value.payload.len, front);
    remote_value_back(&req, back);
    FUZZ_CHECK(memcmp(front, data, sizeof front) == 0);
    FUZZ_CHECK(memcmp(back, data + 16, sizeof back) == 0);
    FUZZ_CHECK(value.payload.ptr == data + REMOTE_VALUE_HEAD);
    FUZZ_CHECK(value.payload.len == size - REMOTE_VALUE_HEAD);
    req.address.bytes[3] ^= 1;
    FUZZ_CHECK(remote_value_decode((coat_span){data, size}, req.space, &req.address, &value) ==
               COAT_TAMPERED);
    return 0;
}
