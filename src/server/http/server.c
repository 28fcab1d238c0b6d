/* SPDX-License-Identifier: Apache-2.0 */
#include "server/http/internal.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define LOOPS_MAX 64
#define FD_RESERVE 64 /* files, stores, logs, event loops */
#define CONNECTIONS_DEFAULT 16384

void
coat_http_limits_default(coat_http_limits *limits)
{
    *limits = (coat_http_limits){.header_ms = 10000,
                                 .body_ms = 10000,
                                 .idle_ms = 60000,
                                 .write_ms = 10000,
                                 .admin_connections = 64,
                                 .per_source = 256,
                                 .stop_ms = 10000};
}

/* Connections never use up the descriptors: the cap lies below their limit (RX-3). */
static coat_err
find_cap(coat_http_server *server, char *message, size_t cap)
{
    struct rlimit limit = {1024, 1024};
    uint64_t wanted = server->conf.limits.connections, room, reserve;

    (void)getrlimit(RLIMIT_NOFILE, &limit);
    reserve = FD_RESERVE + server->conf.limits.admin_connections +
              (uint64_t)server->loop_count * (8 + server->conf.listener_count);
    room = limit.rlim_cur > reserve ? limit.rlim_cur - reserve : 0;
    if (room < 8) {
        (void)snprintf(message, cap,
                       "limit of open files is %llu: %llu are needed beside connections",
                       (unsigned long long)limit.rlim_cur, (unsigned long long)reserve);
        return COAT_INVALID;
    }
    if (wanted == 0)
        wanted = CONNECTIONS_DEFAULT;
    server->cap = (uint32_t)(wanted < room ? wanted : room);
    return COAT_OK;
}

static coat_err
bind_all(coat_http_server *server, char *message, size_t cap)
{
    const coat_http_conf *conf = &server->conf;

    server->fds = malloc((conf->listener_count + 1) * sizeof *server->fds);
    if (server->fds == NULL)
        return COAT_NO_MEMORY;
    for (size_t i = 0; i < conf->listener_count; i++)
        server->fds[i] = -1;
    for (size_t i = 0; i < conf->listener_count; i++) {
        coat_err err = coat_listen_bind(&conf->listeners[i], message, cap, &server->fds[i]);

        if (err != COAT_OK)
            return err;
    }
    return COAT_OK;
}

static coat_err
init_loops(coat_http_server *server)
{
    unsigned wanted = server->loop_count;

    server->loops = calloc(wanted, sizeof *server->loops);
    if (server->loops == NULL)
        return COAT_NO_MEMORY;
    for (server->loop_count = 0; server->loop_count < wanted;) {
        unsigned i = server->loop_count++;
        coat_err err = coat_loop_init(&server->loops[i], server, i);

        if (err != COAT_OK)
            return err;
    }
    return COAT_OK;
}

static unsigned
loops_wanted(const coat_http_conf *conf)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);

    if (conf->by_hand)
        return 1;
    if (conf->loops != 0)
        return conf->loops < LOOPS_MAX ? conf->loops : LOOPS_MAX;
    return cpus < 1 ? 1 : cpus > LOOPS_MAX ? LOOPS_MAX : (unsigned)cpus;
}

coat_err
coat_http_server_new(const coat_http_conf *conf, char *message, size_t cap,
                     coat_http_server **out)
{
    coat_http_server *server = calloc(1, sizeof *server);
    coat_err err;

    (void)snprintf(message, cap, "out of memory");
    if (server == NULL)
        return COAT_NO_MEMORY;
    /* A client that closes early is an error of write(2), not the end of the daemon. */
    (void)signal(SIGPIPE, SIG_IGN);
    server->conf = *conf;
    server->loop_count = loops_wanted(conf);
    if (uv_mutex_init(&server->task_lock) != 0 || uv_cond_init(&server->task_done) != 0 ||
        uv_sem_init(&server->started, 0) != 0)
        abort();
    err = find_cap(server, message, cap);
    if (err == COAT_OK)
        err = bind_all(server, message, cap);
    if (err == COAT_OK)
        err = coat_sources_new(server->cap, conf->limits.per_source, &server->sources);
    if (err == COAT_OK)
        err = init_loops(server);
    else
        server->loop_count = 0;
    if (err != COAT_OK) {
        if (err == COAT_RNG_FAILED)
            (void)snprintf(message, cap, "%s", coat_err_text(err));
        coat_http_server_free(server);
        return err;
    }
    *out = server;
    return COAT_OK;
}

/* Hooks belong on the thread of their loop, so each loop starts itself and tells how it went.
 */
static void
thread_main(void *arg)
{
    coat_loop *loop = arg;

    loop->start_err = coat_loop_start(loop);
    uv_sem_post(&loop->server->started);
    if (loop->start_err == COAT_OK)
        coat_loop_run(loop);
}

coat_err
coat_http_server_start(coat_http_server *server)
{
    coat_err err = COAT_OK;

    if (server->conf.by_hand)
        return coat_loop_start(&server->loops[0]);
    for (unsigned i = 0; i < server->loop_count && err == COAT_OK; i++) {
        coat_loop *loop = &server->loops[i];

        if (uv_thread_create(&loop->thread, thread_main, loop) != 0) {
            err = COAT_IO;
            break;
        }
        loop->has_thread = true;
        uv_sem_wait(&server->started);
        err = loop->start_err;
    }
    if (err != COAT_OK)
        coat_http_server_stop(server);
    return err;
}

void
coat_http_server_stop(coat_http_server *server)
{
    __atomic_store_n(&server->stop_wanted, true, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < server->loop_count; i++)
        (void)uv_async_send(&server->loops[i].wake);
}

void
coat_http_server_join(coat_http_server *server)
{
    for (unsigned i = 0; i < server->loop_count; i++) {
        if (server->loops[i].has_thread)
            (void)uv_thread_join(&server->loops[i].thread);
        server->loops[i].has_thread = false;
    }
}

void
coat_http_server_free(coat_http_server *server)
{
    if (server == NULL)
        return;
    for (unsigned i = 0; i < server->loop_count; i++)
        if (server->loops[i].has_thread)
            coat_http_server_stop(server);
    coat_http_server_join(server);
    for (unsigned i = 0; i < server->loop_count; i++)
        coat_loop_fini(&server->loops[i]);
    free(server->loops);
    for (size_t i = 0; server->fds != NULL && i < server->conf.listener_count; i++) {
        if (server->fds[i] < 0)
            continue;
        (void)close(server->fds[i]);
        coat_listen_unlink(&server->conf.listeners[i]);
    }
    free(server->fds);
    coat_sources_free(server->sources);
    uv_sem_destroy(&server->started);
    uv_cond_destroy(&server->task_done);
    uv_mutex_destroy(&server->task_lock);
    free(server);
}

bool
coat_http_server_run(coat_http_server *server, bool wait)
{
    return uv_run(&server->loops[0].uv, wait ? UV_RUN_ONCE : UV_RUN_NOWAIT) != 0;
}

void
coat_http_server_tick(coat_http_server *server, int64_t now_ms)
{
    coat_loop_tick(&server->loops[0], now_ms);
}

coat_err
coat_http_server_each(coat_http_server *server, void (*fn)(void *arg, void *loop_data),
                      void *arg)
{
    if (server->conf.by_hand) {
        fn(arg, server->loops[0].data);
        return COAT_OK;
    }
    uv_mutex_lock(&server->task_lock);
    if (server->task.left != 0 || __atomic_load_n(&server->stop_wanted, __ATOMIC_ACQUIRE)) {
        uv_mutex_unlock(&server->task_lock);
        return COAT_BUSY;
    }
    server->task = (coat_task){fn, arg, server->loop_count};
    server->task_serial++;
    for (unsigned i = 0; i < server->loop_count; i++)
        (void)uv_async_send(&server->loops[i].wake);
    while (server->task.left != 0)
        uv_cond_wait(&server->task_done, &server->task_lock);
    uv_mutex_unlock(&server->task_lock);
    return COAT_OK;
}

uint16_t
coat_http_server_port(const coat_http_server *server, size_t listener)
{
    return coat_listen_port(server->fds[listener]);
}

void
coat_http_server_stats(const coat_http_server *server, coat_http_stats *out)
{
    *out = (coat_http_stats){0};
    for (unsigned i = 0; i < server->loop_count; i++) {
        const coat_http_stats *stats = &server->loops[i].stats;

#define ADD(what) out->what += __atomic_load_n(&stats->what, __ATOMIC_RELAXED)
        ADD(accepted);
        ADD(refused_cap);
        ADD(refused_source);
        ADD(accept_errors);
        ADD(requests);
        ADD(bad_requests);
        ADD(timeouts);
        ADD(gone);
#undef ADD
    }
    out->open = __atomic_load_n(&server->open, __ATOMIC_RELAXED);
    out->open_admin = __atomic_load_n(&server->open_admin, __ATOMIC_RELAXED);
}
