/* SPDX-License-Identifier: Apache-2.0 */
#include "server/log/target.h"

#include "core/bytes.h"
#include "server/config/config.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct coat_target {
    int fd;
    bool regular;
    bool torn; /* part of a line stands at the end and could not be taken back */
    off_t mark;
};

static int
open_descriptor(const char *name)
{
    int64_t number;

    if (strcmp(name, "stderr") == 0)
        return fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    if (strcmp(name, "stdout") == 0)
        return fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    if (strncmp(name, "fd:", 3) == 0 &&
        coat_integer_parse(coat_span_of(name + 3), &number) == COAT_OK && number >= 0 &&
        number < 1 << 20)
        return fcntl((int)number, F_DUPFD_CLOEXEC, 3);
    if (strncmp(name, "file:", 5) == 0)
        return open(name + 5, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC,
                    0640);
    errno = EINVAL;
    return -1;
}

coat_err
coat_target_open(const char *name, coat_target **out, char *message, size_t cap)
{
    coat_target *target = calloc(1, sizeof *target);
    struct stat st;

    if (target == NULL)
        return COAT_NO_MEMORY;
    target->fd = open_descriptor(name);
    if (target->fd < 0 || fstat(target->fd, &st) != 0) {
        if (message != NULL && cap > 0)
            (void)snprintf(message, cap, "%.120s: %s", name,
                           errno == ELOOP ? "is a symbolic link; name the file itself"
                                          : strerror(errno));
        coat_target_free(target);
        return COAT_IO;
    }
    target->regular = S_ISREG(st.st_mode);
    *out = target;
    return COAT_OK;
}

void
coat_target_free(coat_target *target)
{
    if (target == NULL)
        return;
    if (target->fd >= 0)
        (void)close(target->fd);
    free(target);
}

ssize_t
coat_target_write(coat_target *target, const char *text, size_t len, int wait_ms)
{
    struct pollfd pfd = {.fd = target->fd, .events = POLLOUT};
    ssize_t n;

    /* A pipe that is full would block for ever; poll keeps the thread able to stop. */
    if (!target->regular && poll(&pfd, 1, wait_ms) <= 0)
        return 0;
    if (target->torn) { /* the reader must see where the next line begins */
        n = write(target->fd, "\n", 1);
        if (n == 1)
            target->torn = false;
        else
            return n < 0 && errno != EAGAIN && errno != EINTR ? -1 : 0;
    }
    n = write(target->fd, text, len);
    if (n >= 0)
        return n;
    return errno == EAGAIN || errno == EINTR ? 0 : -1;
}

bool
coat_target_sync(coat_target *target)
{
    return !target->regular || fdatasync(target->fd) == 0;
}

void
coat_target_mark(coat_target *target)
{
    struct stat st;

    target->mark = target->regular && fstat(target->fd, &st) == 0 ? st.st_size : -1;
}

void
coat_target_undo(coat_target *target, size_t written)
{
    if (written == 0)
        return;
    if (target->mark < 0 || ftruncate(target->fd, target->mark) != 0)
        target->torn = true;
}
