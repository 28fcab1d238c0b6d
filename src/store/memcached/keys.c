/* SPDX-License-Identifier: Apache-2.0 */
#include "store/memcached/keys.h"

/* ---- lines ---- */

static bool
begins(coat_span text, coat_span with)
{
    return text.len >= with.len && memcmp(text.ptr, with.ptr, with.len) == 0;
}

/** Take "NAME=" and what it says, up to a blank or the end. */
static bool
take_field(coat_span *rest, coat_span name, coat_span *value)
{
    const uint8_t *end;

    if (!begins(*rest, name))
        return false;
    *rest = (coat_span){rest->ptr + name.len, rest->len - name.len};
    end = rest->len > 0 ? memchr(rest->ptr, ' ', rest->len) : NULL;
    *value = (coat_span){rest->ptr, end != NULL ? (size_t)(end - rest->ptr) : rest->len};
    *rest = (coat_span){rest->ptr + value->len, rest->len - value->len};
    return value->len > 0;
}

static bool
is_number(coat_span text)
{
    uint64_t n;

    return mc_number(text, &n);
}

/** Later releases may say more of an item, as words with a value. */
static bool
is_rest(coat_span rest)
{
    size_t equals = 0;

    for (size_t i = 0; i < rest.len; i++) {
        uint8_t c = rest.ptr[i];

        if (c == ' ') {
            if (i > 0 && equals != 1)
                return false;
            equals = 0;
        } else if (c == '=') {
            equals++;
        } else if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '_' && c != '-') {
            return false;
        }
    }
    return rest.len == 0 || (rest.ptr[0] == ' ' && equals == 1);
}

static coat_err
parse_key(coat_span line, mc_listed *out)
{
    static const char *const counts[] = {" la=", " cas=", " fetch=", " cls=", " size="};
    coat_span rest = line, value;

    out->what = MC_LISTS_KEY;
    if (!take_field(&rest, COAT_LIT("key="), &out->name) ||
        !take_field(&rest, COAT_LIT(" exp="), &value) ||
        (!is_number(value) && !coat_span_is(value, COAT_LIT("-1"))))
        return COAT_MALFORMED;
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        bool ok = take_field(&rest, coat_span_of(counts[i]), &value);

        if (ok && i == 2)
            ok = coat_span_is(value, COAT_LIT("yes")) || coat_span_is(value, COAT_LIT("no"));
        else if (ok)
            ok = is_number(value);
        if (!ok)
            return COAT_MALFORMED;
    }
    return is_rest(rest) ? COAT_OK : COAT_MALFORMED;
}

static coat_err
parse_answer(coat_span line, mc_listed *out)
{
    /* Short ones are whole words. */
    static const struct {
        const char *word;
        bool alone;
        mc_listing what;
    } answers[] = {{"END", true, MC_LISTS_END},        {"BUSY ", false, MC_LISTS_BUSY},
                   {"OK", true, MC_LISTS_DONE},        {"STORED", true, MC_LISTS_DONE},
                   {"ERROR", false, MC_LISTS_NEVER},   {"CLIENT_ERROR ", false, MC_LISTS_NEVER},
                   {"BADCLASS", false, MC_LISTS_NEVER}};

    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        coat_span word = coat_span_of(answers[i].word);

        if (begins(line, word) && (!answers[i].alone || line.len == word.len)) {
            out->what = answers[i].what;
            return COAT_OK;
        }
    }
    return COAT_MALFORMED;
}

/** @return false: there is something in it that no server writes */
static bool
is_clean(coat_span line)
{
    for (size_t i = 0; i < line.len; i++)
        if (line.ptr[i] < 0x20 || line.ptr[i] > 0x7e)
            return false;
    return line.len > 0;
}

coat_err
mc_listed_next(mc_reader *reader, mc_listed *out, bool *whole)
{
    const uint8_t *from = reader->in.ptr + reader->at;
    size_t have = reader->in.len - reader->at;
    const uint8_t *end = have > 0 ? memchr(from, '\n', have) : NULL;
    mc_listed found = {0};
    coat_err err;

    *whole = end != NULL;
    if ((end != NULL ? (size_t)(end - from) : have) > MC_LINE_MAX)
        return COAT_TOO_LARGE;
    if (end == NULL)
        return COAT_OK;
    found.line = (coat_span){from, (size_t)(end - from)};
    /* Lines of items end without a carriage return, all others with one. */
    if (begins(found.line, COAT_LIT("key="))) {
        err = is_clean(found.line) ? parse_key(found.line, &found) : COAT_MALFORMED;
    } else {
        if (found.line.len == 0 || found.line.ptr[found.line.len - 1] != '\r')
            return COAT_MALFORMED;
        found.line.len--;
        err = is_clean(found.line) ? parse_answer(found.line, &found) : COAT_MALFORMED;
    }
    if (err != COAT_OK)
        return err;
    reader->at += (size_t)(end - from) + 1;
    *out = found;
    return COAT_OK;
}

/* ---- names ---- */

/** @return -1: it is none */
static int
digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/** Undo the URI-encoding. @return false: it has none, or is longer than a key may be */
static bool
decode_name(coat_span name, uint8_t out[MC_NAME_MAX], size_t *len)
{
    *len = 0;
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.ptr[i];

        if (*len == MC_NAME_MAX)
            return false;
        if (c == '%') {
            int high = i + 2 < name.len ? digit(name.ptr[i + 1]) : -1;
            int low = high >= 0 ? digit(name.ptr[i + 2]) : -1;

            if (low < 0)
                return false;
            c = (uint8_t)(high << 4 | low);
            i += 2;
        }
        out[(*len)++] = c;
    }
    return true;
}

/** As put_key() writes it: small letters. */
static bool
read_hex(coat_span text, uint8_t *out, size_t bytes)
{
    if (text.len != 2 * bytes)
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (digit(text.ptr[i]) < 0 || (text.ptr[i] >= 'A' && text.ptr[i] <= 'F'))
            return false;
    for (size_t i = 0; i < bytes; i++)
        out[i] = (uint8_t)(digit(text.ptr[2 * i]) << 4 | digit(text.ptr[2 * i + 1]));
    return true;
}

bool
mc_name_read(coat_span name, const char *prefix, coat_space space, coat_handle *out)
{
    static const char kinds[] = {
        [COAT_SPACE_SESSION] = 'o', [COAT_SPACE_ACCOUNT] = 'a', [COAT_SPACE_META] = 'm'};
    uint8_t bytes[MC_NAME_MAX];
    size_t len, front = strlen(prefix);
    bool of_owner = space == COAT_SPACE_SESSION;
    coat_handle address = {0};
    coat_span rest;

    if (!decode_name(name, bytes, &len) || len < front + 2 ||
        memcmp(bytes, prefix, front) != 0 || bytes[front] != (uint8_t)kinds[space] ||
        bytes[front + 1] != ':')
        return false;
    rest = (coat_span){bytes + front + 2, len - front - 2};
    if (!read_hex(rest, address.bytes + (of_owner ? 8 : 0), of_owner ? 8 : 16))
        return false;
    *out = address;
    return true;
}
