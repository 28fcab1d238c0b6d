/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/trust.h"

#include "engine/internal.h"

int64_t
coat_engine_mono_ms(coat_engine *engine)
{
    return engine->clock.monotonic(engine->clock.monotonic_ctx);
}

void
coat_engine_trust(coat_engine *engine, int64_t since_ms, int64_t for_ms)
{
    int64_t until_ms = for_ms > 0 ? since_ms + for_ms : 1;

    atomic_store(&engine->trust_until_ms, until_ms > 0 ? until_ms : 1);
}

bool
coat_engine_is_trusted(coat_engine *engine)
{
    int64_t until_ms = atomic_load(&engine->trust_until_ms);

    return until_ms == 0 || coat_engine_mono_ms(engine) < until_ms;
}
