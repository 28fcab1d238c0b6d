/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/outbox.h"

#include "core/bytes.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* A record: "coe1" | zeros (4) | handle (16) | SipHash-2-4 of these under a key of zeros. It
 * guards against a record that was cut off, not against who may write here. "coo1": not one
 * session, but all of its owner's whose handles are not above this one. */
enum {
    RECORD = 32,
    CHECKED = 24,
    FILE_MAX = (COAT_UNSETTLED_MAX + COAT_UNSETTLED_RESERVE) * RECORD
};

static const uint8_t magics[2][8] = {{'c', 'o', 'e', '1'}, {'c', 'o', 'o', '1'}};

static void
check_of(const uint8_t record[static RECORD], uint8_t check[static 8])
{
    static const uint8_t key[crypto_shorthash_siphash24_KEYBYTES];

    (void)crypto_shorthash_siphash24(check, record, CHECKED, key);
}

coat_err
coat_outbox_init(coat_outbox *o)
{
    o->fd = -1;
    o->end = 0;
    o->dirty = false;
    return pthread_mutex_init(&o->mutex, NULL) == 0 ? COAT_OK : COAT_NO_MEMORY;
}

void
coat_outbox_fini(coat_outbox *o)
{
    if (o->fd >= 0)
        (void)close(o->fd);
    pthread_mutex_destroy(&o->mutex);
}

static coat_err
open_file(const char *path, int *out)
{
    int fd =
        open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0600);
    struct stat st;
    coat_err err = COAT_OK;

    if (fd < 0)
        return errno == ELOOP || errno == EACCES || errno == EPERM ? COAT_DENIED : COAT_IO;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid() ||
        (st.st_mode & 077) != 0)
        err = COAT_DENIED;
    else if (flock(fd, LOCK_EX | LOCK_NB) != 0)
        err = errno == EWOULDBLOCK ? COAT_BUSY : COAT_IO;
    if (err == COAT_OK)
        *out = fd;
    else
        (void)close(fd);
    return err;
}

/** @return how much of it there is, at most RECORD; -1: it cannot be read */
static ssize_t
read_record(int fd, off_t at, uint8_t record[static RECORD])
{
    size_t len = 0;
    ssize_t n;

    while (len < RECORD) {
        n = pread(fd, record + len, RECORD - len, at + (off_t)len);
        if (n < 0 && errno != EINTR)
            return -1;
        if (n == 0)
            break;
        len += n > 0 ? (size_t)n : 0;
    }
    return (ssize_t)len;
}

static bool
write_record(int fd, off_t at, const uint8_t record[static RECORD])
{
    size_t len = 0;
    ssize_t n;

    while (len < RECORD) {
        n = pwrite(fd, record + len, RECORD - len, at + (off_t)len);
        if (n == 0 || (n < 0 && errno != EINTR))
            return false;
        len += n > 0 ? (size_t)n : 0;
    }
    return true;
}

/** @return false: out of memory */
static bool
take_record(const uint8_t record[static RECORD], coat_unsettled *unsettled)
{
    coat_changes changes = {.ending = true};
    uint8_t check[8];

    check_of(record, check);
    changes.older = memcmp(record, magics[1], sizeof magics[1]) == 0;
    if ((!changes.older && memcmp(record, magics[0], sizeof magics[0]) != 0) ||
        memcmp(record + CHECKED, check, sizeof check) != 0)
        return true; /* cut off while it was written: nobody was told anything */
    memcpy(changes.ended.bytes, record + sizeof magics[0], sizeof changes.ended.bytes);
    if (!coat_unsettled_has(unsettled, &changes))
        coat_unsettled_add(unsettled, &changes);
    return coat_unsettled_has(unsettled, &changes);
}

coat_err
coat_outbox_open(coat_outbox *o, const char *path, coat_unsettled *unsettled)
{
    uint8_t record[RECORD];
    ssize_t len = 0;
    coat_err err = open_file(path, &o->fd);

    if (err != COAT_OK)
        return err;
    while (o->end < FILE_MAX && (len = read_record(o->fd, o->end, record)) == RECORD) {
        if (!take_record(record, unsettled))
            return COAT_NO_MEMORY;
        o->end += RECORD;
    }
    o->dirty = o->end > 0;
    /* What cannot be read may be the end of a session: it is not cut off. */
    return len >= 0 && ftruncate(o->fd, o->end) == 0 ? COAT_OK : COAT_IO;
}

bool
coat_outbox_put(coat_outbox *o, coat_unsettled *unsettled, const coat_changes *changes)
{
    uint8_t record[RECORD];
    coat_changes added = *changes;
    bool kept = true;

    /* Both in one: emptying the file must not come between them. */
    pthread_mutex_lock(&o->mutex);
    /* Whoever asks again takes no room: he may do so as often as he likes. */
    added.ending = changes->ending && !coat_unsettled_has(unsettled, changes);
    coat_unsettled_add(unsettled, &added);
    if (added.ending && o->fd >= 0) {
        memcpy(record, magics[changes->older], sizeof magics[0]);
        memcpy(record + sizeof magics[0], changes->ended.bytes, sizeof changes->ended.bytes);
        check_of(record, record + CHECKED);
        /* One of which but a part could be written is overwritten by the next. */
        kept = write_record(o->fd, o->end, record);
        o->end += kept ? RECORD : 0;
        o->dirty = true;
    }
    pthread_mutex_unlock(&o->mutex);
    return kept;
}

void
coat_outbox_tidy(coat_outbox *o, coat_unsettled *unsettled)
{
    coat_changes end;
    uint32_t from = 0;

    pthread_mutex_lock(&o->mutex);
    if (o->dirty && !coat_unsettled_next(unsettled, &from, &end)) {
        o->dirty = o->fd >= 0 && ftruncate(o->fd, 0) != 0;
        o->end = o->dirty ? o->end : 0;
    }
    pthread_mutex_unlock(&o->mutex);
}
