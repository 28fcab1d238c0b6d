/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_ENGINE_MEND_H
#define COAT_ENGINE_MEND_H

#include <coatcheck/engine.h>

/**
 * For a handler of SIGBUS: was this fault at `at` one in the node table's activity file, which
 * a hostile reader has cut off, and is it mended? Then the access can be made again.
 * Async-signal-safe. See coat_table_mend().
 */
bool coat_engine_mend(coat_engine *engine, const void *at);

#endif
