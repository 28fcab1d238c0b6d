/* SPDX-License-Identifier: Apache-2.0 */
#include "store/redis/cluster_topology.h"

#include "core/bytes.h"
#include "core/chars.h"
#include "core/out.h"

#include <sodium.h>

enum { SLOTS_OF_BUCKET = CLUSTER_SLOTS / CLUSTER_BUCKETS };

/** CRC-16/XMODEM, as Redis takes it. */
static uint16_t
crc16(const uint8_t *bytes, size_t len)
{
    unsigned crc = 0;

    for (size_t i = 0; i < len; i++) {
        crc ^= (unsigned)bytes[i] << 8;
        for (int bit = 0; bit < 8; bit++)
            crc = (crc & 0x8000) != 0 ? (crc << 1 ^ 0x1021) & 0xffff : crc << 1;
    }
    return (uint16_t)crc;
}

uint16_t
cluster_slot(coat_span tag)
{
    return crc16(tag.ptr, tag.len) % CLUSTER_SLOTS;
}

uint16_t
cluster_bucket_of(const uint8_t *bytes, size_t len)
{
    return crc16(bytes, len) % CLUSTER_BUCKETS;
}

/** The first numbers that fall into each 64 slots: a few thousand are looked at. */
void
cluster_buckets_make(cluster_buckets *out)
{
    memset(out, 0, sizeof *out);
    for (unsigned number = 0, found = 0; found < CLUSTER_BUCKETS; number++) {
        char text[CLUSTER_TAG_MAX + 1];
        coat_out tag = coat_out_init(text, sizeof text);
        uint16_t slot, bucket;

        coat_out_uint(&tag, number);
        slot = cluster_slot((coat_span){(const uint8_t *)text, tag.len});
        (void)coat_out_end(&tag);
        bucket = slot / SLOTS_OF_BUCKET;
        if (out->tags[bucket][0] != '\0')
            continue;
        memcpy(out->tags[bucket], text, tag.len + 1);
        out->slots[bucket] = slot;
        found++;
    }
}

/* ---- CLUSTER SLOTS ---- */

static bool
take_host(const resp_reply *reply, const char *asked, char *out)
{
    /* It may not know how others reach it: then as we have. */
    coat_span host =
        reply->type == RESP_NIL || reply->text.len == 0 ? coat_span_of(asked) : reply->text;

    if ((reply->type != RESP_NIL && reply->type != RESP_STRING) || host.len == 0 ||
        host.len > CLUSTER_HOST_MAX)
        return false;
    for (size_t i = 0; i < host.len; i++)
        if (memchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.:-_",
                   host.ptr[i], 66) == NULL)
            return false;
    memcpy(out, host.ptr, host.len);
    out[host.len] = '\0';
    return true;
}

static bool
take_primary(const resp_reply *reply, const char *asked, cluster_primary *out)
{
    const resp_reply *id;

    if (reply->type != RESP_ARRAY || reply->count < 3 || !resp_is(reply, 1, RESP_INTEGER) ||
        !resp_is(reply, 2, RESP_STRING))
        return false;
    id = reply->items[2];
    if (!take_host(reply->items[0], asked, out->host) || reply->items[1]->integer <= 0 ||
        reply->items[1]->integer > UINT16_MAX || id->text.len != CLUSTER_ID)
        return false;
    out->port = (uint16_t)reply->items[1]->integer;
    memcpy(out->id, id->text.ptr, CLUSTER_ID);
    out->id[CLUSTER_ID] = '\0';
    return true;
}

/** @return its number among the primaries, or their count if it is a new one */
static size_t
find_primary(const cluster_topology *topology, const cluster_primary *primary)
{
    size_t i = 0;

    while (i < topology->count && (topology->primaries[i].port != primary->port ||
                                   strcmp(topology->primaries[i].host, primary->host) != 0))
        i++;
    return i;
}

/** One node cannot be two: a reply that says so is not used at all. */
static bool
is_contradicted(const cluster_topology *topology, size_t at, const cluster_primary *primary)
{
    for (size_t i = 0; i < topology->count; i++)
        if ((strcmp(topology->primaries[i].id, primary->id) == 0) != (i == at))
            return true;
    return false;
}

static coat_err
take_range(const resp_reply *range, const cluster_buckets *buckets, const char *asked,
           cluster_topology *out)
{
    cluster_primary primary;
    int64_t first, last;
    size_t at;

    if (!resp_is(range, 0, RESP_INTEGER) || !resp_is(range, 1, RESP_INTEGER) ||
        !resp_is(range, 2, RESP_ARRAY) || !take_primary(range->items[2], asked, &primary))
        return COAT_MALFORMED;
    first = range->items[0]->integer;
    last = range->items[1]->integer;
    if (first < 0 || last < first || last >= CLUSTER_SLOTS)
        return COAT_MALFORMED;
    at = find_primary(out, &primary);
    if (is_contradicted(out, at, &primary))
        return COAT_MALFORMED;
    if (at == CLUSTER_PRIMARIES_MAX)
        return COAT_TOO_LARGE;
    if (at == out->count)
        out->primaries[out->count++] = primary;
    for (size_t bucket = 0; bucket < CLUSTER_BUCKETS; bucket++) {
        if (buckets->slots[bucket] < first || buckets->slots[bucket] > last)
            continue;
        if (out->primary_of[bucket] != CLUSTER_NOBODY)
            return COAT_MALFORMED;
        out->primary_of[bucket] = (uint8_t)at;
    }
    return COAT_OK;
}

coat_err
cluster_topology_read(const resp_reply *reply, const cluster_buckets *buckets,
                      const char *asked, cluster_topology *out)
{
    out->count = 0;
    memset(out->primary_of, CLUSTER_NOBODY, sizeof out->primary_of);
    if (reply->type != RESP_ARRAY)
        return COAT_MALFORMED;
    for (size_t i = 0; i < reply->count; i++) {
        coat_err err = take_range(reply->items[i], buckets, asked, out);

        if (err != COAT_OK)
            return err;
    }
    return COAT_OK;
}

/* ---- CLUSTER NODES ---- */

/** What is before the next `end`; `text` goes on behind it. */
static coat_span
cut(coat_span *text, uint8_t end)
{
    size_t len = coat_span_find(*text, end);
    coat_span piece = coat_span_slice(*text, 0, len);

    *text = coat_span_slice(*text, len < text->len ? len + 1 : text->len, text->len);
    return piece;
}

static bool
has_bucket(const cluster_buckets *buckets, uint64_t slot)
{
    for (size_t bucket = 0; bucket < CLUSTER_BUCKETS; bucket++)
        if (buckets->slots[bucket] == slot)
            return true;
    return false;
}

/** "[SLOT->-NODE]": it goes there; with < it comes. */
static bool
is_leaving(coat_span word, const cluster_buckets *buckets)
{
    uint64_t slot = 0;
    size_t at = 1;

    if (word.len == 0 || word.ptr[0] != '[')
        return false;
    for (; at < word.len && at < 7 && coat_char_is_digit(word.ptr[at]); at++)
        slot = slot * 10 + (uint64_t)(word.ptr[at] - '0');
    return word.len - at >= 3 && memcmp(word.ptr + at, "->-", 3) == 0 &&
           has_bucket(buckets, slot);
}

/** A line is ID ADDRESS FLAGS PRIMARY PING PONG EPOCH LINK [SLOT..]; of others' moves it knows
 * nothing. */
static bool
is_own_line(coat_span line)
{
    coat_span flags;

    (void)cut(&line, ' ');
    (void)cut(&line, ' ');
    flags = cut(&line, ' ');
    while (flags.len > 0)
        if (coat_span_is(cut(&flags, ','), COAT_LIT("myself")))
            return true;
    return false;
}

coat_err
cluster_moving_read(const resp_reply *reply, const cluster_buckets *buckets, bool *moving)
{
    coat_span text = reply->text;

    *moving = false;
    while (reply->type == RESP_STRING && text.len > 0) {
        coat_span line = cut(&text, '\n');

        if (!is_own_line(line))
            continue;
        while (line.len > 0)
            *moving = is_leaving(cut(&line, ' '), buckets) || *moving;
        return COAT_OK;
    }
    return COAT_MALFORMED;
}

/* ---- as one number ---- */

/** Nodes name each other in any order: here in that of the buckets that they have. */
uint64_t
cluster_shape(const cluster_topology *topology, uint64_t epoch)
{
    uint8_t number_of[CLUSTER_PRIMARIES_MAX], owners[CLUSTER_BUCKETS], number[8];
    uint8_t sum[crypto_generichash_BYTES_MIN];
    crypto_generichash_state state;
    uint8_t count = 0;
    uint64_t shape;

    memset(number_of, CLUSTER_NOBODY, sizeof number_of);
    (void)crypto_generichash_init(&state, NULL, 0, sizeof sum);
    coat_store64(number, epoch);
    (void)crypto_generichash_update(&state, number, sizeof number);
    for (size_t bucket = 0; bucket < CLUSTER_BUCKETS; bucket++) {
        uint8_t primary = topology->primary_of[bucket];

        owners[bucket] = CLUSTER_NOBODY;
        if (primary >= topology->count)
            continue;
        if (number_of[primary] == CLUSTER_NOBODY) {
            number_of[primary] = count++;
            (void)crypto_generichash_update(
                &state, (const uint8_t *)topology->primaries[primary].id, CLUSTER_ID);
        }
        owners[bucket] = number_of[primary];
    }
    (void)crypto_generichash_update(&state, owners, sizeof owners);
    (void)crypto_generichash_final(&state, sum, sizeof sum);
    shape = coat_load64(sum);
    return shape != 0 ? shape : 1;
}
