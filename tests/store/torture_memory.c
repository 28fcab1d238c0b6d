/* SPDX-License-Identifier: Apache-2.0 */
#include "store_torture.h"

static coat_err
open_memory(coat_store **out)
{
    return coat_store_open(&(coat_store_conf){.url = "memory:"}, out);
}

static void
talking(void)
{
    torture_talk(open_memory, TORTURE_MEMORY | TORTURE_CALLS | TORTURE_EACH, 0, 0);
}

static void
opening_and_closing(void)
{
    torture_opening(open_memory, OPENS_ANEW, TORTURE_MEMORY | TORTURE_CALLS | TORTURE_EACH, 0,
                    0);
}

static const coat_test tests[] = {
    {"HD-4: memory: whatever fails, requests end as they may and nothing ended lives", talking},
    {"HD-4: memory: opening and closing fail whole", opening_and_closing},
};
COAT_TEST_MAIN(tests)
