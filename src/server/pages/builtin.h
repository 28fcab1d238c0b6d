/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_SERVER_PAGES_BUILTIN_H
#define COAT_SERVER_PAGES_BUILTIN_H

/** Files compiled in by scripts/embed: pages/ and the description of the admin socket. Ends
 * with a NULL name. */

#include <stddef.h>
#include <stdint.h>

typedef struct coat_builtin {
    const char *name;
    const uint8_t *bytes;
    size_t len;
} coat_builtin;

extern const coat_builtin coat_builtin_pages[];
extern const coat_builtin coat_builtin_admin[]; /* src/server/admin/openapi.yaml */

#endif
