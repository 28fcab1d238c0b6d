/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/gateway/syntax.h"

void
coat_nginx_raw(coat_nginx_text *t, const char *text)
{
    coat_out_str(t->out, text);
}

static void
put_escaped(coat_nginx_text *t, const char *what, coat_span text)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];

        if ((c < 0x20 || c == 0x7f || c == '$') && t->bad == NULL)
            t->bad = what;
        if (c == '"' || c == '\\')
            coat_out_char(t->out, '\\');
        coat_out_char(t->out, (char)c);
    }
}

void
coat_nginx_quote(coat_nginx_text *t, const char *what, coat_span text)
{
    coat_nginx_raw(t, " \"");
    put_escaped(t, what, text);
    coat_nginx_raw(t, "\"");
}

void
coat_nginx_set(coat_nginx_text *t, const char *name, const char *what, const char *text)
{
    coat_nginx_set_tail(t, name, what, text, "");
}

void
coat_nginx_set_tail(coat_nginx_text *t, const char *name, const char *what, const char *text,
                    const char *tail)
{
    coat_nginx_raw(t, name);
    coat_nginx_raw(t, " \"");
    put_escaped(t, what, coat_span_of(text));
    coat_nginx_raw(t, tail);
    coat_nginx_raw(t, "\";\n");
}

void
coat_nginx_list(coat_nginx_text *t, const char *name, const char *what, coat_strings values)
{
    if (values.count == 0)
        return;
    coat_nginx_raw(t, name);
    for (size_t i = 0; i < values.count; i++)
        coat_nginx_quote(t, what, coat_span_of(values.list[i]));
    coat_nginx_raw(t, ";\n");
}

void
coat_nginx_number(coat_nginx_text *t, const char *name, int64_t value, const char *unit)
{
    coat_nginx_raw(t, name);
    coat_nginx_raw(t, " ");
    coat_out_int(t->out, value);
    coat_nginx_raw(t, unit);
    coat_nginx_raw(t, ";\n");
}
