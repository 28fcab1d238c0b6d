/* SPDX-License-Identifier: Apache-2.0 */
/* Effective values as text: `config show`, comparing before a reload. */
#include "core/out.h"
#include "server/config/internal.h"

enum { TEXT_MAX = 8192 };

static const char *
format_list(coat_config *config, coat_strings list)
{
    char buf[TEXT_MAX];
    coat_out out = coat_out_init(buf, sizeof buf);

    for (size_t i = 0; i < list.count; i++) {
        coat_out_str(&out, i > 0 ? ", " : "");
        coat_out_str(&out, list.list[i]);
    }
    return coat_config_copy(config, buf, out.len);
}

static const char *
format_listeners(coat_config *config, const coat_listeners *listeners)
{
    char buf[TEXT_MAX];
    coat_out out = coat_out_init(buf, sizeof buf);

    for (size_t i = 0; i < listeners->count; i++) {
        const char *one = coat_listener_format(config, &listeners->list[i]);

        if (one == NULL)
            return NULL;
        coat_out_str(&out, i > 0 ? ", " : "");
        coat_out_str(&out, one);
    }
    return coat_config_copy(config, buf, out.len);
}

const char *
coat_config_format(coat_config *config, size_t index)
{
    const coat_key *key = coat_key_at(index);
    const void *field = coat_config_field(config, key);
    char buf[64];

    switch (key->type) {
    case COAT_KEY_TYPE_BOOL:
        return *(const bool *)field ? "true" : "false";
    case COAT_KEY_TYPE_MODE:
        return *(const uint32_t *)field == 0660 ? "0660" : "0600";
    case COAT_KEY_TYPE_STRING:
    case COAT_KEY_TYPE_PATH:
        return *(const char *const *)field;
    case COAT_KEY_TYPE_STRINGS:
    case COAT_KEY_TYPE_ORIGINS:
        return format_list(config, *(const coat_strings *)field);
    case COAT_KEY_TYPE_LISTENERS:
        return format_listeners(config, field);
    case COAT_KEY_TYPE_ENUM:
        coat_word_at(key->words, *(const int *)field, buf, sizeof buf);
        break;
    case COAT_KEY_TYPE_DURATION:
        coat_duration_format(*(const int64_t *)field, buf, sizeof buf);
        break;
    case COAT_KEY_TYPE_SIZE:
        coat_size_format(*(const int64_t *)field, buf, sizeof buf);
        break;
    case COAT_KEY_TYPE_INT:
        (void)snprintf(buf, sizeof buf, "%lld", (long long)*(const int64_t *)field);
        break;
    }
    return coat_config_copy(config, buf, strlen(buf));
}

size_t
coat_config_count(void)
{
    return COAT_KEYS_COUNT;
}

static void
format_place(const coat_place *place, char *buf, size_t cap)
{
    if (place->source == COAT_SOURCE_PROFILE)
        (void)snprintf(buf, cap, "default, lowered to the cap of %s", place->name);
    else if (place->line != 0)
        (void)snprintf(buf, cap, "%s:%u:%u", place->name, place->line, place->column);
    else
        (void)snprintf(buf, cap, "%s", place->name);
}

void
coat_config_item_get(const coat_config *config, size_t index, coat_config_item *out)
{
    const coat_key *key = coat_key_at(index);

    *out = (coat_config_item){
        .path = key->path,
        .text = key->text,
        .initial = key->initial,
        .value = key->initial,
        .where = "default",
        .live = key->live,
    };
    coat_key_env(key, out->env, sizeof out->env);
    if (config == NULL)
        return;
    out->value = config->priv->values[index];
    out->source = config->priv->places[index].source;
    format_place(&config->priv->places[index], out->where, sizeof out->where);
}

/* Plain where YAML reads it back as it is, else in double quotes. */
static void
print_scalar(FILE *out, const char *value)
{
    static const char harmless[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                   "0123456789_./:;=+-";
    size_t len = strlen(value);
    bool plain = len > 0 && strspn(value, harmless) == len && value[len - 1] != ':' &&
                 strchr("-:=", value[0]) == NULL && strcmp(value, "null") != 0;

    if (plain) {
        (void)fputs(value, out);
        return;
    }
    (void)fputc('"', out);
    for (const char *p = value; *p != '\0'; p++) {
        if (*p == '"' || *p == '\\')
            (void)fputc('\\', out);
        (void)fputc(*p, out);
    }
    (void)fputc('"', out);
}

void
coat_config_show(const coat_config *config, FILE *out)
{
    char section[64] = "";

    for (size_t i = 0; i < COAT_KEYS_COUNT; i++) {
        coat_config_item item;
        const char *dot;

        coat_config_item_get(config, i, &item);
        dot = strchr(item.path, '.');
        if (dot == NULL) {
            (void)fprintf(out, "%s: ", item.path);
        } else {
            size_t len = (size_t)(dot - item.path);

            if (strncmp(section, item.path, len) != 0 || section[len] != '\0') {
                (void)snprintf(section, sizeof section, "%.*s", (int)len, item.path);
                (void)fprintf(out, "%s:\n", section);
            }
            (void)fprintf(out, "  %s: ", dot + 1);
        }
        print_scalar(out, item.value);
        (void)fprintf(out, "  # %s\n", item.where);
    }
}

size_t
coat_config_diff(const coat_config *before, const coat_config *after,
                 void (*changed)(void *ctx, const coat_config_item *before,
                                 const coat_config_item *after),
                 void *ctx)
{
    size_t restarts = 0;

    for (size_t i = 0; i < COAT_KEYS_COUNT; i++) {
        coat_config_item a, b;

        coat_config_item_get(before, i, &a);
        coat_config_item_get(after, i, &b);
        if (strcmp(a.value, b.value) == 0)
            continue;
        restarts += !a.live;
        if (changed != NULL)
            changed(ctx, &a, &b);
    }
    return restarts;
}

void
coat_config_keep(const coat_config *running, coat_config *again)
{
    static const size_t sizes[] = {
        [COAT_KEY_TYPE_BOOL] = sizeof(bool),
        [COAT_KEY_TYPE_INT] = sizeof(int64_t),
        [COAT_KEY_TYPE_DURATION] = sizeof(int64_t),
        [COAT_KEY_TYPE_SIZE] = sizeof(int64_t),
        [COAT_KEY_TYPE_MODE] = sizeof(uint32_t),
        [COAT_KEY_TYPE_ENUM] = sizeof(int),
        [COAT_KEY_TYPE_STRING] = sizeof(const char *),
        [COAT_KEY_TYPE_PATH] = sizeof(const char *),
        [COAT_KEY_TYPE_STRINGS] = sizeof(coat_strings),
        [COAT_KEY_TYPE_ORIGINS] = sizeof(coat_strings),
        [COAT_KEY_TYPE_LISTENERS] = sizeof(coat_listeners),
    };

    for (size_t i = 0; i < COAT_KEYS_COUNT; i++) {
        const coat_key *key = coat_key_at(i);

        if (!key->live)
            memcpy((char *)again + key->offset, coat_config_field(running, key),
                   sizes[key->type]);
    }
}
