/* SPDX-License-Identifier: Apache-2.0 */
/** Fields of results, in binary format. */

#include "store/postgresql/postgresql.h"

bool
pg_is_row(const PGresult *result, int row, int columns)
{
    return row < PQntuples(result) && PQnfields(result) == columns;
}

coat_span
pg_bytes(const PGresult *result, int row, int column)
{
    int len;

    if (row >= PQntuples(result) || column >= PQnfields(result) ||
        PQgetisnull(result, row, column))
        return (coat_span){NULL, 0};
    len = PQgetlength(result, row, column);
    return (coat_span){(const uint8_t *)PQgetvalue(result, row, column),
                       len > 0 ? (size_t)len : 0};
}

bool
pg_signed(const PGresult *result, int row, int column, int64_t *out)
{
    coat_span bytes = pg_bytes(result, row, column);

    if (bytes.ptr == NULL || bytes.len != 8)
        return false;
    *out = (int64_t)coat_load64be(bytes.ptr);
    return true;
}

bool
pg_number(const PGresult *result, int row, int column, uint64_t *out)
{
    int64_t number;

    if (!pg_signed(result, row, column, &number) || number < 0)
        return false;
    *out = (uint64_t)number;
    return true;
}

bool
pg_small(const PGresult *result, int row, int column, int32_t *out)
{
    coat_span b = pg_bytes(result, row, column);

    if (b.ptr == NULL || b.len != 4)
        return false;
    *out = (int32_t)((uint32_t)b.ptr[0] << 24 | (uint32_t)b.ptr[1] << 16 |
                     (uint32_t)b.ptr[2] << 8 | b.ptr[3]);
    return true;
}

bool
pg_bool(const PGresult *result, int row, int column, bool *out)
{
    coat_span b = pg_bytes(result, row, column);

    if (b.ptr == NULL || b.len != 1 || b.ptr[0] > 1)
        return false;
    *out = b.ptr[0] == 1;
    return true;
}
