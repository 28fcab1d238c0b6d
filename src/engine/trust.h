/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_ENGINE_TRUST_H
#define COAT_ENGINE_TRUST_H

#include <coatcheck/engine.h>

/**
 * May the store be used? One that is shared can be moved to another one by a daemon elsewhere
 * (store/move.h), which waits until nobody uses it any more. Once this was called, with
 * whatever time, requests of all desks are answered STORE_DOWN without asking, unless the last
 * call was less than its time ago. Never called: they are asked.
 *
 * @param since_ms  coat_engine_mono_ms() of before the store was asked whether it may be used
 * @param for_ms  0: not any more
 * Threads: any.
 */
void coat_engine_trust(coat_engine *engine, int64_t since_ms, int64_t for_ms);
int64_t coat_engine_mono_ms(coat_engine *engine);

#endif
