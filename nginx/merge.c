/* SPDX-License-Identifier: Apache-2.0 */
/* Settings from outer to inner blocks, once, when the configuration is read; and what follows
 * from them. */
#include "config.h"

#include <coatcheck/record.h>

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

static const char *const default_names[COAT_NGX_FIELDS] = {
    "X-Auth-User",    "X-Auth-Roles", "X-Auth-Methods",
    "X-Auth-Session", "X-Auth-Time",  "X-Auth-Assertion"};

static char *
add_name(ngx_conf_t *cf, coat_ngx_srv *scf, const coat_ngx_name *name)
{
    for (ngx_uint_t i = 0; i < scf->name_count; i++)
        if (coat_span_is_nocase(coat_ngx_span(scf->names[i].text), coat_ngx_span(name->text)))
            return NGX_CONF_OK;
    if (name->text.len == 0)
        return NGX_CONF_OK;
    if (scf->name_count == COAT_NGX_NAMES_MAX)
        return COAT_NGX_COMPLAIN(cf, "more than %d names of coatcheck_header in one server",
                                 COAT_NGX_NAMES_MAX);
    coat_ngx_add_name(scf, name);
    return NGX_CONF_OK;
}

/** A server that uses us takes these names out of each request, whichever location it is for;
 * those that we have by default too, since an application may believe them however they are
 * renamed. */
static char *
add_names(ngx_conf_t *cf, const coat_ngx_loc *conf)
{
    coat_ngx_srv *scf = ngx_http_conf_get_module_srv_conf(cf, ngx_http_coatcheck_module);
    coat_ngx_name name;

    for (ngx_uint_t i = 0; scf->name_count < COAT_NGX_FIELDS && i < COAT_NGX_FIELDS; i++)
        if (coat_ngx_name_fill(cf, coat_ngx_text(coat_span_of(default_names[i])), &name) !=
                NGX_OK ||
            add_name(cf, scf, &name) != NGX_CONF_OK)
            return NGX_CONF_ERROR;
    for (ngx_uint_t i = 0; i < COAT_NGX_FIELDS; i++)
        if (add_name(cf, scf, &conf->fields[i]) != NGX_CONF_OK)
            return NGX_CONF_ERROR;
    return NGX_CONF_OK;
}

static char *
merge_fields(ngx_conf_t *cf, const coat_ngx_loc *prev, coat_ngx_loc *conf)
{
    for (ngx_uint_t i = 0; i < COAT_NGX_FIELDS; i++) {
        if (conf->fields[i].text.data != NULL)
            continue;
        conf->fields[i] = prev->fields[i];
        if (conf->fields[i].text.data == NULL &&
            coat_ngx_name_fill(cf, coat_ngx_text(coat_span_of(default_names[i])),
                               &conf->fields[i]) != NGX_OK)
            return NGX_CONF_ERROR;
    }
    for (ngx_uint_t i = 0; i < COAT_NGX_FIELDS; i++)
        for (ngx_uint_t j = 0; j < i; j++)
            if (conf->fields[i].text.len > 0 &&
                coat_span_is_nocase(coat_ngx_span(conf->fields[i].text),
                                    coat_ngx_span(conf->fields[j].text)))
                return COAT_NGX_COMPLAIN(cf, "coatcheck_header: \"%V\" carries both %s and %s",
                                         &conf->fields[i].text, coat_ngx_field_names[j],
                                         coat_ngx_field_names[i]);
    return NGX_CONF_OK;
}

static char *
merge_places(ngx_conf_t *cf, const coat_ngx_loc *prev, coat_ngx_loc *conf)
{
    ngx_str_t proto = COAT_NGX_STR("$scheme");
    ngx_http_compile_complex_value_t compile;

    ngx_conf_merge_ptr_value(conf->table, prev->table, NULL);
    ngx_conf_merge_ptr_value(conf->daemon, prev->daemon, NULL);
    if (conf->proto == NGX_CONF_UNSET_PTR)
        conf->proto_is_scheme = prev->proto_is_scheme;
    ngx_conf_merge_ptr_value(conf->proto, prev->proto, NULL);
    ngx_conf_merge_msec_value(conf->timeout, prev->timeout, COAT_NGX_TIMEOUT_MS);
    ngx_conf_merge_str_value(conf->base_path, prev->base_path, "/auth");
    if (conf->cookie == NGX_CONF_UNSET_PTR) {
        conf->cookie = prev->cookie;
        ngx_memcpy(conf->cookie_names, prev->cookie_names, sizeof conf->cookie_names);
    }
    if (conf->cookie == NGX_CONF_UNSET_PTR)
        conf->cookie = coat_ngx_cookie_named(cf, COAT_LIT("__Host-id"), conf->cookie_names);
    if (conf->cookie == NULL)
        return NGX_CONF_ERROR;
    conf->needs_tls = ngx_strncmp(conf->cookie->name, "__", 2) == 0; /* any of the prefixes */
    if (conf->proto != NULL)
        return NGX_CONF_OK;
    conf->proto_is_scheme = 1;
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
        return COAT_NGX_COMPLAIN(
            cf,
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
        return COAT_NGX_COMPLAIN(cf, "coatcheck_cors: %s", message);
    return NGX_CONF_OK;
}

/* What only a block that does something needs; a server that has nothing to do with us opens no
 * table. */
static char *
settle(ngx_conf_t *cf, coat_ngx_loc *conf)
{
    coat_ngx_srv *scf = ngx_http_conf_get_module_srv_conf(cf, ngx_http_coatcheck_module);

    scf->used = 1;
    scf->cross |= conf->csrf != COAT_NGX_CSRF_OFF || conf->cors->count > 0;
    if (conf->assertion.len > 0)
        coat_ngx_main_conf(cf)->assertions = 1;
    if (conf->table == NULL)
        conf->table = coat_ngx_table_named(cf, COAT_NGX_STR("/run/coatcheck/table"));
    if (conf->daemon == NULL)
        conf->daemon = coat_ngx_daemon_named(cf, COAT_NGX_STR("unix:/run/coatcheck/gate.sock"),
                                             COAT_NGX_KEEPALIVE);
    if (conf->table == NULL || conf->daemon == NULL)
        return NGX_CONF_ERROR;
    return write_question(cf, conf) == NGX_OK ? NGX_CONF_OK : NGX_CONF_ERROR;
}

/* Does this block itself demand something? Before it is merged. */
static const char *
demand_of(const coat_ngx_loc *conf)
{
    if (conf->roles != NGX_CONF_UNSET_PTR && conf->roles != NULL)
        return "coatcheck_require";
    return conf->max_age_s != NGX_CONF_UNSET && conf->max_age_s > 0 ? "coatcheck_max_age"
                                                                    : NULL;
}

/* In http and server it may be for the locations within; a location that demands something of
 * visitors whom nobody asks only looks as if it were protected. */
static char *
check_demand(ngx_conf_t *cf, const coat_ngx_loc *conf, const char *demand)
{
    const ngx_http_core_loc_conf_t *core =
        ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (demand == NULL || conf->mode != COAT_NGX_OFF || core->name.len == 0)
        return NGX_CONF_OK;
    return COAT_NGX_COMPLAIN(cf,
                             "%s demands nothing in location \"%V\", where nobody is asked; "
                             "write \"coatcheck on;\" there, too",
                             demand, &core->name);
}

char *
coat_ngx_merge_loc(ngx_conf_t *cf, void *parent, void *child)
{
    coat_ngx_loc *prev = parent, *conf = child;
    const char *demand = demand_of(conf);

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
    if (check_demand(cf, conf, demand) != NGX_CONF_OK || add_names(cf, conf) != NGX_CONF_OK)
        return NGX_CONF_ERROR;
    if (conf->mode == COAT_NGX_OFF && conf->csrf == COAT_NGX_CSRF_OFF && conf->cors->count == 0)
        return NGX_CONF_OK;
    return settle(cf, conf);
}
