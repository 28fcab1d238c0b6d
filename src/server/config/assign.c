/* SPDX-License-Identifier: Apache-2.0 */
/* Texts to typed fields: the one place where a value is judged by itself. */
#include "server/config/internal.h"

#include <stdarg.h>
#include <stdlib.h>

struct coat_arena_chunk {
    struct coat_arena_chunk *next;
    _Alignas(16) uint8_t bytes[];
};

void *
coat_config_alloc(coat_config *config, size_t count, size_t size)
{
    struct coat_arena_chunk *chunk;
    size_t bytes;

    if (__builtin_mul_overflow(count, size, &bytes) ||
        __builtin_add_overflow(bytes, sizeof *chunk + 1, &bytes))
        return NULL;
    chunk = calloc(1, bytes);
    if (chunk == NULL)
        return NULL;
    chunk->next = config->priv->chunks;
    config->priv->chunks = chunk;
    return chunk->bytes;
}

const char *
coat_config_copy(coat_config *config, const void *bytes, size_t len)
{
    char *copy = coat_config_alloc(config, len + 1, 1);

    if (copy != NULL && len > 0)
        memcpy(copy, bytes, len);
    return copy;
}

void
coat_config_free(coat_config *config)
{
    if (config == NULL)
        return;
    for (struct coat_arena_chunk *c = config->priv != NULL ? config->priv->chunks : NULL, *n;
         c != NULL; c = n) {
        n = c->next;
        free(c);
    }
    free(config->priv);
    free(config);
}

coat_err
coat_config_fail(coat_builder *builder, size_t index, const coat_place *place,
                 const char *format, ...)
{
    coat_config_error *error = builder->error;
    va_list args;

    *error = (coat_config_error){0};
    if (place != NULL) {
        (void)snprintf(error->file, sizeof error->file, "%s", place->name);
        error->line = place->line;
        error->column = place->column;
    } else {
        (void)snprintf(error->file, sizeof error->file, "configuration");
    }
    if (index < COAT_KEYS_COUNT)
        (void)snprintf(error->key, sizeof error->key, "%s", coat_key_at(index)->path);
    va_start(args, format);
    (void)vsnprintf(error->text, sizeof error->text, format, args);
    va_end(args);
    for (char *p = error->text; *p != '\0'; p++) /* it may quote what was refused */
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = '?';
    return COAT_INVALID;
}

/* Where a value is wrong: here, and what the key takes. The value itself is shown cut. */
static coat_err
wrong(coat_builder *b, size_t index, const coat_place *place, const char *text)
{
    const coat_key *key = coat_key_at(index);
    char words[96];
    size_t n = 0;

    if (key->type != COAT_KEY_TYPE_ENUM)
        return coat_config_fail(b, index, place, "\"%.60s\" is not %s", text,
                                coat_key_type_text(key));
    for (const char *p = key->words; *p != '\0' && n + 3 < sizeof words; p++) {
        if (*p == '|')
            words[n++] = ',';
        words[n++] = *p == '|' ? ' ' : *p;
    }
    words[n] = '\0';
    return coat_config_fail(b, index, place, "\"%.60s\" is none of: %s", text, words);
}

static coat_err
number_parse(const coat_key *key, coat_span text, int64_t *value)
{
    if (key->type == COAT_KEY_TYPE_DURATION)
        return coat_duration_parse(text, value);
    if (key->type == COAT_KEY_TYPE_SIZE)
        return coat_size_parse(text, value);
    return coat_integer_parse(text, value);
}

static void
number_format(const coat_key *key, int64_t value, char *buf, size_t cap)
{
    if (key->type == COAT_KEY_TYPE_DURATION)
        coat_duration_format(value, buf, cap);
    else if (key->type == COAT_KEY_TYPE_SIZE)
        coat_size_format(value, buf, cap);
    else
        (void)snprintf(buf, cap, "%lld", (long long)value);
}

static coat_err
assign_number(coat_builder *b, size_t index, const coat_place *place, const char *text)
{
    const coat_key *key = coat_key_at(index);
    char least[32], most[32];
    int64_t value;

    if (number_parse(key, coat_span_of(text), &value) != COAT_OK)
        return wrong(b, index, place, text);
    if (value < key->least || value > key->most) {
        number_format(key, key->least, least, sizeof least);
        number_format(key, key->most, most, sizeof most);
        return coat_config_fail(b, index, place, "%.60s is out of range: %s to %s", text, least,
                                most);
    }
    *(int64_t *)((char *)b->config + key->offset) = value;
    return COAT_OK;
}

static coat_err
assign_word(coat_builder *b, size_t index, const coat_place *place, const char *text)
{
    const coat_key *key = coat_key_at(index);
    char *field = (char *)b->config + key->offset;
    int word = coat_word_index(key->type == COAT_KEY_TYPE_BOOL   ? "false|true"
                               : key->type == COAT_KEY_TYPE_MODE ? "0600|0660"
                                                                 : key->words,
                               text);

    if (word < 0)
        return wrong(b, index, place, text);
    if (key->type == COAT_KEY_TYPE_BOOL)
        *(bool *)field = word == 1;
    else if (key->type == COAT_KEY_TYPE_MODE)
        *(uint32_t *)field = word == 1 ? 0660 : 0600;
    else
        *(int *)field = word;
    return COAT_OK;
}

static coat_err
check_text(coat_builder *b, size_t index, const coat_place *place, const char *text)
{
    const coat_key *key = coat_key_at(index);
    size_t len = strlen(text);
    size_t most =
        key->type == COAT_KEY_TYPE_PATH || coat_key_is_list(key) ? 1024 : (size_t)key->most;

    if (!coat_text_is_clean(coat_span_of(text)))
        return coat_config_fail(b, index, place, "has a control character or is not UTF-8");
    if (len > most)
        return coat_config_fail(b, index, place, "has %zu bytes, at most %zu are allowed", len,
                                most);
    if (!coat_key_is_list(key) && len < (size_t)key->least)
        return coat_config_fail(b, index, place,
                                key->least == 1 ? "must not be empty" : "is too short");
    return COAT_OK;
}

static coat_err
assign_string(coat_builder *b, size_t index, const coat_place *place, const char *text)
{
    coat_err err = check_text(b, index, place, text);
    const char *copy;

    if (err != COAT_OK)
        return err;
    copy = coat_config_copy(b->config, text, strlen(text));
    if (copy == NULL)
        return COAT_NO_MEMORY;
    *(const char **)((char *)b->config + coat_key_at(index)->offset) = copy;
    return COAT_OK;
}

/* One entry of a list of strings or origins. */
static coat_err
assign_entry(coat_builder *b, size_t index, const coat_place *place, const char *text,
             const char **list, size_t at)
{
    coat_err err = check_text(b, index, place, text);
    char message[200];

    if (err != COAT_OK)
        return err;
    if (*text == '\0')
        return coat_config_fail(b, index, place, "has an empty entry");
    if (coat_key_at(index)->type == COAT_KEY_TYPE_ORIGINS &&
        coat_origin_check(text, message, sizeof message) != COAT_OK)
        return coat_config_fail(b, index, place, "\"%.100s\": %s", text, message);
    for (size_t i = 0; i < at; i++)
        if (strcmp(list[i], text) == 0)
            return coat_config_fail(b, index, place, "names \"%.100s\" twice", text);
    list[at] = coat_config_copy(b->config, text, strlen(text));
    return list[at] != NULL ? COAT_OK : COAT_NO_MEMORY;
}

static coat_err
assign_list(coat_builder *b, size_t index, const coat_place *place, const coat_text *texts,
            size_t count)
{
    const coat_key *key = coat_key_at(index);
    bool listeners = key->type == COAT_KEY_TYPE_LISTENERS;
    size_t size = listeners ? sizeof(coat_listener_conf) : sizeof(char *);
    void *list;
    coat_err err = COAT_OK;

    if (count < (size_t)key->least || count > (size_t)key->most)
        return coat_config_fail(b, index, place, "has %zu entries, %lld to %lld are allowed",
                                count, (long long)key->least, (long long)key->most);
    list = coat_config_alloc(b->config, count, size);
    if (list == NULL)
        return COAT_NO_MEMORY;
    for (size_t i = 0; i < count && err == COAT_OK; i++) {
        coat_place at = *place;

        if (texts[i].line != 0) {
            at.line = texts[i].line;
            at.column = texts[i].column;
        }
        if (listeners)
            err = coat_listener_parse(b, &at, texts[i].text, (coat_listener_conf *)list + i);
        else
            err = assign_entry(b, index, &at, texts[i].text, list, i);
    }
    if (err != COAT_OK)
        return err;
    if (listeners)
        *(coat_listeners *)((char *)b->config + key->offset) = (coat_listeners){list, count};
    else
        *(coat_strings *)((char *)b->config + key->offset) =
            (coat_strings){(const char *const *)list, count};
    return COAT_OK;
}

coat_err
coat_config_assign(coat_builder *b, size_t index, const coat_place *place,
                   const coat_text *texts, size_t count)
{
    const coat_key *key = coat_key_at(index);
    coat_err err;

    if (b->places[index].name != NULL) {
        if (b->places[index].line != 0)
            return coat_config_fail(b, index, place, "is set a second time; first in line %u",
                                    b->places[index].line);
        return coat_config_fail(b, index, place, "is set a second time");
    }
    if (coat_key_is_list(key))
        err = assign_list(b, index, place, texts, count);
    else if (key->type == COAT_KEY_TYPE_STRING || key->type == COAT_KEY_TYPE_PATH)
        err = assign_string(b, index, place, texts[0].text);
    else if (key->type == COAT_KEY_TYPE_INT || key->type == COAT_KEY_TYPE_DURATION ||
             key->type == COAT_KEY_TYPE_SIZE)
        err = assign_number(b, index, place, texts[0].text);
    else
        err = assign_word(b, index, place, texts[0].text);
    if (err != COAT_OK)
        return err;
    b->places[index] = *place;
    b->config->priv->places[index] = *place;
    return COAT_OK;
}

coat_err
coat_config_assign_short(coat_builder *b, size_t index, const coat_place *place,
                         const char *text)
{
    coat_text texts[COAT_CONFIG_LIST_MAX];
    coat_span rest = coat_span_of(text);
    size_t count = 0;

    if (!coat_key_is_list(coat_key_at(index)))
        return coat_config_assign(b, index, place, &(coat_text){text, 0, 0}, 1);
    if (coat_span_trim(rest).len == 0)
        return coat_config_assign(b, index, place, NULL, 0);
    for (bool more = true; more;) {
        const uint8_t *comma = memchr(rest.ptr, ',', rest.len);
        size_t len = comma != NULL ? (size_t)(comma - rest.ptr) : rest.len;
        coat_span entry = coat_span_trim((coat_span){rest.ptr, len});

        if (count == COAT_CONFIG_LIST_MAX)
            return coat_config_fail(b, index, place, "has more than %d entries",
                                    COAT_CONFIG_LIST_MAX);
        texts[count] = (coat_text){coat_config_copy(b->config, entry.ptr, entry.len), 0, 0};
        if (texts[count++].text == NULL)
            return COAT_NO_MEMORY;
        more = comma != NULL;
        if (more)
            rest = (coat_span){comma + 1, rest.len - len - 1};
    }
    return coat_config_assign(b, index, place, texts, count);
}
