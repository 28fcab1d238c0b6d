/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_CLI_TABLE_H
#define COAT_CLI_TABLE_H

/** Tables for people: columns as wide as needed; bold heads on a terminal only. */

#include <jansson.h>
#include <stdbool.h>

/** How a member is shown. */
typedef enum coat_cell {
    COAT_CELL_TEXT,
    COAT_CELL_WORDS, /* an array of texts */
    COAT_CELL_TIME,  /* milliseconds, as local time; 0 as "never" */
    COAT_CELL_YES,   /* "yes" or "" */
} coat_cell;

typedef struct coat_column {
    const char *head, *member;
    coat_cell cell;
} coat_column;

/** Print an array of objects. */
void coat_print_table(const json_t *rows, const coat_column *columns, size_t count);
/** Print one object, a line a member. */
void coat_print_object(const json_t *object, const coat_column *columns, size_t count);
/** A line of progress on a terminal: "\r12,000 done"; nothing elsewhere. */
void coat_progress(const char *what, size_t done, bool last);

#endif
