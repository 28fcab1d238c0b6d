/* SPDX-License-Identifier: Apache-2.0 */
#include "core/token.h"
#include "core/b64url.h"
#include "core/taint.h"

#include <assert.h>
#include <sodium.h>

/* The wire form is the struct, byte for byte. */
static_assert(sizeof(coat_token) == COAT_TOKEN_BYTES, "no padding");
static_assert(offsetof(coat_token, secret) == COAT_HANDLE_BYTES, "handle, secret");
static_assert(offsetof(coat_token, tag) == COAT_HANDLE_BYTES + COAT_SECRET_BYTES, "tag last");
static_assert(crypto_shorthash_BYTES == COAT_TAG_BYTES, "SipHash-2-4");
static_assert(COAT_TAG_BYTES == sizeof(uint64_t), "compared as a word");
static_assert(crypto_shorthash_KEYBYTES == COAT_TAG_KEY_BYTES, "SipHash-2-4");

enum {
    TAGGED_BYTES = COAT_HANDLE_BYTES + COAT_SECRET_BYTES,
    SERIAL_TIME_BITS = 44,
    SERIAL_RANDOM_BITS = 20,
};

/** The last six characters and padding: the token's length is no multiple of a block. */
static inline coat_v16
last_block(const uint8_t *text)
{
    /* The two characters before them are decoded already and give way to padding. */
    uint64_t end = coat_load64be(text + COAT_TOKEN_CHARS - 8) << 16 | ('A' << 8 | 'A');
    coat_v2x64 block = {COAT_BE(64, end), 0x4141414141414141U};

    return (coat_v16)block;
}

/*
 * This is where every request passes, an attacker's too: words stay in registers on their way,
 * because bytes written in one width and read in another cost more than the arithmetic.
 */
bool
coat_token_read(coat_span text, coat_token *out)
{
    uint8_t *raw = (uint8_t *)out;
    COAT_UNSET uint64_t w[8]; /* 48 bits each */
    uint64_t refused;
    coat_v16 bad = {0};
    coat_v16 v;

    if (text.len != COAT_TOKEN_CHARS)
        return false;
#pragma GCC unroll 3
    for (size_t i = 0; i < 3; i++) {
        memcpy(&v, text.ptr + 16 * i, sizeof v);
        coat_b64url_words(v, w + 2 * i, &bad);
    }
    coat_b64url_words(last_block(text.ptr), w + 6, &bad);
    coat_store64be(raw, w[0] << 16 | w[1] >> 32);
    coat_store64be(raw + 8, w[1] << 32 | w[2] >> 16);
    coat_store64be(raw + 16, w[2] << 48 | w[3]);
    coat_store64be(raw + 24, w[4] << 16 | w[5] >> 32);
    coat_store64be(raw + 32, w[5] << 32 | w[6] >> 16);

    /* The last character has four bits too many; set, they would be a second spelling. */
    refused = coat_b64url_any(bad) | (w[6] & 0xffff);
    coat_reveal(&refused, sizeof refused);
    return refused == 0;
}

/* Tags are compared as one word, so the time does not depend on where they differ. */
static bool
fits(const coat_token *token, const uint8_t key[static COAT_TAG_KEY_BYTES])
{
    uint8_t tag[COAT_TAG_BYTES];
    uint64_t differs;

    (void)crypto_shorthash(tag, (const uint8_t *)token, TAGGED_BYTES, key);
    differs = coat_load64(tag) ^ coat_load64(token->tag);
    coat_reveal(&differs, sizeof differs);
    /* For a wrong token this is the tag it would need. */
    coat_wipe(tag, sizeof tag);
    return differs == 0;
}

bool
coat_token_tag_fits(const coat_token *token, const coat_tag_keys *keys)
{
    return (keys->count > 0 && fits(token, keys->key[0])) ||
           (keys->count > 1 && fits(token, keys->key[1]));
}

coat_err
coat_token_decode(coat_span text, coat_token *out)
{
    COAT_UNSET coat_token token;
    bool is_one = coat_token_read(text, &token);

    if (is_one)
        *out = token;
    coat_token_wipe(&token);
    return is_one ? COAT_OK : COAT_NO_SESSION;
}

coat_err
coat_token_open(coat_span text, const coat_tag_keys *keys, coat_token *out)
{
    COAT_UNSET coat_token token;
    bool is_ours = coat_token_read(text, &token) && coat_token_tag_fits(&token, keys);

    if (is_ours)
        *out = token;
    coat_token_wipe(&token);
    return is_ours ? COAT_OK : COAT_NO_SESSION;
}

void
coat_token_tag(coat_token *token, const coat_tag_keys *keys)
{
    (void)crypto_shorthash(token->tag, (const uint8_t *)token, TAGGED_BYTES, keys->key[0]);
}

void
coat_token_encode(const coat_token *token, char text[COAT_TOKEN_CHARS])
{
    coat_b64url_encode((const uint8_t *)token, sizeof *token, text);
}

coat_err
coat_token_mint(coat_owner owner, int64_t now_ms, const coat_tag_keys *keys, coat_rng_fn rng,
                void *rng_ctx, coat_token *out)
{
    uint8_t random[4 + COAT_SECRET_BYTES];
    const int64_t last_ms = ((int64_t)1 << SERIAL_TIME_BITS) - 1;
    uint64_t serial;
    coat_token token;

    if (keys->count == 0)
        return COAT_INVALID; /* its tag would be refused everywhere */
    if (rng(rng_ctx, random, sizeof random) != COAT_OK) {
        sodium_memzero(random, sizeof random);
        return COAT_RNG_FAILED;
    }
    now_ms = now_ms < 0 ? 0 : now_ms > last_ms ? last_ms : now_ms;
    serial = (uint64_t)now_ms << SERIAL_RANDOM_BITS |
             (coat_load32(random) & (((uint32_t)1 << SERIAL_RANDOM_BITS) - 1));
    coat_store64be(token.handle.bytes, serial);
    memcpy(token.handle.bytes + 8, owner.bytes, COAT_OWNER_BYTES);
    memcpy(token.secret, random + 4, COAT_SECRET_BYTES);
    coat_token_tag(&token, keys);
    *out = token;
    sodium_memzero(random, sizeof random);
    coat_token_wipe(&token);
    return COAT_OK;
}

void
coat_secret_digest(const uint8_t secret[COAT_SECRET_BYTES], uint8_t out[COAT_DIGEST_BYTES])
{
    (void)crypto_generichash(out, COAT_DIGEST_BYTES, secret, COAT_SECRET_BYTES, NULL, 0);
}

void
coat_token_wipe(coat_token *token)
{
    sodium_memzero(token, sizeof *token);
}

void
coat_handle_encode(const coat_handle *handle, char text[COAT_HANDLE_CHARS])
{
    uint8_t end[14] = {0}, chars[COAT_B64URL_BLOCK_CHARS];

    /* No secret, and needed for each request: without the loop and the wiping. */
    memcpy(end, handle->bytes + COAT_B64URL_BLOCK_BYTES,
           sizeof handle->bytes - COAT_B64URL_BLOCK_BYTES);
    coat_b64url_encode_block(handle->bytes, chars);
    memcpy(text, chars, sizeof chars);
    coat_b64url_encode_block(end, chars);
    memcpy(text + sizeof chars, chars, COAT_HANDLE_CHARS - sizeof chars);
}

coat_err
coat_handle_decode(coat_span text, coat_handle *out)
{
    return coat_b64url_decode(text, out->bytes, sizeof out->bytes);
}

coat_owner
coat_handle_owner(const coat_handle *handle)
{
    coat_owner owner;

    memcpy(owner.bytes, handle->bytes + 8, sizeof owner.bytes);
    return owner;
}

int64_t
coat_handle_time_ms(const coat_handle *handle)
{
    return (int64_t)(coat_load64be(handle->bytes) >> SERIAL_RANDOM_BITS);
}

bool
coat_handle_equal(const coat_handle *a, const coat_handle *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}
