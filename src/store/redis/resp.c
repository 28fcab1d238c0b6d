/* SPDX-License-Identifier: Apache-2.0 */
#include "store/redis/resp.h"

#include "core/out.h"

#include <hiredis/read.h>

struct resp_reader {
    redisReader *hiredis;
    size_t nodes; /* of the reply that is being read */
    bool too_large;
};

/* ---- replies ---- */

void
resp_reply_free(resp_reply *reply)
{
    if (reply == NULL)
        return;
    for (size_t i = 0; i < reply->count; i++)
        resp_reply_free(reply->items[i]);
    free(reply->items);
    free((void *)(uintptr_t)reply->text.ptr);
    free(reply);
}

static resp_reply *
new_node(const redisReadTask *task)
{
    resp_reader *reader = task->privdata;
    resp_reply *node;

    if (reader->nodes == RESP_NODES_MAX) {
        reader->too_large = true;
        return NULL;
    }
    node = calloc(1, sizeof *node);
    if (node == NULL)
        return NULL;
    reader->nodes++;
    node->type = (resp_type)task->type;
    return node;
}

static void *
hang(const redisReadTask *task, resp_reply *node)
{
    if (node != NULL && task->parent != NULL) {
        resp_reply *parent = task->parent->obj;

        parent->items[task->idx] = node;
    }
    return node;
}

static void *
create_string(const redisReadTask *task, char *bytes, size_t len)
{
    resp_reply *node = new_node(task);
    uint8_t *copy;

    if (node == NULL)
        return NULL;
    copy = malloc(len > 0 ? len : 1);
    if (copy == NULL) {
        free(node);
        return NULL;
    }
    if (len > 0)
        memcpy(copy, bytes, len);
    node->text = (coat_span){copy, len};
    return hang(task, node);
}

static void *
create_array(const redisReadTask *task, int elements)
{
    resp_reader *reader = task->privdata;
    resp_reply *node;

    if (elements < 0 || elements > RESP_ELEMENTS_MAX) {
        reader->too_large = true;
        return NULL;
    }
    node = new_node(task);
    if (node == NULL || elements == 0)
        return hang(task, node);
    node->items = calloc((size_t)elements, sizeof *node->items);
    if (node->items == NULL) {
        free(node);
        return NULL;
    }
    node->count = (size_t)elements;
    return hang(task, node);
}

static void *
create_integer(const redisReadTask *task, long long value)
{
    resp_reply *node = new_node(task);

    if (node != NULL)
        node->integer = value;
    return hang(task, node);
}

static void *
create_nil(const redisReadTask *task)
{
    resp_reply *node = new_node(task);

    if (node != NULL)
        node->type = RESP_NIL; /* the task is one of a string or an array */
    return hang(task, node);
}

static void
free_object(void *object)
{
    resp_reply_free(object);
}

/* By name: later versions have more of them, in another order. What those would be for belongs
 * to RESP3, which is never asked for. */
static redisReplyObjectFunctions functions = {.createString = create_string,
                                              .createArray = create_array,
                                              .createInteger = create_integer,
                                              .createNil = create_nil,
                                              .freeObject = free_object};

resp_reader *
resp_reader_new(void)
{
    resp_reader *reader = calloc(1, sizeof *reader);

    if (reader == NULL)
        return NULL;
    reader->hiredis = redisReaderCreateWithFunctions(&functions);
    if (reader->hiredis == NULL) {
        free(reader);
        return NULL;
    }
    reader->hiredis->privdata = reader;
    return reader;
}

void
resp_reader_free(resp_reader *reader)
{
    if (reader == NULL)
        return;
    redisReaderFree(reader->hiredis);
    free(reader);
}

static coat_err
failure(const resp_reader *reader)
{
    if (reader->too_large)
        return COAT_TOO_LARGE;
    return reader->hiredis->err == REDIS_ERR_OOM ? COAT_NO_MEMORY : COAT_MALFORMED;
}

coat_err
resp_feed(resp_reader *reader, const uint8_t *bytes, size_t len)
{
    const redisReader *r = reader->hiredis;

    if (r->err == 0 && len > RESP_REPLY_MAX - (r->len - r->pos))
        reader->too_large = true;
    if (reader->too_large)
        return COAT_TOO_LARGE;
    if (redisReaderFeed(reader->hiredis, (const char *)bytes, len) != REDIS_OK)
        return failure(reader);
    return COAT_OK;
}

coat_err
resp_next(resp_reader *reader, resp_reply **out)
{
    void *reply = NULL;

    if (reader->too_large)
        return COAT_TOO_LARGE;
    if (redisReaderGetReply(reader->hiredis, &reply) != REDIS_OK) {
        return failure(reader);
    }
    if (reply != NULL)
        reader->nodes = 0;
    *out = reply;
    return COAT_OK;
}

bool
resp_number(const resp_reply *reply, uint64_t *out)
{
    static const uint64_t exact = (uint64_t)1 << 53;
    uint64_t number = 0;

    if (reply->type != RESP_STRING || reply->text.len == 0 || reply->text.len > 16)
        return false;
    for (size_t i = 0; i < reply->text.len; i++) {
        uint8_t c = reply->text.ptr[i];

        if (c < '0' || c > '9')
            return false;
        number = number * 10 + (uint64_t)(c - '0');
    }
    if (number >= exact)
        return false;
    *out = number;
    return true;
}

/* ---- commands ---- */

static void
add_length(remote_buffer *out, char sigil, size_t len)
{
    char text[24];
    coat_out line = coat_out_init(text, sizeof text);

    coat_out_char(&line, sigil);
    coat_out_uint(&line, len);
    coat_out_str(&line, "\r\n");
    remote_buffer_add(out, text, line.len);
}

void
resp_begin(remote_buffer *out, size_t args)
{
    add_length(out, '*', args);
}

void
resp_arg(remote_buffer *out, const void *bytes, size_t len)
{
    add_length(out, '$', len);
    remote_buffer_add(out, bytes, len);
    remote_buffer_add(out, "\r\n", 2);
}

void
resp_arg_two(remote_buffer *out, coat_span first, coat_span second)
{
    add_length(out, '$', first.len + second.len);
    remote_buffer_add(out, first.ptr, first.len);
    remote_buffer_add(out, second.ptr, second.len);
    remote_buffer_add(out, "\r\n", 2);
}

void
resp_arg_str(remote_buffer *out, const char *text)
{
    resp_arg(out, text, strlen(text));
}

void
resp_arg_uint(remote_buffer *out, uint64_t number)
{
    char text[24];
    coat_out line = coat_out_init(text, sizeof text);

    coat_out_uint(&line, number);
    resp_arg(out, text, line.len);
}
