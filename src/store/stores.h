/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_STORE_STORES_H
#define COAT_STORE_STORES_H

#include <coatcheck/store.h>

extern const struct coat_store_ops coat_memory_ops;
extern const struct coat_store_ops coat_lmdb_ops;

/** conf->message = a b c. */
void coat_store_message(const coat_store_conf *conf, const char *a, const char *b,
                        const char *c);

#endif
