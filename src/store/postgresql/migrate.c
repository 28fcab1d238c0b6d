/* SPDX-License-Identifier: Apache-2.0 */
/**
 * The schema and its versions. Each migration is a transaction of its own that takes its locks
 * at once or gives up, and does not hold them for longer than a second.
 */

#include "store/postgresql/schema.h"

#include <sodium.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static coat_err
fail(const coat_store_conf *conf, PGconn *conn)
{
    char line[200];

    remote_line(line, sizeof line, PQerrorMessage(conn));
    (void)pg_refuse(conf, "", line);
    return COAT_IO;
}

static bool
run(PGconn *conn, const char *sql)
{
    PGresult *result = PQexec(conn, sql);
    ExecStatusType status = PQresultStatus(result);

    PQclear(result);
    return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
}

/** With {s}, and with {v} as a number. */
static bool
run_text(pg_store *store, PGconn *conn, const char *sql)
{
    char *text = pg_with_schema(sql, store->schema);
    bool fine = text != NULL && run(conn, text);

    free(text);
    return fine;
}

/** What a query gives in its one field, as text; "" if none. */
static bool
ask(pg_store *store, PGconn *conn, const char *sql, char *out, size_t cap)
{
    char *text = pg_with_schema(sql, store->schema);
    PGresult *result = text != NULL ? PQexec(conn, text) : NULL;
    bool fine = PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1;

    (void)snprintf(out, cap, "%s", fine ? PQgetvalue(result, 0, 0) : "");
    PQclear(result);
    free(text);
    return fine;
}

/** The version it has; 0: none. */
static bool
version_of(pg_store *store, PGconn *conn, uint32_t *out)
{
    char text[16];

    if (!ask(store, conn, "SELECT to_regclass('{s}.versions') IS NOT NULL", text, sizeof text))
        return false;
    *out = 0;
    if (strcmp(text, "t") != 0)
        return true;
    if (!ask(store, conn, "SELECT coalesce(max(version), 0) FROM {s}.versions", text,
             sizeof text))
        return false;
    *out = (uint32_t)strtoul(text, NULL, 10);
    return true;
}

/** The oldest version that a program may work on for this schema; none, if that is not told. */
static int32_t
oldest_of(pg_store *store, PGconn *conn)
{
    char text[16];

    if (!ask(store, conn, "SELECT max(oldest) FROM {s}.versions", text, sizeof text) ||
        text[0] == '\0')
        return INT32_MAX;
    return (int32_t)strtol(text, NULL, 10);
}

static bool
make_schema(pg_store *store, PGconn *conn)
{
    char text[16];

    /* CREATE SCHEMA needs a right on the database, even where the schema is there. */
    if (!ask(store, conn, "SELECT to_regnamespace('{s}') IS NOT NULL", text, sizeof text))
        return false;
    if (strcmp(text, "t") != 0 && !run_text(store, conn, "CREATE SCHEMA {s}"))
        return false;
    return run_text(store, conn,
                    "CREATE TABLE IF NOT EXISTS {s}.versions (version integer PRIMARY KEY,"
                    " applied_at timestamptz NOT NULL DEFAULT clock_timestamp())");
}

static bool
apply(pg_store *store, PGconn *conn, const coat_builtin *migration, uint32_t version)
{
    char note[120];

    (void)snprintf(note, sizeof note, "INSERT INTO {s}.versions (version) VALUES (%u)",
                   version);
    return (version > 1 || make_schema(store, conn)) &&
           run_text(store, conn, (const char *)migration->bytes) && run_text(store, conn, note);
}

/** One version on. Two that migrate at once come one after another. */
static bool
step(pg_store *store, PGconn *conn, uint32_t *version)
{
    const coat_builtin *migration = &pg_migrations[*version];
    bool fine = run(conn, "BEGIN") &&
                run(conn, "SET LOCAL lock_timeout = '1s'; SET LOCAL statement_timeout = '1s';"
                          "SELECT pg_advisory_xact_lock(hashtext('coatcheck migrate'))");
    uint32_t now;

    if (fine && version_of(store, conn, &now) && now > *version) {
        *version = now; /* somebody else was faster */
        return run(conn, "ROLLBACK");
    }
    fine = fine && apply(store, conn, migration, *version + 1) && run(conn, "COMMIT");
    *version += fine;
    return fine;
}

static PGconn *
connect_now(pg_store *store)
{
    pg_conninfo info = store->conninfo;

    info.keys[info.count] = "connect_timeout";
    info.values[info.count++] = "10";
    info.keys[info.count] = info.values[info.count] = NULL;
    return PQconnectdbParams(info.keys, info.values, 0);
}

coat_err
pg_migrate_store(pg_store *store, const coat_store_conf *conf, uint32_t *from, uint32_t *to)
{
    PGconn *conn = connect_now(store);
    coat_err err = COAT_OK;
    uint32_t version;

    if (conn == NULL)
        return COAT_NO_MEMORY;
    if (PQstatus(conn) != CONNECTION_OK || !version_of(store, conn, &version)) {
        err = fail(conf, conn);
        PQfinish(conn);
        return err;
    }
    *from = version;
    if (version > PG_FORMAT) {
        int32_t oldest = oldest_of(store, conn);
        char why[200];

        if (pg_format_trouble(store, (int32_t)version, oldest, why, sizeof why)) {
            (void)pg_refuse(conf, "", why);
            err = COAT_NEWER_FORMAT;
        }
    }
    while (err == COAT_OK && version < PG_FORMAT)
        if (!step(store, conn, &version))
            err = fail(conf, conn);
    *to = version;
    PQfinish(conn);
    return err;
}

coat_err
pg_migrate(const coat_store_conf *conf, uint32_t *from, uint32_t *to)
{
    pg_store *store = calloc(1, sizeof *store);
    coat_err err;

    if (store == NULL)
        return COAT_NO_MEMORY;
    err = pg_take_url(store, conf);
    if (err == COAT_OK)
        err = pg_migrate_store(store, conf, from, to);
    sodium_memzero(store->password, sizeof store->password);
    free(store);
    return err;
}
