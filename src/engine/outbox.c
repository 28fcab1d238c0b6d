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
 * guards against a record that was cut off, not against who may write here. */
enum { RECORD = 32, CHECKED = 24, FILE_MAX = COAT_UNSETTLED_MAX * RECORD };

static const uint8_t magic[8] = {'c', 'o', 'e', '1'};

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
        open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY,
             0600);
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

static void
take_record(const uint8_t record[static RECORD], coat_unsettled *unsettled)
{
    coat_changes changes = {.ending = true};
    uint8_t check[8];

    check_of(record, check);
    if (memcmp(record, magic, sizeof magic) != 0 ||
        memcmp(record + CHECKED, check, sizeof check) != 0)
        return; /* cut off while it was written: nobody was told anything */
    memcpy(changes.ended.bytes, record + sizeof magic, sizeof changes.ended.bytes);
    if (!coat_unsettled_ending(unsettled, &changes.ended))
        coat_unsettled_add(unsettled, &changes);
}

coat_err
coat_outbox_open(coat_outbox *o, const char *path, coat_unsettled *unsettled)
{
    uint8_t record[RECORD];
    off_t at = 0;
    coat_err err = open_file(path, &o->fd);

    if (err != COAT_OK)
        return err;
    while (at < FILE_MAX && pread(o->fd, record, sizeof record, at) == RECORD) {
        take_record(record, unsettled);
        at += RECORD;
    }
    o->dirty = at > 0;
    /* What is written next begins a record. */
    return ftruncate(o->fd, at) == 0 ? COAT_OK : COAT_IO;
}

bool
coat_outbox_put(coat_outbox *o, coat_unsettled *unsettled, const coat_changes *changes)
{
    uint8_t record[RECORD];
    bool kept = true;

    /* Both in one: emptying the file must not come between them. */
    pthread_mutex_lock(&o->mutex);
    coat_unsettled_add(unsettled, changes);
    if (changes->ending && o->fd >= 0) {
        memcpy(record, magic, sizeof magic);
        memcpy(record + sizeof magic, changes->ended.bytes, sizeof changes->ended.bytes);
        check_of(record, record + CHECKED);
        kept = write(o->fd, record, sizeof record) == RECORD;
        o->dirty = true;
    }
    pthread_mutex_unlock(&o->mutex);
    return kept;
}

void
coat_outbox_tidy(coat_outbox *o, coat_unsettled *unsettled)
{
    coat_handle handle;

    pthread_mutex_lock(&o->mutex);
    if (o->dirty && !coat_unsettled_next(unsettled, &handle))
        o->dirty = o->fd >= 0 && ftruncate(o->fd, 0) != 0;
    pthread_mutex_unlock(&o->mutex);
}
