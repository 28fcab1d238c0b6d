/* SPDX-License-Identifier: Apache-2.0 */
/* The admin interface without a daemon: the same routes, in the process of a command. */
#include "server/admin/admin.h"
#include "server/app/build.h"
#include "server/app/loops.h"
#include "server/http/server.h"
#include "server/server.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct coat_local {
    coat_process process;
    coat_log *log;
    coat_http_server *http;
    coat_http_router router;
    coat_http_listener listener;
    char address[sizeof "unix:" + 108];
};

static coat_err
open_log(const coat_config *config, coat_log **out, char *message, size_t cap)
{
    coat_log_conf conf = {
        .level = COAT_LOG_ERROR,
        .format = (coat_log_format)config->log_format,
        .target = config->log_target,
        .audit_target = config->audit_target,
        .instance = config->instance[0] != '\0' ? config->instance : NULL,
    };

    return coat_log_new(&conf, out, message, cap);
}

static coat_err
start(coat_local *local, char *message, size_t cap)
{
    coat_http_conf conf = {
        .listeners = &local->listener,
        .listener_count = 1,
        .loops = 1,
        .ctx = &local->process.app,
        .loop_start = coat_app_loop_start,
        .loop_stop = coat_app_loop_stop,
    };
    coat_err err;

    if (snprintf(local->address, sizeof local->address, "unix:%s/.command-%ld.sock",
                 local->process.config->data_dir,
                 (long)getpid()) >= (int)sizeof local->address) {
        (void)snprintf(message, cap, "data.directory: too long a path for a socket in it");
        return COAT_INVALID;
    }
    local->router = (coat_http_router){.prefix = "",
                                       .routes = coat_admin_routes,
                                       .count = coat_admin_routes_count,
                                       .policy = coat_admin_policy,
                                       .any_capture = true};
    local->listener = (coat_http_listener){
        .address = local->address,
        .role = COAT_HTTP_ADMIN,
        .mode = 0600,
        .owner = -1,
        .group = -1,
        .router = &local->router,
        .admit = coat_admin_admit,
        .user = &local->process,
    };
    coat_http_limits_default(&conf.limits);
    err = coat_http_server_new(&conf, message, cap, &local->http);
    return err == COAT_OK ? coat_http_server_start(local->http) : err;
}

coat_err
coat_local_open(const coat_config_input *input, coat_local **out, char *message, size_t cap)
{
    coat_local *local = calloc(1, sizeof *local);
    coat_config *config = NULL;
    coat_config_error fault;
    coat_err err;

    (void)snprintf(message, cap, "out of memory");
    if (local == NULL)
        return COAT_NO_MEMORY;
    coat_http_json_wipes();
    err = coat_config_load(input, &config, &fault);
    if (err == COAT_OK)
        err = open_log(config, &local->log, message, cap);
    if (err != COAT_OK) {
        coat_config_free(config);
        free(local);
        return err;
    }
    /* Where there is a node table, others believe it while no daemon runs, and the next daemon
     * takes it over: what a command ends must be taken out of it (RV-1). */
    err = coat_process_open(&local->process, config, access(config->table_path, F_OK) == 0,
                            local->log, message, cap);
    if (err == COAT_OK) {
        local->process.input = input;
        local->process.app.started_ms = coat_clock_system(NULL);
        err = start(local, message, cap);
        if (err == COAT_OK) {
            *out = local;
            return COAT_OK;
        }
        coat_http_server_free(local->http);
        (void)coat_process_close(&local->process);
    }
    coat_log_free(local->log);
    free(local);
    return err;
}

const char *
coat_local_socket(const coat_local *local)
{
    return local->address + sizeof "unix:" - 1;
}

void
coat_local_close(coat_local *local)
{
    if (local == NULL)
        return;
    coat_http_server_stop(local->http);
    coat_http_server_join(local->http);
    coat_http_server_free(local->http);
    (void)unlink(coat_local_socket(local));
    (void)coat_process_close(&local->process);
    coat_log_free(local->log);
    free(local);
}
