/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables that were replaced, unmapped beside the loop. Who unmaps a removed file last frees all
 * its pages in that call: 100 ms for half a gigabyte, in which a loop would stand still. In
 * slices by a timer it would be the same: nothing is freed before the last of them.
 */
#include "module.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

enum {
    HELPERS_MAX = 4, /* at a time; tables are replaced by hand or by a restart */
    STACK_BYTES =
        1 << 18, /* for munmap and free; some of it is for what libraries keep by thread */
};

typedef struct helper {
    pthread_t thread;
    coat_table *table;
    bool begun;
    atomic_bool ended;
} helper;

static helper helpers[HELPERS_MAX];

static void *
unmap(void *data)
{
    helper *h = data;

    coat_table_close(h->table);
    atomic_store(&h->ended, true);
    return NULL;
}

static void
join(helper *h)
{
    (void)pthread_join(h->thread, NULL);
    h->begun = false;
}

static helper *
idle_helper(void)
{
    for (size_t i = 0; i < HELPERS_MAX; i++) {
        if (helpers[i].begun && atomic_load(&helpers[i].ended))
            join(&helpers[i]);
        if (!helpers[i].begun)
            return &helpers[i];
    }
    return NULL;
}

/* nginx's signal handlers are for its own thread. */
static int
begin(helper *h)
{
    sigset_t all, before;
    pthread_attr_t attr;
    int err = pthread_attr_init(&attr);

    if (err != 0)
        return err;
    (void)sigfillset(&all);
    err = pthread_attr_setstacksize(&attr, STACK_BYTES);
    if (err == 0)
        err = pthread_sigmask(SIG_SETMASK, &all, &before);
    if (err == 0) {
        err = pthread_create(&h->thread, &attr, unmap, h);
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    (void)pthread_attr_destroy(&attr);
    return err;
}

void
coat_ngx_unmap(coat_table *table, ngx_log_t *log)
{
    helper *h = table != NULL ? idle_helper() : NULL;
    int err = EAGAIN;

    if (table == NULL)
        return;
    if (h != NULL) {
        h->table = table;
        atomic_store(&h->ended, false);
        err = begin(h);
        h->begun = err == 0;
    }
    if (err == 0)
        return;
    ngx_log_error(NGX_LOG_WARN, log, err,
                  "coatcheck: no thread to unmap the former node table: other requests wait "
                  "meanwhile");
    coat_table_close(table);
}

/* nginx unloads the module next: nothing of it may still run. */
void
coat_ngx_unmaps_end(void)
{
    for (size_t i = 0; i < HELPERS_MAX; i++)
        if (helpers[i].begun)
            join(&helpers[i]);
}
