/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_CORE_UTF8_H
#define COAT_CORE_UTF8_H

#include <coatcheck/base.h>

/**
 * The code point at the start of text, after RFC 3629: no overlong forms, no surrogates.
 * @return its length in bytes, 0 if what stands there is not UTF-8
 */
static inline size_t
coat_utf8_next(coat_span text, uint32_t *point)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    uint8_t first = text.len > 0 ? text.ptr[0] : 0xff;
    size_t n = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;

    if (n == 0 || n > text.len || first > 0xf4)
        return 0;
    *point = n == 1 ? first : first & (0x7fU >> n);
    for (size_t i = 1; i < n; i++) {
        if ((text.ptr[i] & 0xc0) != 0x80)
            return 0;
        *point = *point << 6 | (text.ptr[i] & 0x3fU);
    }
    if (*point < least[n] || *point > 0x10ffff || (*point >= 0xd800 && *point < 0xe000))
        return 0;
    return n;
}

#endif
