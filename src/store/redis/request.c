/* SPDX-License-Identifier: Apache-2.0 */
/** Requests to commands: one each, but for SCAN and SWEEP, which go in parts. */

#include "store/redis/redis.h"

#include "core/out.h"
#include "store/remote/value.h"

enum { ARGS_MAX = 24, TEXT_MAX = 1600 };

/** A command under construction: arguments point into `text` or to the request. */
typedef struct command {
    redis_link *link;
    redis_store *store;
    coat_span args[ARGS_MAX];
    size_t count;
    char prefix[REDIS_BUCKET_PREFIX_MAX];
    char text[TEXT_MAX];
    coat_out out;
} command;

static void
add(command *c, const void *bytes, size_t len)
{
    if (c->count == ARGS_MAX)
        c->out.over = true;
    else
        c->args[c->count++] = (coat_span){bytes, len};
}

static void
add_str(command *c, const char *text)
{
    add(c, text, strlen(text));
}

/** What was written to out since `from` is an argument. */
static void
add_since(command *c, size_t from)
{
    add(c, c->text + from, c->out.len - from);
}

static void
add_uint(command *c, uint64_t number)
{
    size_t from = c->out.len;

    coat_out_uint(&c->out, number);
    add_since(c, from);
}

static void
add_u64(command *c, uint64_t number)
{
    uint8_t bytes[8];
    size_t from = c->out.len;

    coat_store64(bytes, number);
    coat_out_bytes(&c->out, bytes, sizeof bytes);
    add_since(c, from);
}

static void
add_global_seen(command *c)
{
    add_uint(c, atomic_load(&redis_home(c->store)->global));
}

static void
add_given(command *c)
{
    add_uint(c, atomic_load(&redis_home(c->store)->given));
}

/** PREFIX name */
static void
add_key(command *c, const char *name)
{
    size_t from = c->out.len;

    coat_out_str(&c->out, c->prefix);
    coat_out_str(&c->out, name);
    add_since(c, from);
}

/** PREFIX {TAG}: name SERIAL */
static void
add_tagged(command *c, const uint8_t *tag, size_t len, const char *name, const uint8_t *serial)
{
    size_t from = c->out.len;

    coat_out_str(&c->out, c->prefix);
    coat_out_str(&c->out, "{");
    coat_out_hex(&c->out, tag, len);
    coat_out_str(&c->out, "}:");
    coat_out_str(&c->out, name);
    if (serial != NULL)
        coat_out_hex(&c->out, serial, 8);
    add_since(c, from);
}

static void
add_owners(command *c, const uint8_t *owner, const char *name)
{
    add_tagged(c, owner, COAT_OWNER_BYTES, name, NULL);
}

static void
add_value_key(command *c, const coat_store_req *req)
{
    const uint8_t *address = req->address.bytes;

    if (req->space == COAT_SPACE_SESSION)
        add_tagged(c, address + 8, COAT_OWNER_BYTES, "s:", address);
    else
        add_tagged(c, address, COAT_HANDLE_BYTES, req->space == COAT_SPACE_ACCOUNT ? "a" : "m",
                   NULL);
}

static const char *
index_of(coat_space space)
{
    if (space == COAT_SPACE_SESSION)
        return "sessions";
    return space == COAT_SPACE_ACCOUNT ? "accounts" : "meta";
}

static void
add_serial(command *c, bool has, const coat_handle *handle)
{
    add(c, handle->bytes, has ? 8 : 0);
}

/** The server only tidies up, and later than we refuse: its clock is not ours (ST-7). */
static void
add_ttl(command *c, const coat_store_req *req)
{
    static const int64_t longest = (int64_t)3650 * 24 * 3600 * 1000;
    int64_t left_ms = req->expires_ms - req->now_ms;

    if (req->expires_ms == 0 || left_ms > longest)
        left_ms = -REDIS_SLACK_MS;
    else if (left_ms < 0)
        left_ms = 0;
    add_uint(c, (uint64_t)(left_ms + REDIS_SLACK_MS));
}

static void
add_front(command *c, const coat_store_req *req)
{
    uint8_t front[REMOTE_VALUE_FRONT];
    size_t from = c->out.len;

    remote_value_front(req->space, req->value.len, front);
    coat_out_bytes(&c->out, front, sizeof front);
    add_since(c, from);
}

/* ---- operations: KEYS and ARGV as their scripts say ---- */

/* The value is the last part of an argument that begins in text: see put_value(). */
static const coat_span value_follows = {NULL, SIZE_MAX};

static void
add_insert(command *c, const coat_store_req *req)
{
    const uint8_t *owner = req->address.bytes + 8;
    coat_store_req session = *req;
    uint8_t back[REMOTE_VALUE_BACK];
    size_t from;

    if (req->space != COAT_SPACE_SESSION)
        session.epoch_owner = session.epoch_global = 0;
    remote_value_back(&session, back);
    add_value_key(c, req);
    if (req->space == COAT_SPACE_SESSION) {
        add_owners(c, owner, "i");
        add_owners(c, owner, "e");
    }
    add_key(c, index_of(req->space));
    if (req->space == COAT_SPACE_SESSION)
        add_key(c, "global");
    add_key(c, "versions");
    add_uint(c, (uint64_t)req->now_ms);
    if (req->space == COAT_SPACE_SESSION) {
        add_uint(c, req->epoch_owner);
        add_uint(c, req->epoch_global);
        add_global_seen(c);
    }
    add_front(c, req);
    from = c->out.len;
    coat_out_bytes(&c->out, back, sizeof back);
    add_since(c, from);
    add(c, value_follows.ptr, value_follows.len);
    add_ttl(c, req);
    if (req->space != COAT_SPACE_SESSION) {
        add(c, req->address.bytes, COAT_HANDLE_BYTES);
        return;
    }
    add_uint(c, req->owner_max);
    add_str(c, req->owner_evict ? "1" : "0");
    add(c, req->address.bytes, COAT_HANDLE_BYTES);
    add_serial(c, req->has_superseded, &req->superseded);
    if (req->version != 0)
        add_u64(c, req->version);
    else
        add_str(c, "");
    add_owners(c, owner, "s:");
}

static void
add_replace(command *c, const coat_store_req *req)
{
    add_value_key(c, req);
    add_key(c, "versions");
    if (req->space == COAT_SPACE_SESSION) {
        add_owners(c, req->address.bytes + 8, "e");
        add_key(c, "global");
    }
    add_uint(c, (uint64_t)req->now_ms);
    add_u64(c, req->version);
    add_front(c, req);
    add_u64(c, (uint64_t)req->expires_ms);
    add(c, req->address.bytes, COAT_HANDLE_BYTES);
    add(c, value_follows.ptr, value_follows.len);
    add_ttl(c, req);
    add_global_seen(c);
    add_str(c, req->space == COAT_SPACE_SESSION && !req->quiet ? "1" : "0");
}

static void
add_remove(command *c, const coat_store_req *req)
{
    add_value_key(c, req);
    add_key(c, index_of(req->space));
    if (req->space == COAT_SPACE_SESSION)
        add_owners(c, req->address.bytes + 8, "i");
    add(c, req->address.bytes, COAT_HANDLE_BYTES);
}

static void
add_list(command *c, const coat_store_req *req)
{
    add_owners(c, req->owner.bytes, "i");
    add_owners(c, req->owner.bytes, "e");
    add_key(c, "global");
    add_uint(c, (uint64_t)req->now_ms);
    add_global_seen(c);
    add_owners(c, req->owner.bytes, "s:");
    add_serial(c, req->has_cursor, &req->cursor);
    add_uint(c, req->limit);
    add_uint(c, REDIS_REPORT_BYTES);
    add_uint(c, REDIS_LIST_LOOK);
}

static void
add_remove_owner(command *c, const coat_store_req *req)
{
    add_owners(c, req->owner.bytes, "i");
    add_owners(c, req->owner.bytes, "e");
    add_key(c, "owners");
    add_key(c, "epochs");
    add_key(c, "global");
    add_uint(c, (uint64_t)req->now_ms);
    add(c, req->owner.bytes, COAT_OWNER_BYTES);
    add_global_seen(c);
    add_serial(c, req->has_spare, &req->spare);
    add_owners(c, req->owner.bytes, "s:");
    add_uint(c, req->again);
    add_given(c);
}

static void
add_end_all(command *c, const coat_store_req *req)
{
    add_key(c, "global");
    add_key(c, "epochs");
    add_global_seen(c);
    add_uint(c, req->again);
    add_given(c);
}

static void
add_say(command *c, const coat_store_req *req)
{
    char to[REDIS_CHANNEL_MAX];
    uint8_t shape[8];
    uint64_t version;
    size_t from;

    add_key(c, "members");
    add_key(c, "versions");
    add(c, req->address.bytes, COAT_HANDLE_BYTES);
    add(c, value_follows.ptr, value_follows.len);
    from = c->out.len;
    if (req->has_to) {
        redis_channel(c->store, &req->to, c->link->view.id, to);
        coat_out_str(&c->out, to);
    }
    add_since(c, from);
    add_str(c, req->item != NULL ? "1" : "0");
    add_uint(c, COAT_STORE_LIST_MAX);
    if (c->store->cluster == NULL || req->unordered)
        return;
    version = redis_cluster_message(req, shape);
    from = c->out.len;
    coat_out_bytes(&c->out, shape, sizeof shape);
    add_since(c, from);
    if (version != 0)
        add_uint(c, version);
    else
        add_str(c, "");
}

static void
add_leave(command *c, const coat_store_req *req)
{
    add_key(c, "members");
    add(c, req->address.bytes, COAT_HANDLE_BYTES);
    if (req->version != 0)
        add_uint(c, req->version);
    else
        add_str(c, "");
}

static void
add_epochs(command *c, const coat_store_req *req)
{
    add_owners(c, req->owner.bytes, "e");
    add_key(c, "global");
    add_global_seen(c);
}

/** Where a report goes on is in req->cursor: the caller's, or the last address looked at. */
static void
add_scan(command *c, const coat_store_req *req)
{
    static const char *const letters[] = {
        [COAT_SPACE_SESSION] = "s", [COAT_SPACE_ACCOUNT] = "a", [COAT_SPACE_META] = "m"};

    add_key(c, index_of(req->space));
    add_key(c, "global");
    add_uint(c, (uint64_t)req->now_ms);
    add_global_seen(c);
    add_str(c, letters[req->space]);
    add_key(c, "");
    add(c, req->cursor.bytes, req->has_cursor ? COAT_HANDLE_BYTES : 0);
    add_uint(c, req->limit - req->count);
    add_uint(c, REDIS_REPORT_BYTES);
    add_uint(c, REDIS_LOOK_MAX);
}

redis_sweeper *
redis_sweeper_of(redis_store *store, const coat_store_req *req)
{
    return store->cluster != NULL ? redis_cluster_sweeper(store, req) : &store->sweeper;
}

uint32_t
redis_look_max(const redis_store *store, const coat_store_req *req)
{
    return store->cluster != NULL ? redis_cluster_look(req) : COAT_STORE_SWEEP_MAX;
}

static void
add_sweep(command *c, coat_store_req *req)
{
    static const char *const indexes[REDIS_PHASES] = {"sessions", "meta", "accounts", "owners"};
    static const char *const letters[REDIS_PHASES] = {"s", "m", "a", "e"};
    redis_sweeper *s = redis_sweeper_of(c->store, req);
    remote_store *keeper = &redis_home(c->store)->remote;
    remote_pending *p = remote_pending_of(req);
    uint32_t look = redis_look_max(c->store, req) - p->count;
    size_t from;

    pthread_mutex_lock(&keeper->mutex);
    p->data = (void *)(uintptr_t)s->steps;
    add_key(c, indexes[s->phase]);
    add_key(c, "global");
    add_key(c, "sessions");
    add_key(c, "accounts");
    add_uint(c, (uint64_t)req->now_ms);
    add_global_seen(c);
    add_str(c, letters[s->phase]);
    add_key(c, "");
    from = c->out.len;
    coat_out_bytes(&c->out, s->cursor, s->cursor_len);
    add_since(c, from);
    add_uint(c, req->limit - req->count);
    add_uint(c, look < REDIS_LOOK_MAX ? look : REDIS_LOOK_MAX);
    add_uint(c, s->settled);
    pthread_mutex_unlock(&keeper->mutex);
}

/** @return the script; SCRIPT_COUNT: a plain command */
static redis_script
add_operation(command *c, coat_store_req *req)
{
    redis_script script;

    switch (req->op) {
    case COAT_OP_INSERT:
        add_insert(c, req);
        return req->space == COAT_SPACE_SESSION ? SCRIPT_INSERT : SCRIPT_ADD;
    case COAT_OP_REPLACE:
        add_replace(c, req);
        return SCRIPT_REPLACE;
    case COAT_OP_REMOVE:
        add_remove(c, req);
        return SCRIPT_REMOVE;
    case COAT_OP_LIST_OWNER:
        add_list(c, req);
        return SCRIPT_LIST;
    case COAT_OP_REMOVE_OWNER:
        add_remove_owner(c, req);
        return SCRIPT_REMOVE_OWNER;
    case COAT_OP_EPOCHS:
        add_epochs(c, req);
        return SCRIPT_EPOCHS;
    case COAT_OP_END_ALL:
        add_end_all(c, req);
        return SCRIPT_END_ALL;
    case COAT_OP_SCAN:
        add_scan(c, req);
        return SCRIPT_SCAN;
    case COAT_OP_SWEEP:
        add_sweep(c, req);
        return SCRIPT_SWEEP;
    case COAT_OP_SAY:
        add_say(c, req);
        return SCRIPT_SAY;
    case COAT_OP_LEAVE:
        add_leave(c, req);
        return SCRIPT_LEAVE;
    default: /* LOAD is the commonest, and the server's own commands are its fastest */
        script = remote_pending_of(req)->count == REDIS_LOAD_AGAIN ? SCRIPT_LOAD : SCRIPT_COUNT;
        if (script == SCRIPT_COUNT)
            add_str(c, "MGET");
        add_value_key(c, req);
        if (req->space == COAT_SPACE_SESSION) {
            add_owners(c, req->address.bytes + 8, "e");
            add_key(c, "global");
        }
        return script;
    }
}

/** How many of the arguments are KEYS: those that begin with the prefix, up to the first other.
 */
static size_t
count_keys(redis_script script, coat_space space)
{
    static const uint8_t keys[SCRIPT_COUNT] = {
        [SCRIPT_ADD] = 3,    [SCRIPT_LOAD] = 1,         [SCRIPT_END_ALL] = 2,
        [SCRIPT_EPOCHS] = 2, [SCRIPT_INSERT] = 6,       [SCRIPT_LIST] = 3,
        [SCRIPT_REMOVE] = 2, [SCRIPT_REMOVE_OWNER] = 5, [SCRIPT_REPLACE] = 2,
        [SCRIPT_SCAN] = 2,   [SCRIPT_SWEEP] = 4,        [SCRIPT_SAY] = 2,
        [SCRIPT_LEAVE] = 1,
    };
    size_t n = keys[script];

    if (space == COAT_SPACE_SESSION && (script == SCRIPT_REPLACE || script == SCRIPT_LOAD))
        return n + 2;
    return space == COAT_SPACE_SESSION && script == SCRIPT_REMOVE ? n + 1 : n;
}

static bool
is_followed(const command *c, size_t i)
{
    return i + 1 < c->count && c->args[i + 1].len == value_follows.len;
}

/** @param keys  behind this many goes the key that never is; 0: without it */
static void
write_args(const command *c, coat_span value, size_t keys)
{
    static const char nothing[] = "nothing";
    remote_buffer *out = &c->link->out;

    for (size_t i = 0; i < c->count; i++) {
        if (is_followed(c, i)) {
            resp_arg_two(out, c->args[i], value);
            i++;
        } else {
            resp_arg(out, c->args[i].ptr, c->args[i].len);
        }
        if (i + 1 == keys)
            resp_arg_two(out, coat_span_of(c->prefix), coat_span_of(nothing));
    }
}

static coat_err
write_command(const command *c, const coat_store_req *req, redis_script script, bool with_body)
{
    remote_buffer *out = &c->link->out;
    size_t args = c->count, keys = 0;

    for (size_t i = 0; i < c->count; i++)
        args -= is_followed(c, i);
    if (c->out.over)
        return COAT_TOO_LARGE;
    if (script == SCRIPT_COUNT) {
        resp_begin(out, args);
    } else {
        coat_span body = redis_script_body(script);

        keys = count_keys(script, req->space);
        resp_begin(out, args + 7);
        resp_arg_str(out, with_body ? "EVAL" : "EVALSHA");
        if (with_body)
            resp_arg(out, body.ptr, body.len);
        else
            resp_arg_str(out, c->link->shas[script]);
        resp_arg_uint(out, keys + 1);
    }
    write_args(c, req->value, keys);
    if (script != SCRIPT_COUNT)
        redis_last_args(c->link);
    return COAT_OK;
}

void
redis_last_args(redis_link *link)
{
    const redis_store *store = redis_store_of(link);
    char channel[REDIS_CHANNEL_MAX];

    redis_channel(store, NULL, link->view.id, channel);
    resp_arg(&link->out, store->self, sizeof store->self);
    resp_arg_str(&link->out, channel);
    resp_arg_uint(&link->out, link->number);
}

static coat_err
queue(redis_link *link, coat_store_req *req, bool with_body, redis_script *out)
{
    command c COAT_UNSET;
    redis_script script;

    c.link = link;
    c.store = redis_store_of(link);
    c.count = 0;
    if (c.store->cluster != NULL)
        redis_cluster_prefix(c.store, req, c.prefix);
    else
        memcpy(c.prefix, c.store->prefix, sizeof c.store->prefix);
    c.out = coat_out_init(c.text, sizeof c.text);
    link->number++;
    script = add_operation(&c, req);
    *out = script;
    /* A server that keeps no scripts is sent them each time. */
    with_body = with_body || (script != SCRIPT_COUNT && link->shas[script][0] == '\0');
    return write_command(&c, req, script, with_body);
}

coat_err
redis_request(redis_link *link, coat_store_req *req, bool with_body)
{
    redis_script script;
    coat_err err = queue(link, req, with_body, &script);

    return err != COAT_OK ? err : redis_expect(link, req, DUE_ANSWER, (uint8_t)script);
}

static coat_err
say_again(redis_link *link, coat_store_req *req, uint8_t what)
{
    redis_script script;
    coat_err err = queue(link, req, false, &script);

    return err != COAT_OK ? err : redis_expect(link, NULL, what, (uint8_t)script);
}

coat_err
redis_say_ended(redis_link *link, const redis_ended *ended)
{
    coat_store_req req = {.op = ended->is_owner ? COAT_OP_REMOVE_OWNER : COAT_OP_REMOVE,
                          .space = COAT_SPACE_SESSION,
                          .address = ended->handle,
                          .has_spare = ended->has_spare,
                          .spare = ended->handle,
                          .now_ms = ended->raised_ms};

    memcpy(req.owner.bytes, ended->handle.bytes + 8, sizeof req.owner.bytes);
    req.again = ended->epoch;
    return say_again(link, &req, HELLO_REPLAY);
}

coat_err
redis_say_global(redis_link *link, coat_store_req *req, uint64_t global, uint8_t what)
{
    req->op = COAT_OP_END_ALL;
    req->again = global;
    return say_again(link, req, what);
}

coat_err
redis_send(remote_link *base, coat_store_req *req)
{
    redis_link *link = (redis_link *)base;
    size_t len = link->out.len, due_count = link->due_count;
    coat_err err = COAT_OK;

    if (req->op == COAT_OP_SWEEP)
        err = redis_doubts_end(link, req, DUE_IGNORE, &remote_pending_of(req)->mark);
    if (err == COAT_OK &&
        (redis_store_of(link)->cluster == NULL || !redis_cluster_own(link, req, &err)))
        err = redis_request(link, req, false);
    if (err != COAT_OK) {
        /* Nothing may be queued for a request that ends now. */
        link->out.len = len;
        link->due_count = due_count;
    }
    return err;
}
