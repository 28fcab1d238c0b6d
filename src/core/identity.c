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
    const uint8_t *end = NULL;

    /* Here nothing can fail any more, so buf may be written to. */
    if (room >= COAT_PLAIN_SPARE && value.len <= (room - COAT_PLAIN_SPARE) / 3)
        end = coat_plain_put(value, (uint8_t *)buf);
    if (end == NULL)
        return coat_percent_write(value, is_plain, buf, room, len);
    *len = (size_t)(end - (uint8_t *)buf);
    return COAT_OK;
}
