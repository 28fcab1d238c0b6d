/* SPDX-License-Identifier: Apache-2.0 */
#include "server/http/internal.h"

coat_err
coat_url_split(coat_span target, coat_span *path, coat_span *query, bool *has_query)
{
    const uint8_t *mark = target.len > 0 ? memchr(target.ptr, '?', target.len) : NULL;

    if (target.len == 0)
        return COAT_MALFORMED;
    *has_query = mark != NULL;
    *path = target;
    *query = (coat_span){NULL, 0};
    if (mark != NULL) {
        path->len = (size_t)(mark - target.ptr);
        *query = (coat_span){mark + 1, target.len - path->len - 1};
    }
    return COAT_OK;
}

/* Segments that are empty (but for the last), "." or "..": no two spellings of one path. */
static bool
segments_valid(coat_span path)
{
    size_t start = 1;

    if (path.len == 0 || path.ptr[0] != '/')
        return false;
    for (size_t i = 1; i <= path.len; i++) {
        size_t len = i - start;

        if (i < path.len && path.ptr[i] != '/')
            continue;
        if ((len == 0 && i < path.len) || (len == 1 && path.ptr[start] == '.') ||
            (len == 2 && path.ptr[start] == '.' && path.ptr[start + 1] == '.'))
            return false;
        start = i + 1;
    }
    return true;
}

coat_err
coat_url_segments(coat_span path)
{
    return segments_valid(path) ? COAT_OK : COAT_MALFORMED;
}

coat_err
coat_url_path(coat_span raw, uint8_t *buf, size_t cap, coat_span *out)
{
    coat_span path = raw;

    if (raw.len > 0 && memchr(raw.ptr, '%', raw.len) != NULL) {
        size_t len = 0;

        if (cap < raw.len)
            return COAT_TOO_LARGE;
        for (size_t i = 0; i < raw.len; i++) {
            uint8_t c = raw.ptr[i];

            if (c == '%') {
                int value = raw.len - i < 3 ? -1 : coat_char_hex2(raw.ptr + i + 1);

                if (value < 0x20 || value == 0x7f || value == '/' || value == '\\')
                    return COAT_MALFORMED;
                c = (uint8_t)value;
                i += 2;
            }
            buf[len++] = c;
        }
        path = (coat_span){buf, len};
    }
    if (!segments_valid(path))
        return COAT_MALFORMED;
    *out = path;
    return COAT_OK;
}
