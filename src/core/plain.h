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

/** A byte in each byte of a word. */
#define COAT_WORD_OF(c) (0x0101010101010101U * (uint8_t)(c))

/** Of eight bytes at once: bits in those that are not plain, or follow one that is not. */
static inline uint64_t
coat_word_not_plain(uint64_t v)
{
    uint64_t del = v ^ COAT_WORD_OF(0x7f), percent = v ^ COAT_WORD_OF('%');

    return ((del - COAT_WORD_OF(1)) | (percent - COAT_WORD_OF(1)) | v) & COAT_WORD_OF(0x80);
}

static inline uint64_t
coat_word_below(uint64_t v, uint8_t least)
{
    return (v - COAT_WORD_OF(least)) & COAT_WORD_OF(0x80);
}

/** The 1 to 7 bytes there as a word, with letters behind them. */
static inline uint64_t
coat_word_of_few(const uint8_t *p, size_t len)
{
    uint64_t letters = COAT_WORD_OF('a') << 8 * len;

    if (len >= 4) /* some bytes twice, at the same place */
        return coat_load32(p) | (uint64_t)coat_load32(p + len - 4) << 8 * (len - 4) | letters;
    return p[0] | (uint64_t)p[len / 2] << 8 * (len / 2) |
           (uint64_t)p[len - 1] << 8 * (len - 1) | letters;
}

/** What coat_plain_put() needs beside three bytes for each: it writes whole words. */
#define COAT_PLAIN_SPARE 8

/**
 * Write text as a header field has it (FA-5), if nothing in it has to be encoded but spaces, as
 * between roles. `to` has room for 3 * text.len + COAT_PLAIN_SPARE.
 * @return the end of what was written, where a NUL is; NULL: there is more to be encoded
 */
static inline uint8_t *
coat_plain_put(coat_span text, uint8_t *to)
{
    const uint8_t *p = text.ptr;
    size_t left = text.len;

    while (left > 0) {
        size_t part = left < 8 ? left : 8;
        uint64_t v = left < 8 ? coat_word_of_few(p, left) : coat_load64(p);
        uint64_t low = coat_word_below(v, '!');

        coat_store64(to, v);
        if ((coat_word_not_plain(v) | low) != 0) {
            if ((coat_word_not_plain(v) | coat_word_below(v, ' ')) != 0)
                return NULL;
            part = (size_t)__builtin_ctzll(low) / 8; /* up to its first space */
            memcpy(to + part, "%20", 3);
            to += 2;
            part++;
        }
        to += part;
        p += part;
        left -= part;
    }
    *to = '\0';
    return to;
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
