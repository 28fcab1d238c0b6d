/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_CORE_PERCENT_H
#define COAT_CORE_PERCENT_H

#include "core/chars.h"

static inline bool
coat_char_is_unreserved(uint8_t c)
{
    return coat_char_is_alnum(c) || c == '-' || c == '.' || c == '_' || c == '~';
}

/** Write text with every byte that keep() does not name as %XX; NUL-terminated. */
coat_err coat_percent_write(coat_span text, bool (*keep)(uint8_t), char *buf, size_t cap,
                            size_t *len);

#endif
