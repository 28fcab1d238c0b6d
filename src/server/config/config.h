/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_SERVER_CONFIG_CONFIG_H
#define COAT_SERVER_CONFIG_CONFIG_H

/**
 * The configuration of daemon and commands: one table (keys.def), one immutable struct.
 *
 * Precedence: flag, then environment, then file, then default. Everything unknown, repeated,
 * out of range or contradictory is refused before anything is opened, and the message names the
 * place and what would be right. No key ever holds a secret: secrets lie in files that keys
 * name, so that `config show`, process listings and environments hold none (ST-4).
 *
 * Threads: a coat_config is immutable once loaded; share it freely.
 */

#include <coatcheck/account.h>
#include <coatcheck/cookie.h>
#include <coatcheck/engine.h>
#include <coatcheck/forward.h>
#include <coatcheck/origin.h>
#include <coatcheck/store.h>
#include <stdio.h>

#define COAT_CONFIG_FILE_MAX (256 * 1024) /* bytes of a configuration file */
#define COAT_CONFIG_LIST_MAX 64           /* entries of a list */
#define COAT_CONFIG_FILE_DEFAULT "/etc/coatcheck/coatcheck.yaml"

typedef struct coat_strings {
    const char *const *list; /* NUL-terminated each */
    size_t count;
} coat_strings;

typedef enum coat_listener_kind {
    COAT_LISTEN_TCP,
    COAT_LISTEN_UNIX,
    COAT_LISTEN_FD, /* from systemd, by name */
} coat_listener_kind;

typedef struct coat_listener_conf {
    const char *address; /* "127.0.0.1:8080", "[::1]:8080", "unix:/path", "fd:NAME" */
    coat_listener_kind kind;
    bool loopback;    /* TCP on 127.0.0.0/8 or ::1 only */
    const char *path; /* of a Unix socket, else NULL */
    coat_dialect dialect;
    const coat_network *trusted;
    size_t trusted_count;
    uint32_t mode;     /* of a Unix socket: 0600 or 0660 */
    const char *group; /* of a Unix socket, "" for the service user's */
} coat_listener_conf;

typedef struct coat_listeners {
    const coat_listener_conf *list;
    size_t count;
} coat_listeners;

typedef enum coat_profile { COAT_AAL1, COAT_AAL2, COAT_AAL3 } coat_profile;
typedef enum coat_limit_policy { COAT_LIMIT_EVICT, COAT_LIMIT_DENY } coat_limit_policy;
typedef enum coat_reuse_policy { COAT_REUSE_END, COAT_REUSE_REPORT } coat_reuse_policy;

/** Where an effective value comes from. */
typedef enum coat_config_source {
    COAT_SOURCE_DEFAULT,
    COAT_SOURCE_PROFILE, /* a default that was lowered to the profile's cap */
    COAT_SOURCE_FILE,
    COAT_SOURCE_ENV,
    COAT_SOURCE_FLAG,
} coat_config_source;

/**
 * One typed field per key of keys.def, under the field's name there:
 * BOOL bool; INT, DURATION (milliseconds), SIZE (bytes) int64_t; MODE uint32_t; ENUM int (index
 * into its words); STRING, PATH never NULL, empty if unset; STRINGS, ORIGINS; LISTENERS.
 */
typedef struct coat_config {
#define COAT_FIELD_BOOL bool
#define COAT_FIELD_INT int64_t
#define COAT_FIELD_DURATION int64_t
#define COAT_FIELD_SIZE int64_t
#define COAT_FIELD_MODE uint32_t
#define COAT_FIELD_ENUM int
#define COAT_FIELD_STRING const char *
#define COAT_FIELD_PATH const char *
#define COAT_FIELD_STRINGS coat_strings
#define COAT_FIELD_ORIGINS coat_strings
#define COAT_FIELD_LISTENERS coat_listeners
#define SECTION(first, title)
#define KEY(type, field, path, initial, least, most, reload, words, text)                      \
    COAT_FIELD_##type field;
#include "server/config/keys.def"
#undef KEY
#undef SECTION

    const char *file; /* that was read, "" if none */
    /* Lists as header values, "GET, POST". */
    const char *cors_methods_text, *cors_headers_text, *cors_exposed_text;
    /* Group that must be able to enter runtime_dir (table, admin socket, listeners), "" if
     * none: give the directory mode 0710 and this group. */
    const char *runtime_group;
    /* Above the profile's caps, by way of profile_deviation: say so in the start-up event. */
    bool deviates;
    struct coat_config_priv *priv;
} coat_config;

/** What is wrong, where, and what would be right. */
typedef struct coat_config_error {
    char file[256];        /* of the file, or "environment", "command line", "configuration" */
    unsigned line, column; /* from 1; 0: not in a file */
    char key[64];          /* "" if it is not about one key */
    char text[320];
} coat_config_error;

typedef struct coat_config_input {
    const char *file;         /* NULL: COAT_CONFIG_FILE_DEFAULT if it exists, else none */
    char *const *env;         /* environ; NULL: none. Unknown COATCHECK_* names are refused */
    const char *const *flags; /* "--session.idle-timeout=5m"; unknown ones are refused */
    size_t flag_count;
    /* Judge each value by itself only. For who wants to know what was said before adding to it;
     * never for a configuration that is put in force. */
    bool values_only;
} coat_config_input;

/**
 * Read, check, and derive everything. Opens nothing but the configuration file.
 * @param error  filled unless COAT_OK; may be NULL
 * @retval COAT_INVALID   a mistake in the configuration
 * @retval COAT_IO        the file cannot be read
 * @retval COAT_NO_MEMORY
 */
coat_err coat_config_load(const coat_config_input *input, coat_config **out,
                          coat_config_error *error) COAT_MUST_USE;
/** The same with the text of a file in memory (tests, fuzzing); name stands in messages. */
coat_err coat_config_parse(coat_span text, const char *name, const coat_config_input *input,
                           coat_config **out, coat_config_error *error) COAT_MUST_USE;
void coat_config_free(coat_config *config);

/** "file:3:7: session.idle-timeout: ..." on one line. */
void coat_config_error_print(const coat_config_error *error, FILE *out);

/** Is this argument the flag of a key ("--log.level=debug")? For the commands' own parsers. */
bool coat_config_is_flag(const char *argument);

/** One key, for `config show` and for comparing. */
typedef struct coat_config_item {
    const char *path, *text, *initial;
    char env[64];      /* name of its environment variable */
    const char *value; /* effective, as it could be written in the file's short form */
    coat_config_source source;
    char where[300]; /* "default", "/etc/...yaml:3:7", "COATCHECK_...", "--..." */
    bool live;       /* follows a reload */
} coat_config_item;
size_t coat_config_count(void);
/** config may be NULL: defaults only. Strings live as long as config. */
void coat_config_item_get(const coat_config *config, size_t index, coat_config_item *out);

/** `config show`: the configuration as YAML with a comment on each value's origin. */
void coat_config_show(const coat_config *config, FILE *out);
/** docs/configuration.md; coatcheck.yaml(5); the default dump (path, value); the example file.
 * UP-5. */
void coat_config_docs(FILE *out);
void coat_config_manual(FILE *out);
void coat_config_defaults(FILE *out);
void coat_config_example(FILE *out);

/**
 * What a reload would change: calls changed() for each key that differs.
 * @return how many of them need a restart and stay as they are until then
 */
size_t coat_config_diff(const coat_config *before, const coat_config *after,
                        void (*changed)(void *ctx, const coat_config_item *before,
                                        const coat_config_item *after),
                        void *ctx);

/**
 * Give a configuration that was read again the running one's values of all keys that need a
 * restart. They are borrowed: running must outlive it. Texts for coat_config_diff stay as read.
 */
void coat_config_keep(const coat_config *running, coat_config *again);

/* ---- for the other parts: fill from defaults of their own, then from here ---- */

void coat_config_engine(const coat_config *config, coat_engine_conf *out);
void coat_config_policy(const coat_config *config, coat_policy *out);
void coat_config_directory(const coat_config *config, coat_directory_conf *out);
void coat_config_cookie(const coat_config *config, coat_cookie_conf *out);
void coat_config_store(const coat_config *config, coat_store_conf *out);
coat_site_policy coat_config_site(const coat_config *config);
coat_cors_policy coat_config_cors(const coat_config *config);
coat_origins coat_config_return_origins(const coat_config *config);
coat_forward_conf coat_config_forward(const coat_listener_conf *listener);
struct coat_http_limits; /* server/http/server.h */
void coat_config_limits(const coat_config *config, struct coat_http_limits *out);

/* ---- values, on their own for tests and fuzzing ---- */

/** "90s", "30m", "12h", "30d", "250ms", "0s"; "1h30m" is refused: one number, one unit. */
coat_err coat_duration_parse(coat_span text, int64_t *ms) COAT_MUST_USE;
/** "4096", "16KiB", "19MiB", "64GiB", "1TiB". "KB" is refused. */
coat_err coat_size_parse(coat_span text, int64_t *bytes) COAT_MUST_USE;
/** Decimal, no sign but '-', no leading zeros. */
coat_err coat_integer_parse(coat_span text, int64_t *value) COAT_MUST_USE;
/** The shortest text that parses back; buf of at least 32 bytes. */
void coat_duration_format(int64_t ms, char *buf, size_t cap);
void coat_size_format(int64_t bytes, char *buf, size_t cap);

#endif
