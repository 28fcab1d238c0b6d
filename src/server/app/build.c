/* SPDX-License-Identifier: Apache-2.0 */
#include "server/app/build.h"

#include "engine/trust.h"
#include "server/app/loops.h"
#include "server/config/files.h"
#include "server/process/process.h"

#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/** What a reload has replaced, in a list until exit. */
struct retired {
    coat_config *config;
    coat_settings *settings;
    coat_keys *keys;
    struct retired *next;
};

enum { UNKNOWN_PER_MINUTE = 8000 }; /* not what limits here */

static gid_t
group_of(const char *name)
{
    struct group *group = name[0] != '\0' ? getgrnam(name) : NULL;

    return group != NULL ? group->gr_gid : (gid_t)-1;
}

/** The store that cannot be made anew: where the accounts are. */
static const char *
home_url(const coat_config *config)
{
    return config->accounts_url[0] != '\0' ? config->accounts_url : config->store_url;
}

/* New keys for an old store would make all accounts and sessions vanish without a word. */
static bool
has_store(const coat_config *config)
{
    static const char scheme[] = "lmdb:", file[] = "/data.mdb";
    char path[1024];

    return strncmp(home_url(config), scheme, strlen(scheme)) == 0 &&
           snprintf(path, sizeof path, "%s%s", home_url(config) + strlen(scheme), file) <
               (int)sizeof path &&
           access(path, F_OK) == 0;
}

static coat_err
open_dirs(const coat_config *c, char *message, size_t cap)
{
    coat_err err = coat_dir_ensure(c->data_dir, 0700, (gid_t)-1, message, cap);

    if (err != COAT_OK)
        return err;
    return coat_dir_ensure(c->runtime_dir, c->runtime_group[0] != '\0' ? 0710 : 0700,
                           group_of(c->runtime_group), message, cap);
}

static coat_err
open_store(coat_process *p, const char *url, coat_store **out, char *message, size_t cap)
{
    coat_err err;

    coat_config_store(p->config, &p->store_conf);
    p->store_conf.url = url;
    p->store_conf.message = message;
    p->store_conf.message_cap = cap;
    err = coat_store_open(&p->store_conf, out);
    if (err == COAT_OK && message[0] != '\0' && p->app.log != NULL)
        coat_log_line(p->app.log, COAT_LOG_WARNING, "store",
                      COAT_LOG_FIELDS(coat_log_text(COAT_LOG_F_DETAIL, message)));
    return err;
}

static coat_err
open_stores(coat_process *p, char *message, size_t cap)
{
    const coat_config *c = p->config;
    coat_err err = open_store(p, c->store_url, &p->app.store, message, cap);

    if (err != COAT_OK)
        return err;
    if (c->accounts_url[0] != '\0')
        return open_store(p, c->accounts_url, &p->app.accounts, message, cap);
    p->app.accounts = p->app.store;
    return COAT_OK;
}

/**
 * A store that is being filled, or was moved away, is not used. One that is shared may not
 * answer just now: then nothing is asked of it until it has said that it may be used (loops.c).
 */
static coat_err
admit_store(coat_process *p, bool *known, char *message, size_t cap)
{
    coat_lane *lane;
    coat_mark mark = {.state = COAT_MARK_NONE};
    coat_err err = coat_lane_open(p->app.store, NULL, &lane);

    if (err != COAT_OK)
        return err;
    err = coat_mark_read(lane, COAT_MARK_OF_STORE, &mark);
    coat_lane_close(lane);
    *known = err == COAT_OK;
    if (err != COAT_OK && (coat_store_caps_of(p->app.store) & COAT_CAP_SHARED) != 0)
        return COAT_OK;
    if (err == COAT_OK && !coat_mark_usable(mark.state)) {
        coat_mark_explain(&mark, message, cap);
        return COAT_INVALID;
    }
    return err;
}

/** Nor is a store of accounts that are somewhere else, or not all there yet. */
static coat_err
admit_accounts(const coat_process *p, char *message, size_t cap)
{
    coat_lane *lane;
    coat_mark mark = {.state = COAT_MARK_NONE};
    coat_err err = coat_lane_open(p->app.accounts, NULL, &lane);

    if (err != COAT_OK)
        return err;
    err = coat_mark_read(lane, COAT_MARK_OF_ACCOUNTS, &mark);
    coat_lane_close(lane);
    if (err != COAT_OK) /* one behind a network may come later; sign-ins wait for it */
        return (coat_store_caps_of(p->app.accounts) & COAT_CAP_SHARED) != 0 ? COAT_OK : err;
    if (coat_mark_usable(mark.state))
        return COAT_OK;
    coat_mark_explain(&mark, message, cap);
    return COAT_INVALID;
}

static void
count_item(coat_store_req *req, const coat_store_item *item)
{
    (void)req;
    (void)item;
}

/** Is there anything in a store that other machines share? */
static coat_err
look_into_store(coat_store *store, bool *has_any)
{
    static const coat_space spaces[] = {COAT_SPACE_ACCOUNT, COAT_SPACE_SESSION};
    coat_lane *lane;
    coat_err err = coat_lane_open(store, NULL, &lane);

    *has_any = false;
    if (err != COAT_OK)
        return err;
    for (size_t i = 0; i < 2 && err == COAT_OK && !*has_any; i++) {
        coat_store_req req = {.op = COAT_OP_SCAN,
                              .space = spaces[i],
                              .now_ms = coat_clock_system(NULL),
                              .timeout_ms = 2000,
                              .limit = 1,
                              .item = count_item};

        err = coat_store_run(lane, &req);
        *has_any = err == COAT_OK && req.count > 0;
    }
    coat_lane_close(lane);
    return err;
}

static bool
is_remote(const coat_config *config)
{
    return strncmp(home_url(config), "lmdb:", 5) != 0 &&
           strncmp(home_url(config), "memory:", 7) != 0;
}

/** The keys; new ones only for a new installation. */
static coat_err
open_keys(coat_process *p, char *message, size_t cap)
{
    const coat_config *c = p->config;
    bool had_store = has_store(c);
    coat_keys *keys = NULL;
    coat_err err = COAT_OK;

    message[0] = '\0';
    if (is_remote(c) && access(c->key_file, F_OK) != 0)
        err = look_into_store(p->app.accounts, &had_store);
    if (err != COAT_OK) {
        (void)snprintf(
            message, cap,
            "%s is missing, and the store does not answer: it cannot be told whether "
            "this is a new installation. Copy the file from another machine",
            c->key_file);
        return err;
    }
    err = coat_keys_load(c->key_file, !had_store, coat_clock_system(NULL), &keys, message, cap);
    if (err == COAT_NOT_FOUND)
        (void)snprintf(
            message, cap,
            "%s is missing, but there is a store (%s): nothing in it can be read "
            "without its keys. Restore the file from a backup, or move the store away "
            "to begin anew",
            c->key_file, home_url(c));
    if (err == COAT_OK && c->pepper_file[0] != '\0')
        err = coat_pepper_load(c->pepper_file, c->key_file, &p->pepper, message, cap);
    atomic_store(&p->app.keys, keys);
    return err;
}

static void
engine_conf(coat_process *p, const coat_config *config, const coat_keys *keys,
            coat_engine_conf *out)
{
    coat_engine_conf_default(out);
    coat_config_engine(config, out);
    out->table_gid = group_of(config->table_group);
    out->keys = keys;
    out->store = p->app.store;
    out->events = p->app.log != NULL ? coat_audit_event_fn : NULL;
    out->events_ctx = p->app.log;
    out->rng = p->app.rng;
    out->rng_ctx = p->app.rng_ctx;
}

static void
directory_conf(coat_process *p, const coat_config *config, const coat_keys *keys,
               coat_directory_conf *out)
{
    coat_directory_conf_default(out);
    coat_config_directory(config, out);
    out->keys = keys;
    out->store = p->app.accounts;
    out->pepper = p->pepper;
    out->events = p->app.log != NULL ? coat_audit_event_fn : NULL;
    out->events_ctx = p->app.log;
    out->rng = p->app.rng;
    out->rng_ctx = p->app.rng_ctx;
}

static coat_err
open_parts(coat_process *p, bool with_table, char *message, size_t cap)
{
    coat_engine_conf engine;
    coat_directory_conf directory;
    coat_limiter_conf limiter = {.per_minute = UNKNOWN_PER_MINUTE,
                                 .distinct_max = COAT_UNKNOWN_TOKENS_MAX};
    const coat_keys *keys = coat_app_keys(&p->app);
    bool known = false;
    coat_err err;

    engine_conf(p, p->config, keys, &engine);
    if (!with_table) {
        engine.table_path = NULL;
        engine.table_slots = 1024;
    }
    err = admit_store(p, &known, message, cap);
    if (err == COAT_OK && (known || p->app.accounts != p->app.store))
        err = admit_accounts(p, message, cap);
    if (err != COAT_OK)
        return err;
    err = coat_engine_new(&engine, &p->app.engine);
    if (err != COAT_OK) {
        (void)snprintf(message, cap, "node table %s: %s", p->config->table_path,
                       coat_err_text(err));
        return err;
    }
    if ((coat_store_caps_of(p->app.store) & COAT_CAP_SHARED) != 0)
        coat_engine_trust(p->app.engine, coat_engine_mono_ms(p->app.engine),
                          known ? COAT_MOVE_TRUST_MS : 0);
    if (with_table)
        coat_guard_table(p->app.engine);
    directory_conf(p, p->config, keys, &directory);
    err = coat_directory_new(&directory, &p->app.directory, message, cap);
    if (err == COAT_OK)
        err = coat_limiter_new(&limiter, &p->app.unknown);
    if (err == COAT_OK) {
        coat_config_store(p->config, &p->store_conf);
        err = coat_moving_new(&p->app, p->store_url, &p->store_conf, &p->moving);
    }
    return err;
}

coat_err
coat_process_open(coat_process *process, coat_config *config, bool with_table, coat_log *log,
                  char *message, size_t cap)
{
    coat_settings *settings = NULL;
    coat_err err;

    memset(process, 0, sizeof *process);
    (void)pthread_mutex_init(&process->lock, NULL);
    process->config = config;
    (void)snprintf(process->store_url, sizeof process->store_url, "%s", config->store_url);
    process->app.log = log;
    process->app.rng = coat_rng_system;
    (void)snprintf(message, cap, "out of memory");
    err = coat_rng_system(NULL, process->app.hash_key, sizeof process->app.hash_key);
    if (err != COAT_OK)
        (void)snprintf(message, cap, "%s", coat_err_text(err));
    else
        err = open_dirs(config, message, cap);
    /* A local store is made after its keys: one without could never be opened again. A shared
     * one may be there already, and says whether new keys may be made. */
    if (err == COAT_OK && !is_remote(config))
        err = open_keys(process, message, cap);
    if (err == COAT_OK)
        err = open_stores(process, message, cap);
    if (err == COAT_OK && is_remote(config))
        err = open_keys(process, message, cap);
    if (err == COAT_OK && log != NULL)
        coat_log_keys_set(log, coat_app_keys(&process->app));
    if (err == COAT_OK)
        err = open_parts(process, with_table, message, cap);
    if (err == COAT_OK)
        err = coat_settings_new(config, &settings, message, cap);
    if (err != COAT_OK) {
        if (message[0] == '\0')
            (void)snprintf(message, cap, "start: %s", coat_err_text(err));
        coat_err closed = coat_process_close(process);

        return closed != COAT_OK ? closed : err;
    }
    atomic_store(&process->app.settings, settings);
    return COAT_OK;
}

coat_err
coat_process_close(coat_process *process)
{
    coat_app *app = &process->app;
    coat_err err;
    coat_keys *keys = (coat_keys *)(uintptr_t)atomic_load(&app->keys);

    coat_app_loops_free(app);
    coat_limiter_free(app->unknown);
    coat_directory_free(app->directory);
    coat_guard_table(NULL);
    coat_engine_free(app->engine);
    /* Activity is folded in, and nobody uses the store any more. */
    err = coat_moving_end(process->moving, process->input);
    coat_moving_free(process->moving);
    if (app->accounts != app->store)
        coat_store_close(app->accounts);
    coat_store_close(app->store);
    coat_settings_free(atomic_load(&app->settings));
    if (app->log != NULL)
        coat_log_keys_set(app->log, NULL);
    coat_keys_free(keys);
    coat_pepper_free(process->pepper);
    while (process->retired != NULL) {
        struct retired *r = process->retired;

        process->retired = r->next;
        coat_settings_free(r->settings);
        coat_keys_free(r->keys);
        coat_config_free(r->config);
        free(r);
    }
    coat_config_free(process->config);
    (void)pthread_mutex_destroy(&process->lock);
    return err;
}

/* ---- changes while running ---- */

static void
log_change(void *ctx, const coat_config_item *before, const coat_config_item *after)
{
    coat_process *p = ctx;

    coat_log_line(p->app.log, COAT_LOG_NOTICE,
                  after->live ? "configuration changed"
                              : "configuration change needs a restart",
                  COAT_LOG_FIELDS(coat_log_text(COAT_LOG_F_KEY, before->path),
                                  coat_log_text(COAT_LOG_F_VALUE, after->value)));
}

static coat_err
apply(coat_process *p, coat_config *config, coat_settings *settings, const coat_keys *keys,
      char *message, size_t cap)
{
    coat_engine_conf engine;
    coat_directory_conf directory;
    coat_err err;

    directory_conf(p, config, keys, &directory);
    err = coat_directory_reconfigure(p->app.directory, &directory, message, cap);
    if (err != COAT_OK)
        return err;
    engine_conf(p, config, keys, &engine);
    err = coat_engine_reconfigure(p->app.engine, &engine);
    if (err != COAT_OK) {
        (void)snprintf(message, cap, "engine: %s", coat_err_text(err));
        return err;
    }
    if (settings != NULL)
        atomic_store_explicit(&p->app.settings, settings, memory_order_release);
    return COAT_OK;
}

static coat_err
reload_locked(coat_process *p, char *message, size_t cap)
{
    struct retired *r = calloc(1, sizeof *r);
    coat_settings *settings = NULL, *before = atomic_load(&p->app.settings);
    coat_config *config = NULL;
    coat_config_error fault;
    coat_err err;

    if (r == NULL)
        return COAT_NO_MEMORY;
    err = coat_config_load(p->input, &config, &fault);
    if (err != COAT_OK)
        (void)snprintf(message, cap, "%s:%u:%u: %s%s%s", fault.file, fault.line, fault.column,
                       fault.key, fault.key[0] != '\0' ? ": " : "", fault.text);
    if (err == COAT_OK) {
        /* Turning plain http off is the one thing that cannot wait. */
        bool plaintext = config->allow_plaintext && p->config->allow_plaintext;

        coat_config_keep(p->config, config);
        config->allow_plaintext = plaintext;
        err = coat_settings_new(config, &settings, message, cap);
    }
    if (err == COAT_OK)
        err = apply(p, config, settings, coat_app_keys(&p->app), message, cap);
    if (err != COAT_OK) {
        coat_settings_free(settings);
        coat_config_free(config);
        free(r);
        return err;
    }
    (void)coat_config_diff(p->config, config, log_change, p);
    coat_log_level_set(p->app.log, (coat_log_level)config->log_level);
    r->next = p->retired;
    r->config = p->config;
    r->settings = before;
    p->retired = r;
    p->config = config;
    return COAT_OK;
}

coat_err
coat_process_reload(coat_process *process, char *message, size_t cap)
{
    coat_err err;

    (void)pthread_mutex_lock(&process->lock);
    (void)snprintf(message, cap, "out of memory");
    err = reload_locked(process, message, cap);
    (void)pthread_mutex_unlock(&process->lock);
    if (coat_log_reopen(process->app.log) != COAT_OK && err == COAT_OK)
        coat_log_line(process->app.log, COAT_LOG_WARNING, "log file cannot be opened anew",
                      NULL, 0);
    coat_audit_event(process->app.log,
                     &(coat_event){.type = COAT_EVENT_CONFIG_CHANGED,
                                   .failed = err != COAT_OK,
                                   .reason = err == COAT_OK ? "reload" : "refused"},
                     NULL);
    return err;
}

static coat_err
rotate_locked(coat_process *p, char *message, size_t cap)
{
    struct retired *r = calloc(1, sizeof *r);
    const coat_keys *before = coat_app_keys(&p->app);
    coat_keys *after = NULL;
    coat_err err;

    if (r == NULL)
        return COAT_NO_MEMORY;
    err = coat_keys_rotate(before, coat_clock_system(NULL), p->app.rng, p->app.rng_ctx, &after);
    /* The file first: a new key that a restart would not know signs everybody out. */
    if (err == COAT_OK)
        err = coat_keys_save(p->config->key_file, after, message, cap);
    if (err != COAT_OK) {
        coat_keys_free(after);
        free(r);
        return err;
    }
    /* Known to all loops before the first token is made with it. It holds the former key too.
     */
    atomic_store_explicit(&p->app.keys, after, memory_order_release);
    err = apply(p, p->config, NULL, after, message, cap);
    if (err == COAT_OK)
        coat_log_keys_set(p->app.log, after);
    else
        atomic_store_explicit(&p->app.keys, before, memory_order_release);
    /* Requests may hold either of them. */
    *r = (struct retired){.keys = (coat_keys *)(uintptr_t)(err == COAT_OK ? before : after),
                          .next = p->retired};
    p->retired = r;
    return err;
}

coat_err
coat_process_rotate_keys(coat_process *process, char *message, size_t cap)
{
    coat_err err;

    (void)pthread_mutex_lock(&process->lock);
    (void)snprintf(message, cap, "out of memory");
    err = rotate_locked(process, message, cap);
    (void)pthread_mutex_unlock(&process->lock);
    coat_audit_event(process->app.log,
                     &(coat_event){.type = COAT_EVENT_KEY_CHANGED, .failed = err != COAT_OK},
                     NULL);
    return err;
}
