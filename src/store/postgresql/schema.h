/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_STORE_POSTGRESQL_SCHEMA_H
#define COAT_STORE_POSTGRESQL_SCHEMA_H

/** The files of schema/, compiled in by scripts/embed. */

#include "store/postgresql/postgresql.h"

typedef struct coat_builtin {
    const char *name;     /* "1.sql": leads to version 1 */
    const uint8_t *bytes; /* NUL-terminated */
    size_t len;
} coat_builtin;

extern const coat_builtin pg_migrations[];

#endif
