/* SPDX-License-Identifier: Apache-2.0 */
/* The layers: defaults, file, environment, flags. Each one is judged whole, even if overridden.
 */
#include "core/out.h"
#include "server/config/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define ENV_PREFIX "COATCHECK_"
#define ENV_FILE "COATCHECK_CONFIG"

static void
next_layer(coat_builder *b)
{
    memset(b->places, 0, sizeof b->places);
}

static coat_err
load_defaults(coat_builder *b)
{
    coat_place place = {COAT_SOURCE_DEFAULT, "default", 0, 0};
    coat_err err = COAT_OK;

    for (size_t i = 0; i < COAT_KEYS_COUNT && err == COAT_OK; i++)
        err = coat_config_assign_short(b, i, &place, coat_key_at(i)->initial);
    return err;
}

static coat_err
load_variable(coat_builder *b, const char *variable)
{
    const char *equals = strchr(variable, '=');
    coat_place place = {COAT_SOURCE_ENV, "environment", 0, 0};
    coat_span name;
    size_t index;

    if (equals == NULL || strncmp(variable, ENV_PREFIX, strlen(ENV_PREFIX)) != 0)
        return COAT_OK;
    name = (coat_span){(const uint8_t *)variable, (size_t)(equals - variable)};
    if (coat_span_is(name, COAT_LIT(ENV_FILE)))
        return COAT_OK;
    index = coat_key_find_env(name);
    if (index == COAT_KEYS_COUNT)
        return coat_config_fail(b, index, &place, "no key belongs to the variable %.*s",
                                name.len > 80 ? 80 : (int)name.len, variable);
    place.name = coat_config_copy(b->config, name.ptr, name.len);
    if (place.name == NULL)
        return COAT_NO_MEMORY;
    return coat_config_assign_short(b, index, &place, equals + 1);
}

/* The key of "--session.idle-timeout=5m"; text: what stands behind "=". */
static size_t
flag_key(const char *flag, const char **text)
{
    const char *equals = strchr(flag, '=');

    if (strncmp(flag, "--", 2) != 0 || equals == NULL)
        return COAT_KEYS_COUNT;
    *text = equals + 1;
    return coat_key_find((coat_span){(const uint8_t *)flag + 2, (size_t)(equals - flag - 2)});
}

bool
coat_config_is_flag(const char *argument)
{
    const char *text;

    return flag_key(argument, &text) != COAT_KEYS_COUNT;
}

static coat_err
load_flag(coat_builder *b, const char *flag)
{
    coat_place place = {COAT_SOURCE_FLAG, "command line", 0, 0};
    const char *text = "";
    size_t index = flag_key(flag, &text), len = strcspn(flag, "=");

    if (index == COAT_KEYS_COUNT) {
        char path[64];
        const char *nearest;

        (void)snprintf(path, sizeof path, "%.*s", len > 60 ? 60 : (int)len,
                       flag + strspn(flag, "-"));
        path[strcspn(path, "=")] = '\0';
        nearest = coat_key_nearest(path);
        return coat_config_fail(b, index, &place, "%.80s is no flag of a key%s%s%s", flag,
                                nearest != NULL ? "; did you mean --" : "",
                                nearest != NULL ? nearest : "", nearest != NULL ? "=...?" : "");
    }
    place.name = coat_config_copy(b->config, flag, len);
    if (place.name == NULL)
        return COAT_NO_MEMORY;
    return coat_config_assign_short(b, index, &place, text);
}

static coat_err
load_layers(coat_builder *b, coat_span text, const coat_config_input *input)
{
    coat_err err = load_defaults(b);

    next_layer(b);
    if (err == COAT_OK && text.ptr != NULL)
        err = coat_config_yaml(b, text, b->config->file);
    next_layer(b);
    for (size_t i = 0; err == COAT_OK && input->env != NULL && input->env[i] != NULL; i++)
        err = load_variable(b, input->env[i]);
    next_layer(b);
    for (size_t i = 0; err == COAT_OK && i < input->flag_count; i++)
        err = load_flag(b, input->flags[i]);
    if (err == COAT_OK)
        err = coat_config_resolve(b);
    if (err == COAT_OK && !input->values_only)
        err = coat_config_validate(b);
    for (size_t i = 0; err == COAT_OK && i < COAT_KEYS_COUNT; i++) {
        b->config->priv->values[i] = coat_config_format(b->config, i);
        if (b->config->priv->values[i] == NULL)
            err = COAT_NO_MEMORY;
    }
    return err;
}

coat_err
coat_config_parse(coat_span text, const char *name, const coat_config_input *input,
                  coat_config **out, coat_config_error *error)
{
    static const coat_config_input nothing;
    coat_config_error unused;
    coat_builder b = {.error = error != NULL ? error : &unused};
    coat_config *config = calloc(1, sizeof *config);
    coat_err err = COAT_NO_MEMORY;

    *b.error = (coat_config_error){.file = "configuration", .text = "out of memory"};
    if (config == NULL)
        return COAT_NO_MEMORY;
    b.config = config;
    config->priv = calloc(1, sizeof *config->priv);
    if (config->priv == NULL)
        goto out;
    config->file = coat_config_copy(config, name, strlen(name));
    if (config->file == NULL)
        goto out;
    err = load_layers(&b, text, input != NULL ? input : &nothing);
    if (err != COAT_OK)
        goto out;
    *b.error = (coat_config_error){0};
    *out = config;
    config = NULL;
out:
    coat_config_free(config);
    return err;
}

static coat_err
io_error(coat_config_error *error, const char *path, const char *what)
{
    if (error != NULL) {
        *error = (coat_config_error){0};
        (void)snprintf(error->file, sizeof error->file, "%s", path);
        (void)snprintf(error->text, sizeof error->text, "%s", what);
    }
    return COAT_IO;
}

/* Who may write the file decides what the service trusts: nobody but its owner and root. */
static coat_err
check_file(int fd, const char *path, coat_config_error *error)
{
    struct stat st;

    if (fstat(fd, &st) != 0)
        return io_error(error, path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return io_error(error, path, "is no regular file");
    if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return io_error(error, path, "can be written by others; chmod go-w makes it right");
    if (st.st_uid != 0 && st.st_uid != geteuid())
        return io_error(error, path, "belongs to another user; it must be root's or your own");
    if (st.st_size > COAT_CONFIG_FILE_MAX)
        return io_error(error, path, "is larger than 256 KiB");
    return COAT_OK;
}

static coat_err
read_file(const char *path, uint8_t *buf, size_t *len, coat_config_error *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    coat_err err;
    ssize_t n = 0;

    *len = 0;
    if (fd < 0)
        return io_error(error, path, strerror(errno));
    err = check_file(fd, path, error);
    while (err == COAT_OK && *len <= COAT_CONFIG_FILE_MAX &&
           (n = read(fd, buf + *len, COAT_CONFIG_FILE_MAX + 1 - *len)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            err = io_error(error, path, strerror(errno));
        else
            *len += (size_t)n;
    }
    (void)close(fd);
    return err;
}

static const char *
env_value(char *const *env, const char *name)
{
    size_t len = strlen(name);

    for (size_t i = 0; env != NULL && env[i] != NULL; i++)
        if (strncmp(env[i], name, len) == 0 && env[i][len] == '=')
            return env[i] + len + 1;
    return NULL;
}

coat_err
coat_config_load(const coat_config_input *input, coat_config **out, coat_config_error *error)
{
    const char *path = input->file != NULL ? input->file : env_value(input->env, ENV_FILE);
    uint8_t *buf = NULL;
    size_t len = 0;
    coat_err err = COAT_OK;

    if (path == NULL && access(COAT_CONFIG_FILE_DEFAULT, F_OK) == 0)
        path = COAT_CONFIG_FILE_DEFAULT;
    if (path == NULL)
        return coat_config_parse((coat_span){NULL, 0}, "", input, out, error);
    buf = malloc(COAT_CONFIG_FILE_MAX + 1);
    if (buf == NULL)
        return COAT_NO_MEMORY;
    err = read_file(path, buf, &len, error);
    if (err == COAT_OK)
        err = coat_config_parse((coat_span){buf, len}, path, input, out, error);
    free(buf);
    return err;
}

void
coat_config_error_print(const coat_config_error *error, FILE *out)
{
    (void)fprintf(out, "%s:", error->file);
    if (error->line != 0)
        (void)fprintf(out, "%u:%u:", error->line, error->column);
    if (error->key[0] != '\0')
        (void)fprintf(out, " %s:", error->key);
    (void)fprintf(out, " %s\n", error->text);
}
