/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_CORE_CHARS_H
#define COAT_CORE_CHARS_H

/** Character classes of HTTP and URIs, always ASCII: <ctype.h> asks the locale. */

#include "core/bytes.h"

static inline bool
coat_char_is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static inline bool
coat_char_is_lower(uint8_t c)
{
    return c >= 'a' && c <= 'z';
}

static inline bool
coat_char_is_alnum(uint8_t c)
{
    return coat_char_is_digit(c) || coat_char_is_lower(coat_ascii_lower(c));
}

/** 0x21 to 0x7e. */
static inline bool
coat_char_is_visible(uint8_t c)
{
    return c > 0x20 && c < 0x7f;
}

/** tchar of RFC 9110 5.6.2. */
static inline bool
coat_char_is_token(uint8_t c)
{
    return coat_char_is_alnum(c) || (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

/** Value of a hexadecimal digit, or -1. */
static inline int
coat_char_hex(uint8_t c)
{
    uint8_t lower = coat_ascii_lower(c);

    if (coat_char_is_digit(c))
        return c - '0';
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/** Value of two hexadecimal digits, or -1. */
static inline int
coat_char_hex2(const uint8_t *p)
{
    int high = coat_char_hex(p[0]), low = coat_char_hex(p[1]);

    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

static inline bool
coat_span_is_token(coat_span span)
{
    for (size_t i = 0; i < span.len; i++)
        if (!coat_char_is_token(span.ptr[i]))
            return false;
    return span.len > 0;
}

static inline bool
coat_span_is_visible(coat_span span)
{
    for (size_t i = 0; i < span.len; i++)
        if (!coat_char_is_visible(span.ptr[i]))
            return false;
    return true;
}

static inline coat_span
coat_span_slice(coat_span span, size_t from, size_t to)
{
    return (coat_span){span.ptr + from, to - from};
}

/** OWS of RFC 9110 5.6.3. */
static inline bool
coat_char_is_ows(uint8_t c)
{
    return c == ' ' || c == '\t';
}

/** Without OWS at both ends. */
static inline coat_span
coat_span_trim(coat_span span)
{
    while (span.len > 0 && coat_char_is_ows(span.ptr[0])) {
        span.ptr++;
        span.len--;
    }
    while (span.len > 0 && coat_char_is_ows(span.ptr[span.len - 1]))
        span.len--;
    return span;
}

static inline bool
coat_span_starts(coat_span span, coat_span prefix)
{
    return span.len >= prefix.len &&
           (prefix.len == 0 || memcmp(span.ptr, prefix.ptr, prefix.len) == 0);
}

static inline bool
coat_span_starts_nocase(coat_span span, coat_span prefix)
{
    return span.len >= prefix.len &&
           coat_span_is_nocase((coat_span){span.ptr, prefix.len}, prefix);
}

/** Index of a byte, or span.len. */
static inline size_t
coat_span_find(coat_span span, uint8_t c)
{
    const uint8_t *at = span.len > 0 ? memchr(span.ptr, c, span.len) : NULL;

    return at != NULL ? (size_t)(at - span.ptr) : span.len;
}

/**
 * Take what stands before the next separator off the front of *rest, trimmed. The separator
 * goes too; after the last element *rest is {NULL, 0}. Each byte is passed once.
 */
static inline bool
coat_span_split(coat_span *rest, uint8_t separator, coat_span *element)
{
    size_t at;

    if (rest->ptr == NULL)
        return false;
    at = coat_span_find(*rest, separator);
    *element = coat_span_trim(coat_span_slice(*rest, 0, at));
    *rest = at < rest->len ? coat_span_slice(*rest, at + 1, rest->len) : (coat_span){NULL, 0};
    return true;
}

#endif
