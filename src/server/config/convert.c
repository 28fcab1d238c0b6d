/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration as other parts want it. Fields it has no key for are left alone. */
#include "server/config/internal.h"
#include "server/http/server.h"

void
coat_config_policy(const coat_config *c, coat_policy *out)
{
    out->idle_ms = c->idle_ms;
    out->absolute_ms = c->absolute_ms;
    out->remember_idle_ms = c->remember_idle_ms;
    out->remember_absolute_ms = c->remember_absolute_ms;
    out->rotate_every_ms = c->rotate_every_ms;
    out->rotate_grace_ms = c->rotate_grace_ms;
    out->rotate_redeliver_ms = c->rotate_redeliver_ms;
}

void
coat_config_engine(const coat_config *c, coat_engine_conf *out)
{
    coat_config_policy(c, &out->policy);
    out->context_policy = (coat_context_policy)c->context_policy;
    out->context_privacy = c->context_privacy;
    out->reuse_report_only = c->reuse_policy == COAT_REUSE_REPORT;
    out->sessions_per_user = (uint32_t)c->sessions_per_user;
    out->sessions_deny = c->sessions_policy == COAT_LIMIT_DENY;
    out->data_max = (uint32_t)c->data_max;
    out->clock_off_ms = c->clock_off_ms;
    out->table_path = c->table_path;
    out->table_slots = (uint32_t)c->table_slots;
}

void
coat_config_directory(const coat_config *c, coat_directory_conf *out)
{
    out->argon_kib = (uint32_t)(c->argon_memory / KIB);
    out->argon_passes = (uint32_t)c->argon_passes;
    out->hash_threads = (uint32_t)c->hash_threads;
    out->queue_max = (uint32_t)c->hash_queue;
    out->queue_wait_ms = (uint32_t)c->hash_wait_ms;
    out->failures_known = (uint32_t)c->failures_known;
    out->failures_unknown = (uint32_t)c->failures_unknown;
    out->attempts_per_minute = (uint32_t)c->attempts_per_minute;
    out->service_name = c->pages_name;
}

void
coat_config_cookie(const coat_config *c, coat_cookie_conf *out)
{
    *out = (coat_cookie_conf){0};
    /* Lengths were checked against the table, whose limits are those of the struct. */
    (void)snprintf(out->name, sizeof out->name, "%s", c->cookie_name);
    (void)snprintf(out->domain, sizeof out->domain, "%s", c->cookie_domain);
    (void)snprintf(out->path, sizeof out->path, "%s", c->cookie_path);
    out->secure = c->cookie_secure;
    out->partitioned = c->cookie_partitioned;
    out->samesite = (coat_samesite)c->cookie_samesite;
    out->share_domain = c->cookie_share;
}

void
coat_config_store(const coat_config *c, coat_store_conf *out)
{
    out->url = c->store_url;
    out->module_dir = c->store_modules[0] != '\0' ? c->store_modules : NULL;
    out->map_bytes = (uint64_t)c->store_map;
    out->reserve_bytes = (uint64_t)c->store_reserve;
    out->timeout_ms = (uint32_t)c->store_timeout_ms;
}

coat_site_policy
coat_config_site(const coat_config *c)
{
    return (coat_site_policy){
        .own = {c->origins.list, c->origins.count},
        .allow_same_site = c->allow_same_site,
    };
}

coat_cors_policy
coat_config_cors(const coat_config *c)
{
    return (coat_cors_policy){
        .allowed = {c->cors_origins.list, c->cors_origins.count},
        .methods = c->cors_methods_text,
        .headers = c->cors_headers_text,
        .exposed = c->cors_exposed_text,
        .max_age_s = (int32_t)(c->cors_max_age_ms / 1000),
    };
}

coat_origins
coat_config_return_origins(const coat_config *c)
{
    return (coat_origins){c->return_origins.list, c->return_origins.count};
}

coat_forward_conf
coat_config_forward(const coat_listener_conf *listener)
{
    return (coat_forward_conf){
        .dialect = listener->dialect,
        .trusted = listener->trusted,
        .trusted_count = listener->trusted_count,
        /* Who may open the socket was decided by its mode and group; one from systemd may be a
         * Unix socket, too. */
        .trust_unix =
            listener->kind != COAT_LISTEN_TCP && listener->dialect != COAT_DIALECT_NONE,
    };
}

void
coat_config_limits(const coat_config *c, struct coat_http_limits *out)
{
    out->header_ms = (uint32_t)c->header_timeout_ms;
    out->body_ms = (uint32_t)c->body_timeout_ms;
    out->idle_ms = (uint32_t)c->keepalive_ms;
    out->write_ms = (uint32_t)c->write_timeout_ms;
    out->connections = (uint32_t)c->connections_max;
    out->per_source = (uint32_t)c->connections_per_source;
    out->stop_ms = (uint32_t)c->drain_ms;
}
