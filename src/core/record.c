/* SPDX-License-Identifier: Apache-2.0 */
#include "core/record.h"
#include "core/bytes.h"
#include "core/taint.h"

#include <assert.h>
#include <sodium.h>

enum {
    FLAGS_KNOWN = COAT_RECORD_REMEMBER | COAT_RECORD_PENDING | COAT_RECORD_PREVIOUS,
    HEADER_BYTES = 8, /* magic, format, total: what a record of any format has */
};

static_assert(COAT_RECORD_AT_EPOCHS == COAT_RECORD_AT_TIMES + 8 * COAT_RECORD_TIMES, "layout");
static_assert(COAT_RECORD_AT_ROTATION == COAT_RECORD_AT_DIGESTS + 3 * COAT_DIGEST_BYTES,
              "layout");
static_assert(COAT_RECORD_AT_ENDS == COAT_RECORD_AT_CSRF + COAT_CSRF_KEY_BYTES, "layout");

static const uint8_t magic[2] = {'C', 'C'};

/* The variable parts in their order on disk; append only, with a new format. */
static const struct part {
    size_t at; /* of the span in struct coat_record */
    uint32_t max;
} parts[COAT_RECORD_PARTS] = {
    {offsetof(coat_record, user), COAT_USER_MAX},
    {offsetof(coat_record, roles), COAT_ROLES_MAX},
    {offsetof(coat_record, methods), COAT_METHODS_MAX},
    {offsetof(coat_record, first.address), COAT_ADDRESS_MAX},
    {offsetof(coat_record, first.agent), COAT_AGENT_MAX},
    {offsetof(coat_record, first.language), COAT_LANGUAGE_MAX},
    {offsetof(coat_record, last.address), COAT_ADDRESS_MAX},
    {offsetof(coat_record, last.agent), COAT_AGENT_MAX},
    {offsetof(coat_record, last.language), COAT_LANGUAGE_MAX},
    {offsetof(coat_record, data), COAT_DATA_MAX},
};

static const size_t times[COAT_RECORD_TIMES] = {
    offsetof(coat_record, created_ms),      offsetof(coat_record, auth_ms),
    offsetof(coat_record, seen_ms),         offsetof(coat_record, idle_ms),
    offsetof(coat_record, absolute_end_ms), offsetof(coat_record, rotated_ms),
    offsetof(coat_record, handed_ms),       offsetof(coat_record, previous_end_ms),
};

static const coat_span *
part_of(const coat_record *record, size_t i)
{
    return (const coat_span *)(const void *)((const char *)record + parts[i].at);
}

static int64_t
time_of(const coat_record *record, size_t i)
{
    int64_t value;

    memcpy(&value, (const char *)record + times[i], sizeof value);
    return value;
}

static bool
absent(const uint8_t digest[static COAT_DIGEST_BYTES])
{
    int is_zero = sodium_is_zero(digest, COAT_DIGEST_BYTES);

    coat_reveal(&is_zero, sizeof is_zero);
    return is_zero != 0;
}

/**
 * What the fixed part must fulfil in both directions. What a flag declares absent is zero, so
 * that a record has one encoding and no leftover of a digest outlives its flag.
 */
static bool
consistent(const coat_record *r)
{
    if ((r->flags & ~(uint32_t)FLAGS_KNOWN) != 0)
        return false;
    for (size_t i = 0; i < COAT_RECORD_TIMES; i++)
        if (time_of(r, i) < 0)
            return false;
    if ((r->flags & COAT_RECORD_PENDING) == 0 &&
        (r->handed_ms != 0 || !absent(r->pending_digest)))
        return false;
    return (r->flags & COAT_RECORD_PREVIOUS) != 0 ||
           (r->previous_end_ms == 0 && absent(r->previous_digest));
}

static coat_err
view_header(coat_span bytes)
{
    uint16_t format;

    if (bytes.len < HEADER_BYTES || memcmp(bytes.ptr, magic, sizeof magic) != 0)
        return COAT_MALFORMED;
    format = coat_load16(bytes.ptr + COAT_RECORD_AT_FORMAT);
    if (format > COAT_RECORD_FORMAT)
        return COAT_NEWER_FORMAT;
    if (format == 0 || bytes.len < COAT_RECORD_FIXED || bytes.len > COAT_RECORD_MAX ||
        coat_load32(bytes.ptr + COAT_RECORD_AT_TOTAL) != bytes.len ||
        coat_load32(bytes.ptr + COAT_RECORD_AT_PARTS) != COAT_RECORD_PARTS)
        return COAT_MALFORMED;
    return COAT_OK;
}

static void
view_fixed(const uint8_t *p, coat_record *r)
{
    r->flags = coat_load32(p + COAT_RECORD_AT_FLAGS);
    for (size_t i = 0; i < COAT_RECORD_TIMES; i++) {
        int64_t value = (int64_t)coat_load64(p + COAT_RECORD_AT_TIMES + 8 * i);

        memcpy((char *)r + times[i], &value, sizeof value);
    }
    r->epoch_global = coat_load64(p + COAT_RECORD_AT_EPOCHS);
    r->epoch_owner = coat_load64(p + COAT_RECORD_AT_EPOCHS + 8);
    memcpy(r->current_digest, p + COAT_RECORD_AT_DIGESTS, COAT_DIGEST_BYTES);
    memcpy(r->pending_digest, p + COAT_RECORD_AT_DIGESTS + COAT_DIGEST_BYTES,
           COAT_DIGEST_BYTES);
    memcpy(r->previous_digest, p + COAT_RECORD_AT_DIGESTS + 2 * COAT_DIGEST_BYTES,
           COAT_DIGEST_BYTES);
    memcpy(r->rotation_key, p + COAT_RECORD_AT_ROTATION, COAT_ROTATION_KEY_BYTES);
    memcpy(r->csrf_key, p + COAT_RECORD_AT_CSRF, COAT_CSRF_KEY_BYTES);
}

static bool
view_parts(coat_span bytes, coat_record *r)
{
    const uint8_t *ends = bytes.ptr + COAT_RECORD_AT_ENDS;
    uint32_t room = (uint32_t)(bytes.len - COAT_RECORD_FIXED);
    uint32_t start = 0;

    for (size_t i = 0; i < COAT_RECORD_PARTS; i++) {
        uint32_t end = coat_load32(ends + 4 * i);
        coat_span part;

        if (end < start || end > room || end - start > parts[i].max)
            return false;
        part = (coat_span){bytes.ptr + COAT_RECORD_FIXED + start, end - start};
        memcpy((char *)r + parts[i].at, &part, sizeof part);
        start = end;
    }
    return start == room;
}

coat_err
coat_record_view(coat_span bytes, coat_record *out)
{
    coat_record record = {0};
    coat_err err = view_header(bytes);

    if (err != COAT_OK)
        return err;
    view_fixed(bytes.ptr, &record);
    err = consistent(&record) && view_parts(bytes, &record) ? COAT_OK : COAT_MALFORMED;
    if (err == COAT_OK)
        *out = record;
    sodium_memzero(&record, sizeof record);
    return err;
}

size_t
coat_record_size(const coat_record *record)
{
    size_t size = COAT_RECORD_FIXED;

    for (size_t i = 0; i < COAT_RECORD_PARTS; i++) {
        if (part_of(record, i)->len > parts[i].max)
            return 0;
        size += part_of(record, i)->len;
    }
    static_assert(COAT_RECORD_FIXED + COAT_USER_MAX + COAT_ROLES_MAX + COAT_METHODS_MAX +
                          2 * (COAT_ADDRESS_MAX + COAT_AGENT_MAX + COAT_LANGUAGE_MAX) +
                          COAT_DATA_MAX <=
                      COAT_RECORD_MAX,
                  "all parts at their limits fit");
    return size;
}

static void
encode_fixed(const coat_record *r, uint8_t *p, uint32_t size)
{
    const uint8_t *const digests[] = {r->current_digest, r->pending_digest, r->previous_digest};

    memcpy(p, magic, sizeof magic);
    coat_store16(p + COAT_RECORD_AT_FORMAT, COAT_RECORD_FORMAT);
    coat_store32(p + COAT_RECORD_AT_TOTAL, size);
    coat_store32(p + COAT_RECORD_AT_FLAGS, r->flags);
    coat_store32(p + COAT_RECORD_AT_PARTS, COAT_RECORD_PARTS);
    for (size_t i = 0; i < COAT_RECORD_TIMES; i++)
        coat_store64(p + COAT_RECORD_AT_TIMES + 8 * i, (uint64_t)time_of(r, i));
    coat_store64(p + COAT_RECORD_AT_EPOCHS, r->epoch_global);
    coat_store64(p + COAT_RECORD_AT_EPOCHS + 8, r->epoch_owner);
    for (size_t i = 0; i < 3; i++)
        memcpy(p + COAT_RECORD_AT_DIGESTS + i * COAT_DIGEST_BYTES, digests[i],
               COAT_DIGEST_BYTES);
    memcpy(p + COAT_RECORD_AT_ROTATION, r->rotation_key, COAT_ROTATION_KEY_BYTES);
    memcpy(p + COAT_RECORD_AT_CSRF, r->csrf_key, COAT_CSRF_KEY_BYTES);
}

coat_err
coat_record_encode(const coat_record *record, uint8_t *buf, size_t cap, size_t *len)
{
    size_t size = coat_record_size(record);
    uint8_t *out = buf + COAT_RECORD_FIXED;
    uint32_t end = 0;

    if (size == 0 || size > cap)
        return COAT_TOO_LARGE;
    if (!consistent(record))
        return COAT_INVALID;
    encode_fixed(record, buf, (uint32_t)size);
    for (size_t i = 0; i < COAT_RECORD_PARTS; i++) {
        const coat_span *part = part_of(record, i);

        if (part->len > 0)
            memcpy(out + end, part->ptr, part->len);
        end += (uint32_t)part->len;
        coat_store32(buf + COAT_RECORD_AT_ENDS + 4 * i, end);
    }
    *len = size;
    return COAT_OK;
}
