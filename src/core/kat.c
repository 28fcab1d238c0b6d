/* SPDX-License-Identifier: Apache-2.0 */
#include "core/kat.h"
#include "core/out.h"

#include <sodium.h>

/* Where the answers come from: SipHash paper, appendix A (with the 15-byte message); RFC 7693
 * appendix; RFC 8032 section 7.1 test 1; FIPS 180; the Argon2 reference implementation; and for
 * keyed BLAKE2b and the KDF, Python's hashlib. */

/** 00 01 02 ... */
static void
count_up(uint8_t *buf, size_t len)
{
    for (size_t i = 0; i < len; i++)
        buf[i] = (uint8_t)i;
}

static size_t
run_siphash(uint8_t out[COAT_KAT_ANSWER_MAX])
{
    uint8_t key[crypto_shorthash_KEYBYTES], message[15];

    count_up(key, sizeof key);
    count_up(message, sizeof message);
    (void)crypto_shorthash(out, message, sizeof message, key);
    return crypto_shorthash_BYTES;
}

static size_t
run_blake2b(uint8_t out[COAT_KAT_ANSWER_MAX])
{
    return crypto_generichash(out, 32, (const uint8_t *)"abc", 3, NULL, 0) == 0 ? 32 : 0;
}

static size_t
run_blake2b_keyed(uint8_t out[COAT_KAT_ANSWER_MAX])
{
    uint8_t key[32];

    count_up(key, sizeof key);
    return crypto_generichash(out, 16, (const uint8_t *)"abc", 3, key, sizeof key) == 0 ? 16
                                                                                        : 0;
}

static size_t
run_kdf(uint8_t out[COAT_KAT_ANSWER_MAX])
{
    uint8_t key[crypto_kdf_KEYBYTES];

    count_up(key, sizeof key);
    return crypto_kdf_derive_from_key(out, 32, 1, "coatlive", key) == 0 ? 32 : 0;
}

static size_t
run_sha256(uint8_t out[COAT_KAT_ANSWER_MAX])
{
    (void)crypto_hash_sha256(out, (const uint8_t *)"abc", 3);
    return crypto_hash_sha256_BYTES;
}

static size_t
run_ed25519(uint8_t out[COAT_KAT_ANSWER_MAX])
{
    static const char seed_hex[] =
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    uint8_t seed[crypto_sign_SEEDBYTES], public[crypto_sign_PUBLICKEYBYTES];
    uint8_t secret[crypto_sign_SECRETKEYBYTES];
    size_t len = 0;

    if (sodium_hex2bin(seed, sizeof seed, seed_hex, sizeof seed_hex - 1, NULL, NULL, NULL) ==
            0 &&
        crypto_sign_seed_keypair(public, secret, seed) == 0 &&
        crypto_sign_detached(out, NULL, NULL, 0, secret) == 0 &&
        crypto_sign_verify_detached(out, NULL, 0, public) == 0)
        len = crypto_sign_BYTES;
    return len;
}

/** One byte: does it accept the right password and refuse a wrong one? */
static size_t
run_argon2id(uint8_t out[COAT_KAT_ANSWER_MAX])
{
    static const char hash[crypto_pwhash_STRBYTES] =
        "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";

    out[0] = crypto_pwhash_str_verify(hash, "password", 8) == 0 &&
             crypto_pwhash_str_verify(hash, "passwore", 8) != 0;
    return 1;
}

/** One byte: do the comparisons tell equal from different at both ends? */
static size_t
run_compare(uint8_t out[COAT_KAT_ANSWER_MAX])
{
    uint8_t a[32], b[32];
    bool good;

    count_up(a, sizeof a);
    count_up(b, sizeof b);
    good = sodium_memcmp(a, b, sizeof a) == 0 && crypto_verify_32(a, b) == 0 &&
           crypto_verify_16(a, b) == 0;
    for (size_t i = 0; i < sizeof a; i += sizeof a - 1) {
        b[i] ^= 1;
        good = good && sodium_memcmp(a, b, sizeof a) != 0 && crypto_verify_32(a, b) != 0;
        b[i] ^= 1;
    }
    b[15] ^= 0x80;
    out[0] = good && crypto_verify_16(a, b) != 0;
    return 1;
}

static const coat_kat all[] = {
    {"SipHash-2-4", run_siphash, "e545be4961ca29a1"},
    {"BLAKE2b-256", run_blake2b,
     "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319"},
    {"BLAKE2b-128, keyed", run_blake2b_keyed, "1a64be47e4729d951c302ee543f97cf3"},
    {"KDF", run_kdf, "7b4d69fad424e4924d74df625bc2ed25e79ddaa19b2a1a32e281f6f1fdd27c74"},
    {"SHA-256", run_sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {"Ed25519", run_ed25519,
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
     "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"},
    {"Argon2id", run_argon2id, "01"},
    {"comparison", run_compare, "01"},
};

const coat_kat *
coat_kat_all(size_t *count)
{
    *count = sizeof all / sizeof all[0];
    return all;
}

coat_err
coat_kat_check(const coat_kat *tests, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint8_t got[COAT_KAT_ANSWER_MAX] = {0};
        char hex[2 * COAT_KAT_ANSWER_MAX];
        coat_out out = coat_out_init(hex, sizeof hex);

        coat_out_hex(&out, got, tests[i].run(got));
        if (!coat_span_is((coat_span){(const uint8_t *)hex, out.len},
                          coat_span_of(tests[i].answer)))
            return COAT_IO;
    }
    return COAT_OK;
}
