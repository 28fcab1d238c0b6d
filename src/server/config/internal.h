/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_SERVER_CONFIG_INTERNAL_H
#define COAT_SERVER_CONFIG_INTERNAL_H

/** What the files of this folder share. A configuration is built in an arena, layer by layer.
 */

#include "core/bytes.h"
#include "server/config/config.h"
#include "server/config/value.h"

typedef enum coat_key_type {
    COAT_KEY_TYPE_BOOL,
    COAT_KEY_TYPE_INT,
    COAT_KEY_TYPE_DURATION,
    COAT_KEY_TYPE_SIZE,
    COAT_KEY_TYPE_MODE,
    COAT_KEY_TYPE_ENUM,
    COAT_KEY_TYPE_STRING,
    COAT_KEY_TYPE_PATH,
    COAT_KEY_TYPE_STRINGS,
    COAT_KEY_TYPE_ORIGINS,
    COAT_KEY_TYPE_LISTENERS,
} coat_key_type;

typedef struct coat_key {
    coat_key_type type;
    const char *path, *initial, *words, *text;
    size_t offset; /* in coat_config */
    int64_t least, most;
    bool live;
} coat_key;

enum {
#define SECTION(first, title)
#define KEY(type, field, path, initial, least, most, reload, words, text) COAT_INDEX_##field,
#include "server/config/keys.def"
#undef KEY
#undef SECTION
    COAT_KEYS_COUNT
};

const coat_key *coat_key_at(size_t index);
/** By path; COAT_KEYS_COUNT if there is none. */
size_t coat_key_find(coat_span path);
size_t coat_key_find_env(coat_span name);
/** "COATCHECK_SESSION_IDLE_TIMEOUT"; buf of 64 bytes. */
void coat_key_env(const coat_key *key, char *buf, size_t cap);
/** Title of the section that begins at this key, else NULL. */
const char *coat_key_title(size_t index);
/** Do keys begin with path and a dot? */
bool coat_key_is_section(coat_span path);
/** The nearest key by spelling, or NULL. */
const char *coat_key_nearest(const char *path);
bool coat_key_is_list(const coat_key *key);
/** "a duration such as 30m". */
const char *coat_key_type_text(const coat_key *key);

/** Where a value stands. name: a file, a variable or a flag; in the arena or static. */
typedef struct coat_place {
    coat_config_source source;
    const char *name;
    unsigned line, column;
} coat_place;

struct coat_arena_chunk;

struct coat_config_priv {
    struct coat_arena_chunk *chunks;
    coat_place places[COAT_KEYS_COUNT];
    const char *values[COAT_KEYS_COUNT]; /* effective, formatted */
};

/** Zeroed bytes that live as long as the configuration; NULL: out of memory. */
void *coat_config_alloc(coat_config *config, size_t count, size_t size);
const char *coat_config_copy(coat_config *config, const void *bytes, size_t len);

typedef struct coat_builder {
    coat_config *config;
    coat_config_error *error;           /* never NULL */
    coat_place places[COAT_KEYS_COUNT]; /* of this layer: a name means "set" */
} coat_builder;

/** Fill the error and return COAT_INVALID. index: COAT_KEYS_COUNT if about no key. */
coat_err coat_config_fail(coat_builder *builder, size_t index, const coat_place *place,
                          const char *format, ...) __attribute__((format(printf, 4, 5)));

/** One text of a value, with its place in the file. */
typedef struct coat_text {
    const char *text;
    unsigned line, column;
} coat_text;

/** Check and set one key; count is 1 unless it is a list. Refuses a second time per layer. */
coat_err coat_config_assign(coat_builder *builder, size_t index, const coat_place *place,
                            const coat_text *texts, size_t count);
/** The same from a short form: lists are split at commas. */
coat_err coat_config_assign_short(coat_builder *builder, size_t index, const coat_place *place,
                                  const char *text);
coat_err coat_listener_parse(coat_builder *builder, const coat_place *place, const char *text,
                             coat_listener_conf *out);
const char *coat_listener_format(coat_config *config, const coat_listener_conf *listener);

coat_err coat_config_yaml(coat_builder *builder, coat_span text, const char *name);
/** Contradictions between keys; defaults that follow the profile; derived fields. */
coat_err coat_config_resolve(coat_builder *builder);
coat_err coat_config_validate(coat_builder *builder);
coat_err coat_config_validate_sessions(coat_builder *builder);
coat_err coat_config_validate_web(coat_builder *builder);
coat_err coat_config_validate_assertion(coat_builder *builder);
/** Effective value as text, in the arena. */
const char *coat_config_format(coat_config *config, size_t index);

static inline const void *
coat_config_field(const coat_config *config, const coat_key *key)
{
    return (const char *)config + key->offset;
}

#endif
