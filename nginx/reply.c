/* SPDX-License-Identifier: Apache-2.0 */
#include "reply.h"

#include "core/bytes.h"
#include "core/chars.h"

#include <string.h>

enum { STATUS_LINE_LEAST = 13, LENGTH_DIGITS = 6 }; /* "HTTP/1.1 200 " */

/** The next line without its CRLF. @return false: not there yet, or not plain (*bad) */
static bool
take_line(coat_span text, size_t *at, coat_span *line, bool *bad)
{
    const uint8_t *lf;

    if (*at >= text.len)
        return false;
    lf = memchr(text.ptr + *at, '\n', text.len - *at);
    if (lf == NULL)
        return false;
    *line = (coat_span){text.ptr + *at, (size_t)(lf - text.ptr) - *at};
    *at += line->len + 1;
    if (line->len == 0 || line->ptr[line->len - 1] != '\r') {
        *bad = true;
        return false;
    }
    line->len--;
    for (size_t i = 0; i < line->len; i++)
        if (line->ptr[i] < 0x20 || line->ptr[i] == 0x7f) {
            *bad = true;
            return false;
        }
    return true;
}

static bool
read_status(coat_span line, unsigned *status)
{
    unsigned value = 0;

    if (line.len < STATUS_LINE_LEAST || memcmp(line.ptr, "HTTP/1.1 ", 9) != 0 ||
        line.ptr[12] != ' ')
        return false;
    for (size_t i = 9; i < 12; i++) {
        if (line.ptr[i] < '0' || line.ptr[i] > '9')
            return false;
        value = value * 10 + (unsigned)(line.ptr[i] - '0');
    }
    *status = value;
    return value >= 100 && value <= 599;
}

static bool
read_field(coat_span line, coat_field *out)
{
    const uint8_t *colon = memchr(line.ptr, ':', line.len);

    if (colon == NULL)
        return false;
    out->name = (coat_span){line.ptr, (size_t)(colon - line.ptr)};
    out->value = coat_span_trim(coat_span_slice(line, out->name.len + 1, line.len));
    return coat_span_is_token(out->name);
}

static bool
read_length(coat_span text, size_t *out)
{
    size_t value = 0;

    if (text.len == 0 || text.len > LENGTH_DIGITS)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
        value = value * 10 + (size_t)(text.ptr[i] - '0');
    }
    *out = value;
    return true;
}

/** What the fields say about the body. @return false: not plain */
static bool
read_framing(coat_reply *reply, size_t *length)
{
    size_t lengths = 0;

    *length = 0;
    reply->keep = true;
    for (size_t i = 0; i < reply->field_count; i++) {
        const coat_field *field = &reply->fields[i];

        if (coat_span_is_nocase(field->name, COAT_LIT("Transfer-Encoding")))
            return false;
        if (coat_span_is_nocase(field->name, COAT_LIT("Connection")) &&
            !coat_span_is_nocase(field->value, COAT_LIT("keep-alive")))
            reply->keep = false;
        if (coat_span_is_nocase(field->name, COAT_LIT("Content-Length")) &&
            (++lengths > 1 || !read_length(field->value, length)))
            return false;
    }
    if (reply->status == 204 || reply->status == 304)
        return *length == 0;
    return lengths == 1;
}

/** Status line and fields, up to the body at *at. */
static coat_reply_state
read_head(coat_span text, size_t *at, coat_reply *reply)
{
    coat_span line;
    bool bad = false;

    if (!take_line(text, at, &line, &bad))
        return bad ? COAT_REPLY_BAD : COAT_REPLY_MORE;
    if (!read_status(line, &reply->status))
        return COAT_REPLY_BAD;
    for (;;) {
        if (!take_line(text, at, &line, &bad))
            return bad ? COAT_REPLY_BAD : COAT_REPLY_MORE;
        if (line.len == 0)
            return COAT_REPLY_WHOLE;
        if (reply->field_count == COAT_REPLY_FIELDS_MAX ||
            !read_field(line, &reply->fields[reply->field_count]))
            return COAT_REPLY_BAD;
        reply->field_count++;
    }
}

coat_reply_state
coat_reply_parse(coat_span text, size_t cap, coat_reply *out)
{
    coat_reply reply = {0};
    size_t at = 0, length;
    coat_reply_state head = read_head(text, &at, &reply);

    if (head == COAT_REPLY_MORE)
        return text.len >= cap ? COAT_REPLY_BAD : COAT_REPLY_MORE;
    if (head == COAT_REPLY_BAD || !read_framing(&reply, &length) || length > cap - at ||
        text.len - at > length)
        return COAT_REPLY_BAD;
    if (text.len - at < length)
        return COAT_REPLY_MORE;
    reply.body = (coat_span){text.ptr + at, length};
    *out = reply;
    return COAT_REPLY_WHOLE;
}

coat_span
coat_reply_field(const coat_reply *reply, const char *name)
{
    for (size_t i = 0; i < reply->field_count; i++)
        if (coat_span_is_nocase(reply->fields[i].name, coat_span_of(name)))
            return reply->fields[i].value;
    return (coat_span){NULL, 0};
}
