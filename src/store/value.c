/* SPDX-License-Identifier: Apache-2.0 */
#include "store/value.h"

#include "core/bytes.h"

coat_err
coat_value_decode(coat_span bytes, coat_value *out)
{
    coat_value v;
    const uint8_t *p = bytes.ptr;

    if (bytes.len < 4 || p[0] != 'c' || p[1] != 'v')
        return COAT_MALFORMED;
    if (coat_load16(p + 2) > COAT_VALUE_FORMAT)
        return COAT_NEWER_FORMAT;
    if (coat_load16(p + 2) == 0 || bytes.len < COAT_VALUE_HEAD)
        return COAT_MALFORMED;
    v.payload.len = coat_load32(p + 4);
    if (v.payload.len != bytes.len - COAT_VALUE_HEAD || v.payload.len > COAT_STORE_VALUE_MAX)
        return COAT_MALFORMED;
    v.version = coat_load64(p + 8);
    v.expires_ms = (int64_t)coat_load64(p + 16);
    v.epoch_owner = coat_load64(p + 24);
    v.epoch_global = coat_load64(p + 32);
    if (v.expires_ms < 0)
        return COAT_MALFORMED;
    v.payload.ptr = p + COAT_VALUE_HEAD;
    *out = v;
    return COAT_OK;
}

void
coat_value_head(const coat_value *value, uint8_t head[COAT_VALUE_HEAD])
{
    head[0] = 'c';
    head[1] = 'v';
    coat_store16(head + 2, COAT_VALUE_FORMAT);
    coat_store32(head + 4, (uint32_t)value->payload.len);
    coat_store64(head + 8, value->version);
    coat_store64(head + 16, (uint64_t)value->expires_ms);
    coat_store64(head + 24, value->epoch_owner);
    coat_store64(head + 32, value->epoch_global);
}
