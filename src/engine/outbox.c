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
 * session, but all of its owner's whose serials are not above this one's; "coa1": everybody's.
 * "cos1" before a "coo1": all but this one. */
enum {
    RECORD = 32,
    CHECKED = 24,
    MAGIC = 8,
    FILE_MAX = 2 * (COAT_UNSETTLED_MAX + COAT_UNSETTLED_RESERVE) * RECORD
};

static const uint8_t magics[][MAGIC] = {
    [COAT_END_OF_NOTHING] = {'c', 'o', 's', '1'},
    [COAT_END_OF_SESSION] = {'c', 'o', 'e', '1'},
    [COAT_END_OF_OWNER] = {'c', 'o', 'o', '1'},
    [COAT_END_OF_EVERYBODY] = {'c', 'o', 'a', '1'},
};

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
write_records(int fd, off_t at, const uint8_t *records, size_t size)
{
    size_t len = 0;
    ssize_t n;

    while (len < size) {
        n = pwrite(fd, records + len, size - len, at + (off_t)len);
        if (n == 0 || (n < 0 && errno != EINTR))
            return false;
        len += n > 0 ? (size_t)n : 0;
    }
    return true;
}

/** @return false: it was cut off while it was written: nobody was told anything */
static bool
read_magic(const uint8_t record[static RECORD], coat_end_of *of)
{
    uint8_t check[8];

    check_of(record, check);
    for (size_t i = 0; i < sizeof magics / sizeof magics[0]; i++)
        if (memcmp(record, magics[i], MAGIC) == 0) {
            *of = (coat_end_of)i;
            return memcmp(record + CHECKED, check, sizeof check) == 0;
        }
    return false;
}

/**
 * @param spare  of the record before, and for the next one
 * @return false: out of memory
 */
static bool
take_record(const uint8_t record[static RECORD], coat_end *spare, coat_unsettled *unsettled)
{
    coat_changes changes = {0};
    coat_end *end = &changes.end;
    bool whole = read_magic(record, &end->of), spares = spare->has_spare;

    spare->has_spare = false;
    if (!whole)
        return true;
    memcpy(end->last.bytes, record + MAGIC, sizeof end->last.bytes);
    if (end->of == COAT_END_OF_NOTHING) {
        *spare = (coat_end){.has_spare = true, .spare = end->last};
        return true;
    }
    end->has_spare = spares;
    end->spare = spare->spare;
    if (!coat_unsettled_has(unsettled, end))
        coat_unsettled_add(unsettled, &changes);
    return coat_unsettled_has(unsettled, end);
}

coat_err
coat_outbox_open(coat_outbox *o, const char *path, coat_unsettled *unsettled)
{
    uint8_t record[RECORD];
    coat_end spare = {0};
    ssize_t len = 0;
    coat_err err = open_file(path, &o->fd);

    if (err != COAT_OK)
        return err;
    while (o->end < FILE_MAX && (len = read_record(o->fd, o->end, record)) == RECORD) {
        if (!take_record(record, &spare, unsettled))
            return COAT_NO_MEMORY;
        o->end += RECORD;
    }
    o->dirty = o->end > 0;
    /* What cannot be read may be the end of a session: it is not cut off. */
    return len >= 0 && ftruncate(o->fd, o->end) == 0 ? COAT_OK : COAT_IO;
}

static void
put_record(uint8_t record[static RECORD], coat_end_of of, const coat_handle *handle)
{
    memcpy(record, magics[of], MAGIC);
    memcpy(record + MAGIC, handle->bytes, sizeof handle->bytes);
    check_of(record, record + CHECKED);
}

/** One of which but a part could be written is overwritten by the next. */
static bool
keep(coat_outbox *o, const coat_end *end)
{
    uint8_t records[2 * RECORD];
    size_t size = 0;

    if (end->has_spare) {
        put_record(records, COAT_END_OF_NOTHING, &end->spare);
        size += RECORD;
    }
    put_record(records + size, end->of, &end->last);
    size += RECORD;
    o->dirty = true;
    if (!write_records(o->fd, o->end, records, size))
        return false;
    o->end += (off_t)size;
    return true;
}

bool
coat_outbox_put(coat_outbox *o, coat_unsettled *unsettled, const coat_changes *changes)
{
    coat_changes added = *changes;
    bool kept = true;

    /* Both in one: emptying the file must not come between them. */
    pthread_mutex_lock(&o->mutex);
    /* Whoever asks again takes no room: he may do so as often as he likes. */
    if (changes->end.of != COAT_END_OF_NOTHING && coat_unsettled_has(unsettled, &changes->end))
        added.end.of = COAT_END_OF_NOTHING;
    coat_unsettled_add(unsettled, &added);
    if (added.end.of != COAT_END_OF_NOTHING && o->fd >= 0)
        kept = keep(o, &added.end);
    pthread_mutex_unlock(&o->mutex);
    return kept;
}

void
coat_outbox_tidy(coat_outbox *o, coat_unsettled *unsettled)
{
    coat_end end;
    uint32_t from = 0;

    pthread_mutex_lock(&o->mutex);
    if (o->dirty && !coat_unsettled_next(unsettled, &from, &end)) {
        o->dirty = o->fd >= 0 && ftruncate(o->fd, 0) != 0;
        o->end = o->dirty ? o->end : 0;
    }
    pthread_mutex_unlock(&o->mutex);
}
