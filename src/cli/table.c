/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/table.h"

#include "core/out.h"
#include "core/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { CELL_MAX = 256, COLUMNS_MAX = 12 };

static void
put_time(coat_out *out, int64_t when_ms)
{
    time_t seconds = (time_t)(when_ms / 1000);
    struct tm tm;
    char text[32];

    if (when_ms == 0) {
        coat_out_str(out, "never");
    } else if (localtime_r(&seconds, &tm) != NULL &&
               strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &tm) > 0) {
        coat_out_str(out, text);
    }
}

/* Ends lines, moves the cursor, hides text or turns it around. */
static bool
is_shown(uint32_t point)
{
    return point >= 0x20 && (point < 0x7f || point >= 0xa0) && point != 0x200e &&
           point != 0x200f && !(point >= 0x2028 && point <= 0x202e) &&
           !(point >= 0x2066 && point <= 0x2069) && point != 0xfeff;
}

/* What a terminal would act on is shown as '?': names and addresses are other people's text. */
static void
put_text(coat_out *out, const char *text)
{
    coat_span rest = coat_span_of(text != NULL ? text : "");

    while (rest.len > 0) {
        uint32_t point = 0;
        size_t n = coat_utf8_next(rest, &point);

        if (n > 0 && is_shown(point))
            coat_out_bytes(out, rest.ptr, n);
        else
            coat_out_char(out, '?');
        rest = (coat_span){rest.ptr + (n > 0 ? n : 1), rest.len - (n > 0 ? n : 1)};
    }
}

static void
cell_text(const json_t *value, coat_cell cell, char buf[CELL_MAX])
{
    coat_out out = coat_out_init(buf, CELL_MAX);
    const json_t *word;
    size_t i;

    switch (cell) {
    case COAT_CELL_TIME:
        put_time(&out, json_integer_value(value));
        break;
    case COAT_CELL_YES:
        coat_out_str(&out, json_is_true(value) ? "yes" : "");
        break;
    case COAT_CELL_WORDS:
        json_array_foreach(value, i, word)
        {
            if (out.len > 0 && json_is_string(word))
                coat_out_char(&out, ' ');
            put_text(&out, json_string_value(word));
        }
        break;
    case COAT_CELL_TEXT:
        if (json_is_string(value))
            put_text(&out, json_string_value(value));
        else if (json_is_integer(value))
            coat_out_int(&out, json_integer_value(value));
        else if (json_is_boolean(value))
            coat_out_str(&out, json_is_true(value) ? "yes" : "no");
        break;
    }
    (void)coat_out_end(&out);
}

/** Columns a terminal needs for UTF-8 text, combining marks aside. */
static size_t
width_of(const char *text)
{
    size_t width = 0;

    for (; *text != '\0'; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

static void
print_cell(const char *text, size_t width, bool last)
{
    (void)fputs(text, stdout);
    for (size_t n = width_of(text); !last && n < width + 2; n++)
        (void)putchar(' ');
}

void
coat_print_table(const json_t *rows, const coat_column *columns, size_t count)
{
    bool bold = isatty(STDOUT_FILENO) && getenv("NO_COLOR") == NULL;
    size_t widths[COLUMNS_MAX] = {0}, i;
    char text[CELL_MAX];
    const json_t *row;

    for (size_t c = 0; c < count; c++)
        widths[c] = strlen(columns[c].head);
    json_array_foreach(rows, i, row) for (size_t c = 0; c < count; c++)
    {
        size_t width;

        cell_text(json_object_get(row, columns[c].member), columns[c].cell, text);
        width = width_of(text);
        widths[c] = width > widths[c] ? width : widths[c];
    }
    if (bold)
        (void)fputs("\033[1m", stdout);
    for (size_t c = 0; c < count; c++)
        print_cell(columns[c].head, widths[c], c + 1 == count);
    (void)fputs(bold ? "\033[0m\n" : "\n", stdout);
    json_array_foreach(rows, i, row)
    {
        for (size_t c = 0; c < count; c++) {
            cell_text(json_object_get(row, columns[c].member), columns[c].cell, text);
            print_cell(text, widths[c], c + 1 == count);
        }
        (void)putchar('\n');
    }
}

void
coat_print_object(const json_t *object, const coat_column *columns, size_t count)
{
    char text[CELL_MAX];
    size_t width = 0;

    for (size_t c = 0; c < count; c++)
        width = strlen(columns[c].head) > width ? strlen(columns[c].head) : width;
    for (size_t c = 0; c < count; c++) {
        cell_text(json_object_get(object, columns[c].member), columns[c].cell, text);
        print_cell(columns[c].head, width, false);
        (void)printf("%s\n", text);
    }
}

void
coat_progress(const char *what, size_t done, bool last)
{
    if (!isatty(STDERR_FILENO))
        return;
    (void)fprintf(stderr, "\r%s: %zu%s", what, done, last ? "\n" : "");
    (void)fflush(stderr);
}
