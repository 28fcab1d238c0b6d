/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include "core/bytes.h"
#include "server/pages/template.h"

#include <stdlib.h>

static coat_span
find(const void *ctx, coat_span name)
{
    (void)ctx;
    return coat_span_is(name, COAT_LIT("part")) ? COAT_LIT("<i>{{evil}}</i>")
                                                : (coat_span){NULL, 0};
}

/* Property: what the check accepts can be rendered, and no value reaches the page unescaped. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    coat_span source = {data, size};
    json_t *values = json_pack("{s:s,s:b,s:[{s:s},{s:s}]}", "evil", "\x01<evil>\"'&", "yes", 1,
                               "list", "evil", "<evil>", "evil", "x");
    char message[120], *out = NULL;
    unsigned line = 0;
    size_t len = 0;
    coat_err checked = coat_template_check(source, find, NULL, &line, message, sizeof message);
    coat_err rendered = coat_template_render(source, find, NULL, values, &out, &len);

    if (checked == COAT_OK)
        FUZZ_CHECK(rendered == COAT_OK || rendered == COAT_TOO_LARGE);
    else
        FUZZ_CHECK(line >= 1 && message[0] != '\0');
    if (rendered == COAT_OK) {
        FUZZ_CHECK(strlen(out) <= len && out[len] == '\0');
        if (memmem(data, size, "<evil>", 6) == NULL && memmem(data, size, "{{", 2) != NULL)
            FUZZ_CHECK(memmem(out, len, "\x01<evil>", 7) == NULL);
    }
    free(out);
    json_decref(values);
    return 0;
}
