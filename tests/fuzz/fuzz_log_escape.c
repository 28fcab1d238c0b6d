/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include "core/bytes.h"
#include "server/log/line.h"

#include <jansson.h>

enum { LONG = 512 }; /* with less it takes too many */

/* Whatever is logged: one line, at most 8 KiB, no control character; JSON that parses, holds
 * the fields that were put in, and gives UTF-8 back as it was, up to the cut and to redaction.
 */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const more[] = {"a", "b", "c", "d", "e", "f", "g", "h"};
    static coat_line line;
    json_t *json, *whole;
    size_t len;

    for (int format = COAT_LOG_LOGFMT; format <= COAT_LOG_JSON; format++) {
        coat_line_begin(&line, (coat_log_format)format);
        coat_line_text(&line, "user", (coat_span){data, size});
        coat_line_none(&line, "reason");
        coat_line_text(&line, "detail", (coat_span){data + size / 2, size - size / 2});
        coat_line_number(&line, "count", (int64_t)size);
        for (size_t i = 0; size > LONG && i < sizeof more / sizeof more[0]; i++)
            coat_line_text(&line, more[i], (coat_span){data, size}); /* till it is full */
        len = coat_line_end(&line);
        FUZZ_CHECK(len <= COAT_LOG_LINE_MAX && line.text[len - 1] == '\n');
        for (size_t i = 0; i + 1 < len; i++)
            FUZZ_CHECK((uint8_t)line.text[i] >= 0x20 && line.text[i] != 0x7f);
    }
    json = json_loadb(line.text, len, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, NULL);
    FUZZ_CHECK(json != NULL);
    FUZZ_CHECK(json_is_null(json_object_get(json, "reason")));
    FUZZ_CHECK(json_integer_value(json_object_get(json, "count")) == (json_int_t)size);
    whole = json_stringn((const char *)data, size);
    if (whole != NULL && memmem(line.text, len, "[redacted]", 10) == NULL) {
        const json_t *user = json_object_get(json, "user");
        size_t got = json_string_length(user);

        FUZZ_CHECK(got <= size && memcmp(json_string_value(user), data, got) == 0);
        FUZZ_CHECK(got == size || (got <= COAT_LOG_FIELD_MAX && got > COAT_LOG_FIELD_MAX - 4));
    }
    json_decref(whole);
    json_decref(json);
    return 0;
}
