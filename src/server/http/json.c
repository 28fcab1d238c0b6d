/* SPDX-License-Identifier: Apache-2.0 */
#include "server/http/internal.h"

#include <jansson.h>
#include <malloc.h>
#include <sodium.h>
#include <stdlib.h>

#define DEPTH_MAX 16
#define MEMBERS_MAX 64

/*
 * Depth and number of members (RX-6), counted before jansson allocates anything. Only what a
 * scanner can see without parsing: strings are skipped, commas and colons are counted per
 * container. Whether it is JSON at all is for jansson to say.
 */
static bool
within_limits(coat_span text)
{
    uint32_t members[DEPTH_MAX + 1] = {0};
    size_t depth = 0;
    bool in_string = false;

    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];

        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
            continue;
        }
        if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (depth == DEPTH_MAX)
                return false;
            members[++depth] = 1;
        } else if ((c == '}' || c == ']') && depth > 0) {
            depth--;
        } else if (c == ',' && ++members[depth] > MEMBERS_MAX) {
            return false;
        }
    }
    return true;
}

coat_err
coat_json_parse(coat_span text, json_t **out)
{
    json_error_t error;
    json_t *root;

    if (!within_limits(text))
        return COAT_MALFORMED;
    /* NUL is as good as any other byte of a password (LG-3). */
    root = json_loadb((const char *)text.ptr, text.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL,
                      &error);
    if (root == NULL)
        return json_error_code(&error) == json_error_out_of_memory ? COAT_NO_MEMORY
                                                                   : COAT_MALFORMED;
    *out = root;
    return COAT_OK;
}

/* Passwords and tokens come as JSON, and jansson knows of no secrets: all it frees is wiped. */
static void
wipe_and_free(void *ptr)
{
    if (ptr != NULL)
        sodium_memzero(ptr, malloc_usable_size(ptr));
    free(ptr);
}

void
coat_http_json_wipes(void)
{
    json_set_alloc_funcs(malloc, wipe_and_free);
}
