/* SPDX-License-Identifier: Apache-2.0 */
#include "store/memcached/box.h"

#include "core/bytes.h"

enum { SUM_AT = 8, SUM_END = 16 };

uint64_t
mc_sum(coat_span bytes)
{
    static const uint8_t key[crypto_shorthash_KEYBYTES];
    uint8_t hash[crypto_shorthash_BYTES];

    (void)crypto_shorthash(hash, bytes.ptr + SUM_END, bytes.len - SUM_END, key);
    return coat_load64(hash) ^ coat_load64(bytes.ptr);
}

/** Format and sum, which boxes and lives have at the same place. */
static coat_err
check_head(coat_span bytes, uint8_t letter, size_t least)
{
    const uint8_t *p = bytes.ptr;

    if (bytes.len < 4 || p[0] != 'c' || p[1] != letter || p[2] == 0)
        return COAT_MALFORMED;
    if (p[2] > MC_FORMAT)
        return COAT_NEWER_FORMAT;
    if (bytes.len < least || coat_load64(p + SUM_AT) != mc_sum(bytes))
        return COAT_MALFORMED;
    return COAT_OK;
}

/** One entry, if it is well-formed. */
static bool
take_entry(coat_span *rest, mc_entry *out)
{
    const uint8_t *p = rest->ptr;
    size_t len;

    if (rest->len < MC_ENTRY_HEAD)
        return false;
    len = coat_load32(p + 32);
    if (len > COAT_STORE_VALUE_MAX || len > rest->len - MC_ENTRY_HEAD)
        return false;
    memcpy(out->serial, p, sizeof out->serial);
    out->version = coat_load64(p + 8);
    out->expires_ms = (int64_t)coat_load64(p + 16);
    out->epoch_global = coat_load64(p + 24);
    out->value = (coat_span){p + MC_ENTRY_HEAD, len};
    rest->ptr += MC_ENTRY_HEAD + len;
    rest->len -= MC_ENTRY_HEAD + len;
    return out->expires_ms >= 0;
}

bool
mc_box_next(coat_span *rest, mc_entry *out)
{
    return rest->len > 0 && take_entry(rest, out);
}

static bool
entries_fit(const mc_box *box)
{
    coat_span rest = box->entries;
    mc_entry entry, before;

    if (box->space != COAT_SPACE_SESSION && box->count > 1)
        return false;
    for (uint32_t i = 0; i < box->count; i++) {
        if (!take_entry(&rest, &entry) || entry.version > box->last)
            return false;
        if (i > 0 && memcmp(before.serial, entry.serial, sizeof entry.serial) >= 0)
            return false;
        before = entry;
    }
    if (box->count == 1 && box->space != COAT_SPACE_SESSION &&
        memcmp(entry.serial, box->address.bytes, sizeof entry.serial) != 0)
        return false;
    return rest.len == 0;
}

coat_err
mc_box_decode(coat_span bytes, coat_space space, const coat_handle *address, mc_box *out)
{
    const uint8_t *p = bytes.ptr;
    coat_err err = check_head(bytes, 'b', MC_BOX_HEAD);
    uint32_t raised;
    mc_box box;

    if (err != COAT_OK)
        return err;
    raised = coat_load32(p + 56);
    box = (mc_box){.space = (coat_space)p[3],
                   .birth = coat_load64(p + 16),
                   .epoch = coat_load64(p + 24),
                   .last = coat_load64(p + 32),
                   .raised = raised == 1,
                   .count = coat_load32(p + 4),
                   .entries = {p + MC_BOX_HEAD, bytes.len - MC_BOX_HEAD}};
    memcpy(box.address.bytes, p + 40, sizeof box.address.bytes);
    if (box.space != space ||
        memcmp(box.address.bytes, address->bytes, sizeof address->bytes) != 0)
        return COAT_TAMPERED;
    if (raised > 1 || box.last > MC_NUMBER_MAX || box.epoch > box.last || !entries_fit(&box))
        return COAT_MALFORMED;
    *out = box;
    return COAT_OK;
}

void
mc_box_begin(const mc_box *box, remote_buffer *out)
{
    uint8_t head[MC_BOX_HEAD] = {'c', 'b', MC_FORMAT, (uint8_t)box->space};

    coat_store64(head + 16, box->birth);
    coat_store64(head + 24, box->epoch);
    memcpy(head + 40, box->address.bytes, sizeof box->address.bytes);
    coat_store32(head + 56, box->raised ? 1 : 0);
    remote_buffer_add(out, head, sizeof head);
}

void
mc_box_add(remote_buffer *out, const mc_entry *entry)
{
    uint8_t head[MC_ENTRY_HEAD];

    memcpy(head, entry->serial, sizeof entry->serial);
    coat_store64(head + 8, entry->version);
    coat_store64(head + 16, (uint64_t)entry->expires_ms);
    coat_store64(head + 24, entry->epoch_global);
    coat_store32(head + 32, (uint32_t)entry->value.len);
    remote_buffer_add(out, head, sizeof head);
    remote_buffer_add(out, entry->value.ptr, entry->value.len);
}

void
mc_box_end(remote_buffer *out, uint32_t count, uint64_t last)
{
    if (out->failed)
        return;
    coat_store32(out->ptr + 4, count);
    coat_store64(out->ptr + 32, last);
    coat_store64(out->ptr + SUM_AT, mc_sum((coat_span){out->ptr, out->len}));
}

coat_err
mc_life_decode(coat_span bytes, mc_life *out)
{
    const uint8_t *p = bytes.ptr;
    coat_err err = check_head(bytes, 'l', MC_LIFE_BYTES);

    if (err != COAT_OK)
        return err;
    if (bytes.len != MC_LIFE_BYTES || p[3] != 0 || coat_load64(p + 32) > MC_NUMBER_MAX)
        return COAT_MALFORMED;
    *out = (mc_life){coat_load32(p + 4), coat_load64(p + 16), coat_load64(p + 24),
                     coat_load64(p + 32)};
    return COAT_OK;
}

void
mc_life_encode(const mc_life *life, uint8_t out[MC_LIFE_BYTES])
{
    memset(out, 0, MC_LIFE_BYTES);
    memcpy(out, "cl", 2);
    out[2] = MC_FORMAT;
    coat_store32(out + 4, life->generation);
    coat_store64(out + 16, life->birth);
    coat_store64(out + 24, life->ring);
    coat_store64(out + 32, life->global);
    coat_store64(out + SUM_AT, mc_sum((coat_span){out, MC_LIFE_BYTES}));
}
