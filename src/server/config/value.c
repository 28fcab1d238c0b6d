/* SPDX-License-Identifier: Apache-2.0 */
#include "server/config/value.h"

#include "core/bytes.h"
#include "core/out.h"
#include "core/utf8.h"
#include "server/config/config.h"

#include <stdio.h>

enum { DIGITS_MAX = 18 }; /* any such number fits int64_t */

typedef struct unit {
    const char *name;
    int64_t factor;
} unit;

/* Largest first, so that formatting finds the shortest text. */
static const unit durations[] = {
    {"d", DAY}, {"h", HOUR}, {"m", MINUTE}, {"s", SECOND}, {"ms", 1},
};
static const unit sizes[] = {
    {"TiB", TIB}, {"GiB", GIB}, {"MiB", MIB}, {"KiB", KIB}, {"", 1},
};

/* Digits without leading zeros. @return how many were read, 0 if it is no number */
static size_t
read_digits(coat_span text, int64_t *value)
{
    size_t n = 0;

    *value = 0;
    while (n < text.len && text.ptr[n] >= '0' && text.ptr[n] <= '9') {
        if (n == DIGITS_MAX)
            return 0;
        *value = *value * 10 + (text.ptr[n] - '0');
        n++;
    }
    return n > 1 && text.ptr[0] == '0' ? 0 : n;
}

static coat_err
read_unit(coat_span text, const unit *units, size_t count, int64_t *out)
{
    int64_t value;
    size_t digits = read_digits(text, &value);
    coat_span rest = {text.ptr + digits, text.len - digits};

    if (digits == 0)
        return COAT_MALFORMED;
    for (size_t i = 0; i < count; i++)
        if (coat_span_is(rest, coat_span_of(units[i].name)))
            return __builtin_mul_overflow(value, units[i].factor, out) ? COAT_TOO_LARGE
                                                                       : COAT_OK;
    return COAT_MALFORMED;
}

static void
write_unit(int64_t value, const unit *units, size_t count, char *buf, size_t cap)
{
    size_t i = 0;

    while (i + 1 < count && (value == 0 || value % units[i].factor != 0))
        i++;
    (void)snprintf(buf, cap, "%lld%s", (long long)(value / units[i].factor), units[i].name);
}

coat_err
coat_duration_parse(coat_span text, int64_t *ms)
{
    int64_t value;
    coat_err err = read_unit(text, durations, sizeof durations / sizeof durations[0], &value);

    if (err == COAT_OK)
        *ms = value;
    return err;
}

coat_err
coat_size_parse(coat_span text, int64_t *bytes)
{
    int64_t value;
    coat_err err = read_unit(text, sizes, sizeof sizes / sizeof sizes[0], &value);

    if (err == COAT_OK)
        *bytes = value;
    return err;
}

coat_err
coat_integer_parse(coat_span text, int64_t *value)
{
    int64_t read;
    bool minus = text.len > 1 && text.ptr[0] == '-';

    if (minus)
        text = (coat_span){text.ptr + 1, text.len - 1};
    if (text.len == 0 || read_digits(text, &read) != text.len || (minus && read == 0))
        return COAT_MALFORMED;
    *value = minus ? -read : read;
    return COAT_OK;
}

void
coat_duration_format(int64_t ms, char *buf, size_t cap)
{
    if (ms == 0)
        (void)snprintf(buf, cap, "0s");
    else if (ms == DAY) /* as people say it, and as the documents do */
        (void)snprintf(buf, cap, "24h");
    else
        write_unit(ms, durations, sizeof durations / sizeof durations[0], buf, cap);
}

void
coat_size_format(int64_t bytes, char *buf, size_t cap)
{
    write_unit(bytes, sizes, sizeof sizes / sizeof sizes[0], buf, cap);
}

bool
coat_text_is_clean(coat_span text)
{
    while (text.len > 0) {
        uint32_t point;
        size_t n = coat_utf8_next(text, &point);

        if (n == 0 || point < 0x20 || (point >= 0x7f && point < 0xa0))
            return false;
        text = (coat_span){text.ptr + n, text.len - n};
    }
    return true;
}

bool
coat_text_is_token(const char *text)
{
    static const char others[] = "!#$%&'*+-.^_`|~";

    for (const char *p = text; *p != '\0'; p++) {
        bool alnum =
            (*p >= '0' && *p <= '9') || (*p >= 'A' && *p <= 'Z') || (*p >= 'a' && *p <= 'z');

        if (!alnum && strchr(others, *p) == NULL)
            return false;
    }
    return *text != '\0';
}

/* Cut the next word off "a|b|c". */
static coat_span
next_word(const char **words)
{
    size_t len = strcspn(*words, "|");
    coat_span word = {(const uint8_t *)*words, len};

    *words += len + ((*words)[len] == '|');
    return word;
}

int
coat_word_index(const char *words, const char *text)
{
    for (int i = 0; *words != '\0'; i++)
        if (coat_span_is(next_word(&words), coat_span_of(text)))
            return i;
    return -1;
}

void
coat_word_at(const char *words, int index, char *buf, size_t cap)
{
    coat_out out = coat_out_init(buf, cap);
    coat_span word = {NULL, 0};

    for (int i = 0; i <= index && *words != '\0'; i++)
        word = next_word(&words);
    coat_out_span(&out, word);
    (void)coat_out_end(&out);
}

coat_span
coat_span_trim(coat_span text)
{
    while (text.len > 0 && (text.ptr[0] == ' ' || text.ptr[0] == '\t'))
        text = (coat_span){text.ptr + 1, text.len - 1};
    while (text.len > 0 && (text.ptr[text.len - 1] == ' ' || text.ptr[text.len - 1] == '\t'))
        text.len--;
    return text;
}
