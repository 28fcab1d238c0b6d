/* SPDX-License-Identifier: Apache-2.0 */
/* Directives that say what is demanded of a visitor, of a request, and what upstream is told.
 */
#include "config.h"

#include <coatcheck/record.h>

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
    if (cf->args->nelts == 2 && coat_ngx_is(&coat_ngx_args(cf)[1], "off")) {
        lcf->roles = NULL;
        return NGX_CONF_OK;
    }
    if (cf->args->nelts - 1 > COAT_NGX_ROLES)
        return COAT_NGX_COMPLAIN(cf, "coatcheck_require takes at most %d roles",
                                 COAT_NGX_ROLES);
    lcf->roles = ngx_array_create(cf->pool, 4, sizeof(ngx_str_t));
    if (lcf->roles == NULL)
        return NGX_CONF_ERROR;
    for (ngx_uint_t i = 1; i < cf->args->nelts; i++) {
        ngx_str_t *arg = &coat_ngx_args(cf)[i], *role = ngx_array_push(lcf->roles);

        if (role == NULL)
            return NGX_CONF_ERROR;
        role->data = arg->data + 5;
        role->len = arg->len - 5;
        if (ngx_strncmp(arg->data, "role=", 5) != 0 || !is_role(coat_ngx_span(*role)))
            return COAT_NGX_COMPLAIN(
                cf, "coatcheck_require: \"%V\" is not role=NAME, as in role=admin", arg);
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
    if (step_up && coat_ngx_is(&coat_ngx_args(cf)[1], "off")) {
        *at = 0;
        return NGX_CONF_OK;
    }
    seconds = ngx_parse_time(&coat_ngx_args(cf)[1], 1);
    if (seconds == NGX_ERROR || seconds < (step_up ? 1 : 0) || seconds > most)
        return COAT_NGX_COMPLAIN(cf, "%V \"%V\" is not %s", &cmd->name, &coat_ngx_args(cf)[1],
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
    if (cors && count == 1 && coat_ngx_is(&coat_ngx_args(cf)[1], "off"))
        return NGX_CONF_OK;
    if (count > COAT_ORIGINS_MAX)
        return COAT_NGX_COMPLAIN(cf, "%V takes at most %d origins", &cmd->name,
                                 COAT_ORIGINS_MAX);
    for (ngx_uint_t i = 0; i < count; i++) {
        list[i] = (const char *)coat_ngx_args(cf)[i + 1].data;
        if (coat_origin_check(list[i], message, sizeof message) != COAT_OK)
            return COAT_NGX_COMPLAIN(cf, "%V \"%s\": %s", &cmd->name, list[i], message);
    }
    origins->list = list;
    origins->count = count;
    return NGX_CONF_OK;
}

/* coatcheck_cors_methods, _headers and _expose: words to "a, b, c"; off: none, instead of the
 * default */
char *
coat_ngx_set_words(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t *at = (ngx_str_t *)(void *)((char *)conf + cmd->offset);
    bool lower = cmd->offset == offsetof(coat_ngx_loc, cors_headers);
    size_t total = 0;
    u_char *p;

    if (at->data != NULL)
        return "is duplicate";
    if (cf->args->nelts == 2 && coat_ngx_is(&coat_ngx_args(cf)[1], "off")) {
        *at = (ngx_str_t){.len = 0, .data = (u_char *)""};
        return NGX_CONF_OK;
    }
    for (ngx_uint_t i = 1; i < cf->args->nelts; i++) {
        ngx_str_t *word = &coat_ngx_args(cf)[i];

        if (!coat_span_is_token(coat_ngx_span(*word)) || coat_ngx_is(word, "*"))
            return COAT_NGX_COMPLAIN(cf, "%V: \"%V\" is no name; list each by itself, as in %s",
                                     &cmd->name, word,
                                     lower ? "content-type" : "GET or X-Total");
        total += word->len + 2;
    }
    p = ngx_pnalloc(cf->pool, total + 1);
    if (p == NULL)
        return NGX_CONF_ERROR;
    at->data = p;
    for (ngx_uint_t i = 1; i < cf->args->nelts; i++) {
        ngx_str_t *word = &coat_ngx_args(cf)[i];

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

static bool
is_audience(coat_span text)
{
    for (size_t i = 0; i < text.len; i++)
        if (!coat_char_is_visible(text.ptr[i]))
            return false;
    return text.len > 0 && text.len <= 300;
}

char *
coat_ngx_set_assertion(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    coat_ngx_loc *lcf = conf;
    ngx_str_t *value = &coat_ngx_args(cf)[1];

    (void)cmd;
    if (lcf->assertion.data != NULL)
        return "is duplicate";
    if (coat_ngx_is(value, "off")) {
        lcf->assertion = (ngx_str_t){.len = 0, .data = (u_char *)""};
        return NGX_CONF_OK;
    }
    if (coat_ngx_is(value, "on")) {
        lcf->assertion = COAT_NGX_STR("yes");
        return NGX_CONF_OK;
    }
    if (!is_audience(coat_ngx_span(*value)))
        return COAT_NGX_COMPLAIN(cf,
                                 "coatcheck_assertion \"%V\" is neither on, off nor one of the "
                                 "daemon's assertion.audiences",
                                 value);
    lcf->assertion = *value;
    return NGX_CONF_OK;
}

ngx_int_t
coat_ngx_name_fill(ngx_conf_t *cf, ngx_str_t text, coat_ngx_name *name)
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

const char *const coat_ngx_field_names[COAT_NGX_FIELDS] = {"user",    "roles", "methods",
                                                           "session", "time",  "assertion"};

char *
coat_ngx_set_header(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    coat_ngx_loc *lcf = conf;
    ngx_str_t *field = &coat_ngx_args(cf)[1], *name = &coat_ngx_args(cf)[2];
    ngx_uint_t i = 0;

    (void)cmd;
    while (i < COAT_NGX_FIELDS && !coat_ngx_is(field, coat_ngx_field_names[i]))
        i++;
    if (i == COAT_NGX_FIELDS)
        return COAT_NGX_COMPLAIN(
            cf,
            "coatcheck_header: \"%V\" is no field; there are user, roles, methods, "
            "session, time and assertion",
            field);
    if (lcf->fields[i].text.data != NULL)
        return "is duplicate";
    if (coat_ngx_is(name, "off")) {
        lcf->fields[i].text.data = (u_char *)"";
        return NGX_CONF_OK;
    }
    if (!is_header_name(coat_ngx_span(*name)))
        return COAT_NGX_COMPLAIN(
            cf,
            "coatcheck_header: \"%V\" cannot carry an identity; write a name of "
            "letters, digits and \"-\" that has no other meaning, as in X-Auth-User",
            name);
    return coat_ngx_name_fill(cf, *name, &lcf->fields[i]) == NGX_OK ? NGX_CONF_OK
                                                                    : NGX_CONF_ERROR;
}
