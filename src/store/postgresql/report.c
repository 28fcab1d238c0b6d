/* SPDX-License-Identifier: Apache-2.0 */
/** Notifications to events, as schema/2.sql writes them. */

#include "store/postgresql/postgresql.h"

#include "core/chars.h"

/* The server takes no more than 8000 bytes. */
enum { PAYLOAD_MAX = 8000 };

/** What is left of a message: bytes, written as hexadecimal digits. */
typedef struct reader {
    coat_span left; /* bytes */
    uint8_t bytes[PAYLOAD_MAX / 2];
} reader;

static bool
unhex(coat_span text, reader *out)
{
    if (text.len % 2 != 0 || text.len / 2 > sizeof out->bytes)
        return false;
    for (size_t i = 0; i < text.len; i += 2) {
        int value = coat_char_hex2(text.ptr + i);

        if (value < 0)
            return false;
        out->bytes[i / 2] = (uint8_t)value;
    }
    out->left = (coat_span){out->bytes, text.len / 2};
    return true;
}

static const uint8_t *
take(reader *r, size_t len)
{
    const uint8_t *at = r->left.ptr;

    if (r->left.len < len)
        return NULL;
    r->left = (coat_span){at + len, r->left.len - len};
    return at;
}

/** An epoch is a bigint that is never negative. */
static bool
take_epoch(reader *r, uint64_t *out)
{
    const uint8_t *at = take(r, 8);

    if (at == NULL || coat_load64be(at) > INT64_MAX)
        return false;
    *out = coat_load64be(at);
    return true;
}

static bool
addresses_changed(remote_watch *w, reader *r)
{
    const pg_store *store = (pg_store *)w->store;
    coat_watch_event event = {.kind = COAT_WATCH_ADDRESS};
    const uint8_t *self = take(r, PG_SELF_BYTES), *gone = take(r, 1), *address;

    if (gone == NULL || *gone > 1 || r->left.len == 0 || r->left.len % COAT_HANDLE_BYTES != 0)
        return false;
    event.own = memcmp(self, store->self, sizeof store->self) == 0;
    event.gone = *gone == 1;
    while ((address = take(r, COAT_HANDLE_BYTES)) != NULL) {
        memcpy(event.address.bytes, address, COAT_HANDLE_BYTES);
        remote_watch_tell(w, &event);
    }
    return true;
}

static bool
owner_ended(remote_watch *w, reader *r)
{
    coat_watch_event event = {.kind = COAT_WATCH_OWNER};
    const uint8_t *owner = take(r, COAT_OWNER_BYTES), *spare;

    if (owner == NULL || !take_epoch(r, &event.epoch))
        return false;
    memcpy(event.owner.bytes, owner, COAT_OWNER_BYTES);
    event.has_spare = r->left.len > 0;
    if (event.has_spare) {
        spare = take(r, COAT_HANDLE_BYTES);
        if (spare == NULL || r->left.len > 0 || memcmp(spare + 8, owner, COAT_OWNER_BYTES) != 0)
            return false;
        memcpy(event.spare.bytes, spare, COAT_HANDLE_BYTES);
    }
    remote_watch_tell(w, &event);
    return true;
}

static bool
all_ended(remote_watch *w, reader *r)
{
    coat_watch_event event = {.kind = COAT_WATCH_ALL};

    /* One above what can be put back, or given out, would never be reached. */
    if (!take_epoch(r, &event.epoch) || r->left.len > 0 || event.epoch > PG_AGAIN_MAX)
        return false;
    if (event.epoch > 0)
        event.epoch = pg_global_seen((pg_store *)w->store, event.epoch);
    remote_watch_tell(w, &event);
    return true;
}

static bool
was_said(remote_watch *w, reader *r)
{
    coat_watch_event event = {.kind = COAT_WATCH_SAID};
    const uint8_t *who = take(r, COAT_HANDLE_BYTES);

    if (who == NULL || r->left.len == 0 || r->left.len > COAT_SAY_MAX)
        return false;
    memcpy(event.address.bytes, who, COAT_HANDLE_BYTES);
    event.message = r->left;
    remote_watch_tell(w, &event);
    return true;
}

bool
pg_report(remote_watch *w, const char *payload)
{
    size_t len = strnlen(payload, PAYLOAD_MAX);
    reader r;

    if (len == 0 || !unhex((coat_span){(const uint8_t *)payload + 1, len - 1}, &r))
        return false;
    switch (payload[0]) {
    case 'a':
        return addresses_changed(w, &r);
    case 'o':
        return owner_ended(w, &r);
    case 'g':
        return all_ended(w, &r);
    case 's':
        return was_said(w, &r);
    default:
        return false;
    }
}
