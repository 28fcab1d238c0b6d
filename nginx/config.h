/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_NGX_CONFIG_H
#define COAT_NGX_CONFIG_H

/** What the files of the directives share: config.c (where things are), rules.c (what is
 * demanded and told), merge.c (from outer to inner blocks). Only while a configuration is read.
 */

#include "module.h"

#include "core/bytes.h"
#include "core/chars.h"

/* One directive, one line of reason; shown by nginx -t with file and line. */
#define COAT_NGX_COMPLAIN(cf, ...)                                                             \
    (ngx_conf_log_error(NGX_LOG_EMERG, (cf), 0, __VA_ARGS__), (char *)NGX_CONF_ERROR)

static inline coat_ngx_main *
coat_ngx_main_conf(ngx_conf_t *cf)
{
    return ngx_http_conf_get_module_main_conf(cf, ngx_http_coatcheck_module);
}

/** The directive's name, then its arguments; each ends in NUL. */
static inline ngx_str_t *
coat_ngx_args(ngx_conf_t *cf)
{
    return cf->args->elts;
}

static inline bool
coat_ngx_is(const ngx_str_t *text, const char *word)
{
    return ngx_strcmp(text->data, word) == 0;
}

/** One of each path and address, whoever names it; NULL: it has been complained about. */
coat_ngx_table *coat_ngx_table_named(ngx_conf_t *cf, ngx_str_t path);
coat_ngx_daemon *coat_ngx_daemon_named(ngx_conf_t *cf, ngx_str_t name, ngx_uint_t keepalive);
/** @param names  three: of the cookie and its companions */
coat_cookie_conf *coat_ngx_cookie_named(ngx_conf_t *cf, coat_span name, coat_span *names);

extern const char *const coat_ngx_field_names[COAT_NGX_FIELDS];
ngx_int_t coat_ngx_name_fill(ngx_conf_t *cf, ngx_str_t text, coat_ngx_name *name);

#endif
