/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include "core/bytes.h"
#include "server/config/config.h"

/* What parses is not negative, has a shortest text that parses back to the same number, and
 * that text is its own shortest text. What does not parse leaves the output alone. */
static void
try_unit(coat_span text, coat_err (*parse)(coat_span, int64_t *),
         void (*format)(int64_t, char *, size_t))
{
    int64_t value = -7, again = -7;
    char buf[32], twice[32];

    if (parse(text, &value) != COAT_OK) {
        FUZZ_CHECK(value == -7);
        return;
    }
    FUZZ_CHECK(value >= 0);
    format(value, buf, sizeof buf);
    FUZZ_CHECK(parse(coat_span_of(buf), &again) == COAT_OK && again == value);
    format(again, twice, sizeof twice);
    FUZZ_CHECK(strcmp(buf, twice) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    coat_span text = {data, size};
    int64_t value = -7;

    try_unit(text, coat_duration_parse, coat_duration_format);
    try_unit(text, coat_size_parse, coat_size_format);
    if (coat_integer_parse(text, &value) ==
        COAT_OK) { /* one spelling: printing gives it back */
        char buf[32];
        int len = snprintf(buf, sizeof buf, "%lld", (long long)value);

        FUZZ_CHECK((size_t)len == size && memcmp(buf, data, size) == 0);
    } else {
        FUZZ_CHECK(value == -7);
    }
    return 0;
}
