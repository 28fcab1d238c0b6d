/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_TESTS_PG_KIT_H
#define COAT_TESTS_PG_KIT_H

/** One server, one store on it with a clock that tests set, one lane. */

#include "one_store.h"
#include "pg_fixture.h"

static pg_server server = {.args = {"fsync=off", "full_page_writes=off"}};

static inline pg_store *
inside(void)
{
    return (pg_store *)store;
}

/** A fresh store, with a clock that tests set ahead. */
static inline void
begin_on(pg_server *s)
{
    if (s->pid == 0)
        server_start(s);
    REQUIRE_OK(server_open(s, &store));
    take_store();
}

static inline void
begin(void)
{
    begin_on(&server);
}

static inline __attribute__((format(printf, 1, 2))) const char *
sql(const char *format, ...)
{
    char text[2000], whole[2200];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    (void)snprintf(whole, sizeof whole, "SET search_path = t%d; %s", server.schema, text);
    return server_sql(&server, "%s", whole);
}

/** A connection of the test's own that holds a lock. */
static inline PGconn *
hold(const char *user, const char *statement)
{
    char info[300];
    PGconn *conn;

    (void)snprintf(info, sizeof info,
                   "host=%s port=%d user=%s dbname=coatcheck sslmode=disable "
                   "application_name=holder options='-c search_path=t%d'",
                   server.dir, SERVER_PORT, user, server.schema);
    conn = PQconnectdb(info);
    PQclear(PQexec(conn, "BEGIN"));
    PQclear(PQexec(conn, statement));
    return conn;
}

/** A trigger that fails the next `times` changes of a session with an SQLSTATE. */
static inline void
fail_next(const char *state, int times)
{
    (void)sql(
        "DROP SEQUENCE IF EXISTS failures; CREATE SEQUENCE failures;"
        "GRANT ALL ON SEQUENCE failures TO coatcheck;"
        "CREATE OR REPLACE FUNCTION stumble() RETURNS trigger LANGUAGE plpgsql AS $$ "
        "BEGIN IF nextval('t%d.failures') <= %d THEN RAISE EXCEPTION 'stumbled' USING "
        "ERRCODE = '%s'; END IF; RETURN coalesce(NEW, OLD); END $$;"
        "DROP TRIGGER IF EXISTS stumble ON sessions;"
        "CREATE TRIGGER stumble BEFORE INSERT OR UPDATE OR DELETE ON sessions FOR EACH ROW "
        "EXECUTE FUNCTION stumble()",
        server.schema, times, state);
}

#endif
