/* SPDX-License-Identifier: Apache-2.0 */
#include "core/bytes.h"
#include "fuzz.h"
#include "store/memcached/keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A server's list of keys: how the bytes were cut into reads makes no difference, and a name
 * that is taken for one of ours is what we write, in an encoding of it.
 *
 * Input: which space is asked for, and which prefix; the length of a read; then the bytes. */

static const char *const prefixes[] = {"coat:", "a.b_c-d:e:"};

static uint64_t
mix(uint64_t sum, uint64_t value)
{
    return (sum ^ value) * 1099511628211U;
}

/** Whatever undoes the encoding of the name comes to the key. */
static void
check_name(coat_span name, const char *prefix, const char *key)
{
    size_t at = 0;

    for (size_t i = 0; key[i] != '\0'; i++) {
        unsigned c;

        FUZZ_CHECK(at < name.len);
        c = name.ptr[at++];
        if (c == '%') {
            char hex[3] = {(char)name.ptr[at], (char)name.ptr[at + 1], '\0'};

            c = (unsigned)strtoul(hex, NULL, 16);
            at += 2;
        }
        FUZZ_CHECK(c == (uint8_t)key[i]);
    }
    FUZZ_CHECK(at == name.len && strncmp(key, prefix, strlen(prefix)) == 0);
}

static uint64_t
take_name(coat_span name, coat_space space, const char *prefix)
{
    static const char kinds[] = "?oam";
    coat_handle address, before;
    char key[100];
    uint64_t sum = 7;
    int n;

    memset(&before, 0xA5, sizeof before);
    address = before;
    if (!mc_name_read(name, prefix, space, &address)) {
        FUZZ_CHECK(memcmp(&address, &before, sizeof before) == 0);
        return 0;
    }
    n = snprintf(key, sizeof key, "%s%c:", prefix, kinds[space]);
    for (size_t i = space == COAT_SPACE_SESSION ? 8 : 0; i < sizeof address.bytes; i++)
        n += snprintf(key + n, sizeof key - (size_t)n, "%02x", address.bytes[i]);
    for (size_t i = 0; i < sizeof address.bytes; i++)
        sum = mix(sum, address.bytes[i]);
    FUZZ_CHECK(space != COAT_SPACE_SESSION || memcmp(address.bytes, "\0\0\0\0\0\0\0", 8) == 0);
    check_name(name, prefix, key);
    return sum;
}

static uint64_t
sum_in_steps(const uint8_t *data, size_t size, size_t step, uint8_t head)
{
    mc_reader reader = {0};
    uint64_t sum = 14695981039346656037U;
    coat_space space = (coat_space)(COAT_SPACE_SESSION + head % 3);
    const char *prefix = prefixes[head / 128];
    coat_err err = COAT_OK;

    while (err == COAT_OK && size > 0) {
        size_t n = size < step ? size : step;
        mc_listed line = {0};
        bool whole = true;

        err = mc_reader_feed(&reader, data, n);
        while (err == COAT_OK && (err = mc_listed_next(&reader, &line, &whole)) == COAT_OK &&
               whole) {
            FUZZ_CHECK(line.line.len > 0 && line.line.len <= MC_LINE_MAX);
            sum = mix(sum, line.what);
            if (line.what == MC_LISTS_KEY)
                sum = mix(sum, take_name(line.name, space, prefix));
        }
        data += n;
        size -= n;
    }
    FUZZ_CHECK(err == COAT_OK || err == COAT_MALFORMED || err == COAT_TOO_LARGE);
    mc_reader_fini(&reader);
    return mix(sum, err != COAT_OK);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    FUZZ_CHECK(sum_in_steps(data + 2, size - 2, SIZE_MAX, data[0]) ==
               sum_in_steps(data + 2, size - 2, 1 + data[1] % 7, data[0]));
    return 0;
}
