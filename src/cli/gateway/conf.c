/* SPDX-License-Identifier: Apache-2.0 */
/* The nginx configuration: what surrounds the servers. */
#include "cli/gateway/conf.h"

static coat_span
authority_of(const char *origin)
{
    const char *at = strstr(origin, "://");

    return coat_span_of(at != NULL ? at + strlen("://") : origin);
}

coat_span
coat_gateway_host(const char *origin)
{
    coat_span text = authority_of(origin);
    size_t end = text.len;

    while (end > 0 && text.ptr[end - 1] != ':' && text.ptr[end - 1] != ']')
        end--;
    if (end > 0 && text.ptr[end - 1] == ':')
        text.len = end - 1;
    return text;
}

bool
coat_gateway_host_repeats(const coat_strings *origins, size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (coat_span_is(coat_gateway_host(origins->list[i]),
                         coat_gateway_host(origins->list[index])))
            return true;
    return false;
}

static bool
is_local(coat_span host)
{
    return coat_span_is(host, COAT_LIT("localhost")) ||
           coat_span_is(host, COAT_LIT("127.0.0.1")) || coat_span_is(host, COAT_LIT("[::1]"));
}

static void
write_main(coat_nginx_text *t, const coat_gateway_conf *c)
{
    coat_nginx_raw(t, "# Written by coatcheck gateway, and anew at each start and reload.\n");
    coat_nginx_set(t, "load_module", "--module", c->module);
    if (c->user != NULL) {
        coat_nginx_raw(t, "user");
        coat_nginx_quote(t, "--user", coat_span_of(c->user));
        coat_nginx_quote(t, "table.group", coat_span_of(c->group));
        coat_nginx_raw(t, ";\n");
    }
    coat_nginx_raw(t, "worker_processes auto;\n"
                      "daemon off;\n"
                      "error_log stderr warn;\n");
    coat_nginx_set_tail(t, "pid", "runtime.directory", c->dir, "/nginx.pid");
    coat_nginx_raw(t, "\n"
                      "events {\n"
                      "    worker_connections 4096;\n"
                      "}\n"
                      "\n");
}

/* nginx makes these when it starts. As bodies are passed on as they come, they stay empty: they
 * lie where the node table does, which must not run out of room. */
static void
write_folders(coat_nginx_text *t, const coat_gateway_conf *c)
{
    static const char *const folders[][2] = {
        {"    client_body_temp_path", "/body"}, {"    proxy_temp_path", "/proxy"},
        {"    fastcgi_temp_path", "/fastcgi"},  {"    uwsgi_temp_path", "/uwsgi"},
        {"    scgi_temp_path", "/scgi"},
    };

    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++)
        coat_nginx_set_tail(t, folders[i][0], "runtime.directory", c->dir, folders[i][1]);
}

static void
write_log(coat_nginx_text *t, const coat_gateway_conf *c)
{
    if (c->options->access_log[0] == '\0') {
        coat_nginx_raw(t, "    access_log off;\n");
        return;
    }
    coat_nginx_raw(t,
                   "    log_format coatcheck '$remote_addr - $coatcheck_user [$time_local] '\n"
                   "        '\"$request\" $status $body_bytes_sent \"$http_referer\" '\n"
                   "        '\"$http_user_agent\"';\n"
                   "    access_log");
    coat_nginx_quote(t, "--access-log", coat_span_of(c->options->access_log));
    coat_nginx_raw(t, " coatcheck;\n");
}

static void
write_tls(coat_nginx_text *t, const coat_gateway_conf *c)
{
    if (c->options->tls_cert[0] == '\0')
        return;
    coat_nginx_set(t, "    ssl_certificate", "--tls-cert", c->options->tls_cert);
    coat_nginx_set(t, "    ssl_certificate_key", "--tls-key", c->options->tls_key);
    coat_nginx_raw(t, "    ssl_protocols TLSv1.2 TLSv1.3;\n"
                      "    ssl_ciphers ECDHE+AESGCM:ECDHE+CHACHA20;\n"
                      "    ssl_prefer_server_ciphers off;\n"
                      "    ssl_session_cache shared:coatcheck_tls:10m;\n"
                      "    ssl_session_tickets off;\n");
}

static void
write_upstreams(coat_nginx_text *t, const coat_gateway_conf *c)
{
    coat_nginx_raw(t, "\n"
                      "    upstream coatcheck_pages {\n"
                      "        server");
    coat_nginx_quote(t, "listeners", coat_span_of(c->pages_address));
    coat_nginx_raw(t, ";\n"
                      "        keepalive 16;\n"
                      "    }\n"
                      "    # There is no other to turn to: a failure must not take it out of "
                      "service.\n"
                      "    upstream coatcheck_application {\n"
                      "        server");
    coat_nginx_quote(t, "--upstream", coat_span_of(c->options->upstream.server));
    coat_nginx_raw(t, " max_fails=0;\n"
                      "        keepalive 32;\n"
                      "    }\n");
}

static void
write_hosts(coat_nginx_text *t, const coat_strings *origins)
{
    coat_nginx_raw(t, "    # Our own address, whatever the client wrote.\n"
                      "    map $host $coatcheck_host {\n");
    for (size_t i = 0; i < origins->count; i++) {
        coat_span authority = authority_of(origins->list[i]);

        if (coat_gateway_host_repeats(origins, i))
            continue;
        if (i == 0) {
            coat_nginx_raw(t, "        default");
            coat_nginx_quote(t, "public.origins", authority);
            coat_nginx_raw(t, ";\n");
        }
        coat_nginx_raw(t, "       ");
        coat_nginx_quote(t, "public.origins", coat_gateway_host(origins->list[i]));
        coat_nginx_quote(t, "public.origins", authority);
        coat_nginx_raw(t, ";\n");
    }
    coat_nginx_raw(t, "    }\n");
}

static void
write_maps(coat_nginx_text *t, const coat_gateway_conf *c)
{
    const coat_strings *origins = &c->config->origins;

    coat_nginx_raw(
        t, "\n"
           "    # A WebSocket may take a connection over and nothing else: nobody looks "
           "at\n"
           "    # what comes after that.\n"
           "    map $http_upgrade $coatcheck_upgrade {\n"
           "        default \"\";\n"
           "        \"~*^websocket$\" websocket;\n"
           "    }\n"
           "    map $coatcheck_upgrade $coatcheck_connection {\n"
           "        default \"\";\n"
           "        websocket upgrade;\n"
           "    }\n");
    write_hosts(t, origins);
    if (c->options->tls_cert[0] == '\0')
        return;
    /* On this machine alone there are others behind the same name, and not all have TLS. */
    coat_nginx_raw(t, "    # Unless the application or the sign-in says it itself.\n"
                      "    map $sent_http_strict_transport_security $coatcheck_hsts {\n"
                      "        default \"\";\n");
    coat_nginx_raw(t, is_local(coat_gateway_host(origins->list[0]))
                          ? "        \"\" \"\";\n"
                          : "        \"\" max-age=31536000;\n");
    coat_nginx_raw(t, "    }\n");
}

coat_err
coat_gateway_write(const coat_gateway_conf *c, coat_out *out, char *message)
{
    coat_nginx_text t = {.out = out};

    write_main(&t, c);
    coat_nginx_raw(&t, "http {\n");
    write_folders(&t, c);
    write_log(&t, c);
    coat_nginx_raw(&t, "    server_tokens off;\n"
                       "    absolute_redirect off;\n"
                       "    proxy_headers_hash_bucket_size 128;\n"
                       "    map_hash_bucket_size 512;\n"
                       "    server_names_hash_bucket_size 512;\n");
    /* Out here, or the module would also look where they lie by default. */
    coat_nginx_set(&t, "    coatcheck_table", "table.path", c->config->table_path);
    coat_nginx_set(&t, "    coatcheck_daemon", "listeners", c->gate_address);
    write_tls(&t, c);
    write_upstreams(&t, c);
    write_maps(&t, c);
    coat_gateway_write_servers(&t, c);
    coat_nginx_raw(&t, "}\n");
    if (t.bad != NULL) {
        (void)snprintf(
            message, COAT_GATEWAY_MESSAGE_MAX,
            "%s: an nginx configuration can hold neither \"$\" nor control characters; "
            "choose another name",
            t.bad);
        return COAT_INVALID;
    }
    if (!coat_out_end(out)) {
        (void)snprintf(message, COAT_GATEWAY_MESSAGE_MAX,
                       "the nginx configuration would be longer than %d KiB",
                       COAT_GATEWAY_TEXT_MAX / 1024);
        return COAT_TOO_LARGE;
    }
    return COAT_OK;
}
