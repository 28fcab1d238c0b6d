/* SPDX-License-Identifier: Apache-2.0 */
#include "store/memory_watch.h"

#include <stdlib.h>
#include <uv.h>

enum { QUEUE_MAX = 65536 }; /* reports nobody fetches: then some are lost, and it says so */

typedef struct queued {
    coat_watch_event event;
    struct queued *next;
    size_t len;
    uint8_t message[];
} queued;

/** libuv frees handles later than their owners. */
typedef struct waker {
    uv_async_t async;
    memory_watch *watch; /* NULL: closed */
} waker;

struct memory_watch {
    coat_watch base;
    coat_watch_sink sink;
    pthread_mutex_t *mutex;
    waker *waker; /* NULL: no loop */
    queued *head, *tail;
    size_t count;
    bool ready;   /* READY was reported */
    bool missing; /* a report did not fit */
    bool delivering;
    memory_watch *next;
};

static void
drop_queue(memory_watch *watch)
{
    while (watch->head != NULL) {
        queued *q = watch->head;

        watch->head = q->next;
        free(q);
    }
    watch->tail = NULL;
    watch->count = 0;
}

void
memory_watches_free(memory_watches *all)
{
    free(all->members);
    all->members = NULL;
}

static void
on_wake(uv_async_t *async)
{
    waker *w = async->data;

    if (w->watch != NULL)
        memory_watch_deliver(w->watch);
}

static void
on_close(uv_handle_t *handle)
{
    free(handle->data);
}

static coat_err
waker_new(memory_watch *watch, struct uv_loop_s *loop)
{
    waker *w = calloc(1, sizeof *w);

    if (w == NULL || uv_async_init(loop, &w->async, on_wake) != 0) {
        free(w);
        return COAT_NO_MEMORY;
    }
    w->async.data = w;
    w->watch = watch;
    uv_unref((uv_handle_t *)&w->async); /* watching does not keep a loop running */
    watch->waker = w;
    (void)uv_async_send(&w->async); /* READY */
    return COAT_OK;
}

coat_err
memory_watch_new(memory_watches *all, coat_lane *lane, struct uv_loop_s *loop,
                 pthread_mutex_t *mutex, const coat_watch_sink *sink, memory_watch **out)
{
    memory_watch *watch = calloc(1, sizeof *watch);

    if (watch == NULL)
        return COAT_NO_MEMORY;
    watch->base.lane = lane;
    watch->sink = *sink;
    watch->mutex = mutex;
    if (loop != NULL && waker_new(watch, loop) != COAT_OK) {
        free(watch);
        return COAT_NO_MEMORY;
    }
    watch->next = all->first;
    all->first = watch;
    *out = watch;
    return COAT_OK;
}

void
memory_watch_end(memory_watches *all, memory_watch *watch)
{
    memory_watch **at = &all->first;

    while (*at != watch)
        at = &(*at)->next;
    *at = watch->next;
    if (watch->waker != NULL) {
        watch->waker->watch = NULL;
        uv_close((uv_handle_t *)&watch->waker->async, on_close);
    }
    drop_queue(watch);
    free(watch);
}

/** Take the next report: READY and LOST as they are due, then what is queued. */
static bool
take(memory_watch *watch, coat_watch_event *event, queued **out)
{
    bool some = true;

    *out = NULL;
    (void)pthread_mutex_lock(watch->mutex);
    if (watch->missing && watch->ready) {
        *event = (coat_watch_event){.kind = COAT_WATCH_LOST};
        watch->ready = false;
    } else if (!watch->ready) {
        *event = (coat_watch_event){.kind = COAT_WATCH_READY};
        watch->ready = true;
        watch->missing = false;
        drop_queue(watch);
    } else if (watch->head != NULL) {
        queued *q = watch->head;

        watch->head = q->next;
        if (watch->head == NULL)
            watch->tail = NULL;
        watch->count--;
        *event = q->event;
        event->message = (coat_span){q->message, q->len};
        *out = q;
    } else {
        some = false;
    }
    (void)pthread_mutex_unlock(watch->mutex);
    return some;
}

void
memory_watch_deliver(memory_watch *watch)
{
    coat_watch_event event;
    queued *q;

    /* A report in which something is submitted: the next one waits for its turn. */
    if (watch == NULL || watch->delivering)
        return;
    watch->delivering = true;
    while (take(watch, &event, &q)) {
        watch->sink.event(watch->sink.ctx, &event);
        free(q);
    }
    watch->delivering = false;
}

static void
queue_for(memory_watch *watch, const coat_watch_event *event)
{
    size_t len = event->message.len;
    queued *q = NULL;

    if (!watch->ready || watch->missing)
        return;
    if (watch->count < QUEUE_MAX)
        q = malloc(sizeof *q + len);
    if (q == NULL) {
        watch->missing = true;
        drop_queue(watch);
    } else {
        *q = (queued){.event = *event, .len = len};
        if (len > 0)
            memcpy(q->message, event->message.ptr, len);
        if (watch->tail != NULL)
            watch->tail->next = q;
        else
            watch->head = q;
        watch->tail = q;
        watch->count++;
    }
    if (watch->waker != NULL)
        (void)uv_async_send(&watch->waker->async);
}

static void
tell(memory_watches *all, const coat_handle *to, const coat_watch_event *event)
{
    for (memory_watch *w = all->first; w != NULL; w = w->next)
        if (to == NULL || coat_handle_equal(&w->sink.instance, to))
            queue_for(w, event);
}

static void
tell_gone(memory_watches *all, const coat_handle *handle)
{
    tell(all, NULL,
         &(coat_watch_event){.kind = COAT_WATCH_ADDRESS, .gone = true, .address = *handle});
}

void
memory_watches_tell(memory_watches *all, const coat_store_req *req, const coat_evicted *evicted)
{
    if (all->first == NULL || req->result != COAT_OK)
        return;
    if (req->op == COAT_OP_REMOVE_OWNER)
        tell(all, NULL,
             &(coat_watch_event){.kind = COAT_WATCH_OWNER,
                                 .owner = req->owner,
                                 .has_spare = req->has_spare,
                                 .spare = req->spare,
                                 .epoch = req->epoch_owner});
    if (req->op == COAT_OP_END_ALL)
        tell(all, NULL,
             &(coat_watch_event){.kind = COAT_WATCH_ALL, .epoch = req->epoch_global});
    if (req->space != COAT_SPACE_SESSION)
        return;
    if (req->op == COAT_OP_REPLACE && !req->quiet)
        tell(all, NULL,
             &(coat_watch_event){.kind = COAT_WATCH_ADDRESS, .address = req->address});
    if (req->op == COAT_OP_REMOVE)
        tell_gone(all, &req->address);
    if (req->op == COAT_OP_INSERT && req->has_superseded)
        tell_gone(all, &req->superseded);
    for (uint32_t i = 0; i < evicted->count; i++)
        tell_gone(all, &evicted->handles[i]);
}

/* ---- the register ---- */

static memory_member *
member(memory_watches *all, const coat_handle *instance)
{
    for (size_t i = 0; i < all->count; i++)
        if (coat_handle_equal(&all->members[i].instance, instance))
            return &all->members[i];
    return NULL;
}

static coat_err
enter(memory_watches *all, const coat_handle *instance)
{
    memory_member *m = member(all, instance);

    if (m == NULL && all->count == COAT_STORE_LIST_MAX)
        return COAT_TOO_MANY;
    if (m == NULL && all->count == all->cap) {
        size_t cap = all->cap == 0 ? 8 : all->cap * 2;
        memory_member *grown = reallocarray(all->members, cap, sizeof *grown);

        if (grown == NULL)
            return COAT_NO_MEMORY;
        all->members = grown;
        all->cap = cap;
    }
    if (m == NULL)
        m = &all->members[all->count++];
    *m = (memory_member){*instance, ++all->version};
    return COAT_OK;
}

static coat_err
leave(memory_watches *all, const coat_store_req *req)
{
    memory_member *m = member(all, &req->address);

    if (m == NULL)
        return COAT_OK;
    if (req->version != 0 && req->version != m->version)
        return COAT_CONFLICT;
    *m = all->members[--all->count];
    return COAT_OK;
}

void
memory_watches_apply(memory_watches *all, coat_store_req *req,
                     coat_err (*emit)(void *ctx, coat_store_req *req,
                                      const coat_store_item *item),
                     void *ctx)
{
    if (req->op == COAT_OP_LEAVE) {
        req->result = leave(all, req);
        return;
    }
    req->result = enter(all, &req->address);
    for (size_t i = 0; req->item != NULL && i < all->count && req->result == COAT_OK; i++)
        req->result = emit(ctx, req,
                           &(coat_store_item){.address = all->members[i].instance,
                                              .version = all->members[i].version});
    if (req->result != COAT_OK)
        return;
    req->found_version = all->version;
    tell(all, req->has_to ? &req->to : NULL,
         &(coat_watch_event){
             .kind = COAT_WATCH_SAID, .address = req->address, .message = req->value});
}
