/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_STORE_FIND_H
#define COAT_STORE_FIND_H

/**
 * What exists, and whether it is still live. Functions here return failures of the maps;
 * answers of the contract go to *answer.
 */

#include "store/kv.h"
#include "store/value.h"

typedef struct coat_epoch_pair {
    uint64_t owner, global;
} coat_epoch_pair;

/** Owner, serial: the halves of the handle the other way round. */
void coat_index_key(const coat_handle *handle, uint8_t key[16]);
void coat_index_handle(const uint8_t key[16], coat_handle *handle);

coat_err coat_info_get(coat_kv *kv, const char *name, uint64_t *value); /* absent: 0 */
coat_err coat_info_put(coat_kv *kv, const char *name, uint64_t value);
coat_err coat_epochs_get(coat_kv *kv, const uint8_t owner[8], coat_epoch_pair *out);

/** Decode, counting what is unreadable. *answer: OK, MALFORMED, NEWER_FORMAT. */
void coat_decode(coat_kv *kv, coat_span bytes, coat_value *out, coat_err *answer);

/** Neither expired nor ended by an epoch. */
bool coat_is_live(const coat_value *value, int64_t now_ms, const coat_epoch_pair *epochs);

/** *answer: OK, NO_SESSION, MALFORMED, NEWER_FORMAT. epochs: known already, or NULL. */
coat_err coat_find(coat_kv *kv, coat_space space, const coat_handle *address, int64_t now_ms,
                   const coat_epoch_pair *epochs, coat_value *out, coat_err *answer);

#endif
