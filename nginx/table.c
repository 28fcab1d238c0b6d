/* SPDX-License-Identifier: Apache-2.0 */
/* The node table as a worker maps it. */
#include "module.h"

enum {
    RETRY_MS = 100,  /* between two attempts to open a table that is not there */
    LOOK_MS = 100,   /* between two looks whether it is still there */
    STILL_MS = 3000, /* the daemon writes the time into its table once a second */
};

/* One for all tables: a worker is one thread. Where there is no memory for it, all is slower.
 */
static coat_table_memo *memo;

coat_table_memo *
coat_ngx_memo(void)
{
    return memo;
}

int64_t
coat_ngx_now_ms(void)
{
    const volatile ngx_time_t *now = ngx_cached_time;

    return (int64_t)now->sec * 1000 + (int64_t)now->msec;
}

/* The daemon marks a table that it replaces. One that somebody has removed it cannot mark:
 * nobody would ever take out of our mapping what ends from now on. */
static __attribute__((noinline)) bool
look_for(coat_ngx_table *at)
{
    struct stat now;

    at->looked = ngx_current_msec;
    return stat((const char *)at->path.data, &now) == 0 && now.st_dev == at->device &&
           now.st_ino == at->inode;
}

static inline bool
is_there(coat_ngx_table *at)
{
    return ngx_current_msec - at->looked < LOOK_MS || look_for(at);
}

/* @return false: it is another file already */
static bool
note_file(coat_ngx_table *at, const struct stat *before)
{
    struct stat after;

    at->device = before->st_dev;
    at->inode = before->st_ino;
    at->looked = ngx_current_msec;
    return stat((const char *)at->path.data, &after) == 0 && after.st_dev == at->device &&
           after.st_ino == at->inode;
}

static void
forget(coat_ngx_table *at, ngx_log_t *log)
{
    coat_ngx_unmap(at->table, log);
    at->table = NULL;
}

static void
open_table(coat_ngx_table *at, ngx_log_t *log)
{
    coat_table *table = NULL;
    struct stat before;
    coat_err err = COAT_IO;

    if (at->missed && ngx_current_msec - at->tried < RETRY_MS)
        return;
    if (stat((const char *)at->path.data, &before) == 0)
        err = coat_table_open((const char *)at->path.data, &table);
    if (err == COAT_OK && !note_file(at, &before)) {
        coat_ngx_unmap(table, log);
        err = COAT_IO;
    }
    if (err == COAT_OK) {
        if (at->missed)
            ngx_log_error(NGX_LOG_NOTICE, log, 0, "coatcheck: node table \"%V\" is there now",
                          &at->path);
        at->missed = 0;
        coat_ngx_unmap(at->table, log);
        at->table = table;
        at->opened++;
        at->time_ms = -1;
        at->still = 0;
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

/* When the table's time went on last, as far as this worker has looked. */
static void
note_time(coat_ngx_table *at)
{
    int64_t time_ms = coat_table_time_ms(at->table);

    if (time_ms == at->time_ms)
        return;
    at->time_ms = time_ms;
    at->moved = at->heard = ngx_current_msec;
}

/* While the daemon is away its table stands still and is true all the same. One that stands
 * still while the daemon answers is not, or no longer, the one that it writes (another
 * table.path, a copy): what ends from now on would stay in it for ever. */
static bool
is_written(coat_ngx_table *at, ngx_log_t *log)
{
    bool still;

    note_time(at);
    still = (ngx_msec_int_t)(at->heard - at->moved) > STILL_MS;
    if (still && !at->still)
        ngx_log_error(
            NGX_LOG_ERR, log, 0,
            "coatcheck: node table \"%V\" stands still while the daemon answers; it is "
            "not believed. Is it the daemon's table.path?",
            &at->path);
    at->still = still;
    return !still;
}

coat_table *
coat_ngx_table_of(coat_ngx_table *at, ngx_log_t *log)
{
    if (at->table != NULL && !is_there(at))
        forget(at, log);
    if (at->table == NULL || coat_table_stale(at->table))
        open_table(at, log);
    return at->table != NULL && is_written(at, log) ? at->table : NULL;
}

void
coat_ngx_table_heard(coat_ngx_table *at)
{
    if (at->table == NULL)
        return;
    note_time(at);
    at->heard = ngx_current_msec;
}

void
coat_ngx_tables_open(coat_ngx_main *conf, ngx_log_t *log)
{
    coat_ngx_table **list = conf->tables.elts;

    for (ngx_uint_t i = 0; i < conf->tables.nelts; i++)
        (void)coat_ngx_table_of(list[i], log);
    if (conf->tables.nelts > 0)
        memo = coat_table_memo_new();
}

void
coat_ngx_tables_close(coat_ngx_main *conf)
{
    coat_ngx_table **list = conf->tables.elts;

    for (ngx_uint_t i = 0; i < conf->tables.nelts; i++) {
        coat_table_close(list[i]->table);
        list[i]->table = NULL;
    }
    coat_ngx_unmaps_end();
    coat_table_memo_free(memo);
    memo = NULL;
}
