/* SPDX-License-Identifier: Apache-2.0 */
#include "server/config/files.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct report {
    char *message;
    size_t cap;
    const char *path;
} report;

/* "path: what is wrong", and the result that goes with it. */
static coat_err say(const report *r, coat_err err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static coat_err
say(const report *r, coat_err err, const char *format, ...)
{
    va_list args;
    int n;

    if (r->message == NULL || r->cap == 0)
        return err;
    n = snprintf(r->message, r->cap, "%.120s: ", r->path);
    if (n < 0 || (size_t)n >= r->cap)
        return err;
    va_start(args, format);
    (void)vsnprintf(r->message + n, r->cap - (size_t)n, format, args);
    va_end(args);
    return err;
}

/* Without trailing slashes, behind which O_NOFOLLOW would follow a link. */
static coat_err
trim_path(const report *r, char buf[static PATH_MAX])
{
    size_t len = strlen(r->path);

    while (len > 1 && r->path[len - 1] == '/')
        len--;
    if (len == 0 || len >= PATH_MAX)
        return say(r, COAT_INVALID, "is no usable path");
    memcpy(buf, r->path, len);
    buf[len] = '\0';
    return COAT_OK;
}

static coat_err
check_owner_mode(const report *r, const struct stat *st, mode_t mode)
{
    if (st->st_uid != geteuid())
        return say(r, COAT_INVALID, "belongs to user %u, not to user %u who runs this",
                   (unsigned)st->st_uid, (unsigned)geteuid());
    if ((st->st_mode & 07777 & ~mode) != 0)
        return say(r, COAT_INVALID, "has mode %04o; chmod %04o makes it right",
                   (unsigned)st->st_mode & 07777, (unsigned)mode);
    return COAT_OK;
}

static coat_err
open_failed(const report *r)
{
    if (errno == ENOENT)
        return say(r, COAT_NOT_FOUND, "does not exist");
    if (errno == ELOOP)
        return say(r, COAT_INVALID, "is a symbolic link; name the file itself");
    if (errno == ENOTDIR)
        return say(r, COAT_INVALID, "is no directory, or lies below what is none");
    return say(r, COAT_IO, "%s", strerror(errno));
}

/* Ours, and not too open: give it the mode and group that were asked for. */
static coat_err
share_dir(const report *r, int fd, mode_t mode, gid_t group)
{
    if (group != (gid_t)-1 && fchown(fd, (uid_t)-1, group) != 0)
        return say(r, COAT_IO,
                   "cannot be given to group %u: %s; the service user must belong "
                   "to it",
                   (unsigned)group, strerror(errno));
    if (fchmod(fd, mode) != 0)
        return say(r, COAT_IO, "%s", strerror(errno));
    return COAT_OK;
}

coat_err
coat_dir_ensure(const char *path, mode_t mode, gid_t group, char *message, size_t cap)
{
    report r = {message, cap, path};
    char name[PATH_MAX];
    struct stat st;
    bool made;
    int fd;
    coat_err err = trim_path(&r, name);

    if (err != COAT_OK)
        return err;
    made = mkdir(name, 0700) == 0;
    if (!made && errno != EEXIST)
        return say(&r, COAT_IO, "cannot be made: %s; install -d -m %04o -o USER makes it",
                   strerror(errno), (unsigned)mode);
    fd = open(name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOTDIR) /* what Linux says of a link, too, with O_DIRECTORY */
        return say(&r, COAT_INVALID, "is a symbolic link or no directory");
    if (fd < 0)
        return open_failed(&r);
    err = fstat(fd, &st) == 0 ? check_owner_mode(&r, &st, made ? 07777 : mode)
                              : say(&r, COAT_IO, "%s", strerror(errno));
    if (err == COAT_OK && (made || group != (gid_t)-1))
        err = share_dir(&r, fd, mode, group);
    (void)close(fd);
    return err;
}

/* Whoever may write the directory may replace the file: only we and root. */
static coat_err
check_parent(const char *path, char *message, size_t cap)
{
    char name[PATH_MAX];
    report r = {message, cap, path};
    struct stat st;
    coat_err err = trim_path(&r, name);

    if (err != COAT_OK)
        return err;
    r.path = dirname(name);
    if (lstat(r.path, &st) != 0)
        return open_failed(&r);
    if (!S_ISDIR(st.st_mode))
        return say(&r, COAT_INVALID, "is a symbolic link or no directory");
    if (st.st_uid != geteuid() && st.st_uid != 0)
        return say(&r, COAT_INVALID,
                   "belongs to user %u, neither to root nor to user %u who "
                   "runs this",
                   (unsigned)st.st_uid, (unsigned)geteuid());
    if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return say(&r, COAT_INVALID,
                   "can be written by others (mode %04o); chmod go-w makes it "
                   "right",
                   (unsigned)st.st_mode & 07777);
    return COAT_OK;
}

coat_err
coat_file_open_private(const char *path, int *out, char *message, size_t cap)
{
    report r = {message, cap, path};
    struct stat st;
    coat_err err = check_parent(path, message, cap);
    int fd;

    if (err != COAT_OK)
        return err;
    fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return open_failed(&r);
    if (fstat(fd, &st) != 0)
        err = say(&r, COAT_IO, "%s", strerror(errno));
    else if (!S_ISREG(st.st_mode))
        err = say(&r, COAT_INVALID, "is no regular file");
    else if (st.st_nlink != 1)
        err = say(&r, COAT_INVALID, "has a second name (hard link)");
    else
        err = check_owner_mode(&r, &st, 0600);
    if (err != COAT_OK) {
        (void)close(fd);
        return err;
    }
    *out = fd;
    return COAT_OK;
}

static bool
read_all(int fd, uint8_t *buf, size_t cap, size_t *len)
{
    *len = 0;
    while (*len < cap) {
        ssize_t n = read(fd, buf + *len, cap - *len);

        if (n == 0)
            return true;
        if (n < 0 && errno != EINTR)
            return false;
        if (n > 0)
            *len += (size_t)n;
    }
    return true;
}

coat_err
coat_file_read_private(const char *path, size_t max, uint8_t **bytes, size_t *len,
                       char *message, size_t cap)
{
    report r = {message, cap, path};
    uint8_t *buf;
    size_t n = 0;
    int fd;
    coat_err err = coat_file_open_private(path, &fd, message, cap);

    if (err != COAT_OK)
        return err;
    buf = sodium_malloc(max + 1);
    if (buf == NULL)
        err = say(&r, COAT_NO_MEMORY, "no locked memory to read it into");
    else if (!read_all(fd, buf, max + 1, &n))
        err = say(&r, COAT_IO, "%s", strerror(errno));
    else if (n > max)
        err = say(&r, COAT_TOO_LARGE, "is larger than %zu bytes", max);
    (void)close(fd);
    if (err != COAT_OK) {
        sodium_free(buf);
        return err;
    }
    *bytes = buf;
    *len = n;
    return COAT_OK;
}

void
coat_file_release(uint8_t *bytes, size_t len)
{
    (void)len; /* sodium_free wipes */
    sodium_free(bytes);
}

static bool
write_all(int fd, coat_span bytes)
{
    while (bytes.len > 0) {
        ssize_t n = write(fd, bytes.ptr, bytes.len);

        if (n < 0 && errno != EINTR)
            return false;
        if (n > 0)
            bytes = (coat_span){bytes.ptr + n, bytes.len - (size_t)n};
    }
    return true;
}

static void
sync_parent(const char *path)
{
    char name[PATH_MAX];
    report r = {NULL, 0, path};
    int fd;

    if (trim_path(&r, name) != COAT_OK)
        return;
    fd = open(dirname(name), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)fsync(fd);
        (void)close(fd);
    }
}

/* Complete under another name first: a crash leaves the old file or the new one, whole. */
static coat_err
write_beside(const report *r, const char *temporary, coat_span bytes)
{
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    coat_err err = COAT_OK;

    if (fd < 0)
        return say(r, COAT_IO, "cannot be written: %s", strerror(errno));
    if (fchmod(fd, 0600) != 0 || !write_all(fd, bytes) || fsync(fd) != 0)
        err = say(r, COAT_IO, "cannot be written: %s", strerror(errno));
    (void)close(fd);
    return err;
}

coat_err
coat_file_write_private(const char *path, coat_span bytes, bool replace, char *message,
                        size_t cap)
{
    report r = {message, cap, path};
    char temporary[PATH_MAX];
    uint64_t random;
    coat_err err = check_parent(path, message, cap);
    int n;

    if (err != COAT_OK)
        return err;
    if (getrandom(&random, sizeof random, 0) != sizeof random)
        return say(&r, COAT_RNG_FAILED, "no random bytes");
    n = snprintf(temporary, sizeof temporary, "%s.%016llx", path, (unsigned long long)random);
    if (n < 0 || (size_t)n >= sizeof temporary)
        return say(&r, COAT_INVALID, "is too long a path");
    err = write_beside(&r, temporary, bytes);
    if (err == COAT_OK &&
        renameat2(AT_FDCWD, temporary, AT_FDCWD, path, replace ? 0 : RENAME_NOREPLACE) != 0)
        err = errno == EEXIST ? say(&r, COAT_EXISTS, "is there already")
                              : say(&r, COAT_IO, "cannot be written: %s", strerror(errno));
    if (err != COAT_OK)
        (void)unlink(temporary);
    else
        sync_parent(path);
    return err;
}

coat_err
coat_socket_path_check(const char *path, char *message, size_t cap)
{
    report r = {message, cap, path};
    struct stat st;
    coat_err err = check_parent(path, message, cap);

    if (err != COAT_OK)
        return err;
    if (lstat(path, &st) != 0)
        return errno == ENOENT ? COAT_OK : open_failed(&r);
    if (!S_ISSOCK(st.st_mode))
        return say(&r, COAT_INVALID, "is there already and is no socket");
    if (st.st_uid != geteuid())
        return say(&r, COAT_INVALID, "is a socket of user %u, not of user %u who runs this",
                   (unsigned)st.st_uid, (unsigned)geteuid());
    return COAT_OK;
}
