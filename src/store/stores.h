/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_STORE_STORES_H
#define COAT_STORE_STORES_H

#include "core/bytes.h"

#include <coatcheck/store.h>

extern const struct coat_store_ops coat_memory_ops;
extern const struct coat_store_ops coat_lmdb_ops;

/** conf->message = a b c. */
void coat_store_message(const coat_store_conf *conf, const char *a, const char *b,
                        const char *c);

/** The store of a scheme, from its module. @retval COAT_NOT_FOUND  no module has it;
 * COAT_UNSUPPORTED  it could not be loaded: the message says why */
coat_err coat_store_module_find(const coat_store_conf *conf, coat_span scheme,
                                const struct coat_store_ops **out);
/** A further function of a scheme's module; NULL: it has none. */
void *coat_store_module_symbol(const coat_store_conf *conf, coat_span scheme, const char *name);

#endif
