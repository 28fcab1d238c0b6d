/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_CORE_B64URL_H
#define COAT_CORE_B64URL_H

/**
 * base64url sixteen characters at a time, without branches or table look-ups that depend on
 * them: tokens are secrets. The vectors are the compiler's, so this is plain C on any target
 * of gcc and clang.
 */

#include "core/bytes.h"

enum { COAT_B64URL_BLOCK_CHARS = 16, COAT_B64URL_BLOCK_BYTES = 12 };

typedef uint8_t coat_v16 __attribute__((vector_size(16)));
typedef int8_t coat_v16s __attribute__((vector_size(16)));
typedef uint16_t coat_v8x16 __attribute__((vector_size(16)));
typedef uint32_t coat_v4x32 __attribute__((vector_size(16)));
typedef uint64_t coat_v2x64 __attribute__((vector_size(16)));

/** Values of 16 characters; lanes of *bad become non-zero where a character is foreign. */
static inline coat_v16
coat_b64url_values(coat_v16 text, coat_v16 *bad)
{
    /* Signed, since that is the comparison that SSE2 has. Bytes from 0x80 are below all. */
    coat_v16s c = (coat_v16s)text;
    coat_v16s upper = (c > 'A' - 1) & (c < 'Z' + 1);
    coat_v16s lower = (c > 'a' - 1) & (c < 'z' + 1);
    coat_v16s digit = (c > '0' - 1) & (c < '9' + 1);
    coat_v16s minus = c == '-';
    coat_v16s under = c == '_';
    coat_v16s shift = (upper & -'A') | (lower & (26 - 'a')) | (digit & (52 - '0')) |
                      (minus & (62 - '-')) | (under & (63 - '_'));

    *bad |= (coat_v16) ~(upper | lower | digit | minus | under);
    return (coat_v16)(c + shift);
}

/* Of two neighbours in a lane, the one that comes first in memory, and the other. */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define COAT_FIRST(lanes, bits) ((lanes) & ((1U << ((bits)-1) << 1) - 1))
#define COAT_SECOND(lanes, bits) ((lanes) >> (bits))
#else
#define COAT_FIRST(lanes, bits) ((lanes) >> (bits))
#define COAT_SECOND(lanes, bits) ((lanes) & ((1U << ((bits)-1) << 1) - 1))
#endif

/** 16 values of six bits to two words of 48. */
static inline coat_v2x64
coat_b64url_pack(coat_v16 values)
{
    coat_v8x16 a = (coat_v8x16)values;
    coat_v4x32 b = (coat_v4x32)(COAT_FIRST(a, 8) << 6 | COAT_SECOND(a, 8));
    coat_v2x64 c = (coat_v2x64)(COAT_FIRST(b, 16) << 12 | COAT_SECOND(b, 16));

    return COAT_FIRST(c, 32) << 24 | COAT_SECOND(c, 32);
}

static inline coat_v16
coat_b64url_chars(coat_v16 v)
{
    coat_v16 c = v + 'A';

    c += (coat_v16)(v > 25) & ('a' - 26 - 'A');
    c -= (coat_v16)(v > 51) & ('a' - 26 - ('0' - 52));
    c -= (coat_v16)(v > 61) & ('0' - 52 - ('-' - 62));
    c += (coat_v16)(v > 62) & ('_' - 63 - ('-' - 62));
    return c;
}

/** 48 bits to eight values of six bits, the first in the highest byte. */
static inline uint64_t
coat_b64url_unpack(uint64_t v)
{
    v = (v & 0x0000ffffff000000U) << 8 | (v & 0x0000000000ffffffU);
    v = (v & 0x00fff00000fff000U) << 4 | (v & 0x00000fff00000fffU);
    return (v & 0x0fc00fc00fc00fc0U) << 2 | (v & 0x003f003f003f003fU);
}

/** 16 characters to two words of 48 bits. */
static inline void
coat_b64url_words(coat_v16 text, uint64_t word[2], coat_v16 *bad)
{
    coat_v2x64 packed = coat_b64url_pack(coat_b64url_values(text, bad));

    word[0] = packed[0];
    word[1] = packed[1];
}

/** 16 characters to 12 bytes; writes 14, so that whole words are stored. */
static inline void
coat_b64url_decode_block(const uint8_t text[16], uint8_t out[14], coat_v16 *bad)
{
    uint64_t word[2];
    coat_v16 v;

    memcpy(&v, text, sizeof v);
    coat_b64url_words(v, word, bad);
    coat_store64be(out, word[0] << 16);
    coat_store64be(out + 6, word[1] << 16);
}

/** 12 bytes to 16 characters; reads 14. */
static inline void
coat_b64url_encode_block(const uint8_t bytes[14], uint8_t text[16])
{
    uint8_t values[16];
    coat_v16 v;

    coat_store64be(values, coat_b64url_unpack(coat_load64be(bytes) >> 16));
    coat_store64be(values + 8, coat_b64url_unpack(coat_load64be(bytes + 6) >> 16));
    memcpy(&v, values, sizeof v);
    v = coat_b64url_chars(v);
    memcpy(text, &v, sizeof v);
}

/** Did any lane go bad? One answer for all characters. */
static inline uint64_t
coat_b64url_any(coat_v16 bad)
{
    uint64_t half[2];

    memcpy(half, &bad, sizeof half);
    return half[0] | half[1];
}

#endif
