/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_TESTS_MEMCACHED_FIXTURE_H
#define COAT_TESTS_MEMCACHED_FIXTURE_H

/**
 * memcached servers of the test's own, each on a Unix socket in a directory that is removed
 * afterwards, or on a free port of the loopback address. They die with the test.
 */

#include "coat_test.h"
#include "loopback.h"
#include "requests.h"
#include "store/memcached/memcached.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SERVER_ARGS_MAX = 24 };

typedef struct mc_server {
    pid_t pid;
    char dir[90], socket[100];
    int port;                          /* 0: on the socket */
    const char *args[SERVER_ARGS_MAX]; /* further ones, NULL-terminated */
} mc_server;

static int prefixes; /* given to stores so far */

static inline int
server_connect(const mc_server *s)
{
    struct sockaddr_un path = {.sun_family = AF_UNIX};
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)s->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(s->port == 0 ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), rc;

    memcpy(path.sun_path, s->socket, strlen(s->socket));
    rc = s->port == 0 ? connect(fd, (struct sockaddr *)&path, sizeof path)
                      : connect(fd, (struct sockaddr *)&at, sizeof at);
    if (rc == 0)
        return fd;
    (void)close(fd);
    return -1;
}

typedef struct server_bytes {
    uint8_t bytes[1 << 20];
    size_t len;
} server_bytes;

/** Send bytes, and read until what has come ends with `end`. */
static inline const server_bytes *
server_say(const mc_server *s, const void *bytes, size_t len, const char *end)
{
    static server_bytes reply;
    int fd = server_connect(s);

    reply.len = 0;
    if (fd >= 0 && write(fd, bytes, len) == (ssize_t)len)
        while (reply.len < sizeof reply.bytes - 1) {
            ssize_t got = read(fd, reply.bytes + reply.len, sizeof reply.bytes - 1 - reply.len);

            if (got <= 0)
                break;
            reply.len += (size_t)got;
            if (reply.len >= strlen(end) &&
                memcmp(reply.bytes + reply.len - strlen(end), end, strlen(end)) == 0)
                break;
        }
    reply.bytes[reply.len] = '\0';
    if (fd >= 0)
        (void)close(fd);
    return &reply;
}

/** One command of one line. @return what it was answered */
static inline __attribute__((format(printf, 2, 3))) const char *
server_ask(const mc_server *s, const char *format, ...)
{
    char line[600];
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(line, sizeof line - 3, format, args);
    va_end(args);
    memcpy(line + n, "\r\n", 3);
    return (const char *)server_say(s, line, (size_t)n + 2, "\r\n")->bytes;
}

/** The bytes of an item; empty: it is not there. */
static inline server_bytes *
server_get(const mc_server *s, const char *key)
{
    static server_bytes item;
    char line[300];
    int n = snprintf(line, sizeof line, "mg %s v\r\nmn\r\n", key);
    const server_bytes *reply = server_say(s, line, (size_t)n, "MN\r\n");
    const uint8_t *from = memchr(reply->bytes, '\n', reply->len);

    item.len = 0;
    if (memcmp(reply->bytes, "VA ", 3) != 0 || from == NULL)
        return &item;
    item.len = strtoul((const char *)reply->bytes + 3, NULL, 10);
    memcpy(item.bytes, from + 1, item.len);
    return &item;
}

static inline void
server_set(const mc_server *s, const char *key, const void *bytes, size_t len)
{
    static uint8_t text[(1 << 20) + 400];
    int n = snprintf((char *)text, 300, "ms %s %zu\r\n", key, len);

    memcpy(text + n, bytes, len);
    memcpy(text + (size_t)n + len, "\r\n", 2);
    CHECK(strncmp((const char *)server_say(s, text, (size_t)n + len + 2, "\r\n")->bytes, "HD",
                  2) == 0);
}

static inline void
server_kill(mc_server *s)
{
    if (s->pid <= 0)
        return;
    (void)kill(s->pid, SIGKILL);
    (void)waitpid(s->pid, NULL, 0);
    s->pid = 0;
    (void)unlink(s->socket);
}

/** Start, or start again at the same place: empty. */
static inline void
server_start(mc_server *s)
{
    const char *argv[SERVER_ARGS_MAX + 20] = {"memcached", "-u", "root", "-t", "2"};
    char port[16];
    int n = 5;

    if (s->dir[0] == '\0') {
        (void)snprintf(s->dir, sizeof s->dir, "%s", test_tmpdir());
        (void)snprintf(s->socket, sizeof s->socket, "%s/s", s->dir);
    }
    (void)snprintf(port, sizeof port, "%d", s->port);
    argv[n++] = s->port == 0 ? "-s" : "-l";
    argv[n++] = s->port == 0 ? s->socket : "127.0.0.1";
    if (s->port != 0) {
        argv[n++] = "-p";
        argv[n++] = port;
    }
    for (int i = 0; s->args[i] != NULL; i++)
        argv[n++] = s->args[i];
    argv[n] = NULL;
    s->pid = fork();
    if (s->pid == 0) {
        int quiet = open("/dev/null", O_WRONLY);

        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)dup2(quiet, 2);
        (void)execvp("memcached", (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    for (int i = 0; i < 4000; i++) {
        int fd = server_connect(s);

        if (fd >= 0) {
            (void)close(fd);
            return;
        }
        if (waitpid(s->pid, NULL, WNOHANG) == s->pid) {
            s->pid = 0;
            test_skip("memcached cannot be started");
        }
        server_sleep();
    }
    test_fail(__FILE__, __LINE__, "memcached does not answer");
    test_abort();
}

/** Let it list its keys no more. Its thread ends a moment later, and cannot begin anew before.
 */
static inline void
server_crawler_off(const mc_server *s)
{
    static const char off[] = "CLIENT_ERROR lru crawler disabled";
    bool is_off = false;

    CHECK(strncmp(server_ask(s, "lru_crawler disable"), "OK", 2) == 0);
    for (int i = 0; i < 4000 && !is_off; i++) {
        is_off = strncmp(server_ask(s, "lru_crawler metadump hash"), off, sizeof off - 1) == 0;
        if (!is_off)
            server_sleep();
    }
    CHECK(is_off);
}

static inline void
server_crawler_on(const mc_server *s)
{
    CHECK(strncmp(server_ask(s, "lru_crawler enable"), "OK", 2) == 0);
}

/** A store on some servers' sockets, under a prefix of its own: empty. */
static inline coat_err
servers_open(const mc_server *servers, size_t count, const char *params, coat_store **out)
{
    char url[1000], why[400];
    coat_store_conf conf = {.url = url, .message = why, .message_cap = sizeof why};
    int n = snprintf(url, sizeof url, "memcached+unix:");

    for (size_t i = 0; i < count; i++)
        n += snprintf(url + n, sizeof url - (size_t)n, "%s%s", i > 0 ? "," : "",
                      servers[i].socket);
    (void)snprintf(url + n, sizeof url - (size_t)n, "?prefix=t%d%s", prefixes, params);
    return coat_memcached_ops.open(&conf, out);
}

#endif
