/* SPDX-License-Identifier: Apache-2.0 */
#include <coatcheck/target.h>

#include "core/origin.h"
#include "core/out.h"
#include "core/percent.h"

/**
 * How a byte of the path counts. Escapes are looked through for judging, since a proxy or an
 * application behind us may decode and then normalise what a browser would leave alone; they
 * are kept when writing.
 */
static int
unit_at(coat_span text, size_t at, size_t *len)
{
    if (text.ptr[at] != '%') {
        *len = 1;
        return text.ptr[at];
    }
    *len = 3;
    return text.len - at < 3 ? -1 : coat_char_hex2(text.ptr + at + 1);
}

/* "/%2f" is refused however often it was encoded: "%25" is a "%" for the next decoder. */
static bool
slash_follows(coat_span path)
{
    size_t at = 1;

    if (path.len < 2)
        return false;
    if (path.ptr[1] != '%')
        return path.ptr[1] == '/' || path.ptr[1] == '\\';
    while (path.len - at >= 5 && path.ptr[at + 1] == '2' && path.ptr[at + 2] == '5')
        at += 2;
    if (path.len - at < 3)
        return false;
    return coat_char_hex2(path.ptr + at + 1) == '/' ||
           coat_char_hex2(path.ptr + at + 1) == '\\';
}

/* No controls, no backslash, no "." and ".." segments; path begins with "/". */
static bool
path_is_plain(coat_span path)
{
    size_t dots = 0, others = 0, len;

    if (path.len == 0 || path.ptr[0] != '/' || slash_follows(path))
        return false;
    for (size_t i = 1; i < path.len; i += len) {
        int c = unit_at(path, i, &len);

        if (c < 0x20 || c == 0x7f || c == '\\')
            return false;
        if (c == '/') {
            if (others == 0 && (dots == 1 || dots == 2))
                return false;
            dots = others = 0;
        } else if (c == '.') {
            dots++;
        } else {
            others++;
        }
    }
    return others > 0 || (dots != 1 && dots != 2);
}

static bool
query_is_plain(coat_span query)
{
    size_t len;

    for (size_t i = 0; i < query.len; i += len)
        if (unit_at(query, i, &len) < 0)
            return false;
    return true;
}

/* Raw bytes of the whole: printable ASCII without backslash and fragment. */
static bool
text_is_plain(coat_span text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((!coat_char_is_visible(text.ptr[i]) && text.ptr[i] != ' ') || text.ptr[i] == '\\' ||
            text.ptr[i] == '#')
            return false;
    return text.len > 0 && text.len <= COAT_TARGET_MAX;
}

/* pchar of RFC 3986 with "/", "?" and the "%" of escapes that were checked. */
static bool
byte_is_kept(uint8_t c)
{
    return coat_char_is_unreserved(c) || (c != '\0' && strchr("/?%:@!$&'()*+,;=", c) != NULL);
}

/* One spelling: escapes get upper-case digits, as coat_percent_write() makes them. */
static void
raise_escapes(char *text, size_t len)
{
    for (size_t i = 0; i + 2 < len; i++)
        if (text[i] == '%')
            for (size_t k = i + 1; k <= i + 2; k++)
                if (coat_char_is_lower((uint8_t)text[k]))
                    text[k] = (char)(text[k] - ('a' - 'A'));
}

/* How long the origin at the front is: up to the third slash, a "?" or the end. */
static size_t
origin_length(coat_span target)
{
    size_t slashes = 0, i = 0;

    for (; i < target.len && target.ptr[i] != '?'; i++) {
        slashes += target.ptr[i] == '/';
        if (slashes == 3)
            break;
    }
    return i;
}

/* Write the origin, as configured and not as received, and leave the rest in *path. */
static bool
write_origin(coat_out *out, coat_span target, const coat_origins *allowed, coat_span *path)
{
    size_t len = origin_length(target);
    const char *origin = coat_origins_match(allowed, coat_span_slice(target, 0, len));

    if (origin == NULL)
        return false;
    *path = coat_span_slice(target, len, target.len);
    coat_out_str(out, origin);
    if (path->len == 0 || path->ptr[0] == '?')
        coat_out_char(out, '/');
    return !out->over;
}

coat_err
coat_target_check(coat_span target, const coat_origins *allowed, char *buf, size_t cap,
                  size_t *len)
{
    char text[COAT_TARGET_MAX + 1];
    coat_out out = coat_out_init(text, COAT_TARGET_MAX);
    coat_span path = target;
    size_t mark, written;

    if (!text_is_plain(target) ||
        (target.ptr[0] != '/' && !write_origin(&out, target, allowed, &path)))
        return COAT_DENIED;
    mark = coat_span_find(path, '?');
    if ((mark > 0 && !path_is_plain(coat_span_slice(path, 0, mark))) ||
        !query_is_plain(coat_span_slice(path, mark, path.len)))
        return COAT_DENIED;
    if (coat_percent_write(path, byte_is_kept, text + out.len, sizeof text - out.len,
                           &written) != COAT_OK)
        return COAT_DENIED;
    raise_escapes(text + out.len, written);
    written += out.len;
    if (written >= cap)
        return COAT_TOO_LARGE;
    memcpy(buf, text, written + 1);
    *len = written;
    return COAT_OK;
}
