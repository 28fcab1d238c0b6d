/* SPDX-License-Identifier: Apache-2.0 */
/* Contradictions between keys, but those of the web (validate_web.c). */
#include "server/config/internal.h"

static const coat_place *
place(const coat_builder *b, size_t index)
{
    return &b->config->priv->places[index];
}

static bool
is_default(const coat_builder *b, size_t index)
{
    return place(b, index)->source == COAT_SOURCE_DEFAULT;
}

/* LC-3: caps of the profiles. An idle cap of 0 is none. */
static const struct {
    const char *name;
    int64_t absolute_ms, idle_ms;
} profiles[] = {
    [COAT_AAL1] = {"aal1", 30 * DAY, 30 * DAY},
    [COAT_AAL2] = {"aal2", 24 * HOUR, 1 * HOUR},
    [COAT_AAL3] = {"aal3", 12 * HOUR, 15 * MINUTE},
};

static coat_err
cap(coat_builder *b, size_t index, int64_t *field, int64_t most, bool absolute)
{
    coat_config *config = b->config;
    const char *profile = profiles[config->profile].name;
    char is[32], may[32];

    if (*field <= most)
        return COAT_OK;
    if (is_default(b, index)) {
        *field = most;
        config->priv->places[index] = (coat_place){COAT_SOURCE_PROFILE, profile, 0, 0};
        return COAT_OK;
    }
    coat_duration_format(*field, is, sizeof is);
    coat_duration_format(most, may, sizeof may);
    if (config->profile == COAT_AAL3 && absolute)
        return coat_config_fail(b, index, place(b, index),
                                "%s is more than the %s that aal3 allows, whatever the reason",
                                is, may);
    if (config->profile_deviation[0] == '\0')
        return coat_config_fail(b, index, place(b, index),
                                "%s is more than the %s that profile %s allows; lower it, or "
                                "write the reason into session.profile-deviation",
                                is, may, profile);
    config->deviates = true;
    return COAT_OK;
}

coat_err
coat_config_validate_sessions(coat_builder *b)
{
    coat_config *c = b->config;
    int64_t absolute = profiles[c->profile].absolute_ms, idle = profiles[c->profile].idle_ms;
    char is[32], may[32];
    coat_err err = cap(b, COAT_INDEX_absolute_ms, &c->absolute_ms, absolute, true);

    if (err == COAT_OK)
        err = cap(b, COAT_INDEX_idle_ms, &c->idle_ms, idle, false);
    if (err == COAT_OK)
        err = cap(b, COAT_INDEX_remember_absolute_ms, &c->remember_absolute_ms, absolute, true);
    if (err == COAT_OK)
        err = cap(b, COAT_INDEX_remember_idle_ms, &c->remember_idle_ms, idle, false);
    if (err != COAT_OK)
        return err;
    if (c->rotate_every_ms > c->absolute_ms && !is_default(b, COAT_INDEX_rotate_every_ms)) {
        coat_duration_format(c->rotate_every_ms, is, sizeof is);
        coat_duration_format(c->absolute_ms, may, sizeof may);
        return coat_config_fail(b, COAT_INDEX_rotate_every_ms,
                                place(b, COAT_INDEX_rotate_every_ms),
                                "%s is longer than session.absolute-timeout, %s", is, may);
    }
    return COAT_OK;
}

/* LG-1: OWASP's equivalent choices are the floor, more passes for less memory. */
static coat_err
validate_passwords(coat_builder *b)
{
    coat_config *c = b->config;
    int64_t least = c->argon_passes == 1   ? 47104 * KIB
                    : c->argon_passes == 2 ? 19456 * KIB
                                           : 12288 * KIB;
    size_t index = is_default(b, COAT_INDEX_argon_memory) ? COAT_INDEX_argon_passes
                                                          : COAT_INDEX_argon_memory;

    if (c->argon_memory % KIB != 0)
        return coat_config_fail(b, COAT_INDEX_argon_memory, place(b, COAT_INDEX_argon_memory),
                                "must be a multiple of 1KiB");
    if (c->argon_memory < least)
        return coat_config_fail(
            b, index, place(b, index),
            "%lldKiB with passes %lld is too weak: at least 47104KiB with 1 "
            "pass, 19456KiB with 2, 12288KiB with 3 or more",
            (long long)(c->argon_memory / KIB), (long long)c->argon_passes);
    return COAT_OK;
}

static coat_err
validate_throttle(coat_builder *b)
{
    int64_t total = b->config->failures_known + b->config->failures_unknown;
    size_t index = is_default(b, COAT_INDEX_failures_known) ? COAT_INDEX_failures_unknown
                                                            : COAT_INDEX_failures_known;

    if (total < 10 || total > 100)
        return coat_config_fail(b, index, place(b, index),
                                "failures-known and failures-unknown are %lld together: 10 to "
                                "100 are allowed",
                                (long long)total);
    return COAT_OK;
}

/* ST-2, and plain slips: a file has one purpose. */
static coat_err
validate_paths(coat_builder *b)
{
    static const size_t keys[] = {COAT_INDEX_key_file, COAT_INDEX_pepper_file,
                                  COAT_INDEX_table_path, COAT_INDEX_admin_socket};
    const coat_config *c = b->config;
    const char *paths[sizeof keys / sizeof keys[0]] = {c->key_file, c->pepper_file,
                                                       c->table_path, c->admin_socket};

    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        for (size_t j = 0; j < i; j++)
            if (strcmp(paths[i], paths[j]) == 0)
                return coat_config_fail(b, keys[i], place(b, keys[i]),
                                        "%.150s is the file of %s already", paths[i],
                                        coat_key_at(keys[j])->path);
        for (size_t j = 0; j < c->listeners.count; j++)
            if (c->listeners.list[j].path != NULL &&
                strcmp(paths[i], c->listeners.list[j].path) == 0)
                return coat_config_fail(b, keys[i], place(b, keys[i]),
                                        "%.150s is the socket of a listener already", paths[i]);
    }
    return COAT_OK;
}

static bool
is_below(const char *path, const char *dir)
{
    size_t len = strlen(dir);

    return path != NULL && strncmp(path, dir, len) == 0 && path[len] == '/';
}

/* One group may enter the runtime directory; whatever lies in it for others is for that group.
 */
static coat_err
share_runtime(coat_builder *b, size_t index, const char *path, const char *group)
{
    coat_config *c = b->config;

    if (group[0] == '\0' || !is_below(path, c->runtime_dir))
        return COAT_OK;
    if (c->runtime_group[0] != '\0' && strcmp(c->runtime_group, group) != 0)
        return coat_config_fail(b, index, place(b, index),
                                "group %.60s: only one group can enter runtime.directory, and "
                                "%.60s does already; use one group, or another directory",
                                group, c->runtime_group);
    c->runtime_group = group;
    return COAT_OK;
}

static coat_err
validate_runtime(coat_builder *b)
{
    coat_config *c = b->config;
    coat_err err;

    c->runtime_group = "";
    err = share_runtime(b, COAT_INDEX_table_group, c->table_path, c->table_group);
    if (err == COAT_OK)
        err = share_runtime(b, COAT_INDEX_admin_group, c->admin_socket, c->admin_group);
    for (size_t i = 0; i < c->listeners.count && err == COAT_OK; i++)
        err = share_runtime(b, COAT_INDEX_listeners, c->listeners.list[i].path,
                            c->listeners.list[i].group);
    return err;
}

static coat_err
validate_log(coat_builder *b)
{
    const struct {
        size_t index;
        const char *target;
        const char *also; /* a further word that is allowed */
    } targets[] = {
        {COAT_INDEX_log_target, b->config->log_target, "stdout"},
        {COAT_INDEX_audit_target, b->config->audit_target, "log"},
    };

    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
        const char *t = targets[i].target;

        if (strcmp(t, "stderr") != 0 && strcmp(t, "stdout") != 0 &&
            strcmp(t, targets[i].also) != 0 && strncmp(t, "file:/", 6) != 0)
            return coat_config_fail(b, targets[i].index, place(b, targets[i].index),
                                    "\"%.100s\" is no target: %sstderr, stdout or file:/path",
                                    t, i == 1 ? "log, " : "");
    }
    return COAT_OK;
}

static coat_err
validate_stores(coat_builder *b)
{
    static const char cache[] = "memcached";
    const coat_config *c = b->config;

    if (strchr(c->store_url, ':') == NULL)
        return coat_config_fail(b, COAT_INDEX_store_url, place(b, COAT_INDEX_store_url),
                                "\"%.100s\" is no store: lmdb:/path, redis://host, "
                                "memcached://host or memory:",
                                c->store_url);
    if (c->accounts_url[0] != '\0' && strchr(c->accounts_url, ':') == NULL)
        return coat_config_fail(b, COAT_INDEX_accounts_url, place(b, COAT_INDEX_accounts_url),
                                "\"%.100s\" is no store: lmdb:/path or redis://host",
                                c->accounts_url);
    if (strncmp(c->accounts_url, cache, sizeof cache - 1) == 0)
        return coat_config_fail(b, COAT_INDEX_accounts_url, place(b, COAT_INDEX_accounts_url),
                                "memcached forgets: accounts need a store that does not, such "
                                "as lmdb:/path");
    if (strncmp(c->store_url, cache, sizeof cache - 1) == 0 && c->accounts_url[0] == '\0')
        return coat_config_fail(b, COAT_INDEX_store_url, place(b, COAT_INDEX_store_url),
                                "memcached keeps no accounts: set accounts.url as well, such "
                                "as lmdb:/path");
    if (strcmp(c->store_url, c->accounts_url) == 0)
        return coat_config_fail(b, COAT_INDEX_accounts_url, place(b, COAT_INDEX_accounts_url),
                                "is the same as store.url: leave it out");
    if (c->store_reserve > c->store_map / 2)
        return coat_config_fail(b, COAT_INDEX_store_reserve, place(b, COAT_INDEX_store_reserve),
                                "is more than half of store.map-size");
    return COAT_OK;
}

static coat_err
validate_process(coat_builder *b)
{
    const coat_config *c = b->config;

    if ((c->admin_mode == 0660) != (c->admin_group[0] != '\0'))
        return coat_config_fail(b, COAT_INDEX_admin_mode, place(b, COAT_INDEX_admin_mode),
                                "0660 and admin.group belong together");
    if (c->group[0] != '\0' && c->user[0] == '\0')
        return coat_config_fail(b, COAT_INDEX_group, place(b, COAT_INDEX_group),
                                "needs server.user");
    if (c->allow_root && c->user[0] != '\0')
        return coat_config_fail(b, COAT_INDEX_allow_root, place(b, COAT_INDEX_allow_root),
                                "contradicts server.user, which gives up root");
    return COAT_OK;
}

coat_err
coat_config_validate(coat_builder *b)
{
    coat_err (*const checks[])(coat_builder *) = {
        coat_config_validate_sessions,
        validate_passwords,
        validate_throttle,
        validate_paths,
        validate_runtime,
        validate_log,
        validate_process,
        validate_stores,
        coat_config_validate_web,
        coat_config_validate_assertion,
    };
    coat_err err = COAT_OK;

    for (size_t i = 0; i < sizeof checks / sizeof checks[0] && err == COAT_OK; i++)
        err = checks[i](b);
    return err;
}
