/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_BENCH_WIRE_H
#define COAT_BENCH_WIRE_H

/** HTTP/1.1 as the programs here speak it: just enough, and cheap. What is not understood ends
 * the program. */

#include <stddef.h>
#include <stdint.h>

_Noreturn void wire_die(const char *what);
int64_t wire_clock_ns(void);
/** target: HOST:PORT (IPv4) or /path of a Unix socket. Blocking. */
int wire_connect(const char *target);
/** Bytes of the answer that lies in text (NUL-terminated), 0 while it is not whole. */
size_t wire_answer(const char *text, size_t len, unsigned *status);
/** A file whole, NUL-terminated, to be freed; "-": standard input. */
char *wire_file(const char *path, size_t *len);

#endif
