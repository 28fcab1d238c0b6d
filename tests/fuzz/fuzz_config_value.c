/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include "core/bytes.h"
#include "server/config/config.h"
#include "server/config/value.h"

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

static bool
is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

/* Words are found where they stand; a token has nothing that ends a header's name. */
static void
try_text(coat_span text)
{
    static const char words[] = "no|yes|maybe";
    char copy[64], word[16];
    coat_span bare = coat_span_trim(text);
    int index;

    FUZZ_CHECK(bare.len == 0 || (bare.ptr >= text.ptr && !is_blank(bare.ptr[0]) &&
                                 !is_blank(bare.ptr[bare.len - 1])));
    if (coat_text_is_clean(text))
        for (size_t i = 0; i < text.len; i++)
            FUZZ_CHECK(text.ptr[i] >= 0x20 && text.ptr[i] != 0x7f);
    if (text.len >= sizeof copy || memchr(text.ptr, '\0', text.len) != NULL)
        return;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    if (coat_text_is_token(copy))
        FUZZ_CHECK(copy[0] != '\0' && strpbrk(copy, " \t\r\n:;,=\"()") == NULL);
    index = coat_word_index(words, copy);
    if (index < 0)
        return;
    coat_word_at(words, index, word, sizeof word);
    FUZZ_CHECK(strcmp(word, copy) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    coat_span text = {data, size};
    int64_t value = -7;

    if (size > 0)
        try_text(text);
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
