/* SPDX-License-Identifier: Apache-2.0 */
#include "table/layout.h"
#include "table/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/** A regular file that is really at path; its owner and length. @return descriptor or -1 */
static int
open_file(const char *path, int flags, uid_t *owner, size_t *len)
{
    int fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    struct stat st;

    if (fd < 0)
        return -1;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size < 0) {
        (void)close(fd);
        return -1;
    }
    *owner = st.st_uid;
    *len = (size_t)st.st_size;
    return fd;
}

static coat_err
map_table(const char *path, coat_table *table, uid_t *owner)
{
    int fd = open_file(path, O_RDONLY, owner, &table->map_len);
    void *map;

    if (fd < 0)
        return COAT_IO;
    if (table->map_len < COAT_TABLE_PAGE) {
        (void)close(fd);
        return COAT_IO;
    }
    map = coat_table_map(fd, table->map_len, PROT_READ);
    (void)close(fd);
    if (map == NULL)
        return COAT_IO;
    table->map = map;
    return coat_table_head_check(map, table->map_len);
}

static coat_err
map_seen(const char *path, coat_table *table, uid_t table_owner)
{
    const coat_table_head *head = table->map;
    const coat_table_seen_head *seen_head;
    char seen_path[PATH_MAX];
    size_t table_len, seen_len;
    uid_t owner;
    void *map;
    int fd;

    if (coat_table_size(head->geometry, &table_len, &seen_len) != COAT_OK ||
        !coat_table_seen_path(path, seen_path, sizeof seen_path))
        return COAT_IO;
    fd = open_file(seen_path, O_RDWR, &owner, &table->seen_len);
    if (fd < 0)
        return COAT_IO;
    if (owner != table_owner || table->seen_len != seen_len) {
        (void)close(fd);
        return COAT_IO;
    }
    map = coat_table_map(fd, seen_len, PROT_READ | PROT_WRITE);
    (void)close(fd);
    if (map == NULL)
        return COAT_IO;
    table->seen_map = map;
    /* Opened between the two renames of a new generation: the next try will see both. */
    seen_head = map;
    return seen_head->magic == COAT_TABLE_SEEN_MAGIC &&
                   seen_head->generation == head->generation
               ? COAT_OK
               : COAT_IO;
}

coat_err
coat_table_open(const char *path, coat_table **out)
{
    coat_table *table;
    uid_t owner = 0;
    coat_err err;

    if (path == NULL)
        return COAT_INVALID;
    table = calloc(1, sizeof *table);
    if (table == NULL)
        return COAT_NO_MEMORY;
    err = map_table(path, table, &owner);
    if (err == COAT_OK)
        err = map_seen(path, table, owner);
    if (err != COAT_OK) {
        coat_table_close(table);
        return err;
    }
    coat_table_attach(table);
    *out = table;
    return COAT_OK;
}

void
coat_table_close(coat_table *table)
{
    if (table == NULL)
        return;
    coat_table_detach(table);
    free(table);
}

bool
coat_table_stale(const coat_table *table)
{
    return atomic_load_explicit(&table->head->replaced, memory_order_relaxed) != 0;
}

int64_t
coat_table_time_ms(const coat_table *table)
{
    return atomic_load_explicit(&table->head->floor_ms, memory_order_relaxed);
}

enum { PART_MAX = 256, PART_LONG = 0xffff };

/** A part with its length in front, so that no two contexts run together; a long one by its
 * hash. @return where the next one goes */
static uint8_t *
put_part(const coat_table *table, coat_span part, uint8_t *to)
{
    if (part.len > PART_MAX) {
        coat_store16(to, PART_LONG);
        (void)crypto_shorthash(to + 2, part.ptr, part.len, table->context_key);
        return to + 2 + crypto_shorthash_BYTES;
    }
    coat_store16(to, (uint16_t)part.len);
    if (part.len > 0)
        memcpy(to + 2, part.ptr, part.len);
    return to + 2 + part.len;
}

uint64_t
coat_table_context(const coat_table *table, const coat_context *context)
{
    COAT_UNSET uint8_t text[3 * (2 + PART_MAX)];
    uint8_t hash[crypto_shorthash_BYTES], *end = text;
    uint64_t value;

    end = put_part(table, context->address, end);
    end = put_part(table, context->agent, end);
    end = put_part(table, context->language, end);
    (void)crypto_shorthash(hash, text, (size_t)(end - text), table->context_key);
    value = coat_load64(hash);
    return value != 0 ? value : 1;
}
