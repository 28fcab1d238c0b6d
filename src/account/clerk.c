/* SPDX-License-Identifier: Apache-2.0 */
#include "account/work.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

struct coat_clerk {
    coat_directory *directory;
    coat_lane *lane;
    uv_loop_t *loop;
    uv_async_t *async; /* outlives the clerk until its close callback */
    coat_work *works;
    uint32_t active;
    bool closing;
    pthread_mutex_t lock; /* guards what hashing threads hand over */
    pthread_cond_t handed;
    coat_job *done, **done_tail;
};

static void
work_unlink(coat_work *work)
{
    coat_clerk *clerk = work->clerk;

    if (work->prev != NULL)
        work->prev->next = work->next;
    else
        clerk->works = work->next;
    if (work->next != NULL)
        work->next->prev = work->prev;
    if (--clerk->active == 0 && clerk->async != NULL)
        uv_unref((uv_handle_t *)clerk->async);
}

static void
work_free(coat_work *work)
{
    coat_policy_drop(work->policy);
    sodium_memzero(work, sizeof *work);
    free(work);
}

/* Wiped before the answer goes out (HD-6). */
static void
work_end(coat_work *work, coat_err result)
{
    coat_account_call *call = work->call;

    work_unlink(work);
    work_free(work);
    call->priv = NULL;
    call->result = result;
    if (call->done != NULL)
        call->done(call);
}

void
coat_work_finish(coat_work *work, coat_err result)
{
    work->finished = true;
    work->result = result;
}

static coat_job *
clerk_collect(coat_clerk *clerk)
{
    coat_job *jobs;

    (void)pthread_mutex_lock(&clerk->lock);
    jobs = clerk->done;
    clerk->done = NULL;
    clerk->done_tail = &clerk->done;
    (void)pthread_mutex_unlock(&clerk->lock);
    return jobs;
}

/* Without a loop there is one call at a time, and so one job. */
static void
clerk_await(coat_clerk *clerk)
{
    (void)pthread_mutex_lock(&clerk->lock);
    while (clerk->done == NULL)
        (void)pthread_cond_wait(&clerk->handed, &clerk->lock);
    (void)pthread_mutex_unlock(&clerk->lock);
    (void)clerk_collect(clerk);
}

static void
work_go(coat_work *work)
{
    if (work->going)
        return;
    work->going = true;
    while (!work->finished && work->state == COAT_WORK_RUN) {
        work->step(work);
        if (work->state == COAT_WORK_HASH && work->clerk->loop == NULL) {
            clerk_await(work->clerk);
            work->state = COAT_WORK_RUN;
        }
    }
    work->going = false;
    if (work->finished)
        work_end(work, work->result);
}

/* What is longer than ours can be reads as empty, and so as tampered with. */
static void
work_keep_found(coat_work *work, const coat_store_req *req)
{
    bool counter = req->space == COAT_SPACE_META;
    uint8_t *to = counter ? work->found_counter : work->found;
    size_t cap = counter ? sizeof work->found_counter : sizeof work->found;
    size_t len = req->result == COAT_OK && req->found.len <= cap ? req->found.len : 0;

    if (len > 0)
        memcpy(to, req->found.ptr, len);
    *(counter ? &work->found_counter_len : &work->found_len) = len;
}

static void
store_done(coat_store_req *req)
{
    coat_work *work = req->ctx;

    if (work->clerk == NULL) {
        work_free(work); /* the call was cancelled; this was the last to know of it */
        return;
    }
    work->result = req->result;
    work->version = req->found_version;
    if (req->op == COAT_OP_LOAD)
        work_keep_found(work, req);
    work->state = COAT_WORK_RUN;
    work_go(work);
}

void
coat_work_submit(coat_work *work, coat_step then)
{
    coat_clerk *clerk = work->clerk;

    work->step = then;
    work->state = COAT_WORK_STORE;
    work->req.now_ms = coat_work_now_ms(work);
    work->req.done = store_done;
    work->req.ctx = work;
    if (clerk->loop != NULL)
        coat_store_submit(clerk->lane, &work->req);
    else
        work->result = coat_store_run(clerk->lane, &work->req);
}

void
coat_work_load(coat_work *work, coat_space space, const coat_handle *address, coat_step then)
{
    work->req = (coat_store_req){.op = COAT_OP_LOAD, .space = space, .address = *address};
    coat_work_submit(work, then);
}

void
coat_work_write(coat_work *work, coat_space space, const coat_handle *address, size_t len,
                uint64_t version, coat_step then)
{
    work->req = (coat_store_req){
        .op = version == 0 ? COAT_OP_INSERT : COAT_OP_REPLACE,
        .space = space,
        .address = *address,
        .value = {work->value, len},
        .version = version,
    };
    coat_work_submit(work, then);
}

void
coat_work_remove(coat_work *work, coat_space space, const coat_handle *address, coat_step then)
{
    work->req = (coat_store_req){.op = COAT_OP_REMOVE, .space = space, .address = *address};
    coat_work_submit(work, then);
}

/* On a hashing thread. The clerk cannot go away before the job was collected. */
static void
hash_done(coat_job *job)
{
    coat_work *work = job->ctx;
    coat_clerk *clerk = work->clerk;

    (void)pthread_mutex_lock(&clerk->lock);
    job->next = NULL;
    *clerk->done_tail = job;
    clerk->done_tail = &job->next;
    (void)pthread_cond_signal(&clerk->handed);
    if (clerk->async != NULL)
        (void)uv_async_send(clerk->async);
    (void)pthread_mutex_unlock(&clerk->lock);
}

void
coat_work_hash(coat_work *work, coat_job_kind kind, coat_step then)
{
    coat_job *job = &work->job;

    job->kind = kind;
    job->params = coat_policy_params(work->policy);
    job->password = (coat_span){work->password, work->password_len};
    job->stored = &work->hash;
    job->renew = true;
    job->done = hash_done;
    job->ctx = work;
    work->step = then;
    if (coat_pool_submit(work->directory->pool, job) == COAT_OK)
        work->state = COAT_WORK_HASH;
    else
        job->result = COAT_BUSY;
}

static void
on_async(uv_async_t *async)
{
    coat_clerk *clerk = async->data;
    coat_job *job = clerk != NULL ? clerk_collect(clerk) : NULL;

    while (job != NULL) {
        coat_work *work = job->ctx;

        job = job->next;
        work->state = COAT_WORK_RUN;
        work_go(work);
    }
}

static void
on_async_closed(uv_handle_t *handle)
{
    free(handle);
}

static coat_err
clerk_attach(coat_clerk *clerk, uv_loop_t *loop)
{
    clerk->loop = loop;
    clerk->async = malloc(sizeof *clerk->async);
    if (clerk->async == NULL)
        return COAT_NO_MEMORY;
    if (uv_async_init(loop, clerk->async, on_async) != 0) {
        free(clerk->async);
        clerk->async = NULL;
        return COAT_IO;
    }
    clerk->async->data = clerk;
    uv_unref((uv_handle_t *)clerk->async); /* an idle clerk keeps no loop alive */
    return COAT_OK;
}

coat_err
coat_clerk_open(coat_directory *directory, coat_lane *lane, struct uv_loop_s *loop,
                coat_clerk **out)
{
    coat_clerk *clerk = calloc(1, sizeof *clerk);

    if (clerk == NULL)
        return COAT_NO_MEMORY;
    clerk->directory = directory;
    clerk->lane = lane;
    clerk->done_tail = &clerk->done;
    (void)pthread_mutex_init(&clerk->lock, NULL);
    (void)pthread_cond_init(&clerk->handed, NULL);
    if (loop != NULL) {
        coat_err err = clerk_attach(clerk, loop);

        if (err != COAT_OK) {
            coat_clerk_close(clerk);
            return err;
        }
    }
    *out = clerk;
    return COAT_OK;
}

/* Wait for the jobs that a thread has already begun; take back the others. */
static void
clerk_reclaim_jobs(coat_clerk *clerk)
{
    uint32_t running = 0;

    for (coat_work *work = clerk->works; work != NULL; work = work->next)
        if (work->state == COAT_WORK_HASH &&
            !coat_pool_withdraw(clerk->directory->pool, &work->job))
            running++;
    (void)pthread_mutex_lock(&clerk->lock);
    for (;;) {
        uint32_t handed = 0;

        for (coat_job *job = clerk->done; job != NULL; job = job->next)
            handed++;
        if (handed >= running)
            break;
        (void)pthread_cond_wait(&clerk->handed, &clerk->lock);
    }
    clerk->done = NULL;
    clerk->done_tail = &clerk->done;
    (void)pthread_mutex_unlock(&clerk->lock);
}

void
coat_clerk_close(coat_clerk *clerk)
{
    if (clerk == NULL)
        return;
    clerk->closing = true;
    clerk_reclaim_jobs(clerk);
    while (clerk->works != NULL) {
        coat_work *work = clerk->works;
        coat_account_call *call = work->call;

        if (work->state != COAT_WORK_STORE) {
            work_end(work, COAT_CANCELLED);
            continue;
        }
        /* The store holds the request until its done(): at the latest when the lane closes. */
        work_unlink(work);
        work->clerk = NULL;
        work->call = NULL;
        sodium_memzero(work->password, sizeof work->password);
        call->priv = NULL;
        call->result = COAT_CANCELLED;
        if (call->done != NULL)
            call->done(call);
    }
    if (clerk->async != NULL) {
        clerk->async->data = NULL;
        uv_close((uv_handle_t *)clerk->async, on_async_closed);
    }
    (void)pthread_cond_destroy(&clerk->handed);
    (void)pthread_mutex_destroy(&clerk->lock);
    free(clerk);
}

static void
call_reset(coat_account_call *call)
{
    call->result = COAT_DENIED;
    call->fault = COAT_PASSWORD_FINE;
    memset(call->user, 0, sizeof call->user);
    memset(call->user_roles, 0, sizeof call->user_roles);
    memset(call->device_text, 0, sizeof call->device_text);
    call->retry_after_s = 0;
    call->more = false;
    memset(&call->next, 0, sizeof call->next);
    call->priv = NULL;
}

static void
call_refuse(coat_account_call *call, coat_err result)
{
    call->result = result;
    if (call->done != NULL)
        call->done(call);
}

void
coat_account_start(coat_clerk *clerk, coat_account_call *call)
{
    coat_work *work;

    call_reset(call);
    if (clerk->closing) {
        call_refuse(call, COAT_CANCELLED);
        return;
    }
    work = calloc(1, sizeof *work);
    if (work == NULL) {
        call_refuse(call, COAT_NO_MEMORY);
        return;
    }
    work->clerk = clerk;
    work->call = call;
    work->directory = clerk->directory;
    work->policy = coat_directory_policy(clerk->directory);
    work->step = call->op == COAT_ACCOUNT_SIGN_IN || call->op == COAT_ACCOUNT_VERIFY
                     ? coat_signin_begin
                     : coat_manage_begin;
    work->next = clerk->works;
    if (work->next != NULL)
        work->next->prev = work;
    clerk->works = work;
    if (clerk->active++ == 0 && clerk->async != NULL)
        uv_ref((uv_handle_t *)clerk->async);
    call->priv = work;
    work_go(work);
}

coat_err
coat_account_run(coat_clerk *clerk, coat_account_call *call)
{
    if (clerk->loop != NULL) {
        call_reset(call);
        return call->result = COAT_INVALID;
    }
    coat_account_start(clerk, call);
    return call->result;
}
