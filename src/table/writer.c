/* SPDX-License-Identifier: Apache-2.0 */
#include "table/inside.h"

#include <stdlib.h>

enum {
    ARENA_LEAST = 64 * 1024, /* by default, so that small tables hold long identities too */
};

void
coat_table_conf_default(coat_table_conf *conf)
{
    *conf = (coat_table_conf){
        .slots = COAT_TABLE_SLOTS,
        .mode = COAT_TABLE_EMBEDDED,
        .gid = (uint32_t)-1,
    };
}

uint32_t
coat_table_slots_for(uint64_t sessions)
{
    /* 85 % full: two choices of 16 ways still hardly ever overflow there. */
    uint64_t slots = sessions >= COAT_TABLE_SLOTS_MAX ? COAT_TABLE_SLOTS_MAX
                                                      : sessions * 100 / 85 + COAT_TABLE_WAYS;

    slots -= slots % COAT_TABLE_WAYS;
    return slots > COAT_TABLE_SLOTS_MAX ? COAT_TABLE_SLOTS_MAX : (uint32_t)slots;
}

void
coat_table_lock(coat_table_writer *w)
{
    /* Cannot fail: the mutex is never destroyed while in use, and never locked twice. */
    (void)pthread_mutex_lock(&w->mutex);
}

void
coat_table_unlock(coat_table_writer *w)
{
    (void)pthread_mutex_unlock(&w->mutex);
}

void
coat_table_report_ousted(coat_table_writer *w, const coat_table_ousted *ousted)
{
    if (w->evicted == NULL)
        return;
    for (uint32_t i = 0; i < ousted->count; i++)
        w->evicted(w->evicted_ctx, &ousted->entry[i].handle, ousted->entry[i].seen_ms);
}

void
coat_table_put_tags(coat_table_writer *w, const coat_tag_keys *tags)
{
    uint32_t seq = atomic_load_explicit(&w->head->tag_seq, memory_order_relaxed) | 1;
    uint64_t words[COAT_TABLE_TAG_WORDS] = {0};

    memcpy(words, tags, sizeof *tags);
    coat_table_put32(w, &w->head->tag_seq, seq);
    for (size_t i = 0; i < COAT_TABLE_TAG_WORDS; i++)
        coat_table_put64(w, &w->head->tags[i], words[i]);
    coat_table_put32(w, &w->head->tag_seq, seq + 1);
    sodium_memzero(words, sizeof words);
}

static void
attach(coat_table_writer *w)
{
    coat_table_attach(&w->view);
    /* The view's pointers are const, as readers need them; the mapping is writable. */
    w->head = w->view.map;
    w->prints = (void *)(uintptr_t)w->view.prints;
    w->slot = (void *)(uintptr_t)w->view.slot;
    w->arena = (void *)(uintptr_t)w->view.arena;
}

static coat_err
own_memory(coat_table_writer *w, const coat_table_conf *conf)
{
    coat_err err = conf->rng(conf->rng_ctx, w->gate_key, sizeof w->gate_key);

    if (err != COAT_OK)
        return err;
    w->cell_count = w->view.geometry.arena / COAT_TABLE_CELL;
    w->cells = calloc(w->cell_count / 64 + 1, sizeof *w->cells);
    w->folded = calloc(w->view.geometry.slots, sizeof *w->folded);
    if (w->cells == NULL || w->folded == NULL)
        return COAT_NO_MEMORY;
    w->all.version = 1;
    for (size_t i = 0; i < COAT_TABLE_BUCKETS; i++)
        w->gate[i].version = 1;
    w->stats.slots = w->view.geometry.slots;
    w->stats.arena_bytes = w->view.geometry.arena;
    w->stats.bytes = w->view.map_len + w->view.seen_len;
    w->view.monotonic = conf->monotonic;
    w->view.monotonic_ctx = conf->monotonic_ctx;
    w->evicted = conf->evicted;
    w->evicted_ctx = conf->evicted_ctx;
    w->step = conf->step;
    w->step_ctx = conf->step_ctx;
    return COAT_OK;
}

/** Bring what a former writer may have left half done in order, and open for readers. */
static void
settle(coat_table_writer *w, const coat_table_conf *conf)
{
    uint64_t epoch = atomic_load(&w->head->epoch_min);

    if (w->files.taken_over) {
        atomic_store(&w->head->hold, 1); /* till the epoch is right and the slots are sound */
        if (conf->epoch_global > epoch)
            atomic_store(&w->head->epoch_min, conf->epoch_global);
        coat_table_recheck(w);
        if (conf->mode == COAT_TABLE_SHARED)
            coat_table_stamp_all(w); /* nobody has listened since the former writer ended */
    } else {
        atomic_store(&w->head->epoch_min, conf->epoch_global);
    }
    coat_table_put_tags(w, conf->tags);
    atomic_store(&w->head->floor_ms, conf->now_ms);
    coat_table_lease(w, 0, 0);
    atomic_store(&w->head->hold, 0);
}

coat_err
coat_table_create(const coat_table_conf *given, coat_table_writer **out)
{
    coat_table_conf conf = *given;
    coat_table_geometry geometry;
    coat_table_writer *w;
    coat_err err;

    if (conf.slots == 0)
        conf.slots = COAT_TABLE_SLOTS;
    if (conf.slots > COAT_TABLE_SLOTS_MAX || conf.tags == NULL)
        return COAT_INVALID;
    if (conf.mode == 0)
        conf.mode = COAT_TABLE_EMBEDDED;
    if (conf.rng == NULL)
        conf.rng = coat_rng_system;
    geometry.slots = (conf.slots + COAT_TABLE_WAYS - 1) / COAT_TABLE_WAYS * COAT_TABLE_WAYS;
    if (conf.arena_bytes == 0)
        conf.arena_bytes = geometry.slots * COAT_TABLE_ARENA_PER_SLOT > ARENA_LEAST
                               ? geometry.slots * COAT_TABLE_ARENA_PER_SLOT
                               : ARENA_LEAST;
    if (conf.arena_bytes > UINT32_MAX - COAT_TABLE_CELL)
        return COAT_INVALID;
    geometry.arena =
        (conf.arena_bytes + COAT_TABLE_CELL - 1) / COAT_TABLE_CELL * COAT_TABLE_CELL;

    w = calloc(1, sizeof *w);
    if (w == NULL)
        return COAT_NO_MEMORY;
    w->files.lock_fd = -1;
    w->files.seen_fd = -1;
    if (pthread_mutex_init(&w->mutex, NULL) != 0) {
        free(w);
        return COAT_NO_MEMORY;
    }
    err = coat_table_files_open(&conf, geometry, &w->view, &w->files);
    if (err == COAT_OK) {
        attach(w);
        err = own_memory(w, &conf);
    }
    if (err != COAT_OK) {
        coat_table_writer_close(w);
        return err;
    }
    settle(w, &conf);
    *out = w;
    return COAT_OK;
}

void
coat_table_writer_close(coat_table_writer *w)
{
    if (w == NULL)
        return;
    coat_table_files_close(&w->view, &w->files);
    (void)pthread_mutex_destroy(&w->mutex);
    free(w->cells);
    free(w->folded);
    sodium_memzero(w, sizeof *w);
    free(w);
}

const coat_table *
coat_table_writer_reader(const coat_table_writer *w)
{
    return &w->view;
}

bool
coat_table_writer_taken_over(const coat_table_writer *w)
{
    return w->files.taken_over;
}

void
coat_table_bind(coat_table_writer *w, const uint8_t binding[16])
{
    coat_table_lock(w);
    memcpy(w->head->binding, binding, sizeof w->head->binding);
    coat_table_unlock(w);
}

void
coat_table_retag(coat_table_writer *w, const coat_tag_keys *tags)
{
    coat_table_lock(w);
    coat_table_put_tags(w, tags);
    coat_table_unlock(w);
}

void
coat_table_floor(coat_table_writer *w, int64_t now_ms)
{
    atomic_store_explicit(&w->head->floor_ms, now_ms, memory_order_relaxed);
}

void
coat_table_lease(coat_table_writer *w, int64_t until_ms, int64_t until_mono_ms)
{
    /* A reader that meets one new and one old end obeys the earlier: both were right. */
    atomic_store(&w->head->lease_ms, until_ms);
    atomic_store(&w->head->lease_mono_ms, until_mono_ms);
}

void
coat_table_stats_get(coat_table_writer *w, coat_table_stats *out)
{
    coat_table_lock(w);
    *out = w->stats;
    coat_table_unlock(w);
}
