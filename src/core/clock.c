/* SPDX-License-Identifier: Apache-2.0 */
#include <coatcheck/base.h>
#include <time.h>

int64_t
coat_clock_system(void *ctx)
{
    struct timespec now = {0};

    (void)ctx;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
