/* SPDX-License-Identifier: Apache-2.0 */
/* The directory of nginx's files: its configuration, the number of its process, folders that
 * stay empty. */
#include "server/config/files.h"
#include "cli/gateway/gateway.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const folders[] = {"body", "proxy", "fastcgi", "uwsgi", "scgi"};

static bool
join(char out[COAT_GATEWAY_FILE_MAX], const char *dir, const char *tail)
{
    return snprintf(out, COAT_GATEWAY_FILE_MAX, "%s%s", dir, tail) < COAT_GATEWAY_FILE_MAX;
}

/*
 * In the runtime directory; but where that belongs to a daemon with fewer rights than nginx's
 * master, beside it: whoever may replace a master's configuration commands the master.
 */
coat_err
coat_gateway_files_name(const coat_gateway_plan *plan, coat_gateway_files *out, char *message)
{
    coat_gateway_files files = {.lock = -1};

    if (!join(files.dir, plan->config->runtime_dir,
              plan->worker.separate ? "-gateway" : "/gateway") ||
        !join(files.conf, files.dir, "/nginx.conf") ||
        !join(files.candidate, files.dir, "/nginx.conf.new") ||
        !join(files.pid, files.dir, "/nginx.pid")) {
        (void)snprintf(message, COAT_GATEWAY_MESSAGE_MAX,
                       "runtime.directory: the path is too long");
        return COAT_INVALID;
    }
    *out = files;
    return COAT_OK;
}

/* Who can write where the directory lies could put another in its place. */
static coat_err
check_above(const char *dir, char *message)
{
    char path[COAT_GATEWAY_FILE_MAX];
    const char *above;
    struct stat st;

    (void)snprintf(path, sizeof path, "%s", dir);
    above = dirname(path);
    if (stat(above, &st) != 0) {
        (void)snprintf(message, COAT_GATEWAY_MESSAGE_MAX, "%s: %s", above, strerror(errno));
        return COAT_IO;
    }
    if ((st.st_uid == 0 || st.st_uid == geteuid()) && (st.st_mode & (S_IWGRP | S_IWOTH)) == 0)
        return COAT_OK;
    (void)snprintf(message, COAT_GATEWAY_MESSAGE_MAX,
                   "%s can be written by others, so nginx's files are not safe in it; choose "
                   "another runtime.directory",
                   above);
    return COAT_INVALID;
}

/* The directory itself is what is locked: it goes when we go. */
static coat_err
lock(coat_gateway_files *files, char *message)
{
    files->lock = open(files->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (files->lock >= 0 && flock(files->lock, LOCK_EX | LOCK_NB) == 0)
        return COAT_OK;
    if (files->lock >= 0 && errno == EWOULDBLOCK)
        (void)snprintf(
            message, COAT_GATEWAY_MESSAGE_MAX,
            "another gateway runs in %s; give this one another runtime.directory and "
            "data.directory",
            files->dir);
    else
        (void)snprintf(message, COAT_GATEWAY_MESSAGE_MAX, "%s: %s", files->dir,
                       strerror(errno));
    if (files->lock >= 0)
        (void)close(files->lock);
    files->lock = -1;
    return COAT_IO;
}

coat_err
coat_gateway_files_open(const coat_gateway_plan *plan, coat_gateway_files *files, char *message)
{
    const coat_config *c = plan->config;
    coat_err err = COAT_OK;

    /* The daemon makes this one by the same rules, but later. */
    if (!plan->worker.separate)
        err = coat_dir_ensure(c->runtime_dir, c->runtime_group[0] != '\0' ? 0710 : 0700,
                              (gid_t)-1, message, COAT_GATEWAY_MESSAGE_MAX);
    else
        err = check_above(files->dir, message);
    if (err == COAT_OK)
        err = coat_dir_ensure(files->dir, 0700, (gid_t)-1, message, COAT_GATEWAY_MESSAGE_MAX);
    if (err == COAT_OK)
        err = lock(files, message);
    if (err == COAT_OK)
        (void)unlink(files->pid);
    return err;
}

coat_err
coat_gateway_files_write(const coat_gateway_files *files, coat_span text, char *message)
{
    return coat_file_write_private(files->candidate, text, true, message,
                                   COAT_GATEWAY_MESSAGE_MAX);
}

coat_err
coat_gateway_files_accept(const coat_gateway_files *files, char *message)
{
    if (rename(files->candidate, files->conf) == 0)
        return COAT_OK;
    (void)snprintf(message, COAT_GATEWAY_MESSAGE_MAX, "%s: %s", files->conf, strerror(errno));
    return COAT_IO;
}

pid_t
coat_gateway_files_pid(const coat_gateway_files *files)
{
    char text[32];
    int fd = open(files->pid, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof text) : -1;
    coat_span span = {(const uint8_t *)text, n > 0 ? (size_t)n : 0};
    int64_t number = 0;

    if (fd >= 0)
        (void)close(fd);
    if (span.len > 0 && text[span.len - 1] == '\n')
        span.len--;
    return coat_integer_parse(span, &number) == COAT_OK && number > 0 && number < INT32_MAX
               ? (pid_t)number
               : 0;
}

void
coat_gateway_files_close(coat_gateway_files *files)
{
    char path[COAT_GATEWAY_FILE_MAX];

    if (files->lock < 0)
        return;
    (void)unlink(files->conf);
    (void)unlink(files->candidate);
    (void)unlink(files->pid);
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++)
        if (snprintf(path, sizeof path, "%s/%s", files->dir, folders[i]) < (int)sizeof path)
            (void)rmdir(path);
    (void)rmdir(files->dir);
    (void)close(files->lock);
    files->lock = -1;
}
