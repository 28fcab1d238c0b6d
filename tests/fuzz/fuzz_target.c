/* SPDX-License-Identifier: Apache-2.0 */
#include "core/chars.h"
#include "fuzz.h"

#include <coatcheck/target.h>

static const char *const list[] = {"https://app.example", "http://localhost:3000"};
static const coat_origins allowed = {list, 2};

/* A Location that was accepted leads here or to a listed origin, on one line, in one spelling.
 */
static void
check_target(coat_span text)
{
    char buf[COAT_TARGET_MAX + 1], again[COAT_TARGET_MAX + 1];
    const char *path = buf;
    size_t len = 4711, len_again;

    buf[0] = 'z';
    if (coat_target_check(text, &allowed, buf, sizeof buf, &len) != COAT_OK) {
        FUZZ_CHECK(buf[0] == 'z' && len == 4711);
        return;
    }
    FUZZ_CHECK(len == strlen(buf) && len <= COAT_TARGET_MAX);
    for (size_t i = 0; i < len; i++)
        FUZZ_CHECK(buf[i] > 0x20 && buf[i] < 0x7f && strchr("\\#\"<>^`{|}", buf[i]) == NULL);
    for (size_t i = 0; i < allowed.count; i++)
        if (strncmp(buf, list[i], strlen(list[i])) == 0)
            path = buf + strlen(list[i]);
    FUZZ_CHECK(path[0] == '/' && path[1] != '/');
    FUZZ_CHECK(strncmp(path, "/%2F", 4) != 0 && strncmp(path, "/%5C", 4) != 0);
    FUZZ_CHECK(coat_target_check((coat_span){(const uint8_t *)buf, len}, &allowed, again,
                                 sizeof again, &len_again) == COAT_OK);
    FUZZ_CHECK(len == len_again && memcmp(buf, again, len) == 0);
}

/* Encoding and decoding are each other's inverse; decoding never grows. */
static void
check_percent(coat_span text)
{
    static char encoded[3 * 4096 + 1];
    static uint8_t decoded[4096];
    size_t len, back;

    if (text.len > sizeof decoded)
        return;
    FUZZ_CHECK(coat_percent_encode(text, encoded, sizeof encoded, &len) == COAT_OK);
    FUZZ_CHECK(coat_percent_decode((coat_span){(const uint8_t *)encoded, len}, true, decoded,
                                   sizeof decoded, &back) == COAT_OK);
    FUZZ_CHECK(coat_span_is((coat_span){decoded, back}, text));
    if (coat_percent_decode(text, false, decoded, sizeof decoded, &back) == COAT_OK)
        FUZZ_CHECK(back <= text.len);
    /* With less room than needed nothing is written. */
    back = 4711;
    if (text.len > 0 && text.ptr[0] != '%')
        FUZZ_CHECK(coat_percent_decode(text, true, decoded, 0, &back) != COAT_OK &&
                   back == 4711);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_target((coat_span){data, size});
    check_percent((coat_span){data, size});
    return 0;
}
