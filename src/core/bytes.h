/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_CORE_BYTES_H
#define COAT_CORE_BYTES_H

/**
 * Little- and big-endian integers, and small helpers on spans. Written without loops: that is
 * what compilers turn into one load or store.
 */

#include <coatcheck/base.h>
#include <string.h>

static inline uint16_t
coat_load16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t
coat_load32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t
coat_load64(const uint8_t *p)
{
    return (uint64_t)coat_load32(p) | (uint64_t)coat_load32(p + 4) << 32;
}

static inline uint64_t
coat_load64be(const uint8_t *p)
{
    return __builtin_bswap64(coat_load64(p));
}

static inline void
coat_store16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

static inline void
coat_store32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
    p[2] = (uint8_t)(v >> 16);
    p[3] = (uint8_t)(v >> 24);
}

static inline void
coat_store64(uint8_t *p, uint64_t v)
{
    coat_store32(p, (uint32_t)v);
    coat_store32(p + 4, (uint32_t)(v >> 32));
}

static inline void
coat_store64be(uint8_t *p, uint64_t v)
{
    coat_store64(p, __builtin_bswap64(v));
}

static inline coat_span
coat_span_of(const char *s)
{
    return (coat_span){(const uint8_t *)s, s != NULL ? strlen(s) : 0};
}

/** Not for secrets: takes less time the earlier they differ. */
static inline bool
coat_span_is(coat_span a, coat_span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline uint8_t
coat_ascii_lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + ('a' - 'A')) : c;
}

/** ASCII case-insensitive, for field names and schemes. */
static inline bool
coat_span_is_nocase(coat_span a, coat_span b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (coat_ascii_lower(a.ptr[i]) != coat_ascii_lower(b.ptr[i]))
            return false;
    return true;
}

#endif
