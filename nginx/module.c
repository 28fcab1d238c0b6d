/* SPDX-License-Identifier: Apache-2.0 */
/* The directives and the life of the module. */
#include "module.h"

#define EVERYWHERE (NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF | NGX_HTTP_LOC_CONF)
#define DIRECTIVE(name, takes, set, at)                                                        \
    {                                                                                          \
        ngx_string(name), EVERYWHERE | (takes), set, NGX_HTTP_LOC_CONF_OFFSET, at, NULL        \
    }
#define AT(field) offsetof(coat_ngx_loc, field)

static ngx_command_t commands[] = {
    DIRECTIVE("coatcheck", NGX_CONF_TAKE1, coat_ngx_set_word, 0),
    DIRECTIVE("coatcheck_table", NGX_CONF_TAKE1, coat_ngx_set_table, 0),
    DIRECTIVE("coatcheck_daemon", NGX_CONF_TAKE12, coat_ngx_set_daemon, 0),
    DIRECTIVE("coatcheck_timeout", NGX_CONF_TAKE1, coat_ngx_set_timeout, 0),
    DIRECTIVE("coatcheck_base_path", NGX_CONF_TAKE1, coat_ngx_set_base_path, 0),
    DIRECTIVE("coatcheck_cookie", NGX_CONF_TAKE1, coat_ngx_set_cookie, 0),
    DIRECTIVE("coatcheck_pass_cookie", NGX_CONF_TAKE1, coat_ngx_set_word, 0),
    DIRECTIVE("coatcheck_require", NGX_CONF_1MORE, coat_ngx_set_require, 0),
    DIRECTIVE("coatcheck_max_age", NGX_CONF_TAKE1, coat_ngx_set_age, AT(max_age_s)),
    DIRECTIVE("coatcheck_activity", NGX_CONF_TAKE1, coat_ngx_set_word, 0),
    DIRECTIVE("coatcheck_csrf", NGX_CONF_TAKE1, coat_ngx_set_word, 0),
    DIRECTIVE("coatcheck_origins", NGX_CONF_1MORE, coat_ngx_set_origins, AT(own)),
    DIRECTIVE("coatcheck_cors", NGX_CONF_1MORE, coat_ngx_set_origins, AT(cors)),
    DIRECTIVE("coatcheck_cors_methods", NGX_CONF_1MORE, coat_ngx_set_words, AT(cors_methods)),
    DIRECTIVE("coatcheck_cors_headers", NGX_CONF_1MORE, coat_ngx_set_words, AT(cors_headers)),
    DIRECTIVE("coatcheck_cors_expose", NGX_CONF_1MORE, coat_ngx_set_words, AT(cors_exposed)),
    DIRECTIVE("coatcheck_cors_max_age", NGX_CONF_TAKE1, coat_ngx_set_age, AT(cors_max_age_s)),
    DIRECTIVE("coatcheck_assertion", NGX_CONF_TAKE1, coat_ngx_set_assertion, 0),
    DIRECTIVE("coatcheck_header", NGX_CONF_TAKE2, coat_ngx_set_header, 0),
    DIRECTIVE("coatcheck_watch", NGX_CONF_TAKE1, coat_ngx_set_word, 0),
    DIRECTIVE("coatcheck_proto", NGX_CONF_TAKE1, coat_ngx_set_proto, AT(proto)),
    ngx_null_command,
};

static void *
create_main(ngx_conf_t *cf)
{
    coat_ngx_main *conf = ngx_pcalloc(cf->pool, sizeof *conf);

    if (conf == NULL ||
        ngx_array_init(&conf->tables, cf->pool, 2, sizeof(coat_ngx_table *)) != NGX_OK ||
        ngx_array_init(&conf->daemons, cf->pool, 2, sizeof(coat_ngx_daemon *)) != NGX_OK)
        return NULL;
    return conf;
}

static void *
create_srv(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(coat_ngx_srv));
}

static ngx_int_t
add_handler(ngx_conf_t *cf, ngx_uint_t phase, ngx_http_handler_pt handler)
{
    ngx_http_core_main_conf_t *core =
        ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);
    ngx_http_handler_pt *slot = ngx_array_push(&core->phases[phase].handlers);

    if (slot == NULL)
        return NGX_ERROR;
    *slot = handler;
    return NGX_OK;
}

static ngx_int_t
postconfigure(ngx_conf_t *cf)
{
    if (coat_init() != COAT_OK) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "coatcheck: cryptography gives wrong answers on this machine");
        return NGX_ERROR;
    }
    coat_ngx_filter_install();
    if (add_handler(cf, NGX_HTTP_POST_READ_PHASE, coat_ngx_post_read) != NGX_OK)
        return NGX_ERROR;
    return add_handler(cf, NGX_HTTP_ACCESS_PHASE, coat_ngx_access);
}

static coat_ngx_main *
main_of(ngx_cycle_t *cycle)
{
    return ngx_http_cycle_get_module_main_conf(cycle, ngx_http_coatcheck_module);
}

static ngx_int_t
init_process(ngx_cycle_t *cycle)
{
    coat_ngx_main *conf;

    if (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE)
        return NGX_OK; /* cache manager and the like */
    conf = main_of(cycle);
    if (conf == NULL)
        return NGX_OK; /* no http block */
    coat_ngx_tables_open(conf, cycle->log);
    if (conf->assertions && coat_ngx_assertions_init() != NGX_OK)
        return NGX_ERROR;
    return coat_ngx_watch_init(cycle);
}

static void
exit_process(ngx_cycle_t *cycle)
{
    coat_ngx_main *conf = main_of(cycle);

    if (conf != NULL)
        coat_ngx_tables_close(conf);
    coat_ngx_assertions_close();
}

static ngx_http_module_t context = {
    .preconfiguration = coat_ngx_variables,
    .postconfiguration = postconfigure,
    .create_main_conf = create_main,
    .create_srv_conf = create_srv,
    .create_loc_conf = coat_ngx_create_loc,
    .merge_loc_conf = coat_ngx_merge_loc,
};

ngx_module_t ngx_http_coatcheck_module = {
    NGX_MODULE_V1,
    &context,
    commands,
    NGX_HTTP_MODULE,
    NULL, /* init master */
    NULL, /* init module */
    init_process,
    NULL, /* init thread */
    NULL, /* exit thread */
    exit_process,
    NULL, /* exit master */
    NGX_MODULE_V1_PADDING,
};

/* What nginx looks for in a module that it loads. */
COAT_API extern ngx_module_t *ngx_modules[];
COAT_API extern char *ngx_module_names[];
COAT_API extern char *ngx_module_order[];
ngx_module_t *ngx_modules[] = {&ngx_http_coatcheck_module, NULL};
char *ngx_module_names[] = {"ngx_http_coatcheck_module", NULL};
char *ngx_module_order[] = {NULL};
