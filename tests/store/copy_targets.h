/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_TESTS_COPY_TARGETS_H
#define COAT_TESTS_COPY_TARGETS_H

/** Servers for tests that need several kinds of them: each kind's fixture is in a file of its
 * own, since their names are the same. */

#include <coatcheck/store.h>

/** An empty store on a server that is started if need be. Skips the test if there is none. */
coat_err target_redis_open(coat_store **out);
coat_err target_postgresql_open(coat_store **out);
void target_redis_stop(void);
void target_postgresql_stop(void);

#endif
