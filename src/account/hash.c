/* SPDX-License-Identifier: Apache-2.0 */
#include "account/hash.h"

#include "account/import.h"
#include "core/out.h"
#include <stdio.h>

enum {
    KIB_MIN = 8, /* for each lane: RFC 9106 section 3.1 */
    /* What a stored string may ask for at all; imported ones are held to less. */
    ARGON_KIB_MAX = 4 * 1024 * 1024,
    ARGON_PASSES_MAX = 64,
    ARGON_LANES_MAX = 255,
    STACK_TO_CLEAR = 16384, /* frames of the hash functions */
};

static const char *const kind_names[COAT_HASH_KIND_COUNT] = {"",
#define X(name, text) text,
                                                             COAT_HASH_KIND_MAP(X)
#undef X
};

const char *
coat_hash_kind_name(coat_hash_kind kind)
{
    return kind > COAT_HASH_NONE && kind < COAT_HASH_KIND_COUNT ? kind_names[kind] : "";
}

const char *
coat_hash_params_fault(uint32_t kib, uint32_t passes)
{
    if (passes == 0 || kib < 12288 || (passes == 1 && kib < 47104) ||
        (passes == 2 && kib < 19456))
        return "Argon2id is too weak: use passes 1 with at least 47104 KiB, 2 with 19456 or "
               "3 and more with 12288";
    if (kib > ARGON_KIB_MAX || passes > ARGON_PASSES_MAX)
        return "Argon2id is too expensive: at most 4 GiB and 64 passes";
    return NULL;
}

static void
pepper_id(const uint8_t *pepper, uint8_t id[COAT_PEPPER_ID_BYTES])
{
    static const char label[] = "coatcheck pepper id";
    uint8_t digest[32];

    (void)crypto_generichash(digest, sizeof digest, (const uint8_t *)label, sizeof label - 1,
                             pepper, COAT_PEPPER_BYTES);
    memcpy(id, digest, COAT_PEPPER_ID_BYTES);
}

static const int base64 = sodium_base64_VARIANT_ORIGINAL_NO_PADDING;

static bool
argon_costs(coat_scan *scan, coat_hash *out)
{
    return coat_scan_text(scan, "v=19$m=") && coat_scan_uint(scan, ARGON_KIB_MAX, &out->kib) &&
           coat_scan_text(scan, ",t=") &&
           coat_scan_uint(scan, ARGON_PASSES_MAX, &out->passes) &&
           coat_scan_text(scan, ",p=") && coat_scan_uint(scan, ARGON_LANES_MAX, &out->lanes) &&
           out->passes > 0 && out->lanes > 0 && out->kib >= KIB_MIN * out->lanes;
}

/* Only ours have one, so only Argon2id with one lane. */
static bool
argon_pepper(coat_scan *scan, coat_hash *out)
{
    uint8_t id[8];
    size_t len;

    if (!coat_scan_text(scan, ",keyid="))
        return coat_scan_text(scan, "$");
    if (!coat_scan_base64(coat_scan_field(scan, '$'), base64, id, sizeof id, &len) ||
        len != COAT_PEPPER_ID_BYTES || out->lanes != 1 || out->kind != COAT_HASH_ARGON2ID)
        return false;
    out->peppered = true;
    memcpy(out->pepper_id, id, COAT_PEPPER_ID_BYTES);
    return true;
}

/* $argon2id$v=19$m=19456,t=2,p=1[,keyid=...]$salt$tag */
static coat_err
argon_parse(coat_scan *scan, coat_hash *out, const char **why)
{
    *why = "not a PHC string as in $argon2id$v=19$m=19456,t=2,p=1$salt$hash, or too costly";
    if (!argon_costs(scan, out) || !argon_pepper(scan, out))
        return COAT_MALFORMED;
    if (!coat_scan_base64(coat_scan_field(scan, '$'), base64, out->salt, sizeof out->salt,
                          &out->salt_len) ||
        !coat_scan_base64(scan->rest, base64, out->tag, sizeof out->tag, &out->tag_len) ||
        out->salt_len < 8 || out->tag_len < 16)
        return COAT_MALFORMED;
    return !out->peppered || out->salt_len == COAT_SALT_BYTES ? COAT_OK : COAT_MALFORMED;
}

/* Cut rather than left out if there is little room. */
static void
say(char *message, size_t cap, const char *text)
{
    if (message != NULL && cap > 0)
        (void)snprintf(message, cap, "%s", text);
}

coat_err
coat_hash_parse(coat_span text, coat_hash *out, char *message, size_t cap)
{
    coat_hash hash = {.text = text};
    coat_scan scan = {text};
    const char *why = "";
    coat_err err;

    if (text.len == 0 || text.len > COAT_HASH_MAX || memchr(text.ptr, 0, text.len) != NULL) {
        why = "a hash is 1 to 256 bytes of text";
        err = COAT_MALFORMED;
    } else if (coat_scan_text(&scan, "$argon2id$")) {
        hash.kind = COAT_HASH_ARGON2ID;
        err = argon_parse(&scan, &hash, &why);
    } else if (coat_scan_text(&scan, "$argon2i$")) {
        hash.kind = COAT_HASH_ARGON2I;
        err = argon_parse(&scan, &hash, &why);
    } else {
        err = coat_import_parse(text, &hash, &why);
    }
    if (err == COAT_OK)
        *out = hash;
    say(message, cap, err == COAT_OK ? "" : why);
    sodium_memzero(&hash, sizeof hash);
    return err;
}

coat_err
coat_hash_check(coat_span text, const char **kind, char *message, size_t cap)
{
    coat_hash hash;
    coat_err err = coat_hash_parse(text, &hash, message, cap);

    if (err != COAT_OK)
        return err;
    if ((hash.kind == COAT_HASH_ARGON2ID || hash.kind == COAT_HASH_ARGON2I) &&
        (hash.kib > COAT_IMPORT_KIB_MAX || hash.lanes > COAT_IMPORT_LANES_MAX ||
         (uint64_t)hash.kib * hash.passes > COAT_IMPORT_WORK_MAX)) {
        say(message, cap,
            "costs more than an imported hash may: at most m=65536, p=16 and "
            "m x t = 1048576");
        err = COAT_TOO_LARGE;
    } else if (hash.peppered) {
        say(message, cap, "made with a server-side key (keyid), which cannot be imported");
        err = COAT_UNSUPPORTED;
    } else if (kind != NULL) {
        *kind = coat_hash_kind_name(hash.kind);
    }
    sodium_memzero(&hash, sizeof hash);
    return err;
}

uint32_t
coat_hash_kib(const coat_hash *hash)
{
    switch (hash->kind) {
    case COAT_HASH_ARGON2ID:
    case COAT_HASH_ARGON2I:
    case COAT_HASH_YESCRYPT:
        return hash->kib;
    case COAT_HASH_SCRYPT:
    case COAT_HASH_SCRYPT_CRYPT: /* r and N are capped by their product */
        return (uint32_t)((((uint64_t)128 * hash->block) << hash->rounds) / 1024);
    default:
        return 64;
    }
}

bool
coat_hash_outdated(const coat_hash *hash, const coat_hash_params *params)
{
    uint8_t id[COAT_PEPPER_ID_BYTES];

    if (hash->kind != COAT_HASH_ARGON2ID || hash->lanes != 1 || hash->kib != params->kib ||
        hash->passes != params->passes || hash->salt_len != COAT_SALT_BYTES ||
        hash->tag_len != COAT_HASH_TAG_BYTES || hash->peppered != (params->pepper != NULL))
        return true;
    if (!hash->peppered)
        return false;
    pepper_id(params->pepper, id);
    return memcmp(id, hash->pepper_id, sizeof id) != 0;
}

/* The password as it goes into Argon2id: itself, or 32 bytes of keyed hash under a pepper. */
static coat_span
peppered(coat_span password, const uint8_t *pepper, uint8_t digest[32])
{
    if (pepper == NULL)
        return password;
    (void)crypto_generichash(digest, 32, password.ptr, password.len, pepper, COAT_PEPPER_BYTES);
    return (coat_span){digest, 32};
}

static bool
argon_raw(uint32_t kib, uint32_t passes, coat_span password, const uint8_t *pepper,
          const uint8_t salt[COAT_SALT_BYTES], uint8_t *tag, size_t tag_len)
{
    uint8_t digest[32];
    coat_span input = peppered(password, pepper, digest);
    int rc;

    rc = crypto_pwhash(tag, tag_len, input.len > 0 ? (const char *)input.ptr : "", input.len,
                       salt, passes, (size_t)kib * 1024, crypto_pwhash_ALG_ARGON2ID13);
    sodium_memzero(digest, sizeof digest);
    sodium_stackzero(STACK_TO_CLEAR);
    return rc == 0;
}

static bool
argon_verify_foreign(const coat_hash *hash, coat_span password)
{
    char text[COAT_HASH_MAX + 1];
    bool match;

    memcpy(text, hash->text.ptr, hash->text.len);
    text[hash->text.len] = '\0';
    if (hash->kind == COAT_HASH_ARGON2I)
        match = crypto_pwhash_argon2i_str_verify(text, (const char *)password.ptr,
                                                 password.len) == 0;
    else
        match = crypto_pwhash_argon2id_str_verify(text, (const char *)password.ptr,
                                                  password.len) == 0;
    sodium_memzero(text, sizeof text);
    sodium_stackzero(STACK_TO_CLEAR);
    return match;
}

bool
coat_hash_verify(const coat_hash *hash, const coat_hash_params *params, coat_span password)
{
    uint8_t tag[sizeof hash->tag], id[COAT_PEPPER_ID_BYTES];
    const uint8_t *pepper = NULL;
    bool match;

    if (hash->kind != COAT_HASH_ARGON2ID && hash->kind != COAT_HASH_ARGON2I)
        return coat_import_verify(hash, password);
    if (hash->kind == COAT_HASH_ARGON2I || hash->lanes != 1 ||
        hash->salt_len != COAT_SALT_BYTES)
        return argon_verify_foreign(hash, password);
    if (hash->peppered && params->pepper != NULL) {
        pepper_id(params->pepper, id);
        if (memcmp(id, hash->pepper_id, sizeof id) == 0)
            pepper = params->pepper;
    }
    match =
        argon_raw(hash->kib, hash->passes, password, pepper, hash->salt, tag, hash->tag_len) &&
        sodium_memcmp(tag, hash->tag, hash->tag_len) == 0;
    sodium_memzero(tag, sizeof tag);
    return match && hash->peppered == (pepper != NULL);
}

static void
out_base64(coat_out *out, const uint8_t *bytes, size_t len)
{
    char text[64];

    sodium_bin2base64(text, sizeof text, bytes, len, sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
    coat_out_str(out, text);
    sodium_memzero(text, sizeof text);
}

coat_err
coat_hash_make(const coat_hash_params *params, coat_span password,
               const uint8_t salt[COAT_SALT_BYTES], char text[COAT_HASH_MAX + 1])
{
    uint8_t tag[COAT_HASH_TAG_BYTES], id[COAT_PEPPER_ID_BYTES];
    coat_out out = coat_out_init(text, COAT_HASH_MAX + 1);

    if (!argon_raw(params->kib, params->passes, password, params->pepper, salt, tag,
                   sizeof tag))
        return COAT_NO_MEMORY;
    coat_out_str(&out, "$argon2id$v=19$m=");
    coat_out_uint(&out, params->kib);
    coat_out_str(&out, ",t=");
    coat_out_uint(&out, params->passes);
    coat_out_str(&out, ",p=1");
    if (params->pepper != NULL) {
        pepper_id(params->pepper, id);
        coat_out_str(&out, ",keyid=");
        out_base64(&out, id, sizeof id);
    }
    coat_out_char(&out, '$');
    out_base64(&out, salt, COAT_SALT_BYTES);
    coat_out_char(&out, '$');
    out_base64(&out, tag, sizeof tag);
    sodium_memzero(tag, sizeof tag);
    return coat_out_end(&out) ? COAT_OK : COAT_TOO_LARGE;
}

void
coat_hash_decoy(const coat_hash_params *params, coat_span password,
                const uint8_t salt[COAT_SALT_BYTES])
{
    uint8_t tag[COAT_HASH_TAG_BYTES];

    (void)argon_raw(params->kib, params->passes, password, params->pepper, salt, tag,
                    sizeof tag);
    sodium_memzero(tag, sizeof tag);
}
