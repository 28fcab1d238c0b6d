/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_SERVER_LOG_LINE_H
#define COAT_SERVER_LOG_LINE_H

/**
 * One line of log, whatever is put into it (AU-4). Pure.
 *
 * A field that does not fit any more is left out; a value over COAT_LOG_FIELD_MAX bytes is cut
 * between characters; either is said by a last field `cut`. In JSON, text that is UTF-8 reads
 * back as it was; a byte that is not is written as the four characters \xNN.
 */

#include "core/out.h"
#include "server/log/log.h"

typedef struct coat_line {
    coat_log_format format;
    coat_out out;
    bool empty, cut;
    char text[COAT_LOG_LINE_MAX];
} coat_line;

void coat_line_begin(coat_line *line, coat_log_format format);
void coat_line_text(coat_line *line, const char *name, coat_span value);
void coat_line_number(coat_line *line, const char *name, int64_t value);
/** The value is not known: null, or "-". */
void coat_line_none(coat_line *line, const char *name);
/** "2026-11-23T05:06:45.123Z" under "ts". */
void coat_line_time(coat_line *line, int64_t ms);
/** Ends it with a newline. @return its length */
size_t coat_line_end(coat_line *line);

#endif
