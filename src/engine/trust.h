/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_ENGINE_TRUST_H
#define COAT_ENGINE_TRUST_H

#include <coatcheck/engine.h>

/**
 * May the store be used? One that is shared can be moved to another one by a daemon elsewhere
 * (store/move.h), which waits until nobody uses it any more. Once this was called, a desk sends
 * nothing to the store unless it was seen less than that time ago that it may be used: it looks
 * itself before, if the time is over. Never called: it need not look.
 *
 * @param since_ms  coat_engine_mono_ms() of before the store was asked whether it may be used
 * @param for_ms  0: look first
 * Threads: any.
 */
void coat_engine_trust(coat_engine *engine, int64_t since_ms, int64_t for_ms);
int64_t coat_engine_mono_ms(coat_engine *engine);

#endif
