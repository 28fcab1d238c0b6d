/* SPDX-License-Identifier: Apache-2.0 */

/* Merge patches (RFC 7396) over application data. The input is data, a newline, a patch. */

#include "engine/patch_json.h"
#include "fuzz.h"

#include <jansson.h>
#include <string.h>

enum { LITTLE = 64, MUCH = 4096 };

static coat_span
span_of(const coat_json_text *text)
{
    return (coat_span){(const uint8_t *)text->text, text->len};
}

/* What stands under a name that the patch sets must come from the patch, all else from data. */
static void
check_members(coat_span data, coat_span patch, const coat_json_text *result)
{
    json_t *before = json_loadb((const char *)data.ptr, data.len, 0, NULL);
    json_t *change = json_loadb((const char *)patch.ptr, patch.len, 0, NULL);
    json_t *after = json_loadb(result->text != NULL ? result->text : "{}",
                               result->text != NULL ? result->len : 2, 0, NULL);
    const char *name;
    json_t *value;

    FUZZ_CHECK(json_is_object(after));
    json_object_foreach(before, name, value)
    {
        if (json_object_get(change, name) == NULL)
            FUZZ_CHECK(json_equal(json_object_get(after, name), value));
    }
    json_object_foreach(change, name, value)
    {
        if (json_is_null(value))
            FUZZ_CHECK(json_object_get(after, name) == NULL);
        else if (!json_is_object(value))
            FUZZ_CHECK(json_equal(json_object_get(after, name), value));
        else
            FUZZ_CHECK(json_is_object(json_object_get(after, name)));
    }
    json_object_foreach(after, name, value) FUZZ_CHECK(json_object_get(before, name) != NULL ||
                                                       json_object_get(change, name) != NULL);
    json_decref(before);
    json_decref(change);
    json_decref(after);
}

/* Properties: a failure leaves the result alone; a result is within its limits, is what the
 * patch says, and does not change when the same patch, or none, is applied to it again. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = size > 0 ? memchr(data, '\n', size) : NULL;
    size_t len = end != NULL ? (size_t)(end - data) : size, max = size % 2 != 0 ? LITTLE : MUCH;
    coat_span text = {data, len};
    coat_span patch = end != NULL ? (coat_span){end + 1, size - len - 1} : (coat_span){NULL, 0};
    coat_json_text once = {(char *)1, 77}, twice, same;

    if (coat_json_patch(text, patch, max, &once) != COAT_OK) {
        FUZZ_CHECK(once.text == (char *)1 && once.len == 77);
        return 0;
    }
    FUZZ_CHECK(once.len <= max && (once.text == NULL) == (once.len == 0));
    check_members(text, patch, &once);
    FUZZ_CHECK(coat_json_patch(span_of(&once), patch, max, &twice) == COAT_OK);
    FUZZ_CHECK(coat_json_patch(span_of(&once), (coat_span){NULL, 0}, max, &same) == COAT_OK);
    FUZZ_CHECK(twice.len == once.len && same.len == once.len);
    FUZZ_CHECK(once.len == 0 || memcmp(same.text, once.text, once.len) == 0);
    coat_json_text_free(&once);
    coat_json_text_free(&twice);
    coat_json_text_free(&same);
    return 0;
}
