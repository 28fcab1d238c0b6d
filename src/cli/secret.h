/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_CLI_SECRET_H
#define COAT_CLI_SECRET_H

/** Reading a password: never from arguments or the environment. The caller wipes buf. */

#include <stdbool.h>
#include <stddef.h>

/** From the terminal, without echo; twice if repeat. Prints what is wrong. */
bool coat_secret_ask(const char *prompt, bool repeat, char *buf, size_t cap, size_t *len);
/** The first line of standard input, without its end. */
bool coat_secret_line(char *buf, size_t cap, size_t *len);

#endif
