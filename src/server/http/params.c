/* SPDX-License-Identifier: Apache-2.0 */
#include "server/http/params.h"

#include "core/chars.h"

/* Length of the well-formed UTF-8 sequence at ptr (Unicode table 3-7), 0 if there is none. */
static size_t
utf8_sequence(const uint8_t *ptr, size_t len)
{
    uint8_t c = ptr[0], low = 0x80, high = 0xbf;
    size_t need;

    if (c < 0x80)
        return 1;
    if (c < 0xc2 || c > 0xf4)
        return 0;
    need = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    if (c == 0xe0)
        low = 0xa0;
    else if (c == 0xed)
        high = 0x9f;
    else if (c == 0xf0)
        low = 0x90;
    else if (c == 0xf4)
        high = 0x8f;
    if (len < need || ptr[1] < low || ptr[1] > high)
        return 0;
    for (size_t i = 2; i < need; i++)
        if ((ptr[i] & 0xc0) != 0x80)
            return 0;
    return need;
}

static bool
text_valid(coat_span text)
{
    for (size_t i = 0, n; i < text.len; i += n) {
        uint8_t c = text.ptr[i];

        if ((c < 0x20 && c != '\t' && c != '\r' && c != '\n') || c == 0x7f)
            return false;
        n = utf8_sequence(text.ptr + i, text.len - i);
        if (n == 0)
            return false;
    }
    return true;
}

/* Decodes [from, to) of text to buf + *len; reading never falls behind writing. */
static bool
decode(coat_span text, size_t from, size_t to, uint8_t *buf, size_t *len, coat_span *out)
{
    size_t start = *len;

    for (size_t i = from; i < to; i++) {
        uint8_t c = text.ptr[i];

        if (c == '+') {
            c = ' ';
        } else if (c == '%') {
            int value = to - i < 3 ? -1 : coat_char_hex2(text.ptr + i + 1);

            if (value < 0)
                return false;
            c = (uint8_t)value;
            i += 2;
        }
        buf[(*len)++] = c;
    }
    *out = (coat_span){buf + start, *len - start};
    return text_valid(*out);
}

static size_t
find(coat_span text, size_t from, size_t to, uint8_t what)
{
    return from + coat_span_find((coat_span){text.ptr + from, to - from}, what);
}

static coat_err
take_pair(coat_span text, size_t from, size_t to, uint8_t *buf, size_t *len, coat_params *out)
{
    size_t equals = find(text, from, to, '=');
    coat_param *param = &out->list[out->count];

    if (out->count == COAT_PARAMS_MAX)
        return COAT_TOO_LARGE;
    if (equals == from || !decode(text, from, equals, buf, len, &param->name))
        return COAT_MALFORMED;
    if (!decode(text, equals < to ? equals + 1 : to, to, buf, len, &param->value))
        return COAT_MALFORMED;
    for (size_t i = 0; i < out->count; i++)
        if (coat_span_is(out->list[i].name, param->name))
            return COAT_MALFORMED;
    out->count++;
    return COAT_OK;
}

coat_err
coat_params_parse(coat_span text, uint8_t *buf, size_t cap, coat_params *out)
{
    size_t at = 0, len = 0;

    out->count = 0;
    if (text.len > cap)
        return COAT_TOO_LARGE;
    while (at < text.len) {
        size_t end = find(text, at, text.len, '&');
        coat_err err = take_pair(text, at, end, buf, &len, out);

        if (err == COAT_OK && end + 1 == text.len)
            err = COAT_MALFORMED; /* "a=1&": an empty pair at the end */
        if (err != COAT_OK) {
            out->count = 0;
            return err;
        }
        at = end + 1;
    }
    return COAT_OK;
}

bool
coat_params_get(const coat_params *params, const char *name, coat_span *out)
{
    coat_span key = coat_span_of(name);

    for (size_t i = 0; i < params->count; i++) {
        if (coat_span_is(params->list[i].name, key)) {
            *out = params->list[i].value;
            return true;
        }
    }
    return false;
}
