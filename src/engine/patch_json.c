/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/patch_json.h"

#include <jansson.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

/**
 * Does it nest no deeper than allowed? Looked at before parsing, because the parser recurses.
 * Brackets within strings do not count.
 */
static bool
shallow(coat_span text)
{
    bool inside = false;
    unsigned depth = 0;

    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];

        if (inside) {
            if (c == '\\')
                i++;
            else if (c == '"')
                inside = false;
        } else if (c == '"') {
            inside = true;
        } else if (c == '{' || c == '[') {
            if (++depth > COAT_JSON_DEPTH_MAX)
                return false;
        } else if ((c == '}' || c == ']') && depth > 0) {
            depth--;
        }
    }
    return true;
}

static bool
narrow(const json_t *value)
{
    const char *name;
    json_t *member;
    size_t i;

    if (json_is_object(value)) {
        if (json_object_size(value) > COAT_JSON_MEMBERS_MAX)
            return false;
        json_object_foreach((json_t *)(uintptr_t)value, name,
                            member) if (!narrow(member)) return false;
    }
    json_array_foreach(value, i, member) if (!narrow(member)) return false;
    return true;
}

static unsigned
depth_of(const json_t *value)
{
    const char *name;
    json_t *member;
    unsigned most = 0, depth;
    size_t i;

    if (!json_is_object(value) && !json_is_array(value))
        return 0;
    json_object_foreach((json_t *)(uintptr_t)value, name, member)
    {
        depth = depth_of(member);
        most = depth > most ? depth : most;
    }
    json_array_foreach(value, i, member)
    {
        depth = depth_of(member);
        most = depth > most ? depth : most;
    }
    return most + 1;
}

static coat_err
parse(coat_span text, json_t **out)
{
    json_error_t error;
    json_t *value;

    if (text.len > COAT_JSON_PATCH_MAX)
        return COAT_TOO_LARGE;
    if (text.len == 0) {
        *out = json_object();
        return *out != NULL ? COAT_OK : COAT_NO_MEMORY;
    }
    if (!shallow(text))
        return COAT_MALFORMED;
    value = json_loadb((const char *)text.ptr, text.len, JSON_REJECT_DUPLICATES, &error);
    if (value == NULL)
        return json_error_code(&error) == json_error_out_of_memory ? COAT_NO_MEMORY
                                                                   : COAT_MALFORMED;
    if (!json_is_object(value) || !narrow(value)) {
        json_decref(value);
        return COAT_MALFORMED;
    }
    *out = value;
    return COAT_OK;
}

/** RFC 7396 section 2, MergePatch. Takes over target (may be NULL). @return NULL: no memory */
static json_t *
merge(json_t *target, json_t *patch)
{
    const char *name;
    json_t *value, *old;

    if (!json_is_object(patch)) {
        json_decref(target);
        return json_incref(patch);
    }
    if (!json_is_object(target)) {
        json_decref(target);
        target = json_object();
        if (target == NULL)
            return NULL;
    }
    json_object_foreach(patch, name, value)
    {
        if (json_is_null(value)) {
            (void)json_object_del(target, name);
            continue;
        }
        old = json_incref(json_object_get(target, name));
        old = merge(old, value);
        if (old == NULL || json_object_set_new(target, name, old) != 0) {
            json_decref(target);
            return NULL;
        }
    }
    return target;
}

static coat_err
print(const json_t *value, size_t max, coat_json_text *out)
{
    size_t len;
    char *text;

    if (json_object_size(value) == 0) {
        *out = (coat_json_text){NULL, 0};
        return COAT_OK;
    }
    len = json_dumpb(value, NULL, 0, JSON_COMPACT);
    if (len == 0)
        return COAT_NO_MEMORY;
    if (len > max)
        return COAT_TOO_LARGE;
    text = malloc(len);
    if (text == NULL)
        return COAT_NO_MEMORY;
    (void)json_dumpb(value, text, len, JSON_COMPACT);
    *out = (coat_json_text){text, len};
    return COAT_OK;
}

coat_err
coat_json_patch(coat_span data, coat_span patch, size_t max, coat_json_text *out)
{
    json_t *target = NULL, *change = NULL;
    coat_err err = parse(patch, &change);

    if (err == COAT_OK)
        err = parse(data, &target);
    if (err != COAT_OK)
        goto out;
    target = merge(target, change);
    if (target == NULL)
        err = COAT_NO_MEMORY;
    else if (!narrow(target) || depth_of(target) > COAT_JSON_DEPTH_MAX)
        err = COAT_MALFORMED;
    else
        err = print(target, max, out);
out:
    json_decref(target);
    json_decref(change);
    return err;
}

void
coat_json_text_free(coat_json_text *text)
{
    if (text->text != NULL)
        sodium_memzero(text->text, text->len);
    free(text->text);
    *text = (coat_json_text){NULL, 0};
}
