/* SPDX-License-Identifier: Apache-2.0 */
#include "store/stores.h"

#include "core/out.h"

enum { STORES_MAX = 8 };

/* Written before threads start only, see coat_store_register(). */
static const struct coat_store_ops *stores[STORES_MAX] = {&coat_memory_ops, &coat_lmdb_ops};
static size_t store_count = 2;

static const struct coat_store_ops *
find_store(coat_span scheme)
{
    for (size_t i = 0; i < store_count; i++)
        if (coat_span_is(scheme, coat_span_of(stores[i]->name)))
            return stores[i];
    return NULL;
}

static bool
can_watch(const struct coat_store_ops *ops)
{
    return ops->watch_open != NULL && ops->watch_close != NULL;
}

coat_err
coat_store_register(const struct coat_store_ops *ops)
{
    if (ops == NULL || ops->abi != COAT_STORE_ABI || ops->name == NULL || ops->open == NULL ||
        ops->close == NULL || ops->lane_open == NULL || ops->lane_close == NULL ||
        ops->submit == NULL || ops->wait == NULL || ops->stats == NULL)
        return COAT_INVALID;
    if ((ops->caps & COAT_CAP_WATCH) != 0 && !can_watch(ops))
        return COAT_INVALID;
    if (find_store(coat_span_of(ops->name)) != NULL)
        return COAT_EXISTS;
    if (store_count == STORES_MAX)
        return COAT_TOO_MANY;
    stores[store_count++] = ops;
    return COAT_OK;
}

void
coat_store_message(const coat_store_conf *conf, const char *a, const char *b, const char *c)
{
    coat_out out;

    if (conf->message == NULL || conf->message_cap == 0)
        return;
    out = coat_out_init(conf->message, conf->message_cap);
    coat_out_str(&out, a);
    coat_out_str(&out, b);
    coat_out_str(&out, c);
    (void)coat_out_end(&out);
}

coat_err
coat_store_open(const coat_store_conf *conf, coat_store **out)
{
    const struct coat_store_ops *ops;
    const char *colon;
    coat_span scheme;
    coat_err err;

    if (conf == NULL || conf->url == NULL || out == NULL)
        return COAT_INVALID;
    if (conf->message != NULL && conf->message_cap > 0)
        conf->message[0] = '\0';
    if (conf->timeout_ms != 0 && (conf->timeout_ms < COAT_STORE_TIMEOUT_MIN_MS ||
                                  conf->timeout_ms > COAT_STORE_TIMEOUT_MAX_MS)) {
        coat_store_message(conf, "timeout_ms", " is the deadline of an operation in",
                           " milliseconds: 10 to 5000");
        return COAT_INVALID;
    }
    colon = strchr(conf->url, ':');
    if (colon == NULL) {
        coat_store_message(conf, conf->url, " is not a store URL;",
                           " write \"lmdb:/path/of/a/directory\" or \"memory:\"");
        return COAT_INVALID;
    }
    scheme = (coat_span){(const uint8_t *)conf->url, (size_t)(colon - conf->url)};
    ops = find_store(scheme);
    err = ops != NULL ? COAT_OK : coat_store_module_find(conf, scheme, &ops);
    if (err == COAT_NOT_FOUND) {
        coat_store_message(conf, conf->url, " names no known kind of store; write",
                           " \"lmdb:/path/of/a/directory\", \"redis://host\", "
                           "\"postgresql://host\" or \"memory:\"");
        return COAT_INVALID;
    }
    if (err == COAT_OK)
        err = ops->open(conf, out);
    if (err == COAT_OK)
        (*out)->timeout_ms = conf->timeout_ms;
    return err;
}

coat_err
coat_store_migrate(const coat_store_conf *conf, uint32_t *from, uint32_t *to)
{
    coat_err (*migrate)(const coat_store_conf *conf, uint32_t *from, uint32_t *to);
    const char *colon;
    coat_span scheme;

    if (conf == NULL || conf->url == NULL || from == NULL || to == NULL)
        return COAT_INVALID;
    if (conf->message != NULL && conf->message_cap > 0)
        conf->message[0] = '\0';
    colon = strchr(conf->url, ':');
    if (colon == NULL)
        return COAT_INVALID;
    scheme = (coat_span){(const uint8_t *)conf->url, (size_t)(colon - conf->url)};
    *(void **)&migrate = coat_store_module_symbol(conf, scheme, "coat_store_module_migrate");
    return migrate != NULL ? migrate(conf, from, to) : COAT_UNSUPPORTED;
}

void
coat_store_close(coat_store *store)
{
    if (store != NULL)
        store->ops->close(store);
}

uint32_t
coat_store_timeout_of(const coat_store *store)
{
    return store->timeout_ms != 0 ? store->timeout_ms : COAT_STORE_TIMEOUT_MS;
}

uint32_t
coat_store_caps_of(const coat_store *store)
{
    return store->ops->caps;
}

coat_err
coat_store_stats_get(coat_store *store, coat_store_stats *out)
{
    return store->ops->stats(store, out);
}

coat_err
coat_lane_open(coat_store *store, struct uv_loop_s *loop, coat_lane **out)
{
    if (store == NULL || out == NULL)
        return COAT_INVALID;
    return store->ops->lane_open(store, loop, out);
}

void
coat_lane_close(coat_lane *lane)
{
    if (lane != NULL)
        lane->store->ops->lane_close(lane);
}

coat_err
coat_watch_open(coat_lane *lane, const coat_watch_sink *sink, coat_watch **out)
{
    if (lane == NULL || sink == NULL || sink->event == NULL || out == NULL)
        return COAT_INVALID;
    if ((lane->store->ops->caps & COAT_CAP_WATCH) == 0)
        return COAT_UNSUPPORTED;
    return lane->store->ops->watch_open(lane, sink, out);
}

void
coat_watch_close(coat_watch *watch)
{
    if (watch != NULL)
        watch->lane->store->ops->watch_close(watch);
}

static bool
needs_space(coat_op op)
{
    return op == COAT_OP_INSERT || op == COAT_OP_LOAD || op == COAT_OP_REPLACE ||
           op == COAT_OP_REMOVE || op == COAT_OP_SCAN;
}

static bool
same_owner(const coat_handle *handle, const uint8_t *owner)
{
    return memcmp(handle->bytes + COAT_HANDLE_BYTES - COAT_OWNER_BYTES, owner,
                  COAT_OWNER_BYTES) == 0;
}

static coat_err
check_value(const coat_store_req *req)
{
    if (req->op != COAT_OP_INSERT && req->op != COAT_OP_REPLACE)
        return COAT_OK;
    if (req->expires_ms < 0 || (req->value.ptr == NULL && req->value.len > 0))
        return COAT_INVALID;
    return req->value.len > COAT_STORE_VALUE_MAX ? COAT_TOO_LARGE : COAT_OK;
}

/** Another owner's session may live on another node: no store could do both at once. */
static coat_err
check_owners(const coat_store_req *req)
{
    const uint8_t *owner = req->address.bytes + COAT_HANDLE_BYTES - COAT_OWNER_BYTES;

    if (req->op == COAT_OP_INSERT && req->has_superseded &&
        (req->space != COAT_SPACE_SESSION || !same_owner(&req->superseded, owner)))
        return COAT_INVALID;
    if (req->op == COAT_OP_REMOVE_OWNER && req->has_spare &&
        !same_owner(&req->spare, req->owner.bytes))
        return COAT_INVALID;
    if (req->op == COAT_OP_LIST_OWNER && req->has_cursor &&
        !same_owner(&req->cursor, req->owner.bytes))
        return COAT_INVALID;
    return COAT_OK;
}

static coat_err
check_say(uint32_t caps, const coat_store_req *req)
{
    if ((caps & COAT_CAP_WATCH) == 0)
        return COAT_UNSUPPORTED;
    if (req->op == COAT_OP_SAY && req->value.len == 0)
        return COAT_INVALID;
    return req->value.len > COAT_SAY_MAX ? COAT_TOO_LARGE : COAT_OK;
}

static coat_err
check_request(uint32_t caps, const coat_store_req *req)
{
    coat_err err;

    if (req->op < COAT_OP_INSERT || req->op > COAT_OP_LEAVE || req->now_ms < 0)
        return COAT_INVALID;
    if (req->op >= COAT_OP_SAY)
        return check_say(caps, req);
    if (needs_space(req->op) &&
        (req->space < COAT_SPACE_SESSION || req->space > COAT_SPACE_META))
        return COAT_INVALID;
    if ((req->op == COAT_OP_LIST_OWNER || req->op == COAT_OP_SCAN) && req->item == NULL)
        return COAT_INVALID;
    err = check_owners(req);
    return err != COAT_OK ? err : check_value(req);
}

static coat_err
prepare(const coat_lane *lane, coat_store_req *req)
{
    uint32_t most = req->op == COAT_OP_SWEEP ? COAT_STORE_SWEEP_MAX : COAT_STORE_LIST_MAX;

    req->result = COAT_OK;
    req->found = (coat_span){NULL, 0};
    req->found_version = 0;
    req->found_expires_ms = 0;
    req->found_clock_ms = 0;
    req->count = 0;
    req->more = false;
    if (req->limit == 0 || req->limit > most)
        req->limit = most;
    if (req->timeout_ms == 0)
        req->timeout_ms = coat_store_timeout_of(lane->store);
    return check_request(lane->store->ops->caps, req);
}

void
coat_store_submit(coat_lane *lane, coat_store_req *req)
{
    coat_err err = req->done != NULL ? prepare(lane, req) : COAT_INVALID;

    if (err == COAT_OK) {
        lane->store->ops->submit(lane, req);
        return;
    }
    req->result = err;
    if (req->done != NULL)
        req->done(req);
}

static void
done_nothing(coat_store_req *req)
{
    (void)req;
}

coat_err
coat_store_run(coat_lane *lane, coat_store_req *req)
{
    coat_err err;

    if (req->done == NULL)
        req->done = done_nothing;
    err = prepare(lane, req);
    if (err != COAT_OK) {
        req->result = err;
        req->done(req);
        return err;
    }
    lane->store->ops->submit(lane, req);
    lane->store->ops->wait(lane, req);
    return req->result;
}
