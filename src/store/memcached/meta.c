/* SPDX-License-Identifier: Apache-2.0 */
#include "store/memcached/meta.h"

#include "core/bytes.h"

bool
mc_number(coat_span text, uint64_t *out)
{
    uint64_t n = 0;

    if (text.len == 0 || text.len > 20 || (text.len > 1 && text.ptr[0] == '0'))
        return false;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t digit = (uint8_t)(text.ptr[i] - '0');

        if (digit > 9 || n > (UINT64_MAX - digit) / 10)
            return false;
        n = n * 10 + digit;
    }
    *out = n;
    return true;
}

coat_err
mc_reader_feed(mc_reader *reader, const uint8_t *bytes, size_t len)
{
    remote_buffer *in = &reader->in;

    if (reader->at > 0) {
        memmove(in->ptr, in->ptr + reader->at, in->len - reader->at);
        in->len -= reader->at;
        reader->at = 0;
    }
    if (len > REMOTE_BUFFER_MAX - in->len)
        return COAT_TOO_LARGE;
    remote_buffer_add(in, bytes, len);
    return in->failed ? COAT_NO_MEMORY : COAT_OK;
}

void
mc_reader_fini(mc_reader *reader)
{
    remote_buffer_free(&reader->in);
    reader->at = 0;
}

/** The next word of a line; empty behind the last. */
static coat_span
next_word(coat_span *line)
{
    const uint8_t *end = line->len > 0 ? memchr(line->ptr, ' ', line->len) : NULL;
    coat_span word = {line->ptr, end != NULL ? (size_t)(end - line->ptr) : line->len};
    size_t used = word.len + (end != NULL);

    *line = (coat_span){line->ptr + used, line->len - used};
    return word;
}

/** Opaque numbers are ours: hexadecimal, 16 digits. */
static bool
hex_number(coat_span text, uint64_t *out)
{
    uint64_t n = 0;

    if (text.len != 16)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];

        if (c >= '0' && c <= '9')
            n = n << 4 | (uint64_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            n = n << 4 | (uint64_t)(c - 'a' + 10);
        else
            return false;
    }
    *out = n;
    return true;
}

/** What a flag of a reply says; each at most once, and only those that we ask for. */
static bool
take_flag(coat_span word, mc_reply *out)
{
    coat_span token = {word.ptr + 1, word.len - 1};
    uint64_t n;

    switch (word.ptr[0]) {
    case 'c':
        if (out->has_cas || !mc_number(token, &out->cas))
            return false;
        out->has_cas = true;
        return true;
    case 'O':
        if (out->has_opaque || !hex_number(token, &out->opaque))
            return false;
        out->has_opaque = true;
        return true;
    case 't':
        if (out->has_ttl)
            return false;
        out->has_ttl = true;
        out->ttl_s = -1;
        if (coat_span_is(token, COAT_LIT("-1")))
            return true;
        if (!mc_number(token, &n) || n > INT32_MAX)
            return false;
        out->ttl_s = (int64_t)n;
        return true;
    default:
        return false;
    }
}

static bool
is_meta(coat_span line, mc_code *out)
{
    static const char codes[][3] = {"HD", "VA", "EN", "NS", "EX", "NF"};

    if (line.len < 2 || (line.len > 2 && line.ptr[2] != ' '))
        return false;
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        if (memcmp(line.ptr, codes[i], 2) == 0) {
            *out = (mc_code)i;
            return true;
        }
    return false;
}

/** @param size  of the value that follows */
static coat_err
parse_line(coat_span line, mc_reply *out, uint64_t *size)
{
    coat_span rest = line;

    out->line = line;
    out->code = MC_LINE;
    if (!is_meta(line, &out->code))
        return COAT_OK;
    (void)next_word(&rest);
    if (out->code == MC_VA) {
        if (!mc_number(next_word(&rest), size))
            return COAT_MALFORMED;
        if (*size > MC_VALUE_MAX)
            return COAT_TOO_LARGE;
    }
    while (rest.len > 0) {
        coat_span word = next_word(&rest);

        /* 1.6 writes a blank at the end of some replies without flags. */
        if (word.len == 0 && rest.len == 0)
            break;
        if (word.len == 0 || !take_flag(word, out))
            return COAT_MALFORMED;
    }
    return COAT_OK;
}

/** @return false: it is not all here yet */
static coat_err
find_line(const mc_reader *reader, coat_span *line, bool *whole)
{
    const uint8_t *from = reader->in.ptr + reader->at;
    size_t have = reader->in.len - reader->at;
    const uint8_t *end = have > 0 ? memchr(from, '\n', have) : NULL;

    *whole = end != NULL;
    if (end == NULL)
        return have > MC_LINE_MAX ? COAT_TOO_LARGE : COAT_OK;
    if (end - from > MC_LINE_MAX)
        return COAT_TOO_LARGE;
    if (end == from || end[-1] != '\r')
        return COAT_MALFORMED;
    *line = (coat_span){from, (size_t)(end - from) - 1};
    for (size_t i = 0; i < line->len; i++)
        if (line->ptr[i] < 0x20 || line->ptr[i] > 0x7e)
            return COAT_MALFORMED;
    return line->len > 0 ? COAT_OK : COAT_MALFORMED;
}

static coat_err
take_value(mc_reader *reader, size_t line_len, size_t size, mc_reply *out, bool *whole)
{
    const uint8_t *from = reader->in.ptr + reader->at + line_len;
    size_t have = reader->in.len - reader->at - line_len;

    *whole = have >= size + 2;
    if (!*whole)
        return COAT_OK;
    if (from[size] != '\r' || from[size + 1] != '\n')
        return COAT_MALFORMED;
    out->bytes = malloc(size + 1);
    if (out->bytes == NULL)
        return COAT_NO_MEMORY;
    memcpy(out->bytes, from, size);
    out->value = (coat_span){out->bytes, size};
    reader->at += line_len + size + 2;
    return COAT_OK;
}

coat_err
mc_reader_next(mc_reader *reader, mc_reply *out, bool *whole)
{
    coat_span line;
    mc_reply reply = {0};
    uint64_t size = 0;
    coat_err err = find_line(reader, &line, whole);

    if (err != COAT_OK || !*whole)
        return err;
    err = parse_line(line, &reply, &size);
    if (err != COAT_OK)
        return err;
    if (reply.code == MC_VA)
        err = take_value(reader, line.len + 2, (size_t)size, &reply, whole);
    else
        reader->at += line.len + 2;
    if (err == COAT_OK && *whole)
        *out = reply;
    return err;
}
