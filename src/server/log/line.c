/* SPDX-License-Identifier: Apache-2.0 */
#include "server/log/line.h"

#include "core/utf8.h"

#include <stdio.h>
#include <time.h>

enum { RESERVE = 16 }; /* for the end: `,"cut":true}` and a newline */

/* Lengths of what a browser or operator may paste where it does not belong: session token and
 * pre-session (54 base64url characters), CSRF token and keys in hexadecimal (64). */
static bool
is_secret_length(size_t len)
{
    return len == 54 || len == 64;
}

static bool
is_b64url(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           c == '-' || c == '_';
}

static size_t
run_length(coat_span text, size_t at)
{
    size_t n = 0;

    while (at + n < text.len && is_b64url(text.ptr[at + n]))
        n++;
    return n;
}

/* Ends lines, hides text or turns it around in a terminal or a viewer. */
static bool
is_dangerous(uint32_t point)
{
    return point < 0x20 || (point >= 0x7f && point < 0xa0) || point == 0x2028 ||
           point == 0x2029 || (point >= 0x202a && point <= 0x202e) ||
           (point >= 0x2066 && point <= 0x2069) || point == 0x200e || point == 0x200f ||
           point == 0xfeff;
}

static void
put_hex(coat_out *out, const char *lead, uint32_t value, int digits)
{
    static const char hex[] = "0123456789abcdef";

    coat_out_str(out, lead);
    for (int i = digits - 1; i >= 0; i--)
        coat_out_char(out, hex[value >> 4 * i & 15]);
}

static void
put_point(coat_out *out, const uint8_t *bytes, size_t len, uint32_t point)
{
    if (point == '"' || point == '\\') {
        coat_out_char(out, '\\');
        coat_out_char(out, (char)point);
    } else if (point == '\n') {
        coat_out_str(out, "\\n");
    } else if (point == '\r') {
        coat_out_str(out, "\\r");
    } else if (point == '\t') {
        coat_out_str(out, "\\t");
    } else if (is_dangerous(point)) {
        put_hex(out, "\\u", point, 4);
    } else {
        coat_out_bytes(out, bytes, len);
    }
}

/* @return true if all of it was written */
static bool
put_escaped(coat_out *out, coat_span value, coat_log_format format)
{
    bool run_start = true;
    size_t at = 0;

    while (at < value.len) {
        coat_span rest = {value.ptr + at, value.len - at};
        uint32_t point = 0;
        size_t n = coat_utf8_next(rest, &point);
        size_t run = run_start ? run_length(value, at) : 0;

        if (is_secret_length(run)) {
            coat_out_str(out, "[redacted]");
            at += run;
            run_start = false;
            continue;
        }
        if (at + (n > 0 ? n : 1) > COAT_LOG_FIELD_MAX)
            return false;
        if (n == 0)
            put_hex(out, format == COAT_LOG_JSON ? "\\\\x" : "\\x", value.ptr[at], 2);
        else
            put_point(out, value.ptr + at, n, point);
        run_start = !is_b64url(value.ptr[at]);
        at += n > 0 ? n : 1;
    }
    return true;
}

/* Text that needs no quotes in logfmt and cannot be taken for something else. */
static bool
is_bare(coat_span value)
{
    if (value.len == 0 || value.len > COAT_LOG_FIELD_MAX ||
        (value.len == 1 && *value.ptr == '-'))
        return false;
    for (size_t i = 0; i < value.len; i++) {
        uint8_t c = value.ptr[i];

        if (c <= ' ' || c >= 0x7f || c == '"' || c == '=' || c == '\\' || c == '\'')
            return false;
        if (is_secret_length(run_length(value, i)))
            return false;
    }
    return true;
}

static void
put_name(coat_line *line, const char *name)
{
    if (!line->empty)
        coat_out_char(&line->out, line->format == COAT_LOG_JSON ? ',' : ' ');
    if (line->format == COAT_LOG_JSON)
        coat_out_char(&line->out, '"');
    coat_out_str(&line->out, name);
    coat_out_str(&line->out, line->format == COAT_LOG_JSON ? "\":" : "=");
}

/* A field goes in whole or not at all, or the line could not be read back. */
static void
settle(coat_line *line, size_t before)
{
    if (line->out.over) {
        line->out.len = before;
        line->out.over = false;
        line->cut = true;
    } else {
        line->empty = false;
    }
}

void
coat_line_begin(coat_line *line, coat_log_format format)
{
    line->format = format;
    line->out = coat_out_init(line->text, sizeof line->text - RESERVE);
    line->empty = true;
    line->cut = false;
    if (format == COAT_LOG_JSON)
        coat_out_char(&line->out, '{');
}

void
coat_line_text(coat_line *line, const char *name, coat_span value)
{
    size_t before = line->out.len;
    bool cut = false;

    put_name(line, name);
    if (line->format == COAT_LOG_LOGFMT && is_bare(value)) {
        coat_out_span(&line->out, value);
    } else {
        coat_out_char(&line->out, '"');
        cut = !put_escaped(&line->out, value, line->format);
        coat_out_char(&line->out, '"');
    }
    line->cut |= cut;
    settle(line, before);
}

void
coat_line_number(coat_line *line, const char *name, int64_t value)
{
    size_t before = line->out.len;

    put_name(line, name);
    coat_out_int(&line->out, value);
    settle(line, before);
}

void
coat_line_none(coat_line *line, const char *name)
{
    size_t before = line->out.len;

    put_name(line, name);
    coat_out_str(&line->out, line->format == COAT_LOG_JSON ? "null" : "-");
    settle(line, before);
}

void
coat_line_time(coat_line *line, int64_t ms)
{
    int64_t rest = ((ms % 1000) + 1000) % 1000;
    time_t seconds = (time_t)((ms - rest) / 1000);
    char text[64];
    struct tm tm;
    size_t n = 0;

    if (gmtime_r(&seconds, &tm) != NULL)
        n = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    (void)snprintf(text + n, sizeof text - n, ".%03dZ", (int)rest);
    coat_line_text(line, "ts", coat_span_of(text));
}

size_t
coat_line_end(coat_line *line)
{
    line->out.cap = sizeof line->text;
    if (line->cut)
        coat_out_str(&line->out, line->format == COAT_LOG_JSON ? ",\"cut\":true" : " cut=true");
    if (line->format == COAT_LOG_JSON)
        coat_out_char(&line->out, '}');
    coat_out_char(&line->out, '\n');
    return line->out.len;
}
