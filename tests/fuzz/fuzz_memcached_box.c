/* SPDX-License-Identifier: Apache-2.0 */
#include "core/bytes.h"
#include "fuzz.h"
#include "store/memcached/box.h"

#include <stdlib.h>
#include <string.h>

/* A box, or a life, that decodes is what encoding gives, byte for byte; what does not leaves
 * the output alone. Once as it is, once with its sum mended, which anybody could do. */

static void
check_life(coat_span bytes)
{
    uint8_t again[MC_LIFE_BYTES];
    mc_life life, before;

    memset(&before, 0xA5, sizeof before);
    life = before;
    if (mc_life_decode(bytes, &life) != COAT_OK) {
        FUZZ_CHECK(memcmp(&life, &before, sizeof before) == 0);
        return;
    }
    FUZZ_CHECK(life.global <= MC_NUMBER_MAX);
    mc_life_encode(&life, again);
    FUZZ_CHECK(bytes.len == sizeof again && memcmp(again, bytes.ptr, sizeof again) == 0);
}

static void
check_box(coat_span bytes)
{
    coat_handle address = {{0}};
    remote_buffer again = {0};
    mc_box box, before;
    mc_entry entry;
    coat_span rest;
    coat_space space = bytes.len > 3 ? (coat_space)bytes.ptr[3] : COAT_SPACE_SESSION;
    uint32_t count = 0;
    coat_err err;

    if (bytes.len >= MC_BOX_HEAD)
        memcpy(address.bytes, bytes.ptr + 40, sizeof address.bytes);
    memset(&before, 0xA5, sizeof before);
    box = before;
    err = mc_box_decode(bytes, space, &address, &box);
    if (err != COAT_OK) {
        FUZZ_CHECK(err == COAT_MALFORMED || err == COAT_NEWER_FORMAT || err == COAT_TAMPERED);
        FUZZ_CHECK(memcmp(&box, &before, sizeof before) == 0);
        return;
    }
    FUZZ_CHECK(box.last <= MC_NUMBER_MAX && box.epoch <= box.last);
    mc_box_begin(&box, &again);
    for (rest = box.entries; mc_box_next(&rest, &entry); count++) {
        FUZZ_CHECK(entry.version <= box.last && entry.expires_ms >= 0);
        FUZZ_CHECK(entry.value.len <= COAT_STORE_VALUE_MAX);
        mc_box_add(&again, &entry);
    }
    FUZZ_CHECK(count == box.count);
    mc_box_end(&again, count, box.last);
    if (!again.failed)
        FUZZ_CHECK(again.len == bytes.len && memcmp(again.ptr, bytes.ptr, bytes.len) == 0);
    remote_buffer_free(&again);
    address.bytes[3] ^= 1;
    FUZZ_CHECK(mc_box_decode(bytes, space, &address, &box) == COAT_TAMPERED);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *mended = malloc(size + 1);

    if (mended == NULL)
        return 0;
    check_box((coat_span){data, size});
    check_life((coat_span){data, size});
    if (size > 0)
        memcpy(mended, data, size);
    if (size >= 16) {
        coat_store64(mended + 8, mc_sum((coat_span){mended, size}));
        check_box((coat_span){mended, size});
        check_life((coat_span){mended, size});
    }
    free(mended);
    return 0;
}
