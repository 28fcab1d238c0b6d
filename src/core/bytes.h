/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_CORE_BYTES_H
#define COAT_CORE_BYTES_H

/** Little- and big-endian integers at any alignment, and small helpers on spans. */

#include <coatcheck/base.h>
#include <string.h>

/* The build clears all local variables. This is for large ones on the path of each request that
 * are written before they are read: say where. */
#define COAT_UNSET __attribute__((uninitialized))

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define COAT_LE(bits, v) (v)
#define COAT_BE(bits, v) __builtin_bswap##bits(v)
#else
#define COAT_LE(bits, v) __builtin_bswap##bits(v)
#define COAT_BE(bits, v) (v)
#endif

/**
 * Overwrite a secret of a few words: what sodium_memzero() does, without its three calls. The
 * compiler has to believe that somebody looks at it afterwards.
 */
static inline void
coat_wipe(void *secret, size_t len)
{
    memset(secret, 0, len);
    __asm__ volatile("" : : "r"(secret) : "memory");
}

static inline uint16_t
coat_load16(const uint8_t *p)
{
    uint16_t v;

    memcpy(&v, p, sizeof v);
    return COAT_LE(16, v);
}

static inline uint32_t
coat_load32(const uint8_t *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof v);
    return COAT_LE(32, v);
}

static inline uint64_t
coat_load64(const uint8_t *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof v);
    return COAT_LE(64, v);
}

static inline uint64_t
coat_load64be(const uint8_t *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof v);
    return COAT_BE(64, v);
}

static inline void
coat_store16(uint8_t *p, uint16_t v)
{
    v = COAT_LE(16, v);
    memcpy(p, &v, sizeof v);
}

static inline void
coat_store32(uint8_t *p, uint32_t v)
{
    v = COAT_LE(32, v);
    memcpy(p, &v, sizeof v);
}

static inline void
coat_store64(uint8_t *p, uint64_t v)
{
    v = COAT_LE(64, v);
    memcpy(p, &v, sizeof v);
}

static inline void
coat_store64be(uint8_t *p, uint64_t v)
{
    v = COAT_BE(64, v);
    memcpy(p, &v, sizeof v);
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
