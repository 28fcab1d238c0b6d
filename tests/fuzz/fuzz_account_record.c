/* SPDX-License-Identifier: Apache-2.0 */

/* Stored accounts: every accepted record has one encoding, its own bytes; no part is over its
 * maximum; a refused one leaves the output alone. */

#include "account/entry.h"
#include "fuzz.h"
#include <string.h>

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t again[COAT_ENTRY_MAX];
    coat_entry entry, before;
    coat_err err;

    memset(&before, 0xA5, sizeof before);
    memcpy(&entry, &before, sizeof entry);
    err = coat_entry_decode((coat_span){data, size}, &entry);
    if (err != COAT_OK) {
        FUZZ_CHECK(err == COAT_MALFORMED || err == COAT_NEWER_FORMAT);
        FUZZ_CHECK(memcmp(&entry, &before, sizeof entry) == 0);
        return 0;
    }
    FUZZ_CHECK(size <= COAT_ENTRY_MAX);
    FUZZ_CHECK(entry.name.len > 0 && entry.hash.ptr + entry.hash.len == data + size);
    FUZZ_CHECK(coat_entry_encode(&entry, again) == size);
    FUZZ_CHECK(memcmp(again, data, size) == 0);
    return 0;
}
