/* SPDX-License-Identifier: Apache-2.0 */

/**
 * The activity file is what readers may write, so a hostile one can do more to it than note
 * activity: cut it off, let it grow, overwrite its head. Cut off, it kills by SIGBUS whoever
 * touches it, until it has its length again; then all mappings are good as they are. Nothing
 * here but system calls that a signal handler may make, and no touch of the mapping.
 */

#include "table/inside.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static coat_table_seen_head
head_of(const coat_table_writer *w)
{
    return (coat_table_seen_head){.magic = COAT_TABLE_SEEN_MAGIC,
                                  .generation = w->head->generation};
}

static bool
is_whole(const coat_table_writer *w)
{
    coat_table_seen_head want = head_of(w), found;
    struct stat st;

    return fstat(w->files.seen_fd, &st) == 0 && st.st_size == (off_t)w->view.seen_len &&
           pread(w->files.seen_fd, &found, sizeof found, 0) == sizeof found &&
           found.magic == want.magic && found.generation == want.generation;
}

/* Room is reserved anew, also in a file that looks whole: it may have holes, and where no room
 * is left for one, the next touch would be a fault again, without end. If there is none, or the
 * file system cannot reserve, the damage stays. */
static bool
mend(coat_table_writer *w)
{
    coat_table_seen_head head = head_of(w);
    bool whole = is_whole(w); /* another thread may have been faster */
    int fd = w->files.seen_fd;
    off_t len = (off_t)w->view.seen_len;

    if (ftruncate(fd, len) != 0 || fallocate(fd, 0, 0, len) != 0)
        return false;
    if (whole)
        return true;
    (void)atomic_fetch_add(&w->mended, 1);
    return pwrite(fd, &head, sizeof head, 0) == sizeof head;
}

bool
coat_table_mend(coat_table_writer *w, const void *at)
{
    uintptr_t first = (uintptr_t)w->view.seen_map, fault = (uintptr_t)at;
    int saved = errno;
    bool mended;

    if (w->files.seen_fd < 0 || fault < first || fault - first >= w->view.seen_len)
        return false;
    mended = mend(w);
    errno = saved;
    return mended;
}

uint32_t
coat_table_look_after(coat_table_writer *w)
{
    if (w->files.seen_fd >= 0 && !is_whole(w))
        (void)mend(w);
    return atomic_exchange(&w->mended, 0);
}
