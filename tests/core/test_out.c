/* SPDX-License-Identifier: Apache-2.0 */
#include "coat_test.h"
#include "core/out.h"

#include <inttypes.h>

static void
check_uint(uint64_t v)
{
    char want[32], got[32];
    coat_out out = coat_out_init(got, sizeof got);

    (void)snprintf(want, sizeof want, "%" PRIu64, v);
    coat_out_uint(&out, v);
    CHECK(coat_out_end(&out));
    CHECK_STR(got, want);
}

/* All up to five digits, and both sides of every power of ten and of two. */
static void
test_uint(void)
{
    for (uint64_t v = 0; v <= 20000; v++)
        check_uint(v);
    for (uint64_t power = 10; power <= UINT64_MAX / 10; power *= 10)
        for (int64_t off = -1; off <= 1; off++)
            check_uint(power + (uint64_t)off);
    for (int bit = 0; bit < 64; bit++)
        for (int64_t off = -1; off <= 1; off++)
            check_uint(((uint64_t)1 << bit) + (uint64_t)off);
    check_uint(UINT64_MAX);
}

static void
test_int(void)
{
    static const int64_t values[] = {0, 1, -1, 9, -10, 99, -100, INT64_MAX, INT64_MIN};

    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        char want[32], got[32];
        coat_out out = coat_out_init(got, sizeof got);

        (void)snprintf(want, sizeof want, "%" PRId64, values[i]);
        coat_out_int(&out, values[i]);
        CHECK(coat_out_end(&out));
        CHECK_STR(got, want);
    }
}

/* What does not fit is not there in part, and neither is what comes after it. */
static void
test_room(void)
{
    char buf[8] = "zzzzzzz";
    coat_out out = coat_out_init(buf, 4);

    coat_out_str(&out, "ab");
    coat_out_uint(&out, 123);
    CHECK(out.over && out.len == 2);
    coat_out_uint(&out, 1);
    CHECK(out.over && out.len == 2);
    CHECK(!coat_out_end(&out));
    CHECK_STR(buf, "ab");
    CHECK_MEM(buf + 3, 4, "zzzz", 4);
}

static const coat_test tests[] = {
    {"numbers without a sign", test_uint},
    {"numbers with one", test_int},
    {"what does not fit is left out whole", test_room},
};

COAT_TEST_MAIN(tests)
