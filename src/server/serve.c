/* SPDX-License-Identifier: Apache-2.0 */
/* The life of the daemon: start, signals, stop. */
#include "server/admin/admin.h"
#include "server/app/build.h"
#include "server/app/loops.h"
#include "server/config/files.h"
#include "server/http/server.h"
#include "server/process/process.h"
#include "server/routes/routes.h"
#include "server/server.h"

#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { LISTENERS_MAX = COAT_CONFIG_LIST_MAX + 1 };

typedef struct daemon {
    coat_process process;
    coat_log *log;
    coat_http_server *http;
    coat_http_router public_router, admin_router;
    coat_http_listener listeners[LISTENERS_MAX];
    size_t listener_count;
    char admin_address[256];
    char message[COAT_MESSAGE_MAX];
} daemon_state;

static int
group_id(const char *name)
{
    struct group *group = name[0] != '\0' ? getgrnam(name) : NULL;

    return group != NULL ? (int)group->gr_gid : -1;
}

static void
set_listeners(daemon_state *d)
{
    const coat_config *c = d->process.config;

    d->public_router = (coat_http_router){.prefix = c->base_path,
                                          .routes = coat_routes,
                                          .count = coat_routes_count,
                                          .policy = coat_policy_hook,
                                          .transport = coat_transport_hook};
    d->admin_router = (coat_http_router){.prefix = "",
                                         .routes = coat_admin_routes,
                                         .count = coat_admin_routes_count,
                                         .policy = coat_admin_policy,
                                         .any_capture = true};
    for (size_t i = 0; i < c->listeners.count; i++) {
        const coat_listener_conf *l = &c->listeners.list[i];

        d->listeners[d->listener_count++] = (coat_http_listener){
            .address = l->address,
            .role = COAT_HTTP_PUBLIC,
            .mode = l->mode,
            .owner = -1,
            .group = group_id(l->group),
            .router = &d->public_router,
            .user = l,
        };
    }
    (void)snprintf(d->admin_address, sizeof d->admin_address, "unix:%s", c->admin_socket);
    d->listeners[d->listener_count++] = (coat_http_listener){
        .address = d->admin_address,
        .role = COAT_HTTP_ADMIN,
        .mode = c->admin_mode,
        .owner = -1,
        .group = group_id(c->admin_group),
        .router = &d->admin_router,
        .admit = coat_admin_admit,
        .user = &d->process,
    };
}

static void
log_answer(void *ctx, const coat_http_event *event)
{
    coat_app *app = ctx;
    char address[46] = "-";

    if (event->req != NULL)
        coat_meter_status(&((coat_app_loop *)event->req->loop_data)->meter, event->status);
    if (event->req == NULL && event->peer->address.known)
        coat_address_format(&event->peer->address, address, sizeof address);
    if (event->req == NULL)
        coat_log_line(app->log, COAT_LOG_INFO, "request refused",
                      COAT_LOG_FIELDS(coat_log_text(COAT_LOG_F_CLIENT, address),
                                      coat_log_number(COAT_LOG_F_STATUS, event->status),
                                      coat_log_text(COAT_LOG_F_CODE, event->reason)));
    else
        coat_log_line(
            app->log, COAT_LOG_DEBUG, "request",
            COAT_LOG_FIELDS(coat_log_text(COAT_LOG_F_REQUEST, event->req->id),
                            coat_log_span(COAT_LOG_F_METHOD, event->req->method_text),
                            coat_log_text(COAT_LOG_F_ROUTE, event->req->route != NULL
                                                                ? event->req->route->pattern
                                                                : "-"),
                            coat_log_number(COAT_LOG_F_STATUS, event->status)));
}

static coat_err
start_http(daemon_state *d)
{
    const coat_config *c = d->process.config;
    coat_http_conf conf = {
        .listeners = d->listeners,
        .loops = (unsigned)c->threads,
        .ctx = &d->process.app,
        .loop_start = coat_app_loop_start,
        .loop_stop = coat_app_loop_stop,
        .error_page = coat_error_page,
        .log = log_answer,
    };
    coat_err err;

    set_listeners(d);
    conf.listener_count = d->listener_count;
    coat_http_limits_default(&conf.limits);
    coat_config_limits(c, &conf.limits);
    err = coat_http_server_new(&conf, d->message, sizeof d->message, &d->http);
    if (err != COAT_OK)
        return err;
    d->process.app.server = d->http;
    err = coat_http_server_start(d->http);
    if (err != COAT_OK)
        (void)snprintf(d->message, sizeof d->message, "event loops: %s", coat_err_text(err));
    return err;
}

static void
lifecycle_event(daemon_state *d, coat_event_type type, const char *reason)
{
    coat_audit_event(d->log, &(coat_event){.type = type, .reason = reason}, NULL);
}

static void
reload(daemon_state *d)
{
    coat_notify("RELOADING=1", NULL);
    if (coat_process_reload(&d->process, d->message, sizeof d->message) == COAT_OK)
        coat_log_line(d->log, COAT_LOG_NOTICE, "configuration reloaded", NULL, 0);
    else
        coat_log_line(d->log, COAT_LOG_ERROR, "reload refused, the running configuration stays",
                      COAT_LOG_FIELDS(coat_log_text(COAT_LOG_F_DETAIL, d->message)));
    coat_notify("READY=1", NULL);
}

/* Signals are taken by this thread alone; all others have them blocked. */
static void
wait_for_end(daemon_state *d, const sigset_t *set)
{
    int signal_number = 0;

    for (;;) {
        if (sigwait(set, &signal_number) != 0)
            continue;
        if (signal_number != SIGHUP)
            return;
        reload(d);
    }
}

static int
run(daemon_state *d, const sigset_t *set)
{
    const char *reason =
        d->process.config->deviates ? d->process.config->profile_deviation : NULL;

    /* A daemon that ends takes its socket with it. */
    bool crashed = access(d->process.config->admin_socket, F_OK) == 0;

    if (start_http(d) != COAT_OK) {
        (void)fprintf(stderr, "coatcheck: %s\n", d->message);
        coat_http_server_free(d->http);
        return COAT_EXIT_CONFIG;
    }
    lifecycle_event(d, COAT_EVENT_SERVER_START, reason);
    if (crashed)
        coat_audit_event(d->log,
                         &(coat_event){.type = COAT_EVENT_SERVER_CRASH,
                                       .failed = true,
                                       .reason = "former_process"},
                         NULL);
    for (size_t i = 0; i < d->listener_count; i++)
        coat_log_line(
            d->log, COAT_LOG_NOTICE, "listening",
            COAT_LOG_FIELDS(coat_log_text(COAT_LOG_F_ADDRESS, d->listeners[i].address)));
    coat_notify("READY=1", NULL);
    wait_for_end(d, set);
    coat_notify("STOPPING=1", NULL);
    coat_http_server_stop(d->http);
    coat_http_server_join(d->http);
    coat_http_server_free(d->http);
    lifecycle_event(d, COAT_EVENT_SERVER_STOP, NULL);
    /* Whoever supervises it starts it anew, by the configuration of then. */
    return atomic_load(&d->process.app.moved) ? COAT_EXIT_FAILED : COAT_EXIT_OK;
}

static coat_err
open_log(const coat_config *config, coat_log **out, char *message, size_t cap)
{
    coat_log_conf conf = {
        .level = (coat_log_level)config->log_level,
        .format = (coat_log_format)config->log_format,
        .target = config->log_target,
        .audit_target = config->audit_target,
        .instance = config->instance[0] != '\0' ? config->instance : NULL,
    };

    return coat_log_new(&conf, out, message, cap);
}

static coat_err
harden(const coat_config *config, char *message, size_t cap)
{
    coat_harden_conf conf = {.user = config->user,
                             .group = config->group,
                             .allow_root = config->allow_root,
                             .allow_dumps = config->allow_dumps};

    return coat_harden(&conf, message, cap);
}

static void
block_signals(sigset_t *set)
{
    (void)sigemptyset(set);
    (void)sigaddset(set, SIGTERM);
    (void)sigaddset(set, SIGINT);
    (void)sigaddset(set, SIGHUP);
    (void)pthread_sigmask(SIG_BLOCK, set, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
}

coat_err
coat_serve_check(const coat_config *config, char *message, size_t cap)
{
    coat_settings *settings = NULL;
    coat_err err;

    (void)snprintf(message, cap, "out of memory");
    err = coat_init();
    if (err == COAT_OK)
        err = coat_settings_new(config, &settings, message, cap);
    coat_settings_free(settings);
    return err;
}

int
coat_serve(const coat_config_input *input)
{
    daemon_state *d = calloc(1, sizeof *d);
    coat_config *config = NULL;
    coat_config_error fault;
    sigset_t set;
    int code = COAT_EXIT_CONFIG;

    if (d == NULL)
        return COAT_EXIT_FAILED;
    block_signals(&set);
    coat_http_json_wipes();
    (void)coat_http_activation_take();
    if (coat_config_load(input, &config, &fault) != COAT_OK) {
        coat_config_error_print(&fault, stderr);
    } else if (coat_init() != COAT_OK) {
        (void)fprintf(stderr, "coatcheck: cryptography does not give known answers\n");
        coat_config_free(config);
    } else if (harden(config, d->message, sizeof d->message) != COAT_OK ||
               open_log(config, &d->log, d->message, sizeof d->message) != COAT_OK) {
        (void)fprintf(stderr, "coatcheck: %s\n", d->message);
        coat_config_free(config);
    } else if (coat_process_open(&d->process, config, true, d->log, d->message,
                                 sizeof d->message) != COAT_OK) {
        (void)fprintf(stderr, "coatcheck: %s\n", d->message);
    } else {
        d->process.input = input;
        d->process.app.started_ms = coat_clock_system(NULL);
        code = run(d, &set);
        if (coat_process_close(&d->process) != COAT_OK && code == COAT_EXIT_OK)
            code = COAT_EXIT_FAILED;
    }
    coat_log_free(d->log);
    free(d);
    return code;
}
