/* SPDX-License-Identifier: Apache-2.0 */
#include "core/out.h"
#include "server/config/internal.h"

enum { LIVE = true, RESTART = false, NEAREST_MAX = 48 };

static const coat_key table[] = {
#define SECTION(first, title)
#define KEY(type, field, path, initial, least, most, reload, words, text)                      \
    {COAT_KEY_TYPE_##type,         path,  initial, words, text,                                \
     offsetof(coat_config, field), least, most,    reload},
#include "server/config/keys.def"
#undef KEY
#undef SECTION
};

static const struct {
    size_t first;
    const char *title;
} sections[] = {
#define SECTION(first, title) {COAT_INDEX_##first, title},
#define KEY(type, field, path, initial, least, most, reload, words, text)
#include "server/config/keys.def"
#undef KEY
#undef SECTION
};

const coat_key *
coat_key_at(size_t index)
{
    return &table[index];
}

const char *
coat_key_title(size_t index)
{
    for (size_t i = 0; i < sizeof sections / sizeof sections[0]; i++)
        if (sections[i].first == index)
            return sections[i].title;
    return NULL;
}

size_t
coat_key_find(coat_span path)
{
    size_t i = 0;

    while (i < COAT_KEYS_COUNT && !coat_span_is(path, coat_span_of(table[i].path)))
        i++;
    return i;
}

void
coat_key_env(const coat_key *key, char *buf, size_t cap)
{
    coat_out out = coat_out_init(buf, cap);

    coat_out_str(&out, "COATCHECK_");
    for (const char *p = key->path; *p != '\0'; p++)
        coat_out_char(&out, *p == '.' || *p == '-'   ? '_'
                            : *p >= 'a' && *p <= 'z' ? (char)(*p - 'a' + 'A')
                                                     : *p);
    (void)coat_out_end(&out);
}

size_t
coat_key_find_env(coat_span name)
{
    char env[64];
    size_t i = 0;

    for (; i < COAT_KEYS_COUNT; i++) {
        coat_key_env(&table[i], env, sizeof env);
        if (coat_span_is(name, coat_span_of(env)))
            break;
    }
    return i;
}

bool
coat_key_is_section(coat_span path)
{
    for (size_t i = 0; i < COAT_KEYS_COUNT; i++)
        if (strlen(table[i].path) > path.len && table[i].path[path.len] == '.' &&
            memcmp(table[i].path, path.ptr, path.len) == 0)
            return true;
    return false;
}

/* Edits that turn a into b (Levenshtein), or a large number if one of them is too long. */
static size_t
distance(const char *a, const char *b)
{
    size_t row[NEAREST_MAX + 1], la = strlen(a), lb = strlen(b);

    if (la > NEAREST_MAX || lb > NEAREST_MAX)
        return NEAREST_MAX;
    for (size_t j = 0; j <= lb; j++)
        row[j] = j;
    for (size_t i = 1; i <= la; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= lb; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);

            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[lb];
}

/* "idle-timeout" is near "session.idle-timeout" too: the last part alone counts as well. */
static size_t
key_distance(const char *path, const char *key)
{
    const char *last = strrchr(path, '.'), *key_last = strrchr(key, '.');
    size_t whole = distance(path, key), part = NEAREST_MAX;

    if (key_last != NULL)
        part = distance(last != NULL ? last + 1 : path, key_last + 1) + 1;
    return part < whole ? part : whole;
}

const char *
coat_key_nearest(const char *path)
{
    size_t best = 4; /* further away is no slip of the finger */
    const char *found = NULL;

    for (size_t i = 0; i < COAT_KEYS_COUNT; i++) {
        size_t d = key_distance(path, table[i].path);

        if (d < best) {
            best = d;
            found = table[i].path;
        }
    }
    return found;
}

bool
coat_key_is_list(const coat_key *key)
{
    return key->type == COAT_KEY_TYPE_STRINGS || key->type == COAT_KEY_TYPE_ORIGINS ||
           key->type == COAT_KEY_TYPE_LISTENERS;
}

const char *
coat_key_type_text(const coat_key *key)
{
    static const char *const texts[] = {
        [COAT_KEY_TYPE_BOOL] = "true or false",
        [COAT_KEY_TYPE_INT] = "a whole number",
        [COAT_KEY_TYPE_DURATION] = "a duration such as 250ms, 10s, 30m, 12h or 30d",
        [COAT_KEY_TYPE_SIZE] = "a size such as 4096, 16KiB, 19MiB or 64GiB",
        [COAT_KEY_TYPE_MODE] = "0600 or 0660",
        [COAT_KEY_TYPE_ENUM] = "a word",
        [COAT_KEY_TYPE_STRING] = "a text",
        [COAT_KEY_TYPE_PATH] = "a path",
        [COAT_KEY_TYPE_STRINGS] = "a list of texts",
        [COAT_KEY_TYPE_ORIGINS] = "a list of origins such as https://example.com",
        [COAT_KEY_TYPE_LISTENERS] = "a list of listeners",
    };

    return texts[key->type];
}
