/* SPDX-License-Identifier: Apache-2.0 */
#include "core/bytes.h"
#include "fuzz.h"

#include <coatcheck/forward.h>
#include <coatcheck/target.h>

/* One line of visible ASCII within the limit, from which the value comes back; else refused. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char buf[COAT_IDENTITY_MAX + 1] = "z";
    uint8_t back[COAT_IDENTITY_MAX];
    size_t len = 4711, decoded, need = 0;

    for (size_t i = 0; i < size; i++)
        need += data[i] > 0x20 && data[i] < 0x7f && data[i] != '%' ? 1 : 3;
    if (coat_identity_encode((coat_span){data, size}, buf, sizeof buf, &len) != COAT_OK) {
        FUZZ_CHECK(need > COAT_IDENTITY_MAX);
        FUZZ_CHECK(buf[0] == 'z' && len == 4711);
        return 0;
    }
    FUZZ_CHECK(len == need && len == strlen(buf));
    for (size_t i = 0; i < len; i++)
        FUZZ_CHECK(buf[i] > 0x20 && buf[i] < 0x7f);
    FUZZ_CHECK(coat_percent_decode((coat_span){(const uint8_t *)buf, len}, false, back,
                                   sizeof back, &decoded) == COAT_OK);
    FUZZ_CHECK(coat_span_is((coat_span){back, decoded}, (coat_span){data, size}));
    return 0;
}
