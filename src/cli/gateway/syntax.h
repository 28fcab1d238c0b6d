/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_CLI_GATEWAY_SYNTAX_H
#define COAT_CLI_GATEWAY_SYNTAX_H

/** The syntax of nginx configurations: text of our own as it is, all other text in quotes. */

#include "cli/cli.h"
#include "core/out.h"

typedef struct coat_nginx_text {
    coat_out *out;
    const char *bad; /* the option or key whose text cannot be written; NULL: none */
} coat_nginx_text;

/** Text of our own. */
void coat_nginx_raw(coat_nginx_text *t, const char *text);
/**
 * A blank, then text in quotes. Between them only '"' and '\' mean something to nginx's parser;
 * '$' begins a variable in many directives and cannot be escaped, so it is refused in all, as
 * control characters are: bad is set.
 * @param what  the option or key that text comes from
 */
void coat_nginx_quote(coat_nginx_text *t, const char *what, coat_span text);
/** A directive with one value. name: with its indentation. */
void coat_nginx_set(coat_nginx_text *t, const char *name, const char *what, const char *text);
/** The same with a value that goes on with a text of our own. */
void coat_nginx_set_tail(coat_nginx_text *t, const char *name, const char *what,
                         const char *text, const char *tail);
/** A directive with a list of values; nothing at all if it is empty. */
void coat_nginx_list(coat_nginx_text *t, const char *name, const char *what,
                     coat_strings values);
/** A directive with a number and a unit. */
void coat_nginx_number(coat_nginx_text *t, const char *name, int64_t value, const char *unit);

#endif
