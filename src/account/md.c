/* SPDX-License-Identifier: Apache-2.0 */
#include "account/md.h"

#if COAT_MD_HAVE

#include <md5.h>
#include <sha1.h>
#include <sodium.h>
#include <string.h>

enum { APR1_CHARS = 22, APR1_ROUNDS = 1000 };

_Static_assert(SHA1_DIGEST_LENGTH == COAT_SHA1_BYTES, "SHA-1");

static void
md5_span(MD5_CTX *ctx, coat_span span)
{
    if (span.len > 0)
        MD5Update(ctx, span.ptr, span.len);
}

/* One of the thousand rounds: odd ones begin with the password, even ones end with it. */
static void
apr1_round(unsigned round, coat_span password, coat_span salt, uint8_t digest[16])
{
    const coat_span state = {digest, 16};
    MD5_CTX ctx;

    MD5Init(&ctx);
    md5_span(&ctx, round % 2 != 0 ? password : state);
    if (round % 3 != 0)
        md5_span(&ctx, salt);
    if (round % 7 != 0)
        md5_span(&ctx, password);
    md5_span(&ctx, round % 2 != 0 ? state : password);
    MD5Final(digest, &ctx);
    sodium_memzero(&ctx, sizeof ctx);
}

static void
apr1_digest(coat_span password, coat_span salt, uint8_t digest[16])
{
    static const uint8_t zero = 0;
    MD5_CTX ctx;
    uint8_t mixed[16];

    MD5Init(&ctx);
    md5_span(&ctx, password);
    md5_span(&ctx, salt);
    md5_span(&ctx, password);
    MD5Final(mixed, &ctx);

    MD5Init(&ctx);
    md5_span(&ctx, password);
    MD5Update(&ctx, (const uint8_t *)"$apr1$", 6);
    md5_span(&ctx, salt);
    for (size_t left = password.len; left > 0; left -= left < 16 ? left : 16)
        MD5Update(&ctx, mixed, left < 16 ? left : 16);
    for (size_t bits = password.len; bits != 0; bits >>= 1)
        MD5Update(&ctx, (bits & 1) != 0 ? &zero : password.ptr, 1);
    MD5Final(digest, &ctx);
    for (unsigned round = 0; round < APR1_ROUNDS; round++)
        apr1_round(round, password, salt, digest);
    sodium_memzero(&ctx, sizeof ctx);
    sodium_memzero(mixed, sizeof mixed);
}

static void
apr1_text(const uint8_t digest[16], char text[APR1_CHARS])
{
    static const char alphabet[] =
        "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    static const uint8_t order[6][3] = {{0, 6, 12}, {1, 7, 13}, {2, 8, 14},
                                        {3, 9, 15}, {4, 10, 5}, {16, 16, 11}};
    char *at = text;

    for (unsigned i = 0; i < 6; i++) {
        uint32_t value = 0;

        for (unsigned k = 0; k < 3; k++)
            value = value << 8 | (order[i][k] < 16 ? digest[order[i][k]] : 0);
        for (unsigned k = 0; k < (i < 5 ? 4U : 2U); k++, value >>= 6)
            *at++ = alphabet[value & 63];
    }
}

bool
coat_md_apr1_verify(const coat_hash *hash, coat_span password)
{
    uint8_t digest[16];
    char text[APR1_CHARS];
    bool match;

    apr1_digest(password, (coat_span){hash->salt, hash->salt_len}, digest);
    apr1_text(digest, text);
    match = hash->text.len > APR1_CHARS &&
            sodium_memcmp(text, hash->text.ptr + hash->text.len - APR1_CHARS, APR1_CHARS) == 0;
    sodium_memzero(digest, sizeof digest);
    sodium_memzero(text, sizeof text);
    return match;
}

bool
coat_md_sha1_verify(const coat_hash *hash, coat_span password)
{
    uint8_t digest[COAT_SHA1_BYTES];
    SHA1_CTX ctx;
    bool match;

    SHA1Init(&ctx);
    if (password.len > 0)
        SHA1Update(&ctx, password.ptr, password.len);
    SHA1Final(digest, &ctx);
    match = sodium_memcmp(digest, hash->tag, sizeof digest) == 0;
    sodium_memzero(digest, sizeof digest);
    sodium_memzero(&ctx, sizeof ctx);
    return match;
}

#else

bool
coat_md_apr1_verify(const coat_hash *hash, coat_span password)
{
    (void)hash;
    (void)password;
    return false;
}

bool
coat_md_sha1_verify(const coat_hash *hash, coat_span password)
{
    (void)hash;
    (void)password;
    return false;
}

#endif
