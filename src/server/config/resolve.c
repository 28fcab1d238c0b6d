/* SPDX-License-Identifier: Apache-2.0 */
/* What follows from other keys: placeholders in paths, lists as header values, profile caps. */
#include "core/out.h"
#include "server/config/internal.h"

#include <limits.h>
#include <sys/un.h>
#include <unistd.h>

/* Longer than any path that can be opened, so that nothing is cut silently. */
enum { EXPANDED_MAX = 2048 };

/* {data.directory} and {runtime.directory}, once; what they expand to is not looked at again.
 */
static coat_err
expand(coat_builder *b, size_t index)
{
    static const char data[] = "{data.directory}", runtime[] = "{runtime.directory}";
    coat_config *config = b->config;
    const coat_key *key = coat_key_at(index);
    const char **field = (const char **)((char *)config + key->offset);
    const char *text = *field, *brace = strchr(text, '{');
    char buf[EXPANDED_MAX];
    coat_out out = coat_out_init(buf, sizeof buf);
    bool is_data;

    if (brace == NULL)
        return COAT_OK;
    is_data = strncmp(brace, data, strlen(data)) == 0;
    if ((!is_data && strncmp(brace, runtime, strlen(runtime)) != 0) ||
        index == COAT_INDEX_data_dir || index == COAT_INDEX_runtime_dir)
        return coat_config_fail(b, index, &config->priv->places[index],
                                "\"%.100s\": only %s and %s can stand in braces", text, data,
                                runtime);
    coat_out_bytes(&out, text, (size_t)(brace - text));
    coat_out_str(&out, is_data ? config->data_dir : config->runtime_dir);
    coat_out_str(&out, brace + (is_data ? strlen(data) : strlen(runtime)));
    if (!coat_out_end(&out))
        return coat_config_fail(b, index, &config->priv->places[index], "is too long");
    *field = coat_config_copy(config, buf, strlen(buf));
    return *field != NULL ? COAT_OK : COAT_NO_MEMORY;
}

/* A daemon changes its directory; a relative path means the one where it was started. */
static coat_err
make_absolute(coat_builder *b, size_t index)
{
    const char **field = (const char **)((char *)b->config + coat_key_at(index)->offset);
    char here[PATH_MAX], buf[PATH_MAX + EXPANDED_MAX];
    const char *rest = *field;

    if (rest[0] == '\0' || rest[0] == '/')
        return COAT_OK;
    if (getcwd(here, sizeof here) == NULL)
        return coat_config_fail(b, index, &b->config->priv->places[index],
                                "is relative, and the current directory is not known");
    if (strncmp(rest, "./", 2) == 0)
        rest += 2;
    (void)snprintf(buf, sizeof buf, "%s/%s", here, rest);
    *field = coat_config_copy(b->config, buf, strlen(buf));
    return *field != NULL ? COAT_OK : COAT_NO_MEMORY;
}

static coat_err
resolve_paths(coat_builder *b)
{
    coat_err err = COAT_OK;

    for (size_t pass = 0; pass < 2 && err == COAT_OK; pass++)
        for (size_t i = 0; i < COAT_KEYS_COUNT && err == COAT_OK; i++) {
            bool is_base = i == COAT_INDEX_data_dir || i == COAT_INDEX_runtime_dir;
            bool is_path = coat_key_at(i)->type == COAT_KEY_TYPE_PATH;

            /* The two directories first: the others may stand on them. */
            if (is_base != (pass == 0) ||
                !(is_path || i == COAT_INDEX_store_url || i == COAT_INDEX_accounts_url))
                continue;
            err = expand(b, i);
            if (err == COAT_OK && is_path)
                err = make_absolute(b, i);
        }
    return err;
}

static coat_err
join(coat_config *config, coat_strings list, const char **out)
{
    char buf[COAT_CONFIG_LIST_MAX * 66];
    coat_out text = coat_out_init(buf, sizeof buf);

    for (size_t i = 0; i < list.count; i++) {
        coat_out_str(&text, i > 0 ? ", " : "");
        coat_out_str(&text, list.list[i]);
    }
    if (text.over)
        return COAT_TOO_LARGE;
    *out = coat_config_copy(config, buf, text.len);
    return *out != NULL ? COAT_OK : COAT_NO_MEMORY;
}

static coat_err
resolve_cors(coat_builder *b)
{
    const struct {
        size_t index;
        coat_strings list;
        const char **out;
    } lists[] = {
        {COAT_INDEX_cors_methods, b->config->cors_methods, &b->config->cors_methods_text},
        {COAT_INDEX_cors_headers, b->config->cors_headers, &b->config->cors_headers_text},
        {COAT_INDEX_cors_exposed, b->config->cors_exposed, &b->config->cors_exposed_text},
    };
    coat_err err = COAT_OK;

    for (size_t i = 0; i < sizeof lists / sizeof lists[0] && err == COAT_OK; i++) {
        err = join(b->config, lists[i].list, lists[i].out);
        if (err == COAT_TOO_LARGE)
            err = coat_config_fail(b, lists[i].index, &b->config->priv->places[lists[i].index],
                                   "is too long");
    }
    return err;
}

/* Sockets may lie in the runtime directory by its name; nothing else is in their braces. */
static coat_err
resolve_listeners(coat_builder *b)
{
    static const char runtime[] = "{runtime.directory}";
    coat_listener_conf *list = (coat_listener_conf *)(uintptr_t)b->config->listeners.list;

    for (size_t i = 0; i < b->config->listeners.count; i++) {
        coat_listener_conf *l = &list[i];
        char buf[EXPANDED_MAX];
        coat_out out = coat_out_init(buf, sizeof buf);

        if (l->path == NULL || l->path[0] != '{')
            continue;
        coat_out_str(&out, "unix:");
        coat_out_str(&out, b->config->runtime_dir);
        coat_out_str(&out, l->path + strlen(runtime));
        if (!coat_out_end(&out) ||
            out.len - strlen("unix:") >= sizeof((struct sockaddr_un *)NULL)->sun_path)
            return coat_config_fail(b, COAT_INDEX_listeners,
                                    &b->config->priv->places[COAT_INDEX_listeners],
                                    "the path of the socket is too long: choose a shorter "
                                    "runtime.directory");
        l->address = coat_config_copy(b->config, buf, out.len);
        if (l->address == NULL)
            return COAT_NO_MEMORY;
        l->path = l->address + strlen("unix:");
    }
    return COAT_OK;
}

coat_err
coat_config_resolve(coat_builder *b)
{
    coat_err err = resolve_paths(b);

    if (err == COAT_OK)
        err = resolve_listeners(b);
    return err == COAT_OK ? resolve_cors(b) : err;
}
