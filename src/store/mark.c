/* SPDX-License-Identifier: Apache-2.0 */
#include "store/mark.h"

#include "core/bytes.h"
#include "core/out.h"

#include <string.h>

/* Other addresses of META are keyed hashes; these are words, as the stamp's. */
const coat_handle *
coat_mark_address(coat_mark_of of)
{
    static const coat_handle addresses[] = {
        [COAT_MARK_OF_STORE] = {.bytes = "store-copy-00001"},
        [COAT_MARK_OF_ACCOUNTS] = {.bytes = "accts-copy-00001"},
    };

    return &addresses[of];
}

enum { FORMAT = '1', AT_STATE = 2, AT_ID = 3, HEAD = 19, TIMEOUT_MS = 5000 };

static bool
is_state(uint8_t c)
{
    return c == COAT_MARK_SOURCE || c == COAT_MARK_HOLDING || c == COAT_MARK_MOVED ||
           c == COAT_MARK_FILLING;
}

static void
decode(coat_span value, coat_mark *out)
{
    out->state = COAT_MARK_UNREADABLE;
    if (value.len < HEAD || value.len > HEAD + COAT_MARK_URL_MAX || value.ptr[0] != 'c' ||
        value.ptr[1] != FORMAT || !is_state(value.ptr[AT_STATE]))
        return;
    for (size_t i = HEAD; i < value.len; i++) /* it is shown on terminals */
        if (value.ptr[i] < ' ' || value.ptr[i] > '~')
            return;
    out->state = (coat_mark_state)value.ptr[AT_STATE];
    memcpy(out->id, value.ptr + AT_ID, sizeof out->id);
    memcpy(out->other, value.ptr + HEAD, value.len - HEAD);
}

static void
ask(coat_store_req *req, coat_mark_of of)
{
    req->op = COAT_OP_LOAD;
    req->space = COAT_SPACE_META;
    req->address = *coat_mark_address(of);
    req->now_ms = 1; /* it never expires */
}

void
coat_mark_ask(coat_store_req *req)
{
    ask(req, COAT_MARK_OF_STORE);
}

void
coat_mark_take(const coat_store_req *req, coat_mark *out)
{
    *out = (coat_mark){.state = COAT_MARK_NONE};
    if (req->result != COAT_OK)
        return;
    decode(req->found, out);
    out->version = req->found_version;
}

static void
take(coat_store_req *req)
{
    coat_mark_take(req, req->ctx);
}

coat_err
coat_mark_read(coat_lane *lane, coat_mark_of of, coat_mark *out)
{
    coat_store_req req = {.done = take, .ctx = out, .timeout_ms = TIMEOUT_MS};
    coat_err err;

    ask(&req, of);
    err = coat_store_run(lane, &req);
    out->of = of;
    return err == COAT_NO_SESSION ? COAT_OK : err;
}

coat_err
coat_mark_write(coat_lane *lane, coat_mark *mark)
{
    uint8_t bytes[HEAD + COAT_MARK_URL_MAX] = {'c', FORMAT, (uint8_t)mark->state};
    size_t len = strlen(mark->other);
    coat_store_req req = {.op = mark->version != 0 ? COAT_OP_REPLACE : COAT_OP_INSERT,
                          .space = COAT_SPACE_META,
                          .address = *coat_mark_address(mark->of),
                          .value = {bytes, HEAD + len},
                          .version = mark->version,
                          .now_ms = 1,
                          .timeout_ms = TIMEOUT_MS};
    coat_err err;

    memcpy(bytes + AT_ID, mark->id, sizeof mark->id);
    memcpy(bytes + HEAD, mark->other, len);
    err = coat_store_run(lane, &req);
    if (err == COAT_OK)
        mark->version = req.found_version;
    return err;
}

coat_err
coat_mark_remove(coat_lane *lane, coat_mark_of of)
{
    coat_store_req req = {.op = COAT_OP_REMOVE,
                          .space = COAT_SPACE_META,
                          .address = *coat_mark_address(of),
                          .timeout_ms = TIMEOUT_MS};

    return coat_store_run(lane, &req);
}

void
coat_mark_explain(const coat_mark *mark, char *message, size_t cap)
{
    coat_out out = coat_out_init(message, cap);

    switch (mark->state) {
    case COAT_MARK_MOVED:
        coat_out_str(&out, mark->of == COAT_MARK_OF_ACCOUNTS
                               ? "the accounts in this store were moved: set accounts.url to "
                               : "everything in this store was moved: set store.url to ");
        coat_out_str(&out, mark->other);
        break;
    case COAT_MARK_HOLDING:
        coat_out_str(&out, "this store is just being moved to ");
        coat_out_str(&out, mark->other);
        coat_out_str(&out, "; if that was cut off, run coatcheck store copy again");
        break;
    case COAT_MARK_FILLING:
        coat_out_str(&out, "this store is being filled from ");
        coat_out_str(&out, mark->other);
        coat_out_str(&out, " and not complete: go on with coatcheck store copy, or use that");
        break;
    case COAT_MARK_UNREADABLE:
        coat_out_str(&out, "this store was marked by a copy of a later release");
        break;
    case COAT_MARK_NONE:
    case COAT_MARK_SOURCE:
        break;
    }
    (void)coat_out_end(&out);
}
