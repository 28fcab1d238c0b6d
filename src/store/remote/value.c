/* SPDX-License-Identifier: Apache-2.0 */
#include "store/remote/value.h"

#include "core/bytes.h"

coat_err
remote_value_decode(coat_span bytes, coat_space space, const coat_handle *address,
                    coat_value *out)
{
    const uint8_t *p = bytes.ptr;
    coat_value v;

    if (bytes.len < 4 || p[0] != 'c' || p[1] != 'r' || p[2] == 0)
        return COAT_MALFORMED;
    if (p[2] > REMOTE_VALUE_FORMAT)
        return COAT_NEWER_FORMAT;
    if (bytes.len < REMOTE_VALUE_HEAD)
        return COAT_MALFORMED;
    v.payload.len = coat_load32(p + 4);
    if (v.payload.len != bytes.len - REMOTE_VALUE_HEAD || v.payload.len > COAT_STORE_VALUE_MAX)
        return COAT_MALFORMED;
    v.version = coat_load64(p + 8);
    v.expires_ms = (int64_t)coat_load64(p + 16);
    v.epoch_owner = coat_load64(p + 24);
    v.epoch_global = coat_load64(p + 32);
    if (v.expires_ms < 0)
        return COAT_MALFORMED;
    if (p[3] != space || memcmp(p + 40, address->bytes, sizeof address->bytes) != 0)
        return COAT_TAMPERED;
    v.payload.ptr = p + REMOTE_VALUE_HEAD;
    *out = v;
    return COAT_OK;
}

void
remote_value_front(coat_space space, size_t len, uint8_t front[REMOTE_VALUE_FRONT])
{
    front[0] = 'c';
    front[1] = 'r';
    front[2] = REMOTE_VALUE_FORMAT;
    front[3] = (uint8_t)space;
    coat_store32(front + 4, (uint32_t)len);
}

void
remote_value_back(const coat_store_req *req, uint8_t back[REMOTE_VALUE_BACK])
{
    coat_store64(back, (uint64_t)req->expires_ms);
    coat_store64(back + 8, req->epoch_owner);
    coat_store64(back + 16, req->epoch_global);
    memcpy(back + 24, req->address.bytes, sizeof req->address.bytes);
}
