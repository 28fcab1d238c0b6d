/* SPDX-License-Identifier: Apache-2.0 */
/**
 * Stores behind a network come as modules, so that a process that uses none of them maps none
 * of their libraries. A module is loaded when its URL is used, and stays.
 */

#include "store/stores.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct {
    const char *scheme, *name;
} modules[] = {
    {"redis", "redis"},           {"rediss", "redis"},
    {"redis+unix", "redis"},      {"redis+cluster", "redis"},
    {"rediss+cluster", "redis"},  {"redis+sentinel", "redis"},
    {"rediss+sentinel", "redis"}, {"memcached", "memcached"},
    {"memcacheds", "memcached"},  {"memcached+unix", "memcached"},
    {"postgresql", "postgresql"}, {"postgresql+unix", "postgresql"},
};
enum { MODULES = sizeof modules / sizeof modules[0] };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
/* Under the mutex. */
static const struct coat_store_ops *loaded[MODULES];
static void *handles[MODULES];

/** Whoever may write the file could run as us. */
static const char *
distrust(const char *path)
{
    struct stat st;

    if (stat(path, &st) != 0)
        return "is not installed; stores behind a network are packages of their own";
    if (!S_ISREG(st.st_mode))
        return "is no file";
    if ((st.st_uid != 0 && st.st_uid != geteuid()) || (st.st_mode & S_IWOTH) != 0)
        return "may be changed by somebody else";
    return NULL;
}

static coat_err
load(const coat_store_conf *conf, const char *name, void **handle,
     const struct coat_store_ops **out)
{
    const char *dir = conf->module_dir != NULL ? conf->module_dir : COAT_MODULE_DIR, *wrong;
    const struct coat_store_ops *(*entry)(void);
    char path[1024];
    void *module;

    if (snprintf(path, sizeof path, "%s/store-%s.so", dir, name) >= (int)sizeof path)
        return COAT_TOO_LARGE;
    wrong = distrust(path);
    if (wrong != NULL) {
        coat_store_message(conf, path, " ", wrong);
        return COAT_UNSUPPORTED;
    }
    module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (module == NULL) {
        coat_store_message(conf, "the store's module cannot be loaded: ", dlerror(), "");
        return COAT_UNSUPPORTED;
    }
    /* What POSIX asks for: a function pointer comes as an object pointer. */
    *(void **)&entry = dlsym(module, "coat_store_module");
    if (entry == NULL || entry()->abi != COAT_STORE_ABI) {
        coat_store_message(conf, path, " belongs to another version of coatcheck", "");
        (void)dlclose(module);
        return COAT_UNSUPPORTED;
    }
    *handle = module;
    *out = entry();
    return COAT_OK;
}

coat_err
coat_store_module_find(const coat_store_conf *conf, coat_span scheme,
                       const struct coat_store_ops **out)
{
    coat_err err = COAT_NOT_FOUND;

    for (size_t i = 0; i < MODULES; i++) {
        if (!coat_span_is(scheme, coat_span_of(modules[i].scheme)))
            continue;
        pthread_mutex_lock(&mutex);
        err =
            loaded[i] != NULL ? COAT_OK : load(conf, modules[i].name, &handles[i], &loaded[i]);
        if (err == COAT_OK)
            *out = loaded[i];
        pthread_mutex_unlock(&mutex);
        break;
    }
    return err;
}

void *
coat_store_module_symbol(const coat_store_conf *conf, coat_span scheme, const char *name)
{
    const struct coat_store_ops *ops;
    void *symbol = NULL;

    if (coat_store_module_find(conf, scheme, &ops) != COAT_OK)
        return NULL;
    pthread_mutex_lock(&mutex);
    for (size_t i = 0; i < MODULES; i++)
        if (coat_span_is(scheme, coat_span_of(modules[i].scheme)))
            symbol = dlsym(handles[i], name);
    pthread_mutex_unlock(&mutex);
    return symbol;
}
