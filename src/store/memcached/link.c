/* SPDX-License-Identifier: Apache-2.0 */
/**
 * A connection. Replies come in the order of commands and repeat their numbers; one that does
 * not fit what is due, or comes when nothing is, drops the connection with all that is in
 * flight on it.
 */

#include "store/memcached/memcached.h"

#include <stdio.h>

bool
mc_expect(mc_link *link, mc_op *op, mc_due_kind kind)
{
    if (link->due_count == link->due_cap) {
        mc_due *grown =
            remote_ring_grow(link->due, sizeof *grown, &link->due_first, &link->due_cap);

        if (grown == NULL) {
            link->out.failed = true;
            remote_link_queued(&link->base);
            return false;
        }
        link->due = grown;
    }
    link->due[(link->due_first + link->due_count++) % link->due_cap] =
        (mc_due){op, kind, link->number};
    return true;
}

void
mc_fail(mc_link *link, const char *why)
{
    mc_node *node = mc_node_of_link(link);

    pthread_mutex_lock(&node->remote.mutex);
    (void)snprintf(node->trouble, sizeof node->trouble, "%s", why);
    pthread_mutex_unlock(&node->remote.mutex);
    remote_link_failed(&link->base);
}

bool
mc_random(mc_link *link, uint64_t *out)
{
    const remote_store *store = remote_store_of(&link->base);
    uint8_t bytes[sizeof *out];

    /* Not libsodium's, which ends the process where there is none to be had. */
    if (store->rng(store->rng_ctx, bytes, sizeof bytes) != COAT_OK) {
        mc_fail(link, "the system has no random numbers");
        return false;
    }
    *out = coat_load64(bytes);
    return true;
}

/* ---- replies ---- */

static bool
begins(coat_span text, const char *with)
{
    return text.len >= strlen(with) && memcmp(text.ptr, with, strlen(with)) == 0;
}

/** Can this be the answer to that? */
static bool
fits(const mc_due *due, const mc_reply *reply)
{
    if (reply->code == MC_LINE)
        return (due->kind == DUE_WRITE || due->kind == DUE_REVIVE) &&
               begins(reply->line, "SERVER_ERROR ");
    if (!reply->has_opaque || reply->opaque != due->number)
        return false;
    if (due->kind == DUE_WRITE || due->kind == DUE_REVIVE)
        return reply->code == MC_HD || reply->code == MC_NS || reply->code == MC_EX ||
               reply->code == MC_NF;
    return reply->code == MC_EN || (reply->code == MC_VA && reply->has_cas);
}

static void
take_reply(mc_link *link, const mc_reply *reply)
{
    mc_due due;
    char why[160];

    if (link->due_count == 0) {
        mc_fail(link, "a reply that nobody has asked for");
        return;
    }
    due = link->due[link->due_first];
    if (due.kind == DUE_HELLO) {
        mc_hello_reply(link, reply);
        return;
    }
    if (!fits(&due, reply)) {
        if (reply->code == MC_LINE)
            (void)snprintf(why, sizeof why, "the server says: %.*s",
                           reply->line.len < 120 ? (int)reply->line.len : 120,
                           (const char *)reply->line.ptr);
        else
            (void)snprintf(why, sizeof why, "an answer to another request");
        mc_fail(link, why);
        return;
    }
    link->due_first = (link->due_first + 1) % link->due_cap;
    link->due_count--;
    mc_op_reply(link, &due, reply);
}

void
mc_bytes(void *ctx, const uint8_t *bytes, size_t len)
{
    mc_link *link = ctx;
    uint64_t connection = link->connection;
    mc_reply reply;
    bool whole = true;
    coat_err err = mc_reader_feed(&link->reader, bytes, len);

    /* A reply may drop the link, and a callback may have it begin anew. */
    while (err == COAT_OK && link->connection == connection) {
        err = mc_reader_next(&link->reader, &reply, &whole);
        if (err != COAT_OK || !whole)
            break;
        take_reply(link, &reply);
        mc_reply_free(&reply);
    }
    if (err != COAT_OK && link->connection == connection)
        mc_fail(link, "what it sends is not the meta protocol of memcached");
}

static void
on_ready(void *ctx)
{
    mc_hello(ctx);
}

static void
on_lost(void *ctx, const char *why)
{
    mc_fail(ctx, why);
}

/* ---- for the lane ---- */

static void
start(remote_link *base)
{
    mc_link *link = (mc_link *)base;
    mc_node *node = mc_node_of_link(link);
    remote_owner owner = {link, on_ready, mc_bytes, on_lost};

    link->greeted = link->ready = false;
    link->hello = 0;
    /* So that what an earlier connection was answered fits nothing of this one. */
    if (!mc_random(link, &link->number))
        return;
    pthread_mutex_lock(&node->remote.mutex);
    link->losses = node->losses;
    pthread_mutex_unlock(&node->remote.mutex);
    if (remote_stream_open(base->lane->loop, &node->address, &owner, &link->stream) != COAT_OK)
        mc_fail(link, "no connection can be begun");
}

/**
 * memcached reads a value up to its end and then waits for its socket. What has come behind it
 * in the same TLS record is in OpenSSL by then, and nobody looks there (seen with 1.6.18): so a
 * record ends where a value does, and none is larger than its buffer.
 */
static void
write_records(mc_link *link)
{
    enum { RECORD = 8192 };
    remote_buffer all = link->out, cuts = link->cuts;
    uint64_t connection = link->connection;
    size_t at = 0, cut = 0, ends;

    link->out = link->cuts = (remote_buffer){0};
    while (at < all.len && link->connection == connection) {
        remote_buffer record = {0};

        ends = all.len;
        if (cut < cuts.len)
            memcpy(&ends, cuts.ptr + cut, sizeof ends);
        if (ends - at > RECORD)
            ends = at + RECORD;
        else
            cut += sizeof ends;
        remote_buffer_add(&record, all.ptr + at, ends - at);
        if (record.failed)
            mc_fail(link, "out of memory");
        else
            remote_stream_write(link->stream, &record);
        remote_buffer_free(&record);
        at = ends;
    }
    remote_buffer_free(&all);
    remote_buffer_free(&cuts);
}

static void
flush(remote_link *base)
{
    mc_link *link = (mc_link *)base;

    if (link->out.failed || link->cuts.failed)
        mc_fail(link, "out of memory");
    else if (link->out.len > 0 && mc_node_of_link(link)->address.tls != NULL)
        write_records(link);
    else if (link->out.len > 0)
        remote_stream_write(link->stream, &link->out);
    link->cuts.len = 0;
}

static void
stop(remote_link *base)
{
    mc_link *link = (mc_link *)base;
    mc_node *node = mc_node_of_link(link);

    mc_doubt(link);
    if (link->greeted) {
        pthread_mutex_lock(&node->remote.mutex);
        node->losses++;
        pthread_mutex_unlock(&node->remote.mutex);
    }
    for (coat_store_req *req = base->flight.head; req != NULL;
         req = remote_pending_of(req)->next) {
        mc_op_free(remote_pending_of(req)->data);
        remote_pending_of(req)->data = NULL;
    }
    while (link->own != NULL)
        mc_op_drop(link, link->own);
    link->connection++;
    link->greeted = link->ready = false;
    remote_stream_drop(link->stream);
    link->stream = NULL;
    mc_reader_fini(&link->reader);
    remote_buffer_free(&link->out);
    remote_buffer_free(&link->cuts);
    free(link->due);
    link->due = NULL;
    link->due_first = link->due_count = link->due_cap = 0;
}

const struct remote_kind mc_kind = {
    .link_bytes = sizeof(mc_link),
    .start = start,
    .send = mc_send,
    .flush = flush,
    .stop = stop,
};
