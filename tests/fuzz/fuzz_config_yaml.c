/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include "core/bytes.h"
#include "server/config/config.h"

/* A file is refused with a one-line message, or what `config show` prints of it is accepted
 * again with the same effective values. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    coat_config_error error = {0};
    coat_config *a = NULL, *b = NULL;
    char *text = NULL;
    size_t len = 0;
    FILE *out;

    if (coat_config_parse((coat_span){data, size}, "fuzz", NULL, &a, &error) != COAT_OK) {
        FUZZ_CHECK(a == NULL && error.text[0] != '\0' && error.file[0] != '\0');
        for (const char *p = error.text; *p != '\0'; p++)
            FUZZ_CHECK((unsigned char)*p >= 0x20 && *p != 0x7f);
        return 0;
    }
    FUZZ_CHECK(a->absolute_ms <= 30LL * 24 * 3600 * 1000 && a->idle_ms >= 60000);
    out = open_memstream(&text, &len);
    FUZZ_CHECK(out != NULL);
    coat_config_show(a, out);
    (void)fclose(out);
    if (coat_config_parse((coat_span){(uint8_t *)text, len}, "again", NULL, &b, &error) !=
        COAT_OK) {
        (void)fprintf(stderr, "%s:%u:%u: %s: %s\n%s", error.file, error.line, error.column,
                      error.key, error.text, text);
        FUZZ_CHECK(false);
    }
    FUZZ_CHECK(coat_config_diff(a, b, NULL, NULL) == 0);
    free(text);
    coat_config_free(a);
    coat_config_free(b);
    return 0;
}
