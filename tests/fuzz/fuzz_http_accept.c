/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include "core/chars.h"
#include "server/http/internal.h"

static bool
mentions(const uint8_t *data, size_t size, const char *what)
{
    size_t len = strlen(what);

    for (size_t i = 0; i + len <= size; i++)
        if (coat_span_is_nocase((coat_span){data + i, len}, coat_span_of(what)))
            return true;
    return false;
}

/* Property: only who names text (or everything, with JSON refused) gets HTML; a media type is a
 * part of what was given; spaces around elements change nothing. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t wide[16384];
    bool html = coat_accept_html((coat_span){data, size});
    coat_span type = coat_media_type((coat_span){data, size});
    size_t len = 0;

    FUZZ_CHECK(type.len <= size);
    FUZZ_CHECK(type.len == 0 || (type.ptr >= data && type.ptr + type.len <= data + size));
    if (html && !mentions(data, size, "*/*"))
        FUZZ_CHECK(mentions(data, size, "text/html") || mentions(data, size, "text/*"));
    if (size > sizeof wide / 3)
        return 0;
    for (size_t i = 0; i < size; i++) {
        if (data[i] == ',')
            wide[len++] = ' ';
        wide[len++] = data[i];
        if (data[i] == ',')
            wide[len++] = '\t';
    }
    FUZZ_CHECK(coat_accept_html((coat_span){wide, len}) == html);
    return 0;
}
