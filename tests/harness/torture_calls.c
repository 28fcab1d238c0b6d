/* SPDX-License-Identifier: Apache-2.0 */
/**
 * The system calls of a program that is tortured, and of its libraries. A call that fails does
 * nothing, but close(2), which closes all the same.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#undef _FILE_OFFSET_BITS /* else open() is open64(), and each is to be defined */
#include "torture_seam.h"

#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define CALLER __builtin_return_address(0)
/** Fail with an error that this call has in fact. */
#define FAIL(call, error)                                                                      \
    do {                                                                                       \
        if (torture_fails(TORTURE_CALLS, call, CALLER)) {                                      \
            errno = error;                                                                     \
            return -1;                                                                         \
        }                                                                                      \
    } while (0)
/** A signal comes before it has done anything. */
#define INTERRUPT(call)                                                                        \
    do {                                                                                       \
        if (torture_fails(TORTURE_SIGNALS, call, CALLER)) {                                    \
            errno = EINTR;                                                                     \
            return -1;                                                                         \
        }                                                                                      \
    } while (0)
/** A function whose parameters are handed on as they are. */
#define CALL_WITH(name, error, interrupt, params, args)                                        \
    TORTURE_API int name params;                                                               \
    int name params                                                                            \
    {                                                                                          \
        TORTURE_REAL(name);                                                                    \
        interrupt;                                                                             \
        FAIL(#name, error);                                                                    \
        return real args;                                                                      \
    }
#define CALL(name, error, params, args) CALL_WITH(name, error, (void)0, params, args)
/** One that waits, so that it can be interrupted. */
#define SLOW_CALL(name, error, params, args)                                                   \
    CALL_WITH(name, error, INTERRUPT(#name), params, args)
/** One that reads or writes: a socket's connection is reset, a file's disk has a fault. What
 * libuv wakes its loop with does not fail.
 * @param more  it is of more than a byte; less: the arguments for one byte */
#define TRANSFER(name, params, args, more, less)                                               \
    TORTURE_API ssize_t name params;                                                           \
    ssize_t name params                                                                        \
    {                                                                                          \
        TORTURE_REAL(name);                                                                    \
        bool socket = is_socket(fd);                                                           \
                                                                                               \
        if (!socket && torture_is_uv(CALLER))                                                  \
            return real args;                                                                  \
        INTERRUPT(#name);                                                                      \
        FAIL(#name, socket ? ECONNRESET : EIO);                                                \
        if ((more) && torture_fails(TORTURE_SHORT, #name, CALLER))                             \
            return real less;                                                                  \
        return real args;                                                                      \
    }

static bool
is_socket(int fd)
{
    int type, before = errno;
    socklen_t len = sizeof type;
    bool yes = syscall(SYS_getsockopt, fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0;

    errno = before;
    return yes;
}

static bool
is_long(const struct iovec *parts, int n)
{
    size_t len = 0;

    for (int i = 0; i < n; i++)
        len += parts[i].iov_len;
    return len > 1;
}

/** Of something that is_long(). */
static struct iovec
first_byte(const struct iovec *parts)
{
    while (parts->iov_len == 0)
        parts++;
    return (struct iovec){parts->iov_base, 1};
}

/* ---- files ---- */

/** O_TMPFILE is not in use. Nobody pulls the plug: what waits for the disk would cost seconds.
 */
#define OPEN(name)                                                                             \
    TORTURE_API int name(const char *path, int flags, ...);                                    \
    int name(const char *path, int flags, ...)                                                 \
    {                                                                                          \
        mode_t mode = 0;                                                                       \
        va_list args;                                                                          \
                                                                                               \
        TORTURE_REAL(name);                                                                    \
        va_start(args, flags);                                                                 \
        if ((flags & O_CREAT) != 0)                                                            \
            mode = va_arg(args, mode_t);                                                       \
        va_end(args);                                                                          \
        FAIL(#name, EMFILE);                                                                   \
        return real(path, flags & ~O_DSYNC, mode);                                             \
    }
OPEN(open)
OPEN(open64)
#define OPENAT(name)                                                                           \
    TORTURE_API int name(int dir, const char *path, int flags, ...);                           \
    int name(int dir, const char *path, int flags, ...)                                        \
    {                                                                                          \
        mode_t mode = 0;                                                                       \
        va_list args;                                                                          \
                                                                                               \
        TORTURE_REAL(name);                                                                    \
        va_start(args, flags);                                                                 \
        if ((flags & O_CREAT) != 0)                                                            \
            mode = va_arg(args, mode_t);                                                       \
        va_end(args);                                                                          \
        FAIL(#name, EMFILE);                                                                   \
        return real(dir, path, flags, mode);                                                   \
    }
OPENAT(openat)
OPENAT(openat64)
#define CONTROL(name, type, slow)                                                              \
    TORTURE_API int name(int fd, type what, ...);                                              \
    int name(int fd, type what, ...)                                                           \
    {                                                                                          \
        va_list args;                                                                          \
        void *arg;                                                                             \
                                                                                               \
        TORTURE_REAL(name);                                                                    \
        va_start(args, what);                                                                  \
        arg = va_arg(args, void *);                                                            \
        va_end(args);                                                                          \
        if (slow)                                                                              \
            INTERRUPT(#name);                                                                  \
        FAIL(#name, EINVAL);                                                                   \
        return real(fd, what, arg);                                                            \
    }
CONTROL(fcntl, int, what == F_SETLKW)
CONTROL(fcntl64, int, what == F_SETLKW)
CONTROL(ioctl, unsigned long, false)

#define SYNC(name)                                                                             \
    TORTURE_API int name(int fd);                                                              \
    int name(int fd)                                                                           \
    {                                                                                          \
        INTERRUPT(#name);                                                                      \
        FAIL(#name, EIO);                                                                      \
        return syscall(SYS_fcntl, fd, F_GETFD) >= 0 ? 0 : -1;                                  \
    }
SYNC(fsync)
SYNC(fdatasync)
CALL(stat, EACCES, (const char *path, struct stat *out), (path, out))
CALL(stat64, EACCES, (const char *path, struct stat64 *out), (path, out))
CALL(lstat, EACCES, (const char *path, struct stat *out), (path, out))
CALL(lstat64, EACCES, (const char *path, struct stat64 *out), (path, out))
CALL(fstat, EIO, (int fd, struct stat *out), (fd, out))
CALL(fstat64, EIO, (int fd, struct stat64 *out), (fd, out))
CALL(fstatat, EACCES, (int fd, const char *path, struct stat *out, int flags),
     (fd, path, out, flags))
CALL(fstatat64, EACCES, (int fd, const char *path, struct stat64 *out, int flags),
     (fd, path, out, flags))
CALL(access, EACCES, (const char *path, int mode), (path, mode))
CALL(mkdir, ENOSPC, (const char *path, mode_t mode), (path, mode))
CALL(flock, ENOLCK, (int fd, int operation), (fd, operation))
SLOW_CALL(ftruncate, ENOSPC, (int fd, off_t len), (fd, len))
SLOW_CALL(ftruncate64, ENOSPC, (int fd, off64_t len), (fd, len))
SLOW_CALL(fallocate, ENOSPC, (int fd, int mode, off_t at, off_t len), (fd, mode, at, len))
SLOW_CALL(fallocate64, ENOSPC, (int fd, int mode, off64_t at, off64_t len), (fd, mode, at, len))
CALL(msync, EIO, (void *at, size_t len, int flags), (at, len, flags))
CALL(madvise, EAGAIN, (void *at, size_t len, int advice), (at, len, advice))

TRANSFER(read, (int fd, void *to, size_t len), (fd, to, len), len > 1, (fd, to, 1))
TRANSFER(readv, (int fd, const struct iovec *to, int n), (fd, to, n), is_long(to, n),
         (fd, (struct iovec[]){first_byte(to)}, 1))
TRANSFER(pread, (int fd, void *to, size_t len, off_t at), (fd, to, len, at), len > 1,
         (fd, to, 1, at))
TRANSFER(pread64, (int fd, void *to, size_t len, off64_t at), (fd, to, len, at), len > 1,
         (fd, to, 1, at))
TRANSFER(write, (int fd, const void *from, size_t len), (fd, from, len), len > 1, (fd, from, 1))
TRANSFER(writev, (int fd, const struct iovec *from, int n), (fd, from, n), is_long(from, n),
         (fd, (struct iovec[]){first_byte(from)}, 1))
TRANSFER(pwrite, (int fd, const void *from, size_t len, off_t at), (fd, from, len, at), len > 1,
         (fd, from, 1, at))
TRANSFER(pwrite64, (int fd, const void *from, size_t len, off64_t at), (fd, from, len, at),
         len > 1, (fd, from, 1, at))

TORTURE_API void *mmap(void *at, size_t len, int prot, int flags, int fd, off_t from);
void *
mmap(void *at, size_t len, int prot, int flags, int fd, off_t from)
{
    if (torture_fails(TORTURE_CALLS, "mmap", CALLER)) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    return (void *)syscall(SYS_mmap, at, len, prot, flags, fd, from);
}

TORTURE_API int close(int fd);
int
close(int fd)
{
    int rc = (int)syscall(SYS_close, fd);

    INTERRUPT("close");
    FAIL("close", EIO);
    return rc;
}

/* ---- sockets ---- */

CALL(socket, EMFILE, (int domain, int type, int protocol), (domain, type, protocol))
CALL(connect, ECONNREFUSED, (int fd, const struct sockaddr *to, socklen_t len), (fd, to, len))
CALL(getsockopt, ENOBUFS, (int fd, int level, int name, void *out, socklen_t *len),
     (fd, level, name, out, len))
CALL(setsockopt, ENOBUFS, (int fd, int level, int name, const void *value, socklen_t len),
     (fd, level, name, value, len))
CALL(getsockname, ENOBUFS, (int fd, struct sockaddr *out, socklen_t *len), (fd, out, len))
CALL(shutdown, ENOTCONN, (int fd, int how), (fd, how))
SLOW_CALL(poll, ENOMEM, (struct pollfd * fds, nfds_t n, int timeout), (fds, n, timeout))
TRANSFER(send, (int fd, const void *from, size_t len, int flags), (fd, from, len, flags),
         len > 1, (fd, from, 1, flags))
TRANSFER(sendmsg, (int fd, const struct msghdr *from, int flags), (fd, from, flags), false,
         (fd, from, flags))
TRANSFER(recv, (int fd, void *to, size_t len, int flags), (fd, to, len, flags), len > 1,
         (fd, to, 1, flags))
TRANSFER(recvmsg, (int fd, struct msghdr *to, int flags), (fd, to, flags), false,
         (fd, to, flags))

TORTURE_API int getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                            struct addrinfo **out);
int
getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
            struct addrinfo **out)
{
    TORTURE_REAL(getaddrinfo);
    return torture_fails(TORTURE_CALLS, "getaddrinfo", CALLER) ? EAI_AGAIN
                                                               : real(host, port, hints, out);
}

/* ---- what _FORTIFY_SOURCE makes of some of these where it knows how much room there is ----
 */

TRANSFER(__read_chk, (int fd, void *to, size_t len, size_t room), (fd, to, len, room), len > 1,
         (fd, to, 1, room))
TRANSFER(__pread_chk, (int fd, void *to, size_t len, off_t at, size_t room),
         (fd, to, len, at, room), len > 1, (fd, to, 1, at, room))
TRANSFER(__pread64_chk, (int fd, void *to, size_t len, off64_t at, size_t room),
         (fd, to, len, at, room), len > 1, (fd, to, 1, at, room))
TRANSFER(__recv_chk, (int fd, void *to, size_t len, size_t room, int flags),
         (fd, to, len, room, flags), len > 1, (fd, to, 1, room, flags))
SLOW_CALL(__poll_chk, ENOMEM, (struct pollfd * fds, nfds_t n, int timeout, size_t room),
          (fds, n, timeout, room))

/* ---- loops, threads, randomness ---- */

CALL(epoll_create1, EMFILE, (int flags), (flags))
CALL(eventfd, EMFILE, (unsigned count, int flags), (count, flags))

TORTURE_API int pthread_create(pthread_t *out, const pthread_attr_t *attr,
                               void *(*start)(void *arg), void *arg);
int
pthread_create(pthread_t *out, const pthread_attr_t *attr, void *(*start)(void *arg), void *arg)
{
    TORTURE_REAL(pthread_create);
    /* libuv's own threads: it ends the process without them */
    if (!torture_is_uv(CALLER) && torture_fails(TORTURE_CALLS, "pthread_create", CALLER))
        return EAGAIN;
    return real(out, attr, start, arg);
}

#if TORTURE_ASAN
/** It asks this of each thread, and ends the process without an answer. */
TORTURE_API int pthread_getattr_np(pthread_t thread, pthread_attr_t *out);
int
pthread_getattr_np(pthread_t thread, pthread_attr_t *out)
{
    int rc;

    TORTURE_REAL(pthread_getattr_np);
    torture_spare();
    rc = real(thread, out);
    torture_spare_no_more();
    return rc;
}
#endif

TORTURE_API ssize_t getrandom(void *to, size_t len, unsigned flags);
ssize_t
getrandom(void *to, size_t len, unsigned flags)
{
    INTERRUPT("getrandom");
    FAIL("getrandom", ENOSYS);
    return syscall(SYS_getrandom, to, len, flags);
}

/** What is not there cannot be loaded; dlerror() then says something. */
TORTURE_API void *dlopen(const char *path, int flags);
void *
dlopen(const char *path, int flags)
{
    TORTURE_REAL(dlopen);
    return real(torture_fails(TORTURE_CALLS, "dlopen", CALLER) ? "/nowhere" : path, flags);
}

/* ---- time ---- */

static _Atomic int64_t ahead_ms;

void
torture_set_clocks(int64_t ms)
{
    atomic_fetch_add(&ahead_ms, ms);
}

TORTURE_API int clock_gettime(clockid_t clock, struct timespec *out);
int
clock_gettime(clockid_t clock, struct timespec *out)
{
    int64_t ahead = atomic_load(&ahead_ms), ns;

    TORTURE_REAL(clock_gettime);
    if (real(clock, out) != 0)
        return -1;
    ns = out->tv_nsec + ahead % 1000 * 1000000;
    out->tv_sec += ahead / 1000 + ns / 1000000000;
    out->tv_nsec = ns % 1000000000;
    return 0;
}

static int
wait_for(int epoll, struct epoll_event *events, int max, int timeout, const sigset_t *mask)
{
    enum { MASK_BYTES = 8 };
    int patience = torture_patience_ms();
    bool leaps = patience >= 0 && timeout > patience;
    int n = (int)syscall(SYS_epoll_pwait, epoll, events, max, leaps ? patience : timeout, mask,
                         MASK_BYTES);

    if (n == 0 && leaps)
        torture_set_clocks(torture_leap_ms(timeout));
    return n;
}

TORTURE_API int epoll_wait(int epoll, struct epoll_event *events, int max, int timeout);
int
epoll_wait(int epoll, struct epoll_event *events, int max, int timeout)
{
    INTERRUPT("epoll_wait");
    return wait_for(epoll, events, max, timeout, NULL);
}

TORTURE_API int epoll_pwait(int epoll, struct epoll_event *events, int max, int timeout,
                            const sigset_t *mask);
int
epoll_pwait(int epoll, struct epoll_event *events, int max, int timeout, const sigset_t *mask)
{
    INTERRUPT("epoll_pwait");
    return wait_for(epoll, events, max, timeout, mask);
}
