/* SPDX-License-Identifier: Apache-2.0 */
/**
 * The store's directory: 0700, files 0600, ours, no symbolic links (ST-4). A lock file keeps
 * a second process (and a second opening in this one) out: LMDB would corrupt its own locks.
 */

#include "core/out.h"
#include "store/lmdb_store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const file_names[] = {"data.mdb", "lock.mdb", "lock"};

static coat_err
refuse(const coat_store_conf *conf, const char *dir, const char *file, const char *why)
{
    char path[4096];
    coat_out out = coat_out_init(path, sizeof path);

    coat_out_str(&out, dir);
    if (file != NULL) {
        coat_out_char(&out, '/');
        coat_out_str(&out, file);
    }
    (void)coat_out_end(&out);
    coat_store_message(conf, path, ": ", why);
    return COAT_IO;
}

/** Refuse what others could read or could have put there. */
static coat_err
check_owner_and_mode(const coat_store_conf *conf, const char *dir, const char *file,
                     const struct stat *st)
{
    char why[128];

    if (st->st_uid != geteuid()) {
        (void)snprintf(why, sizeof why, "belongs to user %lu; it must belong to user %lu",
                       (unsigned long)st->st_uid, (unsigned long)geteuid());
        return refuse(conf, dir, file, why);
    }
    if ((st->st_mode & 077) != 0) {
        (void)snprintf(why, sizeof why, "has mode %04o; others must have no access (chmod %s)",
                       st->st_mode & 07777U, file == NULL ? "0700" : "0600");
        return refuse(conf, dir, file, why);
    }
    return COAT_OK;
}

static coat_err
check_file(lmdb_store *store, const coat_store_conf *conf, const char *dir, const char *file)
{
    struct stat st;

    if (fstatat(store->dir_fd, file, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? COAT_OK : refuse(conf, dir, file, strerror(errno));
    if (S_ISLNK(st.st_mode))
        return refuse(conf, dir, file, "is a symbolic link; it must be the file itself");
    if (!S_ISREG(st.st_mode) || st.st_nlink != 1)
        return refuse(conf, dir, file, "is not a plain file of its own");
    return check_owner_and_mode(conf, dir, file, &st);
}

static void
sync_parent(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int up = fd >= 0 ? openat(fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

    if (up >= 0) {
        (void)fsync(up);
        (void)close(up);
    }
    if (fd >= 0)
        (void)close(fd);
}

static coat_err
open_directory(lmdb_store *store, const coat_store_conf *conf, const char *path)
{
    struct stat st;

    if (mkdir(path, 0700) == 0)
        sync_parent(path);
    else if (errno != EEXIST)
        return refuse(conf, path, NULL, strerror(errno));
    if (lstat(path, &st) != 0)
        return refuse(conf, path, NULL, strerror(errno));
    if (S_ISLNK(st.st_mode))
        return refuse(conf, path, NULL, "is a symbolic link; name the directory itself");
    store->dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (store->dir_fd < 0 || fstat(store->dir_fd, &st) != 0)
        return refuse(conf, path, NULL, strerror(errno));
    return check_owner_and_mode(conf, path, NULL, &st);
}

static coat_err
refuse_second(lmdb_store *store, const coat_store_conf *conf, const char *path)
{
    char pid[16], why[96];
    ssize_t len = pread(store->lock_fd, pid, sizeof pid - 1, 0);
    size_t digits = 0;

    while (len > 0 && digits < (size_t)len && pid[digits] >= '0' && pid[digits] <= '9')
        digits++;
    pid[digits] = '\0';
    (void)snprintf(why, sizeof why, "is in use by process %s; stop that one first",
                   digits > 0 ? pid : "(unknown)");
    return refuse(conf, path, NULL, why);
}

static coat_err
take_lock(lmdb_store *store, const coat_store_conf *conf, const char *path)
{
    store->lock_fd =
        openat(store->dir_fd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (store->lock_fd < 0)
        return refuse(conf, path, "lock", strerror(errno));
    if (flock(store->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK)
            return refuse_second(store, conf, path);
        return refuse(conf, path, "lock", strerror(errno));
    }
    /* The number is for the message above only; failing to write it (full disk) is no harm. */
    if (ftruncate(store->lock_fd, 0) != 0 ||
        dprintf(store->lock_fd, "%ld\n", (long)getpid()) < 0)
        errno = 0;
    return COAT_OK;
}

coat_err
lmdb_dir_open(lmdb_store *store, const coat_store_conf *conf, const char *path)
{
    coat_err err = open_directory(store, conf, path);

    for (size_t i = 0; err == COAT_OK && i < sizeof file_names / sizeof file_names[0]; i++)
        err = check_file(store, conf, path, file_names[i]);
    return err == COAT_OK ? take_lock(store, conf, path) : err;
}

void
lmdb_dir_close(lmdb_store *store)
{
    if (store->lock_fd >= 0)
        (void)close(store->lock_fd);
    if (store->dir_fd >= 0)
        (void)close(store->dir_fd);
    store->lock_fd = store->dir_fd = -1;
}
