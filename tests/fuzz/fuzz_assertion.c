/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include "core/bytes.h"
#include "core/keys.h"

#include <coatcheck/assertion.h>
#include <coatcheck/record.h>
#include <jansson.h>
#include <sodium.h>

/* Whoever the user is: an assertion within its limit that verifies, whose claims another parser
 * reads, without a name twice, and which hold exactly the strings that were put in. What cannot
 * be told in JSON is refused, and nothing is written. */

static coat_keys *keys;

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static const char file[] =
        "coatcheck-keys 1\n"
        "root 1111111111111111111111111111111111111111111111111111111111111111\n"
        "key 1 1 2222222222222222222222222222222222222222222222222222222222222222\n";

    (void)argc, (void)argv;
    FUZZ_CHECK(coat_init() == COAT_OK);
    FUZZ_CHECK(coat_keys_parse(COAT_LIT(file), &keys, NULL) == COAT_OK);
    return 0;
}

static bool
is_utf8(coat_span text)
{
    json_t *json = json_stringn((const char *)text.ptr, text.len);

    json_decref(json);
    return json != NULL;
}

static bool
is_string(const json_t *claims, const char *name, coat_span want)
{
    const json_t *json = json_object_get(claims, name);

    return json_is_string(json) &&
           coat_span_is(
               (coat_span){(const uint8_t *)json_string_value(json), json_string_length(json)},
               want);
}

/* The array is what is left of the text when it is cut at spaces. */
static bool
is_words(const json_t *claims, const char *name, coat_span want)
{
    const json_t *array = json_object_get(claims, name);
    size_t at = 0, from = 0;

    if (!json_is_array(array))
        return false;
    for (size_t i = 0; i <= want.len; i++) {
        coat_span word;
        const json_t *item;

        if (i < want.len && want.ptr[i] != ' ')
            continue;
        word = (coat_span){want.ptr + from, i - from};
        from = i + 1;
        if (word.len == 0)
            continue;
        item = json_array_get(array, at++);
        if (item == NULL || !coat_span_is((coat_span){(const uint8_t *)json_string_value(item),
                                                      json_string_length(item)},
                                          word))
            return false;
    }
    return json_array_size(array) == at;
}

/* One part as its bytes; the length follows from that of the text. */
static size_t
decode(const char *from, size_t chars, char *out)
{
    size_t len = chars * 6 / 8;

    FUZZ_CHECK(coat_b64url_decode((coat_span){(const uint8_t *)from, chars}, (uint8_t *)out,
                                  len) == COAT_OK);
    return len;
}

static void
check(const coat_assertion *a, const char *text, size_t len)
{
    char claims_text[COAT_ASSERTION_MAX], signature[crypto_sign_BYTES];
    const char *first = memchr(text, '.', len), *second;
    size_t claims_len, lifetime = (size_t)(a->lifetime_ms + 999) / 1000;
    json_t *claims;

    FUZZ_CHECK(len <= COAT_ASSERTION_MAX && first != NULL);
    second = memchr(first + 1, '.', len - (size_t)(first + 1 - text));
    FUZZ_CHECK(second != NULL);
    FUZZ_CHECK(decode(second + 1, len - (size_t)(second + 1 - text), signature) ==
               sizeof signature);
    FUZZ_CHECK(crypto_sign_verify_detached((const uint8_t *)signature, (const uint8_t *)text,
                                           (size_t)(second - text),
                                           keys->signer[0].secret + 32) == 0);
    claims_len = decode(first + 1, (size_t)(second - first - 1), claims_text);
    claims = json_loadb(claims_text, claims_len, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, NULL);
    FUZZ_CHECK(json_is_object(claims));
    FUZZ_CHECK(json_object_size(claims) == 8U + (a->auth_ms > 0));
    FUZZ_CHECK(is_string(claims, "iss", a->issuer));
    FUZZ_CHECK(is_string(claims, "aud", a->audience));
    FUZZ_CHECK(is_string(claims, "sub", a->user));
    FUZZ_CHECK(is_words(claims, "roles", a->roles));
    FUZZ_CHECK(is_words(claims, "amr", a->methods));
    FUZZ_CHECK(json_string_length(json_object_get(claims, "sid")) == 16);
    FUZZ_CHECK(json_integer_value(json_object_get(claims, "exp")) ==
               json_integer_value(json_object_get(claims, "iat")) + (json_int_t)lifetime);
    FUZZ_CHECK(json_integer_value(json_object_get(claims, "auth_time")) == a->auth_ms / 1000);
    /* One spelling: the verifier of examples/api compares with what it would write itself. */
    for (size_t i = 0; i < claims_len; i++)
        FUZZ_CHECK((uint8_t)claims_text[i] >= 0x20);
    json_decref(claims);
}

/* @return the next field of the input: its length in a byte, doubled, then its bytes */
static coat_span
field(const uint8_t **data, size_t *size)
{
    size_t got, want;
    const uint8_t *at = fuzz_take(data, size, 1, &got);

    want = got > 0 ? (size_t)*at * 2 : 0;
    at = fuzz_take(data, size, want, &got);
    return (coat_span){at, got};
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const coat_handle handle = {{7}};
    char buf[COAT_ASSERTION_MAX] = "z";
    uint8_t number[8] = {0};
    const uint8_t *at;
    size_t got, len = 4711;
    coat_assertion a = {.handle = &handle};
    bool good;
    coat_err err;

    at = fuzz_take(&data, &size, sizeof number, &got);
    memcpy(number, at, got);
    a.lifetime_ms = coat_load16(number);
    a.now_ms = coat_load32(number + 2);
    a.auth_ms = coat_load16(number + 6);
    a.issuer = field(&data, &size);
    a.audience = field(&data, &size);
    a.methods = field(&data, &size);
    a.user = field(&data, &size);
    a.roles = (coat_span){data, size};
    good = is_utf8(a.issuer) && is_utf8(a.audience) && is_utf8(a.user) && is_utf8(a.roles) &&
           is_utf8(a.methods);

    err = coat_assertion_sign(keys, &a, buf, sizeof buf, &len);
    if (err == COAT_OK) {
        FUZZ_CHECK(good);
        check(&a, buf, len);
        return 0;
    }
    FUZZ_CHECK(err == COAT_MALFORMED || err == COAT_INVALID || err == COAT_TOO_LARGE);
    FUZZ_CHECK(err != COAT_MALFORMED || !good);
    FUZZ_CHECK(len == 4711 && buf[0] == 'z');
    return 0;
}
