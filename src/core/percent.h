/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_CORE_PERCENT_H
#define COAT_CORE_PERCENT_H

#include "core/chars.h"

static inline bool
coat_char_is_unreserved(uint8_t c)
{
    return coat_char_is_alnum(c) || c == '-' || c == '.' || c == '_' || c == '~';
}

/**
 * Write text with every byte that keep() does not name as %XX; NUL-terminated. Inline, so that
 * keep() costs no call: identity passes here on each request.
 */
static inline coat_err
coat_percent_write(coat_span text, bool (*keep)(uint8_t), char *buf, size_t cap, size_t *len)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t need = text.len, at = 0;

    /* Size first, so that a failure leaves buf alone; where none is possible, not at all. */
    if (text.len >= cap)
        return COAT_TOO_LARGE;
    for (size_t i = 0; i < text.len && text.len > (cap - 1) / 3; i++)
        need += keep(text.ptr[i]) ? 0 : 2;
    if (need >= cap)
        return COAT_TOO_LARGE;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];

        if (keep(c)) {
            buf[at++] = (char)c;
            continue;
        }
        buf[at++] = '%';
        buf[at++] = digits[c >> 4];
        buf[at++] = digits[c & 15];
    }
    buf[at] = '\0';
    *len = at;
    return COAT_OK;
}

#endif
