/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_STORE_READ_H
#define COAT_STORE_READ_H

#include "store/kv.h"

/** Takes one entry of LIST_OWNER or SCAN; the value is valid during the call. */
typedef coat_err (*coat_emit_fn)(void *ctx, coat_store_req *req, const coat_store_item *item);

static inline bool
coat_op_reads(coat_op op)
{
    return op == COAT_OP_LOAD || op == COAT_OP_LIST_OWNER || op == COAT_OP_EPOCHS ||
           op == COAT_OP_SCAN;
}

/** Carry out an operation that only reads; sets req's results. req->found lives in the map. */
void coat_read(coat_kv *kv, coat_store_req *req, coat_emit_fn emit, void *ctx);

#endif
