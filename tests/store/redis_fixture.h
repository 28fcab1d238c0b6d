/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_TESTS_REDIS_FIXTURE_H
#define COAT_TESTS_REDIS_FIXTURE_H

/**
 * A redis-server of the test's own, in a directory that is removed afterwards: on a Unix
 * socket, and where asked for on a free port of the loopback address, plain or with TLS. It
 * dies with the test.
 */

#include "coat_test.h"
#include "loopback.h"
#include "requests.h"
#include "store/redis/redis.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SERVER_ARGS_MAX = 40 };

typedef struct redis_server {
    pid_t pid;
    char dir[90], socket[100];
    const char *args[SERVER_ARGS_MAX]; /* further ones, NULL-terminated */
    int prefix;                        /* the last one given to a store */
} redis_server;

static inline int
server_connect(const redis_server *s)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    memcpy(to.sun_path, s->socket, strlen(s->socket));
    if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0)
        return fd;
    (void)close(fd);
    return -1;
}

/** One inline command, as the first user without a password. @return the first reply's bytes */
static inline __attribute__((format(printf, 2, 3))) const char *
server_ask(const redis_server *s, const char *format, ...)
{
    static char reply[65536];
    char line[4096];
    va_list args;
    ssize_t got;
    int fd = server_connect(s);

    reply[0] = '\0';
    if (fd < 0)
        return reply;
    va_start(args, format);
    (void)vsnprintf(line, sizeof line - 2, format, args);
    va_end(args);
    strcat(line, "\r\n");
    if (write(fd, line, strlen(line)) == (ssize_t)strlen(line)) {
        got = read(fd, reply, sizeof reply - 1);
        reply[got > 0 ? got : 0] = '\0';
    }
    (void)close(fd);
    return reply;
}

static inline void
server_kill(redis_server *s, int signal)
{
    if (s->pid <= 0)
        return;
    (void)kill(s->pid, signal);
    (void)waitpid(s->pid, NULL, 0);
    s->pid = 0;
    (void)unlink(s->socket);
}

/** Start, or start again in the same directory. */
static inline void
server_start(redis_server *s)
{
    const char *argv[SERVER_ARGS_MAX + 20] = {
        "redis-server", "--port",      "0",  "--unixsocket", s->socket, "--dir",
        s->dir,         "--daemonize", "no", "--logfile",    "log"};
    int n = 11;

    if (s->dir[0] == '\0') {
        (void)snprintf(s->dir, sizeof s->dir, "%s", test_tmpdir());
        (void)snprintf(s->socket, sizeof s->socket, "%s/s", s->dir);
    }
    for (int i = 0; s->args[i] != NULL; i++)
        argv[n++] = s->args[i];
    argv[n] = NULL;
    s->pid = fork();
    if (s->pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)execvp("redis-server", (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    for (int i = 0; i < 4000; i++) {
        if (strncmp(server_ask(s, "PING"), "+PONG", 5) == 0 ||
            strncmp(server_ask(s, "PING"), "-NOAUTH", 7) == 0)
            return;
        if (waitpid(s->pid, NULL, WNOHANG) == s->pid) {
            s->pid = 0;
            test_skip("redis-server cannot be started");
        }
        server_sleep();
    }
    test_fail(__FILE__, __LINE__, "redis-server does not answer");
    test_abort();
}

static inline void
server_stop(redis_server *s)
{
    server_kill(s, SIGTERM);
}

/** The key of a session, as the store writes it. Static. */
static inline const char *
server_key(const char *prefix, coat_handle handle)
{
    static char key[REDIS_BUCKET_PREFIX_MAX + 60];
    coat_out out = coat_out_init(key, sizeof key);

    coat_out_str(&out, prefix);
    coat_out_str(&out, ":{");
    coat_out_hex(&out, handle.bytes + 8, 8);
    coat_out_str(&out, "}:s:");
    coat_out_hex(&out, handle.bytes, 8);
    (void)coat_out_end(&out);
    return key;
}

/** A store on it under a prefix of its own: empty. */
static inline coat_err
server_open(redis_server *s, coat_store **out)
{
    char url[600];
    coat_store_conf conf = {.url = url};

    (void)snprintf(url, sizeof url, "redis+unix:%s?prefix=t%d", s->socket, ++s->prefix);
    return coat_redis_ops.open(&conf, out);
}

#endif
