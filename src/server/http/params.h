/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_SERVER_HTTP_PARAMS_H
#define COAT_SERVER_HTTP_PARAMS_H

/** Parameters of a query or of an application/x-www-form-urlencoded body. Pure; any thread. */

#include "core/bytes.h"

#define COAT_PARAMS_MAX 64

typedef struct coat_param {
    coat_span name, value;
} coat_param;

typedef struct coat_params {
    coat_param list[COAT_PARAMS_MAX];
    size_t count;
} coat_params;

/**
 * Split at "&" and "=", decode '+' and %XX exactly once. Empty pairs ("a=1&&b=2") are refused.
 * @param buf  at least text.len bytes for the decoded text; may be text.ptr itself
 * @retval COAT_MALFORMED  bad escape, control byte but tab, CR, LF; invalid UTF-8; empty or
 *                         repeated name
 * @retval COAT_TOO_LARGE  more than COAT_PARAMS_MAX, or buf too small
 */
coat_err coat_params_parse(coat_span text, uint8_t *buf, size_t cap,
                           coat_params *out) COAT_MUST_USE;
/** false: absent. */
bool coat_params_get(const coat_params *params, const char *name, coat_span *out);

#endif
