/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the command line means for the daemon, said as flags of the daemon's own keys: so
 * gateway and daemon read one and the same configuration, from file, environment and flags.
 */
#include "cli/gateway/plan.h"

#include <stdlib.h>

typedef struct planner {
    coat_gateway_plan *plan;
    const coat_gateway_options *options;
    const coat_config *asked; /* the configuration as it is without us */
} planner;

/* A flag of ours, in place of the same one from the command line. */
static int
add(coat_gateway_plan *plan, const char *key, const char *value)
{
    size_t len = strlen("--") + strlen(key) + strlen("=") + strlen(value) + 1, name, kept = 0;
    char *flag = plan->made_count < COAT_GATEWAY_MADE_MAX ? malloc(len) : NULL;

    if (flag == NULL)
        return coat_gateway_fail(COAT_EXIT_FAILED, "out of memory");
    (void)snprintf(flag, len, "--%s=%s", key, value);
    name = strcspn(flag, "=") + 1;
    for (size_t i = 0; i < plan->input.flag_count; i++)
        if (strncmp(plan->flags[i], flag, name) != 0)
            plan->flags[kept++] = plan->flags[i];
    plan->made[plan->made_count++] = flag;
    plan->flags[kept++] = flag;
    plan->input.flag_count = kept;
    return COAT_EXIT_OK;
}

/* ---- listeners ---- */

/* Both sockets, unless the configuration has them. */
static int
add_listeners(const planner *p)
{
    static const struct {
        coat_dialect dialect;
        const char *text;
    } needed[] = {
        {COAT_DIALECT_NGINX, "unix:{runtime.directory}/http.sock;dialect=nginx"},
        {COAT_DIALECT_MODULE, "unix:{runtime.directory}/gate.sock;dialect=module"},
    };
    const coat_gateway_worker *worker = &p->plan->worker;
    bool ours = coat_gateway_is_default(p->asked, "listeners"), missing = false;
    char text[8192];
    coat_out out = coat_out_init(text, sizeof text);

    for (size_t i = 0; i < p->asked->listeners.count; i++)
        if (p->asked->listeners.list[i].kind == COAT_LISTEN_FD)
            return coat_gateway_fail(
                COAT_EXIT_CONFIG,
                "listeners: %s is a socket that the service manager opens for a daemon of "
                "its own; the gateway starts the daemon itself: write unix:/path, or leave "
                "listeners out",
                p->asked->listeners.list[i].address);
    if (!ours)
        coat_out_str(&out, coat_gateway_item(p->asked, "listeners").value);
    for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++) {
        if (!ours && coat_gateway_listener(p->asked, needed[i].dialect) != NULL)
            continue;
        missing = true;
        coat_out_str(&out, out.len > 0 ? ", " : "");
        coat_out_str(&out, needed[i].text);
        coat_out_str(&out, worker->share ? ";group=" : "");
        coat_out_str(&out, worker->share ? worker->group : "");
    }
    if (!coat_out_end(&out))
        return coat_gateway_fail(COAT_EXIT_CONFIG, "listeners: too many");
    return missing ? add(p->plan, "listeners", text) : COAT_EXIT_OK;
}

/* ---- origins and cookie ---- */

/* What a browser on this machine calls us, once for each port. */
static int
add_local_origins(const planner *p)
{
    const coat_gateway_options *o = p->options;
    bool tls = o->tls_cert[0] != '\0';
    char text[COAT_GATEWAY_LISTENS_MAX * 32];
    coat_out out = coat_out_init(text, sizeof text);

    for (size_t i = 0; i < o->listen_count; i++) {
        bool seen = false;

        for (size_t j = 0; j < i; j++)
            seen = seen || o->listens[j].port == o->listens[i].port;
        if (seen)
            continue;
        coat_out_str(&out, i > 0 ? "," : "");
        coat_out_str(&out, tls ? "https://localhost" : "http://localhost");
        if (o->listens[i].port != (tls ? 443 : 80)) {
            coat_out_char(&out, ':');
            coat_out_uint(&out, o->listens[i].port);
        }
    }
    return coat_out_end(&out) ? add(p->plan, "public.origins", text) : COAT_EXIT_FAILED;
}

static int
add_origins(const planner *p)
{
    const coat_gateway_options *o = p->options;

    if (!coat_gateway_is_default(p->asked, "public.origins"))
        return coat_gateway_schemes_check(o, p->asked);
    for (size_t i = 0; i < o->listen_count; i++)
        if (!o->listens[i].loopback)
            return coat_gateway_fail(
                COAT_EXIT_USAGE,
                "which address do people type? Say it with "
                "--public.origins=https://app.example.com (and :PORT, unless it is 443)");
    return add_local_origins(p);
}

/* CK-8: without TLS only on this machine, where the plan has checked that we listen. */
static int
add_cookie(const planner *p)
{
    static const struct {
        const char *key, *value;
    } plain[] = {
        {"cookie.name", "id"}, /* the prefix of the usual one demands TLS */
        {"cookie.secure", "false"},
        {"cookie.allow-plaintext", "true"},
    };
    int code = COAT_EXIT_OK;

    if (p->options->tls_cert[0] != '\0')
        return COAT_EXIT_OK;
    p->plan->plaintext = true;
    for (size_t i = 0; i < sizeof plain / sizeof plain[0] && code == COAT_EXIT_OK; i++)
        if (coat_gateway_is_default(p->asked, plain[i].key))
            code = add(p->plan, plain[i].key, plain[i].value);
    return code;
}

int
coat_gateway_plan_flags(coat_gateway_plan *plan, const coat_gateway_options *options,
                        const coat_config *asked)
{
    const planner p = {plan, options, asked};
    coat_gateway_worker *worker = &plan->worker;
    int code = coat_gateway_worker_pick(options, asked, worker);

    if (code == COAT_EXIT_OK && worker->share && coat_gateway_is_default(asked, "table.group"))
        code = add(plan, "table.group", worker->group);
    if (code == COAT_EXIT_OK)
        code = add_listeners(&p);
    if (code == COAT_EXIT_OK)
        code = add_origins(&p);
    return code == COAT_EXIT_OK ? add_cookie(&p) : code;
}
