/* SPDX-License-Identifier: Apache-2.0 */
#include "core/percent.h"

#include <coatcheck/target.h>

coat_err
coat_percent_encode(coat_span text, char *buf, size_t cap, size_t *len)
{
    return coat_percent_write(text, coat_char_is_unreserved, buf, cap, len);
}

coat_err
coat_percent_decode(coat_span text, bool form, uint8_t *buf, size_t cap, size_t *len)
{
    size_t need = 0, at = 0;

    for (size_t i = 0; i < text.len; i++, need++) {
        if (text.ptr[i] != '%')
            continue;
        if (text.len - i < 3 || coat_char_hex2(text.ptr + i + 1) < 0)
            return COAT_MALFORMED;
        i += 2;
    }
    if (need > cap)
        return COAT_TOO_LARGE;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];

        if (c == '%') {
            c = (uint8_t)coat_char_hex2(text.ptr + i + 1);
            i += 2;
        } else if (c == '+' && form) {
            c = ' ';
        }
        buf[at++] = c;
    }
    *len = at;
    return COAT_OK;
}
