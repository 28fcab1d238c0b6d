/* SPDX-License-Identifier: Apache-2.0 */
#include "core/b64url.h"
#include "core/taint.h"

#include <coatcheck/token.h>
#include <sodium.h>

/**
 * Decode the block at `offset` of text into raw, padding the last one with zero bits, and
 * collect foreign characters in *bad.
 */
static void
block_at(coat_span text, size_t offset, uint8_t raw[static 14], coat_v16 *bad)
{
    uint8_t chars[COAT_B64URL_BLOCK_CHARS];
    size_t left = text.len - offset;

    if (left >= sizeof chars) {
        coat_b64url_decode_block(text.ptr + offset, raw, bad);
        return;
    }
    memset(chars, 'A', sizeof chars);
    memcpy(chars, text.ptr + offset, left);
    coat_b64url_decode_block(chars, raw, bad);
    sodium_memzero(chars, sizeof chars);
}

coat_err
coat_b64url_decode(coat_span text, uint8_t *out, size_t out_len)
{
    uint8_t raw[14];
    uint8_t unused = 0;
    uint64_t refused;
    coat_v16 bad = {0};

    if (out_len > SIZE_MAX / 8 - 1 || text.len != (out_len * 8 + 5) / 6)
        return COAT_MALFORMED;
    if (out_len == 0)
        return COAT_OK;

    /* Two passes, since out stays untouched unless all of the text is good. */
    for (size_t at = 0; at < text.len; at += COAT_B64URL_BLOCK_CHARS)
        block_at(text, at, raw, &bad);
    for (size_t i = (out_len - 1) % COAT_B64URL_BLOCK_BYTES + 1; i < COAT_B64URL_BLOCK_BYTES;
         i++)
        unused |= raw[i];
    refused = coat_b64url_any(bad) | unused;
    coat_reveal(&refused, sizeof refused);
    if (refused == 0) {
        for (size_t done = 0; done < out_len; done += COAT_B64URL_BLOCK_BYTES) {
            size_t left = out_len - done;

            block_at(text, done / COAT_B64URL_BLOCK_BYTES * COAT_B64URL_BLOCK_CHARS, raw, &bad);
            memcpy(out + done, raw,
                   left < COAT_B64URL_BLOCK_BYTES ? left : COAT_B64URL_BLOCK_BYTES);
        }
    }
    sodium_memzero(raw, sizeof raw);
    return refused == 0 ? COAT_OK : COAT_MALFORMED;
}

void
coat_b64url_encode(const uint8_t *bytes, size_t len, char *text)
{
    uint8_t raw[14], chars[COAT_B64URL_BLOCK_CHARS];

    for (size_t done = 0; done < len; done += COAT_B64URL_BLOCK_BYTES) {
        size_t part =
            len - done < COAT_B64URL_BLOCK_BYTES ? len - done : COAT_B64URL_BLOCK_BYTES;

        memset(raw, 0, sizeof raw);
        memcpy(raw, bytes + done, part);
        coat_b64url_encode_block(raw, chars);
        memcpy(text, chars, (part * 8 + 5) / 6);
        text += COAT_B64URL_BLOCK_CHARS;
    }
    sodium_memzero(raw, sizeof raw);
    sodium_memzero(chars, sizeof chars);
}
