/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_CORE_PLAIN_H
#define COAT_CORE_PLAIN_H

/** What each request says about its visitor is nearly always plain: these find that out. */

#include "core/chars.h"

#include <coatcheck/token.h>

/** Goes into a header field as it is (FA-5). */
static inline bool
coat_byte_is_plain(uint8_t c)
{
    return coat_char_is_visible(c) && c != '%';
}

/** Eight bytes at once, none of them below `least`: false only sends them the long way. */
static inline bool
coat_word_is_plain(uint64_t v, uint8_t least)
{
    const uint64_t ones = 0x0101010101010101U, high = ones * 0x80;
    uint64_t del = v ^ (ones * 0x7f), percent = v ^ (ones * '%');

    return (((v - ones * least) | (del - ones) | (percent - ones) | v) & high) == 0;
}

/** All bytes of less than eight, some of them twice, and the rest of the word plain. */
static inline uint64_t
coat_word_of_few(coat_span text)
{
    const uint8_t *p = text.ptr;

    if (text.len >= 4)
        return coat_load32(p) | (uint64_t)coat_load32(p + text.len - 4) << 32;
    if (text.len == 0)
        return 0x6161616161616161U;
    return 0x6161616161000000U | p[0] | (uint64_t)p[text.len / 2] << 8 |
           (uint64_t)p[text.len - 1] << 16;
}

static inline bool
coat_words_are_plain(coat_span text, uint8_t least)
{
    if (text.len < 8)
        return coat_word_is_plain(coat_word_of_few(text), least);
    for (size_t i = 0; i + 8 < text.len; i += 8)
        if (!coat_word_is_plain(coat_load64(text.ptr + i), least))
            return false;
    /* some bytes twice */
    return coat_word_is_plain(coat_load64(text.ptr + text.len - 8), least);
}

static inline bool
coat_span_is_plain(coat_span text)
{
    return coat_words_are_plain(text, '!');
}

/** But for spaces, as between roles. */
static inline bool
coat_span_is_spaced(coat_span text)
{
    return coat_words_are_plain(text, ' ');
}

/**
 * coat_handle_encode() of the handle that an opened token's text begins with: that is 16 of its
 * bytes, so 21 whole characters, and two bits of the next.
 */
static inline void
coat_handle_of_text(coat_span token, const coat_handle *handle, char text[COAT_HANDLE_CHARS])
{
    static const char last[] = "AQgw"; /* the four with no other bits */

    memcpy(text, token.ptr, COAT_HANDLE_CHARS - 1);
    text[COAT_HANDLE_CHARS - 1] = last[handle->bytes[COAT_HANDLE_BYTES - 1] & 3];
}

#endif
