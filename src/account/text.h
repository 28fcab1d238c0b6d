/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_ACCOUNT_TEXT_H
#define COAT_ACCOUNT_TEXT_H

/** Unicode of names and passwords: validity, NFC, code points. Pure; any thread. */

#include <coatcheck/account.h>

/** NFC makes UTF-8 at most three times as long (UAX 15, section 6). */
#define COAT_NFC_EXPANSION 3
#define COAT_PASSWORD_NFC_MAX (COAT_PASSWORD_MAX * COAT_NFC_EXPANSION)

/**
 * NFC of text into buf, without a copy left elsewhere.
 * @param cap  at least text.len * COAT_NFC_EXPANSION
 * @retval COAT_MALFORMED  not UTF-8; buf may hold a part
 */
coat_err coat_text_nfc(coat_span text, uint8_t *buf, size_t cap, size_t *len) COAT_MUST_USE;

/** Code points of valid UTF-8. */
size_t coat_text_points(coat_span text);

/** A name in NFC, fit to be kept. */
typedef struct coat_name {
    uint8_t bytes[COAT_NAME_MAX];
    size_t len;
} coat_name;

static inline coat_span
coat_name_span(const coat_name *name)
{
    return (coat_span){name->bytes, name->len};
}

/**
 * 1 to 128 bytes of UTF-8, no control characters, no white space at either end.
 * @retval COAT_MALFORMED  cannot be a name; *out untouched
 */
coat_err coat_name_read(coat_span text, coat_name *out) COAT_MUST_USE;

/** Roles: words without control characters, one space between two; may be empty. */
coat_err coat_roles_check(coat_span roles) COAT_MUST_USE;

#endif
