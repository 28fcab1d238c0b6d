/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_ACCOUNT_SCAN_H
#define COAT_ACCOUNT_SCAN_H

/** A bounded cursor over a hash string: literal parts, numbers, fields, base64. */

#include "core/bytes.h"
#include <sodium.h>

typedef struct coat_scan {
    coat_span rest;
} coat_scan;

static inline bool
coat_scan_text(coat_scan *scan, const char *text)
{
    size_t len = strlen(text);

    if (scan->rest.len < len || memcmp(scan->rest.ptr, text, len) != 0)
        return false;
    scan->rest.ptr += len;
    scan->rest.len -= len;
    return true;
}

/** Decimal without sign or leading zero, at most max. */
static inline bool
coat_scan_uint(coat_scan *scan, uint32_t max, uint32_t *out)
{
    uint64_t value = 0;
    size_t i = 0;

    while (i < scan->rest.len && scan->rest.ptr[i] >= '0' && scan->rest.ptr[i] <= '9') {
        value = value * 10 + (uint64_t)(scan->rest.ptr[i] - '0');
        i++;
        if (value > UINT32_MAX || i > 10)
            return false;
    }
    if (i == 0 || (i > 1 && scan->rest.ptr[0] == '0') || value > max)
        return false;
    scan->rest.ptr += i;
    scan->rest.len -= i;
    *out = (uint32_t)value;
    return true;
}

/** What stands before the next `stop`, or everything; the stop itself is eaten. */
static inline coat_span
coat_scan_field(coat_scan *scan, uint8_t stop)
{
    coat_span field = scan->rest;
    const uint8_t *end = field.len > 0 ? memchr(field.ptr, stop, field.len) : NULL;

    if (end == NULL) {
        scan->rest.ptr += field.len;
        scan->rest.len = 0;
        return field;
    }
    field.len = (size_t)(end - field.ptr);
    scan->rest.ptr += field.len + 1;
    scan->rest.len -= field.len + 1;
    return field;
}

/**
 * Canonical standard base64 (libsodium variant). libsodium 1.0.18 takes bytes above 0x7f for
 * characters of the alphabet, so what was decoded is encoded again and compared.
 */
static inline bool
coat_scan_base64(coat_span text, int variant, uint8_t *out, size_t cap, size_t *len)
{
    char again[192];
    size_t need;

    if (text.len == 0 || text.len >= sizeof again ||
        sodium_base642bin(out, cap, (const char *)text.ptr, text.len, NULL, len, NULL,
                          variant) != 0)
        return false;
    need = sodium_base64_encoded_len(*len, variant);
    if (need > sizeof again)
        return false;
    sodium_bin2base64(again, sizeof again, out, *len, variant);
    return need - 1 == text.len && memcmp(again, text.ptr, text.len) == 0;
}

#endif
