/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_STORE_REMOTE_URL_H
#define COAT_STORE_REMOTE_URL_H

/** scheme://[user@]host[:port][/path][?key=value&...], and secrets from files. */

#include <coatcheck/store.h>

enum { REMOTE_URL_MAX = 1024, REMOTE_PARAMS_MAX = 16, REMOTE_SECRET_MAX = 512 };

/** All strings lie in `text`, percent-decoded and NUL-terminated. */
typedef struct remote_url {
    char text[REMOTE_URL_MAX + 1];
    const char *scheme, *user, *host, *path; /* user, host: NULL if there is none */
    uint16_t port;                           /* 0: none */
    size_t param_count;
    struct {
        const char *key, *value;
    } params[REMOTE_PARAMS_MAX];
} remote_url;

/**
 * @param why  what is wrong, for the operator: never a part of what might be a password
 * @retval COAT_INVALID, COAT_TOO_LARGE
 */
coat_err remote_url_parse(const char *text, remote_url *out, const char **why);
/** The value of a parameter; NULL: not given. */
const char *remote_url_param(const remote_url *url, const char *key);
/** Does the host name this machine, so that nothing travels on a wire? */
bool remote_url_is_local(const remote_url *url);
bool remote_host_is_local(const char *host);

/** scheme://[user@]HOST[:PORT],HOST[:PORT].../path?query, or scheme+unix:/PATH,/PATH...?query
 */
typedef struct remote_url_list {
    coat_span front;  /* the user stands before the first host and is everybody's */
    coat_span hosts;  /* those that are left */
    const char *rest; /* path and query */
} remote_url_list;

/** Borrows from `text`. @return false: it is no URL, or too long */
bool remote_url_split(const char *text, remote_url_list *out);
/**
 * The URL with the next of the hosts only.
 * @param out  REMOTE_URL_MAX + 1 bytes
 * @return false: there is none
 */
bool remote_url_next(remote_url_list *list, char *out);

/**
 * Read a secret from the first line of a file that only its owner, we or root, may read.
 * @param out  REMOTE_SECRET_MAX + 1 bytes; wipe it after use
 */
coat_err remote_secret_read(const char *path, char *out, const char **why);

#endif
