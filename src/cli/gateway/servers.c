/* SPDX-License-Identifier: Apache-2.0 */
/* The nginx configuration: its servers. */
#include "cli/gateway/conf.h"

static bool
has_tls(const coat_gateway_conf *c)
{
    return c->options->tls_cert[0] != '\0';
}

static void
write_listens(coat_nginx_text *t, const coat_gateway_conf *c, const char *tail)
{
    const coat_gateway_options *o = c->options;

    for (size_t i = 0; i < o->listen_count; i++) {
        coat_nginx_raw(t, "        listen");
        coat_nginx_quote(t, "--listen", coat_span_of(o->listens[i].text));
        if (has_tls(c))
            coat_nginx_raw(t, c->http2_directive ? " ssl" : " ssl http2");
        coat_nginx_raw(t, tail);
    }
    if (has_tls(c) && c->http2_directive)
        coat_nginx_raw(t, "        http2 on;\n");
}

/* Under any other name nobody could sign in: cookies and origins are those of the right one. */
static void
write_elsewhere(coat_nginx_text *t, const coat_gateway_conf *c)
{
    const coat_gateway_options *o = c->options;
    const char *origin = c->config->origins.list[0];

    coat_nginx_raw(t, "\n"
                      "    # Another name than ours leads to ours.\n"
                      "    server {\n");
    write_listens(t, c, " default_server;\n");
    coat_nginx_set_tail(t, "        return 302", "public.origins", origin, "$request_uri");
    coat_nginx_raw(t, "    }\n");
    if (o->redirect_count == 0)
        return;
    coat_nginx_raw(t, "    server {\n");
    for (size_t i = 0; i < o->redirect_count; i++)
        coat_nginx_set(t, "        listen", "--redirect", o->redirects[i].text);
    coat_nginx_set_tail(t, "        return 301", "public.origins", origin, "$request_uri");
    coat_nginx_raw(t, "    }\n");
}

static void
write_names(coat_nginx_text *t, const coat_strings *origins)
{
    coat_nginx_raw(t, "        server_name");
    for (size_t i = 0; i < origins->count; i++)
        if (!coat_gateway_host_repeats(origins, i))
            coat_nginx_quote(t, "public.origins", coat_gateway_host(origins->list[i]));
    coat_nginx_raw(t, ";\n");
}

static void
write_header(coat_nginx_text *t, const char *field, const char *key, const char *name)
{
    coat_nginx_raw(t, "        coatcheck_header ");
    coat_nginx_raw(t, field);
    if (name[0] != '\0')
        coat_nginx_quote(t, key, coat_span_of(name));
    coat_nginx_raw(t, name[0] != '\0' ? ";\n" : " off;\n");
}

/* An empty list allows nothing; without the directive the module would have a default. */
static void
write_allowed(coat_nginx_text *t, const char *name, const char *key, coat_strings values)
{
    if (values.count > 0) {
        coat_nginx_list(t, name, key, values);
        return;
    }
    coat_nginx_raw(t, name);
    coat_nginx_raw(t, " off;\n");
}

static void
write_cors(coat_nginx_text *t, const coat_config *config)
{
    if (config->cors_origins.count == 0)
        return;
    coat_nginx_list(t, "        coatcheck_cors", "cors.origins", config->cors_origins);
    write_allowed(t, "        coatcheck_cors_methods", "cors.methods", config->cors_methods);
    write_allowed(t, "        coatcheck_cors_headers", "cors.headers", config->cors_headers);
    coat_nginx_list(t, "        coatcheck_cors_expose", "cors.exposed", config->cors_exposed);
    coat_nginx_number(t, "        coatcheck_cors_max_age", config->cors_max_age_ms / 1000, "s");
}

/* The daemon's settings, as the module knows them. */
static void
write_module(coat_nginx_text *t, const coat_gateway_conf *c)
{
    const coat_config *config = c->config;

    coat_nginx_raw(t, "\n");
    coat_nginx_raw(t, c->options->optional ? "        coatcheck optional;\n"
                                           : "        coatcheck on;\n");
    coat_nginx_set(t, "        coatcheck_base_path", "server.base-path", config->base_path);
    coat_nginx_set(t, "        coatcheck_cookie", "cookie.name", config->cookie_name);
    write_header(t, "user", "identity.user", config->header_user);
    write_header(t, "roles", "identity.roles", config->header_roles);
    write_header(t, "methods", "identity.methods", config->header_methods);
    write_header(t, "session", "identity.session", config->header_session);
    write_header(t, "time", "identity.time", config->header_time);
    write_header(t, "assertion", "identity.assertion", config->header_assertion);
    if (c->options->assertion)
        coat_nginx_raw(t, "        coatcheck_assertion on;\n");
    coat_nginx_list(t, "        coatcheck_origins", "public.origins", config->origins);
    if (!c->options->no_csrf)
        coat_nginx_raw(t, config->allow_same_site ? "        coatcheck_csrf same-site;\n"
                                                  : "        coatcheck_csrf on;\n");
    write_cors(t, config);
}

/* What every location of the application has. */
static void
write_proxy(coat_nginx_text *t, const coat_gateway_conf *c)
{
    const coat_gateway_upstream *up = &c->options->upstream;

    coat_nginx_raw(t,
                   "\n"
                   "        proxy_http_version 1.1;\n"
                   "        proxy_set_header Host $coatcheck_host;\n"
                   "        proxy_set_header Connection $coatcheck_connection;\n"
                   "        proxy_set_header Upgrade $coatcheck_upgrade;\n"
                   "        proxy_set_header X-Real-IP $remote_addr;\n"
                   "        proxy_set_header X-Forwarded-For $remote_addr;\n"
                   "        proxy_set_header X-Forwarded-Proto $scheme;\n"
                   "        proxy_set_header X-Forwarded-Host $coatcheck_host;\n"
                   "        # What a client claims under these names must not arrive: some "
                   "applications\n"
                   "        # would take another path or address from them.\n"
                   "        proxy_set_header Forwarded \"\";\n"
                   "        proxy_set_header X-Forwarded-Port \"\";\n"
                   "        proxy_set_header X-Forwarded-Prefix \"\";\n"
                   "        proxy_set_header X-Forwarded-Server \"\";\n"
                   "        proxy_set_header X-Forwarded-Uri \"\";\n"
                   "        proxy_set_header X-Forwarded-Method \"\";\n"
                   "        proxy_set_header X-Original-URL \"\";\n"
                   "        proxy_set_header X-Original-URI \"\";\n"
                   "        proxy_set_header X-Original-Host \"\";\n"
                   "        proxy_set_header X-Original-Method \"\";\n"
                   "        proxy_set_header X-Rewrite-URL \"\";\n"
                   "        proxy_redirect off;\n"
                   "        # Uploads and streams pass as they come; nothing is kept on disk.\n"
                   "        proxy_request_buffering off;\n"
                   "        proxy_buffering off;\n"
                   "        proxy_buffers 8 16k;\n"
                   "        proxy_buffer_size 16k;\n"
                   "        proxy_max_temp_file_size 0;\n"
                   "        proxy_connect_timeout 5s;\n"
                   "        proxy_read_timeout 1h;\n");
    coat_nginx_number(t, "        client_max_body_size", c->options->max_body, "");
    if (has_tls(c))
        coat_nginx_raw(
            t, "        add_header Strict-Transport-Security $coatcheck_hsts always;\n");
    if (!up->tls)
        return;
    coat_nginx_raw(t, "        proxy_ssl_protocols TLSv1.2 TLSv1.3;\n"
                      "        proxy_ssl_server_name on;\n"
                      "        proxy_ssl_verify on;\n"
                      "        proxy_ssl_verify_depth 4;\n");
    coat_nginx_set(t, "        proxy_ssl_name", "--upstream", up->host);
    coat_nginx_set(t, "        proxy_ssl_trusted_certificate", "--upstream-ca", c->ca_file);
}

void
coat_gateway_write_pages(coat_out *out, const char *indent, const char *proxy_pass)
{
    static const char *const lines[] = {
        "proxy_http_version 1.1;",
        "proxy_set_header Connection \"\";",
        "proxy_set_header Host $http_host;",
        "proxy_set_header X-Forwarded-For $remote_addr;",
        "proxy_set_header X-Forwarded-Proto $scheme;",
        "# What a client sends under these names must not arrive.",
        "proxy_set_header X-Original-URI \"\";",
        "proxy_set_header X-Original-Method \"\";",
        "proxy_set_header X-Original-Host \"\";",
        "proxy_set_header X-Forwarded-Uri \"\";",
        "proxy_set_header X-Forwarded-Method \"\";",
        "# The daemon takes no larger body; so none goes to a file.",
        "client_max_body_size 32k;",
        "client_body_buffer_size 32k;",
    };

    coat_out_str(out, indent);
    coat_out_str(out, "proxy_pass ");
    coat_out_str(out, proxy_pass);
    coat_out_str(out, ";\n");
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        coat_out_str(out, indent);
        coat_out_str(out, lines[i]);
        coat_out_str(out, "\n");
    }
}

static const char application[] = "            proxy_pass http://coatcheck_application;\n";
static const char application_tls[] = "            proxy_pass https://coatcheck_application;\n";

/*
 * By the beginning of the path and whatever its letters' case: many applications take /Admin,
 * /admin.json and /admin; for what they have at /admin. Plain characters only, see options.c.
 */
static void
write_rule(coat_nginx_text *t, const coat_gateway_conf *c, const coat_gateway_rule *rule)
{
    coat_nginx_raw(t, "        location ~* \"^");
    for (const char *p = rule->path; *p != '\0'; p++) {
        if (*p == '.')
            coat_nginx_raw(t, "[.]");
        else
            coat_out_char(t->out, *p);
    }
    coat_nginx_raw(t, "\" {\n            coatcheck on;\n");
    if (rule->role_count > 0)
        coat_nginx_raw(t, "            coatcheck_require");
    for (size_t i = 0; i < rule->role_count; i++) {
        char role[sizeof "role=" + 64];
        int n = snprintf(role, sizeof role, "role=%.*s", (int)rule->roles[i].len,
                         rule->roles[i].ptr);

        coat_nginx_quote(t, "--protect", (coat_span){(const uint8_t *)role, (size_t)n});
    }
    if (rule->role_count > 0)
        coat_nginx_raw(t, ";\n");
    if (rule->max_age_s > 0)
        coat_nginx_number(t, "            coatcheck_max_age", rule->max_age_s, "s");
    coat_nginx_raw(t, c->options->upstream.tls ? application_tls : application);
    coat_nginx_raw(t, "        }\n");
}

static void
write_locations(coat_nginx_text *t, const coat_gateway_conf *c)
{
    coat_nginx_raw(t, "\n"
                      "        # coatcheck's own pages, which judge for themselves.\n"
                      "        location ^~");
    {
        char path[80];
        int n = snprintf(path, sizeof path, "%s/", c->config->base_path);

        coat_nginx_quote(t, "server.base-path", (coat_span){(const uint8_t *)path, (size_t)n});
    }
    coat_nginx_raw(t, " {\n"
                      "            coatcheck off;\n"
                      "            coatcheck_pass_cookie on;\n"
                      "            coatcheck_csrf off;\n"
                      "            coatcheck_cors off;\n");
    coat_gateway_write_pages(t->out, "            ", "http://coatcheck_pages");
    coat_nginx_raw(t, "        }\n");
    for (size_t i = 0; i < c->options->rule_count; i++)
        write_rule(t, c, &c->options->rules[i]);
    coat_nginx_raw(t, "        location / {\n");
    coat_nginx_raw(t, c->options->upstream.tls ? application_tls : application);
    coat_nginx_raw(t, "        }\n");
}

void
coat_gateway_write_servers(coat_nginx_text *t, const coat_gateway_conf *c)
{
    write_elsewhere(t, c);
    coat_nginx_raw(t, "\n"
                      "    server {\n");
    write_listens(t, c, ";\n");
    write_names(t, &c->config->origins);
    write_module(t, c);
    write_proxy(t, c);
    write_locations(t, c);
    coat_nginx_raw(t, "    }\n");
}
