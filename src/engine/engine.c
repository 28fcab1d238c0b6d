/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/mend.h"
#include "engine/shared.h"

#include "core/bytes.h"
#include "core/out.h"
#include "engine/stamp.h"

#include <limits.h>
#include <stdlib.h>

void
coat_engine_conf_default(coat_engine_conf *conf)
{
    *conf = (coat_engine_conf){
        .sessions_per_user = 10,
        .data_max = 4096,
        .table_slots = COAT_TABLE_SLOTS,
        .table_gid = (uint32_t)-1,
        .clock_off_ms = COAT_CLOCK_OFF_MS,
    };
    coat_policy_default(&conf->policy);
}

/** A copy with everything filled in; one reference. */
static coat_err
setup_new(const coat_engine_conf *conf, coat_setup **out)
{
    const coat_policy *p = &conf->policy;
    coat_setup *setup;

    if (conf->keys == NULL || conf->store == NULL || conf->data_max > COAT_DATA_MAX ||
        p->idle_ms <= 0 || p->absolute_ms <= 0 || p->remember_idle_ms <= 0 ||
        p->remember_absolute_ms <= 0 || p->rotate_every_ms < 0 || p->rotate_grace_ms < 0 ||
        p->rotate_redeliver_ms < 0 || conf->clock_off_ms < 0)
        return COAT_INVALID;
    setup = malloc(sizeof *setup);
    if (setup == NULL)
        return COAT_NO_MEMORY;
    setup->conf = *conf;
    if (setup->conf.rng == NULL)
        setup->conf.rng = coat_rng_system;
    atomic_init(&setup->refs, 1);
    *out = setup;
    return COAT_OK;
}

coat_setup *
coat_setup_take(coat_engine *engine)
{
    coat_setup *setup;

    pthread_mutex_lock(&engine->mutex);
    setup = engine->setup;
    atomic_fetch_add(&setup->refs, 1);
    pthread_mutex_unlock(&engine->mutex);
    return setup;
}

void
coat_setup_drop(coat_setup *setup)
{
    if (setup != NULL && atomic_fetch_sub(&setup->refs, 1) == 1)
        free(setup);
}

coat_policy
coat_engine_policy(coat_engine *engine, const coat_setup *setup)
{
    coat_policy policy = setup->conf.policy;
    uint64_t epoch = atomic_load(&engine->epoch_global);

    if (epoch > policy.epoch_global)
        policy.epoch_global = epoch;
    return policy;
}

void
coat_engine_epoch(coat_engine *engine, uint64_t epoch_global)
{
    uint64_t seen = atomic_load(&engine->epoch_global);

    while (epoch_global > seen &&
           !atomic_compare_exchange_weak(&engine->epoch_global, &seen, epoch_global)) {
    }
}

/** Names installation, store and stamp, so that the table of another one is not taken over. */
static void
binding_of(const coat_engine_conf *conf, const coat_stamp *stamp, uint8_t binding[16])
{
    coat_owner first, second;
    char label[64] = "\1table ";
    size_t len = strnlen(conf->store->ops->name, sizeof label - 8);

    /* A control character begins no user id that could be signed in. */
    memcpy(label + 7, conf->store->ops->name, len);
    first = coat_keys_owner(conf->keys, (coat_span){(const uint8_t *)label, 7 + len});
    label[0] = '\2';
    second = coat_keys_owner(conf->keys, (coat_span){(const uint8_t *)label, 7 + len});
    memcpy(binding, first.bytes, 8);
    memcpy(binding + 8, second.bytes, 8);
    for (size_t i = 0; i < COAT_STAMP_BYTES; i++)
        binding[i] ^= stamp->bytes[i];
}

/* The table that was opened belongs to the store as it is from now on. If that cannot be
 * written down nobody will take the table over. */
static void
bind_table(coat_engine *engine, const coat_engine_conf *conf, const coat_stamp *before)
{
    uint8_t binding[16] = {0};
    coat_stamp stamp;

    if (coat_stamp_renew(conf, coat_engine_now_ms(engine), before, &stamp) == COAT_OK)
        binding_of(conf, &stamp, binding);
    coat_table_bind(engine->writer, binding);
}

/** May other machines change its sessions? */
static bool
is_shared(const coat_engine_conf *conf)
{
    return (coat_store_caps_of(conf->store) & COAT_CAP_SHARED) != 0;
}

static coat_err
read_epoch(coat_engine *engine, const coat_engine_conf *conf)
{
    coat_store_req req = {.op = COAT_OP_EPOCHS, .now_ms = coat_engine_now_ms(engine)};
    coat_lane *lane;
    coat_err err = coat_lane_open(conf->store, NULL, &lane);

    if (err != COAT_OK)
        return err;
    err = coat_store_run(lane, &req);
    coat_lane_close(lane);
    if (err == COAT_OK) {
        coat_engine_epoch(engine, req.epoch_global);
        coat_note_clock(engine, engine->setup, &req, req.now_ms);
    }
    /* A store behind a network may come later (SF-11). Until then nothing is decided here, and
     * the store itself compares epochs. */
    return err == COAT_STORE_DOWN && is_shared(conf) ? COAT_OK : err;
}

static coat_err
open_table(coat_engine *engine, const coat_engine_conf *conf)
{
    const bool lasting = conf->table_path != NULL && !is_shared(conf);
    coat_table_conf table;
    coat_stamp stamp = {.version = 0};
    coat_err err;

    if (conf->table_slots == 0)
        return COAT_OK;
    if (lasting) {
        err = coat_stamp_read(conf, coat_engine_now_ms(engine), &stamp);
        if (err != COAT_OK)
            return err;
    }
    coat_table_conf_default(&table);
    /* A table from before, of a store that nobody shared, is replaced by a shared one. */
    table.mode = is_shared(conf) ? COAT_TABLE_SHARED : COAT_TABLE_EMBEDDED;
    table.path = conf->table_path;
    table.slots = conf->table_slots;
    table.gid = conf->table_gid;
    table.tags = coat_keys_tags(conf->keys);
    table.epoch_global = atomic_load(&engine->epoch_global);
    table.now_ms = coat_engine_now_ms(engine);
    table.rng = conf->rng;
    table.rng_ctx = conf->rng_ctx;
    table.monotonic = conf->monotonic;
    table.monotonic_ctx = conf->monotonic_ctx;
    table.evicted = coat_engine_late;
    table.evicted_ctx = engine;
    binding_of(conf, &stamp, table.binding);
    err = coat_table_create(&table, &engine->writer);
    if (err == COAT_OK && lasting)
        bind_table(engine, conf, &stamp);
    return err;
}

static coat_err
open_outbox(coat_engine *engine, const coat_engine_conf *conf)
{
    char path[PATH_MAX];
    coat_out out = coat_out_init(path, sizeof path);

    if (conf->outbox_path != NULL)
        return coat_outbox_open(&engine->outbox, conf->outbox_path, &engine->unsettled);
    if (conf->table_slots == 0 || conf->table_path == NULL)
        return COAT_OK;
    coat_out_str(&out, conf->table_path);
    coat_out_str(&out, ".ended");
    return coat_out_end(&out) ? coat_outbox_open(&engine->outbox, path, &engine->unsettled)
                              : COAT_INVALID;
}

static coat_err
engine_init(coat_engine *engine, const coat_engine_conf *conf)
{
    coat_err err;

    if (pthread_mutex_init(&engine->mutex, NULL) != 0)
        return COAT_NO_MEMORY;
    if (pthread_mutex_init(&engine->blocking_mutex, NULL) != 0)
        goto no_blocking;
    if (coat_unsettled_init(&engine->unsettled) != COAT_OK)
        goto no_unsettled;
    if (coat_outbox_init(&engine->outbox) != COAT_OK)
        goto no_outbox;
    err = coat_clock_init(&engine->clock, conf->clock, conf->clock_ctx, conf->monotonic,
                          conf->monotonic_ctx);
    if (err == COAT_OK)
        return COAT_OK;
    coat_outbox_fini(&engine->outbox);
no_outbox:
    coat_unsettled_fini(&engine->unsettled, NULL, 0);
no_unsettled:
    pthread_mutex_destroy(&engine->blocking_mutex);
no_blocking:
    pthread_mutex_destroy(&engine->mutex);
    return COAT_NO_MEMORY;
}

coat_err
coat_engine_new(const coat_engine_conf *conf, coat_engine **out)
{
    coat_engine *engine = NULL;
    coat_setup *setup;
    coat_err err = setup_new(conf, &setup);

    if (err != COAT_OK)
        return err;
    /* The counters are aligned to cache lines, more than calloc() promises. */
    engine = aligned_alloc(_Alignof(coat_engine), sizeof *engine);
    if (engine == NULL) {
        coat_setup_drop(setup);
        return COAT_NO_MEMORY;
    }
    memset(engine, 0, sizeof *engine);
    err = engine_init(engine, conf);
    if (err != COAT_OK) {
        coat_setup_drop(setup);
        free(engine);
        return err;
    }
    engine->setup = setup;
    err = coat_shared_new(engine, &setup->conf);
    if (err == COAT_OK)
        err = read_epoch(engine, conf);
    if (err == COAT_STORE_DOWN && engine->shared != NULL)
        err = COAT_OK; /* it is read before anything is trusted */
    if (err == COAT_OK)
        err = open_table(engine, &setup->conf);
    if (err == COAT_OK) /* under the table's lock, if there is one */
        err = open_outbox(engine, &setup->conf);
    if (err != COAT_OK) {
        coat_engine_free(engine);
        return err;
    }
    *out = engine;
    return COAT_OK;
}

void
coat_engine_free(coat_engine *engine)
{
    if (engine == NULL)
        return;
    /* Without memory for it, sessions end up to the lag early (LC-4). */
    if ((engine->writer != NULL || engine->shared != NULL) && engine->blocking == NULL &&
        coat_desk_open(engine, NULL, &engine->blocking) != COAT_OK)
        engine->blocking = NULL;
    if (engine->writer != NULL && engine->blocking != NULL)
        coat_fold_all(engine->blocking);
    coat_shared_leave(engine, engine->blocking);
    coat_desk_close(engine->blocking);
    coat_outbox_fini(&engine->outbox);
    coat_unsettled_fini(&engine->unsettled, engine->writer, atomic_load(&engine->epoch_global));
    coat_table_writer_close(engine->writer);
    coat_shared_free(engine);
    coat_clock_fini(&engine->clock);
    coat_setup_drop(engine->setup);
    pthread_mutex_destroy(&engine->blocking_mutex);
    pthread_mutex_destroy(&engine->mutex);
    free(engine);
}

coat_err
coat_engine_reconfigure(coat_engine *engine, const coat_engine_conf *conf)
{
    coat_setup *setup, *former;
    coat_err err = setup_new(conf, &setup);

    if (err != COAT_OK)
        return err;
    pthread_mutex_lock(&engine->mutex);
    former = engine->setup;
    if (setup->conf.store != former->conf.store) {
        pthread_mutex_unlock(&engine->mutex);
        coat_setup_drop(setup);
        return COAT_INVALID; /* another store is another installation: restart */
    }
    engine->setup = setup;
    pthread_mutex_unlock(&engine->mutex);
    if (engine->writer != NULL && setup->conf.keys != former->conf.keys)
        coat_table_retag(engine->writer, coat_keys_tags(setup->conf.keys));
    coat_setup_drop(former);
    return COAT_OK;
}

int64_t
coat_engine_now_ms(coat_engine *engine)
{
    return coat_clock_now_ms(&engine->clock);
}

void
coat_engine_peek(coat_engine *engine, const coat_table_query *query, coat_table_answer *out)
{
    coat_count_add(&engine->counters, COAT_COUNT_CHECKS, 1);
    if (engine->writer == NULL) {
        memset(out, 0, sizeof *out);
        return;
    }
    coat_table_check(coat_table_writer_reader(engine->writer), query, out);
    if (out->verdict == COAT_TABLE_LIVE)
        coat_count_add(&engine->counters, COAT_COUNT_TABLE_HITS, 1);
    else if (out->verdict == COAT_TABLE_REFUSE)
        coat_count_add(&engine->counters, COAT_COUNT_TABLE_REFUSED, 1);
}

bool
coat_engine_mend(coat_engine *engine, const void *at)
{
    return engine->writer != NULL && coat_table_mend(engine->writer, at);
}

bool
coat_engine_issues(coat_engine *engine)
{
    return coat_may_issue(engine) == COAT_OK;
}

uint64_t
coat_engine_context(const coat_engine *engine, const coat_context *context)
{
    if (engine->writer == NULL)
        return 0;
    return coat_table_context(coat_table_writer_reader(engine->writer), context);
}

void
coat_engine_stats_get(coat_engine *engine, coat_engine_stats *out)
{
    coat_counters *c = &engine->counters;
    coat_table_stats table = {0};

    if (engine->writer != NULL)
        coat_table_stats_get(engine->writer, &table);
    *out = (coat_engine_stats){
        .checks = coat_count_get(c, COAT_COUNT_CHECKS),
        .table_hits = coat_count_get(c, COAT_COUNT_TABLE_HITS),
        .table_refused = coat_count_get(c, COAT_COUNT_TABLE_REFUSED),
        .slow_checks = coat_count_get(c, COAT_COUNT_SLOW_CHECKS),
        .created = coat_count_get(c, COAT_COUNT_CREATED),
        .ended = coat_count_get(c, COAT_COUNT_ENDED),
        .rotated = coat_count_get(c, COAT_COUNT_ROTATED),
        .confirmed = coat_count_get(c, COAT_COUNT_CONFIRMED),
        .reused = coat_count_get(c, COAT_COUNT_REUSED),
        .expired = coat_count_get(c, COAT_COUNT_EXPIRED),
        .evicted = coat_count_get(c, COAT_COUNT_EVICTED),
        .conflicts = coat_count_get(c, COAT_COUNT_CONFLICTS),
        .store_errors = coat_count_get(c, COAT_COUNT_STORE_ERRORS),
        .folded = coat_count_get(c, COAT_COUNT_FOLDED),
        .swept = coat_count_get(c, COAT_COUNT_SWEPT),
        .table_slots = table.slots,
        .table_used = table.used,
        .table_evicted = table.evicted,
        .clock_known = atomic_load(&engine->skew.known),
        .clock_offset_ms = atomic_load(&engine->skew.offset_ms),
        .issuing = coat_may_issue(engine) == COAT_OK,
    };
    coat_shared_stats(engine, out);
}
