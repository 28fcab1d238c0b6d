/* SPDX-License-Identifier: Apache-2.0 */
#include "core/keys.h"
#include "core/bytes.h"
#include "core/out.h"
#include "core/taint.h"

#include <assert.h>
#include <sodium.h>

static_assert(COAT_KEY_BYTES == crypto_kdf_KEYBYTES, "keys are KDF keys");

/* The two masters have contexts of their own, so that no subkey of one is a subkey of the
 * other. Changing these logs everybody out. */
static const char context_root[crypto_kdf_CONTEXTBYTES + 1] = "coatroot";
static const char context_live[crypto_kdf_CONTEXTBYTES + 1] = "coatlive";

static bool
is_root_use(coat_key_use use)
{
    return use == COAT_KEY_OWNER || use == COAT_KEY_ACCOUNT || use == COAT_KEY_AUDIT ||
           use == COAT_KEY_THROTTLE;
}

static bool
is_live_use(coat_key_use use)
{
    return use >= COAT_KEY_TAG && use <= COAT_KEY_DEVICE && !is_root_use(use);
}

coat_keys *
coat_keys_alloc(void)
{
    /* The end of the memory is what is aligned: a multiple keeps the beginning aligned too. */
    size_t size = (sizeof(coat_keys) + 63) / 64 * 64;
    coat_keys *keys = sodium_malloc(size);

    if (keys != NULL)
        memset(keys, 0, size);
    return keys;
}

void
coat_keys_free(coat_keys *keys)
{
    sodium_free(keys); /* wipes */
}

static bool
zero(const uint8_t key[static COAT_KEY_BYTES])
{
    int is_zero = sodium_is_zero(key, COAT_KEY_BYTES);

    coat_reveal(&is_zero, sizeof is_zero);
    return is_zero != 0;
}

static bool
equal(const uint8_t a[static COAT_KEY_BYTES], const uint8_t b[static COAT_KEY_BYTES])
{
    int differs = sodium_memcmp(a, b, COAT_KEY_BYTES);

    coat_reveal(&differs, sizeof differs);
    return differs == 0;
}

const char *
coat_key_set_wrong(const coat_key_set *set)
{
    if (set->count == 0 || set->count > COAT_KEYS_LIVE)
        return "one or two keys are needed";
    if (zero(set->root))
        return "a key of zeros";
    for (uint32_t i = 0; i < set->count; i++) {
        const coat_key_live *live = &set->live[i];

        if (live->id == 0 || live->created_ms < 0)
            return "a key id or time out of range";
        if (zero(live->key))
            return "a key of zeros";
        if (equal(live->key, set->root))
            return "the same key twice";
    }
    if (set->count == 2) {
        if (set->live[0].id <= set->live[1].id)
            return "key ids must grow";
        if (equal(set->live[0].key, set->live[1].key))
            return "the same key twice";
    }
    return NULL;
}

coat_err
coat_keys_seal_memory(coat_keys *keys)
{
    if (coat_key_set_wrong(&keys->set) != NULL)
        return COAT_INVALID;
    for (coat_key_use use = COAT_KEY_TAG; use <= COAT_KEY_DEVICE; use++) {
        if (is_root_use(use))
            (void)crypto_kdf_derive_from_key(keys->root[use], COAT_KEY_BYTES, use, context_root,
                                             keys->set.root);
        else
            for (uint32_t i = 0; i < keys->set.count; i++)
                (void)crypto_kdf_derive_from_key(keys->live[i][use], COAT_KEY_BYTES, use,
                                                 context_live, keys->set.live[i].key);
    }
    for (uint32_t i = 0; i < keys->set.count; i++) {
        memcpy(keys->tags.key[i], keys->live[i][COAT_KEY_TAG], COAT_TAG_KEY_BYTES);
        coat_signer_expand(keys->live[i][COAT_KEY_ASSERTION], &keys->signer[i]);
    }
    keys->tags.count = keys->set.count;
    return sodium_mprotect_readonly(keys) == 0 ? COAT_OK : COAT_IO;
}

static coat_err
random_key(coat_key_live *live, uint32_t id, int64_t now_ms, coat_rng_fn rng, void *rng_ctx)
{
    live->id = id;
    live->created_ms = now_ms > 0 ? now_ms : 0;
    return rng(rng_ctx, live->key, sizeof live->key) == COAT_OK ? COAT_OK : COAT_RNG_FAILED;
}

/** Derive and hand over, or free. */
static coat_err
finish(coat_keys *keys, coat_err err, coat_keys **out)
{
    if (err == COAT_OK)
        err = coat_keys_seal_memory(keys);
    if (err == COAT_OK)
        *out = keys;
    else
        coat_keys_free(keys);
    return err;
}

coat_err
coat_keys_generate(int64_t now_ms, coat_rng_fn rng, void *rng_ctx, coat_keys **out)
{
    coat_keys *keys = coat_keys_alloc();
    coat_err err;

    if (keys == NULL)
        return COAT_NO_MEMORY;
    keys->set.count = 1;
    err = random_key(&keys->set.live[0], 1, now_ms, rng, rng_ctx);
    if (err == COAT_OK && rng(rng_ctx, keys->set.root, sizeof keys->set.root) != COAT_OK)
        err = COAT_RNG_FAILED;
    return finish(keys, err, out);
}

coat_err
coat_keys_rotate(const coat_keys *keys, int64_t now_ms, coat_rng_fn rng, void *rng_ctx,
                 coat_keys **out)
{
    uint32_t id = keys->set.live[0].id;
    coat_keys *next;
    coat_err err;

    if (id == UINT32_MAX)
        return COAT_INVALID; /* ids are never used twice */
    next = coat_keys_alloc();
    if (next == NULL)
        return COAT_NO_MEMORY;
    memcpy(next->set.root, keys->set.root, sizeof next->set.root);
    next->set.live[1] = keys->set.live[0];
    next->set.count = 2;
    err = random_key(&next->set.live[0], id + 1, now_ms, rng, rng_ctx);
    return finish(next, err, out);
}

uint32_t
coat_keys_count(const coat_keys *keys)
{
    return keys->set.count;
}

uint32_t
coat_keys_id(const coat_keys *keys, uint32_t index)
{
    return index < keys->set.count ? keys->set.live[index].id : 0;
}

int64_t
coat_keys_created_ms(const coat_keys *keys, uint32_t index)
{
    return index < keys->set.count ? keys->set.live[index].created_ms : 0;
}

const uint8_t *
coat_keys_live(const coat_keys *keys, coat_key_use use, uint32_t index)
{
    return is_live_use(use) && index < keys->set.count ? keys->live[index][use] : NULL;
}

const uint8_t *
coat_keys_root(const coat_keys *keys, coat_key_use use)
{
    return is_root_use(use) ? keys->root[use] : NULL;
}

const coat_tag_keys *
coat_keys_tags(const coat_keys *keys)
{
    return &keys->tags;
}

coat_owner
coat_keys_owner(const coat_keys *keys, coat_span user)
{
    uint8_t hash[crypto_generichash_BYTES_MIN];
    coat_owner owner;

    (void)crypto_generichash(hash, sizeof hash, user.ptr, user.len, keys->root[COAT_KEY_OWNER],
                             COAT_KEY_BYTES);
    memcpy(owner.bytes, hash, sizeof owner.bytes);
    return owner;
}

coat_err
coat_owner_random(coat_rng_fn rng, void *rng_ctx, coat_owner *out)
{
    coat_owner owner;

    if (rng(rng_ctx, owner.bytes, sizeof owner.bytes) != COAT_OK)
        return COAT_RNG_FAILED;
    *out = owner;
    return COAT_OK;
}

void
coat_keys_audit_digest(const coat_keys *keys, const coat_handle *handle, char hex[16])
{
    uint8_t hash[crypto_generichash_BYTES_MIN];
    coat_out out = coat_out_init(hex, 16);

    (void)crypto_generichash(hash, sizeof hash, handle->bytes, sizeof handle->bytes,
                             keys->root[COAT_KEY_AUDIT], COAT_KEY_BYTES);
    coat_out_hex(&out, hash, 8);
}
