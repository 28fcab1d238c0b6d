/* SPDX-License-Identifier: Apache-2.0 */
#include "core/out.h"
#include "table/layout.h"
#include "table/writer.h"

#include <sys/mman.h>
#include <unistd.h>

enum { HUGE_PAGE = 2 << 20 };

static uint64_t
prints_at(void)
{
    return COAT_TABLE_PAGE;
}

static uint64_t
slots_at(coat_table_geometry geometry)
{
    return prints_at() + (uint64_t)geometry.slots * sizeof(uint32_t);
}

static uint64_t
arena_at(coat_table_geometry geometry)
{
    return slots_at(geometry) + (uint64_t)geometry.slots * sizeof(coat_table_slot);
}

coat_err
coat_table_size(coat_table_geometry geometry, size_t *table, size_t *seen)
{
    uint64_t total = arena_at(geometry) + geometry.arena;

    if (geometry.slots == 0 || geometry.slots % COAT_TABLE_WAYS != 0 ||
        geometry.slots > COAT_TABLE_SLOTS_MAX || geometry.arena % COAT_TABLE_CELL != 0)
        return COAT_INVALID;
    if (total > PTRDIFF_MAX)
        return COAT_INVALID;
    *table = (size_t)total;
    *seen = sizeof(coat_table_seen_head) + (size_t)geometry.slots * sizeof(uint32_t);
    return COAT_OK;
}

void
coat_table_attach(coat_table *table)
{
    uint8_t *map = table->map;

    table->head = table->map;
    table->geometry = table->head->geometry;
    table->sets = table->geometry.slots / COAT_TABLE_WAYS;
    table->mode = table->head->mode;
    table->base_s = table->head->base_s;
    memcpy(table->hash_key, table->head->hash_key, sizeof table->hash_key);
    memcpy(table->context_key, table->head->context_key, sizeof table->context_key);
    table->prints = (const void *)(map + prints_at());
    table->slot = (const void *)(map + slots_at(table->geometry));
    table->arena = (const void *)(map + arena_at(table->geometry));
    table->seen = (void *)((uint8_t *)table->seen_map + sizeof(coat_table_seen_head));
}

coat_err
coat_table_head_check(const coat_table_head *head, size_t file_len)
{
    size_t table, seen;

    if (head->magic != COAT_TABLE_MAGIC)
        return COAT_IO;
    if (head->format != COAT_TABLE_FORMAT)
        return head->format > COAT_TABLE_FORMAT ? COAT_NEWER_FORMAT : COAT_IO;
    if (head->mode != COAT_TABLE_EMBEDDED && head->mode != COAT_TABLE_SHARED)
        return COAT_IO;
    if (coat_table_size(head->geometry, &table, &seen) != COAT_OK || table != file_len)
        return COAT_IO;
    /* Keeps every sum with an activity second in range. */
    if (head->base_s < 0 || head->base_s > INT64_MAX / 4000)
        return COAT_IO;
    return COAT_OK;
}

bool
coat_table_seen_path(const char *path, char *buf, size_t cap)
{
    coat_out out = coat_out_init(buf, cap);

    coat_out_str(&out, path);
    coat_out_str(&out, ".seen");
    return coat_out_end(&out);
}

void *
coat_table_map(int fd, size_t len, int prot)
{
    int flags = MAP_SHARED | MAP_FIXED | (fd < 0 ? MAP_ANONYMOUS | MAP_NORESERVE : 0);
    size_t room = len + 2 * (size_t)HUGE_PAGE, page = (size_t)sysconf(_SC_PAGESIZE);
    size_t before, used;
    uint8_t *start, *map;

    if (room < len)
        return NULL;
    start = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (start == MAP_FAILED)
        return NULL;
    before = (size_t)(-(uintptr_t)start % HUGE_PAGE);
    map = mmap(start + before, len, prot, flags, fd, 0);
    if (map == MAP_FAILED) {
        (void)munmap(start, room);
        return NULL;
    }
    used = (len + page - 1) / page * page;
    if (before > 0)
        (void)munmap(start, before);
    (void)munmap(map + used, room - before - used);
    /* It holds tag keys and digests: kept out of core files, nginx's too. */
    (void)madvise(map, len, MADV_DONTDUMP);
    return map;
}

/* In steps: until a call is done, all other threads of the process wait that map anything,
 * malloc included. */
static void
unmap(uint8_t *map, size_t len)
{
    for (size_t at = 0; map != NULL && at < len; at += HUGE_PAGE)
        (void)munmap(map + at, len - at < HUGE_PAGE ? len - at : HUGE_PAGE);
}

void
coat_table_detach(coat_table *table)
{
    unmap(table->map, table->map_len);
    unmap(table->seen_map, table->seen_len);
    table->map = NULL;
    table->seen_map = NULL;
}
