/* SPDX-License-Identifier: Apache-2.0 */
#include "core/bytes.h"
#include "server/http/parser.h"

/*
 * token: RFC 9110 5.6.2. value: RFC 9110 5.5, with obs-text. path, query: RFC 3986 and what
 * browsers leave unencoded there: "[ ] |" in both, "{ } ^ ` \" in the query. A test derives
 * the table anew.
 */
/* clang-format off */
const uint8_t coat_byte_class[256] = {
    0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, /* 00 */
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, /* 10 */
    2, 15, 2, 3, 15, 15, 15, 15, 14, 14, 15, 15, 14, 31, 31, 14, /* 20 */
    31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 14, 14, 2, 14, 2, 10, /* 30 */
    14, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, /* 40 */
    31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 14, 10, 14, 11, 31, /* 50 */
    11, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, /* 60 */
    31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 10, 15, 10, 15, 0, /* 70 */
    2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, /* 80 */
    2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, /* 90 */
    2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, /* a0 */
    2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, /* b0 */
    2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, /* c0 */
    2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, /* d0 */
    2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, /* e0 */
    2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, /* f0 */
};
/* clang-format on */

static bool
all_values(const uint8_t *ptr, size_t len)
{
    uint8_t all = COAT_BYTE_VALUE;

    for (size_t i = 0; i < len; i++)
        all &= coat_byte_class[ptr[i]];
    return all != 0;
}

/* Eight bytes at a time; whatever may not be plain text is looked at again, one by one. */
bool
coat_value_valid(coat_span value)
{
    const uint64_t ones = 0x0101010101010101U, high = ones * 0x80;
    size_t i = 0;

    for (; i + 8 <= value.len; i += 8) {
        uint64_t v = coat_load64(value.ptr + i), del = v ^ (ones * 0x7f);

        if ((((v - ones * 0x20) | (del - ones) | v) & high) != 0 &&
            !all_values(value.ptr + i, 8))
            return false;
    }
    return all_values(value.ptr + i, value.len - i);
}
