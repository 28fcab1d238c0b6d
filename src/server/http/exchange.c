/* SPDX-License-Identifier: Apache-2.0 */
#include "server/http/internal.h"

#include <sodium.h>
#include <stdlib.h>

coat_exchange *
coat_exchange_take(coat_loop *loop, coat_conn *conn)
{
    coat_exchange *ex = loop->spare_exchanges;

    if (ex != NULL) {
        loop->spare_exchanges = ex->next;
        loop->spare_exchange_count--;
    } else {
        ex = malloc(sizeof *ex);
        if (ex == NULL)
            return NULL;
    }
    ex->conn = conn;
    ex->base = ex->end = 0;
    ex->in_flight = false;
    ex->json = NULL;
    coat_parser_reset(&ex->parser);
    return ex;
}

void
coat_exchange_give(coat_loop *loop, coat_exchange *ex)
{
    if (ex == NULL)
        return;
    if (ex->parser.state >= COAT_PARSER_BODY) /* broken off with part of a password, perhaps */
        sodium_memzero(ex->bytes, ex->end);
    if (loop->spare_exchange_count == COAT_SPARES_MAX) {
        free(ex);
        return;
    }
    ex->next = loop->spare_exchanges;
    loop->spare_exchanges = ex;
    loop->spare_exchange_count++;
}

/* Unique among all requests of this installation, and telling nothing: a mixed counter. */
static void
make_id(coat_loop *loop, char id[COAT_HTTP_ID_CHARS + 1])
{
    static const char digits[] = "0123456789abcdef";
    uint64_t z = loop->id_seed + ++loop->id_count * 0x9e3779b97f4a7c15U;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    z ^= z >> 31;
    for (int i = 0; i < COAT_HTTP_ID_CHARS; i++, z >>= 4)
        id[i] = digits[z & 15];
    id[COAT_HTTP_ID_CHARS] = '\0';
}

static void
begin(coat_exchange *ex)
{
    coat_conn *conn = ex->conn;
    coat_http_request *req = &ex->req;

    memset(req, 0, sizeof *req);
    ex->in_flight = true;
    ex->body_type = COAT_HTTP_BODY_NONE;
    ex->body_parsed = ex->query_parsed = false;
    ex->arena_used = 0;
    req->peer = conn->peer;
    req->listener = conn->listener;
    req->loop_data = conn->loop->data;
    make_id(conn->loop, req->id);
    conn->phase = COAT_PHASE_HANDLER;
}

void
coat_exchange_run(coat_exchange *ex)
{
    coat_loop *loop = ex->conn->loop;

    begin(ex);
    coat_parser_head(&ex->parser, ex->bytes + ex->base, &ex->req, ex->fields);
    if (loop->stopping)
        ex->req.keep_alive = false;
    COAT_COUNT(loop, requests);
    coat_router_dispatch(ex->conn->listener->router, &ex->req);
}

void
coat_exchange_refuse(coat_exchange *ex, unsigned status, const char *reason)
{
    begin(ex);
    ex->req.minor = 1;
    ex->req.fields = ex->fields;
    ex->conn->refused = true;
    if (status != 408)
        COAT_COUNT(ex->conn->loop, bad_requests);
    coat_http_error(&ex->req, status, reason);
}
