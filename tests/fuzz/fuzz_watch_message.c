/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/shared.h"
#include "fuzz.h"

#include <string.h>

/* A message of an instance that is understood is written back as the same bytes; what is not
 * leaves the output alone. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t bytes[COAT_MESSAGE_BYTES];
    coat_message message, before;

    memset(&before, 0xA5, sizeof before);
    memcpy(&message, &before, sizeof message);
    if (!coat_message_get((coat_span){data, size}, &message)) {
        FUZZ_CHECK(memcmp(&message, &before, sizeof before) == 0);
        return 0;
    }
    FUZZ_CHECK(size >= COAT_MESSAGE_BYTES);
    FUZZ_CHECK(message.kind >= COAT_MESSAGE_BEAT && message.kind <= COAT_MESSAGE_CONFIRM);
    coat_message_put(&message, bytes);
    FUZZ_CHECK(memcmp(bytes, data, sizeof bytes) == 0);
    return 0;
}
