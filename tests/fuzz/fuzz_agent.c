/* SPDX-License-Identifier: Apache-2.0 */
#include "core/chars.h"
#include "fuzz.h"

#include <coatcheck/forward.h>

/* The family is one of ours whatever the bytes, and does not depend on any digit (LC-13). A
 * language is a short word of letters, digits and hyphens. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t other[8192];
    coat_span text = {data, size < sizeof other ? size : sizeof other};
    const char *family = coat_agent_family(text);
    char language[64];
    size_t len = coat_language_first(text, language, sizeof language);

    FUZZ_CHECK(family != NULL && family[0] != '\0' && strlen(family) < 32);
    for (size_t i = 0; i < text.len; i++)
        other[i] = coat_char_is_digit(data[i]) ? (uint8_t)('9' - (data[i] - '0')) : data[i];
    FUZZ_CHECK(coat_agent_family((coat_span){other, text.len}) == family);

    FUZZ_CHECK(len <= 31 && strlen(language) == len);
    for (size_t i = 0; i < len; i++)
        FUZZ_CHECK(coat_char_is_lower((uint8_t)language[i]) ||
                   coat_char_is_digit((uint8_t)language[i]) || language[i] == '-');
    return 0;
}
