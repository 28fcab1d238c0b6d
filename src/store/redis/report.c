/* SPDX-License-Identifier: Apache-2.0 */
/**
 * Messages to events. Ours, as common.lua writes them:
 *   a TELLER(8) ADDRESS(16) gone(0|1)   o OWNER(8) EPOCH(8) [SPARE'S SERIAL(8)]
 *   g EPOCH(8)                          s INSTANCE(16) bytes
 *   p INSTANCE(16) VERSION(8) SHAPE(8) bytes: of a cluster, where each node says it
 * Redis's own name keys that were deleted, have expired or were evicted, by whomever; or say,
 * by an invalidation without keys, that everything was flushed.
 */

#include "store/redis/redis.h"

#include "core/chars.h"

static redis_store *
store_of(const remote_watch *w)
{
    return (redis_store *)w->store;
}

/* ---- what the scripts say ---- */

static bool
address_changed(remote_watch *w, coat_span m)
{
    coat_watch_event event = {.kind = COAT_WATCH_ADDRESS};

    if (m.len != 26 || (m.ptr[25] != '0' && m.ptr[25] != '1'))
        return false;
    event.own = memcmp(m.ptr + 1, store_of(w)->self, sizeof store_of(w)->self) == 0;
    memcpy(event.address.bytes, m.ptr + 9, sizeof event.address.bytes);
    event.gone = m.ptr[25] == '1';
    remote_watch_tell(w, &event);
    return true;
}

static bool
owner_ended(remote_watch *w, coat_span m)
{
    coat_watch_event event = {.kind = COAT_WATCH_OWNER};

    if ((m.len != 17 && m.len != 25) || coat_load64(m.ptr + 9) >= (uint64_t)1 << 53)
        return false;
    memcpy(event.owner.bytes, m.ptr + 1, sizeof event.owner.bytes);
    event.epoch = coat_load64(m.ptr + 9);
    event.has_spare = m.len == 25;
    if (event.has_spare) {
        memcpy(event.spare.bytes, m.ptr + 17, 8);
        memcpy(event.spare.bytes + 8, event.owner.bytes, sizeof event.owner.bytes);
    }
    remote_watch_tell(w, &event);
    return true;
}

static bool
all_ended(remote_watch *w, coat_span m)
{
    coat_watch_event event = {.kind = COAT_WATCH_ALL};

    /* Epochs are numbers that Lua can count with; a higher one would never be reached. */
    if (m.len != 9 || coat_load64(m.ptr + 1) >= (uint64_t)1 << 53)
        return false;
    event.epoch = redis_global_seen(store_of(w), coat_load64(m.ptr + 1));
    remote_watch_tell(w, &event);
    return true;
}

static bool
was_said(remote_watch *w, coat_span m)
{
    coat_watch_event event = {.kind = COAT_WATCH_SAID};

    if (m.len <= 17 || m.len > 17 + COAT_SAY_MAX)
        return false;
    memcpy(event.address.bytes, m.ptr + 1, sizeof event.address.bytes);
    event.message = (coat_span){m.ptr + 17, m.len - 17};
    event.unordered = store_of(w)->cluster != NULL; /* one node has said it */
    remote_watch_tell(w, &event);
    return true;
}

/** Each node of a cluster says it; reported once all have. */
static bool
was_said_by_node(remote_watch *w, coat_span m)
{
    enum { HEAD = 1 + COAT_HANDLE_BYTES + 8 + 8 };
    coat_watch_event event = {.kind = COAT_WATCH_SAID};

    if (m.len <= HEAD || m.len > HEAD + COAT_SAY_MAX)
        return false;
    memcpy(event.address.bytes, m.ptr + 1, sizeof event.address.bytes);
    event.message = (coat_span){m.ptr + HEAD, m.len - HEAD};
    if (w->ready)
        redis_cluster_heard(w, &event, coat_load64(m.ptr + 17), coat_load64(m.ptr + 25));
    return true;
}

static bool
ours(remote_watch *w, coat_span m)
{
    if (m.len == 0)
        return true; /* a connection asks whether it may */
    switch (m.ptr[0]) {
    case 'a':
        return address_changed(w, m);
    case 'o':
        return owner_ended(w, m);
    case 'g':
        return all_ended(w, m);
    case 's':
        return was_said(w, m);
    case 'p':
        return store_of(w)->cluster != NULL && was_said_by_node(w, m);
    default:
        return false;
    }
}

/* ---- what Redis says ---- */

static bool
unhex(coat_span text, uint8_t *out)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        uint8_t v = (uint8_t)(c >= '0' && c <= '9'   ? c - '0'
                              : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                                     : 16);

        if (v == 16)
            return false;
        out[i / 2] = (uint8_t)(out[i / 2] << 4 | v);
    }
    return true;
}

/** What is behind the prefix, in a cluster the bucket's. */
static bool
cut_prefix(const redis_store *store, coat_span *key)
{
    size_t prefix = strlen(store->prefix);

    if (key->len < prefix || memcmp(key->ptr, store->prefix, prefix) != 0)
        return false;
    if (store->cluster != NULL) {
        while (prefix < key->len && key->ptr[prefix] != '}')
            prefix++;
        prefix += 2; /* and the colon */
    }
    *key = coat_span_slice(*key, prefix < key->len ? prefix : key->len, key->len);
    return true;
}

/**
 * {OWNER}:s:SERIAL; an owner's or the global epoch; all else is nothing that is watched. In a
 * cluster a key that is gone may have moved.
 */
static void
key_gone(remote_watch *w, coat_span key)
{
    coat_watch_event event = {.kind = COAT_WATCH_ADDRESS, .gone = store_of(w)->cluster == NULL};

    if (!cut_prefix(store_of(w), &key))
        return;
    if (coat_span_is(key, COAT_LIT("global"))) {
        event.kind = COAT_WATCH_ALL;
        remote_watch_tell(w, &event);
        return;
    }
    if (key.len < 20 || key.ptr[0] != '{' || memcmp(key.ptr + 17, "}:", 2) != 0 ||
        !unhex((coat_span){key.ptr + 1, 16}, event.owner.bytes))
        return;
    if (key.len == 20 && key.ptr[19] == 'e') {
        event.kind = COAT_WATCH_OWNER;
        remote_watch_tell(w, &event);
        return;
    }
    if (key.len != 37 || memcmp(key.ptr + 19, "s:", 2) != 0 ||
        !unhex((coat_span){key.ptr + 21, 16}, event.address.bytes))
        return;
    memcpy(event.address.bytes + 8, event.owner.bytes, sizeof event.owner.bytes);
    remote_watch_tell(w, &event);
}

bool
redis_report(remote_watch *w, coat_span channel, const resp_reply *message)
{
    coat_span stem = coat_span_of(store_of(w)->channels);
    coat_watch_event flushed = {.kind = COAT_WATCH_ALL};

    if (channel.len > stem.len && memcmp(channel.ptr, stem.ptr, stem.len) == 0)
        return message->type == RESP_STRING && ours(w, message->text);
    if (message->type == RESP_STRING)
        key_gone(w, message->text);
    else
        remote_watch_tell(w, &flushed);
    return true;
}
