/* SPDX-License-Identifier: Apache-2.0 */
/** The symbols of the module. */

#include "store/postgresql/postgresql.h"

COAT_API const struct coat_store_ops *coat_store_module(void);
COAT_API coat_err coat_store_module_migrate(const coat_store_conf *conf, uint32_t *from,
                                            uint32_t *to);

const struct coat_store_ops *
coat_store_module(void)
{
    return &coat_postgresql_ops;
}

coat_err
coat_store_module_migrate(const coat_store_conf *conf, uint32_t *from, uint32_t *to)
{
    return pg_migrate(conf, from, to);
}
