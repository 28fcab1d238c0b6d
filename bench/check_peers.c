/* SPDX-License-Identifier: Apache-2.0 */

/* libjwt as a program uses it, and the signature alone by OpenSSL with the key parsed once:
 * the least that any library for these tokens can cost. */

#include "check_peers.h"

#include <jwt.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdlib.h>
#include <string.h>

enum { ALGORITHMS = 3, PEM_MAX = 4096, SIGNATURE_MAX = 512 };

typedef struct algorithm {
    const char *name, *bare_name;
    jwt_alg_t alg;
    uint32_t rounds;
    unsigned char key[PEM_MAX]; /* what verifies */
    int key_len;
    char *text;
    EVP_PKEY *pkey; /* NULL: HMAC */
    size_t signed_len;
    unsigned char signature[SIGNATURE_MAX];
    size_t signature_len;
} algorithm;

static algorithm algorithms[ALGORITHMS] = {
    {.name = "HS256", .bare_name = "HS256 bare", .alg = JWT_ALG_HS256, .rounds = 4000},
    {.name = "RS256", .bare_name = "RS256 bare", .alg = JWT_ALG_RS256, .rounds = 600},
    {.name = "ES256", .bare_name = "ES256 bare", .alg = JWT_ALG_ES256, .rounds = 200},
};

static int
pem(EVP_PKEY *pkey, bool is_private, unsigned char *out)
{
    BIO *bio = BIO_new(BIO_s_mem());
    int ok = bio == NULL  ? 0
             : is_private ? PEM_write_bio_PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL)
                          : PEM_write_bio_PUBKEY(bio, pkey);
    int len = ok == 1 ? BIO_read(bio, out, PEM_MAX - 1) : -1;

    BIO_free(bio);
    return len;
}

/* Signs what the token's signature covers. */
static bool
sign(algorithm *a)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok;

    a->signature_len = sizeof a->signature;
    ok = ctx != NULL && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, a->pkey) == 1 &&
         EVP_DigestSign(ctx, a->signature, &a->signature_len, (unsigned char *)a->text,
                        a->signed_len) == 1;
    EVP_MD_CTX_free(ctx);
    return ok;
}

/* Makes the key pair, or takes the shared secret; returns the length of what signs. */
static int
make_keys(algorithm *a, unsigned char secret[static PEM_MAX])
{
    static const char shared[] = "0123456789abcdef0123456789abcdef";

    if (a->alg == JWT_ALG_RS256)
        a->pkey = EVP_RSA_gen(2048);
    if (a->alg == JWT_ALG_ES256)
        a->pkey = EVP_EC_gen("P-256");
    if (a->pkey != NULL) {
        a->key_len = pem(a->pkey, false, a->key);
        return pem(a->pkey, true, secret);
    }
    a->key_len = (int)sizeof shared - 1;
    memcpy(a->key, shared, sizeof shared - 1);
    memcpy(secret, shared, sizeof shared - 1);
    return a->key_len;
}

static bool
open_algorithm(algorithm *a)
{
    unsigned char secret[PEM_MAX];
    int secret_len = make_keys(a, secret);
    jwt_t *jwt = NULL;
    bool ok = secret_len > 0 && a->key_len > 0 && jwt_new(&jwt) == 0 &&
              jwt_add_grant(jwt, "sub", "alice@example.com") == 0 &&
              jwt_add_grant(jwt, "roles", "user editor") == 0 &&
              jwt_add_grant(jwt, "amr", "pwd") == 0 &&
              jwt_add_grant_int(jwt, "iat", 1700000000) == 0 &&
              jwt_add_grant_int(jwt, "exp", 1700043200) == 0 &&
              jwt_set_alg(jwt, a->alg, secret, secret_len) == 0 &&
              (a->text = jwt_encode_str(jwt)) != NULL;

    if (jwt != NULL)
        jwt_free(jwt);
    if (!ok)
        return false;
    a->signed_len = (size_t)(strrchr(a->text, '.') - a->text);
    return a->pkey == NULL || sign(a);
}

bool
peers_open(void)
{
    for (int i = 0; i < ALGORITHMS; i++)
        if (!open_algorithm(&algorithms[i]))
            return false;
    return true;
}

void
peers_close(void)
{
    for (int i = 0; i < ALGORITHMS; i++) {
        free(algorithms[i].text);
        EVP_PKEY_free(algorithms[i].pkey);
    }
}

uint32_t
peers_count(void)
{
    return 2 * ALGORITHMS;
}

const char *
peers_version(void)
{
    return OpenSSL_version(OPENSSL_VERSION);
}

const char *
peer_name(uint32_t index)
{
    return index < ALGORITHMS ? algorithms[index].name
                              : algorithms[index - ALGORITHMS].bare_name;
}

uint32_t
peer_rounds(uint32_t index)
{
    return algorithms[index % ALGORITHMS].rounds;
}

static bool
check_bare(const algorithm *a)
{
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned int len = sizeof mac;
    EVP_MD_CTX *ctx;
    bool ok;

    if (a->pkey == NULL)
        return HMAC(EVP_sha256(), a->key, a->key_len, (unsigned char *)a->text, a->signed_len,
                    mac, &len) != NULL;
    ctx = EVP_MD_CTX_new();
    ok = ctx != NULL && EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, a->pkey) == 1 &&
         EVP_DigestVerify(ctx, a->signature, a->signature_len, (unsigned char *)a->text,
                          a->signed_len) == 1;
    EVP_MD_CTX_free(ctx);
    return ok;
}

bool
peer_check(uint32_t index)
{
    const algorithm *a = &algorithms[index % ALGORITHMS];
    jwt_t *jwt = NULL;
    bool ok;

    if (index >= ALGORITHMS)
        return check_bare(a);
    ok = jwt_decode(&jwt, a->text, a->key, a->key_len) == 0 &&
         strcmp(jwt_get_grant(jwt, "sub"), "alice@example.com") == 0;
    jwt_free(jwt);
    return ok;
}
