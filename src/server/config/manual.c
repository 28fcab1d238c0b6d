/* SPDX-License-Identifier: Apache-2.0 */
/* coatcheck.yaml(5): the reference for operators once more, as a manual page. It is made from
 * the Markdown of docs.c, of which it understands what stands there: headings, paragraphs, one
 * block of code, tables. */
#include "server/config/internal.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { CELLS_MAX = 8 };

static const char head[] =
    ".\\\" SPDX-License-Identifier: Apache-2.0\n"
    ".TH COATCHECK.YAML 5 \"\" \"coatcheck " COAT_VERSION "\" \"File formats\"\n"
    ".SH NAME\n"
    "coatcheck.yaml \\- configuration of coatcheck\n"
    ".SH DESCRIPTION\n";

static const char foot[] = ".SH SEE ALSO\n.BR coatcheck (1)\n";

/** A row of a table, cut into its cells in place. */
typedef struct row {
    char *cells[CELLS_MAX];
    size_t count;
} row;

/** The table that is being read: its heads come first, then a line of dashes. */
typedef struct table {
    char heads[512];
    row head;
    bool open;
} table;

/* `code` becomes bold; what roff would act on is escaped. */
static void
put_text(const char *text, FILE *out)
{
    bool bold = false;

    if (*text == '.' || *text == '\'')
        (void)fputs("\\&", out);
    for (; *text != '\0'; text++) {
        if (*text == '`') {
            bold = !bold;
            (void)fputs(bold ? "\\fB" : "\\fR", out);
        } else if (*text == '\\' && text[1] == '|') {
            continue;
        } else if (*text == '\\' || *text == '-') {
            (void)fprintf(out, "\\%c", *text == '\\' ? 'e' : '-');
        } else {
            (void)fputc(*text, out);
        }
    }
}

static void
cut(char *line, row *out)
{
    char *at = line + strspn(line, "| ");

    out->count = 0;
    while (*at != '\0' && out->count < CELLS_MAX) {
        char *end = strstr(at, " |");

        out->cells[out->count++] = at;
        if (end == NULL)
            return;
        *end = '\0';
        at = end + 2 + strspn(end + 2, " ");
    }
}

static void
put_row(const table *t, const row *r, FILE *out)
{
    (void)fputs(".TP\n", out);
    put_text(r->cells[0], out);
    (void)fputc('\n', out);
    put_text(r->cells[r->count - 1], out);
    (void)fputs(".\n", out);
    for (size_t i = 1; i + 1 < r->count && i < t->head.count; i++) {
        (void)fprintf(out, "%s%c%s: ", i == 1 ? ".br\n" : "", toupper(t->head.cells[i][0]),
                      t->head.cells[i] + 1);
        put_text(r->cells[i], out);
        (void)fputs(".\n", out);
    }
}

static void
take_row(table *t, char *line, FILE *out)
{
    row r;

    if (!t->open) {
        (void)snprintf(t->heads, sizeof t->heads, "%s", line);
        cut(t->heads, &t->head);
        t->open = true;
        return;
    }
    cut(line, &r);
    if (r.count > 1 && strncmp(r.cells[0], "---", 3) != 0)
        put_row(t, &r, out);
}

static void
take_line(table *t, char *line, bool *code, FILE *out)
{
    if (strncmp(line, "```", 3) == 0) {
        *code = !*code;
        (void)fputs(*code ? ".PP\n.nf\n.RS\n" : ".RE\n.fi\n", out);
    } else if (*code) {
        put_text(line, out);
        (void)fputc('\n', out);
    } else if (line[0] == '|') {
        take_row(t, line, out);
    } else if (strncmp(line, "## ", 3) == 0) {
        (void)fputs(".SH ", out);
        for (const char *c = line + 3; *c != '\0'; c++)
            (void)fputc(toupper((unsigned char)*c), out);
        (void)fputc('\n', out);
    } else if (line[0] == '\0' || line[0] == '#') {
        t->open = false;
    } else {
        put_text(line, out);
        (void)fputc('\n', out);
    }
}

void
coat_config_manual(FILE *out)
{
    static const char title[] = "# Configuration\n";
    char *text = NULL, *line, *next;
    size_t len = 0;
    FILE *markdown = open_memstream(&text, &len);
    table t = {.open = false};
    bool code = false, gap = false;

    if (markdown == NULL)
        return;
    coat_config_docs(markdown);
    (void)fclose(markdown);
    (void)fputs(head, out);
    for (line = text + strlen(title) + 1; *line != '\0'; line = next) {
        char *end = strchr(line, '\n');

        next = end + 1;
        *end = '\0';
        /* A paragraph begins only where text follows text: headings and rows begin their own.
         */
        if (gap && line[0] != '#' && line[0] != '|' && line[0] != '`' && line[0] != '\0')
            (void)fputs(".PP\n", out);
        gap = line[0] == '\0' || line[0] == '|';
        take_line(&t, line, &code, out);
    }
    (void)fputs(foot, out);
    free(text);
}
