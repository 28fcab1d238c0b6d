/* SPDX-License-Identifier: Apache-2.0 */
/* Directives that say where things are and how they are called. Each message says what would be
 * right. */
#include "config.h"

/* ---- on, off and other words ---- */

typedef struct word_list {
    const char *directive;
    const char *words[4];
    size_t offset;
} word_list;

static const word_list word_lists[] = {
    {"coatcheck", {"off", "on", "optional"}, offsetof(coat_ngx_loc, mode)},
    {"coatcheck_csrf", {"off", "on", "same-site"}, offsetof(coat_ngx_loc, csrf)},
    {"coatcheck_pass_cookie", {"off", "on"}, offsetof(coat_ngx_loc, pass_cookie)},
    {"coatcheck_activity", {"off", "on"}, offsetof(coat_ngx_loc, activity)},
    {"coatcheck_watch", {"off", "on"}, offsetof(coat_ngx_loc, watch)},
};

char *
coat_ngx_set_word(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    const word_list *list = NULL;
    ngx_uint_t *at;

    for (size_t i = 0; i < sizeof word_lists / sizeof word_lists[0]; i++)
        if (coat_ngx_is(&cmd->name, word_lists[i].directive))
            list = &word_lists[i];
    if (list == NULL)
        return NGX_CONF_ERROR;
    at = (ngx_uint_t *)(void *)((char *)conf + list->offset);
    if (*at != NGX_CONF_UNSET_UINT)
        return "is duplicate";
    for (ngx_uint_t i = 0; i < 4 && list->words[i] != NULL; i++)
        if (coat_ngx_is(&coat_ngx_args(cf)[1], list->words[i])) {
            *at = i;
            return NGX_CONF_OK;
        }
    return COAT_NGX_COMPLAIN(cf, "%V takes %s, %s%s%s, not \"%V\"", &cmd->name, list->words[1],
                             list->words[0], list->words[2] != NULL ? " or " : "",
                             list->words[2] != NULL ? list->words[2] : "",
                             &coat_ngx_args(cf)[1]);
}

/* ---- table and daemon: one of each path, whoever names it ---- */

coat_ngx_table *
coat_ngx_table_named(ngx_conf_t *cf, ngx_str_t path)
{
    coat_ngx_main *conf = coat_ngx_main_conf(cf);
    coat_ngx_table **list = conf->tables.elts, **slot, *table;

    for (ngx_uint_t i = 0; i < conf->tables.nelts; i++)
        if (coat_span_is(coat_ngx_span(list[i]->path), coat_ngx_span(path)))
            return list[i];
    slot = ngx_array_push(&conf->tables);
    table = ngx_pcalloc(cf->pool, sizeof *table);
    if (slot == NULL || table == NULL)
        return NULL;
    table->path = path;
    *slot = table;
    return table;
}

char *
coat_ngx_set_table(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    coat_ngx_loc *lcf = conf;
    ngx_str_t *path = &coat_ngx_args(cf)[1];

    (void)cmd;
    if (lcf->table != NGX_CONF_UNSET_PTR)
        return "is duplicate";
    if (path->data[0] != '/')
        return COAT_NGX_COMPLAIN(
            cf,
            "coatcheck_table \"%V\" is no absolute path; write the daemon's "
            "table.path, by default /run/coatcheck/table",
            path);
    lcf->table = coat_ngx_table_named(cf, *path);
    return lcf->table != NULL ? NGX_CONF_OK : NGX_CONF_ERROR;
}

/** The daemon of that name and number of idle connections; resolved now, not at run time. */
coat_ngx_daemon *
coat_ngx_daemon_named(ngx_conf_t *cf, ngx_str_t name, ngx_uint_t keepalive)
{
    coat_ngx_main *conf = coat_ngx_main_conf(cf);
    coat_ngx_daemon **list = conf->daemons.elts, **slot, *daemon;
    ngx_url_t url;

    for (ngx_uint_t i = 0; i < conf->daemons.nelts; i++)
        if (coat_span_is(coat_ngx_span(list[i]->name), coat_ngx_span(name)) &&
            list[i]->keepalive == keepalive)
            return list[i];
    ngx_memzero(&url, sizeof url);
    url.url = name;
    if (ngx_parse_url(cf->pool, &url) != NGX_OK || url.naddrs == 0 ||
        (url.family != AF_UNIX && url.no_port) ||
        (url.family == AF_UNIX && name.data[5] != '/')) {
        (void)COAT_NGX_COMPLAIN(
            cf,
            "coatcheck_daemon \"%V\": %s; write unix:/path of a listener with "
            "dialect: module, or ADDRESS:PORT",
            &name,
            url.err != NULL         ? url.err
            : url.family == AF_UNIX ? "no absolute path"
                                    : "no port");
        return NULL;
    }
    slot = ngx_array_push(&conf->daemons);
    daemon = ngx_pcalloc(cf->pool, sizeof *daemon);
    if (slot == NULL || daemon == NULL)
        return NULL;
    daemon->name = name;
    daemon->address = url.addrs[0];
    daemon->keepalive = keepalive;
    ngx_queue_init(&daemon->idle);
    *slot = daemon;
    return daemon;
}

char *
coat_ngx_set_daemon(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    coat_ngx_loc *lcf = conf;
    ngx_int_t keepalive = COAT_NGX_KEEPALIVE;

    (void)cmd;
    if (lcf->daemon != NGX_CONF_UNSET_PTR)
        return "is duplicate";
    if (cf->args->nelts == 3) {
        ngx_str_t *arg = &coat_ngx_args(cf)[2];

        keepalive = NGX_ERROR;
        if (ngx_strncmp(arg->data, "keepalive=", 10) == 0)
            keepalive = ngx_atoi(arg->data + 10, arg->len - 10);
        if (keepalive == NGX_ERROR || keepalive > 1024)
            return COAT_NGX_COMPLAIN(
                cf, "coatcheck_daemon: \"%V\" is not keepalive=N, N from 0 to 1024", arg);
    }
    lcf->daemon = coat_ngx_daemon_named(cf, coat_ngx_args(cf)[1], (ngx_uint_t)keepalive);
    return lcf->daemon != NULL ? NGX_CONF_OK : NGX_CONF_ERROR;
}

static bool
is_plain_path(coat_span path)
{
    for (size_t i = 0; i < path.len; i++)
        if (!coat_char_is_alnum(path.ptr[i]) && strchr("/-._~", path.ptr[i]) == NULL)
            return false;
    return path.len > 1 && path.len <= 64 && path.ptr[0] == '/' &&
           path.ptr[path.len - 1] != '/';
}

char *
coat_ngx_set_base_path(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    coat_ngx_loc *lcf = conf;
    ngx_str_t *path = &coat_ngx_args(cf)[1];

    (void)cmd;
    if (lcf->base_path.data != NULL)
        return "is duplicate";
    if (!is_plain_path(coat_ngx_span(*path)))
        return COAT_NGX_COMPLAIN(
            cf,
            "coatcheck_base_path \"%V\" is no plain path; write the daemon's "
            "server.base-path, by default /auth",
            path);
    lcf->base_path = *path;
    return NGX_CONF_OK;
}

char *
coat_ngx_set_timeout(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    coat_ngx_loc *lcf = conf;
    ngx_int_t ms;

    (void)cmd;
    if (lcf->timeout != NGX_CONF_UNSET_MSEC)
        return "is duplicate";
    ms = ngx_parse_time(&coat_ngx_args(cf)[1], 0);
    if (ms == NGX_ERROR || ms < 10 || ms > 60000)
        return COAT_NGX_COMPLAIN(
            cf, "coatcheck_timeout \"%V\" is not 10ms to 60s, as in 2s or 500ms",
            &coat_ngx_args(cf)[1]);
    lcf->timeout = (ngx_msec_t)ms;
    return NGX_CONF_OK;
}

/* ---- cookie ---- */

coat_cookie_conf *
coat_ngx_cookie_named(ngx_conf_t *cf, coat_span name, coat_span *names)
{
    static const char *const companions[] = {"", "-pre", "-device"};
    coat_cookie_conf *cookie = ngx_pcalloc(cf->pool, sizeof *cookie);

    if (cookie == NULL)
        return NULL;
    coat_cookie_default(cookie);
    ngx_memcpy(cookie->name, name.ptr, name.len);
    cookie->name[name.len] = '\0';
    for (size_t i = 0; i < 3; i++) {
        u_char *text = ngx_pnalloc(cf->pool, name.len + sizeof "-device");

        if (text == NULL)
            return NULL;
        names[i] = (coat_span){
            text, (size_t)(ngx_sprintf(text, "%s%s", cookie->name, companions[i]) - text)};
    }
    return cookie;
}

char *
coat_ngx_set_cookie(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    coat_ngx_loc *lcf = conf;
    ngx_str_t *name = &coat_ngx_args(cf)[1];
    char message[200];

    (void)cmd;
    if (lcf->cookie != NGX_CONF_UNSET_PTR)
        return "is duplicate";
    if (name->len > COAT_COOKIE_NAME_MAX || !coat_span_is_token(coat_ngx_span(*name)))
        return COAT_NGX_COMPLAIN(
            cf,
            "coatcheck_cookie \"%V\" cannot name a cookie; write the daemon's "
            "cookie.name, by default __Host-id",
            name);
    lcf->cookie = coat_ngx_cookie_named(cf, coat_ngx_span(*name), lcf->cookie_names);
    if (lcf->cookie == NULL)
        return NGX_CONF_ERROR;
    if (coat_cookie_check(lcf->cookie, NULL, message, sizeof message) != COAT_OK)
        return COAT_NGX_COMPLAIN(
            cf, "coatcheck_cookie \"%V\": %s; write the daemon's cookie.name", name, message);
    return NGX_CONF_OK;
}

char *
coat_ngx_set_proto(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    coat_ngx_loc *lcf = conf;
    ngx_str_t *value = &coat_ngx_args(cf)[1];

    if (lcf->proto != NGX_CONF_UNSET_PTR)
        return "is duplicate";
    if (ngx_strchr(value->data, '$') == NULL && !coat_ngx_is(value, "http") &&
        !coat_ngx_is(value, "https"))
        return COAT_NGX_COMPLAIN(
            cf,
            "coatcheck_proto \"%V\" is neither http, https nor a variable that "
            "says which, as in $http_x_forwarded_proto",
            value);
    lcf->proto = NULL;
    return ngx_http_set_complex_value_slot(cf, cmd, conf);
}
