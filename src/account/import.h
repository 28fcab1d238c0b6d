/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_ACCOUNT_IMPORT_H
#define COAT_ACCOUNT_IMPORT_H

/** Hashes of other systems. Internal to hash.c. */

#include "account/hash.h"
#include "account/scan.h"

/** As coat_hash_parse, for what starts with none of our own prefixes. */
coat_err coat_import_parse(coat_span text, coat_hash *out, const char **why);
bool coat_import_verify(const coat_hash *hash, coat_span password);

#endif
