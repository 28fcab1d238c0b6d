/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_CLI_LIST_H
#define COAT_CLI_LIST_H

/** The three shapes of a command: list all pages, show one thing, do one thing. */

#include "cli/cli.h"
#include "cli/table.h"

/** All pages of a list; member: its name in the answer. */
int coat_list(const coat_args *args, const char *path, const char *member,
              const coat_column *columns, size_t count);
int coat_show(const coat_args *args, const char *path, const char *what,
              const coat_column *columns, size_t count);
/** body is taken. done: what to print; with --json: the answer, or {"done":true}. */
int coat_do(const coat_args *args, const char *method, const char *path, json_t *body,
            const char *what, const char *done);

#endif
