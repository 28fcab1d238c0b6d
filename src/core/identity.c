/* SPDX-License-Identifier: Apache-2.0 */
#include <coatcheck/forward.h>

#include "core/percent.h"
#include "core/plain.h"

static bool
is_plain(uint8_t c)
{
    return coat_byte_is_plain(c);
}

coat_err
coat_identity_encode(coat_span value, char *buf, size_t cap, size_t *len)
{
    size_t room = cap <= COAT_IDENTITY_MAX ? cap : COAT_IDENTITY_MAX + 1;

    if (value.len >= room || value.len == 0 || !coat_span_is_plain(value))
        return coat_percent_write(value, is_plain, buf, room, len);
    memcpy(buf, value.ptr, value.len);
    buf[value.len] = '\0';
    *len = value.len;
    return COAT_OK;
}
