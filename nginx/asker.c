/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who asks: address, browser, language, as the daemon sees them (LC-13). The requests of a
 * connection nearly all say the same, so the hash of that is kept with the connection, beside
 * the text that it is of; where any of it differs it is computed.
 */
#include "module.h"

#include "core/bytes.h"
#include "core/chars.h"

enum { KEPT_MAX = 320 }; /* most are half of it; who has more to say is hashed each time */

typedef struct kept {
    const coat_ngx_table *table;
    ngx_uint_t opened; /* of the table: another one has another key */
    uint64_t context;
    size_t len[3];
    u_char text[KEPT_MAX]; /* address, browser, languages */
} kept;

/** The text that a context follows from. */
typedef struct said {
    coat_span part[3];
} said;

static said
said_of(const ngx_http_request_t *r, const coat_ngx_ctx *ctx)
{
    return (said){{coat_ngx_span(r->connection->addr_text),
                   coat_ngx_cut(ctx->agent, COAT_AGENT_MAX), ctx->language}};
}

/* Streams of HTTP/2 have connections of their own, which end with them. */
static ngx_connection_t *
connection_of(const ngx_http_request_t *r)
{
#if (NGX_HTTP_V2)
    if (r->stream != NULL)
        return r->stream->connection->connection;
#endif
    return r->connection;
}

/* Does nothing: by this the connection's pool knows what is ours. */
static void
end(void *data)
{
    (void)data;
}

static kept *
kept_by(const ngx_connection_t *c)
{
    for (ngx_pool_cleanup_t *cln = c->pool->cleanup; cln != NULL; cln = cln->next)
        if (cln->handler == end)
            return cln->data;
    return NULL;
}

/* Addresses and languages are short: compared without a call. */
static inline bool
is_at(coat_span part, const u_char *text, size_t len)
{
    if (part.len != len)
        return false;
    if (len >= 8 && len <= 16)
        return coat_load64(part.ptr) == coat_load64(text) &&
               coat_load64(part.ptr + len - 8) == coat_load64(text + len - 8);
    return len == 0 || memcmp(part.ptr, text, len) == 0;
}

static inline bool
is_same(const kept *k, const said *now)
{
    const u_char *agent = k->text + k->len[0], *languages = agent + k->len[1];

    return is_at(now->part[0], k->text, k->len[0]) && is_at(now->part[1], agent, k->len[1]) &&
           is_at(now->part[2], languages, k->len[2]);
}

/* As the daemon sees it, byte for byte: it is what the daemon noted that is compared. */
static coat_span
client_address(const ngx_connection_t *c, char buf[static 46])
{
    coat_address address;

    if (c->sockaddr->sa_family == AF_INET)
        return coat_ngx_span(c->addr_text);
    if (c->sockaddr->sa_family != AF_INET6 ||
        coat_address_parse(coat_ngx_span(c->addr_text), &address) != COAT_OK)
        return (coat_span){NULL, 0};
    coat_address_format(&address, buf, 46);
    return coat_span_of(buf);
}

static const coat_context *
put_together(void *data)
{
    coat_ngx_asker *room = data;
    coat_span language = room->ctx->language;
    size_t len = coat_language_first(language, room->language, sizeof room->language);

    room->context = (coat_context){
        .address = client_address(room->r->connection, room->address),
        .agent = coat_ngx_cut(room->ctx->agent, COAT_AGENT_MAX),
        .language = {(uint8_t *)room->language, len},
    };
    return &room->context;
}

void
coat_ngx_asker_of(const ngx_http_request_t *r, const coat_ngx_ctx *ctx,
                  const coat_ngx_table *table, coat_ngx_asker *room, coat_table_query *query)
{
    const kept *k = kept_by(connection_of(r));

    if (k != NULL && k->table == table && k->opened == table->opened) {
        said now = said_of(r, ctx);

        if (is_same(k, &now)) {
            query->context = k->context;
            return;
        }
    }
    room->r = r;
    room->ctx = ctx;
    query->from = put_together;
    query->from_ctx = room;
}

void
coat_ngx_asker_keep(const ngx_http_request_t *r, const coat_ngx_ctx *ctx,
                    const coat_ngx_table *table, uint64_t context)
{
    ngx_connection_t *c = connection_of(r);
    kept *k = kept_by(c);
    said now = said_of(r, ctx);
    ngx_pool_cleanup_t *cln;
    u_char *p;

    /* Many connections have one request only. */
    if (context == 0 || c->requests < 2 ||
        now.part[0].len + now.part[1].len + now.part[2].len > sizeof k->text)
        return;
    if (k == NULL) {
        cln = ngx_pool_cleanup_add(c->pool, sizeof *k);
        if (cln == NULL)
            return;
        cln->handler = end;
        k = cln->data;
    }
    k->table = table;
    k->opened = table->opened;
    k->context = context;
    p = k->text;
    for (size_t i = 0; i < 3; i++) {
        k->len[i] = now.part[i].len;
        if (now.part[i].len > 0)
            p = ngx_cpymem(p, now.part[i].ptr, now.part[i].len);
    }
}
