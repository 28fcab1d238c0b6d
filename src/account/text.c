/* SPDX-License-Identifier: Apache-2.0 */
#include "account/text.h"

#include "core/bytes.h"
#include <coatcheck/record.h>
#include <sodium.h>
#include <unictype.h>
#include <uninorm.h>
#include <unistr.h>

/* Bytes of libunistring's frames that may still hold code points of a password. */
enum { STACK_TO_CLEAR = 4096 };

static bool
text_is_ascii(coat_span text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] >= 0x80)
            return false;
    return true;
}

coat_err
coat_text_nfc(coat_span text, uint8_t *buf, size_t cap, size_t *len)
{
    size_t got = cap;
    uint8_t *result;

    if (text.len == 0) {
        *len = 0;
        return COAT_OK;
    }
    if (text.len > cap / COAT_NFC_EXPANSION)
        return COAT_TOO_LARGE;
    if (text_is_ascii(text)) {
        memcpy(buf, text.ptr, text.len);
        *len = text.len;
        return COAT_OK;
    }
    if (u8_check(text.ptr, text.len) != NULL)
        return COAT_MALFORMED;
    /* With this much room it never falls back on memory of its own. */
    result = u8_normalize(UNINORM_NFC, text.ptr, text.len, buf, &got);
    sodium_stackzero(STACK_TO_CLEAR);
    if (result == NULL)
        return COAT_NO_MEMORY;
    if (result != buf) {
        sodium_memzero(result, got);
        free(result);
        return COAT_TOO_LARGE;
    }
    *len = got;
    return COAT_OK;
}

size_t
coat_text_points(coat_span text)
{
    size_t points = 0;

    for (size_t i = 0; i < text.len; i++)
        points += (text.ptr[i] & 0xC0) != 0x80;
    return points;
}

static bool
name_is_fit(coat_span name)
{
    size_t at = 0;
    ucs4_t first = 0, last = 0;

    while (at < name.len) {
        ucs4_t point;
        int used = u8_mbtoucr(&point, name.ptr + at, name.len - at);

        if (used <= 0 ||
            uc_is_general_category_withtable(point, UC_CATEGORY_MASK_Cc | UC_CATEGORY_MASK_Zl |
                                                        UC_CATEGORY_MASK_Zp))
            return false;
        first = at == 0 ? point : first;
        last = point;
        at += (size_t)used;
    }
    return !uc_is_property_white_space(first) && !uc_is_property_white_space(last);
}

coat_err
coat_name_read(coat_span text, coat_name *out)
{
    uint8_t buf[COAT_NAME_MAX * COAT_NFC_EXPANSION];
    size_t len;

    if (text.len == 0 || text.len > COAT_NAME_MAX)
        return COAT_MALFORMED;
    if (coat_text_nfc(text, buf, sizeof buf, &len) != COAT_OK || len > COAT_NAME_MAX)
        return COAT_MALFORMED;
    if (!name_is_fit((coat_span){buf, len}))
        return COAT_MALFORMED;
    memcpy(out->bytes, buf, len);
    out->len = len;
    return COAT_OK;
}

coat_err
coat_roles_check(coat_span roles)
{
    uint8_t before = ' ';

    if (roles.len > COAT_ROLES_MAX)
        return COAT_TOO_LARGE;
    if (roles.len == 0)
        return COAT_OK;
    if (u8_check(roles.ptr, roles.len) != NULL)
        return COAT_INVALID;
    for (size_t i = 0; i < roles.len; i++) {
        uint8_t c = roles.ptr[i];

        if (c < 0x20 || c == 0x7f || (c == ' ' && before == ' '))
            return COAT_INVALID;
        before = c;
    }
    return before == ' ' ? COAT_INVALID : COAT_OK;
}
