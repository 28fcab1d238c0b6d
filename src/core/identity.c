/* SPDX-License-Identifier: Apache-2.0 */
#include <coatcheck/forward.h>

#include "core/percent.h"
#include "core/plain.h"

static bool
is_plain(uint8_t c)
{
    return coat_byte_is_plain(c);
}

/** Only spaces are written in another way. @return length; buf has room for three times as much
 */
static size_t
put_spaced(coat_span value, char *buf)
{
    char *to = buf;

    for (size_t i = 0; i < value.len; i++) {
        *to = (char)value.ptr[i];
        if (value.ptr[i] == ' ') {
            memcpy(to, "%20", 3);
            to += 2;
        }
        to++;
    }
    *to = '\0';
    return (size_t)(to - buf);
}

coat_err
coat_identity_encode(coat_span value, char *buf, size_t cap, size_t *len)
{
    size_t room = cap <= COAT_IDENTITY_MAX ? cap : COAT_IDENTITY_MAX + 1;

    if (value.len < room && coat_span_is_plain(value)) {
        if (value.len > 0)
            memcpy(buf, value.ptr, value.len);
        buf[value.len] = '\0';
        *len = value.len;
        return COAT_OK;
    }
    if (value.len < room && value.len <= (room - 1) / 3 && coat_span_is_spaced(value)) {
        *len = put_spaced(value, buf);
        return COAT_OK;
    }
    return coat_percent_write(value, is_plain, buf, room, len);
}
