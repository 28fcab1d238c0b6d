/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/stamp.h"

#include <string.h>

/* Other addresses of META are keyed hashes; this one is a word. */
static const coat_handle stamp_address = {.bytes = "table-stamp-0001"};

_Static_assert(sizeof(coat_handle) == 16, "the word fills an address");

/** The one request, on a lane of its own. */
static coat_err
run(const coat_engine_conf *conf, coat_store_req *req)
{
    coat_lane *lane;
    coat_err err = coat_lane_open(conf->store, NULL, &lane);

    if (err != COAT_OK)
        return err;
    req->space = COAT_SPACE_META;
    req->address = stamp_address;
    err = coat_store_run(lane, req);
    coat_lane_close(lane);
    return err;
}

/* What is found is borrowed until done() returns. */
static void
keep(coat_store_req *req)
{
    coat_stamp *out = req->ctx;

    if (req->result != COAT_OK)
        return;
    out->version = req->found_version;
    if (req->found.len == COAT_STAMP_BYTES)
        memcpy(out->bytes, req->found.ptr, COAT_STAMP_BYTES);
}

coat_err
coat_stamp_read(const coat_engine_conf *conf, int64_t now_ms, coat_stamp *out)
{
    coat_stamp stamp = {.version = 0};
    coat_store_req req = {.op = COAT_OP_LOAD, .now_ms = now_ms, .done = keep, .ctx = &stamp};
    coat_rng_fn rng = conf->rng != NULL ? conf->rng : coat_rng_system;
    coat_err err = rng(conf->rng_ctx, stamp.bytes, sizeof stamp.bytes);

    if (err != COAT_OK)
        return err;
    err = run(conf, &req);
    if (err == COAT_OK || err == COAT_NO_SESSION) {
        *out = stamp;
        return COAT_OK;
    }
    return err;
}

coat_err
coat_stamp_renew(const coat_engine_conf *conf, int64_t now_ms, const coat_stamp *before,
                 coat_stamp *out)
{
    coat_stamp stamp = {.version = 0};
    coat_store_req req = {.op = before->version != 0 ? COAT_OP_REPLACE : COAT_OP_INSERT,
                          .version = before->version,
                          .now_ms = now_ms,
                          .value = {stamp.bytes, sizeof stamp.bytes}};
    coat_rng_fn rng = conf->rng != NULL ? conf->rng : coat_rng_system;
    coat_err err = rng(conf->rng_ctx, stamp.bytes, sizeof stamp.bytes);

    if (err == COAT_OK)
        err = run(conf, &req);
    if (err == COAT_OK)
        *out = stamp;
    return err;
}
