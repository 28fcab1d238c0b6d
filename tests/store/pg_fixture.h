/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_TESTS_PG_FIXTURE_H
#define COAT_TESTS_PG_FIXTURE_H

/**
 * A PostgreSQL server of the test's own, in a directory that is removed afterwards: on a Unix
 * socket, and where asked for on a free port of the loopback address. It dies with the test.
 * It does not run as root, so under root it runs as nobody.
 */

#include "coat_test.h"
#include "loopback.h"
#include "requests.h"
#include "store/postgresql/postgresql.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SERVER_ARGS_MAX = 40, NOBODY = 65534, SERVER_PORT = 5432 };

typedef struct pg_server {
    pid_t pid;
    char dir[90], data[100], socket[120], bin[100];
    const char *args[SERVER_ARGS_MAX]; /* further settings "a=b", NULL-terminated */
    int schema;                        /* the last one given to a store */
    int port;                          /* not 0: instead of SERVER_PORT */
} pg_server;

/** Where Debian keeps the newest server, or what the path has. */
static inline void
server_find(pg_server *s)
{
    static const int versions[] = {18, 17, 16, 15, 14};

    for (size_t i = 0; i < sizeof versions / sizeof versions[0]; i++) {
        char path[120];

        (void)snprintf(s->bin, sizeof s->bin, "/usr/lib/postgresql/%d/bin/", versions[i]);
        (void)snprintf(path, sizeof path, "%spostgres", s->bin);
        if (access(path, X_OK) == 0)
            return;
    }
    s->bin[0] = '\0';
}

static inline pid_t
server_spawn(const pg_server *s, const char *const *argv)
{
    char program[140];
    pid_t pid;
    int null;

    (void)snprintf(program, sizeof program, "%s%s", s->bin, argv[0]);
    pid = fork();
    if (pid != 0)
        return pid;
    if (geteuid() == 0 &&
        (setgroups(0, NULL) != 0 || setgid(NOBODY) != 0 || setuid(NOBODY) != 0))
        _exit(126);
    (void)prctl(PR_SET_PDEATHSIG, SIGQUIT);
    (void)setpgid(0, 0);
    null = open("/dev/null", O_RDWR);
    (void)dup2(null, 0);
    (void)dup2(null, 1);
    if (getenv("COAT_TEST_VERBOSE") == NULL)
        (void)dup2(null, 2);
    if (chdir(s->dir) != 0)
        _exit(125);
    (void)execvp(program, (char *const *)(uintptr_t)argv);
    _exit(127);
}

static inline int
server_port(const pg_server *s)
{
    return s->port != 0 ? s->port : SERVER_PORT;
}

/** One statement as the superuser. @return its first field, or the error */
static inline __attribute__((format(printf, 2, 3))) const char *
server_sql(const pg_server *s, const char *format, ...)
{
    static char answer[4096];
    char sql[8192], info[300];
    PGresult *result;
    PGconn *conn;
    va_list args;

    va_start(args, format);
    (void)vsnprintf(sql, sizeof sql, format, args);
    va_end(args);
    (void)snprintf(info, sizeof info,
                   "host=%s port=%d user=postgres dbname=%s sslmode=disable "
                   "gssencmode=disable options='-c client_min_messages=error'",
                   s->dir, server_port(s),
                   strncmp(sql, "CREATE DATABASE", 15) == 0 ? "postgres" : "coatcheck");
    conn = PQconnectdb(info);
    result = PQexec(conn, sql);
    if (PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) > 0)
        (void)snprintf(answer, sizeof answer, "%s", PQgetvalue(result, 0, 0));
    else
        (void)snprintf(answer, sizeof answer, "%s",
                       PQresultStatus(result) == PGRES_COMMAND_OK ? "" : PQerrorMessage(conn));
    PQclear(result);
    PQfinish(conn);
    return answer;
}

static inline bool
server_is_up(const pg_server *s, const char *db)
{
    char info[300];
    PGconn *conn;
    bool up;

    (void)snprintf(info, sizeof info,
                   "host=%s port=%d user=postgres dbname=%s sslmode=disable gssencmode=disable",
                   s->dir, server_port(s), db);
    conn = PQconnectdb(info);
    up = PQstatus(conn) == CONNECTION_OK;
    PQfinish(conn);
    return up;
}

static inline void
server_kill(pg_server *s, int signal)
{
    if (s->pid <= 0)
        return;
    (void)kill(s->pid, signal);
    (void)waitpid(s->pid, NULL, 0);
    s->pid = 0;
}

static inline void
server_stop(pg_server *s)
{
    server_kill(s, SIGINT);
}

static inline void
server_make(pg_server *s)
{
    const char *argv[] = {"initdb", "--no-sync", "-E",       "UTF8", "--locale=C", "-A",
                          "trust",  "-U",        "postgres", "-D",   s->data,      NULL};
    int status = -1;
    pid_t pid;

    server_find(s);
    (void)snprintf(s->dir, sizeof s->dir, "%s", test_tmpdir());
    (void)snprintf(s->data, sizeof s->data, "%s/d", s->dir);
    (void)snprintf(s->socket, sizeof s->socket, "%s/.s.PGSQL.%d", s->dir, SERVER_PORT);
    if (geteuid() == 0 && chown(s->dir, NOBODY, NOBODY) != 0)
        test_fail(__FILE__, __LINE__, "chown: %s", strerror(errno));
    pid = server_spawn(s, argv);
    (void)waitpid(pid, &status, 0);
    if (status != 0)
        test_skip("PostgreSQL's initdb cannot be run");
}

/** Start, or start again on the same data; `db` must be there. */
static inline void
server_run(pg_server *s, const char *db)
{
    const char *argv[SERVER_ARGS_MAX * 2 + 30] = {"postgres",
                                                  "-D",
                                                  s->data,
                                                  "-k",
                                                  s->dir,
                                                  "-c",
                                                  "listen_addresses=",
                                                  "-c",
                                                  "shared_buffers=16MB",
                                                  "-c",
                                                  "max_connections=250",
                                                  "-c",
                                                  "log_min_messages=fatal",
                                                  "-c",
                                                  "unix_socket_permissions=0777"};
    int n = 15;

    for (int i = 0; s->args[i] != NULL; i++) {
        argv[n++] = "-c";
        argv[n++] = s->args[i];
    }
    argv[n] = NULL;
    for (int i = 0; i < 3000; i++) {
        /* After a kill -9 the next one may have to wait until the last process has gone. */
        if (s->pid <= 0 || waitpid(s->pid, NULL, WNOHANG) == s->pid)
            s->pid = server_spawn(s, argv);
        if (server_is_up(s, db))
            return;
        for (int wait = 0; wait < 4; wait++)
            server_sleep();
    }
    test_fail(__FILE__, __LINE__, "the server does not answer");
    test_abort();
}

static inline void
server_start(pg_server *s)
{
    if (s->dir[0] == '\0') {
        server_make(s);
        server_run(s, "postgres");
        (void)server_sql(s, "CREATE DATABASE coatcheck");
        (void)server_sql(s, "CREATE ROLE coatcheck LOGIN");
        (void)server_sql(s, "GRANT CREATE ON DATABASE coatcheck TO coatcheck");
        return;
    }
    server_run(s, "coatcheck");
}

static inline void
server_url(const pg_server *s, char *url, size_t cap, const char *more)
{
    (void)snprintf(url, cap, "postgresql+unix:%s?schema=t%d%s", s->dir, s->schema, more);
}

/** Open; on a machine so busy that the server was not seen within a second, once more. */
static inline coat_err
server_open_url(const coat_store_conf *conf, coat_store **out)
{
    coat_err err = COAT_OK;

    for (int i = 0; i < 100; i++) {
        err = coat_postgresql_ops.open(conf, out);
        if (err != COAT_OK || strstr(conf->message, "no answer") == NULL)
            return err;
        coat_postgresql_ops.close(*out);
    }
    test_fail(__FILE__, __LINE__, "said: %s", conf->message);
    test_abort();
    return err;
}

/** A store in a schema of its own: empty. */
static inline coat_err
server_open(pg_server *s, coat_store **out)
{
    char url[600], message[300] = "";
    coat_store_conf conf = {.url = url, .message = message, .message_cap = sizeof message};
    uint32_t from, to;
    coat_err err;

    s->schema++;
    server_url(s, url, sizeof url, "");
    err = pg_migrate(&conf, &from, &to);
    if (err == COAT_OK)
        err = server_open_url(&conf, out);
    if (err != COAT_OK || strstr(message, "not ready") != NULL)
        printf("# %s\n", message);
    return err;
}

#endif
