/* SPDX-License-Identifier: Apache-2.0 */
#include "account/import.h"

#include "account/md.h"
#include <crypt.h>
#include <stdlib.h>

enum { BCRYPT_INPUT_MAX = 72, STACK_TO_CLEAR = 16384, CRYPT_TAG_43 = 43 };

static const char crypt_alphabet[] =
    "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

static bool
crypt_chars(coat_span text, size_t min, size_t max)
{
    if (text.len < min || text.len > max)
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] == '\0' || strchr(crypt_alphabet, text.ptr[i]) == NULL)
            return false;
    return true;
}

static coat_err
parse_bcrypt(coat_scan *scan, coat_hash *out, const char **why)
{
    coat_span cost = coat_scan_field(scan, '$');

    *why = "a bcrypt hash is $2b$, a cost of two digits, $, and 53 characters";
    if (cost.len != 2 || cost.ptr[0] < '0' || cost.ptr[0] > '9' || cost.ptr[1] < '0' ||
        cost.ptr[1] > '9' || !crypt_chars(scan->rest, 53, 53))
        return COAT_MALFORMED;
    out->rounds = (uint32_t)((cost.ptr[0] - '0') * 10 + cost.ptr[1] - '0');
    if (out->rounds < 4)
        return COAT_MALFORMED;
    *why = "a bcrypt cost over 14 takes too long: set a new password instead";
    return out->rounds > COAT_IMPORT_BCRYPT_MAX ? COAT_TOO_LARGE : COAT_OK;
}

static coat_err
parse_shacrypt(coat_scan *scan, coat_hash *out, const char **why)
{
    size_t tag = out->kind == COAT_HASH_SHA256CRYPT ? 43 : 86;

    *why = "not a crypt(3) hash as in $6$salt$hash or $6$rounds=N$salt$hash";
    if (coat_scan_text(scan, "rounds=") &&
        (!coat_scan_uint(scan, UINT32_MAX, &out->rounds) || !coat_scan_text(scan, "$")))
        return COAT_MALFORMED;
    if (!crypt_chars(coat_scan_field(scan, '$'), 0, 16) || !crypt_chars(scan->rest, tag, tag))
        return COAT_MALFORMED;
    *why = "over 1000000 rounds take too long: set a new password instead";
    return out->rounds > COAT_IMPORT_ROUNDS_MAX ? COAT_TOO_LARGE : COAT_OK;
}

static coat_err
parse_md5crypt(coat_scan *scan, coat_hash *out, const char **why)
{
    *why = "not a hash as in $1$salt$hash or $apr1$salt$hash";
    out->rounds = 1000;
    out->salt_len = 0;
    for (coat_span salt = coat_scan_field(scan, '$'); out->salt_len < salt.len;) {
        if (!crypt_chars(salt, 0, 8))
            return COAT_MALFORMED;
        out->salt[out->salt_len] = salt.ptr[out->salt_len];
        out->salt_len++;
    }
    return crypt_chars(scan->rest, 22, 22) ? COAT_OK : COAT_MALFORMED;
}

/* The parameters that libxcrypt makes for its cost factors 1 to 7 (64 MiB); others are refused
 * rather than decoded. */
static coat_err
parse_yescrypt(coat_scan *scan, coat_hash *out, const char **why)
{
    static const struct {
        const char *text;
        uint32_t kib;
    } known[] = {{"j75", 1024},  {"j85", 2048},  {"j7T", 4096}, {"j8T", 8192},
                 {"j9T", 16384}, {"jAT", 32768}, {"jBT", 65536}};
    coat_span params = coat_scan_field(scan, '$');

    *why = "not a yescrypt hash as in $y$j9T$salt$hash";
    if (!crypt_chars(params, 3, 16) || !crypt_chars(coat_scan_field(scan, '$'), 1, 86) ||
        !crypt_chars(scan->rest, CRYPT_TAG_43, CRYPT_TAG_43))
        return COAT_MALFORMED;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (coat_span_is(params, coat_span_of(known[i].text)))
            out->kib = known[i].kib;
    *why = "yescrypt parameters other than cost factors 1 to 7 are not supported: set a new "
           "password instead";
    return out->kib == 0 ? COAT_TOO_LARGE : COAT_OK;
}

/* Costs of scrypt in either spelling: memory, and memory times lanes. */
static coat_err
scrypt_costs(const coat_hash *hash, const char **why)
{
    uint64_t kib;

    if (hash->rounds == 0 || hash->block == 0 || hash->lanes == 0)
        return COAT_MALFORMED;
    *why = "scrypt over 64 MiB is not supported: set a new password instead";
    if (hash->rounds > 20 || hash->block > 1024 || hash->lanes > COAT_IMPORT_LANES_MAX)
        return COAT_TOO_LARGE;
    kib = (((uint64_t)128 * hash->block) << hash->rounds) / 1024;
    return kib > COAT_IMPORT_KIB_MAX || kib * hash->lanes > COAT_IMPORT_WORK_MAX
               ? COAT_TOO_LARGE
               : COAT_OK;
}

static uint32_t
crypt_value(uint8_t c)
{
    return (uint32_t)(strchr(crypt_alphabet, c) - crypt_alphabet);
}

/* $7$, then log2 N in one character, r and p in five each, salt, $, hash. */
static coat_err
parse_scrypt_crypt(coat_scan *scan, coat_hash *out, const char **why)
{
    coat_span params = coat_scan_field(scan, '$');

    *why = "not a scrypt hash as in $7$CU..../....salt$hash";
    if (!crypt_chars(params, 11, 11 + 86) ||
        !crypt_chars(scan->rest, CRYPT_TAG_43, CRYPT_TAG_43))
        return COAT_MALFORMED;
    out->rounds = crypt_value(params.ptr[0]);
    for (unsigned i = 0; i < 5; i++) {
        out->block |= crypt_value(params.ptr[1 + i]) << 6 * i;
        out->lanes |= crypt_value(params.ptr[6 + i]) << 6 * i;
    }
    return scrypt_costs(out, why);
}

/* $scrypt$ln=16,r=8,p=1$salt$hash */
static coat_err
parse_scrypt(coat_scan *scan, coat_hash *out, const char **why)
{
    const int variant = sodium_base64_VARIANT_ORIGINAL_NO_PADDING;

    *why = "not a scrypt hash as in $scrypt$ln=16,r=8,p=1$salt$hash";
    if (!coat_scan_text(scan, "ln=") || !coat_scan_uint(scan, 63, &out->rounds) ||
        !coat_scan_text(scan, ",r=") || !coat_scan_uint(scan, UINT32_MAX, &out->block) ||
        !coat_scan_text(scan, ",p=") || !coat_scan_uint(scan, UINT32_MAX, &out->lanes) ||
        !coat_scan_text(scan, "$") ||
        !coat_scan_base64(coat_scan_field(scan, '$'), variant, out->salt, sizeof out->salt,
                          &out->salt_len) ||
        !coat_scan_base64(scan->rest, variant, out->tag, sizeof out->tag, &out->tag_len) ||
        out->tag_len < 16)
        return COAT_MALFORMED;
    return scrypt_costs(out, why);
}

/* passlib writes '.' where base64 has '+'. */
static bool
scan_ab64(coat_span text, uint8_t *out, size_t cap, size_t *len)
{
    uint8_t plain[128];

    if (text.len > sizeof plain)
        return false;
    for (size_t i = 0; i < text.len; i++)
        plain[i] = text.ptr[i] == '.' ? '+' : text.ptr[i];
    return coat_scan_base64((coat_span){plain, text.len},
                            sodium_base64_VARIANT_ORIGINAL_NO_PADDING, out, cap, len);
}

static bool
parse_pbkdf2_parts(coat_scan *scan, bool django, coat_hash *out)
{
    coat_span salt;

    if (!django && coat_scan_text(scan, "i=")) {
        if (!coat_scan_uint(scan, UINT32_MAX, &out->rounds))
            return false;
        (void)coat_scan_text(scan, ",l=32");
    } else if (!coat_scan_uint(scan, UINT32_MAX, &out->rounds)) {
        return false;
    }
    if (!coat_scan_text(scan, "$"))
        return false;
    salt = coat_scan_field(scan, '$');
    if (!django)
        return scan_ab64(salt, out->salt, sizeof out->salt, &out->salt_len) &&
               scan_ab64(scan->rest, out->tag, sizeof out->tag, &out->tag_len);
    if (salt.len == 0 || salt.len > sizeof out->salt)
        return false;
    memcpy(out->salt, salt.ptr, salt.len);
    out->salt_len = salt.len;
    return coat_scan_base64(scan->rest, sodium_base64_VARIANT_ORIGINAL, out->tag,
                            sizeof out->tag, &out->tag_len);
}

static coat_err
parse_pbkdf2(coat_scan *scan, coat_hash *out, const char **why, bool django)
{
    *why = "not a PBKDF2 hash as in $pbkdf2-sha256$29000$salt$hash (passlib), "
           "$pbkdf2-sha256$i=29000$salt$hash (PHC) or pbkdf2_sha256$600000$salt$hash (Django)";
    if (!parse_pbkdf2_parts(scan, django, out) ||
        out->tag_len != crypto_auth_hmacsha256_BYTES || out->rounds == 0)
        return COAT_MALFORMED;
    *why = "over 2000000 PBKDF2 iterations take too long: set a new password instead";
    return out->rounds > COAT_IMPORT_PBKDF2_MAX ? COAT_TOO_LARGE : COAT_OK;
}

static coat_err
parse_django(coat_scan *scan, coat_hash *out, const char **why)
{
    return parse_pbkdf2(scan, out, why, true);
}

static coat_err
parse_passlib(coat_scan *scan, coat_hash *out, const char **why)
{
    return parse_pbkdf2(scan, out, why, false);
}

static coat_err
parse_apr1(coat_scan *scan, coat_hash *out, const char **why)
{
    coat_err err = parse_md5crypt(scan, out, why);

    if (err != COAT_OK || COAT_MD_HAVE)
        return err;
    *why = "this build has no MD5, so it cannot check $apr1$: use `htpasswd -B` for a bcrypt "
           "hash, or set a new password";
    return COAT_UNSUPPORTED;
}

/* {SHA}, and 20 bytes in base64: unsalted SHA-1. */
static coat_err
parse_sha1(coat_scan *scan, coat_hash *out, const char **why)
{
    *why = "not an htpasswd hash as in {SHA}base64";
    if (!coat_scan_base64(scan->rest, sodium_base64_VARIANT_ORIGINAL, out->tag, sizeof out->tag,
                          &out->tag_len) ||
        out->tag_len != COAT_SHA1_BYTES)
        return COAT_MALFORMED;
    *why = "this build has no SHA-1, so it cannot check {SHA}: use `htpasswd -B` for a bcrypt "
           "hash, or set a new password";
    return COAT_MD_HAVE ? COAT_OK : COAT_UNSUPPORTED;
}

static const struct format {
    const char *prefix;
    coat_hash_kind kind;
    coat_err (*parse)(coat_scan *scan, coat_hash *out, const char **why);
} formats[] = {
    {"$2a$", COAT_HASH_BCRYPT, parse_bcrypt},
    {"$2b$", COAT_HASH_BCRYPT, parse_bcrypt},
    {"$2y$", COAT_HASH_BCRYPT, parse_bcrypt},
    {"$5$", COAT_HASH_SHA256CRYPT, parse_shacrypt},
    {"$6$", COAT_HASH_SHA512CRYPT, parse_shacrypt},
    {"$1$", COAT_HASH_MD5CRYPT, parse_md5crypt},
    {"$y$", COAT_HASH_YESCRYPT, parse_yescrypt},
    {"$7$", COAT_HASH_SCRYPT_CRYPT, parse_scrypt_crypt},
    {"$scrypt$", COAT_HASH_SCRYPT, parse_scrypt},
    {"$pbkdf2-sha256$", COAT_HASH_PBKDF2_SHA256, parse_passlib},
    {"pbkdf2_sha256$", COAT_HASH_PBKDF2_SHA256, parse_django},
    {"$apr1$", COAT_HASH_APR1, parse_apr1},
    {"{SHA}", COAT_HASH_SHA1, parse_sha1},
};

coat_err
coat_import_parse(coat_span text, coat_hash *out, const char **why)
{
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        coat_scan scan = {text};

        if (!coat_scan_text(&scan, formats[i].prefix))
            continue;
        out->kind = formats[i].kind;
        return formats[i].parse(&scan, out, why);
    }
    *why = "not a supported kind of hash: Argon2 ($argon2id$, $argon2i$), bcrypt ($2a$, $2b$, "
           "$2y$), crypt(3) ($1$, $5$, $6$, $7$, $y$), scrypt ($scrypt$), PBKDF2 "
           "($pbkdf2-sha256$, pbkdf2_sha256$), htpasswd ($apr1$, {SHA}); set a new password";
    return COAT_UNSUPPORTED;
}

/* crypt(3) reads a C string, and bcrypt only its first 72 bytes. What it would not see in full
 * does not match: no truncation (LG-3). */
static bool
verify_crypt(const coat_hash *hash, coat_span password)
{
    size_t max = hash->kind == COAT_HASH_BCRYPT ? BCRYPT_INPUT_MAX : CRYPT_MAX_PASSPHRASE_SIZE;
    char phrase[CRYPT_MAX_PASSPHRASE_SIZE + 1], setting[COAT_HASH_MAX + 1];
    struct crypt_data *data;
    const char *got;
    bool match = false;

    if (password.len > max || password.len >= sizeof phrase ||
        (password.len > 0 && memchr(password.ptr, 0, password.len) != NULL))
        return false;
    data = calloc(1, sizeof *data);
    if (data == NULL)
        return false;
    if (password.len > 0)
        memcpy(phrase, password.ptr, password.len);
    phrase[password.len] = '\0';
    memcpy(setting, hash->text.ptr, hash->text.len);
    setting[hash->text.len] = '\0';
    got = crypt_rn(phrase, setting, data, (int)sizeof *data); /* NULL, not "*0", if it fails */
    match = got != NULL && strlen(got) == hash->text.len &&
            sodium_memcmp(got, setting, hash->text.len) == 0;
    sodium_memzero(phrase, sizeof phrase);
    sodium_memzero(setting, sizeof setting);
    sodium_memzero(data, sizeof *data);
    free(data);
    return match;
}

static bool
verify_scrypt(const coat_hash *hash, coat_span password)
{
    uint8_t tag[sizeof hash->tag];
    bool match;

    match = crypto_pwhash_scryptsalsa208sha256_ll(password.ptr, password.len, hash->salt,
                                                  hash->salt_len, (uint64_t)1 << hash->rounds,
                                                  hash->block, hash->lanes, tag,
                                                  hash->tag_len) == 0 &&
            sodium_memcmp(tag, hash->tag, hash->tag_len) == 0;
    sodium_memzero(tag, sizeof tag);
    return match;
}

/* RFC 8018 section 5.2, with the one block that 32 bytes need. */
static bool
verify_pbkdf2(const coat_hash *hash, coat_span password)
{
    static const uint8_t block_number[4] = {0, 0, 0, 1};
    crypto_auth_hmacsha256_state keyed, state;
    uint8_t u[crypto_auth_hmacsha256_BYTES], t[crypto_auth_hmacsha256_BYTES];
    bool match;

    (void)crypto_auth_hmacsha256_init(&keyed, password.ptr, password.len);
    state = keyed;
    (void)crypto_auth_hmacsha256_update(&state, hash->salt, hash->salt_len);
    (void)crypto_auth_hmacsha256_update(&state, block_number, sizeof block_number);
    (void)crypto_auth_hmacsha256_final(&state, u);
    memcpy(t, u, sizeof t);
    for (uint32_t i = 1; i < hash->rounds; i++) {
        state = keyed;
        (void)crypto_auth_hmacsha256_update(&state, u, sizeof u);
        (void)crypto_auth_hmacsha256_final(&state, u);
        for (size_t k = 0; k < sizeof t; k++)
            t[k] ^= u[k];
    }
    match = sodium_memcmp(t, hash->tag, sizeof t) == 0;
    sodium_memzero(&keyed, sizeof keyed);
    sodium_memzero(&state, sizeof state);
    sodium_memzero(u, sizeof u);
    sodium_memzero(t, sizeof t);
    return match;
}

bool
coat_import_verify(const coat_hash *hash, coat_span password)
{
    bool match = false;

    switch (hash->kind) {
    case COAT_HASH_BCRYPT:
    case COAT_HASH_SHA256CRYPT:
    case COAT_HASH_SHA512CRYPT:
    case COAT_HASH_MD5CRYPT:
    case COAT_HASH_YESCRYPT:
    case COAT_HASH_SCRYPT_CRYPT:
        match = verify_crypt(hash, password);
        break;
    case COAT_HASH_SCRYPT:
        match = verify_scrypt(hash, password);
        break;
    case COAT_HASH_PBKDF2_SHA256:
        match = verify_pbkdf2(hash, password);
        break;
    case COAT_HASH_APR1:
        match = coat_md_apr1_verify(hash, password);
        break;
    case COAT_HASH_SHA1:
        match = coat_md_sha1_verify(hash, password);
        break;
    default:
        break;
    }
    sodium_stackzero(STACK_TO_CLEAR);
    return match;
}
