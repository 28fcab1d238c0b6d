/* SPDX-License-Identifier: Apache-2.0 */
#include "store/find.h"

void
coat_index_key(const coat_handle *handle, uint8_t key[16])
{
    memcpy(key, handle->bytes + 8, 8);
    memcpy(key + 8, handle->bytes, 8);
}

void
coat_index_handle(const uint8_t key[16], coat_handle *handle)
{
    memcpy(handle->bytes, key + 8, 8);
    memcpy(handle->bytes + 8, key, 8);
}

coat_err
coat_info_get(coat_kv *kv, const char *name, uint64_t *value)
{
    coat_span bytes;
    coat_err err = kv->ops->get(kv, COAT_MAP_INFO, (const uint8_t *)name, &bytes);

    if (err == COAT_NOT_FOUND) {
        *value = 0;
        return COAT_OK;
    }
    if (err != COAT_OK)
        return err;
    if (bytes.len != 8)
        return COAT_IO;
    *value = coat_load64(bytes.ptr);
    return COAT_OK;
}

coat_err
coat_info_put(coat_kv *kv, const char *name, uint64_t value)
{
    uint8_t bytes[8];

    coat_store64(bytes, value);
    return kv->ops->put(kv, COAT_MAP_INFO, (const uint8_t *)name, (coat_span){bytes, 8},
                        (coat_span){NULL, 0});
}

coat_err
coat_epochs_get(coat_kv *kv, const uint8_t owner[8], coat_epoch_pair *out)
{
    coat_epoch_pair pair = {0, 0};
    coat_span bytes;
    coat_err err = kv->ops->get(kv, COAT_MAP_OWNER, owner, &bytes);

    if (err == COAT_OK) {
        /* An unreadable epoch must not let ended sessions back in: fail, do not guess. */
        if (bytes.len != 16)
            return COAT_IO;
        pair.owner = coat_load64(bytes.ptr);
    } else if (err != COAT_NOT_FOUND) {
        return err;
    }
    err = coat_info_get(kv, COAT_INFO_GLOBAL, &pair.global);
    if (err == COAT_OK)
        *out = pair;
    return err;
}

void
coat_decode(coat_kv *kv, coat_span bytes, coat_value *out, coat_err *answer)
{
    *answer = coat_value_decode(bytes, out);
    if (*answer != COAT_OK)
        atomic_fetch_add_explicit(kv->unreadable, 1, memory_order_relaxed);
}

bool
coat_is_live(const coat_value *value, int64_t now_ms, const coat_epoch_pair *epochs)
{
    return !coat_value_expired(value, now_ms) && value->epoch_owner >= epochs->owner &&
           value->epoch_global >= epochs->global;
}

coat_err
coat_find(coat_kv *kv, coat_space space, const coat_handle *address, int64_t now_ms,
          const coat_epoch_pair *epochs, coat_value *out, coat_err *answer)
{
    static const coat_epoch_pair none = {0, 0};
    coat_epoch_pair pair;
    coat_value value;
    coat_span bytes;
    coat_err err;

    if (epochs == NULL && space == COAT_SPACE_SESSION) {
        err = coat_epochs_get(kv, address->bytes + 8, &pair);
        if (err != COAT_OK)
            return err;
        epochs = &pair;
    }
    err = kv->ops->get(kv, coat_map_of(space), address->bytes, &bytes);
    if (err == COAT_NOT_FOUND) {
        *answer = COAT_NO_SESSION;
        return COAT_OK;
    }
    if (err != COAT_OK)
        return err;
    coat_decode(kv, bytes, &value, answer);
    if (*answer != COAT_OK)
        return COAT_OK;
    if (!coat_is_live(&value, now_ms, epochs != NULL ? epochs : &none))
        *answer = COAT_NO_SESSION;
    else
        *out = value;
    return COAT_OK;
}
