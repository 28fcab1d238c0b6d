/* SPDX-License-Identifier: Apache-2.0 */
#include "server/http/internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 1024
#define MODE_DEFAULT 0600

__attribute__((format(printf, 4, 5))) static coat_err
complain(char *message, size_t cap, coat_err err, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(message, cap, format, args);
    va_end(args);
    return err;
}

bool
coat_listen_is_unix(int fd)
{
    int domain = 0;
    socklen_t len = sizeof domain;

    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_UNIX;
}

uint16_t
coat_listen_port(int fd)
{
    struct sockaddr_storage addr;
    socklen_t len = sizeof addr;

    if (getsockname(fd, (struct sockaddr *)&addr, &len) != 0)
        return 0;
    if (addr.ss_family == AF_INET)
        return ntohs(((const struct sockaddr_in *)&addr)->sin_port);
    if (addr.ss_family == AF_INET6)
        return ntohs(((const struct sockaddr_in6 *)&addr)->sin6_port);
    return 0;
}

static bool
parse_port(const char *text, uint16_t *port)
{
    uint32_t value = 0;

    if (*text == '\0' || strlen(text) > 5)
        return false;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            return false;
        value = value * 10 + (uint32_t)(*text - '0');
    }
    *port = (uint16_t)value;
    return value <= 65535;
}

/* "127.0.0.1:80" or "[::1]:80": addresses only, a name could mean anything tomorrow. */
static bool
parse_tcp(const char *text, struct sockaddr_storage *addr, socklen_t *len)
{
    char host[64];
    const char *colon = strrchr(text, ':');
    size_t n = colon != NULL ? (size_t)(colon - text) : 0;
    bool six = text[0] == '[';
    uint16_t port;

    if (n == 0 || n >= sizeof host || (six && (n < 2 || text[n - 1] != ']')) ||
        !parse_port(colon + 1, &port))
        return false;
    memset(addr, 0, sizeof *addr);
    memcpy(host, text + six, n - 2 * six);
    host[n - 2 * six] = '\0';
    if (six) {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)addr;

        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(port);
        *len = sizeof *in6;
        return inet_pton(AF_INET6, host, &in6->sin6_addr) == 1;
    }
    ((struct sockaddr_in *)addr)->sin_family = AF_INET;
    ((struct sockaddr_in *)addr)->sin_port = htons(port);
    *len = sizeof(struct sockaddr_in);
    return inet_pton(AF_INET, host, &((struct sockaddr_in *)addr)->sin_addr) == 1;
}

static coat_err
bind_tcp(const char *address, char *message, size_t cap, int *out)
{
    struct sockaddr_storage addr;
    socklen_t len;
    int on = 1, fd;

    if (!parse_tcp(address, &addr, &len))
        return complain(message, cap, COAT_INVALID,
                        "listen address \"%s\": expected an address with port like "
                        "127.0.0.1:8080 or [::1]:8080, unix:/path, or fd:NAME",
                        address);
    fd = socket(addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return complain(message, cap, COAT_IO, "%s: %s", address, strerror(errno));
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    /* Accepted sockets inherit this one. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (addr.ss_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&addr, len) != 0 || listen(fd, BACKLOG) != 0) {
        int error = errno;

        (void)close(fd);
        return complain(message, cap, COAT_IO, "%s: %s", address, strerror(error));
    }
    *out = fd;
    return COAT_OK;
}

static bool
unix_address(const char *path, const char *suffix, struct sockaddr_un *addr)
{
    int n;

    memset(addr, 0, sizeof *addr);
    addr->sun_family = AF_UNIX;
    n = snprintf(addr->sun_path, sizeof addr->sun_path, "%s%s", path, suffix);
    return path[0] == '/' && n > 0 && (size_t)n < sizeof addr->sun_path;
}

/* Is somebody listening there? */
static bool
in_use(const struct sockaddr_un *addr)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool used;

    if (fd < 0)
        return true;
    used = connect(fd, (const struct sockaddr *)addr, sizeof *addr) == 0 ||
           (errno != ECONNREFUSED && errno != ENOENT);
    (void)close(fd);
    return used;
}

static coat_err
check_old_path(const char *path, const struct sockaddr_un *addr, char *message, size_t cap)
{
    struct stat st;

    if (lstat(path, &st) != 0)
        return errno == ENOENT
                   ? COAT_OK
                   : complain(message, cap, COAT_IO, "%s: %s", path, strerror(errno));
    if (!S_ISSOCK(st.st_mode))
        return complain(message, cap, COAT_INVALID, "%s is there and is not a socket", path);
    if (in_use(addr))
        return complain(message, cap, COAT_IO, "%s: another process is listening there", path);
    return COAT_OK;
}

/*
 * Made under another name, with its final mode and owner before anyone can connect, then
 * renamed into place: that replaces a stale socket in one step, and nothing but a socket is
 * replaced.
 */
static coat_err
bind_unix(const coat_http_listener *conf, const char *path, char *message, size_t cap, int *out)
{
    struct sockaddr_un addr, fresh;
    mode_t mode = conf->mode != 0 ? (mode_t)conf->mode : MODE_DEFAULT;
    coat_err err;
    int fd;

    if (!unix_address(path, "", &addr) || !unix_address(path, ".new", &fresh))
        return complain(message, cap, COAT_INVALID,
                        "socket path \"%s\": expected an absolute path of at most %zu bytes",
                        path, sizeof addr.sun_path - 5);
    err = check_old_path(path, &addr, message, cap);
    if (err != COAT_OK)
        return err;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return complain(message, cap, COAT_IO, "%s: %s", path, strerror(errno));
    (void)unlink(fresh.sun_path);
    if (bind(fd, (struct sockaddr *)&fresh, sizeof fresh) != 0)
        goto broken;
    if ((conf->owner >= 0 || conf->group >= 0) &&
        lchown(fresh.sun_path, (uid_t)conf->owner, (gid_t)conf->group) != 0)
        goto broken_bound;
    if (chmod(fresh.sun_path, mode & 0777) != 0 || listen(fd, BACKLOG) != 0 ||
        rename(fresh.sun_path, path) != 0)
        goto broken_bound;
    *out = fd;
    return COAT_OK;
broken_bound:
    err = complain(message, cap, COAT_IO, "%s: %s", path, strerror(errno));
    (void)unlink(fresh.sun_path);
    (void)close(fd);
    return err;
broken:
    err = complain(message, cap, COAT_IO, "%s: %s", path, strerror(errno));
    (void)close(fd);
    return err;
}

coat_err
coat_listen_bind(const coat_http_listener *conf, char *message, size_t cap, int *fd)
{
    int passed;

    if (strncmp(conf->address, "unix:", 5) == 0)
        return bind_unix(conf, conf->address + 5, message, cap, fd);
    if (strncmp(conf->address, "fd:", 3) != 0)
        return bind_tcp(conf->address, message, cap, fd);
    passed = coat_activation_fd(conf->address + 3);
    if (passed < 0)
        return complain(message, cap, COAT_INVALID,
                        "%s: the service manager has passed no socket of that name",
                        conf->address);
    *fd = passed;
    return COAT_OK;
}

void
coat_listen_unlink(const coat_http_listener *conf)
{
    struct sockaddr_un addr;

    if (strncmp(conf->address, "unix:", 5) == 0 && unix_address(conf->address + 5, "", &addr) &&
        !in_use(&addr))
        (void)unlink(addr.sun_path);
}
