/* SPDX-License-Identifier: Apache-2.0 */
#include <coatcheck/forward.h>

#include "core/bytes.h"
#include "core/percent.h"

static bool
byte_is_kept(uint8_t c)
{
    return coat_char_is_visible(c) && c != '%';
}

/* Most identities are plain. Eight bytes at a time: false only sends them the long way. */
static inline bool
word_is_kept(const uint8_t *p)
{
    const uint64_t ones = 0x0101010101010101U, high = ones * 0x80;
    uint64_t v = coat_load64(p), del = v ^ (ones * 0x7f), percent = v ^ (ones * '%');

    return (((v - ones * 0x21) | (del - ones) | (percent - ones) | v) & high) == 0;
}

static bool
all_kept(coat_span text)
{
    size_t i = 0;

    if (text.len >= 8) { /* the last word may overlap the one before it */
        for (; i + 8 < text.len; i += 8)
            if (!word_is_kept(text.ptr + i))
                return false;
        return word_is_kept(text.ptr + text.len - 8);
    }
    while (i < text.len && byte_is_kept(text.ptr[i]))
        i++;
    return i == text.len;
}

coat_err
coat_identity_encode(coat_span value, char *buf, size_t cap, size_t *len)
{
    size_t room = cap <= COAT_IDENTITY_MAX ? cap : COAT_IDENTITY_MAX + 1;

    if (value.len >= room || value.len == 0 || !all_kept(value))
        return coat_percent_write(value, byte_is_kept, buf, room, len);
    memcpy(buf, value.ptr, value.len);
    buf[value.len] = '\0';
    *len = value.len;
    return COAT_OK;
}
