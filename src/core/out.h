/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_CORE_OUT_H
#define COAT_CORE_OUT_H

/**
 * Text into a buffer of fixed size. Once something does not fit, `over` stays set and nothing
 * more is written: build first, ask once at the end. No NUL is added but by coat_out_end().
 */

#include "core/bytes.h"

typedef struct coat_out {
    char *buf;
    size_t cap, len;
    bool over;
} coat_out;

static inline coat_out
coat_out_init(char *buf, size_t cap)
{
    return (coat_out){buf, cap, 0, false};
}

static inline void
coat_out_bytes(coat_out *out, const void *bytes, size_t len)
{
    if (out->over || len > out->cap - out->len) {
        out->over = true;
        return;
    }
    if (len > 0)
        memcpy(out->buf + out->len, bytes, len);
    out->len += len;
}

static inline void
coat_out_span(coat_out *out, coat_span span)
{
    coat_out_bytes(out, span.ptr, span.len);
}

static inline void
coat_out_str(coat_out *out, const char *s)
{
    coat_out_bytes(out, s, strlen(s));
}

static inline void
coat_out_char(coat_out *out, char c)
{
    coat_out_bytes(out, &c, 1);
}

enum { COAT_DIGITS_MAX = 20 };

/** Decimal digits, the last of them just before end. @return the first of them */
static inline char *
coat_digits(uint64_t v, char *end)
{
    /* Two at a time: divisions are slow. */
    static const char pairs[] = "00010203040506070809101112131415161718192021222324"
                                "25262728293031323334353637383940414243444546474849"
                                "50515253545556575859606162636465666768697071727374"
                                "75767778798081828384858687888990919293949596979899";

    for (; v >= 10; v /= 100) {
        end -= 2;
        memcpy(end, pairs + 2 * (v % 100), 2);
        if (v < 100)
            return end;
    }
    *--end = (char)('0' + v);
    return end;
}

static inline void
coat_out_uint(coat_out *out, uint64_t v)
{
    char text[COAT_DIGITS_MAX], *end = text + sizeof text, *digits = coat_digits(v, end);

    coat_out_bytes(out, digits, (size_t)(end - digits));
}

static inline void
coat_out_int(coat_out *out, int64_t v)
{
    if (v < 0)
        coat_out_char(out, '-');
    coat_out_uint(out, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
}

static inline void
coat_out_hex(coat_out *out, const uint8_t *bytes, size_t len)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < len; i++) {
        coat_out_char(out, digits[bytes[i] >> 4]);
        coat_out_char(out, digits[bytes[i] & 15]);
    }
}

/** Terminate with NUL, cutting the last byte if need be. @return true if all of it fitted. */
static inline bool
coat_out_end(coat_out *out)
{
    if (out->cap == 0)
        return false;
    if (out->len == out->cap) {
        out->len--;
        out->over = true;
    }
    out->buf[out->len] = '\0';
    return !out->over;
}

#endif
