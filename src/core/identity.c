/* SPDX-License-Identifier: Apache-2.0 */
#include <coatcheck/forward.h>

#include "core/percent.h"

static bool
byte_is_kept(uint8_t c)
{
    return coat_char_is_visible(c) && c != '%';
}

coat_err
coat_identity_encode(coat_span value, char *buf, size_t cap, size_t *len)
{
    size_t room = cap <= COAT_IDENTITY_MAX ? cap : COAT_IDENTITY_MAX + 1;

    return coat_percent_write(value, byte_is_kept, buf, room, len);
}
