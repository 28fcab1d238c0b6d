/* SPDX-License-Identifier: Apache-2.0 */

/**
 * The files behind a table: a lock file that makes its holder the only writer, the table, and
 * the activity file. A new generation is complete before it is renamed into place.
 */

#include "core/out.h"
#include "table/inside.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    TABLE_MODE = 0640, /* with a group of readers */
    SEEN_MODE = 0660,
    LOCK_MODE = 0600, /* and all files without one */
    /* A day of clock steps back before activity cannot be noted. */
    BASE_BACK_S = 86400,
    /* A table this old is built anew, long before activity words run out (8.5 years). */
    BASE_AGE_MAX_S = 7 * 365 * 86400,
};

static bool
path_with(const char *path, const char *suffix, char buf[static PATH_MAX])
{
    coat_out out = coat_out_init(buf, PATH_MAX);

    coat_out_str(&out, path);
    coat_out_str(&out, suffix);
    return coat_out_end(&out);
}

/** A regular file of ours at path, with no more permissions than `mode`. */
static coat_err
open_own(const char *path, int flags, mode_t mode, int *out, size_t *len)
{
    int fd = open(path, flags | O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, mode);
    struct stat st;

    if (fd < 0 && errno == ENOENT)
        return COAT_NOT_FOUND;
    if (fd < 0)
        return errno == ELOOP || errno == EACCES || errno == EPERM ? COAT_DENIED : COAT_IO;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid() ||
        (st.st_mode & 0777 & ~mode) != 0) {
        (void)close(fd);
        return COAT_DENIED;
    }
    *out = fd;
    *len = (size_t)st.st_size;
    return COAT_OK;
}

static coat_err
take_lock(const char *path, int *out)
{
    char lock_path[PATH_MAX];
    coat_err err;
    size_t len;
    int fd;

    if (!path_with(path, ".lock", lock_path))
        return COAT_INVALID;
    err = open_own(lock_path, O_CREAT, LOCK_MODE, &fd, &len);
    if (err != COAT_OK)
        return err == COAT_NOT_FOUND ? COAT_IO : err; /* no such folder */
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        err = errno == EWOULDBLOCK ? COAT_BUSY : COAT_IO;
        (void)close(fd);
        return err;
    }
    *out = fd;
    return COAT_OK;
}

/* Since Linux 6.1; others refuse it, and all stays as it is. */
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

enum { COLLAPSE_STEP = 32 << 20, COLLAPSE_MAX_MS = 1000 };

static int64_t
monotonic_ms(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* MADV_HUGEPAGE alone does nothing on tmpfs as it is usually mounted. This does, once and for
 * all who map the file: a check of one among a million sessions takes a fifth less. The kernel
 * copies 2 GiB a second or so; where it has to look for room first a start must not wait.
 * Who touches a page meanwhile waits: so never in a table that others have mapped. */
static void
collapse(uint8_t *map, size_t len)
{
    int64_t end_ms = monotonic_ms() + COLLAPSE_MAX_MS;

    for (size_t at = 0; at < len && monotonic_ms() < end_ms; at += COLLAPSE_STEP)
        (void)madvise(map + at, len - at < COLLAPSE_STEP ? len - at : COLLAPSE_STEP,
                      MADV_COLLAPSE);
}

static coat_err
map_shared(int fd, size_t len, bool fresh, void **out)
{
    void *map = coat_table_map(fd, len, PROT_READ | PROT_WRITE);

    if (map == NULL)
        return COAT_NO_MEMORY;
    (void)madvise(map, len, MADV_HUGEPAGE);
    if (fresh)
        collapse(map, len);
    *out = map;
    return COAT_OK;
}

/** Entries of another boot may be older than what the store's disk holds. */
static coat_err
boot_id(coat_rng_fn rng, void *rng_ctx, uint8_t out[static 16])
{
    uint8_t text[64];
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t len = -1;

    if (fd >= 0) {
        len = read(fd, text, sizeof text);
        (void)close(fd);
    }
    if (len <= 0)
        return rng(rng_ctx, out, 16); /* matches none */
    (void)crypto_generichash(out, 16, text, (size_t)len, NULL, 0);
    return COAT_OK;
}

static coat_err
head_fill(const coat_table_conf *conf, coat_table_geometry geometry, coat_table_head *head,
          coat_table_seen_head *seen)
{
    int64_t base_s = conf->now_ms / 1000 - BASE_BACK_S;
    uint8_t random[8 + sizeof head->hash_key + sizeof head->context_key];
    coat_err err = conf->rng(conf->rng_ctx, random, sizeof random);

    if (err == COAT_OK)
        err = boot_id(conf->rng, conf->rng_ctx, head->boot);
    if (err != COAT_OK)
        return err;
    head->magic = COAT_TABLE_MAGIC;
    head->format = COAT_TABLE_FORMAT;
    head->mode = conf->mode;
    head->geometry = geometry;
    head->base_s = base_s > 0 ? base_s : 0;
    head->generation = coat_load64(random);
    memcpy(head->hash_key, random + 8, sizeof head->hash_key);
    memcpy(head->context_key, random + 8 + sizeof head->hash_key, sizeof head->context_key);
    memcpy(head->binding, conf->binding, sizeof head->binding);
    seen->magic = COAT_TABLE_SEEN_MAGIC;
    seen->generation = head->generation;
    sodium_memzero(random, sizeof random);
    return COAT_OK;
}

static mode_t
mode_of(const coat_table_conf *conf, mode_t shared)
{
    return conf->gid != (uint32_t)-1 ? shared : LOCK_MODE;
}

/** A fresh file of that length at path, its room reserved: a full file system shows here. */
static coat_err
build_file(const char *path, mode_t mode, uint32_t gid, size_t len, void **map)
{
    coat_err err;
    int fd, full;

    if (unlink(path) != 0 && errno != ENOENT)
        return COAT_DENIED;
    fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, LOCK_MODE);
    if (fd < 0)
        return COAT_IO;
    if ((gid != (uint32_t)-1 && fchown(fd, (uid_t)-1, gid) != 0) || fchmod(fd, mode) != 0) {
        err = COAT_IO;
        goto out;
    }
    full = posix_fallocate(fd, 0, (off_t)len);
    err = full == ENOSPC || full == EDQUOT ? COAT_STORE_FULL : full != 0 ? COAT_IO : COAT_OK;
    if (err == COAT_OK)
        err = map_shared(fd, len, true, map);
out:
    (void)close(fd);
    if (err != COAT_OK)
        (void)unlink(path);
    return err;
}

static coat_err
build(const coat_table_conf *conf, coat_table_geometry geometry, coat_table *view)
{
    char seen[PATH_MAX], new_table[PATH_MAX], new_seen[PATH_MAX];
    coat_err err;

    if (coat_table_size(geometry, &view->map_len, &view->seen_len) != COAT_OK)
        return COAT_INVALID;
    if (conf->path == NULL) {
        err = map_shared(-1, view->map_len, true, &view->map);
        if (err == COAT_OK)
            err = map_shared(-1, view->seen_len, true, &view->seen_map);
        return err == COAT_OK ? head_fill(conf, geometry, view->map, view->seen_map) : err;
    }
    if (!path_with(conf->path, ".seen", seen) || !path_with(conf->path, ".new", new_table) ||
        !path_with(conf->path, ".seen.new", new_seen))
        return COAT_INVALID;
    err =
        build_file(new_table, mode_of(conf, TABLE_MODE), conf->gid, view->map_len, &view->map);
    if (err == COAT_OK)
        err = build_file(new_seen, mode_of(conf, SEEN_MODE), conf->gid, view->seen_len,
                         &view->seen_map);
    if (err == COAT_OK)
        err = head_fill(conf, geometry, view->map, view->seen_map);
    /* Activity first: readers that see only one of the two find that they do not match. */
    if (err == COAT_OK && (rename(new_seen, seen) != 0 || rename(new_table, conf->path) != 0))
        err = COAT_IO;
    if (err != COAT_OK) {
        (void)unlink(new_seen);
        (void)unlink(new_table);
    }
    return err;
}

/** Same installation, boot, sizes and mode, and not too old: its entries are ours? */
static bool
suits(const coat_table_conf *conf, coat_table_geometry geometry, const coat_table *view)
{
    const coat_table_head *head = view->map;
    const coat_table_seen_head *seen = view->seen_map;
    int64_t age_s = conf->now_ms / 1000 - head->base_s;
    uint8_t boot[16];

    return boot_id(conf->rng, conf->rng_ctx, boot) == COAT_OK && head->mode == conf->mode &&
           head->geometry.slots == geometry.slots && head->geometry.arena == geometry.arena &&
           memcmp(head->boot, boot, sizeof boot) == 0 &&
           memcmp(head->binding, conf->binding, sizeof head->binding) == 0 && age_s >= 0 &&
           age_s < BASE_AGE_MAX_S && atomic_load(&head->replaced) == 0 &&
           seen->magic == COAT_TABLE_SEEN_MAGIC && seen->generation == head->generation;
}

/** Who may read it has not changed since it was made. */
static bool
still_for(const coat_table_conf *conf, int fd, mode_t shared)
{
    struct stat st;

    return fstat(fd, &st) == 0 && (st.st_mode & 0777) == mode_of(conf, shared) &&
           (conf->gid == (uint32_t)-1 || st.st_gid == conf->gid);
}

static coat_err
map_file(const coat_table_conf *conf, const char *path, mode_t mode, size_t least, void **map,
         size_t *len)
{
    coat_err err;
    int fd;

    err = open_own(path, 0, mode, &fd, len);
    if (err != COAT_OK)
        return err;
    err = *len < least || !still_for(conf, fd, mode) ? COAT_NOT_FOUND
                                                     : map_shared(fd, *len, false, map);
    (void)close(fd);
    return err;
}

/** Map what is there. @retval COAT_NOT_FOUND  nothing, or nothing that can be taken over */
static coat_err
map_existing(const coat_table_conf *conf, coat_table_geometry geometry, coat_table *view)
{
    char seen_path[PATH_MAX];
    size_t table_len, seen_len;
    coat_err err;

    err = map_file(conf, conf->path, TABLE_MODE, COAT_TABLE_PAGE, &view->map, &view->map_len);
    if (err != COAT_OK)
        return err;
    if (coat_table_size(geometry, &table_len, &seen_len) != COAT_OK ||
        coat_table_head_check(view->map, view->map_len) != COAT_OK ||
        !coat_table_seen_path(conf->path, seen_path, sizeof seen_path))
        return COAT_NOT_FOUND;
    err = map_file(conf, seen_path, SEEN_MODE, seen_len, &view->seen_map, &view->seen_len);
    if (err != COAT_OK)
        return err;
    return view->seen_len == seen_len && suits(conf, geometry, view) ? COAT_OK : COAT_NOT_FOUND;
}

/** Once more, and kept open. The folder is ours: it is the file that was mapped. */
static coat_err
keep_seen(const char *path, int *out)
{
    char seen_path[PATH_MAX];
    size_t len;

    if (!coat_table_seen_path(path, seen_path, sizeof seen_path))
        return COAT_INVALID;
    return open_own(seen_path, 0, SEEN_MODE, out, &len);
}

coat_err
coat_table_files_open(const coat_table_conf *conf, coat_table_geometry geometry,
                      coat_table *view, coat_table_files *files)
{
    coat_table old = {0};
    coat_err err;

    if (conf->path == NULL)
        return build(conf, geometry, view);
    err = take_lock(conf->path, &files->lock_fd);
    if (err != COAT_OK)
        return err;
    err = map_existing(conf, geometry, &old);
    if (err == COAT_OK) {
        *view = old;
        files->taken_over = true;
        return keep_seen(conf->path, &files->seen_fd);
    }
    if (err == COAT_NOT_FOUND)
        err = build(conf, geometry, view);
    /* Readers that hold the former file turn away from it once the new one is in place. */
    if (err == COAT_OK && old.map != NULL)
        atomic_store(&((coat_table_head *)old.map)->replaced, 1);
    coat_table_detach(&old);
    return err == COAT_OK ? keep_seen(conf->path, &files->seen_fd) : err;
}

void
coat_table_files_close(coat_table *view, coat_table_files *files)
{
    coat_table_detach(view);
    if (files->lock_fd >= 0)
        (void)close(files->lock_fd);
    if (files->seen_fd >= 0)
        (void)close(files->seen_fd);
    files->lock_fd = -1;
    files->seen_fd = -1;
}
