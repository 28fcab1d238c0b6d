/* SPDX-License-Identifier: Apache-2.0 */
#include "server/http/internal.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

int64_t
coat_loop_now(coat_loop *loop)
{
    if (!loop->server->conf.by_hand)
        loop->now_ms = (int64_t)uv_now(&loop->uv);
    return loop->now_ms;
}

static void
on_timer(uv_timer_t *timer)
{
    coat_loop *loop = timer->data;

    if (!loop->server->conf.by_hand)
        coat_loop_tick(loop, (int64_t)uv_now(&loop->uv));
}

/* Only while something can be due: an idle daemon does not wake up. */
void
coat_loop_want_ticks(coat_loop *loop)
{
    if (loop->ticking)
        return;
    loop->ticking = true;
    (void)uv_timer_start(&loop->timer, on_timer, COAT_WHEEL_STEP_MS, COAT_WHEEL_STEP_MS);
}

static void
fire(void *ctx, coat_wheel_node *node)
{
    (void)ctx;
    coat_conn_timeout((coat_conn *)((char *)node - offsetof(coat_conn, timeout)));
}

static coat_conn *
first_open(coat_loop *loop, coat_conn *from)
{
    while (from != &loop->conns && from->closing)
        from = from->next;
    return from == &loop->conns ? NULL : from;
}

static void
close_all(coat_loop *loop)
{
    coat_conn *conn;

    while ((conn = first_open(loop, loop->conns.next)) != NULL)
        coat_conn_close(conn);
}

static void
shut_down(coat_loop *loop)
{
    coat_http_conf *conf = &loop->server->conf;

    if (loop->stopped)
        return;
    loop->stopped = true;
    if (conf->loop_stop != NULL && loop->started)
        conf->loop_stop(conf->ctx, &loop->uv, loop->index, loop->data);
    uv_close((uv_handle_t *)&loop->timer, NULL);
    uv_close((uv_handle_t *)&loop->wake, NULL);
}

static void
begin_stop(coat_loop *loop)
{
    size_t ports = loop->server->conf.listener_count;

    loop->stopping = true;
    loop->stop_deadline_ms = coat_loop_now(loop) + loop->server->conf.limits.stop_ms;
    for (size_t i = 0; i < ports; i++)
        coat_port_close(&loop->ports[i]);
    for (coat_conn *conn = loop->conns.next, *next; conn != &loop->conns; conn = next) {
        next = conn->next;
        if (!conn->closing)
            coat_conn_stop(conn);
    }
    coat_loop_want_ticks(loop);
    if (loop->conn_count == 0)
        shut_down(loop);
}

static void
run_task(coat_loop *loop)
{
    coat_http_server *server = loop->server;
    coat_task task;
    bool due;

    uv_mutex_lock(&server->task_lock);
    due = loop->task_seen != server->task_serial;
    loop->task_seen = server->task_serial;
    task = server->task;
    uv_mutex_unlock(&server->task_lock);
    if (!due)
        return;
    task.fn(task.arg, loop->data);
    uv_mutex_lock(&server->task_lock);
    if (--server->task.left == 0)
        uv_cond_broadcast(&server->task_done);
    uv_mutex_unlock(&server->task_lock);
}

static void
on_wake(uv_async_t *wake)
{
    coat_loop *loop = wake->data;

    run_task(loop);
    if (__atomic_load_n(&loop->server->stop_wanted, __ATOMIC_ACQUIRE) && !loop->stopping)
        begin_stop(loop);
}

void
coat_loop_tick(coat_loop *loop, int64_t now_ms)
{
    bool paused = false;

    loop->now_ms = now_ms;
    coat_wheel_advance(&loop->wheel, now_ms, fire, NULL);
    if (loop->spare_fd < 0)
        loop->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    for (size_t i = 0; i < loop->server->conf.listener_count; i++) {
        paused |= loop->ports[i].paused;
        coat_port_resume(&loop->ports[i]);
    }
    if (loop->stopping && !loop->stopped && now_ms >= loop->stop_deadline_ms) {
        close_all(loop);
        shut_down(loop);
    } else if (!loop->stopping && loop->conn_count == 0 && !paused && loop->ticking) {
        loop->ticking = false;
        (void)uv_timer_stop(&loop->timer);
    }
}

void
coat_loop_joined(coat_loop *loop, coat_conn *conn)
{
    coat_http_server *server = loop->server;
    bool admin = conn->listener->role == COAT_HTTP_ADMIN;

    conn->next = &loop->conns;
    conn->prev = loop->conns.prev;
    loop->conns.prev->next = conn;
    loop->conns.prev = conn;
    loop->conn_count++;
    (void)__atomic_add_fetch(admin ? &server->open_admin : &server->open, 1, __ATOMIC_RELAXED);
    coat_loop_want_ticks(loop);
}

void
coat_loop_left(coat_loop *loop, coat_conn *conn)
{
    coat_http_server *server = loop->server;
    bool admin = conn->listener->role == COAT_HTTP_ADMIN;

    conn->next->prev = conn->prev;
    conn->prev->next = conn->next;
    loop->conn_count--;
    (void)__atomic_sub_fetch(admin ? &server->open_admin : &server->open, 1, __ATOMIC_RELAXED);
    coat_sources_give(server->sources, conn->source);
    if (loop->spare_conn_count < COAT_SPARES_MAX) {
        conn->next = loop->spare_conns;
        loop->spare_conns = conn;
        loop->spare_conn_count++;
    } else {
        free(conn);
    }
    for (size_t i = 0; i < server->conf.listener_count && !loop->stopping; i++)
        coat_port_resume(&loop->ports[i]);
    if (loop->stopping && loop->conn_count == 0)
        shut_down(loop);
}

/* Before any loop runs: no number of a socket has belonged to a connection of another loop.
 * (libuv closes those by a bare system call, and ThreadSanitizer would take the two for one.)
 */
static coat_err
take_sockets(coat_loop *loop)
{
    coat_http_conf *conf = &loop->server->conf;
    coat_err err = COAT_OK;

    for (size_t i = 0; i < conf->listener_count; i++) {
        coat_port *port = &loop->ports[i];

        port->loop = loop;
        port->conf = &conf->listeners[i];
        port->fd = fcntl(loop->server->fds[i], F_DUPFD_CLOEXEC, 3);
        err = port->fd < 0 ? COAT_IO : err;
    }
    return err;
}

coat_err
coat_loop_init(coat_loop *loop, coat_http_server *server, unsigned index)
{
    coat_err err;

    loop->server = server;
    loop->index = index;
    loop->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    loop->conns.next = loop->conns.prev = &loop->conns;
    loop->ports = calloc(server->conf.listener_count, sizeof *loop->ports);
    if (loop->ports == NULL)
        return COAT_NO_MEMORY;
    err = take_sockets(loop);
    if (err != COAT_OK)
        return err;
    if (coat_rng_system(NULL, (uint8_t *)&loop->id_seed, sizeof loop->id_seed) != COAT_OK)
        return COAT_RNG_FAILED;
    if (uv_loop_init(&loop->uv) != 0)
        return COAT_IO;
    loop->uv.data = loop; /* also: the loop is there */
    (void)uv_timer_init(&loop->uv, &loop->timer);
    loop->timer.data = loop->wake.data = loop;
    if (uv_async_init(&loop->uv, &loop->wake, on_wake) != 0)
        return COAT_IO;
    loop->now_ms = server->conf.by_hand ? 0 : (int64_t)uv_now(&loop->uv);
    coat_wheel_init(&loop->wheel, loop->now_ms);
    return COAT_OK;
}

coat_err
coat_loop_start(coat_loop *loop)
{
    coat_http_conf *conf = &loop->server->conf;
    coat_err err = COAT_OK;

    if (conf->loop_start != NULL)
        err = conf->loop_start(conf->ctx, &loop->uv, loop->index, &loop->data);
    if (err != COAT_OK)
        return err;
    loop->started = true;
    for (size_t i = 0; i < conf->listener_count; i++) {
        err = coat_port_open(&loop->ports[i]);
        if (err != COAT_OK)
            return err;
    }
    return COAT_OK;
}

static void
close_handle(uv_handle_t *handle, void *arg)
{
    (void)arg;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

void
coat_loop_run(coat_loop *loop)
{
    (void)uv_run(&loop->uv, UV_RUN_DEFAULT);
}

void
coat_loop_fini(coat_loop *loop)
{
    if (loop->uv.data == NULL)
        goto out;
    if (loop->started && !loop->stopped) {
        for (size_t i = 0; i < loop->server->conf.listener_count; i++)
            coat_port_close(&loop->ports[i]);
        close_all(loop);
        shut_down(loop);
    }
    (void)uv_run(&loop->uv, UV_RUN_NOWAIT);
    uv_walk(&loop->uv, close_handle, NULL);
    (void)uv_run(&loop->uv, UV_RUN_DEFAULT);
    /* Requests whose handlers never answered. */
    while (loop->conns.next != &loop->conns) {
        coat_conn *conn = loop->conns.next;

        coat_exchange_give(loop, conn->ex);
        conn->ex = NULL;
        coat_loop_left(loop, conn);
    }
    (void)uv_loop_close(&loop->uv);
    coat_conn_free_spares(loop);
out:
    for (size_t i = 0; loop->ports != NULL && i < loop->server->conf.listener_count; i++)
        if (loop->ports[i].fd >= 0) /* never opened */
            (void)close(loop->ports[i].fd);
    if (loop->spare_fd >= 0)
        (void)close(loop->spare_fd);
    free(loop->ports);
}
