/* SPDX-License-Identifier: Apache-2.0 */
#include "account/entry.h"

#include "core/bytes.h"

static bool
entry_is_fit(const coat_entry *entry)
{
    return entry->name.len > 0 && entry->name.len <= COAT_NAME_MAX &&
           entry->roles.len <= COAT_ROLES_MAX && entry->hash.len <= COAT_HASH_MAX &&
           (entry->flags & ~(unsigned)COAT_ENTRY_DISABLED) == 0;
}

coat_err
coat_entry_decode(coat_span bytes, coat_entry *out)
{
    const uint8_t *p = bytes.ptr;
    coat_entry entry;

    if (bytes.len == 0)
        return COAT_MALFORMED;
    if (p[0] > COAT_ENTRY_FORMAT)
        return COAT_NEWER_FORMAT;
    if (p[0] != COAT_ENTRY_FORMAT || bytes.len < COAT_ENTRY_FIXED)
        return COAT_MALFORMED;
    entry.flags = p[1];
    entry.name.len = coat_load16(p + 2);
    entry.roles.len = coat_load16(p + 4);
    entry.hash.len = coat_load16(p + 6);
    entry.created_ms = (int64_t)coat_load64(p + 8);
    entry.changed_ms = (int64_t)coat_load64(p + 16);
    entry.password_ms = (int64_t)coat_load64(p + 24);
    entry.last_login_ms = (int64_t)coat_load64(p + 32);
    if (!entry_is_fit(&entry) ||
        bytes.len != COAT_ENTRY_FIXED + entry.name.len + entry.roles.len + entry.hash.len)
        return COAT_MALFORMED;
    entry.name.ptr = p + COAT_ENTRY_FIXED;
    entry.roles.ptr = entry.name.ptr + entry.name.len;
    entry.hash.ptr = entry.roles.ptr + entry.roles.len;
    *out = entry;
    return COAT_OK;
}

static uint8_t *
put_span(uint8_t *at, coat_span span)
{
    if (span.len > 0)
        memcpy(at, span.ptr, span.len);
    return at + span.len;
}

size_t
coat_entry_encode(const coat_entry *entry, uint8_t buf[COAT_ENTRY_MAX])
{
    uint8_t *at = buf + COAT_ENTRY_FIXED;

    if (!entry_is_fit(entry))
        return 0;
    buf[0] = COAT_ENTRY_FORMAT;
    buf[1] = entry->flags;
    coat_store16(buf + 2, (uint16_t)entry->name.len);
    coat_store16(buf + 4, (uint16_t)entry->roles.len);
    coat_store16(buf + 6, (uint16_t)entry->hash.len);
    coat_store64(buf + 8, (uint64_t)entry->created_ms);
    coat_store64(buf + 16, (uint64_t)entry->changed_ms);
    coat_store64(buf + 24, (uint64_t)entry->password_ms);
    coat_store64(buf + 32, (uint64_t)entry->last_login_ms);
    at = put_span(at, entry->name);
    at = put_span(at, entry->roles);
    at = put_span(at, entry->hash);
    return (size_t)(at - buf);
}
