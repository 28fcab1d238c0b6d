/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's configuration as the daemon will see it, at the start and after a reload. */
#include "cli/gateway/plan.h"

#include <stdarg.h>
#include <stdlib.h>

int
coat_gateway_fail(int code, const char *format, ...)
{
    va_list args;

    (void)fputs("coatcheck: ", stderr);
    va_start(args, format);
    (void)vfprintf(stderr, format, args);
    va_end(args);
    (void)fputc('\n', stderr);
    return code;
}

static coat_config *
load(const coat_config_input *input)
{
    coat_config *config = NULL;
    coat_config_error error;

    if (coat_config_load(input, &config, &error) == COAT_OK)
        return config;
    coat_config_error_print(&error, stderr);
    return NULL;
}

coat_config_item
coat_gateway_item(const coat_config *config, const char *path)
{
    coat_config_item item = {.path = ""};

    for (size_t i = 0; i < coat_config_count() && strcmp(item.path, path) != 0; i++)
        coat_config_item_get(config, i, &item);
    return item;
}

bool
coat_gateway_is_default(const coat_config *config, const char *path)
{
    return coat_gateway_item(config, path).source == COAT_SOURCE_DEFAULT;
}

const coat_listener_conf *
coat_gateway_listener(const coat_config *config, coat_dialect dialect)
{
    for (size_t i = 0; i < config->listeners.count; i++)
        if (config->listeners.list[i].kind == COAT_LISTEN_UNIX &&
            config->listeners.list[i].dialect == dialect)
            return &config->listeners.list[i];
    return NULL;
}

/* The scheme that browsers see is the one that we listen with. */
int
coat_gateway_schemes_check(const coat_gateway_options *options, const coat_config *config)
{
    bool tls = options->tls_cert[0] != '\0';

    for (size_t i = 0; i < config->origins.count; i++) {
        const char *origin = config->origins.list[i];

        if ((strncmp(origin, "https:", strlen("https:")) == 0) != tls)
            return coat_gateway_fail(COAT_EXIT_CONFIG, "public.origins: %s: %s", origin,
                                     tls ? "the gateway has a certificate, so write https"
                                         : "https needs --tls-cert and --tls-key");
    }
    return COAT_EXIT_OK;
}

/* A socket that the configuration has itself must let the workers in. */
static int
check_listener(const coat_gateway_worker *worker, const coat_listener_conf *l)
{
    if (!worker->share || strcmp(l->group, worker->group) == 0)
        return COAT_EXIT_OK;
    return coat_gateway_fail(
        COAT_EXIT_CONFIG,
        "listeners: %s is for %s%s, but nginx's workers come as %s in group %s; add group: "
        "%s to it",
        l->address, l->group[0] != '\0' ? "group " : "the service user alone", l->group,
        worker->user, worker->group, worker->group);
}

/* The pages' own location comes before all rules, and an empty rest of a path is the page, too.
 */
static bool
is_below(const char *path, const char *base)
{
    size_t len = strlen(base);

    return strncasecmp(path, base, len) == 0 && (path[len] == '\0' || path[len] == '/');
}

static int
check_web(const coat_gateway_options *options, const coat_config *config)
{
    const char *base = config->base_path;

    if (base[0] == '\0')
        return coat_gateway_fail(COAT_EXIT_CONFIG,
                                 "server.base-path: coatcheck's pages need a path of their "
                                 "own beside the application's, as /auth");
    for (size_t i = 0; i < options->rule_count; i++)
        if (is_below(options->rules[i].path, base))
            return coat_gateway_fail(
                COAT_EXIT_USAGE,
                "--protect: %s is among coatcheck's own pages, which judge for themselves",
                options->rules[i].path);
    if (options->assertion && config->assertion_audiences.count == 0)
        return coat_gateway_fail(COAT_EXIT_CONFIG,
                                 "--assertion: for which API? Name it in assertion.audiences, "
                                 "as in --assertion.audiences=https://api.example.com");
    return coat_gateway_schemes_check(options, config);
}

static int
find_sockets(const coat_gateway_options *options, coat_gateway_plan *plan)
{
    const coat_listener_conf *pages = coat_gateway_listener(plan->config, COAT_DIALECT_NGINX);
    const coat_listener_conf *gate = coat_gateway_listener(plan->config, COAT_DIALECT_MODULE);
    int code;

    if (pages == NULL || gate == NULL)
        return coat_gateway_fail(COAT_EXIT_FAILED, "listeners: no sockets for the gateway");
    plan->pages_address = pages->address;
    plan->gate_address = gate->address;
    code = check_listener(&plan->worker, pages);
    if (code == COAT_EXIT_OK)
        code = check_listener(&plan->worker, gate);
    return code == COAT_EXIT_OK ? check_web(options, plan->config) : code;
}

int
coat_gateway_plan_make(const coat_args *args, const coat_gateway_options *options,
                       coat_gateway_plan *out)
{
    coat_config *asked;
    int code;

    *out = (coat_gateway_plan){.asked = args->input, .input = args->input};
    /* What stands there may be right only together with what we add. */
    out->asked.values_only = true;
    asked = load(&out->asked);
    if (asked == NULL)
        return COAT_EXIT_CONFIG;
    for (size_t i = 0; i < args->flag_count; i++)
        out->flags[i] = args->flags[i];
    out->input.flags = out->flags;
    code = coat_gateway_plan_flags(out, options, asked);
    coat_config_free(asked);
    if (code != COAT_EXIT_OK)
        return code;
    out->config = load(&out->input);
    out->current = out->config;
    if (out->config == NULL)
        return COAT_EXIT_CONFIG;
    return find_sockets(options, out);
}

/* A flag of ours stands in for a key that nobody had set; it wins over what is said later. */
static void
tell_overruled(const coat_gateway_plan *plan)
{
    coat_config *asked = load(&plan->asked);

    for (size_t i = 0; asked != NULL && i < plan->made_count; i++) {
        const char *flag = plan->made[i] + strlen("--");
        char key[64];

        (void)snprintf(key, sizeof key, "%.*s", (int)strcspn(flag, "="), flag);
        if (strcmp(key, "listeners") != 0 && !coat_gateway_is_default(asked, key))
            (void)coat_gateway_fail(
                0, "%s: the gateway chose it when it started, so %s counts at its next start",
                key, coat_gateway_item(asked, key).where);
    }
    coat_config_free(asked);
}

bool
coat_gateway_plan_reload(coat_gateway_plan *plan, const coat_gateway_options *options,
                         coat_config **out)
{
    coat_config *config = load(&plan->input);

    if (config == NULL)
        return false;
    tell_overruled(plan);
    coat_config_keep(plan->config, config);
    if (check_web(options, config) != COAT_EXIT_OK) {
        coat_config_free(config);
        return false;
    }
    *out = config;
    return true;
}

void
coat_gateway_plan_use(coat_gateway_plan *plan, coat_config *config)
{
    if (plan->current != plan->config)
        coat_config_free(plan->current);
    plan->current = config;
}

bool
coat_gateway_plan_restart(coat_gateway_plan *plan, const coat_gateway_options *options)
{
    coat_gateway_plan next = *plan;

    next.config = load(&plan->input);
    next.current = next.config;
    if (next.config == NULL)
        return false;
    if (find_sockets(options, &next) != COAT_EXIT_OK) {
        coat_config_free(next.config);
        return false;
    }
    coat_gateway_plan_use(plan, NULL);
    coat_config_free(plan->config);
    *plan = next;
    return true;
}

void
coat_gateway_plan_free(coat_gateway_plan *plan)
{
    coat_gateway_plan_use(plan, NULL);
    coat_config_free(plan->config);
    for (size_t i = 0; i < plan->made_count; i++)
        free(plan->made[i]);
    *plan = (coat_gateway_plan){.made_count = 0};
}
