/* SPDX-License-Identifier: Apache-2.0 */
/* The node table as a worker maps it. */
#include "module.h"

enum { RETRY_MS = 100 }; /* between two attempts to open a table that is not there */

int64_t
coat_ngx_now_ms(void)
{
    const ngx_time_t *now = ngx_timeofday();

    return (int64_t)now->sec * 1000 + (int64_t)now->msec;
}

static void
open_table(coat_ngx_table *at, ngx_log_t *log)
{
    coat_table *table = NULL;
    coat_err err;

    if (at->missed && ngx_current_msec - at->tried < RETRY_MS)
        return;
    err = coat_table_open((const char *)at->path.data, &table);
    if (err == COAT_OK) {
        if (at->missed)
            ngx_log_error(NGX_LOG_NOTICE, log, 0, "coatcheck: node table \"%V\" is there now",
                          &at->path);
        at->missed = 0;
        coat_table_close(at->table);
        at->table = table;
        return;
    }
    if (!at->missed)
        ngx_log_error(NGX_LOG_WARN, log, 0,
                      "coatcheck: node table \"%V\" cannot be used yet (%s); each request is "
                      "put to the daemon. Does it run, and may this user read its table "
                      "(table.group)?",
                      &at->path, coat_err_text(err));
    at->missed = 1;
    at->tried = ngx_current_msec;
}

coat_table *
coat_ngx_table_of(coat_ngx_table *at, ngx_log_t *log)
{
    if (at->table == NULL || coat_table_stale(at->table))
        open_table(at, log);
    return at->table;
}

void
coat_ngx_tables_close(coat_ngx_main *conf)
{
    coat_ngx_table **list = conf->tables.elts;

    for (ngx_uint_t i = 0; i < conf->tables.nelts; i++) {
        coat_table_close(list[i]->table);
        list[i]->table = NULL;
    }
}
