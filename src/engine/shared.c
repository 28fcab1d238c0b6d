/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/shared.h"

#include <stdlib.h>

static int64_t
table_clock(void *ctx)
{
    (void)ctx;
    return coat_table_clock_ms();
}

int64_t
coat_shared_mono_ms(const coat_shared *shared)
{
    return shared->monotonic(shared->monotonic_ctx);
}

coat_err
coat_shared_new(coat_engine *engine, const coat_engine_conf *conf)
{
    uint32_t caps = coat_store_caps_of(conf->store);
    coat_shared *shared;

    if ((caps & COAT_CAP_SHARED) == 0)
        return COAT_OK;
    shared = calloc(1, sizeof *shared);
    if (shared == NULL)
        return COAT_NO_MEMORY;
    if (coat_journal_init(&shared->journal) != COAT_OK) {
        free(shared);
        return COAT_NO_MEMORY;
    }
    if (pthread_mutex_init(&shared->mutex, NULL) != 0) {
        coat_journal_fini(&shared->journal);
        free(shared);
        return COAT_NO_MEMORY;
    }
    shared->engine = engine;
    shared->watching = (caps & COAT_CAP_WATCH) != 0;
    shared->monotonic = conf->monotonic != NULL ? conf->monotonic : table_clock;
    shared->monotonic_ctx = conf->monotonic_ctx;
    engine->shared = shared;
    return conf->rng(conf->rng_ctx, shared->id.bytes, sizeof shared->id.bytes) == COAT_OK
               ? COAT_OK
               : COAT_RNG_FAILED;
}

void
coat_shared_free(coat_engine *engine)
{
    coat_shared *shared = engine->shared;

    if (shared == NULL)
        return;
    coat_members_free(&shared->members);
    coat_journal_fini(&shared->journal);
    pthread_mutex_destroy(&shared->mutex);
    free(shared);
    engine->shared = NULL;
}

void
coat_shared_stats(const coat_engine *engine, coat_engine_stats *out)
{
    const coat_shared *shared = engine->shared;

    if (shared == NULL)
        return;
    out->changes_lost = atomic_load(&shared->lost);
    out->changes_heard = atomic_load(&shared->forgotten);
    out->unconfirmed = atomic_load(&shared->unconfirmed);
    out->repaired = atomic_load(&shared->repaired);
}

void
coat_shared_doubt(coat_engine *engine)
{
    if (engine->shared != NULL)
        coat_journal_doubt(&engine->shared->journal, coat_shared_mono_ms(engine->shared));
}

void
coat_shared_leave(coat_engine *engine, coat_desk *desk)
{
    coat_shared *shared = engine->shared;
    coat_store_req req = {.op = COAT_OP_LEAVE};

    if (shared == NULL || desk == NULL || !atomic_load(&shared->entered))
        return;
    if (engine->writer != NULL)
        coat_table_lease(engine->writer, 0, 0);
    req.address = shared->id;
    /* If it fails the others find out that we are silent. */
    (void)!coat_store_run(desk->lane, &req);
}

void
coat_shared_ended(coat_engine *engine, const coat_handle *handle)
{
    if (engine->shared != NULL)
        coat_journal_end(&engine->shared->journal, handle, true,
                         coat_shared_mono_ms(engine->shared));
}

void
coat_shared_owner_ended(coat_engine *engine, coat_owner owner, uint64_t epoch,
                        const coat_handle *spare)
{
    if (engine->shared != NULL)
        coat_journal_end_owner(&engine->shared->journal, owner, epoch, spare, true,
                               coat_shared_mono_ms(engine->shared));
}

bool
coat_shared_denies(coat_engine *engine, const coat_handle *handle, const coat_record *record)
{
    return engine->shared != NULL &&
           coat_journal_denies(&engine->shared->journal, handle, record,
                               coat_shared_mono_ms(engine->shared));
}

bool
coat_shared_epoch(coat_engine *engine, uint64_t epoch_global)
{
    if (engine->shared != NULL && epoch_global < atomic_load(&engine->epoch_global)) {
        atomic_store(&engine->shared->global_due, true);
        return false;
    }
    coat_engine_epoch(engine, epoch_global);
    return true;
}

bool
coat_shared_epochs(coat_engine *engine, coat_owner owner, const coat_store_req *req)
{
    bool global = coat_shared_epoch(engine, req->epoch_global);

    return global && (engine->shared == NULL ||
                      !coat_journal_older(&engine->shared->journal, owner, req->epoch_owner,
                                          coat_shared_mono_ms(engine->shared)));
}
