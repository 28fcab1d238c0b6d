/* SPDX-License-Identifier: Apache-2.0 */
/* Directives with rules of their own. Each message says what would be right. */
#include "module.h"

#include "core/bytes.h"
#include "core/chars.h"

#include <coatcheck/record.h>

/* One directive, one line of reason; shown by nginx -t with file and line. */
#define COMPLAIN(cf, ...)                                                                      \
    (ngx_conf_log_error(NGX_LOG_EMERG, (cf), 0, __VA_ARGS__), (char *)NGX_CONF_ERROR)

static coat_ngx_main *
main_conf(ngx_conf_t *cf)
{
    return ngx_http_conf_get_module_main_conf(cf, ngx_http_coatcheck_module);
}

static ngx_str_t *
args(ngx_conf_t *cf)
{
    return cf->args->elts;
}

static bool
is(const ngx_str_t *text, const char *word)
{
    return ngx_strcmp(text->data, word) == 0;
}

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
        if (is(&cmd->name, word_lists[i].directive))
            list = &word_lists[i];
    if (list == NULL)
        return NGX_CONF_ERROR;
    at = (ngx_uint_t *)(void *)((char *)conf + list->offset);
    if (*at != NGX_CONF_UNSET_UINT)
        return "is duplicate";
    for (ngx_uint_t i = 0; i < 4 && list->words[i] != NULL; i++)
        if (is(&args(cf)[1], list->words[i])) {
            *at = i;
            return NGX_CONF_OK;
        }
    return COMPLAIN(cf, "%V takes %s, %s%s%s, not \"%V\"", &cmd->name, list->words[1],
                    list->words[0], list->words[2] != NULL ? " or " : "",
                    list->words[2] != NULL ? list->words[2] : "", &args(cf)[1]);
}

/* ---- table and daemon: one of each path, whoever names it ---- */

static coat_ngx_table *
table_named(ngx_conf_t *cf, ngx_str_t path)
{
    coat_ngx_main *conf = main_conf(cf);
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
    ngx_str_t *path = &args(cf)[1];

    (void)cmd;
    if (lcf->table != NGX_CONF_UNSET_PTR)
        return "is duplicate";
    if (path->data[0] != '/')
        return COMPLAIN(cf,
                        "coatcheck_table \"%V\" is no absolute path; write the daemon's "
                        "table.path, by default /run/coatcheck/table",
                        path);
    lcf->table = table_named(cf, *path);
    return lcf->table != NULL ? NGX_CONF_OK : NGX_CONF_ERROR;
}

/** The daemon of that name and number of idle connections; resolved now, not at run time. */
static coat_ngx_daemon *
daemon_named(ngx_conf_t *cf, ngx_str_t name, ngx_uint_t keepalive)
{
    coat_ngx_main *conf = main_conf(cf);
    coat_ngx_daemon **list = conf->daemons.elts, **slot, *daemon;
    ngx_url_t url;

    for (ngx_uint_t i = 0; i < conf->daemons.nelts; i++)
        if (coat_span_is(coat_ngx_span(list[i]->name), coat_ngx_span(name)) &&
            list[i]->keepalive == keepalive)
            return list[i];
    ngx_memzero(&url, sizeof url);
    url.url = name;
    if (ngx_parse_url(cf->pool, &url) != NGX_OK || url.naddrs == 0 ||
        (url.family != AF_UNIX && url.no_port)) {
        (void)COMPLAIN(cf,
                       "coatcheck_daemon \"%V\": %s; write unix:/path of a listener with "
                       "dialect: module, or ADDRESS:PORT",
                       &name, url.err != NULL ? url.err : "no port");
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
        ngx_str_t *arg = &args(cf)[2];

        keepalive = NGX_ERROR;
        if (ngx_strncmp(arg->data, "keepalive=", 10) == 0)
            keepalive = ngx_atoi(arg->data + 10, arg->len - 10);
        if (keepalive == NGX_ERROR || keepalive > 1024)
            return COMPLAIN(cf, "coatcheck_daemon: \"%V\" is not keepalive=N, N from 0 to 1024",
                            arg);
    }
    lcf->daemon = daemon_named(cf, args(cf)[1], (ngx_uint_t)keepalive);
    return lcf->daemon != NULL ? NGX_CONF_OK : NGX_CONF_ERROR;
}

char *
coat_ngx_set_base_path(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    coat_ngx_loc *lcf = conf;
    ngx_str_t *path = &args(cf)[1];

    (void)cmd;
    if (lcf->base_path.data != NULL)
        return "is duplicate";
    for (size_t i = 0; i < path->len; i++)
        if (path->data[0] != '/' || path->data[path->len - 1] == '/' || path->len > 64 ||
            (!coat_char_is_alnum(path->data[i]) && strchr("/-._~", path->data[i]) == NULL))
            return COMPLAIN(cf,
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
    ms = ngx_parse_time(&args(cf)[1], 0);
    if (ms == NGX_ERROR || ms < 10 || ms > 60000)
        return COMPLAIN(cf, "coatcheck_timeout \"%V\" is not 10ms to 60s, as in 2s or 500ms",
                        &args(cf)[1]);
    lcf->timeout = (ngx_msec_t)ms;
    return NGX_CONF_OK;
}

/* ---- cookie ---- */

static coat_cookie_conf *
cookie_named(ngx_conf_t *cf, coat_span name, const char **names)
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
        (void)ngx_sprintf(text, "%s%s%Z", cookie->name, companions[i]);
        names[i] = (const char *)text;
    }
    return cookie;
}

char *
coat_ngx_set_cookie(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    coat_ngx_loc *lcf = conf;
    ngx_str_t *name = &args(cf)[1];

    (void)cmd;
    if (lcf->cookie != NGX_CONF_UNSET_PTR)
        return "is duplicate";
    if (name->len > COAT_COOKIE_NAME_MAX || !coat_span_is_token(coat_ngx_span(*name)))
        return COMPLAIN(cf,
                        "coatcheck_cookie \"%V\" cannot name a cookie; write the daemon's "
                        "cookie.name, by default __Host-id",
                        name);
    lcf->cookie = cookie_named(cf, coat_ngx_span(*name), lcf->cookie_names);
    return lcf->cookie != NULL ? NGX_CONF_OK : NGX_CONF_ERROR;
}

/* ---- demands ---- */

static bool
is_role(coat_span role)
{
    for (size_t i = 0; i < role.len; i++)
        if (role.ptr[i] <= 0x20 || role.ptr[i] == 0x7f)
            return false;
    return role.len > 0 && role.len <= COAT_ROLES_MAX;
}

char *
coat_ngx_set_require(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    coat_ngx_loc *lcf = conf;

    (void)cmd;
    if (lcf->roles != NGX_CONF_UNSET_PTR)
        return "is duplicate";
    if (cf->args->nelts == 2 && is(&args(cf)[1], "off")) {
        lcf->roles = NULL;
        return NGX_CONF_OK;
    }
    if (cf->args->nelts - 1 > COAT_NGX_ROLES)
        return COMPLAIN(cf, "coatcheck_require takes at most %d roles", COAT_NGX_ROLES);
    lcf->roles = ngx_array_create(cf->pool, 4, sizeof(ngx_str_t));
    if (lcf->roles == NULL)
        return NGX_CONF_ERROR;
    for (ngx_uint_t i = 1; i < cf->args->nelts; i++) {
        ngx_str_t *arg = &args(cf)[i], *role = ngx_array_push(lcf->roles);

        if (role == NULL)
            return NGX_CONF_ERROR;
        role->data = arg->data + 5;
        role->len = arg->len - 5;
        if (ngx_strncmp(arg->data, "role=", 5) != 0 || !is_role(coat_ngx_span(*role)))
            return COMPLAIN(cf, "coatcheck_require: \"%V\" is not role=NAME, as in role=admin",
                            arg);
    }
    return NGX_CONF_OK;
}

/* coatcheck_max_age and coatcheck_cors_max_age */
char *
coat_ngx_set_age(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    time_t *at = (time_t *)(void *)((char *)conf + cmd->offset);
    bool step_up = cmd->offset == offsetof(coat_ngx_loc, max_age_s);
    ngx_int_t most = step_up ? 30 * 24 * 3600 : 600;
    ngx_int_t seconds;

    if (*at != NGX_CONF_UNSET)
        return "is duplicate";
    if (step_up && is(&args(cf)[1], "off")) {
        *at = 0;
        return NGX_CONF_OK;
    }
    seconds = ngx_parse_time(&args(cf)[1], 1);
    if (seconds == NGX_ERROR || seconds < (step_up ? 1 : 0) || seconds > most)
        return COMPLAIN(cf, "%V \"%V\" is not %s", &cmd->name, &args(cf)[1],
                        step_up ? "off or 1s to 30d, as in 5m" : "0s to 10m");
    *at = seconds;
    return NGX_CONF_OK;
}

/* ---- origins, and lists for CORS ---- */

/* coatcheck_origins and coatcheck_cors */
char *
coat_ngx_set_origins(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    coat_origins **at = (coat_origins **)(void *)((char *)conf + cmd->offset), *origins;
    bool cors = cmd->offset == offsetof(coat_ngx_loc, cors);
    ngx_uint_t count = cf->args->nelts - 1;
    const char **list;
    char message[200];

    if (*at != NGX_CONF_UNSET_PTR)
        return "is duplicate";
    origins = ngx_pcalloc(cf->pool, sizeof *origins);
    list = ngx_pcalloc(cf->pool, count * sizeof *list);
    if (origins == NULL || list == NULL)
        return NGX_CONF_ERROR;
    *at = origins;
    if (cors && count == 1 && is(&args(cf)[1], "off"))
        return NGX_CONF_OK;
    if (count > COAT_ORIGINS_MAX)
        return COMPLAIN(cf, "%V takes at most %d origins", &cmd->name, COAT_ORIGINS_MAX);
    for (ngx_uint_t i = 0; i < count; i++) {
        list[i] = (const char *)args(cf)[i + 1].data;
        if (coat_origin_check(list[i], message, sizeof message) != COAT_OK)
            return COMPLAIN(cf, "%V \"%s\": %s", &cmd->name, list[i], message);
    }
    origins->list = list;
    origins->count = count;
    return NGX_CONF_OK;
}

/* coatcheck_cors_methods, _headers and _expose: words to "a, b, c" */
char *
coat_ngx_set_words(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t *at = (ngx_str_t *)(void *)((char *)conf + cmd->offset);
    bool lower = cmd->offset == offsetof(coat_ngx_loc, cors_headers);
    size_t total = 0;
    u_char *p;

    if (at->data != NULL)
        return "is duplicate";
    for (ngx_uint_t i = 1; i < cf->args->nelts; i++) {
        ngx_str_t *word = &args(cf)[i];

        if (!coat_span_is_token(coat_ngx_span(*word)) || is(word, "*"))
            return COMPLAIN(cf, "%V: \"%V\" is no name; list each by itself, as in %s",
                            &cmd->name, word, lower ? "content-type" : "GET or X-Total");
        total += word->len + 2;
    }
    p = ngx_pnalloc(cf->pool, total + 1);
    if (p == NULL)
        return NGX_CONF_ERROR;
    at->data = p;
    for (ngx_uint_t i = 1; i < cf->args->nelts; i++) {
        ngx_str_t *word = &args(cf)[i];

        if (i > 1)
            p = ngx_cpymem(p, ", ", 2);
        if (lower)
            ngx_strlow(p, word->data, word->len);
        else
            ngx_memcpy(p, word->data, word->len);
        p += word->len;
    }
    *p = '\0';
    at->len = (size_t)(p - at->data);
    return NGX_CONF_OK;
}

/* ---- what upstream is told ---- */

char *
coat_ngx_set_assertion(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    coat_ngx_loc *lcf = conf;
    ngx_str_t *value = &args(cf)[1];

    (void)cmd;
    if (lcf->assertion.data != NULL)
        return "is duplicate";
    if (is(value, "off")) {
        lcf->assertion = (ngx_str_t){.len = 0, .data = (u_char *)""};
        return NGX_CONF_OK;
    }
    if (is(value, "on")) {
        lcf->assertion = COAT_NGX_STR("yes");
        return NGX_CONF_OK;
    }
    for (size_t i = 0; i < value->len; i++)
        if (!coat_char_is_visible(value->data[i]) || value->len > 300)
            return COMPLAIN(cf,
                            "coatcheck_assertion \"%V\" is neither on, off nor one of the "
                            "daemon's assertion.audiences",
                            value);
    lcf->assertion = *value;
    return value->len > 0 ? NGX_CONF_OK : NGX_CONF_ERROR;
}

static ngx_int_t
name_fill(ngx_conf_t *cf, ngx_str_t text, coat_ngx_name *name)
{
    name->text = text;
    name->lower = ngx_pnalloc(cf->pool, text.len + 1);
    if (name->lower == NULL)
        return NGX_ERROR;
    name->hash = ngx_hash_strlow(name->lower, text.data, text.len);
    return NGX_OK;
}

/* Fields that nginx or HTTP gives a meaning of their own: to overwrite them would break
 * requests. */
static bool
is_taken(coat_span name)
{
    static const char *const taken[] = {
        "host",       "cookie", "connection",        "content-length", "content-type", "te",
        "upgrade",    "expect", "transfer-encoding", "authorization",  "trailer",      "range",
        "keep-alive", "origin", "referer",           "user-agent",     "accept",       "via",
    };

    for (size_t i = 0; i < sizeof taken / sizeof taken[0]; i++)
        if (coat_span_is_nocase(name, coat_span_of(taken[i])))
            return true;
    return false;
}

static bool
is_header_name(coat_span name)
{
    if (name.len == 0 || name.len > 63 || is_taken(name))
        return false;
    for (size_t i = 0; i < name.len; i++)
        if (!coat_char_is_alnum(name.ptr[i]) && name.ptr[i] != '-')
            return false;
    return true;
}

static const char *const field_names[COAT_NGX_FIELDS] = {"user",    "roles", "methods",
                                                         "session", "time",  "assertion"};

char *
coat_ngx_set_header(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    coat_ngx_loc *lcf = conf;
    ngx_str_t *field = &args(cf)[1], *name = &args(cf)[2];
    ngx_uint_t i = 0;

    (void)cmd;
    while (i < COAT_NGX_FIELDS && !is(field, field_names[i]))
        i++;
    if (i == COAT_NGX_FIELDS)
        return COMPLAIN(cf,
                        "coatcheck_header: \"%V\" is no field; there are user, roles, methods, "
                        "session, time and assertion",
                        field);
    if (lcf->fields[i].text.data != NULL)
        return "is duplicate";
    if (is(name, "off")) {
        lcf->fields[i].text.data = (u_char *)"";
        return NGX_CONF_OK;
    }
    if (!is_header_name(coat_ngx_span(*name)))
        return COMPLAIN(
            cf,
            "coatcheck_header: \"%V\" cannot carry an identity; write a name of "
            "letters, digits and \"-\" that has no other meaning, as in X-Auth-User",
            name);
    return name_fill(cf, *name, &lcf->fields[i]) == NGX_OK ? NGX_CONF_OK : NGX_CONF_ERROR;
}

char *
coat_ngx_set_proto(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    (void)cmd;
    if (((coat_ngx_loc *)conf)->proto != NGX_CONF_UNSET_PTR)
        return "is duplicate";
    ((coat_ngx_loc *)conf)->proto = NULL;
    return ngx_http_set_complex_value_slot(cf, cmd, conf);
}

/* ---- life ---- */

void *
coat_ngx_create_loc(ngx_conf_t *cf)
{
    coat_ngx_loc *conf = ngx_pcalloc(cf->pool, sizeof *conf);

    if (conf == NULL)
        return NULL;
    conf->mode = NGX_CONF_UNSET_UINT;
    conf->csrf = NGX_CONF_UNSET_UINT;
    conf->pass_cookie = NGX_CONF_UNSET;
    conf->activity = NGX_CONF_UNSET;
    conf->watch = NGX_CONF_UNSET;
    conf->table = NGX_CONF_UNSET_PTR;
    conf->daemon = NGX_CONF_UNSET_PTR;
    conf->cookie = NGX_CONF_UNSET_PTR;
    conf->roles = NGX_CONF_UNSET_PTR;
    conf->own = NGX_CONF_UNSET_PTR;
    conf->cors = NGX_CONF_UNSET_PTR;
    conf->proto = NGX_CONF_UNSET_PTR;
    conf->timeout = NGX_CONF_UNSET_MSEC;
    conf->max_age_s = NGX_CONF_UNSET;
    conf->cors_max_age_s = NGX_CONF_UNSET;
    return conf;
}

/** "GET /auth/verify?max_age=300&role=admin HTTP/1.1" and Host, once for all requests. */
static ngx_int_t
write_question(ngx_conf_t *cf, coat_ngx_loc *conf)
{
    size_t room = 512 + conf->base_path.len + 3 * (COAT_NGX_ROLES * (size_t)COAT_ROLES_MAX) +
                  3 * conf->assertion.len;
    u_char *p = ngx_pnalloc(cf->pool, room), *start = p;
    const char *mark = "?";

    if (p == NULL)
        return NGX_ERROR;
    p = ngx_sprintf(p, "GET %V/verify", &conf->base_path);
    if (conf->max_age_s > 0) {
        p = ngx_sprintf(p, "%smax_age=%T", mark, conf->max_age_s);
        mark = "&";
    }
    for (ngx_uint_t i = 0; conf->roles != NULL && i < conf->roles->nelts; i++) {
        ngx_str_t *role = (ngx_str_t *)conf->roles->elts + i;

        p = i == 0 ? ngx_sprintf(p, "%srole=", mark) : ngx_sprintf(p, "%%20");
        p = (u_char *)ngx_escape_uri(p, role->data, role->len, NGX_ESCAPE_URI_COMPONENT);
        mark = "&";
    }
    if (!conf->activity) {
        p = ngx_sprintf(p, "%sbackground=yes", mark);
        mark = "&";
    }
    if (conf->mode == COAT_NGX_OPTIONAL) {
        p = ngx_sprintf(p, "%soptional=yes", mark);
        mark = "&";
    }
    if (conf->assertion.len > 0) {
        p = ngx_sprintf(p, "%sassertion=", mark);
        p = (u_char *)ngx_escape_uri(p, conf->assertion.data, conf->assertion.len,
                                     NGX_ESCAPE_URI_COMPONENT);
    }
    p = ngx_sprintf(p, " HTTP/1.1" CRLF "Host: coatcheck" CRLF);
    conf->question = (ngx_str_t){.len = (size_t)(p - start), .data = start};
    return NGX_OK;
}

/** The server takes these names out of each request, whichever location it is for. */
static char *
add_names(ngx_conf_t *cf, const coat_ngx_loc *conf)
{
    coat_ngx_srv *scf = ngx_http_conf_get_module_srv_conf(cf, ngx_http_coatcheck_module);

    scf->used = 1;
    for (ngx_uint_t i = 0; i < COAT_NGX_FIELDS; i++) {
        const coat_ngx_name *name = &conf->fields[i];
        ngx_uint_t at = 0;

        while (at < scf->name_count && !coat_span_is_nocase(coat_ngx_span(scf->names[at].text),
                                                            coat_ngx_span(name->text)))
            at++;
        if (name->text.len == 0 || at < scf->name_count)
            continue;
        if (at == COAT_NGX_NAMES_MAX)
            return COMPLAIN(cf, "more than %d names of coatcheck_header in one server",
                            COAT_NGX_NAMES_MAX);
        scf->names[scf->name_count++] = *name;
        scf->lengths |= (uint64_t)1 << name->text.len;
    }
    return NGX_CONF_OK;
}

static char *
merge_fields(ngx_conf_t *cf, const coat_ngx_loc *prev, coat_ngx_loc *conf)
{
    static const char *const defaults[COAT_NGX_FIELDS] = {"X-Auth-User",    "X-Auth-Roles",
                                                          "X-Auth-Methods", "X-Auth-Session",
                                                          "X-Auth-Time",    "X-Auth-Assertion"};

    for (ngx_uint_t i = 0; i < COAT_NGX_FIELDS; i++) {
        if (conf->fields[i].text.data != NULL)
            continue;
        conf->fields[i] = prev->fields[i];
        if (conf->fields[i].text.data == NULL &&
            name_fill(cf, coat_ngx_text(coat_span_of(defaults[i])), &conf->fields[i]) != NGX_OK)
            return NGX_CONF_ERROR;
    }
    for (ngx_uint_t i = 0; i < COAT_NGX_FIELDS; i++)
        for (ngx_uint_t j = 0; j < i; j++)
            if (conf->fields[i].text.len > 0 &&
                coat_span_is_nocase(coat_ngx_span(conf->fields[i].text),
                                    coat_ngx_span(conf->fields[j].text)))
                return COMPLAIN(cf, "coatcheck_header: \"%V\" carries both %s and %s",
                                &conf->fields[i].text, field_names[j], field_names[i]);
    return NGX_CONF_OK;
}

static char *
merge_places(ngx_conf_t *cf, const coat_ngx_loc *prev, coat_ngx_loc *conf)
{
    ngx_str_t proto = COAT_NGX_STR("$scheme");
    ngx_http_compile_complex_value_t compile;

    ngx_conf_merge_ptr_value(conf->table, prev->table, NULL);
    ngx_conf_merge_ptr_value(conf->daemon, prev->daemon, NULL);
    ngx_conf_merge_ptr_value(conf->proto, prev->proto, NULL);
    ngx_conf_merge_msec_value(conf->timeout, prev->timeout, COAT_NGX_TIMEOUT_MS);
    ngx_conf_merge_str_value(conf->base_path, prev->base_path, "/auth");
    if (conf->table == NULL)
        conf->table = table_named(cf, COAT_NGX_STR("/run/coatcheck/table"));
    if (conf->daemon == NULL)
        conf->daemon =
            daemon_named(cf, COAT_NGX_STR("unix:/run/coatcheck/gate.sock"), COAT_NGX_KEEPALIVE);
    if (conf->table == NULL || conf->daemon == NULL)
        return NGX_CONF_ERROR;
    if (conf->cookie == NGX_CONF_UNSET_PTR) {
        conf->cookie = prev->cookie;
        ngx_memcpy(conf->cookie_names, prev->cookie_names, sizeof conf->cookie_names);
    }
    if (conf->cookie == NGX_CONF_UNSET_PTR)
        conf->cookie = cookie_named(cf, COAT_LIT("__Host-id"), conf->cookie_names);
    if (conf->cookie == NULL)
        return NGX_CONF_ERROR;
    if (conf->proto != NULL)
        return NGX_CONF_OK;
    conf->proto = ngx_pcalloc(cf->pool, sizeof *conf->proto);
    ngx_memzero(&compile, sizeof compile);
    compile.cf = cf;
    compile.value = &proto;
    compile.complex_value = conf->proto;
    return conf->proto != NULL && ngx_http_compile_complex_value(&compile) == NGX_OK
               ? NGX_CONF_OK
               : NGX_CONF_ERROR;
}

static char *
merge_cross(ngx_conf_t *cf, const coat_ngx_loc *prev, coat_ngx_loc *conf)
{
    static coat_origins none;
    char message[200];
    coat_cors_policy policy;

    ngx_conf_merge_uint_value(conf->csrf, prev->csrf, COAT_NGX_CSRF_OFF);
    ngx_conf_merge_ptr_value(conf->own, prev->own, &none);
    ngx_conf_merge_ptr_value(conf->cors, prev->cors, &none);
    ngx_conf_merge_str_value(conf->cors_methods, prev->cors_methods, "GET, POST");
    ngx_conf_merge_str_value(conf->cors_headers, prev->cors_headers,
                             "content-type, x-csrf-token");
    ngx_conf_merge_str_value(conf->cors_exposed, prev->cors_exposed, "");
    ngx_conf_merge_sec_value(conf->cors_max_age_s, prev->cors_max_age_s, 600);
    if (conf->own->count == 0 && (conf->csrf != COAT_NGX_CSRF_OFF || conf->cors->count > 0))
        return COMPLAIN(cf,
                        "%s needs coatcheck_origins, what stands in the browser's bar, as in "
                        "\"coatcheck_origins https://app.example.com;\"",
                        conf->cors->count > 0 ? "coatcheck_cors" : "coatcheck_csrf");
    policy = (coat_cors_policy){
        .allowed = *conf->cors,
        .methods = (const char *)conf->cors_methods.data,
        .headers = (const char *)conf->cors_headers.data,
        .exposed = (const char *)conf->cors_exposed.data,
        .max_age_s = (int32_t)conf->cors_max_age_s,
    };
    if (conf->cors->count > 0 && coat_cors_check(&policy, message, sizeof message) != COAT_OK)
        return COMPLAIN(cf, "coatcheck_cors: %s", message);
    return NGX_CONF_OK;
}

char *
coat_ngx_merge_loc(ngx_conf_t *cf, void *parent, void *child)
{
    coat_ngx_loc *prev = parent, *conf = child;

    ngx_conf_merge_uint_value(conf->mode, prev->mode, COAT_NGX_OFF);
    ngx_conf_merge_value(conf->pass_cookie, prev->pass_cookie, 0);
    ngx_conf_merge_value(conf->activity, prev->activity, 1);
    ngx_conf_merge_value(conf->watch, prev->watch, 1);
    ngx_conf_merge_ptr_value(conf->roles, prev->roles, NULL);
    ngx_conf_merge_sec_value(conf->max_age_s, prev->max_age_s, 0);
    ngx_conf_merge_str_value(conf->assertion, prev->assertion, "");
    conf->assertion_hash = ngx_hash_key(conf->assertion.data, conf->assertion.len);
    if (merge_places(cf, prev, conf) != NGX_CONF_OK ||
        merge_fields(cf, prev, conf) != NGX_CONF_OK ||
        merge_cross(cf, prev, conf) != NGX_CONF_OK)
        return NGX_CONF_ERROR;
    if (conf->mode == COAT_NGX_OFF && conf->csrf == COAT_NGX_CSRF_OFF && conf->cors->count == 0)
        return NGX_CONF_OK;
    if (conf->assertion.len > 0)
        main_conf(cf)->assertions = 1;
    if (write_question(cf, conf) != NGX_OK)
        return NGX_CONF_ERROR;
    return add_names(cf, conf);
}
