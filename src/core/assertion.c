/* SPDX-License-Identifier: Apache-2.0 */
#include <coatcheck/assertion.h>

#include "core/chars.h"
#include "core/keys.h"
#include "core/out.h"
#include "core/taint.h"
#include "core/utf8.h"

#include <coatcheck/record.h>

#include <assert.h>
#include <sodium.h>

#define B64(len) (((len)*8 + 5) / 6)

enum {
    PUBLIC_CHARS = B64(crypto_sign_PUBLICKEYBYTES),
    SIGNATURE_CHARS = B64(crypto_sign_BYTES),
    HEADER_MAX = 96,
    /* What fits an assertion beside header, signature and dots, and a bit more. */
    CLAIMS_MAX = COAT_ASSERTION_MAX / 4 * 3,
};

static_assert(COAT_SIGNER_BYTES == crypto_sign_SECRETKEYBYTES, "libsodium's form of a key");
static_assert(COAT_KEY_BYTES == crypto_sign_SEEDBYTES, "derived keys are seeds");
static_assert(COAT_SIGNER_KID_CHARS == B64(crypto_hash_sha256_BYTES), "a thumbprint");

/* ---- keys ---- */

static const uint8_t *
public_of(const coat_signer *signer)
{
    return signer->secret + crypto_sign_SEEDBYTES;
}

/** The members that RFC 8037 2 needs, in the order of RFC 7638 3.2. */
static void
put_required(coat_out *out, const coat_signer *signer)
{
    char x[PUBLIC_CHARS];

    coat_b64url_encode(public_of(signer), crypto_sign_PUBLICKEYBYTES, x);
    coat_out_str(out, "{\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":\"");
    coat_out_bytes(out, x, sizeof x);
    coat_out_char(out, '"');
}

void
coat_signer_expand(const uint8_t seed[static COAT_KEY_BYTES], coat_signer *signer)
{
    uint8_t public_key[crypto_sign_PUBLICKEYBYTES], digest[crypto_hash_sha256_BYTES];
    char text[128];
    coat_out out = coat_out_init(text, sizeof text);

    (void)crypto_sign_seed_keypair(public_key, signer->secret, seed);
    coat_reveal(public_of(signer), crypto_sign_PUBLICKEYBYTES);
    put_required(&out, signer);
    coat_out_char(&out, '}');
    (void)crypto_hash_sha256(digest, (const uint8_t *)text, out.len);
    coat_b64url_encode(digest, sizeof digest, signer->kid);
}

coat_err
coat_assertion_jwks(const coat_keys *keys, char *buf, size_t cap, size_t *len)
{
    char text[COAT_JWKS_MAX];
    coat_out out = coat_out_init(text, sizeof text);

    coat_out_str(&out, "{\"keys\":[");
    for (uint32_t i = 0; i < keys->set.count; i++) {
        coat_out_str(&out, i > 0 ? "," : "");
        put_required(&out, &keys->signer[i]);
        coat_out_str(&out, ",\"use\":\"sig\",\"alg\":\"EdDSA\",\"kid\":\"");
        coat_out_bytes(&out, keys->signer[i].kid, sizeof keys->signer[i].kid);
        coat_out_str(&out, "\"}");
    }
    coat_out_str(&out, "]}");
    if (out.over || out.len > cap)
        return COAT_TOO_LARGE;
    memcpy(buf, text, out.len);
    *len = out.len;
    return COAT_OK;
}

/* ---- claims ---- */

/** A JSON string (RFC 8259 7), escaped as ECMAScript does it. false: not UTF-8. */
static bool
put_string(coat_out *out, coat_span text)
{
    static const char named[] = "\"\"\\\\\bb\ff\nn\rr\tt"; /* pairs of byte and letter */

    coat_out_char(out, '"');
    while (text.len > 0) {
        uint32_t point = 0;
        size_t n = coat_utf8_next(text, &point), i = 0;

        if (n == 0)
            return false;
        while (i < sizeof named - 1 && (uint8_t)named[i] != point)
            i += 2;
        if (i < sizeof named - 1) {
            coat_out_char(out, '\\');
            coat_out_char(out, named[i + 1]);
        } else if (point < 0x20) {
            coat_out_str(out, "\\u00");
            coat_out_hex(out, text.ptr, 1);
        } else {
            coat_out_bytes(out, text.ptr, n);
        }
        text = coat_span_slice(text, n, text.len);
    }
    coat_out_char(out, '"');
    return true;
}

/** Words separated by spaces, as an array of strings. */
static bool
put_words(coat_out *out, coat_span words)
{
    bool first = true;

    coat_out_char(out, '[');
    while (words.len > 0) {
        size_t at = coat_span_find(words, ' ');

        if (at > 0) {
            coat_out_str(out, first ? "" : ",");
            first = false;
            if (!put_string(out, coat_span_slice(words, 0, at)))
                return false;
        }
        words = coat_span_slice(words, at < words.len ? at + 1 : at, words.len);
    }
    coat_out_char(out, ']');
    return true;
}

static bool
put_claims(coat_out *out, const coat_keys *keys, const coat_assertion *a)
{
    int64_t issued_s = a->now_ms / 1000;
    char sid[16];
    bool good;

    coat_out_str(out, "{\"iss\":");
    good = put_string(out, a->issuer);
    coat_out_str(out, ",\"aud\":");
    good = good && put_string(out, a->audience);
    coat_out_str(out, ",\"sub\":");
    good = good && put_string(out, a->user);
    coat_out_str(out, ",\"iat\":");
    coat_out_int(out, issued_s);
    coat_out_str(out, ",\"exp\":");
    coat_out_int(out, issued_s + (a->lifetime_ms + 999) / 1000);
    if (a->auth_ms > 0) {
        coat_out_str(out, ",\"auth_time\":");
        coat_out_int(out, a->auth_ms / 1000);
    }
    coat_out_str(out, ",\"amr\":");
    good = good && put_words(out, a->methods);
    coat_out_str(out, ",\"roles\":");
    good = good && put_words(out, a->roles);
    coat_keys_audit_digest(keys, a->handle, sid);
    coat_out_str(out, ",\"sid\":\"");
    coat_out_bytes(out, sid, sizeof sid);
    coat_out_str(out, "\"}");
    return good;
}

static coat_err
check_parts(const coat_assertion *a)
{
    if (a->issuer.len == 0 || a->audience.len == 0 || a->user.len == 0 || a->now_ms < 0 ||
        a->lifetime_ms < 1 || a->lifetime_ms > COAT_ASSERTION_LIFETIME_MAX_MS)
        return COAT_INVALID;
    if (a->issuer.len > COAT_ASSERTION_ISSUER_MAX ||
        a->audience.len > COAT_ASSERTION_AUDIENCE_MAX || a->user.len > COAT_USER_MAX ||
        a->roles.len > COAT_ROLES_MAX || a->methods.len > COAT_METHODS_MAX)
        return COAT_TOO_LARGE;
    return COAT_OK;
}

static void
put_header(coat_out *out, const coat_signer *signer)
{
    coat_out_str(out, "{\"alg\":\"EdDSA\",\"typ\":\"" COAT_ASSERTION_TYPE "\",\"kid\":\"");
    coat_out_bytes(out, signer->kid, sizeof signer->kid);
    coat_out_str(out, "\"}");
}

coat_err
coat_assertion_sign(const coat_keys *keys, const coat_assertion *assertion, char *buf,
                    size_t cap, size_t *len)
{
    const coat_signer *signer = &keys->signer[0];
    COAT_UNSET char claims[CLAIMS_MAX]; /* as far as it is written */
    char header[HEADER_MAX];
    uint8_t signature[crypto_sign_BYTES];
    coat_out head = coat_out_init(header, sizeof header);
    coat_out body = coat_out_init(claims, sizeof claims);
    size_t signed_len, total;
    coat_err err = check_parts(assertion);

    if (err != COAT_OK)
        return err;
    put_header(&head, signer);
    if (!put_claims(&body, keys, assertion))
        return COAT_MALFORMED;
    signed_len = B64(head.len) + 1 + B64(body.len);
    total = signed_len + 1 + SIGNATURE_CHARS;
    if (head.over || body.over || total > COAT_ASSERTION_MAX || total > cap)
        return COAT_TOO_LARGE;

    /* RFC 7515 5.1: header.claims is what is signed. */
    coat_b64url_encode((const uint8_t *)header, head.len, buf);
    buf[B64(head.len)] = '.';
    coat_b64url_encode((const uint8_t *)claims, body.len, buf + B64(head.len) + 1);
    (void)crypto_sign_detached(signature, NULL, (const uint8_t *)buf, signed_len,
                               signer->secret);
    buf[signed_len] = '.';
    coat_b64url_encode(signature, sizeof signature, buf + signed_len + 1);
    *len = total;
    return COAT_OK;
}
