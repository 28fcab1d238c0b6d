/* SPDX-License-Identifier: Apache-2.0 */

/* Known-client values: only what was made under our key, for this account, this password and
 * within 30 days is believed, in its one spelling. The first 8 bytes of the input choose the
 * time of issue, the others are the value as received. */

#include "account/device.h"
#include "core/bytes.h"
#include "fuzz_policy.h"
#include <stdlib.h>

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const coat_handle account = {{1, 2, 3}};
    const int64_t password_ms = 1600000000000, now = 1700000000000;
    uint8_t head[8] = {0};
    const uint8_t *at;
    char ours[COAT_DEVICE_CHARS];
    size_t got;
    int64_t issued;
    bool known;

    if (policy == NULL)
        set_up();
    at = fuzz_take(&data, &size, sizeof head, &got);
    memcpy(head, at, got);
    issued = now - (int64_t)(coat_load64(head) % (2 * (uint64_t)COAT_DEVICE_MS));
    coat_device_make(policy, &account, password_ms, issued, ours);
    FUZZ_CHECK(coat_device_known(policy, &account, password_ms, now,
                                 (coat_span){(uint8_t *)ours, sizeof ours}) ==
               (now - issued <= COAT_DEVICE_MS));
    known = coat_device_known(policy, &account, password_ms, now, (coat_span){data, size});
    FUZZ_CHECK(!known || size == COAT_DEVICE_CHARS);
    /* a value made for another password is never believed here, nor one of another time unless
     * it carries its own MAC: the input would have had to find a 128-bit MAC */
    if (known && memcmp(data, ours, sizeof ours) != 0)
        FUZZ_CHECK(!coat_device_known(policy, &account, password_ms + 1, now,
                                      (coat_span){data, size}));
    return 0;
}
