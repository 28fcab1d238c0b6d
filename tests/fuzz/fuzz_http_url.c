/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include "core/chars.h"
#include "server/http/internal.h"

/* Property: an accepted path has no dot or empty segment, no control byte, and gets no longer;
 * one without escapes is left as it is. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t buf[8192];
    coat_span path, query, out, rest, segment;
    bool has_query;

    if (size > sizeof buf ||
        coat_url_split((coat_span){data, size}, &path, &query, &has_query) != COAT_OK)
        return 0;
    FUZZ_CHECK(path.len + query.len + has_query == size);
    if (coat_url_path(path, buf, sizeof buf, &out) != COAT_OK)
        return 0;
    FUZZ_CHECK(out.len <= path.len && out.len > 0 && out.ptr[0] == '/');
    if (memchr(path.ptr, '%', path.len) == NULL)
        FUZZ_CHECK(coat_span_is(out, path));
    rest = coat_span_slice(out, 1, out.len);
    while (rest.len > 0) {
        size_t end = coat_span_find(rest, '/');

        segment = coat_span_slice(rest, 0, end);
        FUZZ_CHECK(segment.len > 0);
        FUZZ_CHECK(!coat_span_is(segment, COAT_LIT(".")));
        FUZZ_CHECK(!coat_span_is(segment, COAT_LIT("..")));
        rest = coat_span_slice(rest, end < rest.len ? end + 1 : end, rest.len);
    }
    return 0;
}
