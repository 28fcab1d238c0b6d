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

/** Values of 16 characters; lanes of *bad become non-zero where a character is foreign. */
static inline coat_v16
coat_b64url_values(coat_v16 c, coat_v16 *bad)
{
    coat_v16 upper = (coat_v16)((c >= 'A') & (c <= 'Z'));
    coat_v16 lower = (coat_v16)((c >= 'a') & (c <= 'z'));
    coat_v16 digit = (coat_v16)((c >= '0') & (c <= '9'));
    coat_v16 minus = (coat_v16)(c == '-');
    coat_v16 under = (coat_v16)(c == '_');

    *bad |= ~(upper | lower | digit | minus | under);
    return (upper & (c - 'A')) | (lower & (c - ('a' - 26))) | (digit & (c + (52 - '0'))) |
           (minus & 62) | (under & 63);
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

/** Eight values of six bits, first in the highest byte, to 48 bits. */
static inline uint64_t
coat_b64url_pack(uint64_t v)
{
    v = (v & 0x3f003f003f003f00U) >> 2 | (v & 0x003f003f003f003fU);
    v = (v & 0x0fff00000fff0000U) >> 4 | (v & 0x00000fff00000fffU);
    return (v & 0x00ffffff00000000U) >> 8 | (v & 0x0000000000ffffffU);
}

static inline uint64_t
coat_b64url_unpack(uint64_t v)
{
    v = (v & 0x0000ffffff000000U) << 8 | (v & 0x0000000000ffffffU);
    v = (v & 0x00fff00000fff000U) << 4 | (v & 0x00000fff00000fffU);
    return (v & 0x0fc00fc00fc00fc0U) << 2 | (v & 0x003f003f003f003fU);
}

/** 16 characters to 12 bytes; writes 14, so that whole words are stored. */
static inline void
coat_b64url_decode_block(const uint8_t text[16], uint8_t out[14], coat_v16 *bad)
{
    uint8_t values[16];
    coat_v16 v;

    memcpy(&v, text, sizeof v);
    v = coat_b64url_values(v, bad);
    memcpy(values, &v, sizeof v);
    coat_store64be(out, coat_b64url_pack(coat_load64be(values)) << 16);
    coat_store64be(out + 6, coat_b64url_pack(coat_load64be(values + 8)) << 16);
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
