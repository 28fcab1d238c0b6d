/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include "server/http/internal.h"

#include <jansson.h>

static void
check_limits(const json_t *value, unsigned depth)
{
    const char *key;
    json_t *item;
    size_t i;

    if (!json_is_object(value) && !json_is_array(value))
        return;
    FUZZ_CHECK(depth < 16);
    FUZZ_CHECK(json_object_size(value) <= 64 && json_array_size(value) <= 64);
    if (json_is_array(value)) {
        json_array_foreach(value, i, item) check_limits(item, depth + 1);
        return;
    }
    for (void *at = json_object_iter((json_t *)(uintptr_t)value); at != NULL;
         at = json_object_iter_next((json_t *)(uintptr_t)value, at)) {
        key = json_object_iter_key(at);
        FUZZ_CHECK(key != NULL);
        check_limits(json_object_iter_value(at), depth + 1);
    }
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    coat_http_json_wipes(); /* as in the daemon */
    return 0;
}

/* Property: what is accepted keeps the limits, and what keeps them is not refused for them. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *root = NULL, *again = NULL;
    char *text;

    if (size > COAT_HTTP_BODY_MAX)
        return 0;
    if (coat_json_parse((coat_span){data, size}, &root) != COAT_OK) {
        FUZZ_CHECK(root == NULL);
        return 0;
    }
    check_limits(root, 0);
    text = json_dumps(root, JSON_COMPACT | JSON_ENSURE_ASCII);
    FUZZ_CHECK(text != NULL);
    FUZZ_CHECK(coat_json_parse(coat_span_of(text), &again) == COAT_OK);
    FUZZ_CHECK(json_equal(root, again));
    free(text);
    json_decref(root);
    json_decref(again);
    return 0;
}
