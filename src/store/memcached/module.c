/* SPDX-License-Identifier: Apache-2.0 */
/** The one symbol of the module. */

#include "store/memcached/memcached.h"

COAT_API const struct coat_store_ops *coat_store_module(void);

const struct coat_store_ops *
coat_store_module(void)
{
    return &coat_memcached_ops;
}
