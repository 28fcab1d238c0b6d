/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_STORE_VALUE_H
#define COAT_STORE_VALUE_H

/**
 * A stored value: "cv" | format u16 | payload length u32 | version u64 | expires i64 |
 * owner's epoch u64 | global epoch u64 | payload; little-endian.
 */

#include <coatcheck/store.h>

enum { COAT_VALUE_HEAD = 40, COAT_VALUE_FORMAT = 1 };

typedef struct coat_value {
    uint64_t version;
    int64_t expires_ms;
    uint64_t epoch_owner, epoch_global;
    coat_span payload;
} coat_value;

/** @retval COAT_MALFORMED, COAT_NEWER_FORMAT  deny, and leave the bytes where they are */
coat_err coat_value_decode(coat_span bytes, coat_value *out);
/** The head that goes before value->payload. */
void coat_value_head(const coat_value *value, uint8_t head[COAT_VALUE_HEAD]);

static inline bool
coat_value_expired(const coat_value *value, int64_t now_ms)
{
    return value->expires_ms != 0 && value->expires_ms <= now_ms;
}

#endif
