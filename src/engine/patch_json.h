/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_ENGINE_PATCH_JSON_H
#define COAT_ENGINE_PATCH_JSON_H

/** JSON merge patch (RFC 7396) over application data. Allocates; any thread. */

#include <coatcheck/base.h>

enum {
    COAT_JSON_DEPTH_MAX = 16,   /* nested objects and arrays (RX-6) */
    COAT_JSON_MEMBERS_MAX = 64, /* of one object */
    COAT_JSON_PATCH_MAX = 64 * 1024,
};

/** Data of a session after a change; owns its text. */
typedef struct coat_json_text {
    char *text; /* not NUL-terminated; NULL for {} */
    size_t len;
} coat_json_text;

/**
 * @param data   a JSON object, or empty for {}
 * @param patch  a JSON object, or empty for none
 * @param max    bytes the result may have
 * @retval COAT_MALFORMED  not an object, duplicate names, too deep, too many members
 * @retval COAT_TOO_LARGE  patch or result
 * @retval COAT_NO_MEMORY
 */
coat_err coat_json_patch(coat_span data, coat_span patch, size_t max,
                         coat_json_text *out) COAT_MUST_USE;
/** Wipes. */
void coat_json_text_free(coat_json_text *text);

#endif
