/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include <coatcheck/keys.h>
#include <string.h>

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    FUZZ_CHECK(coat_init() == COAT_OK);
    return 0;
}

/* A key file that is accepted is written back byte for byte; one that is refused says where. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    coat_keys_error error = {4711, "untouched"};
    coat_keys *keys = NULL;
    char text[512];
    size_t len = 0, lines = 1;
    coat_err err = coat_keys_parse((coat_span){data, size}, &keys, &error);

    if (err != COAT_OK) {
        for (size_t i = 0; i < size; i++)
            lines += data[i] == '\n';
        FUZZ_CHECK(err == COAT_MALFORMED && keys == NULL);
        FUZZ_CHECK(error.line <= lines);
        FUZZ_CHECK(memchr(error.text, '\0', sizeof error.text) != NULL &&
                   error.text[0] != '\0');
        return 0;
    }
    FUZZ_CHECK(strcmp(error.text, "untouched") == 0);
    FUZZ_CHECK(coat_keys_format(keys, text, sizeof text, &len) == COAT_OK);
    FUZZ_CHECK(len == size && memcmp(text, data, size) == 0);
    FUZZ_CHECK(coat_keys_tags(keys)->count == coat_keys_count(keys));
    FUZZ_CHECK(coat_keys_live(keys, COAT_KEY_SEAL, coat_keys_count(keys)) == NULL);
    coat_keys_free(keys);
    return 0;
}
